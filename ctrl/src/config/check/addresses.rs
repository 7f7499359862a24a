//! Addresses that two interfaces share, or that an interface cannot have.

use wire::IfAddr;

use super::{Draft, Reports, entries};
use crate::config::Role;

/// Smallest MTU of a link with IPv6 (RFC 8200, section 5).
const MTU_MIN_V6: u16 = 1280;

/// One address of a port or tunnel.
struct Owned<'a> {
    path: String,
    owner: &'a str,
    is_overlay: bool,
    own: IfAddr,
}

pub(super) fn check(draft: &Draft, reports: &Reports<'_>) {
    let all = owned(draft);
    for (index, second) in all.iter().enumerate() {
        if let Some(complaint) = all[..index].iter().find_map(|first| conflict(first, second)) {
            reports.error(&second.path, complaint);
        } else if let Some(first) = all[..index].iter().find(|first| overlap(first, second)) {
            let (other, prefix) = (first.owner, first.own.prefix());
            let complaint = format!("overlaps with {prefix} of {other:?}, on the other side");
            reports.warning(&second.path, complaint);
        }
    }
    mtus(draft, reports);
}

fn owned(draft: &Draft) -> Vec<Owned<'_>> {
    let ports = entries(&draft.ports).flat_map(|(index, port)| {
        let is_overlay = port.role == Role::Overlay;
        list(format!("port[{index}]"), &port.name, is_overlay, &port.addresses)
    });
    let tunnels = entries(&draft.tunnels).flat_map(|(index, tunnel)| {
        list(format!("tunnel[{index}]"), &tunnel.name, true, &tunnel.addresses)
    });
    ports.chain(tunnels).collect()
}

fn list<'a>(
    path: String,
    owner: &'a str,
    is_overlay: bool,
    addresses: &'a [IfAddr],
) -> impl Iterator<Item = Owned<'a>> {
    addresses.iter().enumerate().map(move |(index, own)| Owned {
        path: format!("{path}.addresses[{index}]"),
        owner,
        is_overlay,
        own: *own,
    })
}

/// Why two addresses cannot both be there.
fn conflict(first: &Owned<'_>, second: &Owned<'_>) -> Option<String> {
    let (address, prefix) = (second.own.address(), first.own.prefix());
    let is_same_owner = first.owner == second.owner;
    if first.own.address() == address && (is_same_owner || !is_link_local(&second.own)) {
        Some(format!("{address} is an address of {:?} already", first.owner))
    } else if !is_same_owner && first.is_overlay == second.is_overlay && overlap(first, second) {
        Some(format!("{} overlaps with {prefix} of {:?}", second.own.prefix(), first.owner))
    } else {
        None
    }
}

/// Whether both connect a common address: link-local ones are different on each link.
fn overlap(first: &Owned<'_>, second: &Owned<'_>) -> bool {
    first.owner != second.owner
        && first.own.prefix().overlaps(second.own.prefix())
        && !is_link_local(&first.own)
        && !is_link_local(&second.own)
}

fn is_link_local(own: &IfAddr) -> bool {
    matches!(own.address(), std::net::IpAddr::V6(v6) if v6.is_unicast_link_local())
}

fn mtus(draft: &Draft, reports: &Reports<'_>) {
    let has_v6 = |addresses: &[IfAddr]| addresses.iter().any(|own| own.address().is_ipv6());
    let ports = entries(&draft.ports)
        .map(|(index, port)| (format!("port[{index}].mtu"), port.mtu, has_v6(&port.addresses)));
    let tunnels = entries(&draft.tunnels).filter_map(|(index, tunnel)| {
        Some((format!("tunnel[{index}].mtu"), tunnel.mtu?, has_v6(&tunnel.addresses)))
    });
    for (path, mtu, has_v6) in ports.chain(tunnels) {
        if has_v6 && mtu < MTU_MIN_V6 {
            reports.error(&path, format!("{mtu} is below {MTU_MIN_V6}, which IPv6 needs"));
        }
    }
}
