//! Which groups are forwarded, and to whom copies go.

use std::net::IpAddr;

/// One receiver of copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replica {
    /// Its interface.
    pub interface: u16,
    /// Tunnel peers: their adjacency. Ports: [`crate::packet::NONE`], the MAC address follows
    /// from the group.
    pub adjacency: u32,
}

/// Receivers of a rule or of a broadcast.
#[derive(Debug, Clone, Default)]
pub struct ReplicationList {
    /// All receivers; a copy never goes back to where the packet came from.
    pub replicas: Vec<Replica>,
}

/// Groups that are forwarded among some interfaces.
#[derive(Debug, Clone)]
pub struct MulticastRule {
    /// First and last address of the range, inclusive; of one family.
    pub range: (IpAddr, IpAddr),
    /// Interfaces from which packets are accepted.
    pub interfaces: Vec<u16>,
    /// Interfaces and tunnel peers that get copies.
    pub receivers: ReplicationList,
}

impl MulticastRule {
    /// Whether packets to `group` that arrive on `interface` are forwarded by this rule.
    #[inline]
    pub fn matches(&self, group: IpAddr, interface: u16) -> bool {
        self.range.0 <= group && group <= self.range.1 && self.interfaces.contains(&interface)
    }
}
