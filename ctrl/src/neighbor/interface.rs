//! An interface as neighbours see it: our addresses, and who can be on its link.

use std::net::{IpAddr, Ipv6Addr};

use wire::{IfAddr, IpPrefix, MacAddr};

/// One interface with a link: a port or a VLAN of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterfaceConfig {
    /// Its index.
    pub index: u16,
    /// Its Ethernet address: unicast.
    pub mac: MacAddr,
    /// Its VLAN, 1–4094.
    pub vlan: Option<u16>,
    /// Its addresses and connected prefixes.
    pub addresses: Vec<IfAddr>,
    /// Its IPv6 link-local address, if it speaks IPv6; see [`wire::ip6::link_local`].
    pub link_local: Option<Ipv6Addr>,
    /// Static neighbours.
    pub neighbors: Vec<(IpAddr, MacAddr)>,
}

impl InterfaceConfig {
    /// Whether the address is one of ours.
    pub(super) fn is_own(&self, address: IpAddr) -> bool {
        self.own().any(|own| own == address)
    }

    /// Our addresses, the link-local one last.
    pub(super) fn own(&self) -> impl Iterator<Item = IpAddr> + '_ {
        let link_local = self.link_local.into_iter().map(IpAddr::V6);
        self.addresses.iter().map(|own| own.address()).chain(link_local)
    }

    /// The address of ours to ask a neighbour from: that of its own prefix (RFC 4861 7.2.2 asks for
    /// one of the interface; an ARP request has to come from the subnet, or it is not answered).
    pub(super) fn source_for(&self, neighbor: IpAddr) -> Option<IpAddr> {
        let connected = self.addresses.iter().find(|own| own.prefix().contains(neighbor));
        let link_local = self.link_local.filter(|_| neighbor.is_ipv6()).map(IpAddr::V6);
        connected.map(|own| own.address()).or(link_local)
    }

    /// Whether a single other station on this link can have the address.
    pub(super) fn can_be_neighbor(&self, address: IpAddr) -> bool {
        let (single, link_local) = match address {
            IpAddr::V4(v4) => {
                (!v4.is_multicast() && !v4.is_broadcast() && !v4.is_loopback(), false)
            }
            IpAddr::V6(v6) => (!v6.is_multicast() && !v6.is_loopback(), v6.is_unicast_link_local()),
        };
        if !single || address.is_unspecified() || self.is_own(address) {
            return false;
        }
        if link_local {
            return self.link_local.is_some();
        }
        self.addresses.iter().any(|own| is_host_of(own.prefix(), address))
    }
}

/// Whether a prefix contains an address that a host can have: for IPv4 neither the network nor its
/// broadcast address, which a /31 does not have (RFC 3021).
fn is_host_of(prefix: IpPrefix, address: IpAddr) -> bool {
    match (prefix, address) {
        (IpPrefix::V4(prefix), IpAddr::V4(v4)) => {
            let reserved =
                prefix.broadcast().is_some_and(|last| last == v4 || prefix.network() == v4);
            prefix.contains(v4) && !reserved
        }
        (prefix, address) => prefix.contains(address),
    }
}
