//! Scenes of a hub and two spokes: redirect, resolution, shortcut, purge.

mod hostile;

use super::*;
use wire::{IpProto, ip4};

const HUB: usize = 0;
const ONE: usize = 1;
const TWO: usize = 2;

/// A hub and two spokes with networks behind them, and a wire that loses nothing.
struct Net {
    sites: [Site; 3],
    /// What went over the wire: from whom, to whom, what.
    seen: Vec<(usize, usize, Kind)>,
}

impl Net {
    /// All registered; spokes have a default route to the hub.
    fn new(protected: bool) -> Self {
        let hub = Config { redirect: true, ..hub() };
        let spoke = |at: u8| Config {
            servers: vec![nhs("10.0.0.1")],
            shortcut: true,
            protected,
            ..config(&format!("10.255.0.1{at}/24"), &format!("10.0.0.1{at}"))
        };
        let mut net = Self { sites: [hub, spoke(1), spoke(2)].map(Site::new), seen: Vec::new() };
        let now = net.sites[TWO].now;
        net.sites.iter_mut().for_each(|site| site.now = now);
        let connected = ("10.255.0.0/24", Via::Connected);
        let hub = ("0.0.0.0/0", Via::Peer("10.255.0.1"));
        net.sites[HUB].routes.0 = vec![
            connected,
            ("192.168.0.0/24", Via::Local),
            ("192.168.1.0/24", Via::Peer("10.255.0.11")),
            ("192.168.2.0/24", Via::Peer("10.255.0.12")),
        ];
        net.sites[ONE].routes.0 = vec![connected, ("192.168.1.0/24", Via::Local), hub];
        net.sites[TWO].routes.0 = vec![connected, ("192.168.2.0/24", Via::Local), hub];
        net.sites.iter_mut().for_each(Site::poll);
        net.deliver();
        assert_eq!(net.sites[HUB].nhrp.bindings().count(), 2);
        net.clear();
        net
    }

    fn clear(&mut self) {
        self.seen.clear();
        self.sites.iter_mut().for_each(|site| site.actions.clear());
    }

    fn nbma(at: usize) -> &'static str {
        ["10.0.0.1", "10.0.0.11", "10.0.0.12"][at]
    }

    /// Brings packets to where they go until there are none.
    fn deliver(&mut self) {
        loop {
            let mut sent = Vec::new();
            for (from, site) in self.sites.iter_mut().enumerate() {
                sent.extend(site.sent().into_iter().map(|(to, octets)| (from, to, octets)));
            }
            if sent.is_empty() {
                return;
            }
            assert!(self.seen.len() < 1000, "packets without end");
            for (from, to, octets) in sent {
                let to = (0..3).find(|&at| path(Self::nbma(at)) == to).unwrap();
                self.seen.push((from, to, view(&octets).kind()));
                self.sites[to].receive(Self::nbma(from), &octets);
            }
        }
    }

    /// Lets time pass at all sites, in steps of a second.
    fn pass(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.sites.iter_mut().for_each(|site| site.pass(s(1)));
            self.deliver();
        }
    }

    /// A packet from one network to another passes the hub.
    fn packet(&mut self, source: &str, destination: &str, from: &str) {
        let hub = &mut self.sites[HUB];
        let head = head(source, destination);
        hub.nhrp.sample(hub.now, &head, path(from), &hub.routes, &mut hub.actions);
    }

    fn shortcuts(&self, at: usize) -> Vec<Shortcut> {
        self.sites[at].nhrp.shortcuts().copied().collect()
    }

    fn route_changed(&mut self, at: usize, routes: Vec<(&'static str, Via)>) {
        let site = &mut self.sites[at];
        site.routes.0 = routes;
        site.nhrp.routes_changed(site.now, &site.routes, &mut site.actions);
    }

    /// With a shortcut from the first spoke to the network of the second.
    fn with_shortcut() -> Self {
        let mut net = Self::new(false);
        net.packet("192.168.1.1", "192.168.2.1", "10.0.0.11");
        net.deliver();
        assert_eq!(net.shortcuts(ONE).len(), 1);
        net.clear();
        net
    }
}

/// The first octets of a packet.
fn head(source: &str, destination: &str) -> Vec<u8> {
    let (IpAddr::V4(source), IpAddr::V4(destination)) = (ip(source), ip(destination)) else {
        panic!("IPv4");
    };
    let mut head = vec![0; 84];
    ip4::Repr::new(source, destination, IpProto::ICMP, 64).emit(&mut head).unwrap();
    head
}

fn prefix(text: &str) -> IpPrefix {
    text.parse().unwrap()
}

#[test]
fn a_redirect_leads_to_a_shortcut() {
    let mut net = Net::new(false);
    net.packet("192.168.1.1", "192.168.2.1", "10.0.0.11");
    net.deliver();
    // hub > one: indication; one > hub > two: request; two > hub > one: reply
    assert_eq!(
        net.seen,
        [
            (HUB, ONE, Kind::TrafficIndication),
            (ONE, HUB, Kind::ResolutionRequest),
            (HUB, TWO, Kind::ResolutionRequest),
            (TWO, HUB, Kind::ResolutionReply),
            (HUB, ONE, Kind::ResolutionReply),
        ]
    );
    let shortcut = Shortcut {
        prefix: prefix("192.168.2.0/24"),
        next_hop: ip("10.255.0.12"),
        path: path("10.0.0.12"),
        expires: net.sites[ONE].now + s(60),
    };
    assert_eq!(net.shortcuts(ONE), [shortcut]);
    let peer = net.sites[ONE].binding("10.255.0.12").unwrap();
    assert_eq!(net.sites[ONE].actions, [Action::Install(peer), Action::InstallShortcut(shortcut)]);
    // The same networks again: the peer was told lately.
    net.clear();
    net.packet("192.168.1.7", "192.168.2.9", "10.0.0.11");
    assert!(net.sites[HUB].actions.is_empty());
    // After a while it is told again, and knows already.
    net.pass(9);
    net.clear();
    net.packet("192.168.1.1", "192.168.2.1", "10.0.0.11");
    net.deliver();
    assert_eq!(net.seen, [(HUB, ONE, Kind::TrafficIndication)]);
}

#[test]
fn a_shortcut_waits_for_its_peer() {
    let mut net = Net::new(true);
    net.packet("192.168.1.1", "192.168.2.1", "10.0.0.11");
    net.deliver();
    let one = &mut net.sites[ONE];
    let installs = |actions: &[Action]| {
        actions.iter().filter(|action| matches!(action, Action::InstallShortcut(_))).count()
    };
    assert_eq!((one.nhrp.shortcuts.len(), one.nhrp.shortcuts().count()), (1, 0));
    assert_eq!(installs(&one.actions), 0);
    one.nhrp.peer_state(one.now, path("10.0.0.12"), true, &mut one.actions);
    assert_eq!(installs(&one.actions), 1);
    one.actions.clear();
    one.nhrp.peer_state(one.now, path("10.0.0.12"), true, &mut one.actions);
    assert!(one.actions.is_empty());
    one.nhrp.peer_state(one.now, path("10.0.0.12"), false, &mut one.actions);
    assert_eq!(one.actions, [Action::RemoveShortcut { prefix: prefix("192.168.2.0/24") }]);
}

#[test]
fn an_idle_shortcut_ends() {
    let mut net = Net::with_shortcut();
    net.pass(59);
    assert_eq!(net.shortcuts(ONE).len(), 1);
    assert!(!net.seen.iter().any(|(.., kind)| *kind == Kind::ResolutionRequest));
    net.sites[ONE].actions.clear();
    net.pass(1);
    let gone = Action::RemoveShortcut { prefix: prefix("192.168.2.0/24") };
    assert_eq!(net.sites[ONE].actions, [gone, Action::Remove { protocol: ip("10.255.0.12") }]);
}

#[test]
fn a_used_shortcut_is_renewed() {
    let mut net = Net::with_shortcut();
    net.pass(30);
    let one = &mut net.sites[ONE];
    let network = prefix("192.168.2.0/24");
    one.nhrp.used(one.now, network, &one.routes, &mut one.actions);
    assert!(one.sent().is_empty(), "too early");
    one.actions.clear();
    net.pass(20);
    assert_eq!(net.shortcuts(ONE)[0].expires, net.sites[ONE].now + s(50), "renewed after 40 s");
    assert!(net.sites[ONE].actions.is_empty(), "nothing changed but the end");
    // Used only late: it is asked for at once.
    net.pass(45);
    net.clear();
    let one = &mut net.sites[ONE];
    one.nhrp.used(one.now, network, &one.routes, &mut one.actions);
    net.deliver();
    assert_eq!(net.shortcuts(ONE)[0].expires, net.sites[ONE].now + s(60));
}

#[test]
fn an_egress_takes_its_answer_back() {
    let mut net = Net::with_shortcut();
    let routes = vec![("0.0.0.0/0", Via::Peer("10.255.0.1"))];
    net.route_changed(TWO, routes);
    net.deliver();
    assert_eq!(
        net.seen,
        [
            (TWO, HUB, Kind::PurgeRequest),
            (HUB, ONE, Kind::PurgeRequest),
            (ONE, HUB, Kind::PurgeReply),
            (HUB, TWO, Kind::PurgeReply),
        ]
    );
    assert!(net.shortcuts(ONE).is_empty());
    let gone = Action::RemoveShortcut { prefix: prefix("192.168.2.0/24") };
    assert_eq!(net.sites[ONE].actions, [gone]);
    // It is answered: no more of it.
    net.clear();
    net.pass(10);
    assert!(net.seen.is_empty());
}

/// The first packets are lost; FRR answers none.
#[test]
fn an_answer_is_taken_back_three_times_at_most() {
    let mut net = Net::with_shortcut();
    let routes = vec![("0.0.0.0/0", Via::Peer("10.255.0.1"))];
    net.route_changed(TWO, routes.clone());
    let two = &mut net.sites[TWO];
    let start = two.now;
    let mut sent = Vec::new();
    for _ in 0..10 {
        let purges = two.sent().into_iter().map(|(_, octets)| octets);
        let purges = purges.filter(|octets| view(octets).kind() == Kind::PurgeRequest);
        sent.extend(purges.map(|octets| (two.now - start, octets)));
        two.pass(s(1));
    }
    let times = sent.iter().map(|(at, _)| at.as_secs()).collect::<Vec<_>>();
    assert_eq!(times, [0, 1, 3]);
    assert!(sent.iter().all(|(_, octets)| *octets == sent[0].1), "the same request");
    assert!(!view(&sent[0].1).header().flags.contains(Flags::NO_REPLY));

    // The route returns and is asked for again: the purge of the answer before would undo it.
    let mut net = Net::with_shortcut();
    let before = net.sites[TWO].routes.0.clone();
    net.route_changed(TWO, routes);
    net.sites[TWO].sent();
    net.route_changed(TWO, before);
    let one = &mut net.sites[ONE];
    let expires = one.now + s(60);
    one.nhrp.used(expires - s(1), prefix("192.168.2.0/24"), &one.routes, &mut one.actions);
    net.deliver();
    net.pass(10);
    assert_eq!(net.shortcuts(ONE).len(), 1);
}

#[test]
fn a_purge_reply_that_nobody_waits_for() {
    let mut net = Net::with_shortcut();
    net.route_changed(TWO, vec![]);
    let two = &mut net.sites[TWO];
    let purge = two.sent_one("10.0.0.1");
    let mut reply = Request::purge("10.255.0.12", "10.0.0.12");
    reply.header = Header { kind: Kind::PurgeReply, ..view(&purge).header() };
    reply.header.request_id ^= 1;
    two.receive("10.0.0.1", &reply.octets());
    assert_eq!(two.dropped(DropReason::Unsolicited), 1);
    reply.header.request_id ^= 1;
    two.receive("10.0.0.1", &reply.octets());
    two.receive("10.0.0.1", &reply.octets());
    assert_eq!(two.dropped(DropReason::Unsolicited), 2, "once");
    two.pass(s(10));
    assert!(two.sent().is_empty());
}

#[test]
fn a_shutdown_of_the_egress() {
    let mut net = Net::with_shortcut();
    let two = &mut net.sites[TWO];
    two.nhrp.shutdown(&mut two.actions);
    let purges = two.actions.iter().filter_map(|action| match action {
        Action::Send { octets, .. } => Some(view(octets).header().flags),
        _ => None,
    });
    assert!(purges.into_iter().all(|flags| flags.contains(Flags::NO_REPLY)));
    net.deliver();
    assert!(net.shortcuts(ONE).is_empty());
    for at in [HUB, ONE] {
        assert!(net.sites[at].binding("10.255.0.12").is_none(), "{at}");
    }
}

#[test]
fn a_route_change_ends_a_shortcut() {
    let default = ("0.0.0.0/0", Via::Peer("10.255.0.1"));
    let lan = ("192.168.1.0/24", Via::Local);
    let changes = [
        vec![lan],
        vec![("192.168.2.0/24", Via::Local), lan, default],
        vec![("192.168.2.0/25", Via::Peer("10.255.0.1")), lan, default],
        vec![("192.168.2.0/24", Via::Peer("10.255.0.12")), lan, default],
    ];
    for routes in changes {
        let mut net = Net::with_shortcut();
        net.route_changed(ONE, routes);
        assert!(net.shortcuts(ONE).is_empty());
    }
    let mut net = Net::with_shortcut();
    net.route_changed(ONE, vec![lan, default]);
    assert_eq!(net.shortcuts(ONE).len(), 1);
}

/// Phase 2: routing names the other spoke as the next hop, and its NBMA address is asked for.
#[test]
fn a_next_hop_is_resolved() {
    let mut net = Net::new(false);
    let one = &mut net.sites[ONE];
    one.nhrp.resolve(one.now, ip("10.255.0.12"), &one.routes, &mut one.actions);
    net.deliver();
    let binding = net.sites[ONE].binding("10.255.0.12").unwrap();
    assert_eq!((binding.nbma, binding.origin), (ip("10.0.0.12"), Origin::Resolved));
    assert_eq!(net.sites[ONE].actions, [Action::Install(binding)]);
}

#[test]
fn what_nobody_answers_for() {
    let mut net = Net::new(false);
    let one = &mut net.sites[ONE];
    one.nhrp.resolve(one.now, ip("172.16.0.1"), &one.routes, &mut one.actions);
    net.deliver();
    let code = Some(Code::NO_BINDING);
    let event = Event::Unresolved { destination: ip("172.16.0.1"), code };
    assert_eq!(net.sites[ONE].events(), [event]);
    // It is not asked for again for a while; nor is what is behind the hub itself.
    net.seen.clear();
    for destination in ["172.16.0.1", "192.168.0.1", "192.168.0.1"] {
        let one = &mut net.sites[ONE];
        one.nhrp.resolve(one.now, ip(destination), &one.routes, &mut one.actions);
        net.deliver();
    }
    assert_eq!(net.seen.len(), 2);
    assert!(net.shortcuts(ONE).is_empty());
}

#[test]
fn a_question_is_repeated_and_given_up() {
    let mut net = Net::new(false);
    let one = &mut net.sites[ONE];
    let start = one.now;
    one.nhrp.resolve(one.now, ip("192.168.2.1"), &one.routes, &mut one.actions);
    let mut asked = Vec::new();
    for _ in 0..40 {
        let sent = one.sent();
        let questions = sent.iter().filter(|(_, octets)| view(octets).kind().is_request());
        let questions = questions.filter(|(_, o)| view(o).kind() == Kind::ResolutionRequest);
        asked.extend(questions.map(|(_, o)| (one.now - start, view(o).header().request_id)));
        one.pass(s(1));
    }
    let times = asked.iter().map(|(at, _)| at.as_secs()).collect::<Vec<_>>();
    assert_eq!(times, [0, 1, 3, 7, 14, 21, 28]);
    assert!(asked.iter().all(|(_, id)| *id == asked[0].1));
    let event = Event::Unresolved { destination: ip("192.168.2.1"), code: None };
    assert!(one.events().contains(&event));
}

/// The second spoke is behind a NAT: the hub fills in where it is.
#[test]
fn an_egress_behind_a_nat() {
    let mut hub = Site::new(hub());
    hub.routes.0 = vec![("192.168.2.0/24", Via::Peer("10.255.0.12"))];
    hub.receive("203.0.113.9", &Request::registration("10.255.0.12", "192.168.7.2").octets());
    hub.receive("10.0.0.11", &Request::registration("10.255.0.11", "10.0.0.11").octets());
    hub.sent();
    let mut reply = Request::registration("10.255.0.11", "10.0.0.11");
    reply.header.kind = Kind::ResolutionReply;
    reply.header.hop_count = 64;
    reply.header.dst_protocol = ip("192.168.2.1");
    reply.cies[0].nbma = Some(ip("192.168.7.2"));
    reply.cies[0].protocol = Some(ip("10.255.0.12"));
    hub.receive("203.0.113.9", &reply.octets());
    let passed = hub.sent_one("10.0.0.11");
    let nat = view(&passed).extension(Tag::NAT).unwrap().cies().next().unwrap();
    assert_eq!((nat.nbma, nat.protocol), (Some(ip("203.0.113.9")), Some(ip("10.255.0.12"))));
    assert_eq!(view(&passed).header().hop_count, 63);
}

/// hub > spoke behind a NAT: a question; its answer opens the NAT to who asked.
#[test]
fn an_answer_from_behind_a_nat_goes_direct() {
    let (mut spoke, mut hub) = (Site::new(spoke()), Site::new(hub()));
    spoke.routes.0 = vec![("192.168.1.0/24", Via::Local)];
    spoke.poll();
    hub.receive("203.0.113.9", &spoke.sent_one("10.0.0.1"));
    spoke.receive("10.0.0.1", &hub.sent_one("203.0.113.9"));
    let mut question = Request::registration("10.255.0.12", "10.0.0.12");
    question.header.kind = Kind::ResolutionRequest;
    question.header.dst_protocol = ip("192.168.1.7");
    spoke.receive("10.0.0.1", &question.octets());
    let answer = spoke.sent_one("10.0.0.12");
    let nat = view(&answer).extension(Tag::NAT).unwrap().cies().next().unwrap();
    assert_eq!((nat.nbma, nat.protocol), (Some(ip("203.0.113.9")), Some(ip("10.255.0.11"))));
    assert!(spoke.actions.contains(&Action::Expect { nbma: ip("10.0.0.12") }));
    // What cannot be where it says gets its answer by the hub.
    question.header.src_nbma = ip("224.0.0.5");
    spoke.receive("10.0.0.1", &question.octets());
    spoke.sent_one("10.0.0.1");
}
