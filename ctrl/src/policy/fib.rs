//! Forwarding tables of the two worlds.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use dataplane::drops::DropReason;
use dataplane::tables::fib::{Fib4, Fib6, Next, Prefix};
use dataplane::tables::{Adjacency, Fib, L2Rewrite};
use wire::{IpPrefix, MacAddr};

use crate::config::{self, Interface, NextHop, PortId, Role, Route, Table, TunnelId, TunnelMode};

use super::indices::AdjacencyKey;
use super::{Build, ipsec, multicast, port_interface, tunnel_interface, tunnels};

/// Routes of a table by prefix: later ones of the same prefix replace earlier ones.
type Routes = BTreeMap<(IpAddr, u8), u32>;

/// The tables of the last snapshot with the routes they were built from. Half a million routes
/// take a while to build; a new neighbour must not wait for them.
#[derive(Debug, Default)]
pub struct RouteCache {
    overlay: (Routes, Fib),
    underlay: (Routes, Fib),
}

/// The underlay's table: connected subnets, gateways, routes, own addresses.
pub(super) fn underlay(build: &mut Build<'_>) -> Fib {
    let mut routes = Routes::new();
    connected(build, Role::Underlay, &mut routes);
    configured(build, Table::Underlay, &mut routes, None);
    locals(build, Role::Underlay, &mut routes);
    cached(&mut build.memory.routes.underlay, routes)
}

/// The overlay's table: subnets of ports and tunnels, routes, IPsec policies, own addresses.
pub(super) fn overlay(build: &mut Build<'_>, underlay: &Fib) -> Fib {
    let mut routes = Routes::new();
    ipsec::policy_routes(build, |prefix, index| insert(&mut routes, prefix, index));
    connected(build, Role::Overlay, &mut routes);
    for index in 0..build.config.tunnels.len() {
        let id = TunnelId(u16::try_from(index).unwrap_or(u16::MAX));
        tunnel_subnets(build, id, underlay, &mut routes);
    }
    configured(build, Table::Overlay, &mut routes, Some(underlay));
    broadcasts(build, &mut routes);
    locals(build, Role::Overlay, &mut routes);
    cached(&mut build.memory.routes.overlay, routes)
}

fn insert(routes: &mut Routes, prefix: IpPrefix, index: u32) {
    routes.insert((prefix.network(), prefix.len()), index);
}

fn cached(cache: &mut (Routes, Fib), routes: Routes) -> Fib {
    if cache.0 != routes {
        cache.1 = build_fib(&routes);
        cache.0 = routes;
    }
    cache.1.clone()
}

fn build_fib(routes: &Routes) -> Fib {
    let v4 = routes.iter().filter_map(|((network, len), index)| match network {
        IpAddr::V4(a) => Some((Prefix::new(a.to_bits(), *len)?, Next(*index))),
        IpAddr::V6(_) => None,
    });
    let v6 = routes.iter().filter_map(|((network, len), index)| match network {
        IpAddr::V6(a) => Some((Prefix::new(a.to_bits(), *len)?, Next(*index))),
        IpAddr::V4(_) => None,
    });
    // The configuration's own limit is below that of the tables.
    let v4 = Fib4::build(v4).unwrap_or_default();
    Fib { v4: Arc::new(v4), v6: Arc::new(Fib6::build(v6).unwrap_or_default()) }
}

fn ports(build: &Build<'_>, role: Role) -> Vec<(u16, config::Port)> {
    let config = build.config;
    let of_role =
        |(index, port): (u16, &config::Port)| (port.role == role).then(|| (index, port.clone()));
    (0u16..).zip(&config.ports).filter_map(of_role).collect()
}

fn connected(build: &mut Build<'_>, role: Role, routes: &mut Routes) {
    for (index, port) in ports(build, role) {
        let adjacency = build.connected(port_interface(PortId(index)));
        for address in &port.addresses {
            insert(routes, address.prefix(), adjacency);
        }
    }
}

fn locals(build: &mut Build<'_>, role: Role, routes: &mut Routes) {
    let local = build.local();
    let mut addresses = Vec::new();
    for (_, port) in ports(build, role) {
        addresses.extend(port.addresses.iter().map(|a| a.address()));
    }
    if role == Role::Overlay {
        let tunnels = build.config.tunnels.iter();
        addresses.extend(tunnels.flat_map(|t| t.addresses.iter().map(|a| a.address())));
    }
    for address in addresses {
        insert(routes, IpPrefix::host(address), local);
    }
}

/// Subnets of a tunnel: a point-to-point tunnel's leads to its peer, an mGRE tunnel's to the
/// peers that are mapped.
fn tunnel_subnets(build: &mut Build<'_>, id: TunnelId, underlay: &Fib, routes: &mut Routes) {
    let config = build.config;
    let tunnel = &config.tunnels[id.index()];
    match &tunnel.mode {
        TunnelMode::Gre { remote, .. } => {
            if build.known.down.contains(&tunnel_interface(config, id)) {
                return;
            }
            let peer = tunnels::peer(build, id, *remote, underlay);
            for address in &tunnel.addresses {
                insert(routes, address.prefix(), peer);
            }
        }
        TunnelMode::Mgre { map, .. } => {
            let unmapped = build.drop(DropReason::Unresolved);
            for address in &tunnel.addresses {
                insert(routes, address.prefix(), unmapped);
            }
            for entry in map {
                let peer = tunnels::peer(build, id, entry.nbma, underlay);
                insert(routes, IpPrefix::host(entry.protocol), peer);
            }
        }
    }
}

fn configured(build: &mut Build<'_>, table: Table, routes: &mut Routes, underlay: Option<&Fib>) {
    let config = build.config;
    for route in config.routes.iter().filter(|route| route.table == table) {
        if let Some(index) = route_adjacency(build, route, underlay) {
            insert(routes, route.prefix, index);
        }
    }
}

/// Where a route leads; nowhere if all its tunnels are down.
fn route_adjacency(build: &mut Build<'_>, route: &Route, underlay: Option<&Fib>) -> Option<u32> {
    let hops = route.next_hops.iter();
    let members: Vec<u32> = hops.filter_map(|hop| hop_adjacency(build, *hop, underlay)).collect();
    match members.as_slice() {
        [] => None,
        [single] => Some(*single),
        _ => {
            let group = Adjacency::Group(members.clone().into_boxed_slice());
            Some(build.set(AdjacencyKey::Group(members), group))
        }
    }
}

fn hop_adjacency(build: &mut Build<'_>, hop: NextHop, underlay: Option<&Fib>) -> Option<u32> {
    let config = build.config;
    match hop.interface() {
        Interface::Port(port) => Some(match hop {
            NextHop::Gateway { address, .. } => build.next_hop(port_interface(port), address),
            NextHop::Direct(_) => build.connected(port_interface(port)),
        }),
        Interface::Tunnel(id) => {
            if build.known.down.contains(&tunnel_interface(config, id)) {
                return None;
            }
            let nbma = match (&config.tunnels[id.index()].mode, hop) {
                (TunnelMode::Gre { remote, .. }, _) => Some(*remote),
                (TunnelMode::Mgre { map, .. }, NextHop::Gateway { address, .. }) => {
                    map.iter().find(|entry| entry.protocol == address).map(|entry| entry.nbma)
                }
                (TunnelMode::Mgre { .. }, NextHop::Direct(_)) => None,
            };
            Some(match (nbma, underlay) {
                (Some(nbma), Some(underlay)) => tunnels::peer(build, id, nbma, underlay),
                _ => build.drop(DropReason::Unresolved),
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
    for (index, port) in ports(build, Role::Overlay) {
        let Some(interface) = build.interfaces.get(index) else { continue };
        let adjacency = if port.directed_broadcast {
            let link = L2Rewrite::new(interface, MacAddr::BROADCAST);
            build.set(AdjacencyKey::Broadcast(index), Adjacency::Neighbor(link))
        } else {
            build.drop(DropReason::DirectedBroadcast)
        };
        for address in port.addresses.iter().filter_map(|a| broadcast(a.prefix())) {
            insert(routes, IpPrefix::host(address), adjacency);
        }
    }
    let config = build.config;
    for (index, tunnel) in (0u16..).zip(&config.tunnels) {
        let id = TunnelId(index);
        let interface = tunnel_interface(config, id);
        let receivers = multicast::tunnel_receivers(config, build.memory, id);
        let adjacency =
            build.set(AdjacencyKey::Broadcast(interface), Adjacency::Replicate(receivers));
        for address in tunnel.addresses.iter().filter_map(|a| broadcast(a.prefix())) {
            insert(routes, IpPrefix::host(address), adjacency);
        }
    }
}
