//! tx: one transmit queue of a port.

use dpdk::{Mbuf, TxQueue};

use crate::drops::DropReason;
use crate::engine::stage::{Context, Outputs, Stage};
use crate::packet::Packet;

/// Turns for which a full queue may hold packets back: longer is a dead link, and old packets are
/// worth less than new ones.
const RETRIES: u32 = 8;

/// Feeds one queue.
pub struct Tx {
    queue: TxQueue,
    waiting: Vec<Mbuf>,
    /// Most packets that wait for a full queue.
    backlog: usize,
    retries: u32,
}

impl Tx {
    /// Sends on `queue`; `burst` packets is what may wait while it is full.
    pub fn new(queue: TxQueue, burst: usize) -> Self {
        Tx { queue, waiting: Vec::with_capacity(burst * 4), backlog: burst, retries: 0 }
    }
}

impl Stage for Tx {
    fn run(&mut self, _: &mut Context<'_>, input: &mut Vec<Packet>, out: &mut Outputs) {
        // Sent packets belong to the driver: they leave the balance here.
        out.made(-(input.len() as i64));
        self.waiting.extend(input.drain(..).map(|packet| packet.mbuf));
        if self.waiting.is_empty() {
            return;
        }
        let sent = self.queue.burst(&mut self.waiting);
        self.retries = if sent > 0 { 0 } else { self.retries + 1 };
        let keep = if self.retries > RETRIES { 0 } else { self.backlog };
        while self.waiting.len() > keep
            && let Some(mbuf) = self.waiting.pop()
        {
            out.made(1);
            out.drop_mbuf(mbuf, DropReason::TxFull);
        }
    }

    fn polls(&self) -> bool {
        !self.waiting.is_empty()
    }
}
