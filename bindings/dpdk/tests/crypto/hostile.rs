//! Forged packets, and ops that cannot be.

use dpdk::crypto::{CryptoConfig, CryptoOp, Direction, ICV_LEN, OpError};

use super::{Job, PREFIX, each, job, octets, opened, push, run, split};

const KEY: [u8; 32] = [0x42; 32];

#[test]
fn forged_packets_are_zeroed_and_disturb_no_others() {
    const OPS: u64 = 240;
    each("forged", CryptoConfig::default(), |rig| {
        let encrypt = rig.session(Direction::Encrypt, &KEY, 12);
        let decrypt = rig.session(Direction::Decrypt, &KEY, 12);
        let mut ops = Vec::new();
        for user in 0..OPS {
            let (mut job, text) = (job(user, 12), octets(user, 4 + user as usize * 5));
            let (mut ciphertext, mut icv) = rig.seal(&encrypt, &job, &text);
            // Four of five are forged, each in another way.
            let bit = 1 << (user % 8);
            let place = user as usize * 3;
            match user % 5 {
                0 => ciphertext[place % (4 + user as usize * 5)] ^= bit,
                1 => icv[place % ICV_LEN] ^= bit,
                2 => job.aad[place % 12] ^= bit,
                3 => job.nonce[place % 12] ^= bit,
                _ => {}
            }
            ops.push(rig.op(&decrypt, &job, &ciphertext, icv, user));
        }
        for done in run(&mut rig.queues[0], ops) {
            let genuine = done.user % 5 == 4;
            let icv = if genuine { split(&done.mbuf).1 } else { [0; ICV_LEN] };
            let text = octets(done.user, 4 + done.user as usize * 5);
            assert_eq!(opened(&done, icv), genuine.then_some(text), "op {}", done.user);
        }
    });
}

#[test]
fn any_flipped_bit_of_a_packet_is_noticed() {
    each("flipped", CryptoConfig::default(), |rig| {
        let encrypt = rig.session(Direction::Encrypt, &KEY, 8);
        let decrypt = rig.session(Direction::Decrypt, &KEY, 8);
        let (job, text) = (job(1, 8), octets(2, 52));
        let (ciphertext, icv) = rig.seal(&encrypt, &job, &text);
        for bit in 0..(52 + ICV_LEN) * 8 {
            let mut forged = [&ciphertext[..], &icv].concat();
            forged[bit / 8] ^= 1 << (bit % 8);
            let (forged, forged_icv) = forged.split_last_chunk().unwrap();
            assert_eq!(rig.open(&decrypt, &job, forged, *forged_icv), None, "bit {bit}");
        }
        assert_eq!(rig.open(&decrypt, &job, &ciphertext, icv), Some(text));
    });
}

#[test]
fn a_key_of_the_other_direction_or_of_another_session_opens_nothing() {
    each("keys", CryptoConfig::default(), |rig| {
        let encrypt = rig.session(Direction::Encrypt, &KEY, 8);
        let (job, text) = (job(1, 8), octets(2, 100));
        let (ciphertext, icv) = rig.seal(&encrypt, &job, &text);
        for byte in 0..32 {
            let mut key = KEY;
            key[byte] ^= 0x80;
            let decrypt = rig.session(Direction::Decrypt, &key, 8);
            assert_eq!(rig.open(&decrypt, &job, &ciphertext, icv), None);
        }
        // AAD of 8 octets is not AAD of 12 that ends with zeros.
        let padded = Job { aad: [&job.aad[..], &[0; 4]].concat(), ..job };
        let decrypt = rig.session(Direction::Decrypt, &KEY, 12);
        assert_eq!(rig.open(&decrypt, &padded, &ciphertext, icv), None);
    });
}

#[test]
fn packets_that_a_device_must_not_get_are_given_back() {
    each("refused", CryptoConfig::default(), |rig| {
        let session = rig.session(Direction::Encrypt, &KEY, 8);
        let mut queue = rig.queues.remove(0);
        let packet = || rig.packet(&[3; 40], [0; ICV_LEN]);
        let mut push = |mbuf, text, aad: &[u8]| {
            let op = CryptoOp { session: &session, mbuf, text, nonce: [1; 12], aad, user: 0 };
            queue.push(op).map_err(|refused| {
                assert_eq!(refused.mbuf.data()[..PREFIX.len()], PREFIX);
                refused.reason
            })
        };
        let whole = packet().len();
        let aad = [2; 8];
        for text in [0..whole - ICV_LEN, whole - ICV_LEN..whole - ICV_LEN, 0..0] {
            assert_eq!(push(packet(), text, &aad), Ok(()));
        }
        let reversed = std::ops::Range { start: 9, end: 8 };
        for text in [0..whole, 0..whole - ICV_LEN + 1, whole..whole, reversed, 0..usize::MAX] {
            let reason = push(packet(), text.clone(), &aad);
            assert_eq!(reason, Err(OpError::Range), "{text:?}");
        }
        for aad in [&[][..], &[2; 7], &[2; 9], &[2; 12], &[2; 17]] {
            assert_eq!(push(packet(), 0..8, aad), Err(OpError::AadLength));
        }
        let mut chain = packet();
        chain.chain(packet()).unwrap();
        assert_eq!(push(chain, 0..8, &aad), Err(OpError::Shared));
        let shared = packet();
        let clone = shared.clone_indirect(&rig.pool).unwrap();
        assert_eq!(push(shared, 0..8, &aad), Err(OpError::Shared));
        // With the other gone, it is its octets' only user, yet they are not its own.
        assert_eq!(push(clone, 0..8, &aad), Err(OpError::Shared));
        assert_eq!(queue.in_flight(), 3);
    });
}

#[test]
fn a_packet_shorter_than_an_icv_is_given_back() {
    each("short", CryptoConfig::default(), |rig| {
        let session = rig.session(Direction::Decrypt, &KEY, 8);
        for len in 0..ICV_LEN {
            let mut mbuf = rig.pool.alloc().unwrap();
            assert!(mbuf.write(&vec![1; len]));
            let (text, nonce, aad) = (0..0, [1; 12], &[2; 8][..]);
            let op = CryptoOp { session: &session, mbuf, text, nonce, aad, user: 0 };
            assert_eq!(rig.queues[0].push(op).unwrap_err().reason, OpError::Range);
        }
    });
}

#[test]
fn a_session_of_another_device_is_refused() {
    let config = CryptoConfig::default();
    each("elsewhere", config, |elsewhere| {
        each("here", config, |here| {
            let foreign = elsewhere.session(Direction::Encrypt, &KEY, 8);
            let op = here.op(&foreign, &job(1, 8), &[9; 30], [1; ICV_LEN], 1);
            let (reason, op) = push(&mut here.queues[0], op).unwrap_err();
            assert_eq!(reason, OpError::Session);
            assert_eq!(split(&op.mbuf), (vec![9; 30], [1; ICV_LEN]));
        });
    });
}
