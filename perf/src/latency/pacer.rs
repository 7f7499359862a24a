//! Who puts packets in when they are due.

use std::collections::VecDeque;

use dpdk::{Eal, Mbuf, Port, RxQueue, TxQueue};

use super::schedule::Schedule;
use crate::case::Case;
use crate::error::Error;
use crate::gateway::{Inlet, Pools, port_config, ring_pair};
use crate::source::Source;

/// Packets of one source, made beforehand: on time, they only have to be passed on.
///
/// ```text
/// off the clock   source [-> far gateway seals] -> ring port -> stock
/// on the clock    stock -> ring port of the gateway under test
/// ```
pub(super) struct Pacer {
    pub(super) way: usize,
    pub(super) source: Source,
    made: RxQueue,
    ingress: TxQueue,
    stock: VecDeque<Mbuf>,
    batch: Vec<Mbuf>,
    /// Packets passed on.
    released: u64,
    /// Frames of each packet.
    frames: usize,
    /// Packets that are passed on at a time.
    max: usize,
    _ports: [Port; 2],
}

impl Pacer {
    /// None if the source has nothing to send.
    pub(super) fn new(
        eal: &Eal,
        case: &Case,
        pools: &Pools,
        inlet: Inlet,
    ) -> Result<Option<Self>, Error> {
        let Inlet { way, share, port: mut ingress_port, .. } = inlet;
        let (near, mut far) = ring_pair(eal, case)?;
        let Some(source) = Source::new(eal, case, pools, near, (way, share))? else {
            return Ok(None);
        };
        let start = |port: &mut Port| port.start(&port_config(case, pools));
        let (made, ingress) = (start(&mut far)?.rx, start(&mut ingress_port)?.tx);
        let ends = made.into_iter().next().zip(ingress.into_iter().next());
        let (made, ingress) = ends.ok_or(Error::Setup("a port without queue"))?;
        Ok(Some(Self {
            way,
            source,
            made,
            ingress,
            stock: VecDeque::new(),
            batch: Vec::new(),
            released: 0,
            frames: case.frames_in(),
            max: case.feed(),
            _ports: [far, ingress_port],
        }))
    }

    /// Whether the next packets that are due at a time might not be there.
    pub(super) fn is_low(&self) -> bool {
        self.stock.len() < self.max * self.frames
    }

    /// Makes packets until there is a stock of `bursts`; returns how many. Fewer only if the pool
    /// is empty.
    pub(super) fn fill_up(&mut self, bursts: usize) -> u64 {
        let mut made = 0;
        let mut arrived = Vec::new();
        while self.stock.len() < bursts * self.max * self.frames {
            let fed = self.source.feed();
            if fed.packets == 0 {
                break;
            }
            made += fed.packets;
            while self.made.burst(&mut arrived, self.max) > 0 {
                self.stock.extend(arrived.drain(..));
            }
        }
        made
    }

    /// Passes on what is due.
    pub(super) fn release(&mut self, schedule: &Schedule, now: u64) {
        if self.batch.is_empty() {
            let there = self.stock.len() / self.frames;
            let due = schedule.count_due(now, self.released, self.max.min(there));
            self.batch.extend(self.stock.drain(..due * self.frames));
            self.released += due as u64;
        }
        // What does not fit the queue stays, and goes first the next time.
        if !self.batch.is_empty() {
            self.ingress.burst(&mut self.batch);
        }
    }
}
