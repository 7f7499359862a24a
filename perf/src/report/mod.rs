//! What is reported of a case: its median run, and how far the other runs are from it.

mod table;
#[cfg(test)]
mod tests;

use std::fs;

use aead::{Algorithm, Backend};
use dataplane::engine::topology::{CoreId, StageKind};
use dpdk::Eal;
use serde::{Serialize, Serializer};

use crate::args::{Case, Preset};
use crate::measure::Run;
use crate::mode::Mode;
use crate::turns::StageCost;

/// All figures of a bench.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Where they were measured.
    pub machine: Machine,
    /// What was measured, in the order of the command line.
    pub cases: Vec<CaseReport>,
}

/// What figures depend on beside the gateway.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Machine {
    /// The processor, as the kernel calls it.
    pub cpu: String,
    /// Frequency of the time-stamp counter, in Hz.
    pub tsc_hz: u64,
    /// Whether packets were in hugepages.
    pub hugepages: bool,
    /// The AEAD back end.
    #[serde(serialize_with = "backend_name")]
    pub aead_backend: Backend,
    /// Whether this program was compiled with optimisation in full: without, figures mean nothing.
    pub optimized: bool,
}

/// Figures of one mode and size. Cycles are those of the TSC.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CaseReport {
    /// The mode.
    pub mode: Mode,
    /// Octets of the inner IPv4 packets.
    pub size: u16,
    /// Tunnel peers.
    pub peers: u32,
    /// Flows.
    pub flows: u32,
    /// ESP transform; none in clear.
    #[serde(serialize_with = "algorithm_name")]
    pub aead: Option<Algorithm>,
    /// How stages were placed.
    pub preset: Preset,
    /// On which cores.
    pub cores: Vec<CoreId>,
    /// Most packets taken at a time.
    pub burst: usize,
    /// Packets of the median run.
    pub packets: u64,
    /// Millions of packets a second that the busiest core would get through.
    pub mpps: f64,
    /// The same in Gbit/s of inner packets.
    pub gbps: f64,
    /// Cycles of all cores for a packet: of turns in which there were packets, with everything
    /// that is done in them.
    pub cycles_per_packet: f64,
    /// The least and the most of all runs.
    pub cycles_per_packet_range: (f64, f64),
    /// Every run, in the order in which they were made.
    pub cycles_per_packet_runs: Vec<f64>,
    /// By stage.
    pub stages: Vec<StageReport>,
    /// What is no stage's: polling, passing packets on, counting, timers.
    pub loop_cycles_per_packet: f64,
    /// Cycles of the core's clock for each of the TSC.
    pub clock_ratio: f64,
    /// How often other threads took a core away in the median run.
    pub preemptions: Option<u64>,
    /// Turns with packets in the median run.
    pub turns: u64,
    /// Those of them that took so long that they must have been interrupted. What they cost is
    /// replaced by what the packets of the other turns cost.
    pub turns_aside: u64,
    /// Packets dropped. Always 0: a drop is an error.
    pub drops: u64,
}

/// Figures of a stage.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StageReport {
    /// The stage.
    pub name: StageKind,
    /// TSC cycles for a packet.
    pub cycles_per_packet: f64,
    /// Mean burst.
    pub packets_per_call: f64,
}

impl Report {
    /// The report as text: tables for people, or JSON, an object a line.
    #[must_use]
    pub fn render(&self, json: bool) -> String {
        if json { self.json_lines() } else { table::render(self) }
    }

    fn json_lines(&self) -> String {
        #[derive(Serialize)]
        struct Line<'a> {
            #[serde(flatten)]
            case: &'a CaseReport,
            machine: &'a Machine,
        }
        let line = |case| serde_json::to_string(&Line { case, machine: &self.machine });
        // Numbers, names and lists of them: nothing that JSON could refuse.
        self.cases.iter().filter_map(|case| line(case).ok()).map(|line| line + "\n").collect()
    }
}

impl Machine {
    pub(crate) fn of(eal: &Eal) -> Self {
        Self {
            cpu: cpu_model().unwrap_or_else(|| "unknown processor".to_owned()),
            tsc_hz: eal.tsc_hz(),
            hugepages: eal.hugepages(),
            aead_backend: Backend::default(),
            optimized: !cfg!(debug_assertions),
        }
    }
}

impl CaseReport {
    /// The report of a case; none without a run.
    pub(crate) fn of(case: &Case, runs: &[Run], machine: &Machine) -> Option<Self> {
        let all: Vec<f64> = runs.iter().map(cycles_per_packet).collect();
        let mut order: Vec<usize> = (0..runs.len()).collect();
        order.sort_by(|a, b| all[*a].total_cmp(&all[*b]));
        let (least, most) = (*order.first()?, *order.last()?);
        let median = order[(order.len() - 1) / 2];
        let run = &runs[median];

        let stages: Vec<_> = run.stages.iter().map(StageReport::of).collect();
        let stage_cycles: u64 = run.stages.iter().map(|stage| stage.cycles).sum();
        let packets = run.packets as f64;
        let busiest = run.busy_cycles.iter().copied().max()?.max(1) as f64;
        let mpps = packets * machine.tsc_hz as f64 / busiest / 1e6;
        Some(Self {
            mode: case.mode,
            size: case.size,
            peers: case.peers,
            flows: case.flows,
            aead: case.mode.is_protected().then_some(case.aead),
            preset: case.preset,
            cores: case.cores.clone(),
            burst: case.burst,
            packets: run.packets,
            mpps,
            gbps: mpps * f64::from(case.size) * 8.0 / 1e3,
            cycles_per_packet: all[median],
            cycles_per_packet_range: (all[least], all[most]),
            loop_cycles_per_packet: all[median] - stage_cycles as f64 / packets,
            cycles_per_packet_runs: all,
            stages,
            clock_ratio: run.clock_ratio,
            preemptions: run.preemptions,
            turns: run.turns,
            turns_aside: run.turns_aside,
            drops: 0,
        })
    }
}

impl StageReport {
    fn of(stage: &StageCost) -> Self {
        let packets = stage.packets as f64;
        Self {
            name: stage.kind,
            cycles_per_packet: stage.cycles as f64 / packets,
            packets_per_call: packets / stage.calls as f64,
        }
    }
}

fn cycles_per_packet(run: &Run) -> f64 {
    run.busy_cycles.iter().sum::<u64>() as f64 / run.packets as f64
}

fn cpu_model() -> Option<String> {
    let info = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = info.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn backend_name<S: Serializer>(backend: &Backend, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(backend.name())
}

#[expect(clippy::ref_option, reason = "serde passes the field so")]
fn algorithm_name<S: Serializer>(
    algorithm: &Option<Algorithm>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    algorithm.map(Algorithm::name).serialize(serializer)
}
