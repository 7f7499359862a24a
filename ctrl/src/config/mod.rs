//! The configuration of a gateway: one TOML file, read into a model in which every name is
//! resolved, every value is typed, and most impossible settings cannot be written.
//!
//! ```text
//! file > file (permissions, size) > toml (tree with positions) > read (one section each: types,
//!        ranges, names to indices) > check (what concerns several sections) > Config
//! ```
//!
//! Every step goes on after an error as far as it makes sense, so that one run reports as many
//! mistakes as possible, each with file, line, column and key path. The keys are described in
//! `docs/configuration.md`.

mod check;
mod diagnostic;
mod file;
mod locations;
mod model;
mod nhrp;
mod overhead;
mod read;
mod reader;
mod scalar;
mod secret;
mod suggest;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

pub use diagnostic::{Diagnostic, Position, Severity};
pub use file::{FILE_OCTETS_MAX, KEY_FILE_OCTETS_MAX, PrivateFileError, read_key_file};
pub use model::*;
pub use secret::{KeyError, KeyMaterial};
use zeroize::Zeroizing;

use locations::Locations;
use reader::Reports;

/// A whole configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// `[system]`.
    pub system: System,
    /// `[pipeline]`.
    pub pipeline: Pipeline,
    /// `[[port]]`, in the order of the file: [`PortId`] counts them.
    pub ports: Vec<Port>,
    /// `[[tunnel]]`, in the order of the file: [`TunnelId`] counts them.
    pub tunnels: Vec<Tunnel>,
    /// `[[ipsec.profile]]`, in the order of the file: [`ProfileId`] counts them.
    pub profiles: Vec<Profile>,
    /// `[[ipsec.sa]]`, in the order of the file.
    pub sas: Vec<ManualSa>,
    /// `[[ipsec.policy]]`, in the order of the file.
    pub policies: Vec<Policy>,
    /// `[[route]]` and the gateways of ports; entries with the same prefix and table are one.
    pub routes: Vec<Route>,
    /// `[[multicast]]`, in the order of the file.
    pub multicast: Vec<MulticastRule>,
    /// What loads, but is probably not what was meant; in the order of the file.
    pub warnings: Vec<Diagnostic>,
    file: PathBuf,
    locations: Locations,
}

impl Config {
    /// Reads and checks a configuration file and the key files that it names.
    ///
    /// # Errors
    /// Everything that is wrong with it, in the order of the file, warnings included; at least
    /// one [`Severity::Error`]. Files that group or world can read or write are refused.
    pub fn load(path: &Path) -> Result<Self, Vec<Diagnostic>> {
        match file::read_text(path) {
            Ok(text) => Self::parse(&text, path, &read_key_file),
            Err(diagnostic) => Err(vec![*diagnostic]),
        }
    }

    /// Checks the configuration `text`. `file` is its name in diagnostics, and names of key
    /// files are relative to its folder. `read_key` yields the octets of a key file.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(text: &str, file: &Path, read_key: &KeyReader) -> Result<Self, Vec<Diagnostic>> {
        let (document, syntax_errors) = toml::de::DeTable::parse_recoverable(text);
        let reports = Reports::new(file, text, &document);
        for error in &syntax_errors {
            reports.syntax_error(error.span().map(|span| span.start), error.message());
        }
        // A broken document misses what it could not parse: to go on would invent mistakes.
        if !syntax_errors.is_empty() {
            return Err(reports.finish().0);
        }
        let draft = read::document(document.get_ref(), &reports, read_key);
        check::all(&draft, &reports);
        let (found, locations) = reports.finish();
        if found.iter().any(|diagnostic| diagnostic.severity == Severity::Error) {
            return Err(found);
        }
        let file = file.to_path_buf();
        draft.into_config(found, file, locations)
    }

    /// A diagnostic about `key`, such as `port[1].device`, for what only the start can find out:
    /// a device that does not exist, a core that the machine does not have.
    #[must_use]
    pub fn error_at(&self, key: &str, message: impl Into<String>) -> Diagnostic {
        Diagnostic {
            severity: Severity::Error,
            file: self.file.clone(),
            position: self.locations.value(key),
            key: key.to_owned(),
            message: message.into(),
            hint: None,
        }
    }

    /// The largest inner packet, in octets, that fits the MTU of the tunnel's port after
    /// encapsulation, whatever algorithm of its profile is in use.
    #[must_use]
    pub fn largest_inner_mtu(&self, tunnel: &Tunnel) -> u16 {
        let profile = tunnel.protection.map(|id| &self.profiles[id.index()]);
        let udp = tunnel
            .protection
            .is_some_and(|id| self.sas.iter().any(|sa| sa.profile == id && sa.udp_encap.is_some()));
        overhead::largest_inner_mtu(tunnel, self.ports[tunnel.source.index()].mtu, profile, udp)
    }
}

/// Yields the octets of a key file: [`read_key_file`], or what a test has in its place.
pub type KeyReader = dyn Fn(&Path) -> Result<Zeroizing<Vec<u8>>, PrivateFileError>;
