//! IPv4 (RFC 791).

use core::fmt;
use core::net::Ipv4Addr;

use crate::bytes::{Field, be16, ipv4, put};
use crate::checksum;
use crate::ecn::Ecn;
use crate::emit::{EmitError, room};
use crate::ipproto::IpProto;

pub mod options;

/// Octets of a header without options.
pub const HEADER_LEN: usize = 20;
/// Octets of the longest header.
pub const HEADER_LEN_MAX: usize = 60;
/// The MTU that each IPv4 link has at least (RFC 791 3.2).
pub const MIN_MTU: usize = 68;

mod field {
    use super::Field;

    pub(super) const VERSION_IHL: usize = 0;
    pub(super) const TRAFFIC_CLASS: usize = 1;
    pub(super) const TOTAL_LEN: Field = 2..4;
    pub(super) const IDENT: Field = 4..6;
    pub(super) const FLAGS_OFFSET: Field = 6..8;
    pub(super) const TTL: usize = 8;
    pub(super) const PROTOCOL: usize = 9;
    pub(super) const TTL_PROTOCOL: Field = 8..10;
    pub(super) const CHECKSUM: Field = 10..12;
    pub(super) const SRC: Field = 12..16;
    pub(super) const DST: Field = 16..20;
}

const DONT_FRAGMENT: u16 = 0x4000;
const MORE_FRAGMENTS: u16 = 0x2000;
const OFFSET_MASK: u16 = 0x1FFF;

/// Why a buffer is no IPv4 packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Error {
    /// Shorter than [`HEADER_LEN`].
    Truncated,
    /// The version is not 4.
    Version(u8),
    /// IHL, in words of four octets, is below 5.
    HeaderLen(u8),
    /// The header with its options ends beyond the buffer.
    HeaderTruncated,
    /// The total length is below the header length; zero is such a case.
    TotalLenBelowHeader(u16),
    /// The total length is beyond the buffer.
    TotalLenBeyondBuffer(u16),
    /// The header checksum is wrong.
    Checksum,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("IPv4 header truncated"),
            Self::Version(version) => write!(f, "IP version {version} is not 4"),
            Self::HeaderLen(words) => write!(f, "IPv4 header of {words} words is too short"),
            Self::HeaderTruncated => f.write_str("IPv4 options truncated"),
            Self::TotalLenBelowHeader(len) => write!(f, "IPv4 total length {len} below header"),
            Self::TotalLenBeyondBuffer(len) => write!(f, "IPv4 total length {len} beyond frame"),
            Self::Checksum => f.write_str("IPv4 header checksum is wrong"),
        }
    }
}

impl core::error::Error for Error {}

/// A view of an IPv4 packet. The buffer may be longer than the packet (Ethernet padding).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<T: AsRef<[u8]>> {
    buffer: T,
}

impl<T: AsRef<[u8]>> Packet<T> {
    /// Wraps a buffer that starts with a whole packet. The header checksum is not verified here:
    /// see [`Self::verify_checksum`].
    ///
    /// # Errors
    /// See [`Error`]; every variant but `Checksum`.
    #[inline]
    pub fn new_checked(buffer: T) -> Result<Self, Error> {
        let packet = Self::new_quoted(buffer)?;
        let total_len = packet.total_len();
        if usize::from(total_len) > packet.buffer.as_ref().len() {
            return Err(Error::TotalLenBeyondBuffer(total_len));
        }
        Ok(packet)
    }

    /// Wraps a packet that may be cut after its header, as ICMP errors quote it.
    ///
    /// # Errors
    /// See [`Error`]; neither `TotalLenBeyondBuffer` nor `Checksum`.
    #[inline]
    pub fn new_quoted(buffer: T) -> Result<Self, Error> {
        let bytes = buffer.as_ref();
        if bytes.len() < HEADER_LEN {
            return Err(Error::Truncated);
        }
        let first = bytes[field::VERSION_IHL];
        if first >> 4 != 4 {
            return Err(Error::Version(first >> 4));
        }
        let header_len = usize::from(first & 0x0F) * 4;
        if header_len < HEADER_LEN {
            return Err(Error::HeaderLen(first & 0x0F));
        }
        if header_len > bytes.len() {
            return Err(Error::HeaderTruncated);
        }
        let total_len = be16(bytes, field::TOTAL_LEN);
        if usize::from(total_len) < header_len {
            return Err(Error::TotalLenBelowHeader(total_len));
        }
        Ok(Self { buffer })
    }

    /// Octets of the header with its options: 20–60.
    #[inline]
    pub fn header_len(&self) -> usize {
        usize::from(self.buffer.as_ref()[field::VERSION_IHL] & 0x0F) * 4
    }

    /// Whether the header has options.
    #[inline]
    pub fn has_options(&self) -> bool {
        self.header_len() > HEADER_LEN
    }

    /// The octets of the options, padding included; see [`options::Options`].
    #[inline]
    pub fn options(&self) -> &[u8] {
        &self.buffer.as_ref()[HEADER_LEN..self.header_len()]
    }

    /// TOS octet: DSCP and ECN.
    #[inline]
    pub fn traffic_class(&self) -> u8 {
        self.buffer.as_ref()[field::TRAFFIC_CLASS]
    }

    /// DSCP, 0–63 (RFC 2474).
    #[inline]
    pub fn dscp(&self) -> u8 {
        self.traffic_class() >> 2
    }

    /// ECN (RFC 3168).
    #[inline]
    pub fn ecn(&self) -> Ecn {
        Ecn::of(self.traffic_class())
    }

    /// Octets of header and payload.
    #[inline]
    pub fn total_len(&self) -> u16 {
        be16(self.buffer.as_ref(), field::TOTAL_LEN)
    }

    /// Identification.
    #[inline]
    pub fn ident(&self) -> u16 {
        be16(self.buffer.as_ref(), field::IDENT)
    }

    /// DF.
    #[inline]
    pub fn dont_fragment(&self) -> bool {
        self.flags_offset() & DONT_FRAGMENT != 0
    }

    /// MF.
    #[inline]
    pub fn more_fragments(&self) -> bool {
        self.flags_offset() & MORE_FRAGMENTS != 0
    }

    /// Where the payload lies in the original datagram, in octets: a multiple of 8, at most 65528.
    #[inline]
    pub fn fragment_offset(&self) -> u16 {
        (self.flags_offset() & OFFSET_MASK) << 3
    }

    /// Whether it is a fragment: MF set, or an offset.
    #[inline]
    pub fn is_fragment(&self) -> bool {
        self.flags_offset() & (MORE_FRAGMENTS | OFFSET_MASK) != 0
    }

    /// Time to live.
    #[inline]
    pub fn ttl(&self) -> u8 {
        self.buffer.as_ref()[field::TTL]
    }

    /// Protocol of the payload.
    #[inline]
    pub fn protocol(&self) -> IpProto {
        IpProto(self.buffer.as_ref()[field::PROTOCOL])
    }

    /// The header checksum as it stands.
    #[inline]
    pub fn checksum(&self) -> u16 {
        be16(self.buffer.as_ref(), field::CHECKSUM)
    }

    /// Source address.
    #[inline]
    pub fn src(&self) -> Ipv4Addr {
        ipv4(self.buffer.as_ref(), field::SRC)
    }

    /// Destination address.
    #[inline]
    pub fn dst(&self) -> Ipv4Addr {
        ipv4(self.buffer.as_ref(), field::DST)
    }

    /// Whether the header checksum is right.
    #[inline(always)]
    pub fn verify_checksum(&self) -> bool {
        let bytes = self.buffer.as_ref();
        match bytes.first_chunk::<HEADER_LEN>() {
            // Of known length, it takes five additions.
            Some(header) if !self.has_options() => checksum::verify(header),
            _ => checksum::verify(&bytes[..self.header_len()]),
        }
    }

    /// The buffer again.
    #[inline]
    pub fn into_inner(self) -> T {
        self.buffer
    }

    #[inline]
    fn flags_offset(&self) -> u16 {
        be16(self.buffer.as_ref(), field::FLAGS_OFFSET)
    }

    /// The payload's place. Clamped, because a quoted packet is short and setters can lengthen.
    #[inline]
    fn payload_range(&self) -> Field {
        let end = usize::from(self.total_len()).min(self.buffer.as_ref().len());
        self.header_len().min(end)..end
    }
}

impl<'a, T: AsRef<[u8]> + ?Sized> Packet<&'a T> {
    /// The payload, without what follows the packet in the buffer.
    #[inline]
    pub fn payload(&self) -> &'a [u8] {
        &self.buffer.as_ref()[self.payload_range()]
    }

    /// The packet, header included, without what follows it in the buffer.
    #[inline]
    pub fn as_bytes(&self) -> &'a [u8] {
        &self.buffer.as_ref()[..self.payload_range().end]
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> Packet<T> {
    /// Lowers the TTL by one and adjusts the checksum (RFC 1624). `false`, and nothing changed, if
    /// the packet must not be forwarded because its TTL is 0 or 1 (RFC 1812 5.3.1).
    #[inline]
    #[must_use]
    pub fn decrement_ttl(&mut self) -> bool {
        if self.ttl() <= 1 {
            return false;
        }
        let old = be16(self.buffer.as_ref(), field::TTL_PROTOCOL);
        let new = old - 0x0100;
        self.rewrite(field::TTL_PROTOCOL, old, new);
        true
    }

    /// Sets the TOS octet and adjusts the checksum.
    #[inline]
    pub fn update_traffic_class(&mut self, traffic_class: u8) {
        let first = u16::from(self.buffer.as_ref()[field::VERSION_IHL]) << 8;
        let old = first | u16::from(self.traffic_class());
        self.rewrite(0..2, old, first | u16::from(traffic_class));
    }

    /// Sets the total length and adjusts the checksum.
    #[inline]
    pub fn update_total_len(&mut self, total_len: u16) {
        self.rewrite(field::TOTAL_LEN, self.total_len(), total_len);
    }

    /// Sets the identification and adjusts the checksum.
    #[inline]
    pub fn update_ident(&mut self, ident: u16) {
        self.rewrite(field::IDENT, self.ident(), ident);
    }

    /// Sets or clears DF and adjusts the checksum.
    #[inline]
    pub fn update_dont_fragment(&mut self, dont_fragment: bool) {
        let old = self.flags_offset();
        let bit = if dont_fragment { DONT_FRAGMENT } else { 0 };
        self.rewrite(field::FLAGS_OFFSET, old, old & !DONT_FRAGMENT | bit);
    }

    /// Wraps a whole header of a packet yet to be finished, and sets its version and length.
    pub(crate) fn with_header_len(mut buffer: T, header_len: usize) -> Self {
        debug_assert!(header_len.is_multiple_of(4) && header_len <= HEADER_LEN_MAX);
        #[expect(clippy::cast_possible_truncation, reason = "IHL has four bits")]
        let words = (header_len / 4) as u8;
        buffer.as_mut()[field::VERSION_IHL] = 0x40 | words;
        Self { buffer }
    }

    /// Sets the TOS octet; the checksum is wrong until [`Self::fill_checksum`].
    #[inline]
    pub fn set_traffic_class(&mut self, traffic_class: u8) {
        self.buffer.as_mut()[field::TRAFFIC_CLASS] = traffic_class;
    }

    /// Sets the total length; the checksum is wrong until [`Self::fill_checksum`].
    #[inline]
    pub fn set_total_len(&mut self, total_len: u16) {
        put(self.buffer.as_mut(), field::TOTAL_LEN, &total_len.to_be_bytes());
    }

    /// Sets the identification; the checksum is wrong until [`Self::fill_checksum`].
    #[inline]
    pub fn set_ident(&mut self, ident: u16) {
        put(self.buffer.as_mut(), field::IDENT, &ident.to_be_bytes());
    }

    /// Sets DF, MF and the offset in octets, of which the low three bits are lost; the checksum is
    /// wrong until [`Self::fill_checksum`].
    #[inline]
    pub fn set_fragment(&mut self, dont_fragment: bool, more_fragments: bool, offset: u16) {
        let df = if dont_fragment { DONT_FRAGMENT } else { 0 };
        let mf = if more_fragments { MORE_FRAGMENTS } else { 0 };
        let word = df | mf | offset >> 3;
        put(self.buffer.as_mut(), field::FLAGS_OFFSET, &word.to_be_bytes());
    }

    /// Sets the TTL; the checksum is wrong until [`Self::fill_checksum`].
    #[inline]
    pub fn set_ttl(&mut self, ttl: u8) {
        self.buffer.as_mut()[field::TTL] = ttl;
    }

    /// Sets the protocol; the checksum is wrong until [`Self::fill_checksum`].
    #[inline]
    pub fn set_protocol(&mut self, protocol: IpProto) {
        self.buffer.as_mut()[field::PROTOCOL] = protocol.0;
    }

    /// Sets the source; the checksum is wrong until [`Self::fill_checksum`].
    #[inline]
    pub fn set_src(&mut self, src: Ipv4Addr) {
        put(self.buffer.as_mut(), field::SRC, &src.octets());
    }

    /// Sets the destination; the checksum is wrong until [`Self::fill_checksum`].
    #[inline]
    pub fn set_dst(&mut self, dst: Ipv4Addr) {
        put(self.buffer.as_mut(), field::DST, &dst.octets());
    }

    /// Computes the header checksum.
    #[inline]
    pub fn fill_checksum(&mut self) {
        let header_len = self.header_len();
        let header = &mut self.buffer.as_mut()[..header_len];
        put(header, field::CHECKSUM, &[0, 0]);
        let sum = checksum::of(header);
        put(header, field::CHECKSUM, &sum.to_be_bytes());
    }

    /// The payload, without what follows the packet in the buffer.
    #[inline]
    pub fn payload_mut(&mut self) -> &mut [u8] {
        let range = self.payload_range();
        &mut self.buffer.as_mut()[range]
    }

    #[inline]
    fn rewrite(&mut self, field: Field, old: u16, new: u16) {
        let sum = checksum::update(self.checksum(), old, new);
        let bytes = self.buffer.as_mut();
        put(bytes, field, &new.to_be_bytes());
        put(bytes, field::CHECKSUM, &sum.to_be_bytes());
    }
}

/// An IPv4 header without options, as a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repr {
    /// Source address.
    pub src: Ipv4Addr,
    /// Destination address.
    pub dst: Ipv4Addr,
    /// Protocol of the payload.
    pub protocol: IpProto,
    /// Time to live.
    pub ttl: u8,
    /// TOS octet: DSCP and ECN.
    pub traffic_class: u8,
    /// Identification.
    pub ident: u16,
    /// DF.
    pub dont_fragment: bool,
    /// MF.
    pub more_fragments: bool,
    /// Fragment offset in octets, a multiple of 8.
    pub fragment_offset: u16,
    /// Octets of the payload.
    pub payload_len: u16,
}

impl Repr {
    /// A whole datagram with DF clear, TTL 64 and the rest zero.
    pub const fn new(src: Ipv4Addr, dst: Ipv4Addr, protocol: IpProto, payload_len: u16) -> Self {
        Self {
            src,
            dst,
            protocol,
            ttl: 64,
            traffic_class: 0,
            ident: 0,
            dont_fragment: false,
            more_fragments: false,
            fragment_offset: 0,
            payload_len,
        }
    }

    /// The header of a packet, options left out.
    ///
    /// # Errors
    /// [`Error::Checksum`].
    pub fn parse<T: AsRef<[u8]>>(packet: &Packet<T>) -> Result<Self, Error> {
        if !packet.verify_checksum() {
            return Err(Error::Checksum);
        }
        let options_len = u16::from((packet.buffer.as_ref()[0] & 0x0F) * 4);
        Ok(Self {
            src: packet.src(),
            dst: packet.dst(),
            protocol: packet.protocol(),
            ttl: packet.ttl(),
            traffic_class: packet.traffic_class(),
            ident: packet.ident(),
            dont_fragment: packet.dont_fragment(),
            more_fragments: packet.more_fragments(),
            fragment_offset: packet.fragment_offset(),
            payload_len: packet.total_len().saturating_sub(options_len),
        })
    }

    /// Writes the header with its checksum at the start of `out`; returns its length,
    /// [`HEADER_LEN`].
    ///
    /// # Errors
    /// [`EmitError::TooLong`] if header and payload exceed 65535 octets; [`EmitError::NoRoom`].
    pub fn emit(&self, out: &mut [u8]) -> Result<usize, EmitError> {
        let total_len = self.payload_len.checked_add(20).ok_or(EmitError::TooLong)?;
        let mut packet = Packet::with_header_len(room(out, HEADER_LEN)?, HEADER_LEN);
        packet.set_traffic_class(self.traffic_class);
        packet.set_total_len(total_len);
        packet.set_ident(self.ident);
        packet.set_fragment(self.dont_fragment, self.more_fragments, self.fragment_offset);
        packet.set_ttl(self.ttl);
        packet.set_protocol(self.protocol);
        packet.set_src(self.src);
        packet.set_dst(self.dst);
        packet.fill_checksum();
        Ok(HEADER_LEN)
    }
}

#[cfg(test)]
mod tests;
