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
//! A vector takes the next [`Vector::LANES`] positions, and up to [`GROUP`] vectors are a group.
//! What fits one group is a [`Short`] packet: straight code for its number of vectors, one
//! reduction. A [`Long`] one goes by groups, full ones and a last, and the ciphertext of each is
//! hashed amid the rounds of AES of the next, so that both units of the CPU have work. Opening
//! does the same with the ciphertext that it reads.

use super::ghash::Product;
use super::schedule::Schedule;
use super::vector::{Block, Kernel, Vector};
use crate::algorithm::Algorithm;
use crate::job::BUFFER_LEN_MAX;

/// Vectors of a full group: rounds of AES enough to hide that each takes 3 cycles or 4.
const GROUP: usize = 4;
/// Positions of a full group, where a vector has four lanes.
pub(crate) const GROUP_BLOCKS_MAX: usize = GROUP * 4;
pub(super) const BLOCK: usize = 16;

/// Position 0 has counter 1; the last of the longest text does not wrap it.
const _: () = assert!(BUFFER_LEN_MAX.div_ceil(BLOCK) < u32::MAX as usize);
/// Longest text whose counters fit one octet.
const NARROW_LEN_MAX: usize = (u8::MAX as usize - 1) * BLOCK;

/// What is of one packet.
pub(crate) struct Packet<'a> {
    pub(crate) key: &'a Schedule,
    /// Salt and IV, then four octets of zero.
    pub(crate) nonce: &'a Block,
    /// Zero behind its end.
    pub(crate) aad: &'a Block,
    /// Octets of `aad` that count.
    pub(crate) aad_len: usize,
    pub(crate) text: &'a mut [u8],
    pub(crate) icv: &'a Block,
}

/// A job, sealing or opening, as the kernels see it.
pub(crate) trait Job<V: Vector> {
    const SEAL: bool;

    /// Proof that this CPU has the instructions, if the key is for these vectors.
    fn token(&self) -> Option<V::Token>;

    /// The algorithm, if the key is for these vectors.
    fn algorithm(&self) -> Option<Algorithm>;

    /// Octets of text; none if the buffer cannot be of a packet, or was sealed already.
    fn text_len(&self) -> Option<usize>;

    /// The packet, if the key is for these vectors and there is a text.
    fn packet(&mut self) -> Option<Packet<'_>>;

    /// Whether both have one and the same key.
    fn has_key_of(&self, other: &Self) -> bool;

    /// Takes note that the packet is done, and of its tag; `icv` is the one that it came with, if
    /// it was to open.
    fn conclude(&mut self, tag: V, icv: V);
}

/// What kernel a packet is for, by the length of its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// [`Short`], of so many vectors, [`GROUP`] at most.
    Short(usize),
    /// Of two vectors, and done in pairs.
    Paired,
    /// [`Long`].
    Long,
}

impl Shape {
    #[inline(always)]
    pub(crate) fn of<V: Vector>(text_len: usize) -> Self {
        match (1 + text_len.div_ceil(BLOCK)).div_ceil(V::LANES) {
            2 if V::PAIRED.contains(&text_len) => Self::Paired,
            vectors @ ..=GROUP => Self::Short(vectors),
            _ => Self::Long,
        }
    }

    /// A bit of its own.
    pub(super) fn bit(self) -> u8 {
        match self {
            Self::Short(vectors) => 1 << vectors,
            Self::Paired => 1,
            Self::Long => 1 << (GROUP + 1),
        }
    }
}

/// Does the jobs that are short packets of `N` vectors; gives how many.
pub(crate) struct Short<'a, J, const ROUNDS: usize, const N: usize>(pub(super) &'a mut [J]);

impl<V: Vector, J: Job<V>, const ROUNDS: usize, const N: usize> Kernel<V>
    for Short<'_, J, ROUNDS, N>
{
    type Output = usize;

    #[inline(always)]
    fn work(self, token: V::Token) -> usize {
        let mut done = 0;
        for job in self.0 {
            if is_of::<V, J, ROUNDS>(job, Shape::Short(N)) {
                done += usize::from(Self::one::<V>(token, job));
            }
        }
        done
    }
}

impl<J, const ROUNDS: usize, const N: usize> Short<'_, J, ROUNDS, N> {
    /// Does a job of `N` vectors; whether it could.
    #[inline(always)]
    pub(super) fn one<V: Vector>(token: V::Token, job: &mut J) -> bool
    where
        J: Job<V>,
    {
        let Some(packet) = job.packet() else { return false };
        // Before the text is written: a load waits for a masked store that spans its place.
        let icv = V::low(token, packet.icv);
        let tag = Run::<V, ROUNDS, false>::new(token, &packet).short::<J, N>(packet.text);
        job.conclude(tag, icv);
        true
    }
}

/// Does the jobs that are long packets; gives how many.
pub(crate) struct Long<'a, J, const ROUNDS: usize>(pub(super) &'a mut [J]);

impl<V: Vector, J: Job<V>, const ROUNDS: usize> Kernel<V> for Long<'_, J, ROUNDS> {
    type Output = usize;

    #[inline(always)]
    fn work(self, token: V::Token) -> usize {
        let mut done = 0;
        for job in self.0 {
            if !is_of::<V, J, ROUNDS>(job, Shape::Long) {
                continue;
            }
            let Some(packet) = job.packet() else { continue };
            done += 1;
            let icv = V::low(token, packet.icv);
            let tag = if packet.text.len() <= NARROW_LEN_MAX {
                Run::<V, ROUNDS, false>::new(token, &packet).long::<J>(packet.text)
            } else {
                Run::<V, ROUNDS, true>::new(token, &packet).long::<J>(packet.text)
            };
            job.conclude(tag, icv);
        }
        done
    }
}

/// Whether a job is for the kernel of a shape, and of `ROUNDS` rounds.
#[inline(always)]
pub(super) fn is_of<V: Vector, J: Job<V>, const ROUNDS: usize>(job: &J, shape: Shape) -> bool {
    let text_len = text_len::<V, J, ROUNDS>(job);
    text_len.is_some_and(|text_len| Shape::of::<V>(text_len) == shape)
}

/// Octets of text of a job for a kernel of `ROUNDS` rounds.
#[inline(always)]
fn text_len<V: Vector, J: Job<V>, const ROUNDS: usize>(job: &J) -> Option<usize> {
    let rounds = match job.algorithm()? {
        Algorithm::Aes128Gcm16 => 10,
        Algorithm::Aes256Gcm16 => 14,
    };
    if rounds == ROUNDS { job.text_len() } else { None }
}

/// A packet that is under way, `WIDE` if its counters do not fit one octet.
struct Run<'a, V: Vector, const ROUNDS: usize, const WIDE: bool> {
    token: V::Token,
    key: &'a Schedule,
    nonce: &'a Block,
    aad: &'a Block,
    lengths: V,
    /// The counter blocks of the next vector; if `WIDE`, each with its counter's least significant
    /// octet first, so that sums carry.
    counters: V,
    /// What encrypts GHASH to the tag: lane 0 is J0, encrypted.
    tag_mask: V,
}

impl<'a, V: Vector, const ROUNDS: usize, const WIDE: bool> Run<'a, V, ROUNDS, WIDE> {
    #[inline(always)]
    fn new(token: V::Token, packet: &Packet<'a>) -> Self {
        let bits = |octets: usize| 8 * octets as u64;
        let first = if WIDE { &COUNTERS_SWAPPED } else { &COUNTERS };
        let zero = V::zero(token);
        Self {
            token,
            key: packet.key,
            nonce: packet.nonce,
            aad: packet.aad,
            // The block of lengths, its octets reversed.
            lengths: V::pair(token, bits(packet.text.len()), bits(packet.aad_len)),
            counters: V::broadcast(token, packet.nonce).xor(V::blocks(token, &first.0)),
            tag_mask: zero,
        }
    }

    /// Crypts a short text, of `N` vectors; gives the tag.
    #[inline(always)]
    fn short<J: Job<V>, const N: usize>(mut self, text: &mut [u8]) -> V {
        let used = 1 + text.len().div_ceil(BLOCK);
        let blocks = self.group::<J, N, 0, true, true>(text, []);
        self.tag(blocks, used)
    }

    /// Crypts a long text; gives the tag.
    #[inline(always)]
    fn long<J: Job<V>>(mut self, text: &mut [u8]) -> V {
        let group_len = GROUP * V::LANES * BLOCK;
        let (group, mut text) = text.split_at_mut(group_len - BLOCK);
        let mut pending = self.group::<J, GROUP, 0, true, false>(group, []);
        while text.len() > group_len {
            let (group, rest) = text.split_at_mut(group_len);
            pending = self.group::<J, GROUP, GROUP, false, false>(group, pending);
            text = rest;
        }
        match text.len().div_ceil(BLOCK).div_ceil(V::LANES) {
            1 => self.end::<J, 1>(text, pending),
            2 => self.end::<J, 2>(text, pending),
            3 => self.end::<J, 3>(text, pending),
            _ => self.end::<J, 4>(text, pending),
        }
    }

    /// Crypts the last group of a long text, of `N` vectors; gives the tag.
    #[inline(always)]
    fn end<J: Job<V>, const N: usize>(&mut self, text: &mut [u8], pending: [V; GROUP]) -> V {
        let used = text.len().div_ceil(BLOCK);
        let blocks = self.group::<J, N, GROUP, false, true>(text, pending);
        self.tag(blocks, used)
    }

    /// Crypts the text of one group of `N` vectors, and hashes the `M` vectors of the one before.
    /// Gives what is to be hashed of this one.
    #[inline(always)]
    fn group<J: Job<V>, const N: usize, const M: usize, const FIRST: bool, const LAST: bool>(
        &mut self,
        text: &mut [u8],
        pending: [V; M],
    ) -> [V; N] {
        let state: [V; N] = if FIRST { self.first_counters() } else { self.next_counters() };
        let (state, hash) = self.rounds::<N, M, LAST>(state, pending);
        let input = read::<V, N, FIRST, LAST>(self.token, text);
        let key = V::broadcast(self.token, self.key.round_key(ROUNDS));
        let mut output = input;
        for (output, state) in output.iter_mut().zip(state) {
            // The same as adding the input after the last round.
            *output = state.aes_last_round(key.xor(*output));
        }
        write::<V, N, FIRST, LAST>(text, output);
        if FIRST {
            self.tag_mask = output[0];
        }

        let mut blocks = if J::SEAL { output } else { input };
        if LAST && J::SEAL {
            blocks[N - 1] = keep_last::<V, N, FIRST>(blocks[N - 1], text.len());
        }
        if FIRST {
            blocks[0] = blocks[0].with_low(self.aad);
        }
        for block in &mut blocks {
            *block = block.reverse_octets();
        }
        if M > 0 {
            blocks[0] = blocks[0].xor(hash);
        }
        blocks
    }

    /// Counter blocks from position 0 on, with the first round key added.
    #[inline(always)]
    fn first_counters<const N: usize>(&mut self) -> [V; N] {
        let nonce = V::broadcast(self.token, self.nonce);
        let key = V::broadcast(self.token, self.key.round_key(0));
        let mut state = [nonce; N];
        for (state, counters) in state.iter_mut().zip(COUNTERS.0.chunks(V::LANES)) {
            *state = V::blocks(self.token, counters).xor3(nonce, key);
        }
        self.skip(N);
        state
    }

    /// The counter blocks that follow, with the first round key added.
    #[inline(always)]
    fn next_counters<const N: usize>(&mut self) -> [V; N] {
        let key = V::broadcast(self.token, self.key.round_key(0));
        let mut state = [key; N];
        for state in &mut state {
            let counters = if WIDE { self.counters.reverse_last_word() } else { self.counters };
            *state = counters.xor(key);
            self.skip(1);
        }
        state
    }

    #[inline(always)]
    fn skip(&mut self, vectors: usize) {
        let blocks = (vectors * V::LANES) as u64;
        let addend = if WIDE { blocks } else { blocks << 24 };
        self.counters = self.counters.add_to_last_word(addend);
    }

    /// All rounds of AES but the last, and meanwhile GHASH of a full group, if there is one. In
    /// front of another full one, the sum in each lane is to be added to the same lane of its first
    /// vector; in front of the `LAST`, which may have fewer lanes, all is summed up in lane 0.
    #[inline(always)]
    fn rounds<const N: usize, const M: usize, const LAST: bool>(
        &self,
        mut state: [V; N],
        pending: [V; M],
    ) -> ([V; N], V) {
        const { assert!(M + 1 < ROUNDS) };
        let mut product = Product::zero(self.token);
        let mut hash = V::zero(self.token);
        for round in 1..ROUNDS {
            let key = V::broadcast(self.token, self.key.round_key(round));
            for state in &mut state {
                *state = state.aes_round(key);
            }
            if round <= M {
                let powers = self.key.powers((M + 1 - round) * V::LANES);
                let powers = if LAST {
                    V::blocks(self.token, powers)
                } else {
                    V::broadcast(self.token, &powers[0])
                };
                product.add(pending[round - 1], powers);
            } else if M > 0 && round == M + 1 {
                let sum = product.reduce(self.token);
                hash = if LAST { sum.sum_lanes() } else { sum };
            }
        }
        (state, hash)
    }

    /// Hashes the last group, of which `used` positions are used, and the lengths; gives the tag.
    #[inline(always)]
    fn tag<const N: usize>(&self, mut blocks: [V; N], used: usize) -> V {
        let mut product = Product::zero(self.token);
        match used % V::LANES {
            0 => product.add(self.lengths, V::low(self.token, self.key.h())),
            lane => blocks[N - 1] = blocks[N - 1].with_lane(lane, self.lengths),
        }
        let powers = self.key.powers(used + 1);
        for (number, block) in blocks.into_iter().enumerate() {
            product.add(block, V::blocks(self.token, &powers[number * V::LANES..]));
        }
        let hash = product.reduce(self.token).sum_lanes();
        hash.reverse_octets().xor(self.tag_mask)
    }
}

/// Octets of text in a vector, the whole of `len` if it is the last.
#[inline(always)]
fn piece_len<V: Vector>(head: bool, last: bool, len: usize) -> usize {
    match (last, head) {
        (true, _) => len,
        (false, true) => (V::LANES - 1) * BLOCK,
        (false, false) => V::LANES * BLOCK,
    }
}

/// The text of a group; position 0 has none.
#[inline(always)]
fn read<V: Vector, const N: usize, const FIRST: bool, const LAST: bool>(
    token: V::Token,
    mut text: &[u8],
) -> [V; N] {
    let mut vectors = [V::zero(token); N];
    for (number, vector) in vectors.iter_mut().enumerate() {
        let head = FIRST && number == 0;
        let len = piece_len::<V>(head, LAST && number == N - 1, text.len());
        let (piece, rest) = text.split_at(len);
        *vector = if head { V::load::<BLOCK>(token, piece) } else { V::load::<0>(token, piece) };
        text = rest;
    }
    vectors
}

/// The counterpart of [`read`].
#[inline(always)]
fn write<V: Vector, const N: usize, const FIRST: bool, const LAST: bool>(
    mut text: &mut [u8],
    vectors: [V; N],
) {
    for (number, vector) in vectors.into_iter().enumerate() {
        let head = FIRST && number == 0;
        let len = piece_len::<V>(head, LAST && number == N - 1, text.len());
        let (piece, rest) = text.split_at_mut(len);
        if head {
            vector.store::<BLOCK>(piece);
        } else {
            vector.store::<0>(piece);
        }
        text = rest;
    }
}

/// The last vector of a group, zero behind the end of the text.
#[inline(always)]
fn keep_last<V: Vector, const N: usize, const FIRST: bool>(vector: V, text_len: usize) -> V {
    if FIRST && N == 1 {
        return vector.keep::<BLOCK>(text_len);
    }
    let before = (N - 1) * V::LANES * BLOCK - usize::from(FIRST) * BLOCK;
    vector.keep::<0>(text_len - before)
}

/// Counters of neighbouring positions, in blocks.
#[repr(align(64))]
pub(super) struct Counters<const N: usize>(pub(super) [Block; N]);

/// Those of a group.
const IN_ORDER: [u8; GROUP_BLOCKS_MAX] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16];

pub(super) static COUNTERS: Counters<GROUP_BLOCKS_MAX> = Counters::new(IN_ORDER, BLOCK - 1);
/// The octets of the counter in reverse order.
static COUNTERS_SWAPPED: Counters<GROUP_BLOCKS_MAX> = Counters::new(IN_ORDER, BLOCK - 4);

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
