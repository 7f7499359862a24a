use super::options::{self, Options};
use super::*;
use crate::golden::{ECHO_REQUEST, RECORD_ROUTE};
use proptest::prelude::*;
use std::vec::Vec;

const IP: &[u8] = ECHO_REQUEST.split_at(14).1;

const REPR: Repr = Repr {
    src: Ipv4Addr::new(192, 0, 2, 1),
    dst: Ipv4Addr::new(192, 0, 2, 2),
    protocol: IpProto::ICMP,
    ttl: 64,
    traffic_class: 0,
    ident: 0xDC04,
    dont_fragment: true,
    more_fragments: false,
    fragment_offset: 0,
    payload_len: 32,
};

/// The captured packet with one octet changed.
fn changed(at: usize, value: u8) -> Vec<u8> {
    let mut bytes = IP.to_vec();
    bytes[at] = value;
    bytes
}

#[test]
fn deconstruct() {
    let packet = Packet::new_checked(IP).unwrap();
    assert_eq!(packet.header_len(), 20);
    assert!(!packet.has_options() && packet.options().is_empty());
    assert_eq!((packet.traffic_class(), packet.dscp(), packet.ecn()), (0, 0, Ecn::NotEct));
    assert_eq!((packet.total_len(), packet.ident()), (52, 0xDC04));
    assert!(packet.dont_fragment() && !packet.more_fragments() && !packet.is_fragment());
    assert_eq!((packet.ttl(), packet.protocol()), (64, IpProto::ICMP));
    assert_eq!(packet.checksum(), 0xDAC0);
    assert!(packet.verify_checksum());
    assert_eq!(packet.payload(), &IP[20..]);
    assert_eq!(Repr::parse(&packet), Ok(REPR));
}

#[test]
fn construct() {
    let mut bytes = [0xA5; 20];
    assert_eq!(REPR.emit(&mut bytes), Ok(20));
    assert_eq!(bytes, IP[..20]);
    assert_eq!(Repr { payload_len: 65516, ..REPR }.emit(&mut bytes), Err(EmitError::TooLong));
    for len in 0..20 {
        assert_eq!(REPR.emit(&mut [0; 20][..len]), Err(EmitError::NoRoom));
    }
}

#[test]
fn options_of_a_capture() {
    let packet = Packet::new_checked(&RECORD_ROUTE[14..]).unwrap();
    assert_eq!(packet.header_len(), 60);
    assert!(packet.verify_checksum());
    let mut options = Options::new(packet.options());
    let route = options.next().unwrap().unwrap();
    assert_eq!((route.kind(), route.as_bytes().len()), (options::RECORD_ROUTE, 39));
    assert!(!route.is_copied());
    assert_eq!(options.next(), None);
    assert_eq!(packet.payload()[0], 8, "an echo request");
}

#[test]
fn malformed_options() {
    let all = |bytes| Options::new(bytes).map(|o| o.map(|o| o.kind())).collect::<Vec<_>>();
    assert_eq!(all(&[1, 1, 148, 4, 0, 0, 1, 0]), [Ok(148)]);
    assert_eq!(all(&[0, 148, 4, 0, 0]), []);
    assert_eq!(all(&[148, 0, 0, 0]), [Err(options::Error::Length(0))]);
    assert_eq!(all(&[148, 1, 0, 0]), [Err(options::Error::Length(1))]);
    assert_eq!(all(&[148, 4, 0]), [Err(options::Error::Truncated)]);
    assert_eq!(all(&[7, 2, 148]), [Ok(7), Err(options::Error::Truncated)]);
    assert!(Options::new(&[1, 131, 3, 4]).has_source_route());
    assert!(Options::new(&[7, 3, 4, 137, 3, 4]).has_source_route());
    assert!(!Options::new(&[7, 3, 4, 137, 9, 4]).has_source_route());
}

#[test]
fn ihl_below_five() {
    for words in 0..5 {
        let bytes = changed(0, 0x40 | words);
        assert_eq!(Packet::new_checked(&bytes), Err(Error::HeaderLen(words)));
    }
}

#[test]
fn version_is_not_four() {
    for version in (0..16).filter(|version| *version != 4) {
        let bytes = changed(0, version << 4 | 5);
        assert_eq!(Packet::new_checked(&bytes), Err(Error::Version(version)));
    }
}

#[test]
fn total_length_beyond_frame_or_below_header() {
    assert_eq!(Packet::new_checked(&changed(3, 53)), Err(Error::TotalLenBeyondBuffer(53)));
    assert_eq!(Packet::new_checked(&changed(3, 0)), Err(Error::TotalLenBelowHeader(0)));
    assert_eq!(Packet::new_checked(&changed(3, 19)), Err(Error::TotalLenBelowHeader(19)));
    assert!(Packet::new_quoted(&changed(3, 53)).is_ok());
    let trimmed = changed(3, 21);
    let packet = Packet::new_checked(&trimmed).unwrap();
    assert_eq!((packet.payload().len(), packet.as_bytes().len()), (1, 21));
}

#[test]
fn truncated_at_every_octet() {
    for len in 0..IP.len() {
        let want = if len < 20 { Error::Truncated } else { Error::TotalLenBeyondBuffer(52) };
        assert_eq!(Packet::new_checked(&IP[..len]), Err(want));
    }
    for len in 20..60 {
        let got = Packet::new_checked(&RECORD_ROUTE[14..14 + len]);
        assert_eq!(got, Err(Error::HeaderTruncated));
    }
}

#[test]
fn wrong_checksum_does_not_parse() {
    for at in (0..20).filter(|at| ![0, 2, 3].contains(at)) {
        let bytes = changed(at, IP[at] ^ 0x10);
        let packet = Packet::new_checked(&bytes).unwrap();
        assert_eq!(Repr::parse(&packet), Err(Error::Checksum), "octet {at}");
    }
}

#[test]
fn ttl_zero_and_one_are_not_forwarded() {
    for ttl in 0..=255 {
        let mut bytes = changed(8, ttl);
        let mut packet = Packet::new_checked(&mut bytes).unwrap();
        packet.fill_checksum();
        let forwarded = packet.decrement_ttl();
        assert_eq!(forwarded, ttl > 1);
        assert_eq!(packet.ttl(), if forwarded { ttl - 1 } else { ttl });
        assert!(packet.verify_checksum());
    }
}

#[test]
fn a_length_set_beyond_the_buffer_is_clamped() {
    let mut bytes = IP.to_vec();
    let mut packet = Packet::new_checked(&mut bytes[..]).unwrap();
    packet.set_total_len(0xFFFF);
    assert_eq!(packet.payload_mut().len(), 32);
    packet.set_total_len(3);
    assert!(packet.payload_mut().is_empty());
}

proptest! {
    #[test]
    fn emit_then_parse(
        addresses: (u32, u32), protocol: u8, ttl: u8, traffic_class: u8, ident: u16,
        flags: (bool, bool), unit in 0u16..8192, payload_len in 0u16..65516,
    ) {
        let repr = Repr {
            src: addresses.0.into(),
            dst: addresses.1.into(),
            protocol: IpProto(protocol),
            ttl,
            traffic_class,
            ident,
            dont_fragment: flags.0,
            more_fragments: flags.1,
            fragment_offset: unit * 8,
            payload_len,
        };
        let mut bytes = [0xA5; 20];
        repr.emit(&mut bytes).unwrap();
        let packet = Packet::new_quoted(&bytes).unwrap();
        prop_assert_eq!(Repr::parse(&packet), Ok(repr));
        prop_assert_eq!(packet.is_fragment(), flags.1 || unit != 0);
        prop_assert_eq!(packet.dscp() << 2 | packet.ecn() as u8, traffic_class);
    }

    #[test]
    fn updates_keep_the_checksum(
        class: u8, total_len: u16, ident: u16, df: bool, mut header: [u8; 20],
    ) {
        header[0] = 0x45;
        header[2..4].copy_from_slice(&[0, 20]);
        let mut packet = Packet::new_checked(&mut header[..]).unwrap();
        packet.fill_checksum();
        let others = (packet.src(), packet.dst(), packet.ttl(), packet.protocol());
        let fragment = (packet.more_fragments(), packet.fragment_offset());
        packet.update_traffic_class(class);
        packet.update_total_len(total_len);
        packet.update_ident(ident);
        packet.update_dont_fragment(df);
        prop_assert!(packet.verify_checksum());
        prop_assert_eq!(packet.traffic_class(), class);
        prop_assert_eq!((packet.total_len(), packet.ident()), (total_len, ident));
        prop_assert_eq!(packet.dont_fragment(), df);
        prop_assert_eq!(others, (packet.src(), packet.dst(), packet.ttl(), packet.protocol()));
        prop_assert_eq!(fragment, (packet.more_fragments(), packet.fragment_offset()));
    }
}
