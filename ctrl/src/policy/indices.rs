//! Adjacency indices that stay: packets on their way and the forwarding tables refer to them.

use std::collections::HashMap;
use std::net::IpAddr;

use dataplane::drops::DropReason;
use dataplane::tables::Adjacency;

/// What an adjacency is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum AdjacencyKey {
    /// The gateway itself.
    Local,
    /// Dropped.
    Drop(DropReason),
    /// A connected subnet of an interface.
    Connected(u16),
    /// A next hop on an interface.
    NextHop(u16, IpAddr),
    /// The broadcast address of an interface's subnet.
    Broadcast(u16),
    /// A peer of a tunnel: interface index, NBMA address.
    Peer(u16, IpAddr),
    /// The far end of an IPsec policy: port's interface index, profile, address.
    PolicyPeer(u16, u16, IpAddr),
    /// The policy of a port.
    Policy(u16),
    /// Equal-cost members.
    Group(Vec<u32>),
}

/// Index by key. An index, once given, keeps its meaning; one that is not in use drops.
#[derive(Debug, Default)]
pub struct Indices {
    by_key: HashMap<AdjacencyKey, u32>,
    keys: Vec<AdjacencyKey>,
}

impl Indices {
    /// The index of `key`, a new one at first.
    pub fn of(&mut self, key: AdjacencyKey) -> u32 {
        if let Some(index) = self.by_key.get(&key) {
            return *index;
        }
        let index = u32::try_from(self.keys.len()).unwrap_or(u32::MAX);
        self.keys.push(key.clone());
        self.by_key.insert(key, index);
        index
    }

    /// The index of `key`, if it has one.
    pub fn find(&self, key: &AdjacencyKey) -> Option<u32> {
        self.by_key.get(key).copied()
    }

    /// What `index` is for.
    pub fn key(&self, index: u32) -> Option<&AdjacencyKey> {
        self.keys.get(index as usize)
    }

    /// The table of these adjacencies; every other index drops.
    pub fn table(&self, mut adjacencies: HashMap<u32, Adjacency>) -> Vec<Adjacency> {
        let unused = || Adjacency::Drop(DropReason::NoRoute);
        let indices = 0..u32::try_from(self.keys.len()).unwrap_or(u32::MAX);
        indices.map(|index| adjacencies.remove(&index).unwrap_or_else(unused)).collect()
    }
}
