//! Counters: written by one core, read by anyone. Plain loads and stores, no locked instruction.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crossbeam_utils::CachePadded;

use crate::drops::DropReason;

/// A counter with a single writer.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`. Only the owning core may call this: two writers would lose counts.
    #[inline]
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// Sets a gauge. Only the owning core may call this.
    #[inline]
    pub fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }

    /// The count so far.
    #[inline]
    pub fn value(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Packets and octets.
#[derive(Debug, Default)]
pub struct TrafficCounts {
    /// Packets.
    pub packets: Counter,
    /// Octets of the inner IP packets.
    pub octets: Counter,
}

/// Counters are the same if they are one and the same, whatever they have counted.
impl PartialEq for TrafficCounts {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Eq for TrafficCounts {}

impl TrafficCounts {
    /// Counts one packet of `octets`.
    #[inline]
    pub fn count(&self, octets: usize) {
        self.packets.add(1);
        self.octets.add(octets as u64);
    }
}

/// Traffic of one core; a slice with one of these per core makes a sharded counter.
pub type Traffic = CachePadded<TrafficCounts>;

/// A sharded counter for `cores` cores.
pub fn traffic(cores: usize) -> Arc<[Traffic]> {
    (0..cores).map(|_| Traffic::default()).collect()
}

/// Packets and octets of all cores.
pub fn total(shards: &[Traffic]) -> (u64, u64) {
    shards.iter().fold((0, 0), |(packets, octets), shard| {
        (packets + shard.packets.value(), octets + shard.octets.value())
    })
}

/// What an SA has done; written by the core that owns it. One cache line.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct SaCounters {
    /// Packets and octets accepted or sent.
    pub traffic: TrafficCounts,
    /// Highest sequence number sent or accepted.
    pub sequence: Counter,
    /// Replays and packets left of the window.
    pub replays: Counter,
    /// Packets whose ICV did not verify.
    pub forgeries: Counter,
}

/// Counters of one stage on one core.
#[derive(Debug)]
pub struct StageCounters {
    /// Calls with at least one packet.
    pub calls: Counter,
    /// Packets in.
    pub packets: Counter,
    /// TSC cycles spent in those calls, and in bringing the packets there.
    pub cycles: Counter,
    /// Packets held back now, such as fragments that wait for others.
    pub held: Counter,
    /// Drops by reason.
    pub drops: [Counter; DropReason::COUNT],
}

impl Default for StageCounters {
    fn default() -> Self {
        StageCounters {
            calls: Counter::default(),
            packets: Counter::default(),
            cycles: Counter::default(),
            held: Counter::default(),
            drops: std::array::from_fn(|_| Counter::default()),
        }
    }
}
