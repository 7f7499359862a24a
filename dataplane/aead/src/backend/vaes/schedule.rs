//! An expanded key.

use zeroize::Zeroize;

use super::gcm::{BLOCK, GROUP_BLOCKS_MAX};
use super::ghash::Product;
use super::vector::{Block, Kernel, Vector};

/// Powers of H that are kept: those of a whole group, and one for the lengths behind it.
const POWERS: usize = GROUP_BLOCKS_MAX + 1;
/// Of AES-256: one for each of its 14 rounds, and one before.
pub(super) const ROUND_KEYS_MAX: usize = 15;

/// What sealing and opening need of a key, 512 octets: eight cache lines, of which a packet of 64
/// octets under GRE touches the last six.
///
/// ```text
/// H^17 H^16 … H^1 | round key 0, 1 … 14
/// ```
///
/// Powers descend as in the formula of GHASH, so that one load gets those of neighbouring blocks.
/// A load that begins at a low power goes on into round keys: its last lanes are without meaning,
/// and are multiplied with lanes that are zero.
#[repr(C, align(64))]
pub(crate) struct Schedule([Block; POWERS + ROUND_KEYS_MAX]);

impl Schedule {
    /// All zero, to be expanded where it is.
    pub(crate) const fn blank() -> Self {
        Self([[0; 16]; _])
    }

    /// The powers of H from H^`first` down, at least as many as a vector has lanes.
    ///
    /// # Panics
    /// There is no such power.
    #[inline(always)]
    pub(crate) fn powers(&self, first: usize) -> &[Block] {
        &self.0[POWERS - first..]
    }

    /// H itself.
    #[inline(always)]
    pub(crate) fn h(&self) -> &Block {
        &self.0[POWERS - 1]
    }

    /// The key of a round, from 0.
    #[inline(always)]
    pub(crate) fn round_key(&self, round: usize) -> &Block {
        &self.0[POWERS + round]
    }

    /// The cache lines that a packet touches, of so many octets of text: the highest powers are for
    /// longer ones.
    #[inline(always)]
    pub(crate) fn lines(&self, text_len: usize) -> &[[Block; 4]] {
        let first = (text_len.div_ceil(BLOCK) + 2).min(POWERS);
        &self.0.as_chunks().0[(POWERS - first) / 4..]
    }

    fn wipe(&mut self) {
        self.0.zeroize();
    }
}

impl Drop for Schedule {
    fn drop(&mut self) {
        self.wipe();
    }
}

/// Expands a key of 16 or 32 octets into a blank schedule. Secrets other than in the schedule are
/// in registers, or wiped.
pub(crate) struct Expand<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) schedule: &'a mut Schedule,
}

impl<V: Vector> Kernel<V> for Expand<'_> {
    type Output = ();

    #[inline(always)]
    fn work(self, token: V::Token) {
        let rounds = self.key.len() / 4 + 6;
        expand_round_keys::<V>(token, self.key, rounds, self.schedule);
        expand_powers::<V>(token, rounds, self.schedule);
    }
}

/// FIPS 197, section 5.2.
#[inline(always)]
fn expand_round_keys<V: Vector>(token: V::Token, key: &[u8], rounds: usize, out: &mut Schedule) {
    let words = out.0[POWERS..].as_flattened_mut();
    words[..key.len()].copy_from_slice(key);
    let key_words = key.len() / 4;
    let mut constant = 1_u8;
    for at in key_words..4 * (rounds + 1) {
        let mut word = word_at(words, at - 1);
        if at.is_multiple_of(key_words) {
            word = substitute::<V>(token, word.rotate_right(8)) ^ u32::from(constant);
            // Times x, in the field of AES; the constants are public.
            constant = (constant << 1) ^ if constant >= 0x80 { 0x1b } else { 0 };
        } else if key_words == 8 && at % 8 == 4 {
            word = substitute::<V>(token, word);
        }
        word ^= word_at(words, at - key_words);
        words[4 * at..4 * at + 4].copy_from_slice(&word.to_le_bytes());
    }
}

/// A word of the round keys, its first octet the least significant.
#[inline(always)]
fn word_at(words: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(std::array::from_fn(|octet| words[4 * at + octet]))
}

/// The S-box on each octet, without a table: the last round of AES does no more to a block whose
/// four columns are the same.
#[inline(always)]
fn substitute<V: Vector>(token: V::Token, word: u32) -> u32 {
    let twice = u64::from(word) << 32 | u64::from(word);
    let mut block = [0; 16];
    V::pair(token, twice, twice).aes_last_round(V::zero(token)).store_low(&mut block);
    let word = word_at(&block, 0);
    block.zeroize();
    word
}

/// H is the zero block, encrypted (NIST SP 800-38D, section 7.1).
#[inline(always)]
fn expand_powers<V: Vector>(token: V::Token, rounds: usize, out: &mut Schedule) {
    let mut state = V::low(token, out.round_key(0));
    for round in 1..rounds {
        state = state.aes_round(V::low(token, out.round_key(round)));
    }
    state = state.aes_last_round(V::low(token, out.round_key(rounds)));
    let one = POWERS - 1;
    state.store_low(&mut out.0[one]);
    out.0[one] = shifted(u128::from_be_bytes(out.0[one])).to_le_bytes();

    let h = V::low(token, &out.0[one]);
    let mut power = h;
    for block in out.0[..one].iter_mut().rev() {
        let mut product = Product::zero(token);
        product.add(power, h);
        power = product.reduce(token);
        power.store_low(block);
    }
}

/// The shift that a product lacks, in constant time: one bit up, and what falls out times the
/// polynomial.
#[inline(always)]
fn shifted(h: u128) -> u128 {
    let carry = (h >> 127).wrapping_neg();
    (h << 1) ^ (carry & (0xc2 << 120 | 1))
}
