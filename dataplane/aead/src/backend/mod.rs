//! Implementations of AES-GCM, one module each. All give the same octets.

use std::fmt;
use std::str::FromStr;

use crate::algorithm::UnknownName;

pub(crate) mod portable;
pub(crate) mod ring;
#[cfg(target_arch = "x86_64")]
pub(crate) mod vaes;

/// Which implementation a key is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Backend {
    /// Kernels for bursts, on vectors of 512 bits: x86-64 with AVX-512 (F, BW, DQ, VL), BMI2, VAES
    /// and VPCLMULQDQ.
    Vaes512,
    /// The same kernels on vectors of 256 bits: x86-64 with AVX2, VAES and VPCLMULQDQ.
    Vaes256,
    /// The `ring` crate: assembly, chosen at run time, one packet at a time.
    Ring,
    /// The `aes-gcm` crate: Rust only. Slower; the oracle that the others are tested against.
    Portable,
}

impl Backend {
    /// Every back end, fastest first. [`Backend::is_available`] tells which of them this machine
    /// can run.
    pub const ALL: [Self; 4] = [Self::Vaes512, Self::Vaes256, Self::Ring, Self::Portable];

    /// The fastest back end that runs on this machine.
    #[must_use]
    pub fn detect() -> Self {
        Self::ALL.into_iter().find(|backend| backend.is_available()).unwrap_or(Self::Portable)
    }

    /// Whether this machine's CPU has the instructions that the back end needs.
    #[must_use]
    pub fn is_available(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Vaes512 => vaes::is_available::<vaes::Zmm>(),
            #[cfg(target_arch = "x86_64")]
            Self::Vaes256 => vaes::is_available::<vaes::Ymm>(),
            #[cfg(not(target_arch = "x86_64"))]
            Self::Vaes512 | Self::Vaes256 => false,
            Self::Ring | Self::Portable => true,
        }
    }

    /// Name in configuration and output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Vaes512 => "vaes512",
            Self::Vaes256 => "vaes256",
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
