//! Changes, taken to the cores in the order that loses nothing:
//!
//! ```text
//! install SAs > all owners have them > publish tables > all cores have them > retire SAs
//!                                                                           > release packets
//! ```
//!
//! While one change is on its way, further ones gather and make one publication together, so that
//! thousands of changes at once do not copy the tables thousands of times.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use dataplane::engine::message::Command;
use dataplane::engine::stage::SaCommand;
use dataplane::engine::topology::StageKind;

use crate::policy::{self, Known};
use crate::sas::Changes;

use super::control::Gateway;

/// How far a change has come.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nothing on its way.
    #[default]
    Idle,
    /// Waiting for the owners of new SAs.
    Installing,
    /// Waiting for all cores to use the new tables.
    Publishing,
}

/// The change on its way, and what has gathered meanwhile.
#[derive(Debug, Default)]
pub(super) struct Transaction {
    phase: Phase,
    dirty: bool,
    install: Vec<SaCommand>,
    retire: Vec<SaCommand>,
    /// Of the change that is being published.
    retiring: Vec<SaCommand>,
    /// Slots that are on their way to their core.
    installing: Vec<u32>,
}

impl Transaction {
    /// Whether an SA is not yet with its core.
    pub(super) fn is_installing(&self, slot: u32) -> bool {
        self.installing.contains(&slot)
            || self.install.iter().any(|command| slot_of(command) == slot)
    }
}

fn slot_of(command: &SaCommand) -> u32 {
    match command {
        SaCommand::InstallInbound(sa) => sa.slot,
        SaCommand::InstallOutbound(sa) => sa.slot,
        SaCommand::RetireInbound(slot) | SaCommand::RetireOutbound(slot) => *slot,
    }
}

impl Gateway {
    /// Notes that tables have to be made anew.
    pub(super) fn changed(&mut self) {
        self.transaction.dirty = true;
    }

    /// Notes changes of SAs.
    pub(super) fn sas_changed(&mut self, changes: Changes) {
        if !changes.is_empty() {
            self.transaction.install.extend(changes.install);
            self.transaction.retire.extend(changes.retire);
            self.changed();
        }
    }

    /// Takes the change on its way a step further, if the cores have followed.
    pub(super) fn advance(&mut self) {
        if !self.all_applied() {
            return;
        }
        if self.transaction.phase == Phase::Publishing {
            for command in std::mem::take(&mut self.transaction.retiring) {
                self.send_to_owner(command);
            }
            self.transaction.phase = Phase::Idle;
            self.report_ways(Instant::now());
        }
        if self.transaction.phase == Phase::Installing {
            self.transaction.installing.clear();
            self.publish();
        }
        if self.transaction.phase == Phase::Idle {
            if self.transaction.dirty {
                self.transaction.dirty = false;
                self.install();
            } else {
                self.release_packets();
            }
        }
    }

    fn install(&mut self) {
        self.transaction.retiring = std::mem::take(&mut self.transaction.retire);
        let install = std::mem::take(&mut self.transaction.install);
        self.transaction.phase = Phase::Installing;
        self.transaction.installing = install.iter().map(slot_of).collect();
        for command in install {
            self.send_to_owner(command);
        }
        // Before the cores run, the order of their rings is enough.
        if self.threads.is_empty() || self.all_applied() {
            self.transaction.installing.clear();
            self.publish();
        }
    }

    fn publish(&mut self) {
        let path_mtus = self.path_mtu.entries().map(|(peer, mtu, _)| (peer, mtu)).collect();
        let known = Known {
            ports: &self.facts,
            neighbors: &self.macs,
            sas: &self.sas,
            path_mtus: &path_mtus,
            down: &self.down,
            learned: &self.learned,
        };
        let compiled = policy::compile(&self.config, &known, &mut self.memory, self.links.len());
        self.baseline.follow(&self.memory);
        self.unresolved = compiled.unresolved;
        self.tables = Arc::new(compiled.tables);
        for core in 0..self.links.len() {
            self.send(core, Command::Publish(self.tables.clone()));
        }
        self.transaction.phase = Phase::Publishing;
        self.keep_resolved(compiled.needed);
    }

    /// Whether every command sent so far has taken effect.
    pub(super) fn all_applied(&self) -> bool {
        self.links.iter().all(|running| {
            running.backlog.is_empty()
                && running.link.status.applied.load(Ordering::Acquire) == running.sent
        })
    }

    fn send_to_owner(&mut self, command: SaCommand) {
        let stage = match command {
            SaCommand::InstallInbound(_) | SaCommand::RetireInbound(_) => StageKind::EspOpen,
            SaCommand::InstallOutbound(_) | SaCommand::RetireOutbound(_) => StageKind::GreEncap,
        };
        // The lane of an SA is its slot.
        if let Some((core, _)) = self.plan.owner(stage, slot_of(&command)) {
            self.send(core, Command::Sa(command));
        }
    }

    /// Sends a command to a core; it waits here if the ring is full.
    pub(super) fn send(&mut self, core: usize, command: Command) {
        let running = &mut self.links[core];
        running.backlog.push_back(command);
        running.flush();
    }
}
