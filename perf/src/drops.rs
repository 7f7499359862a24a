//! What was dropped, and what was punted: in a bench, nobody is there to take it.

use std::collections::BTreeMap;
use std::fmt::Write;

use dataplane::counters::StageCounters;
use dataplane::drops::DropReason;
use dataplane::engine::topology::StageKind;

use crate::args::Case;
use crate::error::Error;
use crate::gateway::Setup;
use crate::source::Source;

/// Counts by stage and reason, since the gateway was made; nothing that is zero.
pub(crate) struct Drops(BTreeMap<(&'static str, &'static str), u64>);

impl Drops {
    /// Those of all workers, and of far gateways. Exact while no thread runs.
    pub(crate) fn of(setup: &Setup) -> Self {
        let mut drops = Self(BTreeMap::new());
        let members = setup.gateway.members.iter().zip(&setup.gateway.plan.programs);
        for ((_, link), program) in members {
            for (node, counters) in program.nodes.iter().zip(&link.stages) {
                drops.add_all(node.stage.into(), counters);
                if node.stage == StageKind::Punt {
                    drops.add(node.stage.into(), "punted", counters.packets.value());
                }
            }
            drops.add_all("rings", &link.rings);
        }
        for counters in setup.sources.iter().flatten().flat_map(Source::counters) {
            drops.add_all("far gateway", counters);
        }
        drops
    }

    /// An error if there are any.
    pub(crate) fn refuse(&self, case: &Case) -> Result<(), Error> {
        if self.0.is_empty() {
            return Ok(());
        }
        let mut drops = String::new();
        for ((stage, reason), count) in &self.0 {
            let comma = if drops.is_empty() { "" } else { ", " };
            let _ = write!(drops, "{comma}{stage} {reason} {count}");
        }
        Err(Error::Drops { mode: case.mode, size: case.size, drops })
    }

    fn add_all(&mut self, stage: &'static str, counters: &StageCounters) {
        for reason in DropReason::all() {
            self.add(stage, reason.name(), counters.drops[reason as usize].value());
        }
    }

    fn add(&mut self, stage: &'static str, reason: &'static str, count: u64) {
        if count > 0 {
            *self.0.entry((stage, reason)).or_default() += count;
        }
    }
}
