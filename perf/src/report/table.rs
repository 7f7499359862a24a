//! The report for people: a table for each mode and number of peers, a column for each size.

use std::fmt::Write;

use dataplane::engine::topology::StageKind;

use super::{CaseReport, Report, count};

/// The report as text.
pub(super) fn render(report: &Report) -> String {
    let mut text = format!("{}\n", report.machine.line());
    if let Some(line) = report.settings_line() {
        let _ = writeln!(text, "{line}");
    }
    if !report.machine.optimized {
        text.push_str("not a release build: these figures mean nothing\n");
    }
    text.push_str("TSC cycles for each packet put in; sizes are octets of the inner IP packet\n");
    for cases in report.cases.chunk_by(CaseReport::is_of_one_table_with) {
        let title = cases.first().map(CaseReport::title).unwrap_or_default();
        let rows = rows(cases).into_iter().map(|(name, cells)| (format!("  {name}"), cells));
        let _ = write!(text, "\n{title}\n{}", text_table(&rows.collect::<Vec<_>>()));
    }
    let notes = report.notes();
    if !notes.is_empty() {
        let _ = writeln!(text, "\n{}", notes.join("\n"));
    }
    text
}

impl Report {
    /// What all cases have in common, for people; none without cases.
    pub(super) fn settings_line(&self) -> Option<String> {
        let case = self.cases.first()?;
        let cores: Vec<_> = case.cores.iter().map(ToString::to_string).collect();
        let runs = u32::try_from(case.cycles_per_packet_runs.len()).unwrap_or(u32::MAX);
        Some(format!(
            "{} on {} {}, bursts of {}, median of {}",
            case.preset.name(),
            if cores.len() == 1 { "core" } else { "cores" },
            cores.join(","),
            case.burst,
            count(runs, "run"),
        ))
    }

    /// What is not plain from the tables alone.
    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes: Vec<_> = self.cases.iter().filter_map(|case| case.size.note()).collect();
        let jumbo = self.cases.iter().filter(|case| case.mtu > 1500).map(|case| {
            let (mode, size) = (case.mode.name(), case.size.label());
            format!("{mode} of {size}: links of {} octets", case.mtu)
        });
        notes.extend(jumbo);
        notes.sort();
        notes.dedup();
        if self.cases.iter().any(|case| case.latency.is_some()) {
            let text =
                "latency: from when a packet was due to when it had been sent, ports excluded";
            notes.push(text.to_owned());
        }
        notes
    }
}

/// The row that sums up the stages.
pub(super) const ROW_TOTAL: &str = "total";

/// Names and cells of the table of some cases; the first is its heading.
pub(super) fn rows(cases: &[CaseReport]) -> Vec<(String, Vec<String>)> {
    let mut rows = Vec::new();
    let mut row = |name: &str, cell: &dyn Fn(&CaseReport) -> String| {
        rows.push((name.to_owned(), cases.iter().map(cell).collect::<Vec<_>>()));
    };
    row("", &|case| case.size.label());
    for stage in stages(cases) {
        row(stage.into(), &|case| {
            let found = case.stages.iter().find(|s| s.name == stage);
            found.map_or_else(|| "-".to_owned(), |s| format!("{:.1}", s.cycles_per_packet))
        });
    }
    row("loop", &|case| format!("{:.1}", case.loop_cycles_per_packet));
    row(ROW_TOTAL, &|case| format!("{:.1}", case.cycles_per_packet));
    row("total, least-most", &|case| {
        let (least, most) = case.cycles_per_packet_range;
        format!("{least:.0}-{most:.0}")
    });
    if cases.iter().any(|case| case.copies.is_some()) {
        row("for each copy", &|case| cell(case.cycles_per_copy, 1));
    }
    row("packets per call", &packets_per_call);
    if cases.iter().any(|case| (case.frames_in, case.frames_out) != (1, 1)) {
        row("frames in > out", &|case| format!("{} > {}", case.frames_in, case.frames_out));
    }
    row("Mpps", &|case| rate(case.mpps));
    row("Gbit/s", &|case| rate(case.gbps));
    row("drops", &|case| case.drops.to_string());
    row("core clock / TSC", &|case| format!("{:.2}", case.clock_ratio));
    row("turns set aside", &|case| format!("{}/{}", case.turns_aside, case.turns));
    latency(cases, &mut row);
    rows
}

type Row<'a> = dyn FnMut(&str, &dyn Fn(&CaseReport) -> String) + 'a;

fn latency(cases: &[CaseReport], row: &mut Row<'_>) {
    let first = cases.iter().find_map(|case| case.latency.as_ref());
    let Some(first) = first else { return };
    let of = |case: &CaseReport, value: &dyn Fn(&super::LatencyReport) -> f64| {
        cell(case.latency.as_ref().map(value), 2)
    };
    let load = first.load;
    let of_rate = |case: &CaseReport, value: &dyn Fn(&super::LatencyReport) -> f64| {
        case.latency.as_ref().map_or_else(|| "-".to_owned(), |found| rate(value(found)))
    };
    row(&format!("at {load}, Mpps offered"), &|case| of_rate(case, &|found| found.offered_mpps));
    row("carried", &|case| of_rate(case, &|found| found.carried_mpps));
    for (index, (name, _)) in first.percentiles().into_iter().enumerate() {
        let name = format!("latency {name}, us");
        row(&name, &|case| of(case, &|found| found.percentiles()[index].1));
    }
}

/// A rate: more digits where it is small.
fn rate(value: f64) -> String {
    if value < 0.1 { format!("{value:.5}") } else { format!("{value:.2}") }
}

/// A number with so many digits behind the point, or that there is none.
fn cell(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
}

const NAME_WIDTH: usize = 24;
const CELL_WIDTH: usize = 12;

/// Rows with their names on the left, and cells to the right of their columns.
pub(crate) fn text_table(rows: &[(String, Vec<String>)]) -> String {
    let columns = rows.iter().map(|(_, cells)| cells.len()).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|(_, cells)| cells.get(column));
        cells.map(|cell| cell.chars().count() + 2).max().unwrap_or(0).max(CELL_WIDTH)
    };
    let widths: Vec<_> = (0..columns).map(width).collect();
    let mut text = String::new();
    for (name, cells) in rows {
        let mut line = format!("{name:<NAME_WIDTH$}");
        for (cell, width) in cells.iter().zip(&widths) {
            let _ = write!(line, "{cell:>width$}");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// The stages that packets of any case met, in their order.
pub(super) fn stages(cases: &[CaseReport]) -> Vec<StageKind> {
    let mut kinds: Vec<_> = cases.iter().flat_map(|case| &case.stages).map(|s| s.name).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}

/// The smallest and the largest mean burst of the stages; one number if they are alike.
pub(super) fn packets_per_call(case: &CaseReport) -> String {
    let bursts = case.stages.iter().map(|stage| stage.packets_per_call);
    let least = bursts.clone().fold(f64::INFINITY, f64::min);
    let most = bursts.fold(0.0, f64::max);
    let (least, most) = (format!("{least:.0}"), format!("{most:.0}"));
    if least == most { least } else { format!("{least}-{most}") }
}
