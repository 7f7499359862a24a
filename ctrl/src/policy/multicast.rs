//! Multicast rules, and who gets the copies.

use std::net::{IpAddr, Ipv4Addr};

use dataplane::packet::NONE;
use dataplane::tables::{MulticastRule, Replica, ReplicationList};

use crate::config::{Config, Group, Interface, TunnelId};

use super::indices::AdjacencyKey;
use super::{Build, port_interface, tunnel_interface};

/// All rules; of overlapping groups the longest prefix comes first.
pub(super) fn rules(build: &mut Build<'_>) -> Vec<MulticastRule> {
    let config = build.config;
    let mut rules = Vec::new();
    for rule in &config.multicast {
        let interfaces: Vec<u16> = rule.interfaces.iter().map(|i| index(config, *i)).collect();
        let replicas = rule.interfaces.iter().flat_map(|interface| match interface {
            Interface::Port(port) => {
                vec![Replica { interface: port_interface(*port), adjacency: NONE }]
            }
            Interface::Tunnel(id) => tunnel_receivers(build, *id).replicas,
        });
        let receivers = ReplicationList { replicas: replicas.collect() };
        for group in &rule.groups {
            let (range, len) = match group {
                Group::Multicast(prefix) => ((prefix.network(), prefix.last()), prefix.len()),
                Group::LimitedBroadcast => {
                    let all = IpAddr::V4(Ipv4Addr::BROADCAST);
                    ((all, all), 32)
                }
            };
            let rule = MulticastRule {
                range,
                interfaces: interfaces.clone(),
                receivers: receivers.clone(),
            };
            rules.push((len, rule));
        }
    }
    rules.sort_by_key(|(len, _)| std::cmp::Reverse(*len));
    rules.into_iter().map(|(_, rule)| rule).collect()
}

fn index(config: &Config, interface: Interface) -> u16 {
    match interface {
        Interface::Port(port) => port_interface(port),
        Interface::Tunnel(id) => tunnel_interface(config, id),
    }
}

/// The peers of a tunnel that get multicast and broadcast packets.
pub(super) fn tunnel_receivers(build: &mut Build<'_>, id: TunnelId) -> ReplicationList {
    let interface = tunnel_interface(build.config, id);
    let peers = build.known.learned.receivers(id, &build.config.tunnels[id.index()]);
    let replica = |peer| Replica {
        interface,
        adjacency: build.memory.indices.of(AdjacencyKey::Peer(interface, peer)),
    };
    ReplicationList { replicas: peers.into_iter().map(replica).collect() }
}
