//! Longest-prefix match: an immutable table, built once and read by every core.
//!
//! ```text
//! address   | 18 bits: root | 6 bits: node | 6 bits: node | …
//!
//! root      [entry; 2^18]                      entry = a leaf, or where a node begins
//! node      | starts: u64 | entry | entry | …  one entry for each run of equal slots
//! ```
//!
//! A node divides its block of addresses into 64 slots. Neighbouring slots with the same entry
//! form a run and share it; bit `i` of `starts` says that a run begins at slot `i`, so the entry
//! of a slot is found by counting the bits up to it. This is the compression of Poptrie (Asai and
//! Ohara, SIGCOMM 2015), with one difference: header and entries lie side by side in one arena,
//! and a node of up to 14 runs never crosses a cache line. So a level costs one cache miss, not
//! two. A root of 18 bits leaves one level for a /24, which most routes of the Internet are.

mod build;
mod prefix;
#[cfg(test)]
mod tests;

use std::fmt;
use std::marker::PhantomData;

pub use prefix::{Address, Prefix};

/// The most routes a table takes: four times the full Internet table of 2026. Beyond it, word
/// offsets of a table of IPv6 host routes could no longer be told from leaves.
pub const ROUTES_MAX: usize = 1 << 22;

/// A longest-prefix-match table of one address family.
///
/// About 1 MB for the root, and up to 20 octets for each route of IPv4, 100 of IPv6, when nothing
/// clusters. Share it as an `Arc`.
pub struct Fib<A> {
    root: Box<[Entry; ROOT_SLOTS]>,
    lines: Box<[Line]>,
    routes: usize,
    family: PhantomData<A>,
}

/// The table for IPv4; addresses are `u32` in host order.
pub type Fib4 = Fib<u32>;
/// The table for IPv6; addresses are `u128` in host order.
pub type Fib6 = Fib<u128>;

/// What a route leads to: an index whose meaning is the caller's, below [`Next::LIMIT`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Next(pub u32);

impl Next {
    /// Indices in a table are below this: an entry needs a bit and a value for itself.
    pub const LIMIT: u32 = (1 << 31) - 1;
}

/// What a burst of look-ups found for one address: the answer as the table holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found(u32);

impl Found {
    /// Where the route leads; none if no route covers the address.
    #[inline(always)]
    #[must_use]
    pub fn next(self) -> Option<Next> {
        Entry(self.0).leaf()
    }

    /// The same as a number: if no route covers the address, one above all that routes lead to.
    #[inline(always)]
    #[must_use]
    pub fn index(self) -> u32 {
        self.0
    }
}

/// Nothing was found, or looked for.
impl Default for Found {
    fn default() -> Self {
        Self(Entry::MISS.0)
    }
}

/// Why no table can be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BuildError {
    /// There are more than [`ROUTES_MAX`] routes.
    TooManyRoutes,
    /// The index of a route is not below [`Next::LIMIT`].
    IndexTooLarge,
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooManyRoutes => write!(f, "a table takes at most {ROUTES_MAX} routes"),
            Self::IndexTooLarge => write!(f, "the index of a next hop exceeds {}", Next::LIMIT - 1),
        }
    }
}

impl std::error::Error for BuildError {}

impl<A: Address> Fib<A> {
    /// Builds a table in one pass over the sorted routes.
    ///
    /// Of routes with the same prefix the last one counts, so that a caller can chain its sources
    /// in ascending order of preference. Equal-cost paths are the business of the value.
    ///
    /// # Errors
    /// [`BuildError`] beyond [`ROUTES_MAX`] routes, or for an index beyond [`Next::LIMIT`].
    pub fn build<I>(routes: I) -> Result<Self, BuildError>
    where
        I: IntoIterator<Item = (Prefix<A>, Next)>,
    {
        build::build(routes.into_iter().collect())
    }

    /// The longest match of one address; none if no route covers it.
    #[inline]
    #[must_use]
    pub fn lookup(&self, address: A) -> Option<Next> {
        let mut entry = self.root[address.slice(0, ROOT_BITS)];
        let mut depth = ROOT_BITS;
        while entry.is_node() {
            entry = self.child(entry, address.slice(depth, STRIDE));
            depth += STRIDE;
        }
        entry.leaf()
    }

    /// The longest match of each item's address: `out[i]` is what [`lookup`](Self::lookup) says of
    /// `address(&items[i])`.
    ///
    /// Overlaps the cache misses of the burst. The first level of nodes, where most addresses end,
    /// is taken at once; the few that go deeper follow together, level by level.
    ///
    /// # Panics
    /// If the slices differ in length.
    #[inline]
    pub fn lookup_burst<T>(&self, items: &[T], address: impl Fn(&T) -> A, out: &mut [Found]) {
        assert_eq!(items.len(), out.len(), "one result for each address");
        let mut all = 0;
        for (out, item) in out.iter_mut().zip(items) {
            let address = address(item);
            let mut entry = self.root[address.slice(0, ROOT_BITS)];
            if entry.is_node() {
                entry = self.child(entry, address.slice(ROOT_BITS, STRIDE));
            }
            *out = Found(entry.0);
            all |= entry.0;
        }
        if Entry(all).is_node() {
            for (items, out) in items.chunks(LANES).zip(out.chunks_mut(LANES)) {
                self.lookup_deeper(items, &address, out);
            }
        }
    }

    /// How many routes it was built from, replaced ones included.
    #[must_use]
    pub fn routes(&self) -> usize {
        self.routes
    }

    /// What the table takes in memory, in octets.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        size_of_val(&*self.root) + size_of_val(&*self.lines)
    }

    /// Follows together those lanes of a burst that are still at a node. `deeper` lists them, and
    /// is packed without a branch.
    #[inline(never)]
    fn lookup_deeper<T>(&self, items: &[T], address: impl Fn(&T) -> A, out: &mut [Found]) {
        let mut deeper = [0_u8; LANES];
        let mut count = 0;
        for (lane, found) in (0..LANE_COUNT).zip(&*out) {
            deeper[count % LANES] = lane;
            count += usize::from(Entry(found.0).is_node());
        }
        let mut depth = ROOT_BITS + STRIDE;
        while count > 0 {
            let mut kept = 0;
            for i in 0..count {
                let lane = deeper[i % LANES];
                let at = usize::from(lane);
                let slot = address(&items[at]).slice(depth, STRIDE);
                let entry = self.child(Entry(out[at].0), slot);
                out[at] = Found(entry.0);
                deeper[kept % LANES] = lane;
                kept += usize::from(entry.is_node());
            }
            count = kept;
            depth += STRIDE;
        }
    }

    /// The entry of a slot, below 64, of a node.
    #[inline(always)]
    fn child(&self, node: Entry, slot: usize) -> Entry {
        let head = node.word();
        // The offset is even: a header is one of the pairs of its line.
        let (pairs, _) = self.lines[head / LINE_WORDS].0.as_chunks::<HEADER_WORDS>();
        let [low, high] = pairs[head / HEADER_WORDS % pairs.len()];
        let starts = u64::from(low) | u64::from(high) << 32;
        // Bit 0 is always set, so the rank is at least 1.
        let rank = (starts << (63 - slot)).count_ones() as usize;
        let word = head + HEADER_WORDS - 1 + rank;
        Entry(self.lines[word / LINE_WORDS].0[word % LINE_WORDS])
    }
}

impl<A: Address> Default for Fib<A> {
    /// A table without routes.
    fn default() -> Self {
        build::paint(&[])
    }
}

impl<A> fmt::Debug for Fib<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fib").field("routes", &self.routes).finish_non_exhaustive()
    }
}

/// Bits that the root resolves. 18 = 24 - 6: a /24 ends at the first level of nodes.
const ROOT_BITS: u32 = 18;
const ROOT_SLOTS: usize = 1 << ROOT_BITS;
/// Bits that a node resolves: as many slots as a `u64` has bits.
const STRIDE: u32 = 6;
const NODE_SLOTS: usize = 1 << STRIDE;
/// Words of `starts`, in front of the entries of a node.
const HEADER_WORDS: usize = 2;
const LINE_WORDS: usize = 16;
/// Lookups in flight at once: more than a core can have misses outstanding.
const LANE_COUNT: u8 = 32;
const LANES: usize = LANE_COUNT as usize;

/// A cache line of the arena of nodes.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line([u32; LINE_WORDS]);

/// Bit 31 set: the offset of a node, in words. Clear: the index of a leaf, or [`Entry::MISS`].
#[derive(Clone, Copy, PartialEq, Eq)]
struct Entry(u32);

impl Entry {
    const MISS: Self = Self(Next::LIMIT);
    const NODE: u32 = 1 << 31;

    #[inline(always)]
    fn is_node(self) -> bool {
        self.0 & Self::NODE != 0
    }

    #[inline(always)]
    fn word(self) -> usize {
        (self.0 & !Self::NODE) as usize
    }

    #[inline(always)]
    fn leaf(self) -> Option<Next> {
        (self != Self::MISS).then_some(Next(self.0))
    }
}
