//! Short packets two by two, where they have one key: of 64 octets under GRE, each takes a vector
//! and a half, so that two take three.
//!
//! ```text
//! J0  A1  A2  A3 | A4  A5  B4  B5 | J0  B1  B2  B3      blocks of text; J0 encrypts the tag
//!
//! AES of pair 0 | AES of pair 1 | AES of pair 2 …
//!                 GHASH of pair 0 GHASH of pair 1 …
//! ```
//!
//! The GHASH of a pair is done between the rounds of the next one. Left to itself a CPU does one
//! after the other, for what waits for the end of either fills its schedulers; and so do compilers,
//! which undo any order that is not [pinned](Zmm::pin).

use std::mem;
use std::ops::RangeInclusive;

use super::Zmm;
use super::gcm::{BLOCK, COUNTERS, Counters, Job, Packet, Short, text_len};
use super::ghash::Product;
use super::schedule::Schedule;
use super::vector::{Block, Kernel, Vector};
use super::zmm::Avx512;

/// Octets of text in a packet's own vector.
const OWN: usize = 48;
/// Octets of text in half of a vector.
const HALF: usize = 32;

/// Counters of the vector that both share.
static SHARED: Counters = Counters::of([5, 6, 5, 6]);

/// Does the jobs at the front that are short packets of two vectors; gives how many.
pub(super) struct Pairs<'a, J, const ROUNDS: usize>(pub(super) &'a mut [J]);

impl<J: Job<Zmm>, const ROUNDS: usize> Kernel<Zmm> for Pairs<'_, J, ROUNDS> {
    type Output = usize;

    #[inline(always)]
    fn work(self, token: Avx512) -> usize {
        let all = self.0.len();
        let mut left = self.0;
        while !left.is_empty() {
            let mut before = Hashing::nothing(token);
            while let Some(pair) = next_pair::<J, ROUNDS>(&mut left) {
                if let Some(now) = crypt::<J, ROUNDS>(token, pair, &mut before) {
                    before.conclude();
                    before = now;
                }
            }
            if before.jobs.is_some() {
                before.add_own(0);
                before.add_own(1);
                before.add_rest(0);
                before.add_rest(1);
                before.reduce(token, 0);
                before.reduce(token, 1);
                before.conclude();
            }
            let [job, rest @ ..] = mem::take(&mut left) else { break };
            if !Short::<J, ROUNDS, 2>::takes(job) || !Short::<J, ROUNDS, 2>::one(token, job) {
                return all - rest.len() - 1;
            }
            left = rest;
        }
        all - left.len()
    }
}

/// Takes two jobs from the front, if they are a pair.
#[inline(always)]
fn next_pair<'a, J: Job<Zmm>, const ROUNDS: usize>(
    jobs: &mut &'a mut [J],
) -> Option<[&'a mut J; 2]> {
    const LENGTHS: RangeInclusive<usize> = OWN + 1..=OWN + HALF;
    let [a, b, ..] = &**jobs else { return None };
    let is_pair = b.has_key_of(a)
        && text_len::<Zmm, J, ROUNDS>(a).is_some_and(|len| LENGTHS.contains(&len))
        && b.text_len().is_some_and(|len| LENGTHS.contains(&len));
    if !is_pair {
        return None;
    }
    let (pair, rest) = mem::take(jobs).split_first_chunk_mut::<2>()?;
    *jobs = rest;
    Some(pair.each_mut())
}

/// A pair that is crypted, and what is to be hashed of it.
struct Hashing<'a, J> {
    jobs: Option<[&'a mut J; 2]>,
    /// Of each packet the blocks in its own vector, their octets reversed, and the powers for them.
    own: [(Zmm, Zmm); 2],
    /// The same of those in half of the shared one, with the lengths behind.
    rest: [(Zmm, Zmm); 2],
    /// What encrypts GHASH to the tag: lane 0 is J0, encrypted.
    masks: [Zmm; 2],
    icvs: [Zmm; 2],
    products: [Product<Zmm>; 2],
    hashes: [Zmm; 2],
}

impl<J: Job<Zmm>> Hashing<'_, J> {
    /// Of no pair.
    #[inline(always)]
    fn nothing(token: Avx512) -> Self {
        let zero = Zmm::zero(token);
        Self {
            jobs: None,
            own: [(zero, zero); 2],
            rest: [(zero, zero); 2],
            masks: [zero; 2],
            icvs: [zero; 2],
            products: [Product::zero(token); 2],
            hashes: [zero; 2],
        }
    }

    // Parts of GHASH, as much as two rounds of AES leave room for: of one packet each. In this
    // order, for one and the other, none waits for the one before it.

    #[inline(always)]
    fn add_own(&mut self, at: usize) {
        let (blocks, powers) = self.own[at];
        self.products[at].add(blocks, powers);
        self.products[at].pin();
    }

    #[inline(always)]
    fn add_rest(&mut self, at: usize) {
        let (blocks, powers) = self.rest[at];
        self.products[at].add(blocks, powers);
        self.products[at].pin();
    }

    #[inline(always)]
    fn reduce(&mut self, token: Avx512, at: usize) {
        self.hashes[at] = self.products[at].reduce(token).pin();
    }

    /// Tells the jobs of their tags.
    #[inline(always)]
    fn conclude(self) {
        let Some([a, b]) = self.jobs else { return };
        let [tag_a, tag_b] = self.hashes;
        a.conclude(tag_a.sum_lanes().reverse_octets().xor(self.masks[0]), self.icvs[0]);
        b.conclude(tag_b.sum_lanes().reverse_octets().xor(self.masks[1]), self.icvs[1]);
    }
}

/// Crypts a pair, and meanwhile hashes the one before it. None, and nothing hashed, if they are no
/// packets.
#[inline(always)]
fn crypt<'a, J: Job<Zmm>, const ROUNDS: usize>(
    token: Avx512,
    [job_a, job_b]: [&'a mut J; 2],
    before: &mut Hashing<'_, J>,
) -> Option<Hashing<'a, J>> {
    let (Some(a), Some(b)) = (job_a.packet(), job_b.packet()) else {
        // They have a text, so this cannot be; should it, nothing goes out as it came.
        job_a.refuse();
        job_b.refuse();
        return None;
    };
    let key = a.key;
    // Before the texts are written: a load waits for a masked store that spans its place.
    let icvs = [Zmm::low(token, a.icv), Zmm::low(token, b.icv)];
    let mut state = counters(token, &a, &b);
    let each = (ROUNDS - 2) / 6;
    rounds(token, key, &mut state, 1..=each);
    before.add_own(0);
    rounds(token, key, &mut state, each + 1..=2 * each);
    before.add_own(1);
    rounds(token, key, &mut state, 2 * each + 1..=3 * each);
    before.add_rest(0);
    rounds(token, key, &mut state, 3 * each + 1..=4 * each);
    before.add_rest(1);
    rounds(token, key, &mut state, 4 * each + 1..=5 * each);
    before.reduce(token, 0);
    rounds(token, key, &mut state, 5 * each + 1..=6 * each);
    before.reduce(token, 1);
    rounds(token, key, &mut state, 6 * each + 1..=ROUNDS - 1);

    let (own_a, rest_a) = a.text.split_at_mut(OWN);
    let (own_b, rest_b) = b.text.split_at_mut(OWN);
    let input = [
        Zmm::load::<BLOCK>(token, own_a),
        Zmm::load::<0>(token, rest_a).xor(Zmm::load::<HALF>(token, rest_b)),
        Zmm::load::<BLOCK>(token, own_b),
    ];
    let last = Zmm::broadcast(token, key.round_key(ROUNDS));
    let mut output = input;
    for (output, state) in output.iter_mut().zip(state) {
        // The same as adding the input after the last round.
        *output = state.aes_last_round(last.xor(*output));
    }
    output[0].store::<BLOCK>(own_a);
    output[1].store::<0>(rest_a);
    output[1].store::<HALF>(rest_b);
    output[2].store::<BLOCK>(own_b);

    let [of_a, mut shared, of_b] = if J::SEAL { output } else { input };
    if J::SEAL {
        shared = shared.keep::<0>(rest_a.len()).xor(shared.keep::<HALF>(rest_b.len()));
    }
    let shared = shared.reverse_octets();
    let (own_a, rest_a) =
        to_hash(token, (a.key, a.aad, a.aad_len), rest_a.len(), of_a, shared.low_half());
    let (own_b, rest_b) =
        to_hash(token, (b.key, b.aad, b.aad_len), rest_b.len(), of_b, shared.high_half());
    Some(Hashing {
        jobs: Some([job_a, job_b]),
        own: [own_a, own_b],
        rest: [rest_a, rest_b],
        masks: [output[0], output[2]],
        icvs,
        products: [Product::zero(token); 2],
        hashes: [Zmm::zero(token); 2],
    })
}

/// The counter blocks of a pair, with the first round key added.
#[inline(always)]
fn counters(token: Avx512, a: &Packet<'_>, b: &Packet<'_>) -> [Zmm; 3] {
    let own = Zmm::blocks(token, &COUNTERS.0);
    let shared = Zmm::blocks(token, &SHARED.0);
    let (nonce_a, nonce_b) = (Zmm::broadcast(token, a.nonce), Zmm::broadcast(token, b.nonce));
    let key = Zmm::broadcast(token, a.key.round_key(0));
    [
        own.xor3(nonce_a, key),
        shared.xor3(nonce_a.with_high_half(nonce_b), key),
        own.xor3(nonce_b, key),
    ]
}

/// What is hashed of a packet: its own vector and, octets reversed already, its half of the shared
/// one, in which there are `rest_len` octets; with the powers for both.
#[inline(always)]
fn to_hash(
    token: Avx512,
    (key, aad, aad_len): (&Schedule, &Block, usize),
    rest_len: usize,
    own: Zmm,
    rest: Zmm,
) -> ((Zmm, Zmm), (Zmm, Zmm)) {
    let blocks = rest_len.div_ceil(BLOCK);
    let lengths = Zmm::pair(token, 8 * (OWN + rest_len) as u64, 8 * aad_len as u64);
    let powers = key.powers(Zmm::LANES + blocks + 1);
    let own = own.with_low(aad).reverse_octets();
    let rest = rest.with_lane(blocks, lengths);
    let (for_own, for_rest) =
        (Zmm::blocks(token, powers), Zmm::blocks(token, &powers[Zmm::LANES..]));
    ((own, for_own), (rest, for_rest))
}

/// Some rounds of AES.
#[inline(always)]
fn rounds(token: Avx512, key: &Schedule, state: &mut [Zmm; 3], which: RangeInclusive<usize>) {
    for round in which {
        let key = Zmm::broadcast(token, key.round_key(round));
        for state in &mut *state {
            *state = state.aes_round(key).pin();
        }
    }
}
