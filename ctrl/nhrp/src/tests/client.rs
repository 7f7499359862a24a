//! Scenes at the spoke.

use super::*;

/// What a hub answers to a spoke's request, coming from the spoke's address outside.
fn answered(hub: &mut Site, outside: &str, request: &[u8]) -> Vec<u8> {
    hub.receive(outside, request);
    hub.sent_one(outside)
}

fn request_ids(spoke: &mut Site) -> Vec<u32> {
    spoke.sent().iter().map(|(_, octets)| view(octets).header().request_id).collect()
}

#[test]
fn registers_and_renews() {
    let (mut spoke, mut hub) = (Site::new(spoke()), Site::new(hub()));
    spoke.poll();
    let request = spoke.sent_one("10.0.0.1");
    assert_eq!(view(&request).header().dst_protocol, ip("10.255.0.11"), "the hub is unknown");
    let reply = answered(&mut hub, "10.0.0.11", &request);
    spoke.receive("10.0.0.1", &reply);
    assert_eq!(spoke.state(0), ServerState::Registered);
    assert_eq!(spoke.binding("10.255.0.1").unwrap().origin, Origin::Server);
    let first = view(&request).header().request_id;
    // After a third of the holding time, or a little before it: another id, and the hub's address.
    spoke.pass(Duration::from_millis(17_999));
    assert!(spoke.sent().is_empty());
    spoke.now = spoke.nhrp.poll_timeout().unwrap();
    spoke.poll();
    let request = spoke.sent_one("10.0.0.1");
    assert_eq!(view(&request).header().request_id, first.wrapping_add(1));
    assert_eq!(view(&request).header().dst_protocol, ip("10.255.0.1"));
    spoke.actions.clear();
    let reply = answered(&mut hub, "10.0.0.11", &request);
    spoke.receive("10.0.0.1", &reply);
    assert!(spoke.actions.is_empty(), "nothing changed");
}

#[test]
fn finds_the_nat_before_it() {
    let (mut spoke, mut hub) = (Site::new(spoke()), Site::new(hub()));
    spoke.poll();
    let request = spoke.sent_one("10.0.0.1");
    let reply = answered(&mut hub, "203.0.113.9", &request);
    spoke.receive("10.0.0.1", &reply);
    let outside = Some(ip("203.0.113.9"));
    let (nbma, protocol) = (ip("10.0.0.1"), ip("10.255.0.1"));
    assert_eq!(spoke.events(), [Event::ServerUp { nbma, protocol, outside }]);
}

#[test]
fn asks_again_with_the_same_id_and_longer_pauses() {
    let mut spoke = Site::new(spoke());
    let start = spoke.now;
    let mut at = Vec::new();
    let mut ids = Vec::new();
    while let Some(deadline) = spoke.nhrp.poll_timeout().filter(|&at| at < start + s(400)) {
        spoke.now = deadline;
        spoke.poll();
        ids.extend(request_ids(&mut spoke));
        at.push(deadline - start);
    }
    ids.dedup();
    assert_eq!(ids.len(), 1);
    let pauses = at.windows(2).map(|pair| pair[1] - pair[0]).collect::<Vec<_>>();
    for (pause, want) in pauses.iter().zip([1, 2, 4, 8, 16, 32, 64, 64, 64]) {
        assert!(*pause <= s(want) && *pause >= s(want) * 9 / 10, "{pause:?} of {want} s");
    }
    assert_eq!(spoke.events(), [Event::ServerDown { nbma: ip("10.0.0.1") }], "once");
    assert_eq!(spoke.state(0), ServerState::Down);
    // When the way to the hub comes up, it is asked at once.
    spoke.nhrp.peer_state(spoke.now, path("10.0.0.1"), true, &mut spoke.actions);
    spoke.poll();
    assert_eq!(request_ids(&mut spoke), ids);
}

#[test]
fn believes_only_the_answer_to_its_question() {
    let (mut spoke, mut hub) = (Site::new(spoke()), Site::new(hub()));
    spoke.poll();
    let request = spoke.sent_one("10.0.0.1");
    let good = answered(&mut hub, "10.0.0.11", &request);
    let with = |change: &dyn Fn(&mut Header)| {
        let mut header = view(&good).header();
        change(&mut header);
        let cies = view(&good).cies().collect();
        Request { header, cies, password: None, extension: None }.octets()
    };
    // Wrong id; wrong source; not for us; the server would be us, or nobody.
    spoke.receive("10.0.0.1", &with(&|header| header.request_id ^= 1));
    spoke.receive("10.0.0.66", &good);
    assert_eq!(spoke.dropped(DropReason::Unsolicited), 2);
    spoke.receive("10.0.0.1", &with(&|header| header.src_protocol = ip("10.255.0.12")));
    spoke.receive("10.0.0.1", &with(&|header| header.src_nbma = ip("10.0.0.12")));
    assert_eq!(spoke.dropped(DropReason::NotForUs), 2);
    for nobody in ["10.255.0.11", "0.0.0.0", "224.0.0.5", "10.255.0.255"] {
        spoke.receive("10.0.0.1", &with(&|header| header.dst_protocol = ip(nobody)));
    }
    assert_eq!(spoke.dropped(DropReason::Source), 4);
    assert_eq!(spoke.state(0), ServerState::Trying);
    spoke.receive("10.0.0.1", &good);
    assert_eq!(spoke.state(0), ServerState::Registered);
    // Replayed.
    spoke.receive("10.0.0.1", &good);
    assert_eq!(spoke.dropped(DropReason::Unsolicited), 3);
}

#[test]
fn a_refusal_is_told_and_asked_again_later() {
    let (mut spoke, mut hub) = (Site::new(spoke()), Site::new(hub()));
    hub.receive("10.0.0.66", &Request::registration("10.255.0.11", "10.0.0.66").unique().octets());
    hub.sent();
    spoke.poll();
    let request = spoke.sent_one("10.0.0.1");
    let reply = answered(&mut hub, "10.0.0.11", &request);
    spoke.receive("10.0.0.1", &reply);
    let code = Code::ALREADY_REGISTERED;
    assert_eq!(spoke.events(), [Event::ServerRefused { nbma: ip("10.0.0.1"), code }]);
    assert_eq!(spoke.state(0), ServerState::Trying);
    spoke.pass(s(57));
    assert!(spoke.sent().is_empty());
    spoke.pass(s(7));
    assert_ne!(request_ids(&mut spoke), [view(&request).header().request_id]);
}

/// The hub restarts: the way to it goes and comes, and it is told anew.
#[test]
fn registers_again_when_the_way_comes_up() {
    let (mut spoke, mut hub) = (Site::new(spoke()), Site::new(hub()));
    spoke.nhrp.peer_state(spoke.now, path("10.0.0.1"), true, &mut spoke.actions);
    spoke.poll();
    let request = spoke.sent_one("10.0.0.1");
    let reply = answered(&mut hub, "10.0.0.11", &request);
    spoke.receive("10.0.0.1", &reply);
    spoke.pass(s(5));
    // It is up already: nothing new.
    spoke.nhrp.peer_state(spoke.now, path("10.0.0.1"), true, &mut spoke.actions);
    spoke.poll();
    assert!(spoke.sent().is_empty());
    spoke.nhrp.peer_state(spoke.now, path("10.0.0.1"), false, &mut spoke.actions);
    spoke.nhrp.peer_state(spoke.now, path("10.0.0.1"), true, &mut spoke.actions);
    spoke.poll();
    let again = spoke.sent_one("10.0.0.1");
    assert_ne!(view(&again).header().request_id, view(&request).header().request_id);
}

/// Two hubs of a cluster, of which one is to be used: the second stands in for the first.
#[test]
fn a_cluster() {
    let second = NhsConfig { priority: 1, ..nhs("10.0.0.2") };
    let servers = vec![second, nhs("10.0.0.1")];
    let mut spoke = Site::new(Config { servers, clusters: vec![(0, 1)], ..spoke() });
    let mut hubs = [Site::new(hub()), Site::new(config("10.255.0.2/24", "10.0.0.2"))];
    spoke.poll();
    assert_eq!((spoke.state(0), spoke.state(1)), (ServerState::Standby, ServerState::Trying));
    // The first does not answer for 7 s: the second is asked, and registers.
    spoke.pass(s(8));
    assert_eq!((spoke.state(0), spoke.state(1)), (ServerState::Trying, ServerState::Down));
    let asked = spoke.sent();
    let (_, request) = asked.iter().find(|(to, _)| *to == path("10.0.0.2")).unwrap();
    let reply = answered(&mut hubs[1], "10.0.0.11", request);
    spoke.receive("10.0.0.2", &reply);
    assert_eq!(spoke.state(0), ServerState::Registered);
    // The first answers again: the registration with the second is taken back.
    let (_, request) = asked.iter().find(|(to, _)| *to == path("10.0.0.1")).unwrap();
    let reply = answered(&mut hubs[0], "10.0.0.11", request);
    spoke.receive("10.0.0.1", &reply);
    spoke.poll();
    assert_eq!((spoke.state(0), spoke.state(1)), (ServerState::Standby, ServerState::Registered));
    let purge = spoke.sent_one("10.0.0.2");
    hubs[1].receive("10.0.0.11", &purge);
    assert!(hubs[1].binding("10.255.0.11").is_none());
}

#[test]
fn a_shutdown_takes_registrations_back() {
    let (mut spoke, mut hub) = (Site::new(spoke()), Site::new(hub()));
    spoke.poll();
    let request = spoke.sent_one("10.0.0.1");
    let reply = answered(&mut hub, "10.0.0.11", &request);
    spoke.receive("10.0.0.1", &reply);
    spoke.nhrp.shutdown(&mut spoke.actions);
    let purge = spoke.sent_one("10.0.0.1");
    assert_eq!(view(&purge).header().request_id, view(&request).header().request_id);
    hub.receive("10.0.0.11", &purge);
    assert!(hub.binding("10.255.0.11").is_none());
    assert!(hub.sent().is_empty(), "nobody waits for a reply");
}

#[test]
fn another_configuration_keeps_what_it_does_not_touch() {
    let (mut spoke, mut hub) = (Site::new(spoke()), Site::new(hub()));
    spoke.poll();
    let request = spoke.sent_one("10.0.0.1");
    let reply = answered(&mut hub, "10.0.0.11", &request);
    spoke.receive("10.0.0.1", &reply);
    spoke.actions.clear();
    let servers = vec![nhs("10.0.0.1"), nhs("10.0.0.2")];
    let more = Config { servers, ..super::spoke() };
    spoke.nhrp.configure(spoke.now, more, &mut spoke.actions).unwrap();
    assert_eq!((spoke.state(0), spoke.state(1)), (ServerState::Registered, ServerState::Trying));
    assert!(spoke.actions.is_empty());
    // Without servers: the registration is taken back, and the way to the server goes.
    let none = Config { servers: Vec::new(), ..super::spoke() };
    spoke.nhrp.configure(spoke.now, none, &mut spoke.actions).unwrap();
    let purge = spoke.sent_one("10.0.0.1");
    assert_eq!(view(&purge).kind(), Kind::PurgeRequest);
    assert_eq!(spoke.actions, [Action::Remove { protocol: ip("10.255.0.1") }]);
    assert_eq!(spoke.nhrp.poll_timeout(), None);
}

/// ```text
/// spoke > hub   Registration Request  10.255.0.11
/// spoke > hub   Registration Request  fd00::11, the same NBMA address
/// ```
#[test]
fn both_families_by_one_server() {
    let v4 = NhsConfig { protocol: Some(ip("10.255.0.1")), ..nhs("10.0.0.1") };
    let v6 = NhsConfig { protocol: Some(ip("fd00::1")), ..nhs("10.0.0.1") };
    let mut both = Config { servers: vec![v4, v6], clusters: vec![(0, 1)], ..spoke() };
    both.addresses.push("fd00::11/64".parse().unwrap());
    let mut hub = hub();
    hub.addresses.push("fd00::1/64".parse().unwrap());
    let (mut spoke, mut hub) = (Site::new(both.clone()), Site::new(hub));
    spoke.poll();
    let asked = spoke.sent();
    assert_eq!(asked.len(), 2, "one of each family is no other's stand-in");
    for (_, request) in &asked {
        let reply = answered(&mut hub, "10.0.0.11", request);
        spoke.receive("10.0.0.1", &reply);
    }
    assert_eq!(
        (spoke.state(0), spoke.state(1)),
        (ServerState::Registered, ServerState::Registered)
    );
    for protocol in ["10.255.0.11", "fd00::11"] {
        assert_eq!(hub.binding(protocol).unwrap().nbma, ip("10.0.0.11"));
    }
    // The hub restarted: it is told both anew; and both are taken back.
    spoke.nhrp.peer_state(spoke.now, path("10.0.0.1"), true, &mut spoke.actions);
    spoke.poll();
    assert_eq!(spoke.sent().len(), 2);
    spoke.nhrp.shutdown(&mut spoke.actions);
    for (_, purge) in spoke.sent() {
        hub.receive("10.0.0.11", &purge);
    }
    assert_eq!(hub.nhrp.bindings().count(), 0);
    // The same family twice by one server is a mistake.
    both.servers.push(nhs("10.0.0.1"));
    assert_eq!(both.check(), Err(ConfigError::Twice(ip("10.0.0.1"))));
}

/// A renewal is the probe that each server answers: one that dies is noticed after the interval and
/// 7 s at the latest, and another stands in for it at once.
#[test]
fn a_dead_server_is_noticed_soon() {
    let servers = vec![nhs("10.0.0.1"), NhsConfig { priority: 1, ..nhs("10.0.0.2") }];
    let registration_interval = Some(s(10));
    let probing = Config { servers, registration_interval, clusters: vec![(0, 1)], ..spoke() };
    let (mut spoke, mut hub) = (Site::new(probing), Site::new(hub()));
    spoke.poll();
    let request = spoke.sent_one("10.0.0.1");
    let reply = answered(&mut hub, "10.0.0.11", &request);
    spoke.receive("10.0.0.1", &reply);
    spoke.events();
    let died = spoke.now;
    while spoke.state(0) == ServerState::Registered {
        spoke.now = spoke.nhrp.poll_timeout().unwrap();
        spoke.poll();
    }
    let took = spoke.now - died;
    assert!((s(15)..=s(17)).contains(&took), "{took:?}");
    assert_eq!(spoke.events(), [Event::ServerDown { nbma: ip("10.0.0.1") }]);
    spoke.sent();
    spoke.poll();
    let asked = spoke.sent_one("10.0.0.2");
    assert_eq!(view(&asked).kind(), Kind::RegistrationRequest);
}
