//! Forwarding tables of the two worlds.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use dataplane::drops::DropReason;
use dataplane::tables::fib::{Fib4, Fib6, Next, Prefix};
use dataplane::tables::{Adjacency, Fib, L2Rewrite};
use nhrp::Path;
use wire::{IpPrefix, MacAddr};

use crate::config::{
    self, Config, Interface, NextHop, PortId, Role, Table, Tunnel, TunnelId, TunnelMode,
};

use super::indices::AdjacencyKey;
use super::{Build, ipsec, multicast, port_interface, tunnel_interface, tunnels};

/// Prefixes of a table and what they lead to. Of those that are the same the last one counts.
type Routes = Vec<(IpPrefix, u32)>;

/// The tables of the last snapshot with the routes they were built from. Half a million routes
/// take a while to build; a new neighbour must not wait for them.
#[derive(Debug, Default)]
pub struct RouteCache {
    overlay: (Routes, Fib),
    underlay: (Routes, Fib),
}

/// Peers of multipoint tunnels that the configuration maps, by their address in the tunnel.
type Mapped = HashMap<(TunnelId, IpAddr), Path>;

/// The underlay's table: gateways, routes, connected subnets, own addresses; of the same prefix the
/// last of them counts.
pub(super) fn underlay(build: &mut Build<'_>) -> Fib {
    let mut routes = Routes::new();
    // No route of the underlay leads into a tunnel.
    configured(build, Table::Underlay, &Mapped::new(), &mut routes);
    connected(build, Role::Underlay, &mut routes);
    locals(build, Role::Underlay, &mut routes);
    cached(&mut build.memory.routes.underlay, routes)
}

/// The overlay's table: IPsec policies, routes, subnets of ports and tunnels, shortcuts, own
/// addresses; of the same prefix the last of them counts. The adjacencies of tunnel peers are in
/// place.
pub(super) fn overlay(build: &mut Build<'_>) -> Fib {
    let mut routes = ipsec::policy_routes(build);
    let mapped = mapped(build.config);
    configured(build, Table::Overlay, &mapped, &mut routes);
    connected(build, Role::Overlay, &mut routes);
    for (number, tunnel) in (0u16..).zip(&build.config.tunnels) {
        tunnel_subnets(build, TunnelId(number), tunnel, &mut routes);
    }
    shortcuts(build, &mut routes);
    broadcasts(build, &mut routes);
    locals(build, Role::Overlay, &mut routes);
    cached(&mut build.memory.routes.overlay, routes)
}

fn mapped(config: &Config) -> Mapped {
    let tunnels = (0..).map(TunnelId).zip(&config.tunnels);
    let maps = tunnels.filter_map(|(id, tunnel)| match &tunnel.mode {
        TunnelMode::Mgre { map, .. } => Some((id, map)),
        TunnelMode::Gre { .. } => None,
    });
    maps.flat_map(|(id, map)| map.iter().map(move |of| ((id, of.protocol), of.nbma.into())))
        .collect()
}

fn cached(cache: &mut (Routes, Fib), routes: Routes) -> Fib {
    let (old, fib) = cache;
    if *old == routes {
        return fib.clone();
    }
    // The configuration's own limit is below that of the tables.
    if !v4(&routes).eq(v4(old)) {
        fib.v4 = Arc::new(Fib4::build(v4(&routes)).unwrap_or_default());
    }
    if !v6(&routes).eq(v6(old)) {
        fib.v6 = Arc::new(Fib6::build(v6(&routes)).unwrap_or_default());
    }
    *old = routes;
    fib.clone()
}

fn v4(routes: &Routes) -> impl Iterator<Item = (Prefix<u32>, Next)> {
    routes.iter().filter_map(|(prefix, index)| match prefix {
        IpPrefix::V4(p) => Some((Prefix::new(p.network().to_bits(), p.len())?, Next(*index))),
        IpPrefix::V6(_) => None,
    })
}

fn v6(routes: &Routes) -> impl Iterator<Item = (Prefix<u128>, Next)> {
    routes.iter().filter_map(|(prefix, index)| match prefix {
        IpPrefix::V6(p) => Some((Prefix::new(p.network().to_bits(), p.len())?, Next(*index))),
        IpPrefix::V4(_) => None,
    })
}

fn ports(config: &Config, role: Role) -> impl Iterator<Item = (u16, &config::Port)> {
    (0u16..).zip(&config.ports).filter(move |(_, port)| port.role == role)
}

fn connected(build: &mut Build<'_>, role: Role, routes: &mut Routes) {
    for (index, port) in ports(build.config, role) {
        let adjacency = build.connected(port_interface(PortId(index)));
        for address in &port.addresses {
            routes.push((address.prefix(), adjacency));
        }
    }
}

fn locals(build: &mut Build<'_>, role: Role, routes: &mut Routes) {
    let config = build.config;
    let local = build.local();
    let of_ports = ports(config, role).flat_map(|(_, port)| &port.addresses);
    let of_tunnels = config.tunnels.iter().flat_map(|tunnel| &tunnel.addresses);
    for address in of_ports.chain(of_tunnels.filter(|_| role == Role::Overlay)) {
        routes.push((IpPrefix::host(address.address()), local));
    }
}

/// Subnets of a tunnel: a point-to-point tunnel's leads to its peer, an mGRE tunnel's to the
/// peers that are mapped, by the configuration or by NHRP.
fn tunnel_subnets(build: &mut Build<'_>, id: TunnelId, tunnel: &Tunnel, routes: &mut Routes) {
    match &tunnel.mode {
        TunnelMode::Gre { remote, .. } => {
            if build.is_down(id) {
                return;
            }
            let peer = tunnels::peer_index(build, id, (*remote).into());
            for address in &tunnel.addresses {
                routes.push((address.prefix(), peer));
            }
        }
        TunnelMode::Mgre { .. } => {
            let unmapped = build.drop(DropReason::Unresolved);
            for address in &tunnel.addresses {
                routes.push((address.prefix(), unmapped));
            }
            for (protocol, path) in build.known.learned.bindings(id, tunnel) {
                let peer = tunnels::peer_index(build, id, path);
                routes.push((IpPrefix::host(protocol), peer));
            }
        }
    }
}

/// What NHRP has found shorter ways for.
fn shortcuts(build: &mut Build<'_>, routes: &mut Routes) {
    let learned = build.known.learned;
    for id in (0..).map(TunnelId).take(build.config.tunnels.len()) {
        for (prefix, _) in learned.shortcuts(id) {
            routes.push((prefix, tunnels::shortcut_index(build, id, prefix)));
        }
    }
}

fn configured(build: &mut Build<'_>, table: Table, mapped: &Mapped, routes: &mut Routes) {
    // Many routes have few next hops.
    let mut known: HashMap<NextHop, Option<u32>> = HashMap::new();
    for route in build.config.routes.iter().filter(|route| route.table == table) {
        let adjacency = |hop: &NextHop| {
            *known.entry(*hop).or_insert_with(|| hop_adjacency(build, *hop, mapped))
        };
        let members: Vec<u32> = route.next_hops.iter().filter_map(adjacency).collect();
        match members.as_slice() {
            // All its tunnels are down.
            [] => {}
            [single] => routes.push((route.prefix, *single)),
            _ => {
                let group = Adjacency::Group(members.clone().into_boxed_slice());
                let index = build.set(AdjacencyKey::Group(members), group);
                routes.push((route.prefix, index));
            }
        }
    }
}

fn hop_adjacency(build: &mut Build<'_>, hop: NextHop, mapped: &Mapped) -> Option<u32> {
    match hop.interface() {
        Interface::Port(port) => Some(match hop {
            NextHop::Gateway { address, .. } => build.next_hop(port_interface(port), address),
            NextHop::Direct(_) => build.connected(port_interface(port)),
        }),
        Interface::Tunnel(id) if build.is_down(id) => None,
        Interface::Tunnel(id) => {
            let path = match (&build.config.tunnels[id.index()].mode, hop) {
                (TunnelMode::Gre { remote, .. }, _) => Some(Path::from(*remote)),
                (TunnelMode::Mgre { .. }, NextHop::Gateway { address, .. }) => {
                    let learned = || build.known.learned.peer_at(id, address);
                    mapped.get(&(id, address)).copied().or_else(learned)
                }
                (TunnelMode::Mgre { .. }, NextHop::Direct(_)) => None,
            };
            Some(match path {
                Some(path) => tunnels::peer_index(build, id, path),
                None => build.drop(DropReason::Unresolved),
            })
        }
    }
}

/// Directed broadcast (RFC 2644: off unless configured) and broadcast on mGRE tunnels.
fn broadcasts(build: &mut Build<'_>, routes: &mut Routes) {
    let broadcast = |prefix: IpPrefix| match prefix {
        IpPrefix::V4(prefix) => prefix.broadcast().map(IpAddr::V4),
        IpPrefix::V6(_) => None,
    };
    for (index, port) in ports(build.config, Role::Overlay) {
        let Some(interface) = build.interfaces.get(index) else { continue };
        let adjacency = if port.directed_broadcast {
            let link = L2Rewrite::new(interface, MacAddr::BROADCAST);
            build.set(AdjacencyKey::Broadcast(index), Adjacency::Neighbor(link))
        } else {
            build.drop(DropReason::DirectedBroadcast)
        };
        for address in port.addresses.iter().filter_map(|a| broadcast(a.prefix())) {
            routes.push((IpPrefix::host(address), adjacency));
        }
    }
    let config = build.config;
    for (index, tunnel) in (0u16..).zip(&config.tunnels) {
        let id = TunnelId(index);
        if build.is_down(id) {
            continue;
        }
        let interface = tunnel_interface(config, id);
        let receivers = multicast::tunnel_receivers(build, id);
        let adjacency =
            build.set(AdjacencyKey::Broadcast(interface), Adjacency::Replicate(receivers));
        for address in tunnel.addresses.iter().filter_map(|a| broadcast(a.prefix())) {
            routes.push((IpPrefix::host(address), adjacency));
        }
    }
}
