mod captured;
mod hostile;

use super::*;
use crate::EmitError;
use core::net::IpAddr;
use proptest::prelude::*;
use std::vec;
use std::vec::Vec;

/// Octets of a string of hexadecimal digits.
fn octets(hex: &str) -> Vec<u8> {
    let digit = |c: char| u8::try_from(c.to_digit(16).unwrap()).unwrap();
    let digits = hex.chars().filter(|c| !c.is_whitespace()).map(digit).collect::<Vec<_>>();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// Fills in size and checksum again.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let size = u16::try_from(bytes.len()).unwrap();
    bytes[10..12].copy_from_slice(&size.to_be_bytes());
    summed(bytes)
}

/// Fills in the checksum over the packet size again.
fn summed(mut bytes: Vec<u8>) -> Vec<u8> {
    let size = usize::from(u16::from_be_bytes([bytes[10], bytes[11]])).min(bytes.len());
    bytes[12..14].fill(0);
    let sum = crate::checksum::of(&bytes[..size]);
    bytes[12..14].copy_from_slice(&sum.to_be_bytes());
    bytes
}

/// Writes a packet from what a view of it says.
fn again(packet: &Packet<&[u8]>, out: &mut [u8]) -> Result<usize, EmitError> {
    let mut builder = Builder::new(out, &packet.header())?;
    for cie in packet.cies() {
        builder.cie(&cie)?;
    }
    builder.quote(packet.quoted())?;
    for extension in packet.extensions() {
        let cies = extension.cies().collect::<Vec<_>>();
        match extension.authentication() {
            Some(Authentication { method: CLEARTEXT, data }) => builder.authentication(data)?,
            _ if !cies.is_empty() => builder.cie_extension(extension.tag, &[], &cies)?,
            _ => builder.extension(extension.tag, extension.value)?,
        }
    }
    builder.finish()
}

fn address(v6: bool) -> BoxedStrategy<IpAddr> {
    if v6 {
        any::<[u8; 16]>().prop_map(IpAddr::from).boxed()
    } else {
        any::<[u8; 4]>().prop_map(IpAddr::from).boxed()
    }
}

fn cie(nbma: bool, protocol: bool) -> impl Strategy<Value = Cie> {
    let addresses = (prop::option::of(address(nbma)), prop::option::of(address(protocol)));
    (any::<(u8, u8, u16, u16, u8)>(), addresses).prop_map(|(numbers, (nbma, protocol))| {
        let (code, prefix_len, mtu, holding_time, preference) = numbers;
        Cie { code: Code(code), prefix_len, mtu, holding_time, nbma, protocol, preference }
    })
}

/// A header, its CIEs, and an extension of CIEs.
fn message() -> impl Strategy<Value = (Header, Vec<Cie>, Vec<Cie>, Vec<u8>)> {
    any::<(bool, bool)>().prop_flat_map(|(nbma, protocol)| {
        let header = (
            prop::sample::select(&Kind::ALL[..]),
            any::<(u8, u16, u32)>(),
            (address(nbma), address(protocol), address(protocol)),
        );
        let header = header.prop_map(|(kind, (hop_count, flags, request_id), (a, b, c))| Header {
            kind,
            hop_count,
            flags: Flags(flags),
            request_id,
            src_nbma: a,
            src_protocol: b,
            dst_protocol: c,
        });
        let cies = prop::collection::vec(cie(nbma, protocol), 1..4);
        let more = prop::collection::vec(cie(nbma, protocol), 0..3);
        (header, cies, more, prop::collection::vec(any::<u8>(), 3..40))
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read((header, cies, more, data) in message(), password: [u8; 8]) {
        let mut out = [0xA5; 1024];
        let mut builder = Builder::new(&mut out, &header).unwrap();
        if header.kind.quotes() {
            builder.quote(&data).unwrap();
        } else {
            cies.iter().for_each(|cie| builder.cie(cie).unwrap());
        }
        builder.cie_extension(Tag::optional(Tag::NAT), &[], &more).unwrap();
        builder.authentication(&password).unwrap();
        builder.extension(Tag::optional(Tag::VENDOR), &data).unwrap();
        let len = builder.finish().unwrap();

        let packet = Packet::new_checked(&out[..]).unwrap();
        prop_assert_eq!(packet.header(), header);
        prop_assert_eq!(packet.as_bytes().len(), len);
        if header.kind.quotes() {
            prop_assert_eq!(packet.quoted(), &data[..]);
            prop_assert_eq!(packet.cies().count(), 0);
        } else {
            prop_assert_eq!(packet.cies().collect::<Vec<_>>(), cies);
            prop_assert!(packet.quoted().is_empty());
        }
        let nat = packet.extension(Tag::NAT).unwrap();
        prop_assert_eq!(nat.cies().collect::<Vec<_>>(), more);
        let said = packet.extension(Tag::AUTHENTICATION).unwrap().authentication().unwrap();
        prop_assert_eq!((said.method, said.data), (CLEARTEXT, &password[..]));
        prop_assert_eq!(packet.extension(Tag::VENDOR).unwrap().value, &data[..]);
        let mut copy = [0; 1024];
        prop_assert_eq!(again(&packet, &mut copy), Ok(len));
        prop_assert_eq!(&copy[..len], &out[..len]);
        for short in 0..len {
            prop_assert_eq!(again(&packet, &mut copy[..short]), Err(EmitError::NoRoom));
        }
    }

    /// Octets of a real packet changed anywhere, with a good checksum, so that they get far.
    #[test]
    fn no_octets_panic(
        which in 0..captured::ALL.len(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
    ) {
        let mut bytes = octets(captured::ALL[which]);
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let bytes = summed(bytes);
        if let Ok(packet) = Packet::new_checked(&bytes[..]) {
            prop_assert!(packet.extensions().count() <= EXTENSIONS_MAX);
            prop_assert!(packet.cies().count() <= CIES_MAX);
            let mut out = [0; 512];
            let passed = Builder::pass_on(&mut out, &packet, 3).unwrap();
            let len = passed.finish().unwrap();
            // Without its extensions a good packet is one still.
            let passed = Packet::new_checked(&out[..len]).unwrap();
            prop_assert_eq!(passed.header(), Header { hop_count: 3, ..packet.header() });
            let mut copy = [0; 512];
            let len = again(&packet, &mut copy).unwrap();
            let copy = Packet::new_checked(&copy[..len]).unwrap();
            prop_assert_eq!(copy.header(), packet.header());
            prop_assert_eq!(copy.cies().collect::<Vec<_>>(), packet.cies().collect::<Vec<_>>());
        }
    }

    #[test]
    fn arbitrary_octets_never_panic(bytes: Vec<u8>) {
        let _ = Packet::new_checked(&bytes[..]);
    }
}

#[test]
fn addresses_of_another_family_are_not_written() {
    let header = Header {
        kind: Kind::PurgeRequest,
        hop_count: 1,
        flags: Flags::default(),
        request_id: 1,
        src_nbma: "192.0.2.1".parse().unwrap(),
        src_protocol: "10.0.0.1".parse().unwrap(),
        dst_protocol: "2001:db8::1".parse().unwrap(),
    };
    let mut out = [0; 128];
    assert_eq!(Builder::new(&mut out, &header).err(), Some(EmitError::TooLong));
    let header = Header { dst_protocol: header.src_protocol, ..header };
    let mut builder = Builder::new(&mut out, &header).unwrap();
    let cie = Cie { nbma: Some("2001:db8::1".parse().unwrap()), ..Cie::default() };
    assert_eq!(builder.cie(&cie), Err(EmitError::TooLong));
    assert_eq!(builder.authentication(b""), Err(EmitError::TooLong));
    assert_eq!(builder.authentication(b"ninechars"), Err(EmitError::TooLong));
}

#[test]
fn prefix_lengths() {
    let at = |prefix_len| Cie { prefix_len, ..Cie::default() }.prefix([10, 1, 2, 3].into());
    for host in [0, 32, 255] {
        assert_eq!(at(host), Ok("10.1.2.3/32".parse().unwrap()));
    }
    assert_eq!(at(16), Ok("10.1.0.0/16".parse().unwrap()));
    assert!(at(33).is_err());
}

#[test]
fn names_are_distinct() {
    let mut names = Error::ALL.map(Error::as_str).to_vec();
    names.extend(Kind::ALL.map(Kind::as_str));
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
    for (at, error) in Error::ALL.into_iter().enumerate() {
        assert_eq!(error as usize, at);
    }
    for kind in Kind::ALL {
        assert_eq!(Kind::from_octet(kind as u8), Some(kind));
    }
    assert_eq!(vec![0, 9, 128, 255].into_iter().find_map(Kind::from_octet), None);
}
