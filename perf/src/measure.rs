//! One run: sources and workers in their threads, and what their counters say after it.
//!
//! ```text
//! thread of a core:  pin > calibrate > [feed > turn]… until the time is up > turn… until nothing
//!                    is on its way > calibrate
//! ```
//!
//! Counters are read when no thread runs, so they are exact: each packet of the run, and no other.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use std::{panic, thread};

use dataplane::counters::StageCounters;
use dataplane::drops::DropReason;
use dataplane::engine::topology::{CoreId, StageKind};
use dataplane::engine::worker::Worker;
use dpdk::Eal;

use crate::args::Case;
use crate::calibrate;
use crate::error::Error;
use crate::gateway::Setup;
use crate::source::Source;

/// What a run showed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Run {
    /// Packets that went all the way.
    pub(crate) packets: u64,
    /// By worker: TSC cycles of the turns in which there were packets.
    pub(crate) busy_cycles: Vec<u64>,
    /// The stages that packets met, in their order.
    pub(crate) stages: Vec<StageRun>,
    /// Core clock cycles per TSC cycle, the mean of before and after, over all cores.
    pub(crate) clock_ratio: f64,
    /// How often other threads took a core away.
    pub(crate) preemptions: Option<u64>,
}

/// A stage in a run, all its instances together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StageRun {
    pub(crate) kind: StageKind,
    pub(crate) calls: u64,
    pub(crate) packets: u64,
    pub(crate) cycles: u64,
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
    let traffic = Traffic::new(eal, case, setup, duration);
    let cores = run_threads(eal, setup, &traffic)?;
    let port_after = setup.egress.stats()?;
    let totals = Totals::of(setup).since(&before);

    let (mode, size) = (case.mode, case.size);
    if !totals.drops.is_empty() {
        return Err(Error::Drops { mode, size, drops: totals.describe_drops() });
    }
    let sent = traffic.fed.load(Ordering::Relaxed);
    let received = port_after.tx_packets - port_before.tx_packets;
    if sent != received {
        return Err(Error::Lost { mode, size, sent, received });
    }
    let expected = sent * mode.frame_len(size) as u64;
    let found = port_after.tx_octets - port_before.tx_octets;
    if expected != found {
        return Err(Error::Octets { mode, size, expected, found });
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

/// What the threads of a run share.
struct Traffic {
    /// TSC at which sources stop.
    end: u64,
    /// TSC at which what has not come out is given up.
    give_up: u64,
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
        let ticks = |duration: Duration| {
            let ticks = duration.as_nanos() * u128::from(eal.tsc_hz()) / 1_000_000_000;
            u64::try_from(ticks).unwrap_or(u64::MAX / 4)
        };
        let places = setup.gateway.plan.instances(StageKind::Tx).into_iter();
        let counters =
            |(worker, node): (usize, usize)| setup.gateway.members[worker].1.stages[node].clone();
        let tx: Vec<_> = places.map(counters).collect();
        let sources = setup.sources.iter().flatten().count();
        let end = dpdk::tsc() + ticks(duration);
        Self {
            end,
            give_up: end + ticks(PATIENCE),
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

    fn is_over(&self) -> bool {
        let dry = self.feeding.load(Ordering::Acquire) == 0 && self.on_their_way() == 0;
        dry || dpdk::tsc() > self.give_up
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
    dpdk::pin_current_thread(core.0.into())?;
    let _lcore = eal.register_thread()?;
    let clock_before = calibrate::clock_ratio();
    let preemptions_before = calibrate::preemptions();
    if let Some(source) = source {
        feed(worker, source, traffic);
    }
    while !traffic.is_over() {
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

/// Source and worker in turns, until the time is up.
fn feed(worker: &mut Worker, source: &mut Source, traffic: &Traffic) {
    while dpdk::tsc() < traffic.end {
        if traffic.on_their_way() <= traffic.window {
            traffic.fed.fetch_add(source.feed() as u64, Ordering::Release);
        }
        worker.turn();
    }
    traffic.feeding.fetch_sub(1, Ordering::Release);
}

/// Counters since the gateway was made.
struct Totals {
    busy_cycles: Vec<u64>,
    stages: Vec<StageRun>,
    /// By stage and reason; nothing that is zero.
    drops: BTreeMap<(&'static str, &'static str), u64>,
}

impl Totals {
    fn of(setup: &Setup) -> Self {
        let mut totals =
            Self { busy_cycles: Vec::new(), stages: Vec::new(), drops: BTreeMap::new() };
        let members = setup.gateway.members.iter().zip(&setup.gateway.plan.programs);
        for ((_, link), program) in members {
            totals.busy_cycles.push(link.status.busy_cycles.value());
            for (node, counters) in program.nodes.iter().zip(&link.stages) {
                totals.add_stage(node.stage, counters);
                totals.add_drops(node.stage.into(), counters);
            }
            totals.add_drops("rings", &link.rings);
        }
        for counters in setup.sources.iter().flatten().flat_map(Source::counters) {
            totals.add_drops("far gateway", counters);
        }
        totals.stages.sort_by_key(|stage| stage.kind);
        totals
    }

    fn add_stage(&mut self, kind: StageKind, counters: &StageCounters) {
        let packets = counters.packets.value();
        let more = (counters.calls.value(), packets, counters.cycles.value());
        match self.stages.iter_mut().find(|stage| stage.kind == kind) {
            Some(stage) => {
                stage.calls += more.0;
                stage.packets += more.1;
                stage.cycles += more.2;
            }
            None => {
                let (calls, packets, cycles) = more;
                self.stages.push(StageRun { kind, calls, packets, cycles });
            }
        }
        // Nobody is there to take what is punted.
        if kind == StageKind::Punt {
            self.add_drop(kind.into(), "punted", packets);
        }
    }

    fn add_drops(&mut self, stage: &'static str, counters: &StageCounters) {
        for reason in DropReason::all() {
            self.add_drop(stage, reason.name(), counters.drops[reason as usize].value());
        }
    }

    fn add_drop(&mut self, stage: &'static str, reason: &'static str, count: u64) {
        if count > 0 {
            *self.drops.entry((stage, reason)).or_default() += count;
        }
    }

    fn since(mut self, before: &Self) -> Self {
        for (now, before) in self.busy_cycles.iter_mut().zip(&before.busy_cycles) {
            *now -= before;
        }
        for (now, before) in self.stages.iter_mut().zip(&before.stages) {
            now.calls -= before.calls;
            now.packets -= before.packets;
            now.cycles -= before.cycles;
        }
        self.drops.retain(|place, count| {
            *count -= before.drops.get(place).copied().unwrap_or_default();
            *count > 0
        });
        self
    }

    fn describe_drops(&self) -> String {
        let mut text = String::new();
        for ((stage, reason), count) in &self.drops {
            let comma = if text.is_empty() { "" } else { ", " };
            let _ = write!(text, "{comma}{stage} {reason} {count}");
        }
        text
    }
}
