//! `[[port]]`, with its gateways.

use std::net::IpAddr;

use wire::{IfAddr, IpPrefix, Ipv4Prefix, Ipv6Prefix};

use super::names::Names;
use super::route::RouteEntry;
use crate::config::reader::{Complaint, Item, Section};
use crate::config::scalar;
use crate::config::{
    Attachment, Interface, Neighbor, NextHop, Offloads, Port, PortId, Role, VlanId,
};

/// Octets of the longest name of an interface: `IFNAMSIZ` of the kernel, without its NUL.
pub(super) const NAME_OCTETS_MAX: usize = 15;
/// Smallest MTU that IPv4 hosts can count on (RFC 1122, section 3.3.2).
pub(super) const MTU_MIN: u16 = 576;
/// Largest MTU: what common devices take as a jumbo frame.
pub(super) const MTU_MAX: u16 = 9216;

/// The port with this id. Its gateways become `routes`.
pub(super) fn read(
    section: Section<'_>,
    id: PortId,
    names: &Names,
    routes: &mut Vec<RouteEntry>,
) -> Option<Port> {
    let name = read_name(&section);
    let attachment = read_attachment(&section, id, names);
    let role = section
        .require("role")
        .and_then(|item| item.choice(&[("underlay", Role::Underlay), ("overlay", Role::Overlay)]));
    let addresses = read_addresses(&section);
    let mtu = section.or_default("mtu", 1500, |item| item.integer(MTU_MIN..=MTU_MAX));
    let directed_broadcast = section.or_default("directed_broadcast", false, |item| item.boolean());
    let neighbors = read_neighbors(&section, addresses.as_deref());
    for item in section.take("gateway").iter().flat_map(Item::one_or_list) {
        let Some(address) = item.parse(scalar::unicast) else { continue };
        let (Some(addresses), Some(role)) = (&addresses, role) else { continue };
        check_on_link(&item, address, addresses);
        let table = role.table();
        if routes.iter().any(|route| {
            route.next_hop.interface() == Interface::Port(id)
                && route.prefix == default_route(address)
        }) {
            item.error::<()>("a second gateway of the same family; several need [[route]]");
        }
        let next_hop = NextHop::Gateway { address, interface: Interface::Port(id) };
        let (path, prefix) = (item.path().to_owned(), default_route(address));
        routes.push(RouteEntry { path, table, prefix, next_hop });
    }
    section.finish();
    let (name, attachment, role) = (name?, attachment?, role?);
    let (addresses, neighbors) = (addresses?, neighbors?);
    Some(Port { name, attachment, role, addresses, mtu, directed_broadcast, neighbors })
}

/// The name of a port or tunnel.
pub(super) fn read_name(section: &Section<'_>) -> Option<String> {
    section.require("name")?.parse(|text| scalar::name(text, NAME_OCTETS_MAX))
}

/// The `addresses` of a port or tunnel; `None` if one of them was refused.
pub(super) fn read_addresses(section: &Section<'_>) -> Option<Vec<IfAddr>> {
    let Some(item) = section.take("addresses") else { return Some(Vec::new()) };
    if !item.is_list() {
        return item.wrong_type("a list, as in [\"10.1.0.1/24\"]");
    }
    let read = item.list().into_iter().map(|item| item.parse(scalar::interface_address));
    // First all, so that each mistake is reported; then whether there was one.
    read.collect::<Vec<_>>().into_iter().collect()
}

fn read_attachment(section: &Section<'_>, id: PortId, names: &Names) -> Option<Attachment> {
    let (device, parent) = (section.take("device"), section.take("parent"));
    if let (Some(_), Some(parent)) = (&device, &parent) {
        for key in ["vlan", "rx_queues", "tx_queues", "offloads"] {
            section.take(key);
        }
        return parent.error("a port has either a device or a parent");
    }
    if let Some(parent) = parent {
        let of_device = "belongs to the parent, which has the device";
        for key in ["rx_queues", "tx_queues", "offloads"] {
            section.refuse(key, of_device);
        }
        let tag = section.require_because("vlan", ": a port with a parent is one of its VLANs");
        let vlan = tag.and_then(|item| VlanId::new(item.integer(1..=4094)?));
        let port = names.port(&parent)?;
        if port == id {
            return parent.error("a port is not its own parent");
        }
        return Some(Attachment::Vlan { parent: port, vlan: vlan? });
    }
    section.refuse(
        "vlan",
        Complaint::from("a VLAN needs a parent, not a device").hint("parent = \"name of a port\""),
    );
    let device = section
        .require_because("device", ", or \"parent\" and \"vlan\"")
        .and_then(|item| item.parse(device_name));
    let queues = |key| section.take(key).and_then(|item| item.nonzero_u16(1024));
    let (rx_queues, tx_queues) = (queues("rx_queues"), queues("tx_queues"));
    let offloads = section.or_default("offloads", Offloads::Auto, |item| {
        item.choice(&[("auto", Offloads::Auto), ("off", Offloads::Off)])
    });
    Some(Attachment::Device { device: device?, rx_queues, tx_queues, offloads })
}

/// The name of a device as DPDK takes it: a bus address has colons, a virtual device begins with
/// the kind of its driver. Whether it exists, only the start can tell.
fn device_name(text: &str) -> Result<String, Complaint> {
    let is_printable = text.chars().all(|c| c.is_ascii_graphic());
    let driver = text.split_once(',').map_or(text, |(driver, _)| driver);
    let is_virtual = ["net_", "eth_"].iter().any(|kind| driver.starts_with(kind));
    if text.is_empty() || !is_printable {
        return Err(Complaint::from(format!("{text:?} is not the name of a device"))
            .hint("as in \"0000:3b:00.1\" or \"net_af_packet0,iface=eth0\""));
    }
    if !is_virtual && !driver.contains([':', '-']) {
        return Err(Complaint::from(format!("{text:?} is not a device of DPDK")).hint(format!(
            "a PCI address, as in \"0000:3b:00.1\"; for an interface of the kernel: \
             \"net_af_packet0,iface={driver}\""
        )));
    }
    Ok(text.to_owned())
}

fn read_neighbors(section: &Section<'_>, own: Option<&[IfAddr]>) -> Option<Vec<Neighbor>> {
    let mut neighbors: Vec<Neighbor> = Vec::new();
    let mut is_whole = true;
    for item in section.take("neighbors").iter().flat_map(Item::list) {
        let Some(entry) = item.table() else { continue };
        let address_item = entry.require("address");
        let address = address_item.as_ref().and_then(|item| item.parse(scalar::unicast));
        let mac = entry.require("mac").and_then(|item| item.parse(scalar::unicast_mac));
        entry.finish();
        let (Some(item), Some(address), Some(mac)) = (address_item, address, mac) else {
            is_whole = false;
            continue;
        };
        if let Some(own) = own {
            check_on_link(&item, address, own);
        }
        if neighbors.iter().any(|neighbor| neighbor.address == address) {
            item.error::<()>(format!("the neighbour {address} is there twice"));
        }
        neighbors.push(Neighbor { address, mac });
    }
    is_whole.then_some(neighbors)
}

/// Reports an `address` that is no neighbour of a port with these addresses.
fn check_on_link(item: &Item<'_>, address: IpAddr, own: &[IfAddr]) {
    if own.iter().any(|interface| interface.address() == address) {
        item.error::<()>(format!("{address} is the address of this port itself"));
    } else if !is_link_local(address)
        && !own.iter().any(|interface| interface.prefix().contains(address))
    {
        item.error::<()>(format!("{address} is in no prefix of this port"));
    }
}

/// Whether `address` means another host on each link (RFC 4291, section 2.5.6).
pub(super) fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local())
}

fn default_route(family: IpAddr) -> IpPrefix {
    match family {
        IpAddr::V4(_) => Ipv4Prefix::DEFAULT.into(),
        IpAddr::V6(_) => Ipv6Prefix::DEFAULT.into(),
    }
}
