//! A clock that a burst can be timed by, and how fast the core runs by it.

use std::hint::black_box;

#[cfg(target_arch = "x86_64")]
pub(crate) const UNIT: &str = "TSC cycles";
#[cfg(not(target_arch = "x86_64"))]
pub(crate) const UNIT: &str = "ns";

/// Waits for what comes before to be done.
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "the time-stamp counter has no safe reader")]
pub(crate) fn now() -> u64 {
    use std::arch::x86_64::{_mm_lfence, _rdtsc};
    // SAFETY: SSE2, which every x86-64 CPU has.
    unsafe { _mm_lfence() };
    // SAFETY: every x86-64 CPU has the instruction.
    unsafe { _rdtsc() }
}

#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn now() -> u64 {
    use std::sync::LazyLock;
    use std::time::Instant;
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    u64::try_from(START.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

const TRIES: usize = 5;
const STEPS: u64 = 30_000;
/// Core cycles of a step: three shifts and three exclusive ors, each of one cycle on every x86-64
/// and ARM core, and each waiting for the last.
const CYCLES_PER_STEP: u64 = 6;

/// Core clock cycles per tick of [`now`], right now: the best of some short tries, as being
/// interrupted only makes one look slow.
pub(crate) fn core_ratio() -> f64 {
    (0..TRIES).map(|_| one_try()).fold(0.0, f64::max)
}

fn one_try() -> f64 {
    let start = now();
    let mut x = black_box(0x9e37_79b9_7f4a_7c15_u64);
    for _ in 0..STEPS {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
    }
    black_box(x);
    (STEPS * CYCLES_PER_STEP) as f64 / (now() - start).max(1) as f64
}
