//! Rings that could join two cores, side by side:
//! `cargo bench -p greyhound-dataplane --bench ring`.
//!
//! Bursts of 32 through rings of 1024 slots, of what DPDK's ring can carry (an mbuf, 8 octets) and
//! of what the packet path carries (a packet with its metadata), which a ring of pointers cannot.
//! "same" pushes and pops a burst on one core: the instructions. "cross" lets 512 items go round,
//! from one core to another and back: the instructions and the cache lines, one hop of the two.
//! Nothing is allocated or freed while the clock runs. Runs of the candidates are interleaved,
//! since the clock of a shared machine swings; medians and, in brackets, quartiles are shown.

#![allow(missing_docs, reason = "a program")]
#![allow(clippy::unwrap_used, reason = "a program that may end when it cannot start")]

use std::sync::Arc;
use std::thread;
use std::time::Instant;

use core_affinity::CoreId;
use crossbeam_queue::ArrayQueue;
use dataplane::engine::ring;
use dataplane::packet::Packet;
use dpdk::{Eal, EalConfig, Mbuf, Mempool, MempoolConfig, RingReceiver, RingSender, mbuf_ring};
use rtrb::chunks::ChunkError;

const BURST: usize = 32;
const CAPACITY: u32 = 1024;
const ITEMS: u32 = 512;
const SAME_BURSTS: usize = 50_000;
const ROUND_TRIPS: usize = 1_000_000;
const RUNS: usize = 21;

trait Push<T>: Send {
    fn push_batch(&mut self, from: &mut Vec<T>) -> usize;
}

trait Pop<T>: Send {
    fn pop_batch(&mut self, into: &mut Vec<T>, max: usize) -> usize;
}

impl<T: Send> Push<T> for ring::Producer<T> {
    fn push_batch(&mut self, from: &mut Vec<T>) -> usize {
        self.push_batch(from)
    }
}

impl<T: Send> Pop<T> for ring::Consumer<T> {
    fn pop_batch(&mut self, into: &mut Vec<T>, max: usize) -> usize {
        self.pop_batch(into, max)
    }
}

impl<T: Send> Push<T> for rtrb::Producer<T> {
    fn push_batch(&mut self, from: &mut Vec<T>) -> usize {
        let count = match self.write_chunk_uninit(from.len()) {
            Ok(chunk) => return chunk.fill_from_iter(from.drain(..)),
            Err(ChunkError::TooFewSlots(free)) => free,
        };
        self.write_chunk_uninit(count).unwrap().fill_from_iter(from.drain(..count))
    }
}

impl<T: Send> Pop<T> for rtrb::Consumer<T> {
    fn pop_batch(&mut self, into: &mut Vec<T>, max: usize) -> usize {
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

impl<T: Send> Push<T> for Arc<ArrayQueue<T>> {
    fn push_batch(&mut self, from: &mut Vec<T>) -> usize {
        let free = (self.capacity() - self.len()).min(from.len());
        from.drain(..free).filter_map(|item| self.push(item).ok()).count()
    }
}

impl<T: Send> Pop<T> for Arc<ArrayQueue<T>> {
    fn pop_batch(&mut self, into: &mut Vec<T>, max: usize) -> usize {
        let before = into.len();
        into.extend((0..max).map_while(|_| self.pop()));
        into.len() - before
    }
}

impl Push<Mbuf> for RingSender {
    fn push_batch(&mut self, from: &mut Vec<Mbuf>) -> usize {
        self.push(from)
    }
}

impl Pop<Mbuf> for RingReceiver {
    fn pop_batch(&mut self, into: &mut Vec<Mbuf>, max: usize) -> usize {
        self.pop(into, max)
    }
}

/// Nanoseconds per item when one core pushes and pops.
fn same<T>((mut push, mut pop): (impl Push<T>, impl Pop<T>), items: &mut Vec<T>) -> f64 {
    let mut sent = items.split_off(items.len() - BURST);
    let mut received = Vec::with_capacity(BURST);
    let start = Instant::now();
    for _ in 0..SAME_BURSTS {
        push.push_batch(&mut sent);
        pop.pop_batch(&mut received, BURST);
        std::mem::swap(&mut sent, &mut received);
    }
    let elapsed = start.elapsed();
    assert_eq!(sent.len(), BURST);
    items.append(&mut sent);
    elapsed.as_secs_f64() * 1e9 / (SAME_BURSTS * BURST) as f64
}

/// Nanoseconds per item and hop when items go round between two cores.
fn cross<T: Send>(
    (mut push, mut pop): (impl Push<T>, impl Pop<T>),
    (mut echo, mut back): (impl Push<T>, impl Pop<T>),
    items: &mut Vec<T>,
    cores: [CoreId; 2],
) -> f64 {
    core_affinity::set_for_current(cores[0]);
    let count = items.len();
    let elapsed = thread::scope(|scope| {
        scope.spawn(|| {
            core_affinity::set_for_current(cores[1]);
            let (mut burst, mut left) = (Vec::with_capacity(BURST), ROUND_TRIPS);
            while left > 0 {
                if burst.is_empty() {
                    pop.pop_batch(&mut burst, BURST);
                }
                left -= echo.push_batch(&mut burst);
            }
        });
        let mut burst = Vec::with_capacity(BURST);
        let (mut unsent, mut away) = (ROUND_TRIPS, 0);
        let start = Instant::now();
        while unsent > 0 {
            if burst.is_empty() && back.pop_batch(&mut burst, BURST) > 0 {
                away -= burst.len();
            } else if burst.is_empty() && !items.is_empty() {
                burst.extend(items.drain(items.len().saturating_sub(BURST)..));
            }
            // A last burst may be too long: what exceeds it is kept.
            items.extend(burst.drain(burst.len().min(unsent)..));
            let sent = push.push_batch(&mut burst);
            (unsent, away) = (unsent - sent, away + sent);
        }
        while away > 0 {
            away -= back.pop_batch(items, BURST);
        }
        items.append(&mut burst);
        start.elapsed()
    });
    assert_eq!(items.len(), count);
    elapsed.as_secs_f64() * 1e9 / (2 * ROUND_TRIPS) as f64
}

/// A candidate with its times.
#[derive(Default)]
struct Line {
    name: &'static str,
    same: Vec<f64>,
    cross: Vec<f64>,
}

impl Line {
    fn new(name: &'static str) -> Self {
        Line { name, ..Line::default() }
    }

    fn run<T: Send, A: Push<T>, B: Pop<T>>(
        &mut self,
        mut ring: impl FnMut() -> (A, B),
        items: &mut Vec<T>,
        cores: Option<[CoreId; 2]>,
    ) {
        self.same.push(same(ring(), items));
        self.cross.extend(cores.map(|cores| cross(ring(), ring(), items, cores)));
    }

    fn print(self, octets: usize) {
        let [same, cross] = [self.same, self.cross].map(spread);
        println!("{octets:>6}  {:<22}{same:>22}{cross:>22}", self.name);
    }
}

/// One round of the rings that carry anything.
fn run_all<T: Send>(lines: &mut [Line; 3], items: &mut Vec<T>, cores: Option<[CoreId; 2]>) {
    let capacity = CAPACITY as usize;
    lines[0].run(|| ring::channel(capacity), items, cores);
    lines[1].run(|| rtrb::RingBuffer::new(capacity), items, cores);
    let queue = || {
        let end = Arc::new(ArrayQueue::new(capacity));
        (Arc::clone(&end), end)
    };
    lines[2].run(queue, items, cores);
}

fn spread(mut runs: Vec<f64>) -> String {
    if runs.is_empty() {
        return "one core only".into();
    }
    runs.sort_by(f64::total_cmp);
    let [low, middle, high] = [1, 2, 3].map(|quarter| runs[(runs.len() - 1) * quarter / 4]);
    format!("{middle:.2} ({low:.2}-{high:.2})")
}

fn main() {
    // Before the first pinning: a pinned thread sees one core only.
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    let cores = match cores[..] {
        [first, second, ..] => Some([first, second]),
        _ => None,
    };
    let eal = Eal::init(&EalConfig { memory_mib: 64, ..EalConfig::default() }).unwrap();
    let config = MempoolConfig { mbufs: 2 * ITEMS, cache: 0, ..MempoolConfig::default() };
    let pool = Mempool::new(&eal, "items", config).unwrap();
    let (mut mbufs, mut packets) = (Vec::new(), Vec::new());
    pool.alloc_bulk(ITEMS, &mut packets);
    let mut packets: Vec<_> = packets.drain(..).map(Packet::new).collect();
    pool.alloc_bulk(ITEMS, &mut mbufs);

    let names = ["own", "rtrb", "crossbeam ArrayQueue"];
    let (mut of_mbufs, mut of_packets) = (names.map(Line::new), names.map(Line::new));
    let mut rte_ring = Line::new("rte_ring");
    let mut serial = 0;
    let mut new_rte_ring = || {
        serial += 1;
        mbuf_ring(&eal, &format!("ring{serial}"), CAPACITY).unwrap()
    };
    for _ in 0..RUNS {
        run_all(&mut of_mbufs, &mut mbufs, cores);
        rte_ring.run(&mut new_rte_ring, &mut mbufs, cores);
        run_all(&mut of_packets, &mut packets, cores);
    }
    println!("ns per item, medians of {RUNS} rounds (quartiles)");
    println!("{:>6}  {:<22}{:>22}{:>22}", "octets", "", "same", "cross, one hop");
    of_mbufs.into_iter().chain([rte_ring]).for_each(|line| line.print(size_of::<Mbuf>()));
    of_packets.into_iter().for_each(|line| line.print(size_of::<Packet>()));
}
