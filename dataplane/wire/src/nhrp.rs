//! NHRP (RFC 2332), as DMVPN gateways speak it: IPv4 and IPv6, directly in GRE, with Cisco's
//! Traffic Indication and NAT extension.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! |        address family         |         protocol type         |
//! |                  SNAP                         |
//!                 | hop count     |          packet size          |
//! |           checksum            |       extension offset        |
//! |  version = 1  |     type      | NBMA type+len | subaddr T+L   |
//! | src proto len | dst proto len |             flags             |
//! |               request id, or error code and offset            |
//! | source NBMA · source protocol · destination protocol address  |
//! | CIEs, or in an error or a traffic indication: a quoted packet |
//! | extensions: type, length, value; the last is 80 00 00 00      |
//! ```
//!
//! [`Packet`] checks and reads, [`Builder`] writes, from nothing or after a packet that is passed
//! on. What strangers can repeat is bounded: [`CIES_MAX`], [`EXTENSIONS_MAX`].

use core::fmt;

mod build;
mod cie;
mod extension;
mod header;

pub use build::Builder;
pub use cie::{CIE_LEN, CIES_MAX, Cie, Cies, Code};
pub use extension::{
    Authentication, CLEARTEXT, EXTENSIONS_MAX, Extension, Extensions, PASSWORD_MAX, Tag,
};
pub use header::{ErrorCode, Families, Flags, HEADER_LEN, Header, Packet};

/// What a packet is (RFC 2332 5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// Which NBMA address is behind the destination?
    ResolutionRequest = 1,
    /// The answer to it.
    ResolutionReply = 2,
    /// A client tells a server its binding.
    RegistrationRequest = 3,
    /// The answer to it.
    RegistrationReply = 4,
    /// Bindings are not valid any more.
    PurgeRequest = 5,
    /// The answer to it.
    PurgeReply = 6,
    /// Something is wrong with a packet.
    ErrorIndication = 7,
    /// A packet came in and went out by the same tunnel (Cisco's redirect).
    TrafficIndication = 8,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::ResolutionRequest,
        Self::ResolutionReply,
        Self::RegistrationRequest,
        Self::RegistrationReply,
        Self::PurgeRequest,
        Self::PurgeReply,
        Self::ErrorIndication,
        Self::TrafficIndication,
    ];

    /// From the type octet.
    pub const fn from_octet(octet: u8) -> Option<Self> {
        Some(match octet {
            1 => Self::ResolutionRequest,
            2 => Self::ResolutionReply,
            3 => Self::RegistrationRequest,
            4 => Self::RegistrationReply,
            5 => Self::PurgeRequest,
            6 => Self::PurgeReply,
            7 => Self::ErrorIndication,
            8 => Self::TrafficIndication,
            _ => return None,
        })
    }

    /// A short name, for counters.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ResolutionRequest => "resolution_request",
            Self::ResolutionReply => "resolution_reply",
            Self::RegistrationRequest => "registration_request",
            Self::RegistrationReply => "registration_reply",
            Self::PurgeRequest => "purge_request",
            Self::PurgeReply => "purge_reply",
            Self::ErrorIndication => "error_indication",
            Self::TrafficIndication => "traffic_indication",
        }
    }

    /// Whether it asks for an answer.
    pub const fn is_request(self) -> bool {
        matches!(self, Self::ResolutionRequest | Self::RegistrationRequest | Self::PurgeRequest)
    }

    /// Whether a quoted packet takes the place of CIEs.
    pub const fn quotes(self) -> bool {
        matches!(self, Self::ErrorIndication | Self::TrafficIndication)
    }

    /// Without a CIE it would say nothing; only a Resolution Request may have none (5.2.1).
    const fn needs_cie(self) -> bool {
        !self.quotes() && !matches!(self, Self::ResolutionRequest)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Why a packet is refused. One defect, one counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Error {
    /// Shorter than its fixed part.
    Truncated,
    /// The version is not 1.
    Version,
    /// The packet size is below the fixed part.
    SizeBelowHeader,
    /// The packet size is beyond the buffer.
    SizeBeyondBuffer,
    /// The checksum is wrong.
    Checksum,
    /// The type is not 1 to 8.
    Kind,
    /// The NBMA address family is neither IPv4 nor IPv6.
    AddressFamily,
    /// The protocol is neither IPv4 nor IPv6.
    ProtocolType,
    /// The NBMA address is E.164, or has a subaddress, which IP has not.
    AddressType,
    /// An address has not the length of its family.
    AddressLen,
    /// The addresses end beyond the packet.
    AddressesBeyondPacket,
    /// A CIE ends beyond its part.
    CieTruncated,
    /// An address in a CIE has neither no length nor that of its family.
    CieAddress,
    /// More than [`CIES_MAX`] CIEs in one part.
    CieCount,
    /// No CIE where the message needs one.
    CieMissing,
    /// The extension offset is inside the mandatory part or beyond the packet.
    ExtensionOffset,
    /// An extension ends beyond the packet.
    ExtensionTruncated,
    /// The extensions have no end, or it has a length.
    ExtensionEnd,
    /// Something comes after the end of the extensions.
    ExtensionTrailing,
    /// More than [`EXTENSIONS_MAX`] extensions.
    ExtensionCount,
    /// An extension that may be there once is there again.
    ExtensionDuplicate,
    /// The value of an extension has not the form of its type.
    ExtensionValue,
}

impl Error {
    /// All of them.
    pub const ALL: [Self; 22] = [
        Self::Truncated,
        Self::Version,
        Self::SizeBelowHeader,
        Self::SizeBeyondBuffer,
        Self::Checksum,
        Self::Kind,
        Self::AddressFamily,
        Self::ProtocolType,
        Self::AddressType,
        Self::AddressLen,
        Self::AddressesBeyondPacket,
        Self::CieTruncated,
        Self::CieAddress,
        Self::CieCount,
        Self::CieMissing,
        Self::ExtensionOffset,
        Self::ExtensionTruncated,
        Self::ExtensionEnd,
        Self::ExtensionTrailing,
        Self::ExtensionCount,
        Self::ExtensionDuplicate,
        Self::ExtensionValue,
    ];

    /// A short name, for counters.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Truncated => "truncated",
            Self::Version => "version",
            Self::SizeBelowHeader => "size_below_header",
            Self::SizeBeyondBuffer => "size_beyond_buffer",
            Self::Checksum => "checksum",
            Self::Kind => "type",
            Self::AddressFamily => "address_family",
            Self::ProtocolType => "protocol_type",
            Self::AddressType => "address_type",
            Self::AddressLen => "address_length",
            Self::AddressesBeyondPacket => "addresses_beyond_packet",
            Self::CieTruncated => "cie_truncated",
            Self::CieAddress => "cie_address",
            Self::CieCount => "cie_count",
            Self::CieMissing => "cie_missing",
            Self::ExtensionOffset => "extension_offset",
            Self::ExtensionTruncated => "extension_truncated",
            Self::ExtensionEnd => "extension_end",
            Self::ExtensionTrailing => "extension_trailing",
            Self::ExtensionCount => "extension_count",
            Self::ExtensionDuplicate => "extension_duplicate",
            Self::ExtensionValue => "extension_value",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truncated => "NHRP header truncated",
            Self::Version => "NHRP version is not 1",
            Self::SizeBelowHeader => "NHRP packet size below header",
            Self::SizeBeyondBuffer => "NHRP packet size beyond buffer",
            Self::Checksum => "NHRP checksum is wrong",
            Self::Kind => "NHRP type is unknown",
            Self::AddressFamily => "NHRP address family is not IP",
            Self::ProtocolType => "NHRP protocol is not IP",
            Self::AddressType => "NHRP NBMA address is not an IP address",
            Self::AddressLen => "NHRP address length is not that of its family",
            Self::AddressesBeyondPacket => "NHRP addresses truncated",
            Self::CieTruncated => "NHRP CIE truncated",
            Self::CieAddress => "NHRP CIE with an address of no known length",
            Self::CieCount => "too many NHRP CIEs",
            Self::CieMissing => "NHRP message without CIE",
            Self::ExtensionOffset => "NHRP extension offset out of range",
            Self::ExtensionTruncated => "NHRP extension truncated",
            Self::ExtensionEnd => "NHRP extensions without end",
            Self::ExtensionTrailing => "octets after the end of NHRP extensions",
            Self::ExtensionCount => "too many NHRP extensions",
            Self::ExtensionDuplicate => "NHRP extension is there twice",
            Self::ExtensionValue => "NHRP extension with a malformed value",
        })
    }
}

impl core::error::Error for Error {}

#[cfg(test)]
mod tests;
