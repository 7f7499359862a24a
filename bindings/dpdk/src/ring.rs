//! DPDK's ring, for one producer and one consumer.

use std::ptr::NonNull;
use std::sync::Arc;

use dpdk_sys as sys;

use crate::error::{c_name, in_range};
use crate::{Eal, Error, Mbuf, burst};

/// A ring of `capacity` packets between two threads. Packets that are left in it when both ends
/// are gone are freed. The name, at most 28 octets, must be the only one of its kind.
///
/// # Errors
/// [`Error::Name`], [`Error::Range`], or DPDK's: the name exists, or memory is short.
pub fn mbuf_ring(
    eal: &Eal,
    name: &str,
    capacity: u32,
) -> Result<(RingSender, RingReceiver), Error> {
    let ring = Arc::new(Ring::new(eal, name, capacity)?);
    Ok((RingSender { ring: Arc::clone(&ring) }, RingReceiver { ring }))
}

/// The producer's end of a ring.
#[derive(Debug)]
pub struct RingSender {
    ring: Arc<Ring>,
}

/// The consumer's end of a ring.
#[derive(Debug)]
pub struct RingReceiver {
    ring: Arc<Ring>,
}

impl RingSender {
    /// Moves from the front of `packets` what there is room for, and returns how many.
    #[inline]
    pub fn push(&mut self, packets: &mut Vec<Mbuf>) -> usize {
        let send = |first: *mut *mut sys::rte_mbuf, len: usize| {
            let count = u32::try_from(len).unwrap_or(u32::MAX);
            // SAFETY: this is the ring's only producer, and `first` holds `count` pointers.
            let sent =
                unsafe { sys::shim_ring_sp_enqueue_burst(self.ring.raw(), first.cast(), count) };
            sent as usize
        };
        // SAFETY: the ring owns the packets that it says it took.
        unsafe { burst::give(packets, send) }
    }
}

impl RingReceiver {
    /// Appends up to `max` packets to `out`, and returns how many.
    #[inline]
    pub fn pop(&mut self, out: &mut Vec<Mbuf>, max: usize) -> usize {
        let count = u32::try_from(max).unwrap_or(u32::MAX);
        let fill = |room: *mut *mut sys::rte_mbuf| {
            // SAFETY: this is the ring's only consumer, and `room` holds `count` pointers.
            let got =
                unsafe { sys::shim_ring_sc_dequeue_burst(self.ring.raw(), room.cast(), count) };
            got as usize
        };
        // SAFETY: only packets are ever put in, and taking them out passes their ownership.
        unsafe { burst::take(out, count as usize, fill) }
    }

    /// How many packets wait.
    #[must_use]
    pub fn len(&self) -> usize {
        // SAFETY: the ring is alive.
        (unsafe { sys::shim_ring_count(self.ring.raw()) }) as usize
    }

    /// Whether no packet waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A ring that holds packets, and nothing else.
#[derive(Debug)]
pub(crate) struct Ring {
    raw: NonNull<sys::rte_ring>,
    // Its memory is the EAL's.
    _eal: Eal,
}

// SAFETY: the ring may be used from any thread; that there is one producer and one consumer is
// what its users see to.
unsafe impl Send for Ring {}
// SAFETY: as above.
unsafe impl Sync for Ring {}

impl Ring {
    pub(crate) fn new(eal: &Eal, name: &str, capacity: u32) -> Result<Self, Error> {
        let c_name = c_name(name, sys::SHIM_RING_NAMESIZE as usize)?;
        in_range("ring capacity", capacity, 1, RING_CAPACITY_MAX)?;
        // SAFETY: the EAL is up, since `eal` exists; the name outlives the call and is copied.
        let raw = unsafe {
            sys::rte_ring_create(
                c_name.as_ptr(),
                capacity,
                sys::SOCKET_ID_ANY,
                sys::SHIM_RING_SPSC_EXACT,
            )
        };
        let raw = NonNull::new(raw).ok_or_else(|| Error::last("rte_ring_create", name))?;
        Ok(Self { raw, _eal: eal.clone() })
    }

    pub(crate) fn raw(&self) -> *mut sys::rte_ring {
        self.raw.as_ptr()
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        let mut packet = std::ptr::null_mut();
        loop {
            // SAFETY: both ends are gone, so this is the only user; room for one pointer is given.
            let got = unsafe { sys::shim_ring_sc_dequeue_burst(self.raw(), &raw mut packet, 1) };
            let Some(packet) = NonNull::new(packet.cast()).filter(|_| got == 1) else { break };
            // SAFETY: it came out of the ring, which owned it.
            drop(unsafe { Mbuf::from_raw(packet) });
        }
        // SAFETY: made by `rte_ring_create`, and not used after this.
        unsafe { sys::rte_ring_free(self.raw()) };
    }
}

const RING_CAPACITY_MAX: u32 = (1 << 20) - 1;
