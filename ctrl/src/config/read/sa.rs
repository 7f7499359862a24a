//! `[[ipsec.sa]]` and its key file.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::num::NonZeroU16;
use std::path::Path;

use aead::Algorithm;

use super::ipsec::read_algorithm;
use super::{Draft, Names};
use crate::config::reader::{Complaint, Item, Section};
use crate::config::scalar;
use crate::config::{
    Action, Direction, KeyMaterial, KeyReader, ManualSa, ProfileId, Role, Spi, TunnelMode, UdpEncap,
};

/// UDP port of ESP (RFC 3948, section 2.1).
const NAT_T_PORT: NonZeroU16 = NonZeroU16::new(4500).unwrap();

/// A manually keyed SA; the draft has all ports, profiles, tunnels and policies.
pub(super) fn read(
    section: Section<'_>,
    names: &Names,
    draft: &Draft,
    keys: &KeyReader,
) -> Option<ManualSa> {
    let profile = section.require("profile").and_then(|item| names.profile(&item));
    let direction = section
        .require("direction")
        .and_then(|item| item.choice(&[("in", Direction::In), ("out", Direction::Out)]));
    let remote_item = section.require("remote");
    let remote = remote_item.as_ref().and_then(|item| item.parse(scalar::unicast));
    let local = match section.take("local") {
        Some(item) => {
            let local = item.parse(scalar::unicast);
            local.and_then(|local| check_local(&item, local, remote, draft))
        }
        None => match (profile, &remote_item, remote) {
            (Some(profile), Some(item), Some(remote)) => infer_local(item, profile, remote, draft),
            _ => None,
        },
    };
    let spi = section.require("spi").and_then(|item| {
        let number = item.integer(0..=u32::MAX)?;
        let reserved = "SPIs below 256 are reserved (RFC 4303, section 2.1)";
        Spi::new(number).or_else(|| item.error(reserved))
    });
    let algorithm = read_own_algorithm(&section, profile, draft);
    let key_item = match section.take("key") {
        Some(item) => item.error("keys do not stand in the configuration: name a \"key_file\""),
        None => section.require("key_file"),
    };
    section.take("key_file");
    let key = key_item
        .zip(algorithm)
        .and_then(|(item, algorithm)| read_key(&item, section.reports().file(), algorithm, keys));
    let udp_encap = match section.take("udp_encap") {
        Some(item) => read_udp_encap(&item),
        None => Some(None),
    };
    section.finish();
    let (profile, direction, remote, local) = (profile?, direction?, remote?, local?);
    let (spi, algorithm, key, udp_encap) = (spi?, algorithm?, key?, udp_encap?);
    Some(ManualSa { profile, direction, remote, local, spi, algorithm, key, udp_encap })
}

/// `esp` if it is there, else the first of the profile.
fn read_own_algorithm(
    section: &Section<'_>,
    profile: Option<ProfileId>,
    draft: &Draft,
) -> Option<Algorithm> {
    let item = section.take("esp");
    let own = item.as_ref().and_then(read_algorithm);
    let profile = draft.profile(profile?)?;
    let Some(item) = item else { return profile.esp.first().copied() };
    let own = own?;
    if profile.esp.contains(&own) {
        Some(own)
    } else {
        item.error(format!("profile {:?} does not allow {own}", profile.name))
    }
}

fn check_local(
    item: &Item<'_>,
    local: IpAddr,
    remote: Option<IpAddr>,
    draft: &Draft,
) -> Option<IpAddr> {
    if remote.is_some_and(|remote| remote.is_ipv4() != local.is_ipv4()) {
        return item.error("not of the family of \"remote\"");
    }
    let is_whole = draft.ports.iter().all(Option::is_some);
    if is_whole && !underlay_addresses(draft).any(|own| own == local) {
        return item.error(format!("{local} is not an address of an underlay port"));
    }
    Some(local)
}

/// Our end of an SA that does not say it: that of the tunnels and policies that would use it; for
/// lack of those, the only underlay address of the family.
fn infer_local(
    item: &Item<'_>,
    profile: ProfileId,
    remote: IpAddr,
    draft: &Draft,
) -> Option<IpAddr> {
    let of_tunnels = draft.tunnels.iter().flatten().filter_map(|tunnel| {
        let reaches = match &tunnel.mode {
            TunnelMode::Gre { remote: peer, .. } => *peer == remote,
            TunnelMode::Mgre { .. } => tunnel.local.is_ipv4() == remote.is_ipv4(),
        };
        (reaches && tunnel.protection == Some(profile)).then_some(tunnel.local)
    });
    let of_policies = draft.policies.iter().flatten().filter_map(|policy| {
        let port = draft.port(policy.port)?;
        let mut own = port.addresses.iter().map(|own| own.address());
        let local = own.find(|own| own.is_ipv4() == remote.is_ipv4())?;
        (policy.action == Action::Protect { profile, remote }).then_some(local)
    });
    let mut ends: BTreeSet<IpAddr> = of_tunnels.chain(of_policies).collect();
    if ends.is_empty() {
        ends = underlay_addresses(draft).filter(|own| own.is_ipv4() == remote.is_ipv4()).collect();
    }
    match (ends.len(), ends.first()) {
        (1, Some(local)) => Some(*local),
        // An entry that was refused may be the one that decides.
        _ if !draft.is_complete() => None,
        (0, _) => item.error("no underlay port has an address of this family to send from"),
        _ => {
            let ends = ends.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(", ");
            let complaint = "it is not clear which of our addresses is the other end";
            item.error(Complaint::from(complaint).hint(format!("set \"local\" to one of {ends}")))
        }
    }
}

fn underlay_addresses(draft: &Draft) -> impl Iterator<Item = IpAddr> {
    let underlay = draft.ports.iter().flatten().filter(|port| port.role == Role::Underlay);
    underlay.flat_map(|port| &port.addresses).map(|own| own.address())
}

fn read_udp_encap(item: &Item<'_>) -> Option<Option<UdpEncap>> {
    if item.is_boolean() {
        let standard = UdpEncap { local_port: NAT_T_PORT, remote_port: NAT_T_PORT };
        return item.boolean().map(|on| on.then_some(standard));
    }
    let section = item.table_or("true, false or a table")?;
    let [local_port, remote_port] = ["local_port", "remote_port"].map(|key| {
        let port = |item: Item<'_>| NonZeroU16::new(item.integer(1..=u16::MAX)?);
        section.take(key).map_or(Some(NAT_T_PORT), port)
    });
    section.finish();
    Some(Some(UdpEncap { local_port: local_port?, remote_port: remote_port? }))
}

fn read_key(
    item: &Item<'_>,
    config_file: &Path,
    algorithm: Algorithm,
    keys: &KeyReader,
) -> Option<KeyMaterial> {
    let name = item.string()?;
    if name.is_empty() {
        return item.error("the name of the key file is empty");
    }
    // Whoever writes a key where its file should be named must not find it in a log.
    let digits = name.strip_prefix("0x").unwrap_or(name);
    if digits.len() >= 32 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return item
            .error("this looks like a key: write it to a file with mode 600, and name that");
    }
    let path = config_file.parent().unwrap_or(Path::new("")).join(name);
    let contents = match keys(&path) {
        Ok(contents) => contents,
        Err(error) => return item.error(error),
    };
    match KeyMaterial::from_file_contents(&contents, algorithm) {
        Ok(key) => Some(key),
        Err(error) => item.error(format!("{}: {error}", path.display())),
    }
}
