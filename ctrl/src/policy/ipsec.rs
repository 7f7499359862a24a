//! The SPD of underlay ports (crypto map), and the SAs as the cores see them.

use std::net::IpAddr;

use dataplane::drops::DropReason;
use dataplane::tables::encap::{DfPolicy, DscpPolicy};
use dataplane::tables::fib::Prefix;
use dataplane::tables::policy::{ANY_PORT, Action, FlowKey, Networks, Selector};
use dataplane::tables::{Adjacency, EncapSpec, Fib, Policy, SaTable};
use wire::{IpPrefix, IpProto};

use crate::config::{self, Config, Direction, EspMode, PortId, ProfileId, UpperLayer};
use crate::sas::Entry;

use super::indices::AdjacencyKey;
use super::tunnels::{self, Guard, Route};
use super::{Build, port_interface};

/// Ports that have policies, in the order of their numbers.
fn policy_ports(config: &Config) -> Vec<PortId> {
    let mut ports: Vec<PortId> = config.policies.iter().map(|policy| policy.port).collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

/// Index of a port's policy in `Tables::policies`.
pub(super) fn policy_index(config: &Config, port: PortId) -> Option<u32> {
    let at = policy_ports(config).iter().position(|p| *p == port)?;
    u32::try_from(at).ok()
}

fn of_port(config: &Config, port: PortId) -> impl Iterator<Item = &config::Policy> {
    config.policies.iter().filter(move |policy| policy.port == port)
}

/// A selector as the cores see it; none if it mixes families, which the configuration refuses.
fn selector(select: &config::Selector) -> Option<Selector> {
    let v4 = |prefix: wire::Ipv4Prefix| Prefix::new(prefix.network().to_bits(), prefix.len());
    let v6 = |prefix: wire::Ipv6Prefix| Prefix::new(prefix.network().to_bits(), prefix.len());
    let networks = match (select.src, select.dst) {
        (IpPrefix::V4(src), IpPrefix::V4(dst)) => Networks::V4 { src: v4(src)?, dst: v4(dst)? },
        (IpPrefix::V6(src), IpPrefix::V6(dst)) => Networks::V6 { src: v6(src)?, dst: v6(dst)? },
        _ => return None,
    };
    let (proto, src_ports, dst_ports) = match select.upper {
        UpperLayer::Any => (None, ANY_PORT, ANY_PORT),
        UpperLayer::Protocol(protocol) => (Some(protocol), ANY_PORT, ANY_PORT),
        UpperLayer::Ports { protocol, src, dst } => {
            (Some(protocol), src.first()..=src.last(), dst.first()..=dst.last())
        }
    };
    Some(Selector { networks, proto, src_ports, dst_ports })
}

/// Selectors as a policy that bypasses what any of them selects.
fn any_of(selectors: impl Iterator<Item = Selector>) -> Policy {
    Policy::new(selectors.map(|s| (s, Action::Bypass)).collect()).unwrap_or_default()
}

/// All policies, by policy index.
pub(super) fn policies(build: &mut Build<'_>, underlay: &Fib) -> Vec<Policy> {
    let config = build.config;
    let mut policies = Vec::new();
    for port in policy_ports(config) {
        let mut rules = Vec::new();
        for policy in of_port(config, port) {
            let action = match policy.action {
                config::Action::Protect { profile, remote } => {
                    Action::Protect { adjacency: rule(build, policy, profile, remote, underlay) }
                }
                config::Action::Bypass => Action::Bypass,
                config::Action::Discard => Action::Discard,
            };
            rules.extend(selector(&policy.select).map(|selector| (selector, action)));
        }
        policies.push(Policy::new(rules).unwrap_or_default());
    }
    policies
}

/// What the policy of `source` says of GRE between two outer addresses.
pub(super) fn guard_of_gre(config: &Config, source: PortId, local: IpAddr, peer: IpAddr) -> Guard {
    let gre = FlowKey { src: local, dst: peer, proto: IpProto::GRE.0, ports: None };
    let selects = |policy: &&config::Policy| {
        any_of(selector(&policy.select).into_iter()).classify(&gre).is_some()
    };
    let rule = of_port(config, source).find(selects);
    match rule.map(|policy| policy.action) {
        Some(config::Action::Protect { profile, remote }) => Guard::Protect(profile, remote),
        Some(config::Action::Discard) => Guard::Discard,
        Some(config::Action::Bypass) | None => Guard::Clear,
    }
}

/// Routes of the overlay that lead into a port's policy: the destinations of its rules.
pub(super) fn policy_routes(build: &mut Build<'_>, mut insert: impl FnMut(IpPrefix, u32)) {
    let config = build.config;
    for (port, policy) in policy_ports(config).into_iter().zip(0u32..) {
        let key = AdjacencyKey::Policy(port_interface(port));
        let index = build.set(key, Adjacency::Policy(policy));
        for policy in of_port(config, port).filter(|policy| is_for_hosts(config, policy)) {
            insert(policy.select.dst, index);
        }
    }
}

/// Whether a policy is about packets of hosts behind the gateway. One whose source is an underlay
/// address of ours is about what the gateway itself sends: GRE between NBMA addresses.
fn is_for_hosts(config: &Config, policy: &config::Policy) -> bool {
    let port = &config.ports[policy.port.index()];
    !(policy.select.src.is_host()
        && port.addresses.iter().any(|a| policy.select.src.contains(a.address())))
}

/// The adjacency of a rule that protects: a template without GRE.
fn rule(
    build: &mut Build<'_>,
    policy: &config::Policy,
    profile: ProfileId,
    remote: IpAddr,
    underlay: &Fib,
) -> u32 {
    let interface = port_interface(policy.port);
    let port = &build.config.ports[policy.port.index()];
    let mut addresses = port.addresses.iter().map(|a| a.address());
    let Some(local) = addresses.find(|a| a.is_ipv4() == remote.is_ipv4()) else {
        return build.drop(DropReason::NoRoute);
    };
    let local = build.known.sas.outbound(profile, remote).map_or(local, |sa| sa.manual.local);
    let key = AdjacencyKey::PolicyPeer(interface, profile.0, remote);
    let index = build.memory.indices.of(key.clone());
    let route = Route { local, outer: remote, underlay, index };
    let name = port.name.clone();
    let adjacency = tunnels::template(build, &route, Some(profile), |build, link, esp| EncapSpec {
        interface,
        link,
        local,
        remote,
        inner: (local, remote),
        ttl: 64,
        dscp: DscpPolicy::Copy,
        df: DfPolicy::Copy,
        lane: esp.map(|esp| esp.slot),
        esp,
        gre: None,
        mtu: None,
        path_mtu: link.mtu,
        fragment_after: false,
        clamp_mss: true,
        sent: build.counters(&name, remote).sent,
    });
    build.set(key, adjacency)
}

/// All SAs.
pub(super) fn sa_table(build: &Build<'_>) -> SaTable {
    let of = |direction| {
        let entries = build.known.sas.iter();
        entries.filter(move |entry| entry.manual.direction == direction)
    };
    let inbound = of(Direction::In).map(|entry| {
        let allows_gre = allows_gre(build.config, entry);
        entry.inbound(allows_gre, inbound_selectors(build.config, entry))
    });
    SaTable::new(inbound, of(Direction::Out).map(Entry::outbound))
}

/// Whether GRE between the SA's own addresses may come out of it: some tunnel wants it so.
fn allows_gre(config: &Config, entry: &Entry) -> bool {
    let sa = &entry.manual;
    config.tunnels.iter().any(|tunnel| {
        let wants =
            |peer| tunnels::guard(config, tunnel, peer) == Guard::Protect(sa.profile, sa.remote);
        tunnel.local == sa.local
            && (tunnel.protection == Some(sa.profile)
                || tunnels::peers(tunnel).into_iter().any(wants))
    })
}

/// Selectors of the policies that an inbound SA serves, as its packets show them: the policies'
/// own, reversed.
fn inbound_selectors(config: &Config, entry: &Entry) -> Policy {
    let sa = &entry.manual;
    if entry.profile.mode != EspMode::Tunnel {
        return Policy::default();
    }
    let serves = |policy: &&config::Policy| {
        let profile: ProfileId = sa.profile;
        matches!(policy.action, config::Action::Protect { profile: p, remote }
            if p == profile && remote == sa.remote)
    };
    let selectors = config.policies.iter().filter(serves).map(|p| selector(&p.select));
    any_of(selectors.flatten().map(Selector::reversed))
}
