//! Addresses and prefixes as the tables see them: plain integers, most significant bit first.

use std::fmt::Debug;
use std::hash::Hash;
use std::ops::{BitAnd, BitXor};

/// An address as an integer in host order: `u32` for IPv4, `u128` for IPv6.
///
/// Sealed: the tables are written for these two widths.
pub trait Address:
    Copy + Ord + Hash + Debug + BitAnd<Output = Self> + BitXor<Output = Self> + sealed::Sealed
{
    /// Width in bits, which is also the length of a host route.
    const WIDTH: u8;

    /// The network mask of `length` bits, at most [`Self::WIDTH`].
    fn mask(length: u8) -> Self;

    /// The `count` bits that follow the first `depth` ones, as an integer.
    ///
    /// Bits beyond the end of the address read as 0. `depth` is below the width and `count` is
    /// between 1 and 18.
    fn slice(self, depth: u32, count: u32) -> usize;
}

impl Address for u32 {
    const WIDTH: u8 = 32;

    fn mask(length: u8) -> Self {
        Self::MAX.checked_shl(Self::BITS - u32::from(length)).unwrap_or(0)
    }

    #[inline(always)]
    fn slice(self, depth: u32, count: u32) -> usize {
        ((self << depth) >> (Self::BITS - count)) as usize
    }
}

impl Address for u128 {
    const WIDTH: u8 = 128;

    fn mask(length: u8) -> Self {
        Self::MAX.checked_shl(Self::BITS - u32::from(length)).unwrap_or(0)
    }

    #[inline(always)]
    fn slice(self, depth: u32, count: u32) -> usize {
        ((self << depth) >> (Self::BITS - count)) as usize
    }
}

/// A network: the address with its host bits cleared, and the length in bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix<A> {
    // The order of the fields is the order of a table: a covering prefix before what it covers.
    bits: A,
    length: u8,
}

impl<A: Address> Prefix<A> {
    /// The network of `length` bits that holds `address`; none if the length exceeds the width.
    #[must_use]
    pub fn new(address: A, length: u8) -> Option<Self> {
        (length <= A::WIDTH).then(|| Self { bits: address & A::mask(length), length })
    }

    /// The first address of the network.
    #[must_use]
    pub fn bits(self) -> A {
        self.bits
    }

    /// The length in bits, 0 to [`Address::WIDTH`].
    #[must_use]
    pub fn length(self) -> u8 {
        self.length
    }
}

mod sealed {
    /// Keeps [`super::Address`] to the two widths.
    pub trait Sealed {}
    impl Sealed for u32 {}
    impl Sealed for u128 {}
}
