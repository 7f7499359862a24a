//! Client information entries (RFC 2332 5.2.0.1).
//!
//! ```text
//! |     code      | prefix length |            unused             |
//! |              MTU              |         holding time          |
//! | NBMA type+len | subaddr T+L   | protocol len  |  preference   |
//! | NBMA address · protocol address, each of which may be absent  |
//! ```

use core::fmt;
use core::net::IpAddr;

use super::Error;
use super::header::{Families, Family};
use crate::bytes::be16;
use crate::prefix::{self, IpPrefix};

/// Octets of a CIE without addresses.
pub const CIE_LEN: usize = 12;
/// CIEs in one part of a packet: more servers than a sensible hop count lets a packet pass, and
/// more addresses than a client has.
pub const CIES_MAX: usize = 32;

/// Bit 7 of a length octet is zero and bit 6 says E.164 (RFC 2332 5.1): neither is IP.
const NOT_NSAP: u8 = 0xC0;
/// Either prefix length means the one address (RFC 2332 5.2.0.1).
const HOST: [u8; 2] = [0x00, 0xFF];

/// What a server says about a CIE.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code(pub u8);

impl Code {
    /// Done.
    pub const OK: Self = Self(0);
    /// Administratively prohibited.
    pub const PROHIBITED: Self = Self(4);
    /// Insufficient resources.
    pub const RESOURCES: Self = Self(5);
    /// No binding exists.
    pub const NO_BINDING: Self = Self(12);
    /// A binding exists, but is not unique.
    pub const NOT_UNIQUE: Self = Self(13);
    /// Somebody has registered the address as unique.
    pub const ALREADY_REGISTERED: Self = Self(14);
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::OK => f.pad("done"),
            Self::PROHIBITED => f.pad("administratively prohibited"),
            Self::RESOURCES => f.pad("insufficient resources"),
            Self::NO_BINDING => f.pad("no binding"),
            Self::NOT_UNIQUE => f.pad("not unique"),
            Self::ALREADY_REGISTERED => f.pad("registered by another as unique"),
            Self(other) => write!(f, "code {other}"),
        }
    }
}

/// A client information entry as a value. An absent address is that of the common header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cie {
    /// What the server says; zero in requests.
    pub code: Code,
    /// Length of the prefix in bits as it is on the wire: see [`Self::prefix`].
    pub prefix_len: u8,
    /// Largest packet that the client takes, in octets; zero says nothing.
    pub mtu: u16,
    /// How long it is valid, in seconds.
    pub holding_time: u16,
    /// NBMA address of the client.
    pub nbma: Option<IpAddr>,
    /// Protocol address of the client.
    pub protocol: Option<IpAddr>,
    /// The highest is preferred.
    pub preference: u8,
}

impl Cie {
    /// The addresses that it is about, around `address`. Lengths 0 and 255 mean the one address.
    ///
    /// # Errors
    /// [`prefix::Error::Length`].
    pub fn prefix(&self, address: IpAddr) -> Result<IpPrefix, prefix::Error> {
        if HOST.contains(&self.prefix_len) {
            return Ok(IpPrefix::host(address));
        }
        IpPrefix::containing(address, self.prefix_len)
    }

    /// Octets on the wire.
    pub fn wire_len(&self) -> usize {
        CIE_LEN + [self.nbma, self.protocol].into_iter().flatten().map(octets).sum::<usize>()
    }
}

/// CIEs, one after the other.
#[derive(Clone, Copy, Debug)]
pub struct Cies<'a> {
    rest: &'a [u8],
    families: Families,
}

impl<'a> Cies<'a> {
    /// Over octets that [`check`] has seen.
    pub(super) fn new(bytes: &'a [u8], families: Families) -> Self {
        Self { rest: bytes, families }
    }
}

impl Iterator for Cies<'_> {
    type Item = Cie;

    fn next(&mut self) -> Option<Cie> {
        let (cie, rest) = split(self.rest, self.families).ok()?;
        self.rest = rest;
        Some(cie)
    }
}

/// Counts the CIEs that fill a part exactly.
pub(super) fn check(mut bytes: &[u8], families: Families) -> Result<usize, Error> {
    let mut count = 0;
    while !bytes.is_empty() {
        if count == CIES_MAX {
            return Err(Error::CieCount);
        }
        (_, bytes) = split(bytes, families)?;
        count += 1;
    }
    Ok(count)
}

/// Octets of an NBMA address without subaddress.
pub(super) fn nbma_len(address: u8, subaddress: u8) -> Result<usize, Error> {
    if address & NOT_NSAP != 0 || subaddress != 0 {
        return Err(Error::AddressType);
    }
    Ok(address.into())
}

fn split(bytes: &[u8], families: Families) -> Result<(Cie, &[u8]), Error> {
    let Some((fixed, rest)) = bytes.split_first_chunk::<CIE_LEN>() else {
        return Err(Error::CieTruncated);
    };
    let nbma_len = nbma_len(fixed[8], fixed[9])?;
    let (nbma, rest) = address(rest, nbma_len, families.nbma())?;
    let (protocol, rest) = address(rest, fixed[10].into(), families.protocol())?;
    let cie = Cie {
        code: Code(fixed[0]),
        prefix_len: fixed[1],
        mtu: be16(fixed, 4..6),
        holding_time: be16(fixed, 6..8),
        nbma,
        protocol,
        preference: fixed[11],
    };
    Ok((cie, rest))
}

fn address(bytes: &[u8], len: usize, family: Family) -> Result<(Option<IpAddr>, &[u8]), Error> {
    if len == 0 {
        return Ok((None, bytes));
    }
    if len != family.len() {
        return Err(Error::CieAddress);
    }
    let (octets, rest) = bytes.split_at_checked(len).ok_or(Error::CieTruncated)?;
    Ok((Some(family.read(octets, 0)), rest))
}

fn octets(address: IpAddr) -> usize {
    Family::of(address).len()
}
