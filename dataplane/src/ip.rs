//! One look at an IPv4 or IPv6 header: the facts that stages decide by.

use std::net::IpAddr;

use wire::{IpProto, ip4, ip6};

use crate::drops::DropReason;
use crate::tables::policy::FlowKey;

/// What the headers of an IP packet say.
#[derive(Debug, Clone, Copy)]
pub struct IpFacts {
    /// Source.
    pub src: IpAddr,
    /// Destination.
    pub dst: IpAddr,
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
    #[inline]
    pub fn parse(data: &[u8], checksum_good: bool) -> Result<Self, DropReason> {
        match data.first().map(|octet| octet >> 4) {
            Some(4) => Self::v4(data, checksum_good),
            Some(6) => Self::v6(data),
            Some(_) => Err(DropReason::IpVersion),
            None => Err(DropReason::FrameTruncated),
        }
    }

    /// The same for a packet out of a tunnel: what is missing of it was left out by the peer.
    #[inline]
    pub fn parse_inner(data: &[u8]) -> Result<Self, DropReason> {
        Self::parse(data, false).map_err(|reason| match reason {
            DropReason::IpLength | DropReason::FrameTruncated => DropReason::InnerLength,
            other => other,
        })
    }

    #[inline]
    fn v4(data: &[u8], checksum_good: bool) -> Result<Self, DropReason> {
        let packet = ip4::Packet::new_checked(data).map_err(v4_error)?;
        if !checksum_good && !packet.verify_checksum() {
            return Err(DropReason::IpChecksum);
        }
        Ok(IpFacts {
            src: IpAddr::V4(packet.src()),
            dst: IpAddr::V4(packet.dst()),
            protocol: packet.protocol(),
            upper: packet.header_len(),
            total_len: usize::from(packet.total_len()),
            traffic_class: packet.traffic_class(),
            ttl: packet.ttl(),
            fragment: packet.is_fragment(),
            later_fragment: packet.fragment_offset() != 0,
        })
    }

    #[inline]
    fn v6(data: &[u8]) -> Result<Self, DropReason> {
        let packet = ip6::Packet::new_checked(data).map_err(|error| match error {
            ip6::Error::Truncated => DropReason::FrameTruncated,
            ip6::Error::Version(_) => DropReason::IpVersion,
            ip6::Error::PayloadBeyondBuffer(_) => DropReason::IpLength,
        })?;
        let upper = ip6::ext::upper(packet.next_header(), packet.payload())
            .map_err(|_| DropReason::IpExtensionHeader)?;
        let fragment = upper.fragment.map(|(_, fragment)| fragment);
        Ok(IpFacts {
            src: IpAddr::V6(packet.src()),
            dst: IpAddr::V6(packet.dst()),
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
        FlowKey { src: self.src, dst: self.dst, proto: self.protocol.0, ports: self.ports(data) }
    }

    /// Why this packet may not be forwarded, by its addresses (RFC 1812 section 5.3.7,
    /// RFC 4291 section 2.5).
    #[inline]
    pub fn martian(&self) -> Option<DropReason> {
        let source = match self.src {
            IpAddr::V4(a) => {
                a.octets()[0] == 0 || a.is_loopback() || a.is_multicast() || a.is_broadcast()
            }
            IpAddr::V6(a) => a.is_unspecified() || a.is_loopback() || a.is_multicast(),
        };
        if source {
            return Some(DropReason::MartianSource);
        }
        let destination = match self.dst {
            IpAddr::V4(a) => {
                let first = a.octets()[0];
                first == 0 || first == 127 || (first >= 240 && !a.is_broadcast())
            }
            IpAddr::V6(a) => a.is_unspecified() || a.is_loopback(),
        };
        destination.then_some(DropReason::MartianDestination)
    }

    /// Whether the destination is a group or the limited broadcast address.
    #[inline]
    pub fn is_group(&self) -> bool {
        match self.dst {
            IpAddr::V4(a) => a.is_multicast() || a.is_broadcast(),
            IpAddr::V6(a) => a.is_multicast(),
        }
    }
}

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
