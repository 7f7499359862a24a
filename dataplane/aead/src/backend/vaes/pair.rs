//! Short packets two by two: those of two vectors, as of 64 octets under GRE. The GHASH of a pair
//! is done between the rounds of AES of the next one.
//!
//! ```text
//! AES of pair 0 | AES of pair 1   | AES of pair 2   | …
//!               | GHASH of pair 0 | GHASH of pair 1 | …
//! ```
//!
//! Left to itself a CPU does one after the other, for what waits for the end of either fills its
//! schedulers; and so do compilers, which undo any order that is not [pinned](Zmm::pin).
//!
//! Two packets of one key that take a vector and a half each take three:
//!
//! ```text
//! J0  A1  A2  A3 | A4  A5  B4  B5 | J0  B1  B2  B3      blocks of text; J0 encrypts the tag
//! ```

use std::ops::RangeInclusive;
use std::slice::IterMut;

use super::Zmm;
use super::gcm::{BLOCK, COUNTERS, Counters, Job, Shape, Short, is_of};
use super::ghash::Product;
use super::schedule::Schedule;
use super::vector::{Block, Kernel, Vector};
use super::zmm::Avx512;

/// Octets of text in a packet's first vector, which it has for itself.
const OWN: usize = 48;
/// Octets of text in half of a vector.
const HALF: usize = 32;

/// Lengths of text. Behind more, the lengths in GHASH would need a vector of their own.
pub(super) const LENGTHS: RangeInclusive<usize> = OWN + 1..=OWN + HALF + BLOCK;

/// Counters of the vector that both share.
static SHARED: Counters<4> = Counters::new([5, 6, 5, 6], BLOCK - 1);

/// Does the jobs that are [paired](Shape::Paired); gives how many.
pub(super) struct Pairs<'a, J, const ROUNDS: usize>(pub(super) &'a mut [J]);

impl<J: Job<Zmm>, const ROUNDS: usize> Kernel<Zmm> for Pairs<'_, J, ROUNDS> {
    type Output = usize;

    #[inline(always)]
    fn work(self, token: Avx512) -> usize {
        let (mut done, mut last) = (0, None);
        let mut jobs = self.0.iter_mut();
        let mut before = Hashing::nothing(token);
        while let Some(a) = next::<J, ROUNDS>(&mut jobs) {
            let Some(b) = next::<J, ROUNDS>(&mut jobs) else {
                last = Some(a);
                break;
            };
            let now = if are_joined(a, b) {
                crypt::<J, ROUNDS, true>(token, [a, b], &mut before)
            } else {
                crypt::<J, ROUNDS, false>(token, [a, b], &mut before)
            };
            let Some(now) = now else { continue };
            before.conclude();
            before = now;
            done += 2;
        }
        before.finish(token);
        let is_done = last.is_some_and(|job| Short::<J, ROUNDS, 2>::one(token, job));
        done + usize::from(is_done)
    }
}

/// The next job that is paired.
#[inline(always)]
fn next<'a, J: Job<Zmm>, const ROUNDS: usize>(jobs: &mut IterMut<'a, J>) -> Option<&'a mut J> {
    loop {
        let job = jobs.next()?;
        if is_of::<Zmm, J, ROUNDS>(job, Shape::Paired) {
            return Some(job);
        }
    }
}

/// Whether two packets are crypted in three vectors, instead of two each.
#[inline(always)]
fn are_joined<J: Job<Zmm>>(a: &J, b: &J) -> bool {
    let fits = |job: &J| job.text_len().is_some_and(|len| len <= OWN + HALF);
    b.has_key_of(a) && fits(a) && fits(b)
}

/// A pair that is crypted, and what is to be hashed of it.
struct Hashing<'a, J> {
    jobs: Option<[&'a mut J; 2]>,
    /// Of each packet the blocks in its first vector, their octets reversed, and the powers for
    /// them.
    own: [(Zmm, Zmm); 2],
    /// The same of the blocks behind, and the lengths.
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

    // Parts of GHASH, of one packet each, as much as two rounds of AES leave room for. In this
    // order, and the packets in turn, none waits for the one before it.

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

    /// Hashes the last pair, if there is one.
    #[inline(always)]
    fn finish(mut self, token: Avx512) {
        if self.jobs.is_some() {
            self.add_own(0);
            self.add_own(1);
            self.add_rest(0);
            self.add_rest(1);
            self.reduce(token, 0);
            self.reduce(token, 1);
            self.conclude();
        }
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
fn crypt<'a, J: Job<Zmm>, const ROUNDS: usize, const JOINED: bool>(
    token: Avx512,
    [job_a, job_b]: [&'a mut J; 2],
    before: &mut Hashing<'_, J>,
) -> Option<Hashing<'a, J>> {
    let (a, b) = (job_a.packet()?, job_b.packet()?);
    // Before the texts are written: a load waits for a masked store that spans its place.
    let icvs = [Zmm::low(token, a.icv), Zmm::low(token, b.icv)];
    let keys = [a.key, b.key];
    let mut state = counters::<JOINED>(token, keys, [a.nonce, b.nonce]);
    // Rounds between two parts of the hash: written out, as compilers leave a loop what it is.
    let each = (ROUNDS - 2) / 6;
    rounds::<JOINED>(token, keys, &mut state, 1..=each);
    before.add_own(0);
    rounds::<JOINED>(token, keys, &mut state, each + 1..=2 * each);
    before.add_own(1);
    rounds::<JOINED>(token, keys, &mut state, 2 * each + 1..=3 * each);
    before.add_rest(0);
    rounds::<JOINED>(token, keys, &mut state, 3 * each + 1..=4 * each);
    before.add_rest(1);
    rounds::<JOINED>(token, keys, &mut state, 4 * each + 1..=5 * each);
    before.reduce(token, 0);
    rounds::<JOINED>(token, keys, &mut state, 5 * each + 1..=6 * each);
    before.reduce(token, 1);
    rounds::<JOINED>(token, keys, &mut state, 6 * each + 1..=ROUNDS - 1);

    let (own_a, rest_a) = a.text.split_at_mut(OWN);
    let (own_b, rest_b) = b.text.split_at_mut(OWN);
    let lens = [rest_a.len(), rest_b.len()];
    let input = read::<JOINED>(token, [own_a, own_b], [rest_a, rest_b]);
    let output = last_round::<JOINED, ROUNDS>(token, keys, state, input);
    write::<JOINED>(output, [own_a, own_b], [rest_a, rest_b]);
    let ciphertext = if J::SEAL { keep::<JOINED>(output, lens) } else { input };
    let [of_a, of_b] = apart::<JOINED>(ciphertext);
    let (own_a, rest_a) = to_hash(token, (a.key, a.aad, a.aad_len), of_a, lens[0]);
    let (own_b, rest_b) = to_hash(token, (b.key, b.aad, b.aad_len), of_b, lens[1]);
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

// The vectors of two packets are A's own, what it shares or has behind, and the same of B; of two
// that are `JOINED`, the last is without meaning.

/// The keys of a round: of A's vectors and of B's.
#[inline(always)]
fn round_keys<const JOINED: bool>(token: Avx512, keys: [&Schedule; 2], round: usize) -> [Zmm; 2] {
    let key_a = Zmm::broadcast(token, keys[0].round_key(round));
    let key_b = if JOINED { key_a } else { Zmm::broadcast(token, keys[1].round_key(round)) };
    [key_a, key_b]
}

/// The counter blocks of a pair, with the first round key added.
#[inline(always)]
fn counters<const JOINED: bool>(
    token: Avx512,
    keys: [&Schedule; 2],
    nonces: [&Block; 2],
) -> [Zmm; 4] {
    let own = Zmm::blocks(token, &COUNTERS.0);
    let [nonce_a, nonce_b] = [Zmm::broadcast(token, nonces[0]), Zmm::broadcast(token, nonces[1])];
    let [key_a, key_b] = round_keys::<JOINED>(token, keys, 0);
    if JOINED {
        let shared = Zmm::blocks(token, &SHARED.0);
        let nonces = nonce_a.with_high_half(nonce_b);
        let first = own.xor3(nonce_a, key_a);
        return [first, shared.xor3(nonces, key_a), own.xor3(nonce_b, key_a), first];
    }
    let behind = Zmm::blocks(token, &COUNTERS.0[Zmm::LANES..]);
    [
        own.xor3(nonce_a, key_a),
        behind.xor3(nonce_a, key_a),
        own.xor3(nonce_b, key_b),
        behind.xor3(nonce_b, key_b),
    ]
}

/// Some rounds of AES, none of them the last.
#[inline(always)]
fn rounds<const JOINED: bool>(
    token: Avx512,
    keys: [&Schedule; 2],
    state: &mut [Zmm; 4],
    which: RangeInclusive<usize>,
) {
    for round in which {
        let [key_a, key_b] = round_keys::<JOINED>(token, keys, round);
        state[0] = state[0].aes_round(key_a).pin();
        state[1] = state[1].aes_round(key_a).pin();
        state[2] = state[2].aes_round(key_b).pin();
        if !JOINED {
            state[3] = state[3].aes_round(key_b).pin();
        }
    }
}

/// The last round, which adds the texts.
#[inline(always)]
fn last_round<const JOINED: bool, const ROUNDS: usize>(
    token: Avx512,
    keys: [&Schedule; 2],
    state: [Zmm; 4],
    input: [Zmm; 4],
) -> [Zmm; 4] {
    let [key_a, key_b] = round_keys::<JOINED>(token, keys, ROUNDS);
    // The same as adding the input after the last round.
    [
        state[0].aes_last_round(key_a.xor(input[0])),
        state[1].aes_last_round(key_a.xor(input[1])),
        state[2].aes_last_round(key_b.xor(input[2])),
        state[3].aes_last_round(key_b.xor(input[3])),
    ]
}

#[inline(always)]
fn read<const JOINED: bool>(token: Avx512, own: [&[u8]; 2], rest: [&[u8]; 2]) -> [Zmm; 4] {
    let [own_a, own_b] = [Zmm::load::<BLOCK>(token, own[0]), Zmm::load::<BLOCK>(token, own[1])];
    let rest_a = Zmm::load::<0>(token, rest[0]);
    if JOINED {
        let shared = rest_a.xor(Zmm::load::<HALF>(token, rest[1]));
        return [own_a, shared, own_b, shared];
    }
    [own_a, rest_a, own_b, Zmm::load::<0>(token, rest[1])]
}

/// The counterpart of [`read`].
#[inline(always)]
fn write<const JOINED: bool>(vectors: [Zmm; 4], own: [&mut [u8]; 2], rest: [&mut [u8]; 2]) {
    let ([own_a, own_b], [rest_a, rest_b]) = (own, rest);
    vectors[0].store::<BLOCK>(own_a);
    vectors[1].store::<0>(rest_a);
    if JOINED {
        vectors[1].store::<HALF>(rest_b);
    } else {
        vectors[3].store::<0>(rest_b);
    }
    vectors[2].store::<BLOCK>(own_b);
}

/// The vectors, zero behind the end of each text.
#[inline(always)]
fn keep<const JOINED: bool>(vectors: [Zmm; 4], rest_lens: [usize; 2]) -> [Zmm; 4] {
    let [own_a, rest_a, own_b, rest_b] = vectors;
    let kept = rest_a.keep::<0>(rest_lens[0]);
    if JOINED {
        let shared = kept.xor(rest_a.keep::<HALF>(rest_lens[1]));
        return [own_a, shared, own_b, shared];
    }
    [own_a, kept, own_b, rest_b.keep::<0>(rest_lens[1])]
}

/// Of each packet its own vector, and what is behind, of that the octets reversed.
#[inline(always)]
fn apart<const JOINED: bool>(vectors: [Zmm; 4]) -> [(Zmm, Zmm); 2] {
    let [own_a, rest_a, own_b, rest_b] = vectors;
    let rest = rest_a.reverse_octets();
    if JOINED {
        return [(own_a, rest.low_half()), (own_b, rest.high_half())];
    }
    [(own_a, rest), (own_b, rest_b.reverse_octets())]
}

/// What is hashed of a packet that has `rest_len` octets behind its own vector, with the powers for
/// it.
#[inline(always)]
fn to_hash(
    token: Avx512,
    (key, aad, aad_len): (&Schedule, &Block, usize),
    (own, rest): (Zmm, Zmm),
    rest_len: usize,
) -> ((Zmm, Zmm), (Zmm, Zmm)) {
    let blocks = rest_len.div_ceil(BLOCK);
    let lengths = Zmm::pair(token, 8 * (OWN + rest_len) as u64, 8 * aad_len as u64);
    let powers = key.powers(Zmm::LANES + blocks + 1);
    let own = own.with_low(aad).reverse_octets();
    let rest = rest.with_lane(blocks, lengths);
    let for_rest = Zmm::blocks(token, &powers[Zmm::LANES..]);
    ((own, Zmm::blocks(token, powers)), (rest, for_rest))
}
