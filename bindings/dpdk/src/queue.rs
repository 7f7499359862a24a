//! Receive and transmit queues: the packet path's way to a port.

use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::Arc;

use dpdk_sys as sys;

use crate::port::Device;
use crate::{Mbuf, burst};

/// A receive queue of a running port, for one thread at a time. It keeps the port alive.
#[derive(Debug)]
pub struct RxQueue {
    queue: Queue,
}

/// A transmit queue of a running port, for one thread at a time. It keeps the port alive.
#[derive(Debug)]
pub struct TxQueue {
    queue: Queue,
}

#[derive(Debug)]
struct Queue {
    // Only kept: a port whose queues are held does not stop, and is not detached.
    _device: Arc<Device>,
    port: u16,
    index: u16,
    not_sync: PhantomData<Cell<()>>,
}

impl RxQueue {
    /// Appends up to `max` received packets to `out`, and returns how many. Vector drivers want a
    /// `max` of at least 32, in steps of 8.
    #[inline]
    pub fn burst(&mut self, out: &mut Vec<Mbuf>, max: usize) -> usize {
        let count = u16::try_from(max).unwrap_or(u16::MAX);
        let fill = |room| {
            // SAFETY: the port runs while this handle exists, no other handle has this queue, and
            // `room` holds `count` pointers.
            let got = unsafe { sys::shim_rx_burst(self.queue.port, self.queue.index, room, count) };
            usize::from(got)
        };
        // SAFETY: received packets are owned by the caller, and written to the front.
        unsafe { burst::take(out, usize::from(count), fill) }
    }

    /// The number of the queue in its port.
    #[must_use]
    pub fn index(&self) -> u16 {
        self.queue.index
    }

    pub(crate) fn new(device: &Arc<Device>, index: u16) -> Self {
        Self { queue: Queue::new(device, index) }
    }
}

impl TxQueue {
    /// Sends from the front of `packets`, and returns how many were taken. Those are gone from the
    /// vector; the rest stays, in order, for another try or to be dropped.
    #[inline]
    pub fn burst(&mut self, packets: &mut Vec<Mbuf>) -> usize {
        let send = |first, len: usize| {
            let count = u16::try_from(len).unwrap_or(u16::MAX);
            // SAFETY: the port runs while this handle exists, no other handle has this queue, and
            // `first` holds `count` packets.
            let sent =
                unsafe { sys::shim_tx_burst(self.queue.port, self.queue.index, first, count) };
            usize::from(sent)
        };
        // SAFETY: the driver owns the packets that it says it took.
        unsafe { burst::give(packets, send) }
    }

    /// The number of the queue in its port.
    #[must_use]
    pub fn index(&self) -> u16 {
        self.queue.index
    }

    pub(crate) fn new(device: &Arc<Device>, index: u16) -> Self {
        Self { queue: Queue::new(device, index) }
    }
}

impl Queue {
    fn new(device: &Arc<Device>, index: u16) -> Self {
        Self { _device: Arc::clone(device), port: device.id(), index, not_sync: PhantomData }
    }
}
