//! GRE (RFC 2784) with key and sequence number (RFC 2890).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! |C|R|K|S|s|.|   reserved0     | Ver |         protocol type         |
//! |      checksum (optional)          |     reserved1 (optional)      |
//! |                         key (optional)                            |
//! |                   sequence number (optional)                      |
//! ```

use core::fmt;

use crate::bytes::{Field, be16, be32, put};
use crate::checksum;
use crate::emit::{EmitError, room};

/// Octets of a header without options.
pub const HEADER_LEN: usize = 4;
/// Octets of a header with checksum, key and sequence number.
pub const HEADER_LEN_MAX: usize = 16;

const CHECKSUM: u16 = 0x8000;
const ROUTING: u16 = 0x4000;
const KEY: u16 = 0x2000;
const SEQUENCE: u16 = 0x1000;
/// Bits 4 and 5: with them set a receiver that does not know RFC 1701 must discard (RFC 2784 2.3).
/// Bits 6–12 are ignored on receipt, as the same section demands.
const RESERVED: u16 = 0x0C00;
const VERSION: u16 = 0x0007;

mod field {
    use super::Field;

    pub(super) const FLAGS: Field = 0..2;
    pub(super) const PROTOCOL: Field = 2..4;
    pub(super) const CHECKSUM: Field = 4..6;
}

/// What a GRE packet carries: an EtherType, or one of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Protocol(pub u16);

impl Protocol {
    /// The answer of a Cisco keepalive, empty.
    pub const KEEPALIVE: Self = Self(0x0000);
    /// IPv4.
    pub const IPV4: Self = Self(0x0800);
    /// NHRP (RFC 2332).
    pub const NHRP: Self = Self(0x2001);
    /// Transparent Ethernet bridging: a frame.
    pub const TEB: Self = Self(0x6558);
    /// IPv6.
    pub const IPV6: Self = Self(0x86DD);
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::KEEPALIVE => f.pad("keepalive"),
            Self::IPV4 => f.pad("ipv4"),
            Self::NHRP => f.pad("nhrp"),
            Self::TEB => f.pad("teb"),
            Self::IPV6 => f.pad("ipv6"),
            Self(other) => write!(f, "0x{other:04x}"),
        }
    }
}

/// Why a packet is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Error {
    /// Shorter than its header, or than the options that its flags promise.
    Truncated,
    /// The version is not 0; 1 is PPTP (RFC 2637).
    Version(u8),
    /// The R bit of RFC 1701: source routing.
    Routing,
    /// Bit 4 or 5 is set.
    ReservedBits,
    /// The checksum is wrong.
    Checksum,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("GRE header truncated"),
            Self::Version(version) => write!(f, "GRE version {version} is not 0"),
            Self::Routing => f.write_str("GRE source routing"),
            Self::ReservedBits => f.write_str("GRE reserved bits are set"),
            Self::Checksum => f.write_str("GRE checksum is wrong"),
        }
    }
}

impl core::error::Error for Error {}

/// A view of a GRE packet: exactly its octets, since GRE carries no length and its checksum covers
/// all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<T: AsRef<[u8]>> {
    buffer: T,
}

impl<T: AsRef<[u8]>> Packet<T> {
    /// Wraps the payload of an IP packet of protocol 47; verifies the checksum if there is one.
    ///
    /// # Errors
    /// See [`Error`].
    #[inline]
    pub fn new_checked(buffer: T) -> Result<Self, Error> {
        let packet = Self::new_quoted(buffer)?;
        if packet.has_checksum() && !checksum::verify(packet.buffer.as_ref()) {
            return Err(Error::Checksum);
        }
        Ok(packet)
    }

    /// Wraps a packet whose payload may be cut, as ICMP errors quote it: its checksum cannot be
    /// verified.
    ///
    /// # Errors
    /// See [`Error`]; every variant but `Checksum`.
    #[inline]
    pub fn new_quoted(buffer: T) -> Result<Self, Error> {
        let bytes = buffer.as_ref();
        if bytes.len() < HEADER_LEN {
            return Err(Error::Truncated);
        }
        let flags = be16(bytes, field::FLAGS);
        if flags & (VERSION | ROUTING | RESERVED) != 0 {
            return Err(refused(flags));
        }
        if header_len(flags) > bytes.len() {
            return Err(Error::Truncated);
        }
        Ok(Self { buffer })
    }

    /// What the payload is.
    #[inline]
    pub fn protocol(&self) -> Protocol {
        Protocol(be16(self.buffer.as_ref(), field::PROTOCOL))
    }

    /// Octets of the header with its options: 4, 8, 12 or 16.
    #[inline]
    pub fn header_len(&self) -> usize {
        header_len(self.flags())
    }

    /// Whether there is a checksum.
    #[inline]
    pub fn has_checksum(&self) -> bool {
        self.flags() & CHECKSUM != 0
    }

    /// The key.
    #[inline]
    pub fn key(&self) -> Option<u32> {
        let flags = self.flags();
        let at = header_len(flags & CHECKSUM);
        (flags & KEY != 0).then(|| be32(self.buffer.as_ref(), at..at + 4))
    }

    /// The sequence number.
    #[inline]
    pub fn sequence(&self) -> Option<u32> {
        let flags = self.flags();
        let at = header_len(flags & (CHECKSUM | KEY));
        (flags & SEQUENCE != 0).then(|| be32(self.buffer.as_ref(), at..at + 4))
    }

    #[inline]
    fn flags(&self) -> u16 {
        be16(self.buffer.as_ref(), field::FLAGS)
    }
}

impl<'a, T: AsRef<[u8]> + ?Sized> Packet<&'a T> {
    /// Everything after the header.
    #[inline]
    pub fn payload(&self) -> &'a [u8] {
        &self.buffer.as_ref()[self.header_len()..]
    }
}

/// A GRE header as a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repr {
    /// What the payload is.
    pub protocol: Protocol,
    /// Whether there is a checksum.
    pub checksum: bool,
    /// The key.
    pub key: Option<u32>,
    /// The sequence number.
    pub sequence: Option<u32>,
}

impl Repr {
    /// The header of a packet.
    #[inline]
    pub fn parse<T: AsRef<[u8]>>(packet: &Packet<T>) -> Self {
        Self {
            protocol: packet.protocol(),
            checksum: packet.has_checksum(),
            key: packet.key(),
            sequence: packet.sequence(),
        }
    }

    /// Octets of the header with its options.
    #[inline]
    pub const fn header_len(&self) -> usize {
        header_len(self.flags())
    }

    /// Writes the header at the start of `packet`, which holds the payload behind it and nothing
    /// more, as the checksum covers it all; returns the header's length.
    ///
    /// # Errors
    /// [`EmitError::NoRoom`].
    #[inline]
    pub fn emit(&self, packet: &mut [u8]) -> Result<usize, EmitError> {
        let flags = self.flags();
        let len = header_len(flags);
        let header = room(packet, len)?;
        put(header, field::FLAGS, &flags.to_be_bytes());
        put(header, field::PROTOCOL, &self.protocol.0.to_be_bytes());
        let mut at = HEADER_LEN;
        if self.checksum {
            put(header, at..at + 4, &[0; 4]);
            at += 4;
        }
        for word in [self.key, self.sequence].into_iter().flatten() {
            put(header, at..at + 4, &word.to_be_bytes());
            at += 4;
        }
        if self.checksum {
            let sum = checksum::of(packet);
            put(packet, field::CHECKSUM, &sum.to_be_bytes());
        }
        Ok(len)
    }

    #[inline]
    const fn flags(&self) -> u16 {
        let mut flags = 0;
        if self.checksum {
            flags |= CHECKSUM;
        }
        if self.key.is_some() {
            flags |= KEY;
        }
        if self.sequence.is_some() {
            flags |= SEQUENCE;
        }
        flags
    }
}

/// Each of C, K and S stands for four octets.
#[inline]
const fn header_len(flags: u16) -> usize {
    HEADER_LEN + 4 * (flags & (CHECKSUM | KEY | SEQUENCE)).count_ones() as usize
}

/// The reason that weighs most: another version gives the other bits another meaning.
#[cold]
fn refused(flags: u16) -> Error {
    match (flags & VERSION) as u8 {
        0 if flags & ROUTING != 0 => Error::Routing,
        0 => Error::ReservedBits,
        version => Error::Version(version),
    }
}

#[cfg(test)]
mod tests;
