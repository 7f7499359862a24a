//! Full rings and queues, missing ones, and a control thread that does not listen.

use dataplane::engine::assembly::{PortQueues, Settings, assemble};
use dataplane::engine::plan::plan;
use dataplane::engine::worker::Poll;
use dataplane::packet::PuntReason;
use dataplane::stages::Parts;
use dpdk::{Eal, Mempool, MempoolConfig};

use crate::support::frame::{ICMP, Ip, udp_packet};
use crate::support::{Lab, Layout, Link, Site};

fn packets(count: u16) -> Vec<Vec<u8>> {
    (0..count).map(|i| udp_packet("10.1.0.10", "10.2.0.10", i, 100)).collect()
}

#[test]
fn a_full_ring_between_cores_is_a_counted_drop_and_nothing_waits() {
    let mut lab = Lab::new(&Layout::Pipeline(2), vec![Site::new(1, &[2], &Link::dmvpn())]);
    let frames: Vec<_> = packets(1500).iter().map(|p| lab.site(1).host_frame(p)).collect();
    lab[1].send_lan(&frames);
    // The front runs, the core behind it does not: the ring between them holds 1024.
    while lab[1].workers[0].turn() {}
    lab.settle_alone(1);
    assert_eq!(lab[1].drops(), [("ring_full", 1500 - 1024)].into());
    assert_eq!(lab[1].wan.receive().len(), 1024);
    lab.send(1, &packets(10));
    assert_eq!(lab.outer().len(), 10);
}

#[test]
fn a_control_thread_that_does_not_listen_costs_only_punts() {
    let mut lab = Lab::pair(&Link::dmvpn());
    let ping = Ip::new("10.1.0.10", "10.1.0.1", ICMP).packet(&[8, 0, 0xf7, 0xff, 0, 0, 0, 0]);
    let frames = vec![lab.site(1).host_frame(&ping); 1500];
    lab[1].send_lan(&frames);
    while lab[1].workers[0].turn() {}
    lab.send(1, &packets(50));
    assert_eq!(lab.receive(2).len(), 50);
    assert_eq!(lab[1].drops(), [("punt_full", 1500 - 512)].into());
    assert_eq!(lab[1].take_punts(), vec![PuntReason::Local; 512]);
}

#[test]
fn a_transmit_queue_that_stays_full_drops_and_recovers() {
    let mut lab = Lab::pair(&Link::dmvpn());
    let frames: Vec<_> = packets(500).iter().map(|p| lab.site(1).host_frame(p)).collect();
    // The ring of the port holds 4096, and nobody empties it.
    for _ in 0..10 {
        lab[1].send_lan(&frames);
        for _ in 0..30 {
            lab[1].workers[0].turn();
        }
    }
    assert_eq!(lab[1].wan.receive().len(), 4096);
    assert_eq!(lab[1].drops(), [("tx_full", 5000 - 4096)].into());
    lab.send(1, &packets(10));
    assert_eq!(lab.receive(2).len(), 10);
}

#[test]
fn a_queue_that_the_plan_needs_and_nobody_has_is_an_error() {
    let plan = plan(&Layout::RunToCompletion(1).topology()).unwrap();
    let eal = Eal::for_tests();
    let config = MempoolConfig { mbufs: 15, cache: 0, ..MempoolConfig::default() };
    let pool = Mempool::new(eal, "limits", config).unwrap();
    let parts = Parts {
        large_pool: pool.clone(),
        pool,
        burst: 32,
        ticks_per_second: eal.tsc_hz(),
        fragment_ident: 0,
    };
    let settings = Settings { ring: 64, punts: 64, poll: Poll::Busy };
    let tables = std::sync::Arc::default();
    let error = assemble(&plan, PortQueues::default(), &parts, settings, &tables).err().unwrap();
    assert_eq!(
        error.to_string(),
        "the plan needs rx queue 0 of port 0, which the port does not have"
    );
}
