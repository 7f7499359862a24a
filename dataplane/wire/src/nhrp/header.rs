//! The fixed header, the addresses, and the view of a whole packet.

use core::fmt;
use core::net::IpAddr;

use super::cie::{self, Cies};
use super::extension::{self, Extension, Extensions};
use super::{Error, Kind};
use crate::bytes::{Field, be16, be32, ipv4, ipv6};
use crate::checksum;

/// Octets before the addresses: the fixed header and the fixed fields of the mandatory part.
pub const HEADER_LEN: usize = 28;

pub(super) const VERSION: u8 = 1;

pub(super) mod field {
    use super::Field;

    pub(in super::super) const FAMILY: Field = 0..2;
    pub(in super::super) const PROTOCOL: Field = 2..4;
    pub(in super::super) const HOP_COUNT: usize = 9;
    pub(in super::super) const SIZE: Field = 10..12;
    pub(in super::super) const CHECKSUM: Field = 12..14;
    pub(in super::super) const EXTENSIONS: Field = 14..16;
    pub(in super::super) const VERSION: usize = 16;
    pub(in super::super) const KIND: usize = 17;
    pub(in super::super) const NBMA_LEN: usize = 18;
    pub(in super::super) const SUBADDRESS_LEN: usize = 19;
    pub(in super::super) const SRC_LEN: usize = 20;
    pub(in super::super) const DST_LEN: usize = 21;
    pub(in super::super) const FLAGS: Field = 22..24;
    pub(in super::super) const REQUEST_ID: Field = 24..28;
}

/// Flags of a message. Their meaning depends on its kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flags(pub u16);

impl Flags {
    /// Q, Resolution: the asker is a router (RFC 2332 5.2.1).
    pub const ROUTER: Self = Self(0x8000);
    /// A, Resolution: only an authoritative answer is wanted; in a reply, it is one.
    pub const AUTHORITATIVE: Self = Self(0x4000);
    /// D, Resolution Reply: the association of destination and next hop is stable (5.2.2).
    pub const DESTINATION_STABLE: Self = Self(0x2000);
    /// U, Resolution: only a unique binding is wanted; in a reply, it is one.
    pub const UNIQUE_WANTED: Self = Self(0x1000);
    /// S, Resolution: the binding of the asker is stable.
    pub const SOURCE_STABLE: Self = Self(0x0800);
    /// U, Registration: nobody else may register this address (5.2.3).
    pub const UNIQUE: Self = Self(0x8000);
    /// N, Purge Request: no reply is wanted (5.2.5).
    pub const NO_REPLY: Self = Self(0x8000);
    /// All but errors and indications: the sender understands Cisco's NAT extension.
    pub const NAT: Self = Self(0x0002);

    /// Whether all of `other` are set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// What an Error Indication complains about (RFC 2332 5.2.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ErrorCode(pub u16);

impl ErrorCode {
    /// An unknown compulsory extension.
    pub const UNRECOGNIZED_EXTENSION: Self = Self(1);
    /// The packet has been here before.
    pub const LOOP: Self = Self(3);
    /// The protocol address is unreachable.
    pub const UNREACHABLE: Self = Self(6);
    /// The packet is malformed.
    pub const PROTOCOL: Self = Self(7);
    /// It would be too large.
    pub const SDU_SIZE: Self = Self(8);
    /// An extension is invalid.
    pub const INVALID_EXTENSION: Self = Self(9);
    /// A reply that was not asked for.
    pub const INVALID_REPLY: Self = Self(10);
    /// Authentication is missing or wrong.
    pub const AUTHENTICATION: Self = Self(11);
    /// The hop count is used up.
    pub const HOP_COUNT: Self = Self(15);
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::UNRECOGNIZED_EXTENSION => f.pad("unrecognised extension"),
            Self::LOOP => f.pad("loop"),
            Self::UNREACHABLE => f.pad("unreachable"),
            Self::PROTOCOL => f.pad("protocol error"),
            Self::SDU_SIZE => f.pad("packet too large"),
            Self::INVALID_EXTENSION => f.pad("invalid extension"),
            Self::INVALID_REPLY => f.pad("invalid reply"),
            Self::AUTHENTICATION => f.pad("authentication failure"),
            Self::HOP_COUNT => f.pad("hop count exceeded"),
            Self(other) => write!(f, "error {other}"),
        }
    }
}

/// The address families of a packet: one for NBMA addresses, one for protocol addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Families {
    nbma: Family,
    protocol: Family,
}

impl Families {
    pub(super) fn of(nbma: IpAddr, protocol: IpAddr) -> Self {
        Self { nbma: Family::of(nbma), protocol: Family::of(protocol) }
    }

    /// Address family number and protocol type, as they are in the header.
    pub(super) const fn numbers(self) -> (u16, u16) {
        let afn = match self.nbma {
            Family::V4 => 1,
            Family::V6 => 2,
        };
        let protocol = match self.protocol {
            Family::V4 => 0x0800,
            Family::V6 => 0x86DD,
        };
        (afn, protocol)
    }

    pub(super) const fn nbma(self) -> Family {
        self.nbma
    }

    pub(super) const fn protocol(self) -> Family {
        self.protocol
    }

    fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let nbma = match be16(bytes, field::FAMILY) {
            1 => Family::V4,
            2 => Family::V6,
            _ => return Err(Error::AddressFamily),
        };
        let protocol = match be16(bytes, field::PROTOCOL) {
            0x0800 => Family::V4,
            0x86DD => Family::V6,
            _ => return Err(Error::ProtocolType),
        };
        Ok(Self { nbma, protocol })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Family {
    V4,
    V6,
}

impl Family {
    pub(super) const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    pub(super) const fn len(self) -> usize {
        match self {
            Self::V4 => 4,
            Self::V6 => 16,
        }
    }

    /// The address at `at`, which the caller has proven to be there.
    pub(super) fn read(self, bytes: &[u8], at: usize) -> IpAddr {
        match self {
            Self::V4 => ipv4(bytes, at..at + 4).into(),
            Self::V6 => ipv6(bytes, at..at + 16).into(),
        }
    }
}

/// The fixed part and the addresses as a value. NBMA and protocol family are those of the source
/// addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What it is.
    pub kind: Kind,
    /// How many more servers may pass it on.
    pub hop_count: u8,
    /// Flags; zero in a Traffic Indication, unused in an Error Indication.
    pub flags: Flags,
    /// Identifies the request. In an Error Indication these octets hold code and offset: see
    /// [`Self::with_error`]; in a Traffic Indication they are zero.
    pub request_id: u32,
    /// NBMA address that the source claims.
    pub src_nbma: IpAddr,
    /// Protocol address of the source.
    pub src_protocol: IpAddr,
    /// Protocol address of the destination, of the same family.
    pub dst_protocol: IpAddr,
}

impl Header {
    /// The same with code and offset of an Error Indication: where in the quoted packet it is
    /// wrong, in octets from its start.
    #[must_use]
    pub const fn with_error(self, code: ErrorCode, offset: u16) -> Self {
        Self { request_id: (code.0 as u32) << 16 | offset as u32, ..self }
    }
}

/// A view of an NHRP packet. The buffer may be longer than the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<T: AsRef<[u8]>> {
    buffer: T,
    kind: Kind,
    families: Families,
    /// Octets of header and addresses.
    addressed: usize,
    /// Where the mandatory part ends.
    mandatory: usize,
    /// The packet size.
    size: usize,
}

impl<T: AsRef<[u8]>> Packet<T> {
    /// Wraps the payload of a GRE packet of type 0x2001; checks all of it, checksum, CIEs and
    /// extensions included.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn new_checked(buffer: T) -> Result<Self, Error> {
        let bytes = buffer.as_ref();
        if bytes.len() < HEADER_LEN {
            return Err(Error::Truncated);
        }
        if bytes[field::VERSION] != VERSION {
            return Err(Error::Version);
        }
        let size = usize::from(be16(bytes, field::SIZE));
        if size < HEADER_LEN {
            return Err(Error::SizeBelowHeader);
        }
        let bytes = bytes.get(..size).ok_or(Error::SizeBeyondBuffer)?;
        if !checksum::verify(bytes) {
            return Err(Error::Checksum);
        }
        let kind = Kind::from_octet(bytes[field::KIND]).ok_or(Error::Kind)?;
        let families = Families::parse(bytes)?;
        let addressed = addressed(bytes, families)?;
        let mandatory = match usize::from(be16(bytes, field::EXTENSIONS)) {
            0 => size,
            at if at < addressed || at > size => return Err(Error::ExtensionOffset),
            at => at,
        };
        if !kind.quotes() {
            let cies = cie::check(&bytes[addressed..mandatory], families)?;
            if cies == 0 && kind.needs_cie() {
                return Err(Error::CieMissing);
            }
        }
        if be16(bytes, field::EXTENSIONS) != 0 {
            extension::check(&bytes[mandatory..], families)?;
        }
        Ok(Self { buffer, kind, families, addressed, mandatory, size })
    }

    /// What it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The fixed part and the addresses.
    pub fn header(&self) -> Header {
        let bytes = self.buffer.as_ref();
        let (nbma, protocol) = (self.families.nbma, self.families.protocol);
        let src_at = HEADER_LEN + nbma.len();
        Header {
            kind: self.kind,
            hop_count: bytes[field::HOP_COUNT],
            flags: Flags(be16(bytes, field::FLAGS)),
            request_id: be32(bytes, field::REQUEST_ID),
            src_nbma: nbma.read(bytes, HEADER_LEN),
            src_protocol: protocol.read(bytes, src_at),
            dst_protocol: protocol.read(bytes, src_at + protocol.len()),
        }
    }

    /// Code and offset of an Error Indication.
    pub fn error(&self) -> Option<(ErrorCode, u16)> {
        let bytes = self.buffer.as_ref();
        let (code, offset) = (be16(bytes, 24..26), be16(bytes, 26..28));
        (self.kind == Kind::ErrorIndication).then_some((ErrorCode(code), offset))
    }

    /// The families of its addresses.
    pub fn families(&self) -> Families {
        self.families
    }

    /// The packet, without what follows it in the buffer.
    pub fn as_bytes(&self) -> &[u8] {
        &self.buffer.as_ref()[..self.size]
    }

    /// Header, addresses, and CIEs or quoted packet.
    pub fn mandatory_part(&self) -> &[u8] {
        &self.as_bytes()[..self.mandatory]
    }

    /// The CIEs of the mandatory part; none in errors and indications.
    pub fn cies(&self) -> Cies<'_> {
        let part = if self.kind.quotes() { &[] } else { self.body() };
        Cies::new(part, self.families)
    }

    /// The head of the packet that an error or a traffic indication is about; empty in others.
    pub fn quoted(&self) -> &[u8] {
        if self.kind.quotes() { self.body() } else { &[] }
    }

    /// The extensions in their order, without the end.
    pub fn extensions(&self) -> Extensions<'_> {
        Extensions::new(&self.as_bytes()[self.mandatory..], self.families)
    }

    /// The first extension of a type.
    pub fn extension(&self, kind: u16) -> Option<Extension<'_>> {
        self.extensions().find(|extension| extension.tag.kind() == kind)
    }

    fn body(&self) -> &[u8] {
        &self.as_bytes()[self.addressed..self.mandatory]
    }
}

/// Octets of header and addresses, if each address has the length of its family.
fn addressed(bytes: &[u8], families: Families) -> Result<usize, Error> {
    let nbma = cie::nbma_len(bytes[field::NBMA_LEN], bytes[field::SUBADDRESS_LEN])?;
    let (src, dst) = (usize::from(bytes[field::SRC_LEN]), usize::from(bytes[field::DST_LEN]));
    let protocol = families.protocol.len();
    if (nbma, src, dst) != (families.nbma.len(), protocol, protocol) {
        return Err(Error::AddressLen);
    }
    let addressed = HEADER_LEN + nbma + src + dst;
    if addressed > bytes.len() {
        return Err(Error::AddressesBeyondPacket);
    }
    Ok(addressed)
}
