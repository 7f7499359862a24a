//! Reading files that hold secrets, or that decide where secrets go: nobody else may have had
//! a hand in them, or an eye on them.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use thiserror::Error;
use zeroize::Zeroizing;

use super::locations::Lines;
use super::{Diagnostic, Severity};

/// Octets of the longest configuration file: some hundred thousand routes.
pub const FILE_OCTETS_MAX: usize = 64 << 20;
/// Octets of the longest key file: 72 digits, and room for generous white space.
pub const KEY_FILE_OCTETS_MAX: usize = 512;

/// Reading and writing, by group and by world.
const OTHERS: u32 = 0o066;

/// A file that is not read.
#[derive(Debug, Error)]
pub enum PrivateFileError {
    /// The operating system refuses.
    #[error("cannot read {path}: {error}", path = .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A folder, a device, a pipe.
    #[error("{path} is not a regular file", path = .path.display())]
    NotAFile {
        /// What it is not.
        path: PathBuf,
    },
    /// Others can read or write it.
    #[error("{path} has mode {mode:03o}: {who}; run: chmod 600 {quoted}",
        path = .path.display(), who = who(*.mode), quoted = shell_quoted(.path))]
    Permissions {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Longer than any sensible one.
    #[error("{path} is longer than {octets_max} octets", path = .path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// What is allowed.
        octets_max: usize,
    },
}

/// The contents of a key file: a regular file that neither group nor world can read or write.
///
/// # Errors
/// [`PrivateFileError`]: the file cannot be read, is open to others, or is longer than
/// [`KEY_FILE_OCTETS_MAX`].
pub fn read_key_file(path: &Path) -> Result<Zeroizing<Vec<u8>>, PrivateFileError> {
    read_private(path, KEY_FILE_OCTETS_MAX)
}

/// The text of a configuration file.
pub(super) fn read_text(path: &Path) -> Result<Zeroizing<String>, Box<Diagnostic>> {
    let about_file = |message| {
        let (file, key) = (path.to_path_buf(), String::new());
        let severity = Severity::Error;
        Box::new(Diagnostic { severity, file, position: None, key, message, hint: None })
    };
    let octets =
        read_private(path, FILE_OCTETS_MAX).map_err(|error| about_file(error.to_string()))?;
    match str::from_utf8(&octets) {
        Ok(text) => Ok(Zeroizing::new(text.to_owned())),
        Err(error) => {
            let valid = String::from_utf8_lossy(&octets[..error.valid_up_to()]);
            let position = Lines::of(&valid).position(valid.len());
            let diagnostic = about_file("the text is not UTF-8 from here".to_owned());
            Err(Box::new(Diagnostic { position: Some(position), ..*diagnostic }))
        }
    }
}

/// The contents of a regular file of at most `octets_max` that only its owner can use. Looks at
/// the opened file, so that no other one can take its place in between.
fn read_private(path: &Path, octets_max: usize) -> Result<Zeroizing<Vec<u8>>, PrivateFileError> {
    let named = || path.to_path_buf();
    let failed = |error| PrivateFileError::Io { path: named(), error };
    // Before opening, too: opening a pipe waits for its other end.
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Err(PrivateFileError::NotAFile { path: named() });
    }
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(PrivateFileError::NotAFile { path: named() });
    }
    let mode = metadata.permissions().mode() & 0o777;
    if mode & OTHERS != 0 {
        return Err(PrivateFileError::Permissions { path: named(), mode });
    }
    let octets_expected = usize::try_from(metadata.len()).unwrap_or(usize::MAX);
    if octets_expected > octets_max {
        return Err(PrivateFileError::TooLong { path: named(), octets_max });
    }
    // Room for everything at once: a vector that grows leaves copies behind.
    let mut contents = Zeroizing::new(Vec::with_capacity(octets_expected + 1));
    let limit = u64::try_from(octets_expected + 1).unwrap_or(u64::MAX);
    file.take(limit).read_to_end(&mut contents).map_err(failed)?;
    Ok(contents)
}

/// Who can do what to a file of this mode.
fn who(mode: u32) -> String {
    let group = actions(mode >> 3).map(|what| format!("its group can {what} it"));
    let world = actions(mode).map(|what| format!("everyone can {what} it"));
    [group, world].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn actions(bits: u32) -> Option<&'static str> {
    match bits & 0o6 {
        0o6 => Some("read and write"),
        0o4 => Some("read"),
        0o2 => Some("write"),
        _ => None,
    }
}

/// `path` as a shell takes it for one word.
fn shell_quoted(path: &Path) -> String {
    let path = path.display().to_string();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@,".contains(c);
    if path.chars().all(is_plain) { path } else { format!("'{}'", path.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_who_can_do_what() {
        assert_eq!(who(0o644), "its group can read it, everyone can read it");
        assert_eq!(who(0o620), "its group can write it");
        assert_eq!(who(0o606), "everyone can read and write it");
    }

    #[test]
    fn quotes_for_the_shell() {
        assert_eq!(shell_quoted(Path::new("/etc/greyhound/a-1.key")), "/etc/greyhound/a-1.key");
        assert_eq!(shell_quoted(Path::new("it's a key")), r"'it'\''s a key'");
    }
}
