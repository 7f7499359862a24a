//! NHRP: bindings, servers, messages.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::time::Instant;

use nhrp::{Nhrp, Origin, Path};

use crate::api::report::{
    NhrpBinding, NhrpDrops, NhrpKind, NhrpMessages, NhrpOverview, NhrpReceiver, NhrpReceiverReason,
    NhrpServer, NhrpServerState, NhrpShortcut, NhrpTraffic,
};
use crate::config::{Multicast, Tunnel, TunnelId, TunnelMode};

use super::super::control::Gateway;

impl Gateway {
    pub(in super::super) fn report_nhrp(&self, now: Instant) -> NhrpOverview {
        NhrpOverview {
            servers: self.report_nhrp_servers(),
            cache: self.report_nhrp_cache(now),
            shortcuts: self.report_nhrp_shortcuts(now),
        }
    }

    pub(in super::super) fn report_nhrp_cache(&self, now: Instant) -> Vec<NhrpBinding> {
        let binding = |tunnel: &str, binding: &nhrp::Binding| NhrpBinding {
            tunnel: tunnel.to_owned(),
            protocol: binding.protocol,
            nbma: binding.nbma,
            nbma_port: binding.path.port,
            claimed: binding.claimed,
            kind: kind(binding.origin),
            expires_seconds: binding.expires.map(|at| at.saturating_duration_since(now).as_secs()),
        };
        let bindings = self
            .machines()
            .flat_map(|(tunnel, machine)| machine.bindings().map(move |of| binding(tunnel, of)));
        bindings.collect()
    }

    /// Those that are in force.
    pub(in super::super) fn report_nhrp_shortcuts(&self, now: Instant) -> Vec<NhrpShortcut> {
        let shortcut = |tunnel: &str, shortcut: &nhrp::Shortcut| NhrpShortcut {
            tunnel: tunnel.to_owned(),
            prefix: shortcut.prefix.to_string(),
            via: shortcut.next_hop,
            nbma: shortcut.path.nbma,
            nbma_port: shortcut.path.port,
            expires_seconds: shortcut.expires.saturating_duration_since(now).as_secs(),
        };
        let shortcuts = self
            .machines()
            .flat_map(|(tunnel, machine)| machine.shortcuts().map(move |of| shortcut(tunnel, of)));
        shortcuts.collect()
    }

    pub(in super::super) fn report_nhrp_servers(&self) -> Vec<NhrpServer> {
        let server = |tunnel: &str, server: nhrp::ServerEntry| NhrpServer {
            tunnel: tunnel.to_owned(),
            name: server.name.as_deref().map(str::to_owned),
            nbma: server.nbma,
            protocol: server.protocol,
            outside: server.outside,
            state: match server.state {
                nhrp::ServerState::Standby => NhrpServerState::Standby,
                nhrp::ServerState::Unresolved => NhrpServerState::Unresolved,
                nhrp::ServerState::Trying => NhrpServerState::Registering,
                nhrp::ServerState::Registered => NhrpServerState::Up,
                nhrp::ServerState::Down => NhrpServerState::Down,
            },
        };
        let servers = self
            .machines()
            .flat_map(|(tunnel, machine)| machine.servers().map(move |of| server(tunnel, of)));
        servers.collect()
    }

    /// As the tables have it.
    pub(in super::super) fn report_nhrp_multicast(&self) -> Vec<NhrpReceiver> {
        let tunnels = (0..).map(TunnelId).zip(&self.config.tunnels);
        tunnels.flat_map(|(id, tunnel)| self.receivers(id, tunnel)).collect()
    }

    fn receivers(&self, id: TunnelId, tunnel: &Tunnel) -> Vec<NhrpReceiver> {
        let TunnelMode::Mgre { map, multicast, .. } = &tunnel.mode else { return Vec::new() };
        let machine = self.nhrp.get(&tunnel.name).map(|state| &state.machine);
        let learned = machine.into_iter().flat_map(Nhrp::bindings);
        let learned = learned.filter_map(|of| Some((of.path, of.protocol, reason(of.origin)?)));
        let statics =
            map.iter().map(|of| (Path::from(of.nbma), of.protocol, NhrpReceiverReason::Static));
        // The static ones first, which say why.
        let mut peers: HashMap<Path, (NhrpReceiverReason, BTreeSet<IpAddr>)> = HashMap::new();
        for (peer, protocol, reason) in statics.chain(learned) {
            peers.entry(peer).or_insert((reason, BTreeSet::new())).1.insert(protocol);
        }
        let receivers = self.learned.receivers(id, tunnel).into_iter().map(|peer| {
            let known = peers.remove(&peer);
            let reason = match (multicast, &known) {
                (Multicast::Peers(_), _) | (_, None) => NhrpReceiverReason::Listed,
                (_, Some((reason, _))) => *reason,
            };
            let protocol = known.into_iter().flat_map(|(_, protocols)| protocols).collect();
            let (nbma, nbma_port) = (peer.nbma, peer.port);
            NhrpReceiver { tunnel: tunnel.name.clone(), nbma, nbma_port, protocol, reason }
        });
        receivers.collect()
    }

    pub(in super::super) fn report_nhrp_traffic(&self) -> Vec<NhrpTraffic> {
        let traffic = self.machines().map(|(tunnel, machine)| {
            let counters = machine.counters();
            let messages = wire::nhrp::Kind::ALL.map(|kind| NhrpMessages {
                kind: kind.as_str().to_owned(),
                received: counters.received(kind),
                sent: counters.sent(kind),
            });
            let malformed =
                wire::nhrp::Error::ALL.map(|error| (error.as_str(), counters.malformed(error)));
            let dropped = nhrp::DropReason::ALL.map(|drop| (drop.as_str(), counters.dropped(drop)));
            let drops = malformed.into_iter().chain(dropped).filter(|(_, count)| *count > 0);
            let drops = drops.map(|(reason, count)| NhrpDrops { reason: reason.to_owned(), count });
            NhrpTraffic {
                tunnel: tunnel.to_owned(),
                messages: messages.into(),
                drops: drops.collect(),
            }
        });
        traffic.collect()
    }

    /// The machines, in the order of the configuration.
    fn machines(&self) -> impl Iterator<Item = (&str, &Nhrp)> {
        let tunnels = self.config.tunnels.iter().map(|tunnel| tunnel.name.as_str());
        tunnels.filter_map(|name| Some((name, &self.nhrp.get(name)?.machine)))
    }
}

/// Why a peer gets multicast; one that was asked for does not.
fn reason(origin: Origin) -> Option<NhrpReceiverReason> {
    match origin {
        Origin::Static => Some(NhrpReceiverReason::Static),
        Origin::Registered => Some(NhrpReceiverReason::Registered),
        Origin::Server => Some(NhrpReceiverReason::Nhs),
        Origin::Resolved => None,
    }
}

fn kind(origin: Origin) -> NhrpKind {
    match origin {
        Origin::Static => NhrpKind::Static,
        Origin::Registered => NhrpKind::Registered,
        Origin::Server => NhrpKind::Nhs,
        Origin::Resolved => NhrpKind::Resolved,
    }
}
