//! Whole configurations: every key, every refusal, and what hostile.md asks of the host.

mod fixtures;
mod good;
mod hostile;
mod properties;
mod warnings;

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::{Config, Diagnostic, PrivateFileError, Severity};

/// An underlay and an overlay port, with the addresses that the documentation ranges give.
const PORTS: &str = r#"
[[port]]
name = "wan"
device = "net_null0"
role = "underlay"
addresses = ["198.51.100.1/24"]
gateway = "198.51.100.254"

[[port]]
name = "lan"
device = "net_null1"
role = "overlay"
addresses = ["10.1.0.1/24"]
"#;

fn parse(text: &str) -> Result<Config, Vec<Diagnostic>> {
    Config::parse(text, Path::new("/etc/greyhound/hub.toml"), &key_file)
}

/// Contents by name: `…-128.key` and `…-256.key` have the length that the algorithm takes, all
/// octets the first letter of the name.
fn key_file(path: &Path) -> Result<Zeroizing<Vec<u8>>, PrivateFileError> {
    // ".." has no name, and is no key.
    let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
    let first = name.bytes().next().unwrap_or_default();
    let octet = if name.starts_with("zero") { 0 } else { first | 0x80 };
    if name.ends_with("-128.key") {
        Ok(Zeroizing::new(vec![octet; 20]))
    } else if name.ends_with("-256.key") {
        Ok(Zeroizing::new(vec![octet; 36]))
    } else {
        let error = io::Error::from(io::ErrorKind::NotFound);
        Err(PrivateFileError::Io { path: path.to_path_buf(), error })
    }
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config")
}

fn shown(diagnostics: &[Diagnostic]) -> Vec<String> {
    diagnostics.iter().map(ToString::to_string).collect()
}

fn errors(result: &Result<Config, Vec<Diagnostic>>) -> Vec<&Diagnostic> {
    let Err(found) = result else { return Vec::new() };
    found.iter().filter(|diagnostic| diagnostic.severity == Severity::Error).collect()
}
