//! Bursts of every size and mixture, with forgeries amid genuine packets.

use std::slice;

use super::rng::Rng;
use super::{keys, kinds, sealed};
use crate::{Aad, ICV_LEN, Key, OpenJob, SealJob};

/// The largest burst that a stage has.
const BURST_MAX: usize = 256;

#[test]
fn bursts_of_every_size_are_their_jobs_one_by_one() {
    let keys: Vec<Key> = keys().collect();
    for size in 0..=BURST_MAX {
        Burst::new(&mut Rng::new(size as u64), &keys, size, |rng| rng.below(300)).check();
    }
}

#[test]
fn shapes_may_change_from_packet_to_packet() {
    let keys: Vec<Key> = keys().collect();
    // One of each number of vectors and groups, in any order.
    let lens = [0, 1, 16, 17, 48, 49, 80, 112, 113, 144, 176, 177, 240, 241, 496, 497, 1424, 2000];
    for seed in 0..200 {
        let mut rng = Rng::new(seed);
        let size = 1 + rng.below(64);
        Burst::new(&mut rng, &keys, size, |rng| rng.pick(&lens)).check();
    }
}

#[test]
fn runs_of_one_key_and_length_are_done_whole() {
    for key in keys() {
        for len in [0, 52, 80, 144, 272, 1424] {
            for size in [1, 2, 3, 63, 64, 65, BURST_MAX] {
                let mut rng = Rng::new(len as u64);
                Burst::new(&mut rng, slice::from_ref(&key), size, |_| len).check();
            }
        }
    }
}

/// Packets of two vectors are done two by two, and otherwise if they have one key and half of a
/// vector is enough: they meet others of each such length, and of lengths and keys that part them.
#[test]
fn short_packets_meet_their_like_and_others() {
    let keys: Vec<Key> = keys().collect();
    for (seed, key) in keys.iter().enumerate() {
        let mut rng = Rng::new(seed as u64);
        for size in 0..100 {
            Burst::new(&mut rng, slice::from_ref(key), size, |rng| 49 + rng.below(32)).check();
            Burst::new(&mut rng, slice::from_ref(key), size, |rng| 44 + rng.below(60)).check();
        }
    }
    for pair in keys.windows(2) {
        let mut rng = Rng::new(7);
        for size in 0..100 {
            Burst::new(&mut rng, pair, size, |rng| 49 + rng.below(32)).check();
        }
    }
}

/// Two keys of one kind part a run as well.
#[test]
fn short_packets_of_two_keys_keep_apart() {
    for (algorithm, backend) in kinds() {
        let key = |octet| Key::new(algorithm, backend, &vec![octet; algorithm.material_len()]);
        let keys = [key(1).unwrap(), key(2).unwrap()];
        let mut rng = Rng::new(3);
        for size in 0..100 {
            Burst::new(&mut rng, &keys, size, |rng| 49 + rng.below(48)).check();
        }
    }
}

struct Burst<'a> {
    packets: Vec<Packet<'a>>,
}

struct Packet<'a> {
    key: &'a Key,
    iv: [u8; 8],
    aad: Aad,
    text: Vec<u8>,
    /// The octet to forge, if one is.
    forged: Option<usize>,
}

impl<'a> Burst<'a> {
    /// Of a third of the packets an octet is forged on the way.
    fn new(
        rng: &mut Rng,
        keys: &'a [Key],
        size: usize,
        mut len: impl FnMut(&mut Rng) -> usize,
    ) -> Self {
        let packets = (0..).take(size).map(|seq| {
            let text_len = len(rng);
            Packet {
                key: &keys[rng.below(keys.len())],
                iv: rng.number().to_ne_bytes(),
                aad: if rng.below(2) == 0 { Aad::esp(7, seq) } else { Aad::esn(7, 1, seq) },
                text: rng.octets(text_len),
                forged: (rng.below(3) == 0).then(|| rng.below(text_len + ICV_LEN)),
            }
        });
        Self { packets: packets.collect() }
    }

    fn check(&self) {
        let room = |packet: &Packet<'_>| [&packet.text[..], &[0xee; ICV_LEN]].concat();
        let mut buffers: Vec<_> = self.packets.iter().map(room).collect();
        let jobs = self.packets.iter().zip(&mut buffers);
        let mut jobs: Vec<_> =
            jobs.map(|(p, buffer)| SealJob::new(p.key, p.iv, p.aad, buffer).unwrap()).collect();
        crate::seal(&mut jobs);
        for (packet, buffer) in self.packets.iter().zip(&mut buffers) {
            assert_eq!(buffer, &sealed(packet.key, packet.iv, packet.aad, &packet.text));
            if let Some(at) = packet.forged {
                buffer[at] ^= 0x10;
            }
        }

        let jobs = self.packets.iter().zip(&mut buffers);
        let mut jobs: Vec<_> =
            jobs.map(|(p, buffer)| OpenJob::new(p.key, p.iv, p.aad, buffer)).collect();
        crate::open(&mut jobs);
        let verified: Vec<bool> = jobs.iter().map(OpenJob::verified).collect();
        for (number, packet) in self.packets.iter().enumerate() {
            assert_eq!(verified[number], packet.forged.is_none());
            let left = &buffers[number];
            if verified[number] {
                assert_eq!(left[..packet.text.len()], packet.text);
            } else {
                assert!(left.iter().all(|&octet| octet == 0));
            }
        }
    }
}
