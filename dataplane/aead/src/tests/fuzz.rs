//! Random bursts, differentially: each back end against `ring` and `aes-gcm`.
//!
//! Runs for GREYHOUND_FUZZ_SECONDS seconds, 1 unless told, from GREYHOUND_FUZZ_SEED on. A failure
//! prints its seed: the same seed alone repeats it.

use std::env;
use std::time::{Duration, Instant};

use super::rng::Rng;
use super::{back_ends, opened, sealed};
use crate::{Aad, Algorithm, Backend, ICV_LEN, Key, OpenJob, SealJob};

#[test]
fn bursts_are_as_two_other_implementations_have_them() {
    let number = |name: &str| env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let budget = Duration::from_secs(number("GREYHOUND_FUZZ_SECONDS").unwrap_or(1));
    let first = number("GREYHOUND_FUZZ_SEED").unwrap_or(1);
    let start = Instant::now();
    for seed in first.. {
        println!("seed {seed}");
        one_burst(&mut Rng::new(seed));
        if start.elapsed() >= budget {
            return;
        }
    }
}

/// An SA with the same key for the back end under test and for the two oracles.
struct Sa {
    key: Key,
    oracles: [Key; 2],
}

impl Sa {
    fn new(rng: &mut Rng) -> Self {
        let (algorithm, backend) = (rng.pick(&Algorithm::ALL), rng.pick(&back_ends()));
        let material = rng.octets(algorithm.material_len());
        let key = |backend| Key::new(algorithm, backend, &material).unwrap();
        Self { key: key(backend), oracles: [Backend::Ring, Backend::Portable].map(key) }
    }
}

struct Packet<'a> {
    sa: &'a Sa,
    iv: [u8; 8],
    aad: Aad,
    buffer: Vec<u8>,
}

fn one_burst(rng: &mut Rng) {
    let sas: Vec<Sa> = (0..1 + rng.below(12)).map(|_| Sa::new(rng)).collect();
    let mut packets: Vec<Packet<'_>> = (0..rng.below(257)).map(|_| packet(rng, &sas)).collect();
    let texts: Vec<Vec<u8>> = packets.iter().map(|packet| packet.buffer.clone()).collect();

    let jobs = packets.iter_mut();
    let mut jobs: Vec<_> =
        jobs.map(|p| SealJob::new(&p.sa.key, p.iv, p.aad, &mut p.buffer).unwrap()).collect();
    crate::seal(&mut jobs);
    for (packet, text) in packets.iter_mut().zip(&texts) {
        let text = &text[..text.len() - ICV_LEN];
        for oracle in &packet.sa.oracles {
            assert_eq!(packet.buffer, sealed(oracle, packet.iv, packet.aad, text));
        }
        damage(rng, &mut packet.buffer);
    }

    let received: Vec<Vec<u8>> = packets.iter().map(|packet| packet.buffer.clone()).collect();
    let mut jobs: Vec<_> =
        packets.iter_mut().map(|p| OpenJob::new(&p.sa.key, p.iv, p.aad, &mut p.buffer)).collect();
    crate::open(&mut jobs);
    let verified: Vec<bool> = jobs.iter().map(OpenJob::verified).collect();
    for ((packet, received), verified) in packets.iter().zip(&received).zip(verified) {
        for oracle in &packet.sa.oracles {
            let text = opened(oracle, packet.iv, packet.aad, received);
            assert_eq!(verified, text.is_some());
            let left = text.unwrap_or_else(|| vec![0; received.len()]);
            assert_eq!(packet.buffer[..left.len()], left);
        }
    }
}

fn packet<'a>(rng: &mut Rng, sas: &'a [Sa]) -> Packet<'a> {
    let len_max = rng.pick(&[0, 16, 64, 128, 256, 600, 1600, 1600, 9000]);
    let len = rng.below(len_max + 1);
    let any_len = rng.below(17);
    let aad_len = rng.pick(&[8, 12, 12, any_len]);
    Packet {
        sa: &sas[rng.below(sas.len())],
        iv: rng.number().to_ne_bytes(),
        aad: Aad::from_octets(&rng.octets(aad_len)).unwrap(),
        buffer: rng.octets(len + ICV_LEN),
    }
}

/// What may happen to a packet on its way; mostly nothing.
fn damage(rng: &mut Rng, packet: &mut Vec<u8>) {
    match rng.below(12) {
        0 => {
            let at = rng.below(packet.len());
            packet[at] ^= 1 << rng.below(8);
        }
        1 => packet.truncate(rng.below(packet.len() + 1)),
        2 => packet.push(0),
        3 => packet.fill(0),
        _ => {}
    }
}
