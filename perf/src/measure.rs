//! One run: sources and workers in their threads, and what their counters say after it.
//!
//! ```text
//! thread of a core:  pin > calibrate > [feed > turn]… until the time is up > turn… until nothing
//!                    is on its way > calibrate
//! ```
//!
//! Packets are counted exactly: a run is over when each of them has come out.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;
use std::{panic, thread};

use dataplane::counters::StageCounters;
use dataplane::engine::assembly::Link;
use dataplane::engine::plan::Program;
use dataplane::engine::topology::StageKind;
use dataplane::engine::worker::Worker;
use dpdk::Eal;

use crate::args::Case;
use crate::calibrate;
use crate::drops::Drops;
use crate::error::Error;
use crate::gateway::Setup;
use crate::source::Source;
use crate::turns::{Cost, StageCost, Turns};

/// What a run showed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Run {
    /// Packets that went all the way.
    pub(crate) packets: u64,
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

/// Feeds `setup` for `duration`, and lets it run dry.
pub(crate) fn measure(
    eal: &Eal,
    case: &Case,
    setup: &mut Setup,
    duration: Duration,
) -> Result<Run, Error> {
    let port_before = setup.egress.stats()?;
    let traffic = Traffic::new(eal, case, setup, duration);
    let cores = run_threads(eal, setup, &traffic)?;
    let port_after = setup.egress.stats()?;
    Drops::of(setup).refuse(case)?;
    let (mode, size) = (case.mode, case.size);
    let sent = traffic.fed.load(Ordering::Relaxed);
    let received = port_after.tx_packets - port_before.tx_packets;
    if sent != received || sent == 0 {
        return Err(Error::Lost { mode, size, sent, received });
    }
    Ok(sum(sent, &cores))
}

/// A run of so many packets, from what its cores noticed.
fn sum(packets: u64, cores: &[CoreRun]) -> Run {
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
        busy_cycles: cores.iter().map(|core| core.cost.busy_cycles).collect(),
        stages: stages.into_values().collect(),
        clock_ratio: cores.iter().map(|core| core.clock_ratio).sum::<f64>() / cores.len() as f64,
        preemptions: cores.iter().map(|core| core.preemptions).sum(),
        turns: cores.iter().map(|core| core.cost.turns).sum(),
        turns_aside: cores.iter().map(|core| core.cost.turns_aside).sum(),
    }
}

/// A turn of 256 of the largest packets takes a fifth of this; when the kernel gives a core to
/// another thread, it is for longer.
const TURN_MAX: Duration = Duration::from_millis(1);

/// How long packets may be on their way after the last was fed. Much more than they need, and a
/// machine that is busy with other work may need.
const PATIENCE: Duration = Duration::from_secs(2);

fn ticks(eal: &Eal, duration: Duration) -> u64 {
    let ticks = duration.as_nanos() * u128::from(eal.tsc_hz()) / 1_000_000_000;
    u64::try_from(ticks).unwrap_or(u64::MAX)
}

/// What the threads of a run share.
struct Traffic {
    /// Holds all threads until the last is ready.
    start: Barrier,
    /// TSC ticks for which sources feed.
    duration: u64,
    /// TSC ticks after which what has not come out is given up.
    patience: u64,
    /// TSC ticks that no turn takes by itself.
    turn_max: u64,
    /// Sources that have not stopped yet.
    feeding: AtomicUsize,
    /// Packets fed in this run.
    fed: AtomicU64,
    /// Packets on their way from which on sources wait: each may feed one burst more.
    window: u64,
    /// Counters of what was sent.
    tx: Vec<Arc<StageCounters>>,
    /// What they were before the run.
    tx_before: u64,
}

impl Traffic {
    fn new(eal: &Eal, case: &Case, setup: &Setup, duration: Duration) -> Self {
        let places = setup.gateway.plan.instances(StageKind::Tx).into_iter();
        let counters =
            |(worker, node): (usize, usize)| setup.gateway.members[worker].1.stages[node].clone();
        let tx: Vec<_> = places.map(counters).collect();
        let sources = setup.sources.iter().flatten().count();
        Self {
            start: Barrier::new(setup.gateway.members.len()),
            duration: ticks(eal, duration),
            patience: ticks(eal, PATIENCE),
            turn_max: ticks(eal, TURN_MAX),
            feeding: AtomicUsize::new(sources),
            fed: AtomicU64::new(0),
            window: (case.on_their_way_max() - sources * case.burst) as u64,
            tx_before: sent(&tx),
            tx,
        }
    }

    /// Packets that were fed and have not been sent.
    fn on_their_way(&self) -> u64 {
        self.fed.load(Ordering::Acquire).saturating_sub(sent(&self.tx) - self.tx_before)
    }

    fn is_dry(&self) -> bool {
        self.feeding.load(Ordering::Acquire) == 0 && self.on_their_way() == 0
    }
}

fn sent(tx: &[Arc<StageCounters>]) -> u64 {
    tx.iter().map(|counters| counters.packets.value()).sum()
}

/// What a thread noticed of its core.
struct CoreRun {
    cost: Cost,
    clock_ratio: f64,
    preemptions: Option<u64>,
}

fn run_threads(eal: &Eal, setup: &mut Setup, traffic: &Traffic) -> Result<Vec<CoreRun>, Error> {
    let Setup { gateway, sources, .. } = setup;
    thread::scope(|scope| {
        let members = gateway.members.iter_mut().zip(&gateway.plan.programs).zip(sources);
        let threads = members.map(|(((worker, link), program), source)| {
            let source = source.as_mut();
            scope.spawn(move || run_core(eal, program, (worker, link), source, traffic))
        });
        let threads: Vec<_> = threads.collect();
        let join = |thread: thread::ScopedJoinHandle<'_, _>| {
            thread.join().unwrap_or_else(|cause| panic::resume_unwind(cause))
        };
        threads.into_iter().map(join).collect()
    })
}

fn run_core(
    eal: &Eal,
    program: &Program,
    (worker, link): (&mut Worker, &Link),
    source: Option<&mut Source>,
    traffic: &Traffic,
) -> Result<CoreRun, Error> {
    let core = usize::from(program.core.0);
    let ready = dpdk::pin_current_thread(core).and_then(|()| eal.register_thread());
    let clock_before = calibrate::clock_ratio();
    let preemptions_before = calibrate::preemptions();
    // Also without being ready: nobody shall wait for this thread for ever.
    traffic.start.wait();
    let _lcore = ready?;

    let end = dpdk::tsc().saturating_add(traffic.duration);
    let mut turns = Turns::new(link, traffic.turn_max);
    if let Some(source) = source {
        feed(&mut turns, worker, source, traffic, end);
    }
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

/// Bursts that a source feeds however slow the machine is: a figure of fewer would say nothing.
const BURSTS_MIN: u64 = 16;

/// Source and worker in turns, until the time is up.
fn feed(
    turns: &mut Turns<'_>,
    worker: &mut Worker,
    source: &mut Source,
    traffic: &Traffic,
    end: u64,
) {
    let mut bursts = 0;
    let give_up = end.saturating_add(traffic.patience);
    while dpdk::tsc() < if bursts < BURSTS_MIN { give_up } else { end } {
        if traffic.on_their_way() <= traffic.window {
            traffic.fed.fetch_add(source.feed() as u64, Ordering::Release);
            bursts += 1;
        }
        turns.turn(worker);
    }
    traffic.feeding.fetch_sub(1, Ordering::Release);
}
