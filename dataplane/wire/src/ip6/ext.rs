//! IPv6 extension headers (RFC 8200 4): finding the upper layer, and the fragment header.

use core::fmt;

use crate::bytes::{Field, be16, be32, put};
use crate::emit::{EmitError, room};
use crate::ipproto::IpProto;

/// Octets of a fragment header.
pub const FRAGMENT_LEN: usize = 8;
/// Extension headers followed before a packet is refused. RFC 8504 5.3 lets a node set a limit, and
/// no honest sender needs more than one of each kind and a second destination options header.
pub const HEADERS_MAX: usize = 6;

mod field {
    use super::Field;

    pub(super) const NEXT_HEADER: usize = 0;
    pub(super) const OFFSET_MORE: Field = 2..4;
    pub(super) const IDENT: Field = 4..8;
}

/// Why a chain of extension headers is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Error {
    /// A header ends beyond the packet.
    Truncated,
    /// More than [`HEADERS_MAX`] headers.
    TooMany,
    /// A hop-by-hop header that is not the first one (RFC 8200 4.1).
    HopByHopNotFirst,
    /// A routing header of type 0, which must not be processed (RFC 5095).
    SourceRoute,
    /// A second fragment header.
    FragmentTwice,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truncated => "IPv6 extension header truncated",
            Self::TooMany => "too many IPv6 extension headers",
            Self::HopByHopNotFirst => "IPv6 hop-by-hop header is not the first",
            Self::SourceRoute => "IPv6 routing header of type 0",
            Self::FragmentTwice => "more than one IPv6 fragment header",
        })
    }
}

impl core::error::Error for Error {}

/// What a fragment header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// What the original packet has after this header.
    pub next_header: IpProto,
    /// Where this fragment lies in the fragmentable part, in octets: a multiple of 8.
    pub offset: u16,
    /// Whether more fragments follow.
    pub more: bool,
    /// Identification.
    pub ident: u32,
}

impl Fragment {
    /// Reads a fragment header at the start of `bytes`; reserved bits are ignored.
    ///
    /// # Errors
    /// [`Error::Truncated`].
    #[inline]
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() < FRAGMENT_LEN {
            return Err(Error::Truncated);
        }
        let offset_more = be16(bytes, field::OFFSET_MORE);
        Ok(Self {
            next_header: IpProto(bytes[field::NEXT_HEADER]),
            offset: offset_more & !0b111,
            more: offset_more & 1 != 0,
            ident: be32(bytes, field::IDENT),
        })
    }

    /// Writes the header at the start of `out`; returns its length, [`FRAGMENT_LEN`].
    ///
    /// # Errors
    /// [`EmitError::TooLong`] if the offset is no multiple of 8; [`EmitError::NoRoom`].
    #[inline]
    pub fn emit(&self, out: &mut [u8]) -> Result<usize, EmitError> {
        if self.offset & 0b111 != 0 {
            return Err(EmitError::TooLong);
        }
        let out = room(out, FRAGMENT_LEN)?;
        let offset_more = self.offset | u16::from(self.more);
        put(out, 0..2, &[self.next_header.0, 0]);
        put(out, field::OFFSET_MORE, &offset_more.to_be_bytes());
        put(out, field::IDENT, &self.ident.to_be_bytes());
        Ok(FRAGMENT_LEN)
    }

    /// Whether it is a fragment of more than one: an atomic fragment (RFC 6946) is not.
    #[inline]
    pub const fn is_partial(self) -> bool {
        self.more || self.offset != 0
    }
}

/// Where the extension headers end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upper {
    /// The protocol of the upper layer.
    pub protocol: IpProto,
    /// Where it starts, in octets after the fixed header; at most the payload's length.
    pub offset: usize,
    /// The fragment header and where it starts, in octets after the fixed header.
    pub fragment: Option<(usize, Fragment)>,
}

/// Follows the extension headers of a payload to the upper layer.
///
/// In a fragment other than the first the walk ends behind the fragment header: what follows is the
/// middle of something. Headers that are not known here (ESP and AH among them) end the walk, too.
///
/// # Errors
/// See [`Error`].
#[inline]
pub fn upper(next_header: IpProto, payload: &[u8]) -> Result<Upper, Error> {
    let mut upper = Upper { protocol: next_header, offset: 0, fragment: None };
    for count in 0..=HEADERS_MAX {
        if !is_extension(upper.protocol) {
            return Ok(upper);
        }
        if count == HEADERS_MAX {
            break;
        }
        // Offset is at most payload.len(), as it was checked when it grew.
        let here = &payload[upper.offset..];
        match upper.protocol {
            IpProto::FRAGMENT => {
                if upper.fragment.is_some() {
                    return Err(Error::FragmentTwice);
                }
                let fragment = Fragment::parse(here)?;
                upper.fragment = Some((upper.offset, fragment));
                upper.protocol = fragment.next_header;
                upper.offset += FRAGMENT_LEN;
                if fragment.offset != 0 {
                    return Ok(upper);
                }
            }
            IpProto::HOP_BY_HOP if count != 0 => return Err(Error::HopByHopNotFirst),
            kind => {
                let &[next, words, third, ..] = here else { return Err(Error::Truncated) };
                if kind == IpProto::ROUTING && third == 0 {
                    return Err(Error::SourceRoute);
                }
                let len = (usize::from(words) + 1) * 8;
                if len > here.len() {
                    return Err(Error::Truncated);
                }
                upper.protocol = IpProto(next);
                upper.offset += len;
            }
        }
    }
    Err(Error::TooMany)
}

#[inline]
const fn is_extension(protocol: IpProto) -> bool {
    matches!(
        protocol,
        IpProto::HOP_BY_HOP | IpProto::ROUTING | IpProto::FRAGMENT | IpProto::DEST_OPTIONS
    )
}
