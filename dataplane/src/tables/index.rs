//! A hash index: from a key to the number of what it names, one cache line a look-up.
//!
//! ```text
//! hash | upper bits: slot | lower 32 bits: tag      [tag value | tag value | …] linear probing
//! ```
//!
//! Built once, read by every core. At most half of the slots are used, so a look-up ends after a
//! slot or two. Keys come from the configuration and from authenticated peers: strangers look up
//! whatever they like, and cannot make a chain any longer.

use std::fmt;

/// Numbers by the hash of their key.
#[derive(Clone)]
pub(super) struct HashIndex {
    /// A power of two.
    slots: Box<[Slot]>,
    /// How far a hash is shifted for its slot.
    shift: u32,
}

#[derive(Clone, Copy)]
struct Slot {
    tag: u32,
    /// [`EMPTY`], or a number.
    value: u32,
}

/// No number is this.
const EMPTY: u32 = u32::MAX;
/// The fewest slots, a cache line.
const SLOTS_MIN: usize = 8;

impl HashIndex {
    /// Of all `(hash, number)`, numbers below `u32::MAX`. Of entries with the same hash, the one
    /// that comes first is found first.
    pub(super) fn new(entries: &[(u64, u32)]) -> Self {
        let count = (entries.len() * 2).next_power_of_two().max(SLOTS_MIN);
        let mut index = Self {
            slots: vec![Slot { tag: 0, value: EMPTY }; count].into_boxed_slice(),
            shift: u64::BITS - count.trailing_zeros(),
        };
        for (hash, value) in entries {
            debug_assert!(*value != EMPTY);
            let mut at = index.start(*hash);
            while index.slots[at].value != EMPTY {
                at = index.after(at);
            }
            index.slots[at] = Slot { tag: tag(*hash), value: *value };
        }
        index
    }

    /// The first number with this hash, by slot and tag, for which `is_it` holds.
    #[inline(always)]
    pub(super) fn find(&self, hash: u64, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        let mut at = self.start(hash);
        loop {
            let Slot { tag: found, value } = self.slots[at];
            if value == EMPTY {
                return None;
            }
            if found == tag(hash) && is_it(value) {
                return Some(value);
            }
            at = self.after(at);
        }
    }

    /// Asks the CPU to fetch where [`find`](Self::find) looks first.
    #[inline(always)]
    pub(super) fn prefetch(&self, hash: u64) {
        dpdk::prefetch(&self.slots[self.start(hash)]);
    }

    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "what is left of the shift is an index")]
    fn start(&self, hash: u64) -> usize {
        // Below the number of slots: as many bits are left.
        (hash >> self.shift) as usize
    }

    #[inline(always)]
    fn after(&self, at: usize) -> usize {
        (at + 1) & (self.slots.len() - 1)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the lower bits are what is asked for")]
fn tag(hash: u64) -> u32 {
    hash as u32
}

impl Default for HashIndex {
    fn default() -> Self {
        Self::new(&[])
    }
}

impl fmt::Debug for HashIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let used = self.slots.iter().filter(|slot| slot.value != EMPTY).count();
        f.debug_struct("HashIndex").field("entries", &used).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    proptest! {
        /// Against a map, with hashes that often meet in slot and tag.
        #[test]
        fn finds_what_a_map_finds(
            keys in proptest::collection::hash_set(any::<u16>(), 0..300),
            others: Vec<u16>,
            mask in prop_oneof![Just(u64::MAX), Just(0xf000_0000_0000_0003), Just(0)],
        ) {
            let hash = |key: u16| u64::from(key).wrapping_mul(0x9e37_79b9_7f4a_7c15) & mask;
            let keys: Vec<u16> = keys.into_iter().collect();
            let entries: Vec<(u64, u32)> =
                keys.iter().zip(0..).map(|(key, number)| (hash(*key), number)).collect();
            let index = HashIndex::new(&entries);
            let map: HashMap<u16, u32> = keys.iter().copied().zip(0..).collect();
            for key in keys.iter().chain(&others) {
                let found = index.find(hash(*key), |number| keys[number as usize] == *key);
                prop_assert_eq!(found, map.get(key).copied());
            }
        }
    }
}
