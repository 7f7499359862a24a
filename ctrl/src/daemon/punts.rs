//! Packets that the cores leave to the control thread.

use std::net::IpAddr;
use std::time::Instant;

use dataplane::drops::DropReason;
use dataplane::ip::IpFacts;
use dataplane::packet::{Flags, Packet, PuntReason};
use dataplane::tables::Adjacency;
use wire::{IpProto, gre};

use crate::api::report::Event;
use crate::config::{Direction, TunnelId};
use crate::icmp::{self, ErrorKind, PathMtuChange, PmtuDrop, Quoted, QuotedTunnel};
use crate::policy::{self, AdjacencyKey, Guard};

use super::control::Gateway;

impl Gateway {
    pub(super) fn punted(&mut self, packet: Packet, now: Instant) {
        match packet.meta.punt {
            PuntReason::Arp | PuntReason::NeighborDiscovery => self.link_message(&packet, now),
            PuntReason::Local if packet.meta.flags.has(Flags::UNDERLAY) => {
                self.underlay_local(packet, now);
            }
            PuntReason::Local => self.answer(&packet, now),
            PuntReason::Unresolved => self.resolve(packet, now),
            PuntReason::TtlExceeded => {
                self.drops.count(DropReason::TtlExceeded);
                self.report(&packet, ErrorKind::TimeExceeded, now);
            }
            PuntReason::TooBig => {
                self.drops.count(DropReason::TooBig);
                let kind = ErrorKind::TooBig { mtu: packet.meta.mtu };
                self.report(&packet, kind, now);
            }
            PuntReason::NoRoute => {
                self.drops.count(DropReason::NoRoute);
                self.report(&packet, ErrorKind::NetUnreachable, now);
            }
            PuntReason::Keepalive => self.keepalive(&packet, now),
            PuntReason::Nhrp => self.nhrp_packet(&packet, now),
        }
    }

    fn link_message(&mut self, packet: &Packet, now: Instant) {
        let mut frame = packet.mbuf.data().to_vec();
        if let Some(tci) = packet.mbuf.vlan_stripped()
            && frame.len() >= 12
        {
            // The port took the tag off; neighbours are told apart by it.
            let [high, low] = tci.to_be_bytes();
            frame.splice(12..12, [0x81, 0x00, high, low]);
        }
        let actions = self.neighbors.handle_frame(now, packet.meta.interface, &frame);
        self.neighbor_actions(actions, now);
    }

    /// ICMP to one of our underlay addresses. IKE has no daemon to go to.
    fn underlay_local(&mut self, packet: Packet, now: Instant) {
        let data = packet.mbuf.data().to_vec();
        let is_icmp = IpFacts::parse(&data, true)
            .is_ok_and(|facts| matches!(facts.protocol, IpProto::ICMP | IpProto::ICMPV6));
        if !is_icmp {
            return self.drops.count(DropReason::Unhandled);
        }
        let live = LiveTunnels::of(self);
        match self.path_mtu.handle_icmp(now, &data, |quoted| live.has(quoted)) {
            Ok(Some(change)) => self.path_mtu_changed(change),
            Ok(None) => {}
            Err(PmtuDrop::NotError) => self.answer(&packet, now),
            Err(_) => self.drops.count(DropReason::Unhandled),
        }
    }

    pub(super) fn path_mtu_changed(&mut self, PathMtuChange { peer, mtu }: PathMtuChange) {
        self.note(Event::PathMtu { peer, mtu });
        self.changed();
    }

    /// Answers what is addressed to the gateway itself.
    fn answer(&mut self, packet: &Packet, now: Instant) {
        let Ok(reply) = icmp::respond_local(packet.mbuf.data()) else {
            return self.drops.count(DropReason::Unhandled);
        };
        self.send_icmp(&reply, packet, true, now);
    }

    /// Tells the sender of a packet what became of it.
    pub(super) fn report(&mut self, packet: &Packet, kind: ErrorKind, now: Instant) {
        let data = packet.mbuf.data();
        let is_v4 = data.first().is_some_and(|octet| octet >> 4 == 4);
        let Some(source) = self.source_of(packet.meta.interface, is_v4) else { return };
        // Our own packets are nobody else's business.
        if packet.meta.flags.has(Flags::ORIGINATED) {
            return;
        }
        if let Ok(error) = icmp::error(kind, data, source, None) {
            self.send_icmp(&error, packet, false, now);
        }
    }

    fn send_icmp(&mut self, reply: &[u8], cause: &Packet, echo: bool, now: Instant) {
        let Ok(facts) = IpFacts::parse(reply, true) else { return };
        let limiter = if echo { &mut self.echoes } else { &mut self.errors };
        if !limiter.allow(now, facts.dst.into()) {
            return self.drops.count(DropReason::PuntRate);
        }
        if let Some(mut answer) = self.make(reply) {
            if cause.meta.flags.has(Flags::UNDERLAY) {
                answer.meta.flags.set(Flags::UNDERLAY);
            }
            self.inject(answer);
        }
    }

    /// The address that the gateway answers from, on the interface that a packet came by.
    fn source_of(&self, interface: u16, v4: bool) -> Option<IpAddr> {
        let ports = self.config.ports.len();
        let index = usize::from(interface);
        let of_interface = if index < ports {
            self.config.ports.get(index).map(|port| port.addresses.as_slice())
        } else {
            self.config.tunnels.get(index - ports).map(|tunnel| tunnel.addresses.as_slice())
        };
        let overlay = self.config.ports.iter().filter(|p| p.role == crate::config::Role::Overlay);
        let own = of_interface.unwrap_or_default().iter();
        let others = overlay.flat_map(|port| port.addresses.iter());
        own.chain(others).map(|address| address.address()).find(|a| a.is_ipv4() == v4)
    }

    /// Asks for the next hop that a packet waits for.
    fn resolve(&mut self, packet: Packet, now: Instant) {
        let adjacency = packet.meta.adjacency;
        let destination =
            IpFacts::parse(packet.mbuf.data(), true).map(|facts| facts.dst.into()).ok();
        let next_hop = match (self.memory.indices.key(adjacency), destination) {
            (Some(AdjacencyKey::Connected(interface)), Some(address)) => {
                Some((*interface, address))
            }
            (Some(AdjacencyKey::NextHop(interface, address)), _) => Some((*interface, *address)),
            _ => self.unresolved.get(&adjacency).copied(),
        };
        match next_hop {
            Some((interface, address)) => {
                let actions = self.neighbors.resolve(now, interface, address, Some(packet));
                self.neighbor_actions(actions, now);
            }
            // The tables have moved on since: look again.
            None if self.is_sendable(adjacency) => self.released.push_back(packet),
            None => self.drops.count(DropReason::Unresolved),
        }
    }

    /// Whether the tables know an adjacency, be it that its next hop has to be asked for first.
    pub(super) fn is_published(&self, adjacency: u32) -> bool {
        let adjacency = self.tables.adjacencies.get(adjacency as usize);
        matches!(adjacency, Some(Adjacency::Tunnel(_) | Adjacency::Unresolved { .. }))
    }

    fn is_sendable(&self, adjacency: u32) -> bool {
        let adjacency = self.tables.adjacencies.get(adjacency as usize);
        matches!(adjacency, Some(Adjacency::Tunnel(_) | Adjacency::Neighbor(_)))
    }

    fn keepalive(&mut self, packet: &Packet, now: Instant) {
        let interface = packet.meta.interface;
        let Some(state) = self.keepalives.get_mut(&interface) else {
            return self.drops.count(DropReason::Unhandled);
        };
        let peer = state.endpoints.peer;
        if packet.meta.ether_type == gre::Protocol::KEEPALIVE.0 {
            if state.own.as_mut().is_some_and(|own| own.answered()) {
                self.down.remove(&interface);
                self.note(Event::TunnelUp { tunnel: self.tunnel_name(interface), remote: peer });
                self.changed();
            }
            return;
        }
        match state.responder.handle(now, &state.endpoints, packet.mbuf.data()) {
            Ok(()) => {
                self.send_into_tunnel(interface, peer.into(), gre::Protocol::KEEPALIVE.0, &[])
            }
            Err(_) => self.drops.count(DropReason::PuntRate),
        }
    }
}

/// The tunnels and SAs that an ICMP error may quote.
struct LiveTunnels {
    esp: Vec<(IpAddr, IpAddr, u32)>,
    gre: Vec<(IpAddr, IpAddr, Option<u32>)>,
}

impl LiveTunnels {
    fn of(gateway: &Gateway) -> Self {
        let out = gateway.sas.iter().filter(|e| e.manual.direction == Direction::Out);
        let esp = out.map(|e| (e.manual.local, e.peer_address(), e.manual.spi.value()));
        // Peers that profile or policy protect are not sent to in clear.
        let tunnels = (0..).map(TunnelId).zip(&gateway.config.tunnels);
        let gre = tunnels.flat_map(|(id, tunnel)| {
            let peers = gateway.learned.peers_and_strangers(id, tunnel);
            peers
                .into_iter()
                .filter(|peer| policy::guard(&gateway.config, tunnel, *peer) == Guard::Clear)
                .map(|peer| (tunnel.local, peer.nbma, tunnel.key))
        });
        LiveTunnels { esp: esp.collect(), gre: gre.collect() }
    }

    fn has(&self, quoted: &Quoted) -> bool {
        let (local, peer) = (quoted.local, quoted.peer);
        match quoted.tunnel {
            QuotedTunnel::Esp { spi } | QuotedTunnel::EspInUdp { spi, .. } => {
                self.esp.contains(&(local, peer, spi.0))
            }
            QuotedTunnel::Gre { key } => self.gre.contains(&(local, peer, key)),
        }
    }
}
