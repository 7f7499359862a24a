//! Each error once: what is wrong is found, and named.

use super::*;

/// The error after `break_it` has changed a good topology.
fn refused(break_it: impl FnOnce(&mut Topology)) -> String {
    let mut topology = pipeline(&cores(4), &two_ports());
    break_it(&mut topology);
    plan(&topology).unwrap_err().to_string()
}

#[test]
fn of_cores_and_placements() {
    use StageKind::{Cipher, EspSeal, Replicate, Rx};
    let error = refused(|t| t.cores.clear());
    assert_eq!(error, "there is no core to place stages on");
    let error = refused(|t| t.cores = cores(65));
    assert!(error.starts_with("65 cores are too many: with more than 64,"), "{error}");
    let error = refused(|t| t.cores.push(CoreId(1)));
    assert_eq!(error, "core 1 is listed twice");
    let error = refused(|t| {
        let again = placement(t, EspSeal).clone();
        t.placements.push(again);
    });
    assert_eq!(error, "esp_seal is placed twice");
    let error = refused(|t| placement(t, EspSeal).cores.push(CoreId(7)));
    assert_eq!(error, "esp_seal is on core 7 twice");
    let error = refused(|t| placement(t, EspSeal).cores.push(CoreId(8)));
    assert_eq!(error, "esp_seal is on core 8, which is not one of the cores to be used");
    let error = refused(|t| t.placements.push(Placement { stage: Rx, cores: vec![CoreId(1)] }));
    assert_eq!(error, "rx is placed by the cores of the ports' queues, not as a stage");
    // Lookup, on core 1 alone, finds an instance there, so this one gets nothing.
    let error = refused(|t| placement(t, Replicate).cores.push(CoreId(3)));
    assert_eq!(error, "replicate on core 3 would never see a packet");
    // The only core with ESP deals to others, not to itself.
    let error = refused(|t| {
        t.placements.push(Placement { stage: Cipher, cores: vec![CoreId(1), CoreId(7)] });
    });
    assert_eq!(error, "cipher on core 7 would never see a packet");
    let error = refused(|t| {
        t.cores.push(CoreId(9));
        // Every core that sends has a queue of its own, and core 9 does not send.
        t.ports[1].spec.tx_queues_max = 5;
        t.ports[1].tx = [1, 3, 5, 7, 9].map(CoreId).to_vec();
    });
    assert_eq!(error, "tx queue 4 of port 1 on core 9 would never see a packet");
}

#[test]
fn of_ports() {
    let error = refused(|t| t.ports.clear());
    assert_eq!(error, "there is no port");
    let error = refused(|t| t.ports = vec![t.ports[0].clone(); 33]);
    assert_eq!(error, "33 ports are too many: DPDK is built for 32");
    let error = refused(|t| t.ports[1].spec.id = PortId(0));
    assert_eq!(error, "port port1 has the same number as another port");
    let error = refused(|t| t.ports[1].rx.clear());
    assert_eq!(error, "port port1 has no rx queue on any core");
    let error = refused(|t| t.ports[0].tx.clear());
    assert_eq!(error, "port port0 has no tx queue on any core");
    let error = refused(|t| t.ports[0].rx.push(CoreId(3)));
    assert_eq!(error, "port port0 is given 2 rx queues, but can have 1");
    let error = refused(|t| t.ports[0].tx = vec![CoreId(99)]);
    assert_eq!(error, "tx is on core 99, which is not one of the cores to be used");
    let error = refused(|t| {
        t.ports[0].spec.tx_queues_max = 2;
        t.ports[0].tx = vec![CoreId(1), CoreId(1)];
    });
    assert_eq!(error, "port port0 has two tx queues on core 1");
}

#[test]
fn of_edges() {
    use StageKind::{Cipher, Classify, EspOpen, EspSeal, FragmentOuter, GreEncap, Lookup, Rx};
    let error = refused(|t| t.placements.retain(|p| p.stage != EspSeal));
    assert_eq!(error, "edge gre_encap.seal -> esp_seal: no core runs esp_seal");
    let error = refused(|t| t.edges.retain(|e| (e.from, e.output) != (Lookup, output::lookup::TX)));
    assert_eq!(error, "lookup.tx leads nowhere");
    let error = refused(|t| t.edges.push(Edge::new(Rx, 0, Classify, Steer::Any)));
    assert_eq!(error, "edge rx.out -> classify: another edge starts at this output already");
    let error = refused(|t| t.edges.push(Edge::new(EspSeal, 2, GreEncap, Steer::Any)));
    assert_eq!(error, "edge esp_seal.? -> gre_encap: esp_seal has no output 2");
    let error = refused(|t| t.edges[1].to = Rx);
    assert_eq!(error, "edge classify.overlay -> rx: rx takes no packets from other stages");
    let error = refused(|t| t.edges[1].to = Cipher);
    assert_eq!(error, "edge classify.overlay -> cipher: cipher takes no packets from other stages");
    let error = refused(|t| t.edges[1].steer = Steer::Port);
    assert!(error.starts_with("edge classify.overlay -> lookup: steered port, but"), "{error}");
    let error = refused(|t| {
        let back = t.edges.iter_mut().find(|e| e.back).unwrap();
        assert_eq!(back.from, EspOpen);
        back.back = false;
    });
    let cycle = "stages form a cycle without an edge declared to go back: ";
    assert_eq!(error, format!("{cycle}esp_open -> reassemble -> esp_open"));
    let error = refused(|t| {
        let edge = t.edges.iter_mut().find(|e| e.from == FragmentOuter).unwrap();
        *edge = Edge { to: FragmentOuter, steer: Steer::Any, ..*edge };
    });
    assert_eq!(error, format!("{cycle}fragment_outer -> fragment_outer"));
}
