use super::ext::{self, Fragment};
use super::*;
use crate::golden::{ECHO6_REQUEST, FRAGMENT6_0, FRAGMENT6_1, FRAGMENT6_2, MLD, NS_PROBE};
use proptest::prelude::*;
use std::vec::Vec;

const IP: &[u8] = ECHO6_REQUEST.split_at(14).1;

fn repr() -> Repr {
    Repr {
        src: "2001:db8:1::1".parse().unwrap(),
        dst: "2001:db8:1::2".parse().unwrap(),
        next_header: IpProto::ICMPV6,
        hop_limit: 64,
        traffic_class: 0,
        flow_label: u32::from_be_bytes([0, IP[1], IP[2], IP[3]]),
        payload_len: 32,
    }
}

#[test]
fn deconstruct() {
    let packet = Packet::new_checked(IP).unwrap();
    assert_eq!(Repr::parse(&packet), repr());
    assert_eq!(packet.payload(), &IP[40..]);
    assert_eq!(packet.total_len(), 72);
}

#[test]
fn construct() {
    let mut bytes = [0xA5; 40];
    assert_eq!(repr().emit(&mut bytes), Ok(40));
    assert_eq!(bytes, IP[..40]);
    let long = Repr { flow_label: 1 << 20, ..repr() };
    assert_eq!(long.emit(&mut bytes), Err(EmitError::TooLong));
}

#[test]
fn truncated_at_every_octet() {
    for len in 0..IP.len() {
        let want = if len < 40 { Error::Truncated } else { Error::PayloadBeyondBuffer(32) };
        assert_eq!(Packet::new_checked(&IP[..len]), Err(want));
        if len < 40 {
            assert_eq!(repr().emit(&mut [0; 40][..len]), Err(EmitError::NoRoom));
        }
    }
}

#[test]
fn version_is_not_six() {
    for version in (0..16).filter(|version| *version != 6) {
        let mut bytes = IP.to_vec();
        bytes[0] = version << 4;
        assert_eq!(Packet::new_checked(&bytes), Err(Error::Version(version)));
    }
}

#[test]
fn hop_limit_zero_and_one_are_not_forwarded() {
    for hops in 0..=255 {
        let mut bytes = IP.to_vec();
        bytes[7] = hops;
        let mut packet = Packet::new_checked(&mut bytes[..]).unwrap();
        let forwarded = packet.decrement_hop_limit();
        assert_eq!(forwarded, hops > 1);
        assert_eq!(packet.hop_limit(), if forwarded { hops - 1 } else { hops });
    }
}

#[test]
fn addresses_that_follow_from_others() {
    // Linux made both from 02:00:5e:00:53:01; the probe's destination is the target's group.
    let probe = Packet::new_checked(&NS_PROBE[14..]).unwrap();
    let own = link_local(MacAddr([0x02, 0x00, 0x5E, 0x00, 0x53, 0x01]));
    assert_eq!(own, ipv6(probe.payload(), 8..24));
    assert_eq!(probe.dst(), solicited_node(own));
    // RFC 4291 2.7.1's own example.
    let address = "4037::1:800:200e:8c6c".parse().unwrap();
    assert_eq!(solicited_node(address), "ff02::1:ff0e:8c6c".parse::<Ipv6Addr>().unwrap());
}

#[test]
fn hop_by_hop_of_a_capture() {
    let packet = Packet::new_checked(&MLD[14..]).unwrap();
    let upper = ext::upper(packet.next_header(), packet.payload()).unwrap();
    assert_eq!((upper.protocol, upper.offset), (IpProto::ICMPV6, 8));
    assert_eq!(upper.fragment, None);
    assert_eq!(packet.payload()[8], 143, "an MLDv2 report");
}

#[test]
fn fragments_of_a_capture() {
    let fragments = [FRAGMENT6_0, FRAGMENT6_1, FRAGMENT6_2].map(|bytes| {
        let packet = Packet::new_quoted(&bytes).unwrap();
        let upper = ext::upper(packet.next_header(), packet.payload()).unwrap();
        assert_eq!((upper.protocol, upper.offset), (IpProto::ICMPV6, 8));
        let (at, fragment) = upper.fragment.unwrap();
        assert_eq!(at, 0);
        let mut header = [0xA5; 8];
        assert_eq!(fragment.emit(&mut header), Ok(8));
        assert_eq!(header, bytes[40..]);
        fragment
    });
    assert_eq!(fragments.map(|f| (f.offset, f.more)), [(0, true), (1448, true), (2896, false)]);
    assert_eq!(fragments[0].ident, fragments[2].ident);
}

/// A chain: hop-by-hop, destination options, routing type 4, fragment, then TCP.
fn chain() -> Vec<u8> {
    let mut bytes = std::vec![0; 40];
    bytes[0] = 60;
    bytes[8] = 43;
    bytes[9] = 1;
    bytes[24..28].copy_from_slice(&[44, 0, 4, 0]);
    bytes[32..40].copy_from_slice(&[6, 0, 0, 1, 0, 0, 0, 7]);
    bytes.extend([0x12, 0x34]);
    bytes
}

#[test]
fn a_chain_is_followed() {
    let bytes = chain();
    let upper = ext::upper(IpProto::HOP_BY_HOP, &bytes).unwrap();
    assert_eq!((upper.protocol, upper.offset), (IpProto::TCP, 40));
    let fragment = Fragment { next_header: IpProto::TCP, offset: 0, more: true, ident: 7 };
    assert_eq!(upper.fragment, Some((32, fragment)));
    for len in 0..40 {
        let got = ext::upper(IpProto::HOP_BY_HOP, &bytes[..len]);
        assert_eq!(got, Err(ext::Error::Truncated), "{len}");
    }
}

#[test]
fn a_later_fragment_ends_the_walk() {
    // Behind the fragment header are octets of a payload that look like more headers.
    let bytes = [60, 0, 0, 8, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0];
    let upper = ext::upper(IpProto::FRAGMENT, &bytes).unwrap();
    assert_eq!((upper.protocol, upper.offset), (IpProto::DEST_OPTIONS, 8));
}

#[test]
fn chains_that_are_refused() {
    let next = |kind: u8| [kind, 0, 0, 0, 0, 0, 0, 0];
    let walk = |kinds: &[u8]| {
        let bytes: Vec<u8> = kinds[1..].iter().chain(&[17]).flat_map(|k| next(*k)).collect();
        ext::upper(IpProto(kinds[0]), &bytes).map(|upper| upper.offset)
    };
    assert_eq!(walk(&[60; ext::HEADERS_MAX]), Ok(48));
    assert_eq!(walk(&[60; ext::HEADERS_MAX + 1]), Err(ext::Error::TooMany));
    assert_eq!(walk(&[60, 0]), Err(ext::Error::HopByHopNotFirst));
    assert_eq!(walk(&[0, 0]), Err(ext::Error::HopByHopNotFirst));
    assert_eq!(walk(&[43]), Err(ext::Error::SourceRoute));
    assert_eq!(walk(&[44, 44]), Err(ext::Error::FragmentTwice));
    assert_eq!(walk(&[44, 60]), Ok(16));
    assert_eq!(walk(&[59]), Ok(0));
}

proptest! {
    #[test]
    fn emit_then_parse(
        addresses: (u128, u128), next: u8, hop_limit: u8, traffic_class: u8,
        flow_label in 0u32..1 << 20, payload_len: u16,
    ) {
        let repr = Repr {
            src: addresses.0.into(),
            dst: addresses.1.into(),
            next_header: IpProto(next),
            hop_limit,
            traffic_class,
            flow_label,
            payload_len,
        };
        let mut bytes = [0xA5; 40];
        repr.emit(&mut bytes).unwrap();
        prop_assert_eq!(Repr::parse(&Packet::new_quoted(&bytes).unwrap()), repr);
    }

    #[test]
    fn the_walk_stays_inside(next in prop::sample::select(&[0u8, 43, 44, 60][..]),
                             mut bytes: Vec<u8>, short in prop::bool::weighted(0.8)) {
        if short {
            bytes.iter_mut().step_by(8).for_each(|b| *b = [0, 43, 44, 60, 6][usize::from(*b) % 5]);
            bytes.iter_mut().skip(1).step_by(8).for_each(|b| *b %= 3);
        }
        if let Ok(upper) = ext::upper(IpProto(next), &bytes) {
            prop_assert!(upper.offset <= bytes.len() && upper.offset.is_multiple_of(8));
        }
    }
}
