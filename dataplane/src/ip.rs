//! One look at an IPv4 or IPv6 header: the facts that stages decide by.

use wire::{IpProto, ip4, ip6};

use crate::addr::Addr;
use crate::drops::DropReason;
use crate::tables::policy::FlowKey;

/// What the headers of an IP packet say.
#[derive(Debug, Clone, Copy)]
pub struct IpFacts {
    /// Source.
    pub src: Addr,
    /// Destination.
    pub dst: Addr,
    /// Upper-layer protocol, behind any extension headers.
    pub protocol: IpProto,
    /// Where the upper layer begins, from the IP header on.
    pub upper: usize,
    /// Octets of the packet, by its own account; never more than the buffer has.
    pub total_len: usize,
    /// TOS or traffic class.
    pub traffic_class: u8,
    /// TTL or hop limit.
    pub ttl: u8,
    /// Part of a fragmented datagram.
    pub fragment: bool,
    /// Has no upper-layer header: a fragment, and not the first.
    pub later_fragment: bool,
}

impl IpFacts {
    /// Reads and validates the headers at the start of `data`. The checksum of an IPv4 header is
    /// verified unless `checksum_good`.
    #[inline(never)]
    pub fn parse(data: &[u8], checksum_good: bool) -> Result<Self, DropReason> {
        match data.first().map(|octet| octet >> 4) {
            Some(4) => Self::parse_v4(data, checksum_good),
            Some(6) => Self::parse_v6(data),
            Some(_) => Err(DropReason::IpVersion),
            None => Err(DropReason::FrameTruncated),
        }
    }

    /// The same, of what must be IPv4.
    #[inline(always)]
    pub fn parse_v4(data: &[u8], checksum_good: bool) -> Result<Self, DropReason> {
        Ok(Self::of_v4(&check_v4(data, checksum_good)?))
    }

    /// The facts of a header that [`check_v4`] let pass. Where each packet passes, call these two,
    /// and not `parse_v4`: a `Result` of this size goes through memory.
    #[inline(always)]
    pub fn of_v4(packet: &ip4::Packet<&[u8]>) -> Self {
        IpFacts {
            src: packet.src().into(),
            dst: packet.dst().into(),
            protocol: packet.protocol(),
            upper: packet.header_len(),
            total_len: usize::from(packet.total_len()),
            traffic_class: packet.traffic_class(),
            ttl: packet.ttl(),
            fragment: packet.is_fragment(),
            later_fragment: packet.fragment_offset() != 0,
        }
    }

    /// The same for a packet out of a tunnel.
    pub fn parse_inner(data: &[u8]) -> Result<Self, DropReason> {
        Self::parse(data, false).map_err(inner_reason)
    }

    /// The same, of what must be IPv6.
    #[inline(never)]
    pub fn parse_v6(data: &[u8]) -> Result<Self, DropReason> {
        let packet = ip6::Packet::new_checked(data).map_err(|error| match error {
            ip6::Error::Truncated => DropReason::FrameTruncated,
            ip6::Error::Version(_) => DropReason::IpVersion,
            ip6::Error::PayloadBeyondBuffer(_) => DropReason::IpLength,
        })?;
        let upper = ip6::ext::upper(packet.next_header(), packet.payload())
            .map_err(|_| DropReason::IpExtensionHeader)?;
        let fragment = upper.fragment.map(|(_, fragment)| fragment);
        let (src, dst) = (Addr::from(packet.src()), Addr::from(packet.dst()));
        // IPv4-mapped addresses stand for IPv4 within a host, and are never on the wire. Here they
        // would be taken for the IPv4 addresses themselves.
        if src.is_v4() {
            return Err(DropReason::MartianSource);
        }
        if dst.is_v4() {
            return Err(DropReason::MartianDestination);
        }
        Ok(IpFacts {
            src,
            dst,
            protocol: upper.protocol,
            upper: ip6::HEADER_LEN + upper.offset,
            total_len: packet.total_len(),
            traffic_class: packet.traffic_class(),
            ttl: packet.hop_limit(),
            fragment: fragment.is_some_and(|f| f.is_partial()),
            later_fragment: fragment.is_some_and(|f| f.offset != 0),
        })
    }

    /// Source and destination port of TCP, UDP and SCTP, where the packet has them.
    #[inline]
    pub fn ports(&self, data: &[u8]) -> Option<(u16, u16)> {
        if !self.protocol.has_ports() || self.later_fragment {
            return None;
        }
        let ports: &[u8; 4] = data.get(self.upper..self.total_len)?.first_chunk()?;
        let [s0, s1, d0, d1] = *ports;
        Some((u16::from_be_bytes([s0, s1]), u16::from_be_bytes([d0, d1])))
    }

    /// What policies select by.
    #[inline]
    pub fn flow_key(&self, data: &[u8]) -> FlowKey {
        FlowKey {
            src: self.src.into(),
            dst: self.dst.into(),
            proto: self.protocol.0,
            ports: self.ports(data),
        }
    }

    /// Why this packet may not be forwarded, by its addresses (RFC 1812 section 5.3.7,
    /// RFC 4291 section 2.5).
    #[inline(always)]
    pub fn martian(&self) -> Option<DropReason> {
        let martian = if self.src.is_v4() {
            if is_plain_v4(self.src.v4_bits()) & is_plain_v4(self.dst.v4_bits()) {
                return None;
            }
            (martian_v4_source(self.src.v4_bits()), martian_v4_destination(self.dst.v4_bits()))
        } else {
            (martian_v6_source(self.src.bits()), self.dst.bits() <= 1)
        };
        match martian {
            (false, false) => None,
            (true, _) => Some(DropReason::MartianSource),
            (false, true) => Some(DropReason::MartianDestination),
        }
    }

    /// Whether the destination is a group or the limited broadcast address.
    #[inline]
    pub fn is_group(&self) -> bool {
        self.dst.is_group()
    }
}

/// Validates an IPv4 header. Its checksum is verified unless `checksum_good`.
#[inline(always)]
pub fn check_v4(data: &[u8], checksum_good: bool) -> Result<ip4::Packet<&[u8]>, DropReason> {
    let packet = ip4::Packet::new_checked(data).map_err(v4_error)?;
    if !checksum_good && !packet.verify_checksum() {
        return Err(DropReason::IpChecksum);
    }
    Ok(packet)
}

/// Unicast outside of 0/8 and loopback: nearly every address. No martian is.
#[inline(always)]
pub fn is_plain_v4(bits: u32) -> bool {
    let [first, ..] = bits.to_be_bytes();
    PLAIN_V4[usize::from(first)]
}

/// By the first octet, since a look into a table is cheaper than the comparisons.
static PLAIN_V4: [bool; 256] = {
    let mut plain = [false; 256];
    let mut first = 1;
    while first < 0xe0 {
        plain[first] = first != 127;
        first += 1;
    }
    plain
};

/// 0/8, loopback, multicast and the limited broadcast address.
#[inline]
fn martian_v4_source(bits: u32) -> bool {
    let first = bits >> 24;
    first == 0 || first == 127 || first >> 4 == 0xe || bits == u32::MAX
}

/// 0/8, loopback and what is reserved, but for the limited broadcast address.
#[inline]
fn martian_v4_destination(bits: u32) -> bool {
    let first = bits >> 24;
    first == 0 || first == 127 || (first >= 240 && bits != u32::MAX)
}

/// `::`, loopback and multicast.
#[inline]
fn martian_v6_source(bits: u128) -> bool {
    bits <= 1 || bits >> 120 == 0xff
}

/// Why a packet out of a tunnel is refused: what is missing of it was left out by the peer.
pub(crate) fn inner_reason(reason: DropReason) -> DropReason {
    match reason {
        DropReason::IpLength | DropReason::FrameTruncated => DropReason::InnerLength,
        other => other,
    }
}

#[cold]
fn v4_error(error: ip4::Error) -> DropReason {
    match error {
        ip4::Error::Truncated => DropReason::FrameTruncated,
        ip4::Error::Version(_) => DropReason::IpVersion,
        ip4::Error::HeaderLen(_) | ip4::Error::HeaderTruncated => DropReason::IpHeaderLength,
        ip4::Error::TotalLenBelowHeader(_) | ip4::Error::TotalLenBeyondBuffer(_) => {
            DropReason::IpLength
        }
        ip4::Error::Checksum => DropReason::IpChecksum,
    }
}
