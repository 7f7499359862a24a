//! Where stages run changes nothing of what they do: the same packets come out, each flow and SA in
//! order, and the same are dropped, on one core, on several, in any interleaving.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use dataplane::engine::plan::plan;
use dataplane::engine::topology::{CoreId, Placement, StageKind};

use crate::support::frame::{self, ESP, GRE, Ip, UDP, gre, udp};
use crate::support::rng::Rng;
use crate::support::site::{host_mac, oracle_sa, prefix, spi};
use crate::support::{Esp, Lab, Layout, Link, Site};

/// The hub: peers 2 and 3, who also talk to each other and to groups.
fn hub() -> Site {
    Site::new(1, &[2, 3], &Link::dmvpn())
}

/// A packet whose IP identification names its flow.
fn packet(src: &str, dst: &str, flow: u16, number: u16, len: usize) -> Vec<u8> {
    let mut ip = Ip::new(src, dst, UDP);
    ip.id = flow;
    ip.packet(&udp(
        10_000 + flow,
        53,
        &[&number.to_be_bytes()[..], &vec![flow as u8; len - 30]].concat(),
    ))
}

/// Frames of hosts: small, to be cut, for groups, without route, out of TTL.
fn from_hosts(site: &Site) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    for number in 0..12 {
        for flow in 0..16 {
            let peer = if flow % 2 == 0 { "10.2.0.10" } else { "10.3.0.10" };
            let len = if flow < 4 { 1480 } else { 60 + 10 * usize::from(flow) };
            frames.push(site.host_frame(&packet("10.1.0.10", peer, flow, number, len)));
        }
        let group = packet("10.1.0.10", "239.1.1.1", 20, number, 100);
        frames.push(frame::frame([1, 0, 0x5e, 1, 1, 1], host_mac(1, 10), None, &group));
        frames.push(site.host_frame(&packet("10.1.0.10", "203.0.113.1", 21, number, 100)));
        frames.push(site.host_frame(&packet("127.0.0.1", "10.2.0.10", 22, number, 100)));
    }
    frames
}

/// Frames of the peers: for hosts and other peers, replayed, forged, in clear, in fragments.
fn from_peers(site: &Site) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    let mut sequences = [1u64; 4];
    for number in 0..12 {
        for flow in 100..112 {
            let peer = if flow % 2 == 0 { 2u8 } else { 3 };
            let source = format!("10.{peer}.0.10");
            let other = format!("10.{}.0.10", 5 - peer);
            let destination = match flow % 3 {
                0 => "10.1.0.10",
                1 => other.as_str(),
                _ => "10.1.0.11",
            };
            let inner = packet(&source, destination, flow, number, 100 + usize::from(flow));
            let sequence = &mut sequences[usize::from(peer)];
            let sealed = oracle_sa(peer, 1, &Esp::TRANSPORT).seal(
                *sequence,
                GRE,
                &gre(Some(42), None, 0x0800, &inner),
            );
            *sequence += 1;
            let mut ip = Ip::new(&format!("192.0.2.{peer}"), "192.0.2.1", ESP);
            if flow >= 108 {
                // Its own flow, so that what waits for its other half is overtaken by nobody.
                (ip.id, ip.more) = (flow * 16 + number, true);
                frames.push(site.underlay_frame(&ip.packet(&sealed[..64])));
                (ip.more, ip.offset) = (false, 64);
                frames.push(site.underlay_frame(&ip.packet(&sealed[64..])));
                continue;
            }
            let whole = site.underlay_frame(&ip.packet(&sealed));
            frames.push(whole.clone());
            if flow == 100 {
                frames.push(whole.clone());
                let mut forged = whole;
                forged[80] ^= 1;
                // The number of the next packet, so that only the ICV speaks against it.
                forged[38..42].copy_from_slice(&(*sequence as u32).to_be_bytes());
                frames.push(forged);
            }
        }
        let clear = gre(Some(42), None, 0x0800, &packet("10.2.0.10", "10.1.0.10", 120, number, 90));
        frames.push(site.underlay_frame(&Ip::new("192.0.2.2", "192.0.2.1", GRE).packet(&clear)));
    }
    frames
}

/// All that can be seen of a run from outside.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    /// Packets to hosts, by flow, in order.
    lan: BTreeMap<u16, Vec<Vec<u8>>>,
    /// Packets to peers as they are inside, by SPI and flow, in order.
    wan: BTreeMap<(u32, u16), Vec<Vec<u8>>>,
    drops: BTreeMap<&'static str, u64>,
    punts: BTreeMap<String, usize>,
}

fn flow_of(ip: &[u8]) -> u16 {
    u16::from_be_bytes([ip[4], ip[5]])
}

fn outcome(lab: &mut Lab) -> Outcome {
    let mut outcome = Outcome {
        lan: BTreeMap::new(),
        wan: BTreeMap::new(),
        drops: lab[1].drops(),
        punts: BTreeMap::new(),
    };
    for packet in lab.receive(1) {
        outcome.lan.entry(flow_of(&packet)).or_default().push(packet);
    }
    let sas = [2, 3].map(|peer| oracle_sa(1, peer, &Esp::TRANSPORT));
    let mut last = BTreeMap::new();
    for frame in lab[1].wan.receive() {
        let esp = &frame[34..];
        let sa = sas.iter().find(|sa| esp[..4] == sa.spi.to_be_bytes()).unwrap();
        let opened = sa.open(0, esp);
        let expected = last.entry(sa.spi).or_insert(0);
        *expected += 1;
        assert_eq!(
            opened.sequence, *expected,
            "an SA's packets leave in order, and none is missing"
        );
        let inner = opened.payload[8..].to_vec();
        outcome.wan.entry((sa.spi, flow_of(&inner))).or_default().push(inner);
    }
    for punt in lab[1].take_punts() {
        *outcome.punts.entry(format!("{punt:?}")).or_default() += 1;
    }
    outcome
}

fn fed(layout: &Layout) -> Lab {
    let mut site = hub();
    // Both spokes' LANs are neighbours' as seen by the group's reverse path check.
    site.overlay_v4.push((prefix("10.1.0.10", 32), dataplane::tables::Next(site.neighbors[0].1)));
    let mut lab = Lab::new(layout, vec![site.clone()]);
    let (hosts, peers) = (from_hosts(&site), from_peers(&site));
    lab[1].send_lan(&hosts);
    lab[1].send_wan(&peers);
    lab
}

fn reference() -> Outcome {
    let mut lab = fed(&Layout::RunToCompletion(1));
    lab.settle_alone(1);
    outcome(&mut lab)
}

fn assert_same(outcome: &Outcome, reference: &Outcome, layout: &Layout) {
    assert_eq!(outcome.drops, reference.drops, "{layout:?}");
    assert_eq!(outcome.punts, reference.punts, "{layout:?}");
    assert_eq!(
        outcome.lan.keys().collect::<Vec<_>>(),
        reference.lan.keys().collect::<Vec<_>>(),
        "{layout:?}"
    );
    let same = |a: &Vec<Vec<u8>>, b: &Vec<Vec<u8>>| {
        let number = |p: &Vec<u8>| p[28..30].to_vec();
        let numbers = |v: &Vec<Vec<u8>>| v.iter().map(number).collect::<Vec<_>>();
        assert_eq!(numbers(a), numbers(b), "{layout:?}");
        assert!(a == b, "octets: {layout:?}");
    };
    for (flow, packets) in &outcome.lan {
        same(packets, &reference.lan[flow]);
    }
    assert_eq!(
        outcome.wan.keys().collect::<Vec<_>>(),
        reference.wan.keys().collect::<Vec<_>>(),
        "{layout:?}"
    );
    for (flow, packets) in &outcome.wan {
        same(packets, &reference.wan[flow]);
    }
}

#[test]
fn the_reference_run_is_what_it_should_be() {
    let outcome = reference();
    let drops = [
        ("martian_source", 12),
        ("replay_duplicate", 12),
        ("icv_mismatch", 12),
        ("cleartext_from_protected", 12),
    ];
    assert_eq!(outcome.drops, drops.into());
    assert_eq!(outcome.punts, [("NoRoute".to_owned(), 12)].into());
    assert_eq!(outcome.lan.len(), 8);
    assert!(outcome.lan.values().all(|flow| flow.len() == 12));
    // Flows 0 to 3 are cut in two; the group has a copy for each peer.
    assert_eq!(outcome.wan.len(), 16 + 2 + 4);
    let to_2: usize = outcome
        .wan
        .iter()
        .filter(|((to, _), _)| *to == spi(1, 2))
        .map(|(_, flow)| flow.len())
        .sum();
    assert_eq!(to_2, 12 * (8 + 2 + 1 + 2));
}

#[test]
fn presets_on_1_to_4_cores_do_the_same_as_one_core() {
    let reference = reference();
    for cores in 1..=4 {
        let layouts =
            [Layout::RunToCompletion(cores), Layout::Pipeline(cores), Layout::Elephant(cores)];
        for layout in layouts {
            let mut lab = fed(&layout);
            lab.settle_alone(1);
            assert_same(&outcome(&mut lab), &reference, &layout);
        }
    }
}

/// A placement drawn from the seed; none if the plan refuses it.
fn drawn(rng: &mut Rng) -> Option<Layout> {
    use StageKind::*;
    let cores = 1 + rng.below(4) as u16;
    let mut stages = Vec::new();
    for stage in [
        Classify,
        Reassemble,
        EspOpen,
        GreDecap,
        Lookup,
        Replicate,
        Fragment,
        GreEncap,
        EspSeal,
        FragmentOuter,
        Punt,
        Cipher,
    ] {
        if stage == Cipher && rng.chance(2) {
            continue;
        }
        let mut on: Vec<_> = (0..cores).map(CoreId).filter(|_| rng.chance(2)).collect();
        if on.is_empty() || rng.chance(3) {
            on = vec![CoreId(rng.below(usize::from(cores)) as u16)];
        }
        stages.push(Placement { stage, cores: on });
    }
    let mut queues =
        || (rng.below(usize::from(cores)) as u16, rng.below(usize::from(cores)) as u16);
    let layout = Layout::Explicit(cores, stages, [queues(), queues()]);
    plan(&layout.topology()).is_ok().then_some(layout)
}

#[test]
fn placements_and_interleavings_at_random_do_the_same() {
    let reference = reference();
    let mut done = 0;
    for seed in 1.. {
        let rng = &mut Rng::new(seed);
        let Some(layout) = drawn(rng) else { continue };
        let mut lab = fed(&layout);
        let workers = lab[1].workers.len();
        for _ in 0..rng.below(100) {
            let worker = rng.below(workers);
            lab[1].workers[worker].turn();
        }
        lab.settle_alone(1);
        assert_same(&outcome(&mut lab), &reference, &layout);
        done += 1;
        if done == 40 {
            break;
        }
    }
}

#[test]
fn real_threads_do_the_same() {
    let reference = reference();
    let layouts = [
        Layout::RunToCompletion(2),
        Layout::Pipeline(2),
        Layout::Pipeline(4),
        Layout::Elephant(2),
        Layout::Elephant(4),
    ];
    for layout in layouts {
        let mut lab = fed(&layout);
        let threads: Vec<_> = lab[1]
            .workers
            .drain(..)
            .map(|worker| std::thread::spawn(move || worker.run()))
            .collect();
        wait_until_quiet(&mut lab);
        for link in &lab[1].links {
            link.status.stop.store(true, Ordering::Relaxed);
        }
        for thread in threads {
            thread.join().unwrap();
        }
        lab[1].collect();
        assert_same(&outcome(&mut lab), &reference, &layout);
    }
}

/// Until no worker has had anything to do for a while.
fn wait_until_quiet(lab: &mut Lab) {
    let busy = |lab: &Lab| lab[1].links.iter().map(|l| l.status.busy_turns.value()).sum::<u64>();
    let (mut last, mut since) = (busy(lab), Instant::now());
    while since.elapsed() < Duration::from_millis(150) {
        std::thread::sleep(Duration::from_millis(5));
        let now = busy(lab);
        if now != last || now == 0 {
            (last, since) = (now, Instant::now());
        }
    }
}
