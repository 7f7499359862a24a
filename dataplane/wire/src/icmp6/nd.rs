//! Neighbour discovery (RFC 4861) over Ethernet: solicitations, advertisements, and what makes
//! them valid (7.1, 6.1.1).

use core::fmt;
use core::net::Ipv6Addr;

use crate::bytes::{Field, array, ipv6, put};
use crate::emit::{EmitError, room};
use crate::ip6;
use crate::mac::MacAddr;

/// The hop limit that proves that a message was not forwarded.
pub const HOP_LIMIT: u8 = 255;

/// Octets before the options of a neighbour message.
const NEIGHBOR_LEN: usize = 24;
/// Octets before the options of a router solicitation.
const SOLICITATION_LEN: usize = 8;
/// Octets of a link-layer address option over Ethernet.
const OPTION_LEN: usize = 8;

mod field {
    use super::Field;

    pub(super) const FLAGS: usize = 4;
    pub(super) const TARGET: Field = 8..24;
    pub(super) const OPTION_MAC: Field = 2..8;
}

const ROUTER_SOLICITATION: u8 = 133;
const NEIGHBOR_SOLICITATION: u8 = 135;
const NEIGHBOR_ADVERTISEMENT: u8 = 136;

const FLAG_ROUTER: u8 = 0x80;
const FLAG_SOLICITED: u8 = 0x40;
const FLAG_OVERRIDE: u8 = 0x20;

const OPTION_SOURCE: u8 = 1;
const OPTION_TARGET: u8 = 2;

/// Why a message is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Error {
    /// Shorter than its type demands.
    Truncated,
    /// The checksum is wrong.
    Checksum,
    /// None of the types read here.
    Type(u8),
    /// The hop limit is not 255: it was forwarded, or forged from afar.
    HopLimit(u8),
    /// The code is not 0.
    Code(u8),
    /// The target is a multicast address.
    TargetMulticast,
    /// An option of length zero.
    OptionLen,
    /// An option ends beyond the message.
    OptionTruncated,
    /// A link-layer address option that is not of Ethernet's length, or no unicast address.
    OptionMac,
    /// From the unspecified address, yet not to a solicited-node group.
    UnspecifiedToUnicast,
    /// From the unspecified address, yet with a source link-layer address.
    UnspecifiedWithMac,
    /// A multicast advertisement that claims to be solicited.
    SolicitedMulticast,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("ND message truncated"),
            Self::Checksum => f.write_str("ND checksum is wrong"),
            Self::Type(kind) => write!(f, "ND type {kind} is unknown"),
            Self::HopLimit(hops) => write!(f, "ND hop limit {hops} is not 255"),
            Self::Code(code) => write!(f, "ND code {code} is not 0"),
            Self::TargetMulticast => f.write_str("ND target is multicast"),
            Self::OptionLen => f.write_str("ND option of length 0"),
            Self::OptionTruncated => f.write_str("ND option truncated"),
            Self::OptionMac => f.write_str("ND link-layer address is no unicast Ethernet address"),
            Self::UnspecifiedToUnicast => {
                f.write_str("ND probe is not sent to a solicited-node group")
            }
            Self::UnspecifiedWithMac => f.write_str("ND probe with a source link-layer address"),
            Self::SolicitedMulticast => f.write_str("ND multicast advertisement is solicited"),
        }
    }
}

impl core::error::Error for Error {}

/// A message as a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// Router solicitation, type 133.
    RouterSolicitation {
        /// The sender's Ethernet address.
        source_mac: Option<MacAddr>,
    },
    /// Neighbour solicitation, type 135.
    NeighborSolicitation {
        /// Whose Ethernet address is wanted.
        target: Ipv6Addr,
        /// The sender's Ethernet address; absent in a probe for duplicates.
        source_mac: Option<MacAddr>,
    },
    /// Neighbour advertisement, type 136.
    NeighborAdvertisement {
        /// Whose Ethernet address is told.
        target: Ipv6Addr,
        /// The target's Ethernet address; may be absent from an answer to a unicast solicitation.
        target_mac: Option<MacAddr>,
        /// The target is a router.
        router: bool,
        /// It answers a solicitation.
        solicited: bool,
        /// It overrides what a cache knows.
        override_entry: bool,
    },
}

impl Message {
    /// Reads and validates `message`, the upper layer of `packet`.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn parse<T: AsRef<[u8]>>(packet: &ip6::Packet<T>, message: &[u8]) -> Result<Self, Error> {
        let (src, dst) = (packet.src(), packet.dst());
        let &[kind, code, ..] = message else { return Err(Error::Truncated) };
        let fixed = match kind {
            ROUTER_SOLICITATION => SOLICITATION_LEN,
            NEIGHBOR_SOLICITATION | NEIGHBOR_ADVERTISEMENT => NEIGHBOR_LEN,
            other => return Err(Error::Type(other)),
        };
        if packet.hop_limit() != HOP_LIMIT {
            return Err(Error::HopLimit(packet.hop_limit()));
        }
        let options = message.get(fixed..).ok_or(Error::Truncated)?;
        if !super::verify_checksum(src, dst, message) {
            return Err(Error::Checksum);
        }
        if code != 0 {
            return Err(Error::Code(code));
        }
        let target = match kind {
            ROUTER_SOLICITATION => Ipv6Addr::UNSPECIFIED,
            _ => ipv6(message, field::TARGET),
        };
        if target.is_multicast() {
            return Err(Error::TargetMulticast);
        }
        let (source_mac, target_mac) = link_addresses(options)?;
        let parsed = match kind {
            ROUTER_SOLICITATION => Self::RouterSolicitation { source_mac },
            NEIGHBOR_SOLICITATION => Self::NeighborSolicitation { target, source_mac },
            _ => {
                let flags = message[field::FLAGS];
                Self::NeighborAdvertisement {
                    target,
                    target_mac,
                    router: flags & FLAG_ROUTER != 0,
                    solicited: flags & FLAG_SOLICITED != 0,
                    override_entry: flags & FLAG_OVERRIDE != 0,
                }
            }
        };
        parsed.check_addresses(src, dst)?;
        Ok(parsed)
    }

    /// Octets that [`Self::emit`] writes.
    pub fn wire_len(&self) -> usize {
        let (fixed, option) = match self {
            Self::RouterSolicitation { source_mac } => (SOLICITATION_LEN, source_mac),
            Self::NeighborSolicitation { source_mac, .. } => (NEIGHBOR_LEN, source_mac),
            Self::NeighborAdvertisement { target_mac, .. } => (NEIGHBOR_LEN, target_mac),
        };
        if option.is_some() { fixed + OPTION_LEN } else { fixed }
    }

    /// Writes the message with its checksum, for a packet from `src` to `dst` of hop limit
    /// [`HOP_LIMIT`], at the start of `out`; returns its length, [`Self::wire_len`].
    ///
    /// # Errors
    /// [`EmitError::NoRoom`].
    pub fn emit(&self, src: Ipv6Addr, dst: Ipv6Addr, out: &mut [u8]) -> Result<usize, EmitError> {
        let len = self.wire_len();
        let out = room(out, len)?;
        out.fill(0);
        let (kind, target, option) = match *self {
            Self::RouterSolicitation { source_mac } => {
                (ROUTER_SOLICITATION, None, source_mac.map(|mac| (OPTION_SOURCE, mac)))
            }
            Self::NeighborSolicitation { target, source_mac } => {
                (NEIGHBOR_SOLICITATION, Some(target), source_mac.map(|mac| (OPTION_SOURCE, mac)))
            }
            Self::NeighborAdvertisement {
                target,
                target_mac,
                router,
                solicited,
                override_entry,
            } => {
                let flag = |on: bool, bit: u8| if on { bit } else { 0 };
                out[field::FLAGS] = flag(router, FLAG_ROUTER)
                    | flag(solicited, FLAG_SOLICITED)
                    | flag(override_entry, FLAG_OVERRIDE);
                (NEIGHBOR_ADVERTISEMENT, Some(target), target_mac.map(|mac| (OPTION_TARGET, mac)))
            }
        };
        out[0] = kind;
        if let Some(target) = target {
            put(out, field::TARGET, &target.octets());
        }
        if let Some((option, mac)) = option {
            let out = &mut out[len - OPTION_LEN..];
            put(out, 0..2, &[option, 1]);
            put(out, field::OPTION_MAC, &mac.0);
        }
        super::fill_checksum(src, dst, out)?;
        Ok(len)
    }

    /// What RFC 4861 7.1.1, 7.1.2 and 6.1.1 demand of the addresses.
    fn check_addresses(&self, src: Ipv6Addr, dst: Ipv6Addr) -> Result<(), Error> {
        match self {
            Self::RouterSolicitation { source_mac: Some(_) } if src.is_unspecified() => {
                Err(Error::UnspecifiedWithMac)
            }
            Self::NeighborSolicitation { source_mac, .. } if src.is_unspecified() => {
                // The group is recognised by the 104 bits that all solicited-node groups share.
                if ip6::solicited_node(dst) != dst {
                    return Err(Error::UnspecifiedToUnicast);
                }
                source_mac.map_or(Ok(()), |_| Err(Error::UnspecifiedWithMac))
            }
            Self::NeighborAdvertisement { solicited: true, .. } if dst.is_multicast() => {
                Err(Error::SolicitedMulticast)
            }
            _ => Ok(()),
        }
    }
}

/// Source and target link-layer address among the options; others are ignored (RFC 4861 4.6). Each
/// option is at least one octet of type and one of length, so the walk ends.
fn link_addresses(mut rest: &[u8]) -> Result<(Option<MacAddr>, Option<MacAddr>), Error> {
    let (mut source, mut target) = (None, None);
    while let &[kind, ref after @ ..] = rest {
        let &[words, ..] = after else { return Err(Error::OptionTruncated) };
        if words == 0 {
            return Err(Error::OptionLen);
        }
        let len = usize::from(words) * 8;
        let (option, next) = rest.split_at_checked(len).ok_or(Error::OptionTruncated)?;
        rest = next;
        let slot = match kind {
            OPTION_SOURCE => &mut source,
            OPTION_TARGET => &mut target,
            _ => continue,
        };
        let mac = MacAddr(array(option, field::OPTION_MAC));
        if len != OPTION_LEN || !mac.is_unicast() {
            return Err(Error::OptionMac);
        }
        *slot = Some(mac);
    }
    Ok((source, target))
}

#[cfg(test)]
mod tests;
