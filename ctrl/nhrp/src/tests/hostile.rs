//! What strangers try.

use super::*;

/// The code of the refusal of a registration.
fn refusal(hub: &mut Site, from: &str, request: &Request) -> Code {
    hub.receive(from, &request.octets());
    let reply = hub.sent_one(from);
    let reply = view(&reply);
    let cie = reply.cies().next().unwrap();
    assert_eq!((reply.cies().count(), cie.holding_time), (1, 0));
    cie.code
}

#[test]
fn addresses_that_nobody_may_register() {
    let mut hub = Site::new(hub());
    let never = [
        "10.255.0.1", // the hub's
        "0.0.0.0",
        "0.1.2.3",
        "224.0.0.5",
        "255.255.255.255",
        "240.0.0.1",
        "127.0.0.1",
        "10.255.0.255", // broadcast of the tunnel
        "10.255.0.0",   // its network
        "10.0.0.1",     // the hub's NBMA address
        "10.0.0.11",    // the spoke's own
    ];
    for protocol in never {
        let mut request = Request::registration("10.255.0.11", "10.0.0.11");
        request.cies[0].protocol = Some(ip(protocol));
        let code = refusal(&mut hub, "10.0.0.11", &request);
        assert_eq!(code, Code::PROHIBITED, "{protocol}");
    }
    for prefix_len in [1, 8, 24, 31, 33, 254] {
        let mut request = Request::registration("10.255.0.11", "10.0.0.11");
        request.cies[0].prefix_len = prefix_len;
        assert_eq!(refusal(&mut hub, "10.0.0.11", &request), Code::PROHIBITED, "/{prefix_len}");
    }
    assert!(hub.nhrp.bindings().next().is_none());
    assert_eq!(hub.dropped(DropReason::Refused), 17);
}

/// One bad address among good ones: nothing is registered.
#[test]
fn a_registration_is_whole_or_nothing() {
    let mut hub = Site::new(hub());
    let mut request = Request::registration("10.255.0.11", "10.0.0.11");
    request.cies.push(Cie { protocol: Some(ip("224.0.0.5")), ..request.cies[0] });
    assert_eq!(refusal(&mut hub, "10.0.0.11", &request), Code::PROHIBITED);
    assert!(hub.nhrp.bindings().next().is_none());
}

#[test]
fn an_address_that_the_identity_may_not_claim() {
    struct Identity;
    impl Overlay for Identity {
        fn route(&self, _: IpAddr) -> Option<Route> {
            None
        }

        fn may_claim(&self, peer: Path, protocol: IpAddr) -> bool {
            (peer, protocol) == (path("10.0.0.11"), ip("10.255.0.11"))
        }

        fn may_be_nbma(&self, _: IpAddr) -> bool {
            true
        }
    }
    let mut hub = Site::new(hub());
    for (protocol, nbma) in [("10.255.0.12", "10.0.0.11"), ("10.255.0.11", "10.0.0.12")] {
        let request = Request::registration(protocol, nbma).octets();
        hub.nhrp.receive(hub.now, path(nbma), &request, &Identity, &mut hub.actions);
    }
    assert_eq!(hub.dropped(DropReason::Refused), 2);
    let request = Request::registration("10.255.0.11", "10.0.0.11").octets();
    hub.nhrp.receive(hub.now, path("10.0.0.11"), &request, &Identity, &mut hub.actions);
    assert!(hub.binding("10.255.0.11").is_some());
}

#[test]
fn a_purge_by_a_third_party() {
    let mut hub = Site::new(hub());
    hub.receive("10.0.0.11", &Request::registration("10.255.0.11", "10.0.0.11").octets());
    hub.actions.clear();
    hub.receive("10.0.0.12", &Request::registration("10.255.0.12", "10.0.0.12").octets());
    hub.actions.clear();
    // From elsewhere, in the owner's name and in their own; of everything; of nearly everything.
    hub.receive("10.0.0.66", &Request::purge("10.255.0.11", "10.0.0.11").octets());
    let mut request = Request::purge("10.255.0.12", "10.0.0.12");
    for (protocol, prefix_len) in [("10.255.0.11", 32), ("0.0.0.0", 0), ("10.255.0.11", 7)] {
        request.cies[0].protocol = Some(ip(protocol));
        request.cies[0].prefix_len = prefix_len;
        hub.receive("10.0.0.12", &request.octets());
    }
    let mut request = Request::purge("10.255.0.11", "10.0.0.11");
    request.cies[0].nbma = Some(ip("10.0.0.66"));
    hub.receive("10.0.0.11", &request.octets());
    assert_eq!(hub.dropped(DropReason::ThirdParty), 5);
    assert!(hub.actions.is_empty());
    // A network is no registration: this is for answers that were given, and there are none.
    let mut request = Request::purge("10.255.0.12", "10.0.0.12");
    request.cies[0].protocol = Some(ip("10.255.0.11"));
    request.cies[0].prefix_len = 24;
    hub.receive("10.0.0.12", &request.octets());
    assert_eq!(view(&hub.sent_one("10.0.0.12")).kind(), Kind::PurgeReply);
    assert_eq!(hub.nhrp.bindings().count(), 2);
    assert!(hub.binding("10.255.0.11").is_some());
}

#[test]
fn passwords() {
    let secret = Secret::new(b"labpass1").unwrap();
    let mut hub = Site::new(Config { authentication: Some(secret), ..hub() });
    let request =
        |password| Request { password, ..Request::registration("10.255.0.11", "10.0.0.11") };
    let wrong: [Option<&[u8]>; 5] =
        [None, Some(b"labpass"), Some(b"labpass2"), Some(b"x"), Some(b"LABPASS1")];
    for password in wrong {
        hub.receive("10.0.0.11", &request(password).octets());
        let error = hub.sent_one("10.0.0.11");
        assert_eq!(view(&error).error(), Some((wire::nhrp::ErrorCode::AUTHENTICATION, 0)));
    }
    assert_eq!(hub.dropped(DropReason::Authentication), 5);
    assert!(hub.nhrp.bindings().next().is_none());
    hub.receive("10.0.0.11", &request(Some(b"labpass1")).octets());
    assert!(hub.binding("10.255.0.11").is_some());
    // Another method than cleartext.
    let mut octets = request(Some(b"labpass1")).octets();
    let at = octets.windows(8).position(|octets| octets == b"labpass1").unwrap();
    octets[at - 1] = 2;
    octets[12..14].fill(0);
    let sum = wire::checksum::of(&octets);
    octets[12..14].copy_from_slice(&sum.to_be_bytes());
    hub.receive("10.0.0.11", &octets);
    assert_eq!(hub.dropped(DropReason::Authentication), 6);
    let shown = format!("{:?}", hub.nhrp);
    assert!(!shown.contains("labpass") && !shown.contains("108, 97, 98"));
}

#[test]
fn a_secret_matches_itself_alone() {
    let secret = |password: &[u8]| Secret::new(password).unwrap();
    assert!(secret(b"a").matches(b"a"));
    for other in [&b""[..], b"b", b"a\0", b"aa", b"aaaaaaaaaaaa"] {
        assert!(!secret(b"a").matches(other));
    }
    assert!(!secret(b"12345678").matches(b"123456789"));
    assert_eq!(Secret::new(b"").err(), Some(ConfigError::Password));
    assert_eq!(Secret::new(b"123456789").err(), Some(ConfigError::Password));
}

#[test]
fn unknown_extensions() {
    let mut hub = Site::new(hub());
    let request =
        |tag| Request { extension: Some(tag), ..Request::registration("10.255.0.11", "10.0.0.11") };
    hub.receive("10.0.0.11", &request(Tag::compulsory(99)).octets());
    let error = hub.sent_one("10.0.0.11");
    let code = wire::nhrp::ErrorCode::UNRECOGNIZED_EXTENSION;
    assert_eq!(view(&error).error(), Some((code, 0)));
    assert_eq!(hub.dropped(DropReason::Extension), 1);
    // One that may be ignored comes back as it is, in its place.
    hub.receive("10.0.0.11", &request(Tag::optional(0x3FFF)).octets());
    let reply = hub.sent_one("10.0.0.11");
    let last = view(&reply).extensions().last().map(|last| (last.tag, last.value.to_vec()));
    assert_eq!(last, Some((Tag::optional(0x3FFF), b"what is it".to_vec())));
}

#[test]
fn what_is_for_others_and_what_was_not_asked() {
    let mut hub = Site::new(hub());
    let mut request = Request::registration("10.255.0.11", "10.0.0.11");
    request.header.dst_protocol = ip("10.255.0.2");
    hub.receive("10.0.0.11", &request.octets());
    assert_eq!(hub.dropped(DropReason::NotForUs), 1);
    request.header.kind = Kind::RegistrationReply;
    request.header.src_protocol = ip("10.255.0.1");
    request.header.src_nbma = ip("10.0.0.1");
    hub.receive("10.0.0.11", &request.octets());
    assert_eq!(hub.dropped(DropReason::Unsolicited), 1);
    assert!(hub.actions.is_empty());
}

#[test]
fn errors_are_few() {
    let mut hub = Site::new(hub());
    let request = Request {
        extension: Some(Tag::compulsory(99)),
        ..Request::registration("10.255.0.11", "10.0.0.11")
    };
    for _ in 0..1000 {
        hub.receive("10.0.0.11", &request.octets());
    }
    assert_eq!(hub.sent().len(), 10);
    assert_eq!(hub.nhrp.counters().errors_suppressed, 990);
    hub.pass(s(1));
    hub.receive("10.0.0.11", &request.octets());
    assert_eq!(hub.sent().len(), 1);
}

/// One peer registers what it can: its share, and others still find room.
#[test]
fn a_greedy_peer() {
    let mut hub = Site::new(config("10.254.0.1/15", "10.0.0.1"));
    for at in 0..300_u32 {
        let protocol = IpAddr::from((0x0AFE_0100 + at).to_be_bytes()).to_string();
        let mut request = Request::registration(&protocol, "10.0.0.66");
        request.header.dst_protocol = ip("10.254.0.1");
        hub.receive("10.0.0.66", &request.octets());
    }
    assert_eq!(hub.nhrp.bindings().count(), 256);
    let reply = hub.sent().pop().unwrap().1;
    assert_eq!(view(&reply).cies().next().unwrap().code, Code::RESOURCES);
    let mut request = Request::registration("10.255.0.11", "10.0.0.11");
    request.header.dst_protocol = ip("10.254.0.1");
    hub.receive("10.0.0.11", &request.octets());
    assert!(hub.binding("10.255.0.11").is_some());
}

/// A hub comes back, and 10 000 spokes register within a moment: each is answered.
#[test]
fn a_registration_storm() {
    let mut hub = Site::new(config("10.254.0.1/15", "10.0.0.1"));
    for at in 0..10_000_u32 {
        let protocol = IpAddr::from((0x0AFE_0100 + at).to_be_bytes()).to_string();
        let nbma = IpAddr::from((0x0A64_0000 + at).to_be_bytes()).to_string();
        let mut request = Request::registration(&protocol, &nbma);
        request.header.dst_protocol = request.header.src_protocol;
        request.cies[0].prefix_len = 0;
        hub.receive(&nbma, &request.octets());
    }
    assert_eq!(hub.nhrp.bindings().count(), 10_000);
    assert_eq!(hub.sent().len(), 10_000);
    hub.pass(s(60));
    assert!(hub.nhrp.bindings().next().is_none());
}

#[test]
fn configurations_that_make_no_sense() {
    let check = |config: Config| config.check().unwrap_err();
    assert_eq!(check(Config { addresses: vec![], ..spoke() }), ConfigError::NoAddress);
    for seconds in [0, 2, 65_536] {
        let config = Config { holding_time: s(seconds), ..spoke() };
        assert_eq!(check(config), ConfigError::HoldingTime);
    }
    for seconds in [0, 61] {
        let config = Config { registration_interval: Some(s(seconds)), ..spoke() };
        assert_eq!(check(config), ConfigError::RegistrationInterval);
    }
    let with = |protocol: &str, nbma: &str| {
        let map = StaticMap { protocol: ip(protocol), nbma: ip(nbma) };
        check(Config { maps: vec![map, map], ..spoke() })
    };
    assert_eq!(with("10.255.0.9", "2001:db8::1"), ConfigError::NbmaFamily(ip("2001:db8::1")));
    assert_eq!(with("10.255.0.9", "10.0.0.11"), ConfigError::NbmaFamily(ip("10.0.0.11")));
    assert_eq!(with("10.255.0.11", "10.0.0.9"), ConfigError::Protocol(ip("10.255.0.11")));
    assert_eq!(with("2001:db8::9", "10.0.0.9"), ConfigError::Protocol(ip("2001:db8::9")));
    assert_eq!(with("10.255.0.9", "10.0.0.9"), ConfigError::Twice(ip("10.255.0.9")));
    let servers = vec![nhs("10.0.0.1"); 2];
    assert_eq!(check(Config { servers, ..spoke() }), ConfigError::Twice(ip("10.0.0.1")));
}
