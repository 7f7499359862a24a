//! What is reported of a case: its median run, and how far the other runs are from it.

pub(crate) mod html;
pub(crate) mod latency;
mod table;
#[cfg(test)]
pub(crate) mod tests;

use std::fs;

use aead::{Algorithm, Backend};
use dataplane::engine::topology::{CoreId, StageKind};
use dpdk::Eal;
use serde::{Serialize, Serializer};

pub use self::latency::LatencyReport;
pub(crate) use self::table::text_table;
use crate::args::Preset;
use crate::case::Case;
use crate::latency::Latencies;
use crate::measure::Run;
use crate::mode::Mode;
use crate::size::Size;
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
    /// Whether this program was compiled with optimisation in full: without, figures mean nothing.
    pub optimized: bool,
}

/// Figures of one mode and size. Cycles are those of the TSC. A packet is one that was put in,
/// whatever became of it: fragments and copies belong to it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CaseReport {
    /// The mode.
    pub mode: Mode,
    /// Octets of the inner IP packets, or the name of a mixture.
    pub size: Size,
    /// Octets of the inner IP packets, on average.
    pub octets_per_packet: f64,
    /// Largest IP packet of the links, in octets.
    pub mtu: u16,
    /// Tunnel peers.
    pub peers: u32,
    /// Flows; those of a capture are not counted.
    pub flows: Option<u32>,
    /// ESP transform; none in clear.
    #[serde(serialize_with = "algorithm_name")]
    pub aead: Option<Algorithm>,
    /// Its back end; none in clear.
    #[serde(serialize_with = "backend_name")]
    pub backend: Option<Backend>,
    /// How stages were placed.
    pub preset: Preset,
    /// On which cores.
    pub cores: Vec<CoreId>,
    /// Most packets taken at a time.
    pub burst: usize,
    /// Packets of the median run.
    pub packets: u64,
    /// Frames in which a packet arrives.
    pub frames_in: usize,
    /// Frames that leave for a packet: its fragments, or its copies.
    pub frames_out: usize,
    /// Copies that are made of a packet to a group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub copies: Option<u32>,
    /// What each of them costs, with its share in all that is done for the packet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cycles_per_copy: Option<f64>,
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
    /// At a load, if one was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<LatencyReport>,
}

/// Figures of a stage.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StageReport {
    /// The stage.
    pub name: StageKind,
    /// TSC cycles for a packet put in.
    pub cycles_per_packet: f64,
    /// Mean burst.
    pub packets_per_call: f64,
    /// How often a packet passes it: 2 where it is in two fragments, a half where only one way of
    /// two leads through it.
    pub passes: f64,
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
            optimized: !cfg!(debug_assertions),
        }
    }

    /// In one line, for people.
    pub(crate) fn line(&self) -> String {
        let pages = if self.hugepages { "hugepages" } else { "no hugepages" };
        format!("{}, TSC {:.0} MHz, {pages}", self.cpu, self.tsc_hz as f64 / 1e6)
    }
}

impl CaseReport {
    /// The report of a case; none without a run.
    pub(crate) fn of(case: &Case, runs: &[Run], machine: &Machine) -> Option<Self> {
        let all: Vec<f64> = runs.iter().map(Run::cycles_per_packet).collect();
        let mut order: Vec<usize> = (0..runs.len()).collect();
        order.sort_by(|a, b| all[*a].total_cmp(&all[*b]));
        let (least, most) = (*order.first()?, *order.last()?);
        let median = order[(order.len() - 1) / 2];
        let run = &runs[median];

        let packets = run.packets as f64;
        let stage_cycles: u64 = run.stages.iter().map(|stage| stage.cycles).sum();
        let octets_per_packet = run.octets as f64 / packets;
        let mpps = run.mpps(machine.tsc_hz);
        let copies = (case.mode == Mode::Replicate).then_some(case.peers);
        Some(Self {
            mode: case.mode,
            size: case.size.clone(),
            octets_per_packet,
            mtu: case.mtu,
            peers: case.peers,
            flows: (!matches!(case.size, Size::Capture(_))).then_some(case.flows),
            aead: case.mode.is_protected().then_some(case.aead),
            backend: case.mode.is_protected().then_some(case.backend),
            preset: case.preset,
            cores: case.cores.clone(),
            burst: case.burst,
            packets: run.packets,
            frames_in: case.frames_in(),
            frames_out: case.frames_out(),
            copies,
            cycles_per_copy: copies.map(|copies| all[median] / f64::from(copies)),
            mpps,
            gbps: mpps * octets_per_packet * 8.0 / 1e3,
            cycles_per_packet: all[median],
            cycles_per_packet_range: (all[least], all[most]),
            loop_cycles_per_packet: all[median] - stage_cycles as f64 / packets,
            cycles_per_packet_runs: all,
            stages: run.stages.iter().map(|stage| StageReport::of(stage, packets)).collect(),
            clock_ratio: run.clock_ratio,
            preemptions: run.preemptions,
            turns: run.turns,
            turns_aside: run.turns_aside,
            drops: 0,
            latency: None,
        })
    }

    /// The same with what was measured at a load.
    pub(crate) fn with_latency(self, case: &Case, latencies: Option<Latencies>) -> Self {
        let latency = case.load.zip(latencies);
        let latency = latency.map(|(load, found)| LatencyReport::of(load, &found));
        Self { latency, ..self }
    }

    /// What tables and plots are headed with: mode, algorithm and peers.
    pub(crate) fn title(&self) -> String {
        let mut title = self.mode.name().to_owned();
        if let Some((aead, backend)) = self.aead.zip(self.backend) {
            title += &format!(", {aead} by {backend}");
        }
        title += &format!(", {}", count(self.peers, "peer"));
        if let Some(flows) = self.flows {
            title += &format!(", {}", count(flows, "flow"));
        }
        title
    }

    /// Whether both are of one table.
    pub(crate) fn is_of_one_table_with(&self, other: &Self) -> bool {
        (self.mode, self.peers) == (other.mode, other.peers)
    }
}

impl StageReport {
    fn of(stage: &StageCost, packets_put_in: f64) -> Self {
        let packets = stage.packets as f64;
        Self {
            name: stage.kind,
            cycles_per_packet: stage.cycles as f64 / packets_put_in,
            packets_per_call: packets / stage.calls as f64,
            passes: packets / packets_put_in,
        }
    }
}

pub(crate) fn count(count: u32, what: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{count} {what}{s}")
}

fn cpu_model() -> Option<String> {
    let info = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = info.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

#[expect(clippy::ref_option, reason = "serde passes the field so")]
fn backend_name<S: Serializer>(
    backend: &Option<Backend>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    backend.map(Backend::name).serialize(serializer)
}

#[expect(clippy::ref_option, reason = "serde passes the field so")]
fn algorithm_name<S: Serializer>(
    algorithm: &Option<Algorithm>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    algorithm.map(Algorithm::name).serialize(serializer)
}
