//! AES-GCM over a packet (NIST SP 800-38D, section 7), on vectors of any width.
//!
//! Blocks have positions, those of AES-CTR and of GHASH the same:
//!
//! ```text
//! position         0      1       2     …    n        n + 1
//! AES encrypts     J0     J0 + 1  …          J0 + n
//! to crypt         -      text    …          text
//! GHASH takes      AAD    ciphertext …                lengths
//! times            H^(n+2)  …                H^2      H^1
//! ```
//!
//! A vector takes the next [`Vector::LANES`] positions. The lengths go behind the last block, if a
//! lane is left there.

use std::ptr;

use super::ghash::Product;
use super::schedule::Schedule;
use super::vector::{Block, Vector};
use super::{Key, Width};
use crate::algorithm::Algorithm;
use crate::job::BUFFER_LEN_MAX;
use crate::key;

/// Vectors that are under way together: rounds of AES enough to hide that each takes 3 cycles or 4.
pub(super) const GROUP: usize = 4;
/// Positions of a group, where a vector has four lanes.
pub(super) const GROUP_BLOCKS_MAX: usize = GROUP * 4;
pub(super) const BLOCK: usize = 16;

/// Position 0 has counter 1; the last of the longest text does not wrap it.
const _: () = assert!(BUFFER_LEN_MAX.div_ceil(BLOCK) < u32::MAX as usize);
/// Most vectors of packets that are done two by two.
pub(super) const PAIRED_MAX: usize = 2;
/// Longest text whose counters fit one octet.
const NARROW_LEN_MAX: usize = (u8::MAX as usize - 1) * BLOCK;

/// What is of one packet.
pub(crate) struct Packet<'a> {
    pub(super) key: &'a Schedule,
    /// Salt and IV, then four octets of zero.
    pub(super) nonce: &'a Block,
    /// Zero behind its end.
    pub(super) aad: &'a Block,
    /// Octets of `aad` that count.
    pub(super) aad_len: usize,
    pub(super) text: &'a mut [u8],
    pub(super) icv: &'a Block,
}

impl Packet<'_> {
    #[inline(always)]
    pub(super) fn lengths(&self) -> Lengths {
        Lengths { text: self.text.len(), aad: self.aad_len }
    }
}

/// Octets of text and AAD.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Lengths {
    text: usize,
    aad: usize,
}

impl Lengths {
    /// Blocks of text.
    #[inline(always)]
    pub(super) fn blocks(self) -> usize {
        self.text.div_ceil(BLOCK)
    }
}

/// What GHASH takes in the end: the lengths of a packet, or of two.
pub(super) trait Ending<V: Vector>: Copy + PartialEq {
    /// The block, its octets reversed, in each lane of its packet.
    fn block(self, token: V::Token) -> V;

    /// What it adds to the tag, in each lane, if it is not hashed with other blocks.
    #[inline(always)]
    fn hash(self, token: V::Token, key: &Schedule) -> V {
        let mut product = Product::zero(token);
        product.add(self.block(token), V::broadcast(token, key.h()));
        product.reduce(token).reverse_octets()
    }
}

impl<V: Vector> Ending<V> for Lengths {
    #[inline(always)]
    fn block(self, token: V::Token) -> V {
        let bits = |octets: usize| 8 * octets as u64;
        V::pair(token, bits(self.text), bits(self.aad))
    }
}

/// What the lengths of the last packet, or of the last two, added to the tag: the same for all of
/// one length that follow each other.
pub(super) struct LengthsHash<V, L> {
    of: *const Schedule,
    lengths: Option<L>,
    hash: V,
}

impl<V: Vector, L: Ending<V>> LengthsHash<V, L> {
    #[inline(always)]
    pub(super) fn nothing(token: V::Token) -> Self {
        Self { of: ptr::null(), lengths: None, hash: V::zero(token) }
    }

    /// That of these lengths.
    #[inline(always)]
    pub(super) fn of(&mut self, token: V::Token, key: &Schedule, lengths: L) -> V {
        if !ptr::eq(self.of, key) || self.lengths != Some(lengths) {
            self.hash = lengths.hash(token, key);
            self.of = key;
            self.lengths = Some(lengths);
        }
        self.hash
    }
}

/// A job, sealing or opening, as the kernels see it.
pub(crate) trait Job<V: Width> {
    const SEAL: bool;

    fn key(&self) -> &key::Key;

    /// Text and ICV; empty if it was sealed already.
    fn buffer(&self) -> &[u8];

    /// The packet, if the key is for these vectors and the buffer has an ICV.
    fn packet(&mut self) -> Option<Packet<'_>>;

    /// Takes note that the packet is done: of its tag when it was to seal, and else of what the tag
    /// differs by from the ICV that it came with, lane 0.
    fn conclude(&mut self, tag: V);

    /// The key, if it is for these vectors.
    #[inline(always)]
    fn own_key(&self) -> Option<&Key<V>> {
        V::key(&self.key().schedule)
    }

    /// Octets of text, if the buffer can be of a packet.
    #[inline(always)]
    fn text_len(&self) -> Option<usize> {
        let len = self.buffer().len();
        if len > BUFFER_LEN_MAX { None } else { len.checked_sub(BLOCK) }
    }

    /// Algorithm and shape, if the key is for these vectors.
    #[inline(always)]
    fn kind(&self) -> Option<(Algorithm, Shape)> {
        self.own_key()?;
        Some((self.key().algorithm(), Shape::of::<V>(self.text_len()?)))
    }

    /// Whether they are these. Looks at the length first, which tells without a look at the key.
    #[inline(always)]
    fn is_of(&self, algorithm: Algorithm, shape: Shape) -> bool {
        self.text_len().is_some_and(|len| Shape::of::<V>(len) == shape)
            && self.key().algorithm() == algorithm
            && self.own_key().is_some()
    }
}

/// The algorithm that has so many rounds of AES.
pub(super) const fn algorithm<const ROUNDS: usize>() -> Algorithm {
    if ROUNDS == 10 { Algorithm::Aes128Gcm16 } else { Algorithm::Aes256Gcm16 }
}

/// What kernel a packet is for, by the length of its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// [Two by two](Width::pairs), each of so many vectors.
    Paired(usize),
    /// [`Stream`](super::stream::Stream).
    Streamed,
    /// The same, with counters that do not fit one octet.
    Jumbo,
}

impl Shape {
    #[inline(always)]
    pub(super) fn of<V: Vector>(text_len: usize) -> Self {
        // Position 0 has no text.
        let fits = |vectors: usize| text_len <= (vectors * V::LANES - 1) * BLOCK;
        if fits(1) {
            Self::Paired(1)
        } else if fits(PAIRED_MAX) {
            Self::Paired(PAIRED_MAX)
        } else if text_len <= NARROW_LEN_MAX {
            Self::Streamed
        } else {
            Self::Jumbo
        }
    }

    /// A bit of its own.
    pub(super) fn bit(self) -> u8 {
        match self {
            Self::Paired(vectors) => 1 << vectors,
            Self::Streamed => 1,
            Self::Jumbo => 1 << 7,
        }
    }
}

/// Counters of neighbouring positions, in blocks.
#[repr(align(64))]
pub(super) struct Counters<const N: usize>(pub(super) [Block; N]);

/// Those of a group, and of a vector more.
const IN_ORDER: [u8; 20] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20];

pub(super) static COUNTERS: Counters<20> = Counters::new(IN_ORDER, BLOCK - 1);
/// The octets of the counter in reverse order.
pub(super) static COUNTERS_SWAPPED: Counters<20> = Counters::new(IN_ORDER, BLOCK - 4);

impl<const N: usize> Counters<N> {
    pub(super) const fn new(counters: [u8; N], low_octet: usize) -> Self {
        let mut blocks = [[0; BLOCK]; N];
        let mut at = 0;
        while at < N {
            blocks[at][low_octet] = counters[at];
            at += 1;
        }
        Self(blocks)
    }
}
