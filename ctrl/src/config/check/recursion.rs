//! Recursive routing: inner routes that would lead outer packets into a tunnel again.
//!
//! NBMA addresses are looked up in the underlay only, so that a loop cannot form; but a network
//! that sends the underlay into the overlay is broken all the same, and better refused than
//! debugged. The default route is no such claim: that all other inner traffic goes through a
//! tunnel is a common design, and outer packets never see it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use wire::IpPrefix;

use super::{Draft, Reports, entries, peers};
use crate::config::reader::Complaint;
use crate::config::{Interface, TunnelMode};

pub(super) fn check(draft: &Draft, reports: &Reports<'_>) {
    let underlay = underlay_addresses(draft);
    let report = |path: &str, prefix: IpPrefix| {
        if let Some(complaint) = covered(prefix, &underlay) {
            reports.error(path, complaint);
        }
    };
    for (index, tunnel) in entries(&draft.tunnels) {
        for (number, own) in tunnel.addresses.iter().enumerate() {
            report(&format!("tunnel[{index}].addresses[{number}]"), own.prefix());
        }
        if let TunnelMode::Mgre { map, .. } = &tunnel.mode {
            for (number, entry) in map.iter().enumerate() {
                let path = format!("tunnel[{index}].nhrp.map[{number}].protocol");
                report(&path, IpPrefix::host(entry.protocol));
            }
        }
    }
    for route in &draft.routes {
        if matches!(route.next_hop.interface(), Interface::Tunnel(_)) && !route.prefix.is_default()
        {
            report(&route.path, route.prefix);
        }
    }
}

/// Addresses of outer packets, each with what it is.
fn underlay_addresses(draft: &Draft) -> BTreeMap<IpAddr, String> {
    let mut addresses = BTreeMap::new();
    for (_, tunnel) in entries(&draft.tunnels) {
        let name = &tunnel.name;
        for (_, nbma) in peers(&tunnel.mode) {
            addresses.insert(nbma, format!("the NBMA address of a peer of tunnel {name:?}"));
        }
        addresses.insert(tunnel.local, format!("the source of tunnel {name:?}"));
    }
    addresses
}

fn covered(prefix: IpPrefix, underlay: &BTreeMap<IpAddr, String>) -> Option<Complaint> {
    let (address, what) = underlay.range(prefix.network()..=prefix.last()).next()?;
    let complaint = format!("recursive routing: {prefix} leads into a tunnel and covers {address}");
    Some(Complaint::from(format!("{complaint}, {what}")).hint(
        "tunnels carry inner prefixes only; addresses of the underlay must stay outside of them",
    ))
}
