//! One run: sources and workers in their threads, and what their counters say after it.
//!
//! ```text
//! thread of a core:  pin > calibrate > [feed > turn]… until the time is up > turn… until nothing
//!                    is on its way > calibrate
//! ```
//!
//! Packets are counted exactly: a run is over when each of them has come out.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread::ScopedJoinHandle;
use std::time::Duration;
use std::{panic, thread};

use dataplane::counters::StageCounters;
use dataplane::engine::plan::Program;
use dataplane::engine::topology::StageKind;
use dataplane::engine::worker::Worker;
use dpdk::Eal;

use crate::calibrate;
use crate::case::Case;
use crate::drops::Drops;
use crate::error::Error;
use crate::gateway::Setup;
use crate::source::{Fed, Source};
use crate::turns::{Cost, StageCost, Turns};

/// What a run showed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Run {
    /// Packets put in, all of which went all the way.
    pub(crate) packets: u64,
    /// Octets of them.
    pub(crate) octets: u64,
    /// By worker: TSC cycles of the turns in which there were packets.
    pub(crate) busy_cycles: Vec<u64>,
    /// The stages that packets met, in their order.
    pub(crate) stages: Vec<StageCost>,
    /// Core clock cycles per TSC cycle, the mean of before and after, over all cores.
    pub(crate) clock_ratio: f64,
    /// How often other threads took a core away.
    pub(crate) preemptions: Option<u64>,
    /// Turns with packets, of all workers.
    pub(crate) turns: u64,
    /// Those of them that were interrupted, and whose cost is set aside.
    pub(crate) turns_aside: u64,
}

impl Run {
    /// What a packet cost, in TSC cycles of all cores.
    pub(crate) fn cycles_per_packet(&self) -> f64 {
        self.busy_cycles.iter().sum::<u64>() as f64 / self.packets as f64
    }

    /// Millions of packets a second that the busiest core would get through.
    pub(crate) fn mpps(&self, tsc_hz: u64) -> f64 {
        let busiest = self.busy_cycles.iter().copied().max().unwrap_or(0).max(1);
        self.packets as f64 * tsc_hz as f64 / busiest as f64 / 1e6
    }
}

/// Feeds `setup` for `duration`, and lets it run dry.
pub(crate) fn measure(
    eal: &Eal,
    case: &Case,
    setup: &mut Setup,
    duration: Duration,
) -> Result<Run, Error> {
    measure_until(eal, case, setup, duration, &AtomicBool::new(false))
}

/// The same, or until `stop` is set.
pub(crate) fn measure_until(
    eal: &Eal,
    case: &Case,
    setup: &mut Setup,
    duration: Duration,
    stop: &AtomicBool,
) -> Result<Run, Error> {
    let before = sent_by_ports(setup)?;
    let traffic = Traffic::new(eal, case, setup, duration, stop);
    let cores = run_threads(eal, setup, &traffic)?;
    let after = sent_by_ports(setup)?;
    Drops::of(setup).refuse(case)?;
    for (way, fed) in traffic.fed.iter().enumerate() {
        let received = after[way] - before[way];
        let expected = fed.packets.load(Ordering::Relaxed) * traffic.frames_out;
        if expected != received || expected == 0 {
            return Err(Error::Lost { case: case.title(), expected, received });
        }
    }
    Ok(sum(traffic.all_fed(), &cores))
}

/// Frames that left, by way.
fn sent_by_ports(setup: &Setup) -> Result<Vec<u64>, Error> {
    let sent = setup.egress.iter().map(|port| Ok(port.stats()?.tx_packets));
    sent.collect()
}

/// A run of so many packets, from what its cores noticed.
fn sum(Fed { packets, octets }: Fed, cores: &[CoreRun]) -> Run {
    let mut stages = BTreeMap::<StageKind, StageCost>::new();
    let met = cores.iter().flat_map(|core| &core.cost.stages).filter(|stage| stage.packets > 0);
    for stage in met {
        let none = StageCost { calls: 0, packets: 0, cycles: 0, ..*stage };
        let sum = stages.entry(stage.kind).or_insert(none);
        sum.calls += stage.calls;
        sum.packets += stage.packets;
        sum.cycles += stage.cycles;
    }
    Run {
        packets,
        octets,
        busy_cycles: cores.iter().map(|core| core.cost.busy_cycles).collect(),
        stages: stages.into_values().collect(),
        clock_ratio: cores.iter().map(|core| core.clock_ratio).sum::<f64>() / cores.len() as f64,
        preemptions: cores.iter().map(|core| core.preemptions).sum(),
        turns: cores.iter().map(|core| core.cost.turns).sum(),
        turns_aside: cores.iter().map(|core| core.cost.turns_aside).sum(),
    }
}

/// A turn of 256 packets of 1500 octets takes a fifth of this; when the kernel gives a core to
/// another thread, it is for longer.
const TURN_MAX: Duration = Duration::from_millis(1);
/// Octets of these.
const TURN_OCTETS: usize = 256 * 1500;

/// What no turn takes by itself: longer where a turn has more octets.
fn turn_max(case: &Case) -> Duration {
    let frames = 2 * case.feed() * case.frames_in().max(case.frames_out());
    let octets = frames * case.mode.ways().len() * case.size.largest();
    TURN_MAX.mul_f64((octets as f64 / TURN_OCTETS as f64).max(1.0))
}

/// How long packets may be on their way after the last was fed. Much more than they need, and a
/// machine that is busy with other work may need.
const PATIENCE: Duration = Duration::from_secs(2);

/// TSC ticks in a time.
pub(crate) fn ticks(eal: &Eal, duration: Duration) -> u64 {
    let ticks = duration.as_nanos() * u128::from(eal.tsc_hz()) / 1_000_000_000;
    u64::try_from(ticks).unwrap_or(u64::MAX)
}

/// What the threads of a run share.
struct Traffic<'a> {
    /// Holds all threads until the last is ready.
    start: Barrier,
    /// Ends the run before its time.
    stop: &'a AtomicBool,
    /// TSC ticks for which sources feed.
    duration: u64,
    /// TSC ticks after which what has not come out is given up.
    patience: u64,
    /// TSC ticks that no turn takes by itself.
    turn_max: u64,
    /// Threads whose sources have not stopped yet.
    feeding: AtomicUsize,
    /// Put in in this run, by way.
    fed: Vec<FedCounters>,
    /// Frames that leave for each packet put in.
    frames_out: u64,
    /// Packets on their way from which on sources wait: each may feed once more.
    window: u64,
    /// Counters of what was sent.
    tx: Vec<Arc<StageCounters>>,
    /// What they were before the run.
    tx_before: u64,
}

/// What the sources of a way have put in, written by all of their threads.
#[derive(Default)]
struct FedCounters {
    packets: AtomicU64,
    octets: AtomicU64,
}

impl<'a> Traffic<'a> {
    fn new(
        eal: &Eal,
        case: &Case,
        setup: &Setup,
        duration: Duration,
        stop: &'a AtomicBool,
    ) -> Self {
        let tx = tx_counters(setup);
        let sources = setup.sources.iter().flatten().count();
        let feeding = setup.sources.iter().filter(|sources| !sources.is_empty()).count();
        Self {
            start: Barrier::new(setup.gateway.members.len()),
            stop,
            duration: ticks(eal, duration),
            patience: ticks(eal, PATIENCE),
            turn_max: ticks(eal, turn_max(case)),
            feeding: AtomicUsize::new(feeding),
            fed: case.mode.ways().iter().map(|_| FedCounters::default()).collect(),
            frames_out: case.frames_out() as u64,
            window: (case.on_their_way_max() - sources * case.feed()) as u64,
            tx_before: sent(&tx),
            tx,
        }
    }

    fn count(&self, way: usize, fed: Fed) {
        self.fed[way].octets.fetch_add(fed.octets, Ordering::Relaxed);
        self.fed[way].packets.fetch_add(fed.packets, Ordering::Release);
    }

    fn all_fed(&self) -> Fed {
        let sum = |of: fn(&FedCounters) -> &AtomicU64| {
            self.fed.iter().map(|fed| of(fed).load(Ordering::Acquire)).sum()
        };
        Fed { packets: sum(|fed| &fed.packets), octets: sum(|fed| &fed.octets) }
    }

    /// Packets that were fed and have not been sent.
    fn on_their_way(&self) -> u64 {
        let sent = (sent(&self.tx) - self.tx_before) / self.frames_out;
        self.all_fed().packets.saturating_sub(sent)
    }

    fn is_dry(&self) -> bool {
        self.feeding.load(Ordering::Acquire) == 0 && self.on_their_way() == 0
    }

    /// Whether sources go on at the TSC value `now`, for a run that ends at `end`.
    fn goes_on(&self, now: u64, end: u64, rounds: u64) -> bool {
        let enough = rounds >= ROUNDS_MIN;
        if self.stop.load(Ordering::Relaxed) && enough {
            return false;
        }
        now < if enough { end } else { end.saturating_add(self.patience) }
    }
}

/// Counters of the stages that send.
pub(crate) fn tx_counters(setup: &Setup) -> Vec<Arc<StageCounters>> {
    let places = setup.gateway.plan.instances(StageKind::Tx).into_iter();
    let counters =
        |(worker, node): (usize, usize)| setup.gateway.members[worker].1.stages[node].clone();
    places.map(counters).collect()
}

/// Frames that they have counted.
pub(crate) fn sent(tx: &[Arc<StageCounters>]) -> u64 {
    tx.iter().map(|counters| counters.packets.value()).sum()
}

/// What a thread noticed of its core.
struct CoreRun {
    cost: Cost,
    clock_ratio: f64,
    preemptions: Option<u64>,
}

fn run_threads(eal: &Eal, setup: &mut Setup, traffic: &Traffic<'_>) -> Result<Vec<CoreRun>, Error> {
    let Setup { gateway, sources, drains, .. } = setup;
    // If there are any, there is one worker.
    let mut drains = Some(&mut drains[..]);
    thread::scope(|scope| {
        let members = gateway.members.iter_mut().zip(&gateway.plan.programs).zip(sources);
        let threads = members.map(|(((worker, link), program), sources)| {
            let turns = Turns::new(link, drains.take().unwrap_or_default(), traffic.turn_max);
            scope.spawn(move || run_core(eal, program, (worker, turns), sources, traffic))
        });
        join_all(threads)
    })
}

/// Starts all threads, and waits for all; a panic of one goes on here.
pub(crate) fn join_all<'scope, T>(
    threads: impl Iterator<Item = ScopedJoinHandle<'scope, Result<T, Error>>>,
) -> Result<Vec<T>, Error> {
    // Each waits for the others to start: none may be joined before all are there.
    let threads: Vec<_> = threads.collect();
    let join = |thread: ScopedJoinHandle<'_, _>| {
        thread.join().unwrap_or_else(|cause| panic::resume_unwind(cause))
    };
    threads.into_iter().map(join).collect()
}

fn run_core(
    eal: &Eal,
    program: &Program,
    (worker, mut turns): (&mut Worker, Turns<'_>),
    sources: &mut [Source],
    traffic: &Traffic<'_>,
) -> Result<CoreRun, Error> {
    let feeding = (!sources.is_empty()).then(|| Feeding(&traffic.feeding));
    let core = usize::from(program.core.0);
    let ready = dpdk::pin_current_thread(core).and_then(|()| eal.register_thread());
    let clock_before = calibrate::clock_ratio();
    let preemptions_before = calibrate::preemptions();
    // Also without being ready: nobody shall wait for this thread for ever.
    traffic.start.wait();
    let _lcore = ready?;

    let end = feed(&mut turns, worker, sources, traffic);
    drop(feeding);
    while !traffic.is_dry() && dpdk::tsc() < end.saturating_add(traffic.patience) {
        if !turns.turn(worker) {
            std::hint::spin_loop();
        }
    }
    let preemptions = calibrate::preemptions().zip(preemptions_before);
    Ok(CoreRun {
        cost: turns.cost(program),
        clock_ratio: f64::midpoint(clock_before, calibrate::clock_ratio()),
        preemptions: preemptions.map(|(after, before)| after - before),
    })
}

/// Rounds of all sources however slow the machine is: a figure of fewer would say nothing.
const ROUNDS_MIN: u64 = 16;

/// Sources and worker in turns, until the time is up; returns the TSC value at which it was. A
/// worker without sources takes its turns as long as there are sources that feed.
fn feed(
    turns: &mut Turns<'_>,
    worker: &mut Worker,
    sources: &mut [Source],
    traffic: &Traffic<'_>,
) -> u64 {
    let end = dpdk::tsc().saturating_add(traffic.duration);
    if sources.is_empty() {
        while traffic.feeding.load(Ordering::Acquire) > 0 {
            if !turns.turn(worker) {
                std::hint::spin_loop();
            }
        }
        return dpdk::tsc();
    }
    let mut rounds = 0;
    while traffic.goes_on(dpdk::tsc(), end, rounds) {
        if traffic.on_their_way() <= traffic.window {
            for source in &mut *sources {
                traffic.count(source.way, source.feed());
            }
            rounds += 1;
        }
        turns.turn(worker);
    }
    dpdk::tsc()
}

/// Counts a thread among those that feed, for as long as it lives.
struct Feeding<'a>(&'a AtomicUsize);

impl Drop for Feeding<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Release);
    }
}
