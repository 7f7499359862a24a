//! `greyhound bench`: what a packet costs, stage by stage, on the production stages.
//!
//! ```text
//! Source: frames [-> far gateway seals] -> ring port -> gateway under test -> null port
//!         not measured                                  Worker::turn, measured
//! ```
//!
//! Needs no NIC, no root and no hugepages. Cost is counted in TSC cycles per packet of the worker
//! cores, with the input ready in memory: a source and the worker that it feeds take turns on one
//! thread, and only the worker's turns count. Nothing of the packet path is written anew for this:
//! plan, assembly, stages and loop are those that `greyhound run` uses.
//!
//! A figure is only given for a run in which every packet that went in came out: a drop is an
//! error. That frames come out as they should is proved before, on ports that can be looked at.
//!
//! ```text
//! Args > Options::cases > proof > measure (rounds) [> latency] > Report > tables, JSON, HTML
//!                                 compare (A and B in turns)   > Comparison
//!                                 prompt  (until it is told to stop)
//! ```

mod addresses;
mod args;
mod calibrate;
mod capture;
mod case;
mod compare;
mod drain;
mod drops;
mod error;
mod flows;
mod gateway;
mod latency;
mod measure;
mod mode;
mod prompt;
mod proof;
mod report;
mod size;
mod source;
mod tables;
#[cfg(test)]
mod tests;
mod turns;

use std::io::Write;
use std::time::Duration;

use dpdk::{Eal, EalConfig};

pub use args::{Args, Load, ModeSelection, Options, Preset};
pub use capture::{Capture, CaptureError};
pub use compare::{Comparison, PairReport, Spread};
pub use error::Error;
pub use mode::Mode;
pub use report::{CaseReport, LatencyReport, Machine, Report, StageReport};
pub use size::{IMIX, Size, SizeSelection};

use case::{Case, available_cores};
use gateway::Setup;
use measure::Run;

/// For how long a set-up runs before it is measured: caches, page tables and branch predictors
/// have settled by then.
const WARM_UP: Duration = Duration::from_millis(5);

/// Does what `args` ask for, starting DPDK, which can be done once in a process, and writes what
/// is found to `out`.
///
/// # Errors
/// What is wrong with the arguments, before DPDK is started; DPDK's; and whatever makes a figure
/// worthless: drops, lost packets, packets of a wrong length.
pub fn run(args: &Args, out: &mut dyn Write) -> Result<(), Error> {
    let written = |result: std::io::Result<()>| {
        result.map_err(|cause| Error::Write { path: "standard output".into(), cause })
    };
    if !args.compare.is_empty() {
        let pairs = compare::pairs(args, &available_cores())?;
        let comparison = compare::run(&start(pairs.as_flattened())?, args, &pairs)?;
        return written(out.write_all(comparison.render(args.json).as_bytes()));
    }
    let cases = args.options.cases(&available_cores())?;
    if args.interactive {
        return prompt::run(&start(&cases)?, args, out);
    }
    args.report.as_deref().map_or(Ok(()), report::html::make_folder)?;
    let report = measure_all(&start(&cases)?, args, &cases)?;
    written(out.write_all(report.render(args.json).as_bytes()))?;
    match &args.report {
        Some(folder) => report::html::write(&report, &command_line(), folder),
        None => Ok(()),
    }
}

/// As it was typed, but for the folder of the program; words that need it are in quotes.
fn command_line() -> String {
    let mut words: Vec<_> =
        std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    if let Some(program) = words.first_mut() {
        *program = program.rsplit('/').next().unwrap_or_default().to_owned();
    }
    let quoted = |word: String| match word.contains(char::is_whitespace) || word.is_empty() {
        true => format!("'{word}'"),
        false => word,
    };
    words.into_iter().map(quoted).collect::<Vec<_>>().join(" ")
}

/// Starts DPDK with the memory that the cases need, and the heap as the gateway has it.
fn start(cases: &[Case]) -> Result<Eal, Error> {
    dpdk::heap_on_huge_pages();
    let (program, memory_mib) = ("greyhound-bench".into(), gateway::memory_mib(cases));
    Ok(Eal::init(&EalConfig { program, memory_mib, ..EalConfig::default() })?)
}

/// Measures what `args` ask for, on an EAL that is up.
///
/// # Errors
/// As [`run`].
pub fn run_on(eal: &Eal, args: &Args) -> Result<Report, Error> {
    let cases = args.options.cases(&available_cores())?;
    measure_all(eal, args, &cases)
}

fn measure_all(eal: &Eal, args: &Args, cases: &[Case]) -> Result<Report, Error> {
    let mut runs = vec![Vec::new(); cases.len()];
    for case in cases {
        proof::prove(eal, case)?;
    }
    // Round by round, each case once: a slow spell of the machine then hits all of them alike, and
    // each run has memory of its own, as a layout can be lucky.
    for _ in 0..args.runs {
        for (case, runs) in cases.iter().zip(&mut runs) {
            runs.push(run_once(eal, case, args.duration)?);
        }
    }
    let machine = Machine::of(eal);
    let mut reports = Vec::new();
    for (case, runs) in cases.iter().zip(&runs) {
        let Some(report) = CaseReport::of(case, runs, &machine) else { continue };
        let duration = args.duration * u32::from(args.runs);
        let latencies = latency::measure_at_load(eal, case, report.mpps, duration)?;
        reports.push(report.with_latency(case, latencies));
    }
    Ok(Report { machine, cases: reports })
}

/// One run in a set-up of its own.
fn run_once(eal: &Eal, case: &Case, duration: Duration) -> Result<Run, Error> {
    let mut setup = Setup::new(eal, case)?;
    measure::measure(eal, case, &mut setup, WARM_UP)?;
    measure::measure(eal, case, &mut setup, duration)
}
