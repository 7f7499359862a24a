//! Stages, cores, drops.

use std::collections::BTreeMap;

use dataplane::drops::DropReason;
use dataplane::engine::message::Command;
use dataplane::engine::topology::StageKind;

use crate::api::report::{Core, Drop, Stage, Topology};

use super::super::control::Gateway;
use super::super::crypto;

/// Packets that the control thread itself dropped.
#[derive(Debug, Default)]
pub(in super::super) struct ControlDrops(BTreeMap<&'static str, (DropReason, u64)>);

impl ControlDrops {
    /// Counts one.
    pub(in super::super) fn count(&mut self, reason: DropReason) {
        self.0.entry(reason.name()).or_insert((reason, 0)).1 += 1;
    }

    pub(super) fn reset(&mut self) -> u64 {
        std::mem::take(&mut self.0).len() as u64
    }
}

impl Gateway {
    pub(in super::super) fn report_stages(&self) -> Vec<Stage> {
        let mut report = Vec::new();
        for (core, (running, program)) in self.links.iter().zip(&self.plan.programs).enumerate() {
            let stages = running.link.stages.iter().zip(&program.nodes);
            for (place, (counters, node)) in stages.enumerate() {
                let base = self.baseline.stages.get(&(core, place)).cloned().unwrap_or_default();
                report.push(Stage {
                    core: program.core.0,
                    stage: node.stage.to_string(),
                    instance: node.instance,
                    calls: counters.calls.value() - base.calls,
                    packets: counters.packets.value() - base.packets,
                    cycles: counters.cycles.value() - base.cycles,
                });
            }
        }
        report
    }

    pub(in super::super) fn report_drops(&self, all: bool) -> Vec<Drop> {
        let mut report = Vec::new();
        for (core, (running, program)) in self.links.iter().zip(&self.plan.programs).enumerate() {
            let stages = running.link.stages.iter().zip(&program.nodes).enumerate();
            let stages = stages.map(|(place, (c, node))| (Some(place), c, node.stage.to_string()));
            let rings = [(None, &running.link.rings, "rings".to_owned())];
            for (place, counters, stage) in stages.chain(rings) {
                for reason in DropReason::all() {
                    let base = self.baseline.drops.get(&(core, place, reason as usize));
                    let value = counters.drops[reason as usize].value();
                    let count = value - base.copied().unwrap_or(0);
                    if count > 0 {
                        report.push(drop(reason, Some(&stage), Some(program.core.0), count));
                    }
                }
            }
        }
        let own = self.drops.0.values();
        report.extend(own.map(|(reason, count)| drop(*reason, Some("control"), None, *count)));
        if all {
            let names: Vec<String> = report.iter().map(|drop| drop.reason.clone()).collect();
            let others = DropReason::all().filter(|r| !names.iter().any(|name| name == r.name()));
            report.extend(others.map(|reason| drop(reason, None, None, 0)));
        }
        report
    }

    pub(in super::super) fn report_topology(&self) -> Topology {
        let graph = serde_json::to_value(&self.plan).unwrap_or_default();
        let mut text = self.plan.to_string();
        if let Some(device) = crypto::name(&self.config) {
            let (all, with) = (self.sas.iter(), self.sas.iter().filter(|sa| sa.uses_device()));
            let (all, with) = (all.count(), with.count());
            text +=
                &format!("\nAEAD by {device}: {with} of {all} SAs; of the others by software\n");
        }
        Topology { text, graph }
    }

    pub(in super::super) fn report_cores(&self) -> Vec<Core> {
        let since = self.baseline.tsc.unwrap_or(self.started_tsc);
        let cycles = dpdk::tsc().saturating_sub(since);
        let core = |(index, running): (usize, &super::super::control::Running)| {
            let status = &running.link.status;
            let base = self.baseline.cores.get(&index).copied().unwrap_or_default();
            let nodes = self.plan.programs[index].nodes.iter().enumerate();
            let received = nodes.filter(|(_, node)| node.stage == StageKind::Rx);
            let packets = received.map(|(place, _)| {
                let base = self.baseline.stages.get(&(index, place));
                running.link.stages[place].packets.value() - base.map_or(0, |base| base.packets)
            });
            Core {
                core: running.link.core.0,
                polls: status.turns.value() - base.0,
                polls_busy: status.busy_turns.value() - base.1,
                cycles,
                cycles_busy: status.busy_cycles.value() - base.2,
                packets: packets.sum(),
            }
        };
        self.links.iter().enumerate().map(core).collect()
    }

    /// Forgets fragments that wait; says how many there were.
    pub(in super::super) fn clear_reassembly(&mut self) -> u64 {
        let mut waiting = 0;
        for (core, place) in self.plan.instances(StageKind::Reassemble) {
            waiting += self.links[core].link.stages[place].held.value();
            self.send(core, Command::ClearReassembly);
        }
        waiting
    }
}

fn drop(reason: DropReason, stage: Option<&str>, core: Option<u16>, count: u64) -> Drop {
    Drop {
        reason: reason.name().to_owned(),
        description: reason.description().to_owned(),
        stage: stage.map(str::to_owned),
        core,
        count,
    }
}
