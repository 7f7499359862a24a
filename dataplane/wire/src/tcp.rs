//! TCP (RFC 9293), as far as a gateway looks: ports, flags and the MSS option.

use core::fmt;

use crate::bytes::{Field, be16, put};
use crate::checksum;

/// Octets of a header without options.
pub const HEADER_LEN: usize = 20;

mod field {
    use super::Field;

    pub(super) const SRC: Field = 0..2;
    pub(super) const DST: Field = 2..4;
    pub(super) const DATA_OFFSET: usize = 12;
    pub(super) const FLAGS: usize = 13;
    pub(super) const CHECKSUM: Field = 16..18;
}

const FLAG_SYN: u8 = 0x02;
const OPTION_END: u8 = 0;
const OPTION_NOP: u8 = 1;
const OPTION_MSS: u8 = 2;
const OPTION_MSS_LEN: u8 = 4;

/// Why a buffer is no segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Error {
    /// Shorter than [`HEADER_LEN`].
    Truncated,
    /// The data offset, in words of four octets, is below 5.
    DataOffset(u8),
    /// The header with its options ends beyond the buffer.
    HeaderTruncated,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("TCP header truncated"),
            Self::DataOffset(words) => write!(f, "TCP header of {words} words is too short"),
            Self::HeaderTruncated => f.write_str("TCP options truncated"),
        }
    }
}

impl core::error::Error for Error {}

/// A view of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<T: AsRef<[u8]>> {
    buffer: T,
}

impl<T: AsRef<[u8]>> Packet<T> {
    /// Wraps a buffer that holds a whole header, options included.
    ///
    /// # Errors
    /// See [`Error`].
    #[inline]
    pub fn new_checked(buffer: T) -> Result<Self, Error> {
        let bytes = buffer.as_ref();
        if bytes.len() < HEADER_LEN {
            return Err(Error::Truncated);
        }
        let words = bytes[field::DATA_OFFSET] >> 4;
        if words < 5 {
            return Err(Error::DataOffset(words));
        }
        if usize::from(words) * 4 > bytes.len() {
            return Err(Error::HeaderTruncated);
        }
        Ok(Self { buffer })
    }

    /// Source port.
    #[inline]
    pub fn src_port(&self) -> u16 {
        be16(self.buffer.as_ref(), field::SRC)
    }

    /// Destination port.
    #[inline]
    pub fn dst_port(&self) -> u16 {
        be16(self.buffer.as_ref(), field::DST)
    }

    /// Octets of the header with its options: 20–60.
    #[inline]
    pub fn header_len(&self) -> usize {
        usize::from(self.buffer.as_ref()[field::DATA_OFFSET] >> 4) * 4
    }

    /// CWR ECE URG ACK PSH RST SYN FIN.
    #[inline]
    pub fn flags(&self) -> u8 {
        self.buffer.as_ref()[field::FLAGS]
    }

    /// Whether SYN is set: only such segments carry an MSS.
    #[inline]
    pub fn is_syn(&self) -> bool {
        self.flags() & FLAG_SYN != 0
    }

    /// The checksum as it stands.
    #[inline]
    pub fn checksum(&self) -> u16 {
        be16(self.buffer.as_ref(), field::CHECKSUM)
    }

    /// The value of the MSS option of a SYN, if it is there and well formed.
    #[inline]
    pub fn mss(&self) -> Option<u16> {
        let at = self.mss_offset()?;
        Some(be16(self.buffer.as_ref(), at..at + 2))
    }

    /// Where the value of the MSS option lies; `None` for options that are malformed before it.
    #[inline]
    fn mss_offset(&self) -> Option<usize> {
        if !self.is_syn() {
            return None;
        }
        let header = &self.buffer.as_ref()[..self.header_len()];
        let mut at = HEADER_LEN;
        loop {
            match *header.get(at..)? {
                [] | [OPTION_END, ..] => return None,
                [OPTION_NOP, ..] => at += 1,
                [OPTION_MSS, OPTION_MSS_LEN, _, _, ..] => return Some(at + 2),
                // Lengths 0 and 1 would never end; an MSS of another length is not one.
                [OPTION_MSS, ..] | [_, 0 | 1, ..] | [_] => return None,
                [_, len, ..] => at += usize::from(len),
            }
        }
    }
}

/// Lowers the MSS that a SYN announces to `max` and adjusts the checksum; returns whether it did.
///
/// Anything else, malformed segments and options included, is left alone. The segment must be
/// neither a fragment nor cut within its header.
#[inline]
pub fn clamp_mss(segment: &mut [u8], max: u16) -> bool {
    let Ok(packet) = Packet::new_checked(&*segment) else { return false };
    let Some(at) = packet.mss_offset() else { return false };
    let old = be16(segment, at..at + 2);
    if old <= max {
        return false;
    }
    // A value at an odd octet straddles two words of the sum: its octets have changed places.
    let order = |value: u16| if at % 2 == 0 { value } else { value.swap_bytes() };
    let sum = checksum::update(packet.checksum(), order(old), order(max));
    put(segment, at..at + 2, &max.to_be_bytes());
    put(segment, field::CHECKSUM, &sum.to_be_bytes());
    true
}

#[cfg(test)]
mod tests;
