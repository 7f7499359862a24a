//! A bounded map whose entries have deadlines.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

/// Values by key, each with a deadline.
#[derive(Debug)]
pub(crate) struct Timers<K, V> {
    entries: BTreeMap<K, (Instant, V)>,
    order: BTreeSet<(Instant, K)>,
}

impl<K, V> Default for Timers<K, V> {
    fn default() -> Self {
        Self { entries: BTreeMap::new(), order: BTreeSet::new() }
    }
}

impl<K: Ord + Copy, V> Timers<K, V> {
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn find(&self, key: K) -> Option<&V> {
        self.entries.get(&key).map(|(_, value)| value)
    }

    pub(crate) fn find_mut(&mut self, key: K) -> Option<&mut V> {
        self.entries.get_mut(&key).map(|(_, value)| value)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (K, &V)> {
        self.entries.iter().map(|(&key, (_, value))| (key, value))
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (K, &mut V)> {
        self.entries.iter_mut().map(|(&key, (_, value))| (key, value))
    }

    /// Adds a value, or puts it in the place of another.
    pub(crate) fn insert(&mut self, key: K, deadline: Instant, value: V) -> Option<V> {
        let old = self.remove(key);
        self.order.insert((deadline, key));
        self.entries.insert(key, (deadline, value));
        old
    }

    pub(crate) fn remove(&mut self, key: K) -> Option<V> {
        let (deadline, value) = self.entries.remove(&key)?;
        self.order.remove(&(deadline, key));
        Some(value)
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.order.first().map(|&(at, _)| at)
    }

    /// Takes out all whose deadlines have passed.
    pub(crate) fn expire(&mut self, now: Instant) {
        while self.pop(now).is_some() {}
    }

    /// Takes out the entry whose deadline was first, if it has passed.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<(K, V)> {
        let &(at, key) = self.order.first()?;
        if at > now {
            return None;
        }
        self.remove(key).map(|value| (key, value))
    }
}
