use super::*;
use crate::golden::{FRAGMENT4_0, FRAGMENT4_1, FRAGMENT4_2};
use crate::golden::{FRAGMENT6_0, FRAGMENT6_1, FRAGMENT6_2, RECORD_ROUTE};
use proptest::prelude::*;
use std::vec::Vec;

/// What `write_ip4_header` and the payload make of each fragment.
fn split4(packet: &[u8], mtu: usize) -> Result<Vec<Vec<u8>>, Error> {
    let packet = ip4::Packet::new_checked(packet).unwrap();
    let pieces = Fragments::ip4(&packet, mtu)?.map(|fragment| {
        let mut bytes = std::vec![0xA5; 60];
        let len = write_ip4_header(&packet, &fragment, &mut bytes).unwrap();
        bytes.truncate(len);
        bytes.extend(&packet.payload()[fragment.payload]);
        bytes
    });
    Ok(pieces.collect())
}

/// A datagram with these options (whole words) and a payload that tells each octet's place.
fn datagram(options: &[u8], len: usize) -> Vec<u8> {
    let total_len = u16::try_from(options.len() + len).unwrap();
    let mut repr =
        ip4::Repr::new([192, 0, 2, 1].into(), [192, 0, 2, 2].into(), IpProto::UDP, total_len);
    repr.ident = 0xBEEF;
    let mut bytes = std::vec![0; 20];
    repr.emit(&mut bytes).unwrap();
    bytes.extend(options);
    bytes[0] = 0x40 | u8::try_from(5 + options.len() / 4).unwrap();
    bytes.extend((0..len).map(|at| (at * 7 % 251).to_le_bytes()[0]));
    ip4::Packet::new_checked(&mut bytes[..]).unwrap().fill_checksum();
    bytes
}

#[test]
fn ip4_headers_are_those_of_linux() {
    let mut packet = FRAGMENT4_0.to_vec();
    packet.resize(20 + 3008, 0xEE);
    let mut view = ip4::Packet::new_checked(&mut packet[..]).unwrap();
    view.set_total_len(3028);
    view.set_fragment(false, false, 0);
    view.fill_checksum();
    let pieces = split4(&packet, 1500).unwrap();
    assert_eq!(pieces.len(), 3);
    for (piece, want) in pieces.iter().zip([FRAGMENT4_0, FRAGMENT4_1, FRAGMENT4_2]) {
        assert_eq!(piece[..20], want);
    }
}

#[test]
fn ip6_headers_are_those_of_linux() {
    let fixed = ip6::Packet::new_quoted(&FRAGMENT6_0).unwrap();
    let ident = ext::Fragment::parse(&FRAGMENT6_0[40..]).unwrap().ident;
    let repr =
        ip6::Repr { payload_len: 3008, next_header: IpProto::ICMPV6, ..ip6::Repr::parse(&fixed) };
    let mut header = [0; 40];
    repr.emit(&mut header).unwrap();
    let packet = ip6::Packet::new_quoted(&header).unwrap();
    let pieces: Vec<_> = Fragments::ip6(3008, 1500).unwrap().collect();
    assert_eq!(pieces.len(), 3);
    for (piece, want) in pieces.iter().zip([FRAGMENT6_0, FRAGMENT6_1, FRAGMENT6_2]) {
        let mut bytes = [0xA5; IP6_HEADERS_LEN];
        assert_eq!(write_ip6_headers(&packet, piece, ident, &mut bytes), Ok(48));
        assert_eq!(bytes, want);
    }
}

#[test]
fn options_are_copied_by_their_bit() {
    // Record route is not copied (RFC 791); router alert is.
    let mut packet = RECORD_ROUTE[14..].to_vec();
    ip4::Packet::new_checked(&mut packet[..]).unwrap().update_dont_fragment(false);
    let pieces = split4(&packet, 68).unwrap();
    let lens: Vec<_> = pieces.iter().map(|p| (usize::from(p[0] & 15) * 4, p.len())).collect();
    assert_eq!(lens, [(60, 68), (20, 44)]);

    let options = [1, 7, 7, 4, 0, 0, 0, 0, 148, 4, 0, 0];
    let pieces = split4(&datagram(&options, 60), 68).unwrap();
    assert_eq!(pieces[0][20..32], options);
    assert_eq!(pieces[1][..1], [0x46]);
    assert_eq!(pieces[1][20..24], [148, 4, 0, 0]);
    for piece in &pieces {
        assert!(ip4::Packet::new_checked(&piece[..]).unwrap().verify_checksum());
    }
}

#[test]
fn packets_that_are_not_fragmented() {
    let mut packet = datagram(&[], 100);
    let bad_options = datagram(&[148, 0, 0, 0], 100);
    let error = options::Error::Length(0);
    assert_eq!(split4(&bad_options, 68), Err(Error::Options(error)));
    assert_eq!(split4(&packet, 120).unwrap(), [packet.clone()], "it fits");
    for mtu in 0..28 {
        assert_eq!(split4(&packet, mtu), Err(Error::Mtu));
        assert_eq!(Fragments::ip6(100, mtu + 28).err(), Some(Error::Mtu));
    }
    assert_eq!(split4(&packet, 28).unwrap().len(), 13);
    assert_eq!(Fragments::ip6(100, 56).unwrap().count(), 13);
    assert_eq!(Fragments::ip6(65536, 1500).err(), Some(Error::BeyondEnd));
    let mut view = ip4::Packet::new_checked(&mut packet[..]).unwrap();
    view.set_fragment(false, false, 65528);
    assert_eq!(split4(&packet, 68), Err(Error::BeyondEnd));
    let mut view = ip4::Packet::new_checked(&mut packet[..]).unwrap();
    view.set_fragment(true, false, 0);
    assert_eq!(split4(&packet, 119), Err(Error::DontFragment));
    assert_eq!(split4(&packet, 120).unwrap().len(), 1);
}

#[test]
fn no_room() {
    let bytes = datagram(&[148, 4, 0, 0], 100);
    let packet = ip4::Packet::new_checked(&bytes[..]).unwrap();
    let last = Fragments::ip4(&packet, 68).unwrap().last().unwrap();
    for len in 0..24 {
        let got = write_ip4_header(&packet, &last, &mut [0; 24][..len]);
        assert_eq!(got, Err(EmitError::NoRoom));
    }
    let packet = ip6::Packet::new_quoted(&FRAGMENT6_0).unwrap();
    let got = write_ip6_headers(&packet, &last, 1, &mut [0; 47]);
    assert_eq!(got, Err(EmitError::NoRoom));
}

#[test]
fn fragments_that_are_refused() {
    let check = |protocol, offset, more, len| {
        let fragment = ext::Fragment { next_header: IpProto(protocol), offset, more, ident: 1 };
        check_ip6(&fragment, len)
    };
    let (tcp, udp) = (6, 17);
    assert_eq!(check(udp, 0, true, 8), Ok(()));
    assert_eq!(check(udp, 8, false, 1), Ok(()));
    assert_eq!(check(udp, 8, false, 0), Err(Refused::Empty));
    for len in (1..64).filter(|len| len % 8 != 0) {
        assert_eq!(check(udp, 64, true, len), Err(Refused::Unaligned));
        assert_eq!(check(udp, 64, false, len), Ok(()));
    }
    assert_eq!(check(udp, 65528, false, 7), Ok(()));
    assert_eq!(check(udp, 65528, false, 8), Err(Refused::BeyondEnd));
    assert_eq!(check(tcp, 0, true, 8), Err(Refused::Tiny));
    assert_eq!(check(tcp, 0, true, 16), Ok(()));
    assert_eq!(check(tcp, 8, false, 100), Err(Refused::Tiny), "it would overwrite the flags");
    assert_eq!(check(tcp, 16, false, 100), Ok(()));
}

#[test]
fn an_ip4_fragment_counts_its_header() {
    let check = |offset, len| {
        let mut bytes = datagram(&[], len);
        ip4::Packet::new_checked(&mut bytes[..]).unwrap().set_fragment(false, false, offset);
        check_ip4(&ip4::Packet::new_checked(&bytes[..]).unwrap())
    };
    // 65512 + 3 + 20 is the largest total length; one more is the ping of death.
    assert_eq!(check(65512, 3), Ok(()));
    assert_eq!(check(65512, 4), Err(Refused::BeyondEnd));
    assert_eq!(check(65528, 8), Err(Refused::BeyondEnd));
}

proptest! {
    /// Fragments, fragments of the fragments, shuffled: each fits, and together they are the
    /// original.
    #[test]
    fn reassembled_is_the_original(
        len in 1usize..3000, mtu in 68usize..1600, second in 68usize..800, alert: bool,
    ) {
        let options: &[u8] = if alert { &[148, 4, 0, 0] } else { &[] };
        let original = datagram(options, len);
        let mut whole = std::vec![None; len];
        let mut end = None;
        for piece in split4(&original, mtu).unwrap() {
            prop_assert!(piece.len() <= mtu);
            for small in split4(&piece, second).unwrap() {
                prop_assert!(small.len() <= second);
                let packet = ip4::Packet::new_checked(&small[..]).unwrap();
                prop_assert!(packet.verify_checksum());
                prop_assert_eq!(check_ip4(&packet), Ok(()));
                prop_assert_eq!((packet.ident(), packet.options()), (0xBEEF, options));
                let at = usize::from(packet.fragment_offset());
                for (slot, octet) in whole[at..].iter_mut().zip(packet.payload()) {
                    prop_assert_eq!(slot.replace(*octet), None, "no overlap");
                }
                if !packet.more_fragments() {
                    prop_assert_eq!(end.replace(at + packet.payload().len()), None, "one end");
                }
            }
        }
        let whole: Option<Vec<u8>> = whole.into_iter().collect();
        prop_assert_eq!(whole.as_deref(), Some(&original[20 + options.len()..]));
        prop_assert_eq!(end, Some(len));
    }

    #[test]
    fn ip6_fragments_cover_the_payload(len in 1usize..65536, mtu in 1280usize..9000) {
        let mut at = 0;
        let pieces: Vec<_> = Fragments::ip6(len, mtu).unwrap().collect();
        for (index, piece) in pieces.iter().enumerate() {
            prop_assert_eq!((piece.payload.start, usize::from(piece.offset)), (at, at));
            prop_assert_eq!(piece.more, index + 1 < pieces.len());
            prop_assert!(piece.payload.len() + IP6_HEADERS_LEN <= mtu);
            prop_assert!(!piece.more || piece.payload.len().is_multiple_of(8));
            at = piece.payload.end;
        }
        prop_assert_eq!(at, len);
    }
}
