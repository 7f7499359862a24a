//! What the machine does meanwhile: how fast the core's clock is, and who else wants the core.

use std::fs;

/// Core clock cycles per TSC cycle, right now.
///
/// A chain of operations of which each needs the one before takes a known number of core cycles.
/// The best of some short tries: being interrupted only makes one look slow.
pub(crate) fn clock_ratio() -> f64 {
    (0..TRIES).map(|_| one_try()).fold(0.0, f64::max)
}

/// How often the kernel took the core from this thread; none if it does not say.
pub(crate) fn preemptions() -> Option<u64> {
    let status = fs::read_to_string("/proc/thread-self/status").ok()?;
    let count = status.lines().find_map(|l| l.strip_prefix("nonvoluntary_ctxt_switches:"))?;
    count.trim().parse().ok()
}

const TRIES: usize = 5;
const STEPS: u64 = 30_000;
/// Core cycles of a step: three shifts and three exclusive ors, each of one cycle on every x86-64
/// and ARM core, and each waiting for the last.
const CYCLES_PER_STEP: u64 = 6;

fn one_try() -> f64 {
    let start = dpdk::tsc();
    let mut x = std::hint::black_box(0x9e37_79b9_7f4a_7c15_u64);
    for _ in 0..STEPS {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
    }
    std::hint::black_box(x);
    let ticks = dpdk::tsc().wrapping_sub(start).max(1);
    (STEPS * CYCLES_PER_STEP) as f64 / ticks as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_core_is_neither_ten_times_slower_nor_faster_than_its_tsc() {
        let ratio = clock_ratio();
        assert!((0.1..10.0).contains(&ratio), "{ratio}");
    }

    #[test]
    fn preemptions_are_known_on_linux_and_never_fall() {
        let before = preemptions().unwrap();
        assert!(preemptions().unwrap() >= before);
    }
}
