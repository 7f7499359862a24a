//! The plots.

use dataplane::engine::topology::StageKind;

use super::svg::{Anchor, Svg, short, ticks};
use crate::report::CaseReport;
use crate::report::table::stages;

/// Shades, and hues, that tell sizes apart, from the first of a mode to the last.
const SHADES: usize = 6;
const WIDTH: f64 = 560.0;
const BAR: f64 = 13.0;
const GAP: f64 = 10.0;
const AXIS: f64 = 24.0;
/// Room for values behind bars.
const VALUE: f64 = 52.0;

/// The class of the bar or line number `index` of a group.
fn shade(index: usize) -> String {
    format!("s{}", index.min(SHADES - 1))
}

/// The class of the curve number `index` of a plot.
fn hue(index: usize) -> String {
    format!("c{}", index.min(SHADES - 1))
}

/// Modes with their sizes: a bar for each, as long as `value` says.
pub(super) fn by_mode_and_size(
    groups: &[&[CaseReport]],
    unit: &str,
    value: impl Fn(&CaseReport) -> f64,
) -> String {
    const LEFT: f64 = 168.0;
    let bars: usize = groups.iter().map(|cases| cases.len()).sum();
    let height = bars as f64 * BAR + groups.len() as f64 * GAP + AXIS;
    let max = groups.iter().copied().flatten().map(&value).fold(0.0, f64::max);
    let scale = (WIDTH - LEFT - VALUE) / max.max(f64::MIN_POSITIVE);
    let mut svg = Svg::new(WIDTH, height);
    axis(&mut svg, LEFT, scale, max, height);
    let mut y = GAP / 2.0;
    for cases in groups {
        let middle = y + cases.len() as f64 * BAR / 2.0;
        if let Some(first) = cases.first() {
            svg.text((0.0, middle + 4.0), Anchor::Start, "group", &name(first));
        }
        for (index, case) in cases.iter().enumerate() {
            let (value, label) = (value(case), case.size.label());
            let tip = format!("{}, {label}: {} {unit}", case.title(), short(value));
            svg.text((LEFT - 6.0, y + 10.0), Anchor::End, "size", &clip(&label));
            let size = (value * scale, BAR - 2.0);
            svg.bar((LEFT, y + 1.0), size, &shade(index), &tip);
            let end = LEFT + size.0 + 5.0;
            svg.text((end, y + 10.0), Anchor::Start, "value", &short(value));
            y += BAR;
        }
        y += GAP;
    }
    svg.finish(&format!("{unit} by mode and size"))
}

/// The cases of a mode: a bar for each, of its stages one behind the other.
pub(super) fn stage_stack(cases: &[CaseReport]) -> String {
    const LEFT: f64 = 60.0;
    const ROW: f64 = 26.0;
    let height = cases.len() as f64 * ROW + AXIS;
    let max = cases.iter().map(|case| case.cycles_per_packet).fold(0.0, f64::max);
    let scale = (WIDTH - LEFT - VALUE) / max.max(f64::MIN_POSITIVE);
    let mut svg = Svg::new(WIDTH, height);
    axis(&mut svg, LEFT, scale, max, height);
    for (index, case) in cases.iter().enumerate() {
        let y = index as f64 * ROW + 3.0;
        let size = case.size.label();
        svg.text((LEFT - 6.0, y + 14.0), Anchor::End, "size", &clip(&size));
        let stages = case.stages.iter().map(|stage| {
            let name: &str = stage.name.into();
            (name, stage.cycles_per_packet, stage.packets_per_call)
        });
        let mut x = LEFT;
        for (name, cycles, burst) in stages.chain([("loop", case.loop_cycles_per_packet, 0.0)]) {
            let width = cycles.max(0.0) * scale;
            let mut tip = format!("{name}: {cycles:.1} cycles");
            if burst > 0.0 {
                tip += &format!(", {burst:.0} packets per call");
            }
            svg.bar((x, y), (width, ROW - 7.0), &format!("stage {name}"), &tip);
            // As wide as its letters are about.
            if width > name.len() as f64 * 6.2 + 6.0 {
                let middle = (x + width / 2.0, y + 13.5);
                svg.text(middle, Anchor::Middle, &format!("on {name}"), name);
            }
            x += width;
        }
        let total = format!("{:.0}", case.cycles_per_packet);
        svg.text((x + 5.0, y + 14.0), Anchor::Start, "value", &total);
    }
    svg.finish("cycles by stage")
}

/// Names of the stages that any of the cases met, for a legend; the loop is the last.
pub(super) fn stage_names(cases: &[CaseReport]) -> Vec<&'static str> {
    let kinds = stages(cases);
    kinds.into_iter().map(|kind: StageKind| kind.into()).chain(["loop"]).collect()
}

/// Latencies of the cases of a mode: how many frames, on a scale of nines, are not slower.
pub(super) fn latency_distribution(cases: &[CaseReport], (least, most): (f64, f64)) -> String {
    const LEFT: f64 = 60.0;
    const TOP: f64 = 8.0;
    const PLOT: f64 = 190.0;
    /// Shares are drawn up to this many nines.
    const NINES: f64 = 5.0;
    let right = WIDTH - 24.0;
    let (from, to) = (least.log10().floor(), most.log10().ceil());
    let span = (to - from).max(1.0);
    let x = |us: f64| LEFT + (us.log10() - from).max(0.0) / span * (right - LEFT);
    let nines = |share: f64| -(1.0 - share).max(10f64.powf(-NINES)).log10();
    let y = |share: f64| TOP + PLOT * (1.0 - nines(share) / NINES);

    let mut svg = Svg::new(WIDTH, TOP + PLOT + 34.0);
    for share in [0.0, 0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999] {
        let label = format!("{}%", (share * 1e7_f64).round() / 1e5);
        svg.line((LEFT, y(share)), (right, y(share)), "grid");
        svg.text((LEFT - 6.0, y(share) + 4.0), Anchor::End, "size", &label);
    }
    let mut decade = from;
    while decade <= from + span + 0.5 {
        let us = 10f64.powf(decade);
        svg.line((x(us), TOP), (x(us), TOP + PLOT), "grid");
        let label = if us < 1.0 { format!("{us:.1}") } else { format!("{us:.0}") };
        svg.text((x(us), TOP + PLOT + 16.0), Anchor::Middle, "size", &label);
        decade += 1.0;
    }
    svg.text((right, TOP + PLOT + 31.0), Anchor::End, "size", "microseconds");
    for (index, case) in cases.iter().enumerate() {
        let Some(latency) = &case.latency else { continue };
        let start = (latency.min_us.max(least), 0.0);
        let points = std::iter::once(&start).chain(&latency.distribution);
        let points: Vec<_> = points.map(|(us, share)| (x(*us), y(*share))).collect();
        let tip = format!("{}: median {:.2} us", case.size.label(), latency.p50_us);
        svg.path(&points, &format!("curve {}", hue(index)), &tip);
    }
    svg.finish("distribution of latency")
}

/// A legend of the curves of some cases.
pub(super) fn curves_legend(cases: &[CaseReport]) -> Vec<(String, String)> {
    let sizes = cases.iter().enumerate();
    sizes.map(|(index, case)| (hue(index), case.size.label())).collect()
}

/// Vertical lines at round numbers, which stand below them.
fn axis(svg: &mut Svg, left: f64, scale: f64, max: f64, height: f64) {
    for tick in ticks(max, 5) {
        let x = left + tick * scale;
        svg.line((x, 0.0), (x, height - AXIS + 4.0), "grid");
        let label = if tick.fract() == 0.0 { format!("{tick:.0}") } else { short(tick) };
        svg.text((x, height - 6.0), Anchor::Middle, "size", &label);
    }
}

/// Mode, and peers where they matter.
pub(super) fn name(case: &CaseReport) -> String {
    let mode = case.mode.name();
    if case.peers == 1 { mode.to_owned() } else { format!("{mode}, {} p.", case.peers) }
}

/// As much of a label as there is room for.
fn clip(label: &str) -> String {
    const CHARACTERS: usize = 9;
    match label.chars().count() {
        ..=CHARACTERS => label.to_owned(),
        _ => label.chars().take(CHARACTERS - 1).chain(['…']).collect(),
    }
}
