//! Ethernet addresses.

use core::fmt;
use core::net::{Ipv4Addr, Ipv6Addr};
use core::str::FromStr;

/// A 48-bit Ethernet address, in transmission order.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MacAddr(pub [u8; 6]);

impl MacAddr {
    /// All ones.
    pub const BROADCAST: Self = Self([0xFF; 6]);
    /// All zeros: "unknown" in an ARP request.
    pub const ZERO: Self = Self([0; 6]);

    /// The address of an IPv4 multicast group: 01:00:5e and its low 23 bits (RFC 1112 6.4).
    #[inline]
    pub const fn multicast_v4(group: Ipv4Addr) -> Self {
        let [_, b, c, d] = group.octets();
        Self([0x01, 0x00, 0x5E, b & 0x7F, c, d])
    }

    /// The address of an IPv6 multicast group: 33:33 and its low 32 bits (RFC 2464 7).
    #[inline]
    pub const fn multicast_v6(group: Ipv6Addr) -> Self {
        let [.., a, b, c, d] = group.octets();
        Self([0x33, 0x33, a, b, c, d])
    }

    /// The six octets.
    #[inline]
    pub const fn octets(self) -> [u8; 6] {
        self.0
    }

    /// The group bit: multicast or broadcast.
    #[inline]
    pub const fn is_group(self) -> bool {
        self.0[0] & 0x01 != 0
    }

    /// All ones.
    #[inline]
    pub fn is_broadcast(self) -> bool {
        self == Self::BROADCAST
    }

    /// A group address other than broadcast.
    #[inline]
    pub fn is_multicast(self) -> bool {
        self.is_group() && !self.is_broadcast()
    }

    /// An address that one station can own: neither a group nor all zeros.
    #[inline]
    pub fn is_unicast(self) -> bool {
        !self.is_group() && self != Self::ZERO
    }
}

impl From<[u8; 6]> for MacAddr {
    #[inline]
    fn from(octets: [u8; 6]) -> Self {
        Self(octets)
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not six pairs of hexadecimal digits between colons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseMacError;

impl fmt::Display for ParseMacError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an Ethernet address of the form 02:00:5e:00:53:01")
    }
}

impl core::error::Error for ParseMacError {}

impl FromStr for MacAddr {
    type Err = ParseMacError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut octets = [0; 6];
        let mut parts = text.split(':');
        for octet in &mut octets {
            let part = parts.next().ok_or(ParseMacError)?;
            // from_str_radix alone would also take "+1".
            if part.len() != 2 || !part.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(ParseMacError);
            }
            *octet = u8::from_str_radix(part, 16).map_err(|_| ParseMacError)?;
        }
        if parts.next().is_some() {
            return Err(ParseMacError);
        }
        Ok(Self(octets))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::string::ToString;

    #[test]
    fn kinds() {
        let unicast = MacAddr([0x02, 0x6D, 0x37, 0x5F, 0xC2, 0xB1]);
        assert!(unicast.is_unicast() && !unicast.is_group());
        assert!(MacAddr::BROADCAST.is_broadcast() && MacAddr::BROADCAST.is_group());
        assert!(!MacAddr::BROADCAST.is_multicast() && !MacAddr::BROADCAST.is_unicast());
        assert!(MacAddr([1, 0, 0x5E, 0, 0, 5]).is_multicast());
        assert!(!MacAddr::ZERO.is_unicast() && !MacAddr::ZERO.is_group());
    }

    #[test]
    fn groups_map_to_addresses() {
        // RFC 1112 6.4: the 24th bit is lost, so 224.0.0.5 and 239.128.0.5 share an address.
        let ospf = "01:00:5e:00:00:05".parse().unwrap();
        assert_eq!(MacAddr::multicast_v4(Ipv4Addr::new(224, 0, 0, 5)), ospf);
        assert_eq!(MacAddr::multicast_v4(Ipv4Addr::new(239, 128, 0, 5)), ospf);
        // RFC 2464 7, by the solicited-node group of fe80::6d:37ff:fe5f:c2b1.
        let group = "ff02::1:ff5f:c2b1".parse().unwrap();
        assert_eq!(MacAddr::multicast_v6(group), "33:33:ff:5f:c2:b1".parse().unwrap());
    }

    #[test]
    fn text_that_is_no_address() {
        for bad in [
            "",
            "02:00:5e:00:53",
            "02:00:5e:00:53:01:02",
            "2:00:5e:00:53:01",
            "+2:00:5e:00:53:01",
            "02-00-5e-00-53-01",
            "02:00:5e:00:53:0g",
            "02:00:5e:00:53:001",
            " 02:00:5e:00:53:01",
        ] {
            assert_eq!(bad.parse::<MacAddr>(), Err(ParseMacError), "{bad:?}");
        }
        assert_eq!("02:AB:cd:00:53:01".parse(), Ok(MacAddr([2, 0xAB, 0xCD, 0, 0x53, 1])));
    }

    proptest! {
        #[test]
        fn text_round_trips(octets: [u8; 6]) {
            let mac = MacAddr(octets);
            prop_assert_eq!(mac.to_string().parse(), Ok(mac));
        }

        #[test]
        fn any_text_never_panics(text in ".{0,24}") {
            let _ = text.parse::<MacAddr>();
        }
    }
}
