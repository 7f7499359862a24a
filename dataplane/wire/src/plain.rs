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
}

impl<'a> Packet<'a> {
    /// A view of `data`, which begins with an IPv4 header and may be longer than the packet; none
    /// if it is not plain: options, too short, or a length beyond the buffer. The checksum is not
    /// verified here.
    #[inline(always)]
    #[must_use]
    pub fn new(data: &'a [u8]) -> Option<Self> {
        let packet = Self { header: data.first_chunk()? };
        let total_len = usize::from(packet.total_len());
        let plain = packet.header[0] == 0x45 && (LEN..=data.len()).contains(&total_len);
        plain.then_some(packet)
    }

    /// Whether the header checksum is right.
    #[inline(always)]
    #[must_use]
    pub fn verify_checksum(&self) -> bool {
        let (words, _) = self.header.as_chunks::<4>();
        let word = |at: usize| u64::from(u32::from_ne_bytes(words[at]));
        let sum = word(0) + word(1) + word(2) + word(3) + word(4);
        // Folding keeps the remainder, and a sum that is not zero folds to all ones if that is
        // zero (RFC 1071). Version and length are in the sum, so it is not zero.
        sum.is_multiple_of(0xFFFF)
    }

    /// Octets of header and payload.
    #[inline(always)]
    #[must_use]
    pub fn total_len(&self) -> u16 {
        be16(self.header, 2..4)
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
    if header[8] <= 1 {
        return false;
    }
    header[8] -= 1;
    // One less in the first octet of a word is one more in that of the complemented sum, with the
    // carry around the end. A sum does not care which octet is the high one, so nothing is swapped.
    // All ones are a zero, as no header's sum is.
    const ONE: u32 = u16::from_ne_bytes([1, 0]) as u32;
    let sum = u32::from(u16::from_ne_bytes([header[10], header[11]])) + ONE;
    let [low, high, ..] = (sum + u32::from(sum >= 0xFFFF)).to_le_bytes();
    header[10..12].copy_from_slice(&u16::from_le_bytes([low, high]).to_ne_bytes());
    true
}

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
