//! One gateway's place on the bench: its interfaces, and what templates and SAs it has for peers.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use aead::Key;
use dataplane::counters::{SaCounters, traffic};
use dataplane::packet::NONE;
use dataplane::replay::ReplayWindow;
use dataplane::tables::encap::{DfPolicy, DscpPolicy, EspSpec, GreSpec, mss_for};
use dataplane::tables::sa::{Lifetime, SaMode};
use dataplane::tables::{
    Encap, EncapSpec, InboundSa, Interface, L2Rewrite, OutboundSa, Peer, Policy, Protection, Role,
    Tunnel,
};
use wire::MacAddr;

use super::Ports;
use crate::addresses::{self, GATEWAY_MAC, HUB};
use crate::case::Case;
use crate::error::Error;
use crate::mode::Mode;

/// Packets in an anti-replay window: the default of a profile.
const REPLAY_WINDOW: u32 = 4096;
const GRE: GreSpec = GreSpec { key: None, checksum: false, sequence: false };
/// The one IPsec profile.
const PROFILE: u16 = 0;

/// Which way an SA protects: each has a key of its own.
#[derive(Debug, Clone, Copy)]
pub(super) enum Direction {
    ToGateway,
    FromGateway,
}

/// Interfaces and peers of a gateway.
pub(super) struct Site<'a> {
    pub(super) case: &'a Case,
    /// Of each way the ingress ports, then the egress port.
    pub(super) interfaces: Vec<Interface>,
    /// By way: indices of the ingress interfaces, and of the egress interface.
    ways: Vec<(Vec<u16>, u16)>,
    shards: usize,
}

impl<'a> Site<'a> {
    pub(super) fn new(case: &'a Case, ports: &[Ports], shards: usize) -> Self {
        let mut site = Self { case, interfaces: Vec::new(), ways: Vec::new(), shards };
        for Ports { way, ingress, egress } in ports {
            let role = |underlay| if underlay { Role::Underlay } else { Role::Overlay };
            let of_ingress = role(way.leaves_tunnel());
            let ingress = ingress.iter().map(|port| site.add(*port, of_ingress)).collect();
            let egress = site.add(*egress, role(way.enters_tunnel()));
            site.ways.push((ingress, egress));
        }
        site
    }

    fn add(&mut self, port: u16, role: Role) -> u16 {
        let index = self.tunnel_interface();
        self.interfaces.push(Interface {
            tx_checksum: false,
            index,
            port,
            vlan: None,
            role,
            mac: GATEWAY_MAC,
            mtu: self.case.mtu,
            addresses_v4: if role == Role::Underlay { vec![HUB.to_bits()] } else { Vec::new() },
            addresses_v6: Vec::new(),
            policy: None,
        });
        index
    }

    /// Interfaces that packets of a way come in by.
    pub(super) fn ingress(&self, way: usize) -> Vec<u16> {
        self.ways.get(way).map_or_else(Vec::new, |(ingress, _)| ingress.clone())
    }

    /// The link-layer header of a next hop on the egress port of a way.
    pub(super) fn link(&self, way: usize, next_hop: MacAddr) -> Result<L2Rewrite, Error> {
        let egress =
            self.ways.get(way).and_then(|(_, egress)| self.interfaces.get(usize::from(*egress)));
        let egress = egress.ok_or(Error::Setup("there is no egress port"))?;
        Ok(L2Rewrite::new(egress, next_hop))
    }

    /// Interface index of the tunnel: it comes after the ports.
    pub(super) fn tunnel_interface(&self) -> u16 {
        u16::try_from(self.interfaces.len()).unwrap_or(u16::MAX)
    }

    pub(super) fn tunnel(&self) -> Tunnel {
        Tunnel {
            interface: self.tunnel_interface(),
            local: HUB.into(),
            key: GRE.key,
            multipoint: true,
            ordered: false,
            protection: self.protection(),
            mss: mss_for(self.case.path_mtu()),
            redirect: None,
        }
    }

    pub(super) fn peer(&self, peer: u32) -> Peer {
        Peer {
            tunnel: 0,
            // Only a hub sends to those who send to it.
            adjacency: if self.case.mode == Mode::Hub { peer } else { NONE },
            protection: self.protection(),
            received: traffic(self.shards),
            sequence: Arc::default(),
        }
    }

    fn protection(&self) -> Protection {
        match self.case.mode.is_protected() {
            true => Protection::Required { profile: PROFILE },
            false => Protection::Clear,
        }
    }

    /// The template of the tunnel between `ends`, ours first. The far gateway cuts after
    /// encapsulation what is too big.
    pub(super) fn template(
        &self,
        peer: u32,
        ends: (Ipv4Addr, Ipv4Addr),
        link: L2Rewrite,
        is_far: bool,
    ) -> Encap {
        let (local, remote) = (IpAddr::V4(ends.0), IpAddr::V4(ends.1));
        let spi = addresses::spi(peer);
        let esp = EspSpec { slot: peer, spi, mode: SaMode::Transport, udp: None };
        let esp = self.case.mode.is_protected().then_some(esp);
        let fragment_after = is_far && self.case.mode == Mode::Reassemble;
        Encap::new(&EncapSpec {
            interface: self.tunnel_interface(),
            link,
            local,
            remote,
            inner: (local, remote),
            ttl: 64,
            dscp: DscpPolicy::Copy,
            df: DfPolicy::Copy,
            esp,
            gre: Some(GRE),
            mtu: fragment_after.then_some(self.case.mtu),
            path_mtu: self.case.path_mtu(),
            fragment_after,
            clamp_mss: true,
            redirect: None,
            lane: esp.map(|esp| esp.slot),
            peer,
            sent: traffic(self.shards),
        })
    }

    pub(super) fn outbound(
        &self,
        peer: u32,
        direction: Direction,
    ) -> Result<Arc<OutboundSa>, Error> {
        Ok(Arc::new(OutboundSa {
            slot: peer,
            spi: addresses::spi(peer),
            esn: true,
            iv_offset: 0,
            key: self.key(peer, direction)?,
            device_key: None,
            lifetime: Lifetime::default(),
            counters: Arc::<SaCounters>::default(),
        }))
    }

    pub(super) fn inbound(&self, peer: u32) -> Result<Arc<InboundSa>, Error> {
        let window = ReplayWindow::new(REPLAY_WINDOW, true);
        Ok(Arc::new(InboundSa {
            slot: peer,
            spi: addresses::spi(peer),
            local: HUB.into(),
            remote: addresses::peer(peer).into(),
            peer_port: 0,
            udp: false,
            mode: SaMode::Transport,
            esn: true,
            window: window.map_err(|_| Error::Setup("no such replay window"))?,
            profile: PROFILE,
            allows_gre: true,
            selectors: Policy::default(),
            key: self.key(peer, Direction::ToGateway)?,
            device_key: None,
            lifetime: Lifetime::default(),
            counters: Arc::<SaCounters>::default(),
        }))
    }

    /// The key that a peer and the gateway share. It protects nothing, so it may be known.
    fn key(&self, peer: u32, direction: Direction) -> Result<Key, Error> {
        let mut material = [0x5a; 36];
        material[..4].copy_from_slice(&peer.to_be_bytes());
        material[4] = direction as u8;
        let material = &material[..self.case.aead.material_len()];
        Key::new(self.case.aead, self.case.backend, material)
            .map_err(|_| Error::Setup("keying material of the wrong length"))
    }
}
