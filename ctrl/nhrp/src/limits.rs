//! How long and how many, and why.

use std::time::{Duration, Instant};

/// Waits for the answer to a registration: 1, 2, 4 … 64 s, as Cisco and FRR.
pub(crate) const RETRY_FIRST: Duration = Duration::from_secs(1);
pub(crate) const RETRY_LAST: Duration = Duration::from_secs(64);
/// A server is down after so many requests without an answer: 7 s of silence.
pub(crate) const TRIES_DOWN: u32 = 3;

/// The name of a server is looked up again after so long, since its address may have changed.
pub(crate) const LOOK_UP_AGAIN: Duration = Duration::from_secs(300);

/// A question is repeated after 1, 2, 4, 7, 7 … s, as FRR does, and given up after 30 s.
pub(crate) const ASK_AGAIN: [u64; 4] = [1, 2, 4, 7];
pub(crate) const GIVE_UP: Duration = Duration::from_secs(30);
/// A destination without a shorter way is not asked for again for so long: long enough to bound the
/// questions about busy flows, and the delay for a spoke that comes up.
pub(crate) const NEGATIVE: Duration = Duration::from_secs(10);
/// Destinations that are asked for, or have no shorter way. More have to wait: their packets go by
/// the hub meanwhile. So 10^6 indications make no more than this.
pub(crate) const QUESTIONS_MAX: usize = 1024;
/// Shortcuts: more than sites that one spoke talks to at a time.
pub(crate) const SHORTCUTS_MAX: usize = 4096;
/// Answers that are remembered, so as to be taken back when routes change.
pub(crate) const ANSWERS_MAX: usize = 8192;
/// A Purge Request is sent again after 1 and 2 s, and its reply awaited for 4 s more.
pub(crate) const RECALL_AGAIN: [u64; 3] = [1, 2, 4];
/// Purge Requests that wait for their reply. More are sent once: a change of many routes is told by
/// routing as well.
pub(crate) const RECALLS_MAX: usize = 1024;
/// A peer is told about the same pair of networks once in so long: Cisco's interval.
pub(crate) const REDIRECT_INTERVAL: Duration = Duration::from_secs(8);
/// Pairs that are remembered; beyond these nobody is told, until some are old.
pub(crate) const REDIRECTS_MAX: usize = 8192;
/// No answer or purge is for more than a /8.
pub(crate) const PREFIX_MIN: u8 = 8;

/// Registered bindings in all: as many hosts as a /16 has.
pub(crate) const REGISTERED_MAX: usize = 65_536;
/// Registered bindings of one NBMA address. A spoke has one or a few; many share one behind a
/// carrier's NAT; and nobody who has a password may fill the cache alone.
pub(crate) const REGISTERED_PER_NBMA_MAX: usize = 256;

/// Error Indications in the long run, and at once. They are a courtesy: a peer that needs them
/// repeats its mistake.
const ERROR_INTERVAL: Duration = Duration::from_millis(100);
const ERROR_BURST: u32 = 10;

/// Octets of a packet that an error quotes: it is known by its head.
pub(crate) const QUOTE_MAX: usize = 128;
/// Octets of the longest packet that is written: what each tunnel carries in one piece.
pub(crate) const PACKET_MAX: usize = 1280;

/// Hop count of what is sent: FRR's, and far above the number of hubs on any path.
pub(crate) const HOPS: u8 = 64;
/// Hop count of a registration: the server is the next hop.
pub(crate) const HOPS_REGISTRATION: u8 = 1;

/// Timers that one poll serves, so that it never holds up the control thread.
pub(crate) const POLL_MAX: usize = 512;

/// How many Error Indications may be sent: a token bucket, kept as the time when it is full again.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ErrorRate {
    full_at: Option<Instant>,
}

impl ErrorRate {
    /// Takes one; false if there is none.
    pub(crate) fn allow(&mut self, now: Instant) -> bool {
        let full_at = self.full_at.unwrap_or(now).max(now) + ERROR_INTERVAL;
        if full_at - now > ERROR_INTERVAL * ERROR_BURST {
            return false;
        }
        self.full_at = Some(full_at);
        true
    }
}
