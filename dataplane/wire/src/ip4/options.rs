//! Options of an IPv4 header (RFC 791 3.1).

use core::fmt;

/// End of the list.
pub const END: u8 = 0;
/// No operation: one octet of padding.
pub const NOP: u8 = 1;
/// Record route.
pub const RECORD_ROUTE: u8 = 7;
/// Loose source route, which gateways refuse (RFC 7126 4.3).
pub const LOOSE_SOURCE_ROUTE: u8 = 131;
/// Strict source route, which gateways refuse (RFC 7126 4.4).
pub const STRICT_SOURCE_ROUTE: u8 = 137;
/// Router alert (RFC 2113).
pub const ROUTER_ALERT: u8 = 148;

/// Why a list of options is malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Error {
    /// An option has a length below 2.
    Length(u8),
    /// An option, or its length octet, is beyond the header.
    Truncated,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length(len) => write!(f, "IPv4 option of length {len}"),
            Self::Truncated => f.write_str("IPv4 option truncated"),
        }
    }
}

impl core::error::Error for Error {}

/// One option other than END and NOP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opt<'a> {
    bytes: &'a [u8],
}

impl<'a> Opt<'a> {
    /// The type octet.
    #[inline]
    pub fn kind(self) -> u8 {
        self.bytes[0]
    }

    /// Whether each fragment carries it, or only the first one (RFC 791 3.1).
    #[inline]
    pub fn is_copied(self) -> bool {
        self.kind() & 0x80 != 0
    }

    /// Type, length and data.
    #[inline]
    pub fn as_bytes(self) -> &'a [u8] {
        self.bytes
    }
}

/// The options of a header, in order. After an error there is nothing more.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    rest: &'a [u8],
}

impl<'a> Options<'a> {
    /// Iterates over [`super::Packet::options`].
    #[inline]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Whether there is a source route, loose or strict. A malformed list has none that anyone
    /// could follow.
    pub fn has_source_route(self) -> bool {
        self.map_while(Result::ok)
            .any(|option| matches!(option.kind(), LOOSE_SOURCE_ROUTE | STRICT_SOURCE_ROUTE))
    }
}

impl<'a> Iterator for Options<'a> {
    type Item = Result<Opt<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        while let [NOP, rest @ ..] = self.rest {
            self.rest = rest;
        }
        let rest = core::mem::take(&mut self.rest);
        match *rest {
            [] | [END, ..] => None,
            [_] => Some(Err(Error::Truncated)),
            [_, len @ (0 | 1), ..] => Some(Err(Error::Length(len))),
            [_, len, ..] => match rest.split_at_checked(len.into()) {
                None => Some(Err(Error::Truncated)),
                Some((bytes, after)) => {
                    self.rest = after;
                    Some(Ok(Opt { bytes }))
                }
            },
        }
    }
}
