//! Latency at a given load.
//!
//! ```text
//! off the clock   record; make packets
//! on the clock    [release what is due > turn > see what left]… until packets run short
//! ```
//!
//! Packets are made beforehand, a few bursts at a time, while the clock stands still between two
//! turns; so making them takes nothing from the worker, on whose thread all of this happens, and
//! they are as warm in its caches as in [`crate::measure`]. Passing on and seeing are on the clock,
//! and make the figure a little worse.
//!
//! A latency is the time from when a packet was due, by an open-loop [`Schedule`] that nothing
//! delays, to when the turn of the loop was over in which its frame left. It includes waiting for
//! the worker to poll, all stages, rings between cores, and interruptions by the system. It does
//! not include what a NIC, its bus and the wire add.

mod clock;
mod pacer;
mod schedule;
mod sink;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use dataplane::engine::plan::Plan;
use dataplane::engine::worker::Worker;
use dpdk::{Eal, Port};
use hdrhistogram::Histogram;

use self::clock::Clock;
use self::pacer::Pacer;
use self::schedule::Schedule;
use self::sink::Sink;
use crate::case::Case;
use crate::drops::DropCounters;
use crate::error::Error;
use crate::gateway::{Pools, Setup, receive_from, ring_pair};
use crate::measure::{join_all, ticks};

/// What is known of latency so far.
#[derive(Debug, Clone)]
pub(crate) struct Latencies {
    /// Packets offered in a second, of all ways.
    pub(crate) offered_pps: f64,
    /// Of each frame, in nanoseconds.
    pub(crate) histogram: Histogram<u64>,
    /// Packets that have got through.
    packets: u64,
    /// TSC ticks on the clock until then, from when the first packet was due.
    ticks: u64,
    ticks_per_second: u64,
}

impl Latencies {
    /// Nothing yet.
    pub(crate) fn new(eal: &Eal, offered_pps: f64) -> Result<Self, Error> {
        let histogram = Histogram::new_with_max(NANOSECONDS_MAX, DIGITS)
            .map_err(|_| Error::Setup("no histogram"))?;
        let ticks_per_second = eal.tsc_hz();
        Ok(Self { offered_pps, histogram, packets: 0, ticks: 0, ticks_per_second })
    }

    /// Packets that got through in a second: about as many as were offered, unless that was too
    /// much.
    pub(crate) fn carried_pps(&self) -> f64 {
        self.packets as f64 * self.ticks_per_second as f64 / self.ticks.max(1) as f64
    }

    fn record(&mut self, ticks: u64) {
        let nanoseconds = u128::from(ticks) * 1_000_000_000 / u128::from(self.ticks_per_second);
        self.histogram.saturating_record(u64::try_from(nanoseconds).unwrap_or(u64::MAX));
    }
}

/// The longest latency that is told from longer ones: a minute.
const NANOSECONDS_MAX: u64 = 60_000_000_000;
/// Significant digits of a latency.
const DIGITS: u8 = 3;
/// Bursts that are made at a time: few, so that they stay in the cache.
const STOCK: usize = 2;
/// The same where several threads have to stop for it.
const STOCK_THREADS: usize = 8;
/// Frames that rings between cores hold then beside the usual: as many as are due while the system
/// keeps one of the cores for some milliseconds.
const IN_FLIGHT_MIN: usize = 16_384;
/// How long threads take to wake up, at most.
const WAKE_UP: Duration = Duration::from_micros(500);
/// Packets due in this time are not recorded: caches and predictors have settled by then.
const WARM_UP: Duration = Duration::from_millis(5);
/// How long packets may take beyond their schedule.
const PATIENCE: Duration = Duration::from_secs(2);

/// Frames that there are beside those of a usual set-up.
pub(crate) fn waiting(case: &Case) -> usize {
    let burst = case.feed() * case.frames_in() * case.mode.ways().len();
    if case.cores.len() > 1 { IN_FLIGHT_MIN + STOCK_THREADS * burst } else { 2 * STOCK * burst }
}

/// A set-up with its pacers and sinks.
pub(crate) struct Bench {
    pub(crate) setup: Setup,
    /// By worker.
    members: Vec<Member>,
    pub(crate) drops: DropCounters,
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
    /// For `pps` packets a second, of all ways.
    pub(crate) fn new(eal: &Eal, case: &Case, pps: f64) -> Result<Self, Error> {
        let pairs = case.mode.ways().iter().map(|_| ring_pair(eal, case));
        let pairs: Vec<_> = pairs.collect::<Result<_, _>>()?;
        let (egress, mut seen): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
        let pools = Pools::new(eal, case, waiting(case))?;
        let (setup, inlets) = Setup::without_sources(eal, case, pools, egress)?;
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
        let ways = case.mode.ways().len() as f64;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
        let warm_up = (pps / ways * WARM_UP.as_secs_f64()) as u64;
        for (number, (way, port)) in case.mode.ways().iter().zip(&mut seen).enumerate() {
            let queue = receive_from(port, case, &setup.pools)?;
            let sender = sender(&setup.gateway.plan, setup.egress[number].id());
            let sender = sender.ok_or(Error::Setup("a port that nobody sends by"))?;
            members[sender].sinks.push((number, Sink::new(case, *way, queue, warm_up)));
        }
        Ok(Self { setup, members, drops, _seen: seen })
    }

    /// Offers `so_far.offered_pps` for `duration`, or until `stop` is set.
    pub(crate) fn run(
        &mut self,
        eal: &Eal,
        case: &Case,
        so_far: &Mutex<Latencies>,
        duration: Duration,
        stop: &AtomicBool,
    ) -> Result<(), Error> {
        let Self { setup, members, drops, .. } = self;
        let shared = Shared::new(eal, case, members.len(), so_far, duration, stop);
        let programs = setup.gateway.plan.programs.iter();
        let workers = setup.gateway.members.iter_mut().map(|(worker, _)| worker);
        let result = thread::scope(|scope| {
            let threads = members.iter_mut().zip(workers).zip(programs);
            let threads = threads.map(|((member, worker), program)| {
                let (shared, core) = (&shared, usize::from(program.core.0));
                scope.spawn(move || shared.run_core(eal, core, member, worker))
            });
            join_all(threads)
        });
        drops.read().refuse(case)?;
        result?;
        shared.outcome()
    }
}

/// The worker that sends by a port.
fn sender(plan: &Plan, port: u16) -> Option<usize> {
    let placed = plan.topology.ports.iter().find(|placed| placed.spec.id.0 == port)?;
    let core = placed.tx.first()?;
    plan.programs.iter().position(|program| program.core == *core)
}

/// What the threads share.
struct Shared<'a> {
    clock: Clock,
    /// By way, and when they start.
    schedules: Vec<Schedule>,
    start: u64,
    /// TSC ticks for which packets are offered, and for how long what is lost is waited for.
    duration: u64,
    patience: u64,
    /// Bursts that are made at a time.
    stock: usize,
    frames_out: u64,
    /// Frames that leave of the packets made so far.
    expected: AtomicU64,
    /// Frames that have left.
    left: AtomicU64,
    /// No more packets are made.
    is_last: AtomicBool,
    /// A thread could not be made ready, or ran out of buffers.
    failed: AtomicBool,
    /// Frames that nobody sent.
    unknown: AtomicU64,
    so_far: &'a Mutex<Latencies>,
    stop: &'a AtomicBool,
    case: &'a Case,
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
        let hz = eal.tsc_hz();
        let ways = case.mode.ways().len();
        let pps = lock(so_far).offered_pps / ways as f64;
        let clock = Clock::new(threads, ticks(eal, WAKE_UP));
        let start = clock.now();
        // Packets of two ways are due in turns.
        let apart = hz as f64 / pps / ways as f64;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
        let schedule = |way| Schedule::new(start + (apart * way as f64) as u64, hz, pps);
        Self {
            clock,
            schedules: (0..ways).map(schedule).collect(),
            start,
            duration: ticks(eal, duration + WARM_UP),
            patience: ticks(eal, PATIENCE),
            stock: if threads > 1 { STOCK_THREADS } else { STOCK },
            frames_out: case.frames_out() as u64,
            expected: AtomicU64::new(0),
            left: AtomicU64::new(0),
            is_last: AtomicBool::new(false),
            failed: AtomicBool::new(false),
            unknown: AtomicU64::new(0),
            so_far,
            stop,
            case,
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
        self.off_the_clock(member);
        while !self.is_over() {
            if self.clock.stop_is_wanted() {
                self.off_the_clock(member);
            }
            let now = self.clock.now();
            for pacer in &mut member.pacers {
                pacer.release(&self.schedules[pacer.way], now);
                if pacer.is_low() && !self.is_last.load(Ordering::Acquire) {
                    self.clock.want_stop();
                }
            }
            worker.turn();
            for (way, sink) in &mut member.sinks {
                let left = sink.poll(&self.schedules[*way], self.clock.now());
                self.left.fetch_add(left, Ordering::Release);
            }
        }
        self.record(member);
        ready.map(drop).map_err(Error::from)
    }

    /// All that takes time and is not the gateway's.
    fn off_the_clock(&self, member: &mut Member) {
        let work = || {
            self.record(member);
            for pacer in &mut member.pacers {
                let made = pacer.fill_up(self.stock);
                self.expected.fetch_add(made * self.frames_out, Ordering::Release);
                if pacer.is_low() {
                    self.failed.store(true, Ordering::Release);
                }
            }
        };
        self.clock.stop(work, || self.decide());
    }

    /// Whether these packets are the last.
    fn decide(&self) {
        let over = self.clock.now() >= self.start + self.duration;
        let stopped = self.stop.load(Ordering::Relaxed);
        let broken =
            self.failed.load(Ordering::Acquire) || self.unknown.load(Ordering::Acquire) > 0;
        self.is_last.store(over || stopped || broken, Ordering::Release);
    }

    /// Whether nothing is left to do, or to wait for.
    fn is_over(&self) -> bool {
        if !self.is_last.load(Ordering::Acquire) {
            return false;
        }
        let expected = self.expected.load(Ordering::Acquire);
        let packets = expected / self.frames_out / self.schedules.len() as u64;
        let last_due = self.schedules.iter().map(|schedule| schedule.due(packets)).max();
        self.left.load(Ordering::Acquire) >= expected
            || self.clock.now() > last_due.unwrap_or(0).saturating_add(self.patience)
    }

    /// What the sinks of a thread have seen.
    fn record(&self, member: &mut Member) {
        for (_, sink) in &mut member.sinks {
            let mut so_far = lock(self.so_far);
            sink.latencies.drain(..).for_each(|ticks| so_far.record(ticks));
            so_far.packets = self.left.load(Ordering::Acquire) / self.frames_out;
            so_far.ticks = self.clock.now().saturating_sub(self.start);
            self.unknown.fetch_add(std::mem::take(&mut sink.unknown), Ordering::Release);
        }
    }

    /// What has gone wrong, if anything.
    fn outcome(&self) -> Result<(), Error> {
        let case = self.case.title();
        if self.failed.load(Ordering::Acquire) {
            return Err(Error::Setup("too few buffers"));
        }
        if self.unknown.load(Ordering::Acquire) > 0 {
            return Err(Error::Unknown { case });
        }
        let expected = self.expected.load(Ordering::Acquire);
        match self.left.load(Ordering::Acquire) {
            received if received == expected => Ok(()),
            received => Err(Error::Lost { case, expected, received }),
        }
    }
}

/// A panic of another thread while it held the lock leaves what it guards as it was.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Latency at the load of the case, if it has one, of a gateway that gets `mpps` through.
pub(crate) fn measure_at_load(
    eal: &Eal,
    case: &Case,
    mpps: f64,
    duration: Duration,
) -> Result<Option<Latencies>, Error> {
    let Some(load) = case.load else { return Ok(None) };
    let so_far = Mutex::new(Latencies::new(eal, load.share() * mpps * 1e6)?);
    let mut bench = Bench::new(eal, case, lock(&so_far).offered_pps)?;
    bench.run(eal, case, &so_far, duration, &AtomicBool::new(false))?;
    let so_far = lock(&so_far).clone();
    Ok(Some(so_far))
}
