//! Implementations of AES-GCM, one module each. All give the same octets.

use std::fmt;
use std::str::FromStr;

use crate::algorithm::UnknownName;

pub(crate) mod portable;
pub(crate) mod ring;

/// Which implementation a key is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Backend {
    /// The `ring` crate: assembly, chosen at run time, one packet at a time.
    Ring,
    /// The `aes-gcm` crate: Rust only. Slower; the oracle that the others are tested against.
    Portable,
}

impl Backend {
    /// Every back end that this build holds, fastest first.
    pub const ALL: [Self; 2] = [Self::Ring, Self::Portable];

    /// The fastest back end that runs on this machine.
    #[must_use]
    pub const fn detect() -> Self {
        Self::Ring
    }

    /// Name in configuration and output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ring => "ring",
            Self::Portable => "portable",
        }
    }
}

impl Default for Backend {
    fn default() -> Self {
        Self::detect()
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Backend {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        Self::ALL.into_iter().find(|backend| backend.name() == name).ok_or(UnknownName)
    }
}
