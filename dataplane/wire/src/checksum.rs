//! The Internet checksum (RFC 1071), its pseudo headers and its incremental update (RFC 1624).

use core::net::{Ipv4Addr, Ipv6Addr};

use crate::ipproto::IpProto;

/// A one's complement sum of 16-bit big-endian words, folded to 16 bits; not yet complemented.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum(u16);

impl Sum {
    /// The sum of a slice of any alignment; an odd last octet is padded with zero on its right.
    ///
    /// The slice must be shorter than 2^34 octets, which no packet is.
    #[inline(always)]
    pub fn of(bytes: &[u8]) -> Self {
        // Words of four octets in native order into one wide accumulator: RFC 1071 2(B) and 2(C)
        // make byte order and word size a matter of the last step, and the compiler vectorises it.
        let (words, tail) = bytes.as_chunks::<4>();
        let mut wide: u64 = words.iter().map(|word| u64::from(u32::from_ne_bytes(*word))).sum();
        let mut last = [0; 4];
        last[..tail.len()].copy_from_slice(tail);
        wide += u64::from(u32::from_ne_bytes(last));
        Self(u16::from_be(fold(wide)))
    }

    /// The pseudo header of IPv4 for UDP and TCP (RFC 768); `len` octets of upper-layer header and
    /// data.
    #[inline]
    pub fn pseudo_v4(src: Ipv4Addr, dst: Ipv4Addr, proto: IpProto, len: u16) -> Self {
        Self::of(&src.octets()).plus(Self::of(&dst.octets())).word(proto.0.into()).word(len)
    }

    /// The pseudo header of IPv6 (RFC 8200 8.1); `len` octets of upper-layer header and data.
    #[inline]
    pub fn pseudo_v6(src: Ipv6Addr, dst: Ipv6Addr, proto: IpProto, len: u32) -> Self {
        let addresses = Self::of(&src.octets()).plus(Self::of(&dst.octets()));
        addresses.plus(Self::of(&len.to_be_bytes())).word(proto.0.into())
    }

    /// Adds another sum. Both must start at an even octet of what is summed; see [`Self::then`].
    #[inline]
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        self.word(other.0)
    }

    /// Adds one word.
    #[inline]
    #[must_use]
    pub fn word(self, word: u16) -> Self {
        let (sum, carry) = self.0.overflowing_add(word);
        Self(sum + u16::from(carry))
    }

    /// Adds four words, the first in the highest bits.
    #[inline(always)]
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "halves of what they are cast from")]
    pub fn words(self, words: u64) -> Self {
        // One half is added to the other, and the carry to both, until 16 bits are left.
        let (sum, carry) = words.overflowing_add(self.0.into());
        let sum = sum + u64::from(carry);
        let (sum, carry) = (sum as u32).overflowing_add((sum >> 32) as u32);
        let sum = sum + u32::from(carry);
        let (sum, carry) = (sum as u16).overflowing_add((sum >> 16) as u16);
        Self(sum + u16::from(carry))
    }

    /// Appends the sum of a slice that follows `octets_before` octets already summed: after an odd
    /// number of them its octets have changed places (RFC 1071 2(B)).
    #[inline]
    #[must_use]
    pub fn then(self, octets_before: usize, next: Self) -> Self {
        let odd = octets_before % 2 == 1;
        self.word(if odd { next.0.swap_bytes() } else { next.0 })
    }

    /// The checksum to write into a header whose checksum field was summed as zero.
    #[inline]
    pub const fn checksum(self) -> u16 {
        !self.0
    }

    /// The same for UDP, where zero would mean "none" and is sent as all ones (RFC 768).
    #[inline]
    pub const fn udp_checksum(self) -> u16 {
        match self.checksum() {
            0 => 0xFFFF,
            sum => sum,
        }
    }

    /// Whether data that includes its checksum is intact.
    #[inline]
    pub const fn is_valid(self) -> bool {
        self.0 == 0xFFFF
    }
}

/// The checksum of a slice whose own checksum field, if any, is zero.
#[inline]
pub fn of(bytes: &[u8]) -> u16 {
    Sum::of(bytes).checksum()
}

/// Whether a slice that includes its checksum is intact.
#[inline(always)]
pub fn verify(bytes: &[u8]) -> bool {
    Sum::of(bytes).is_valid()
}

/// The new checksum after one aligned word changed (RFC 1624 equation 3).
#[inline]
pub fn update(checksum: u16, old: u16, new: u16) -> u16 {
    Sum(!checksum).word(!old).word(new).checksum()
}

/// The new checksum after two aligned words changed, for example an IPv4 address.
#[inline]
pub fn update32(checksum: u16, old: u32, new: u32) -> u16 {
    let old = Sum::of(&old.to_be_bytes());
    Sum(!checksum).word(!old.0).plus(Sum::of(&new.to_be_bytes())).checksum()
}

#[inline]
fn fold(wide: u64) -> u16 {
    let sum = (wide >> 32) + (wide & 0xFFFF_FFFF);
    let sum = (sum >> 32) + (sum & 0xFFFF_FFFF);
    let sum = (sum >> 16) + (sum & 0xFFFF);
    let sum = (sum >> 16) + (sum & 0xFFFF);
    let sum = (sum >> 16) + (sum & 0xFFFF);
    (sum & 0xFFFF) as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden;
    use proptest::prelude::*;
    use std::vec::Vec;

    /// RFC 1071 4.1, as it is printed there.
    fn reference(bytes: &[u8]) -> u16 {
        let mut sum = 0u32;
        for pair in bytes.chunks(2) {
            sum += u32::from(pair[0]) << 8 | pair.get(1).copied().map_or(0, u32::from);
            sum = (sum & 0xFFFF) + (sum >> 16);
        }
        !u16::try_from(sum).unwrap()
    }

    #[test]
    fn rfc_1071_example() {
        // RFC 1071 3: the sum of these is ddf2.
        let bytes = [0x00, 0x01, 0xF2, 0x03, 0xF4, 0xF5, 0xF6, 0xF7];
        assert_eq!(Sum::of(&bytes), Sum(0xDDF2));
        assert_eq!(of(&bytes), !0xDDF2);
    }

    #[test]
    fn rfc_1624_example() {
        // RFC 1624 4: equation 3 yields 0x0000 here where RFC 1141's yields 0xFFFF.
        assert_eq!(update(0xDD2F, 0x5555, 0x3285), 0x0000);
    }

    #[test]
    fn captured_packets_verify() {
        assert!(verify(&golden::ECHO_REQUEST[14..34]));
        assert!(verify(&golden::ECHO_REQUEST[34..]));
        assert!(verify(&golden::PORT_UNREACHABLE[34..]), "odd length");
    }

    #[test]
    fn nothing_at_all() {
        assert_eq!(Sum::of(&[]), Sum(0));
        assert_eq!(of(&[]), 0xFFFF);
        assert_eq!(Sum::of(&[0xFF; 4]).udp_checksum(), 0xFFFF, "zero is sent as all ones");
    }

    #[test]
    fn the_accumulator_holds_the_largest_packet() {
        assert_eq!(of(&[0xFF; 65535]), reference(&[0xFF; 65535]));
    }

    proptest! {
        #[test]
        fn equals_the_reference_at_any_alignment(bytes: Vec<u8>, skip in 0usize..8) {
            let bytes = &bytes[skip.min(bytes.len())..];
            prop_assert_eq!(of(bytes), reference(bytes));
        }

        #[test]
        fn parts_combine_at_any_split(bytes: Vec<u8>, at: prop::sample::Index) {
            let at = at.index(bytes.len() + 1);
            let (head, tail) = bytes.split_at(at);
            prop_assert_eq!(Sum::of(head).then(at, Sum::of(tail)), Sum::of(&bytes));
        }

        #[test]
        fn four_words_at_once_are_four_words(start: u16, words: u64) {
            for words in [words, !0, !0 << 16, !u64::from(start), 1, 0] {
                let one = |sum: Sum, at: u32| sum.word((words >> (16 * at) & 0xFFFF) as u16);
                prop_assert_eq!(Sum(start).words(words), (0..4).fold(Sum(start), one));
            }
        }

        /// No header is all zero, so the two zeros of one's complement cannot be confused.
        #[test]
        fn incremental_equals_recomputed(
            mut bytes in prop::collection::vec(any::<u8>(), 16..64),
            at in 1usize..4,
            new: [u8; 4],
        ) {
            bytes[0] |= 1;
            bytes.truncate(bytes.len() / 4 * 4);
            let before = of(&bytes);
            let place = at * 4..at * 4 + 4;
            let mut old = [0; 4];
            old.copy_from_slice(&bytes[place.clone()]);
            bytes[place].copy_from_slice(&new);
            let want = of(&bytes);
            let both = update32(before, u32::from_be_bytes(old), u32::from_be_bytes(new));
            prop_assert_eq!(both, want);
            let first = update(
                before,
                u16::from_be_bytes([old[0], old[1]]),
                u16::from_be_bytes([new[0], new[1]]),
            );
            let second = update(
                first,
                u16::from_be_bytes([old[2], old[3]]),
                u16::from_be_bytes([new[2], new[3]]),
            );
            prop_assert_eq!(second, want);
        }

        #[test]
        fn pseudo_headers_are_their_octets(
            a: [u8; 4], b: [u8; 4], c: [u8; 16], d: [u8; 16], proto: u8, len: u16, long: u32,
        ) {
            let bytes = [&a[..], &b, &[0, proto], &len.to_be_bytes()].concat();
            let pseudo = Sum::pseudo_v4(a.into(), b.into(), IpProto(proto), len);
            prop_assert_eq!(pseudo.checksum(), reference(&bytes));
            let bytes = [&c[..], &d, &long.to_be_bytes(), &[0, 0, 0, proto]].concat();
            let pseudo = Sum::pseudo_v6(c.into(), d.into(), IpProto(proto), long);
            prop_assert_eq!(pseudo.checksum(), reference(&bytes));
        }

        /// What is valid stays recognised, and a flipped bit never goes unseen.
        #[test]
        fn one_flipped_bit_is_seen(mut bytes: [u8; 20], bit in 0usize..160) {
            bytes[10..12].fill(0);
            let sum = of(&bytes);
            bytes[10..12].copy_from_slice(&sum.to_be_bytes());
            prop_assert!(verify(&bytes));
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(!verify(&bytes));
        }
    }
}
