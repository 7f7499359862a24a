//! Turns of a worker, and what its counters say of each. To free what was sent belongs to the turn,
//! and to the stage that sent it.
//!
//! A turn that took longer than its packets can account for was interrupted: the kernel, or the
//! hypervisor, gave the core to somebody else meanwhile. What such turns cost is set aside, and
//! taken to be what the packets of the others cost.

use dataplane::engine::assembly::Link;
use dataplane::engine::plan::Program;
use dataplane::engine::topology::StageKind;
use dataplane::engine::worker::Worker;

use crate::drain::Drain;

/// Counters of a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StageCost {
    pub(crate) kind: StageKind,
    pub(crate) calls: u64,
    pub(crate) packets: u64,
    pub(crate) cycles: u64,
}

/// What the turns of a worker cost, interruptions left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cost {
    /// TSC cycles of the turns in which there were packets.
    pub(crate) busy_cycles: u64,
    /// Those of the stages, in the order of the program.
    pub(crate) stages: Vec<StageCost>,
    /// Turns in which there were packets.
    pub(crate) turns: u64,
    /// Those of them that were interrupted.
    pub(crate) turns_aside: u64,
}

/// Takes a worker's turns, and reads its counters after each.
pub(crate) struct Turns<'a> {
    link: &'a Link,
    drains: &'a mut [Drain],
    /// TSC ticks that no turn takes by itself.
    limit: u64,
    read: Counts,
    kept: Counts,
    aside: Counts,
    turns: u64,
    turns_aside: u64,
}

/// Counters of a worker, or differences of them.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Counts {
    busy_cycles: u64,
    /// Calls, packets and cycles of each stage.
    stages: Vec<[u64; 3]>,
    /// Cycles in which what was sent was freed.
    freeing: u64,
}

impl<'a> Turns<'a> {
    /// Nothing counted yet. A turn of more than `limit` TSC ticks is set aside.
    pub(crate) fn new(link: &'a Link, drains: &'a mut [Drain], limit: u64) -> Self {
        let read = Counts::read(link);
        let none = Counts { busy_cycles: 0, stages: vec![[0; 3]; read.stages.len()], freeing: 0 };
        let (kept, aside) = (none.clone(), none);
        Self { link, drains, limit, read, kept, aside, turns: 0, turns_aside: 0 }
    }

    /// A turn; says whether there was anything to do.
    pub(crate) fn turn(&mut self, worker: &mut Worker) -> bool {
        let busy = worker.turn();
        if busy {
            let start = dpdk::tsc();
            self.drains.iter_mut().for_each(Drain::free);
            let freeing = dpdk::tsc().wrapping_sub(start);
            let turn = self.link.status.busy_cycles.value() - self.read.busy_cycles;
            let interrupted = turn + freeing > self.limit;
            self.turns += 1;
            self.turns_aside += u64::from(interrupted);
            let to = if interrupted { &mut self.aside } else { &mut self.kept };
            self.read.move_on(self.link, to);
            to.freeing += freeing;
        }
        busy
    }

    /// What all of them cost.
    pub(crate) fn cost(&self, program: &Program) -> Cost {
        let Self { kept, aside, turns, turns_aside, .. } = self;
        let counts = kept.stages.iter().zip(&aside.stages);
        let stages = program.nodes.iter().zip(counts).map(|(node, (kept, aside))| StageCost {
            kind: node.stage,
            calls: kept[0] + aside[0],
            packets: kept[1] + aside[1],
            cycles: in_proportion((kept[2], kept[1]), (aside[2], aside[1])),
        });
        let mut stages: Vec<_> = stages.collect();
        let sends = |stage: &&mut StageCost| stage.kind == StageKind::Tx && stage.packets > 0;
        if let Some(tx) = stages.iter_mut().find(sends) {
            let [good, all] = [*turns - *turns_aside, *turns];
            tx.cycles += in_proportion((kept.freeing, good), (aside.freeing, all - good));
        }
        let of_stages: u64 = stages.iter().map(|stage| stage.cycles).sum();
        Cost {
            busy_cycles: of_stages + in_proportion(kept.of_the_loop(), aside.of_the_loop()),
            stages,
            turns: *turns,
            turns_aside: *turns_aside,
        }
    }
}

impl Counts {
    fn read(link: &Link) -> Self {
        let stages =
            link.stages.iter().map(|s| [s.calls.value(), s.packets.value(), s.cycles.value()]);
        let busy_cycles = link.status.busy_cycles.value();
        Self { busy_cycles, stages: stages.collect(), freeing: 0 }
    }

    /// Cycles that no stage took, and what they are reckoned by: packets, once for each stage.
    fn of_the_loop(&self) -> (u64, u64) {
        let [packets, cycles] = [1, 2].map(|of| self.stages.iter().map(|stage| stage[of]).sum());
        (self.busy_cycles.saturating_sub(cycles), packets)
    }

    /// Reads again, and adds what is new to `to`.
    fn move_on(&mut self, link: &Link, to: &mut Self) {
        let add = |old: &mut u64, now: u64, to: &mut u64| {
            *to += now - *old;
            *old = now;
        };
        add(&mut self.busy_cycles, link.status.busy_cycles.value(), &mut to.busy_cycles);
        let stages = self.stages.iter_mut().zip(&mut to.stages);
        for (counters, (old, to)) in link.stages.iter().zip(stages) {
            add(&mut old[0], counters.calls.value(), &mut to[0]);
            add(&mut old[1], counters.packets.value(), &mut to[1]);
            add(&mut old[2], counters.cycles.value(), &mut to[2]);
        }
    }
}

/// Cycles for the packets of both, at what those of the first cost; as they were counted if there
/// is no first. Each is cycles and packets.
fn in_proportion(kept: (u64, u64), aside: (u64, u64)) -> u64 {
    if kept.1 == 0 {
        return kept.0 + aside.0;
    }
    let cycles = u128::from(kept.0) * u128::from(kept.1 + aside.1) / u128::from(kept.1);
    u64::try_from(cycles).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_of_interrupted_turns_cost_what_the_others_do() {
        assert_eq!(in_proportion((1000, 10), (0, 0)), 1000);
        assert_eq!(in_proportion((1000, 10), (1_000_000, 5)), 1500);
        assert_eq!(in_proportion((0, 0), (700, 7)), 700);
        assert_eq!(in_proportion((u64::MAX, 1 << 60), (1, 1 << 60)), u64::MAX);
    }
}
