//! Ports, tunnels and their peers.

use std::collections::HashMap;
use std::net::IpAddr;

use dataplane::counters::total;
use dataplane::drops::DropReason;
use dataplane::tables::Adjacency;
use nhrp::Path;

use crate::api::report::{
    Keepalive, Link, NextHopState, Peer, PeerKind, PeerProtection, Port, ReceiveCounters, Role,
    Traffic, TransmitCounters, Tunnel, TunnelMode,
};
use crate::config::{self, Attachment, Direction, Multicast, ProfileId, TunnelId};
use crate::policy::{self, AdjacencyKey, Guard};

use super::super::control::Gateway;
use super::super::ports::AttachedPort;
use super::baseline::traffic;

impl Gateway {
    pub(in super::super) fn report_ports(&self) -> Vec<Port> {
        (0..self.config.ports.len()).map(|index| self.report_port(index)).collect()
    }

    fn report_port(&self, index: usize) -> Port {
        let port = &self.config.ports[index];
        let (device, parent, vlan) = match &port.attachment {
            Attachment::Device { device, .. } => (Some(device.clone()), None, None),
            Attachment::Vlan { parent, vlan } => {
                (None, Some(self.config.ports[parent.index()].name.clone()), Some(vlan.value()))
            }
        };
        let carrier = match &port.attachment {
            Attachment::Device { .. } => index,
            Attachment::Vlan { parent, .. } => parent.index(),
        };
        let own = self.ports.iter().find(|attached| attached.config == index);
        let link = self.ports.iter().find(|a| a.config == carrier).and_then(|a| a.port.link().ok());
        let (rx, tx) = own.map(|attached| self.port_counters(attached)).unwrap_or_default();
        Port {
            name: port.name.clone(),
            device,
            driver: own.map(|attached| attached.port.info().driver.clone()),
            parent,
            vlan,
            role: match port.role {
                config::Role::Underlay => Role::Underlay,
                config::Role::Overlay => Role::Overlay,
            },
            mac: self.facts[index].mac.to_string(),
            addresses: port.addresses.iter().map(ToString::to_string).collect(),
            mtu: port.mtu,
            link: Link {
                up: link.is_some_and(|link| link.up),
                speed_mbps: link.and_then(|link| link.speed_mbps),
                full_duplex: link.is_some_and(|link| link.full_duplex),
            },
            offloads: own.map(offloads).unwrap_or_default(),
            rx_queues: own.map_or(0, |attached| attached.queues.0),
            tx_queues: own.map_or(0, |attached| attached.queues.1),
            rx,
            tx,
        }
    }

    fn port_counters(&self, attached: &AttachedPort) -> (ReceiveCounters, TransmitCounters) {
        let Ok(now) = attached.port.stats() else { return Default::default() };
        let base = self.baseline.ports.get(&attached.port.id()).copied().unwrap_or_default();
        let rx = ReceiveCounters {
            packets: now.rx_packets.saturating_sub(base.rx_packets),
            octets: now.rx_octets.saturating_sub(base.rx_octets),
            errors: now.rx_errors.saturating_sub(base.rx_errors),
            missed: (now.rx_missed + now.rx_no_mbuf)
                .saturating_sub(base.rx_missed + base.rx_no_mbuf),
        };
        let tx = TransmitCounters {
            packets: now.tx_packets.saturating_sub(base.tx_packets),
            octets: now.tx_octets.saturating_sub(base.tx_octets),
            errors: now.tx_errors.saturating_sub(base.tx_errors),
        };
        (rx, tx)
    }

    pub(in super::super) fn report_tunnels(&self) -> Vec<Tunnel> {
        let tunnels = (0u16..).zip(&self.config.tunnels);
        tunnels.map(|(number, tunnel)| self.report_tunnel(TunnelId(number), tunnel)).collect()
    }

    fn report_tunnel(&self, id: TunnelId, tunnel: &config::Tunnel) -> Tunnel {
        let interface = policy::tunnel_interface(&self.config, id);
        let peers = self.learned.peers(id, tunnel);
        let encaps = peers.iter().filter_map(|peer| match self.peer_adjacency(interface, *peer) {
            Some(Adjacency::Tunnel(encap)) => Some(encap),
            _ => None,
        });
        let encap = encaps.min_by_key(|encap| encap.mtu);
        let down_reason = self.down_reason(interface, &peers);
        let sum = |mut total: (Traffic, Traffic), peer: &Path| {
            let (rx, tx) = self.peer_traffic(&tunnel.name, *peer);
            total.0.packets += rx.packets;
            total.0.octets += rx.octets;
            total.1.packets += tx.packets;
            total.1.octets += tx.octets;
            total
        };
        let everybody = self.learned.peers_and_strangers(id, tunnel);
        let (rx, tx) = everybody.iter().fold(Default::default(), sum);
        let keepalive = self.keepalives.get(&interface).and_then(|k| k.own.as_ref());
        let (mode, remote, configured) = match tunnel.mode {
            config::TunnelMode::Gre { remote, keepalive } => {
                (TunnelMode::Gre, Some(remote), keepalive)
            }
            config::TunnelMode::Mgre { .. } => (TunnelMode::Mgre, None, None),
        };
        Tunnel {
            name: tunnel.name.clone(),
            mode,
            source: self.config.ports[tunnel.source.index()].name.clone(),
            local: tunnel.local,
            remote,
            key: tunnel.key,
            addresses: tunnel.addresses.iter().map(ToString::to_string).collect(),
            up: down_reason.is_none(),
            down_reason,
            keepalive: configured.map(|configured| Keepalive {
                period_seconds: configured.period.as_secs(),
                retries: configured.retries.get(),
                unanswered: keepalive.map_or(0, crate::keepalive::Keepalive::unanswered),
            }),
            mtu: encap.map_or_else(
                || tunnel.mtu.unwrap_or_else(|| self.config.largest_inner_mtu(tunnel)),
                |encap| encap.mtu,
            ),
            mss: encap.map(|encap| encap.mss).filter(|mss| *mss > 0),
            protection: tunnel.protection.map(|profile| self.profile_name(profile)),
            peers: u32::try_from(peers.len()).unwrap_or(u32::MAX),
            rx,
            tx,
        }
    }

    fn profile_name(&self, profile: ProfileId) -> String {
        self.config.profiles[profile.index()].name.clone()
    }

    fn peer_adjacency(&self, interface: u16, peer: Path) -> Option<&Adjacency> {
        let index = self.memory.indices.find(&AdjacencyKey::Peer(interface, peer))?;
        self.tables.adjacencies.get(index as usize)
    }

    /// Why no packet can pass: none if one peer can be reached.
    fn down_reason(&self, interface: u16, peers: &[Path]) -> Option<String> {
        if self.down.contains(&interface) {
            return Some("keepalive".to_owned());
        }
        let mut reasons = peers.iter().map(|p| unusable(self.peer_adjacency(interface, *p)));
        let first = reasons.next().unwrap_or(Some("no peer"))?;
        reasons.all(|reason| reason.is_some()).then(|| first.to_owned())
    }

    fn peer_traffic(&self, tunnel: &str, peer: Path) -> (Traffic, Traffic) {
        let Some(counters) = self.memory.counters(tunnel, peer) else {
            return Default::default();
        };
        let key = (tunnel.to_owned(), peer);
        let base = self.baseline.peers.get(&key).copied().unwrap_or_default();
        let less = |now: Traffic, base: Traffic| Traffic {
            packets: now.packets - base.packets,
            octets: now.octets - base.octets,
        };
        (less(traffic(total(&counters.received)), base.1), less(traffic(counters.sent()), base.0))
    }

    pub(in super::super) fn report_peers(&self) -> Vec<Peer> {
        let mut report = Vec::new();
        for (number, tunnel) in (0u16..).zip(&self.config.tunnels) {
            let interface = policy::tunnel_interface(&self.config, TunnelId(number));
            let id = TunnelId(number);
            let mut protocol: HashMap<Path, Vec<IpAddr>> = HashMap::new();
            for (address, peer) in self.learned.bindings(id, tunnel) {
                protocol.entry(peer).or_default().push(address);
            }
            for peer in self.learned.peers(id, tunnel) {
                let protocol = protocol.remove(&peer).unwrap_or_default();
                report.push(self.report_peer(interface, tunnel, (peer, protocol)));
            }
        }
        report
    }

    fn report_peer(
        &self,
        interface: u16,
        tunnel: &config::Tunnel,
        (path, protocol): (Path, Vec<IpAddr>),
    ) -> Peer {
        let adjacency = self.peer_adjacency(interface, path);
        let kind = match &tunnel.mode {
            config::TunnelMode::Gre { .. } => PeerKind::Remote,
            config::TunnelMode::Mgre { map, multicast, .. } => {
                let listed =
                    |nbma| matches!(multicast, Multicast::Peers(peers) if peers.contains(nbma));
                let is_static = |nbma| listed(nbma) || map.iter().any(|entry| entry.nbma == *nbma);
                if path.port.is_none() && is_static(&path.nbma) {
                    PeerKind::Static
                } else {
                    PeerKind::Dynamic
                }
            }
        };
        let (protection, spi_in, spi_out) = match policy::guard(&self.config, tunnel, path) {
            Guard::Protect(profile, outer) => {
                let spi_in = self.spi_of(Direction::In, profile, outer);
                let spi_out = self.spi_of(Direction::Out, profile, outer);
                let both = spi_in.is_some() && spi_out.is_some();
                let state = if both { PeerProtection::Protected } else { PeerProtection::NoSa };
                (state, spi_in, spi_out)
            }
            Guard::Clear | Guard::Discard => (PeerProtection::Clear, None, None),
        };
        let (rx, tx) = self.peer_traffic(&tunnel.name, path);
        Peer {
            tunnel: tunnel.name.clone(),
            protocol,
            nbma: path.nbma,
            nbma_port: path.port,
            kind,
            next_hop: next_hop_state(adjacency),
            protection,
            spi_in,
            spi_out,
            rx,
            tx,
        }
    }

    fn spi_of(&self, direction: Direction, profile: ProfileId, peer: Path) -> Option<u32> {
        let mut live = self.sas.with(profile, peer).filter(|entry| !entry.expired);
        let sa = live.find(|entry| entry.manual.direction == direction)?;
        Some(sa.manual.spi.value())
    }
}

/// Whether packets can take an adjacency.
pub(super) fn next_hop_state(adjacency: Option<&Adjacency>) -> NextHopState {
    match adjacency {
        Some(Adjacency::Unresolved { .. } | Adjacency::Drop(DropReason::Unresolved)) => {
            NextHopState::Unresolved
        }
        None | Some(Adjacency::Drop(DropReason::NoRoute)) => NextHopState::Down,
        Some(_) => NextHopState::Resolved,
    }
}

fn unusable(adjacency: Option<&Adjacency>) -> Option<&'static str> {
    match adjacency {
        None => Some("no route"),
        Some(Adjacency::Drop(DropReason::NoSa)) => Some("no SA"),
        Some(Adjacency::Drop(DropReason::SaExpired)) => Some("SA expired"),
        Some(Adjacency::Drop(DropReason::PolicyDiscard)) => Some("policy"),
        Some(Adjacency::Drop(_)) => Some("no route"),
        Some(Adjacency::Unresolved { .. }) => Some("next hop unresolved"),
        Some(_) => None,
    }
}

fn offloads(attached: &AttachedPort) -> Vec<String> {
    let Some(granted) = attached.granted else { return Vec::new() };
    let rx = granted.rx_offloads.iter_names().map(|(name, _)| format!("rx {name}"));
    let tx = granted.tx_offloads.iter_names().map(|(name, _)| format!("tx {name}"));
    let rss = granted.rss.then(|| "rss".to_owned());
    rx.chain(tx).chain(rss).map(|name| name.to_lowercase()).collect()
}
