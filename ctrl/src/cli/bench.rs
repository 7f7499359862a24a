//! `greyhound bench`: the bench crate, on the command line.

use std::process::ExitCode;

use super::Exit;

/// Measures, and prints the report.
#[must_use]
pub fn execute_bench(args: &perf::Args) -> ExitCode {
    let exit = match perf::run(args) {
        Ok(report) => {
            print!("{}", report.render(args.json));
            Exit::Done
        }
        Err(error) => {
            eprintln!("greyhound: {error}");
            Exit::Failed
        }
    };
    exit.into()
}
