//! The report for people: a table for each mode, a column for each size.

use std::fmt::Write;

use aead::Backend;
use dataplane::engine::topology::StageKind;

use super::{CaseReport, Report};

/// The report as text.
pub(super) fn render(report: &Report) -> String {
    let mut text = String::new();
    head(&mut text, report);
    for cases in report.cases.chunk_by(|a, b| a.mode == b.mode) {
        text.push('\n');
        mode(&mut text, cases, report.machine.aead_backend);
    }
    text
}

fn head(text: &mut String, report: &Report) {
    let machine = &report.machine;
    let pages = if machine.hugepages { "hugepages" } else { "no hugepages" };
    let mhz = machine.tsc_hz as f64 / 1e6;
    let _ = writeln!(text, "{}, TSC {mhz:.0} MHz, {pages}", machine.cpu);
    if let Some(case) = report.cases.first() {
        let cores: Vec<_> = case.cores.iter().map(ToString::to_string).collect();
        let runs = case.cycles_per_packet_runs.len();
        let _ = writeln!(
            text,
            "{} on {} {}, bursts of {}, {}, {}, median of {}",
            case.preset.name(),
            if cores.len() == 1 { "core" } else { "cores" },
            cores.join(","),
            case.burst,
            count(case.peers, "peer"),
            count(case.flows, "flow"),
            count(u32::try_from(runs).unwrap_or(u32::MAX), "run"),
        );
    }
    if !machine.optimized {
        let _ = writeln!(text, "not a release build: these figures mean nothing");
    }
    let _ = writeln!(text, "TSC cycles per packet; sizes are octets of the inner IPv4 packet");
}

fn mode(text: &mut String, cases: &[CaseReport], backend: Backend) {
    let Some(first) = cases.first() else { return };
    let title = match first.aead {
        Some(aead) => format!("{}, {aead} by {backend}", first.mode.name()),
        None => first.mode.name().to_owned(),
    };
    row(text, &title, cases, |case| case.size.to_string());
    for stage in stages(cases) {
        let name: &str = stage.into();
        row(text, &format!("  {name}"), cases, |case| {
            let found = case.stages.iter().find(|s| s.name == stage);
            found.map_or_else(|| "-".to_owned(), |s| format!("{:.1}", s.cycles_per_packet))
        });
    }
    row(text, "  loop", cases, |case| format!("{:.1}", case.loop_cycles_per_packet));
    row(text, "  total", cases, |case| format!("{:.1}", case.cycles_per_packet));
    row(text, "  total, least-most", cases, |case| {
        let (least, most) = case.cycles_per_packet_range;
        format!("{least:.0}-{most:.0}")
    });
    row(text, "  packets per call", cases, packets_per_call);
    row(text, "  Mpps", cases, |case| format!("{:.2}", case.mpps));
    row(text, "  Gbit/s", cases, |case| format!("{:.2}", case.gbps));
    row(text, "  core clock / TSC", cases, |case| format!("{:.2}", case.clock_ratio));
    row(text, "  turns set aside", cases, |case| format!("{}/{}", case.turns_aside, case.turns));
}

const NAME_WIDTH: usize = 30;
const CELL_WIDTH: usize = 12;

fn row(text: &mut String, name: &str, cases: &[CaseReport], cell: impl Fn(&CaseReport) -> String) {
    let _ = write!(text, "{name:<NAME_WIDTH$}");
    for case in cases {
        let _ = write!(text, "{:>CELL_WIDTH$}", cell(case));
    }
    text.push('\n');
}

/// The stages that packets of any case met, in their order.
fn stages(cases: &[CaseReport]) -> Vec<StageKind> {
    let mut kinds: Vec<_> = cases.iter().flat_map(|case| &case.stages).map(|s| s.name).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}

/// The smallest and the largest mean burst of the stages; one number if they are alike.
fn packets_per_call(case: &CaseReport) -> String {
    let bursts = case.stages.iter().map(|stage| stage.packets_per_call);
    let least = bursts.clone().fold(f64::INFINITY, f64::min);
    let most = bursts.fold(0.0, f64::max);
    let (least, most) = (format!("{least:.0}"), format!("{most:.0}"));
    if least == most { least } else { format!("{least}-{most}") }
}

fn count(count: u32, what: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{count} {what}{s}")
}
