//! What strangers try about shortcuts.

use super::*;

/// The answer to a question of the first spoke's for 192.168.2.1, changed.
fn answer(net: &mut Net, change: impl Fn(&mut Request)) {
    let one = &mut net.sites[ONE];
    one.nhrp.resolve(one.now, ip("192.168.2.1"), &one.routes, &mut one.actions);
    let question = one.sent_one("10.0.0.1");
    let mut reply = Request {
        header: Header { kind: Kind::ResolutionReply, ..view(&question).header() },
        cies: vec![Cie {
            prefix_len: 24,
            holding_time: 60,
            nbma: Some(ip("10.0.0.12")),
            protocol: Some(ip("10.255.0.12")),
            ..Cie::default()
        }],
        password: None,
        extension: None,
    };
    change(&mut reply);
    one.receive("10.0.0.1", &reply.octets());
}

#[test]
fn answers_for_too_much() {
    let told = |prefix_len, nbma: &str| {
        let mut net = Net::new(false);
        answer(&mut net, |reply| {
            reply.cies[0].prefix_len = prefix_len;
            reply.cies[0].nbma = Some(ip(nbma));
        });
        net.shortcuts(ONE)[0].prefix
    };
    assert_eq!(told(24, "10.0.0.12"), prefix("192.168.2.0/24"));
    // All, by a length of 1; the egress itself; 0 and 255 are a host.
    for (prefix_len, nbma) in [(0, "10.0.0.12"), (255, "10.0.0.12"), (24, "192.168.2.9")] {
        assert_eq!(told(prefix_len, nbma), prefix("192.168.2.1/32"), "{prefix_len} {nbma}");
    }
    assert_eq!(told(33, "10.0.0.12"), prefix("192.168.2.1/32"));
    // No more than our own route.
    let mut net = Net::new(false);
    net.sites[ONE].routes.0.insert(0, ("192.168.2.0/23", Via::Peer("10.255.0.1")));
    answer(&mut net, |reply| reply.cies[0].prefix_len = 1);
    assert_eq!(net.shortcuts(ONE)[0].prefix, prefix("192.168.2.0/23"));
}

#[test]
fn answers_that_cover_the_underlay() {
    let mut net = Net::new(false);
    let one = &mut net.sites[ONE];
    one.nhrp.resolve(one.now, ip("10.7.7.7"), &one.routes, &mut one.actions);
    let question = one.sent_one("10.0.0.1");
    let header = Header { kind: Kind::ResolutionReply, ..view(&question).header() };
    let cie = Cie {
        prefix_len: 8, // the tunnel, the hub, and the underlay are in it
        holding_time: 60,
        nbma: Some(ip("10.0.0.12")),
        protocol: Some(ip("10.255.0.12")),
        ..Cie::default()
    };
    let reply = Request { header, cies: vec![cie], password: None, extension: None };
    one.receive("10.0.0.1", &reply.octets());
    assert_eq!(net.shortcuts(ONE)[0].prefix, prefix("10.7.7.7/32"));
}

#[test]
fn answers_that_are_none() {
    let refused = |reason, change: &dyn Fn(&mut Request)| {
        let mut net = Net::new(false);
        answer(&mut net, change);
        assert!(net.shortcuts(ONE).is_empty());
        assert_eq!(net.sites[ONE].dropped(reason), 1, "{reason:?}");
    };
    refused(DropReason::Unsolicited, &|reply| reply.header.request_id ^= 1);
    refused(DropReason::Unsolicited, &|reply| reply.header.dst_protocol = ip("192.168.2.2"));
    refused(DropReason::NotForUs, &|reply| reply.header.src_nbma = ip("10.0.0.12"));
    for next_hop in ["10.255.0.11", "0.0.0.0", "224.0.0.5", "255.255.255.255", "127.0.0.1"] {
        refused(DropReason::Source, &|reply| reply.cies[0].protocol = Some(ip(next_hop)));
    }
    for nbma in ["10.0.0.11", "0.0.0.0", "224.0.0.5", "127.0.0.1", "10.255.0.12"] {
        refused(DropReason::Source, &|reply| reply.cies[0].nbma = Some(ip(nbma)));
    }
    refused(DropReason::Source, &|reply| reply.cies[0].nbma = None);
    refused(DropReason::Extension, &|reply| reply.extension = Some(Tag::compulsory(99)));
    // Replayed.
    let mut net = Net::new(false);
    answer(&mut net, |_| ());
    let before = net.shortcuts(ONE);
    let mut reply = Request::registration("10.255.0.11", "10.0.0.11");
    reply.header.kind = Kind::ResolutionReply;
    reply.header.dst_protocol = ip("192.168.2.1");
    net.sites[ONE].receive("10.0.0.1", &reply.octets());
    assert_eq!(net.sites[ONE].dropped(DropReason::Unsolicited), 1);
    assert_eq!(net.shortcuts(ONE), before);
}

/// An answer about the hub's own address changes nothing about the hub.
#[test]
fn an_answer_does_not_move_a_server() {
    let mut net = Net::new(false);
    let hub = net.sites[ONE].binding("10.255.0.1");
    answer(&mut net, |reply| {
        reply.cies[0].protocol = Some(ip("10.255.0.1"));
        reply.cies[0].nbma = Some(ip("10.0.0.66"));
    });
    assert_eq!(net.sites[ONE].binding("10.255.0.1"), hub);
    assert!(net.shortcuts(ONE).is_empty());
}

fn indication(source: &str, quoted: &[u8]) -> Vec<u8> {
    let mut header = Request::registration(source, "10.0.0.1").header;
    header.kind = Kind::TrafficIndication;
    let mut out = [0; 256];
    let mut builder = Builder::new(&mut out, &header).unwrap();
    builder.quote(quoted).unwrap();
    let len = builder.finish().unwrap();
    out[..len].to_vec()
}

#[test]
fn indications() {
    let mut net = Net::new(false);
    let one = &mut net.sites[ONE];
    let good = head("192.168.1.1", "192.168.2.1");
    // From nobody we know; by somebody else; a broken packet; a packet of others; to a group;
    // to what is not behind the hub.
    one.receive("10.0.0.66", &indication("10.255.0.66", &good));
    one.receive("10.0.0.66", &indication("10.255.0.1", &good));
    assert_eq!(one.dropped(DropReason::Source), 2);
    let broken = [&good[..19], &[][..], &[0x75; 40][..], &[0x60; 39][..]];
    let others = [
        head("192.168.7.1", "192.168.2.1"),
        head("192.168.1.1", "224.0.0.5"),
        head("192.168.1.1", "192.168.1.2"),
        head("192.168.1.1", "10.255.0.12"),
    ];
    for quoted in broken.into_iter().chain(others.iter().map(Vec::as_slice)) {
        one.receive("10.0.0.1", &indication("10.255.0.1", quoted));
    }
    assert_eq!(one.dropped(DropReason::Indication), 8);
    assert!(one.sent().is_empty());
    // A hub does not ask.
    net.sites[HUB].receive("10.0.0.11", &indication("10.255.0.11", &good));
    assert_eq!(net.sites[HUB].dropped(DropReason::Kind), 1);
}

#[test]
fn indications_for_many_destinations() {
    let mut net = Net::new(false);
    let one = &mut net.sites[ONE];
    for at in 0..20_000_u32 {
        let destination = IpAddr::from((0xAC10_0000 + at).to_be_bytes()).to_string();
        let quoted = head("192.168.1.1", &destination);
        one.receive("10.0.0.1", &indication("10.255.0.1", &quoted));
    }
    assert_eq!(one.sent().len(), 1024);
    assert_eq!(one.dropped(DropReason::Full), 20_000 - 1024);
    // They are forgotten in time.
    one.pass(s(100));
    assert_eq!(one.nhrp.questions.len(), 0);
}

#[test]
fn samples_that_are_no_reason_to_redirect() {
    let mut net = Net::new(false);
    for (source, destination, from) in [
        ("192.168.1.1", "224.0.0.5", "10.0.0.11"),
        ("192.168.1.1", "192.168.1.2", "10.0.0.11"), // back to where it came from
        ("192.168.1.1", "192.168.0.1", "10.0.0.11"), // to the hub's network
        ("192.168.2.1", "192.168.1.1", "10.0.0.11"), // not behind this peer
        ("192.168.1.1", "192.168.2.1", "10.0.0.66"), // an unknown peer
        ("192.168.1.1", "172.16.0.1", "10.0.0.11"),  // no route
    ] {
        net.packet(source, destination, from);
    }
    assert!(net.sites[HUB].actions.is_empty());
}

#[test]
fn purges_of_shortcuts() {
    let mut net = Net::with_shortcut();
    let one = &mut net.sites[ONE];
    let mut purge = Request::purge("10.255.0.12", "10.0.0.12");
    purge.header.dst_protocol = ip("10.255.0.11");
    purge.cies[0].protocol = Some(ip("192.168.2.0"));
    purge.cies[0].prefix_len = 24;
    // By a stranger; in the name of a stranger; of nearly everything.
    one.receive("10.0.0.66", &purge.octets());
    let mut wide = purge.clone();
    wide.cies[0].prefix_len = 1;
    one.receive("10.0.0.12", &wide.octets());
    wide.cies[0] = Cie { prefix_len: 0, protocol: Some(ip("0.0.0.0")), ..wide.cies[0] };
    one.receive("10.0.0.12", &wide.octets());
    assert_eq!(one.dropped(DropReason::ThirdParty), 3);
    let mut other = purge.clone();
    other.header.src_protocol = ip("10.255.0.66");
    one.receive("10.0.0.66", &other.octets());
    assert_eq!(net.shortcuts(ONE).len(), 1);
    let one = &mut net.sites[ONE];
    one.receive("10.0.0.12", &purge.octets());
    assert!(net.shortcuts(ONE).is_empty());
}

/// Of many answers that are taken back at once, some are waited for; the others are told once.
#[test]
fn many_answers_are_taken_back() {
    let mut net = Net::new(false);
    let two = &mut net.sites[TWO];
    for at in 0..1500_u32 {
        let asker = IpAddr::from((0x0A80_0001 + at).to_be_bytes()).to_string();
        let mut question = Request::registration(&asker, "10.0.0.66");
        question.header.kind = Kind::ResolutionRequest;
        question.header.dst_protocol = ip("192.168.2.1");
        two.receive("10.0.0.1", &question.octets());
    }
    two.actions.clear();
    net.route_changed(TWO, vec![]);
    let two = &mut net.sites[TWO];
    let purges = two.sent();
    let once = purges.iter().filter(|(_, octets)| {
        let header = view(octets).header();
        header.flags.contains(Flags::NO_REPLY)
    });
    assert_eq!((purges.len(), once.count()), (1500, 1500 - 1024));
    two.pass(s(10));
    let again = two.sent();
    let again = again.iter().filter(|(_, octets)| view(octets).kind() == Kind::PurgeRequest);
    assert_eq!(again.count(), 2 * 1024);
    assert_eq!(two.nhrp.recalls.len(), 0);
}

/// Packets of a whole exchange with octets changed, and a good checksum, to everybody: nothing
/// panics, and nothing is sent without end.
#[test]
fn octets_changed_anywhere() {
    let mut net = Net::new(false);
    let mut random = crate::random::Random::new(1);
    let one = &mut net.sites[ONE];
    one.nhrp.resolve(one.now, ip("192.168.2.1"), &one.routes, &mut one.actions);
    let question = one.sent_one("10.0.0.1");
    let mut reply = question_answer();
    reply.header = Header { kind: Kind::ResolutionReply, ..view(&question).header() };
    let good = [
        question,
        reply.octets(),
        Request::registration("10.255.0.11", "10.0.0.11").octets(),
        Request::purge("10.255.0.12", "10.0.0.12").octets(),
        indication("10.255.0.1", &head("192.168.1.1", "192.168.2.1")),
    ];
    for round in 0..20_000_usize {
        let mut octets = good[round % good.len()].clone();
        for _ in 0..=random.next() % 3 {
            let at = random.next() as usize % octets.len();
            octets[at] = random.next().to_be_bytes()[0];
        }
        let size = usize::from(u16::from_be_bytes([octets[10], octets[11]])).min(octets.len());
        octets[12..14].fill(0);
        let sum = wire::checksum::of(&octets[..size]);
        octets[12..14].copy_from_slice(&sum.to_be_bytes());
        for site in &mut net.sites {
            for from in ["10.0.0.1", "10.0.0.11", "10.0.0.12"] {
                site.receive(from, &octets);
            }
            assert!(site.sent().len() <= 3, "an answer to each at most");
            site.actions.clear();
        }
    }
    let counters = net.sites[HUB].nhrp.counters();
    for kind in [Kind::RegistrationRequest, Kind::ResolutionReply, Kind::TrafficIndication] {
        assert!(counters.received(kind) > 1000, "too few are well-formed: {kind}");
    }
    net.sites.iter_mut().for_each(|site| site.pass(s(70_000)));
    assert_eq!(net.sites[HUB].nhrp.bindings().count(), 0);
}

fn question_answer() -> Request {
    let mut reply = Request::registration("10.255.0.11", "10.0.0.11");
    reply.header.kind = Kind::ResolutionReply;
    reply.cies[0].nbma = Some(ip("10.0.0.12"));
    reply.cies[0].protocol = Some(ip("10.255.0.12"));
    reply
}
