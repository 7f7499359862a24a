//! What only shows inside: memory of sessions, and drivers that fail or keep no order, which
//! DPDK's callbacks make of one that does neither.

use std::ffi::c_void;
use std::sync::Mutex;
use std::{ptr, slice};

use dpdk_sys as sys;

use super::{
    CryptoConfig, CryptoDevice, CryptoDone, CryptoOp, CryptoQueue, CryptoStatus, Direction, ICV_LEN,
};
use crate::{Eal, Error, Mempool, MempoolConfig};

/// What stands before the driver's part of a session.
const HEADER_LEN: usize = 64;

#[test]
fn a_session_that_is_gone_leaves_nothing_of_its_key() {
    const KEY: [u8; 16] = *b"sixteen octets k";
    for driver in ["crypto_aesni_gcm", "crypto_aesni_mb", "crypto_openssl"] {
        let name = format!("{driver}_wiped");
        let attached = CryptoDevice::attach(Eal::for_tests(), &name, &CryptoConfig::default());
        let (device, _queues) = match attached {
            Err(Error::NoSuchDevice(_)) => continue,
            attached => attached.unwrap(),
        };
        // SAFETY: the device exists.
        let len = unsafe { sys::rte_cryptodev_sym_get_private_session_size(device.0.id()) };
        for direction in [Direction::Encrypt, Direction::Decrypt] {
            let session = device.session(direction, &KEY, 8).unwrap();
            // SAFETY: the session's memory is at least that long.
            let start = unsafe { session.raw().cast::<u8>().add(HEADER_LEN) };
            // SAFETY: the pool has it, with and without the session, and nobody writes to it.
            let copy = || unsafe { slice::from_raw_parts(start, len as usize) }.to_vec();
            let before = copy();
            assert!(before.windows(16).any(|octets| octets == KEY), "{driver} keeps it elsewhere");
            let clone = session.clone();
            drop(session);
            assert_eq!(copy(), before);
            drop(clone);
            assert_eq!(copy(), vec![0; len as usize], "{driver}");
        }
    }
}

/// What a callback does to a burst: the ops, how many, and what it returns.
type Harm = fn(&mut [*mut sys::rte_crypto_op]) -> usize;

struct Rig {
    device: CryptoDevice,
    queue: CryptoQueue,
    pool: Mempool,
    // Read by the callbacks until the device is gone.
    harms: Box<[Mutex<Harm>; 2]>,
}

const NONE: Harm = |ops| ops.len();
const ENQUEUE: usize = 0;
const DEQUEUE: usize = 1;

unsafe extern "C" fn callback(
    _device: u16,
    _queue: u16,
    ops: *mut *mut sys::rte_crypto_op,
    count: u16,
    harm: *mut c_void,
) -> u16 {
    // SAFETY: it is one of the rig's, which are there as long as its device is.
    let harm = unsafe { &*harm.cast::<Mutex<Harm>>() };
    // SAFETY: DPDK says that there are so many.
    let ops = unsafe { slice::from_raw_parts_mut(ops, usize::from(count)) };
    let harm = *harm.lock().unwrap();
    harm(ops).try_into().unwrap()
}

fn rig(name: &str) -> Option<Rig> {
    let eal = Eal::for_tests();
    let config = CryptoConfig { descriptors: 200, ..CryptoConfig::default() };
    let attached = CryptoDevice::attach(eal, &format!("crypto_aesni_gcm_{name}"), &config);
    let (device, mut queues) = match attached {
        Err(Error::NoSuchDevice(_)) => return None,
        attached => attached.unwrap(),
    };
    let mut harms = Box::new([Mutex::new(NONE), Mutex::new(NONE)]);
    let [on_enqueue, on_dequeue] = &mut *harms;
    let (id, on_enqueue, on_dequeue) =
        (device.0.id(), ptr::from_mut(on_enqueue).cast(), ptr::from_mut(on_dequeue).cast());
    // SAFETY: the callback and its argument last longer than the device.
    let added = unsafe { sys::rte_cryptodev_add_enq_callback(id, 0, Some(callback), on_enqueue) };
    assert!(!added.is_null());
    // SAFETY: as above.
    let added = unsafe { sys::rte_cryptodev_add_deq_callback(id, 0, Some(callback), on_dequeue) };
    assert!(!added.is_null());
    let pool = Mempool::new(eal, name, MempoolConfig { cache: 0, ..Default::default() });
    Some(Rig { device, queue: queues.remove(0), pool: pool.unwrap(), harms })
}

impl Rig {
    fn set(&self, side: usize, harm: Harm) {
        *self.harms[side].lock().unwrap() = harm;
    }

    /// Pushes ops that are all alike but for their numbers, and flushes.
    fn push(&mut self, count: u64) {
        let session = self.device.session(Direction::Encrypt, &[1; 16], 8).unwrap();
        for user in 0..count {
            let mut mbuf = self.pool.alloc().unwrap();
            assert!(mbuf.write(&[7; 20 + ICV_LEN]));
            let (session, text, nonce, aad) = (&session, 0..20, [3; 12], &[4; 8][..]);
            self.queue.push(CryptoOp { session, mbuf, text, nonce, aad, user }).unwrap();
        }
        self.queue.flush();
    }

    /// All that comes back, in the right order.
    fn drain(&mut self) -> Vec<CryptoDone> {
        let mut done = Vec::new();
        for _ in 0..1000 {
            self.queue.dequeue(&mut done, 100);
        }
        assert_eq!(self.queue.in_flight(), 0);
        assert!(done.iter().map(|done| done.user).eq(0..done.len() as u64));
        done
    }
}

#[test]
fn order_is_kept_by_the_queue() {
    let Some(mut rig) = rig("reversed") else { return };
    rig.set(DEQUEUE, |ops| {
        ops.reverse();
        ops.len()
    });
    rig.push(200);
    // What comes first of the driver is out of its turn, so that others wait for it.
    let mut done = Vec::new();
    assert_eq!(rig.queue.dequeue(&mut done, 3), 3);
    assert!(done.iter().map(|done| done.user).eq(0..3));
    while rig.queue.dequeue(&mut done, 50) > 0 {}
    assert!(done.iter().map(|done| done.user).eq(0..200));
    assert!(done.iter().all(|done| done.status == CryptoStatus::Ok));
}

#[test]
fn what_a_driver_does_not_take_waits() {
    let Some(mut rig) = rig("partial") else { return };
    rig.set(ENQUEUE, |ops| ops.len().min(5));
    rig.push(23);
    assert_eq!((rig.queue.in_driver, rig.queue.pushed.len(), rig.queue.room()), (5, 18, 177));
    rig.queue.flush();
    assert_eq!((rig.queue.in_driver, rig.queue.pushed.len()), (10, 13));
    let done = rig.drain();
    assert_eq!(done.len(), 23);
    assert!(done.iter().all(|done| done.status == CryptoStatus::Ok));
    // Each was encrypted once, so all are alike.
    assert!(done.windows(2).all(|pair| pair[0].mbuf.data() == pair[1].mbuf.data()));
}

#[test]
fn ops_that_a_driver_refuses_come_back_as_failed() {
    let Some(mut rig) = rig("refusing") else { return };
    // What a driver has tried and failed to do may be half done, so it is not tried again.
    rig.set(ENQUEUE, |ops| {
        let Some(&third) = ops.get(2) else { return ops.len() };
        // SAFETY: the status is the second octet of an op, which the driver does not have yet.
        unsafe { third.cast::<u8>().add(1).write(5) };
        2
    });
    rig.push(11);
    assert_eq!((rig.queue.in_driver, rig.queue.in_flight()), (8, 11));
    for (user, done) in (0..).zip(rig.drain()) {
        let refused = [2, 5, 8].contains(&user);
        assert_eq!(done.status == CryptoStatus::Error, refused, "op {user}");
        assert_eq!(done.mbuf.data() == [0; 20 + ICV_LEN], refused, "op {user}");
    }
    assert_eq!(rig.pool.in_use(), 0);
}

#[test]
fn a_driver_that_has_nothing_and_takes_nothing_stops_nobody() {
    let Some(mut rig) = rig("stubborn") else { return };
    rig.set(ENQUEUE, |_| 0);
    rig.push(4);
    let done = rig.drain();
    assert_eq!(done.len(), 4);
    assert!(done.iter().all(|done| done.status == CryptoStatus::Error));
}

#[test]
fn what_a_dead_device_has_is_never_given_back() {
    let Some(mut rig) = rig("dead") else { return };
    rig.set(DEQUEUE, |_| 0);
    rig.push(10);
    let Rig { device, queue, pool, harms } = rig;
    drop(queue);
    assert_eq!((pool.in_use(), device.sessions_in_use()), (10, 1));
    drop(device);
    let name = "crypto_aesni_gcm_dead";
    let again = CryptoDevice::attach(Eal::for_tests(), name, &CryptoConfig::default());
    assert_eq!(again.unwrap_err(), Error::DeviceBusy(name.into()));
    // The device lives on, and with it the callbacks.
    Box::leak(harms);
}
