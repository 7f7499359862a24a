//! The shortest packets two abreast, where there are no registers for round keys to stay in: those
//! of one vector or two, as acknowledgements of TCP are under GRE. The GHASH of both is done amid
//! the rounds of AES of the next two.
//!
//! ```text
//! AES of A and B | AES of C and D          | AES of E and F          | …
//!                | GHASH of A, then of B   | GHASH of C, then of D   | …
//! ```
//!
//! Alone, two vectors of 256 bits wait longer for the result of each round than the units of AES
//! need for it. With three, as 64 octets are under GRE, [`Stream`](super::stream::Stream) is as
//! fast.

use super::Width;
use super::gcm::{GROUP, Job, Lengths, LengthsHash, PAIRED_MAX};
use super::keys::RoundKeys;
use super::stream::{Hashing, Pending, Run};
use super::twos::Twos;
use super::vector::{Kernel, Vector};

/// Does the jobs that are [paired](super::gcm::Shape::Paired), of `N` vectors each; gives how many.
/// Of an odd number, the last is left.
pub(super) struct Abreast<'a, J, const ROUNDS: usize, const N: usize>(pub(super) &'a mut [J]);

impl<'a, V: Width, J: Job<V>, const ROUNDS: usize, const N: usize> Kernel<V>
    for Abreast<'a, J, ROUNDS, N>
{
    type Output = (usize, Option<&'a mut J>);

    #[inline(always)]
    fn work(self, token: V::Token) -> (usize, Option<&'a mut J>) {
        let mut twos = Twos::<J, ROUNDS, N>::of(self.0);
        let mut before = [Hashing::nothing(token), Hashing::nothing(token)];
        let mut hashed = LengthsHash::nothing(token);
        let mut done = 0;
        while let Some(jobs) = twos.next() {
            let now = crypt::<V, J, ROUNDS, N>(token, jobs, &mut hashed, &mut before);
            let Some(now) = now else { continue };
            before = now;
            done += 2;
        }
        let [a, b] = before;
        a.finish(token);
        b.finish(token);
        (done, twos.odd)
    }
}

/// Crypts two packets, and meanwhile hashes those before them. None, and nothing hashed, if they
/// are no packets.
#[inline(always)]
fn crypt<'a, V: Width, J: Job<V>, const ROUNDS: usize, const N: usize>(
    token: V::Token,
    [job_a, job_b]: [&'a mut J; 2],
    hashed: &mut LengthsHash<V, Lengths>,
    before: &mut [Hashing<'_, V, J>; 2],
) -> Option<[Hashing<'a, V, J>; 2]> {
    let (a, b) = (job_a.packet()?, job_b.packet()?);
    let lengths = [a.lengths(), b.lengths()];
    let icvs = [V::low(token, a.icv), V::low(token, b.icv)];
    let keys = [RoundKeys::in_memory(token, a.key), RoundKeys::in_memory(token, b.key)];
    let run_a = Run::<V, J, ROUNDS, false>::new(token, &a, keys[0]);
    let run_b = Run::<V, J, ROUNDS, false>::new(token, &b, keys[1]);
    let mut state = [run_a.first::<N>(), run_b.first::<N>()];

    let pending = [before[0].pending(token), before[1].pending(token)];
    let hashes = rounds(token, keys, &mut state, pending);
    let [state_a, state_b] = state;
    let (blocks_a, mask_a) = run_a.last_round::<N, true>(state_a, a.text);
    let (blocks_b, mask_b) = run_b.last_round::<N, true>(state_b, b.text);
    before[0].conclude(hashes[0]);
    before[1].conclude(hashes[1]);
    let crypted = [(run_a.in_full(blocks_a), mask_a), (run_b.in_full(blocks_b), mask_b)];
    let now_a = Hashing::of(token, (a.key, lengths[0], icvs[0]), hashed, crypted[0]);
    let now_b = Hashing::of(token, (b.key, lengths[1], icvs[1]), hashed, crypted[1]);
    Some([now_a.with(job_a), now_b.with(job_b)])
}

/// All rounds of AES but the last, and amid them the hashes of `N` vectors of each packet before.
/// Written out, since compilers leave a loop what it is.
#[inline(always)]
fn rounds<V: Vector, const ROUNDS: usize, const N: usize>(
    token: V::Token,
    [key_a, key_b]: [RoundKeys<'_, V, ROUNDS>; 2],
    [a, b]: &mut [[V; N]; 2],
    [mut pending_a, mut pending_b]: [Pending<'_, V>; 2],
) -> [V; 2] {
    let mut round = |number| {
        key_a.round(a, number);
        key_b.round(b, number);
    };
    const { assert!(N <= PAIRED_MAX) };
    round(1);
    round(2);
    round(3);
    pending_a.add::<N>(token, GROUP - 2);
    round(4);
    pending_a.add::<N>(token, GROUP - 1);
    round(5);
    let hash_a = pending_a.hash(token);
    round(6);
    round(7);
    round(8);
    pending_b.add::<N>(token, GROUP - 2);
    round(9);
    pending_b.add::<N>(token, GROUP - 1);
    round(10);
    let hash_b = pending_b.hash(token);
    round(11);
    round(12);
    round(13);
    [hash_a, hash_b]
}
