//! Tunnels: their peers' rewrite templates, and how received packets find them.

use std::net::IpAddr;
use std::num::NonZeroU16;

use dataplane::drops::DropReason;
use dataplane::tables::encap::{DfPolicy, DscpPolicy, EspSpec, GreSpec};
use dataplane::tables::sa::SaMode;
use dataplane::tables::tunnel::{self, Remote};
use dataplane::tables::{Adjacency, Encap, EncapSpec, Fib, L2Rewrite, Peer, Protection, TunnelMap};
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

/// The adjacency of a tunnel peer, put in place.
fn peer(build: &mut Build<'_>, id: TunnelId, path: Path, guard: Guard, underlay: &Fib) -> u32 {
    let tunnel = &build.config.tunnels[id.index()];
    let index = peer_index(build, id, path);
    let (profile, outer) = match guard {
        Guard::Discard => {
            build.adjacencies.insert(index, Adjacency::Drop(DropReason::PolicyDiscard));
            return index;
        }
        Guard::Clear => (None, path),
        Guard::Protect(profile, outer) => (Some(profile), outer),
    };
    let route = Route { local: tunnel.local, outer, underlay, index };
    let adjacency = template(build, &route, profile, |build, link, esp| {
        spec(build, tunnel, id, path, link, esp, index)
    });
    build.adjacencies.insert(index, adjacency);
    index
}

/// The index of a tunnel peer's adjacency, which [`tunnel_map`] puts in place.
pub(super) fn peer_index(build: &mut Build<'_>, id: TunnelId, path: Path) -> u32 {
    let interface = tunnel_interface(build.config, id);
    build.memory.indices.of(AdjacencyKey::Peer(interface, path))
}

/// The adjacency of a shortcut, put in place: that of its peer, which [`tunnel_map`] has put in
/// place, but with counters of its own. So one can tell which of the shortcuts to a peer are used.
pub(super) fn shortcut(build: &mut Build<'_>, id: TunnelId, prefix: IpPrefix, path: Path) -> u32 {
    let peer = peer_index(build, id, path);
    let interface = tunnel_interface(build.config, id);
    let index = build.memory.indices.of(AdjacencyKey::Shortcut(interface, prefix));
    let mut adjacency = match build.adjacencies.get(&peer) {
        Some(adjacency) => adjacency.clone(),
        None => Adjacency::Drop(DropReason::Unresolved),
    };
    if let Adjacency::Tunnel(encap) = &mut adjacency {
        encap.sent = build.sent_by_shortcut(id, prefix, path);
    }
    if let Some(next_hop) = build.unresolved.get(&peer) {
        build.unresolved.insert(index, *next_hop);
    }
    build.adjacencies.insert(index, adjacency);
    index
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
    spec: impl FnOnce(&mut Build<'_>, L2Rewrite, Option<EspSpec>) -> EncapSpec,
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
    let Some((interface, next_hop)) = next_hop(build, route.underlay, outer) else {
        return Adjacency::Drop(DropReason::NoRoute);
    };
    build.needed.insert((interface, next_hop));
    match build.link(interface, next_hop) {
        None => {
            build.unresolved.insert(route.index, (interface, next_hop));
            Adjacency::Unresolved { interface }
        }
        Some(link) => {
            let mut spec = spec(build, link, esp);
            (spec.local, spec.remote) = (local, outer);
            spec.path_mtu =
                build.known.path_mtus.get(&outer).map_or(link.mtu, |m| link.mtu.min(*m));
            Adjacency::Tunnel(Box::new(Encap::new(&spec)))
        }
    }
}

/// The neighbour by which an NBMA address is reached. Only the underlay's table is asked, so that
/// no tunnel can be routed into itself.
fn next_hop(build: &Build<'_>, underlay: &Fib, nbma: IpAddr) -> Option<(u16, IpAddr)> {
    let index = underlay.lookup(nbma)?;
    let via = |index: u32| match build.memory.indices.key(index)? {
        AdjacencyKey::Connected(interface) => Some((*interface, nbma)),
        AdjacencyKey::NextHop(interface, address) => Some((*interface, *address)),
        _ => None,
    };
    match build.memory.indices.key(index)? {
        // One peer keeps to one path: its packets must stay in order.
        AdjacencyKey::Group(members) => {
            let resolved = |m: &&u32| {
                via(**m).is_some_and(|(interface, hop)| build.link(interface, hop).is_some())
            };
            via(*members.iter().find(resolved).or(members.first())?)
        }
        _ => via(index),
    }
}

fn spec(
    build: &mut Build<'_>,
    tunnel: &Tunnel,
    id: TunnelId,
    path: Path,
    link: L2Rewrite,
    esp: Option<EspSpec>,
    index: u32,
) -> EncapSpec {
    let sequence = tunnel.sequence != GreSequence::Off;
    EncapSpec {
        interface: tunnel_interface(build.config, id),
        link,
        local: tunnel.local,
        remote: path.nbma,
        inner: (tunnel.local, path.nbma),
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
        lane: esp.map(|esp| esp.slot).or(sequence.then_some(index)),
        esp,
        gre: Some(GreSpec { key: tunnel.key, checksum: tunnel.checksum, sequence }),
        mtu: tunnel.mtu,
        path_mtu: link.mtu,
        fragment_after: tunnel.fragment == Fragment::After,
        clamp_mss: tunnel.mss_clamp,
        redirect: redirect(build.config, id),
        peer: index,
        sent: build.counters(&tunnel.name, path).own.clone(),
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
        let mut mss: Option<u16> = None;
        for path in build.known.learned.peers(id, tunnel) {
            let guard = guard(config, tunnel, path);
            let adjacency = peer(build, id, path, guard, underlay);
            if let Some(Adjacency::Tunnel(encap)) = build.adjacencies.get(&adjacency) {
                mss = Some(mss.map_or(encap.mss, |least| least.min(encap.mss)));
            }
            let counters = build.counters(&tunnel.name, path);
            let peer = Peer {
                tunnel: number,
                adjacency,
                protection: guard.protection(),
                received: counters.received.clone(),
                sequence: counters.sequence.clone(),
            };
            let port = path.port.map_or(0, NonZeroU16::get);
            known.push((Remote { address: path.nbma.into(), port }, peer));
        }
        tunnels.push(tunnel::Tunnel {
            interface: tunnel_interface(config, id),
            local: tunnel.local,
            key: tunnel.key,
            multipoint: matches!(tunnel.mode, TunnelMode::Mgre { .. }),
            ordered: tunnel.sequence == GreSequence::Ordered,
            protection: match tunnel.protection {
                Some(profile) => Protection::Required { profile: profile.0 },
                None => ipsec::protection_of_strangers(config, tunnel.source, tunnel.local),
            },
            mss: mss.unwrap_or(0),
            redirect: redirect(config, id).filter(|_| tunnel.redirects()),
        });
    }
    // Where both have a peer under one key, the point-to-point tunnel is the more specific: last.
    known.sort_by_key(|(_, peer): &(Remote, Peer)| !tunnels[usize::from(peer.tunnel)].multipoint);
    TunnelMap::new(tunnels, known)
}
