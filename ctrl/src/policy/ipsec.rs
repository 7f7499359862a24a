//! The SPD of underlay ports (crypto map), and the SAs as the cores see them.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use dataplane::drops::DropReason;
use dataplane::tables::encap::{DfPolicy, DscpPolicy};
use dataplane::tables::fib::Prefix;
use dataplane::tables::policy::{ANY_PORT, Action, Networks, Selector};
use dataplane::tables::{Adjacency, EncapSpec, Fib, Policy, Protection, SaTable};
use nhrp::Path;
use wire::{IpPrefix, IpProto};

use crate::config::{
    self, Config, Direction, EspMode, PortId, ProfileId, Tunnel, TunnelMode, UpperLayer,
};
use crate::sas::Entry;

use super::indices::AdjacencyKey;
use super::tunnels::{self, Guard, Route};
use super::{Build, FastSet, port_interface};

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
    let rule = gre_rules(config, source, local).find(|policy| policy.select.dst.contains(peer));
    rule.map_or(Guard::Clear, |policy| guard_of(policy.action))
}

/// What the policy of `source` asks of GRE to `local` from peers that are not known: they are
/// refused if it does not ask the same of everybody.
pub(super) fn protection_of_strangers(
    config: &Config,
    source: PortId,
    local: IpAddr,
) -> Protection {
    let mut asked = Vec::new();
    for policy in gre_rules(config, source, local) {
        asked.push(guard_of(policy.action).protection());
        if policy.select.dst.is_default() {
            break;
        }
    }
    if !gre_rules(config, source, local).any(|policy| policy.select.dst.is_default()) {
        asked.push(Guard::Clear.protection());
    }
    asked.dedup();
    if let [same] = asked.as_slice() { *same } else { Protection::Discard }
}

/// The rules that may select GRE from `local`, in order.
fn gre_rules(
    config: &Config,
    source: PortId,
    local: IpAddr,
) -> impl Iterator<Item = &config::Policy> {
    of_port(config, source).filter(move |policy| {
        let is_gre = match policy.select.upper {
            UpperLayer::Any => true,
            UpperLayer::Protocol(protocol) => protocol == IpProto::GRE.0,
            UpperLayer::Ports { .. } => false,
        };
        is_gre && policy.select.src.contains(local)
    })
}

fn guard_of(action: config::Action) -> Guard {
    match action {
        config::Action::Protect { profile, remote } => Guard::Protect(profile, remote.into()),
        config::Action::Discard => Guard::Discard,
        config::Action::Bypass => Guard::Clear,
    }
}

/// Routes of the overlay that lead into a port's policy: the destinations of its rules.
pub(super) fn policy_routes(build: &mut Build<'_>) -> Vec<(IpPrefix, u32)> {
    let config = build.config;
    let mut routes = Vec::new();
    for (port, policy) in policy_ports(config).into_iter().zip(0u32..) {
        let key = AdjacencyKey::Policy(port_interface(port));
        let index = build.set(key, Adjacency::Policy(policy));
        for policy in of_port(config, port).filter(|policy| is_for_hosts(config, policy)) {
            routes.push((policy.select.dst, index));
        }
    }
    routes
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
    let key = AdjacencyKey::PolicyPeer(interface, profile.0, remote);
    let index = build.memory.indices.of(key.clone());
    let route = Route { local, outer: remote.into(), underlay, index };
    let name = port.name.clone();
    let sent = build.counters(&name, remote.into()).own.clone();
    let adjacency = tunnels::template(build, &route, Some(profile), |link, esp| EncapSpec {
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
        redirect: None,
        peer: index,
        sent,
    });
    build.set(key, adjacency)
}

/// All SAs.
pub(super) fn sa_table(build: &Build<'_>) -> SaTable {
    let served = served_selectors(build.config);
    let (last, none) = (&build.memory.sas, Policy::default());
    let (mut inbound, mut outbound) = (Vec::new(), Vec::new());
    for entry in build.known.sas.iter() {
        let sa = &entry.manual;
        match sa.direction {
            Direction::In => {
                let selectors = match entry.profile.mode {
                    EspMode::Tunnel => served.get(&(sa.profile, entry.path)),
                    EspMode::Transport => None,
                };
                let selectors = selectors.unwrap_or(&none);
                let allows_gre = build.gre_sas.admits(entry);
                let kept = last.shared_inbound(entry.slot).filter(|last| {
                    entry.has_made(last)
                        && last.allows_gre == allows_gre
                        && last.selectors == *selectors
                });
                inbound.push(
                    kept.cloned().unwrap_or_else(|| entry.inbound(allows_gre, selectors.clone())),
                );
            }
            Direction::Out => {
                let last = last.shared_outbound(entry.slot);
                let kept = last.filter(|last| Arc::ptr_eq(&last.counters, &entry.counters));
                outbound.push(kept.cloned().unwrap_or_else(|| entry.outbound()));
            }
        }
    }
    SaTable::new(inbound, outbound)
}

/// The SAs that GRE between their own addresses may come out of: some tunnel wants it so.
#[derive(Default)]
pub(super) struct GreSas {
    /// By our address, profile and peer.
    of_peers: FastSet<(IpAddr, ProfileId, Path)>,
    /// Of multipoint tunnels, which anybody with an SA of the profile may be a peer of.
    of_all: FastSet<(IpAddr, ProfileId)>,
}

impl GreSas {
    /// Notes what a tunnel wants of whoever is its peer.
    pub(super) fn add_tunnel(&mut self, tunnel: &Tunnel) {
        if let (Some(profile), TunnelMode::Mgre { .. }) = (tunnel.protection, &tunnel.mode) {
            self.of_all.insert((tunnel.local, profile));
        }
    }

    /// Notes what a tunnel wants of a peer.
    pub(super) fn add_peer(&mut self, tunnel: &Tunnel, guard: Guard) {
        if let Guard::Protect(profile, outer) = guard
            && !self.of_all.contains(&(tunnel.local, profile))
        {
            self.of_peers.insert((tunnel.local, profile, outer));
        }
    }

    fn admits(&self, entry: &Entry) -> bool {
        let sa = &entry.manual;
        self.of_all.contains(&(sa.local, sa.profile))
            || self.of_peers.contains(&(sa.local, sa.profile, entry.path))
    }
}

/// Selectors of the policies that an inbound SA serves, by profile and peer, as its packets show
/// them: the policies' own, reversed.
fn served_selectors(config: &Config) -> HashMap<(ProfileId, Path), Policy> {
    let mut served: HashMap<_, Vec<Selector>> = HashMap::new();
    for policy in &config.policies {
        if let config::Action::Protect { profile, remote } = policy.action {
            let selectors = served.entry((profile, Path::from(remote))).or_default();
            selectors.extend(selector(&policy.select).map(Selector::reversed));
        }
    }
    served.into_iter().map(|(peer, selectors)| (peer, any_of(selectors))).collect()
}

/// Selectors as a policy that bypasses what any of them selects.
fn any_of(selectors: Vec<Selector>) -> Policy {
    let rules = selectors.into_iter().map(|selector| (selector, Action::Bypass));
    Policy::new(rules.collect()).unwrap_or_default()
}
