//! An IP address of either family as one number: compared, hashed and stored without a branch on
//! the family, and the same code for both.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An IPv4 address as its IPv4-mapped IPv6 address (RFC 4291 section 2.5.5.2), or an IPv6 address.
///
/// No packet has a mapped address of its own: [`IpFacts`](crate::ip::IpFacts) refuses those as
/// martians, so the two families never meet in one value.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Addr(u128);

/// What IPv4 addresses begin with: `::ffff:0:0/96`.
const MAPPED: u128 = 0xffff << 32;

impl Addr {
    /// From the bits of an IPv4 address, in host order.
    #[inline]
    #[must_use]
    pub const fn v4(bits: u32) -> Self {
        Addr(MAPPED | bits as u128)
    }

    /// From the bits of an IPv6 address, in host order.
    #[inline]
    #[must_use]
    pub const fn v6(bits: u128) -> Self {
        Addr(bits)
    }

    /// Whether it is of IPv4.
    #[inline]
    #[must_use]
    pub const fn is_v4(self) -> bool {
        self.0 >> 32 == MAPPED >> 32
    }

    /// The bits of an IPv4 address; of an IPv6 address, its last 32.
    #[inline]
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "the last 32 bits are what is asked for")]
    pub const fn v4_bits(self) -> u32 {
        self.0 as u32
    }

    /// All bits; those of an IPv4 address are mapped.
    #[inline]
    #[must_use]
    pub const fn bits(self) -> u128 {
        self.0
    }

    /// Whether it names a group: multicast of either family, or the limited broadcast address.
    #[inline]
    #[must_use]
    pub const fn is_group(self) -> bool {
        if self.is_v4() {
            let bits = self.v4_bits();
            bits >> 28 == 0xe || bits == u32::MAX
        } else {
            self.0 >> 120 == 0xff
        }
    }

    /// A number that differs between most addresses: for lanes, not for hash tables
    /// that strangers may fill.
    #[inline]
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "both halves are used")]
    pub const fn fold(self) -> u64 {
        let folded = self.0 as u64 ^ ((self.0 >> 64) as u64).rotate_left(29);
        folded.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

impl From<IpAddr> for Addr {
    #[inline]
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(a) => a.into(),
            IpAddr::V6(a) => a.into(),
        }
    }
}

impl From<Ipv4Addr> for Addr {
    #[inline]
    fn from(address: Ipv4Addr) -> Self {
        Addr::v4(address.to_bits())
    }
}

impl From<Ipv6Addr> for Addr {
    #[inline]
    fn from(address: Ipv6Addr) -> Self {
        Addr::v6(address.to_bits())
    }
}

impl From<Addr> for IpAddr {
    #[inline]
    fn from(address: Addr) -> Self {
        if address.is_v4() {
            IpAddr::V4(Ipv4Addr::from_bits(address.v4_bits()))
        } else {
            IpAddr::V6(Ipv6Addr::from_bits(address.0))
        }
    }
}

impl fmt::Display for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        IpAddr::from(*self).fmt(f)
    }
}

impl fmt::Debug for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        IpAddr::from(*self).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn ipv4_comes_back(bits: u32) {
            let address = IpAddr::V4(bits.into());
            let addr = Addr::from(address);
            prop_assert!(addr.is_v4());
            prop_assert_eq!(addr.v4_bits(), bits);
            prop_assert_eq!(IpAddr::from(addr), address);
            let group = Ipv4Addr::from_bits(bits);
            prop_assert_eq!(addr.is_group(), group.is_multicast() || group.is_broadcast());
            prop_assert_eq!(addr.to_string(), address.to_string());
        }

        #[test]
        fn ipv6_comes_back_unless_it_is_mapped(bits: u128) {
            let address = Ipv6Addr::from_bits(bits);
            let addr = Addr::from(address);
            prop_assert_eq!(addr.is_v4(), address.to_ipv4_mapped().is_some());
            prop_assert_eq!(addr.is_group(), address.is_multicast());
            if !addr.is_v4() {
                prop_assert_eq!(IpAddr::from(addr), IpAddr::V6(address));
            }
        }
    }

    #[test]
    fn a_mapped_address_is_the_ipv4_address() {
        let mapped: Ipv6Addr = "::ffff:192.0.2.1".parse().unwrap();
        assert_eq!(Addr::from(mapped), Addr::from(Ipv4Addr::new(192, 0, 2, 1)));
    }
}
