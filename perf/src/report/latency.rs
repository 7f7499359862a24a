//! What is reported of latency: percentiles, and the whole distribution for plots.

use serde::Serialize;

use crate::args::Load;
use crate::latency::Latencies;

/// Latency at a load, in microseconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LatencyReport {
    /// The share of the rate that was measured just before.
    pub load: Load,
    /// Millions of packets a second that were offered.
    pub offered_mpps: f64,
    /// Millions of packets a second that got through. When they are clearly fewer, the load was
    /// too much, and the latency is that of a queue that grows.
    pub carried_mpps: f64,
    /// Frames whose latency was recorded.
    pub frames: u64,
    /// The least.
    pub min_us: f64,
    /// Half of them are faster.
    pub p50_us: f64,
    /// 90 % are faster.
    pub p90_us: f64,
    /// 99 % are faster.
    pub p99_us: f64,
    /// 99.9 % are faster.
    pub p99_9_us: f64,
    /// 99.99 % are faster.
    pub p99_99_us: f64,
    /// The most.
    pub max_us: f64,
    /// Microseconds, and the share of frames that are not slower.
    #[serde(skip)]
    pub distribution: Vec<(f64, f64)>,
}

/// Steps of the distribution in each half of what is left of it.
const STEPS: u32 = 5;
const NANOSECONDS_PER_US: f64 = 1e3;

impl LatencyReport {
    pub(crate) fn of(load: Load, found: &Latencies) -> Self {
        let histogram = &found.histogram;
        let us = |nanoseconds: u64| nanoseconds as f64 / NANOSECONDS_PER_US;
        let at = |quantile| us(histogram.value_at_quantile(quantile));
        let steps = histogram.iter_quantiles(STEPS);
        Self {
            load,
            offered_mpps: found.offered_pps / 1e6,
            carried_mpps: found.carried_pps() / 1e6,
            frames: histogram.len(),
            min_us: us(histogram.min()),
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p99_9_us: at(0.999),
            p99_99_us: at(0.9999),
            max_us: us(histogram.max()),
            distribution: steps.map(|s| (us(s.value_iterated_to()), s.quantile())).collect(),
        }
    }

    /// Names and values, in microseconds, as people read them.
    pub(crate) fn percentiles(&self) -> [(&'static str, f64); 6] {
        [
            ("p50", self.p50_us),
            ("p90", self.p90_us),
            ("p99", self.p99_us),
            ("p99.9", self.p99_9_us),
            ("p99.99", self.p99_99_us),
            ("max", self.max_us),
        ]
    }
}
