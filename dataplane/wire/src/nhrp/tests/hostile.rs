//! The lines about NHRP octets of what strangers send.

use super::*;

fn refused(bytes: &[u8]) -> Option<Error> {
    Packet::new_checked(bytes).err()
}

/// A captured registration with octets changed.
fn with(at: usize, value: &[u8]) -> Option<Error> {
    let mut bytes = octets(captured::REGISTRATION);
    bytes[at..at + value.len()].copy_from_slice(value);
    refused(&summed(bytes))
}

/// A captured registration with these extensions.
fn extended(extensions: &[u8]) -> Option<Error> {
    let mut bytes = octets(captured::REGISTRATION);
    bytes.truncate(52);
    bytes.extend_from_slice(extensions);
    refused(&sealed(bytes))
}

#[test]
fn truncation_at_every_octet() {
    for hex in captured::ALL {
        let bytes = octets(hex);
        for len in 0..bytes.len() {
            let want = if len < HEADER_LEN { Error::Truncated } else { Error::SizeBeyondBuffer };
            assert_eq!(refused(&bytes[..len]), Some(want));
        }
    }
}

/// Size and checksum fit what is left, so that parts end early.
#[test]
fn truncation_that_was_sealed_again() {
    let bytes = octets(captured::RESOLVED);
    for len in HEADER_LEN..bytes.len() {
        let got = refused(&sealed(bytes[..len].to_vec()));
        let want: &[Error] = match len {
            0..40 => &[Error::AddressesBeyondPacket],
            40..60 => &[Error::ExtensionOffset],
            _ => &[Error::ExtensionTruncated, Error::ExtensionEnd],
        };
        assert!(got.is_some_and(|got| want.contains(&got)), "{len}: {got:?}");
    }
}

#[test]
fn packet_sizes() {
    for size in [0_u16, 1, 27] {
        assert_eq!(with(10, &size.to_be_bytes()), Some(Error::SizeBelowHeader));
    }
    for size in [109_u16, 1500, 0xFFFF] {
        assert_eq!(with(10, &size.to_be_bytes()), Some(Error::SizeBeyondBuffer));
    }
    // Smaller than the datagram: padding is no part of the packet.
    let mut bytes = octets(captured::REGISTRATION);
    bytes.extend_from_slice(&[0xA5; 7]);
    let packet = Packet::new_checked(&bytes[..]).unwrap();
    assert_eq!(packet.as_bytes(), octets(captured::REGISTRATION));
}

#[test]
fn extension_offsets() {
    for offset in [1_u16, 27, 28, 39, 109, 0xFFFF] {
        assert_eq!(with(14, &offset.to_be_bytes()), Some(Error::ExtensionOffset), "{offset}");
    }
    assert_eq!(with(14, &40_u16.to_be_bytes()), Some(Error::CieMissing));
    // At the very end: no room for the end of the list; the extensions are no CIEs.
    assert!(with(14, &108_u16.to_be_bytes()).is_some());
    assert!(with(14, &0_u16.to_be_bytes()).is_some(), "extensions are no CIEs");
    let mut bytes = octets(captured::REGISTRATION);
    bytes.truncate(52);
    assert_eq!(refused(&sealed(bytes)), Some(Error::ExtensionEnd));
}

#[test]
fn address_lengths() {
    for len in [0, 3, 5, 16, 63] {
        assert_eq!(with(18, &[len]), Some(Error::AddressLen), "source NBMA {len}");
        assert_eq!(with(20, &[len]), Some(Error::AddressLen), "source protocol {len}");
        assert_eq!(with(21, &[len]), Some(Error::AddressLen), "destination {len}");
    }
    for len in [0x44, 0x84, 0xFF] {
        assert_eq!(with(18, &[len]), Some(Error::AddressType), "source NBMA {len}");
        assert_eq!(with(20, &[len]), Some(Error::AddressLen), "source protocol {len}");
    }
    for len in [1, 4, 63, 0xFF] {
        assert_eq!(with(19, &[len]), Some(Error::AddressType), "subaddress {len}");
        assert_eq!(with(49, &[len]), Some(Error::AddressType), "CIE subaddress {len}");
    }
    for len in [3, 5, 16, 63] {
        assert_eq!(with(48, &[len]), Some(Error::CieAddress), "CIE NBMA {len}");
        assert_eq!(with(50, &[len]), Some(Error::CieAddress), "CIE protocol {len}");
    }
    assert_eq!(with(48, &[0xFF]), Some(Error::AddressType));
    assert_eq!(with(50, &[0xFF]), Some(Error::CieAddress));
    assert_eq!(with(48, &[4]), Some(Error::CieTruncated), "the CIE is beyond its part");
    assert_eq!(with(50, &[4]), Some(Error::CieTruncated), "the CIE is beyond its part");
}

#[test]
fn families_that_disagree() {
    assert_eq!(with(0, &[0, 2]), Some(Error::AddressLen));
    assert_eq!(with(2, &[0x86, 0xDD]), Some(Error::AddressLen));
    for family in [0, 3, 8, 0xFFFF_u16] {
        assert_eq!(with(0, &family.to_be_bytes()), Some(Error::AddressFamily));
    }
    for protocol in [0, 0x0080, 0x0806, 0xFFFF_u16] {
        assert_eq!(with(2, &protocol.to_be_bytes()), Some(Error::ProtocolType));
    }
}

#[test]
fn numbers_of_cies() {
    let with = |count: usize, kind: Kind| {
        let bytes = octets(captured::REGISTRATION);
        let cies = bytes[40..52].repeat(count);
        let mut bytes = bytes[..40].to_vec();
        bytes.extend(cies);
        bytes[14..16].fill(0);
        bytes[17] = kind as u8;
        refused(&sealed(bytes))
    };
    for kind in Kind::ALL {
        let want = match kind {
            Kind::ResolutionRequest | Kind::ErrorIndication | Kind::TrafficIndication => None,
            _ => Some(Error::CieMissing),
        };
        assert_eq!(with(0, kind), want);
    }
    assert_eq!(with(CIES_MAX, Kind::RegistrationRequest), None);
    assert_eq!(with(CIES_MAX + 1, Kind::RegistrationRequest), Some(Error::CieCount));
    assert_eq!(with(100, Kind::RegistrationRequest), Some(Error::CieCount));
}

#[test]
fn extensions() {
    const END: [u8; 4] = [0x80, 0, 0, 0];
    let ended = |extensions: &[u8]| extended(&[extensions, &END].concat());
    assert_eq!(ended(&[]), None);
    assert_eq!(ended(&[0x3F, 0xFF, 0, 0]), None, "the highest type");
    assert_eq!(ended(&[0xBF, 0xFF, 0, 1, 9]), None);
    assert_eq!(extended(&[0x3F, 0xFF, 0, 0]), Some(Error::ExtensionEnd));
    for piece in [&[0x80][..], &[0x80, 0, 0], &[0, 9, 0, 1], &[0, 9, 0xFF, 0xFF, 0]] {
        assert_eq!(extended(piece), Some(Error::ExtensionTruncated));
    }
    assert_eq!(extended(&[0x80, 0, 0, 1, 0]), Some(Error::ExtensionEnd), "an end with a length");
    assert_eq!(ended(&END), Some(Error::ExtensionTrailing));
    assert_eq!(ended(&[0, 99, 0, 0].repeat(EXTENSIONS_MAX)), None);
    assert_eq!(ended(&[0, 99, 0, 0].repeat(EXTENSIONS_MAX + 1)), Some(Error::ExtensionCount));
    assert_eq!(ended(&[0, 99, 0, 0].repeat(1000)), Some(Error::ExtensionCount));
    assert_eq!(ended(&[0, 8, 0, 3, 0, 0, 9].repeat(2)), None, "vendors' may be repeated");
    assert_eq!(ended(&[0, 8, 0, 2, 0, 0]), Some(Error::ExtensionValue), "no OUI");
    for kind in [3, 4, 5, 9] {
        assert_eq!(ended(&[0x80, kind, 0, 0].repeat(2)), Some(Error::ExtensionDuplicate));
        assert_eq!(ended(&[0x80, kind, 0, 1, 0]), Some(Error::CieTruncated));
    }
    let two = [&[0x80, 3, 0, 24][..], &[0; 24]].concat();
    assert_eq!(ended(&two), Some(Error::ExtensionValue), "one responder answers");
}

#[test]
fn authentications() {
    let with = |value: &[u8]| {
        let len = u8::try_from(value.len()).unwrap();
        [&[0x80, 7, 0, len][..], value].concat()
    };
    let ended = |extensions: &[u8]| extended(&[extensions, &[0x80, 0, 0, 0]].concat());
    for value in [&b""[..], b"\0\0\0", b"\0\0\0\x01", b"\0\0\0\x01ninechars"] {
        assert_eq!(ended(&with(value)), Some(Error::ExtensionValue), "{}", value.len());
    }
    assert_eq!(ended(&with(b"\0\0\0\x01a")), None);
    assert_eq!(ended(&with(b"\0\0\0\x01eightchr")), None);
    assert_eq!(ended(&with(b"\0\0\0\x02whatever that may be")), None);
    assert_eq!(ended(&with(b"\0\0\0\x01a").repeat(2)), Some(Error::ExtensionDuplicate));
}

#[test]
fn checksums() {
    for hex in captured::ALL {
        let bytes = octets(hex);
        for at in [0, 5, 13, bytes.len() - 1] {
            let mut bytes = bytes.clone();
            bytes[at] ^= 0x10;
            assert_eq!(refused(&bytes), Some(Error::Checksum));
        }
    }
    // An odd packet is padded at its end with a zero, whatever comes after it.
    let mut odd = octets(captured::ODD);
    assert_eq!(odd.len() % 2, 1);
    odd.push(0xFF);
    assert_eq!(refused(&odd), None);
}

#[test]
fn types_and_versions() {
    for kind in [0, 9, 128, 255] {
        assert_eq!(with(17, &[kind]), Some(Error::Kind));
    }
    for version in [0, 2, 255] {
        assert_eq!(with(16, &[version]), Some(Error::Version));
    }
}

#[test]
fn an_error_may_quote_a_piece() {
    let bytes = octets(captured::ERROR);
    for len in 40..bytes.len() {
        let bytes = sealed(bytes[..len].to_vec());
        let packet = Packet::new_checked(&bytes[..]).unwrap();
        assert_eq!(packet.quoted().len(), len - 40);
        assert!(Packet::new_checked(packet.quoted()).is_err());
    }
}
