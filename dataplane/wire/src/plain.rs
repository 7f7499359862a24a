//! The IPv4 header that nearly every packet has: without options, followed by at least the four
//! octets that tell flows apart. One bounds check, and every field is where it always is.
//!
//! This is a shortcut and decides nothing: whatever is not so plain is for [`ip4`],
//! which knows what is wrong with it.

use crate::bytes::{be16, be32};
use crate::ip4;
use crate::ipproto::IpProto;

/// Octets that are looked at: a header, and ports or the SPI.
pub const LEN: usize = ip4::HEADER_LEN + 4;

/// MF and the fragment offset.
const FRAGMENT: u16 = 0x3FFF;

/// A view of a plain IPv4 packet.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    header: &'a [u8; LEN],
    /// Read once: what was compared with the buffer is what callers get.
    total_len: u16,
}

impl<'a> Packet<'a> {
    /// A view of `data`, which begins with an IPv4 header and may be longer than the packet; none
    /// if it is not plain: options, too short, or a length beyond the buffer. The checksum is not
    /// verified here.
    #[inline(always)]
    #[must_use]
    pub fn new(data: &'a [u8]) -> Option<Self> {
        let header: &[u8; LEN] = data.first_chunk()?;
        let total_len = be16(header, 2..4);
        let plain = header[0] == 0x45 && (LEN..=data.len()).contains(&total_len.into());
        plain.then_some(Self { header, total_len })
    }

    /// Whether the header checksum is right.
    #[inline(always)]
    #[must_use]
    pub fn verify_checksum(&self) -> bool {
        let (words, _) = self.header.as_chunks::<8>();
        let word = |at: usize| u64::from_ne_bytes(words[at]);
        let third = u32::from_ne_bytes([words[2][0], words[2][1], words[2][2], words[2][3]]);
        // A carry out of 64 bits is worth one, as out of sixteen. Folding keeps the remainder, and
        // a sum that is not zero folds to all ones if that is zero (RFC 1071). Version and length
        // are in the sum, so it is not zero.
        let (sum, carry) = word(0).overflowing_add(word(1));
        let (sum, again) = sum.overflowing_add(u64::from(third) + u64::from(carry));
        (sum + u64::from(again)).is_multiple_of(0xFFFF)
    }

    /// Octets of header and payload.
    #[inline(always)]
    #[must_use]
    pub fn total_len(&self) -> u16 {
        self.total_len
    }

    /// TOS octet.
    #[inline(always)]
    #[must_use]
    pub fn traffic_class(&self) -> u8 {
        self.header[1]
    }

    /// Time to live.
    #[inline(always)]
    #[must_use]
    pub fn ttl(&self) -> u8 {
        self.header[8]
    }

    /// Protocol of the payload.
    #[inline(always)]
    #[must_use]
    pub fn protocol(&self) -> IpProto {
        IpProto(self.header[9])
    }

    /// Bits of the source address, in host order.
    #[inline(always)]
    #[must_use]
    pub fn src(&self) -> u32 {
        be32(self.header, 12..16)
    }

    /// Bits of the destination address, in host order.
    #[inline(always)]
    #[must_use]
    pub fn dst(&self) -> u32 {
        be32(self.header, 16..20)
    }

    /// The first four octets of the payload: ports, or an SPI.
    #[inline(always)]
    #[must_use]
    pub fn upper(&self) -> u32 {
        be32(self.header, 20..24)
    }

    /// Whether it is a fragment: MF set, or an offset.
    #[inline(always)]
    #[must_use]
    pub fn is_fragment(&self) -> bool {
        be16(self.header, 6..8) & FRAGMENT != 0
    }
}

/// Lowers the TTL of an IPv4 header by one and adjusts its checksum (RFC 1624). `false`, and
/// nothing changed, if the packet must not be forwarded: its TTL is 0 or 1 (RFC 1812 5.3.1).
#[inline(always)]
#[must_use]
pub fn decrement_ttl(header: &mut [u8; ip4::HEADER_LEN]) -> bool {
    let Some(aged) = Aged::new(header) else { return false };
    aged.write(header);
    true
}

/// TTL, protocol and checksum as they are behind the next hop.
#[derive(Clone, Copy)]
pub struct Aged(u32);

impl Aged {
    /// Of an IPv4 header; none if its TTL is 0 or 1.
    #[inline(always)]
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "what is carried out is added below")]
    pub fn new(header: &[u8; ip4::HEADER_LEN]) -> Option<Self> {
        let (words, _) = header.as_chunks::<4>();
        // The TTL comes out lowest; the checksum highest, its octets swapped, as a sum may have
        // them.
        let word = u32::from_le_bytes(words[TTL_WORD]);
        if word & 0xFF <= 1 {
            return None;
        }
        // One less in the first octet of a word is one more in that of the complemented sum, with
        // the carry around the end. All ones are a zero, as no header's sum is: one more carries
        // out of that.
        let word = u64::from(word);
        let carry = (word + 2 * ONE) >> 32;
        Some(Self((word - 1 + ONE + carry * ONE) as u32))
    }

    /// Puts them into the header that they are of.
    #[inline(always)]
    pub fn write(self, header: &mut [u8; ip4::HEADER_LEN]) {
        let (words, _) = header.as_chunks_mut::<4>();
        words[TTL_WORD] = self.0.to_le_bytes();
    }
}

/// The word of TTL, protocol and checksum.
const TTL_WORD: usize = 2;
/// One, in the upper half of a word.
const ONE: u64 = 1 << 16;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    /// A header with a right checksum over anything.
    fn header() -> impl Strategy<Value = Vec<u8>> {
        let bytes = proptest::collection::vec(any::<u8>(), 24..64);
        (bytes, any::<bool>()).prop_map(|(mut bytes, whole)| {
            bytes[0] = 0x45;
            if whole {
                let len = u16::try_from(bytes.len()).unwrap();
                bytes[2..4].copy_from_slice(&len.to_be_bytes());
            }
            bytes[10..12].fill(0);
            let sum = crate::checksum::of(&bytes[..20]);
            bytes[10..12].copy_from_slice(&sum.to_be_bytes());
            bytes
        })
    }

    proptest! {
        #[test]
        fn says_what_the_full_view_says(bytes in header(), first: u8, flip in 0usize..160) {
            let mut bytes = bytes;
            if first % 4 == 0 {
                bytes[0] = first;
            }
            if first % 3 == 0 {
                bytes[flip / 8] ^= 1 << (flip % 8);
            }
            let full = ip4::Packet::new_checked(&bytes[..]);
            match Packet::new(&bytes) {
                Some(plain) => {
                    let full = full.unwrap();
                    prop_assert!(!full.has_options());
                    prop_assert_eq!(plain.verify_checksum(), full.verify_checksum());
                    prop_assert_eq!(plain.total_len(), full.total_len());
                    prop_assert_eq!(plain.traffic_class(), full.traffic_class());
                    prop_assert_eq!((plain.ttl(), plain.protocol()), (full.ttl(), full.protocol()));
                    prop_assert_eq!(plain.src(), full.src().to_bits());
                    prop_assert_eq!(plain.dst(), full.dst().to_bits());
                    prop_assert_eq!(plain.is_fragment(), full.is_fragment());
                    prop_assert_eq!(&plain.upper().to_be_bytes()[..], &full.payload()[..4]);
                }
                None => prop_assert!(full.is_err_and(|_| true)
                    || full.is_ok_and(|f| f.has_options() || f.payload().len() < 4)),
            }
        }

        #[test]
        fn ttl_is_lowered_as_by_the_full_view(bytes in header()) {
            let mut ours: [u8; 20] = bytes[..20].try_into().unwrap();
            ours[2..4].copy_from_slice(&20u16.to_be_bytes());
            ip4::Packet::new_checked(&mut ours[..]).unwrap().fill_checksum();
            let mut theirs = ours;
            let lowered = ip4::Packet::new_checked(&mut theirs[..]).unwrap().decrement_ttl();
            prop_assert_eq!(decrement_ttl(&mut ours), lowered);
            prop_assert_eq!(ours, theirs);
        }
    }

    /// A checksum that comes out as zero is zero, not its other form (RFC 1624 section 3).
    #[test]
    fn a_lowered_ttl_with_a_checksum_of_zero() {
        let mut header = [
            69, 117, 0, 20, 188, 154, 165, 187, 60, 22, 0xFE, 0xFF, 245, 57, 125, 192, 221, 206,
            204, 64,
        ];
        assert!(ip4::Packet::new_checked(&header[..]).unwrap().verify_checksum());
        assert!(decrement_ttl(&mut header));
        assert_eq!(header[8..12], [59, 22, 0, 0]);
        assert!(ip4::Packet::new_checked(&header[..]).unwrap().verify_checksum());
    }

    #[test]
    fn short_buffers_are_not_plain() {
        let bytes = [0x45; 24];
        for len in 0..24 {
            assert!(Packet::new(&bytes[..len]).is_none());
        }
    }
}
