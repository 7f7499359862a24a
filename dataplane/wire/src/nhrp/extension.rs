//! Extensions (RFC 2332 5.3).
//!
//! ```text
//! |C|u|       type (14)           |            length             |
//! | value                                                         |
//! ```

use super::Error;
use super::cie::{self, Cies};
use super::header::Families;
use crate::bytes::{be16, be32};

/// Extensions of one packet: all known ones, and as many again of vendors'.
pub const EXTENSIONS_MAX: usize = 32;
/// Octets of a password in cleartext, as Cisco limits it.
pub const PASSWORD_MAX: usize = 8;
/// The only method of authentication in use: a password in cleartext.
pub const CLEARTEXT: u32 = 1;

pub(super) const HEAD_LEN: usize = 4;
const METHOD_LEN: usize = 4;
const OUI_LEN: usize = 3;
const COMPULSORY: u16 = 0x8000;
const KIND: u16 = 0x3FFF;

/// The first word of an extension: its type and whether it is compulsory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(pub u16);

impl Tag {
    /// The end of the list.
    pub const END: u16 = 0;
    /// Responder address: one CIE, who answered (5.3.1).
    pub const RESPONDER: u16 = 3;
    /// Forward transit NHS record: a CIE for each server that a request has passed (5.3.2).
    pub const FORWARD_RECORD: u16 = 4;
    /// Reverse transit NHS record: the same for a reply (5.3.3).
    pub const REVERSE_RECORD: u16 = 5;
    /// Authentication of the last hop (5.3.4).
    pub const AUTHENTICATION: u16 = 7;
    /// Private to a vendor: the only one that may be repeated (5.3.5).
    pub const VENDOR: u16 = 8;
    /// Cisco's NAT extension: CIEs with addresses outside of a NAT.
    pub const NAT: u16 = 9;

    /// A compulsory extension: who does not know it must not act on the packet.
    pub const fn compulsory(kind: u16) -> Self {
        Self(COMPULSORY | kind & KIND)
    }

    /// An extension that may be ignored.
    pub const fn optional(kind: u16) -> Self {
        Self(kind & KIND)
    }

    /// The type.
    pub const fn kind(self) -> u16 {
        self.0 & KIND
    }

    /// Whether who does not know it must not act on the packet.
    pub const fn is_compulsory(self) -> bool {
        self.0 & COMPULSORY != 0
    }

    /// Whether its value is read here.
    pub const fn is_known(self) -> bool {
        self.holds_cies() || matches!(self.kind(), Self::AUTHENTICATION | Self::VENDOR)
    }

    const fn holds_cies(self) -> bool {
        matches!(
            self.kind(),
            Self::RESPONDER | Self::FORWARD_RECORD | Self::REVERSE_RECORD | Self::NAT
        )
    }
}

/// One extension.
#[derive(Clone, Copy, Debug)]
pub struct Extension<'a> {
    /// Its type.
    pub tag: Tag,
    /// Its value.
    pub value: &'a [u8],
    families: Families,
}

impl<'a> Extension<'a> {
    /// The CIEs of a responder address, a transit record or a NAT extension; none in others.
    pub fn cies(&self) -> Cies<'a> {
        let value = if self.tag.holds_cies() { self.value } else { &[] };
        Cies::new(value, self.families)
    }

    /// The content of an authentication extension.
    pub fn authentication(&self) -> Option<Authentication<'a>> {
        if self.tag.kind() != Tag::AUTHENTICATION {
            return None;
        }
        let (method, data) = self.value.split_at_checked(METHOD_LEN)?;
        Some(Authentication { method: be32(method, 0..4), data })
    }
}

/// What an authentication extension says. It has no `Debug`, as it may hold a password.
#[derive(Clone, Copy)]
pub struct Authentication<'a> {
    /// How: [`CLEARTEXT`].
    pub method: u32,
    /// The password: 1 to [`PASSWORD_MAX`] octets if the method is [`CLEARTEXT`].
    pub data: &'a [u8],
}

/// Extensions in their order, without the end.
#[derive(Clone, Copy, Debug)]
pub struct Extensions<'a> {
    rest: &'a [u8],
    families: Families,
}

impl<'a> Extensions<'a> {
    /// Over octets that [`check`] has seen, or none.
    pub(super) fn new(bytes: &'a [u8], families: Families) -> Self {
        Self { rest: bytes, families }
    }
}

impl<'a> Iterator for Extensions<'a> {
    type Item = Extension<'a>;

    fn next(&mut self) -> Option<Extension<'a>> {
        let (tag, value, rest) = split(self.rest).ok()?;
        self.rest = rest;
        (tag.kind() != Tag::END).then_some(Extension { tag, value, families: self.families })
    }
}

/// Checks extensions up to the end of a packet.
pub(super) fn check(mut bytes: &[u8], families: Families) -> Result<(), Error> {
    let mut seen = 0_u64;
    for _ in 0..=EXTENSIONS_MAX {
        if bytes.is_empty() {
            return Err(Error::ExtensionEnd);
        }
        let (tag, value, rest) = split(bytes)?;
        if tag.kind() == Tag::END {
            return match (value, rest) {
                ([], []) => Ok(()),
                ([], _) => Err(Error::ExtensionTrailing),
                _ => Err(Error::ExtensionEnd),
            };
        }
        // Types that do not fit the mask are unknown ones, which nobody here looks at.
        let bit = 1_u64.checked_shl(tag.kind().into()).unwrap_or(0);
        if tag.kind() != Tag::VENDOR && seen & bit != 0 {
            return Err(Error::ExtensionDuplicate);
        }
        seen |= bit;
        check_value(tag, value, families)?;
        bytes = rest;
    }
    Err(Error::ExtensionCount)
}

fn check_value(tag: Tag, value: &[u8], families: Families) -> Result<(), Error> {
    let good = match tag.kind() {
        Tag::RESPONDER => cie::check(value, families)? <= 1,
        Tag::AUTHENTICATION => match value.split_at_checked(METHOD_LEN) {
            Some((method, data)) if be32(method, 0..4) == CLEARTEXT => {
                (1..=PASSWORD_MAX).contains(&data.len())
            }
            Some(_) => true,
            None => false,
        },
        Tag::VENDOR => value.len() >= OUI_LEN,
        _ => !tag.holds_cies() || cie::check(value, families).map(|_| true)?,
    };
    if good { Ok(()) } else { Err(Error::ExtensionValue) }
}

fn split(bytes: &[u8]) -> Result<(Tag, &[u8], &[u8]), Error> {
    let (head, rest) = bytes.split_at_checked(HEAD_LEN).ok_or(Error::ExtensionTruncated)?;
    let len = usize::from(be16(head, 2..4));
    let (value, rest) = rest.split_at_checked(len).ok_or(Error::ExtensionTruncated)?;
    Ok((Tag(be16(head, 0..2)), value, rest))
}
