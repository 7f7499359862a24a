//! Resolved neighbours on connected subnets.

use super::index::HashIndex;
use crate::addr::Addr;

/// By interface and address, the index of a neighbour's adjacency.
#[derive(Debug, Default, Clone)]
pub struct Neighbors {
    list: Vec<Neighbor>,
    index: HashIndex,
}

#[derive(Debug, Clone, Copy)]
struct Neighbor {
    address: Addr,
    adjacency: u32,
    interface: u16,
}

impl Neighbors {
    /// The adjacency of the neighbour with this address on this interface.
    #[inline(always)]
    pub fn find(&self, interface: u16, address: Addr) -> Option<u32> {
        let of = |number: u32| self.list.get(number as usize);
        let is_it =
            |number| of(number).is_some_and(|n| (n.interface, n.address) == (interface, address));
        of(self.index.find(hash(interface, address), is_it)?).map(|neighbor| neighbor.adjacency)
    }
}

/// Each interface and address once.
impl FromIterator<((u16, Addr), u32)> for Neighbors {
    fn from_iter<I: IntoIterator<Item = ((u16, Addr), u32)>>(neighbors: I) -> Self {
        let neighbor =
            |((interface, address), adjacency)| Neighbor { address, adjacency, interface };
        let list: Vec<_> = neighbors.into_iter().map(neighbor).collect();
        let hash = |(neighbor, number): (&Neighbor, u32)| {
            (hash(neighbor.interface, neighbor.address), number)
        };
        let hashes: Vec<_> = list.iter().zip(0..).map(hash).collect();
        Neighbors { index: HashIndex::new(&hashes), list }
    }
}

#[inline(always)]
fn hash(interface: u16, address: Addr) -> u64 {
    let mixed = address.fold() ^ u64::from(interface) << 40;
    mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ mixed >> 32
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Few interfaces and close addresses, so that most of what is looked for nearly exists.
        #[test]
        fn finds_what_is_there_and_nothing_else(
            neighbors in proptest::collection::btree_map((0u16..3, 0u32..40), any::<u32>(), 0..60),
            v6: bool,
        ) {
            let address = |bits: u32| if v6 { Addr::v6(bits.into()) } else { Addr::v4(bits) };
            let all: BTreeMap<_, _> = neighbors;
            let entry = |((interface, bits), adjacency): (&(u16, u32), &u32)| {
                ((*interface, address(*bits)), *adjacency)
            };
            let table: Neighbors = all.iter().map(entry).collect();
            for interface in 0..4 {
                for bits in 0..50 {
                    let found = table.find(interface, address(bits));
                    prop_assert_eq!(found, all.get(&(interface, bits)).copied());
                }
            }
        }
    }
}
