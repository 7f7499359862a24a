//! Several spokes behind one NAT, which differ by their UDP ports alone.

use super::*;

/// The outer address of the NAT, as spokes outside of it are told.
const NAT: &str = "203.0.113.9";
/// Three peers: two behind the NAT, and one outside.
const PEERS: [(&str, &str, &str); 3] = [
    ("10.255.0.11", "192.168.7.2", "203.0.113.9"),
    ("10.255.0.12", "192.168.7.3", "203.0.113.9:61002"),
    ("10.255.0.13", "198.51.100.3", "198.51.100.3"),
];

/// What a spoke knows of the address of the NAT.
struct Outside {
    /// There is more than one way to it.
    shared: bool,
}

impl Overlay for Outside {
    fn route(&self, _: IpAddr) -> Option<Route> {
        Some(Route::Tunnel { prefix: "10.0.0.0/8".parse().unwrap(), next_hop: ip("10.255.0.1") })
    }

    fn may_claim(&self, _: Path, _: IpAddr) -> bool {
        true
    }

    fn may_be_nbma(&self, _: IpAddr) -> bool {
        true
    }

    fn path_to(&self, nbma: IpAddr) -> Option<Path> {
        (!self.shared || nbma != ip(NAT)).then_some(nbma.into())
    }
}

/// A hub with all peers.
fn hub_of_all() -> Site {
    let mut hub = Site::new(hub());
    for (protocol, claimed, from) in PEERS {
        hub.receive(from, &Request::registration(protocol, claimed).unique().octets());
        let reply = hub.sent_one(from);
        assert_eq!(view(&reply).cies().next().unwrap().code, Code::OK, "{protocol}");
    }
    hub.events();
    hub
}

#[test]
fn each_has_a_binding_of_its_own() {
    let hub = hub_of_all();
    for (protocol, claimed, from) in PEERS {
        let binding = hub.binding(protocol).unwrap();
        assert_eq!((binding.path, binding.nbma), (path(from), path(from).nbma));
        let inside = Some(ip(claimed)).filter(|&inside| inside != binding.nbma);
        assert_eq!(binding.claimed, inside);
    }
}

#[test]
fn what_is_passed_on_reaches_the_one_that_is_meant() {
    let mut hub = hub_of_all();
    hub.routes = Routes(vec![("10.255.0.0/24", Via::Connected)]);
    for (protocol, _, to) in &PEERS[..2] {
        let mut question = Request::registration(PEERS[2].0, PEERS[2].1);
        question.header = Header {
            kind: Kind::ResolutionRequest,
            hop_count: 64,
            dst_protocol: ip(protocol),
            ..question.header
        };
        hub.receive(PEERS[2].2, &question.octets());
        hub.sent_one(to);
    }
}

#[test]
fn one_does_not_move_or_purge_the_other() {
    let mut hub = hub_of_all();
    let (victim, _, of_victim) = PEERS[0];
    let (_, thief, of_thief) = PEERS[1];
    hub.receive(of_thief, &Request::registration(victim, thief).octets());
    let reply = hub.sent_one(of_thief);
    assert_eq!(view(&reply).cies().next().unwrap().code, Code::ALREADY_REGISTERED);
    hub.receive(of_thief, &Request::purge(victim, thief).octets());
    assert_eq!(hub.dropped(DropReason::ThirdParty), 1);
    assert_eq!(hub.binding(victim).unwrap().path, path(of_victim));
    hub.receive(of_victim, &Request::purge(victim, PEERS[0].1).octets());
    assert!(hub.binding(victim).is_none());
    assert!(hub.binding(PEERS[1].0).is_some());
}

/// A spoke that is registered with the hub and has asked for 10.12.0.9; the id of its question.
fn asking(outside: Option<&str>) -> (Site, u32) {
    let mut spoke = Site::new(Config { shortcut: true, ..spoke() });
    spoke.poll();
    let request = spoke.sent_one("10.0.0.1");
    let mut hub = Site::new(hub());
    hub.receive(outside.unwrap_or("10.0.0.11"), &request);
    let (_, reply) = hub.sent().remove(0);
    spoke.receive("10.0.0.1", &reply);
    let (now, out) = (spoke.now, &mut spoke.actions);
    spoke.nhrp.resolve(now, ip("10.12.0.9"), &Outside { shared: true }, out);
    let question = spoke.sent_one("10.0.0.1");
    spoke.events();
    let id = view(&question).header().request_id;
    (spoke, id)
}

/// The answer of the second spoke behind the NAT, which comes by the hub or direct.
fn answer(spoke: &mut Site, id: u32, from: &str, shared: bool) {
    let mut reply = Request::registration("10.255.0.11", "10.0.0.11");
    reply.header = Header {
        kind: Kind::ResolutionReply,
        request_id: id,
        dst_protocol: ip("10.12.0.9"),
        ..reply.header
    };
    let cie = Cie { nbma: Some(ip(NAT)), protocol: Some(ip("10.255.0.12")), ..reply.cies[0] };
    reply.cies = vec![Cie { prefix_len: 24, ..cie }];
    let (now, out) = (spoke.now, &mut spoke.actions);
    spoke.nhrp.receive(now, path(from), &reply.octets(), &Outside { shared }, out);
}

#[test]
fn an_address_of_several_is_no_way_to_one() {
    let (mut spoke, id) = asking(None);
    answer(&mut spoke, id, "10.0.0.1", true);
    let destination = ip("10.12.0.9");
    assert_eq!(spoke.events(), [Event::Unresolved { destination, code: Some(Code::OK) }]);
    assert!(spoke.binding("10.255.0.12").is_none(), "packets go by the hub");
}

#[test]
fn who_answers_direct_is_known_by_it() {
    let (mut spoke, id) = asking(None);
    answer(&mut spoke, id, PEERS[1].2, true);
    assert_eq!(spoke.binding("10.255.0.12").unwrap().path, path(PEERS[1].2));
    assert_eq!(spoke.nhrp.shortcuts().next().unwrap().path, path(PEERS[1].2));
}

#[test]
fn who_is_behind_our_own_nat_is_not_reached_by_it() {
    let (mut spoke, id) = asking(Some(NAT));
    answer(&mut spoke, id, "10.0.0.1", false);
    let destination = ip("10.12.0.9");
    assert_eq!(spoke.events(), [Event::Unresolved { destination, code: Some(Code::OK) }]);
}
