//! Where counters began: cores own their counters, so `clear` notes what they were and subtracts.

use std::collections::HashMap;

use dataplane::counters::{StageCounters, total};
use dataplane::drops::DropReason;
use dpdk::PortStats;
use nhrp::Path;

use crate::api::report::Traffic;
use crate::policy::Memory;

use super::super::control::Gateway;

/// Counters of a stage as they were.
#[derive(Debug, Clone, Default)]
pub(in super::super) struct StageBase {
    pub(super) calls: u64,
    pub(super) packets: u64,
    pub(super) cycles: u64,
}

/// What counters were at the last `clear`.
#[derive(Debug, Default)]
pub(in super::super) struct Baseline {
    /// By core and place in the core's program.
    pub(super) stages: HashMap<(usize, usize), StageBase>,
    /// By core, place (or none: between the cores) and reason.
    pub(super) drops: HashMap<(usize, Option<usize>, usize), u64>,
    /// By tunnel name and NBMA address: sent, received.
    pub(super) peers: HashMap<(String, Path), (Traffic, Traffic)>,
    /// By DPDK port.
    pub(super) ports: HashMap<u16, PortStats>,
    /// By core: turns, busy turns, busy cycles.
    pub(super) cores: HashMap<usize, (u64, u64, u64)>,
    /// TSC at the last `clear`.
    pub(super) tsc: Option<u64>,
}

/// A sharded counter as a report has it.
pub(super) fn traffic((packets, octets): (u64, u64)) -> Traffic {
    Traffic { packets, octets }
}

impl Baseline {
    /// Forgets peers that have no counters any more: when they return, they count from zero.
    pub(in super::super) fn follow(&mut self, memory: &Memory) {
        self.peers.retain(|(tunnel, peer), _| memory.counters(tunnel, *peer).is_some());
    }
}

impl Gateway {
    /// Makes all counters start at zero, but those of SAs; says how many there were.
    pub(in super::super) fn reset_counters(&mut self) -> u64 {
        let mut count = self.reset_drops();
        for (core, running) in self.links.iter().enumerate() {
            for (place, stage) in running.link.stages.iter().enumerate() {
                self.baseline.stages.insert((core, place), stage_base(stage));
                count += 3;
            }
            let status = &running.link.status;
            let turns =
                (status.turns.value(), status.busy_turns.value(), status.busy_cycles.value());
            self.baseline.cores.insert(core, turns);
            count += 3;
        }
        for (tunnel, peer, counters) in self.memory.all_counters() {
            let now = (traffic(counters.sent()), traffic(total(&counters.received)));
            self.baseline.peers.insert((tunnel.to_owned(), peer), now);
            count += 4;
        }
        for attached in &self.ports {
            if let Ok(stats) = attached.port.stats() {
                self.baseline.ports.insert(attached.port.id(), stats);
                count += 8;
            }
        }
        self.baseline.tsc = Some(dpdk::tsc());
        count
    }

    /// Makes the counters of drops start at zero.
    pub(in super::super) fn reset_drops(&mut self) -> u64 {
        let mut count = 0;
        for (core, running) in self.links.iter().enumerate() {
            let stages = running.link.stages.iter().enumerate();
            let stages = stages.map(|(place, counters)| (Some(place), counters));
            for (place, counters) in stages.chain([(None, &running.link.rings)]) {
                for reason in DropReason::all() {
                    let value = counters.drops[reason as usize].value();
                    self.baseline.drops.insert((core, place, reason as usize), value);
                    count += u64::from(value > 0);
                }
            }
        }
        count + self.drops.reset()
    }
}

fn stage_base(stage: &StageCounters) -> StageBase {
    StageBase {
        calls: stage.calls.value(),
        packets: stage.packets.value(),
        cycles: stage.cycles.value(),
    }
}
