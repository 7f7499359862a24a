//! ICMPv6 (RFC 4443), and when an error may be sent (2.4). Neighbour discovery is in [`nd`].

use core::fmt;
use core::net::Ipv6Addr;

use crate::bytes::{Field, be16, be32, put};
use crate::checksum::Sum;
use crate::emit::{EmitError, room};
use crate::ip6::{self, ext};
use crate::ipproto::IpProto;
use crate::mac::MacAddr;

pub mod nd;

/// Octets of the header, which each message has.
pub const HEADER_LEN: usize = 8;
/// Octets of the offending packet that an error quotes at most, so that the whole error stays
/// within the minimum MTU (RFC 4443 2.4 c).
pub const QUOTE_MAX: usize = ip6::MIN_MTU - ip6::HEADER_LEN - HEADER_LEN;

mod field {
    use super::Field;

    pub(super) const CHECKSUM: Field = 2..4;
    pub(super) const WORD: Field = 4..8;
    pub(super) const IDENT: Field = 4..6;
    pub(super) const SEQUENCE: Field = 6..8;
}

const UNREACHABLE: u8 = 1;
const PACKET_TOO_BIG: u8 = 2;
const TIME_EXCEEDED: u8 = 3;
const PARAMETER_PROBLEM: u8 = 4;
const ECHO_REQUEST: u8 = 128;
const ECHO_REPLY: u8 = 129;
const REDIRECT: u8 = 137;
/// Types below are errors (RFC 4443 2.1).
const INFORMATIONAL: u8 = 128;

/// Why a message is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Error {
    /// Shorter than [`HEADER_LEN`], or than its type demands.
    Truncated,
    /// The checksum is wrong.
    Checksum,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truncated => "ICMPv6 message truncated",
            Self::Checksum => "ICMPv6 checksum is wrong",
        })
    }
}

impl core::error::Error for Error {}

/// A message as a value. A `quoted` packet starts at its IP header and may be cut anywhere: read it
/// with [`ip6::Packet::new_quoted`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// Echo request, type 128.
    EchoRequest {
        /// Identifier.
        ident: u16,
        /// Sequence number.
        sequence: u16,
        /// What the reply returns.
        data: &'a [u8],
    },
    /// Echo reply, type 129.
    EchoReply {
        /// Identifier.
        ident: u16,
        /// Sequence number.
        sequence: u16,
        /// What the request brought.
        data: &'a [u8],
    },
    /// Destination unreachable, type 1.
    Unreachable {
        /// 0 no route, 1 prohibited, 2 beyond scope, 3 address, 4 port, 5 policy, 6 reject route.
        code: u8,
        /// The packet that caused it.
        quoted: &'a [u8],
    },
    /// Packet too big, type 2.
    PacketTooBig {
        /// MTU of the next hop. Below 1280 it means 1280 (RFC 8201 4).
        mtu: u32,
        /// The packet that caused it.
        quoted: &'a [u8],
    },
    /// Time exceeded, type 3.
    TimeExceeded {
        /// 0 hop limit, 1 reassembly.
        code: u8,
        /// The packet that caused it.
        quoted: &'a [u8],
    },
    /// Parameter problem, type 4.
    ParameterProblem {
        /// 0 field, 1 next header, 2 option, 3 incomplete first fragment (RFC 7112).
        code: u8,
        /// Where the problem lies, in octets from the start of the quoted packet.
        pointer: u32,
        /// The packet that caused it.
        quoted: &'a [u8],
    },
    /// Any other type; types 133–136 are for [`nd::Message`].
    Other {
        /// Type.
        kind: u8,
        /// Code.
        code: u8,
    },
}

impl<'a> Message<'a> {
    /// Reads a message, the upper layer of an IPv6 packet from `src` to `dst`, and verifies its
    /// checksum.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn parse(src: Ipv6Addr, dst: Ipv6Addr, bytes: &'a [u8]) -> Result<Self, Error> {
        let Some((&[kind, code, ..], rest)) = bytes.split_first_chunk::<HEADER_LEN>() else {
            return Err(Error::Truncated);
        };
        if !verify_checksum(src, dst, bytes) {
            return Err(Error::Checksum);
        }
        let ident = be16(bytes, field::IDENT);
        let sequence = be16(bytes, field::SEQUENCE);
        let word = be32(bytes, field::WORD);
        Ok(match kind {
            ECHO_REQUEST => Self::EchoRequest { ident, sequence, data: rest },
            ECHO_REPLY => Self::EchoReply { ident, sequence, data: rest },
            UNREACHABLE => Self::Unreachable { code, quoted: rest },
            PACKET_TOO_BIG => Self::PacketTooBig { mtu: word, quoted: rest },
            TIME_EXCEEDED => Self::TimeExceeded { code, quoted: rest },
            PARAMETER_PROBLEM => Self::ParameterProblem { code, pointer: word, quoted: rest },
            kind => Self::Other { kind, code },
        })
    }

    /// Octets that [`Self::emit`] writes: header and data, or header and as much of the offending
    /// packet as an error quotes.
    pub fn wire_len(&self) -> usize {
        HEADER_LEN + self.body().len()
    }

    /// Writes the message with its checksum, for a packet from `src` to `dst`, at the start of
    /// `out`; returns its length, [`Self::wire_len`]. Unused codes and words are zero.
    ///
    /// # Errors
    /// [`EmitError::TooLong`] beyond 65535 octets; [`EmitError::NoRoom`].
    pub fn emit(&self, src: Ipv6Addr, dst: Ipv6Addr, out: &mut [u8]) -> Result<usize, EmitError> {
        let len = self.wire_len();
        let out = room(out, len)?;
        let echo = |ident, sequence| u32::from(ident) << 16 | u32::from(sequence);
        let (kind, code, word) = match *self {
            Self::EchoRequest { ident, sequence, .. } => (ECHO_REQUEST, 0, echo(ident, sequence)),
            Self::EchoReply { ident, sequence, .. } => (ECHO_REPLY, 0, echo(ident, sequence)),
            Self::Unreachable { code, .. } => (UNREACHABLE, code, 0),
            Self::PacketTooBig { mtu, .. } => (PACKET_TOO_BIG, 0, mtu),
            Self::TimeExceeded { code, .. } => (TIME_EXCEEDED, code, 0),
            Self::ParameterProblem { code, pointer, .. } => (PARAMETER_PROBLEM, code, pointer),
            Self::Other { kind, code } => (kind, code, 0),
        };
        put(out, 0..4, &[kind, code, 0, 0]);
        put(out, field::WORD, &word.to_be_bytes());
        put(out, HEADER_LEN..len, self.body());
        fill_checksum(src, dst, out)?;
        Ok(len)
    }

    fn body(&self) -> &'a [u8] {
        match *self {
            Self::EchoRequest { data, .. } | Self::EchoReply { data, .. } => data,
            Self::Unreachable { quoted, .. }
            | Self::PacketTooBig { quoted, .. }
            | Self::TimeExceeded { quoted, .. }
            | Self::ParameterProblem { quoted, .. } => &quoted[..quoted.len().min(QUOTE_MAX)],
            Self::Other { .. } => &[],
        }
    }
}

/// Why no error is sent about a packet (RFC 4443 2.4 e).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Silence {
    /// It is an ICMPv6 error or redirect itself, or one cannot tell (e.1, e.2).
    AboutError,
    /// Its destination is a multicast address (e.3).
    Destination,
    /// It came as a link-layer multicast or broadcast (e.4, e.5).
    LinkGroup,
    /// Its source is not one node: unspecified, multicast or loopback (e.6).
    Source,
}

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AboutError => "no ICMPv6 error about an ICMPv6 error or redirect",
            Self::Destination => "no ICMPv6 error about a multicast packet",
            Self::LinkGroup => "no ICMPv6 error about a link-layer multicast or broadcast",
            Self::Source => "no ICMPv6 error to a source that is no single node",
        })
    }
}

impl core::error::Error for Silence {}

/// Whether this error about a packet may be sent (RFC 4443 2.4 e). Rates (2.4 f) are the caller's.
///
/// `link_dst` is where the frame was sent to; `None` if there was none (a tunnel).
///
/// # Errors
/// The reason to be silent.
pub fn may_send_error<T: AsRef<[u8]> + ?Sized>(
    error: &Message<'_>,
    packet: &ip6::Packet<&T>,
    link_dst: Option<MacAddr>,
) -> Result<(), Silence> {
    // Path MTU discovery has to work for multicast, and unknown options may ask for an answer.
    let even_to_group =
        matches!(error, Message::PacketTooBig { .. } | Message::ParameterProblem { code: 2, .. });
    if !even_to_group && packet.dst().is_multicast() {
        return Err(Silence::Destination);
    }
    if !even_to_group && link_dst.is_some_and(MacAddr::is_group) {
        return Err(Silence::LinkGroup);
    }
    let src = packet.src();
    if src.is_unspecified() || src.is_multicast() || src.is_loopback() {
        return Err(Silence::Source);
    }
    let payload = packet.payload();
    // A chain of headers that cannot be followed is a reason for a parameter problem.
    let Ok(upper) = ext::upper(packet.next_header(), payload) else { return Ok(()) };
    if upper.protocol != IpProto::ICMPV6 {
        return Ok(());
    }
    let later = upper.fragment.is_some_and(|(_, fragment)| fragment.offset != 0);
    match payload.get(upper.offset) {
        Some(&kind) if !later && kind >= INFORMATIONAL && kind != REDIRECT => Ok(()),
        _ => Err(Silence::AboutError),
    }
}

fn verify_checksum(src: Ipv6Addr, dst: Ipv6Addr, message: &[u8]) -> bool {
    let Ok(len) = u32::try_from(message.len()) else { return false };
    Sum::pseudo_v6(src, dst, IpProto::ICMPV6, len).plus(Sum::of(message)).is_valid()
}

/// `message` holds a header, its checksum still zero.
fn fill_checksum(src: Ipv6Addr, dst: Ipv6Addr, message: &mut [u8]) -> Result<(), EmitError> {
    let len = u16::try_from(message.len()).map_err(|_| EmitError::TooLong)?;
    let pseudo = Sum::pseudo_v6(src, dst, IpProto::ICMPV6, len.into());
    let sum = pseudo.plus(Sum::of(message)).checksum();
    put(message, field::CHECKSUM, &sum.to_be_bytes());
    Ok(())
}

#[cfg(test)]
mod tests;
