//! The running gateway: the only place with sockets, a clock, randomness and threads.
//!
//! ```text
//! start: configuration > EAL > pools > ports > plan > workers, one thread a core
//! then the control thread turns:
//!   control socket · events and punted packets of the cores · timers
//!     > what changed > policy::compile > install SAs > publish tables > retire SAs > inject
//! ```

mod commands;
mod control;
mod crypto;
mod events;
mod neighbors;
mod nhrp;
mod placement;
mod ports;
mod publish;
mod punts;
mod reload;
mod reports;
mod start;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use log::{error, info};
use mio::{Events, Poll, Token};

use crate::api::protocol::Command;
use crate::api::{BindError, Server};
use crate::config::Config;

use events::Followers;
pub use placement::PlacementError;
pub use ports::SettingError;

/// Longest sleep of the control thread: bounds how long a packet waits for resolution, and how
/// late a signal is seen.
const TURN_MAX: Duration = Duration::from_millis(1);

/// Why the gateway did not start, or could not go on.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// DPDK.
    #[error(transparent)]
    Dpdk(#[from] dpdk::Error),
    /// A device or the memory that the configuration asks for.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// Stages and cores.
    #[error(transparent)]
    Placement(#[from] PlacementError),
    /// A queue that the plan needs.
    #[error(transparent)]
    Queue(#[from] dataplane::engine::assembly::MissingQueue),
    /// An SA of the configuration.
    #[error("SA: {0}")]
    Sa(#[from] crate::sas::AddError),
    /// The control socket.
    #[error(transparent)]
    Socket(#[from] BindError),
    /// The random number generator: without it nothing is safe (fails closed).
    #[error("no randomness: {0}")]
    Random(#[from] getrandom::Error),
    /// Anything else of the operating system.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Runs a gateway of this configuration, which came from `path`, until SIGTERM or SIGINT.
/// SIGHUP reloads.
///
/// # Errors
/// [`DaemonError`]; everything that was started is stopped again.
pub fn run(config: Config, path: &Path) -> Result<(), DaemonError> {
    for warning in &config.warnings {
        log::warn!("{warning}");
    }
    let stop = Arc::new(AtomicBool::new(false));
    let reload = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGTERM, stop.clone())?;
    signal_hook::flag::register(signal_hook::consts::SIGINT, stop.clone())?;
    signal_hook::flag::register(signal_hook::consts::SIGHUP, reload.clone())?;
    let mut poll = Poll::new()?;
    let mut server = Server::bind(&config.system.socket, poll.registry(), Token(0))?;
    let mut gateway = start::start(config, path)?;
    info!("{} runs; control socket {}", gateway.name(), gateway.socket().display());
    let mut events = Events::with_capacity(64);
    let mut followers = Followers::default();
    let mut sleep = TURN_MAX;
    while !stop.load(Ordering::Relaxed) {
        poll_socket(&mut poll, &mut events, &mut server, sleep)?;
        let now = Instant::now();
        for (client, command) in server.take_commands(now) {
            if let Command::Events { after, wait: true } = command {
                followers.add(client, after, &mut server, now);
                continue;
            }
            let outcome = gateway.command(command, now);
            server.respond(client, outcome, now);
        }
        if reload.swap(false, Ordering::Relaxed)
            && let Err(failure) = gateway.reload(None, now)
        {
            failure.diagnostics.iter().for_each(|diagnostic| error!("{diagnostic}"));
        }
        sleep = if gateway.turn(now) { Duration::ZERO } else { TURN_MAX };
        followers.answer(&gateway.journal, &mut server, now);
        if let Some(core) = gateway.dead_worker() {
            // Never half a gateway.
            error!("the worker of core {core} ended; stopping");
            break;
        }
    }
    info!("{} stops", gateway.name());
    gateway.stop();
    Ok(())
}

fn poll_socket(
    poll: &mut Poll,
    events: &mut Events,
    server: &mut Server,
    sleep: Duration,
) -> std::io::Result<()> {
    match poll.poll(events, Some(sleep)) {
        Err(error) if error.kind() != std::io::ErrorKind::Interrupted => return Err(error),
        _ => {}
    }
    events.iter().for_each(|event| server.ready(event));
    Ok(())
}
