//! Flow hash: which packets must stay in order, as a number.
//!
//! Addresses and protocol of the innermost IP header that is readable, with ports if the protocol
//! has them, or with the SPI of ESP. All fragments of a datagram hash alike, without ports. A GRE
//! packet with sequence number stays with its tunnel, because its receiver may insist on order.

use crate::bytes::be32;
use crate::gre;
use crate::ip4;
use crate::ip6::{self, ext};
use crate::ipproto::IpProto;
use crate::plain;

/// Headers looked at, from the outside in: IP, and IP in GRE in it.
const DEPTH_MAX: usize = 2;

/// Odd constants with as many ones as zeros, from the binary digits of the golden ratio and of
/// the square roots of 2 and 3.
const K: [u64; 3] = [0x9E37_79B9_7F4A_7C15, 0x6A09_E667_F3BC_C909, 0xBB67_AE85_84CA_A73B];

/// The hash of an IPv4 or IPv6 packet, given from its IP header on; the same on every machine.
/// Whatever is no IP packet hashes to zero.
#[inline]
pub fn hash(packet: &[u8]) -> u32 {
    let plain = plain::Packet::new(packet).and_then(|packet| of_plain(&packet));
    plain.unwrap_or_else(|| layered(packet))
}

/// The same hash of nearly every packet: whole, and without a tunnel in it; none for others.
#[inline(always)]
pub fn of_plain(packet: &plain::Packet<'_>) -> Option<u32> {
    if packet.is_fragment() || packet.protocol() == IpProto::GRE {
        return None;
    }
    let addresses = mix(u64::from(packet.src()) << 32 | u64::from(packet.dst()), K[0]);
    Some(above(addresses, packet.protocol(), &packet.upper().to_be_bytes()).0)
}

/// The hash of the innermost of the headers.
#[inline(never)]
fn layered(packet: &[u8]) -> u32 {
    let mut result = 0;
    let mut layer = Some(packet);
    for _ in 0..DEPTH_MAX {
        let Some((layer_hash, inner)) = layer.and_then(ip) else { break };
        result = layer_hash;
        layer = inner;
    }
    result
}

/// The hash of one IP header with what follows it, and the packet that it tunnels.
#[inline]
fn ip(packet: &[u8]) -> Option<(u32, Option<&[u8]>)> {
    match packet.first()? >> 4 {
        4 => {
            let packet = ip4::Packet::new_checked(packet).ok()?;
            let upper = if packet.is_fragment() { &[] } else { packet.payload() };
            let addresses = u64::from(packet.src().to_bits()) << 32;
            let addresses = mix(addresses | u64::from(packet.dst().to_bits()), K[0]);
            Some(above(addresses, packet.protocol(), upper))
        }
        6 => {
            let packet = ip6::Packet::new_checked(packet).ok()?;
            let addresses = mix(halves(packet.src().to_bits()), K[0]);
            let addresses = mix(addresses ^ halves(packet.dst().to_bits()).rotate_left(1), K[2]);
            let payload = packet.payload();
            Some(match ext::upper(packet.next_header(), payload) {
                Err(_) => above(addresses, packet.next_header(), &[]),
                Ok(upper) => match upper.fragment {
                    Some((_, fragment)) if fragment.is_partial() => {
                        above(addresses, fragment.next_header, &[])
                    }
                    _ => above(addresses, upper.protocol, &payload[upper.offset..]),
                },
            })
        }
        _ => None,
    }
}

/// Adds protocol and ports; the upper layer is empty where it cannot be read.
#[inline(always)]
fn above(addresses: u64, protocol: IpProto, upper: &[u8]) -> (u32, Option<&[u8]>) {
    let selects = protocol.has_ports() || protocol == IpProto::ESP;
    let word = if selects && upper.len() >= 4 { be32(upper, 0..4) } else { 0 };
    let mixed = mix(addresses ^ (u64::from(word) << 8 | u64::from(protocol.0)), K[1]);
    let inner = if protocol == IpProto::GRE { tunneled(upper) } else { None };
    ((mixed >> 32) as u32, inner)
}

#[inline]
fn tunneled(upper: &[u8]) -> Option<&[u8]> {
    // The checksum is not this function's business; a quoted view does not look at it.
    let packet = gre::Packet::new_quoted(upper).ok()?;
    let is_ip = matches!(packet.protocol(), gre::Protocol::IPV4 | gre::Protocol::IPV6);
    (is_ip && packet.sequence().is_none()).then(|| packet.payload())
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "both halves are used")]
const fn halves(bits: u128) -> u64 {
    (bits >> 64) as u64 ^ (bits as u64).rotate_left(32)
}

/// Multiply, and fold the high half of the product onto the low one: the bits of the factor spread
/// over all of the result.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "both halves are used")]
const fn mix(value: u64, factor: u64) -> u64 {
    let product = (value ^ factor.rotate_left(23)) as u128 * factor as u128;
    product as u64 ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests;
