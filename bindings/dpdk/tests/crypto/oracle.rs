//! Each driver against `ring`.

use dpdk::crypto::{CryptoConfig, CryptoStatus, Direction, ICV_LEN};
use ring::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

use super::{Job, each, job, octets, opened, run, split};

/// What `ring` makes of a text: ciphertext and ICV.
fn oracle(key: &[u8], job: &Job, text: &[u8]) -> (Vec<u8>, [u8; ICV_LEN]) {
    let algorithm = if key.len() == 16 { &AES_128_GCM } else { &AES_256_GCM };
    let key = LessSafeKey::new(UnboundKey::new(algorithm, key).unwrap());
    let nonce = Nonce::assume_unique_for_key(job.nonce);
    let mut text = text.to_vec();
    let tag = key.seal_in_place_separate_tag(nonce, Aad::from(&job.aad), &mut text).unwrap();
    (text, tag.as_ref().try_into().unwrap())
}

/// Both sides of each border of blocks, and all that a port sends.
fn lengths() -> impl Iterator<Item = usize> {
    (0..=300).chain((301..1480).step_by(13)).chain(1480..=1500)
}

#[test]
fn all_lengths_agree() {
    each("lengths", CryptoConfig::default(), |rig| {
        for (key_len, aad_len) in [(16, 8), (16, 12), (32, 8), (32, 12)] {
            let key = octets(key_len as u64, key_len);
            let encrypt = rig.session(Direction::Encrypt, &key, aad_len);
            let decrypt = rig.session(Direction::Decrypt, &key, aad_len);
            for len in lengths() {
                let (job, text) = (job(len as u64, aad_len), octets(7, len));
                let expected = oracle(&key, &job, &text);
                assert_eq!(rig.seal(&encrypt, &job, &text), expected, "{len} octets");
                let (ciphertext, icv) = expected;
                assert_eq!(rig.open(&decrypt, &job, &ciphertext, icv), Some(text), "{len} octets");
            }
        }
    });
}

#[test]
fn a_burst_of_many_sessions_and_both_directions() {
    const SESSIONS: usize = 300;
    const OPS: u64 = 900;
    let config = CryptoConfig { sessions: 2 * SESSIONS as u32, ..CryptoConfig::default() };
    each("many", config, |rig| {
        let sessions: Vec<_> = (0..SESSIONS)
            .map(|index| {
                let key = octets(index as u64, if index % 2 == 0 { 16 } else { 32 });
                let aad_len = if index % 3 == 0 { 8 } else { 12 };
                let [encrypt, decrypt] = [Direction::Encrypt, Direction::Decrypt]
                    .map(|direction| rig.session(direction, &key, aad_len));
                (key, aad_len, encrypt, decrypt)
            })
            .collect();
        assert_eq!(rig.device.sessions_in_use(), 2 * SESSIONS as u32);
        // Each op has a session, a direction, a length, nonce and AAD of its own.
        let case = |user: u64| {
            let session = &sessions[user as usize * 7 % SESSIONS];
            let text = octets(user, user as usize * 11 % 1500);
            (session, job(user, session.1), text)
        };
        let ops = (0..OPS).map(|user| {
            let ((key, _, encrypt, decrypt), job, text) = case(user);
            if user % 2 == 0 {
                return rig.op(encrypt, &job, &text, [0; ICV_LEN], user);
            }
            let (ciphertext, icv) = oracle(key, &job, &text);
            rig.op(decrypt, &job, &ciphertext, icv, user)
        });
        let ops = ops.collect();
        for done in run(&mut rig.queues[0], ops) {
            let ((key, ..), job, text) = case(done.user);
            let expected = oracle(key, &job, &text);
            if done.user % 2 == 0 {
                assert_eq!(done.status, CryptoStatus::Ok);
                assert_eq!(split(&done.mbuf), expected);
            } else {
                assert_eq!(opened(&done, expected.1), Some(text));
            }
        }
    });
}
