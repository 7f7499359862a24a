//! NHRP on mGRE tunnels: a machine for each ([`nhrp::Nhrp`]), packets to and from it, and what it
//! finds out, for the tables.
//!
//! ```text
//! punted packet, timer > machine > send: into the tunnel, once the peer has an adjacency
//!                                > install, remove: peers of the tunnel > publication
//! ```

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use dataplane::drops::DropReason;
use dataplane::packet::Packet;
use dataplane::stages::gre_decap;
use log::{debug, info, warn};
use nhrp::{Action, Event, Nhrp};
use wire::{IpPrefix, gre};

use crate::config::{Config, TunnelId};
use crate::policy;

use super::control::Gateway;

/// Strangers that are answered at a time, beside registered peers: each takes an adjacency, and is
/// forgotten when as many others have come.
const STRANGERS_MAX: usize = 256;
/// How long the last messages of a gateway that stops may take to leave.
const FAREWELL_MAX: Duration = Duration::from_millis(100);

/// NHRP of one tunnel.
pub(super) struct TunnelNhrp {
    pub(super) machine: Nhrp,
    /// Whom it talks with beside its peers, the latest last.
    strangers: VecDeque<IpAddr>,
}

/// Which protocol addresses a peer may have: those of the tunnel's own networks.
struct Networks(Vec<IpPrefix>);

impl nhrp::Policy for Networks {
    fn may_claim(&self, _nbma: IpAddr, protocol: IpAddr) -> bool {
        // A tunnel whose address is a host's says nothing about the others.
        let mut networks = self.0.iter().filter(|prefix| !prefix.is_host()).peekable();
        networks.peek().is_none() || networks.any(|prefix| prefix.contains(protocol))
    }
}

impl Gateway {
    /// Brings the machines in line with the configuration. Those of tunnels that stay go on.
    pub(super) fn configure_nhrp(&mut self, now: Instant) -> Result<(), getrandom::Error> {
        let mut old = std::mem::take(&mut self.nhrp);
        self.learned.clear();
        for number in (0..).take(self.config.tunnels.len()) {
            let id = TunnelId(number);
            let tunnel = &self.config.tunnels[id.index()];
            let (name, Some(config)) = (tunnel.name.clone(), tunnel.nhrp()) else { continue };
            let mut actions = Vec::new();
            let state = match old.remove(&name) {
                Some(mut state) => {
                    let changed = state.machine.configure(now, config, &mut actions);
                    changed.map(|()| state)
                }
                None => Nhrp::new(now, config, getrandom::u64()?, &mut actions)
                    .map(|machine| TunnelNhrp { machine, strangers: VecDeque::new() }),
            };
            match state {
                Ok(state) => {
                    for binding in state.machine.bindings() {
                        self.learned.of_mut(id).bind(binding.protocol, binding.nbma);
                    }
                    self.nhrp.insert(name, state);
                    self.talk(id);
                    self.nhrp_actions(id, actions);
                }
                // The configuration was checked; a tunnel without NHRP still forwards.
                Err(error) => warn!("no NHRP on tunnel {name}: {error}"),
            }
        }
        Ok(())
    }

    /// A packet of NHRP, out of a tunnel.
    pub(super) fn nhrp_packet(&mut self, packet: &Packet, now: Instant) {
        let Some(id) = self.tunnel_of(packet.meta.interface) else {
            return self.drops.count(DropReason::Unhandled);
        };
        let tunnel = &self.config.tunnels[id.index()];
        let networks = Networks(tunnel.addresses.iter().map(|own| own.prefix()).collect());
        let state = self.nhrp.get_mut(&tunnel.name);
        let (Some(state), Some((from, octets))) = (state, gre_decap::nhrp(&self.tables, packet))
        else {
            return self.drops.count(DropReason::Unhandled);
        };
        let mut actions = Vec::new();
        state.machine.receive(now, from.into(), octets, &networks, &mut actions);
        self.nhrp_actions(id, actions);
    }

    /// What is due.
    pub(super) fn poll_nhrp(&mut self, now: Instant) {
        for number in (0..).take(self.config.tunnels.len()) {
            let id = TunnelId(number);
            let Some(state) = self.nhrp.get_mut(&self.config.tunnels[id.index()].name) else {
                continue;
            };
            if state.machine.poll_timeout().is_some_and(|at| at <= now) {
                let mut actions = Vec::new();
                state.machine.poll(now, &mut actions);
                self.nhrp_actions(id, actions);
            }
        }
    }

    /// Takes registrations back, so that servers need not wait for their end.
    pub(super) fn leave_nhrp(&mut self) {
        for number in (0..).take(self.config.tunnels.len()) {
            let id = TunnelId(number);
            let Some(state) = self.nhrp.get_mut(&self.config.tunnels[id.index()].name) else {
                continue;
            };
            let mut actions = Vec::new();
            state.machine.shutdown(&mut actions);
            self.nhrp_actions(id, actions);
        }
        let deadline = Instant::now() + FAREWELL_MAX;
        while !self.all_applied() && Instant::now() < deadline {
            self.links.iter_mut().for_each(super::control::Running::flush);
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn tunnel_of(&self, interface: u16) -> Option<TunnelId> {
        let number = usize::from(interface).checked_sub(self.config.ports.len())?;
        self.config.tunnels.get(number)?;
        Some(TunnelId(u16::try_from(number).ok()?))
    }

    fn nhrp_actions(&mut self, id: TunnelId, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Send { to, octets } => self.send_nhrp(id, to, &octets),
                Action::Install(binding) => {
                    if self.learned.of_mut(id).bind(binding.protocol, binding.nbma) {
                        self.changed();
                    }
                }
                Action::Remove { protocol } => {
                    if self.learned.of_mut(id).unbind(protocol) {
                        self.changed();
                    }
                }
                Action::Event(event) => log_event(&self.config, id, &event),
            }
        }
    }

    /// Sends to a peer, now or when the tables have it.
    fn send_nhrp(&mut self, id: TunnelId, to: IpAddr, octets: &[u8]) {
        let tunnel = &self.config.tunnels[id.index()];
        if !self.learned.of_mut(id).knows(to)
            && let Some(state) = self.nhrp.get_mut(&tunnel.name)
        {
            if state.strangers.len() == STRANGERS_MAX {
                state.strangers.pop_front();
            }
            state.strangers.push_back(to);
            self.talk(id);
            self.changed();
        }
        let interface = policy::tunnel_interface(&self.config, id);
        let protocol = gre::Protocol::NHRP.0;
        let Some(packet) = self.tunnel_packet(interface, to, protocol, octets) else { return };
        if self.is_published(packet.meta.adjacency) {
            self.inject(packet);
        } else {
            self.released.push_back(packet);
        }
    }

    /// Notes whom a machine talks with.
    fn talk(&mut self, id: TunnelId) {
        let Some(state) = self.nhrp.get(&self.config.tunnels[id.index()].name) else { return };
        let servers = state.machine.servers().map(|server| server.nbma);
        let all = servers.chain(state.strangers.iter().copied()).collect();
        self.learned.of_mut(id).correspondents = all;
    }
}

fn log_event(config: &Config, id: TunnelId, event: &Event) {
    let name = &config.tunnels[id.index()].name;
    match event {
        Event::Registered { protocol, nbma } => info!("{name}: {protocol} is at {nbma}"),
        Event::Expired { protocol } => info!("{name}: the registration of {protocol} has ended"),
        Event::Withdrawn { protocol } => info!("{name}: {protocol} has left"),
        Event::ServerUp { nbma, protocol, outside } => {
            let nat = outside.map(|outside| format!(", behind a NAT at {outside}"));
            info!("{name}: registered with {protocol} at {nbma}{}", nat.unwrap_or_default());
        }
        Event::ServerDown { nbma } => warn!("{name}: the next hop server at {nbma} is silent"),
        Event::ServerRefused { nbma, code } => {
            warn!("{name}: the next hop server at {nbma} refuses us: {code}");
        }
        // As often as strangers like.
        Event::Refused { protocol, nbma, code } => {
            debug!("{name}: {nbma} may not register {protocol}: {code}");
        }
        Event::Error { nbma, code } => debug!("{name}: {nbma} complains: {code}"),
    }
}
