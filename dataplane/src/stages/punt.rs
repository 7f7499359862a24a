//! punt: the way to the control thread, rate limited by reason so that no flood of one kind keeps
//! the others away.

use strum::EnumCount;

use crate::bucket::TokenBucket;
use crate::drops::DropReason;
use crate::engine::ring::Producer;
use crate::engine::stage::{Context, Outputs, Stage};
use crate::packet::{Packet, PuntReason};

/// Packets a second that each core may punt of one kind, and the burst on top.
fn limit(reason: PuntReason) -> (u64, u64) {
    match reason {
        // The address table of a large segment may need to be learned at once.
        PuntReason::Arp | PuntReason::NeighborDiscovery => (5_000, 2_000),
        // Pings of the gateway, and protocols that are terminated on it.
        PuntReason::Local => (20_000, 2_000),
        // The spokes of a hub that has restarted register at once.
        PuntReason::Nhrp => (20_000, 10_000),
        PuntReason::Keepalive => (2_000, 1_000),
        // First packets of many hosts may wait for resolution at once.
        PuntReason::Unresolved => (10_000, 2_000),
        // RFC 1812 section 4.3.2.8 and RFC 4443 section 2.4(f): errors are rate limited.
        PuntReason::TtlExceeded | PuntReason::TooBig | PuntReason::NoRoute => (1_000, 200),
    }
}

/// Sends punted packets to the control thread.
pub struct Punt {
    ring: Producer<Packet>,
    staged: Vec<Packet>,
    buckets: Vec<TokenBucket>,
}

impl Punt {
    /// Punts into `ring`; `ticks_per_second` is the TSC's rate.
    pub fn new(ring: Producer<Packet>, ticks_per_second: u64) -> Self {
        let buckets = (0..PuntReason::COUNT).filter_map(PuntReason::from_repr).map(|reason| {
            let (rate, burst) = limit(reason);
            TokenBucket::new(rate, burst, ticks_per_second)
        });
        Punt { ring, staged: Vec::new(), buckets: buckets.collect() }
    }
}

impl Stage for Punt {
    fn run(&mut self, context: &mut Context<'_>, input: &mut Vec<Packet>, out: &mut Outputs) {
        for packet in input.drain(..) {
            if self.buckets[packet.meta.punt as usize].take(context.now) {
                self.staged.push(packet);
            } else {
                out.drop(packet, DropReason::PuntRate);
            }
        }
        let sent = self.ring.push_batch(&mut self.staged);
        out.made(-(sent as i64));
        for packet in self.staged.drain(..) {
            out.drop(packet, DropReason::PuntFull);
        }
    }
}
