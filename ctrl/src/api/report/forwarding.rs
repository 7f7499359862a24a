//! Routes and neighbours.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// A route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(proptest_derive::Arbitrary))]
pub struct Route {
    /// The table that it is in.
    pub table: RouteTable,
    /// Destinations, such as `10.2.0.0/16`.
    pub prefix: String,
    /// Where it comes from.
    pub source: RouteSource,
    /// At least one; several share the traffic.
    pub next_hops: Vec<NextHop>,
}

/// A forwarding table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(proptest_derive::Arbitrary))]
#[serde(rename_all = "snake_case")]
pub enum RouteTable {
    /// Inner packets.
    Overlay,
    /// Outer packets.
    Underlay,
}

/// Where a route comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(proptest_derive::Arbitrary))]
#[serde(rename_all = "snake_case")]
pub enum RouteSource {
    /// An address of an interface.
    Connected,
    /// The configuration.
    Static,
}

/// One way of a route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(proptest_derive::Arbitrary))]
pub struct NextHop {
    /// The neighbour; `null`: the destination itself.
    pub via: Option<IpAddr>,
    /// Port or tunnel.
    pub interface: String,
    /// Whether packets can go there.
    pub state: NextHopState,
}

/// Whether packets can go to a next hop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(proptest_derive::Arbitrary))]
#[serde(rename_all = "snake_case")]
pub enum NextHopState {
    /// They can.
    Resolved,
    /// Its link-layer or NBMA address is not known; the next packet asks for it.
    Unresolved,
    /// Its interface is down.
    Down,
}

/// A neighbour on the link of a port (ARP or neighbour discovery).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(proptest_derive::Arbitrary))]
pub struct Neighbor {
    /// The port.
    pub interface: String,
    /// Its IP address.
    pub address: IpAddr,
    /// Its Ethernet address, once it is known.
    pub mac: Option<String>,
    /// How well it is known.
    pub state: NeighborState,
    /// Seconds since it last answered; `null`: never, or static.
    pub age_seconds: Option<u64>,
    /// Packets that wait for its Ethernet address.
    pub waiting: u32,
}

/// How well a neighbour is known (states of RFC 4861, section 7.3.2, for both families).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(proptest_derive::Arbitrary))]
#[serde(rename_all = "snake_case")]
pub enum NeighborState {
    /// Set by the configuration.
    Static,
    /// Asked for, no answer yet.
    Incomplete,
    /// Answered lately.
    Reachable,
    /// Known, but not confirmed lately.
    Stale,
    /// Being asked again.
    Probe,
    /// Does not answer.
    Failed,
}
