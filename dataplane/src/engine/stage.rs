//! What a stage is: a burst in, and each packet in exactly one of an output, a drop or a punt.

use std::sync::Arc;

use dpdk::Mbuf;

use crate::counters::StageCounters;
use crate::drops::DropReason;
use crate::packet::Packet;
use crate::tables::{InboundSa, OutboundSa, Tables};

use super::message::Event;

/// Most outputs that a stage may have.
pub const OUTPUTS_MAX: usize = 5;

/// A step of the packet path, placed on one core. It may keep state; nobody else sees it.
pub trait Stage: Send {
    /// Takes every packet of `input` and puts each in exactly one place of `out`. Stages that
    /// poll (`rx`) or flush (`tx`) are called in every turn, others only with packets.
    fn run(&mut self, context: &mut Context<'_>, input: &mut Vec<Packet>, out: &mut Outputs);

    /// Work that is due without packets, such as time-outs; called about once a millisecond.
    fn tick(&mut self, _context: &mut Context<'_>, _out: &mut Outputs) {}

    /// Takes over an SA, or gives it up; only the stages that own SA state are asked.
    fn apply(&mut self, _command: SaCommand, _context: &mut Context<'_>) {}

    /// Gives up packets that the stage holds back, as drops.
    fn clear(&mut self, _out: &mut Outputs) {}

    /// Called in every turn, even without packets.
    fn polls(&self) -> bool {
        false
    }
}

/// Changes to the SAs that a stage owns.
#[derive(Debug)]
pub enum SaCommand {
    /// Start to accept packets of this SA.
    InstallInbound(Arc<InboundSa>),
    /// Start to number packets of this SA: from 1, or on from where its last owner stopped.
    InstallOutbound(Arc<OutboundSa>),
    /// Forget the inbound SA in this slot.
    RetireInbound(u32),
    /// Forget the outbound SA in this slot.
    RetireOutbound(u32),
}

/// What a stage may look at while it runs.
#[derive(Debug)]
pub struct Context<'a> {
    /// The current snapshot.
    pub tables: &'a Tables,
    /// TSC at the start of the turn.
    pub now: u64,
    /// TSC ticks per second.
    pub ticks_per_second: u64,
    /// Index of this core among the worker cores: selects the shard of a counter.
    pub core: usize,
    /// To the control thread; never lost, so only for what is rare.
    pub events: &'a mut Vec<Event>,
}

/// Where a stage puts its packets.
#[derive(Debug)]
pub struct Outputs {
    pub(super) ports: [Vec<Packet>; OUTPUTS_MAX],
    pub(super) dropped: Vec<Mbuf>,
    pub(super) counters: Arc<StageCounters>,
    /// Packets that the stage made (received, copied, cut) less those that it keeps or sent.
    pub(super) made: i64,
}

impl Outputs {
    /// Empty outputs with room for bursts of `burst` packets.
    pub fn new(burst: usize, counters: Arc<StageCounters>) -> Self {
        Outputs {
            ports: std::array::from_fn(|_| Vec::with_capacity(burst * 4)),
            dropped: Vec::with_capacity(burst * 4),
            counters,
            made: 0,
        }
    }

    /// Passes the packet on by an output, an index from `topology`.
    #[inline]
    pub fn push(&mut self, output: usize, packet: Packet) {
        self.ports[output].push(packet);
    }

    /// Drops the packet for this one reason.
    #[inline]
    pub fn drop(&mut self, packet: Packet, reason: DropReason) {
        self.drop_mbuf(packet.mbuf, reason);
    }

    /// Drops a buffer that is no packet any more.
    #[inline]
    pub fn drop_mbuf(&mut self, mbuf: Mbuf, reason: DropReason) {
        self.counters.drops[reason as usize].add(1);
        self.dropped.push(mbuf);
    }

    /// Counts a drop for which there is no buffer, such as a copy that could not be made.
    #[inline]
    pub fn count_drop(&mut self, reason: DropReason) {
        self.counters.drops[reason as usize].add(1);
    }

    /// Frees a buffer that has served its purpose; not a drop.
    #[inline]
    pub fn consume(&mut self, packet: Packet) {
        self.dropped.push(packet.mbuf);
    }

    /// Says that the stage made (or, negative, keeps or sent) packets, for the debug balance.
    #[inline]
    pub fn made(&mut self, packets: i64) {
        self.made += packets;
    }

    /// Says how many packets the stage holds back now.
    #[inline]
    pub fn held(&mut self, packets: usize) {
        self.counters.held.set(packets as u64);
    }

    /// Packets waiting at an output; for tests of single stages.
    pub fn output(&mut self, output: usize) -> &mut Vec<Packet> {
        &mut self.ports[output]
    }

    /// Packets in all outputs and drops.
    pub(super) fn total(&self) -> usize {
        self.ports.iter().map(Vec::len).sum::<usize>() + self.dropped.len()
    }
}
