//! Two settings, measured alternately: the ratio of what they cost, with its spread.
//!
//! ```text
//! round 1   A B   of each mode and size
//! round 2   B A   the other way round, so that neither gains from being first or second
//! ```
//!
//! The ratio of a round is of two runs that followed each other: slow spells of the machine and
//! its clock hit both. Its median over the rounds says more than the ratio of two medians.

use std::fmt::Write;

use dataplane::engine::topology::CoreId;
use dpdk::Eal;
use serde::Serialize;

use crate::args::{Args, Options};
use crate::case::Case;
use crate::error::Error;
use crate::measure::Run;
use crate::report::{CaseReport, Machine, count, text_table};
use crate::{proof, run_once};

/// The same case under both settings, A and B.
pub(crate) type Pair = [Case; 2];

/// What `--compare` found.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// Where it was measured.
    pub machine: Machine,
    /// The settings A and B, as they were given.
    pub settings: [String; 2],
    /// By mode and size.
    pub pairs: Vec<PairReport>,
}

/// A case under both settings.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PairReport {
    /// Cycles of B for those of A, round by round.
    pub ratio: Spread,
    /// The ratio of each round.
    pub ratios: Vec<f64>,
    /// Setting A.
    pub a: CaseReport,
    /// Setting B.
    pub b: CaseReport,
}

/// How numbers are spread.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// Half of them are less.
    pub median: f64,
    /// A quarter of them are less.
    pub lower_quartile: f64,
    /// Three quarters of them are less.
    pub upper_quartile: f64,
    /// The least.
    pub min: f64,
    /// The most.
    pub max: f64,
}

impl Spread {
    /// Of numbers in any order; none of none. Between two of them it is interpolated.
    #[must_use]
    pub fn of(numbers: &[f64]) -> Option<Self> {
        let mut sorted = numbers.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let quantile = |share: (usize, usize)| {
            // Position as a whole number and a rest, in units of the denominator.
            let position = (sorted.len() - 1) * share.0;
            let (at, rest) = (position / share.1, position % share.1);
            let next = sorted[(at + 1).min(sorted.len() - 1)];
            sorted[at] + (next - sorted[at]) * rest as f64 / share.1 as f64
        };
        Some(Self {
            median: quantile((1, 2)),
            lower_quartile: quantile((1, 4)),
            upper_quartile: quantile((3, 4)),
            min,
            max,
        })
    }
}

/// The cases of both settings. Cores are chosen from `available`.
///
/// # Errors
/// A setting that is no string of options, or has other cases than the other.
pub(crate) fn pairs(args: &Args, available: &[CoreId]) -> Result<Vec<Pair>, Error> {
    let [a, b] = &args.compare[..] else {
        return Err(Error::Setup("two settings are compared"));
    };
    let cases = |setting: &String| {
        let refuse = |reason| Error::Setting { setting: setting.clone(), reason };
        let options = Options::parse(setting.split_whitespace()).map_err(refuse)?;
        if options.load.is_some() {
            return Err(refuse("latency is not compared".to_owned()));
        }
        options.over(&args.options).cases(available)
    };
    let (of_a, of_b) = (cases(a)?, cases(b)?);
    if of_a.len() != of_b.len() {
        let reason = format!("{} cases, against {} of the other", of_b.len(), of_a.len());
        return Err(Error::Setting { setting: b.clone(), reason });
    }
    Ok(of_a.into_iter().zip(of_b).map(|(a, b)| [a, b]).collect())
}

/// Measures all pairs.
///
/// # Errors
/// As [`crate::run`].
pub(crate) fn run(eal: &Eal, args: &Args, pairs: &[Pair]) -> Result<Comparison, Error> {
    for case in pairs.iter().flatten() {
        proof::prove(eal, case)?;
    }
    let mut runs: Vec<[Vec<Run>; 2]> = pairs.iter().map(|_| [Vec::new(), Vec::new()]).collect();
    for round in 0..usize::from(args.runs) {
        for (pair, runs) in pairs.iter().zip(&mut runs) {
            for which in [round % 2, 1 - round % 2] {
                runs[which].push(run_once(eal, &pair[which], args.duration)?);
            }
        }
    }
    let machine = Machine::of(eal);
    let report = |(pair, runs): (&Pair, &[Vec<Run>; 2])| {
        let [a, b] = [0, 1].map(|which| CaseReport::of(&pair[which], &runs[which], &machine));
        PairReport::of(a?, b?)
    };
    let reports = pairs.iter().zip(&runs).filter_map(report).collect();
    let setting = |which: usize| args.compare.get(which).cloned().unwrap_or_default();
    Ok(Comparison { machine, settings: [setting(0), setting(1)], pairs: reports })
}

impl PairReport {
    fn of(a: CaseReport, b: CaseReport) -> Option<Self> {
        let rounds = a.cycles_per_packet_runs.iter().zip(&b.cycles_per_packet_runs);
        let ratios: Vec<f64> = rounds.map(|(a, b)| b / a).collect();
        Some(Self { ratio: Spread::of(&ratios)?, ratios, a, b })
    }

    /// Mode and size, both where the settings differ in them.
    fn name(&self) -> String {
        let name = |case: &CaseReport| format!("{} {}", case.mode.name(), case.size.label());
        let peers = |case: &CaseReport| count(case.peers, "peer");
        let (mut a, mut b) = (name(&self.a), name(&self.b));
        if self.a.peers != self.b.peers || self.a.peers > 1 {
            a += &format!(" {}", peers(&self.a));
            b += &format!(" {}", peers(&self.b));
        }
        if a == b { a } else { format!("{a} / {b}") }
    }
}

impl Comparison {
    /// As text: a table for people, or JSON, an object a line.
    #[must_use]
    pub fn render(&self, json: bool) -> String {
        if json { self.json_lines() } else { self.table() }
    }

    fn json_lines(&self) -> String {
        #[derive(Serialize)]
        struct Line<'a> {
            compare: &'a [String; 2],
            #[serde(flatten)]
            pair: &'a PairReport,
            machine: &'a Machine,
        }
        let line = |pair| {
            let line = Line { compare: &self.settings, pair, machine: &self.machine };
            serde_json::to_string(&line)
        };
        // Numbers, names and lists of them: nothing that JSON could refuse.
        self.pairs.iter().filter_map(|pair| line(pair).ok()).map(|line| line + "\n").collect()
    }

    fn table(&self) -> String {
        let mut text = format!("{}\n", self.machine.line());
        let [a, b] = &self.settings;
        let rounds = self.pairs.first().map_or(0, |pair| pair.ratios.len());
        let rounds = count(u32::try_from(rounds).unwrap_or(u32::MAX), "round");
        let _ = writeln!(text, "A: {a}\nB: {b}\nTSC cycles for each packet put in, {rounds}");
        if !self.machine.optimized {
            text.push_str("not a release build: these figures mean nothing\n");
        }
        text.push('\n');
        let heading = ["A", "B", "B/A", "quartiles", "least-most"].map(str::to_owned).to_vec();
        let mut rows = vec![(String::new(), heading)];
        for pair in &self.pairs {
            let Spread { median, lower_quartile, upper_quartile, min, max } = pair.ratio;
            let cells = vec![
                format!("{:.1}", pair.a.cycles_per_packet),
                format!("{:.1}", pair.b.cycles_per_packet),
                format!("{median:.3}"),
                format!("{lower_quartile:.3}-{upper_quartile:.3}"),
                format!("{min:.3}-{max:.3}"),
            ];
            rows.push((pair.name(), cells));
        }
        text + &text_table(&rows)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::report::tests::{case, machine, run_of};

    fn args(words: &[&str]) -> Args {
        Args::try_parse_from(std::iter::once(&"bench").chain(words)).unwrap()
    }

    const CORES: [CoreId; 2] = [CoreId(0), CoreId(1)];

    #[test]
    fn settings_override_the_common_options() {
        let args = args(&[
            "--mode",
            "encrypt,forward",
            "--size",
            "64,512",
            "--burst",
            "64",
            "--compare",
            "--burst 32 --backend ring",
            "--backend portable",
        ]);
        let pairs = pairs(&args, &CORES).unwrap();
        assert_eq!(pairs.len(), 4);
        let [a, b] = &pairs[0];
        assert_eq!((a.burst, b.burst), (32, 64));
        assert_eq!((a.backend.name(), b.backend.name()), ("ring", "portable"));
        assert!(pairs.iter().all(|[a, b]| a.mode == b.mode && a.size == b.size));
    }

    #[test]
    fn settings_that_are_none_are_refused() {
        let refused = |a: &str, b: &str| {
            let args = args(&["--mode", "encrypt", "--size", "64", "--compare", a, b]);
            let error = pairs(&args, &CORES).unwrap_err();
            assert!(error.is_usage(), "{error}");
            error.to_string()
        };
        assert!(refused("--burst 0", "").starts_with("--compare \"--burst 0\": invalid value '0'"));
        assert!(refused("", "--json").starts_with("--compare \"--json\": unexpected argument"));
        assert_eq!(
            refused("--size 64", "--size 64,128"),
            "--compare \"--size 64,128\": 2 cases, against 1 of the other"
        );
        assert_eq!(refused("--load 50", ""), "--compare \"--load 50\": latency is not compared");
        assert!(refused("--cores 7", "").contains("there is no core 7"));
    }

    #[test]
    fn a_spread_is_interpolated() {
        let spread = Spread::of(&[4.0, 1.0, 3.0, 2.0, 5.0]).unwrap();
        let expected =
            Spread { median: 3.0, lower_quartile: 2.0, upper_quartile: 4.0, min: 1.0, max: 5.0 };
        assert_eq!(spread, expected);
        let spread = Spread::of(&[1.0, 2.0]).unwrap();
        assert_eq!(
            (spread.lower_quartile, spread.median, spread.upper_quartile),
            (1.25, 1.5, 1.75)
        );
        assert_eq!(Spread::of(&[7.0]).map(|s| (s.min, s.median, s.max)), Some((7.0, 7.0, 7.0)));
        assert_eq!(Spread::of(&[]), None);
    }

    fn comparison() -> Comparison {
        // A machine that gets slower from round to round, and a B that always takes 0.9 of A, but
        // for one round in which it was disturbed.
        let of_a = [100_000, 120_000, 150_000].map(run_of);
        let of_b = [90_000, 108_000, 300_000].map(run_of);
        let case = case(crate::Mode::Encrypt, 64);
        let report = |runs: &[Run]| CaseReport::of(&case, runs, &machine()).unwrap();
        let pair = PairReport::of(report(&of_a), report(&of_b)).unwrap();
        let settings = ["--burst 32".to_owned(), "--burst 256".to_owned()];
        Comparison { machine: machine(), settings, pairs: vec![pair] }
    }

    #[test]
    fn ratios_are_of_rounds() {
        let comparison = comparison();
        let pair = &comparison.pairs[0];
        assert_eq!(pair.ratios, [0.9, 0.9, 2.0]);
        assert_eq!((pair.ratio.median, pair.ratio.max), (0.9, 2.0));
        // The ratio of medians is the same by chance only: 108 to 120.
        let expected = "\
Processor 1, TSC 2000 MHz, no hugepages
A: --burst 32
B: --burst 256
TSC cycles for each packet put in, 3 rounds

                                   A           B         B/A    quartiles   least-most
encrypt 64                     120.0       108.0       0.900  0.900-1.450  0.900-2.000
";
        assert_eq!(comparison.render(false), expected);
    }

    #[test]
    fn json_has_both_settings_and_the_ratio() {
        let text = comparison().render(true);
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["compare"], serde_json::json!(["--burst 32", "--burst 256"]));
        assert_eq!(line["ratio"]["median"], 0.9);
        assert_eq!(line["ratios"], serde_json::json!([0.9, 0.9, 2.0]));
        assert_eq!(line["a"]["cycles_per_packet"], 120.0);
        assert_eq!(line["b"]["mode"], "encrypt");
    }
}
