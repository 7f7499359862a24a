//! A token bucket that counts time in TSC ticks: one multiplication a packet, no division, no
//! floating point.
//!
//! Credit is kept in units of which a tick earns `rate` and a token costs `ticks_per_second`, so
//! no fraction of a token is ever lost to rounding.

/// A rate limit with a burst, owned by one core.
#[derive(Clone, Debug)]
pub struct TokenBucket {
    credit: u64,
    capacity: u64,
    rate: u64,
    cost: u64,
    last: u64,
}

impl TokenBucket {
    /// A full bucket of `burst` tokens that gains `rate` tokens per second.
    ///
    /// A burst of 0 passes nothing; a rate of 0 passes the burst, and then nothing. A bucket holds
    /// at most 2^64 / `ticks_per_second` tokens, some 7·10^9 on usual machines.
    ///
    /// # Panics
    /// If `ticks_per_second` is 0: a clock that stands still limits nothing.
    #[must_use]
    pub fn new(rate_per_second: u64, burst: u64, ticks_per_second: u64) -> Self {
        assert!(ticks_per_second > 0, "the clock must tick");
        let capacity = burst.saturating_mul(ticks_per_second);
        Self { credit: capacity, capacity, rate: rate_per_second, cost: ticks_per_second, last: 0 }
    }

    /// Takes a token at time `now`, in ticks; false if there is none.
    ///
    /// Time never runs backwards: an earlier `now` than the latest one earns nothing and costs
    /// nothing.
    #[inline]
    pub fn take(&mut self, now: u64) -> bool {
        let has_one = self.has_one(now);
        if has_one {
            self.credit -= self.cost;
        }
        has_one
    }

    /// Whether there is a token at time `now`.
    #[inline]
    pub fn has_one(&mut self, now: u64) -> bool {
        let elapsed = now.saturating_sub(self.last);
        self.last = self.last.max(now);
        let earned = elapsed.saturating_mul(self.rate);
        self.credit = self.credit.saturating_add(earned).min(self.capacity);
        self.credit >= self.cost
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const HZ: u64 = 2_596_000_000;

    fn taken(bucket: &mut TokenBucket, now: u64, tries: u64) -> u64 {
        (0..tries).map(|_| u64::from(bucket.take(now))).sum()
    }

    #[test]
    fn starts_full_and_empties() {
        for start in [0, 1, HZ, u64::MAX] {
            assert_eq!(taken(&mut TokenBucket::new(100, 10, HZ), start, 20), 10);
        }
    }

    #[test]
    fn refills_at_the_rate_to_the_tick() {
        let mut bucket = TokenBucket::new(1000, 1, HZ);
        let start = 1 << 50;
        assert!(bucket.take(start));
        assert!(!bucket.take(start + HZ / 1000 - 1));
        assert!(bucket.take(start + HZ / 1000));
        assert!(!bucket.take(start + HZ / 1000));
    }

    #[test]
    fn loses_no_fraction_when_polled_at_every_tick() {
        // 3 tokens in 10 ticks, asked at each: an integer count of tokens would never refill.
        let mut bucket = TokenBucket::new(3, 2, 10);
        assert_eq!(taken(&mut bucket, 0, 3), 2);
        assert_eq!((1..=10_000).filter(|&now| bucket.take(now)).count(), 3000);
    }

    #[test]
    fn never_holds_more_than_the_burst() {
        let mut bucket = TokenBucket::new(1_000_000, 64, HZ);
        assert_eq!(taken(&mut bucket, 1, 100), 64);
        assert_eq!(taken(&mut bucket, 1 + 3600 * HZ, 100), 64);
    }

    #[test]
    fn time_running_backwards_earns_nothing() {
        let mut bucket = TokenBucket::new(1, 1, HZ);
        assert!(bucket.take(10 * HZ));
        for now in [0, 9 * HZ, 10 * HZ, 5 * HZ, 10 * HZ] {
            assert!(!bucket.take(now), "{now}");
        }
        assert!(bucket.take(11 * HZ));
    }

    #[test]
    fn nothing_of_a_zero_burst_and_only_the_burst_of_a_zero_rate() {
        assert_eq!(taken(&mut TokenBucket::new(u64::MAX, 0, HZ), u64::MAX, 5), 0);
        let mut bucket = TokenBucket::new(0, 3, HZ);
        assert_eq!(taken(&mut bucket, 0, 5), 3);
        assert_eq!(taken(&mut bucket, u64::MAX, 5), 0);
    }

    #[test]
    fn extreme_figures_saturate() {
        let mut bucket = TokenBucket::new(u64::MAX, u64::MAX, u64::MAX);
        assert!(bucket.take(0));
        assert!(!bucket.take(0));
        assert!(bucket.take(1));
        assert!(bucket.take(u64::MAX));
    }

    #[test]
    #[should_panic(expected = "the clock must tick")]
    fn a_clock_that_stands_still_is_a_bug() {
        let _ = TokenBucket::new(1, 1, 0);
    }

    proptest! {
        /// Against the same arithmetic in 128 bits.
        #[test]
        fn passes_what_an_exact_model_passes(
            rate in 0..5000_u64,
            burst in 0..20_u64,
            hz in 1..100_000_u64,
            steps in vec((0..2000_u64, any::<bool>()), 1..200),
        ) {
            let mut bucket = TokenBucket::new(rate, burst, hz);
            let full = u128::from(burst) * u128::from(hz);
            let (mut now, mut latest, mut credit) = (HZ, 0, full);
            for (step, backwards) in steps {
                now = if backwards { now - step } else { now + step };
                credit += u128::from(now.saturating_sub(latest)) * u128::from(rate);
                credit = credit.min(full);
                latest = latest.max(now);
                let passes = credit >= u128::from(hz);
                prop_assert_eq!(bucket.take(now), passes);
                credit -= u128::from(hz) * u128::from(passes);
            }
        }
    }
}
