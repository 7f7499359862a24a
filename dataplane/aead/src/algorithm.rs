//! What can be negotiated, and its sizes.

use std::error::Error;
use std::fmt;
use std::str::FromStr;

/// Octets of salt behind the key in the keying material (RFC 4106, section 8.1).
pub const SALT_LEN: usize = 4;
/// Octets of the IV, which each packet carries in clear (RFC 4106, section 3.1).
pub const IV_LEN: usize = 8;
/// Octets of the integrity check value, the untruncated GCM tag (RFC 4106, section 6).
pub const ICV_LEN: usize = 16;

/// An ESP transform with combined mode: AES in Galois/Counter Mode, ICV of 16 octets
/// (`ENCR_AES_GCM_16`, RFC 4106).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// AES-128-GCM; `aes128gcm16` in configuration.
    Aes128Gcm16,
    /// AES-256-GCM; `aes256gcm16` in configuration.
    Aes256Gcm16,
}

impl Algorithm {
    /// Every algorithm, weakest first.
    pub const ALL: [Self; 2] = [Self::Aes128Gcm16, Self::Aes256Gcm16];

    /// Octets of the AES key alone.
    #[must_use]
    pub const fn key_len(self) -> usize {
        match self {
            Self::Aes128Gcm16 => 16,
            Self::Aes256Gcm16 => 32,
        }
    }

    /// Octets of keying material, key and salt together (RFC 4106, section 8.1).
    #[must_use]
    pub const fn material_len(self) -> usize {
        self.key_len() + SALT_LEN
    }

    /// Name in configuration and output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Aes128Gcm16 => "aes128gcm16",
            Self::Aes256Gcm16 => "aes256gcm16",
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Algorithm {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name).ok_or(UnknownName)
    }
}

/// No algorithm, or no back end, has this name. Names are exact, in lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownName;

impl fmt::Display for UnknownName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("unknown name")
    }
}

impl Error for UnknownName {}
