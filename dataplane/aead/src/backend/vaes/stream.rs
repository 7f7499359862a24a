//! Packets one behind the other: GHASH of what is crypted is done amid the rounds of AES of what
//! follows, be it of the same packet or of the next.
//!
//! ```text
//! AES of A0 | AES of A1   | AES of A2   | AES of B0        | AES of B1   | …
//!           | GHASH of A0 | GHASH of A1 | GHASH of A2, tag | GHASH of B0 | …
//! ```
//!
//! Groups have [`GROUP`] vectors each, but for the first of a packet, which has what is left: so
//! the last is a full one, under whose GHASH the next packet begins.

use std::hint::black_box;
use std::marker::PhantomData;

use super::Width;
use super::gcm::{
    BLOCK, COUNTERS, COUNTERS_SWAPPED, Ending, GROUP, Job, Lengths, LengthsHash, Packet, Shape,
    algorithm,
};
use super::ghash::Product;
use super::keys::{Kept, RoundKeys};
use super::schedule::Schedule;
use super::vector::{Block, Kernel, Vector};

/// Does the jobs that are [streamed](Shape::Streamed), or if `WIDE` the [jumbo](Shape::Jumbo) ones;
/// gives how many. A job that is alone is known to be for here, even if it has no other to be
/// paired with.
pub(super) struct Stream<'a, J, const ROUNDS: usize, const WIDE: bool>(pub(super) &'a mut [J]);

impl<V: Width, J: Job<V>, const ROUNDS: usize, const WIDE: bool> Kernel<V>
    for Stream<'_, J, ROUNDS, WIDE>
{
    type Output = usize;

    #[inline(always)]
    fn work(self, token: V::Token) -> usize {
        let mut done = 0;
        let mut kept = Kept::nothing(token);
        let mut before = Hashing::nothing(token);
        let mut hashed = LengthsHash::nothing(token);
        let alone = self.0.len() == 1;
        let shape = if WIDE { Shape::Jumbo } else { Shape::Streamed };
        for job in self.0 {
            if !alone && !job.is_of(algorithm::<ROUNDS>(), shape) {
                continue;
            }
            let now = crypt::<V, J, ROUNDS, WIDE>(token, job, &mut kept, &mut hashed, &mut before);
            let Some(now) = now else { continue };
            before = now;
            done += 1;
        }
        before.finish(token);
        done
    }
}

/// A packet that is crypted, and what is to be hashed of it still.
pub(super) struct Hashing<'a, V, J> {
    job: Option<&'a mut J>,
    /// The last group, the sum of all before it added.
    blocks: [V; GROUP],
    /// The powers of H for them.
    powers: [V; GROUP],
    /// What the hash is added to, lane 0.
    mask: V,
}

impl<'a, V: Width, J: Job<V>> Hashing<'a, V, J> {
    /// Of no packet.
    #[inline(always)]
    pub(super) fn nothing(token: V::Token) -> Self {
        let zero = V::zero(token);
        Self { job: None, blocks: [zero; GROUP], powers: [zero; GROUP], mask: zero }
    }

    /// Of a packet whose last group and mask these are, the lengths not added yet.
    #[inline(always)]
    pub(super) fn of(
        token: V::Token,
        (schedule, lengths, icv): (&Schedule, Lengths, V),
        hashed: &mut LengthsHash<V, Lengths>,
        (mut blocks, mut mask): ([V; GROUP], V),
    ) -> Self {
        if !J::SEAL {
            mask = mask.xor(icv);
        }
        // Lanes of the last vector that have a block.
        let used = match (1 + lengths.blocks()) % V::LANES {
            0 => {
                mask = mask.xor(hashed.of(token, schedule, lengths));
                V::LANES
            }
            used => {
                blocks[GROUP - 1] = blocks[GROUP - 1].with_lane(used, lengths.block(token));
                used
            }
        };
        let first = schedule.powers((GROUP - 1) * V::LANES + used + 1);
        let mut powers = blocks;
        for (powers, blocks) in powers.iter_mut().zip(first.chunks(V::LANES)) {
            *powers = V::blocks(token, blocks);
        }
        Self { job: None, blocks, powers, mask }
    }

    /// Of this job.
    #[inline(always)]
    pub(super) fn with(self, job: &'a mut J) -> Self {
        Self { job: Some(job), ..self }
    }

    /// What is to be hashed.
    #[inline(always)]
    pub(super) fn pending(&self, token: V::Token) -> Pending<'_, V> {
        let powers = Powers::Each(self.powers);
        Pending { blocks: self.blocks, powers, product: Product::zero(token) }
    }

    /// Hashes the last packet, if there is one.
    #[inline(always)]
    pub(super) fn finish(mut self, token: V::Token) {
        if self.job.is_some() {
            let mut pending = self.pending(token);
            for at in 0..GROUP {
                pending.add::<GROUP>(token, at);
            }
            let hash = pending.hash(token);
            self.conclude(hash);
        }
    }

    /// Tells the job of its tag.
    #[inline(always)]
    pub(super) fn conclude(&mut self, hash: V) {
        if let Some(job) = self.job.take() {
            job.conclude(hash.sum_lanes().reverse_octets().xor(self.mask));
        }
    }
}

/// Crypts a packet, and meanwhile hashes what is left of the one before it. None, and nothing
/// hashed, if it is no packet.
#[inline(always)]
fn crypt<'a, V: Width, J: Job<V>, const ROUNDS: usize, const WIDE: bool>(
    token: V::Token,
    job: &'a mut J,
    kept: &mut Kept<V>,
    hashed: &mut LengthsHash<V, Lengths>,
    before: &mut Hashing<'_, V, J>,
) -> Option<Hashing<'a, V, J>> {
    let packet = job.packet()?;
    // Before the text is written: a load waits for a masked store that spans its place.
    let icv = V::low(token, packet.icv);
    let (schedule, lengths) = (packet.key, packet.lengths());
    let keys = kept.of::<ROUNDS>(token, schedule);
    let run = Run::<V, J, ROUNDS, WIDE>::new(token, &packet, keys);
    let crypted = run.text(packet.text, before);
    Some(Hashing::of(token, (schedule, lengths, icv), hashed, crypted).with(job))
}

/// Octets of a full group.
const fn group_len<V: Vector>() -> usize {
    GROUP * V::LANES * BLOCK
}

/// A group that is crypted, and is to be hashed amid the rounds of the next.
pub(super) struct Pending<'a, V> {
    blocks: [V; GROUP],
    powers: Powers<'a, V>,
    product: Product<V>,
}

/// The powers of H for a group.
enum Powers<'a, V> {
    /// Those of each vector.
    Each([V; GROUP]),
    /// In all lanes of a vector the one of its first.
    Same(&'a [Block]),
}

impl<V: Vector> Pending<'_, V> {
    /// Adds the product of vector `at`, if it is of the last `M`, and its powers.
    #[inline(always)]
    pub(super) fn add<const M: usize>(&mut self, token: V::Token, at: usize) {
        if at < GROUP - M {
            return;
        }
        let powers = match self.powers {
            Powers::Each(powers) => powers[at],
            Powers::Same(powers) => V::broadcast(token, &powers[at * V::LANES]),
        };
        self.product.add(self.blocks[at], powers);
        self.product.pin();
    }

    /// The hash, once all is added.
    #[inline(always)]
    pub(super) fn hash(self, token: V::Token) -> V {
        self.product.reduce(token).pin()
    }
}

/// A packet that is under way.
pub(super) struct Run<'a, V: Vector, J, const ROUNDS: usize, const WIDE: bool> {
    token: V::Token,
    schedule: &'a Schedule,
    pub(super) keys: RoundKeys<'a, V, ROUNDS>,
    nonce: V,
    aad: &'a Block,
    job: PhantomData<J>,
}

impl<'a, V: Width, J: Job<V>, const ROUNDS: usize, const WIDE: bool> Run<'a, V, J, ROUNDS, WIDE> {
    #[inline(always)]
    pub(super) fn new(
        token: V::Token,
        packet: &Packet<'a>,
        keys: RoundKeys<'a, V, ROUNDS>,
    ) -> Self {
        let nonce = V::broadcast(token, packet.nonce);
        Self { token, schedule: packet.key, keys, nonce, aad: packet.aad, job: PhantomData }
    }

    /// Crypts a text; gives what is to be hashed in the end, and the mask of the tag.
    #[inline(always)]
    fn text(&self, text: &mut [u8], before: &mut Hashing<'_, V, J>) -> ([V; GROUP], V) {
        let vectors = (1 + text.len().div_ceil(BLOCK)).div_ceil(V::LANES);
        let mut counters = Counting::<V, WIDE>::new(self.token, self.nonce);
        let (mut blocks, mask, mut text) = match vectors % GROUP {
            1 if vectors == 1 => self.begin::<1, 1>(&mut counters, text, before),
            // One vector takes as long as four do, and five not much longer.
            1 => self.begin::<5, GROUP>(&mut counters, text, before),
            2 => self.begin::<2, 2>(&mut counters, text, before),
            3 => self.begin::<3, 3>(&mut counters, text, before),
            _ => self.begin::<4, GROUP>(&mut counters, text, before),
        };
        while !text.is_empty() {
            let (group, rest) = text.split_at_mut(text.len().min(group_len::<V>()));
            blocks = self.group::<GROUP>(&mut counters, group, blocks);
            text = rest;
        }
        (blocks, mask)
    }

    /// Crypts the first group, which is of `N` vectors, and the second, if there is one; `M` of the
    /// first are to be hashed [in full](Self::in_full). Gives what is to be hashed still, the mask
    /// of the tag, and the rest of the text.
    #[inline(always)]
    fn begin<'t, const N: usize, const M: usize>(
        &self,
        counters: &mut Counting<V, WIDE>,
        text: &'t mut [u8],
        before: &mut Hashing<'_, V, J>,
    ) -> ([V; GROUP], V, &'t mut [u8]) {
        let (head, rest) = text.split_at_mut(text.len().min((N * V::LANES - 1) * BLOCK));
        let mut state = self.first();
        let hash = self.rounds::<N, GROUP>(&mut state, before.pending(self.token));
        let (blocks, mask) = self.last_round::<N, true>(state, head);
        before.conclude(hash);
        let blocks = self.in_full(blocks);
        if rest.is_empty() {
            return (blocks, mask, rest);
        }
        counters.skip(N);
        let (second, rest) = rest.split_at_mut(rest.len().min(group_len::<V>()));
        (self.group::<M>(counters, second, blocks), mask, rest)
    }

    /// The counter blocks of a packet's first `N` vectors, with the first round key added.
    #[inline(always)]
    pub(super) fn first<const N: usize>(&self) -> [V; N] {
        let mut state = [self.nonce; N];
        // Compilers would keep these in registers from packet to packet, and spill round keys.
        let first = black_box(&COUNTERS).0.chunks(V::LANES);
        for (state, first) in state.iter_mut().zip(first) {
            *state = V::blocks(self.token, first).xor3(self.nonce, self.keys.key(0));
        }
        state
    }

    /// The vectors of the first group as those of a full one: behind zeros, or of five the first
    /// hashed into the second.
    #[inline(always)]
    pub(super) fn in_full<const N: usize>(&self, blocks: [V; N]) -> [V; GROUP] {
        let mut full = [V::zero(self.token); GROUP];
        if N > GROUP {
            full.copy_from_slice(&blocks[1..]);
            let power = V::broadcast(self.token, &self.schedule.powers(V::LANES)[0]);
            let mut product = Product::zero(self.token);
            product.add(blocks[0], power);
            full[0] = full[0].xor(product.reduce(self.token));
        } else {
            full[GROUP - N..].copy_from_slice(&blocks);
        }
        full
    }

    /// Crypts a full group, and hashes the one before it, of `M` vectors.
    #[inline(always)]
    fn group<const M: usize>(
        &self,
        counters: &mut Counting<V, WIDE>,
        text: &mut [u8],
        blocks: [V; GROUP],
    ) -> [V; GROUP] {
        let mut state = [self.keys.key(0); GROUP];
        for state in &mut state {
            *state = state.xor(counters.next_vector());
        }
        let powers = Powers::Same(self.schedule.powers(GROUP * V::LANES));
        let pending = Pending { blocks, powers, product: Product::zero(self.token) };
        let hash = self.rounds::<GROUP, M>(&mut state, pending);
        let (mut blocks, _) = self.last_round::<GROUP, false>(state, text);
        blocks[0] = blocks[0].xor(hash);
        blocks
    }

    /// All rounds of AES but the last, and amid them the hash of the last `M` vectors of a group.
    /// Where it stands among the rounds counts for little, but for compilers: written out, since
    /// they leave a loop what it is.
    #[inline(always)]
    fn rounds<const N: usize, const M: usize>(
        &self,
        state: &mut [V; N],
        mut pending: Pending<'_, V>,
    ) -> V {
        let (keys, token) = (self.keys, self.token);
        keys.round(state, 1);
        keys.two_rounds(state, 2);
        pending.add::<M>(token, 0);
        keys.two_rounds(state, 4);
        pending.add::<M>(token, 1);
        keys.two_rounds(state, 6);
        pending.add::<M>(token, 2);
        keys.two_rounds(state, 8);
        pending.add::<M>(token, 3);
        keys.two_rounds(state, 10);
        let hash = pending.hash(token);
        keys.two_rounds(state, 12);
        hash
    }

    /// The last round of AES, which crypts the text of a group. Position 0, in the `FIRST`, has
    /// none, and the last group may end within a vector. Gives the blocks to hash, octets reversed,
    /// and the first vector of what came out.
    #[inline(always)]
    pub(super) fn last_round<const N: usize, const FIRST: bool>(
        &self,
        state: [V; N],
        mut text: &mut [u8],
    ) -> ([V; N], V) {
        let mut blocks = [V::zero(self.token); N];
        let mut mask = blocks[0];
        // The last vector apart: with all that a partial one needs, compilers would not unroll.
        for at in 0..N - 1 {
            let head = FIRST && at == 0;
            let len = (V::LANES - usize::from(head)) * BLOCK;
            let (piece, rest) = text.split_at_mut(len);
            if head {
                (blocks[at], mask) = self.last_round_of::<true, false>(state[at], piece);
            } else {
                (blocks[at], _) = self.last_round_of::<false, false>(state[at], piece);
            }
            text = rest;
        }
        if FIRST && N == 1 {
            (blocks[N - 1], mask) = self.last_round_of::<true, true>(state[N - 1], text);
        } else {
            (blocks[N - 1], _) = self.last_round_of::<false, true>(state[N - 1], text);
        }
        (blocks, mask)
    }

    /// The same of one vector, which may be the one with position 0, or the last, whose text may
    /// end within.
    #[inline(always)]
    fn last_round_of<const HEAD: bool, const LAST: bool>(
        &self,
        state: V,
        text: &mut [u8],
    ) -> (V, V) {
        let input =
            if HEAD { V::load::<BLOCK>(self.token, text) } else { V::load::<0>(self.token, text) };
        // Adding the text to the key is the same as adding it after the round.
        let output = state.aes_last_round(self.keys.key(ROUNDS).xor(input));
        if HEAD {
            output.store::<BLOCK>(text);
        } else {
            output.store::<0>(text);
        }
        let block = match (J::SEAL, LAST, HEAD) {
            (false, ..) => input,
            (true, false, _) => output,
            (true, true, true) => output.keep::<BLOCK>(text.len()),
            (true, true, false) => output.keep::<0>(text.len()),
        };
        let block = if HEAD { block.with_low(self.aad) } else { block };
        (block.reverse_octets(), output)
    }
}

/// The counter blocks of vector after vector.
struct Counting<V, const WIDE: bool> {
    /// Of the next; if `WIDE`, each with its counter's least significant octet first, so that sums
    /// carry.
    next: V,
}

impl<V: Vector, const WIDE: bool> Counting<V, WIDE> {
    /// From the first on.
    #[inline(always)]
    fn new(token: V::Token, nonce: V) -> Self {
        // Not kept in a register: see `Run::begin`.
        let first = black_box(if WIDE { &COUNTERS_SWAPPED } else { &COUNTERS });
        Self { next: nonce.xor(V::blocks(token, &first.0)) }
    }

    #[inline(always)]
    fn skip(&mut self, vectors: usize) {
        let blocks = (vectors * V::LANES) as u64;
        self.next = self.next.add_to_last_word(if WIDE { blocks } else { blocks << 24 });
    }

    #[inline(always)]
    fn next_vector(&mut self) -> V {
        let next = if WIDE { self.next.reverse_last_word() } else { self.next };
        self.skip(1);
        next
    }
}
