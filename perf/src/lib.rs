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

mod addresses;
mod args;
mod calibrate;
mod drops;
mod error;
mod flows;
mod gateway;
mod measure;
mod mode;
mod proof;
mod report;
mod source;
mod tables;
#[cfg(test)]
mod tests;
mod turns;

use std::time::Duration;

use dpdk::{Eal, EalConfig};

pub use args::{Args, ModeSelection, Preset};
pub use error::Error;
pub use mode::Mode;
pub use report::{CaseReport, Machine, Report, StageReport};

use args::available_cores;
use gateway::Setup;

/// For how long a set-up runs before it is measured: caches, page tables and branch predictors
/// have settled by then.
const WARM_UP: Duration = Duration::from_millis(5);

/// Starts DPDK, which can be done once in a process, and measures what `args` ask for.
///
/// # Errors
/// What is wrong with the arguments, before DPDK is started; DPDK's; and whatever makes a figure
/// worthless: drops, lost packets, packets of a wrong length.
pub fn run(args: &Args) -> Result<Report, Error> {
    args.cases(&available_cores())?;
    let eal = Eal::init(&EalConfig { program: "greyhound-bench".into(), ..EalConfig::default() })?;
    run_on(&eal, args)
}

/// As [`run`], on an EAL that is up.
///
/// # Errors
/// As [`run`].
pub fn run_on(eal: &Eal, args: &Args) -> Result<Report, Error> {
    let cases = args.cases(&available_cores())?;
    let mut runs = vec![Vec::new(); cases.len()];
    for case in &cases {
        proof::prove(eal, case)?;
    }
    // Round by round, each case once: a slow spell of the machine then hits all of them alike, and
    // each run has memory of its own, as a layout can be lucky.
    for _ in 0..args.runs {
        for (case, runs) in cases.iter().zip(&mut runs) {
            let mut setup = Setup::new(eal, case)?;
            measure::measure(eal, case, &mut setup, WARM_UP)?;
            runs.push(measure::measure(eal, case, &mut setup, args.duration)?);
        }
    }
    let machine = Machine::of(eal);
    let cases = cases.iter().zip(&runs);
    let cases = cases.filter_map(|(case, runs)| CaseReport::of(case, runs, &machine)).collect();
    Ok(Report { machine, cases })
}
