use super::super::samples::*;
use super::*;
use proptest::prelude::*;
use wire::checksum;

/// Sets octets and mends the IPv4 header checksum.
fn patched(packet: &[u8], at: usize, octets: &[u8]) -> Vec<u8> {
    let mut packet = packet.to_vec();
    packet[at..at + octets.len()].copy_from_slice(octets);
    ip4::Packet::new_quoted(&mut packet[..]).unwrap().fill_checksum();
    packet
}

/// What two packets must agree in: all but identification and checksum of the IPv4 header.
fn without_ident(packet: &[u8]) -> Vec<u8> {
    patched(packet, 4, &[0, 0])
}

#[test]
fn echo_is_answered_as_linux_does() {
    let reply = respond_local(&ECHO_REQUEST).unwrap();
    assert_eq!(without_ident(&reply), without_ident(&ECHO_REPLY));
    assert!(ip4::Packet::new_checked(&reply).unwrap().verify_checksum());
    // Answering the answer would be a loop.
    assert_eq!(respond_local(&reply), Err(Unanswered::Icmp));
}

#[test]
fn echo6_is_answered() {
    let reply = respond_local(&ECHO6_REQUEST).unwrap();
    let (request, reply) =
        (ip6::Packet::new_checked(&ECHO6_REQUEST), ip6::Packet::new_checked(&reply));
    let (request, reply) = (request.unwrap(), reply.unwrap());
    assert_eq!((reply.src(), reply.dst()), (request.dst(), request.src()));
    assert_eq!(reply.hop_limit(), 64);
    let message = icmp6::Message::parse(reply.src(), reply.dst(), reply.payload()).unwrap();
    let data = &ECHO6_REQUEST[48..];
    assert_eq!(message, icmp6::Message::EchoReply { ident: 0x4B9E, sequence: 1, data });
}

#[test]
fn echo_reply_has_dscp_but_neither_ecn_nor_options() {
    let reply = respond_local(&patched(&ECHO_REQUEST, 1, &[0xBB])).unwrap();
    assert_eq!(reply[1], 0xB8);
    let reply = respond_local(&RECORD_ROUTE).unwrap();
    assert_eq!(reply.len(), RECORD_ROUTE.len() - 40);
    assert!(icmp::Message::parse(&reply[20..]).is_ok());
}

#[test]
fn closed_udp_port_is_reported_as_linux_does() {
    let error = respond_local(&UDP).unwrap();
    assert_eq!(without_ident(&error), without_ident(&PORT_UNREACHABLE));
    let mut error = respond_local(&UDP6).unwrap();
    // Linux sets neither class nor precedence for IPv6, and copies the flow label.
    error[..4].copy_from_slice(&PORT_UNREACHABLE6[..4]);
    assert_eq!(error, PORT_UNREACHABLE6);
}

#[test]
fn broken_udp_is_not_reported() {
    let mut broken = UDP;
    broken[36] ^= 1;
    assert_eq!(respond_local(&broken), Err(Unanswered::Malformed));
}

#[test]
fn unknown_protocols_are_reported_and_tunnels_and_tcp_are_not() {
    let of = |protocol: IpProto| respond_local(&patched(&UDP, 9, &[protocol.0]));
    let error = of(IpProto(200)).unwrap();
    let message = icmp::Message::parse(&error[20..]).unwrap();
    assert!(matches!(message, icmp::Message::Unreachable { code: 2, .. }));
    assert!(of(IpProto::IPV4).is_ok() && of(IpProto::NHRP).is_ok());
    for tunnel in [IpProto::GRE, IpProto::ESP, IpProto::AH] {
        assert_eq!(of(tunnel), Err(Unanswered::Tunnel));
    }
    assert_eq!(of(IpProto::TCP), Err(Unanswered::Tcp));
}

#[test]
fn unknown_next_header_is_reported_with_its_place() {
    let problem = |packet: &[u8]| {
        let error = respond_local(packet).unwrap();
        let view = ip6::Packet::new_checked(&error).unwrap();
        match icmp6::Message::parse(view.src(), view.dst(), view.payload()).unwrap() {
            icmp6::Message::ParameterProblem { code: 1, pointer, .. } => pointer,
            other => panic!("{other:?}"),
        }
    };
    let mut packet = UDP6.to_vec();
    packet[6] = 200;
    assert_eq!(problem(&packet), 6);
    // Behind 8 octets of hop-by-hop options and 16 of destination options.
    let mut long = UDP6[..40].to_vec();
    long[6] = 0;
    long.extend([60, 0, 1, 4, 0, 0, 0, 0]);
    long.extend([200, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    long[5] = 24;
    assert_eq!(problem(&long), 48);
    assert_eq!(long[48], 200);
    packet[6] = 59;
    assert_eq!(respond_local(&packet), Err(Unanswered::Nothing));
}

#[test]
fn never_to_a_source_that_is_no_host() {
    for source in [[0, 0, 0, 0], [224, 0, 0, 1], [255, 255, 255, 255], [127, 0, 0, 1]] {
        let packet = patched(&ECHO_REQUEST, 12, &source);
        assert!(matches!(respond_local(&packet), Err(Unanswered::Silence(_))), "{source:?}");
    }
    for to in [[224, 0, 0, 1], [255, 255, 255, 255]] {
        let packet = patched(&ECHO_REQUEST, 16, &to);
        assert!(matches!(respond_local(&packet), Err(Unanswered::Silence(_))), "{to:?}");
    }
    let mut packet = ECHO6_REQUEST;
    packet[8..24].fill(0);
    assert!(matches!(respond_local(&packet), Err(Unanswered::Silence(_))));
    let mut packet = ECHO6_REQUEST;
    packet[24] = 0xFF;
    assert!(matches!(respond_local(&packet), Err(Unanswered::Silence(_))));
}

#[test]
fn fragments_and_damage_are_not_answered() {
    assert_eq!(respond_local(&patched(&UDP, 6, &[0x20, 0])), Err(Unanswered::Fragment));
    let mut damaged = ECHO_REQUEST;
    damaged[11] ^= 1;
    assert_eq!(respond_local(&damaged), Err(Unanswered::Malformed));
    let mut damaged = ECHO_REQUEST;
    damaged[40] ^= 1;
    assert_eq!(respond_local(&damaged), Err(Unanswered::Malformed));
    for sample in [&ECHO_REQUEST[..], &ECHO6_REQUEST, &UDP, &UDP6] {
        for len in 0..sample.len() {
            assert_eq!(respond_local(&sample[..len]), Err(Unanswered::Malformed), "{len}");
        }
    }
}

proptest! {
    /// Whatever comes, an answer goes from the destination to the source, is sound, and never calls
    /// for another answer.
    #[test]
    fn answers_are_sound_and_end_there(
        sample in 0..5_usize,
        damage in prop::collection::vec((0..60_usize, any::<u8>()), 0..4),
    ) {
        let sample = [&ECHO_REQUEST[..], &UDP, &RECORD_ROUTE, &ECHO6_REQUEST, &UDP6][sample];
        let mut packet = sample.to_vec();
        for (at, octet) in damage {
            if let Some(slot) = packet.get_mut(at) {
                *slot = octet;
            }
        }
        if let Ok(mut view) = ip4::Packet::new_quoted(&mut packet[..]) {
            view.fill_checksum();
        }
        if let Ok(answer) = respond_local(&packet) {
            prop_assert!(answer.len() <= packet.len().max(1280));
            if answer[0] >> 4 == 4 {
                prop_assert_eq!(&answer[12..16], &packet[16..20]);
                prop_assert_eq!(&answer[16..20], &packet[12..16]);
                prop_assert!(checksum::verify(&answer[..20]) && checksum::verify(&answer[20..]));
            } else {
                prop_assert_eq!(&answer[8..24], &packet[24..40]);
                prop_assert_eq!(&answer[24..40], &packet[8..24]);
            }
            prop_assert!(respond_local(&answer).is_err());
        }
    }
}
