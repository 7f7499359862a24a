//! Where commands come from: somebody at a terminal, or a script.

use std::io::BufRead;

use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;

use crate::error::Error;

/// A source of lines.
pub(super) enum Input<'a> {
    /// With editing and a history.
    Terminal(Box<DefaultEditor>),
    Piped(Box<dyn BufRead + 'a>),
}

const PROMPT: &str = "bench> ";

impl<'a> Input<'a> {
    /// The terminal of this process.
    pub(super) fn terminal() -> Result<Self, Error> {
        let editor = DefaultEditor::new().map_err(|error| Error::Prompt(error.to_string()))?;
        Ok(Self::Terminal(Box::new(editor)))
    }

    /// A script.
    pub(super) fn piped(lines: impl BufRead + 'a) -> Self {
        Self::Piped(Box::new(lines))
    }

    /// The next line; none at the end, which is control-D at a terminal. Control-C drops a line.
    pub(super) fn next(&mut self) -> Result<Option<String>, Error> {
        match self {
            Self::Terminal(editor) => match editor.readline(PROMPT) {
                Ok(line) => {
                    // A line that is not remembered is no reason to end.
                    let _ = editor.add_history_entry(&line);
                    Ok(Some(line))
                }
                Err(ReadlineError::Interrupted) => Ok(Some(String::new())),
                Err(ReadlineError::Eof) => Ok(None),
                Err(error) => Err(Error::Prompt(error.to_string())),
            },
            Self::Piped(lines) => {
                let mut line = String::new();
                let read = lines.read_line(&mut line);
                match read.map_err(|error| Error::Prompt(error.to_string()))? {
                    0 => Ok(None),
                    _ => Ok(Some(line)),
                }
            }
        }
    }
}
