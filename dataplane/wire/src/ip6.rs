//! IPv6 (RFC 8200).

use core::fmt;
use core::net::Ipv6Addr;

use crate::bytes::{Field, be16, be32, ipv6, put};
use crate::ecn::Ecn;
use crate::emit::{EmitError, room};
use crate::ipproto::IpProto;
use crate::mac::MacAddr;

pub mod ext;

/// Octets of the fixed header.
pub const HEADER_LEN: usize = 40;
/// The MTU that each IPv6 link has at least (RFC 8200 5).
pub const MIN_MTU: usize = 1280;

mod field {
    use super::Field;

    pub(super) const VERSION_CLASS_FLOW: Field = 0..4;
    pub(super) const PAYLOAD_LEN: Field = 4..6;
    pub(super) const NEXT_HEADER: usize = 6;
    pub(super) const HOP_LIMIT: usize = 7;
    pub(super) const SRC: Field = 8..24;
    pub(super) const DST: Field = 24..40;
}

/// Why a buffer is no IPv6 packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Error {
    /// Shorter than [`HEADER_LEN`].
    Truncated,
    /// The version is not 6.
    Version(u8),
    /// The payload length is beyond the buffer.
    PayloadBeyondBuffer(u16),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("IPv6 header truncated"),
            Self::Version(version) => write!(f, "IP version {version} is not 6"),
            Self::PayloadBeyondBuffer(len) => write!(f, "IPv6 payload length {len} beyond frame"),
        }
    }
}

impl core::error::Error for Error {}

/// A view of an IPv6 packet. The buffer may be longer than the packet (Ethernet padding).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<T: AsRef<[u8]>> {
    buffer: T,
}

impl<T: AsRef<[u8]>> Packet<T> {
    /// Wraps a buffer that starts with a whole packet. Jumbograms (RFC 2675) are not known: their
    /// payload length of zero makes an empty payload.
    ///
    /// # Errors
    /// See [`Error`].
    #[inline]
    pub fn new_checked(buffer: T) -> Result<Self, Error> {
        let packet = Self::new_quoted(buffer)?;
        let payload_len = packet.payload_len();
        if usize::from(payload_len) > packet.buffer.as_ref().len() - HEADER_LEN {
            return Err(Error::PayloadBeyondBuffer(payload_len));
        }
        Ok(packet)
    }

    /// Wraps a packet that may be cut after its header, as ICMPv6 errors quote it.
    ///
    /// # Errors
    /// [`Error::Truncated`], [`Error::Version`].
    #[inline]
    pub fn new_quoted(buffer: T) -> Result<Self, Error> {
        let bytes = buffer.as_ref();
        if bytes.len() < HEADER_LEN {
            return Err(Error::Truncated);
        }
        if bytes[0] >> 4 != 6 {
            return Err(Error::Version(bytes[0] >> 4));
        }
        Ok(Self { buffer })
    }

    /// Traffic class: DSCP and ECN.
    #[inline]
    pub fn traffic_class(&self) -> u8 {
        (self.version_class_flow() >> 20 & 0xFF) as u8
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

    /// Flow label, 20 bits.
    #[inline]
    pub fn flow_label(&self) -> u32 {
        self.version_class_flow() & 0x000F_FFFF
    }

    /// Octets after the fixed header.
    #[inline]
    pub fn payload_len(&self) -> u16 {
        be16(self.buffer.as_ref(), field::PAYLOAD_LEN)
    }

    /// Octets of the whole packet.
    #[inline]
    pub fn total_len(&self) -> usize {
        HEADER_LEN + usize::from(self.payload_len())
    }

    /// What follows the fixed header: an extension or the upper layer; see [`ext::upper`].
    #[inline]
    pub fn next_header(&self) -> IpProto {
        IpProto(self.buffer.as_ref()[field::NEXT_HEADER])
    }

    /// Hop limit.
    #[inline]
    pub fn hop_limit(&self) -> u8 {
        self.buffer.as_ref()[field::HOP_LIMIT]
    }

    /// Source address.
    #[inline]
    pub fn src(&self) -> Ipv6Addr {
        ipv6(self.buffer.as_ref(), field::SRC)
    }

    /// Destination address.
    #[inline]
    pub fn dst(&self) -> Ipv6Addr {
        ipv6(self.buffer.as_ref(), field::DST)
    }

    /// The buffer again.
    #[inline]
    pub fn into_inner(self) -> T {
        self.buffer
    }

    #[inline]
    fn version_class_flow(&self) -> u32 {
        be32(self.buffer.as_ref(), field::VERSION_CLASS_FLOW)
    }

    /// The payload's end. Clamped, because a quoted packet is short and setters can lengthen.
    #[inline]
    fn end(&self) -> usize {
        self.total_len().min(self.buffer.as_ref().len())
    }
}

impl<'a, T: AsRef<[u8]> + ?Sized> Packet<&'a T> {
    /// Everything after the fixed header, without what follows the packet in the buffer.
    #[inline]
    pub fn payload(&self) -> &'a [u8] {
        &self.buffer.as_ref()[HEADER_LEN..self.end()]
    }

    /// The packet, header included, without what follows it in the buffer.
    #[inline]
    pub fn as_bytes(&self) -> &'a [u8] {
        &self.buffer.as_ref()[..self.end()]
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> Packet<T> {
    /// Lowers the hop limit by one. `false`, and nothing changed, if the packet must not be
    /// forwarded because its hop limit is 0 or 1 (RFC 8200 3).
    #[inline]
    #[must_use]
    pub fn decrement_hop_limit(&mut self) -> bool {
        let hop_limit = &mut self.buffer.as_mut()[field::HOP_LIMIT];
        if *hop_limit <= 1 {
            return false;
        }
        *hop_limit -= 1;
        true
    }

    /// Sets the traffic class.
    #[inline]
    pub fn set_traffic_class(&mut self, traffic_class: u8) {
        let word = self.version_class_flow() & !0x0FF0_0000 | u32::from(traffic_class) << 20;
        put(self.buffer.as_mut(), field::VERSION_CLASS_FLOW, &word.to_be_bytes());
    }

    /// Sets the flow label, of which the low 20 bits count.
    #[inline]
    pub fn set_flow_label(&mut self, flow_label: u32) {
        let word = self.version_class_flow() & !0x000F_FFFF | flow_label & 0x000F_FFFF;
        put(self.buffer.as_mut(), field::VERSION_CLASS_FLOW, &word.to_be_bytes());
    }

    /// Sets the payload length.
    #[inline]
    pub fn set_payload_len(&mut self, payload_len: u16) {
        put(self.buffer.as_mut(), field::PAYLOAD_LEN, &payload_len.to_be_bytes());
    }

    /// Sets the next header.
    #[inline]
    pub fn set_next_header(&mut self, next_header: IpProto) {
        self.buffer.as_mut()[field::NEXT_HEADER] = next_header.0;
    }

    /// Sets the hop limit.
    #[inline]
    pub fn set_hop_limit(&mut self, hop_limit: u8) {
        self.buffer.as_mut()[field::HOP_LIMIT] = hop_limit;
    }

    /// Sets the source.
    #[inline]
    pub fn set_src(&mut self, src: Ipv6Addr) {
        put(self.buffer.as_mut(), field::SRC, &src.octets());
    }

    /// Sets the destination.
    #[inline]
    pub fn set_dst(&mut self, dst: Ipv6Addr) {
        put(self.buffer.as_mut(), field::DST, &dst.octets());
    }

    /// Everything after the fixed header, without what follows the packet in the buffer.
    #[inline]
    pub fn payload_mut(&mut self) -> &mut [u8] {
        let end = self.end();
        &mut self.buffer.as_mut()[HEADER_LEN..end]
    }
}

/// An IPv6 header as a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repr {
    /// Source address.
    pub src: Ipv6Addr,
    /// Destination address.
    pub dst: Ipv6Addr,
    /// What follows the fixed header.
    pub next_header: IpProto,
    /// Hop limit.
    pub hop_limit: u8,
    /// Traffic class: DSCP and ECN.
    pub traffic_class: u8,
    /// Flow label, 20 bits.
    pub flow_label: u32,
    /// Octets after the fixed header.
    pub payload_len: u16,
}

impl Repr {
    /// A header with hop limit 64 and the rest zero.
    pub const fn new(src: Ipv6Addr, dst: Ipv6Addr, next_header: IpProto, payload_len: u16) -> Self {
        Self { src, dst, next_header, hop_limit: 64, traffic_class: 0, flow_label: 0, payload_len }
    }

    /// The header of a packet.
    pub fn parse<T: AsRef<[u8]>>(packet: &Packet<T>) -> Self {
        Self {
            src: packet.src(),
            dst: packet.dst(),
            next_header: packet.next_header(),
            hop_limit: packet.hop_limit(),
            traffic_class: packet.traffic_class(),
            flow_label: packet.flow_label(),
            payload_len: packet.payload_len(),
        }
    }

    /// Writes the header at the start of `out`; returns its length, [`HEADER_LEN`].
    ///
    /// # Errors
    /// [`EmitError::TooLong`] if the flow label has more than 20 bits; [`EmitError::NoRoom`].
    pub fn emit(&self, out: &mut [u8]) -> Result<usize, EmitError> {
        if self.flow_label > 0x000F_FFFF {
            return Err(EmitError::TooLong);
        }
        let buffer = room(out, HEADER_LEN)?;
        buffer[0] = 0x60;
        let mut packet = Packet { buffer };
        packet.set_traffic_class(self.traffic_class);
        packet.set_flow_label(self.flow_label);
        packet.set_payload_len(self.payload_len);
        packet.set_next_header(self.next_header);
        packet.set_hop_limit(self.hop_limit);
        packet.set_src(self.src);
        packet.set_dst(self.dst);
        Ok(HEADER_LEN)
    }
}

/// The solicited-node group of an address: ff02::1:ff00:0/104 and its low 24 bits (RFC 4291 2.7.1).
#[inline]
pub const fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    const PREFIX: u128 = 0xFF02_0000_0000_0000_0000_0001_FF00_0000;
    Ipv6Addr::from_bits(PREFIX | address.to_bits() & 0x00FF_FFFF)
}

/// The modified EUI-64 interface identifier of an Ethernet address (RFC 4291 appendix A).
#[inline]
pub const fn interface_id(mac: MacAddr) -> [u8; 8] {
    let [a, b, c, d, e, f] = mac.0;
    [a ^ 0x02, b, c, 0xFF, 0xFE, d, e, f]
}

/// The link-local address that follows from an Ethernet address (RFC 4862 5.3).
#[inline]
pub const fn link_local(mac: MacAddr) -> Ipv6Addr {
    let [a, b, c, d, e, f, g, h] = interface_id(mac);
    let id = [
        u16::from_be_bytes([a, b]),
        u16::from_be_bytes([c, d]),
        u16::from_be_bytes([e, f]),
        u16::from_be_bytes([g, h]),
    ];
    Ipv6Addr::new(0xFE80, 0, 0, 0, id[0], id[1], id[2], id[3])
}

#[cfg(test)]
mod tests;
