//! The counters of a set-up, all cores together.

use std::collections::BTreeMap;
use std::fmt::Write;

use dataplane::counters::StageCounters;
use dataplane::drops::DropReason;
use dataplane::engine::topology::StageKind;

use crate::args::Case;
use crate::error::Error;
use crate::gateway::Setup;
use crate::source::Source;

/// Counters since the gateway was made.
pub(crate) struct Totals {
    /// By worker: TSC cycles of the turns in which there were packets.
    pub(crate) busy_cycles: Vec<u64>,
    /// In the order in which packets meet them.
    pub(crate) stages: Vec<StageTotals>,
    /// By stage and reason; nothing that is zero.
    drops: BTreeMap<(&'static str, &'static str), u64>,
}

/// Counters of a stage, all its instances together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StageTotals {
    pub(crate) kind: StageKind,
    pub(crate) calls: u64,
    pub(crate) packets: u64,
    pub(crate) cycles: u64,
}

impl Totals {
    /// Those of all workers, and the drops of far gateways. Exact while no thread runs.
    pub(crate) fn of(setup: &Setup) -> Self {
        let mut totals =
            Self { busy_cycles: Vec::new(), stages: Vec::new(), drops: BTreeMap::new() };
        let members = setup.gateway.members.iter().zip(&setup.gateway.plan.programs);
        for ((_, link), program) in members {
            totals.busy_cycles.push(link.status.busy_cycles.value());
            for (node, counters) in program.nodes.iter().zip(&link.stages) {
                totals.add_stage(node.stage, counters);
                totals.add_drops(node.stage.into(), counters);
            }
            totals.add_drops("rings", &link.rings);
        }
        for counters in setup.sources.iter().flatten().flat_map(Source::counters) {
            totals.add_drops("far gateway", counters);
        }
        totals.stages.sort_by_key(|stage| stage.kind);
        totals
    }

    /// An error if anything was dropped.
    pub(crate) fn refuse_drops(&self, case: &Case) -> Result<(), Error> {
        if self.drops.is_empty() {
            return Ok(());
        }
        Err(Error::Drops { mode: case.mode, size: case.size, drops: self.describe_drops() })
    }

    fn add_stage(&mut self, kind: StageKind, counters: &StageCounters) {
        let packets = counters.packets.value();
        let more = (counters.calls.value(), packets, counters.cycles.value());
        match self.stages.iter_mut().find(|stage| stage.kind == kind) {
            Some(stage) => {
                stage.calls += more.0;
                stage.packets += more.1;
                stage.cycles += more.2;
            }
            None => {
                let (calls, packets, cycles) = more;
                self.stages.push(StageTotals { kind, calls, packets, cycles });
            }
        }
        // Nobody is there to take what is punted.
        if kind == StageKind::Punt {
            self.add_drop(kind.into(), "punted", packets);
        }
    }

    fn add_drops(&mut self, stage: &'static str, counters: &StageCounters) {
        for reason in DropReason::all() {
            self.add_drop(stage, reason.name(), counters.drops[reason as usize].value());
        }
    }

    fn add_drop(&mut self, stage: &'static str, reason: &'static str, count: u64) {
        if count > 0 {
            *self.drops.entry((stage, reason)).or_default() += count;
        }
    }

    /// What came after `before`.
    pub(crate) fn since(mut self, before: &Self) -> Self {
        for (now, before) in self.busy_cycles.iter_mut().zip(&before.busy_cycles) {
            *now -= before;
        }
        for (now, before) in self.stages.iter_mut().zip(&before.stages) {
            now.calls -= before.calls;
            now.packets -= before.packets;
            now.cycles -= before.cycles;
        }
        self.drops.retain(|place, count| {
            *count -= before.drops.get(place).copied().unwrap_or_default();
            *count > 0
        });
        self
    }

    fn describe_drops(&self) -> String {
        let mut text = String::new();
        for ((stage, reason), count) in &self.drops {
            let comma = if text.is_empty() { "" } else { ", " };
            let _ = write!(text, "{comma}{stage} {reason} {count}");
        }
        text
    }
}
