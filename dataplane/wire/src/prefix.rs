//! Address prefixes (CIDR, RFC 4632), for tables and configuration.
//!
//! A *prefix* is a network: its host bits are zero, so that equal networks are equal values. An
//! [`IfAddr`] is an address of an interface together with its network: `10.1.0.1/24`.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::str::FromStr;

/// Why a prefix is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The text has no `/length`.
    NoLength,
    /// The part before `/` is no address of this family.
    Address,
    /// The length is no number, or more than the address has bits.
    Length,
    /// Bits after the length are set: an address, where a network is wanted.
    HostBits,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoLength => "prefix length missing (write address/length)",
            Self::Address => "not an IP address",
            Self::Length => "prefix length out of range",
            Self::HostBits => "host bits are set: not a network address",
        })
    }
}

impl core::error::Error for Error {}

/// What the two families have in common, written once.
macro_rules! prefix {
    ($(#[$doc:meta])* $name:ident, $addr:ty, $bits:ty, $width:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name {
            network: $addr,
            len: u8,
        }

        impl $name {
            /// Bits of an address.
            pub const WIDTH: u8 = $width;
            /// The prefix of length zero, which contains every address.
            pub const DEFAULT: Self = Self { network: <$addr>::from_bits(0), len: 0 };

            /// A network; its host bits must be zero.
            ///
            /// # Errors
            /// [`Error::Length`], [`Error::HostBits`].
            pub fn new(network: $addr, len: u8) -> Result<Self, Error> {
                let prefix = Self::containing(network, len)?;
                if prefix.network != network {
                    return Err(Error::HostBits);
                }
                Ok(prefix)
            }

            /// The network of this length that contains an address.
            ///
            /// # Errors
            /// [`Error::Length`].
            pub fn containing(address: $addr, len: u8) -> Result<Self, Error> {
                if len > Self::WIDTH {
                    return Err(Error::Length);
                }
                Ok(Self { network: <$addr>::from_bits(address.to_bits() & mask(len)), len })
            }

            /// The prefix of full length that holds one address.
            #[inline]
            pub const fn host(address: $addr) -> Self {
                Self { network: address, len: $width }
            }

            /// The first address.
            #[inline]
            pub const fn network(self) -> $addr {
                self.network
            }

            /// The last address: for IPv4, the directed broadcast if the length is below 31.
            #[inline]
            pub const fn last(self) -> $addr {
                <$addr>::from_bits(self.network.to_bits() | !mask(self.len))
            }

            /// The length in bits.
            #[inline]
            #[expect(clippy::len_without_is_empty, reason = "a length in bits, not a collection")]
            pub const fn len(self) -> u8 {
                self.len
            }

            /// Ones for the length, then zeros.
            #[inline]
            pub const fn netmask(self) -> $addr {
                <$addr>::from_bits(mask(self.len))
            }

            /// Whether the address is in this network.
            #[inline]
            pub const fn contains(self, address: $addr) -> bool {
                address.to_bits() & mask(self.len) == self.network.to_bits()
            }

            /// Whether each address of `other` is in this network.
            #[inline]
            pub const fn covers(self, other: Self) -> bool {
                self.len <= other.len && self.contains(other.network)
            }

            /// Whether some address is in both networks.
            #[inline]
            pub const fn overlaps(self, other: Self) -> bool {
                self.covers(other) || other.covers(self)
            }

            /// Whether the length is zero.
            #[inline]
            pub const fn is_default(self) -> bool {
                self.len == 0
            }

            /// Whether it holds exactly one address.
            #[inline]
            pub const fn is_host(self) -> bool {
                self.len == $width
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let (address, len) = split(text)?;
                Self::new(address.parse().map_err(|_| Error::Address)?, len)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}/{}", self.network, self.len)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        const _: () = {
            assert!(<$bits>::BITS == $width);
        };
    };
}

mod v4 {
    use super::*;

    prefix!(
        /// An IPv4 network.
        Ipv4Prefix, Ipv4Addr, u32, 32
    );

    impl Ipv4Prefix {
        /// The directed broadcast address; `None` for /31 (RFC 3021) and /32.
        #[inline]
        pub const fn broadcast(self) -> Option<Ipv4Addr> {
            if self.len() < 31 { Some(self.last()) } else { None }
        }
    }

    #[inline]
    const fn mask(len: u8) -> u32 {
        match u32::MAX.checked_shl(32 - len as u32) {
            Some(mask) => mask,
            None => 0,
        }
    }
}

mod v6 {
    use super::*;

    prefix!(
        /// An IPv6 network.
        Ipv6Prefix, Ipv6Addr, u128, 128
    );

    #[inline]
    const fn mask(len: u8) -> u128 {
        match u128::MAX.checked_shl(128 - len as u32) {
            Some(mask) => mask,
            None => 0,
        }
    }
}

pub use v4::Ipv4Prefix;
pub use v6::Ipv6Prefix;

/// A network of either family. Two networks of different families never meet.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IpPrefix {
    /// IPv4.
    V4(Ipv4Prefix),
    /// IPv6.
    V6(Ipv6Prefix),
}

impl IpPrefix {
    /// A network; its host bits must be zero.
    ///
    /// # Errors
    /// [`Error::Length`], [`Error::HostBits`].
    pub fn new(network: IpAddr, len: u8) -> Result<Self, Error> {
        match network {
            IpAddr::V4(v4) => Ipv4Prefix::new(v4, len).map(Self::V4),
            IpAddr::V6(v6) => Ipv6Prefix::new(v6, len).map(Self::V6),
        }
    }

    /// The network of this length that contains an address.
    ///
    /// # Errors
    /// [`Error::Length`].
    pub fn containing(address: IpAddr, len: u8) -> Result<Self, Error> {
        match address {
            IpAddr::V4(v4) => Ipv4Prefix::containing(v4, len).map(Self::V4),
            IpAddr::V6(v6) => Ipv6Prefix::containing(v6, len).map(Self::V6),
        }
    }

    /// The prefix of full length that holds one address.
    pub const fn host(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => Self::V4(Ipv4Prefix::host(v4)),
            IpAddr::V6(v6) => Self::V6(Ipv6Prefix::host(v6)),
        }
    }

    /// The first address.
    pub const fn network(self) -> IpAddr {
        match self {
            Self::V4(v4) => IpAddr::V4(v4.network()),
            Self::V6(v6) => IpAddr::V6(v6.network()),
        }
    }

    /// The last address.
    pub const fn last(self) -> IpAddr {
        match self {
            Self::V4(v4) => IpAddr::V4(v4.last()),
            Self::V6(v6) => IpAddr::V6(v6.last()),
        }
    }

    /// The length in bits.
    #[expect(clippy::len_without_is_empty, reason = "a length in bits, not a collection")]
    pub const fn len(self) -> u8 {
        match self {
            Self::V4(v4) => v4.len(),
            Self::V6(v6) => v6.len(),
        }
    }

    /// Whether the address is in this network.
    pub const fn contains(self, address: IpAddr) -> bool {
        match (self, address) {
            (Self::V4(prefix), IpAddr::V4(v4)) => prefix.contains(v4),
            (Self::V6(prefix), IpAddr::V6(v6)) => prefix.contains(v6),
            _ => false,
        }
    }

    /// Whether each address of `other` is in this network.
    pub const fn covers(self, other: Self) -> bool {
        match (self, other) {
            (Self::V4(a), Self::V4(b)) => a.covers(b),
            (Self::V6(a), Self::V6(b)) => a.covers(b),
            _ => false,
        }
    }

    /// Whether some address is in both networks.
    pub const fn overlaps(self, other: Self) -> bool {
        self.covers(other) || other.covers(self)
    }

    /// Whether the length is zero.
    pub const fn is_default(self) -> bool {
        self.len() == 0
    }

    /// Whether it holds exactly one address.
    pub const fn is_host(self) -> bool {
        match self {
            Self::V4(v4) => v4.is_host(),
            Self::V6(v6) => v6.is_host(),
        }
    }
}

impl From<Ipv4Prefix> for IpPrefix {
    fn from(prefix: Ipv4Prefix) -> Self {
        Self::V4(prefix)
    }
}

impl From<Ipv6Prefix> for IpPrefix {
    fn from(prefix: Ipv6Prefix) -> Self {
        Self::V6(prefix)
    }
}

impl FromStr for IpPrefix {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (address, len) = split(text)?;
        Self::new(address.parse().map_err(|_| Error::Address)?, len)
    }
}

impl fmt::Display for IpPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4(v4) => v4.fmt(f),
            Self::V6(v6) => v6.fmt(f),
        }
    }
}

impl fmt::Debug for IpPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An address of an interface and the network that it is in, written `10.1.0.1/24`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IfAddr {
    address: IpAddr,
    prefix: IpPrefix,
}

impl IfAddr {
    /// An address with the length of its network.
    ///
    /// # Errors
    /// [`Error::Length`].
    pub fn new(address: IpAddr, len: u8) -> Result<Self, Error> {
        Ok(Self { address, prefix: IpPrefix::containing(address, len)? })
    }

    /// The address itself.
    pub const fn address(self) -> IpAddr {
        self.address
    }

    /// Its network.
    pub const fn prefix(self) -> IpPrefix {
        self.prefix
    }
}

impl FromStr for IfAddr {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (address, len) = split(text)?;
        Self::new(address.parse().map_err(|_| Error::Address)?, len)
    }
}

impl fmt::Display for IfAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix.len())
    }
}

impl fmt::Debug for IfAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// `address/length`; the length is plain decimal, without sign or leading zeros.
fn split(text: &str) -> Result<(&str, u8), Error> {
    let (address, len) = text.split_once('/').ok_or(Error::NoLength)?;
    let plain = len.bytes().all(|b| b.is_ascii_digit()) && (len == "0" || !len.starts_with('0'));
    if !plain {
        return Err(Error::Length);
    }
    Ok((address, len.parse().map_err(|_| Error::Length)?))
}

#[cfg(test)]
mod tests;
