//! Why a header could not be written.

use core::fmt;

/// A builder's only two ways to fail; both are faults of the caller, not of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EmitError {
    /// The output slice is shorter than what would be written.
    NoRoom,
    /// A length does not fit its field on the wire.
    TooLong,
}

impl fmt::Display for EmitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoRoom => "output buffer too small",
            Self::TooLong => "length does not fit its field",
        })
    }
}

impl core::error::Error for EmitError {}

/// The first `len` octets of `out`, or `NoRoom`.
#[inline]
pub(crate) fn room(out: &mut [u8], len: usize) -> Result<&mut [u8], EmitError> {
    out.get_mut(..len).ok_or(EmitError::NoRoom)
}
