//! A pair of queues, to a device and back, for one thread.

use std::cell::Cell;
use std::collections::VecDeque;
use std::marker::PhantomData;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{fmt, hint, mem};

use dpdk_sys as sys;

use super::device::Device;
use super::{CryptoDone, CryptoOp, OpError, RefusedOp, Session};
use crate::Error;

/// A queue pair of a crypto device, for one thread at a time. It keeps the device alive. Ops come
/// out in the order in which they went in, whatever the device does.
///
/// Dropped with ops on their way, it waits for them, and frees their packets.
pub struct CryptoQueue {
    device: Arc<Device>,
    index: u16,
    /// Slots without an op; the last is used next, since it is in the cache.
    idle: Vec<Slot>,
    /// Pushed, and not yet taken by the driver.
    pub(super) pushed: Vec<Slot>,
    /// How many ops the driver has.
    pub(super) in_driver: usize,
    /// Ops that are done, each in the place of its turn; null: not yet.
    done: Box<[Slot]>,
    /// The turn of the next op to go in.
    next_in: usize,
    /// The turn of the next op to come out.
    next_out: usize,
    /// Sessions of the ops from `next_out` to `next_in`, each with how many of them in a row have
    /// it: counting here costs less than counting handles, the more so if other cores do as well.
    sessions: VecDeque<(Session, usize)>,
    /// Where the slots come from.
    pool: NonNull<sys::rte_mempool>,
    not_sync: PhantomData<Cell<()>>,
}

/// The driver's from when it takes it until it gives it back, else this queue's alone.
type Slot = *mut sys::shim_crypto_op;

// SAFETY: slots and pool belong to the queue alone, and a driver does not care which thread uses
// one of its queues.
unsafe impl Send for CryptoQueue {}

impl CryptoQueue {
    pub(super) fn new(device: &Arc<Device>, index: u16, ops: u16) -> Result<Self, Error> {
        let name = device.object_name(&format!("q{index}"))?;
        let count = usize::from(ops);
        let mut idle: Vec<Slot> = vec![ptr::null_mut(); count];
        // SAFETY: the EAL is up, since `device` exists, and `idle` has room for `ops` pointers.
        let pool = unsafe { sys::shim_crypto_ops_create(name.as_ptr(), ops, idle.as_mut_ptr()) };
        let pool = NonNull::new(pool)
            .ok_or_else(|| Error::last("rte_crypto_op_pool_create", device.name()))?;
        Ok(Self {
            device: Arc::clone(device),
            index,
            idle,
            pushed: Vec::with_capacity(count),
            in_driver: 0,
            // A power of two, so that the place of a turn is a mask away, and turns may wrap.
            done: vec![ptr::null_mut(); count.next_power_of_two()].into(),
            next_in: 0,
            next_out: 0,
            sessions: VecDeque::with_capacity(count),
            pool,
            not_sync: PhantomData,
        })
    }

    /// The number of the queue pair in its device.
    #[must_use]
    pub fn index(&self) -> u16 {
        self.index
    }

    /// How many ops are on their way.
    #[inline]
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.next_in.wrapping_sub(self.next_out)
    }

    /// How many more ops there is room for.
    #[inline]
    #[must_use]
    pub fn room(&self) -> usize {
        self.idle.len()
    }

    /// Takes an op. The device sees it at [`Self::flush`], since drivers want bursts.
    ///
    /// # Errors
    /// [`RefusedOp`] gives the packet back: the queue is full, or the op one that no device could
    /// do, see [`OpError`].
    #[inline]
    pub fn push(&mut self, op: CryptoOp<'_>) -> Result<(), RefusedOp> {
        let place = match op.check() {
            Ok(_) if !op.session.belongs_to(&self.device) => Err(OpError::Session),
            checked => checked,
        };
        let (offset, length) = match place {
            Ok(place) => place,
            Err(reason) => return Err(RefusedOp { mbuf: op.mbuf, reason }),
        };
        let Some(slot) = self.idle.pop() else {
            return Err(RefusedOp { mbuf: op.mbuf, reason: OpError::Full });
        };
        match self.sessions.back_mut() {
            Some((last, count)) if last.is(op.session) => *count += 1,
            _ => self.sessions.push_back((op.session.clone(), 1)),
        }
        self.pushed.push(slot);
        // SAFETY: the slot is alive, and was idle.
        let slot = unsafe { &mut *slot };
        op.write_to(slot);
        slot.offset = offset;
        slot.length = length;
        slot.turn = self.next_in;
        self.next_in = self.next_in.wrapping_add(1);
        Ok(())
    }

    /// Gives the device what was pushed. What its driver has no room for now waits for the next
    /// call, or for [`Self::dequeue`].
    #[inline]
    pub fn flush(&mut self) {
        let mut sent = 0;
        while sent < self.pushed.len() {
            let rest = &mut self.pushed[sent..];
            let count = u16::try_from(rest.len()).unwrap_or(u16::MAX);
            // SAFETY: the device runs while this queue exists, no other handle has the queue pair,
            // and `rest` holds `count` ops that were written to, with sessions of the device.
            let taken = unsafe {
                sys::shim_crypto_enqueue_burst(
                    self.device.id(),
                    self.index,
                    rest.as_mut_ptr(),
                    count,
                )
            };
            let taken = usize::from(taken);
            sent += taken;
            self.in_driver += taken;
            let Some(&stopped_at) = rest.get(taken) else { continue };
            // SAFETY: the slot is alive, and the driver did not take it.
            let slot = unsafe { &*stopped_at };
            // A driver that has nothing cannot be full: it will never take this one.
            if slot.status == sys::SHIM_CRYPTO_NOT_PROCESSED && self.in_driver > 0 {
                break;
            }
            self.done[place(&self.done, slot.turn)] = stopped_at;
            sent += 1;
        }
        self.pushed.drain(..sent);
    }

    /// Appends up to `max` ops that are done to `out`, and returns how many.
    #[inline]
    pub fn dequeue(&mut self, out: &mut Vec<CryptoDone>, max: usize) -> usize {
        let before = out.len();
        let end = before.saturating_add(max);
        self.flush();
        self.release(out, end);
        loop {
            let wanted = self.in_driver.min(end - out.len()).min(BURST);
            let got = self.receive(wanted);
            self.release(out, end);
            if got < wanted || wanted == 0 {
                return out.len() - before;
            }
        }
    }

    /// Puts up to `wanted` ops that the driver gives back into the places of their turns.
    #[inline]
    fn receive(&mut self, wanted: usize) -> usize {
        let mut arrived = [ptr::null_mut(); BURST];
        let count = u16::try_from(wanted.min(BURST)).unwrap_or(u16::MAX);
        if count == 0 {
            return 0;
        }
        // SAFETY: the device runs while this queue exists, no other handle has the queue pair, and
        // `arrived` has room for `count` pointers.
        let got = unsafe {
            sys::shim_crypto_dequeue_burst(
                self.device.id(),
                self.index,
                arrived.as_mut_ptr(),
                count,
            )
        };
        let got = usize::from(got);
        for &slot in &arrived[..got] {
            // SAFETY: the slot is alive, and the driver gave it back.
            let turn = unsafe { (*slot).turn };
            self.done[place(&self.done, turn)] = slot;
        }
        self.in_driver -= got;
        got
    }

    /// Appends those that are done and whose turn it is to `out`, which is to have up to `end`.
    #[inline]
    fn release(&mut self, out: &mut Vec<CryptoDone>, end: usize) {
        while out.len() < end {
            let done = &mut self.done[place(&self.done, self.next_out)];
            let slot = mem::replace(done, ptr::null_mut());
            if slot.is_null() {
                return;
            }
            // SAFETY: the slot is alive, and a done one is this queue's alone.
            let written = unsafe { &*slot };
            // SAFETY: `push` wrote to it, and it leaves the done ones here.
            out.push(unsafe { CryptoDone::from_slot(written) });
            self.idle.push(slot);
            self.next_out = self.next_out.wrapping_add(1);
            if let Some((_, count)) = self.sessions.front_mut() {
                *count -= 1;
                if *count == 0 {
                    self.sessions.pop_front();
                }
            }
        }
    }
}

impl fmt::Debug for CryptoQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CryptoQueue")
            .field("device", &self.device.name())
            .field("index", &self.index)
            .field("in_flight", &self.in_flight())
            .field("room", &self.room())
            .finish_non_exhaustive()
    }
}

impl Drop for CryptoQueue {
    fn drop(&mut self) {
        let start = Instant::now();
        let mut back = Vec::new();
        while self.in_flight() > 0 {
            if self.dequeue(&mut back, BURST) == 0 {
                hint::spin_loop();
            }
            back.clear();
            if start.elapsed() > DRAIN_MAX {
                break;
            }
        }
        if self.in_flight() > 0 {
            // The device may still write to the packets: they are never given back, nor are the
            // device and the sessions.
            mem::forget(Arc::clone(&self.device));
            self.sessions.drain(..).for_each(mem::forget);
            return;
        }
        // SAFETY: all its ops are idle, and not used after this.
        unsafe { sys::rte_mempool_free(self.pool.as_ptr()) };
    }
}

#[inline]
fn place(done: &[Slot], turn: usize) -> usize {
    turn & (done.len() - 1)
}

/// How many ops are taken from a driver at once.
const BURST: usize = 64;

/// A device that keeps an op for longer will never give it back.
const DRAIN_MAX: Duration = Duration::from_secs(1);
