//! NHRP on mGRE tunnels: a machine for each ([`nhrp::Nhrp`]), packets to and from it, and what it
//! finds out, for the tables.
//!
//! ```text
//! punted packet, redirect sample, timer, use of a shortcut > machine
//!   > send: into the tunnel, once the peer has an adjacency
//!   > install, remove: peers and shortcuts of the tunnel > publication > the way to a peer works
//! ```
//!
//! A shortcut is published after the adjacency of its peer: until then, and if its next hop or SA
//! is missing, packets go the way that routing says.

mod overlay;
mod resolver;

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::num::NonZeroU16;
use std::time::{Duration, Instant};

use dataplane::counters;
use dataplane::drops::DropReason;
use dataplane::engine::message::Redirect;
use dataplane::packet::Packet;
use dataplane::stages::gre_decap;
use dataplane::tables::Adjacency;
use log::warn;
use nhrp::{Action, Nhrp, Origin, Path};
use wire::nhrp::ErrorCode;
use wire::{IpPrefix, gre};

use crate::api::protocol::{self, Failure};
use crate::config::{Config, TunnelId};
use crate::policy::{self, AdjacencyKey};

use super::control::{Gateway, Running};

pub(super) use overlay::Routes;
pub(super) use resolver::{Resolver, by_host};

/// Addresses that are answered, or that data is taken from, at a time, beside peers: each takes an
/// adjacency, and is forgotten when as many others have come.
const STRANGERS_MAX: usize = 1024;
/// How often the use of shortcuts is asked for: a small part of any holding time.
const USE_INTERVAL: Duration = Duration::from_secs(1);
/// How long the last messages of a gateway that stops may take to leave.
const FAREWELL_MAX: Duration = Duration::from_millis(100);

/// NHRP of one tunnel.
pub(super) struct TunnelNhrp {
    pub(super) machine: Nhrp,
    /// Networks of the tunnel.
    networks: Vec<IpPrefix>,
    /// Whom it talks with beside its peers, the latest last.
    strangers: VecDeque<Path>,
    /// Servers and resolved peers, and whether the way to each works.
    ways: BTreeMap<Path, bool>,
    /// Packets sent by each shortcut, and to each resolved peer, when this was last asked for.
    sent: BTreeMap<IpPrefix, u64>,
    use_asked: Instant,
}

impl TunnelNhrp {
    fn new(machine: Nhrp, now: Instant) -> Self {
        Self {
            machine,
            networks: Vec::new(),
            strangers: VecDeque::new(),
            ways: BTreeMap::new(),
            sent: BTreeMap::new(),
            use_asked: now,
        }
    }
}

impl Gateway {
    /// Brings the machines in line with the configuration. Those of tunnels that stay go on.
    pub(super) fn configure_nhrp(&mut self, now: Instant) -> Result<(), getrandom::Error> {
        let mut old = std::mem::take(&mut self.nhrp);
        self.learned.clear();
        self.routes = Routes::new(&self.config);
        for id in tunnels(&self.config) {
            let tunnel = &self.config.tunnels[id.index()];
            let (name, Some(config)) = (tunnel.name.clone(), tunnel.nhrp()) else { continue };
            let networks = tunnel.addresses.iter().map(|own| own.prefix()).collect();
            let mut actions = Vec::new();
            let state = match old.remove(&name) {
                Some(mut state) => {
                    let changed = state.machine.configure(now, config, &mut actions);
                    changed.map(|()| state)
                }
                None => Nhrp::new(now, config, getrandom::u64()?, &mut actions)
                    .map(|machine| TunnelNhrp::new(machine, now)),
            };
            match state {
                Ok(mut state) => {
                    state.networks = networks;
                    let learned = self.learned.of_mut(id);
                    for binding in state.machine.bindings() {
                        learned.bind(binding.protocol, binding.path, binding.origin);
                    }
                    for shortcut in state.machine.shortcuts() {
                        learned.shortcuts.insert(shortcut.prefix, shortcut.path);
                    }
                    self.nhrp.insert(name, state);
                    self.talk(id);
                    self.nhrp_actions(id, actions);
                    self.ask_nhrp(id, |machine, overlay, out| {
                        machine.routes_changed(now, overlay, out);
                    });
                }
                // The configuration was checked; a tunnel without NHRP still forwards.
                Err(error) => warn!("no NHRP on tunnel {name}: {error}"),
            }
        }
        Ok(())
    }

    /// Forgets what the machines have learned, of one tunnel or of all; gives how many entries.
    pub(super) fn clear_nhrp(
        &mut self,
        tunnel: Option<&str>,
        now: Instant,
    ) -> Result<u64, Failure> {
        let is_chosen = |name: &str| tunnel.is_none_or(|tunnel| tunnel == name);
        let chosen = self.nhrp.extract_if(|name, _| is_chosen(name));
        let machines: Vec<Nhrp> = chosen.map(|(_, state)| state.machine).collect();
        if let (Some(tunnel), true) = (tunnel, machines.is_empty()) {
            let message = format!("no tunnel with NHRP is named {tunnel}");
            return Err(Failure::new(protocol::ErrorCode::NotFound, message));
        }
        let learned = |machine: &Nhrp| {
            let bindings = machine.bindings();
            let dynamic = |binding: &&nhrp::Binding| {
                matches!(binding.origin, Origin::Registered | Origin::Resolved)
            };
            (bindings.filter(dynamic).count() + machine.shortcuts().count()) as u64
        };
        let entries = machines.iter().map(learned).sum();
        self.configure_nhrp(now)
            .map_err(|error| Failure::new(protocol::ErrorCode::Conflict, error.to_string()))?;
        self.changed();
        Ok(entries)
    }

    /// Tells the machine of a tunnel something, and does what it says.
    fn ask_nhrp(
        &mut self,
        id: TunnelId,
        ask: impl FnOnce(&mut Nhrp, &overlay::Overlay<'_>, &mut Vec<Action>),
    ) {
        let Some(state) = self.nhrp.get_mut(&self.config.tunnels[id.index()].name) else { return };
        let overlay = overlay::Overlay {
            routes: &self.routes,
            tunnel: id,
            networks: &state.networks,
            sas: &self.sas,
            profile: self.config.tunnels[id.index()].protection,
        };
        let mut actions = Vec::new();
        ask(&mut state.machine, &overlay, &mut actions);
        self.nhrp_actions(id, actions);
        self.follow_servers(id);
    }

    /// Notes with which servers a tunnel is registered: they may be who gets multicast.
    fn follow_servers(&mut self, id: TunnelId) {
        let Some(state) = self.nhrp.get(&self.config.tunnels[id.index()].name) else { return };
        let registered =
            state.machine.servers().filter(|of| of.state == nhrp::ServerState::Registered);
        let registered = registered.filter_map(|server| server.nbma).map(Path::from).collect();
        let learned = self.learned.of_mut(id);
        if learned.registered_with != registered {
            learned.registered_with = registered;
            self.changed();
        }
    }

    /// A packet of NHRP, out of a tunnel.
    pub(super) fn nhrp_packet(&mut self, packet: &Packet, now: Instant) {
        let Some(id) = self.tunnel_of(packet.meta.interface) else {
            return self.drops.count(DropReason::Unhandled);
        };
        let tables = self.tables.clone();
        let Some((from, octets)) = gre_decap::nhrp(&tables, packet) else {
            return self.drops.count(DropReason::Unhandled);
        };
        let from = Path { nbma: from.address.into(), port: NonZeroU16::new(from.port) };
        self.ask_nhrp(id, |machine, overlay, out| {
            machine.receive(now, from, octets, overlay, out);
        });
    }

    /// A packet that leaves by a tunnel of the network that it came from.
    pub(super) fn redirect(&mut self, sample: &Redirect, now: Instant) {
        let Some(AdjacencyKey::Peer(interface, path)) = self.memory.indices.key(sample.in_peer)
        else {
            return;
        };
        let (interface, path) = (*interface, *path);
        let Some(id) = self.tunnel_of(interface) else { return };
        self.ask_nhrp(id, |machine, overlay, out| {
            machine.sample(now, &sample.head, path, overlay, out);
        });
    }

    /// What is due.
    pub(super) fn poll_nhrp(&mut self, now: Instant) {
        self.take_names(now);
        for id in tunnels(&self.config) {
            let Some(state) = self.nhrp.get_mut(&self.config.tunnels[id.index()].name) else {
                continue;
            };
            if now.duration_since(state.use_asked) >= USE_INTERVAL {
                state.use_asked = now;
                self.report_use(id, now);
                self.resolve_next_hops(id, now);
            }
            let Some(state) = self.nhrp.get(&self.config.tunnels[id.index()].name) else {
                continue;
            };
            if state.machine.poll_timeout().is_some_and(|at| at <= now) {
                self.ask_nhrp(id, |machine, overlay, out| machine.poll(now, overlay, out));
            }
        }
    }

    /// Tells a machine what of what it resolved was used: shortcuts, and peers themselves, by what
    /// was sent there but by no shortcut.
    fn report_use(&mut self, id: TunnelId, now: Instant) {
        let name = &self.config.tunnels[id.index()].name;
        let Some(state) = self.nhrp.get_mut(name) else { return };
        let resolved =
            state.machine.bindings().filter(|binding| binding.origin == Origin::Resolved);
        let counters = |path| self.memory.counters(name, path);
        let resolved = resolved.filter_map(|binding| {
            let (own, _) = counters::total(&counters(binding.path)?.own);
            Some((IpPrefix::host(binding.protocol), own))
        });
        let shortcuts = state.machine.shortcuts().filter_map(|shortcut| {
            Some((shortcut.prefix, counters(shortcut.path)?.sent_by(shortcut.prefix)?))
        });
        let sent: BTreeMap<_, _> = resolved.chain(shortcuts).collect();
        let before = std::mem::replace(&mut state.sent, sent.clone());
        let is_used =
            |prefix: &IpPrefix, now: u64| before.get(prefix).is_some_and(|old| now > *old);
        for (prefix, _) in sent.into_iter().filter(|(prefix, sent)| is_used(prefix, *sent)) {
            self.ask_nhrp(id, |machine, overlay, out| machine.used(now, prefix, overlay, out));
        }
    }

    /// Asks for the next hops of routes that are no peers yet (DMVPN phase 2), if there is a server
    /// to ask.
    fn resolve_next_hops(&mut self, id: TunnelId, now: Instant) {
        let name = &self.config.tunnels[id.index()].name;
        if self.nhrp.get(name).is_none_or(|state| state.machine.servers().next().is_none()) {
            return;
        }
        for next_hop in self.routes.next_hops(id) {
            self.ask_nhrp(id, |machine, overlay, out| {
                machine.resolve(now, next_hop, overlay, out);
            });
        }
    }

    /// Tells the machines to which peers the way works, by the tables that all cores have.
    pub(super) fn report_ways(&mut self, now: Instant) {
        for id in tunnels(&self.config) {
            let interface = policy::tunnel_interface(&self.config, id);
            let Some(state) = self.nhrp.get_mut(&self.config.tunnels[id.index()].name) else {
                continue;
            };
            let resolved = state.machine.bindings().filter(|of| of.origin == Origin::Resolved);
            let servers = state.machine.servers().filter_map(|server| server.nbma).map(Path::from);
            let works = |peer: Path| {
                let index = self.memory.indices.find(&AdjacencyKey::Peer(interface, peer));
                let adjacency = index.and_then(|at| self.tables.adjacencies.get(at as usize));
                (peer, matches!(adjacency, Some(Adjacency::Tunnel(_))))
            };
            let ways: BTreeMap<_, _> =
                resolved.map(|of| of.path).chain(servers).map(works).collect();
            let before = std::mem::replace(&mut state.ways, ways.clone());
            let gone = before.keys().filter(|peer| !ways.contains_key(peer)).map(|at| (*at, false));
            let changed = ways.iter().filter(|(peer, up)| before.get(peer) != Some(up));
            let news: Vec<_> = gone.chain(changed.map(|(peer, up)| (*peer, *up))).collect();
            for (peer, up) in news {
                self.ask_nhrp(id, |machine, _, out| machine.peer_state(now, peer, up, out));
            }
        }
    }

    /// Takes registrations back, so that servers need not wait for their end.
    pub(super) fn leave_nhrp(&mut self) {
        for id in tunnels(&self.config) {
            self.ask_nhrp(id, |machine, _, out| machine.shutdown(out));
        }
        let deadline = Instant::now() + FAREWELL_MAX;
        while !self.all_applied() && Instant::now() < deadline {
            self.links.iter_mut().for_each(Running::flush);
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn tunnel_of(&self, interface: u16) -> Option<TunnelId> {
        let number = usize::from(interface).checked_sub(self.config.ports.len())?;
        self.config.tunnels.get(number)?;
        Some(TunnelId(u16::try_from(number).ok()?))
    }

    fn nhrp_actions(&mut self, id: TunnelId, actions: Vec<Action>) {
        let mut expecting = false;
        for action in actions {
            let learned = self.learned.of_mut(id);
            let news = match action {
                Action::Send { to, octets } => {
                    self.send_nhrp(id, to, &octets, expecting);
                    false
                }
                Action::LookUp { name } => {
                    self.look_up(id, name);
                    false
                }
                Action::Relay { from, target, octets } => {
                    self.relay_nhrp(id, from, target, &octets);
                    false
                }
                Action::Expect { nbma } => {
                    let profile = self.config.tunnels[id.index()].protection;
                    for peer in self.sas.peers_at(profile, nbma) {
                        expecting |= self.meet(id, peer);
                    }
                    false
                }
                Action::Install(binding) => {
                    learned.bind(binding.protocol, binding.path, binding.origin)
                }
                Action::Remove { protocol } => learned.unbind(protocol),
                Action::InstallShortcut(shortcut) => {
                    let path = shortcut.path;
                    let news = learned.shortcuts.insert(shortcut.prefix, path) != Some(path);
                    self.note_shortcut(id, &shortcut);
                    news
                }
                Action::RemoveShortcut { prefix } => {
                    let removed = learned.shortcuts.remove(&prefix);
                    if let Some(path) = removed {
                        self.note_no_shortcut(id, prefix, path.nbma);
                    }
                    removed.is_some()
                }
                Action::Event(event) => {
                    self.note_nhrp(id, event);
                    false
                }
            };
            if news {
                self.changed();
            }
        }
    }

    /// Has a packet sent on by another tunnel than the one that it came by.
    fn relay_nhrp(&mut self, came_by: TunnelId, from: Path, target: IpAddr, octets: &[u8]) {
        let mut relayed = Err(ErrorCode::UNREACHABLE);
        if let Some(id) = self.routes.tunnel_to(target) {
            self.ask_nhrp(id, |machine, overlay, out| {
                relayed = machine.relay(target, octets, overlay, out);
            });
        }
        if let Err(why) = relayed {
            self.ask_nhrp(came_by, |machine, _, out| {
                machine.not_relayed(Instant::now(), (from, octets), why, out);
            });
        }
    }

    /// Notes somebody who is talked with; says whether the tables have to learn of them.
    fn meet(&mut self, id: TunnelId, peer: Path) -> bool {
        let Some(state) = self.nhrp.get_mut(&self.config.tunnels[id.index()].name) else {
            return false;
        };
        if self.learned.of_mut(id).knows(peer) {
            return false;
        }
        if state.strangers.len() == STRANGERS_MAX {
            state.strangers.pop_front();
        }
        state.strangers.push_back(peer);
        self.talk(id);
        self.changed();
        true
    }

    /// Sends to a peer, now or when the tables have it; `later`: when they have what else is new.
    fn send_nhrp(&mut self, id: TunnelId, to: Path, octets: &[u8], later: bool) {
        self.meet(id, to);
        let interface = policy::tunnel_interface(&self.config, id);
        let protocol = gre::Protocol::NHRP.0;
        let Some(packet) = self.tunnel_packet(interface, to, protocol, octets) else { return };
        if !later && self.is_published(packet.meta.adjacency) {
            self.inject(packet);
        } else {
            self.released.push_back(packet);
        }
    }

    /// Notes whom a machine talks with.
    fn talk(&mut self, id: TunnelId) {
        let Some(state) = self.nhrp.get(&self.config.tunnels[id.index()].name) else { return };
        let servers = state.machine.servers().filter_map(|server| server.nbma).map(Path::from);
        let learned = self.learned.of_mut(id);
        learned.servers = servers.collect();
        learned.strangers = state.strangers.iter().copied().collect();
    }
}

fn tunnels(config: &Config) -> impl Iterator<Item = TunnelId> + use<> {
    (0..).map(TunnelId).take(config.tunnels.len())
}
