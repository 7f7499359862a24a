//! `greyhound events`: what has happened, and what happens.

use std::io;

use clap::Args;

use super::execute::ExecuteError;
use crate::api::protocol::Reply;
use crate::api::{Client, ClientError};

/// Which events are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Args)]
pub(super) struct Selection {
    /// Go on with those to come, until interrupted or the gateway ends
    #[arg(short, long)]
    pub(super) follow: bool,
    /// Of those that there have been only the last N [default: all that are kept]
    #[arg(short = 'n', long, value_name = "N")]
    pub(super) count: Option<usize>,
}

/// Prints the events that the gateway keeps, and those to come if they are wanted.
pub(super) fn run(
    client: &mut Client,
    selection: Selection,
    mut print: impl FnMut(&Reply) -> io::Result<()>,
) -> Result<(), ExecuteError> {
    let mut report = client.events(None, false)?;
    let surplus = selection.count.map_or(0, |count| report.events.len().saturating_sub(count));
    report.events.drain(..surplus);
    loop {
        let last = report.last;
        print(&Reply::Events(report)).map_err(ExecuteError::Output)?;
        if !selection.follow {
            return Ok(());
        }
        report = client.events(Some(last), true).map_err(|error| match error {
            // It closes no connection of one who follows.
            ClientError::Closed { path } => ExecuteError::Ended { path },
            error => error.into(),
        })?;
    }
}
