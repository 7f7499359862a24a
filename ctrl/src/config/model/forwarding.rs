//! `[[route]]` and `[[multicast]]`: where packets go.

use std::net::IpAddr;

use wire::IpPrefix;

use super::{PortId, TunnelId};

/// A port or a tunnel, by the name that routes and multicast rules use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Interface {
    /// A `[[port]]`.
    Port(PortId),
    /// A `[[tunnel]]`.
    Tunnel(TunnelId),
}

/// A static route: a `[[route]]`, or the `gateway` of a port. Unique by (table, prefix).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The table that it is in.
    pub table: Table,
    /// Destinations.
    pub prefix: IpPrefix,
    /// At least one, none twice; several share the traffic.
    pub next_hops: Vec<NextHop>,
}

/// A forwarding table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// Inner packets: overlay ports and tunnels.
    Overlay,
    /// Outer packets: underlay ports.
    Underlay,
}

/// Where packets of a route go next; the interface belongs to the table of the route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NextHop {
    /// To a neighbour.
    Gateway {
        /// Its address, of the family of the route.
        address: IpAddr,
        /// The interface that it is reached by.
        interface: Interface,
    },
    /// To the destination itself: on the link, or the one peer of a point-to-point tunnel.
    Direct(Interface),
}

impl NextHop {
    /// The interface that packets leave by.
    #[must_use]
    pub fn interface(self) -> Interface {
        match self {
            Self::Gateway { interface, .. } | Self::Direct(interface) => interface,
        }
    }
}

/// One `[[multicast]]`: groups that are forwarded between interfaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MulticastRule {
    /// At least one; none in two rules. Of overlapping ones the longest prefix wins.
    pub groups: Vec<Group>,
    /// Overlay ports and tunnels, none twice: two or more, or one mGRE tunnel.
    pub interfaces: Vec<Interface>,
}

/// What a multicast rule forwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Group {
    /// Groups of 224.0.0.0/4 or ff00::/8. Link-local ones in it are still never forwarded.
    Multicast(IpPrefix),
    /// 255.255.255.255.
    LimitedBroadcast,
}
