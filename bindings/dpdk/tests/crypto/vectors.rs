//! Published vectors, which the `aead` crate has.

use std::collections::HashMap;

use dpdk::crypto::{CryptoConfig, Direction, ICV_LEN};

use super::{Job, Rig, each};

/// One record of NIST's form: lines of `Name = octets`.
type Record<'a> = HashMap<&'a str, &'a str>;

#[test]
fn nist_cavp() {
    let file = include_str!("../../../../dataplane/aead/src/tests/vectors/cavp.rsp");
    each("cavp", CryptoConfig::default(), |rig| assert_eq!(check(rig, file), (60, 40)));
}

#[test]
fn gcm_specification() {
    let file = include_str!("../../../../dataplane/aead/src/tests/vectors/gcm_spec.rsp");
    each("spec", CryptoConfig::default(), |rig| assert_eq!(check(rig, file), (6, 0)));
}

/// AAD of 8 and 12 octets.
#[test]
fn esp_draft() {
    let file = include_str!("../../../../dataplane/aead/src/tests/vectors/esp_draft.rsp");
    each("draft", CryptoConfig::default(), |rig| assert_eq!(check(rig, file), (13, 0)));
}

/// How many were to be accepted and refused.
fn check(rig: &mut Rig, file: &str) -> (usize, usize) {
    let mut tally = (0, 0);
    for record in records(file) {
        let field = |name| octets(record.get(name).copied().unwrap_or_default());
        let (key, ciphertext) = (field("Key"), field("CT"));
        let job = Job { nonce: field("IV").try_into().unwrap(), aad: field("AAD") };
        let icv: [u8; ICV_LEN] = field("Tag").try_into().unwrap();
        let decrypt = rig.session(Direction::Decrypt, &key, job.aad.len());
        let text = rig.open(&decrypt, &job, &ciphertext, icv);
        if record.contains_key("FAIL") {
            assert_eq!(text, None, "{record:?}");
            tally.1 += 1;
        } else {
            assert_eq!(text, Some(field("PT")), "{record:?}");
            let encrypt = rig.session(Direction::Encrypt, &key, job.aad.len());
            assert_eq!(rig.seal(&encrypt, &job, &field("PT")), (ciphertext, icv), "{record:?}");
            tally.0 += 1;
        }
    }
    tally
}

fn records(file: &str) -> Vec<Record<'_>> {
    file.split("\n\n")
        .map(|paragraph| {
            let lines = paragraph.lines().filter(|line| !line.starts_with(['#', '[']));
            lines
                .filter(|line| !line.is_empty())
                .map(|line| line.split_once('=').unwrap_or((line, "")))
                .map(|(name, value)| (name.trim(), value.trim()))
                .collect()
        })
        .filter(|record: &Record<'_>| record.contains_key("Key"))
        .collect()
}

fn octets(hex: &str) -> Vec<u8> {
    let digits: Vec<_> = hex.chars().map(|digit| digit.to_digit(16).unwrap()).collect();
    digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap()).collect()
}
