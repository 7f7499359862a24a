//! Scenes of servers that are configured by name.

use super::*;

const NAME: &str = "hub.example.net";

fn named(name: &str) -> NhsConfig {
    NhsConfig { host: Host::Name(name.into()), ..nhs("10.0.0.1") }
}

/// A spoke whose hub has a name, not yet resolved.
fn spoke_by_name() -> Site {
    let hub = NhsConfig { protocol: Some(ip("10.255.0.1")), ..named(NAME) };
    let mut spoke = Site::new(Config { servers: vec![hub], ..super::spoke() });
    spoke.poll();
    spoke
}

impl Site {
    /// The names that were to be looked up since the last look.
    fn asked(&mut self) -> Vec<String> {
        let names = self.actions.iter().filter_map(|action| match action {
            Action::LookUp { name } => Some(name.to_string()),
            _ => None,
        });
        let names = names.collect();
        self.actions.retain(|action| !matches!(action, Action::LookUp { .. }));
        names
    }

    /// The resolver answers.
    fn named(&mut self, name: &str, found: Result<&[&str], &str>) {
        let found = found.map(|all| all.iter().map(|text| ip(text)).collect::<Vec<_>>());
        let found = found.as_deref().map_err(|why| (*why).to_owned());
        self.nhrp.looked_up(self.now, name, found, &self.routes, &mut self.actions);
        self.poll();
    }

    fn nbma_of_server(&self, at: usize) -> Option<IpAddr> {
        self.nhrp.servers().nth(at).unwrap().nbma
    }

    /// Registers with the server at this address.
    fn register_at(&mut self, nbma: &str) {
        let sent = self.sent();
        let (_, request) = sent.iter().find(|(to, _)| *to == path(nbma)).unwrap();
        let mut hub = Site::new(config("10.255.0.1/24", nbma));
        hub.receive("10.0.0.11", request);
        self.receive(nbma, &hub.sent_one("10.0.0.11"));
        assert_eq!(self.state(0), ServerState::Registered);
        self.events();
    }
}

#[test]
fn a_name_is_resolved_and_its_server_registered_with() {
    let mut spoke = spoke_by_name();
    assert_eq!(spoke.asked(), [NAME]);
    assert_eq!((spoke.state(0), spoke.nbma_of_server(0)), (ServerState::Unresolved, None));
    assert_eq!(spoke.nhrp.poll_timeout(), None, "the answer is awaited");
    // Not of our family; ours; nobody's; then two that can be.
    let found = ["2001:db8::1", "10.0.0.11", "224.0.0.5", "10.0.0.1", "10.0.0.2"];
    spoke.named(NAME, Ok(&found));
    let refused = ["10.0.0.11", "224.0.0.5"].map(|nbma| Event::AddressRefused { nbma: ip(nbma) });
    assert_eq!(spoke.events(), refused);
    assert_eq!(spoke.state(0), ServerState::Trying);
    assert_eq!(spoke.binding("10.255.0.1").unwrap().nbma, ip("10.0.0.1"));
    spoke.register_at("10.0.0.1");
    // It is looked up again in time; what was refused is not told again.
    spoke.now += s(300);
    spoke.poll();
    assert_eq!(spoke.asked(), [NAME]);
    spoke.named(NAME, Ok(&found));
    assert_eq!((spoke.events(), spoke.state(0)), (vec![], ServerState::Registered));
}

#[test]
fn a_server_that_has_moved_is_registered_with_anew() {
    let mut spoke = spoke_by_name();
    spoke.named(NAME, Ok(&["10.0.0.1"]));
    spoke.register_at("10.0.0.1");
    spoke.actions.clear();
    // Others beside it, in whatever order, are no reason to leave.
    spoke.named(NAME, Ok(&["10.0.0.2", "10.0.0.1"]));
    assert!(spoke.actions.is_empty());
    spoke.named(NAME, Ok(&["10.0.0.2", "10.0.0.3"]));
    let sent = spoke.sent();
    let sent = sent.iter().map(|(to, octets)| (*to, view(octets).kind())).collect::<Vec<_>>();
    let (old, new) = (path("10.0.0.1"), path("10.0.0.2"));
    assert_eq!(sent, [(old, Kind::PurgeRequest), (new, Kind::RegistrationRequest)]);
    assert_eq!(spoke.binding("10.255.0.1").unwrap().path, new);
}

/// The first address is silent for 7 s, then the second; then the first again.
#[test]
fn the_next_address_when_one_is_silent() {
    let mut spoke = spoke_by_name();
    spoke.asked();
    let both = ["10.0.0.1", "10.0.0.2"];
    spoke.named(NAME, Ok(&both));
    let mut at = Vec::new();
    let start = spoke.now;
    for _ in 0..4 {
        while spoke.asked().is_empty() {
            spoke.now = spoke.nhrp.poll_timeout().unwrap();
            spoke.poll();
        }
        spoke.named(NAME, Ok(&both));
        at.push((spoke.nbma_of_server(0).unwrap(), (spoke.now - start).as_secs()));
    }
    let (times, addresses): (Vec<u64>, Vec<IpAddr>) =
        at.into_iter().map(|(nbma, time)| (time, nbma)).unzip();
    assert_eq!(addresses, ["10.0.0.2", "10.0.0.1", "10.0.0.2", "10.0.0.1"].map(ip));
    // 7 s of silence each, and 1, 2, 4, 8 s until it is looked up; a little less with jitter.
    for (time, want) in times.into_iter().zip([8, 17, 28, 43]) {
        assert!((want * 8 / 10..=want).contains(&time), "{time} of {want} s");
    }
    let down = Event::ServerDown { nbma: ip("10.0.0.1") };
    assert_eq!(spoke.events(), [down], "once");
}

#[test]
fn a_name_without_an_address_is_told_once_and_tried_again() {
    let mut spoke = spoke_by_name();
    let mut at = Vec::new();
    let start = spoke.now;
    spoke.asked();
    for _ in 0..8 {
        spoke.named(NAME, Err("no such name"));
        spoke.now = spoke.nhrp.poll_timeout().unwrap();
        spoke.poll();
        assert_eq!(spoke.asked(), [NAME]);
        at.push(spoke.now - start);
    }
    for (pair, want) in at.windows(2).zip([2, 4, 8, 16, 32, 64, 64]) {
        let pause = pair[1] - pair[0];
        assert!(pause <= s(want) && pause >= s(want) * 9 / 10, "{pause:?} of {want} s");
    }
    let failed = Event::NameFailed { name: NAME.into(), why: "no such name".into() };
    assert_eq!(spoke.events(), [failed]);
    assert_eq!(spoke.state(0), ServerState::Unresolved);
    // All that it has leads into the tunnel.
    spoke.routes.0 = vec![("172.16.0.0/12", Via::Peer("10.255.0.1"))];
    spoke.named(NAME, Ok(&["172.16.0.1"]));
    assert_eq!(spoke.events(), [Event::AddressRefused { nbma: ip("172.16.0.1") }]);
    assert_eq!(spoke.state(0), ServerState::Unresolved);
    spoke.named(NAME, Ok(&["10.0.0.1"]));
    spoke.register_at("10.0.0.1");
    // It has none any more: the registration stays.
    spoke.named(NAME, Err("no such name"));
    assert_eq!((spoke.state(0), spoke.events().len()), (ServerState::Registered, 1));
}

/// Of a cluster of which one is to be used, another stands in for one without an address, until
/// that has an address and answers there.
#[test]
fn a_cluster() {
    let second = NhsConfig { priority: 1, ..nhs("10.0.0.2") };
    let servers = vec![named(NAME), second];
    let mut spoke = Site::new(Config { servers, clusters: vec![(0, 1)], ..spoke() });
    spoke.poll();
    assert_eq!((spoke.state(0), spoke.state(1)), (ServerState::Unresolved, ServerState::Standby));
    spoke.named(NAME, Err("no such name"));
    assert_eq!(spoke.state(1), ServerState::Trying);
    spoke.sent();
    spoke.named(NAME, Ok(&["10.0.0.2", "10.0.0.1"]));
    assert_eq!(spoke.nbma_of_server(0), Some(ip("10.0.0.1")), "the other is the second server");
    assert_eq!(spoke.state(1), ServerState::Trying);
    spoke.register_at("10.0.0.1");
    spoke.poll();
    assert_eq!(spoke.state(1), ServerState::Standby);
}

/// An IPv4 and an IPv6 address of ours are both registered where the name leads.
#[test]
fn one_name_for_both_families() {
    let [v4, v6] = ["10.255.0.1", "fd00::1"].map(|protocol| {
        let protocol = Some(ip(protocol));
        NhsConfig { protocol, ..named(NAME) }
    });
    let mut both = Config { servers: vec![v4, v6], ..spoke() };
    both.addresses.push("fd00::11/64".parse().unwrap());
    let mut spoke = Site::new(both);
    spoke.poll();
    assert_eq!(spoke.asked(), [NAME]);
    spoke.named(NAME, Ok(&["10.0.0.1", "10.0.0.2"]));
    assert_eq!([0, 1].map(|at| spoke.nbma_of_server(at)), [Some(ip("10.0.0.1")); 2]);
}

#[test]
fn two_servers_with_one_name() {
    let servers = vec![named(NAME), named(NAME)];
    let mut spoke = Site::new(Config { servers, ..spoke() });
    spoke.poll();
    assert_eq!(spoke.asked(), [NAME], "one question for both");
    spoke.named(NAME, Ok(&["10.0.0.1", "10.0.0.2"]));
    let found = [0, 1].map(|at| spoke.nbma_of_server(at));
    assert_eq!(found, [Some(ip("10.0.0.1")), Some(ip("10.0.0.2"))]);
    spoke.named("other.example.net", Ok(&["10.0.0.3"]));
    assert_eq!(found, [0, 1].map(|at| spoke.nbma_of_server(at)), "not their name");
}
