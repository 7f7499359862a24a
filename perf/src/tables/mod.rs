//! The tables of the gateway under test, and of the far gateway that sends to it.
//!
//! ```text
//! mode           gateway under test                       far gateway
//! forward        10/8 > neighbour
//! encap          10.p.p.0/24 > template to peer p
//! decap          mGRE with all peers, 10/8 > neighbour    10.p.p.0/24 > template from peer p
//! hub            mGRE with all peers,                     10.q.q.0/24 > template from peer p,
//!                10.q.q.0/24 > template to peer q                       q the one after p
//! replicate      239.192.0/24 > templates to all peers
//! bidirectional  encap and decap, 10.128/9 > neighbour    10.128+p.p.0/24 > template from peer p
//! ```
//!
//! With a capture, which has addresses of its own, the default route leads where the networks do,
//! spread over the peers by flow.
//!
//! The far gateway stands for all peers at once: its templates have their addresses as sources.

mod site;

use std::sync::Arc;

use dataplane::engine::stage::SaCommand;
use dataplane::engine::topology::StageKind;
use dataplane::tables::fib::Prefix;
use dataplane::tables::{
    Adjacency, Fib, Fib4, Fib6, InboundSa, Interfaces, MulticastRule, Next, OutboundSa, Peer,
    Replica, ReplicationList, SaTable, Tables, TunnelMap,
};

use self::site::{Direction, Site};
use crate::addresses::{self, DESTINATIONS, DESTINATIONS_NEAR, GATEWAY_MAC, GROUPS, HUB};
use crate::addresses::{NEIGHBOR_MAC, SOURCES};
use crate::case::Case;
use crate::error::Error;
use crate::mode::{Mode, Way};
use crate::size::Size;

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

/// DPDK's numbers of the ports of one way.
#[derive(Debug, Clone)]
pub(crate) struct Ports {
    pub(crate) way: Way,
    pub(crate) ingress: Vec<u16>,
    pub(crate) egress: u16,
}

/// What the gateway under test starts with, for `shards` cores.
pub(crate) fn under_test(case: &Case, ports: &[Ports], shards: usize) -> Result<World, Error> {
    let site = Site::new(case, ports, shards);
    let mut draft = Draft::default();
    for (number, way) in case.mode.ways().iter().enumerate() {
        match way {
            Way::Across => draft.neighbor(&site, number)?,
            Way::Out if case.mode == Mode::Replicate => draft.group(&site, number)?,
            Way::Out => draft.peers(&site, number, Near::Gateway)?,
            Way::In => {
                draft.known(&site)?;
                draft.neighbor(&site, number)?;
            }
            Way::Through => {
                draft.peers(&site, number, Near::Gateway)?;
                draft.known(&site)?;
            }
        }
    }
    draft.finish(site)
}

/// What the far gateway starts with, which runs on one core and has one way.
pub(crate) fn far(case: &Case, ports: Ports) -> Result<World, Error> {
    let site = Site::new(case, &[ports], 1);
    let mut draft = Draft::default();
    draft.peers(&site, 0, Near::Peers)?;
    draft.finish(site)
}

/// Whose side of the tunnel a gateway is on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Near {
    Gateway,
    /// The far gateway, all peers at once.
    Peers,
}

/// Tables that grow.
#[derive(Default)]
struct Draft {
    adjacencies: Vec<Adjacency>,
    /// Network, prefix length, adjacency.
    routes: Vec<(u32, u8, u32)>,
    /// Where everything else goes, of both families.
    default: Option<u32>,
    multicast: Vec<MulticastRule>,
    peers: Vec<(std::net::IpAddr, Peer)>,
    inbound: Vec<Arc<InboundSa>>,
    outbound: Vec<Arc<OutboundSa>>,
}

impl Draft {
    /// Every destination is behind one neighbour on the egress of the way.
    fn neighbor(&mut self, site: &Site<'_>, way: usize) -> Result<(), Error> {
        let adjacency = self.add(Adjacency::Neighbor(site.link(way, NEIGHBOR_MAC)?))?;
        match (&site.case.size, site.case.mode) {
            (Size::Capture(_), _) => self.default = Some(adjacency),
            (_, Mode::Bidirectional) => self.route(DESTINATIONS_NEAR, adjacency),
            _ => self.route(DESTINATIONS, adjacency),
        }
        Ok(())
    }

    /// A template and an SA for each peer, and its network behind it.
    fn peers(&mut self, site: &Site<'_>, way: usize, near: Near) -> Result<(), Error> {
        let case = site.case;
        self.templates(site, way, near)?;
        let senders = 0..case.peers;
        if let Size::Capture(_) = case.size {
            let through = |peer| match (case.mode, near) {
                (Mode::Hub, Near::Gateway) => case.next_peer(peer),
                _ => peer,
            };
            let members: Box<[u32]> = senders.map(through).collect();
            self.default = Some(match members[..] {
                [only] => only,
                _ => self.add(Adjacency::Group(members))?,
            });
            return Ok(());
        }
        for peer in senders {
            let (network, adjacency) = match (case.mode, near) {
                (Mode::Hub, Near::Gateway) => {
                    (addresses::network(case.next_peer(peer)), case.next_peer(peer))
                }
                (Mode::Hub, Near::Peers) => (addresses::network(case.next_peer(peer)), peer),
                (Mode::Bidirectional, Near::Peers) => (addresses::near_network(peer), peer),
                _ => (addresses::network(peer), peer),
            };
            self.route((network, 24), adjacency);
        }
        Ok(())
    }

    /// Templates to all peers, which come first among the adjacencies, so that each has the
    /// number of its peer; and their SAs.
    fn templates(&mut self, site: &Site<'_>, way: usize, near: Near) -> Result<(), Error> {
        let case = site.case;
        let (next_hop, direction) = match near {
            Near::Gateway => (NEIGHBOR_MAC, Direction::FromGateway),
            Near::Peers => (GATEWAY_MAC, Direction::ToGateway),
        };
        let link = site.link(way, next_hop)?;
        self.outbound(site, direction)?;
        for peer in 0..case.tunnel_peers() {
            let ends = match near {
                Near::Gateway => (HUB, addresses::peer(peer)),
                Near::Peers => (addresses::peer(peer), HUB),
            };
            let template = site.template(peer, ends, link, near == Near::Peers);
            self.add(Adjacency::Tunnel(Arc::new(template).into()))?;
        }
        Ok(())
    }

    /// An SA to each peer. SAs are made before templates, and apart from them, as the control
    /// thread does: with a thousand peers, how memory is laid out is seen.
    fn outbound(&mut self, site: &Site<'_>, direction: Direction) -> Result<(), Error> {
        for peer in 0..site.case.tunnel_peers() {
            if site.case.mode.is_protected() {
                self.outbound.push(site.outbound(peer, direction)?);
            }
        }
        Ok(())
    }

    /// Every peer is known as a sender, and has an SA.
    fn known(&mut self, site: &Site<'_>) -> Result<(), Error> {
        for peer in 0..site.case.tunnel_peers() {
            if site.case.mode.is_protected() {
                self.inbound.push(site.inbound(peer)?);
            }
        }
        for peer in 0..site.case.tunnel_peers() {
            self.peers.push((addresses::peer(peer).into(), site.peer(peer)));
        }
        Ok(())
    }

    /// Groups that go to every peer, from wherever their sources are.
    fn group(&mut self, site: &Site<'_>, way: usize) -> Result<(), Error> {
        self.templates(site, way, Near::Gateway)?;
        let interface = site.tunnel_interface();
        let replica = |adjacency| Replica { interface, adjacency };
        let interfaces = site.ingress(way);
        self.multicast.push(MulticastRule {
            range: (GROUPS.0.into(), GROUPS.1.into()),
            interfaces: interfaces.clone(),
            receivers: ReplicationList { replicas: (0..site.case.peers).map(replica).collect() },
        });
        // The reverse path check wants a route to the sources, by each port that they come from.
        let mut back = Vec::new();
        for interface in interfaces {
            back.push(self.add(Adjacency::Connected { interface })?);
        }
        let back = self.add(Adjacency::Group(back.into()))?;
        self.route(SOURCES, back);
        Ok(())
    }

    fn add(&mut self, adjacency: Adjacency) -> Result<u32, Error> {
        self.adjacencies.push(adjacency);
        let index = u32::try_from(self.adjacencies.len() - 1);
        index.map_err(|_| Error::Setup("too many adjacencies"))
    }

    fn route(&mut self, (network, length): (std::net::Ipv4Addr, u8), adjacency: u32) {
        self.routes.push((network.to_bits(), length, adjacency));
    }

    fn finish(self, site: Site<'_>) -> Result<World, Error> {
        let to_gre_encap = self.outbound.iter().map(|sa| Install {
            stage: StageKind::GreEncap,
            lane: sa.slot,
            command: SaCommand::InstallOutbound(sa.clone()),
        });
        let to_esp_open = self.inbound.iter().map(|sa| Install {
            stage: StageKind::EspOpen,
            lane: sa.slot,
            command: SaCommand::InstallInbound(sa.clone()),
        });
        let sas = to_gre_encap.chain(to_esp_open).collect();
        let tables = Tables {
            overlay: overlay(&self.routes, self.default)?,
            adjacencies: Arc::new(self.adjacencies),
            tunnels: Arc::new(TunnelMap::new(vec![site.tunnel()], self.peers)),
            sas: Arc::new(SaTable::new(self.inbound, self.outbound)),
            multicast: Arc::new(self.multicast),
            interfaces: Arc::new(Interfaces::new(site.interfaces)),
            ..Tables::default()
        };
        Ok(World { tables, sas })
    }
}

/// A table of routes, the default one for both families.
fn overlay(routes: &[(u32, u8, u32)], default: Option<u32>) -> Result<Fib, Error> {
    let too_many = |_| Error::Setup("too many routes");
    let route = |(network, length, adjacency): &(u32, u8, u32)| {
        Some((Prefix::new(*network, *length)?, Next(*adjacency)))
    };
    let default_v4 = default.map(|adjacency| (0, 0, adjacency));
    let v4 = Fib4::build(routes.iter().chain(&default_v4).filter_map(route)).map_err(too_many)?;
    let mut fib = Fib { v4: Arc::new(v4), ..Fib::default() };
    if let Some((prefix, adjacency)) = Prefix::new(0, 0).zip(default) {
        fib.v6 = Arc::new(Fib6::build([(prefix, Next(adjacency))]).map_err(too_many)?);
    }
    Ok(fib)
}
