use super::*;
use crate::checksum::Sum;
use crate::golden::{NA, NS, NS_PROBE, RS};
use crate::ipproto::IpProto;
use proptest::prelude::*;
use std::vec::Vec;

const A: MacAddr = MacAddr([0x02, 0x00, 0x5E, 0x00, 0x53, 0x01]);
const B: MacAddr = MacAddr([0x02, 0x00, 0x5E, 0x00, 0x53, 0x02]);

fn address(text: &str) -> Ipv6Addr {
    text.parse().unwrap()
}

/// A message as it travels, with its checksum made right: what is tested is what comes after it.
fn parse(src: &str, dst: &str, hop_limit: u8, mut message: Vec<u8>) -> Result<Message, Error> {
    let (src, dst) = (address(src), address(dst));
    let payload_len = u16::try_from(message.len()).unwrap();
    let mut bytes = [0; 40];
    let repr = ip6::Repr::new(src, dst, IpProto::ICMPV6, payload_len);
    ip6::Repr { hop_limit, ..repr }.emit(&mut bytes).unwrap();
    if message.len() >= 4 {
        message[2..4].fill(0);
        let pseudo = Sum::pseudo_v6(src, dst, IpProto::ICMPV6, payload_len.into());
        let sum = pseudo.plus(Sum::of(&message)).checksum();
        message[2..4].copy_from_slice(&sum.to_be_bytes());
    }
    Message::parse(&ip6::Packet::new_quoted(&bytes).unwrap(), &message)
}

/// The captured solicitation, changed, from and to where it went.
fn changed(at: usize, value: &[u8]) -> Result<Message, Error> {
    let mut message = NS[54..].to_vec();
    message[at..at + value.len()].copy_from_slice(value);
    parse("2001:db8:1::1", "ff02::1:ff00:2", 255, message)
}

#[test]
fn captured_messages_both_ways() {
    let target = address("2001:db8:1::2");
    let own = ip6::link_local(A);
    for (frame, want) in [
        (&NS[..], Message::NeighborSolicitation { target, source_mac: Some(A) }),
        (
            &NA,
            Message::NeighborAdvertisement {
                target,
                target_mac: Some(B),
                router: true,
                solicited: true,
                override_entry: true,
            },
        ),
        (&RS, Message::RouterSolicitation { source_mac: Some(A) }),
    ] {
        let packet = ip6::Packet::new_checked(&frame[14..]).unwrap();
        assert_eq!(Message::parse(&packet, packet.payload()), Ok(want));
        let mut bytes = std::vec![0xA5; packet.payload().len()];
        let len = want.emit(packet.src(), packet.dst(), &mut bytes);
        assert_eq!(len, Ok(packet.payload().len()));
        assert_eq!(bytes, packet.payload());
    }
    let probe = ip6::Packet::new_checked(&NS_PROBE[14..]).unwrap();
    let want = Message::NeighborSolicitation { target: own, source_mac: None };
    // Linux adds a nonce option (RFC 7527), which is skipped.
    assert_eq!(probe.payload().len(), 32);
    assert_eq!(Message::parse(&probe, probe.payload()), Ok(want));
}

#[test]
fn what_was_forwarded_is_refused() {
    for hops in 0..255 {
        let got = parse("2001:db8:1::1", "ff02::1:ff00:2", hops, NS[54..].to_vec());
        assert_eq!(got, Err(Error::HopLimit(hops)));
    }
}

#[test]
fn each_fault_has_its_error() {
    assert!(changed(0, &[]).is_ok());
    for kind in [0, 128, 134, 137, 255] {
        assert_eq!(changed(0, &[kind]), Err(Error::Type(kind)));
    }
    assert_eq!(changed(1, &[1]), Err(Error::Code(1)));
    assert_eq!(changed(8, &[0xFF]), Err(Error::TargetMulticast));
    assert_eq!(changed(25, &[0]), Err(Error::OptionLen));
    assert_eq!(changed(25, &[2]), Err(Error::OptionTruncated));
    assert_eq!(changed(26, &[1]), Err(Error::OptionMac), "a group");
    assert_eq!(changed(26, &[0; 6]), Err(Error::OptionMac));
    let mut message = NS[54..].to_vec();
    message[30] ^= 1;
    let packet = ip6::Packet::new_checked(&NS[14..]).unwrap();
    assert_eq!(Message::parse(&packet, &message), Err(Error::Checksum));
}

#[test]
fn truncated_at_every_octet() {
    for len in 0..32 {
        let want = match len {
            0..24 => Err(Error::Truncated),
            24 => Ok(Message::NeighborSolicitation {
                target: address("2001:db8:1::2"),
                source_mac: None,
            }),
            _ => Err(Error::OptionTruncated),
        };
        let message = NS[54..54 + len].to_vec();
        assert_eq!(parse("2001:db8:1::1", "ff02::1:ff00:2", 255, message), want, "{len}");
        let full =
            Message::NeighborSolicitation { target: Ipv6Addr::LOCALHOST, source_mac: Some(A) };
        let got = full.emit(Ipv6Addr::LOCALHOST, Ipv6Addr::LOCALHOST, &mut [0; 32][..len]);
        assert_eq!(got, Err(EmitError::NoRoom));
    }
}

#[test]
fn probes_and_advertisements_are_held_to_their_addresses() {
    let with_mac = || NS[54..].to_vec();
    let without = || NS[54..78].to_vec();
    let group = "ff02::1:ff00:2";
    assert_eq!(parse("::", group, 255, with_mac()), Err(Error::UnspecifiedWithMac));
    assert!(parse("::", group, 255, without()).is_ok());
    for dst in ["2001:db8:1::2", "ff02::1", "ff02::2:ff00:2"] {
        assert_eq!(parse("::", dst, 255, without()), Err(Error::UnspecifiedToUnicast));
    }
    let rs = RS[54..].to_vec();
    assert_eq!(parse("::", "ff02::2", 255, rs.clone()), Err(Error::UnspecifiedWithMac));
    assert!(parse("::", "ff02::2", 255, rs[..8].to_vec()).is_ok());
    let na = NA[54..].to_vec();
    assert_eq!(parse("fe80::1", "ff02::1", 255, na), Err(Error::SolicitedMulticast));
}

proptest! {
    #[test]
    fn any_options_end(
        kind in 133u8..138, mut options in prop::collection::vec(0u8..5, 0..64), all: bool,
    ) {
        if all {
            options.resize(options.len() / 8 * 8, 0);
        }
        let mut message = std::vec![0; 24];
        message[0] = kind;
        message.extend(options);
        let _ = parse("fe80::1", "fe80::2", 255, message);
    }
}
