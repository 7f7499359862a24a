//! The tables of the gateway under test, and of the far gateway that sends to it.
//!
//! ```text
//! mode           gateway under test                    far gateway
//! forward        10/8 > neighbour
//! encap          10.p.p.0/24 > template to peer p
//! decap          mGRE with all peers, 10/8 > neighbour  10.p.p.0/24 > template from peer p
//! ```
//!
//! The far gateway stands for all peers at once: its templates have their addresses as sources.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use aead::{Backend, Key};
use dataplane::counters::{SaCounters, traffic};
use dataplane::engine::stage::SaCommand;
use dataplane::engine::topology::StageKind;
use dataplane::packet::NONE;
use dataplane::replay::ReplayWindow;
use dataplane::tables::encap::{DfPolicy, DscpPolicy, EspSpec, GreSpec, inner_mtu};
use dataplane::tables::fib::Prefix;
use dataplane::tables::sa::{Lifetime, SaMode};
use dataplane::tables::{
    Adjacency, Encap, EncapSpec, Fib, Fib4, InboundSa, Interface, Interfaces, L2Rewrite, Next,
    OutboundSa, Peer, Policy, Protection, Role, SaTable, Tables, Tunnel, TunnelMap,
};
use wire::MacAddr;

use crate::addresses::{self, DESTINATIONS, GATEWAY_MAC, HUB, NEIGHBOR_MAC};
use crate::args::Case;
use crate::error::Error;
use crate::mode::Mode;

/// What a gateway of the bench starts with.
pub(crate) struct World {
    pub(crate) tables: Tables,
    pub(crate) sas: Vec<Install>,
}

/// An SA on its way to its owner.
pub(crate) struct Install {
    /// The stage that owns it.
    pub(crate) stage: StageKind,
    /// Chooses the instance.
    pub(crate) lane: u32,
    pub(crate) command: SaCommand,
}

/// DPDK's numbers of the ports of a gateway.
#[derive(Debug, Clone)]
pub(crate) struct Ports {
    pub(crate) ingress: Vec<u16>,
    pub(crate) egress: u16,
}

/// The largest inner packet of a mode that needs no fragments.
pub(crate) fn size_max(mode: Mode) -> u16 {
    let esp = EspSpec { slot: 0, spi: 0, mode: SaMode::Transport, udp: None };
    let gre = GRE.len();
    match mode {
        Mode::Forward => MTU,
        Mode::GreEncap | Mode::GreDecap => inner_mtu(MTU, false, None, gre),
        Mode::Encrypt | Mode::Decrypt => inner_mtu(MTU, false, Some(&esp), gre),
    }
}

/// What the gateway under test starts with, for `shards` cores.
pub(crate) fn under_test(case: &Case, ports: &Ports, shards: usize) -> Result<World, Error> {
    match case.mode {
        Mode::Forward => {
            let site = Site::new(case, ports, shards, Role::Overlay, Role::Overlay);
            Ok(World { tables: site.routed_to_neighbor()?, sas: Vec::new() })
        }
        Mode::GreEncap | Mode::Encrypt => {
            let site = Site::new(case, ports, shards, Role::Overlay, Role::Underlay);
            site.sender(NEIGHBOR_MAC, |peer| (HUB, addresses::peer(peer)))
        }
        Mode::GreDecap | Mode::Decrypt => {
            Site::new(case, ports, shards, Role::Underlay, Role::Overlay).receiver()
        }
    }
}

/// What the far gateway starts with, which runs on one core.
pub(crate) fn far(case: &Case, ports: &Ports) -> Result<World, Error> {
    let site = Site::new(case, ports, 1, Role::Overlay, Role::Underlay);
    site.sender(GATEWAY_MAC, |peer| (addresses::peer(peer), HUB))
}

/// Octets of IP that every link carries.
const MTU: u16 = 1500;
/// Packets in an anti-replay window: the default of a profile.
const REPLAY_WINDOW: u32 = 4096;
const GRE: GreSpec = GreSpec { key: None, checksum: false, sequence: false };
/// The one IPsec profile.
const PROFILE: u16 = 0;

/// One gateway's place on the bench.
struct Site<'a> {
    case: &'a Case,
    interfaces: Vec<Interface>,
    shards: usize,
}

impl<'a> Site<'a> {
    fn new(case: &'a Case, ports: &Ports, shards: usize, ingress: Role, egress: Role) -> Self {
        let all = ports.ingress.iter().map(|port| (*port, ingress));
        let all = all.chain([(ports.egress, egress)]).zip(0u16..);
        let interface = |((port, role), index)| Interface {
            tx_checksum: false,
            index,
            port,
            vlan: None,
            role,
            mac: GATEWAY_MAC,
            mtu: MTU,
            addresses_v4: if role == Role::Underlay { vec![HUB.to_bits()] } else { Vec::new() },
            addresses_v6: Vec::new(),
            policy: None,
        };
        Self { case, interfaces: all.map(interface).collect(), shards }
    }

    /// The link-layer header of a next hop on the egress port.
    fn link(&self, next_hop: MacAddr) -> Result<L2Rewrite, Error> {
        let egress = self.interfaces.last().ok_or(Error::Setup("there is no egress port"))?;
        Ok(L2Rewrite::new(egress, next_hop))
    }

    /// Every destination is behind one neighbour.
    fn routed_to_neighbor(&self) -> Result<Tables, Error> {
        let (network, length) = DESTINATIONS;
        Ok(Tables {
            overlay: overlay([(network, length, 0)])?,
            adjacencies: Arc::new(vec![Adjacency::Neighbor(self.link(NEIGHBOR_MAC)?)]),
            interfaces: Arc::new(Interfaces::new(self.interfaces.clone())),
            ..Tables::default()
        })
    }

    /// Each peer's network is behind its tunnel, whose ends `ends` gives: ours, and the other.
    fn sender(
        &self,
        next_hop: MacAddr,
        ends: impl Fn(u32) -> (Ipv4Addr, Ipv4Addr),
    ) -> Result<World, Error> {
        let peers = 0..self.case.peers;
        let link = self.link(next_hop)?;
        let tunnel = |peer| Adjacency::Tunnel(Box::new(self.template(peer, ends(peer), link)));
        let outbound = match self.case.mode.is_protected() {
            true => peers.clone().map(|peer| self.outbound(peer)).collect::<Result<_, _>>()?,
            false => Vec::new(),
        };
        let tables = Tables {
            overlay: overlay(peers.clone().map(|peer| (addresses::network(peer), 24, peer)))?,
            adjacencies: Arc::new(peers.map(tunnel).collect()),
            interfaces: Arc::new(Interfaces::new(self.interfaces.clone())),
            sas: Arc::new(SaTable::new([], outbound.iter().cloned())),
            ..Tables::default()
        };
        let install = |sa: Arc<OutboundSa>| Install {
            stage: StageKind::GreEncap,
            lane: sa.slot,
            command: SaCommand::InstallOutbound(sa),
        };
        Ok(World { tables, sas: outbound.into_iter().map(install).collect() })
    }

    /// Every peer is known, and every destination is behind one neighbour.
    fn receiver(&self) -> Result<World, Error> {
        let peers = 0..self.case.peers;
        let inbound = match self.case.mode.is_protected() {
            true => peers.clone().map(|peer| self.inbound(peer)).collect::<Result<_, _>>()?,
            false => Vec::new(),
        };
        let known = peers.map(|peer| (addresses::peer(peer).into(), self.peer())).collect();
        let tables = Tables {
            tunnels: Arc::new(TunnelMap::new(vec![self.tunnel()], known)),
            sas: Arc::new(SaTable::new(inbound.iter().cloned(), [])),
            ..self.routed_to_neighbor()?
        };
        let install = |sa: Arc<InboundSa>| Install {
            stage: StageKind::EspOpen,
            lane: sa.slot,
            command: SaCommand::InstallInbound(sa),
        };
        Ok(World { tables, sas: inbound.into_iter().map(install).collect() })
    }

    /// Interface index of the tunnel: it comes after the ports.
    fn tunnel_interface(&self) -> u16 {
        u16::try_from(self.interfaces.len()).unwrap_or(u16::MAX)
    }

    fn tunnel(&self) -> Tunnel {
        Tunnel {
            interface: self.tunnel_interface(),
            local: HUB.into(),
            key: GRE.key,
            multipoint: true,
            ordered: false,
            protection: self.protection(),
            mss: 0,
        }
    }

    fn peer(&self) -> Peer {
        Peer {
            tunnel: 0,
            // Nothing is sent back.
            adjacency: NONE,
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

    fn template(&self, peer: u32, (local, remote): (Ipv4Addr, Ipv4Addr), link: L2Rewrite) -> Encap {
        let (local, remote) = (IpAddr::V4(local), IpAddr::V4(remote));
        let spi = addresses::spi(peer);
        let esp = EspSpec { slot: peer, spi, mode: SaMode::Transport, udp: None };
        let esp = self.case.mode.is_protected().then_some(esp);
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
            mtu: None,
            path_mtu: MTU,
            fragment_after: false,
            clamp_mss: true,
            lane: esp.map(|esp| esp.slot),
            sent: traffic(self.shards),
        })
    }

    fn outbound(&self, peer: u32) -> Result<Arc<OutboundSa>, Error> {
        Ok(Arc::new(OutboundSa {
            slot: peer,
            spi: addresses::spi(peer),
            esn: true,
            iv_offset: 0,
            key: self.key(peer)?,
            device_key: None,
            lifetime: Lifetime::default(),
            counters: Arc::<SaCounters>::default(),
        }))
    }

    fn inbound(&self, peer: u32) -> Result<Arc<InboundSa>, Error> {
        let window = ReplayWindow::new(REPLAY_WINDOW, true);
        Ok(Arc::new(InboundSa {
            slot: peer,
            spi: addresses::spi(peer),
            local: HUB.into(),
            remote: addresses::peer(peer).into(),
            udp: false,
            mode: SaMode::Transport,
            esn: true,
            window: window.map_err(|_| Error::Setup("no such replay window"))?,
            profile: PROFILE,
            allows_gre: true,
            selectors: Policy::default(),
            key: self.key(peer)?,
            device_key: None,
            lifetime: Lifetime::default(),
            counters: Arc::<SaCounters>::default(),
        }))
    }

    /// The key that a peer and the gateway share. It protects nothing, so it may be known.
    fn key(&self, peer: u32) -> Result<Key, Error> {
        let mut material = [0x5a; 36];
        material[..4].copy_from_slice(&peer.to_be_bytes());
        let material = &material[..self.case.aead.material_len()];
        Key::new(self.case.aead, Backend::default(), material)
            .map_err(|_| Error::Setup("keying material of the wrong length"))
    }
}

/// A table of routes: network, prefix length, adjacency.
fn overlay(routes: impl IntoIterator<Item = (Ipv4Addr, u8, u32)>) -> Result<Fib, Error> {
    let route = |(network, length, adjacency): (Ipv4Addr, u8, u32)| {
        Some((Prefix::new(network.to_bits(), length)?, Next(adjacency)))
    };
    let table = Fib4::build(routes.into_iter().filter_map(route));
    let table = table.map_err(|_| Error::Setup("too many routes"))?;
    Ok(Fib { v4: Arc::new(table), ..Fib::default() })
}
