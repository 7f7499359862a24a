//! The control thread's state, and its turn.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use dataplane::drops::DropReason;
use dataplane::engine::assembly::Link;
use dataplane::engine::message::{Command, Event};
use dataplane::engine::plan::Plan;
use dataplane::engine::topology::StageKind;
use dataplane::packet::{Flags, Packet};
use dataplane::tables::Tables;
use dpdk::Mempool;
use jiff::Timestamp;
use wire::{IfAddr, MacAddr, ip6};

use crate::api::report::{self, EventSa};
use crate::config::{Attachment, Config, TunnelMode};
use crate::icmp::{Limiter, PathMtu};
use crate::keepalive::{Endpoints, Keepalive, Responder};
use crate::nat_keepalive::NatKeepalives;
use crate::neighbor::{InterfaceConfig, Neighbors};
use crate::policy::{self, Learned, Memory, PortFacts};
use crate::sas::{AddError, Moment, Sas};

use super::events::Journal;
use super::nhrp::{Resolver, Routes, TunnelNhrp};
use super::ports::AttachedPort;
use super::publish::Transaction;
use super::reports::{Baseline, ControlDrops};

/// How long punted packets are taken in one turn: so long do the control socket, timers and
/// publications wait at most, whatever strangers send. If it were much shorter, a hub whose spokes
/// register would make its tables for a few of them at a time.
const PUNTS_TIME: Duration = Duration::from_millis(10);
/// Punted packets taken from one core before it is the next one's turn.
const PUNTS_AT_ONCE: usize = 64;
/// How often the state of links is asked for.
const LINK_INTERVAL: Duration = Duration::from_secs(1);
/// How long workers may take to stop.
const STOP_MAX: Duration = Duration::from_millis(500);

/// A worker that runs, seen from here.
pub(super) struct Running {
    pub(super) link: Link,
    /// Commands sent so far.
    pub(super) sent: u64,
    /// Commands for which the ring had no room.
    pub(super) backlog: VecDeque<Command>,
}

impl Running {
    pub(super) fn new(link: Link) -> Self {
        Running { link, sent: 0, backlog: VecDeque::new() }
    }

    pub(super) fn flush(&mut self) {
        while let Some(command) = self.backlog.pop_front() {
            if let Err(command) = self.link.commands.push(command) {
                self.backlog.push_front(command);
                return;
            }
            self.sent += 1;
        }
    }
}

/// Keepalives of a point-to-point tunnel.
pub(super) struct TunnelKeepalive {
    pub(super) endpoints: Endpoints,
    /// Those that we send, if configured.
    pub(super) own: Option<Keepalive>,
    pub(super) responder: Responder,
}

/// The gateway, seen from its control thread.
pub(super) struct Gateway {
    pub(super) config: Config,
    pub(super) path: PathBuf,
    pub(super) started: Instant,
    pub(super) started_tsc: u64,
    pub(super) ticks_per_second: u64,
    pub(super) plan: Plan,
    pub(super) links: Vec<Running>,
    pub(super) facts: Vec<PortFacts>,
    pub(super) neighbors: Neighbors<Packet>,
    /// Resolved neighbours, as the tables have them.
    pub(super) macs: HashMap<(u16, IpAddr), MacAddr>,
    pub(super) sas: Sas,
    pub(super) memory: Memory,
    pub(super) path_mtu: PathMtu,
    /// By interface index.
    pub(super) keepalives: HashMap<u16, TunnelKeepalive>,
    pub(super) nat_keepalives: NatKeepalives,
    /// Tunnels that keepalives have found dead, by interface index.
    pub(super) down: BTreeSet<u16>,
    /// Routes of the overlay, as NHRP asks for them.
    pub(super) routes: Routes,
    /// By tunnel name.
    pub(super) nhrp: HashMap<String, TunnelNhrp>,
    /// Finds servers that are configured by name.
    pub(super) resolver: Resolver,
    /// Peers that NHRP has found.
    pub(super) learned: Learned,
    /// Next hops that are kept resolved.
    pub(super) needed: BTreeSet<(u16, IpAddr)>,
    /// Next hops that adjacencies wait for, by adjacency.
    pub(super) unresolved: HashMap<u32, (u16, IpAddr)>,
    pub(super) errors: Limiter,
    pub(super) echoes: Limiter,
    pub(super) drops: ControlDrops,
    pub(super) baseline: Baseline,
    pub(super) transaction: Transaction,
    /// Packets that wait for tables with their next hop.
    pub(super) released: VecDeque<Packet>,
    /// What has happened.
    pub(super) journal: Journal,
    pub(super) links_checked: Instant,
    pub(super) link_up: HashMap<u16, bool>,
    pub(super) tables: Arc<Tables>,
    pub(super) threads: Vec<JoinHandle<()>>,
    pub(super) ports: Vec<AttachedPort>,
    pub(super) pool: Mempool,
}

impl Gateway {
    /// Name of the gateway.
    pub(super) fn name(&self) -> &str {
        &self.config.system.name
    }

    /// Path of its control socket.
    pub(super) fn socket(&self) -> &Path {
        &self.config.system.socket
    }

    /// Makes the configuration take effect: at the start, and after each reload.
    pub(super) fn configure(&mut self, now: Instant) -> Result<(), AddError> {
        let random = getrandom::u64().map_err(|_| AddError::Random)?;
        let moment = self.moment(now, random);
        let changes = self.sas.configure(&self.config, moment)?;
        self.sas_changed(changes);
        self.configure_keepalives(now);
        self.configure_nhrp(now).map_err(|_| AddError::Random)?;
        let interfaces = interfaces(&self.config, &self.facts);
        let actions = self.neighbors.set_interfaces(now, interfaces);
        self.neighbor_actions(actions, now);
        self.changed();
        Ok(())
    }

    /// The moment that SAs are made at.
    pub(super) fn moment(&self, now: Instant, random: u64) -> Moment {
        Moment { now, tsc: dpdk::tsc(), ticks_per_second: self.ticks_per_second, random }
    }

    fn configure_keepalives(&mut self, now: Instant) {
        let mut old = std::mem::take(&mut self.keepalives);
        for (number, tunnel) in (0u16..).zip(&self.config.tunnels) {
            let TunnelMode::Gre { remote, keepalive } = tunnel.mode else { continue };
            let interface = policy::tunnel_interface(&self.config, crate::config::TunnelId(number));
            let endpoints = Endpoints { local: tunnel.local, peer: remote, key: tunnel.key };
            let fresh = || keepalive.map(|k| Keepalive::new(k.period, k.retries, now));
            let state = match old.remove(&interface) {
                Some(state)
                    if state.endpoints == endpoints
                        && state.own.is_some() == keepalive.is_some() =>
                {
                    state
                }
                _ => {
                    // Another tunnel, or other keepalives: it is up until they say otherwise.
                    self.down.remove(&interface);
                    TunnelKeepalive { endpoints, own: fresh(), responder: Responder::default() }
                }
            };
            self.keepalives.insert(interface, state);
        }
        let keepalives = &self.keepalives;
        self.down.retain(|interface| keepalives.get(interface).is_some_and(|k| k.own.is_some()));
    }

    /// Everything that is due; says whether something is left, for the next turn to do at once.
    pub(super) fn turn(&mut self, now: Instant) -> bool {
        for core in 0..self.links.len() {
            self.links[core].flush();
            while let Some(event) = self.links[core].link.events.pop() {
                self.event(event, now);
            }
        }
        let is_left = self.take_punts(now);
        self.timers(now);
        self.advance();
        is_left
    }

    /// Takes punted packets, as long as there are any, and time; says whether some may be left.
    fn take_punts(&mut self, now: Instant) -> bool {
        let end = Instant::now() + PUNTS_TIME;
        loop {
            let mut taken = 0;
            for core in 0..self.links.len() {
                for _ in 0..PUNTS_AT_ONCE {
                    let punts = self.links[core].link.punts.as_mut();
                    let Some(packet) = punts.and_then(|punts| punts.pop()) else { break };
                    self.punted(packet, now);
                    taken += 1;
                }
            }
            if taken == 0 || Instant::now() >= end {
                return taken > 0;
            }
        }
    }

    fn event(&mut self, event: Event, now: Instant) {
        match event {
            // Dropped here, not on the core: big tables take long to free, and keys are wiped.
            Event::Retired(_) | Event::RetiredInbound(_) | Event::RetiredOutbound(_) => {}
            Event::Expired { slot, .. } => {
                if let Some(entry) = self.sas.by_slot(slot) {
                    entry.expired = true;
                    let sa = EventSa::from(&*entry);
                    self.note(report::Event::SaExpired(sa));
                    self.changed();
                }
            }
            Event::Redirect(sample) => self.redirect(&sample, now),
            Event::PeerMoved { slot, address, port } => {
                if self.sas.moved(slot, (address, port))
                    && let Some(entry) = self.sas.by_slot(slot)
                {
                    let (spi, remote) = (entry.manual.spi.value(), entry.manual.remote);
                    self.note(report::Event::SaMoved { spi, remote, address, port });
                    self.changed();
                }
            }
        }
    }

    fn timers(&mut self, now: Instant) {
        if self.neighbors.poll_timeout().is_some_and(|at| at <= now) {
            let actions = self.neighbors.poll(now);
            self.neighbor_actions(actions, now);
        }
        if self.path_mtu.poll_timeout().is_some_and(|at| at <= now) {
            for change in self.path_mtu.poll(now) {
                self.path_mtu_changed(change);
            }
        }
        self.send_keepalives(now);
        self.poll_nhrp(now);
        self.journal.poll(now, Timestamp::now());
        if now.duration_since(self.links_checked) >= LINK_INTERVAL {
            self.links_checked = now;
            self.check_links(now);
            self.send_nat_keepalives(now);
        }
    }

    fn check_links(&mut self, now: Instant) {
        for attached in &self.ports {
            let Ok(link) = attached.port.link() else { continue };
            let index = u16::try_from(attached.config).unwrap_or(u16::MAX);
            let before = self.link_up.insert(index, link.up);
            if before != Some(link.up) {
                let port = self.config.ports[attached.config].name.clone();
                let news = if link.up {
                    report::Event::LinkUp { port }
                } else {
                    report::Event::LinkDown { port }
                };
                self.journal.note(now, Timestamp::now(), news);
                if link.up {
                    self.neighbors.announce(now, Some(index));
                }
            }
        }
    }

    fn send_nat_keepalives(&mut self, now: Instant) {
        for keepalive in self.nat_keepalives.due(now, self.sas.iter()) {
            let Ok(octets) = keepalive.packet() else { continue };
            if let Some(mut packet) = self.make(&octets) {
                packet.meta.flags.set(Flags::UNDERLAY);
                self.inject(packet);
            }
        }
    }

    fn send_keepalives(&mut self, now: Instant) {
        let mut due = Vec::new();
        for (interface, state) in &mut self.keepalives {
            let Some(own) = &mut state.own else { continue };
            if let Some(keepalive) = own.poll(now) {
                due.push((*interface, state.endpoints, keepalive.went_down));
            }
        }
        for (interface, endpoints, went_down) in due {
            if went_down {
                self.down.insert(interface);
                let (tunnel, remote) = (self.tunnel_name(interface), endpoints.peer);
                self.note(report::Event::TunnelDown { tunnel, remote });
                self.changed();
            }
            if let Ok((protocol, payload)) = endpoints.keepalive() {
                self.send_into_tunnel(interface, endpoints.peer.into(), protocol.0, &payload);
            }
        }
    }

    /// Sends a payload of the gateway's own to a tunnel peer.
    pub(super) fn send_into_tunnel(
        &mut self,
        interface: u16,
        peer: nhrp::Path,
        protocol: u16,
        payload: &[u8],
    ) {
        if let Some(packet) = self.tunnel_packet(interface, peer, protocol, payload) {
            self.inject(packet);
        }
    }

    /// A payload of the gateway's own, ready for a tunnel peer.
    pub(super) fn tunnel_packet(
        &mut self,
        interface: u16,
        peer: nhrp::Path,
        protocol: u16,
        payload: &[u8],
    ) -> Option<Packet> {
        let key = policy::AdjacencyKey::Peer(interface, peer);
        let mut packet = self.make(payload)?;
        packet.meta.adjacency = self.memory.indices.of(key);
        packet.meta.ether_type = protocol;
        packet.meta.flags.set(Flags::RESOLVED);
        Some(packet)
    }

    /// A packet of the gateway's own, from its IP header on.
    pub(super) fn make(&mut self, octets: &[u8]) -> Option<Packet> {
        let mbuf = self.pool.alloc().and_then(|mut mbuf| mbuf.write(octets).then_some(mbuf));
        let Some(mbuf) = mbuf else {
            self.drops.count(DropReason::NoBuffer);
            return None;
        };
        Some(Packet::originated(mbuf))
    }

    /// Feeds a packet into the packet path, at `lookup`.
    pub(super) fn inject(&mut self, packet: Packet) {
        match self.plan.instances(StageKind::Lookup).first() {
            Some((core, _)) => self.send(*core, Command::Inject(packet)),
            None => self.drops.count(DropReason::NoStage),
        }
    }

    /// Packets whose next hop is in the tables now.
    pub(super) fn release_packets(&mut self) {
        while let Some(packet) = self.released.pop_front() {
            self.inject(packet);
        }
    }

    /// The core of a worker that has ended although nobody asked it to.
    pub(super) fn dead_worker(&self) -> Option<u16> {
        let ended = self.threads.iter().position(JoinHandle::is_finished)?;
        Some(self.links[ended].link.core.0)
    }

    /// Stops the workers and gives everything back.
    pub(super) fn stop(mut self) {
        self.leave_nhrp();
        for running in &self.links {
            running.link.status.stop.store(true, Ordering::Relaxed);
        }
        let deadline = Instant::now() + STOP_MAX;
        for thread in self.threads.drain(..) {
            while !thread.is_finished() && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(1));
            }
            if thread.is_finished() && thread.join().is_err() {
                log::error!("a worker panicked");
            }
        }
    }
}

/// Interfaces with a link, as neighbours see them.
fn interfaces(config: &Config, facts: &[PortFacts]) -> Vec<InterfaceConfig> {
    let interface = |((index, port), facts): ((u16, &crate::config::Port), &PortFacts)| {
        let v6 = port.addresses.iter().any(|address: &IfAddr| address.address().is_ipv6());
        InterfaceConfig {
            index,
            mac: facts.mac,
            vlan: match port.attachment {
                Attachment::Vlan { vlan, .. } => Some(vlan.value()),
                Attachment::Device { .. } => None,
            },
            addresses: port.addresses.clone(),
            link_local: v6.then(|| ip6::link_local(facts.mac)),
            neighbors: port.neighbors.iter().map(|n| (n.address, n.mac)).collect(),
        }
    };
    (0u16..).zip(&config.ports).zip(facts).map(interface).collect()
}
