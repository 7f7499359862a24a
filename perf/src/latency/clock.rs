//! A clock that can be stopped, for threads that do something else meanwhile.
//!
//! ```text
//! threads   … turn | parked: make packets, record | turn …
//! clock     ------ >                              > ------
//! ```
//!
//! Between its turns a worker that runs to completion holds no packet, so that nothing happens to
//! any while the clock stands still.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// TSC ticks, less those for which it stood still.
pub(super) struct Clock {
    parked: Barrier,
    done: Barrier,
    wanted: AtomicBool,
    stopped_at: AtomicU64,
    /// TSC ticks for which it has stood still.
    stood: AtomicU64,
    /// TSC value at which all go on.
    go_on_at: AtomicU64,
    /// TSC ticks that threads need to wake up; none if there is one.
    wake_up: u64,
}

impl Clock {
    /// For so many threads, which need `wake_up` TSC ticks to wake up. It stands still until they
    /// have all stopped it for the first time.
    pub(super) fn new(threads: usize, wake_up: u64) -> Self {
        Self {
            parked: Barrier::new(threads),
            done: Barrier::new(threads),
            wanted: AtomicBool::new(false),
            stopped_at: AtomicU64::new(dpdk::tsc()),
            stood: AtomicU64::new(0),
            go_on_at: AtomicU64::new(0),
            wake_up: if threads > 1 { wake_up } else { 0 },
        }
    }

    /// What it shows, while it goes on.
    pub(super) fn now(&self) -> u64 {
        dpdk::tsc().saturating_sub(self.stood.load(Ordering::Acquire))
    }

    /// Asks all threads to stop it: each sees to that between its turns.
    pub(super) fn want_stop(&self) {
        self.wanted.store(true, Ordering::Release);
    }

    /// Whether one has asked.
    pub(super) fn stop_is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Acquire)
    }

    /// Stops it when all threads have called this, does `work` of each, and of one of them
    /// `decide` after all the others', and lets it go on for all at the same time.
    pub(super) fn stop(&self, work: impl FnOnce(), decide: impl FnOnce()) {
        let before = self.go_on_at.load(Ordering::Acquire);
        if self.parked.wait().is_leader() && before > 0 {
            self.stopped_at.store(dpdk::tsc(), Ordering::Release);
        }
        work();
        if self.done.wait().is_leader() {
            decide();
            self.wanted.store(false, Ordering::Release);
            let go_on_at = dpdk::tsc().max(before + 1) + self.wake_up;
            let stood = go_on_at - self.stopped_at.load(Ordering::Acquire);
            self.stood.fetch_add(stood, Ordering::Release);
            self.go_on_at.store(go_on_at, Ordering::Release);
        }
        while self.go_on_at.load(Ordering::Acquire) == before
            || dpdk::tsc() < self.go_on_at.load(Ordering::Acquire)
        {
            std::hint::spin_loop();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Three threads stop it ten times for a millisecond: it shows only what was between, and
    /// each thread has done its work before one decides.
    #[test]
    fn it_stands_still_while_threads_work() {
        let clock = Clock::new(3, 10_000);
        let (worked, decided) = (AtomicU64::new(0), AtomicU64::new(0));
        let (start, started) = (clock.now(), dpdk::tsc());
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for round in 1..=10 {
                        let work = || {
                            std::thread::sleep(Duration::from_millis(1));
                            worked.fetch_add(1, Ordering::Relaxed);
                        };
                        let decide = || {
                            assert_eq!(worked.load(Ordering::Relaxed), 3 * round);
                            decided.fetch_add(1, Ordering::Relaxed);
                        };
                        clock.stop(work, decide);
                    }
                });
            }
        });
        let (shown, passed) = (clock.now() - start, dpdk::tsc() - started);
        assert_eq!(decided.load(Ordering::Relaxed), 10);
        // The sleeps are most of the time, and none of what it shows.
        assert!(shown < passed / 2, "{shown} of {passed}");
        assert!(!clock.stop_is_wanted());
    }

    #[test]
    fn it_starts_with_the_first_stop() {
        let created = dpdk::tsc();
        let clock = Clock::new(1, 0);
        std::thread::sleep(Duration::from_millis(20));
        clock.stop(|| (), || ());
        let (shown, passed) = (clock.now() - created, dpdk::tsc() - created);
        assert!(shown < passed / 2, "{shown} of {passed}");
    }

    #[test]
    fn a_wish_to_stop_is_fulfilled_once() {
        let clock = Clock::new(1, 10_000);
        clock.want_stop();
        assert!(clock.stop_is_wanted());
        clock.stop(|| (), || ());
        assert!(!clock.stop_is_wanted());
    }
}
