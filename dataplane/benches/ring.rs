//! Rings that could join two cores, side by side:
//! `cargo bench -p greyhound-dataplane --bench ring`.
//!
//! Bursts of 32 items of 40 octets that own something (so that moving them is what it is for
//! packets), through a ring of 1024. "same" pushes and pops a burst on one core: the instructions.
//! "cross" streams from one core to another: the instructions and the cache lines. Runs of the
//! candidates are interleaved, since the clock of a shared machine swings, and medians are shown.

#![allow(missing_docs, reason = "a program")]
#![allow(clippy::unwrap_used, reason = "a program that may end when it cannot start")]

use std::hint::black_box;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use core_affinity::CoreId;
use crossbeam_queue::ArrayQueue;
use dataplane::engine::ring;
use rtrb::chunks::ChunkError;

const BURST: usize = 32;
const CAPACITY: usize = 1024;
const SAME_BURSTS: usize = 50_000;
const CROSS_ITEMS: usize = 2_000_000;
const RUNS: usize = 21;

struct Item([u64; 5]);

impl Drop for Item {
    fn drop(&mut self) {
        black_box(self.0[0]);
    }
}

trait Push: Send + 'static {
    fn push_batch(&mut self, from: &mut Vec<Item>) -> usize;
}

trait Pop: Send + 'static {
    fn pop_batch(&mut self, into: &mut Vec<Item>, max: usize) -> usize;
}

impl Push for ring::Producer<Item> {
    fn push_batch(&mut self, from: &mut Vec<Item>) -> usize {
        self.push_batch(from)
    }
}

impl Pop for ring::Consumer<Item> {
    fn pop_batch(&mut self, into: &mut Vec<Item>, max: usize) -> usize {
        self.pop_batch(into, max)
    }
}

impl Push for rtrb::Producer<Item> {
    fn push_batch(&mut self, from: &mut Vec<Item>) -> usize {
        let count = match self.write_chunk_uninit(from.len()) {
            Ok(chunk) => return chunk.fill_from_iter(from.drain(..)),
            Err(ChunkError::TooFewSlots(free)) => free,
        };
        self.write_chunk_uninit(count).unwrap().fill_from_iter(from.drain(..count))
    }
}

impl Pop for rtrb::Consumer<Item> {
    fn pop_batch(&mut self, into: &mut Vec<Item>, max: usize) -> usize {
        let count = match self.read_chunk(max) {
            Ok(chunk) => {
                into.extend(chunk);
                return max;
            }
            Err(ChunkError::TooFewSlots(items)) => items,
        };
        into.extend(self.read_chunk(count).unwrap());
        count
    }
}

impl Push for Arc<ArrayQueue<Item>> {
    fn push_batch(&mut self, from: &mut Vec<Item>) -> usize {
        let free = (self.capacity() - self.len()).min(from.len());
        from.drain(..free).filter_map(|item| self.push(item).ok()).count()
    }
}

impl Pop for Arc<ArrayQueue<Item>> {
    fn pop_batch(&mut self, into: &mut Vec<Item>, max: usize) -> usize {
        let before = into.len();
        into.extend((0..max).map_while(|_| self.pop()));
        into.len() - before
    }
}

/// Nanoseconds per item when one core pushes and pops.
fn same(mut push: impl Push, mut pop: impl Pop) -> f64 {
    let mut sent: Vec<_> = (0..BURST as u64).map(|n| Item([n; 5])).collect();
    let mut received = Vec::with_capacity(BURST);
    let start = Instant::now();
    for _ in 0..SAME_BURSTS {
        push.push_batch(&mut sent);
        pop.pop_batch(&mut received, BURST);
        std::mem::swap(&mut sent, &mut received);
    }
    assert_eq!(sent.len(), BURST);
    start.elapsed().as_secs_f64() * 1e9 / (SAME_BURSTS * BURST) as f64
}

/// Nanoseconds per item when one core pushes and another pops.
fn cross(mut push: impl Push, mut pop: impl Pop, cores: [CoreId; 2]) -> f64 {
    core_affinity::set_for_current(cores[0]);
    let receiver = thread::spawn(move || {
        core_affinity::set_for_current(cores[1]);
        let mut received = Vec::with_capacity(BURST);
        let mut left = CROSS_ITEMS;
        while left > 0 {
            left -= pop.pop_batch(&mut received, BURST.min(left));
            received.clear();
        }
    });
    let mut burst = Vec::with_capacity(BURST);
    let mut left = CROSS_ITEMS;
    let start = Instant::now();
    while left > 0 {
        burst.resize_with(BURST.min(left), || Item([7; 5]));
        left -= push.push_batch(&mut burst);
    }
    receiver.join().unwrap();
    start.elapsed().as_secs_f64() * 1e9 / CROSS_ITEMS as f64
}

fn median(mut runs: Vec<f64>) -> f64 {
    runs.sort_by(f64::total_cmp);
    runs[runs.len() / 2]
}

fn main() {
    // Before the first pinning: a pinned thread sees one core only.
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    let cores = match cores[..] {
        [first, second, ..] => Some([first, second]),
        _ => None,
    };
    let names = ["own", "rtrb", "crossbeam ArrayQueue"];
    let mut same_ns: [Vec<f64>; 3] = Default::default();
    let mut cross_ns: [Vec<f64>; 3] = Default::default();
    let queue = || Arc::new(ArrayQueue::new(CAPACITY));
    for _ in 0..RUNS {
        let (push, pop) = ring::channel(CAPACITY);
        same_ns[0].push(same(push, pop));
        let (push, pop) = rtrb::RingBuffer::new(CAPACITY);
        same_ns[1].push(same(push, pop));
        let both = queue();
        same_ns[2].push(same(Arc::clone(&both), both));

        let Some(cores) = cores else { continue };
        let (push, pop) = ring::channel(CAPACITY);
        cross_ns[0].push(cross(push, pop, cores));
        let (push, pop) = rtrb::RingBuffer::new(CAPACITY);
        cross_ns[1].push(cross(push, pop, cores));
        let both = queue();
        cross_ns[2].push(cross(Arc::clone(&both), both, cores));
    }
    println!("{:<22}{:>12}{:>12}   ns per item, medians of {RUNS}", "", "same", "cross");
    for ((name, same), cross) in names.into_iter().zip(same_ns).zip(cross_ns) {
        let cross = if cross.is_empty() { f64::NAN } else { median(cross) };
        println!("{name:<22}{:>12.2}{cross:>12.2}", median(same));
    }
}
