//! Mistakes that only show when several sections are seen together.

mod addresses;
mod forwarding;
mod ipsec;
mod ports;
mod recursion;
mod tunnels;

use std::net::IpAddr;

use super::read::Draft;
use super::reader::Reports;
use super::{Multicast, TunnelMode};

/// Reports them all. Entries that reading has refused are left out.
pub(super) fn all(draft: &Draft, reports: &Reports<'_>) {
    ports::check(draft, reports);
    addresses::check(draft, reports);
    tunnels::check(draft, reports);
    recursion::check(draft, reports);
    ipsec::check(draft, reports);
    forwarding::check(draft, reports);
}

/// The NBMA addresses of a tunnel's peers, each with its path below that of the tunnel.
fn peers(mode: &TunnelMode) -> Vec<(String, IpAddr)> {
    match mode {
        TunnelMode::Gre { remote, .. } => vec![("remote".to_owned(), *remote)],
        TunnelMode::Mgre { map, multicast, nhrp } => {
            let map = map.iter().enumerate();
            let mut peers: Vec<_> =
                map.map(|(index, entry)| (format!("nhrp.map[{index}].nbma"), entry.nbma)).collect();
            let servers = nhrp.nhs.iter().enumerate();
            peers.extend(servers.filter_map(|(index, server)| {
                Some((format!("nhrp.nhs[{index}].nbma"), server.host.address()?))
            }));
            if let Multicast::Peers(listed) = multicast {
                let listed = listed.iter().enumerate();
                peers.extend(listed.map(|(i, nbma)| (format!("nhrp.multicast[{i}]"), *nbma)));
            }
            peers
        }
    }
}

/// The entries that were not refused, with their indices.
fn entries<T>(all: &[Option<T>]) -> impl Iterator<Item = (usize, &T)> {
    all.iter().enumerate().filter_map(|(index, entry)| Some((index, entry.as_ref()?)))
}
