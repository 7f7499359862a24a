//! GHASH: multiplication in GF(2^128), several blocks at a time (NIST SP 800-38D, section 6.4).
//!
//! GCM counts bits from the most significant of the first octet on. With the octets of a block
//! reversed, a product of two blocks is that of carry-less multiplication, but for a shift by one
//! bit. The powers of H have that shift built in (`schedule.rs`), so that it costs nothing here.

use super::Zmm;
use super::vector::Vector;

/// A sum of products, each of 256 bits, not yet reduced; one in each lane.
#[derive(Clone, Copy)]
pub(crate) struct Product<V> {
    low: V,
    /// Belongs in the middle: half over `low`, half over `high`.
    middle: V,
    high: V,
}

impl<V: Vector> Product<V> {
    #[inline(always)]
    pub(crate) fn zero(token: V::Token) -> Self {
        let zero = V::zero(token);
        Self { low: zero, middle: zero, high: zero }
    }

    /// Adds the product of `blocks`, their octets reversed, and powers of H.
    #[inline(always)]
    pub(crate) fn add(&mut self, blocks: V, powers: V) {
        self.low = self.low.xor(blocks.multiply::<0x00>(powers));
        let (one, other) = (blocks.multiply::<0x01>(powers), blocks.multiply::<0x10>(powers));
        self.middle = self.middle.xor3(one, other);
        self.high = self.high.xor(blocks.multiply::<0x11>(powers));
    }

    /// The remainder in each lane, modulo x^128 + x^7 + x^2 + x + 1: folds the lowest 64 bits into
    /// the 128 above them, twice.
    #[inline(always)]
    pub(crate) fn reduce(self, token: V::Token) -> V {
        let polynomial = V::pair(token, 0xc2 << 56, 0xc2 << 56);
        let fold = |value: V| (value.swap_halves(), value.multiply::<0x00>(polynomial));
        let (swapped, folded) = fold(self.low);
        let (swapped, folded) = fold(self.middle.xor3(swapped, folded));
        self.high.xor3(swapped, folded)
    }

    /// [`Vector::pin`] of all of it.
    #[inline(always)]
    pub(crate) fn pin(&mut self) {
        *self = Self { low: self.low.pin(), middle: self.middle.pin(), high: self.high.pin() };
    }
}

impl Product<Zmm> {
    /// Two sums as one, of `a` in both lower lanes and of `b` in the upper ones.
    #[inline(always)]
    pub(crate) fn halves(a: &Self, b: &Self) -> Self {
        Self {
            low: a.low.sum_halves(b.low),
            middle: a.middle.sum_halves(b.middle),
            high: a.high.sum_halves(b.high),
        }
    }
}
