//! `greyhound bench`: the bench crate, on the command line.

use std::process::ExitCode;

use super::Exit;

/// Measures, and prints what was found. Programs find errors on standard output as well.
#[must_use]
pub fn execute_bench(args: &perf::Args) -> ExitCode {
    let exit = match perf::run(args, &mut std::io::stdout()) {
        Ok(()) => Exit::Done,
        Err(error) => {
            if args.json {
                print!("{}", error.json_line());
            }
            eprintln!("greyhound: {error}");
            if error.is_usage() { Exit::Usage } else { Exit::Failed }
        }
    };
    exit.into()
}
