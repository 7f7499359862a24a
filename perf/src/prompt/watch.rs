//! Looking at workers that run: their counters now and a second ago.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use dataplane::counters::StageCounters;
use dataplane::engine::topology::StageKind;
use dataplane::engine::worker::WorkerStatus;

use crate::case::Case;
use crate::drops::DropCounters;
use crate::gateway::Setup;
use crate::measure::{sent, tx_counters};
use crate::report::text_table;

/// Counters of a set-up whose workers have been given to threads.
#[derive(Clone)]
pub(super) struct Watch {
    stages: Vec<(StageKind, Arc<StageCounters>)>,
    /// By worker.
    status: Vec<Arc<WorkerStatus>>,
    tx: Vec<Arc<StageCounters>>,
    frames_out: u64,
    hz: f64,
    pub(super) drops: DropCounters,
}

/// What they say at a time.
#[derive(Debug, Clone)]
pub(super) struct Sample {
    at: Instant,
    /// Calls, packets and cycles.
    stages: BTreeMap<StageKind, [u64; 3]>,
    busy_cycles: Vec<u64>,
    sent: u64,
}

/// What was between two samples.
#[derive(Debug, Clone)]
pub(super) struct Figures {
    seconds: f64,
    packets: f64,
    /// With calls, packets and cycles.
    stages: Vec<(StageKind, [f64; 3])>,
    /// Of all workers.
    busy_cycles: f64,
    /// Millions of packets a second that the busiest would get through.
    mpps: f64,
}

impl Watch {
    pub(super) fn new(hz: u64, case: &Case, setup: &Setup, drops: DropCounters) -> Self {
        let members = setup.gateway.members.iter().zip(&setup.gateway.plan.programs);
        let stages = members.flat_map(|((_, link), program)| {
            let kinds = program.nodes.iter().map(|node| node.stage);
            kinds.zip(link.stages.iter().cloned())
        });
        Self {
            stages: stages.collect(),
            status: setup.gateway.members.iter().map(|(_, link)| link.status.clone()).collect(),
            tx: tx_counters(setup),
            frames_out: case.frames_out() as u64,
            hz: hz as f64,
            drops,
        }
    }

    pub(super) fn sample(&self) -> Sample {
        let mut stages = BTreeMap::<_, [u64; 3]>::new();
        for (kind, counters) in &self.stages {
            let sum = stages.entry(*kind).or_default();
            sum[0] += counters.calls.value();
            sum[1] += counters.packets.value();
            sum[2] += counters.cycles.value();
        }
        Sample {
            at: Instant::now(),
            stages,
            busy_cycles: self.status.iter().map(|status| status.busy_cycles.value()).collect(),
            sent: sent(&self.tx),
        }
    }

    pub(super) fn between(&self, before: &Sample, after: &Sample) -> Figures {
        let packets = (after.sent - before.sent) as f64 / self.frames_out as f64;
        let none = [0; 3];
        let difference = |(kind, now): (&StageKind, &[u64; 3])| {
            let before = before.stages.get(kind).unwrap_or(&none);
            (*kind, [0, 1, 2].map(|of| (now[of] - before[of]) as f64))
        };
        let busy = after.busy_cycles.iter().zip(&before.busy_cycles);
        let busy: Vec<f64> = busy.map(|(after, before)| (after - before) as f64).collect();
        let busiest = busy.iter().copied().fold(1.0, f64::max);
        Figures {
            seconds: (after.at - before.at).as_secs_f64(),
            packets,
            stages: after.stages.iter().map(difference).filter(|(_, sums)| sums[1] > 0.0).collect(),
            busy_cycles: busy.iter().sum(),
            mpps: packets * self.hz / busiest / 1e6,
        }
    }
}

/// The samples of the last second.
#[derive(Debug)]
pub(super) struct Recent(VecDeque<Sample>);

/// Between samples, and how far they reach back.
pub(super) const STEP: Duration = Duration::from_millis(100);
const REACH: Duration = Duration::from_secs(1);

impl Recent {
    pub(super) fn new(first: Sample) -> Self {
        Self(VecDeque::from([first]))
    }

    /// Adds a sample; those of more than a second before are forgotten, but for the last of them.
    pub(super) fn add(&mut self, sample: Sample) {
        let is_old = |other: &Sample| sample.at.saturating_duration_since(other.at) >= REACH;
        while self.0.get(1).is_some_and(is_old) {
            self.0.pop_front();
        }
        self.0.push_back(sample);
    }

    /// The one of a second ago, or the first.
    pub(super) fn oldest(&self) -> Option<&Sample> {
        self.0.front()
    }
}

impl Figures {
    fn cycles_per_packet(&self) -> f64 {
        self.busy_cycles / self.packets.max(1.0)
    }

    /// In one line.
    pub(super) fn summary(&self) -> String {
        format!(
            "{:.1} s: {:.0} packets, {:.1} cycles each, {:.2} Mpps",
            self.seconds,
            self.packets,
            self.cycles_per_packet(),
            self.mpps
        )
    }

    /// Stage by stage.
    pub(super) fn table(&self, case: &Case) -> String {
        let packets = self.packets.max(1.0);
        let heading = ["cycles", "packets/call", "kpackets/s"].map(str::to_owned);
        let mut rows = vec![(String::new(), heading.to_vec())];
        for (kind, [calls, of_stage, cycles]) in &self.stages {
            let name: &str = kind.into();
            let cells = [cycles / packets, of_stage / calls, of_stage / self.seconds / 1e3];
            rows.push((format!("  {name}"), cells.map(|cell| format!("{cell:.1}")).to_vec()));
        }
        let of_stages: f64 = self.stages.iter().map(|(_, sums)| sums[2]).sum();
        let of_loop = (self.busy_cycles - of_stages) / packets;
        rows.push(("  loop".to_owned(), vec![format!("{of_loop:.1}")]));
        rows.push(("  total".to_owned(), vec![format!("{:.1}", self.cycles_per_packet())]));
        let gbps = self.mpps * case.size.mean() * 8.0 / 1e3;
        let (title, seconds, mpps) = (case.title(), self.seconds, self.mpps);
        let with_sources = self.packets / self.seconds / 1e6;
        format!(
            "{title}, over {seconds:.1} s: cycles for each packet put in\n{}{mpps:.2} Mpps, \
             {gbps:.2} Gbit/s; {with_sources:.2} Mpps with the sources on the same cores\n",
            text_table(&rows)
        )
    }
}
