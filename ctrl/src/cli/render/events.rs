//! Events.

use std::fmt::Write as _;
use std::io::{self, Write};

use crate::api::report::Events;

/// Of the longest kind, `nhrp_shortcut_removed`.
const KIND_WIDTH: usize = 21;

/// A line for each event.
pub(super) fn text(report: &Events) -> String {
    let mut text = String::new();
    if report.lost > 0 {
        let _ = writeln!(text, "{} events since the last one were not kept", report.lost);
    }
    for entry in &report.events {
        let (time, kind, event) = (&entry.time, entry.event.kind(), &entry.event);
        let _ = writeln!(text, "{time}  {kind:KIND_WIDTH$}  {event}");
    }
    text
}

/// An object for each event, one a line: a program that follows has no end of a list to wait for.
pub(super) fn json(report: &Events, output: &mut impl Write) -> io::Result<()> {
    for entry in &report.events {
        serde_json::to_writer(&mut *output, entry)?;
        writeln!(output)?;
    }
    Ok(())
}
