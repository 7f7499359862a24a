//! On a protected tunnel nothing leaves in clear: not at start, not during a rekey, not after
//! expiry, not when its counter ends.

use std::sync::Arc;

use dataplane::drops::DropReason;
use dataplane::engine::message::Event;
use dataplane::engine::stage::SaCommand;
use dataplane::engine::topology::StageKind;
use dataplane::tables::sa::Lifetime;
use dataplane::tables::{Adjacency, Encap, OutboundSa};

use crate::support::frame::{ESP, udp_packet};
use crate::support::site::{key, oracle_sa, spi};
use crate::support::{Esp, Lab, Layout, Link, Site};

fn packets(count: u16) -> Vec<Vec<u8>> {
    (0..count).map(|i| udp_packet("10.1.0.10", "10.2.0.10", i, 100)).collect()
}

fn lab(esp: Esp) -> Lab {
    let link = Link { esp: Some(esp), ..Link::dmvpn() };
    Lab::new(&Layout::RunToCompletion(1), vec![Site::new(1, &[2], &link)])
}

#[test]
fn hostile_at_start_without_an_sa_nothing_leaves() {
    let link = Link::dmvpn();
    let mut site = Site::new(1, &[2], &link);
    let tunnel = site.peers[0].1.adjacency as usize;
    site.adjacencies[tunnel] = Adjacency::Drop(DropReason::NoSa);
    (site.outbound, site.inbound) = (Vec::new(), Vec::new());
    let mut lab = Lab::new(&Layout::RunToCompletion(1), vec![site]);
    lab.send(1, &packets(10));
    assert!(lab.outer().is_empty());
    assert_eq!(lab[1].drops(), [("no_sa", 10)].into());
}

#[test]
fn hostile_template_published_before_its_sa_is_installed() {
    let link = Link::dmvpn();
    let mut site = Site::new(1, &[2], &link);
    let sas = std::mem::take(&mut site.outbound);
    // Neither in the tables nor on the core; then only in the tables.
    for in_tables in [false, true] {
        let mut site = site.clone();
        let mut lab = Lab::new(&Layout::RunToCompletion(1), vec![site.clone()]);
        if in_tables {
            site.outbound = sas.clone();
            lab[1].publish(&site.tables());
        }
        lab.send(1, &packets(10));
        assert!(lab.outer().is_empty());
        assert_eq!(lab[1].drops(), [("sa_gone", 10)].into());
    }
    // Only on the core: numbered, but there is no key to seal with.
    let mut lab = Lab::new(&Layout::RunToCompletion(1), vec![site]);
    lab[1].install(&[], &sas);
    lab.send(1, &packets(10));
    assert!(lab.outer().is_empty());
    assert_eq!(lab[1].drops(), [("sa_gone", 10)].into());
}

/// ```text
/// install new SA > publish the template that uses it > retire the old SA
/// ```
/// At each of these steps every packet leaves sealed, by one or the other.
#[test]
fn hostile_during_a_rekey_every_packet_is_sealed() {
    let mut lab = lab(Esp::TRANSPORT);
    let mut site = lab.site(1).clone();
    let old = oracle_sa(1, 2, &Esp::TRANSPORT);
    let new_key = key(1, 77, &Esp::TRANSPORT);
    let mut new = oracle_sa(1, 77, &Esp::TRANSPORT);
    new.spi = 0x9999;
    let sa = Arc::new(OutboundSa {
        slot: 9,
        spi: new.spi,
        esn: true,
        iv_offset: 0,
        key: new_key,
        device_key: None,
        lifetime: Lifetime::default(),
        counters: Arc::default(),
    });
    site.outbound.push(sa.clone());
    let mut spec = site.encap_spec(2);
    let esp = spec.esp.as_mut().unwrap();
    (esp.slot, esp.spi) = (9, new.spi);
    let tunnel = site.peers[0].1.adjacency as usize;
    site.adjacencies[tunnel] = Adjacency::Tunnel(Arc::new(Encap::new(&spec)).into());

    let owner = |lab: &mut Lab, command| lab[1].command(StageKind::GreEncap, 2, command);
    let count = |lab: &mut Lab, sa: &crate::support::oracle::Sa| {
        lab.send(1, &packets(5));
        let outer = lab.outer();
        outer.iter().map(|p| sa.open(0, &p[20..]).sequence).collect::<Vec<_>>()
    };
    assert_eq!(count(&mut lab, &old), [1, 2, 3, 4, 5]);
    owner(&mut lab, SaCommand::InstallOutbound(sa));
    assert_eq!(count(&mut lab, &old), [6, 7, 8, 9, 10]);
    lab[1].publish(&site.tables());
    assert_eq!(count(&mut lab, &new), [1, 2, 3, 4, 5]);
    owner(&mut lab, SaCommand::RetireOutbound(2));
    assert_eq!(count(&mut lab, &new), [6, 7, 8, 9, 10]);
    lab.assert_clean();
    assert!(
        lab[1]
            .events
            .iter()
            .any(|e| matches!(e, Event::RetiredOutbound(sa) if sa.spi == spi(1, 2)))
    );
}

fn assert_expires(lifetime: Lifetime, passes: usize) {
    let mut lab = lab(Esp { lifetime, ..Esp::TRANSPORT });
    lab.send(1, &packets(20));
    let outer = lab.outer();
    assert_eq!(outer.len(), passes);
    assert!(outer.iter().all(|packet| packet[9] == ESP));
    assert_eq!(lab[1].drops(), [("sa_expired", 20 - passes as u64)].into());
    let expired: Vec<_> = lab[1].events.drain(..).collect();
    assert!(matches!(expired[..], [Event::Expired { slot: 2, inbound: false }]), "{expired:?}");
    lab.send(1, &packets(5));
    assert!(lab.outer().is_empty(), "it stays expired");
    assert!(lab[1].events.is_empty(), "said once");
}

#[test]
fn hostile_after_expiry_nothing_leaves() {
    assert_expires(Lifetime { packets: 7, ..Lifetime::default() }, 7);
    assert_expires(Lifetime { octets: 250, ..Lifetime::default() }, 3);
    assert_expires(Lifetime { tsc: 1, ..Lifetime::default() }, 0);
}

#[test]
fn hostile_inbound_after_expiry_nothing_is_accepted() {
    for (lifetime, passes) in [
        (Lifetime { packets: 3, ..Lifetime::default() }, 3),
        (Lifetime { tsc: 1, ..Lifetime::default() }, 0),
    ] {
        let link = Link { esp: Some(Esp { lifetime, ..Esp::TRANSPORT }), ..Link::dmvpn() };
        let unlimited = Link::dmvpn();
        let sites = vec![Site::new(1, &[2], &unlimited), Site::new(2, &[1], &link)];
        let mut lab = Lab::new(&Layout::RunToCompletion(1), sites);
        for packet in packets(5) {
            lab.send(1, &[packet]);
        }
        assert_eq!(lab.receive(2).len(), passes);
        assert_eq!(lab[2].drops(), [("sa_expired", 5 - passes as u64)].into());
        let events = &lab[2].events;
        assert!(matches!(events[..], [Event::Expired { slot: 1, inbound: true }]), "{events:?}");
    }
}

/// The other end came back with new keys: what it seals under SPIs that we do not know, or sends in
/// clear, is refused, and what we send it is still sealed.
#[test]
fn hostile_after_a_peer_restart_nothing_is_in_clear() {
    let mut lab = Lab::pair(&Link::dmvpn());
    lab.send(1, &packets(3));
    assert_eq!(lab.receive(2).len(), 3);
    let mut forgotten = lab.site(2).clone();
    (forgotten.inbound, forgotten.outbound) = (Vec::new(), Vec::new());
    lab[2].publish(&forgotten.tables());
    lab.outer();
    lab.send(1, &packets(3));
    assert!(lab.outer().iter().all(|packet| packet[9] == ESP));
    assert_eq!(lab[2].drops(), [("unknown_spi", 3)].into());
}
