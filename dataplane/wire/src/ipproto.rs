//! IP protocol numbers, which are also IPv6 next-header values.

use core::fmt;

/// An IP protocol number (IANA "Assigned Internet Protocol Numbers").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IpProto(pub u8);

impl IpProto {
    /// IPv6 hop-by-hop options (RFC 8200 4.3).
    pub const HOP_BY_HOP: Self = Self(0);
    /// ICMP for IPv4.
    pub const ICMP: Self = Self(1);
    /// IGMP.
    pub const IGMP: Self = Self(2);
    /// IPv4 in IP (RFC 2003); inside tunnel-mode ESP, an IPv4 packet.
    pub const IPV4: Self = Self(4);
    /// TCP.
    pub const TCP: Self = Self(6);
    /// UDP.
    pub const UDP: Self = Self(17);
    /// IPv6 in IP (RFC 2473, 4213); inside tunnel-mode ESP, an IPv6 packet.
    pub const IPV6: Self = Self(41);
    /// IPv6 routing header (RFC 8200 4.4).
    pub const ROUTING: Self = Self(43);
    /// IPv6 fragment header (RFC 8200 4.5).
    pub const FRAGMENT: Self = Self(44);
    /// GRE (RFC 2784).
    pub const GRE: Self = Self(47);
    /// ESP (RFC 4303).
    pub const ESP: Self = Self(50);
    /// AH (RFC 4302).
    pub const AH: Self = Self(51);
    /// NHRP directly over IP (NARP's number; DMVPN uses GRE instead).
    pub const NHRP: Self = Self(54);
    /// ICMPv6 (RFC 4443).
    pub const ICMPV6: Self = Self(58);
    /// No next header (RFC 8200 4.7); inside ESP, a dummy packet (RFC 4303 2.6).
    pub const NO_NEXT_HEADER: Self = Self(59);
    /// IPv6 destination options (RFC 8200 4.6).
    pub const DEST_OPTIONS: Self = Self(60);
    /// EIGRP (RFC 7868).
    pub const EIGRP: Self = Self(88);
    /// OSPF (RFC 2328, 5340).
    pub const OSPF: Self = Self(89);
    /// PIM (RFC 7761).
    pub const PIM: Self = Self(103);
    /// SCTP (RFC 9260).
    pub const SCTP: Self = Self(132);

    /// Whether the first four octets of the payload are source and destination port.
    #[inline]
    pub const fn has_ports(self) -> bool {
        matches!(self, Self::TCP | Self::UDP | Self::SCTP)
    }

    /// The usual name, if there is one here.
    pub const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::HOP_BY_HOP => "hopopt",
            Self::ICMP => "icmp",
            Self::IGMP => "igmp",
            Self::IPV4 => "ipip",
            Self::TCP => "tcp",
            Self::UDP => "udp",
            Self::IPV6 => "ipv6",
            Self::ROUTING => "ipv6-route",
            Self::FRAGMENT => "ipv6-frag",
            Self::GRE => "gre",
            Self::ESP => "esp",
            Self::AH => "ah",
            Self::NHRP => "nhrp",
            Self::ICMPV6 => "icmpv6",
            Self::NO_NEXT_HEADER => "none",
            Self::DEST_OPTIONS => "ipv6-opts",
            Self::EIGRP => "eigrp",
            Self::OSPF => "ospf",
            Self::PIM => "pim",
            Self::SCTP => "sctp",
            _ => return None,
        })
    }
}

impl From<u8> for IpProto {
    #[inline]
    fn from(value: u8) -> Self {
        Self(value)
    }
}

impl From<IpProto> for u8 {
    #[inline]
    fn from(proto: IpProto) -> Self {
        proto.0
    }
}

impl fmt::Display for IpProto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.pad(name),
            None => write!(f, "proto-{}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn names_and_numbers() {
        assert_eq!(IpProto::GRE.to_string(), "gre");
        assert_eq!(IpProto(200).to_string(), "proto-200");
        assert_eq!(std::format!("[{:>5}]", IpProto::ESP), "[  esp]");
        assert_eq!(u8::from(IpProto::from(89)), 89);
    }

    #[test]
    fn ports_only_where_the_protocol_has_them() {
        let with = (0..=255).map(IpProto).filter(|p| p.has_ports()).map(u8::from);
        assert!(with.eq([6, 17, 132]));
    }
}
