//! Short packets two by two: those of one vector or two, as acknowledgements of TCP and 64 octets
//! are under GRE. The GHASH of a pair is done between the rounds of AES of the next one.
//!
//! ```text
//! AES of pair 0 | AES of pair 1   | AES of pair 2   | …
//!               | GHASH of pair 0 | GHASH of pair 1 | …
//! ```
//!
//! Left to itself a CPU does one after the other, for what waits for the end of either fills its
//! schedulers; and so do compilers, which undo any order that is not [pinned](Vector::pin).
//!
//! Two packets of one key that take a vector and a half each take three:
//!
//! ```text
//! J0  A1  A2  A3 | J0  B1  B2  B3 | A4  A5  B4  B5      blocks of text; J0 encrypts the tag
//! ```

use std::ptr;

use super::Zmm;
use super::gcm::{BLOCK, COUNTERS, Counters, Ending, Job, Lengths, LengthsHash, PAIRED_MAX};
use super::ghash::Product;
use super::keys::{Kept, RoundKeys};
use super::twos::Twos;
use super::vector::{Block, Kernel, Vector};
use super::zmm::Avx512;

/// Octets of text in a packet's first vector, which it has for itself.
const OWN: usize = 48;
/// Octets of text in half of a vector.
const HALF: usize = 32;

const _: () = assert!((PAIRED_MAX * Zmm::LANES - 1) * BLOCK == OWN + 2 * HALF);

/// Counters of the vector that both share.
static SHARED: Counters<4> = Counters::new([5, 6, 5, 6], BLOCK - 1);

/// Does the jobs that are [paired](super::gcm::Shape::Paired), of `VECTORS` each; gives how many.
/// Of an odd number, the last is left.
pub(super) struct Pairs<'a, J, const ROUNDS: usize, const VECTORS: usize>(pub(super) &'a mut [J]);

impl<'a, J: Job<Zmm>, const ROUNDS: usize, const VECTORS: usize> Kernel<Zmm>
    for Pairs<'a, J, ROUNDS, VECTORS>
{
    type Output = (usize, Option<&'a mut J>);

    #[inline(always)]
    fn work(self, token: Avx512) -> (usize, Option<&'a mut J>) {
        let twos = Twos::of(self.0);
        let mut pairs = PairsOf::<J, ROUNDS, VECTORS> { twos, pair: None, done: 0 };
        if VECTORS == 1 {
            pairs.work::<2, true>(token);
            pairs.work::<2, false>(token);
        } else {
            pairs.work::<3, true>(token);
            pairs.work::<4, false>(token);
        }
        (pairs.done, pairs.twos.odd)
    }
}

/// Jobs of a burst that are left.
struct PairsOf<'a, J, const ROUNDS: usize, const VECTORS: usize> {
    twos: Twos<'a, J, ROUNDS, VECTORS>,
    /// Those that are next, if they were looked at already.
    pair: Option<[&'a mut J; 2]>,
    done: usize,
}

impl<'a, J: Job<Zmm>, const ROUNDS: usize, const VECTORS: usize> PairsOf<'a, J, ROUNDS, VECTORS> {
    /// Does what is left, of `N` vectors a pair, or if they must have the `SAME` key as far as the
    /// first that has not.
    #[inline(always)]
    fn work<const N: usize, const SAME: bool>(&mut self, token: Avx512) {
        let mut kept = Kept::nothing(token);
        let mut before = Hashing::<J, N>::nothing(token);
        let mut hashed = LengthsHash::nothing(token);
        while let Some([a, b]) = self.pair.take().or_else(|| self.twos.next()) {
            if SAME && !are_joined(a, b) {
                self.pair = Some([a, b]);
                break;
            }
            let now =
                crypt::<J, ROUNDS, N, SAME>(token, [a, b], &mut kept, &mut hashed, &mut before);
            let Some(now) = now else { continue };
            before = now;
            self.done += 2;
        }
        before.finish(token);
    }
}

/// Whether two packets have one key, and what is behind their own vectors fits one.
#[inline(always)]
fn are_joined<J: Job<Zmm>>(a: &J, b: &J) -> bool {
    let fits = |job: &J| job.text_len().is_some_and(|len| len <= OWN + HALF);
    ptr::eq(a.key(), b.key()) && fits(a) && fits(b)
}

/// A pair that is crypted, and what is to be hashed of it still: `N` vectors, as they were crypted.
struct Hashing<'a, J, const N: usize> {
    jobs: Option<[&'a mut J; 2]>,
    pending: Pending<N>,
    /// What the hashes are added to: of A in lane 0, of B in lane 2.
    masks: Zmm,
}

impl<J: Job<Zmm>, const N: usize> Hashing<'_, J, N> {
    /// Of no pair.
    #[inline(always)]
    fn nothing(token: Avx512) -> Self {
        let zero = Zmm::zero(token);
        let zeros = ([zero; 2], [zero; 2]);
        let pending = Pending { own: zeros, rest: zeros, products: [Product::zero(token); 2] };
        Self { jobs: None, pending, masks: zero }
    }

    /// Hashes the last pair, if there is one.
    #[inline(always)]
    fn finish(mut self, token: Avx512) {
        if self.jobs.is_some() {
            self.pending.add_own(0);
            self.pending.add_own(1);
            self.pending.add_rest(0);
            let hashes = self.pending.add_rest(1).reduce(token);
            self.conclude(hashes);
        }
    }

    /// Tells the jobs of their tags: what is in both lower lanes of the hashes is of A.
    #[inline(always)]
    fn conclude(&mut self, hashes: Zmm) {
        if let Some([a, b]) = self.jobs.take() {
            let hashes = hashes.xor(hashes.swap_lanes());
            let tags = hashes.reverse_octets().xor(self.masks);
            a.conclude(tags);
            b.conclude(tags.high_half());
        }
    }
}

/// What is to be hashed of a pair.
struct Pending<const N: usize> {
    /// Each packet's blocks in its own vector, and the powers of H for them.
    own: ([Zmm; 2], [Zmm; 2]),
    /// The same of those behind; up to three vectors, the first has them of both packets.
    rest: ([Zmm; 2], [Zmm; 2]),
    products: [Product<Zmm>; 2],
}

impl<const N: usize> Pending<N> {
    /// Adds a packet's own vector.
    #[inline(always)]
    fn add_own(&mut self, at: usize) {
        self.products[at].add(self.own.0[at], self.own.1[at]);
        self.products[at].pin();
    }

    /// Adds what a packet has behind; with the second, gives the sum, the lower lanes of A, the
    /// upper ones of B.
    #[inline(always)]
    fn add_rest(&mut self, at: usize) -> Product<Zmm> {
        let [a, b] = &mut self.products;
        if N < 4 {
            if at == 0 {
                return *a;
            }
            let mut product = Product::halves(a, b);
            product.add(self.rest.0[0], self.rest.1[0]);
            product.pin();
            return product;
        }
        self.products[at].add(self.rest.0[at], self.rest.1[at]);
        self.products[at].pin();
        Product::halves(&self.products[0], &self.products[1])
    }
}

/// The round keys of a pair, of A and of B.
#[derive(Clone, Copy)]
struct PairKeys<'a, const ROUNDS: usize>([RoundKeys<'a, Zmm, ROUNDS>; 2]);

impl<const ROUNDS: usize> PairKeys<'_, ROUNDS> {
    /// Those of a round, from 0.
    #[inline(always)]
    fn keys(self, round: usize) -> [Zmm; 2] {
        let Self([a, b]) = self;
        [a.key(round), b.key(round)]
    }

    /// Two rounds of AES from `first` on, as far as they are neither the last nor beyond.
    #[inline(always)]
    fn two_rounds<const N: usize>(self, state: &mut [Zmm; N], first: usize) {
        self.round(state, first);
        self.round(state, first + 1);
    }

    #[inline(always)]
    fn round<const N: usize>(self, state: &mut [Zmm; N], round: usize) {
        if round < ROUNDS {
            let keys = self.keys(round);
            for (at, state) in state.iter_mut().enumerate() {
                *state = state.aes_round(keys[at % 2]).pin();
            }
        }
    }
}

/// Crypts a pair, and meanwhile hashes the one before it. None, and nothing hashed, if they are no
/// packets.
///
/// The `N` vectors are A's own, B's own, and what each has behind, or in one what both have.
#[inline(always)]
fn crypt<'a, J: Job<Zmm>, const ROUNDS: usize, const N: usize, const SAME: bool>(
    token: Avx512,
    [job_a, job_b]: [&'a mut J; 2],
    kept: &mut Kept<Zmm>,
    hashed: &mut LengthsHash<Zmm, [Lengths; 2]>,
    before: &mut Hashing<'_, J, N>,
) -> Option<Hashing<'a, J, N>> {
    let (a, b) = (job_a.packet()?, job_b.packet()?);
    // Before the texts are written: a load waits for a masked store that spans its place.
    let icvs = Zmm::low(token, a.icv).lower_halves(Zmm::low(token, b.icv));
    let keys = PairKeys::<ROUNDS>(if SAME {
        [kept.of(token, a.key); 2]
    } else {
        [RoundKeys::in_memory(token, a.key), RoundKeys::in_memory(token, b.key)]
    });
    let mut state = counters::<N>(token, [a.nonce, b.nonce], keys.keys(0));

    let pending = &mut before.pending;
    keys.two_rounds(&mut state, 1);
    pending.add_own(0);
    keys.two_rounds(&mut state, 3);
    pending.add_own(1);
    keys.two_rounds(&mut state, 5);
    pending.add_rest(0);
    keys.two_rounds(&mut state, 7);
    let sum = pending.add_rest(1);
    keys.two_rounds(&mut state, 9);
    let hashes = sum.reduce(token).pin();
    keys.two_rounds(&mut state, 11);
    keys.two_rounds(&mut state, 13);

    let lengths = [a.lengths(), b.lengths()];
    let blocks = [lengths[0].blocks(), lengths[1].blocks()];
    let last = keys.keys(ROUNDS);
    let (output, own, mut rest) = last_round::<J, N>(token, last, state, [a.text, b.text]);
    before.conclude(hashes);
    let own = [own[0].with_low(a.aad).reverse_octets(), own[1].with_low(b.aad).reverse_octets()];
    let behind = if N == 2 { [0; 2] } else { [blocks[0] - OWN / BLOCK, blocks[1] - OWN / BLOCK] };
    let mut masks = output;
    match N {
        2 => rest[0] = lengths.block(token).low_lanes(),
        3 => masks = masks.xor(hashed.of(token, a.key, lengths)),
        _ => {
            // Behind a full vector there is no lane for them.
            if behind[0] < Zmm::LANES {
                rest[0] = rest[0].with_lane(behind[0], lengths[0].block(token));
            } else {
                let hash: Zmm = lengths[0].hash(token, a.key);
                masks = masks.xor(hash.low_half());
            }
            if behind[1] < Zmm::LANES {
                rest[1] = rest[1].with_lane(behind[1], lengths[1].block(token));
            } else {
                let hash = lengths[1].hash(token, b.key);
                masks = masks.xor(Zmm::zero(token).with_high_half(hash));
            }
        }
    }
    if !J::SEAL {
        masks = masks.xor(icvs);
    }
    let own_powers = [
        Zmm::blocks(token, a.key.powers(blocks[0] + 2)),
        Zmm::blocks(token, b.key.powers(blocks[1] + 2)),
    ];
    let [powers_a, powers_b] = [a.key.powers(behind[0] + 1), b.key.powers(behind[1] + 1)];
    let rest_powers = if N == 4 {
        [Zmm::blocks(token, powers_a), Zmm::blocks(token, powers_b)]
    } else {
        [Zmm::halves(token, powers_a, powers_b); 2]
    };
    let products = [Product::zero(token); 2];
    let pending = Pending { own: (own, own_powers), rest: (rest, rest_powers), products };
    Some(Hashing { jobs: Some([job_a, job_b]), pending, masks })
}

/// In the lower lanes of A, in the upper ones of B.
impl Ending<Zmm> for [Lengths; 2] {
    #[inline(always)]
    fn block(self, token: Avx512) -> Zmm {
        let [a, b] = self;
        let [a, b]: [Zmm; 2] = [a.block(token), b.block(token)];
        a.lower_halves(b)
    }
}

/// The counter blocks of a pair, with the first round keys added.
#[inline(always)]
fn counters<const N: usize>(
    token: Avx512,
    nonces: [&Block; 2],
    [key_a, key_b]: [Zmm; 2],
) -> [Zmm; N] {
    let (own, behind) = COUNTERS.0.split_at(Zmm::LANES);
    let (own, behind) = (Zmm::blocks(token, own), Zmm::blocks(token, behind));
    let a = Zmm::broadcast(token, nonces[0]).pin();
    let b = Zmm::broadcast(token, nonces[1]).pin();
    let mut state = [own; N];
    state[0] = own.xor3(a, key_a);
    state[1] = own.xor3(b, key_b);
    if N == 3 {
        let shared = Zmm::blocks(token, &SHARED.0);
        state[2] = shared.xor3(a.with_high_half(b), key_a);
    } else if N == 4 {
        state[2] = behind.xor3(a, key_a);
        state[3] = behind.xor3(b, key_b);
    }
    state
}

/// The last round, which crypts the texts. Gives what encrypts GHASH to the tags, of A in lane 0
/// and of B in lane 2; each packet's own vector, to be hashed but for AAD; and what is behind, its
/// octets reversed, but for the lengths.
#[inline(always)]
fn last_round<J: Job<Zmm>, const N: usize>(
    token: Avx512,
    [key_a, key_b]: [Zmm; 2],
    state: [Zmm; N],
    [text_a, text_b]: [&mut [u8]; 2],
) -> (Zmm, [Zmm; 2], [Zmm; 2]) {
    let (own_len_a, own_len_b) = if N == 2 { (text_a.len(), text_b.len()) } else { (OWN, OWN) };
    let (own_a, rest_a) = text_a.split_at_mut(own_len_a);
    let (own_b, rest_b) = text_b.split_at_mut(own_len_b);
    let zero = Zmm::zero(token);
    // All before the first is written: a load waits for a masked store that spans its place.
    let own_input = [Zmm::load::<BLOCK>(token, own_a), Zmm::load::<BLOCK>(token, own_b)];
    let rest_input = match N {
        3 => [Zmm::load::<0>(token, rest_a).xor(Zmm::load::<HALF>(token, rest_b)), zero],
        4 => [Zmm::load::<0>(token, rest_a), Zmm::load::<0>(token, rest_b)],
        _ => [zero; 2],
    };
    // Adding the text to the key is the same as adding it after the round.
    let output = [
        state[0].aes_last_round(key_a.xor(own_input[0])),
        state[1].aes_last_round(key_b.xor(own_input[1])),
    ];
    output[0].store::<BLOCK>(own_a);
    output[1].store::<BLOCK>(own_b);
    let masks = output[0].lower_halves(output[1]);
    let mut own = if J::SEAL { output } else { own_input };
    let mut rest = rest_input;
    if N == 2 && J::SEAL {
        own = [own[0].keep::<BLOCK>(own_a.len()), own[1].keep::<BLOCK>(own_b.len())];
    } else if N == 3 {
        let output = state[2].aes_last_round(key_a.xor(rest[0]));
        output.store::<0>(rest_a);
        output.store::<HALF>(rest_b);
        if J::SEAL {
            rest[0] = output.keep_halves(rest_a.len(), rest_b.len());
        }
    } else if N == 4 {
        let output = [
            state[2].aes_last_round(key_a.xor(rest[0])),
            state[3].aes_last_round(key_b.xor(rest[1])),
        ];
        output[0].store::<0>(rest_a);
        output[1].store::<0>(rest_b);
        if J::SEAL {
            rest = [output[0].keep::<0>(rest_a.len()), output[1].keep::<0>(rest_b.len())];
        }
    }
    (masks, own, [rest[0].reverse_octets(), rest[1].reverse_octets()])
}
