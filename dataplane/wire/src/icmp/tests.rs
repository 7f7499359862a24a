use super::*;
use crate::golden::{
    ECHO_REPLY, ECHO_REQUEST, FRAGMENTATION_NEEDED, PORT_UNREACHABLE, TIME_EXCEEDED,
};
use core::net::Ipv4Addr;
use proptest::prelude::*;
use std::vec::Vec;

/// Parses the ICMP message of a frame, and checks that it emits to the same octets.
fn captured(frame: &[u8]) -> Message<'_> {
    let bytes = ip4::Packet::new_checked(&frame[14..]).unwrap().payload();
    let message = Message::parse(bytes).unwrap();
    let mut again = std::vec![0xA5; bytes.len()];
    assert_eq!(message.emit(&mut again), Ok(bytes.len()));
    assert_eq!(again, bytes);
    message
}

/// The frame as it was: the quoted ping's data count up from 16.
fn fragmentation_needed() -> Vec<u8> {
    let mut frame = FRAGMENTATION_NEEDED.to_vec();
    frame.extend((16..).take(590 - frame.len()).map(|octet: usize| octet.to_le_bytes()[0]));
    frame
}

#[test]
fn echo_both_ways() {
    let Message::EchoRequest { ident, sequence, data } = captured(&ECHO_REQUEST) else {
        panic!("an echo request")
    };
    assert_eq!((ident, sequence, data.len()), (19357, 1, 24));
    assert_eq!(captured(&ECHO_REPLY), Message::EchoReply { ident, sequence, data });
}

#[test]
fn errors_of_a_linux_router() {
    let Message::TimeExceeded { code: 0, quoted } = captured(&TIME_EXCEEDED) else {
        panic!("time exceeded")
    };
    let packet = ip4::Packet::new_quoted(quoted).unwrap();
    assert_eq!((packet.ttl(), packet.dst()), (1, Ipv4Addr::new(198, 51, 100, 1)));
    let Message::Unreachable { code: 3, quoted } = captured(&PORT_UNREACHABLE) else {
        panic!("port unreachable")
    };
    assert_eq!(ip4::Packet::new_quoted(quoted).unwrap().protocol(), IpProto::UDP);
}

#[test]
fn fragmentation_needed_quotes_as_much_as_linux_does() {
    let frame = fragmentation_needed();
    let Message::FragmentationNeeded { mtu: 1280, quoted } = captured(&frame) else {
        panic!("fragmentation needed")
    };
    assert_eq!(quoted.len(), QUOTE_MAX);
    let packet = ip4::Packet::new_quoted(quoted).unwrap();
    assert_eq!((packet.total_len(), packet.dont_fragment()), (1428, true));
    // The whole offending packet given, the same message comes out.
    let mut whole = quoted.to_vec();
    whole.resize(1428, 0xA5);
    let message = Message::FragmentationNeeded { mtu: 1280, quoted: &whole };
    let mut bytes = [0; 1500];
    assert_eq!(message.emit(&mut bytes), Ok(556));
    assert_eq!(bytes[..556], frame[34..]);
}

#[test]
fn each_fault_has_its_error() {
    let bytes = &ECHO_REQUEST[34..];
    for len in 0..bytes.len() {
        let want = if len < 8 { Error::Truncated } else { Error::Checksum };
        assert_eq!(Message::parse(&bytes[..len]), Err(want), "{len}");
        let message = Message::parse(bytes).unwrap();
        assert_eq!(message.emit(&mut [0; 64][..len]), Err(EmitError::NoRoom));
    }
}

/// A packet with this header and one octet of payload.
fn offending(change: impl Fn(&mut ip4::Repr), first: u8) -> [u8; 21] {
    let (src, dst) = (Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(198, 51, 100, 1));
    let mut repr = ip4::Repr::new(src, dst, IpProto::UDP, 1);
    change(&mut repr);
    let mut bytes = [first; 21];
    repr.emit(&mut bytes).unwrap();
    bytes
}

fn verdict(bytes: &[u8], link_dst: Option<MacAddr>) -> Result<(), Silence> {
    may_send_error(&ip4::Packet::new_quoted(bytes).unwrap(), link_dst)
}

#[test]
fn errors_are_sent_about_ordinary_packets() {
    assert_eq!(verdict(&offending(|_| (), 0), Some(MacAddr([2, 0, 0x5E, 0, 0x53, 1]))), Ok(()));
    assert_eq!(verdict(&offending(|_| (), 0), None), Ok(()));
    let first = offending(|r| r.more_fragments = true, 0);
    assert_eq!(verdict(&first, None), Ok(()), "the first fragment");
}

#[test]
fn no_error_about_an_error() {
    for kind in 0..=255 {
        let bytes = offending(|r| r.protocol = IpProto::ICMP, kind);
        let silent = [3, 4, 5, 11, 12].contains(&kind);
        let want = if silent { Err(Silence::AboutError) } else { Ok(()) };
        assert_eq!(verdict(&bytes, None), want, "type {kind}");
    }
    let bytes = offending(|r| r.protocol = IpProto::ICMP, 8);
    assert_eq!(verdict(&bytes[..20], None), Err(Silence::AboutError), "one cannot tell");
}

#[test]
fn no_error_about_groups_fragments_and_impossible_sources() {
    for dst in [[224, 0, 0, 5], [239, 255, 255, 255], [255; 4]] {
        let bytes = offending(|r| r.dst = dst.into(), 0);
        assert_eq!(verdict(&bytes, None), Err(Silence::Destination));
    }
    for src in [[0; 4], [0, 1, 2, 3], [127, 0, 0, 1], [224, 0, 0, 1], [240, 0, 0, 1], [255; 4]] {
        let bytes = offending(|r| r.src = src.into(), 0);
        assert_eq!(verdict(&bytes, None), Err(Silence::Source), "{src:?}");
    }
    let bytes = offending(|r| r.fragment_offset = 8, 0);
    assert_eq!(verdict(&bytes, None), Err(Silence::Fragment));
    for mac in [MacAddr::BROADCAST, MacAddr([1, 0, 0x5E, 0, 0, 5])] {
        assert_eq!(verdict(&offending(|_| (), 0), Some(mac)), Err(Silence::LinkGroup));
    }
}

proptest! {
    #[test]
    fn emit_then_parse(which in 0usize..6, code: u8, a: u16, b: u16, data: Vec<u8>) {
        let quoted = &data[..];
        let code = if code == 4 { 0 } else { code };
        let message = match which {
            0 => Message::EchoRequest { ident: a, sequence: b, data: quoted },
            1 => Message::EchoReply { ident: a, sequence: b, data: quoted },
            2 => Message::Unreachable { code, quoted },
            3 => Message::FragmentationNeeded { mtu: a, quoted },
            4 => Message::TimeExceeded { code, quoted },
            _ => Message::Other { kind: 13, code },
        };
        let mut bytes = [0xA5; 256];
        let len = message.emit(&mut bytes).unwrap();
        prop_assert_eq!(len, message.wire_len());
        prop_assert_eq!(Message::parse(&bytes[..len]), Ok(message));
    }
}
