//! From routes to the arena: one recursive pass over the sorted list.

use std::marker::PhantomData;

use super::{
    Address, BuildError, Entry, Fib, HEADER_WORDS, LINE_WORDS, Line, NODE_SLOTS, Next, Prefix,
    ROOT_BITS, ROOT_SLOTS, ROUTES_MAX, STRIDE,
};

type Route<A> = (Prefix<A>, Next);

pub(super) fn build<A: Address>(mut routes: Vec<Route<A>>) -> Result<Fib<A>, BuildError> {
    if routes.len() > ROUTES_MAX {
        return Err(BuildError::TooManyRoutes);
    }
    if routes.iter().any(|(_, next)| next.0 >= Next::LIMIT) {
        return Err(BuildError::IndexTooLarge);
    }
    // Stable, so that of equal prefixes the one given last is painted last.
    routes.sort_by_key(|&(prefix, _)| prefix);
    Ok(paint(&routes))
}

/// The table of sorted routes whose number and indices are within the limits.
pub(super) fn paint<A: Address>(routes: &[Route<A>]) -> Fib<A> {
    let mut arena = Arena { lines: Vec::new(), free: 0 };
    let mut root = vec![Entry::MISS; ROOT_SLOTS].into_boxed_slice(); // not by way of the stack
    arena.paint(routes, 0, ROOT_BITS, &mut root);
    #[expect(clippy::expect_used, reason = "made with this length above")]
    let root = root.try_into().ok().expect("ROOT_SLOTS entries");
    Fib { root, lines: arena.lines.into_boxed_slice(), routes: routes.len(), family: PhantomData }
}

struct Arena {
    lines: Vec<Line>,
    /// The first word that is not in use; even.
    free: usize,
}

impl Arena {
    /// Fills the slots of the block of `routes`: `bits` bits from `depth` on.
    ///
    /// The order of the routes, by address and then by length, does the work: what covers comes
    /// before what is covered, and in a slot whatever ends at this level comes before what goes
    /// deeper. So a later route simply paints over, and a subtree inherits what its slot holds.
    fn paint<A: Address>(
        &mut self,
        mut routes: &[Route<A>],
        depth: u32,
        bits: u32,
        slots: &mut [Entry],
    ) {
        let end = depth + bits;
        while let [(prefix, next), ..] = routes {
            let slot = prefix.bits().slice(depth, bits);
            let length = u32::from(prefix.length());
            let mut taken = 1;
            if length <= end {
                slots[slot..][..1 << (end - length)].fill(Entry(next.0));
            } else {
                let inside = |(other, _): &Route<A>| other.bits().slice(depth, bits) == slot;
                taken += routes[1..].iter().take_while(|route| inside(route)).count();
                slots[slot] = self.node(&routes[..taken], end, slots[slot]);
            }
            routes = &routes[taken..];
        }
    }

    /// The node of a block, all of whose routes are longer than `depth`.
    fn node<A: Address>(&mut self, routes: &[Route<A>], depth: u32, inherited: Entry) -> Entry {
        let mut slots = [inherited; NODE_SLOTS];
        self.paint(routes, depth, STRIDE, &mut slots);
        let mut starts = 1_u64;
        let mut entries = [slots[0]; NODE_SLOTS];
        let mut runs = 1;
        for slot in 1..NODE_SLOTS {
            if slots[slot] != slots[slot - 1] {
                starts |= 1 << slot;
                entries[runs] = slots[slot];
                runs += 1;
            }
        }
        // The routes below say the same as the one above.
        if runs == 1 {
            return slots[0];
        }
        self.store(starts, &entries[..runs])
    }

    fn store(&mut self, starts: u64, entries: &[Entry]) -> Entry {
        let words = (HEADER_WORDS + entries.len()).next_multiple_of(2);
        let head = if words <= LINE_WORDS && self.free % LINE_WORDS + words > LINE_WORDS {
            self.free.next_multiple_of(LINE_WORDS)
        } else {
            self.free
        };
        self.free = head + words;
        self.lines.resize(self.free.div_ceil(LINE_WORDS), Line([0; LINE_WORDS]));
        #[expect(clippy::cast_possible_truncation, reason = "the two halves")]
        let header = [starts as u32, (starts >> 32) as u32];
        for (word, value) in (head..).zip(header.into_iter().chain(entries.iter().map(|e| e.0))) {
            self.lines[word / LINE_WORDS].0[word % LINE_WORDS] = value;
        }
        // A node of n routes has at most 2n + 1 runs, so 2n + 4 words, and leaves fewer than that
        // unused before it: 12 words per route and level. Times 2^22 routes and 19 levels: < 2^31.
        let offset = u32::try_from(head).ok().filter(|head| head & Entry::NODE == 0);
        #[expect(clippy::expect_used, reason = "proven above")]
        Entry(Entry::NODE | offset.expect("ROUTES_MAX bounds the arena"))
    }
}
