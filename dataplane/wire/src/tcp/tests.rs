use super::*;
use crate::checksum::Sum;
use crate::golden::GRE_SYN;
use crate::ipproto::IpProto;
use crate::{gre, ip4};
use core::net::Ipv4Addr;
use proptest::prelude::*;
use std::vec::Vec;

/// The SYN in the captured GRE packet, with its addresses.
fn syn() -> (Vec<u8>, Ipv4Addr, Ipv4Addr) {
    let outer = ip4::Packet::new_checked(&GRE_SYN[14..]).unwrap();
    let tunnel = gre::Packet::new_checked(outer.payload()).unwrap();
    let inner = ip4::Packet::new_checked(tunnel.payload()).unwrap();
    (inner.payload().to_vec(), inner.src(), inner.dst())
}

fn is_intact(segment: &[u8], src: Ipv4Addr, dst: Ipv4Addr) -> bool {
    let len = u16::try_from(segment.len()).unwrap();
    Sum::pseudo_v4(src, dst, IpProto::TCP, len).plus(Sum::of(segment)).is_valid()
}

/// A segment with these options, padded to whole words, and a right checksum without addresses.
fn segment(flags: u8, options: &[u8]) -> Vec<u8> {
    let mut bytes = std::vec![0x5A; HEADER_LEN];
    bytes.extend(options);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes[12] = u8::try_from(bytes.len() / 4).unwrap() << 4;
    bytes[13] = flags;
    bytes[16..18].fill(0);
    let sum = checksum::of(&bytes);
    bytes[16..18].copy_from_slice(&sum.to_be_bytes());
    bytes
}

#[test]
fn deconstruct() {
    let (bytes, ..) = syn();
    let packet = Packet::new_checked(&bytes).unwrap();
    assert_eq!((packet.src_port(), packet.dst_port()), (45434, 179));
    assert_eq!((packet.header_len(), packet.flags()), (40, 0x02));
    assert!(packet.is_syn());
    assert_eq!(packet.mss(), Some(1360));
}

#[test]
fn clamp_a_captured_syn() {
    let (mut bytes, src, dst) = syn();
    assert!(is_intact(&bytes, src, dst));
    assert!(!clamp_mss(&mut bytes, 1360), "already small enough");
    assert!(clamp_mss(&mut bytes, 1200));
    assert_eq!(Packet::new_checked(&bytes).unwrap().mss(), Some(1200));
    assert!(is_intact(&bytes, src, dst));
    let (before, ..) = syn();
    let changed = (0..bytes.len()).filter(|at| bytes[*at] != before[*at]).collect::<Vec<_>>();
    assert!(changed.iter().all(|at| [16, 17, 22, 23].contains(at)), "only checksum and value");
}

#[test]
fn only_a_syn_is_clamped() {
    for flags in 0..=255 {
        let mut bytes = segment(flags, &[2, 4, 0x05, 0xB4]);
        assert_eq!(clamp_mss(&mut bytes, 1000), flags & 0x02 != 0);
        assert!(checksum::verify(&bytes));
    }
}

#[test]
fn malformed_options_are_left_alone() {
    for options in [
        &[2, 0, 0x05, 0xB4][..],
        &[2, 1, 0x05, 0xB4],
        &[2, 3, 0x05, 0xB4],
        &[2, 5, 0x05, 0xB4, 0],
        &[8, 0, 2, 4, 0x05, 0xB4],
        &[8, 1, 2, 4, 0x05, 0xB4],
        &[8, 255, 2, 4, 0x05, 0xB4],
        &[0, 2, 4, 0x05, 0xB4],
        &[1, 1, 1, 2],
        &[1, 1, 2, 4],
        &[1, 2, 4, 5],
        &[],
    ] {
        let before = segment(0x02, options);
        let mut bytes = before.clone();
        assert!(!clamp_mss(&mut bytes, 0), "{options:?}");
        assert_eq!(bytes, before);
    }
}

#[test]
fn the_option_does_not_reach_into_the_data() {
    // The header ends after kind and length; what follows is data.
    let mut bytes = segment(0x02, &[1, 1, 2, 4]);
    bytes.extend([0x05, 0xB4]);
    let before = bytes.clone();
    assert!(!clamp_mss(&mut bytes, 0));
    assert_eq!(bytes, before);
}

#[test]
fn each_fault_has_its_error() {
    let (bytes, ..) = syn();
    for len in 0..40 {
        let want = if len < 20 { Error::Truncated } else { Error::HeaderTruncated };
        assert_eq!(Packet::new_checked(&bytes[..len]), Err(want));
        assert!(!clamp_mss(&mut bytes[..len].to_vec(), 0));
    }
    for words in 0..5 {
        let mut short = bytes.clone();
        short[12] = words << 4;
        assert_eq!(Packet::new_checked(&short), Err(Error::DataOffset(words)));
    }
}

proptest! {
    #[test]
    fn clamping_keeps_the_checksum(
        pad in 0usize..7, old: u16, max: u16, tail in prop::collection::vec(any::<u8>(), 0..8),
    ) {
        let [high, low] = old.to_be_bytes();
        let mut options = std::vec![OPTION_NOP; pad];
        options.extend([2, 4, high, low]);
        let mut bytes = segment(0x12, &options);
        bytes.extend(&tail);
        bytes[16..18].fill(0);
        let sum = checksum::of(&bytes);
        bytes[16..18].copy_from_slice(&sum.to_be_bytes());
        prop_assert_eq!(clamp_mss(&mut bytes, max), old > max);
        prop_assert!(checksum::verify(&bytes));
        let packet = Packet::new_checked(&bytes).unwrap();
        prop_assert_eq!(packet.mss(), Some(old.min(max)));
    }

    #[test]
    fn any_options_keep_length_and_checksum(
        options in prop::collection::vec(0u8..6, 0..40), max: u16,
    ) {
        let before = segment(0x02, &options);
        let mut bytes = before.clone();
        let clamped = clamp_mss(&mut bytes, max);
        prop_assert!(checksum::verify(&bytes));
        prop_assert_eq!(clamped, bytes != before);
    }
}
