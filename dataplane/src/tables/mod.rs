//! What the cores read: immutable snapshots, built by the control thread and published whole.
//!
//! A snapshot shares with its predecessor whatever did not change, so that publishing one new
//! neighbour does not copy half a million routes.

pub mod adjacency;
mod device_key;
pub mod encap;
pub mod fib;
mod index;
pub mod interface;
pub mod multicast;
mod neighbors;
pub mod policy;
pub mod sa;
pub mod tunnel;

use std::collections::HashMap;
use std::sync::Arc;

use crate::addr::Addr;

pub use adjacency::{Adjacency, L2Rewrite, Template};
pub use device_key::DeviceKey;
pub use encap::{Encap, EncapSpec};
pub use fib::{Fib4, Fib6, Next};
pub use interface::{Interface, Interfaces, Role};
pub use multicast::{MulticastRule, Replica, ReplicationList};
pub use neighbors::Neighbors;
pub use policy::Policy;
pub use sa::{InboundSa, OutboundSa, SaTable};
pub use tunnel::{Peer, Protection, Tunnel, TunnelMap};

/// Hash maps with a fast hash: their keys come from the configuration and from authenticated
/// peers, never straight from packets.
pub type FastMap<K, V> = HashMap<K, V, foldhash::fast::FixedState>;

/// Longest-prefix-match tables of one world, IPv4 and IPv6. Values index `Tables::adjacencies`.
#[derive(Debug, Default, Clone)]
pub struct Fib {
    /// IPv4 routes.
    pub v4: Arc<Fib4>,
    /// IPv6 routes.
    pub v6: Arc<Fib6>,
}

impl Fib {
    /// The adjacency of the longest prefix that covers `address`.
    #[inline]
    pub fn lookup(&self, address: impl Into<Addr>) -> Option<u32> {
        let address = address.into();
        let next = if address.is_v4() {
            self.v4.lookup(address.v4_bits())
        } else {
            self.v6.lookup(address.bits())
        };
        next.map(|next| next.0)
    }
}

/// One consistent snapshot of everything that the packet path looks up.
#[derive(Debug, Default, Clone)]
pub struct Tables {
    /// Grows by one with each publication.
    pub generation: u64,
    /// Ports, VLAN sub-interfaces and tunnels.
    pub interfaces: Arc<Interfaces>,
    /// Routes of hosts and tunnels.
    pub overlay: Fib,
    /// Routes of NBMA addresses.
    pub underlay: Fib,
    /// Where a route leads, by index.
    pub adjacencies: Arc<Vec<Adjacency>>,
    /// Resolved neighbours on connected overlay and underlay subnets.
    pub neighbors: Arc<Neighbors>,
    /// Tunnels by their outer addresses and key.
    pub tunnels: Arc<TunnelMap>,
    /// Inbound SAs by SPI, outbound SAs by slot.
    pub sas: Arc<SaTable>,
    /// The SPD of overlay traffic that leaves by an underlay port, by policy index.
    pub policies: Arc<Vec<Policy>>,
    /// Which groups are replicated between which interfaces.
    pub multicast: Arc<Vec<MulticastRule>>,
}
