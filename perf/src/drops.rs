//! What was dropped, and what was punted: in a bench, nobody is there to take it.

use std::collections::BTreeMap;
use std::sync::Arc;

use dataplane::counters::StageCounters;
use dataplane::drops::DropReason;
use dataplane::engine::topology::StageKind;

use crate::case::Case;
use crate::error::Error;
use crate::gateway::Setup;
use crate::source::Source;

/// Counts by stage and reason, since the gateway was made; nothing that is zero.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Drops(pub(crate) BTreeMap<(&'static str, &'static str), u64>);

/// The counters that drops are counted by, each with the stage's name. They may be read while
/// workers run.
#[derive(Clone, Default)]
pub(crate) struct DropCounters(Vec<(&'static str, Arc<StageCounters>)>);

impl DropCounters {
    /// Those of all workers, and of far gateways.
    pub(crate) fn of(setup: &Setup) -> Self {
        let mut all = Self::default();
        let members = setup.gateway.members.iter().zip(&setup.gateway.plan.programs);
        for ((_, link), program) in members {
            let stages = program.nodes.iter().zip(&link.stages);
            all.0.extend(stages.map(|(node, counters)| (node.stage.into(), counters.clone())));
            all.0.push(("rings", link.rings.clone()));
        }
        setup.sources.iter().flatten().for_each(|source| all.add_far(source));
        all
    }

    /// Adds those of a source's far gateway.
    pub(crate) fn add_far(&mut self, source: &Source) {
        self.0.extend(source.counters().iter().map(|counters| ("far gateway", counters.clone())));
    }

    /// What they say now; exact while no thread runs.
    pub(crate) fn read(&self) -> Drops {
        let mut drops = Drops::default();
        for (stage, counters) in &self.0 {
            for reason in DropReason::all() {
                drops.add(stage, reason.name(), counters.drops[reason as usize].value());
            }
            if *stage == <&str>::from(StageKind::Punt) {
                drops.add(stage, "punted", counters.packets.value());
            }
        }
        drops
    }
}

impl Drops {
    /// Those of a set-up that does not run.
    pub(crate) fn of(setup: &Setup) -> Self {
        DropCounters::of(setup).read()
    }

    /// An error if there are any.
    pub(crate) fn refuse(self, case: &Case) -> Result<(), Error> {
        match self.0.is_empty() {
            true => Ok(()),
            false => Err(Error::Drops { case: case.title(), drops: self.0 }),
        }
    }

    fn add(&mut self, stage: &'static str, reason: &'static str, count: u64) {
        if count > 0 {
            *self.0.entry((stage, reason)).or_default() += count;
        }
    }
}
