//! Scenes of a hub with two tunnels of one network, each with a spoke and a password of its own.

use super::*;
use wire::nhrp::ErrorCode;
use wire::{IpProto, ip4};

/// The hub's two machines.
struct Hub([Site; 2]);

const A: usize = 0;
const B: usize = 1;

fn secret(password: &[u8]) -> Option<Secret> {
    Some(Secret::new(password).unwrap())
}

impl Hub {
    /// Behind the spoke of the first tunnel is 192.168.1.0/24, behind that of the second
    /// 192.168.2.0/24.
    fn new() -> Self {
        let a = Config { redirect: true, authentication: secret(b"first"), ..hub() };
        let own = config("10.254.0.1/24", "10.0.0.2");
        let b = Config { redirect: true, authentication: secret(b"second"), ..own };
        let mut sites = [a, b].map(Site::new);
        sites[A].routes.0 = vec![
            ("192.168.1.0/24", Via::Peer("10.255.0.11")),
            ("192.168.2.0/24", Via::OtherTunnel),
            ("10.254.0.0/24", Via::OtherTunnel),
        ];
        sites[B].routes.0 = vec![
            ("192.168.2.0/24", Via::Peer("10.254.0.12")),
            ("192.168.1.0/24", Via::OtherTunnel),
            ("10.255.0.0/24", Via::OtherTunnel),
        ];
        Self(sites)
    }

    /// Does what one machine wants of the other.
    fn relay(&mut self, from: usize) {
        let [a, b] = &mut self.0;
        let (from, to) = if from == A { (a, b) } else { (b, a) };
        for action in std::mem::take(&mut from.actions) {
            match action {
                Action::Relay { from: sender, target, octets } => {
                    let relayed = to.nhrp.relay(target, &octets, &to.routes, &mut to.actions);
                    if let Err(why) = relayed {
                        let packet = (sender, &octets[..]);
                        from.nhrp.not_relayed(from.now, packet, why, &mut from.actions);
                    }
                }
                other => from.actions.push(other),
            }
        }
    }
}

/// A spoke of one of the two.
fn spoke_of(own: &str, nbma: &str, hub: &str, password: &[u8]) -> Site {
    let servers = vec![nhs(hub)];
    let authentication = secret(password);
    Site::new(Config { servers, authentication, shortcut: true, ..config(own, nbma) })
}

/// Registers a spoke, whose packets come from `outside`.
fn join(spoke: &mut Site, hub: (&mut Site, &str), outside: &str) {
    spoke.poll();
    let request = spoke.sent_one(hub.1);
    hub.0.receive(outside, &request);
    spoke.receive(hub.1, &hub.0.sent_one(outside));
    assert_eq!(spoke.state(0), ServerState::Registered);
}

fn head(source: [u8; 4], destination: [u8; 4]) -> Vec<u8> {
    let mut head = vec![0; 84];
    let packet = ip4::Repr::new(source.into(), destination.into(), IpProto::ICMP, 64);
    packet.emit(&mut head).unwrap();
    head
}

/// ```text
/// one > hub          a packet for two: it comes by one tunnel and goes by the other
/// hub > one          Traffic Indication
/// one > hub > two    Resolution Request, from tunnel to tunnel
/// two > hub > one    Resolution Reply
/// ```
#[test]
fn a_shortcut_between_two_tunnels() {
    let mut hub = Hub::new();
    let mut one = spoke_of("10.255.0.11/24", "172.16.0.11", "10.0.0.1", b"first");
    let mut two = spoke_of("10.254.0.12/24", "10.0.0.12", "10.0.0.2", b"second");
    join(&mut one, (&mut hub.0[A], "10.0.0.1"), "10.0.0.11");
    join(&mut two, (&mut hub.0[B], "10.0.0.2"), "10.0.0.12");
    one.routes.0 = vec![
        ("192.168.1.0/24", Via::Local),
        ("10.255.0.0/24", Via::Connected),
        ("0.0.0.0/0", Via::Peer("10.255.0.1")),
    ];
    two.routes.0 = vec![("192.168.2.0/24", Via::Local)];

    let a = &mut hub.0[A];
    let packet = head([192, 168, 1, 1], [192, 168, 2, 1]);
    a.nhrp.sample(a.now, &packet, path("10.0.0.11"), &a.routes, &mut a.actions);
    one.receive("10.0.0.1", &a.sent_one("10.0.0.11"));
    let question = one.sent_one("10.0.0.1");
    hub.0[A].receive("10.0.0.11", &question);
    assert!(hub.0[A].sent().is_empty(), "not by this tunnel");
    hub.relay(A);
    let question = hub.0[B].sent_one("10.0.0.12");
    let view = view(&question);
    assert_eq!(view.header().hop_count, 63);
    let record = view.extension(Tag::FORWARD_RECORD).unwrap();
    let passed = record.cies().map(|cie| cie.protocol).collect::<Vec<_>>();
    assert_eq!(passed, [Some(ip("10.255.0.1"))], "once, by where it came in");
    two.receive("10.0.0.2", &question);
    let reply = two.sent_one("10.0.0.2");
    hub.0[B].receive("10.0.0.12", &reply);
    hub.relay(B);
    one.receive("10.0.0.1", &hub.0[A].sent_one("10.0.0.11"));
    let [shortcut] = one.nhrp.shortcuts().collect::<Vec<_>>()[..] else { panic!() };
    assert_eq!(shortcut.prefix, "192.168.2.0/24".parse().unwrap());
    assert_eq!((shortcut.next_hop, shortcut.path), (ip("10.254.0.12"), path("10.0.0.12")));
    // Outside of the NAT of the one that asks.
    assert!(two.actions.contains(&Action::Expect { nbma: ip("10.0.0.11") }));

    // The other spoke takes its answer back.
    two.routes.0.clear();
    two.nhrp.routes_changed(two.now, &two.routes, &mut two.actions);
    let purge = two.sent_one("10.0.0.2");
    hub.0[B].receive("10.0.0.12", &purge);
    hub.relay(B);
    one.receive("10.0.0.1", &hub.0[A].sent_one("10.0.0.11"));
    assert_eq!(one.nhrp.shortcuts().count(), 0);
}

/// The peer of the other tunnel is not there: who asks is told so at once, as if there were one
/// tunnel.
#[test]
fn a_relay_to_nobody() {
    let mut hub = Hub::new();
    let mut one = spoke_of("10.255.0.11/24", "10.0.0.11", "10.0.0.1", b"first");
    join(&mut one, (&mut hub.0[A], "10.0.0.1"), "10.0.0.11");
    one.routes.0 = vec![("0.0.0.0/0", Via::Peer("10.255.0.1"))];
    // Nor does anything go back and forth between tunnels.
    for (count, way) in [(1, Via::Peer("10.254.0.12")), (2, Via::OtherTunnel)] {
        hub.0[B].routes.0 = vec![("192.168.2.0/24", way)];
        let destination = ip(&format!("192.168.2.{count}"));
        one.nhrp.resolve(one.now, destination, &one.routes, &mut one.actions);
        hub.0[A].receive("10.0.0.11", &one.sent_one("10.0.0.1"));
        hub.relay(A);
        assert!(hub.0[B].actions.is_empty());
        assert_eq!(hub.0[B].dropped(DropReason::NoRoute), count);
        one.receive("10.0.0.1", &hub.0[A].sent_one("10.0.0.11"));
        let unresolved = Event::Unresolved { destination, code: Some(Code::NO_BINDING) };
        assert!(one.events().contains(&unresolved));
        one.pass(s(5));
        assert!(one.sent().is_empty(), "it does not ask again");
    }
}

/// What is no question gets an error.
#[test]
fn a_purge_and_a_reply_to_nobody() {
    let mut hub = Hub::new();
    let mut one = spoke_of("10.255.0.11/24", "10.0.0.11", "10.0.0.1", b"first");
    join(&mut one, (&mut hub.0[A], "10.0.0.1"), "10.0.0.11");
    for kind in [Kind::PurgeRequest, Kind::ResolutionReply] {
        let purge = Request::purge("10.255.0.11", "10.0.0.11");
        let mut packet = Request { password: Some(b"first"), ..purge };
        packet.header.kind = kind;
        packet.header.hop_count = 64;
        packet.header.dst_protocol = ip("10.254.0.12");
        if kind == Kind::ResolutionReply {
            packet.header.src_protocol = ip("10.254.0.12");
        }
        hub.0[A].receive("10.0.0.11", &packet.octets());
        hub.relay(A);
        let sent = hub.0[A].sent_one("10.0.0.11");
        let code = view(&sent).error().map(|(code, _)| code);
        assert_eq!(code, Some(ErrorCode::UNREACHABLE), "{kind:?}");
    }
    assert_eq!(hub.0[B].dropped(DropReason::NoRoute), 2);
}

/// The other tunnel's password makes the packet too large.
#[test]
fn a_relay_that_grows_too_large() {
    let mut hub = Hub::new();
    let mut two = spoke_of("10.254.0.12/24", "10.0.0.12", "10.0.0.2", b"second");
    join(&mut two, (&mut hub.0[B], "10.0.0.2"), "10.0.0.12");
    let mut header = Request::registration("10.255.0.11", "10.0.0.11").header;
    (header.kind, header.hop_count) = (Kind::ResolutionRequest, 64);
    header.dst_protocol = ip("192.168.2.1");
    // With one octet more for "second" than for "first", and without a record of us.
    let filled = |room: usize| {
        let mut out = [0; 1500];
        let mut builder = Builder::new(&mut out, &header).unwrap();
        builder.cie(&Cie { prefix_len: 32, holding_time: 60, ..Cie::default() }).unwrap();
        builder.extension(Tag::optional(Tag::VENDOR), &vec![7; room]).unwrap();
        builder.authentication(b"first").unwrap();
        let len = builder.finish().unwrap();
        out[..len].to_vec()
    };
    let room = 1280 - filled(0).len();
    for (room, code) in [(room - 1, None), (room, Some(ErrorCode::SDU_SIZE))] {
        hub.0[A].receive("10.0.0.11", &filled(room));
        hub.relay(A);
        let complaints = hub.0[A].sent();
        let codes = complaints.iter().map(|(_, octets)| view(octets).error().map(|(code, _)| code));
        assert_eq!(codes.collect::<Vec<_>>(), code.map(Some).into_iter().collect::<Vec<_>>());
    }
    assert_eq!(hub.0[B].dropped(DropReason::TooLarge), 1);
}

#[test]
fn a_packet_within_another_network_tells_nobody() {
    let mut hub = Hub::new();
    let mut one = spoke_of("10.255.0.11/24", "10.0.0.11", "10.0.0.1", b"first");
    join(&mut one, (&mut hub.0[A], "10.0.0.1"), "10.0.0.11");
    let a = &mut hub.0[A];
    a.routes.0.truncate(1);
    let packet = head([192, 168, 1, 1], [192, 168, 2, 1]);
    a.nhrp.sample(a.now, &packet, path("10.0.0.11"), &a.routes, &mut a.actions);
    assert!(a.sent().is_empty());
}
