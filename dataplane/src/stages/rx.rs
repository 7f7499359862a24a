//! rx: one receive queue of a port.

use dpdk::{Mbuf, RxQueue};

use crate::engine::stage::{Context, Outputs, Stage};
use crate::engine::topology::output::rx;
use crate::packet::{Meta, Packet};

/// Polls one queue.
pub struct Rx {
    queue: RxQueue,
    port: u16,
    burst: usize,
    received: Vec<Mbuf>,
}

impl Rx {
    /// Polls `queue` of `port` for up to `burst` packets a turn.
    pub fn new(queue: RxQueue, port: u16, burst: usize) -> Self {
        Rx { queue, port, burst, received: Vec::with_capacity(burst) }
    }
}

impl Stage for Rx {
    fn run(&mut self, _: &mut Context<'_>, _: &mut Vec<Packet>, out: &mut Outputs) {
        let received = self.queue.burst(&mut self.received, self.burst);
        out.made(received as i64);
        let arrived = Meta { port: self.port, ..Meta::default() };
        let packets = self.received.drain(..).map(|mbuf| {
            mbuf.prefetch();
            Packet { mbuf, meta: arrived }
        });
        out.extend(rx::OUT, packets);
    }

    fn polls(&self) -> bool {
        true
    }
}
