//! When packets are due.

/// An open-loop schedule: packet i is due at its time, whatever became of those before it. So what
/// a gateway is late with counts as latency of every packet that had to wait, and not only of the
/// one that it was busy with (coordinated omission).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Schedule {
    /// TSC value at which packet 0 is due.
    start: u64,
    /// TSC ticks from one packet to the next, with [`FRACTION`] bits behind the point.
    interval: u64,
}

/// At 2.6 GHz and 100 Mpps, rounding is off by a microsecond after 10^10 packets.
const FRACTION: u32 = 32;

impl Schedule {
    /// `per_second` packets at even distances, at least one in two seconds.
    pub(super) fn new(start: u64, ticks_per_second: u64, per_second: f64) -> Self {
        let ticks = ticks_per_second as f64 / per_second;
        let interval = ticks * 2f64.powi(FRACTION.cast_signed());
        // Out of range it saturates, which is slower than anything that is asked for.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "as said")]
        let interval = interval as u64;
        Self { start, interval: interval.max(1) }
    }

    /// TSC value at which packet `number` is due.
    pub(super) fn due(&self, number: u64) -> u64 {
        let ticks = (u128::from(number) * u128::from(self.interval)) >> FRACTION;
        self.start.saturating_add(u64::try_from(ticks).unwrap_or(u64::MAX))
    }

    /// How many of the packets from `next` on, at most `max`, are due at `now`.
    pub(super) fn count_due(&self, now: u64, next: u64, max: usize) -> usize {
        (next..).take(max).take_while(|number| self.due(*number) <= now).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_due_at_even_distances_and_never_drift() {
        let schedule = Schedule::new(1_000, 2_600_000_000, 3_000_000.0);
        assert_eq!(schedule.due(0), 1_000);
        // 866.67 ticks each.
        assert_eq!([1, 2, 3].map(|n| schedule.due(n)), [1_866, 2_733, 3_599]);
        // After an hour it is exact to the microsecond.
        let packets = 3_000_000 * 3_600;
        let late = schedule.due(packets) - 1_000;
        assert!(late.abs_diff(2_600_000_000 * 3_600) < 2_600, "{late}");
    }

    #[test]
    fn due_is_due_whatever_happened_before() {
        let schedule = Schedule::new(100, 1_000, 100.0);
        assert_eq!(schedule.count_due(99, 0, 256), 0);
        assert_eq!(schedule.count_due(100, 0, 256), 1);
        assert_eq!(schedule.count_due(109, 1, 256), 0);
        assert_eq!(schedule.count_due(110, 1, 256), 1);
        // A pause of 1000 ticks makes 100 packets due at once, in bursts.
        assert_eq!(schedule.count_due(1_110, 2, 64), 64);
        assert_eq!(schedule.count_due(1_110, 66, 64), 36);
    }

    /// Simulated time: a server that takes 8 ticks a packet is offered one each 10, and stands
    /// still for 1000 ticks once. Counted from when packets were due, many are late; counted from
    /// when they were fed, as a closed loop would, one is.
    #[test]
    fn a_pause_is_seen_by_every_packet_that_waits() {
        let schedule = Schedule::new(0, 1_000, 100.0);
        let (mut now, mut late, mut late_if_fed) = (0, 0, 0);
        for number in 0..1_000 {
            now = schedule.due(number).max(now);
            let fed = now;
            now += if number == 500 { 1_000 } else { 8 };
            late += u64::from(now - schedule.due(number) > 20);
            late_if_fed += u64::from(now - fed > 20);
        }
        assert_eq!(late_if_fed, 1);
        // The one that waited 1000 ticks, and those behind it: 998, 996 … 22.
        assert_eq!(late, 1 + 489);
    }
}
