//! Latency at a given load.
//!
//! ```text
//! segment:  make packets > barrier > [release what is due > turn > see what left]… > record
//!           off the clock           on the clock                                    off the clock
//! ```
//!
//! Packets are made beforehand, some thousands at a time, and passed on when they are due; so
//! making them takes nothing from the worker, on whose thread all of this happens, as in
//! [`crate::measure`]. Passing on and seeing are on the clock, and make the figure a little worse.
//!
//! A latency is the time from when a packet was due, by an open-loop [`Schedule`] that nothing
//! delays, to when the turn of the loop was over in which its frame left. It includes waiting for
//! the worker to poll, all stages, rings between cores, and interruptions by the system. It does
//! not include what a NIC, its bus and the wire add.

mod pacer;
mod schedule;
mod sink;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier, Mutex, PoisonError};
use std::time::Duration;
use std::{panic, thread};

use dataplane::engine::plan::Plan;
use dataplane::engine::worker::Worker;
use dpdk::{Eal, Port};
use hdrhistogram::Histogram;

use self::pacer::Pacer;
use self::schedule::Schedule;
use self::sink::{Segment, Sink};
use crate::case::Case;
use crate::drops::DropCounters;
use crate::error::Error;
use crate::gateway::{Setup, port_config, ring_pair};

/// What is known of latency so far.
#[derive(Debug, Clone)]
pub(crate) struct Latencies {
    /// Packets offered in a second, of all ways.
    pub(crate) offered_pps: f64,
    /// Of each frame, in nanoseconds.
    pub(crate) histogram: Histogram<u64>,
    /// Packets offered so far.
    packets: u64,
    /// TSC ticks from when the first packet of each segment was due to when the last had left.
    ticks: u64,
    ticks_per_second: u64,
}

impl Latencies {
    /// Nothing yet.
    pub(crate) fn new(eal: &Eal, offered_pps: f64) -> Result<Self, Error> {
        let histogram = Histogram::new(DIGITS).map_err(|_| Error::Setup("no histogram"))?;
        let ticks_per_second = eal.tsc_hz();
        Ok(Self { offered_pps, histogram, packets: 0, ticks: 0, ticks_per_second })
    }

    /// Packets that got through in a second: about as many as were offered, unless that was too
    /// much.
    pub(crate) fn carried_pps(&self) -> f64 {
        self.packets as f64 * self.ticks_per_second as f64 / self.ticks.max(1) as f64
    }

    /// For how long packets were offered, in seconds.
    fn seconds(&self) -> f64 {
        self.packets as f64 / self.offered_pps
    }

    fn record(&mut self, ticks: u64) {
        let nanoseconds = u128::from(ticks) * 1_000_000_000 / u128::from(self.ticks_per_second);
        self.histogram.saturating_record(u64::try_from(nanoseconds).unwrap_or(u64::MAX));
    }
}

/// Significant digits of a latency.
const DIGITS: u8 = 3;
/// Frames that are made for a segment, as many as fit a cache that cores share.
const SEGMENT_FRAMES: usize = 8192;
/// The same of jumbo frames, which are longer than this.
const FRAME_USUAL_MAX: usize = 2048;
const SEGMENT_FRAMES_JUMBO: usize = 2048;
/// One of so many packets of a segment is not recorded: the caches are those of making packets.
const WARM_UP: u64 = 16;
/// From when a segment is decided to when its first packet is due: threads that wait for each
/// other need much more to wake up.
const HEAD_START: Duration = Duration::from_micros(20);
const HEAD_START_THREADS: Duration = Duration::from_millis(1);
/// How long packets may take beyond their schedule.
const PATIENCE: Duration = Duration::from_secs(2);

/// Offers `so_far.offered_pps` until that was for `duration` in all, or `stop` is set.
pub(crate) fn measure(
    eal: &Eal,
    case: &Case,
    so_far: &Mutex<Latencies>,
    duration: Duration,
    stop: &AtomicBool,
) -> Result<(), Error> {
    let mut bench = Bench::new(eal, case)?;
    let drops = bench.drops.clone();
    let shared = Shared::new(eal, case, bench.members.len(), so_far, duration, stop);
    let cores = bench.setup.gateway.plan.programs.iter().map(|program| program.core.0.into());
    let cores: Vec<usize> = cores.collect();
    let workers = bench.setup.gateway.members.iter_mut().map(|(worker, _)| worker);
    let result = thread::scope(|scope| {
        let members = bench.members.iter_mut().zip(workers).zip(cores);
        let threads = members.map(|((member, worker), core)| {
            let shared = &shared;
            scope.spawn(move || shared.run_core(eal, core, member, worker))
        });
        let threads: Vec<_> = threads.collect();
        let join = |thread: thread::ScopedJoinHandle<'_, _>| {
            thread.join().unwrap_or_else(|cause| panic::resume_unwind(cause))
        };
        threads.into_iter().map(join).collect::<Result<Vec<()>, Error>>()
    });
    drops.read().refuse(case)?;
    result.map(|_| ())
}

/// A set-up with its pacers and sinks.
struct Bench {
    setup: Setup,
    /// By worker.
    members: Vec<Member>,
    drops: DropCounters,
    _seen: Vec<Port>,
}

/// What a thread does beside its worker's turns.
#[derive(Default)]
struct Member {
    pacers: Vec<Pacer>,
    /// With the number of the way.
    sinks: Vec<(usize, Sink)>,
}

impl Bench {
    fn new(eal: &Eal, case: &Case) -> Result<Self, Error> {
        let pairs = case.mode.ways().iter().map(|_| ring_pair(eal, case));
        let pairs: Vec<_> = pairs.collect::<Result<_, _>>()?;
        let (egress, mut seen): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
        let (setup, inlets) = Setup::without_sources(eal, case, egress, segment_frames(case))?;
        let mut members: Vec<Member> = Vec::new();
        members.resize_with(setup.gateway.members.len(), Member::default);
        let mut drops = DropCounters::of(&setup);
        for inlet in inlets {
            let worker = inlet.worker;
            if let Some(pacer) = Pacer::new(eal, case, &setup.pools, inlet)? {
                drops.add_far(&pacer.source);
                members[worker].pacers.push(pacer);
            }
        }
        for (number, (way, port)) in case.mode.ways().iter().zip(&mut seen).enumerate() {
            let queues = port.start(&port_config(case, &setup.pools))?;
            let queue = queues.rx.into_iter().next().ok_or(Error::Setup("a port without queue"))?;
            let sender = sender(&setup.gateway.plan, setup.egress[number].id());
            let sender = sender.ok_or(Error::Setup("a port that nobody sends by"))?;
            members[sender].sinks.push((number, Sink::new(case, *way, queue)));
        }
        Ok(Self { setup, members, drops, _seen: seen })
    }
}

/// The worker that sends by a port.
fn sender(plan: &Plan, port: u16) -> Option<usize> {
    let placed = plan.topology.ports.iter().find(|placed| placed.spec.id.0 == port)?;
    let core = placed.tx.first()?;
    plan.programs.iter().position(|program| program.core == *core)
}

/// Frames in a segment, of all ways.
fn segment_frames(case: &Case) -> usize {
    if case.size.largest() > FRAME_USUAL_MAX { SEGMENT_FRAMES_JUMBO } else { SEGMENT_FRAMES }
}

/// What the threads share.
struct Shared<'a> {
    barrier: Barrier,
    /// Says to all threads, between barriers, whether there is another segment.
    goes_on: AtomicBool,
    /// A thread could not be made ready, or ran out of packets.
    failed: AtomicBool,
    /// Frames that leave in this segment; 0 before the first.
    expected: AtomicU64,
    /// TSC value at which the segment starts.
    start: AtomicU64,
    /// Frames that have left in this segment.
    left: AtomicU64,
    /// TSC ticks before a segment starts.
    head_start: u64,
    /// TSC value at which the last of them did.
    last_left: AtomicU64,
    /// Frames that nobody sent.
    unknown: AtomicU64,
    /// By way.
    schedules: Vec<Schedule>,
    /// Packets of a segment, of each way.
    packets: u64,
    frames_out: u64,
    so_far: &'a Mutex<Latencies>,
    duration: Duration,
    stop: &'a AtomicBool,
    case: &'a Case,
    ticks_per_second: u64,
}

impl<'a> Shared<'a> {
    fn new(
        eal: &Eal,
        case: &'a Case,
        threads: usize,
        so_far: &'a Mutex<Latencies>,
        duration: Duration,
        stop: &'a AtomicBool,
    ) -> Self {
        let ways = case.mode.ways().len();
        let pps = lock(so_far).offered_pps / ways as f64;
        let ticks_per_second = eal.tsc_hz();
        // Ways take turns, as far as their packets are evenly spread.
        let apart = ticks_per_second as f64 / pps / ways as f64;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
        let start = |way: usize| (apart * way as f64) as u64;
        let head_start = if threads > 1 { HEAD_START_THREADS } else { HEAD_START };
        let micros = u64::try_from(head_start.as_micros()).unwrap_or_default();
        let frames = case.frames_in().max(case.frames_out()) * ways;
        let packets = (segment_frames(case) / frames).max(1).next_multiple_of(case.feed());
        Self {
            barrier: Barrier::new(threads),
            goes_on: AtomicBool::new(true),
            failed: AtomicBool::new(false),
            expected: AtomicU64::new(0),
            start: AtomicU64::new(0),
            left: AtomicU64::new(0),
            head_start: ticks_per_second / 1_000_000 * micros,
            last_left: AtomicU64::new(0),
            unknown: AtomicU64::new(0),
            schedules: (0..ways)
                .map(|way| Schedule::new(start(way), ticks_per_second, pps))
                .collect(),
            packets: packets as u64,
            frames_out: case.frames_out() as u64,
            so_far,
            duration,
            stop,
            case,
            ticks_per_second,
        }
    }

    fn run_core(
        &self,
        eal: &Eal,
        core: usize,
        member: &mut Member,
        worker: &mut Worker,
    ) -> Result<(), Error> {
        let ready = dpdk::pin_current_thread(core).and_then(|()| eal.register_thread());
        if ready.is_err() {
            self.failed.store(true, Ordering::Release);
        }
        let mut first = 0;
        loop {
            for pacer in &mut member.pacers {
                let made = pacer.prepare(usize::try_from(self.packets).unwrap_or(usize::MAX));
                if made != self.packets {
                    self.failed.store(true, Ordering::Release);
                }
            }
            // One decides for all, and starts the clock.
            if self.barrier.wait().is_leader() {
                self.decide();
            }
            self.barrier.wait();
            if !self.goes_on.load(Ordering::Acquire) {
                break;
            }
            self.run_segment(first, member, worker);
            self.record(member);
            first += self.packets;
        }
        let _lcore = ready?;
        match self.outcome() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    fn decide(&self) {
        let over = lock(self.so_far).seconds() >= self.duration.as_secs_f64();
        let goes_on = !over && !self.stop.load(Ordering::Relaxed) && self.outcome().is_none();
        self.goes_on.store(goes_on, Ordering::Release);
        if goes_on {
            self.left.store(0, Ordering::Relaxed);
            let frames = self.packets * self.frames_out * self.schedules.len() as u64;
            self.expected.store(frames, Ordering::Relaxed);
            self.start.store(dpdk::tsc() + self.head_start, Ordering::Release);
        }
    }

    /// What has gone wrong, if anything.
    fn outcome(&self) -> Option<Error> {
        let case = self.case.title();
        let (expected, received) =
            [&self.expected, &self.left].map(|n| n.load(Ordering::Acquire)).into();
        match () {
            () if self.failed.load(Ordering::Acquire) => {
                Some(Error::Setup("too few buffers, or a thread that cannot run"))
            }
            () if self.unknown.load(Ordering::Acquire) > 0 => Some(Error::Unknown { case }),
            () if received != expected => Some(Error::Lost { case, expected, received }),
            () => None,
        }
    }

    fn run_segment(&self, first: u64, member: &mut Member, worker: &mut Worker) {
        let start = self.start.load(Ordering::Acquire);
        let segments = self.schedules.iter().map(|schedule| Segment {
            schedule: schedule.starting_at(start + schedule.due(0)),
            first,
            packets: self.packets,
            warm_up: self.packets / WARM_UP,
        });
        let segments: Vec<_> = segments.collect();
        let ends = segments.iter().map(|segment| segment.schedule.due(self.packets));
        let patience = self.ticks_per_second.saturating_mul(PATIENCE.as_secs());
        let give_up = ends.max().unwrap_or(start).saturating_add(patience);
        let frames = self.expected.load(Ordering::Acquire);
        while self.left.load(Ordering::Acquire) < frames {
            let now = dpdk::tsc();
            if now > give_up {
                break;
            }
            for pacer in &mut member.pacers {
                pacer.release(&segments[pacer.way].schedule, now);
            }
            worker.turn();
            for (way, sink) in &mut member.sinks {
                let now = dpdk::tsc();
                let left = sink.poll(&segments[*way], now);
                if left > 0 {
                    self.last_left.fetch_max(now, Ordering::Relaxed);
                    self.left.fetch_add(left, Ordering::Release);
                }
            }
        }
    }

    /// What the sinks of a thread have seen of a segment; exact, as no frame of it is left.
    fn record(&self, member: &mut Member) {
        for (_, sink) in &mut member.sinks {
            let mut so_far = lock(self.so_far);
            sink.latencies.drain(..).for_each(|ticks| so_far.record(ticks));
            so_far.packets += std::mem::take(&mut sink.received) / self.frames_out;
            self.unknown.fetch_add(std::mem::take(&mut sink.unknown), Ordering::Release);
        }
        if !member.sinks.is_empty() {
            let last = self.last_left.swap(0, Ordering::Relaxed);
            lock(self.so_far).ticks += last.saturating_sub(self.start.load(Ordering::Relaxed));
        }
    }
}

/// A panic of another thread while it held the lock leaves what it guards as it was.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// [`measure`] at the load of the case, of a gateway that gets `mpps` through.
pub(crate) fn measure_at_load(
    eal: &Eal,
    case: &Case,
    mpps: f64,
    duration: Duration,
) -> Result<Option<Latencies>, Error> {
    let Some(load) = case.load else { return Ok(None) };
    let so_far = Arc::new(Mutex::new(Latencies::new(eal, load.share() * mpps * 1e6)?));
    measure(eal, case, &so_far, duration, &AtomicBool::new(false))?;
    let so_far = lock(&so_far).clone();
    Ok(Some(so_far))
}
