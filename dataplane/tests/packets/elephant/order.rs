//! Order and content, over interleavings of turns and with real threads.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::*;
use crate::support::frame::{ESP, GRE, gre};
use crate::support::site::{oracle_sa, spi};
use crate::support::{Esp, gateway::Gateway};

/// Packets of a run of the interleaving.
const PACKETS: u32 = 4000;

/// What came so far of the numbered packets.
struct Run {
    lab: Lab,
    rng: Rng,
    sent: u32,
    arrived: u32,
    sequences: Vec<u64>,
    /// Helpers that do not turn for now, by gateway and worker.
    stalled: Option<(u8, usize)>,
}

impl Run {
    /// A step at random: packets in, a turn of a worker, frames carried on, a stall.
    fn step(&mut self) {
        match self.rng.below(12) {
            0 if self.sent < PACKETS => {
                // Never more than may wait for a helper that stalls.
                let room =
                    (WAITING_MAX as u32 - (self.sent - self.arrived)).min(PACKETS - self.sent);
                let count = (1 + self.rng.below(200) as u32).min(room);
                let packets = packets(&mut self.rng, self.sent, count);
                self.sent += count;
                let frames = host_frames(&self.lab, &packets);
                self.lab[1].send_lan(&frames);
            }
            1 | 2 => self.carry(),
            3 => {
                let gateway = 1 + self.rng.below(2) as u8;
                let workers = self.lab[gateway].workers.len();
                self.stalled = Some((gateway, 1 + self.rng.below(workers - 1)));
            }
            4 => self.stalled = None,
            _ => {
                let gateway = 1 + self.rng.below(2) as u8;
                let worker = self.rng.below(self.lab[gateway].workers.len());
                if self.stalled != Some((gateway, worker)) {
                    self.lab[gateway].workers[worker].turn();
                }
            }
        }
    }

    fn carry(&mut self) {
        let frames = self.lab[1].wan.receive();
        self.sequences.extend(sequences(&frames));
        self.lab[2].send_wan(&frames);
        for packet in self.lab.receive(2) {
            assert_eq!(number_of(&packet), self.arrived, "none is lost or overtaken");
            self.arrived += 1;
        }
    }
}

#[test]
fn one_sa_arrives_in_order_and_whole_whatever_the_turns() {
    for helpers in 1..=3 {
        for seed in 1..=6 {
            let (lab, rng) = (pair(helpers), Rng::new(seed * 4 + u64::from(helpers)));
            let sequences = Vec::new();
            let mut run = Run { lab, rng, sent: 0, arrived: 0, sequences, stalled: None };
            let in_use = [1, 2].map(|n| run.lab[n].in_use());
            while run.sent < PACKETS {
                run.step();
            }
            while run.arrived < PACKETS {
                for gateway in [1, 2] {
                    run.lab[gateway].settle();
                }
                run.carry();
            }
            assert_eq!(run.sequences, (1..=u64::from(PACKETS)).collect::<Vec<_>>());
            assert_eq!([1, 2].map(|n| run.lab[n].in_use()), in_use);
            run.lab.assert_clean();
            for gateway in [1, 2] {
                let helped = helped(&run.lab, gateway);
                assert_eq!(helped.len(), usize::from(helpers));
                assert!(helped.iter().all(|packets| *packets > 0), "{helped:?}");
                assert!(helped.iter().sum::<u64>() < PACKETS.into(), "the owner takes its share");
            }
        }
    }
}

#[test]
fn a_few_packets_do_not_take_the_way_to_a_helper() {
    let mut lab = alone(2);
    let frames = host_frames(&lab, &packets(&mut Rng::new(1), 0, 10));
    lab[1].send_lan(&frames);
    lab[1].workers[OWNER].turn();
    assert_eq!(sequences(&lab[1].wan.receive()), (1..=10).collect::<Vec<_>>());
    assert_eq!(helped(&lab, 1), [0, 0]);
}

#[test]
fn many_sas_at_once() {
    let peers: Vec<u8> = (2..12).collect();
    let mut lab = Lab::new(&Layout::Elephant(3), vec![Site::new(1, &peers, &Link::dmvpn())]);
    let mut rng = Rng::new(5);
    let mut seen: BTreeMap<u32, u64> = BTreeMap::new();
    let mut ivs = HashSet::new();
    let mut sent = 0;
    for _ in 0..30 {
        let packets: Vec<_> = (0..100)
            .map(|_| {
                sent += 1;
                numbered_to(*rng.pick(&peers), sent, 32 + rng.below(300))
            })
            .collect();
        let frames = host_frames(&lab, &packets);
        lab[1].send_lan(&frames);
        for _ in 0..rng.below(8) {
            let worker = rng.below(3);
            lab[1].workers[worker].turn();
        }
        check(&mut lab, &peers, &mut seen, &mut ivs);
    }
    lab[1].settle();
    check(&mut lab, &peers, &mut seen, &mut ivs);
    assert_eq!(seen.values().sum::<u64>(), u64::from(sent));
    assert!(helped(&lab, 1).iter().all(|packets| *packets > 0));
    lab.assert_clean();
}

/// Each frame opens under its own SA, whose numbers rise by one.
fn check(
    lab: &mut Lab,
    peers: &[u8],
    seen: &mut BTreeMap<u32, u64>,
    ivs: &mut HashSet<(u32, u64)>,
) {
    for frame in lab[1].wan.receive() {
        let spi_of = u32::from_be_bytes(frame[34..38].try_into().unwrap());
        let peer = *peers.iter().find(|peer| spi(1, **peer) == spi_of).unwrap();
        let opened = oracle_sa(1, peer, &Esp::TRANSPORT).open(0, &frame[34..]);
        let last = seen.entry(spi_of).or_insert(0);
        *last += 1;
        assert_eq!(opened.sequence, *last);
        assert!(ivs.insert((spi_of, opened.iv)), "one IV twice under a key");
        assert_eq!(opened.payload[8 + 16..8 + 20], [10, peer, 0, 10], "destination");
    }
}

/// What gateway 2 makes of frames: who arrives, the drops, and the SA's counts.
type Verdict = (Vec<u32>, BTreeMap<&'static str, u64>, [u64; 4]);

fn opened(layout: &Layout, esn: bool, bursts: &[Vec<Vec<u8>>], rng: &mut Rng) -> Verdict {
    let esp = Esp { esn, ..Esp::TRANSPORT };
    let site = Site::new(2, &[1], &Link { esp: Some(esp), ..Link::dmvpn() });
    let mut lab = Lab::new(layout, vec![site]);
    for burst in bursts {
        let frames: Vec<_> = burst.iter().map(|p| lab.site(2).underlay_frame(p)).collect();
        lab[2].send_wan(&frames);
        for _ in 0..rng.below(6) {
            let worker = rng.below(lab[2].workers.len());
            lab[2].workers[worker].turn();
        }
    }
    lab[2].settle();
    let arrived = lab.receive(2).iter().map(|packet| number_of(packet)).collect();
    let c = &lab.site(2).inbound[0].counters;
    let counts = [&c.traffic.packets, &c.replays, &c.forgeries, &c.sequence].map(|c| c.value());
    if matches!(layout, Layout::Elephant(_)) {
        assert!(helped(&lab, 2).iter().all(|packets| *packets > 0));
    }
    (arrived, lab[2].drops(), counts)
}

#[test]
fn replays_and_forgeries_are_refused_as_by_one_core() {
    for seed in 1..=8 {
        let rng = &mut Rng::new(seed);
        let esn = rng.chance(2);
        let sa = oracle_sa(1, 2, &Esp { esn, ..Esp::TRANSPORT });
        let sealed = |sequence: u64| {
            let inner = numbered(sequence as u32, 40 + sequence as usize % 400);
            let sealed = sa.seal(sequence, GRE, &gre(Some(42), None, 0x0800, &inner));
            Ip::new("192.0.2.1", "192.0.2.2", ESP).packet(&sealed)
        };
        let mut bursts = Vec::new();
        let mut next = 1;
        for _ in 0..12 {
            let mut burst = Vec::new();
            for _ in 0..100 {
                // In the past, so that it may be new, a replay of this batch or of one before.
                let back = if rng.chance(4) { rng.below(300) as u64 } else { 0 };
                let mut packet = sealed(next.max(back + 1) - back);
                // One core refuses a forged replay at the first check, before it sees the forgery.
                if back == 0 && rng.chance(20) {
                    *packet.last_mut().unwrap() ^= 1;
                }
                burst.push(packet);
                next += 1 + rng.below(2) as u64;
            }
            bursts.push(burst);
        }
        let reference = opened(&Layout::RunToCompletion(1), esn, &bursts, rng);
        for helpers in 1..=3 {
            let same = opened(&Layout::Elephant(1 + helpers), esn, &bursts, rng);
            assert_eq!(same, reference, "{helpers} helpers");
        }
        assert!(reference.1["replay_duplicate"] > 20 && reference.1["icv_mismatch"] > 20);
    }
}

/// Gateways 1 and 2 on threads of their own, the test between them.
fn on_threads(helpers: u16, packets: u32) {
    let mut lab = pair(helpers);
    let frames: Vec<_> = (0..256).map(|n| numbered(n, 32 + 5 * n as usize)).collect();
    let frames = host_frames(&lab, &frames);
    let threads = [1, 2].map(|n| {
        let workers = lab[n].workers.drain(..);
        workers.map(|worker| std::thread::spawn(move || worker.run())).collect::<Vec<_>>()
    });
    let (mut sent, mut arrived, mut on_wire) = (0, 0u32, 0);
    let mut last = Instant::now();
    while arrived < packets {
        if sent < packets && sent - arrived < WAITING_MAX as u32 - 64 {
            let burst = (sent..(sent + 64).min(packets)).map(|n| {
                let mut mbuf = lab[1].mbuf(&frames[n as usize % 256]);
                // Its number is at once that of the octets, in the low one.
                mbuf.data_mut().unwrap()[42..46].copy_from_slice(&n.to_be_bytes());
                mbuf
            });
            let burst: Vec<_> = burst.collect();
            sent += burst.len() as u32;
            lab[1].lan.send_mbufs(burst);
        }
        let between = lab[1].wan.receive_mbufs();
        for mbuf in &between {
            on_wire += 1;
            assert_eq!(mbuf.data()[42..50], u64::to_be_bytes(on_wire), "numbers rise by one");
        }
        lab[2].wan.send_mbufs(between);
        for mbuf in lab[2].lan.receive_mbufs() {
            assert_eq!(number_of(&mbuf.data()[14..]), arrived);
            (arrived, last) = (arrived + 1, Instant::now());
        }
        assert!(last.elapsed() < Duration::from_secs(20), "stands still at {arrived}");
    }
    stop(&lab[1]);
    stop(&lab[2]);
    threads.into_iter().flatten().for_each(|thread| thread.join().unwrap());
    lab.assert_clean();
    for gateway in [1, 2] {
        assert!(helped(&lab, gateway).iter().sum::<u64>() > 0);
        assert_eq!(lab[gateway].in_use(), 0);
    }
}

fn stop(gateway: &Gateway) {
    gateway.links.iter().for_each(|link| link.status.stop.store(true, Ordering::Relaxed));
}

#[test]
fn real_threads_keep_the_order() {
    for helpers in 1..=3 {
        on_threads(helpers, 30_000);
    }
}

#[test]
#[cfg_attr(debug_assertions, ignore = "for optimised builds")]
fn a_million_packets_on_threads_and_none_is_lost_or_overtaken() {
    on_threads(1, 1 << 20);
}
