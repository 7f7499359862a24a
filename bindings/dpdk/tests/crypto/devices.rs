//! Attaching, and what cannot be.

use dpdk::crypto::{CryptoConfig, CryptoDevice, Direction};
use dpdk::{Eal, Error};

use super::{DRIVERS, each};

fn refused(device: &str, config: CryptoConfig) -> Error {
    CryptoDevice::attach(Eal::for_tests(), device, &config).unwrap_err()
}

#[test]
fn what_is_no_crypto_device_is_refused() {
    let config = CryptoConfig::default();
    let error = refused("crypto_nosuch0", config);
    assert_eq!(error, Error::NoSuchDevice("crypto_nosuch0".into()));
    assert_eq!(error.to_string(), "there is no device \"crypto_nosuch0\", or no driver for it");
    let error = refused("0000:ff:1f.7", config);
    assert_eq!(error, Error::NoSuchDevice("0000:ff:1f.7".into()));
    assert_eq!(refused("net_null_c", config), Error::NoCryptoDevice("net_null_c".into()));
    // It is there now, which changes nothing.
    assert_eq!(refused("net_null_c", config), Error::NoCryptoDevice("net_null_c".into()));
    assert!(matches!(refused("", config), Error::Name { .. }));
}

#[test]
fn a_device_without_aes_gcm_is_refused_and_let_go() {
    for _ in 0..3 {
        match refused("crypto_null_x", CryptoConfig::default()) {
            Error::NoSuchDevice(_) => return,
            error => assert_eq!(
                error.to_string(),
                "crypto device \"crypto_null_x\" (crypto_null) does no AES-GCM with a key of 16 \
                 octets and 8 of AAD"
            ),
        }
    }
}

#[test]
fn a_device_has_one_owner() {
    each("owner", CryptoConfig::default(), |rig| {
        let name = format!("{}_owner", rig.device.info().driver);
        assert!(DRIVERS.contains(&rig.device.info().driver.as_str()));
        assert_eq!(refused(&name, CryptoConfig::default()), Error::DeviceBusy(name));
    });
}

#[test]
fn numbers_beyond_the_device_are_refused() {
    let ok = CryptoConfig::default();
    each("numbers", ok, |rig| {
        let info = rig.device.info();
        assert_eq!((info.max_queues, info.max_sessions), (8, None));
        let name = format!("{}_beyond", info.driver);
        for wrong in [
            CryptoConfig { queues: 0, ..ok },
            CryptoConfig { queues: 9, ..ok },
            CryptoConfig { descriptors: 0, ..ok },
            CryptoConfig { descriptors: 1 << 15, ..ok },
            CryptoConfig { sessions: 0, ..ok },
            CryptoConfig { sessions: u32::MAX, ..ok },
        ] {
            assert!(matches!(refused(&name, wrong), Error::Range { .. }), "{wrong:?}");
        }
        // The openssl driver does not look at arguments that it does not know.
        if info.driver != "crypto_openssl" {
            let error = refused(&format!("{name},nonsense=1"), ok);
            assert!(matches!(error, Error::Dpdk { operation: "rte_dev_probe", .. }), "{error}");
        }
        let more = CryptoConfig { queues: 9, ..ok };
        let name = format!("{name},max_nb_queue_pairs=9");
        let (_, queues) = CryptoDevice::attach(Eal::for_tests(), &name, &more).unwrap();
        assert!(queues.iter().map(|queue| queue.index()).eq(0..9));
    });
}

#[test]
fn a_device_can_be_attached_again_with_other_numbers() {
    for (queues, descriptors) in [(1, 15), (3, 1023), (2, 4095), (1, 63)] {
        let config = CryptoConfig { queues, descriptors, sessions: 4 };
        each("again", config, |rig| {
            assert_eq!(rig.queues.len(), usize::from(queues));
            for queue in &rig.queues {
                assert_eq!(queue.room(), usize::from(descriptors));
            }
        });
    }
}

#[test]
fn the_device_lives_as_long_as_its_queues_and_sessions() {
    let eal = Eal::for_tests();
    each("lives", CryptoConfig::default(), |rig| {
        let name = format!("{}_inner", rig.device.info().driver);
        let again = || CryptoDevice::attach(eal, &name, &CryptoConfig::default());
        let (device, queues) = again().unwrap();
        let session = device.session(Direction::Decrypt, &[1; 32], 8).unwrap();
        drop(device);
        assert!(matches!(again(), Err(Error::DeviceBusy(_))));
        drop(queues);
        assert!(matches!(again(), Err(Error::DeviceBusy(_))));
        drop(session);
        assert!(again().is_ok());
    });
}

#[test]
fn sessions_are_as_many_as_was_said() {
    let config = CryptoConfig { sessions: 3, ..CryptoConfig::default() };
    each("sessions", config, |rig| {
        let new = || rig.device.session(Direction::Encrypt, &[7; 16], 12);
        let mut sessions: Vec<_> = (0..3).map(|_| new().unwrap()).collect();
        let error = new().unwrap_err();
        assert!(matches!(error, Error::NoSession { max: 3, .. }), "{error}");
        let clone = sessions[0].clone();
        sessions.remove(0);
        assert!(new().is_err(), "the clone holds it");
        drop(clone);
        assert_eq!(rig.device.sessions_in_use(), 2);
        assert!(new().is_ok());
    });
}

#[test]
fn keys_have_lengths_and_are_not_shown() {
    each("lengths_of_keys", CryptoConfig::default(), |rig| {
        for len in (0..=64).filter(|len| ![16, 32].contains(len)) {
            let error = rig.device.session(Direction::Encrypt, &vec![0xa7; len], 8).unwrap_err();
            assert!(matches!(&error, Error::NoAesGcm { key_len, .. } if *key_len == len));
            assert!(!error.to_string().contains("167"), "{error}");
        }
        for aad_len in 0..=16 {
            assert!(rig.device.session(Direction::Encrypt, &[0xa7; 16], aad_len).is_ok());
        }
        let error = rig.device.session(Direction::Encrypt, &[0xa7; 16], 17).unwrap_err();
        assert!(matches!(error, Error::Range { .. }), "{error}");
        let session = rig.device.session(Direction::Encrypt, &[0xa7; 16], 8).unwrap();
        let shown = format!("{session:?}");
        assert!(shown.contains("key_len: 16") && !shown.contains("167"), "{shown}");
    });
}
