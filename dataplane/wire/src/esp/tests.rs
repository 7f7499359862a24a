use super::*;
use crate::golden::{ESP_GCM, ESP_GMAC, NAT_T_ESP, NAT_T_IKE};
use crate::{ip4, udp};
use proptest::prelude::*;
use std::vec::Vec;

#[test]
fn deconstruct() {
    let bytes = ip4::Packet::new_checked(&ESP_GCM[14..]).unwrap().payload();
    let packet = Packet::new_checked(bytes).unwrap();
    let repr = Repr { spi: Spi(0x1011), sequence: 1 };
    assert_eq!(Repr::parse(&packet), repr);
    assert_eq!(packet.payload(), &bytes[8..]);
    let mut header = [0xA5; 8];
    assert_eq!(repr.emit(&mut header), Ok(8));
    assert_eq!(header, bytes[..8]);
}

#[test]
fn trailer_of_a_capture() {
    let bytes = ip4::Packet::new_checked(&ESP_GMAC[14..]).unwrap().payload();
    let plaintext = &bytes[HEADER_LEN + 8..bytes.len() - 16];
    let trailer = check_trailer(plaintext).unwrap();
    assert_eq!(trailer.next_header, IpProto::GRE);
    // Linux padded as little as we would: written again, it is the same.
    let payload_len = plaintext.len() - usize::from(trailer.len);
    let pad_len = padding_for(payload_len, ALIGN);
    let mut again = plaintext.to_vec();
    again[payload_len..].fill(0xA5);
    let len = write_trailer(&mut again, payload_len, pad_len, IpProto::GRE);
    assert_eq!(len, Ok(plaintext.len()));
    assert_eq!(again, plaintext);
    assert!(crate::gre::Packet::new_checked(&plaintext[..payload_len]).is_ok());
}

#[test]
fn padding_is_the_least_that_aligns() {
    for align in [4, 8, 16, 256] {
        for len in 0..600 {
            let pad = padding_for(len, align);
            let least = (0..256).find(|pad| (len + pad + 2) % align == 0);
            assert_eq!(Some(pad), least, "{len} to {align}");
        }
    }
}

#[test]
fn pad_length_beyond_the_payload() {
    for len in 0..=255u8 {
        for pad in len..=255 {
            let mut bytes = Vec::from(&PADDING[..usize::from(len)]);
            bytes.extend([pad, 4]);
            let want = if pad > len {
                Err(EspTrailerError::PadLength(pad))
            } else {
                Ok(Trailer { len: u16::from(pad) + 2, next_header: IpProto::IPV4 })
            };
            assert_eq!(check_trailer(&bytes), want);
        }
    }
    assert_eq!(check_trailer(&[]), Err(EspTrailerError::Truncated));
    assert_eq!(check_trailer(&[0]), Err(EspTrailerError::Truncated));
    assert!(check_trailer(&[0, 59]).is_ok());
}

#[test]
fn each_wrong_pad_octet_is_seen() {
    let mut bytes = std::vec![0xEE; 300];
    let len = write_trailer(&mut bytes, 40, 255, IpProto::GRE).unwrap();
    assert!(check_trailer(&bytes[..len]).is_ok());
    for at in 40..295 {
        for bit in 0..8 {
            bytes[at] ^= 1 << bit;
            assert_eq!(check_trailer(&bytes[..len]), Err(EspTrailerError::PadBytes));
            bytes[at] ^= 1 << bit;
        }
    }
    bytes[39] ^= 1;
    assert!(check_trailer(&bytes[..len]).is_ok(), "the payload is not padding");
}

#[test]
fn trailers_that_cannot_be_written() {
    let mut bytes = [0; 16];
    assert_eq!(write_trailer(&mut bytes, 0, 256, IpProto::GRE), Err(EmitError::TooLong));
    for (payload, pad) in [(14, 1), (15, 0), (16, 0), (17, 0), (usize::MAX, 0)] {
        assert_eq!(write_trailer(&mut bytes, payload, pad, IpProto::GRE), Err(EmitError::NoRoom));
    }
    assert_eq!(bytes, [0; 16]);
}

#[test]
fn every_length_below_the_header() {
    for len in 0..8 {
        assert_eq!(Packet::new_checked(&ESP_GCM[34..34 + len]), Err(Error::Truncated));
        let repr = Repr { spi: Spi(300), sequence: 1 };
        assert_eq!(repr.emit(&mut [0; 8][..len]), Err(EmitError::NoRoom));
    }
}

#[test]
fn reserved_spis() {
    for spi in 0..300u32 {
        let bytes = [spi.to_be_bytes(), [0, 0, 0, 1]].concat();
        let got = Packet::new_checked(&bytes).map(|packet| packet.spi());
        assert_eq!(Spi(spi).is_usable(), got.is_ok());
        match spi {
            0 => assert_eq!(got, Err(Error::SpiZero)),
            1..=255 => assert_eq!(got, Err(Error::SpiReserved)),
            _ => assert_eq!(got, Ok(Spi(spi))),
        }
    }
}

#[test]
fn what_port_4500_brings() {
    fn payload(frame: &[u8]) -> &[u8] {
        let ip = ip4::Packet::new_checked(&frame[14..]).unwrap();
        udp::Packet::new_checked(ip.payload()).unwrap().payload()
    }
    let esp = payload(&NAT_T_ESP);
    assert_eq!(Encapsulated::classify(esp), Encapsulated::Esp(esp));
    assert_eq!(Packet::new_checked(esp).unwrap().spi().0, 0xC2E3_FFE8);
    let ike = payload(&NAT_T_IKE);
    assert_eq!(Encapsulated::classify(ike), Encapsulated::Ike(&ike[4..]));

    assert_eq!(Encapsulated::classify(&[0xFF]), Encapsulated::Keepalive);
    assert_eq!(Encapsulated::classify(&[0; 4]), Encapsulated::Ike(&[]));
    assert_eq!(Encapsulated::classify(&[0, 0, 0, 0, 0xFF]), Encapsulated::Ike(&[0xFF]));
    assert_eq!(Encapsulated::classify(&[0xFF; 4]), Encapsulated::Esp(&[0xFF; 4]));
    for short in [&[][..], &[0], &[0xFE], &[0xFF; 2], &[0xFF; 3], &[0; 3]] {
        assert_eq!(Encapsulated::classify(short), Encapsulated::TooShort, "{short:?}");
    }
}

proptest! {
    #[test]
    fn write_then_check(payload: Vec<u8>, pad_len in 0usize..256, next: u8) {
        let mut bytes = payload.clone();
        bytes.resize(payload.len() + pad_len + 2, 0xA5);
        let len = write_trailer(&mut bytes, payload.len(), pad_len, IpProto(next)).unwrap();
        prop_assert_eq!(len, bytes.len());
        let trailer = u16::try_from(pad_len + 2).unwrap();
        let want = Trailer { len: trailer, next_header: IpProto(next) };
        prop_assert_eq!(check_trailer(&bytes), Ok(want));
        prop_assert_eq!(&bytes[..payload.len()], &payload[..]);
    }

    /// Of few different octets, so that right trailers, and nearly right ones, are common.
    #[test]
    fn the_short_way_says_what_the_long_one_says(
        bytes in prop::collection::vec(0u8..6, 0..24),
    ) {
        let long = check_trailer(&bytes);
        match short_trailer(&bytes) {
            Some(short) => prop_assert_eq!(long, Ok(short)),
            None => prop_assert!(bytes.len() < 8 || long.is_ok_and(|t| t.len > 5) || long.is_err()),
        }
    }

    #[test]
    fn any_plaintext_stays_inside(bytes: Vec<u8>) {
        if let Ok(trailer) = check_trailer(&bytes) {
            prop_assert!(usize::from(trailer.len) <= bytes.len());
        }
    }
}
