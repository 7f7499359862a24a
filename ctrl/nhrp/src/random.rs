//! Numbers that spread timers and request ids.

use std::time::Duration;

/// Splitmix64: it has to spread, not to resist.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) const fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (bits >> 32) as u32
    }

    /// Between nine tenths of a time and all of it: spread, yet never late.
    pub(crate) fn jitter(&mut self, time: Duration) -> Duration {
        time - time / 10 * (self.next() >> 16) / 0x1_0000
    }
}
