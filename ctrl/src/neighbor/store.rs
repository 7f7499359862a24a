//! The entries, and what finds them: by address, by deadline, by age of an unanswered question.
//!
//! All changes go through [`Store::insert`], [`Store::update`] and [`Store::remove`], which keep
//! the indexes and counts in step.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::time::Instant;

use wire::MacAddr;

use super::state::State;

/// Interface and address.
pub(super) type Key = (u16, IpAddr);

/// How an entry came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// By configuration.
    Static,
    /// By a packet, a route or a tunnel that needs it.
    Demand,
    /// By a question of the neighbour to us.
    Learnt,
}

/// One neighbour.
#[derive(Debug)]
pub(super) struct Neighbor<P> {
    pub(super) state: State,
    /// Known in the usable states, and only there.
    pub(super) mac: Option<MacAddr>,
    pub(super) origin: Origin,
    pub(super) pinned: bool,
    /// Questions asked in this state.
    pub(super) tries: u8,
    /// When the state ends; never for a static one.
    pub(super) deadline: Option<Instant>,
    /// Probed until then, pinned or not.
    pub(super) wanted_until: Option<Instant>,
    /// When the link-layer address was learnt.
    pub(super) learnt_at: Option<Instant>,
    /// Packets that wait, oldest first.
    pub(super) queue: VecDeque<P>,
    /// Order among those without an answer.
    serial: u64,
}

impl<P> Neighbor<P> {
    pub(super) fn new(state: State, mac: Option<MacAddr>, origin: Origin) -> Self {
        Self {
            state,
            mac,
            origin,
            pinned: false,
            tries: 0,
            deadline: None,
            wanted_until: None,
            learnt_at: None,
            queue: VecDeque::new(),
            serial: 0,
        }
    }

    /// May give way to newer questions.
    fn is_evictable(&self) -> bool {
        !self.state.is_usable() && !self.pinned
    }
}

/// All neighbours.
#[derive(Debug)]
pub(super) struct Store<P> {
    entries: BTreeMap<Key, Neighbor<P>>,
    timers: BTreeSet<(Instant, Key)>,
    /// Unanswered and not pinned, oldest first, by interface.
    unresolved: BTreeMap<u16, BTreeMap<u64, IpAddr>>,
    unresolved_total: usize,
    learnt: BTreeMap<u16, usize>,
    queued: usize,
    serial: u64,
}

impl<P> Store<P> {
    pub(super) const fn new() -> Self {
        Self {
            entries: BTreeMap::new(),
            timers: BTreeSet::new(),
            unresolved: BTreeMap::new(),
            unresolved_total: 0,
            learnt: BTreeMap::new(),
            queued: 0,
            serial: 0,
        }
    }

    pub(super) fn find(&self, key: Key) -> Option<&Neighbor<P>> {
        self.entries.get(&key)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Key, &Neighbor<P>)> {
        self.entries.iter().map(|(&key, neighbor)| (key, neighbor))
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Packets that wait, in all queues.
    pub(super) fn queued(&self) -> usize {
        self.queued
    }

    /// Unanswered and not pinned, on all interfaces.
    pub(super) fn unresolved_total(&self) -> usize {
        self.unresolved_total
    }

    /// Unanswered and not pinned, on one interface.
    pub(super) fn unresolved(&self, interface: u16) -> usize {
        self.unresolved.get(&interface).map_or(0, BTreeMap::len)
    }

    /// The longest unanswered one on an interface that is not pinned.
    pub(super) fn oldest_unresolved(&self, interface: u16) -> Option<Key> {
        let (_, &address) = self.unresolved.get(&interface)?.first_key_value()?;
        Some((interface, address))
    }

    /// The longest unanswered one on any interface that is not pinned.
    pub(super) fn oldest_unresolved_of_all(&self) -> Option<Key> {
        let first = |(&interface, of_one): (&u16, &BTreeMap<u64, IpAddr>)| {
            of_one.first_key_value().map(|(&serial, &address)| (serial, (interface, address)))
        };
        self.unresolved.iter().filter_map(first).min().map(|(_, key)| key)
    }

    /// Entries of an interface that only came to be by questions to us.
    pub(super) fn learnt(&self, interface: u16) -> usize {
        self.learnt.get(&interface).copied().unwrap_or(0)
    }

    /// The next deadline and whose it is.
    pub(super) fn next_deadline(&self) -> Option<(Instant, Key)> {
        self.timers.first().copied()
    }

    /// Adds a neighbour that must not exist.
    pub(super) fn insert(&mut self, key: Key, mut neighbor: Neighbor<P>) {
        debug_assert!(!self.entries.contains_key(&key));
        self.number(&mut neighbor);
        self.index(key, &neighbor);
        self.entries.insert(key, neighbor);
    }

    /// Changes a neighbour; `None` if there is none.
    pub(super) fn update<R>(
        &mut self,
        key: Key,
        change: impl FnOnce(&mut Neighbor<P>) -> R,
    ) -> Option<R> {
        let mut neighbor = self.remove(key)?;
        let was_evictable = neighbor.is_evictable();
        let result = change(&mut neighbor);
        if !was_evictable {
            self.number(&mut neighbor);
        }
        self.index(key, &neighbor);
        self.entries.insert(key, neighbor);
        Some(result)
    }

    pub(super) fn remove(&mut self, key: Key) -> Option<Neighbor<P>> {
        let neighbor = self.entries.remove(&key)?;
        if let Some(deadline) = neighbor.deadline {
            self.timers.remove(&(deadline, key));
        }
        if neighbor.is_evictable()
            && let Some(of_one) = self.unresolved.get_mut(&key.0)
        {
            of_one.remove(&neighbor.serial);
            if of_one.is_empty() {
                self.unresolved.remove(&key.0);
            }
            self.unresolved_total -= 1;
        }
        if neighbor.origin == Origin::Learnt
            && let Some(count) = self.learnt.get_mut(&key.0)
        {
            *count -= 1;
            if *count == 0 {
                self.learnt.remove(&key.0);
            }
        }
        self.queued -= neighbor.queue.len();
        Some(neighbor)
    }

    /// The youngest of the unanswered, should it be one.
    fn number(&mut self, neighbor: &mut Neighbor<P>) {
        neighbor.serial = self.serial;
        self.serial += 1;
    }

    fn index(&mut self, key: Key, neighbor: &Neighbor<P>) {
        if let Some(deadline) = neighbor.deadline {
            self.timers.insert((deadline, key));
        }
        if neighbor.is_evictable() {
            self.unresolved.entry(key.0).or_default().insert(neighbor.serial, key.1);
            self.unresolved_total += 1;
        }
        if neighbor.origin == Origin::Learnt {
            *self.learnt.entry(key.0).or_default() += 1;
        }
        self.queued += neighbor.queue.len();
    }
}
