//! AES-GCM by VAES and VPCLMULQDQ, on vectors of 512 bits or 256.
//!
//! ```text
//! run        the jobs of a burst that have one shape, together: algorithm, number of vectors
//! gcm        Short: a packet of up to four vectors. Long: by groups of four
//! pair       two short packets at once, of two vectors or of one and a half
//! ghash      products and their reduction
//! schedule   round keys and powers of H of a key, 512 octets
//! vector     what these need of a register; zmm and ymm, which have it, hold the unsafe code
//! ```
//!
//! No branch and no address depends on a secret: only on lengths, on the algorithm and the width
//! of keys and, once a packet, on whether its ICV is right.
//!
//! # How packets overlap
//!
//! The lanes of a vector are neighbouring blocks of one packet, and the packets of a burst follow
//! each other in straight code without a branch that is hard to foretell. How many a CPU then has
//! under way by itself depends on its schedulers. On Sapphire Rapids about three: of 80 octets
//! under AES-256 one alone takes 108 TSC cycles to seal and 93 to open, one of a burst of 64 takes
//! 35 and 34, with 1000 keys in turn 37 and 35 (`benches/aead.rs`). On Zen 4 hardly more than one:
//! 59 and 55, which is AES and GHASH one after the other. So most packets, those of two vectors,
//! have a kernel in which the order is pinned (`pair`): 46 and 45 with one key, 51 and 51 with 64
//! in turn, of which 9 are the making of jobs. What bounds it there: a product of GHASH takes as
//! much of the two units of AES as a round does, in all 62 core cycles for two packets of one key,
//! and shuffles, to which broadcasts of round keys belong, share one of these units.
//!
//! Packets of one shape are done together wherever they are in a burst: in a mixture of lengths
//! few would have their like beside them, and code would change from packet to packet.
//!
//! Tried instead, timed beside it, and not kept:
//!
//! - on Sapphire Rapids two packets in lockstep, without GHASH between: 35 and 37; four: 43, for
//!   want of registers; GHASH of a packet behind the AES of the next one: 36 and 36. Between the
//!   groups of a long packet the same is worth 45 of 309 cycles at 1424 octets, and there it is
//!   kept;
//! - keys prefetched here, by the job or some jobs ahead: nothing with 1000 keys, which the second
//!   level cache holds, and next to nothing with 10 000, where the bandwidth of the third counts.
//!   A stage that fetches all that a burst needs of its SAs has [`Key::prefetch`] for their keys;
//! - in a pair, round keys kept as whole vectors from one pair to the next, or one reduction for
//!   both packets: nothing, on Zen 4;
//! - long packets by groups of eight vectors, on Zen 4: 398 and 386 at 1424 octets instead of 397
//!   and 388, and dearer below 1000. All that 512 octets need, without any dependence, takes 175
//!   core cycles, and so they do here;
//! - each lane another packet: as fast with one key and equal lengths only, and round keys would
//!   have to be put together lane by lane.

use std::mem;
use std::ptr;
use std::sync::Arc;

use self::gcm::{Job, Long, Packet, Shape, Short};
use self::pair::Pairs;
use self::schedule::{Expand, Schedule};
use self::vector::{Block, Vector};
use crate::aad::Aad;
use crate::algorithm::Algorithm;
use crate::job::{BUFFER_LEN_MAX, OpenJob, SealJob};
use crate::key;

mod gcm;
mod ghash;
mod pair;
mod schedule;
#[cfg(test)]
mod tests;
mod vector;
mod ymm;
mod zmm;

pub(crate) use self::ymm::Ymm;
pub(crate) use self::zmm::Zmm;

/// A width of vectors for which there are keys.
pub(crate) trait Width: Vector {
    /// The expanded key, if it is one for these vectors.
    fn key(schedule: &key::Schedule) -> Option<&Key<Self>>;

    /// Does the jobs that are paired; gives how many.
    fn pairs<J: Job<Self>, const ROUNDS: usize>(_token: Self::Token, _jobs: &mut [J]) -> usize {
        0
    }
}

impl Width for Zmm {
    #[inline(always)]
    fn key(schedule: &key::Schedule) -> Option<&Key<Self>> {
        match schedule {
            key::Schedule::Vaes512(key) => Some(key),
            _ => None,
        }
    }

    fn pairs<J: Job<Self>, const ROUNDS: usize>(token: Self::Token, jobs: &mut [J]) -> usize {
        Self::run(token, Pairs::<J, ROUNDS>(jobs))
    }
}

impl Width for Ymm {
    #[inline(always)]
    fn key(schedule: &key::Schedule) -> Option<&Key<Self>> {
        match schedule {
            key::Schedule::Vaes256(key) => Some(key),
            _ => None,
        }
    }
}

/// An expanded key, which exists only where the CPU can work with it.
pub(crate) struct Key<V: Vector> {
    token: V::Token,
    schedule: Schedule,
}

impl<V: Vector> Key<V> {
    /// `None`: the key has a wrong length, or the CPU lacks the instructions.
    pub(crate) fn new(algorithm: Algorithm, key: &[u8]) -> Option<Arc<Self>> {
        let token = V::detect().filter(|_| key.len() == algorithm.key_len())?;
        // Expanded where it stays, so that no copy is left behind on the stack.
        let mut this = Arc::new(Self { token, schedule: Schedule::blank() });
        V::run(token, Expand { key, schedule: &mut Arc::get_mut(&mut this)?.schedule });
        Some(this)
    }

    /// Asks the CPU to fetch what a short packet needs of the schedule.
    #[inline]
    pub(crate) fn prefetch(&self) {
        self.schedule.short_lines().iter().for_each(zmm::prefetch);
    }
}

/// Whether the CPU has the instructions.
pub(crate) fn is_available<V: Vector>() -> bool {
    V::detect().is_some()
}

/// Does all jobs whose keys are for vectors; gives how many.
pub(crate) fn run<J: Job<Zmm> + Job<Ymm>>(jobs: &mut [J]) -> usize {
    let done = run_width::<Zmm, J>(jobs);
    if done == jobs.len() { done } else { done + run_width::<Ymm, J>(jobs) }
}

/// Does the jobs whose keys are for these vectors, those of one shape together: most bursts have
/// one, and in others packets find their like. Gives how many.
fn run_width<V: Width, J: Job<V>>(jobs: &mut [J]) -> usize {
    let Some(token) = jobs.iter().find_map(J::token) else { return 0 };
    let (mut done, mut tried) = (0, [0_u8; 2]);
    for at in 0..jobs.len() {
        let job = &jobs[at];
        let (Some(algorithm), Some(text_len)) = (job.algorithm(), job.text_len()) else { continue };
        let shape = Shape::of::<V>(text_len);
        let tried = match algorithm {
            Algorithm::Aes128Gcm16 => &mut tried[0],
            Algorithm::Aes256Gcm16 => &mut tried[1],
        };
        if *tried & shape.bit() != 0 {
            continue;
        }
        *tried |= shape.bit();
        done += match algorithm {
            Algorithm::Aes128Gcm16 => run_rounds::<V, J, 10>(token, shape, jobs),
            Algorithm::Aes256Gcm16 => run_rounds::<V, J, 14>(token, shape, jobs),
        };
        if done == jobs.len() {
            break;
        }
    }
    done
}

/// Does the jobs of this shape; gives how many.
fn run_rounds<V: Width, J: Job<V>, const ROUNDS: usize>(
    token: V::Token,
    shape: Shape,
    jobs: &mut [J],
) -> usize {
    match shape {
        Shape::Short(1) => V::run(token, Short::<J, ROUNDS, 1>(jobs)),
        Shape::Short(2) => V::run(token, Short::<J, ROUNDS, 2>(jobs)),
        Shape::Short(3) => V::run(token, Short::<J, ROUNDS, 3>(jobs)),
        Shape::Short(_) => V::run(token, Short::<J, ROUNDS, 4>(jobs)),
        Shape::Paired => V::pairs::<J, ROUNDS>(token, jobs),
        Shape::Long => V::run(token, Long::<J, ROUNDS>(jobs)),
    }
}

impl<V: Width> Job<V> for SealJob<'_> {
    const SEAL: bool = true;

    #[inline(always)]
    fn token(&self) -> Option<V::Token> {
        V::key(&self.key.schedule).map(|key| key.token)
    }

    #[inline(always)]
    fn algorithm(&self) -> Option<Algorithm> {
        V::key(&self.key.schedule).map(|_| self.key.algorithm())
    }

    #[inline(always)]
    fn text_len(&self) -> Option<usize> {
        text_len(self.buffer)
    }

    #[inline(always)]
    fn packet(&mut self) -> Option<Packet<'_>> {
        let key = V::key(&self.key.schedule)?;
        packet(key, &self.nonce, &self.aad, self.buffer)
    }

    #[inline(always)]
    fn has_key_of(&self, other: &Self) -> bool {
        ptr::eq(self.key, other.key)
    }

    #[inline(always)]
    fn conclude(&mut self, tag: V, _icv: V) {
        // Empty from here on: nothing is sealed twice.
        if let Some(icv) = mem::take(&mut self.buffer).last_chunk_mut() {
            tag.store_low(icv);
        }
    }
}

impl<V: Width> Job<V> for OpenJob<'_> {
    const SEAL: bool = false;

    #[inline(always)]
    fn token(&self) -> Option<V::Token> {
        V::key(&self.key.schedule).map(|key| key.token)
    }

    #[inline(always)]
    fn algorithm(&self) -> Option<Algorithm> {
        V::key(&self.key.schedule).map(|_| self.key.algorithm())
    }

    #[inline(always)]
    fn text_len(&self) -> Option<usize> {
        text_len(self.buffer)
    }

    #[inline(always)]
    fn packet(&mut self) -> Option<Packet<'_>> {
        let key = V::key(&self.key.schedule)?;
        packet(key, &self.nonce, &self.aad, self.buffer)
    }

    #[inline(always)]
    fn has_key_of(&self, other: &Self) -> bool {
        ptr::eq(self.key, other.key)
    }

    #[inline(always)]
    fn conclude(&mut self, tag: V, icv: V) {
        OpenJob::conclude(self, tag.same_low(icv));
    }
}

/// Octets before the ICV, if the buffer can be of a packet.
#[inline(always)]
fn text_len(buffer: &[u8]) -> Option<usize> {
    if buffer.len() > BUFFER_LEN_MAX { None } else { buffer.len().checked_sub(size_of::<Block>()) }
}

#[inline(always)]
fn packet<'a, V: Vector>(
    key: &'a Key<V>,
    nonce: &'a Block,
    aad: &'a Aad,
    buffer: &'a mut [u8],
) -> Option<Packet<'a>> {
    let (text, icv) = buffer.split_last_chunk_mut()?;
    let (aad_len, aad) = (aad.as_slice().len(), aad.padded());
    Some(Packet { key: &key.schedule, nonce, aad, aad_len, text, icv })
}
