//! Tunnels: their peers' rewrite templates, and how received packets find them.

use std::net::IpAddr;
use std::num::NonZeroU16;
use std::sync::Arc;

use dataplane::counters::Traffic;
use dataplane::drops::DropReason;
use dataplane::tables::encap::{DfPolicy, DscpPolicy, EspSpec, GreSpec};
use dataplane::tables::sa::SaMode;
use dataplane::tables::tunnel::{self, Remote};
use dataplane::tables::{Adjacency, EncapSpec, Fib, L2Rewrite, Peer, Protection, TunnelMap};
use nhrp::Path;
use wire::IpPrefix;

use crate::config::{
    self, Df, Dscp, EspMode, Fragment, GreSequence, ProfileId, Tunnel, TunnelId, TunnelMode,
};

use super::indices::AdjacencyKey;
use super::{Build, ipsec, tunnel_interface};

/// How packets to a peer leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guard {
    /// In clear.
    Clear,
    /// By the SA of this profile with this peer, which need not be the tunnel's own.
    Protect(ProfileId, Path),
    /// Not at all.
    Discard,
}

/// A tunnel, and what its templates have of it.
struct Near<'a> {
    tunnel: &'a Tunnel,
    interface: u16,
    /// The interface that its NHRP network is known by, if it redirects.
    redirect: Option<u16>,
}

/// A peer of a tunnel, and what templates that lead to it have of it.
struct Far {
    path: Path,
    guard: Guard,
    /// Its own adjacency.
    index: u32,
    /// Counters of what is sent by the template.
    sent: Arc<[Traffic]>,
}

/// The adjacency with this index, which leads to a tunnel's peer.
fn adjacency(
    build: &mut Build<'_>,
    near: &Near<'_>,
    far: &Far,
    index: u32,
    underlay: &Fib,
) -> Adjacency {
    let (profile, outer) = match far.guard {
        Guard::Discard => return Adjacency::Drop(DropReason::PolicyDiscard),
        Guard::Clear => (None, far.path),
        Guard::Protect(profile, outer) => (Some(profile), outer),
    };
    let route = Route { local: near.tunnel.local, outer, underlay, index };
    template(build, &route, profile, |link, esp| spec(near, far, link, esp))
}

/// The index of a tunnel peer's adjacency, which [`tunnel_map`] puts in place.
pub(super) fn peer_index(build: &mut Build<'_>, id: TunnelId, path: Path) -> u32 {
    let interface = tunnel_interface(build.config, id);
    build.memory.indices.of(AdjacencyKey::Peer(interface, path))
}

/// The index of a shortcut's adjacency, which [`tunnel_map`] puts in place.
pub(super) fn shortcut_index(build: &mut Build<'_>, id: TunnelId, prefix: IpPrefix) -> u32 {
    let interface = tunnel_interface(build.config, id);
    build.memory.indices.of(AdjacencyKey::Shortcut(interface, prefix))
}

/// Puts the adjacencies of a tunnel's shortcuts in place: those of their peers, but with counters
/// of their own. So one can tell which of the shortcuts to a peer are used.
fn shortcuts(build: &mut Build<'_>, id: TunnelId, near: &Near<'_>, underlay: &Fib) {
    for (prefix, path) in build.known.learned.shortcuts(id) {
        let far = Far {
            path,
            guard: guard(build.config, near.tunnel, path),
            index: peer_index(build, id, path),
            sent: build.sent_by_shortcut(id, prefix, path),
        };
        let index = shortcut_index(build, id, prefix);
        let adjacency = adjacency(build, near, &far, index, underlay);
        build.put(index, adjacency);
    }
}

/// Where the outer packets of a template go.
pub(super) struct Route<'a> {
    /// Our outer address.
    pub(super) local: IpAddr,
    /// The outer destination.
    pub(super) outer: Path,
    /// The underlay's table.
    pub(super) underlay: &'a Fib,
    /// Index of the adjacency that the template is for.
    pub(super) index: u32,
}

/// A template, or why there is none: no SA comes first, so that nothing waits for a neighbour only
/// to be dropped.
pub(super) fn template(
    build: &mut Build<'_>,
    route: &Route<'_>,
    profile: Option<ProfileId>,
    spec: impl FnOnce(L2Rewrite, Option<EspSpec>) -> EncapSpec,
) -> Adjacency {
    let (mut local, mut outer) = (route.local, route.outer.nbma);
    let mut esp = None;
    if let Some(profile) = profile {
        let Some(sa) = build.known.sas.outbound(profile, route.outer) else {
            return Adjacency::Drop(DropReason::NoSa);
        };
        if sa.expired {
            return Adjacency::Drop(DropReason::SaExpired);
        }
        outer = sa.peer_address();
        // The outer header of transport mode is the packet's own.
        if sa.profile.mode == EspMode::Tunnel {
            local = sa.manual.local;
        }
        esp = Some(EspSpec {
            slot: sa.slot,
            spi: sa.manual.spi.value(),
            mode: match sa.profile.mode {
                EspMode::Transport => SaMode::Transport,
                EspMode::Tunnel => SaMode::Tunnel,
            },
            udp: sa.udp_ports(),
        });
    }
    let Some(Way { interface, next_hop, link }) = way(build, route.underlay, outer) else {
        return Adjacency::Drop(DropReason::NoRoute);
    };
    match link {
        None => {
            build.unresolved.insert(route.index, (interface, next_hop));
            Adjacency::Unresolved { interface }
        }
        Some(link) => {
            let mut spec = spec(link, esp);
            (spec.local, spec.remote) = (local, outer);
            spec.path_mtu =
                build.known.path_mtus.get(&outer).map_or(link.mtu, |m| link.mtu.min(*m));
            Adjacency::Tunnel(build.encap(route.index, spec).into())
        }
    }
}

/// The neighbour by which an NBMA address is reached.
#[derive(Clone, Copy)]
pub(super) struct Way {
    interface: u16,
    next_hop: IpAddr,
    /// Its header, if it is resolved.
    link: Option<L2Rewrite>,
}

/// The way to an NBMA address. Only the underlay's table is asked, so that no tunnel can be routed
/// into itself.
fn way(build: &mut Build<'_>, underlay: &Fib, nbma: IpAddr) -> Option<Way> {
    let index = underlay.lookup(nbma)?;
    if let Some(way) = build.ways.get(&index) {
        return Some(*way);
    }
    let via = |index: u32| match build.memory.indices.key(index)? {
        AdjacencyKey::Connected(interface) => Some((*interface, nbma)),
        AdjacencyKey::NextHop(interface, address) => Some((*interface, *address)),
        _ => None,
    };
    let key = build.memory.indices.key(index)?;
    let (interface, next_hop) = match key {
        // One peer keeps to one path: its packets must stay in order.
        AdjacencyKey::Group(members) => {
            let resolved = |m: &&u32| {
                via(**m).is_some_and(|(interface, hop)| build.link(interface, hop).is_some())
            };
            via(*members.iter().find(resolved).or(members.first())?)?
        }
        _ => via(index)?,
    };
    let way = Way { interface, next_hop, link: build.link(interface, next_hop) };
    build.needed.insert((interface, next_hop));
    // Other ways depend on the address itself.
    if matches!(key, AdjacencyKey::NextHop(..)) {
        build.ways.insert(index, way);
    }
    Some(way)
}

fn spec(near: &Near<'_>, far: &Far, link: L2Rewrite, esp: Option<EspSpec>) -> EncapSpec {
    let tunnel = near.tunnel;
    let sequence = tunnel.sequence != GreSequence::Off;
    EncapSpec {
        interface: near.interface,
        link,
        local: tunnel.local,
        remote: far.path.nbma,
        inner: (tunnel.local, far.path.nbma),
        ttl: tunnel.ttl.get(),
        dscp: match tunnel.dscp {
            Dscp::Copy => DscpPolicy::Copy,
            Dscp::Set(dscp) => DscpPolicy::Fixed(dscp),
        },
        df: match tunnel.df {
            Df::Copy => DfPolicy::Copy,
            Df::Set => DfPolicy::Set,
            Df::Clear => DfPolicy::Clear,
        },
        // One SA, or one sequence of GRE, is one lane.
        lane: esp.map(|esp| esp.slot).or(sequence.then_some(far.index)),
        esp,
        gre: Some(GreSpec { key: tunnel.key, checksum: tunnel.checksum, sequence }),
        mtu: tunnel.mtu,
        path_mtu: link.mtu,
        fragment_after: tunnel.fragment == Fragment::After,
        clamp_mss: tunnel.mss_clamp,
        redirect: near.redirect,
        peer: far.index,
        sent: far.sent.clone(),
    }
}

/// The interface that the NHRP network of a tunnel is known by, if it redirects.
fn redirect(config: &config::Config, id: TunnelId) -> Option<u16> {
    config.redirecting_network(id).map(|network| tunnel_interface(config, network))
}

/// What the profile of the tunnel, or the policy of its source port, says about packets to a peer.
pub fn guard(config: &config::Config, tunnel: &Tunnel, peer: Path) -> Guard {
    match tunnel.protection {
        Some(profile) => Guard::Protect(profile, peer),
        None => ipsec::guard_of_gre(config, tunnel.source, tunnel.local, peer.nbma),
    }
}

impl Guard {
    /// How packets of the peer must arrive.
    pub(super) fn protection(self) -> Protection {
        match self {
            Guard::Clear => Protection::Clear,
            Guard::Protect(profile, _) => Protection::Required { profile: profile.0 },
            Guard::Discard => Protection::Discard,
        }
    }
}

/// How received packets find their tunnel and peer.
pub(super) fn tunnel_map(build: &mut Build<'_>, underlay: &Fib) -> TunnelMap {
    let config = build.config;
    let mut tunnels = Vec::new();
    let mut known = Vec::new();
    for (number, tunnel) in (0u16..).zip(&config.tunnels) {
        let id = TunnelId(number);
        let interface = tunnel_interface(config, id);
        let near = Near { tunnel, interface, redirect: redirect(config, id) };
        let mut mss: Option<u16> = None;
        build.gre_sas.add_tunnel(tunnel);
        let peers = build.known.learned.peers_and_strangers(id, tunnel);
        known.reserve(peers.len());
        for path in peers {
            let guard = guard(config, tunnel, path);
            build.gre_sas.add_peer(tunnel, guard);
            let index = peer_index(build, id, path);
            let counters = build.counters(&tunnel.name, path);
            let far = Far { path, guard, index, sent: counters.own.clone() };
            let (received, sequence) = (counters.received.clone(), counters.sequence.clone());
            let adjacency = adjacency(build, &near, &far, index, underlay);
            if let Adjacency::Tunnel(encap) = &adjacency {
                mss = Some(mss.map_or(encap.mss, |least| least.min(encap.mss)));
            }
            build.put(index, adjacency);
            let peer = Peer {
                tunnel: number,
                adjacency: index,
                protection: guard.protection(),
                received,
                sequence,
            };
            let port = path.port.map_or(0, NonZeroU16::get);
            known.push((Remote { address: path.nbma.into(), port }, peer));
        }
        shortcuts(build, id, &near, underlay);
        tunnels.push(tunnel::Tunnel {
            interface,
            local: tunnel.local,
            key: tunnel.key,
            multipoint: matches!(tunnel.mode, TunnelMode::Mgre { .. }),
            ordered: tunnel.sequence == GreSequence::Ordered,
            protection: match tunnel.protection {
                Some(profile) => Protection::Required { profile: profile.0 },
                None => ipsec::protection_of_strangers(config, tunnel.source, tunnel.local),
            },
            mss: mss.unwrap_or(0),
            redirect: near.redirect.filter(|_| tunnel.redirects()),
        });
    }
    // Where both have a peer under one key, the point-to-point tunnel is the more specific: last.
    known.sort_by_key(|(_, peer): &(Remote, Peer)| !tunnels[usize::from(peer.tunnel)].multipoint);
    TunnelMap::new(tunnels, known)
}
