//! `[[multicast]]`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use wire::IpPrefix;

use super::{Draft, Names};
use crate::config::reader::{Complaint, Item, Section};
use crate::config::scalar;
use crate::config::{Group, Interface, Multicast, MulticastRule, TunnelMode};

/// A rule; the draft has all ports and tunnels.
pub(super) fn read(section: Section<'_>, names: &Names, draft: &Draft) -> Option<MulticastRule> {
    let groups = section.require("groups").and_then(|item| {
        let mut groups = Vec::new();
        let mut is_whole = true;
        for element in item.list_of("groups")? {
            match element.parse(group) {
                Some(group) => groups.push(group),
                None => is_whole = false,
            }
        }
        is_whole.then_some(groups)
    });
    let interfaces = section.require("interfaces").and_then(|item| {
        let mut interfaces = Vec::new();
        let mut is_whole = true;
        for element in item.list_of("interfaces")? {
            match read_interface(&element, names, draft) {
                Some(interface) if interfaces.contains(&interface) => {
                    element.error::<()>("this interface is there twice");
                }
                Some(interface) => interfaces.push(interface),
                None => is_whole = false,
            }
        }
        if let [only] = interfaces[..]
            && is_whole
            && !is_mgre(only, draft)
        {
            item.error::<()>("there is nobody to forward to: it takes two, or one mGRE tunnel");
        }
        is_whole.then_some(interfaces)
    });
    section.finish();
    Some(MulticastRule { groups: groups?, interfaces: interfaces? })
}

fn read_interface(item: &Item<'_>, names: &Names, draft: &Draft) -> Option<Interface> {
    let interface = names.interface(item)?;
    if !draft.is_overlay(interface)? {
        return item.error("multicast is forwarded between overlay ports and tunnels only");
    }
    if let Interface::Tunnel(id) = interface
        && let TunnelMode::Mgre { multicast: Multicast::Off, .. } = &draft.tunnel(id)?.mode
    {
        item.warning(
            Complaint::from("no peer of this tunnel gets multicast")
                .hint("[tunnel.nhrp] multicast = \"dynamic\""),
        );
    }
    Some(interface)
}

fn is_mgre(interface: Interface, draft: &Draft) -> bool {
    let Interface::Tunnel(id) = interface else { return false };
    // A tunnel that was refused is not blamed again.
    draft.tunnel(id).is_none_or(|tunnel| matches!(tunnel.mode, TunnelMode::Mgre { .. }))
}

/// `"239.0.0.0/8"`, `"239.1.2.3"`, `"ff0e::/16"` or `"255.255.255.255"`.
fn group(text: &str) -> Result<Group, Complaint> {
    let prefix = scalar::prefix(text)?;
    if prefix == IpPrefix::host(Ipv4Addr::BROADCAST.into()) {
        return Ok(Group::LimitedBroadcast);
    }
    let multicast: [(IpAddr, u8); 2] = [
        (Ipv4Addr::new(224, 0, 0, 0).into(), 4),
        (Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0).into(), 8),
    ];
    let is_within = |ranges: &[(IpAddr, u8)]| {
        ranges.iter().any(|(network, length)| {
            IpPrefix::new(*network, *length).is_ok_and(|range| range.covers(prefix))
        })
    };
    if !is_within(&multicast) {
        return Err(Complaint::from(format!("{text:?} is not a multicast group"))
            .hint("in 224.0.0.0/4 or ff00::/8; or \"255.255.255.255\""));
    }
    let link_local: [(IpAddr, u8); 2] = [
        (Ipv4Addr::new(224, 0, 0, 0).into(), 24),
        (Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0).into(), 16),
    ];
    if is_within(&link_local) {
        return Err(format!("{text:?} is link-local: such packets are never forwarded").into());
    }
    Ok(Group::Multicast(prefix))
}
