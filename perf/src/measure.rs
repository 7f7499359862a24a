//! One run: sources and workers in their threads, and what their counters say after it.
//!
//! ```text
//! thread of a core:  pin > calibrate > [feed > turn]… until the time is up > turn… until nothing
//!                    is on its way > calibrate
//! ```
//!
//! Counters are read when no thread runs, so they are exact: each packet of the run, and no other.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;
use std::{panic, thread};

use dataplane::counters::StageCounters;
use dataplane::engine::topology::{CoreId, StageKind};
use dataplane::engine::worker::Worker;
use dpdk::Eal;

use crate::args::Case;
use crate::calibrate;
use crate::error::Error;
use crate::gateway::Setup;
use crate::source::Source;
use crate::totals::{StageTotals, Totals};

/// What a run showed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Run {
    /// Packets that went all the way.
    pub(crate) packets: u64,
    /// By worker: TSC cycles of the turns in which there were packets.
    pub(crate) busy_cycles: Vec<u64>,
    /// The stages that packets met, in their order.
    pub(crate) stages: Vec<StageTotals>,
    /// Core clock cycles per TSC cycle, the mean of before and after, over all cores.
    pub(crate) clock_ratio: f64,
    /// How often other threads took a core away.
    pub(crate) preemptions: Option<u64>,
}

/// Feeds `setup` for `duration`, and lets it run dry.
pub(crate) fn measure(
    eal: &Eal,
    case: &Case,
    setup: &mut Setup,
    duration: Duration,
) -> Result<Run, Error> {
    let before = Totals::of(setup);
    let port_before = setup.egress.stats()?;
    let traffic = Traffic::new(case, setup, ticks(eal, duration), ticks(eal, PATIENCE));
    let cores = run_threads(eal, setup, &traffic)?;
    let port_after = setup.egress.stats()?;
    let totals = Totals::of(setup).since(&before);

    let (mode, size) = (case.mode, case.size);
    totals.refuse_drops(case)?;
    let sent = traffic.fed.load(Ordering::Relaxed);
    let received = port_after.tx_packets - port_before.tx_packets;
    if sent != received || sent == 0 {
        return Err(Error::Lost { mode, size, sent, received });
    }
    let clocks = cores.iter().map(|core| core.clock_ratio).sum::<f64>();
    Ok(Run {
        packets: sent,
        busy_cycles: totals.busy_cycles,
        stages: totals.stages.into_iter().filter(|stage| stage.packets > 0).collect(),
        clock_ratio: clocks / cores.len() as f64,
        preemptions: cores.iter().map(|core| core.preemptions).sum(),
    })
}

/// How long packets may be on their way after the last was fed. Much more than they need, and a
/// machine that is busy with other work may need.
const PATIENCE: Duration = Duration::from_secs(5);

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
    fn new(case: &Case, setup: &Setup, duration: u64, patience: u64) -> Self {
        let places = setup.gateway.plan.instances(StageKind::Tx).into_iter();
        let counters =
            |(worker, node): (usize, usize)| setup.gateway.members[worker].1.stages[node].clone();
        let tx: Vec<_> = places.map(counters).collect();
        let sources = setup.sources.iter().flatten().count();
        Self {
            start: Barrier::new(setup.gateway.members.len()),
            duration,
            patience,
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
    clock_ratio: f64,
    preemptions: Option<u64>,
}

fn run_threads(eal: &Eal, setup: &mut Setup, traffic: &Traffic) -> Result<Vec<CoreRun>, Error> {
    let Setup { gateway, sources, .. } = setup;
    thread::scope(|scope| {
        let members = gateway.members.iter_mut().zip(sources);
        let threads = members.map(|((worker, link), source)| {
            let core = link.core;
            scope.spawn(move || run_core(eal, core, worker, source.as_mut(), traffic))
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
    core: CoreId,
    worker: &mut Worker,
    source: Option<&mut Source>,
    traffic: &Traffic,
) -> Result<CoreRun, Error> {
    let ready = dpdk::pin_current_thread(core.0.into()).and_then(|()| eal.register_thread());
    let clock_before = calibrate::clock_ratio();
    let preemptions_before = calibrate::preemptions();
    // Also without being ready: nobody shall wait for this thread for ever.
    traffic.start.wait();
    let _lcore = ready?;

    let end = dpdk::tsc().saturating_add(traffic.duration);
    if let Some(source) = source {
        feed(worker, source, traffic, end);
    }
    while !traffic.is_dry() && dpdk::tsc() < end.saturating_add(traffic.patience) {
        if !worker.turn() {
            std::hint::spin_loop();
        }
    }
    let preemptions = calibrate::preemptions().zip(preemptions_before);
    Ok(CoreRun {
        clock_ratio: f64::midpoint(clock_before, calibrate::clock_ratio()),
        preemptions: preemptions.map(|(after, before)| after - before),
    })
}

/// Source and worker in turns, until the time is up; at least once.
fn feed(worker: &mut Worker, source: &mut Source, traffic: &Traffic, end: u64) {
    loop {
        if traffic.on_their_way() <= traffic.window {
            traffic.fed.fetch_add(source.feed() as u64, Ordering::Release);
        }
        worker.turn();
        if dpdk::tsc() >= end {
            break;
        }
    }
    traffic.feeding.fetch_sub(1, Ordering::Release);
}
