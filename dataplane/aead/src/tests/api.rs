//! Names, sizes, errors, and what is printed.

use std::thread;

use super::{back_ends, opened, sealed};
use crate::{Aad, Algorithm, Backend, BufferError, ICV_LEN, Key, KeyError, OpenJob, SealJob};

#[test]
fn names_are_parsed_as_printed() {
    for algorithm in Algorithm::ALL {
        assert_eq!(algorithm.to_string().parse(), Ok(algorithm));
    }
    for backend in Backend::ALL {
        assert_eq!(backend.to_string().parse(), Ok(backend));
    }
    assert_eq!(Algorithm::Aes128Gcm16.to_string(), "aes128gcm16");
    assert_eq!(Algorithm::Aes256Gcm16.to_string(), "aes256gcm16");
    assert_eq!(Backend::ALL.map(Backend::name), ["vaes512", "vaes256", "ring", "portable"]);
    for name in ["", "AES128GCM16", "aes128gcm", "aes192gcm16", "aes128gcm16 "] {
        assert_eq!(name.parse::<Algorithm>().unwrap_err().to_string(), "unknown name");
        assert!(name.parse::<Backend>().is_err());
    }
}

#[test]
fn a_key_takes_material_of_one_length() {
    for (algorithm, material_len) in [(Algorithm::Aes128Gcm16, 20), (Algorithm::Aes256Gcm16, 36)] {
        for backend in back_ends() {
            for found_len in 0..=64 {
                let key = Key::new(algorithm, backend, &vec![7; found_len]);
                if found_len == material_len {
                    let key = key.unwrap();
                    assert_eq!((key.algorithm(), key.backend()), (algorithm, backend));
                } else {
                    assert_eq!(key.unwrap_err(), KeyError::Length { algorithm, found_len });
                }
            }
        }
    }
    assert_eq!(
        KeyError::Length { algorithm: Algorithm::Aes256Gcm16, found_len: 32 }.to_string(),
        "aes256gcm16 takes 36 octets (32 of key, 4 of salt), not 32"
    );
}

#[test]
fn a_key_is_made_for_available_back_ends_only() {
    let best = Backend::ALL.into_iter().find(|backend| backend.is_available());
    assert_eq!(Some(Backend::detect()), best);
    assert_eq!(Backend::default(), Backend::detect());
    assert!(Backend::Ring.is_available() && Backend::Portable.is_available());
    for backend in Backend::ALL {
        match Key::new(Algorithm::Aes128Gcm16, backend, &[7; 20]) {
            Ok(key) => assert!(backend.is_available() && key.backend() == backend),
            Err(error) => {
                assert!(!backend.is_available());
                assert_eq!(error, KeyError::Unavailable { backend });
            }
        }
        // What is wrong with the material is said first: no other machine would take it.
        let error = Key::new(Algorithm::Aes128Gcm16, backend, &[7; 19]).unwrap_err();
        assert!(matches!(error, KeyError::Length { found_len: 19, .. }));
    }
    assert_eq!(
        KeyError::Unavailable { backend: Backend::Vaes512 }.to_string(),
        "this CPU cannot run the vaes512 kernels"
    );
}

#[test]
fn debug_output_shows_nothing_of_key_and_packet() {
    for backend in back_ends() {
        let key = Key::new(Algorithm::Aes128Gcm16, backend, &[0xa7; 20]).unwrap();
        let aad = Aad::esp(1, 1);
        assert_eq!(format!("{key:?}"), "Key(Aes128Gcm16)");
        let mut text = [0xa7; 20];
        let job = SealJob::new(&key, [0; 8], aad, &mut text).unwrap();
        assert_eq!(format!("{job:?}"), "SealJob { key: Key(Aes128Gcm16), len: 20, .. }");
        let job = OpenJob::new(&key, [0; 8], aad, &mut text);
        let expected = "OpenJob { key: Key(Aes128Gcm16), len: 20, verified: false, .. }";
        assert_eq!(format!("{job:?}"), expected);
    }
}

#[test]
fn aad_is_in_the_order_of_rfc_4106() {
    assert_eq!(Aad::esp(0x0102_0304, 0x0506_0708).as_slice(), [1, 2, 3, 4, 5, 6, 7, 8]);
    let aad = Aad::esn(0x0102_0304, 0x0506_0708, 0x090a_0b0c);
    assert_eq!(aad.as_slice(), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
}

#[test]
fn a_buffer_to_seal_has_room_for_the_icv_and_fits_a_packet() {
    let key = Key::new(Algorithm::Aes128Gcm16, Backend::Ring, &[1; 20]).unwrap();
    for len in (0..ICV_LEN).chain([65_536]) {
        let mut buffer = vec![0; len];
        let refused = SealJob::new(&key, [0; 8], Aad::esp(1, 1), &mut buffer).unwrap_err();
        assert_eq!(refused, BufferError { len });
    }
    assert_eq!(
        BufferError { len: 3 }.to_string(),
        "cannot seal a buffer of 3 octets: 16 to 65535 are possible"
    );
    for backend in back_ends() {
        let key = Key::new(Algorithm::Aes128Gcm16, backend, &[1; 20]).unwrap();
        for len in [ICV_LEN, 65_535] {
            let (iv, aad, text) = ([0; 8], Aad::esp(1, 1), vec![3; len - ICV_LEN]);
            let packet = sealed(&key, iv, aad, &text);
            assert_eq!(opened(&key, iv, aad, &packet), Some(text));
        }
    }
}

#[test]
fn empty_bursts_are_no_work() {
    crate::seal(&mut []);
    crate::open(&mut []);
}

#[test]
fn jobs_fit_a_cache_line_and_keys_an_sa() {
    assert!(size_of::<Key>() <= 24);
    assert!(size_of::<SealJob<'_>>() <= 64);
    assert!(size_of::<OpenJob<'_>>() <= 64);
}

#[test]
fn cores_share_one_key() {
    for backend in back_ends() {
        let key = Key::new(Algorithm::Aes256Gcm16, backend, &[5; 36]).unwrap();
        let alone = sealed(&key, [1; 8], Aad::esp(256, 1), b"shared");
        let threads: Vec<_> = (0..4)
            .map(|_| key.clone())
            .map(|key| thread::spawn(move || sealed(&key, [1; 8], Aad::esp(256, 1), b"shared")))
            .collect();
        drop(key);
        for thread in threads {
            assert_eq!(thread.join().unwrap(), alone);
        }
    }
}
