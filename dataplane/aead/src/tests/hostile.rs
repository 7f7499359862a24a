//! Forged and broken packets, and jobs that are used wrongly.

use super::{keys, kinds, opened, sealed};
use crate::backend::portable;
use crate::{Aad, ICV_LEN, Key, OpenJob, SealJob};

const IV: [u8; 8] = [0, 0, 0, 0, 0, 0, 0, 9];
const SPI: u32 = 0x1001;

/// Lengths on both sides of the block borders that kernels care about.
const TEXT_LENS: [usize; 9] = [0, 1, 4, 15, 16, 17, 52, 64, 80];

#[test]
fn any_flipped_bit_of_the_packet_is_noticed() {
    for key in keys() {
        for len in TEXT_LENS {
            let aad = Aad::esp(SPI, 9);
            let packet = sealed(&key, IV, aad, &vec![0x33; len]);
            for bit in 0..packet.len() * 8 {
                let mut forged = packet.clone();
                forged[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(opened(&key, IV, aad, &forged), None, "bit {bit} of {len} octets");
            }
        }
    }
}

#[test]
fn any_changed_octet_of_a_long_packet_is_noticed() {
    for key in keys() {
        for len in [112, 113, 240, 241, 256, 496, 497, 752, 1424, 1431] {
            let aad = Aad::esn(SPI, 1, 9);
            let packet = sealed(&key, IV, aad, &vec![0x33; len]);
            for at in 0..packet.len() {
                let mut forged = packet.clone();
                forged[at] ^= 1 << (at % 8);
                assert_eq!(opened(&key, IV, aad, &forged), None, "octet {at} of {len}");
            }
            for len in 0..ICV_LEN {
                let cut = packet.len() - ICV_LEN + len;
                assert_eq!(opened(&key, IV, aad, &packet[..cut]), None, "ICV of {len} octets");
            }
        }
    }
}

#[test]
fn any_flipped_bit_beside_the_packet_is_noticed() {
    for (algorithm, backend) in kinds() {
        let material = vec![0x42; algorithm.material_len()];
        let key = Key::new(algorithm, backend, &material).unwrap();
        for aad in [Aad::esp(SPI, 9), Aad::esn(SPI, 1, 9)] {
            let packet = sealed(&key, IV, aad, b"thirty-two octets of plain text!");
            for forged in flips(aad.as_slice()) {
                let aad = Aad::from_octets(&forged).unwrap();
                assert_eq!(opened(&key, IV, aad, &packet), None);
            }
            for forged in flips(&IV) {
                let iv = forged.try_into().unwrap();
                assert_eq!(opened(&key, iv, aad, &packet), None);
            }
            for forged in flips(&material) {
                let key = Key::new(algorithm, backend, &forged).unwrap();
                assert_eq!(opened(&key, IV, aad, &packet), None);
            }
        }
    }
}

#[test]
fn the_high_half_of_the_sequence_number_is_authenticated() {
    for key in keys() {
        let packet = sealed(&key, IV, Aad::esn(SPI, 7, 9), b"text");
        assert!(opened(&key, IV, Aad::esn(SPI, 7, 9), &packet).is_some());
        for forged in [Aad::esn(SPI, 6, 9), Aad::esn(SPI, 8, 9), Aad::esp(SPI, 9)] {
            assert_eq!(opened(&key, IV, forged, &packet), None);
        }
        // Zero padding of the AAD to a block must not make the two forms alike.
        let packet = sealed(&key, IV, Aad::esn(SPI, 9, 0), b"text");
        assert_eq!(opened(&key, IV, Aad::esp(SPI, 9), &packet), None);
    }
}

#[test]
fn every_other_length_is_noticed() {
    for key in keys() {
        for len in TEXT_LENS {
            let aad = Aad::esp(SPI, 9);
            let mut packet = sealed(&key, IV, aad, &vec![0x33; len]);
            // A truncated ICV is among them, and what is shorter than an ICV.
            for truncated in 0..packet.len() {
                assert_eq!(opened(&key, IV, aad, &packet[..truncated]), None);
                assert_eq!(opened(&key, IV, aad, &packet[packet.len() - truncated..]), None);
            }
            packet.push(0);
            assert_eq!(opened(&key, IV, aad, &packet), None);
        }
    }
}

#[test]
fn a_buffer_longer_than_any_packet_is_not_opened() {
    for key in keys() {
        let aad = Aad::esp(SPI, 9);
        // Genuine but for its length; only below the job interface can it be made.
        let algorithm = key.algorithm();
        let oracle = portable::Key::new(algorithm, &vec![0x42; algorithm.key_len()]).unwrap();
        let nonce = *key.nonce(IV).first_chunk().unwrap();
        let genuine = |len: usize| {
            let mut text = vec![1; len - ICV_LEN];
            let icv = oracle.seal(nonce, aad.as_slice(), &mut text).unwrap();
            [&text[..], &icv].concat()
        };
        assert!(opened(&key, IV, aad, &genuine(65_535)).is_some());
        assert_eq!(opened(&key, IV, aad, &genuine(65_536)), None);
    }
}

#[test]
fn sealing_jobs_again_does_not_bring_the_plaintext_back() {
    for key in keys() {
        let (aad, mut buffer) = (Aad::esp(SPI, 9), [0x33; 48]);
        let mut jobs = [SealJob::new(&key, IV, aad, &mut buffer).unwrap()];
        crate::seal(&mut jobs);
        crate::seal(&mut jobs);
        assert_eq!(opened(&key, IV, aad, &buffer), Some(vec![0x33; 48 - ICV_LEN]));
    }
}

#[test]
fn opening_jobs_again_ends_unverified() {
    for key in keys() {
        let aad = Aad::esp(SPI, 9);
        let mut buffer = sealed(&key, IV, aad, b"text");
        let mut jobs = [OpenJob::new(&key, IV, aad, &mut buffer)];
        assert!(!jobs[0].verified());
        crate::open(&mut jobs);
        assert!(jobs[0].verified());
        crate::open(&mut jobs);
        assert!(!jobs[0].verified());
        assert_eq!(buffer, [0; 4 + ICV_LEN]);
    }
}

/// `octets` with one bit flipped, for each bit.
fn flips(octets: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    (0..octets.len() * 8).map(|bit| {
        let mut flipped = octets.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        flipped
    })
}
