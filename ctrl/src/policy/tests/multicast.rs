//! Who gets copies.

use dataplane::packet::NONE;
use dataplane::tables::Replica;

use super::*;

fn hub(multicast: &str, rules: &str) -> Scene {
    let text = [
        PORTS,
        &format!(
            "[[tunnel]]\nname = \"dm\"\nmode = \"mgre\"\nsource = \"wan\"\n\
             addresses = [\"10.255.0.1/24\"]\n[tunnel.nhrp]\n{multicast}\nmap = [\n\
             {{ protocol = \"10.255.0.2\", nbma = \"203.0.113.2\" }},\n\
             {{ protocol = \"10.255.0.3\", nbma = \"203.0.113.3\" }},\n\
             {{ protocol = \"10.255.0.4\", nbma = \"203.0.113.3\" }}]\n"
        ),
        &gre("branch", "203.0.113.7", "addresses = [\"10.254.0.1/30\"]"),
        rules,
    ];
    Scene::new(&text.concat())
}

fn rule(groups: &str, interfaces: &str) -> String {
    format!("[[multicast]]\ngroups = [{groups}]\ninterfaces = [{interfaces}]\n")
}

fn replicas(scene: &Scene, tunnel: &str, peers: &[&str]) -> Vec<Replica> {
    let interface = scene.tunnel(tunnel);
    let replica = |nbma: &&str| {
        let key = AdjacencyKey::Peer(interface, path(nbma));
        Replica { interface, adjacency: scene.memory.indices.find(&key).unwrap() }
    };
    peers.iter().map(replica).collect()
}

#[test]
fn a_multipoint_tunnel_copies_to_the_peers_that_it_should() {
    let rules = rule("\"239.0.0.0/8\"", "\"dm\"");
    for (multicast, peers) in [
        ("multicast = \"dynamic\"", &["203.0.113.2", "203.0.113.3"][..]),
        ("multicast = [\"203.0.113.3\", \"203.0.113.9\"]", &["203.0.113.3", "203.0.113.9"]),
        ("", &[]),
    ] {
        let scene = hub(multicast, &rules);
        let [rule] = scene.compiled.tables.multicast.as_slice() else { panic!() };
        assert_eq!(rule.receivers.replicas, replicas(&scene, "dm", peers), "{multicast}");
        let Some(Adjacency::Replicate(list)) = scene.overlay("10.255.0.255") else { panic!() };
        assert_eq!(list.replicas, replicas(&scene, "dm", peers), "{multicast}");
        for replica in &list.replicas {
            assert!(matches!(scene.at(replica.adjacency), Adjacency::Tunnel(_)));
        }
    }
}

#[test]
fn ports_and_tunnels_get_copies() {
    let rules = rule("\"239.0.0.0/8\", \"255.255.255.255\"", "\"lan\", \"branch\", \"dm\"");
    let scene = hub("", &rules);
    let mut expected = vec![Replica { interface: LAN, adjacency: NONE }];
    expected.extend(replicas(&scene, "branch", &["203.0.113.7"]));
    let rules = &scene.compiled.tables.multicast;
    let interfaces = vec![LAN, scene.tunnel("branch"), scene.tunnel("dm")];
    for rule in rules.iter() {
        assert_eq!((&rule.receivers.replicas, &rule.interfaces), (&expected, &interfaces));
    }
    let matching = |group: &str, interface| {
        rules.iter().filter(|rule| rule.matches(ip(group), interface)).count()
    };
    assert_eq!(matching("239.255.255.255", LAN), 1);
    assert_eq!(matching("255.255.255.255", scene.tunnel("dm")), 1);
    assert_eq!(matching("238.255.255.255", LAN), 0);
    assert_eq!(matching("239.1.1.1", WAN), 0);
}

#[test]
fn the_longest_group_comes_first() {
    let scene = hub(
        "",
        &[
            rule("\"239.0.0.0/8\", \"ff0e::/16\"", "\"lan\", \"branch\""),
            rule("\"239.1.0.0/16\", \"ff0e::5\"", "\"dm\""),
        ]
        .concat(),
    );
    let first = |group: &str| {
        let rules = &scene.compiled.tables.multicast;
        let found =
            rules.iter().find(|rule| rule.range.0 <= ip(group) && ip(group) <= rule.range.1);
        found.map(|rule| rule.range.0)
    };
    assert_eq!(first("239.1.2.3"), Some(ip("239.1.0.0")));
    assert_eq!(first("239.2.2.3"), Some(ip("239.0.0.0")));
    assert_eq!(first("238.1.1.1"), None);
    assert_eq!(first("ff0e::5"), Some(ip("ff0e::5")));
    assert_eq!(first("ff0e::6"), Some(ip("ff0e::")));
}
