//! greyhound: a DMVPN gateway.

use std::path::Path;
use std::process::ExitCode;

use greyhound::cli::{self, Command, Exit};
use greyhound::config::{Config, Diagnostic, LogLevel};
use greyhound::daemon::{self, DaemonError};

fn main() -> ExitCode {
    match cli::parse() {
        Command::Run { config } => run(&config),
        Command::Check { file } => check(&file).into(),
        Command::Client(command) => cli::execute_client(command),
        Command::Keygen(keygen) => cli::execute_keygen(&keygen),
        Command::Bench(args) => cli::execute_bench(&args),
    }
}

fn run(path: &Path) -> ExitCode {
    let config = match Config::load(path) {
        Ok(config) => config,
        Err(diagnostics) => return report(&diagnostics).into(),
    };
    env_logger::Builder::new().filter_level(level(config.system.log)).init();
    match daemon::run(config, path) {
        Ok(()) => Exit::Done.into(),
        Err(error) => {
            log::error!("{error}");
            let usage = matches!(error, DaemonError::Setting(_) | DaemonError::Placement(_));
            if usage { Exit::Usage.into() } else { Exit::Failed.into() }
        }
    }
}

fn level(level: LogLevel) -> log::LevelFilter {
    match level {
        LogLevel::Error => log::LevelFilter::Error,
        LogLevel::Warn => log::LevelFilter::Warn,
        LogLevel::Info => log::LevelFilter::Info,
        LogLevel::Debug => log::LevelFilter::Debug,
        LogLevel::Trace => log::LevelFilter::Trace,
    }
}

fn check(path: &Path) -> Exit {
    match Config::load(path) {
        Ok(config) => {
            for warning in &config.warnings {
                eprintln!("{warning}");
            }
            println!("{} is good", path.display());
            Exit::Done
        }
        Err(diagnostics) => report(&diagnostics),
    }
}

fn report(diagnostics: &[Diagnostic]) -> Exit {
    for diagnostic in diagnostics {
        eprintln!("{diagnostic}");
    }
    Exit::Usage
}
