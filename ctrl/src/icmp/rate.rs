//! How often: a rate limit of one thing, and one of many addresses in bounded memory.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

/// A rate limit with a burst: one event per `interval` in the long run, `burst` at once.
///
/// Kept as the time at which all that was taken has been earned (the generic cell rate algorithm),
/// so nothing has to be refilled and nothing is lost to rounding.
#[derive(Debug, Clone)]
pub struct Rate {
    interval: Duration,
    tolerance: Duration,
    earned_at: Option<Instant>,
}

impl Rate {
    /// A limit that has its whole burst. A burst of 0 counts as 1.
    #[must_use]
    pub const fn new(interval: Duration, burst: u32) -> Self {
        let tolerance = interval.saturating_mul(burst.saturating_sub(1));
        Self { interval, tolerance, earned_at: None }
    }

    /// Takes one event at `now`; false, and nothing taken, if it comes too soon.
    pub fn allow(&mut self, now: Instant) -> bool {
        let earned_at = self.earned_at.unwrap_or(now).max(now);
        if earned_at.duration_since(now) > self.tolerance {
            return false;
        }
        self.earned_at = Some(earned_at + self.interval);
        true
    }
}

/// How much of something there may be: ICMP, or events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Time between two for one address, in the long run.
    pub address_interval: Duration,
    /// So many for one address at once.
    pub address_burst: u32,
    /// Time between two for anyone, in the long run.
    pub total_interval: Duration,
    /// So many for anyone at once.
    pub total_burst: u32,
}

impl Limits {
    /// Errors: ten a second to one destination is three parallel traceroutes; a thousand in all
    /// stays below what a 10 Mbit/s spoke carries (RFC 1812 4.3.2.8, RFC 4443 2.4 f).
    pub const ERRORS: Self = Self {
        address_interval: Duration::from_millis(100),
        address_burst: 10,
        total_interval: Duration::from_millis(1),
        total_burst: 100,
    };
    /// Echo replies: monitoring pings often and in bursts, but an echo flood must not take the
    /// control thread's time from IKE and NHRP.
    pub const ECHO: Self = Self {
        address_interval: Duration::from_millis(5),
        address_burst: 200,
        total_interval: Duration::from_micros(500),
        total_burst: 1000,
    };
}

/// Slots of a [`Limiter`], each of some tens of octets. Addresses that share one share its rate:
/// that only ever allows less, and there is nothing that a flood of addresses could fill or evict.
const SLOTS: usize = 1024;

/// A rate limit per address and for all of them, in fixed memory.
#[derive(Debug)]
pub struct Limiter {
    slots: Box<[Rate]>,
    total: Rate,
    seed: u64,
}

impl Limiter {
    /// A limiter with all its bursts. The seed, unknown to others, keeps them from choosing
    /// addresses that share a slot with a victim.
    #[must_use]
    pub fn new(limits: Limits, seed: u64) -> Self {
        let slot = Rate::new(limits.address_interval, limits.address_burst);
        let total = Rate::new(limits.total_interval, limits.total_burst);
        Self { slots: vec![slot; SLOTS].into_boxed_slice(), total, seed }
    }

    /// Whether a packet may be sent to `destination` now. An IPv6 destination is its /64, as a host
    /// has all of those addresses.
    ///
    /// A destination that is over its own rate costs the others nothing.
    pub fn allow(&mut self, now: Instant, destination: IpAddr) -> bool {
        let host = match destination {
            IpAddr::V4(_) => destination,
            IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
        };
        self.allow_exact(now, host)
    }

    /// The same for what is not a host: each IPv6 address is one of its own.
    pub fn allow_exact(&mut self, now: Instant, address: IpAddr) -> bool {
        let slot = self.slot(address);
        // Decided on a copy, so that one which the total refuses is not charged either.
        let mut own = self.slots[slot].clone();
        let allowed = own.allow(now) && self.total.allow(now);
        if allowed {
            self.slots[slot] = own;
        }
        allowed
    }

    fn slot(&self, address: IpAddr) -> usize {
        let mut hasher = DefaultHasher::new();
        (self.seed, address).hash(&mut hasher);
        #[expect(clippy::cast_possible_truncation, reason = "any bits of the hash will do")]
        let hash = hasher.finish() as usize;
        hash % SLOTS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn millis(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[test]
    fn a_rate_gives_its_burst_and_then_one_per_interval() {
        let start = Instant::now();
        let mut rate = Rate::new(millis(100), 3);
        assert_eq!((0..10).filter(|_| rate.allow(start)).count(), 3);
        assert!(!rate.allow(start + millis(99)));
        assert!(rate.allow(start + millis(100)));
        assert!(!rate.allow(start + millis(100)));
        // An hour of silence earns the burst, and no more.
        let later = start + Duration::from_secs(3600);
        assert_eq!((0..10).filter(|_| rate.allow(later)).count(), 3);
    }

    proptest! {
        /// In any span a rate passes at most its burst and what the span earns; polled at its own
        /// pace it passes everything.
        #[test]
        fn a_rate_never_exceeds_its_limit(
            burst in 1..8_u32,
            steps in prop::collection::vec(0..40_u64, 1..200),
        ) {
            let start = Instant::now();
            let mut rate = Rate::new(millis(10), burst);
            let (mut at, mut passed) = (0, Vec::new());
            for step in steps {
                at += step;
                if rate.allow(start + millis(at)) {
                    passed.push(at);
                }
            }
            for (i, first) in passed.iter().enumerate() {
                for (j, last) in passed.iter().enumerate().skip(i) {
                    let most = u64::from(burst) + (last - first) / 10;
                    prop_assert!((j - i + 1) as u64 <= most);
                }
            }
        }
    }

    #[test]
    fn one_destination_does_not_use_up_the_total() {
        let now = Instant::now();
        let mut limiter = Limiter::new(Limits::ERRORS, 7);
        let flooder = "192.0.2.1".parse().unwrap();
        assert_eq!((0..10_000).filter(|_| limiter.allow(now, flooder)).count(), 10);
        assert!(limiter.allow(now, "192.0.2.2".parse().unwrap()));
    }

    #[test]
    fn all_destinations_together_have_a_limit() {
        let now = Instant::now();
        let mut limiter = Limiter::new(Limits::ERRORS, 7);
        let sent = (0..100_000_u32).filter(|&n| limiter.allow(now, IpAddr::V4(n.into()))).count();
        assert_eq!(sent, 100);
        // What the total refused did not cost the destination its own burst.
        let victim = IpAddr::V4(77_777.into());
        let later = now + millis(100);
        assert_eq!((0..100).filter(|_| limiter.allow(later, victim)).count(), 10);
    }

    #[test]
    fn an_ipv6_host_is_its_whole_64() {
        let now = Instant::now();
        let mut limiter = Limiter::new(Limits::ERRORS, 7);
        let net = 0x2001_0db8_u128 << 96;
        let hosts = (0..1000).map(|n| IpAddr::V6(Ipv6Addr::from_bits(net | n)));
        assert_eq!(hosts.filter(|&host| limiter.allow(now, host)).count(), 10);
    }
}
