use super::super::samples::*;
use super::*;
use proptest::prelude::*;

const KINDS: [ErrorKind; 5] = [
    ErrorKind::TimeExceeded,
    ErrorKind::TooBig { mtu: 1400 },
    ErrorKind::NetUnreachable,
    ErrorKind::HostUnreachable,
    ErrorKind::AdminProhibited,
];

fn router() -> IpAddr {
    "192.0.2.2".parse().unwrap()
}

fn router6() -> IpAddr {
    "2001:db8:1::2".parse().unwrap()
}

#[test]
fn time_exceeded_as_linux_sends_it() {
    let mut error = error(ErrorKind::TimeExceeded, &TIME_EXCEEDED[28..], router(), None).unwrap();
    let mut linux = TIME_EXCEEDED;
    for packet in [&mut error[..], &mut linux[..]] {
        let mut view = ip4::Packet::new_quoted(packet).unwrap();
        view.set_ident(0);
        view.fill_checksum();
    }
    assert_eq!(error, linux);
}

#[test]
fn time_exceeded_of_ipv6_as_linux_sends_it() {
    let offending = &TIME_EXCEEDED6[48..];
    let mut error = error(ErrorKind::TimeExceeded, offending, router6(), None).unwrap();
    assert_eq!(error[..4], [0x6C, 0, 0, 0]);
    error[..4].copy_from_slice(&TIME_EXCEEDED6[..4]);
    assert_eq!(error, TIME_EXCEEDED6);
}

#[test]
fn type_and_code_of_each_kind() {
    let codes = |packet: &[u8], source, at: usize| {
        KINDS.map(|kind| {
            let error = error(kind, packet, source, None).unwrap();
            (error[at], error[at + 1])
        })
    };
    assert_eq!(codes(&UDP, router(), 20), [(11, 0), (3, 4), (3, 0), (3, 1), (3, 13)]);
    assert_eq!(codes(&UDP6, router6(), 40), [(3, 0), (2, 0), (1, 0), (1, 3), (1, 1)]);
}

#[test]
fn mtu_is_told_and_never_below_the_floor_of_ip() {
    for (mtu, told, told6) in [(0, 68, 1280), (100, 100, 1280), (1400, 1400, 1400)] {
        let kind = ErrorKind::TooBig { mtu };
        let error4 = error(kind, &UDP, router(), None).unwrap();
        let message = icmp::Message::parse(&error4[20..]).unwrap();
        assert_eq!(message, icmp::Message::FragmentationNeeded { mtu: told, quoted: &UDP });
        let error6 = error(kind, &UDP6, router6(), None).unwrap();
        assert_eq!(error6[44..48], u32::to_be_bytes(told6));
    }
}

#[test]
fn the_quote_fills_576_or_1280_octets_and_no_more() {
    let header =
        ip4::Repr::new([192, 0, 2, 1].into(), [198, 51, 100, 1].into(), IpProto::UDP, 1480);
    let mut packet = vec![7; 1500];
    header.emit(&mut packet).unwrap();
    let error4 = error(ErrorKind::TimeExceeded, &packet, router(), None).unwrap();
    assert_eq!(error4.len(), 576);
    assert_eq!(error4[28..], packet[..548]);
    let source = "2001:db8::1".parse().unwrap();
    let header = ip6::Repr::new(source, "2001:db8::2".parse().unwrap(), IpProto::UDP, 1460);
    header.emit(&mut packet).unwrap();
    let error6 = error(ErrorKind::TimeExceeded, &packet, router6(), None).unwrap();
    assert_eq!(error6.len(), 1280);
    // Ethernet padding behind a short packet is not quoted.
    let padded = [&UDP[..], &[0; 9]].concat();
    let error4 = error(ErrorKind::TimeExceeded, &padded, router(), None).unwrap();
    assert_eq!(error4[28..], UDP);
}

#[test]
fn silent_where_the_rfcs_say_so() {
    let why = |packet: &[u8], link| error(ErrorKind::HostUnreachable, packet, router(), link);
    assert_eq!(why(&PORT_UNREACHABLE, None), Err(Silence::V4(icmp::Silence::AboutError)));
    let broadcast = Some(MacAddr::BROADCAST);
    assert_eq!(why(&UDP, broadcast), Err(Silence::V4(icmp::Silence::LinkGroup)));
    let mut damaged = UDP;
    damaged[10] ^= 1;
    assert_eq!(why(&damaged, None), Err(Silence::Malformed));
    assert_eq!(why(&UDP6, None), Err(Silence::Family));
    assert_eq!(why(&[], None), Err(Silence::Malformed));
    let why6 = error(ErrorKind::NetUnreachable, &TIME_EXCEEDED6, router6(), None);
    assert_eq!(why6, Err(Silence::V6(icmp6::Silence::AboutError)));
}

proptest! {
    #[test]
    fn no_error_about_an_error_whatever_the_packet(
        packet in prop::collection::vec(any::<u8>(), 0..100),
        version in prop_oneof![Just(0x45_u8), Just(0x60)],
        kind in prop::sample::select(KINDS.to_vec()),
    ) {
        let mut packet = packet;
        if let Some(first) = packet.first_mut() {
            *first = version;
        }
        if let Ok(mut view) = ip4::Packet::new_quoted(&mut packet[..]) {
            view.fill_checksum();
        }
        let source = if version == 0x45 { router() } else { router6() };
        if let Ok(first) = error(kind, &packet, source, None) {
            let longest = if version == 0x45 { 576 } else { 1280 };
            prop_assert!(first.len() <= longest);
            for again in KINDS {
                prop_assert!(error(again, &first, source, None).is_err());
            }
        }
    }
}
