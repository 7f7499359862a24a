//! `[[tunnel]]`.

use std::net::IpAddr;
use std::num::NonZeroU8;
use std::time::Duration;

use super::port::{MTU_MAX, MTU_MIN, read_addresses, read_name};
use super::{Draft, Names, nhrp};
use crate::config::reader::{Complaint, Item, Section};
use crate::config::scalar;
use crate::config::{
    Df, Dscp, Fragment, GreSequence, Keepalive, Multicast, Port, Tunnel, TunnelMode,
};

/// A tunnel; the draft has all ports and profiles.
pub(super) fn read(section: Section<'_>, names: &Names, draft: &Draft) -> Option<Tunnel> {
    let name = read_name(&section);
    let source_item = section.require("source");
    let source = source_item.as_ref().and_then(|item| names.port(item));
    let read = read_mode(&section);
    let local_item = section.take("local");
    let local = match &local_item {
        Some(item) => item.parse(scalar::unicast),
        None => None,
    };
    let peer = read.as_ref().and_then(|(_, peer)| *peer);
    let wants_v6 = read_family(&section, read.as_ref().map(|(mode, _)| mode), peer, local);
    let port = source.and_then(|id| draft.port(id));
    let local = match (&local_item, port) {
        (Some(item), Some(port)) => local.and_then(|local| check_local(item, local, port)),
        (None, Some(port)) => default_local(source_item.as_ref()?, port, wants_v6),
        (_, None) => None,
    };
    if let (Some((mode, _)), Some(local)) = (&read, local) {
        check_families(&section, mode, local);
    }

    let key = section.take("key").and_then(|item| item.integer(0..=u32::MAX));
    let checksum = section.or_default("checksum", false, Item::boolean);
    let sequence = section.or_default("sequence", GreSequence::Off, |item| {
        item.choice(&[
            ("off", GreSequence::Off),
            ("send", GreSequence::Send),
            ("ordered", GreSequence::Ordered),
        ])
    });
    let addresses = read_addresses(&section);
    let mtu = section.take("mtu").and_then(|item| item.integer(MTU_MIN..=MTU_MAX));
    let mss_clamp = section.or_default("mss_clamp", true, Item::boolean);
    let ttl = section.take("ttl").map_or(Some(64), |item| item.integer(1..=255));
    let dscp = section.or_default("dscp", Dscp::Copy, read_dscp);
    let df = section.or_default("df", Df::Copy, |item| {
        item.choice(&[("copy", Df::Copy), ("set", Df::Set), ("clear", Df::Clear)])
    });
    let fragment = section.or_default("fragment", Fragment::Before, |item| {
        item.choice(&[("before", Fragment::Before), ("after", Fragment::After)])
    });
    let protection = section.take("protection").map(|item| names.profile(&item));
    section.finish();
    let protection = protection.map_or(Some(None), |profile| profile.map(Some))?;
    let ((mode, _), ttl) = (read?, NonZeroU8::new(ttl?)?);
    let (name, source, local, addresses) = (name?, source?, local?, addresses?);
    Some(Tunnel {
        name,
        mode,
        source,
        local,
        key,
        checksum,
        sequence,
        addresses,
        mtu,
        mss_clamp,
        ttl,
        dscp,
        df,
        fragment,
        protection,
    })
}

/// The mode, and the first underlay address of a peer.
fn read_mode(section: &Section<'_>) -> Option<(TunnelMode, Option<IpAddr>)> {
    let is_mgre =
        section.require("mode").and_then(|item| item.choice(&[("gre", false), ("mgre", true)]));
    match is_mgre {
        Some(true) => {
            section.refuse("remote", "an mGRE tunnel finds its peers by NHRP");
            section.refuse("keepalive", "an mGRE tunnel has no single peer to keep alive");
            let nhrp::Read { map, multicast, nhrp, first_nbma } =
                nhrp::read(section.section("nhrp"))?;
            Some((TunnelMode::Mgre { map, multicast, nhrp }, first_nbma))
        }
        Some(false) => {
            section.refuse("nhrp", "a point-to-point tunnel has no NHRP: its peer is \"remote\"");
            let remote = section
                .require_because("remote", ": the peer of mode = \"gre\"")
                .and_then(|item| item.parse(scalar::unicast));
            let keepalive = match section.take("keepalive") {
                Some(item) => Some(read_keepalive(&item)?),
                None => None,
            };
            Some((TunnelMode::Gre { remote: remote?, keepalive }, remote))
        }
        None => {
            // Not known which keys there are: none is unknown.
            for key in ["remote", "keepalive", "nhrp"] {
                section.take(key);
            }
            None
        }
    }
}

fn read_keepalive(item: &Item<'_>) -> Option<Keepalive> {
    let section = item.table()?;
    let period = section
        .require("period")
        .and_then(|item| item.duration(Duration::from_secs(1)..=Duration::from_secs(32_767)));
    let retries = section.or_default("retries", 3, |item| item.integer(1..=255));
    section.finish();
    Some(Keepalive { period: period?, retries: NonZeroU8::new(retries)? })
}

fn read_dscp(item: &Item<'_>) -> Option<Dscp> {
    if item.is_integer() {
        item.integer(0..=63).map(Dscp::Set)
    } else {
        item.choice(&[("copy", Dscp::Copy)])
    }
}

/// Whether the underlay of this tunnel is IPv6: its peers say so, or its own address, or
/// `family`, which only a tunnel without either has use for.
fn read_family(
    section: &Section<'_>,
    mode: Option<&TunnelMode>,
    peer: Option<IpAddr>,
    local: Option<IpAddr>,
) -> bool {
    if let Some(TunnelMode::Gre { .. }) = mode {
        section.refuse("family", "\"remote\" already says which family the underlay has");
    }
    let family = section.take("family");
    let wants_v6 = family.as_ref().and_then(|item| item.choice(&[("ipv4", false), ("ipv6", true)]));
    let known = peer.or(local).map(|address| address.is_ipv6());
    if let (Some(item), Some(wanted), Some(known)) = (&family, wants_v6, known)
        && wanted != known
        && !matches!(mode, Some(TunnelMode::Gre { .. }))
    {
        item.error::<()>("the addresses of this tunnel are of the other family");
    }
    known.or(wants_v6).unwrap_or(false)
}

fn check_local(item: &Item<'_>, local: IpAddr, port: &Port) -> Option<IpAddr> {
    if port.addresses.iter().any(|own| own.address() == local) {
        Some(local)
    } else {
        item.error(format!("{local} is not an address of port {:?}", port.name))
    }
}

fn default_local(source: &Item<'_>, port: &Port, wants_v6: bool) -> Option<IpAddr> {
    let mut own = port.addresses.iter().map(|own| own.address());
    let local = own.find(|address| address.is_ipv6() == wants_v6);
    if local.is_none() {
        let family = if wants_v6 { "IPv6" } else { "IPv4" };
        let complaint = format!("port {:?} has no {family} address to send from", port.name);
        let complaint = Complaint::from(complaint);
        source.error::<()>(match port.addresses.first() {
            Some(_) => complaint.hint("\"local\" or \"family\" chooses another family"),
            None => complaint,
        });
    }
    local
}

/// Reports peers that `local` cannot send to.
fn check_families(section: &Section<'_>, mode: &TunnelMode, local: IpAddr) {
    let check = |path: &str, address: IpAddr| {
        if address.is_ipv4() != local.is_ipv4() {
            let path = format!("{}.{path}", section.path());
            let complaint = format!("{address} is not of the family of {local}, the tunnel's end");
            section.reports().error(&path, complaint);
        }
    };
    match mode {
        TunnelMode::Gre { remote, .. } => check("remote", *remote),
        TunnelMode::Mgre { map, multicast, nhrp } => {
            for (index, entry) in map.iter().enumerate() {
                check(&format!("nhrp.map[{index}].nbma"), entry.nbma);
            }
            for (index, server) in nhrp.nhs.iter().enumerate() {
                if let Some(nbma) = server.host.address() {
                    check(&format!("nhrp.nhs[{index}].nbma"), nbma);
                }
            }
            if let Multicast::Peers(peers) = multicast {
                for (index, peer) in peers.iter().enumerate() {
                    check(&format!("nhrp.multicast[{index}]"), *peer);
                }
            }
        }
    }
}
