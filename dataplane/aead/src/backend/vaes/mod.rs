//! AES-GCM by VAES and VPCLMULQDQ, on vectors of 512 bits or 256.
//!
//! ```text
//! run        the jobs of a burst that have one shape, together
//! gcm        positions of blocks, jobs and their shapes
//! pair       short packets two by two, on vectors of 512 bits
//! abreast    the shortest two by two, on those of 256
//! twos       jobs, two by two
//! stream     longer ones, by groups of four vectors
//! keys       round keys, kept from packet to packet
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
//! The lanes of a vector are neighbouring blocks of one packet. What is crypted is hashed amid the
//! rounds of AES of what follows: of the next group of a packet, or the next packet. Left to itself
//! a CPU overlaps as much as its schedulers take, which on Sapphire Rapids is three packets of 80
//! octets, on Zen 4 hardly more than one. So the order is pinned, against compilers too.
//!
//! What bounds it on Zen 4: a product of GHASH takes as much of the two units of AES as a round
//! does, and what else is done with vectors takes its share when there is much of it. A group of
//! four, without any dependence, is 56 rounds and 18 products, 74 core cycles; with the additions,
//! shuffles and loads that it needs, and round keys broadcast from memory, 85 to 89; with the keys
//! in registers, 76 to 80. So keys stay there while packets have the same ([`keys`]), and
//! additions are saved where they can be (both packets of a pair are reduced as one).
//!
//! Packets of one shape are done together wherever they are in a burst: in a mixture of lengths
//! few would have their like beside them, and code would change from packet to packet.
//!
//! Tried instead, timed beside it, and not kept:
//!
//! - schedules prefetched here, by the job or some jobs ahead: nothing with 1000 keys, which the
//!   second level cache holds, and next to nothing with 10 000, where the bandwidth of the third
//!   counts. A stage that fetches all that a burst needs of its SAs has [`Key::prefetch`] for them;
//! - texts prefetched, a packet ahead: 189 > 199 at 528 octets, all of it the instructions;
//! - groups of eight vectors: no faster, and dearer below 1000 octets;
//! - jobs of a mixture put in order by kind before: 104 > 112, though no kernel has to look for its
//!   own then;
//! - each lane another packet: as fast with one key and equal lengths only, and round keys would
//!   have to be put together lane by lane.

use std::mem;
use std::slice;
use std::sync::Arc;

use self::abreast::Abreast;
use self::gcm::{Job, PAIRED_MAX, Packet, Shape};
use self::pair::Pairs;
use self::schedule::{Expand, Schedule};
use self::stream::Stream;
use self::vector::{Block, Vector};
use crate::aad::Aad;
use crate::algorithm::Algorithm;
use crate::job::{OpenJob, SealJob};
use crate::key;

mod abreast;
mod gcm;
mod ghash;
mod keys;
mod pair;
mod schedule;
mod stream;
#[cfg(test)]
mod tests;
mod twos;
mod vector;
mod ymm;
mod zmm;

pub(crate) use self::ymm::Ymm;
pub(crate) use self::zmm::Zmm;

/// A width of vectors for which there are keys.
pub(crate) trait Width: Vector {
    /// The expanded key, if it is one for these vectors.
    fn key(schedule: &key::Schedule) -> Option<&Key<Self>>;

    /// Does the jobs that are paired, of so many vectors. Gives how many, and the one that had no
    /// other.
    fn pairs<J: Job<Self>, const ROUNDS: usize, const VECTORS: usize>(
        token: Self::Token,
        jobs: &mut [J],
    ) -> (usize, Option<&mut J>);
}

impl Width for Zmm {
    #[inline(always)]
    fn key(schedule: &key::Schedule) -> Option<&Key<Self>> {
        match schedule {
            key::Schedule::Vaes512(key) => Some(key),
            _ => None,
        }
    }

    fn pairs<J: Job<Self>, const ROUNDS: usize, const VECTORS: usize>(
        token: Self::Token,
        jobs: &mut [J],
    ) -> (usize, Option<&mut J>) {
        Self::run(token, Pairs::<J, ROUNDS, VECTORS>(jobs))
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

    fn pairs<J: Job<Self>, const ROUNDS: usize, const VECTORS: usize>(
        token: Self::Token,
        jobs: &mut [J],
    ) -> (usize, Option<&mut J>) {
        Self::run(token, Abreast::<J, ROUNDS, VECTORS>(jobs))
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

    /// Asks the CPU to fetch what a packet of so many octets of text needs of the schedule.
    #[inline]
    pub(crate) fn prefetch(&self, text_len: usize) {
        self.schedule.lines(text_len).iter().for_each(zmm::prefetch);
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
    let Some(token) = jobs.iter().find_map(J::own_key).map(|key| key.token) else { return 0 };
    let (mut done, mut tried) = (0, [0_u8; 2]);
    for at in 0..jobs.len() {
        let Some((algorithm, shape)) = jobs[at].kind() else { continue };
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
        Shape::Paired(vectors) => {
            let (done, odd) = match vectors {
                1 => V::pairs::<J, ROUNDS, 1>(token, jobs),
                _ => V::pairs::<J, ROUNDS, PAIRED_MAX>(token, jobs),
            };
            let Some(odd) = odd else { return done };
            done + V::run(token, Stream::<J, ROUNDS, false>(slice::from_mut(odd)))
        }
        Shape::Streamed => V::run(token, Stream::<J, ROUNDS, false>(jobs)),
        Shape::Jumbo => V::run(token, Stream::<J, ROUNDS, true>(jobs)),
    }
}

impl<V: Width> Job<V> for SealJob<'_> {
    const SEAL: bool = true;

    #[inline(always)]
    fn key(&self) -> &key::Key {
        self.key
    }

    #[inline(always)]
    fn buffer(&self) -> &[u8] {
        self.buffer
    }

    #[inline(always)]
    fn packet(&mut self) -> Option<Packet<'_>> {
        packet::<V>(self.key, &self.nonce, &self.aad, self.buffer)
    }

    #[inline(always)]
    fn conclude(&mut self, tag: V) {
        // Empty from here on: nothing is sealed twice.
        if let Some(icv) = mem::take(&mut self.buffer).last_chunk_mut() {
            tag.store_low(icv);
        }
    }
}

impl<V: Width> Job<V> for OpenJob<'_> {
    const SEAL: bool = false;

    #[inline(always)]
    fn key(&self) -> &key::Key {
        self.key
    }

    #[inline(always)]
    fn buffer(&self) -> &[u8] {
        self.buffer
    }

    #[inline(always)]
    fn packet(&mut self) -> Option<Packet<'_>> {
        packet::<V>(self.key, &self.nonce, &self.aad, self.buffer)
    }

    #[inline(always)]
    fn conclude(&mut self, difference: V) {
        OpenJob::conclude(self, difference.low_is_zero());
    }
}

#[inline(always)]
fn packet<'a, V: Width>(
    key: &'a key::Key,
    nonce: &'a Block,
    aad: &'a Aad,
    buffer: &'a mut [u8],
) -> Option<Packet<'a>> {
    let key = &V::key(&key.schedule)?.schedule;
    let (text, icv) = buffer.split_last_chunk_mut()?;
    let (aad_len, aad) = (aad.as_slice().len(), aad.padded());
    Some(Packet { key, nonce, aad, aad_len, text, icv })
}
