//! Scenes of a hub that passes packets on.

use super::*;
use wire::nhrp::ErrorCode;

/// A hub with two spokes, and a network behind the second.
fn passing() -> Site {
    let mut hub = Site::new(hub());
    hub.routes.0 = vec![
        ("192.168.1.0/24", Via::Peer("10.255.0.11")),
        ("192.168.2.0/24", Via::Peer("10.255.0.12")),
        ("192.168.9.0/24", Via::Peer("10.255.0.99")),
    ];
    for at in 1..3 {
        let (protocol, nbma) = (format!("10.255.0.1{at}"), format!("10.0.0.1{at}"));
        hub.receive(&nbma, &Request::registration(&protocol, &nbma).octets());
    }
    hub.actions.clear();
    hub
}

/// The first spoke asks for the network of the second.
fn question() -> Request {
    let mut request = Request::registration("10.255.0.11", "10.0.0.11");
    request.header.kind = Kind::ResolutionRequest;
    request.header.hop_count = 64;
    request.header.dst_protocol = ip("192.168.2.1");
    request
}

/// The complaint that is the only thing sent.
fn complaint(hub: &mut Site, to: &str) -> Option<ErrorCode> {
    let sent = hub.sent_one(to);
    view(&sent).error().map(|(code, _)| code)
}

#[test]
fn octets_of_frr() {
    // spoke > hub and hub > other spoke, as FRR's hub passed it on
    let asked = octets(
        "0001080000000000004000484e070034010104000404c802000000020a00000b0aff000b\
         c0a80201002000000000003c000000008004000080050000800300000009000080000000",
    );
    let passed = octets(
        "0001080000000000003f005c30a30034010104000404c802000000020a0000\
         0b0aff000bc0a80201002000000000003c0000000080040014000000000000003c040004000a0000010a\
         ff000180050000800300000009000080000000",
    );
    let mut hub = passing();
    hub.receive("10.0.0.11", &asked);
    assert_eq!(hub.sent_one("10.0.0.12"), passed);
    // other spoke: FRR's answer to that; ours is the same but for the NAT flag
    let answered = octets(
        "000108000000000000400078d608003c010204000404e800000000020a00000b0aff000bc0a802010018\
         00000000003c040004000a00000c0aff000c80040014000000000000003c040004000a0000010aff0001\
         8005000080030014000000000000003c040004000a00000c0aff000c0009000080000000",
    );
    let mut two = Site::new(config("10.255.0.12/24", "10.0.0.12"));
    two.routes.0 = vec![("192.168.2.0/24", Via::Local)];
    two.receive("10.0.0.1", &passed);
    let mut ours = two.sent_one("10.0.0.1");
    assert_eq!(ours[22..24], [0xE8, 0x02]);
    ours[23] = 0;
    assert_eq!((&ours[..12], &ours[14..]), (&answered[..12], &answered[14..]));
    // hub > spoke, as FRR's hub passed it on
    hub.receive("10.0.0.12", &answered);
    let passed = octets(
        "0001080000000000003f008cb8a4003c010204000404e800000000020a00000b0aff000bc0a80201001800\
         000000003c040004000a00000c0aff000c80040014000000000000003c040004000a0000010aff000180050014\
         000000000000003c040004000a0000010aff000180030014000000000000003c040004000a00000c0aff000c00\
         09000080000000",
    );
    assert_eq!(hub.sent_one("10.0.0.11"), passed);
}

#[test]
fn hop_counts() {
    let mut hub = passing();
    for (hop_count, passed) in [(255, Some(254)), (1, Some(0)), (0, None)] {
        let mut request = question();
        request.header.hop_count = hop_count;
        hub.receive("10.0.0.11", &request.octets());
        match passed {
            Some(left) => {
                let sent = hub.sent_one("10.0.0.12");
                assert_eq!(view(&sent).header().hop_count, left);
            }
            None => assert_eq!(complaint(&mut hub, "10.0.0.11"), Some(ErrorCode::HOP_COUNT)),
        }
    }
    assert_eq!(hub.dropped(DropReason::HopCount), 1);
}

#[test]
fn loops() {
    let mut hub = passing();
    hub.receive("10.0.0.11", &question().octets());
    let passed = hub.sent_one("10.0.0.12");
    // It comes back, from whomever.
    for from in ["10.0.0.11", "10.0.0.12", "10.0.0.66"] {
        hub.receive(from, &passed);
        assert_eq!(complaint(&mut hub, from), Some(ErrorCode::LOOP));
    }
    // A reply that has passed us.
    let mut reply = question();
    reply.header.kind = Kind::ResolutionReply;
    reply.cies[0].nbma = Some(ip("10.0.0.12"));
    hub.receive("10.0.0.12", &reply.octets());
    let passed = hub.sent_one("10.0.0.11");
    hub.receive("10.0.0.12", &passed);
    assert_eq!(complaint(&mut hub, "10.0.0.12"), Some(ErrorCode::LOOP));
    assert_eq!(hub.dropped(DropReason::Loop), 4);
    // One in our own name.
    let mut own = question();
    own.header.src_protocol = ip("10.255.0.1");
    hub.receive("10.0.0.66", &own.octets());
    assert_eq!(hub.dropped(DropReason::Source), 1);
    assert!(hub.sent().is_empty());
}

#[test]
fn nowhere_to_go() {
    let mut hub = passing();
    // No route; a next hop that is not registered; back to the asker.
    for destination in ["172.16.0.1", "192.168.9.1", "192.168.1.9", "224.0.0.5"] {
        let mut request = question();
        request.header.dst_protocol = ip(destination);
        hub.receive("10.0.0.11", &request.octets());
        let reply = hub.sent_one("10.0.0.11");
        let reply = view(&reply);
        let codes = reply.cies().map(|cie| (cie.code, cie.holding_time)).collect::<Vec<_>>();
        assert_eq!((reply.kind(), codes), (Kind::ResolutionReply, vec![(Code::NO_BINDING, 0)]));
        assert_eq!(reply.header().dst_protocol, ip(destination));
    }
    assert_eq!(hub.dropped(DropReason::NoRoute), 4);
    let mut reply = question();
    reply.header.kind = Kind::ResolutionReply;
    reply.header.src_protocol = ip("10.255.0.66");
    hub.receive("10.0.0.12", &reply.octets());
    assert_eq!(complaint(&mut hub, "10.0.0.12"), Some(ErrorCode::UNREACHABLE));
}

/// A password is of one hop; an unknown compulsory extension keeps us out of the record.
#[test]
fn extensions_on_the_way() {
    let mut hub = passing();
    let request = Request { extension: Some(Tag::compulsory(99)), ..question() };
    hub.receive("10.0.0.11", &request.octets());
    let sent = hub.sent_one("10.0.0.12");
    let passed = view(&sent);
    assert_eq!(passed.extension(Tag::FORWARD_RECORD).unwrap().cies().count(), 0);
    assert_eq!(passed.extension(99).unwrap().value, b"what is it");
    // The egress has to know it.
    let mut two = Site::new(config("10.255.0.12/24", "10.0.0.12"));
    two.routes.0 = vec![("192.168.2.0/24", Via::Local)];
    two.receive("10.0.0.1", &sent);
    assert_eq!(complaint(&mut two, "10.0.0.1"), Some(ErrorCode::UNRECOGNIZED_EXTENSION));

    let secret = Some(Secret::new(b"labpass1").unwrap());
    let locked = Config { authentication: secret, ..hub.nhrp.config.clone() };
    hub.nhrp.configure(hub.now, locked, &mut hub.actions).unwrap();
    hub.receive("10.0.0.11", &Request { password: Some(b"labpass1"), ..question() }.octets());
    let sent = hub.sent_one("10.0.0.12");
    let passed = view(&sent);
    let said = passed.extension(Tag::AUTHENTICATION).unwrap();
    assert_eq!(said.authentication().unwrap().data, b"labpass1");
    // Without a password of ours that of others goes no further.
    hub.nhrp.configure(hub.now, super::hub(), &mut hub.actions).unwrap();
    hub.receive("10.0.0.11", &Request { password: Some(b"labpass1"), ..question() }.octets());
    let sent = hub.sent_one("10.0.0.12");
    assert!(view(&sent).extension(Tag::AUTHENTICATION).is_none());
}

#[test]
fn a_packet_that_grows_too_large() {
    let mut hub = passing();
    let mut request = question();
    let cie = Cie { protocol: Some(ip("10.255.0.11")), ..request.cies[0] };
    request.cies = vec![cie; 32];
    let mut out = vec![0; 2000];
    let mut builder = Builder::new(&mut out, &request.header).unwrap();
    request.cies.iter().for_each(|cie| builder.cie(cie).unwrap());
    builder.extension(Tag::compulsory(Tag::FORWARD_RECORD), &[]).unwrap();
    builder.extension(Tag::optional(Tag::VENDOR), &[7; 710]).unwrap();
    let len = builder.finish().unwrap();
    assert!(len <= 1280);
    hub.receive("10.0.0.11", &out[..len]);
    assert_eq!(complaint(&mut hub, "10.0.0.11"), Some(ErrorCode::SDU_SIZE));
    assert_eq!(hub.dropped(DropReason::TooLarge), 1);
}

#[test]
fn a_purge_in_the_name_of_another_is_not_passed_on() {
    let mut hub = passing();
    let mut purge = Request::purge("10.255.0.11", "10.0.0.11");
    purge.header.hop_count = 64;
    purge.header.dst_protocol = ip("10.255.0.12");
    hub.receive("10.0.0.66", &purge.octets());
    assert_eq!(hub.dropped(DropReason::ThirdParty), 1);
    assert!(hub.sent().is_empty());
    hub.receive("10.0.0.11", &purge.octets());
    assert_eq!(view(&hub.sent_one("10.0.0.12")).header().hop_count, 63);
    let mut reply = purge;
    reply.header.kind = Kind::PurgeReply;
    hub.receive("10.0.0.12", &reply.octets());
    assert_eq!(view(&hub.sent_one("10.0.0.11")).kind(), Kind::PurgeReply);
}

/// ```text
/// one > hub > other hub > egress      Resolution Request
/// egress > other hub > hub > one      Resolution Reply
/// ```
/// Each hub knows its own spokes, and the other hub; the other one is registered with the first.
#[test]
fn from_hub_to_hub_and_back() {
    let mut first = passing();
    first.receive("10.0.0.2", &Request::registration("10.255.0.2", "10.0.0.2").octets());
    first.routes.0.insert(0, ("192.168.7.0/24", Via::Peer("10.255.0.2")));
    first.routes.0.push(("10.255.0.0/24", Via::Connected));
    let mut second =
        Site::new(Config { servers: vec![nhs("10.0.0.1")], ..config("10.255.0.2/24", "10.0.0.2") });
    second.poll();
    let request = second.sent_one("10.0.0.1");
    first.actions.clear();
    first.receive("10.0.0.2", &request);
    second.receive("10.0.0.1", &first.sent_one("10.0.0.2"));
    let mut registration = Request::registration("10.255.0.17", "10.0.0.17");
    registration.header.dst_protocol = ip("10.255.0.2");
    second.receive("10.0.0.17", &registration.octets());
    second.routes.0 = vec![
        ("192.168.7.0/24", Via::Peer("10.255.0.17")),
        ("10.255.0.0/24", Via::Connected),
        ("0.0.0.0/0", Via::Peer("10.255.0.1")),
    ];
    second.actions.clear();

    let mut request = question();
    request.header.dst_protocol = ip("192.168.7.1");
    first.receive("10.0.0.11", &request.octets());
    second.receive("10.0.0.1", &first.sent_one("10.0.0.2"));
    let mut egress = Site::new(config("10.255.0.17/24", "10.0.0.17"));
    egress.routes.0 = vec![("192.168.7.0/24", Via::Local)];
    egress.receive("10.0.0.2", &second.sent_one("10.0.0.17"));
    second.receive("10.0.0.17", &egress.sent_one("10.0.0.2"));
    first.receive("10.0.0.2", &second.sent_one("10.0.0.1"));
    let reply = first.sent_one("10.0.0.11");
    assert_eq!(view(&reply).cies().next().unwrap().nbma, Some(ip("10.0.0.17")));

    // The other way round, the first hub knows who asked by the record alone.
    let mut request = Request::registration("10.255.0.17", "10.0.0.17");
    request.header = Header { kind: Kind::ResolutionRequest, hop_count: 64, ..request.header };
    request.header.dst_protocol = ip("192.168.2.1");
    second.receive("10.0.0.17", &request.octets());
    first.receive("10.0.0.2", &second.sent_one("10.0.0.1"));
    let mut egress = Site::new(config("10.255.0.12/24", "10.0.0.12"));
    egress.routes.0 = vec![("192.168.2.0/24", Via::Local)];
    egress.receive("10.0.0.1", &first.sent_one("10.0.0.12"));
    first.receive("10.0.0.12", &egress.sent_one("10.0.0.1"));
    second.receive("10.0.0.1", &first.sent_one("10.0.0.2"));
    second.sent_one("10.0.0.17");
}
