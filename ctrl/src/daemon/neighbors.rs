//! What the neighbour table asks for, done.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Instant;

use dataplane::drops::DropReason;
use dataplane::packet::{Flags, Packet, PuntReason};

use crate::icmp::ErrorKind;
use crate::neighbor::{Action, Unqueued};

use super::control::Gateway;

impl Gateway {
    pub(super) fn neighbor_actions(&mut self, actions: Vec<Action<Packet>>, now: Instant) {
        for action in actions {
            match action {
                Action::Send { interface, frame } => self.send_frame(interface, &frame),
                Action::Resolved { interface, address, mac, packets } => {
                    if self.macs.insert((interface, address), mac) != Some(mac) {
                        self.changed();
                    }
                    self.released.extend(packets);
                }
                Action::Changed { interface, address, mac } => {
                    self.macs.insert((interface, address), mac);
                    self.changed();
                }
                Action::Lost { interface, address } => {
                    self.macs.remove(&(interface, address));
                    self.changed();
                }
                Action::Failed { packets, .. } => {
                    for packet in packets {
                        self.unreachable(packet, now);
                    }
                }
                Action::Dropped { packet, reason } => match reason {
                    Unqueued::NotNeighbor => self.unreachable(packet, now),
                    Unqueued::QueueFull | Unqueued::TableFull | Unqueued::Withdrawn => {
                        self.drops.count(DropReason::Unresolved);
                    }
                },
            }
        }
    }

    /// A host behind us is told that its packet cannot be delivered.
    fn unreachable(&mut self, packet: Packet, now: Instant) {
        self.drops.count(DropReason::Unresolved);
        if !packet.meta.flags.has(Flags::UNDERLAY) && packet.meta.punt == PuntReason::Unresolved {
            self.report(&packet, ErrorKind::HostUnreachable, now);
        }
    }

    /// Sends a frame of the gateway's own out of an interface.
    fn send_frame(&mut self, interface: u16, frame: &[u8]) {
        let Some(port) = self.facts.get(usize::from(interface)).map(|facts| facts.port) else {
            return;
        };
        if let Some(mut packet) = self.make(frame) {
            packet.meta.port = port;
            packet.meta.flags.set(Flags::FRAME);
            self.inject(packet);
        }
    }

    /// Keeps these next hops resolved, and no others.
    pub(super) fn keep_resolved(&mut self, needed: BTreeSet<(u16, IpAddr)>) {
        let now = Instant::now();
        let old = std::mem::replace(&mut self.needed, needed.clone());
        for (interface, address) in old.difference(&needed) {
            self.neighbors.release(*interface, *address);
        }
        for (interface, address) in needed.difference(&old) {
            let actions = self.neighbors.keep(now, *interface, *address);
            self.neighbor_actions(actions, now);
        }
    }
}
