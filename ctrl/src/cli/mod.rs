//! The command line.
//!
//! ```text
//! arguments > args (clap) > Command > run, check: the daemon
//!                                   > Client: execute > api::Client > render > stdout
//!                                     (events: again and again)
//!                                   > Keygen: keygen
//!                                   > Bench: the perf crate
//! ```

mod args;
mod bench;
mod events;
mod execute;
mod keygen;
mod render;
mod socket;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::process::ExitCode;

pub use args::parse;
pub use bench::execute_bench;
pub use execute::{ClientCommand, execute_client};
pub use keygen::{Keygen, execute_keygen};

/// What the command line asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Be a gateway.
    Run {
        /// Its configuration.
        config: PathBuf,
    },
    /// Check a configuration.
    Check {
        /// The file.
        file: PathBuf,
    },
    /// Talk to a gateway: [`execute_client`].
    Client(ClientCommand),
    /// Make a key: [`execute_keygen`].
    Keygen(Keygen),
    /// Measure: [`execute_bench`].
    Bench(Box<perf::Args>),
}

/// How a command ends, for scripts. `--help` documents the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It was done.
    Done = 0,
    /// The gateway said no, or failed.
    Failed = 1,
    /// The command line or a file that it names is wrong.
    Usage = 2,
    /// No gateway answers.
    NoGateway = 3,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
