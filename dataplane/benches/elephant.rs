//! One SA on one core and on two: `cargo bench -p greyhound-dataplane --bench elephant [OCTETS]`.
//!
//! The production stages, plan and loop, as the tests of the packet path put them together, with
//! AES-256-GCM, GRE and ESN. A round: packets lie in the ring of a port; what is timed is how they
//! come out of the other port, while there are more. Packets lie in the cache that cores share,
//! where a NIC puts them; or in that of the first core, from where the second gets them at a higher
//! price.
//!
//! The first core is turned by the bench, the second turns in a thread. Rounds of the layouts are
//! interleaved, since the clock of a shared machine swings, and medians are shown, in TSC cycles
//! per packet.

#![allow(missing_docs, unreachable_pub, reason = "a program")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a program that may end")]
#![allow(clippy::cast_possible_truncation, reason = "a program")]

#[allow(dead_code, unused_imports, reason = "shared with the tests")]
#[path = "../tests/packets/support/mod.rs"]
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use dataplane::counters::StageCounters;
use dataplane::engine::topology::StageKind;
use dataplane::engine::worker::Worker;
use dpdk::Mbuf;

use support::frame::udp_packet;
use support::gateway::{Gateway, LAN, WAN};
use support::{Lab, Layout, Link, Site};

/// Packets of a round: as many as a ring between two cores holds here, so that none is dropped.
const PACKETS: usize = 1024;
const ROUNDS: usize = 101;
/// Octets that no core's own caches hold.
const SCRATCH: usize = 16 << 20;
/// Tells the second core to end.
const END: usize = usize::MAX;

/// Gateway 1, which seals, and 2, which opens.
struct Pair {
    name: &'static str,
    lab: Lab,
    frame: Vec<u8>,
    /// Cycles per packet of each round.
    seal: Vec<f64>,
    open: Vec<f64>,
}

impl Pair {
    fn new(name: &'static str, layout: &Layout, octets: usize) -> Self {
        let link = Link::dmvpn();
        let lab = Lab::new(layout, vec![Site::new(1, &[2], &link), Site::new(2, &[1], &link)]);
        let frame = lab.site(1).host_frame(&udp_packet("10.1.0.10", "10.2.0.10", 1, octets));
        Pair { name, lab, frame, seal: Vec::new(), open: Vec::new() }
    }

    /// All workers but the first of each gateway, which are for the second core.
    fn seconds(&mut self) -> Vec<Worker> {
        [1, 2].into_iter().flat_map(|n| self.lab[n].workers.split_off(1)).collect()
    }

    /// Puts what the first core has in its own caches out of them, by walking over `scratch`.
    fn round(&mut self, scratch: &mut [u8]) {
        let gateway = &mut self.lab[1];
        let packets = (0..PACKETS).map(|_| gateway.mbuf(&self.frame)).collect();
        gateway.lan.send_mbufs(packets);
        evict(scratch);
        self.seal.push(until_all_left(gateway, WAN));
        let sealed = gateway.wan.receive_mbufs();
        self.lab[2].wan.send_mbufs(sealed);
        evict(scratch);
        self.open.push(until_all_left(&mut self.lab[2], LAN));
        Mbuf::free_bulk(&mut self.lab[2].lan.receive_mbufs());
    }

    /// Which part of the packets so far the second core sealed or opened as `cipher`.
    fn dealt(&self, gateway: u8) -> f64 {
        let cipher = counters(&self.lab[gateway], StageKind::Cipher, None);
        let dealt: u64 = cipher.iter().map(|c| c.packets.value()).sum();
        let all: u64 = counters(&self.lab[gateway], StageKind::Tx, None)
            .iter()
            .map(|c| c.packets.value())
            .sum();
        dealt as f64 / all as f64
    }
}

fn evict(scratch: &mut [u8]) {
    scratch.iter_mut().step_by(64).for_each(|octet| *octet = octet.wrapping_add(1));
}

fn counters(gateway: &Gateway, stage: StageKind, port: Option<u16>) -> Vec<Arc<StageCounters>> {
    let mut found = Vec::new();
    for (program, link) in gateway.plan.programs.iter().zip(&gateway.links) {
        for (node, counters) in program.nodes.iter().zip(&link.stages) {
            let of_port = port.is_none() || node.queue.map(|queue| queue.port.0) == port;
            if node.stage == stage && of_port {
                found.push(counters.clone());
            }
        }
    }
    found
}

/// Turns the first core until a round has left by `port`; cycles per packet while both cores have
/// packets, that is without the first and the last eighth.
fn until_all_left(gateway: &mut Gateway, port: u16) -> f64 {
    let tx = counters(gateway, StageKind::Tx, Some(port)).pop().unwrap();
    let before = tx.packets.value();
    let mut turn_until = |part: usize| {
        while tx.packets.value() < before + part as u64 {
            gateway.workers[0].turn();
        }
        (dpdk::tsc(), tx.packets.value())
    };
    let (start, first) = turn_until(PACKETS / 8);
    let (end, last) = turn_until(PACKETS * 7 / 8);
    turn_until(PACKETS);
    (end - start) as f64 / (last - first) as f64
}

fn median(runs: &mut [f64]) -> f64 {
    runs.sort_by(f64::total_cmp);
    runs[runs.len() / 2]
}

fn main() {
    let octets = std::env::args().filter_map(|argument| argument.parse().ok()).next();
    let octets = octets.unwrap_or(1400);
    // Before the first pinning: a pinned thread sees one core only.
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    let [first, second, ..] = cores[..] else { return println!("two cores are needed") };
    let mut pairs = [
        Pair::new("run-to-completion, 1 core", &Layout::RunToCompletion(1), octets),
        Pair::new("pipeline, ESP on the second", &Layout::Pipeline(2), octets),
        Pair::new("elephant, both seal", &Layout::Elephant(2), octets),
    ];
    let mut seconds: Vec<_> = pairs.iter_mut().map(Pair::seconds).collect();
    let active = Arc::new(AtomicUsize::new(0));
    let watched = active.clone();
    let other = thread::spawn(move || {
        core_affinity::set_for_current(second);
        while let Some(workers) = seconds.get_mut(watched.load(Ordering::Relaxed)) {
            workers.iter_mut().for_each(|worker| {
                worker.turn();
            });
        }
    });
    core_affinity::set_for_current(first);
    let mut scratch = vec![0; SCRATCH];
    for (place, scratch) in [("shared", &mut scratch[..]), ("first core's", &mut [])] {
        for _ in 0..ROUNDS {
            for (index, pair) in pairs.iter_mut().enumerate() {
                active.store(index, Ordering::Relaxed);
                pair.round(scratch);
            }
        }
        println!(
            "{octets} octets in the {place} cache; TSC cycles per packet, medians of {ROUNDS}"
        );
        show(&mut pairs);
    }
    active.store(END, Ordering::Relaxed);
    other.join().unwrap();
}

fn show(pairs: &mut [Pair]) {
    let head = |what| format!("{what:>8}{:>8}{:>8}", "ratio", "dealt");
    println!("{:<30}{}{}", "", head("seal"), head("open"));
    let mut base = None;
    for pair in pairs {
        let (seal, open) = (median(&mut pair.seal), median(&mut pair.open));
        let (seal_1, open_1) = *base.get_or_insert((seal, open));
        let (dealt_1, dealt_2) = (pair.dealt(1) * 100.0, pair.dealt(2) * 100.0);
        println!(
            "{:<30}{seal:>8.0}{:>8.2}{dealt_1:>7.0}%{open:>8.0}{:>8.2}{dealt_2:>7.0}%",
            pair.name,
            seal_1 / seal,
            open_1 / open
        );
        (pair.seal, pair.open) = (Vec::new(), Vec::new());
        pair.lab.assert_clean();
    }
}
