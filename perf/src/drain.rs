//! Where packets end when there is one core: in a ring, from which they are freed in bulk.

use dpdk::{Eal, Mbuf, Port, RxQueue};

use crate::case::Case;
use crate::error::Error;
use crate::gateway::{Pools, receive_from, ring_pair};

/// Frees what leaves by one way, after each turn of the worker that sends. A NIC's driver frees in
/// bulk what was sent; the null port, one buffer at a time.
pub(crate) struct Drain {
    queue: RxQueue,
    frames: Vec<Mbuf>,
    _port: Port,
}

impl Drain {
    /// A port to send by, and what drains it.
    pub(crate) fn new(eal: &Eal, case: &Case, pools: &Pools) -> Result<(Port, Self), Error> {
        let (egress, mut port) = ring_pair(eal, case)?;
        let queue = receive_from(&mut port, case, pools)?;
        Ok((egress, Self { queue, frames: Vec::new(), _port: port }))
    }

    pub(crate) fn free(&mut self) {
        // Each frame is freed while it is in cache.
        while self.queue.burst(&mut self.frames, FRAMES_MAX) > 0 {
            Mbuf::free_bulk(&mut self.frames);
        }
    }
}

/// Frames that are freed at a time: what a driver's ring of sent frames frees, or more.
const FRAMES_MAX: usize = 256;
