//! Adjacency indices that stay: packets on their way and the forwarding tables refer to them.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::IpAddr;

use dataplane::drops::DropReason;
use dataplane::tables::Adjacency;
use nhrp::Path;
use wire::IpPrefix;

use super::FastMap;

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
    /// A peer of a tunnel: interface index, how it is reached.
    Peer(u16, Path),
    /// A shortcut past what routing says: interface index of the tunnel, destinations.
    Shortcut(u16, IpPrefix),
    /// The far end of an IPsec policy: port's interface index, profile, address.
    PolicyPeer(u16, u16, IpAddr),
    /// The policy of a port.
    Policy(u16),
    /// Equal-cost members.
    Group(Vec<u32>),
}

impl AdjacencyKey {
    /// Whether it comes and goes with hosts, so that its index is given to another in the end.
    fn is_passing(&self) -> bool {
        matches!(self, Self::NextHop(..) | Self::Peer(..) | Self::Shortcut(..))
    }

    /// The interface that it belongs to.
    fn interface(&self) -> Option<u16> {
        match *self {
            Self::Connected(interface)
            | Self::NextHop(interface, _)
            | Self::Broadcast(interface)
            | Self::Peer(interface, _)
            | Self::Shortcut(interface, _)
            | Self::PolicyPeer(interface, _, _)
            | Self::Policy(interface) => Some(interface),
            Self::Local | Self::Drop(_) | Self::Group(_) => None,
        }
    }
}

/// How many next hops, peers or shortcuts of an interface must have gone before the index of the
/// first is given to another: packets that still carry it have left by then.
const RESTING: usize = 256;

/// Index by key. An index, once given, keeps its meaning; one that is not in use drops.
///
/// Hosts come and go, so the index of what was for one of them is given to another in the end, of
/// the same interface: a packet that was very late would still leave by its own link, in clear or
/// sealed as it was meant to.
#[derive(Debug, Default, Clone)]
pub struct Indices {
    by_key: FastMap<AdjacencyKey, u32>,
    keys: Vec<AdjacencyKey>,
    /// Of what came with hosts and is gone, by interface; the oldest first.
    resting: HashMap<u16, VecDeque<u32>>,
}

impl Indices {
    /// The index of `key`, a new one at first.
    pub fn of(&mut self, key: AdjacencyKey) -> u32 {
        if let Some(index) = self.by_key.get(&key) {
            return *index;
        }
        let index = self.rested(&key).unwrap_or_else(|| {
            self.keys.push(key.clone());
            u32::try_from(self.keys.len() - 1).unwrap_or(u32::MAX)
        });
        self.keys[index as usize] = key.clone();
        self.by_key.insert(key, index);
        index
    }

    /// An index of what is long gone.
    fn rested(&mut self, key: &AdjacencyKey) -> Option<u32> {
        let resting = self.resting.get_mut(&key.interface().filter(|_| key.is_passing())?)?;
        if resting.len() > RESTING { resting.pop_front() } else { None }
    }

    /// Gives up the indices of interfaces whose numbers belong to others now, or to none.
    pub fn forget(&mut self, interfaces: &BTreeSet<u16>) {
        let is_gone = |key: &AdjacencyKey| key.interface().is_some_and(|i| interfaces.contains(&i));
        self.by_key.retain(|key, _| !is_gone(key));
        self.resting.retain(|interface, _| !interfaces.contains(interface));
        for key in self.keys.iter_mut().filter(|key| is_gone(key)) {
            *key = AdjacencyKey::Drop(DropReason::NoRoute);
        }
    }

    /// The index of `key`, if it has one.
    pub fn find(&self, key: &AdjacencyKey) -> Option<u32> {
        self.by_key.get(key).copied()
    }

    /// How many there are, whether in use or not.
    pub fn count(&self) -> usize {
        self.keys.len()
    }

    /// What `index` is for.
    pub fn key(&self, index: u32) -> Option<&AdjacencyKey> {
        self.keys.get(index as usize)
    }

    /// The table of these adjacencies, by index; every other index drops.
    pub fn table(&mut self, mut adjacencies: Vec<Option<Adjacency>>) -> Vec<Adjacency> {
        adjacencies.resize(self.keys.len(), None);
        let is_gone = |index: &u32| adjacencies[*index as usize].is_none();
        for (key, index) in self.by_key.extract_if(|key, index| key.is_passing() && is_gone(index))
        {
            let interface = key.interface().unwrap_or_default();
            self.resting.entry(interface).or_default().push_back(index);
        }
        let unused = || Adjacency::Drop(DropReason::NoRoute);
        adjacencies.into_iter().map(|adjacency| adjacency.unwrap_or_else(unused)).collect()
    }
}
