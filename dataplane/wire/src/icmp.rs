//! ICMP for IPv4 (RFC 792, RFC 1191), and when an error may be sent (RFC 1122 3.2.2, RFC 1812
//! 4.3.2).

use core::fmt;

use crate::bytes::{Field, be16, put};
use crate::checksum;
use crate::emit::{EmitError, room};
use crate::ip4;
use crate::ipproto::IpProto;
use crate::mac::MacAddr;

/// Octets of the header, which each message has.
pub const HEADER_LEN: usize = 8;
/// Octets of the offending packet that an error quotes at most, so that the whole error, with an IP
/// header without options, stays within 576 octets (RFC 1812 4.3.2.3).
pub const QUOTE_MAX: usize = 576 - ip4::HEADER_LEN - HEADER_LEN;

mod field {
    use super::Field;

    pub(super) const CHECKSUM: Field = 2..4;
    pub(super) const WORD: Field = 4..8;
    pub(super) const IDENT: Field = 4..6;
    pub(super) const SEQUENCE: Field = 6..8;
    pub(super) const MTU: Field = 6..8;
}

const ECHO_REPLY: u8 = 0;
const UNREACHABLE: u8 = 3;
const SOURCE_QUENCH: u8 = 4;
const REDIRECT: u8 = 5;
const ECHO_REQUEST: u8 = 8;
const TIME_EXCEEDED: u8 = 11;
const PARAMETER_PROBLEM: u8 = 12;
const CODE_FRAGMENTATION_NEEDED: u8 = 4;

/// Why a message is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Error {
    /// Shorter than [`HEADER_LEN`].
    Truncated,
    /// The checksum is wrong.
    Checksum,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truncated => "ICMP message truncated",
            Self::Checksum => "ICMP checksum is wrong",
        })
    }
}

impl core::error::Error for Error {}

/// A message as a value. A `quoted` packet starts at its IP header and may be cut anywhere: read it
/// with [`ip4::Packet::new_quoted`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// Echo request, type 8.
    EchoRequest {
        /// Identifier.
        ident: u16,
        /// Sequence number.
        sequence: u16,
        /// What the reply returns.
        data: &'a [u8],
    },
    /// Echo reply, type 0.
    EchoReply {
        /// Identifier.
        ident: u16,
        /// Sequence number.
        sequence: u16,
        /// What the request brought.
        data: &'a [u8],
    },
    /// Destination unreachable, type 3, except code 4.
    Unreachable {
        /// 0 network, 1 host, 2 protocol, 3 port, 5 source route failed, 6–15 see RFC 1812 5.2.7.1.
        code: u8,
        /// The packet that caused it.
        quoted: &'a [u8],
    },
    /// Fragmentation needed and DF set, type 3 code 4 (RFC 1191 4).
    FragmentationNeeded {
        /// MTU of the next hop; zero from routers older than RFC 1191.
        mtu: u16,
        /// The packet that caused it.
        quoted: &'a [u8],
    },
    /// Time exceeded, type 11.
    TimeExceeded {
        /// 0 TTL, 1 reassembly.
        code: u8,
        /// The packet that caused it.
        quoted: &'a [u8],
    },
    /// Any other type.
    Other {
        /// Type.
        kind: u8,
        /// Code.
        code: u8,
    },
}

impl<'a> Message<'a> {
    /// Reads the payload of an IP packet of protocol 1 and verifies its checksum.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        let Some((&[kind, code, ..], rest)) = bytes.split_first_chunk::<HEADER_LEN>() else {
            return Err(Error::Truncated);
        };
        if !checksum::verify(bytes) {
            return Err(Error::Checksum);
        }
        let ident = be16(bytes, field::IDENT);
        let sequence = be16(bytes, field::SEQUENCE);
        Ok(match (kind, code) {
            (ECHO_REQUEST, _) => Self::EchoRequest { ident, sequence, data: rest },
            (ECHO_REPLY, _) => Self::EchoReply { ident, sequence, data: rest },
            (UNREACHABLE, CODE_FRAGMENTATION_NEEDED) => {
                Self::FragmentationNeeded { mtu: be16(bytes, field::MTU), quoted: rest }
            }
            (UNREACHABLE, code) => Self::Unreachable { code, quoted: rest },
            (TIME_EXCEEDED, code) => Self::TimeExceeded { code, quoted: rest },
            (kind, code) => Self::Other { kind, code },
        })
    }

    /// Octets that [`Self::emit`] writes: header and data, or header and as much of the offending
    /// packet as an error quotes.
    pub fn wire_len(&self) -> usize {
        HEADER_LEN + self.body().len()
    }

    /// Writes the message with its checksum at the start of `out`; returns its length,
    /// [`Self::wire_len`]. Codes of echoes are zero, and so is all that is unused.
    ///
    /// # Errors
    /// [`EmitError::NoRoom`].
    pub fn emit(&self, out: &mut [u8]) -> Result<usize, EmitError> {
        let len = self.wire_len();
        let out = room(out, len)?;
        let (kind, code, word) = match *self {
            Self::EchoRequest { ident, sequence, .. } => (ECHO_REQUEST, 0, pair(ident, sequence)),
            Self::EchoReply { ident, sequence, .. } => (ECHO_REPLY, 0, pair(ident, sequence)),
            Self::Unreachable { code, .. } => (UNREACHABLE, code, 0),
            Self::FragmentationNeeded { mtu, .. } => {
                (UNREACHABLE, CODE_FRAGMENTATION_NEEDED, pair(0, mtu))
            }
            Self::TimeExceeded { code, .. } => (TIME_EXCEEDED, code, 0),
            Self::Other { kind, code } => (kind, code, 0),
        };
        put(out, 0..4, &[kind, code, 0, 0]);
        put(out, field::WORD, &word.to_be_bytes());
        put(out, HEADER_LEN..len, self.body());
        let sum = checksum::of(out);
        put(out, field::CHECKSUM, &sum.to_be_bytes());
        Ok(len)
    }

    fn body(&self) -> &'a [u8] {
        match *self {
            Self::EchoRequest { data, .. } | Self::EchoReply { data, .. } => data,
            Self::Unreachable { quoted, .. }
            | Self::FragmentationNeeded { quoted, .. }
            | Self::TimeExceeded { quoted, .. } => &quoted[..quoted.len().min(QUOTE_MAX)],
            Self::Other { .. } => &[],
        }
    }
}

/// Why no error is sent about a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Silence {
    /// It is an ICMP error itself, or too short to tell.
    AboutError,
    /// Its destination is a multicast or broadcast address.
    Destination,
    /// It came as a link-layer multicast or broadcast.
    LinkGroup,
    /// It is a fragment other than the first.
    Fragment,
    /// Its source is not one host: zero, loopback, multicast, broadcast or class E.
    Source,
}

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AboutError => "no ICMP error about an ICMP error",
            Self::Destination => "no ICMP error about a multicast or broadcast packet",
            Self::LinkGroup => "no ICMP error about a link-layer multicast or broadcast",
            Self::Fragment => "no ICMP error about a later fragment",
            Self::Source => "no ICMP error to a source that is no single host",
        })
    }
}

impl core::error::Error for Silence {}

/// Whether an error about this packet may be sent (RFC 1122 3.2.2, RFC 1812 4.3.2.7). Directed
/// broadcasts and rates are the caller's to know.
///
/// `link_dst` is where the frame was sent to; `None` if there was none (a tunnel).
///
/// # Errors
/// The reason to be silent.
pub fn may_send_error<T: AsRef<[u8]> + ?Sized>(
    packet: &ip4::Packet<&T>,
    link_dst: Option<MacAddr>,
) -> Result<(), Silence> {
    if link_dst.is_some_and(MacAddr::is_group) {
        return Err(Silence::LinkGroup);
    }
    let (src, dst) = (packet.src(), packet.dst());
    if dst.is_multicast() || dst.is_broadcast() {
        return Err(Silence::Destination);
    }
    if src.octets()[0] == 0 || src.is_loopback() || src.octets()[0] >= 224 {
        return Err(Silence::Source);
    }
    if packet.fragment_offset() != 0 {
        return Err(Silence::Fragment);
    }
    if packet.protocol() == IpProto::ICMP && packet.payload().first().is_none_or(is_error) {
        return Err(Silence::AboutError);
    }
    Ok(())
}

fn is_error(kind: &u8) -> bool {
    matches!(*kind, UNREACHABLE | SOURCE_QUENCH | REDIRECT | TIME_EXCEEDED | PARAMETER_PROBLEM)
}

const fn pair(high: u16, low: u16) -> u32 {
    (high as u32) << 16 | low as u32
}

#[cfg(test)]
mod tests;
