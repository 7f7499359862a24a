//! Tunnels: what tells them apart, whom they reach, and how much fits into them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::{Draft, Reports, entries, peers};
use crate::config::reader::Complaint;
use crate::config::{Fragment, Multicast, NhrpMap, Role, Table, Tunnel, TunnelMode, overhead};

/// Smallest MTU that IPv4 hosts can count on (RFC 1122, section 3.3.2).
const MTU_MIN_V4: u16 = 576;
/// Smallest MTU of a link with IPv6 (RFC 8200, section 5).
const MTU_MIN_V6: u16 = 1280;

pub(super) fn check(draft: &Draft, reports: &Reports<'_>) {
    identities(draft, reports);
    for (index, tunnel) in entries(&draft.tunnels) {
        let path = format!("tunnel[{index}]");
        if let Some(port) = draft.port(tunnel.source)
            && port.role != Role::Underlay
        {
            let complaint = format!("port {:?} is not an underlay port", port.name);
            reports.error(&format!("{path}.source"), complaint);
        }
        for (below, nbma) in peers(&tunnel.mode) {
            let path = format!("{path}.{below}");
            if draft.owns(nbma) {
                reports.error(&path, format!("{nbma} is an address of this gateway itself"));
            } else if !has_underlay_route(nbma, draft) {
                let complaint = format!("the underlay has no route to {nbma}");
                let hint = "a \"gateway\" on the port, or a [[route]] with table = \"underlay\"";
                reports.warning(&path, Complaint::from(complaint).hint(hint));
            }
        }
        if let TunnelMode::Mgre { map, multicast, nhrp } = &tunnel.mode {
            check_map(&path, tunnel, map, draft, reports);
            check_multicast(&path, map, multicast, reports);
            if *multicast == Multicast::Servers && nhrp.nhs.is_empty() {
                let complaint = "there is no server: \"nhs\" has none";
                reports.error(&format!("{path}.nhrp.multicast"), complaint);
            }
            check_nhrp(&path, tunnel, reports);
        }
        check_mtu(&path, tunnel, draft, reports);
    }
}

/// Reports tunnels that a received packet could not be told apart by (RFC 2890, section 2.1).
fn identities(draft: &Draft, reports: &Reports<'_>) {
    let mut owners = BTreeMap::new();
    for (index, tunnel) in entries(&draft.tunnels) {
        let remote = match tunnel.mode {
            TunnelMode::Gre { remote, .. } => Some(remote),
            TunnelMode::Mgre { .. } => None,
        };
        if let Some(other) = owners.insert((tunnel.local, remote, tunnel.key), &tunnel.name) {
            let ends = match remote {
                Some(remote) => format!("from {} to {remote}", tunnel.local),
                None => format!("mGRE at {}", tunnel.local),
            };
            let key = match tunnel.key {
                Some(key) => format!("key {key}"),
                None => "no key".to_owned(),
            };
            let complaint = format!("tunnel {other:?} is the same: {ends}, {key}");
            let complaint = Complaint::from(complaint).hint("give each of them its own \"key\"");
            reports.error(&format!("tunnel[{index}]"), complaint);
        }
    }
}

fn has_underlay_route(nbma: IpAddr, draft: &Draft) -> bool {
    let mut routes = draft.routes.iter().filter(|route| route.table == Table::Underlay);
    // A port that was refused may be the one that leads there.
    draft.ports.iter().any(Option::is_none)
        || draft.connected(nbma, Table::Underlay).is_some()
        || routes.any(|route| route.prefix.contains(nbma))
}

fn check_map(path: &str, tunnel: &Tunnel, map: &[NhrpMap], draft: &Draft, reports: &Reports<'_>) {
    let mut seen = BTreeMap::new();
    let own = || tunnel.addresses.iter().map(|own| own.prefix());
    for (index, NhrpMap { protocol, .. }) in map.iter().enumerate() {
        let path = format!("{path}.nhrp.map[{index}].protocol");
        if seen.insert(protocol, index).is_some() {
            reports.error(&path, format!("{protocol} is mapped twice"));
        } else if draft.owns(*protocol) {
            reports.error(&path, format!("{protocol} is an address of this gateway itself"));
        } else if own().any(|prefix| !prefix.is_host())
            && !own().any(|prefix| prefix.contains(*protocol))
        {
            reports.warning(&path, format!("{protocol} is in no prefix of this tunnel"));
        }
    }
}

fn check_multicast(path: &str, map: &[NhrpMap], multicast: &Multicast, reports: &Reports<'_>) {
    let Multicast::Peers(peers) = multicast else { return };
    for (index, nbma) in peers.iter().enumerate() {
        if !map.iter().any(|entry| entry.nbma == *nbma) {
            let path = format!("{path}.nhrp.multicast[{index}]");
            reports.warning(&path, format!("{nbma} is the NBMA address of no mapped peer"));
        }
    }
}

/// Reports what NHRP itself would refuse, but for maps, which were looked at already.
fn check_nhrp(path: &str, tunnel: &Tunnel, reports: &Reports<'_>) {
    let path = format!("{path}.nhrp");
    let Some(mut config) = tunnel.nhrp() else {
        if let TunnelMode::Mgre { nhrp, .. } = &tunnel.mode
            && !nhrp.nhs.is_empty()
        {
            let complaint = "a tunnel without \"addresses\" has nothing to register";
            reports.error(&format!("{path}.nhs"), complaint);
        }
        return;
    };
    config.maps.clear();
    if let TunnelMode::Mgre { nhrp, .. } = &tunnel.mode
        && nhrp.active.is_none()
        && nhrp.nhs.iter().any(|server| server.priority != nhrp.nhs[0].priority)
    {
        let complaint = "priorities have no effect: all servers are registered with";
        let hint = "\"active\" = 1 uses one of each group at a time";
        reports.warning(&format!("{path}.nhs"), Complaint::from(complaint).hint(hint));
    }
    if let Err(error) = config.check() {
        reports.error(&path, error.to_string());
    } else if tunnel.protection.is_none() && config.authentication.is_none() {
        let complaint = format!("anybody who reaches {} can register as a peer", tunnel.local);
        let hint = "\"authentication\" here, or a \"protection\" of the tunnel";
        reports.warning(&path, Complaint::from(complaint).hint(hint));
    }
}

fn check_mtu(path: &str, tunnel: &Tunnel, draft: &Draft, reports: &Reports<'_>) {
    let Some(port) = draft.port(tunnel.source) else { return };
    let profile = tunnel.protection.map(|id| draft.profile(id));
    // With a profile that was refused the overhead is not known.
    if tunnel.fragment == Fragment::After || profile == Some(None) {
        return;
    }
    let udp = draft
        .sas
        .iter()
        .flatten()
        .any(|sa| tunnel.protection == Some(sa.profile) && sa.udp_encap.is_some());
    let largest = overhead::largest_inner_mtu(tunnel, port.mtu, profile.flatten(), udp);
    let has_v6 = tunnel.addresses.iter().any(|own| own.address().is_ipv6());
    let least = if has_v6 { MTU_MIN_V6 } else { MTU_MIN_V4 };
    if largest < least {
        let complaint = format!(
            "the MTU of port {:?}, {}, leaves {largest} octets for inner packets: at least \
             {least} are needed",
            port.name, port.mtu
        );
        reports.error(&format!("{path}.source"), complaint);
    } else if let Some(mtu) = tunnel.mtu.filter(|mtu| *mtu > largest) {
        let complaint = format!(
            "{mtu} octets do not fit into port {:?} after encapsulation: at most {largest} do",
            port.name
        );
        let hint = "or fragment = \"after\"";
        reports.error(&format!("{path}.mtu"), Complaint::from(complaint).hint(hint));
    }
}
