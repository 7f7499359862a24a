//! SAs that clash, policies that cannot match, and protection without keys.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::IpAddr;

use wire::IpPrefix;

use super::{Draft, Reports, entries, peers};
use crate::config::reader::Complaint;
use crate::config::{
    Action, Direction, EspMode, ManualSa, Policy, PortRange, ProfileId, Role, Selector, UpperLayer,
};

pub(super) fn check(draft: &Draft, reports: &Reports<'_>) {
    sas(draft, reports);
    profiles(draft, reports);
    peers_without_sas(draft, reports);
    policies(draft, reports);
}

fn sas(draft: &Draft, reports: &Reports<'_>) {
    let mut inbound = BTreeMap::new();
    let mut outbound = BTreeMap::new();
    let mut keys = BTreeMap::new();
    for (index, sa) in entries(&draft.sas) {
        let path = format!("ipsec.sa[{index}]");
        if draft.owns(sa.remote) {
            let complaint = format!("{} is an address of this gateway itself", sa.remote);
            reports.error(&format!("{path}.remote"), complaint);
        }
        let clash = match sa.direction {
            Direction::In => inbound
                .insert(sa.spi, index)
                .map(|other| ("spi", format!("ipsec.sa[{other}] is inbound with the same SPI"))),
            Direction::Out => {
                // Peers behind one NAT have one address, and UDP ports of their own.
                let port = sa.udp_encap.map(|udp| udp.remote_port);
                outbound.insert((sa.profile, sa.remote, port), index).map(|other| {
                    let complaint = "is outbound with the same profile, remote and port";
                    ("remote", format!("ipsec.sa[{other}] {complaint}"))
                })
            }
        };
        if let Some((key, complaint)) = clash {
            reports.error(&format!("{path}.{key}"), complaint);
        }
        // Each sender counts its nonces from the start: two of them repeat each other's, which
        // reveals plaintext and lets packets be forged (RFC 4106, section 3.1).
        if let Some(other) = keys.insert(sa.key.key(), index) {
            let complaint = format!(
                "ipsec.sa[{other}] has the same key: both would use the same nonces, which \
                 breaks AES-GCM"
            );
            let complaint = Complaint::from(complaint).hint("each SA needs a key of its own");
            reports.error(&format!("{path}.key_file"), complaint);
        }
    }
    ports_of_peers(draft, reports);
}

/// Both SAs of a peer name it alike, or nobody knows that they belong together.
fn ports_of_peers(draft: &Draft, reports: &Reports<'_>) {
    let mut outbound: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    let port = |sa: &ManualSa| sa.udp_encap.map(|udp| udp.remote_port);
    for (_, sa) in entries(&draft.sas).filter(|(_, sa)| sa.direction == Direction::Out) {
        outbound.entry((sa.profile, sa.remote)).or_default().insert(port(sa));
    }
    for (index, sa) in entries(&draft.sas).filter(|(_, sa)| sa.direction == Direction::In) {
        let others = outbound.get(&(sa.profile, sa.remote));
        if others.is_some_and(|ports| !ports.contains(&port(sa))) {
            let complaint = "no outbound SA of this profile and remote has the same remote_port";
            reports.error(&format!("ipsec.sa[{index}].udp_encap"), complaint);
        }
    }
}

fn profiles(draft: &Draft, reports: &Reports<'_>) {
    let with_sa: BTreeSet<_> = entries(&draft.sas).map(|(_, sa)| sa.profile).collect();
    let by_tunnels = entries(&draft.tunnels).filter_map(|(_, tunnel)| tunnel.protection);
    let by_policies = entries(&draft.policies).filter_map(|(_, policy)| match policy.action {
        Action::Protect { profile, .. } => Some(profile),
        Action::Bypass | Action::Discard => None,
    });
    let used: BTreeSet<_> = by_tunnels.chain(by_policies).collect();
    for (id, profile) in (0..).map(ProfileId).zip(&draft.profiles) {
        let path = format!("ipsec.profile[{}]", id.0);
        if profile.is_none() || !draft.is_complete() {
            continue;
        }
        if !used.contains(&id) {
            let complaint = Complaint::from("nothing is protected by this profile");
            reports.warning(&path, complaint.hint("\"protection\" of a tunnel, or a policy"));
        } else if !with_sa.contains(&id) && draft.sas.iter().all(Option::is_some) {
            let complaint = "no [[ipsec.sa]] has this profile: what it protects is dropped";
            reports.warning(&path, complaint);
        }
    }
}

/// Warns of protected peers that a packet cannot get to, or come from, for lack of an SA.
fn peers_without_sas(draft: &Draft, reports: &Reports<'_>) {
    if draft.sas.iter().any(Option::is_none) {
        return;
    }
    let with_sa: BTreeSet<_> = entries(&draft.sas).map(|(_, sa)| sa.profile).collect();
    let has: HashSet<_> =
        entries(&draft.sas).map(|(_, sa)| (sa.direction, sa.profile, sa.remote)).collect();
    let warn = |path: &str, profile: ProfileId, remote: IpAddr| {
        // A profile without any SA has a warning of its own.
        if !with_sa.contains(&profile) {
            return;
        }
        for (direction, what) in [(Direction::In, "inbound"), (Direction::Out, "outbound")] {
            if !has.contains(&(direction, profile, remote)) {
                reports.warning(path, format!("there is no {what} [[ipsec.sa]] for {remote}"));
            }
        }
    };
    for (index, tunnel) in entries(&draft.tunnels) {
        let Some(profile) = tunnel.protection else { continue };
        for (below, nbma) in peers(&tunnel.mode) {
            warn(&format!("tunnel[{index}].{below}"), profile, nbma);
        }
    }
    for (index, policy) in entries(&draft.policies) {
        if let Action::Protect { profile, remote } = policy.action {
            warn(&format!("ipsec.policy[{index}].remote"), profile, remote);
        }
    }
}

fn policies(draft: &Draft, reports: &Reports<'_>) {
    for (index, policy) in entries(&draft.policies) {
        let path = format!("ipsec.policy[{index}]");
        if let Some(port) = draft.port(policy.port)
            && port.role != Role::Underlay
        {
            let complaint = format!("port {:?} is not an underlay port", port.name);
            reports.error(&format!("{path}.port"), complaint);
        }
        if let Action::Protect { profile, remote } = policy.action {
            protects(&path, policy, profile, remote, draft, reports);
        }
        let shadow = entries(&draft.policies)
            .take_while(|(other, _)| *other < index)
            .find(|(_, other)| other.port == policy.port && covers(&other.select, &policy.select));
        if let Some((other, _)) = shadow {
            let complaint =
                format!("never matches: ipsec.policy[{other}] before it takes all its packets");
            reports.warning(&path, complaint);
        }
    }
}

fn protects(
    path: &str,
    policy: &Policy,
    profile: ProfileId,
    remote: IpAddr,
    draft: &Draft,
    reports: &Reports<'_>,
) {
    let (Some(profile), Some(port)) = (draft.profile(profile), draft.port(policy.port)) else {
        return;
    };
    if draft.owns(remote) {
        let complaint = format!("{remote} is an address of this gateway itself");
        reports.error(&format!("{path}.remote"), complaint);
    }
    let local = port.addresses.iter().map(|own| own.address());
    let mut local = local.filter(|own| own.is_ipv4() == remote.is_ipv4()).peekable();
    if local.peek().is_none() {
        let complaint = format!("port {:?} has no address of the family of {remote}", port.name);
        reports.error(&format!("{path}.remote"), complaint);
    }
    let is_between_ends = policy.select.dst == IpPrefix::host(remote)
        && local.any(|own| policy.select.src == IpPrefix::host(own));
    if profile.mode == EspMode::Transport && !is_between_ends {
        let complaint = format!(
            "profile {:?} has transport mode, which protects only packets from an address of \
             port {:?} to {remote}",
            profile.name, port.name
        );
        let complaint = Complaint::from(complaint).hint("mode = \"tunnel\" in the profile");
        reports.error(&format!("{path}.select"), complaint);
    }
}

/// Whether `first` selects everything that `second` does.
fn covers(first: &Selector, second: &Selector) -> bool {
    let upper = match (first.upper, second.upper) {
        (UpperLayer::Any, _) => true,
        (_, UpperLayer::Any) => false,
        (first, second) => {
            let ((first, src, dst), (second, other_src, other_dst)) = (parts(first), parts(second));
            first == second && src.covers(other_src) && dst.covers(other_dst)
        }
    };
    upper && first.src.covers(second.src) && first.dst.covers(second.dst)
}

/// Protocol, source ports and destination ports.
fn parts(upper: UpperLayer) -> (u8, PortRange, PortRange) {
    match upper {
        UpperLayer::Any => (0, PortRange::ANY, PortRange::ANY),
        UpperLayer::Protocol(protocol) => (protocol, PortRange::ANY, PortRange::ANY),
        UpperLayer::Ports { protocol, src, dst } => (protocol, src, dst),
    }
}
