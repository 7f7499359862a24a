//! Routes and neighbours.

use std::net::IpAddr;

use nhrp::Path;

use crate::api::report::{
    Neighbor, NeighborState, NextHop, NextHopState, Route, RouteSource, RouteTable,
};
use crate::config::{self, Interface, Role, Table, TunnelId, TunnelMode};
use crate::neighbor::{Origin, state::State};
use crate::policy::{self, AdjacencyKey};

use super::super::control::Gateway;
use super::interfaces::next_hop_state;

impl Gateway {
    pub(in super::super) fn report_routes(&self) -> Vec<Route> {
        let mut report = self.connected_routes();
        report.extend(self.config.routes.iter().map(|route| self.configured_route(route)));
        report
    }

    fn connected_routes(&self) -> Vec<Route> {
        let connected = |table, name: &str, address: &wire::IfAddr, state| Route {
            table,
            prefix: address.prefix().to_string(),
            source: RouteSource::Connected,
            next_hops: vec![NextHop { via: None, interface: name.to_owned(), state }],
        };
        let mut report = Vec::new();
        for port in &self.config.ports {
            let table = match port.role {
                Role::Underlay => RouteTable::Underlay,
                Role::Overlay => RouteTable::Overlay,
            };
            for address in &port.addresses {
                report.push(connected(table, &port.name, address, NextHopState::Resolved));
            }
        }
        for (number, tunnel) in (0u16..).zip(&self.config.tunnels) {
            let interface = policy::tunnel_interface(&self.config, TunnelId(number));
            let state = match self.down.contains(&interface) {
                true => NextHopState::Down,
                false => NextHopState::Resolved,
            };
            for address in &tunnel.addresses {
                report.push(connected(RouteTable::Overlay, &tunnel.name, address, state));
            }
        }
        report
    }

    fn configured_route(&self, route: &config::Route) -> Route {
        Route {
            table: match route.table {
                Table::Overlay => RouteTable::Overlay,
                Table::Underlay => RouteTable::Underlay,
            },
            prefix: route.prefix.to_string(),
            source: RouteSource::Static,
            next_hops: route.next_hops.iter().map(|hop| self.next_hop(*hop)).collect(),
        }
    }

    fn next_hop(&self, hop: config::NextHop) -> NextHop {
        let via = match hop {
            config::NextHop::Gateway { address, .. } => Some(address),
            config::NextHop::Direct(_) => None,
        };
        let (interface, state) = match hop.interface() {
            Interface::Port(port) => {
                let state = via.map_or(NextHopState::Resolved, |address| {
                    self.adjacency_state(&AdjacencyKey::NextHop(port.0, address))
                });
                (self.port_name(port.0), state)
            }
            Interface::Tunnel(id) => {
                (self.config.tunnels[id.index()].name.clone(), self.tunnel_state(id, via))
            }
        };
        NextHop { via, interface, state }
    }

    fn tunnel_state(&self, id: TunnelId, via: Option<IpAddr>) -> NextHopState {
        let interface = policy::tunnel_interface(&self.config, id);
        if self.down.contains(&interface) {
            return NextHopState::Down;
        }
        let path = match &self.config.tunnels[id.index()].mode {
            TunnelMode::Gre { remote, .. } => Some(Path::from(*remote)),
            TunnelMode::Mgre { .. } => {
                let mut bindings = self.learned.bindings(id, &self.config.tunnels[id.index()]);
                bindings.find(|(protocol, _)| Some(*protocol) == via).map(|(_, path)| path)
            }
        };
        path.map_or(NextHopState::Unresolved, |path| {
            self.adjacency_state(&AdjacencyKey::Peer(interface, path))
        })
    }

    fn adjacency_state(&self, key: &AdjacencyKey) -> NextHopState {
        let index = self.memory.indices.find(key);
        next_hop_state(index.and_then(|index| self.tables.adjacencies.get(index as usize)))
    }

    pub(in super::super) fn report_neighbors(&self) -> Vec<Neighbor> {
        let neighbor = |entry: crate::neighbor::Entry| Neighbor {
            interface: self.port_name(entry.interface),
            address: entry.address,
            mac: entry.mac.map(|mac| mac.to_string()),
            state: match (entry.origin, entry.state) {
                (Origin::Static, _) => NeighborState::Static,
                (_, State::Incomplete) => NeighborState::Incomplete,
                (_, State::Reachable) => NeighborState::Reachable,
                (_, State::Stale) => NeighborState::Stale,
                (_, State::Probe) => NeighborState::Probe,
                (_, State::Failed) => NeighborState::Failed,
            },
            age_seconds: None,
            waiting: u32::try_from(entry.queued).unwrap_or(u32::MAX),
        };
        self.neighbors.entries().map(neighbor).collect()
    }
}
