use super::*;
use crate::golden::{ECHO6_REQUEST, PACKET_TOO_BIG, PORT_UNREACHABLE6, TIME_EXCEEDED6};
use proptest::prelude::*;
use std::vec::Vec;

/// Parses the message of a frame, and checks that it emits to the same octets.
fn captured(frame: &[u8]) -> Message<'_> {
    let packet = ip6::Packet::new_checked(&frame[14..]).unwrap();
    let (src, dst, bytes) = (packet.src(), packet.dst(), packet.payload());
    let message = Message::parse(src, dst, bytes).unwrap();
    let mut again = std::vec![0xA5; bytes.len()];
    assert_eq!(message.emit(src, dst, &mut again), Ok(bytes.len()));
    assert_eq!(again, bytes);
    message
}

#[test]
fn echo() {
    let Message::EchoRequest { ident, sequence, data } = captured(&ECHO6_REQUEST) else {
        panic!("an echo request")
    };
    assert_eq!((ident, sequence, data.len()), (19358, 1, 24));
}

#[test]
fn errors_of_a_linux_router() {
    let Message::TimeExceeded { code: 0, quoted } = captured(&TIME_EXCEEDED6) else {
        panic!("time exceeded")
    };
    assert_eq!(ip6::Packet::new_quoted(quoted).unwrap().hop_limit(), 1);
    let Message::Unreachable { code: 4, quoted } = captured(&PORT_UNREACHABLE6) else {
        panic!("port unreachable")
    };
    assert_eq!(ip6::Packet::new_quoted(quoted).unwrap().next_header(), IpProto::UDP);
}

#[test]
fn packet_too_big_quotes_as_much_as_linux_does() {
    let mut frame = PACKET_TOO_BIG.to_vec();
    frame.extend((16..).take(1294 - frame.len()).map(|octet: usize| octet.to_le_bytes()[0]));
    let Message::PacketTooBig { mtu: 1280, quoted } = captured(&frame) else {
        panic!("packet too big")
    };
    assert_eq!(quoted.len(), QUOTE_MAX);
    let mut whole = quoted.to_vec();
    whole.resize(1448, 0xA5);
    let packet = ip6::Packet::new_checked(&frame[14..]).unwrap();
    let message = Message::PacketTooBig { mtu: 1280, quoted: &whole };
    let mut bytes = [0; 1500];
    assert_eq!(message.emit(packet.src(), packet.dst(), &mut bytes), Ok(1240));
    assert_eq!(bytes[..1240], frame[54..]);
}

#[test]
fn each_fault_has_its_error() {
    let packet = ip6::Packet::new_checked(&ECHO6_REQUEST[14..]).unwrap();
    let (src, dst, bytes) = (packet.src(), packet.dst(), packet.payload());
    for len in 0..bytes.len() {
        let want = if len < 8 { Error::Truncated } else { Error::Checksum };
        assert_eq!(Message::parse(src, dst, &bytes[..len]), Err(want));
    }
    assert_eq!(Message::parse(src, Ipv6Addr::UNSPECIFIED, bytes), Err(Error::Checksum));
}

const TOO_BIG: Message<'_> = Message::PacketTooBig { mtu: 1280, quoted: &[] };
const HOPS: Message<'_> = Message::TimeExceeded { code: 0, quoted: &[] };
const OPTION: Message<'_> = Message::ParameterProblem { code: 2, pointer: 40, quoted: &[] };
const FIELD: Message<'_> = Message::ParameterProblem { code: 0, pointer: 40, quoted: &[] };

fn verdict(
    error: &Message<'_>,
    (src, dst): (&str, &str),
    next_header: IpProto,
    payload: &[u8],
    link_dst: Option<MacAddr>,
) -> Result<(), Silence> {
    let (src, dst) = (src.parse().unwrap(), dst.parse().unwrap());
    let len = u16::try_from(payload.len()).unwrap();
    let mut bytes = std::vec![0; 40];
    ip6::Repr::new(src, dst, next_header, len).emit(&mut bytes).unwrap();
    bytes.extend(payload);
    may_send_error(error, &ip6::Packet::new_checked(&bytes[..]).unwrap(), link_dst)
}

const UNICAST: (&str, &str) = ("2001:db8:1::1", "2001:db8:2::1");

#[test]
fn no_error_about_an_error_or_redirect() {
    for kind in 0..=255u8 {
        let silent = kind < 128 || kind == 137;
        let want = if silent { Err(Silence::AboutError) } else { Ok(()) };
        assert_eq!(verdict(&HOPS, UNICAST, IpProto::ICMPV6, &[kind], None), want);
        // Behind an extension header, too; even for packet too big.
        let behind = [58, 0, 0, 0, 0, 0, 0, 0, kind];
        assert_eq!(verdict(&TOO_BIG, UNICAST, IpProto::DEST_OPTIONS, &behind, None), want);
        // In a later fragment the octet says nothing.
        let later = [58, 0, 0, 8, 0, 0, 0, 1, kind];
        let got = verdict(&HOPS, UNICAST, IpProto::FRAGMENT, &later, None);
        assert_eq!(got, Err(Silence::AboutError));
    }
    let got = verdict(&HOPS, UNICAST, IpProto::ICMPV6, &[], None);
    assert_eq!(got, Err(Silence::AboutError), "one cannot tell");
    assert_eq!(verdict(&HOPS, UNICAST, IpProto::UDP, &[1], None), Ok(()));
    assert_eq!(verdict(&FIELD, UNICAST, IpProto::DEST_OPTIONS, &[1], None), Ok(()), "broken chain");
}

#[test]
fn groups_are_answered_only_where_the_rfc_says_so() {
    let group = ("2001:db8:1::1", "ff0e::1");
    let multicast = Some(MacAddr([0x33, 0x33, 0, 0, 0, 1]));
    for (error, exempt) in [(HOPS, false), (FIELD, false), (TOO_BIG, true), (OPTION, true)] {
        let or = |silence| if exempt { Ok(()) } else { Err(silence) };
        let udp = IpProto::UDP;
        assert_eq!(verdict(&error, group, udp, &[], None), or(Silence::Destination));
        assert_eq!(verdict(&error, UNICAST, udp, &[], multicast), or(Silence::LinkGroup));
        let broadcast = Some(MacAddr::BROADCAST);
        assert_eq!(verdict(&error, UNICAST, udp, &[], broadcast), or(Silence::LinkGroup));
        for src in ["::", "ff02::1", "::1"] {
            let got = verdict(&error, (src, "2001:db8:2::1"), udp, &[], None);
            assert_eq!(got, Err(Silence::Source));
        }
    }
}

proptest! {
    #[test]
    fn emit_then_parse(
        which in 0usize..7, code: u8, word: u32, ends: (u128, u128), data: Vec<u8>,
    ) {
        let quoted = &data[..];
        let [a, b, c, d] = word.to_be_bytes();
        let (ident, sequence) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        let message = match which {
            0 => Message::EchoRequest { ident, sequence, data: quoted },
            1 => Message::EchoReply { ident, sequence, data: quoted },
            2 => Message::Unreachable { code, quoted },
            3 => Message::PacketTooBig { mtu: word, quoted },
            4 => Message::TimeExceeded { code, quoted },
            5 => Message::ParameterProblem { code, pointer: word, quoted },
            _ => Message::Other { kind: 200, code },
        };
        let mut bytes = [0xA5; 256];
        let (src, dst) = (ends.0.into(), ends.1.into());
        let len = message.emit(src, dst, &mut bytes).unwrap();
        prop_assert_eq!(Message::parse(src, dst, &bytes[..len]), Ok(message));
    }
}
