//! What packets through whole gateways do not show: batches that are with a device at the same
//! time, and packets that it spoils.

use std::sync::atomic::{AtomicU32, Ordering};

use aead::{Aad, Algorithm, Backend, Key, OpenJob};
use dpdk::crypto::{CryptoConfig, CryptoDevice, Direction};
use dpdk::{Eal, Mempool, MempoolConfig};

use super::super::{BATCH, Cipher};
use super::*;

const SPI: u32 = 0x1001;
const MATERIAL: [u8; 20] = *b"sixteen octets ksalt";
/// Header and IV, 20 octets of text, ICV.
const LEN: usize = ESP_IV + 20 + ICV_LEN;

struct Rig {
    cipher: Cipher,
    seal: DeviceKey,
    open: DeviceKey,
    pool: Mempool,
}

static RIGS: AtomicU32 = AtomicU32::new(0);

/// None, and a word, without the driver.
fn rig(descriptors: u16) -> Option<Rig> {
    let eal = Eal::for_tests();
    let name = format!("crypto_aesni_gcm_lane{}", RIGS.fetch_add(1, Ordering::Relaxed));
    let config = CryptoConfig { queues: 1, descriptors, sessions: 4 };
    let (device, mut queues) = match CryptoDevice::attach(eal, &name, &config) {
        Err(dpdk::Error::NoSuchDevice(_)) => {
            eprintln!("skipped: no driver for {name}");
            return None;
        }
        attached => attached.unwrap(),
    };
    let key = |direction| DeviceKey::new(&device, direction, &MATERIAL, true).unwrap();
    let config = MempoolConfig { mbufs: 2047, cache: 0, ..MempoolConfig::default() };
    Some(Rig {
        cipher: Cipher::new(Vec::new(), queues.pop(), 10_000, BATCH),
        seal: key(Direction::Encrypt),
        open: key(Direction::Decrypt),
        pool: Mempool::new(eal, &name, config).unwrap(),
    })
}

impl Rig {
    /// ESP packets to be sealed, numbered from `first` on.
    fn packets(&self, first: u32, count: u32) -> Vec<Packet> {
        let packets = (first..first + count).map(|number| {
            let mut mbuf = self.pool.alloc().unwrap();
            let mut octets = [7; LEN];
            octets[..4].copy_from_slice(&SPI.to_be_bytes());
            octets[4..8].copy_from_slice(&number.to_be_bytes());
            octets[8..16].copy_from_slice(&u64::from(number).to_be_bytes());
            assert!(mbuf.write(&octets));
            let mut packet = Packet::new(mbuf);
            (packet.meta.l4, packet.meta.sa, packet.meta.lane) = (0, 5, number);
            packet
        });
        packets.collect()
    }

    /// Deals a batch with this key; whether the device took it.
    fn deal(&mut self, mut packets: Vec<Packet>, work: Work, key: Option<&DeviceKey>) -> bool {
        let mut batch = self.cipher.batch(work, &mut packets).unwrap();
        assert!(packets.is_empty());
        if work == Work::Open {
            let checked = |p: &Packet| Opened::Checked(p.meta.lane.into());
            batch.opened.extend(batch.packets.iter().map(checked));
        }
        // Odd packets have no session if `key` is none.
        let (seal, all) = (self.seal.clone(), key);
        let dealt = self.cipher.deal(batch, |packet, opened| {
            assert_eq!(opened.is_some(), work == Work::Open);
            let key = all.or((packet.meta.lane % 2 == 0).then_some(&seal))?;
            Op::new(key, packet, SPI, Some(0))
        });
        match dealt {
            Ok(()) => true,
            Err(batch) => {
                assert!(batch.places.is_empty() && batch.away == 0);
                self.cipher.done(batch);
                false
            }
        }
    }
}

fn numbers(packets: &[Packet]) -> Vec<u32> {
    packets.iter().map(|packet| packet.meta.lane).collect()
}

/// Whether the packet is one that `packets` made, sealed.
fn is_sealed(packet: &mut Packet) -> bool {
    let key = Key::new(Algorithm::Aes128Gcm16, Backend::Ring, &MATERIAL).unwrap();
    let number = packet.meta.lane;
    let buffer = &mut packet.mbuf.data_mut().unwrap()[ESP_IV..];
    let aad = Aad::esn(SPI, 0, number);
    let mut jobs = [OpenJob::new(&key, u64::from(number).to_be_bytes(), aad, buffer)];
    aead::open(&mut jobs);
    jobs[0].verified() && packet.mbuf.data()[ESP_IV..ESP_IV + 20] == [7; 20]
}

#[test]
fn batches_that_are_there_together_come_back_in_turn() {
    let Some(mut rig) = rig(1023) else { return };
    let key = rig.seal.clone();
    let mut first = 0;
    for size in [64, 1, 40, 64, 7, 2, 64, 33] {
        let packets = rig.packets(first, size);
        assert!(rig.deal(packets, Work::Seal, Some(&key)));
        first += size;
    }
    // The ninth is the owner's, and waits for its turn.
    let packets = rig.packets(first, 10);
    assert!(!rig.deal(packets, Work::Seal, Some(&key)));
    assert_eq!(rig.cipher.waiting(), first as usize + 10);
    let mut expected = 0;
    for size in [64, 1, 40, 64, 7, 2, 64, 33] {
        let mut batch = rig.cipher.collect().unwrap();
        assert!(numbers(&batch.packets).into_iter().eq(expected..expected + size));
        assert!(batch.packets.iter_mut().all(is_sealed));
        assert!(batch.unsealed.is_empty() && batch.failed.is_empty());
        expected += size;
        rig.cipher.recycle(batch);
    }
    let mut here = rig.cipher.collect().unwrap();
    assert!(numbers(&here.packets).into_iter().eq(first..first + 10));
    assert!(!here.packets.iter_mut().any(is_sealed), "the owner's work");
    assert_eq!(rig.cipher.waiting(), 0);
    assert!(rig.cipher.collect().is_none());
}

#[test]
fn a_batch_for_which_there_is_no_room_is_refused_whole() {
    let Some(mut rig) = rig(100) else { return };
    let key = rig.seal.clone();
    for (first, size, fits) in [(0, 64, true), (64, 40, false), (104, 36, true), (140, 1, false)] {
        let packets = rig.packets(first, size);
        assert_eq!(rig.deal(packets, Work::Seal, Some(&key)), fits, "{size} from {first} on");
    }
    let mut all = Vec::new();
    while let Some(mut batch) = rig.cipher.collect() {
        all.append(&mut batch.packets);
        rig.cipher.recycle(batch);
    }
    assert!(numbers(&all).into_iter().eq(0..141));
    drop(all);
    assert_eq!(rig.pool.in_use(), 0);
}

#[test]
fn packets_without_a_session_keep_their_places_and_are_named() {
    let Some(mut rig) = rig(1023) else { return };
    let packets = rig.packets(0, 9);
    assert!(rig.deal(packets, Work::Seal, None));
    let mut batch = rig.cipher.collect().unwrap();
    assert_eq!(numbers(&batch.packets), (0..9).collect::<Vec<_>>());
    assert_eq!(batch.unsealed, [(1, 5), (3, 5), (5, 5), (7, 5)]);
    for packet in &mut batch.packets {
        let done = packet.meta.lane % 2 == 0;
        assert_eq!(packet.meta.sa, if done { 5 } else { NONE });
        assert_eq!(is_sealed(packet), done);
    }
    rig.cipher.recycle(batch);
    // With none for the device at all, the batch is given back.
    let mut odd = rig.packets(0, 4);
    odd.retain(|packet| packet.meta.lane % 2 == 1);
    assert!(!rig.deal(odd, Work::Seal, None));
}

#[test]
fn what_a_device_spoils_is_not_sent() {
    let Some(mut rig) = rig(1023) else { return };
    // A session that opens fails where one that seals cannot.
    let key = rig.open.clone();
    let packets = rig.packets(0, 3);
    assert!(rig.deal(packets, Work::Seal, Some(&key)));
    let batch = rig.cipher.collect().unwrap();
    assert!(batch.packets.is_empty() && batch.unsealed.is_empty());
    assert_eq!(numbers(&batch.failed), [0, 1, 2]);
    assert!(batch.failed.iter().all(|packet| packet.mbuf.data()[ESP_IV..] == [0; 36]));
    assert_eq!(rig.cipher.waiting(), 0);
    rig.cipher.recycle(batch);
    assert_eq!(rig.pool.in_use(), 0);
}

#[test]
fn forged_packets_are_zero_and_genuine_ones_open() {
    let Some(mut rig) = rig(1023) else { return };
    let (seal, open) = (rig.seal.clone(), rig.open.clone());
    let packets = rig.packets(0, 8);
    assert!(rig.deal(packets, Work::Seal, Some(&seal)));
    let mut sealed = rig.cipher.collect().unwrap();
    let mut packets = std::mem::take(&mut sealed.packets);
    rig.cipher.recycle(sealed);
    packets[3].mbuf.data_mut().unwrap()[ESP_IV + 4] ^= 1;
    assert!(rig.deal(packets, Work::Open, Some(&open)));
    let batch = rig.cipher.collect().unwrap();
    for (packet, opened) in batch.packets.iter().zip(&batch.opened) {
        let (number, data) = (packet.meta.lane, packet.mbuf.data());
        match opened {
            Opened::Verified(sequence) => {
                assert_eq!((*sequence, &data[ESP_IV..ESP_IV + 20]), (number.into(), &[7; 20][..]));
            }
            Opened::Forged => assert_eq!((number, &data[ESP_IV..]), (3, &[0; 36][..])),
            other => panic!("{number}: {other:?}"),
        }
    }
    assert_eq!(batch.packets.len(), 8);
}

#[test]
fn a_failure_is_told_from_a_forgery() {
    let after = |status| {
        let mut opened = Opened::Checked(9);
        opened.tell(status);
        opened
    };
    assert!(matches!(after(CryptoStatus::Ok), Opened::Verified(9)));
    assert!(matches!(after(CryptoStatus::AuthenticationFailed), Opened::Forged));
    let failed = after(CryptoStatus::Error);
    assert!(matches!(failed, Opened::Refused(DropReason::CryptoDevice)));
}

#[test]
fn packets_on_their_way_when_the_stage_goes_are_freed() {
    let Some(mut rig) = rig(1023) else { return };
    let key = rig.seal.clone();
    for first in [0, 64] {
        let packets = rig.packets(first, 64);
        assert!(rig.deal(packets, Work::Seal, Some(&key)));
    }
    let Rig { cipher, pool, .. } = rig;
    assert_eq!(pool.in_use(), 128);
    drop(cipher);
    assert_eq!(pool.in_use(), 0);
}
