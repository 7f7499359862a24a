//! What is wrong with a configuration, and where: as a compiler says it.

use std::fmt;
use std::path::PathBuf;

/// One mistake in a configuration.
///
/// Shown as `hub.toml:14:1: tunnel[0].sourc: unknown key (did you mean "source"?)`; a warning
/// has `warning: ` before its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Whether the configuration can be used all the same.
    pub severity: Severity,
    /// The configuration file.
    pub file: PathBuf,
    /// Where in it; `None` if it is about the file as a whole.
    pub position: Option<Position>,
    /// Path of the key, such as `tunnel[1].protection`; empty if it is about no key.
    pub key: String,
    /// What is wrong. Never has key material in it.
    pub message: String,
    /// What may mend it.
    pub hint: Option<String>,
}

/// Whether a configuration can be used all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It loads, but is probably not what was meant.
    Warning,
    /// It is refused.
    Error,
}

/// A place in a text. Lines and columns begin at 1; columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Line.
    pub line: u32,
    /// Column.
    pub column: u32,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if let Some(Position { line, column }) = self.position {
            write!(f, "{line}:{column}:")?;
        }
        if self.severity == Severity::Warning {
            f.write_str(" warning:")?;
        }
        if !self.key.is_empty() {
            write!(f, " {}:", self.key)?;
        }
        write!(f, " {}", self.message)?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Diagnostic {}
