//! Scenes at the hub.

use super::*;

#[test]
fn a_registration_lives_for_its_holding_time() {
    let mut hub = Site::new(hub());
    // spoke > hub: registers for 60 s
    hub.receive("10.0.0.11", &Request::registration("10.255.0.11", "10.0.0.11").octets());
    let reply = hub.sent_one("10.0.0.11");
    let reply = view(&reply);
    assert_eq!((reply.kind(), reply.header().request_id), (Kind::RegistrationReply, 77));
    assert_eq!(reply.cies().next().map(|cie| (cie.code, cie.holding_time)), Some((Code::OK, 60)));
    let binding = hub.binding("10.255.0.11").unwrap();
    assert_eq!(hub.actions[0], Action::Install(binding));
    let (protocol, nbma) = (ip("10.255.0.11"), ip("10.0.0.11"));
    assert_eq!(hub.events(), [Event::Registered { protocol, nbma }]);
    // spoke > hub: renews after 20 s; nothing changes but the end
    hub.pass(s(20));
    hub.actions.clear();
    hub.receive("10.0.0.11", &Request::registration("10.255.0.11", "10.0.0.11").octets());
    assert_eq!(hub.actions.len(), 1, "the reply");
    hub.pass(Duration::from_millis(59_999));
    assert!(hub.binding("10.255.0.11").is_some());
    hub.actions.clear();
    hub.pass(Duration::from_millis(1));
    assert_eq!(hub.actions[0], Action::Remove { protocol });
    assert_eq!(hub.events(), [Event::Expired { protocol }]);
    assert_eq!(hub.nhrp.poll_timeout(), None);
}

#[test]
fn a_repetition_is_answered_alike() {
    let mut hub = Site::new(hub());
    let request = Request::registration("10.255.0.11", "10.0.0.11").unique().octets();
    hub.receive("10.0.0.11", &request);
    let first = hub.sent_one("10.0.0.11");
    hub.receive("10.0.0.11", &request);
    assert_eq!(hub.sent_one("10.0.0.11"), first);
    assert_eq!(hub.nhrp.bindings().count(), 1);
}

/// spoke 192.168.7.2 > NAT 203.0.113.9 > hub: the hub uses, and tells, the outer source.
#[test]
fn a_spoke_behind_a_nat() {
    let mut hub = Site::new(hub());
    hub.receive("203.0.113.9", &Request::registration("10.255.0.11", "192.168.7.2").octets());
    let binding = hub.binding("10.255.0.11").unwrap();
    let (nbma, claimed) = (binding.nbma, binding.claimed);
    assert_eq!((nbma, claimed), (ip("203.0.113.9"), Some(ip("192.168.7.2"))));
    let reply = hub.sent_one("203.0.113.9");
    let nat = view(&reply).extension(Tag::NAT).unwrap().cies().last().unwrap();
    assert_eq!((nat.nbma, nat.protocol), (Some(ip("203.0.113.9")), Some(ip("10.255.0.11"))));
    // Two spokes behind one NAT are two peers.
    hub.receive("203.0.113.9", &Request::registration("10.255.0.12", "192.168.7.3").octets());
    assert_eq!(hub.nhrp.bindings().count(), 2);
}

#[test]
fn uniqueness() {
    let code = |hub: &mut Site, to: &str| {
        let reply = hub.sent_one(to);
        let cies = view(&reply).cies().collect::<Vec<_>>();
        assert_eq!(cies.len(), 1, "a refusal has one CIE");
        (cies[0].code, cies[0].holding_time)
    };
    let mut hub = Site::new(hub());
    hub.receive("10.0.0.11", &Request::registration("10.255.0.11", "10.0.0.11").unique().octets());
    assert_eq!(code(&mut hub, "10.0.0.11"), (Code::OK, 60));
    // another > hub: the same address, while the first one lives
    let other = Request::registration("10.255.0.11", "10.0.0.66").octets();
    hub.receive("10.0.0.66", &other);
    assert_eq!(code(&mut hub, "10.0.0.66"), (Code::ALREADY_REGISTERED, 0));
    assert_eq!(hub.binding("10.255.0.11").unwrap().nbma, ip("10.0.0.11"));
    // and after it
    hub.pass(s(60));
    hub.receive("10.0.0.66", &other);
    assert_eq!(code(&mut hub, "10.0.0.66"), (Code::OK, 60));
    // Without U the address may move: a WAN address that changes.
    hub.receive("10.0.0.67", &Request::registration("10.255.0.11", "10.0.0.67").octets());
    assert_eq!(code(&mut hub, "10.0.0.67"), (Code::OK, 60));
    assert_eq!(hub.binding("10.255.0.11").unwrap().nbma, ip("10.0.0.67"));
}

#[test]
fn a_registration_is_taken_back_by_its_owner() {
    for way in 0..2 {
        let mut hub = Site::new(hub());
        hub.receive("10.0.0.11", &Request::registration("10.255.0.11", "10.0.0.11").octets());
        hub.actions.clear();
        let request = match way {
            0 => Request::purge("10.255.0.11", "10.0.0.11"),
            _ => {
                let mut request = Request::registration("10.255.0.11", "10.0.0.11");
                request.cies[0].holding_time = 0;
                request
            }
        };
        hub.receive("10.0.0.11", &request.octets());
        assert!(hub.nhrp.bindings().next().is_none());
        assert_eq!(hub.events(), [Event::Withdrawn { protocol: ip("10.255.0.11") }]);
        let first = hub.sent_one("10.0.0.11");
        // Again, as if the answer had been lost.
        hub.receive("10.0.0.11", &request.octets());
        assert_eq!(hub.sent_one("10.0.0.11"), first);
        assert!(hub.events().is_empty());
    }
    let mut hub = Site::new(hub());
    let mut request = Request::purge("10.255.0.11", "10.0.0.11");
    request.header.flags = Flags::NO_REPLY;
    hub.receive("10.0.0.11", &request.octets());
    assert!(hub.sent().is_empty());
}

#[test]
fn a_static_binding_stays() {
    let map = StaticMap { protocol: ip("10.255.0.9"), nbma: ip("10.0.0.9") };
    let mut hub = Site::new(Config { maps: vec![map], ..hub() });
    let binding = hub.binding("10.255.0.9").unwrap();
    assert_eq!(hub.actions, [Action::Install(binding)]);
    hub.receive("10.0.0.66", &Request::registration("10.255.0.9", "10.0.0.66").octets());
    hub.receive("10.0.0.9", &Request::registration("10.255.0.9", "10.0.0.9").octets());
    hub.receive("10.0.0.9", &Request::purge("10.255.0.9", "10.0.0.9").octets());
    hub.pass(s(1000));
    assert_eq!(hub.binding("10.255.0.9"), Some(binding));
    assert_eq!(hub.dropped(DropReason::Refused), 1);
    // Until the configuration drops it.
    hub.actions.clear();
    hub.nhrp.configure(hub.now, super::hub(), &mut hub.actions).unwrap();
    assert_eq!(hub.actions, [Action::Remove { protocol: ip("10.255.0.9") }]);
}

#[test]
fn ipv6_in_ipv4_and_the_other_way_round() {
    let ways = [
        ("2001:db8::1/64", "10.0.0.1", "2001:db8::11", "10.0.0.11"),
        ("10.255.0.1/24", "2001:db8:1::1", "10.255.0.11", "2001:db8:2::1"),
        ("2001:db8::1/64", "2001:db8:1::1", "2001:db8::11", "2001:db8:2::1"),
    ];
    for (own, nbma, peer, peer_nbma) in ways {
        let mut hub = Site::new(config(own, nbma));
        let mut request = Request::registration("10.255.0.11", "10.0.0.11");
        request.header.src_nbma = ip(peer_nbma);
        request.header.src_protocol = ip(peer);
        request.header.dst_protocol = ip(peer);
        request.cies[0].prefix_len = 255;
        hub.receive(peer_nbma, &request.octets());
        assert_eq!(hub.binding(peer).unwrap().nbma, ip(peer_nbma));
        let reply = hub.sent_one(peer_nbma);
        assert_eq!(view(&reply).header().dst_protocol, hub.nhrp.config.addresses[0].address());
    }
}
