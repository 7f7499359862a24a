//! Every length, and every place of a packet in memory, against the portable back end.

use super::rng::Rng;
use super::{kinds, sealed};
use crate::{Aad, Algorithm, Backend, ICV_LEN, Key, OpenJob, SealJob};

/// Longer than any Ethernet packet; beyond it only some lengths.
const EVERY_LEN_MAX: usize = 2100;
/// Around the borders of blocks, vectors and groups, and where an octet of the counter is full.
const LONG_LENS: [usize; 10] = [4064, 4065, 4080, 4081, 4096, 8192, 9001, 16_000, 65_500, 65_519];
/// What surrounds a packet, to see that it stays.
const MARGIN: usize = 80;

#[test]
fn every_length_is_as_the_portable_back_end_has_it() {
    let mut rng = Rng::new(1);
    for len in (0..=EVERY_LEN_MAX).chain(LONG_LENS) {
        for (algorithm, backend) in kinds() {
            Sample::new(&mut rng, algorithm, len).check(backend, len % 64);
        }
    }
}

#[test]
fn every_alignment_is_as_the_portable_back_end_has_it() {
    let mut rng = Rng::new(2);
    for len in [0, 1, 15, 16, 17, 48, 52, 80, 112, 113, 144, 240, 241, 256, 271, 528, 1424] {
        for (algorithm, backend) in kinds() {
            let sample = Sample::new(&mut rng, algorithm, len);
            (0..64).for_each(|offset| sample.check(backend, offset));
        }
    }
}

/// A packet, and what must become of it.
struct Sample {
    algorithm: Algorithm,
    material: Vec<u8>,
    iv: [u8; 8],
    aad: Aad,
    text: Vec<u8>,
    packet: Vec<u8>,
}

impl Sample {
    fn new(rng: &mut Rng, algorithm: Algorithm, text_len: usize) -> Self {
        let (material, text) = (rng.octets(algorithm.material_len()), rng.octets(text_len));
        let iv = rng.number().to_ne_bytes();
        // Of every length that fits a block, not only those of ESP.
        let aad_len = rng.below(17);
        let aad = Aad::from_octets(&rng.octets(aad_len)).unwrap();
        let oracle = Key::new(algorithm, Backend::Portable, &material).unwrap();
        let packet = sealed(&oracle, iv, aad, &text);
        Self { algorithm, material, iv, aad, text, packet }
    }

    /// Seals, opens and refuses it where it begins `offset` octets behind a multiple of 64.
    fn check(&self, backend: Backend, offset: usize) {
        let key = Key::new(self.algorithm, backend, &self.material).unwrap();
        let (iv, aad, text_len) = (self.iv, self.aad, self.text.len());
        let mut memory = Memory::new(offset, text_len + ICV_LEN);
        memory.packet()[..text_len].copy_from_slice(&self.text);

        crate::seal(&mut [SealJob::new(&key, iv, aad, memory.packet()).unwrap()]);
        assert_eq!(memory.packet(), self.packet, "{backend}, {text_len} octets at {offset}");
        memory.check_margins();

        let mut jobs = [OpenJob::new(&key, iv, aad, memory.packet())];
        crate::open(&mut jobs);
        assert!(jobs[0].verified(), "{backend}, {text_len} octets at {offset}");
        assert_eq!(memory.packet()[..text_len], self.text);
        assert_eq!(memory.packet()[text_len..], self.packet[text_len..]);
        memory.check_margins();

        memory.packet().copy_from_slice(&self.packet);
        memory.packet()[text_len] ^= 1;
        let mut jobs = [OpenJob::new(&key, iv, aad, memory.packet())];
        crate::open(&mut jobs);
        assert!(!jobs[0].verified());
        assert!(memory.packet().iter().all(|&octet| octet == 0));
        memory.check_margins();
    }
}

/// A packet amid octets that are not its own.
struct Memory {
    octets: Vec<u8>,
    start: usize,
    len: usize,
}

impl Memory {
    fn new(offset: usize, len: usize) -> Self {
        let octets: Vec<u8> = (0..MARGIN + 128 + len + MARGIN).map(canary).collect();
        let aligned = octets.as_ptr().addr().next_multiple_of(64) - octets.as_ptr().addr();
        Self { octets, start: aligned + 64 + offset, len }
    }

    fn packet(&mut self) -> &mut [u8] {
        &mut self.octets[self.start..][..self.len]
    }

    fn check_margins(&self) {
        for (at, &octet) in self.octets.iter().enumerate() {
            let ours = (self.start..self.start + self.len).contains(&at);
            assert!(ours || octet == canary(at), "octet {at} beside the packet was written");
        }
    }
}

fn canary(at: usize) -> u8 {
    u8::try_from(at % 251).unwrap() ^ 0x5a
}
