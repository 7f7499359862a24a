use super::*;
use std::net::{Ipv4Addr, Ipv6Addr};

const PERIOD: Duration = Duration::from_secs(10);

fn keepalive(retries: u8, now: Instant) -> Keepalive {
    Keepalive::new(PERIOD, NonZeroU8::new(retries).unwrap(), now)
}

fn tunnel(key: Option<u32>) -> Endpoints {
    let local = Ipv4Addr::new(198, 51, 100, 1).into();
    Endpoints { local, peer: Ipv4Addr::new(203, 0, 113, 7).into(), key }
}

fn tunnel6() -> Endpoints {
    let local = Ipv6Addr::new(0x2001, 0xDB8, 0xA, 0, 0, 0, 0, 1).into();
    let peer = Ipv6Addr::new(0x2001, 0xDB8, 0xB, 0, 0, 0, 0, 7).into();
    Endpoints { local, peer, key: Some(42) }
}

/// IPv4 from 203.0.113.7 to 198.51.100.1 with empty GRE of protocol 0 and key 42, by Scapy 2.5.
const BOUNCED: [u8; 28] = [
    0x45, 0xc0, 0x00, 0x1c, 0x00, 0x00, 0x00, 0x00, 0xff, 0x2f, 0x54, 0xb6, 0xcb, 0x00, 0x71, 0x07,
    0xc6, 0x33, 0x64, 0x01, 0x20, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x2a,
];

/// The same without a key.
const BOUNCED_NO_KEY: [u8; 24] = [
    0x45, 0xc0, 0x00, 0x18, 0x00, 0x00, 0x00, 0x00, 0xff, 0x2f, 0x54, 0xba, 0xcb, 0x00, 0x71, 0x07,
    0xc6, 0x33, 0x64, 0x01, 0x00, 0x00, 0x00, 0x00,
];

/// The same over IPv6, from 2001:db8:b::7 to 2001:db8:a::1.
const BOUNCED6: [u8; 48] = [
    0x6c, 0x00, 0x00, 0x00, 0x00, 0x08, 0x2f, 0xff, 0x20, 0x01, 0x0d, 0xb8, 0x00, 0x0b, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x07, 0x20, 0x01, 0x0d, 0xb8, 0x00, 0x0a, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x20, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x2a,
];

#[test]
fn payload_is_what_the_peer_forwards_back() {
    let payload = |tunnel: Endpoints| tunnel.keepalive().unwrap();
    assert_eq!(payload(tunnel(Some(42))), (Protocol::IPV4, BOUNCED.to_vec()));
    assert_eq!(payload(tunnel(None)), (Protocol::IPV4, BOUNCED_NO_KEY.to_vec()));
    assert_eq!(payload(tunnel6()), (Protocol::IPV6, BOUNCED6.to_vec()));
    let mixed = Endpoints { peer: tunnel6().peer, ..tunnel(None) };
    assert!(mixed.keepalive().is_err());
}

/// The tunnel as its far end sees it.
fn mirrored(tunnel: Endpoints) -> Endpoints {
    Endpoints { local: tunnel.peer, peer: tunnel.local, key: tunnel.key }
}

#[test]
fn only_the_peers_keepalive_is_one() {
    for (ours, packet) in [
        (mirrored(tunnel(Some(42))), &BOUNCED[..]),
        (mirrored(tunnel(None)), &BOUNCED_NO_KEY),
        (mirrored(tunnel6()), &BOUNCED6),
    ] {
        assert_eq!(ours.check_keepalive(packet), Ok(()));
        // Our own keepalive, come to us by a loop, is not the peer's.
        assert_eq!(mirrored(ours).check_keepalive(packet), Err(NotKeepalive::Address));
        let other_key = Endpoints { key: Some(7), ..ours };
        assert_eq!(other_key.check_keepalive(packet), Err(NotKeepalive::Key));
        for len in 0..packet.len() {
            assert_eq!(ours.check_keepalive(&packet[..len]), Err(NotKeepalive::Malformed), "{len}");
        }
    }
}

#[test]
fn keepalive_reflection_abuse() {
    let now = Instant::now();
    let ours = mirrored(tunnel(Some(42)));
    // Something else inside: other GRE, a payload, another protocol, another destination.
    let with = |at: usize, octets: &[u8]| {
        let mut packet = BOUNCED.to_vec();
        packet[at..at + octets.len()].copy_from_slice(octets);
        ip4::Packet::new_quoted(&mut packet[..]).unwrap().fill_checksum();
        ours.check_keepalive(&packet)
    };
    assert_eq!(with(22, &[8, 0]), Err(NotKeepalive::Protocol));
    assert_eq!(with(9, &[17]), Err(NotKeepalive::Protocol));
    assert_eq!(with(16, &[192, 0, 2, 1]), Err(NotKeepalive::Address));
    assert_eq!(with(6, &[0x20, 0]), Err(NotKeepalive::Malformed));
    let mut long = [&BOUNCED[..], &[0; 4]].concat();
    let mut view = ip4::Packet::new_quoted(&mut long[..]).unwrap();
    view.set_total_len(32);
    view.fill_checksum();
    assert_eq!(ours.check_keepalive(&long), Err(NotKeepalive::NotEmpty));
    // A flood gets a few answers, and then two a second.
    let mut responder = Responder::default();
    let answers = (0..1000).filter(|_| responder.handle(now, &ours, &BOUNCED).is_ok()).count();
    assert_eq!(answers, 5);
    assert_eq!(responder.handle(now, &ours, &BOUNCED), Err(NotKeepalive::Rate));
    assert_eq!(responder.handle(now + ANSWER_INTERVAL, &ours, &BOUNCED), Ok(()));
    // What is no keepalive does not use the rate up.
    let mut responder = Responder::default();
    for _ in 0..1000 {
        assert!(responder.handle(now, &ours, &BOUNCED_NO_KEY).is_err());
    }
    assert_eq!(responder.handle(now, &ours, &BOUNCED), Ok(()));
}

/// State and unanswered keepalives before; event; both after, and what was reported.
#[test]
fn exhaustive_transitions() {
    const RETRIES: u8 = 3;
    let now = Instant::now();
    for state in [State::Up, State::Down] {
        for unanswered in 0..=6_u32 {
            let machine = Keepalive { state, unanswered, ..keepalive(RETRIES, now) };

            let mut early = machine.clone();
            early.next = now + Duration::from_nanos(1);
            assert_eq!(early.poll(now), None);
            assert_eq!((early.state, early.unanswered), (state, unanswered));

            let mut due = machine.clone();
            let went_down = state == State::Up && unanswered >= 3;
            assert_eq!(due.poll(now), Some(Due { went_down }));
            let after = if went_down { State::Down } else { state };
            assert_eq!((due.state, due.unanswered), (after, unanswered + 1));
            assert_eq!(due.poll_timeout(), now + PERIOD);

            let mut answered = machine;
            let asked = unanswered > 0;
            assert_eq!(answered.answered(), asked && state == State::Down);
            let after = if asked { State::Up } else { state };
            assert_eq!((answered.state, answered.unanswered), (after, 0));
            assert_eq!(answered.poll_timeout(), now);
        }
    }
}

#[test]
fn down_after_the_retries_and_up_by_the_first_answer() {
    let start = Instant::now();
    let mut keepalive = keepalive(3, start);
    let at = |period: u32| start + PERIOD * period;
    // Sent at 0, 10 and 20 s; when the third has had its period the tunnel is down.
    for period in 0..3 {
        assert_eq!(keepalive.poll(at(period)), Some(Due { went_down: false }), "{period}");
    }
    assert_eq!(keepalive.state(), State::Up);
    assert_eq!(keepalive.poll(at(3)), Some(Due { went_down: true }));
    // It goes on asking, and says so once.
    assert_eq!(keepalive.poll(at(4)), Some(Due { went_down: false }));
    assert_eq!((keepalive.state(), keepalive.unanswered()), (State::Down, 5));
    assert!(keepalive.answered());
    assert!(!keepalive.answered());
    assert_eq!((keepalive.state(), keepalive.unanswered()), (State::Up, 0));
}

#[test]
fn a_stall_of_ours_takes_no_tunnel_down() {
    let start = Instant::now();
    let mut keepalive = keepalive(2, start);
    assert!(keepalive.poll(start).is_some());
    let late = start + PERIOD * 100;
    assert_eq!(keepalive.poll(late), Some(Due { went_down: false }));
    assert_eq!(keepalive.poll(late), None);
    assert_eq!(keepalive.poll_timeout(), late + PERIOD);
}
