use super::*;
use crate::golden::{GRE_NHRP, GRE_SYN};
use crate::ip4;
use proptest::prelude::*;
use std::vec::Vec;

const KEYED: Repr =
    Repr { protocol: Protocol::IPV4, checksum: false, key: Some(42), sequence: None };
const FULL: Repr =
    Repr { protocol: Protocol::IPV6, checksum: true, key: Some(7), sequence: Some(9) };

fn captured(frame: &[u8]) -> &[u8] {
    ip4::Packet::new_checked(&frame[14..]).unwrap().payload()
}

/// A packet with all options and this payload.
fn full(payload: &[u8]) -> Vec<u8> {
    let mut bytes = std::vec![0xA5; HEADER_LEN_MAX];
    bytes.extend(payload);
    assert_eq!(FULL.emit(&mut bytes), Ok(16));
    bytes
}

#[test]
fn deconstruct() {
    let bytes = captured(&GRE_SYN);
    let packet = Packet::new_checked(bytes).unwrap();
    assert_eq!(Repr::parse(&packet), KEYED);
    assert_eq!((packet.header_len(), KEYED.header_len()), (8, 8));
    assert_eq!(packet.payload(), &bytes[8..]);
    let packet = Packet::new_checked(captured(&GRE_NHRP)).unwrap();
    assert_eq!(Repr::parse(&packet), Repr { protocol: Protocol::NHRP, ..KEYED });
}

#[test]
fn construct() {
    let want = captured(&GRE_SYN);
    let mut bytes = want.to_vec();
    bytes[..8].fill(0xA5);
    assert_eq!(KEYED.emit(&mut bytes), Ok(8));
    assert_eq!(bytes, want);
}

#[test]
fn all_options_by_hand() {
    // RFC 2784 2.1 and RFC 2890 2: checksum, key, sequence number, in this order. The sum is
    // b000 + 86dd + 0007 + 0009 + 1234 = 1 4921, with its carry 4922.
    let want = [0xB0, 0x00, 0x86, 0xDD, 0xB6, 0xDD, 0, 0, 0, 0, 0, 7, 0, 0, 0, 9, 0x12, 0x34];
    assert_eq!(full(&[0x12, 0x34]), want);
    let packet = Packet::new_checked(&want).unwrap();
    assert_eq!(Repr::parse(&packet), FULL);
    assert_eq!(packet.payload(), [0x12, 0x34]);
}

#[test]
fn cisco_keepalive_has_an_empty_payload() {
    let packet = Packet::new_checked(&[0, 0, 0, 0]).unwrap();
    assert_eq!(packet.protocol(), Protocol::KEEPALIVE);
    assert!(packet.payload().is_empty());
}

#[test]
fn versions_one_to_seven() {
    for version in 1..8 {
        // Also with the bits that only another version may have.
        for flags in [0x00, 0x30, 0x4C] {
            let bytes = [flags, version, 8, 0, 0, 0, 0, 0];
            assert_eq!(Packet::new_checked(&bytes), Err(Error::Version(version)));
        }
    }
}

#[test]
fn routing_and_reserved_bits() {
    for first in 0..=255u8 {
        let bytes = [[first, 0, 8, 0], [0; 4], [0; 4], [0; 4]].concat();
        let got = Packet::new_quoted(&bytes);
        match first & 0x4C {
            0 => assert!(got.is_ok(), "bits 6 and 7 are ignored: {first:#x}"),
            bits if bits & 0x40 != 0 => assert_eq!(got, Err(Error::Routing)),
            _ => assert_eq!(got, Err(Error::ReservedBits)),
        }
        // Bits 8 to 12 are ignored, too.
        assert!(Packet::new_checked(&[0, 0xF8, 8, 0]).is_ok());
    }
}

#[test]
fn options_promised_but_truncated() {
    for flags in 0..8u8 {
        let first = (flags & 4) << 5 | (flags & 3) << 4;
        let need = 4 + 4 * usize::try_from(flags.count_ones()).unwrap();
        let bytes = [[first, 0, 8, 0], [0; 4], [0; 4], [0; 4]].concat();
        for len in 0..16 {
            let got = Packet::new_quoted(&bytes[..len]).map(|packet| packet.header_len());
            assert_eq!(got, if len < need { Err(Error::Truncated) } else { Ok(need) });
        }
    }
}

#[test]
fn a_wrong_checksum_is_seen_in_header_and_payload() {
    let good = full(b"payload");
    assert!(Packet::new_checked(&good).is_ok());
    for at in 2..good.len() {
        let mut bytes = good.clone();
        bytes[at] ^= 0x40;
        assert_eq!(Packet::new_checked(&bytes), Err(Error::Checksum), "octet {at}");
        assert!(Packet::new_quoted(&bytes).is_ok());
    }
}

#[test]
fn no_room() {
    for len in 0..16 {
        assert_eq!(FULL.emit(&mut [0; 16][..len]), Err(EmitError::NoRoom));
    }
}

proptest! {
    #[test]
    fn emit_then_parse(
        kind: u16, checksum: bool, key: Option<u32>, sequence: Option<u32>, payload: Vec<u8>,
    ) {
        let repr = Repr { protocol: Protocol(kind), checksum, key, sequence };
        let mut bytes = std::vec![0xA5; repr.header_len()];
        bytes.extend(&payload);
        prop_assert_eq!(repr.emit(&mut bytes), Ok(repr.header_len()));
        let packet = Packet::new_checked(&bytes[..]).unwrap();
        prop_assert_eq!(Repr::parse(&packet), repr);
        prop_assert_eq!(packet.payload(), &payload[..]);
    }
}
