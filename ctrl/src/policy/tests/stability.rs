//! What stays from one compilation to the next.

use std::sync::Arc;

use super::*;

fn two(names: [(&str, &str); 2]) -> String {
    let tunnels = names.map(|(name, nbma)| {
        gre(
            name,
            nbma,
            &format!("key = {}\naddresses = [\"10.254.{}.1/30\"]", name.len(), name.len()),
        )
    });
    [PORTS, &tunnels.concat()].concat()
}

fn hub() -> String {
    two([("a", "203.0.113.1"), ("bb", "203.0.113.2")])
}

#[test]
fn indices_stay() {
    let mut scene = Scene::new(&hub());
    let addresses = ["10.254.1.2", "10.254.2.2", "10.1.0.9", "10.1.0.1", "10.254.1.3"];
    let indices = |scene: &Scene| addresses.map(|address| scene.overlay_index(address).unwrap());
    let before = indices(&scene);
    for neighbor in 10..20 {
        scene.neighbors.insert((LAN, ip(&format!("10.1.0.{neighbor}"))), mac(neighbor));
        scene.compile();
        assert_eq!(indices(&scene), before);
    }
    scene.down.insert(scene.tunnel("a"));
    scene.compile();
    scene.down.clear();
    scene.compile();
    assert_eq!(indices(&scene), before);
    let generations = scene.compiled.tables.generation;
    scene.compile();
    assert_eq!(scene.compiled.tables.generation, generations + 1);
}

#[test]
fn an_index_that_is_not_in_use_drops() {
    let mut scene = Scene::new(&hub());
    let host = (LAN, ip("10.1.0.9"));
    scene.neighbors.insert(host, mac(9));
    scene.compile();
    let index = scene.compiled.tables.neighbors.find(host.0, host.1.into()).unwrap();
    assert!(matches!(scene.at(index), Adjacency::Neighbor(_)));
    scene.neighbors.remove(&host);
    scene.compile();
    assert!(is_drop(Some(scene.at(index)), DropReason::NoRoute));

    let index = scene.overlay_index("10.254.2.2").unwrap();
    scene.reload(&[PORTS, &gre("a", "203.0.113.1", "")].concat());
    assert!(is_drop(Some(scene.at(index)), DropReason::NoRoute));
}

/// Whoever can invent neighbours must not make the tables grow for ever.
#[test]
fn indices_of_hosts_that_are_gone_are_used_again() {
    let mut scene = Scene::new(&hub());
    let host = |n: u128| (LAN, IpAddr::V6((0x2001_0db8_000a_0000_u128 << 64 | n).into()));
    let mut seen = Vec::new();
    for n in 0x100..0x600 {
        scene.neighbors.insert(host(n), mac(1));
        scene.neighbors.remove(&host(n - 1));
        scene.compile();
        seen.push(scene.compiled.tables.neighbors.find(LAN, host(n).1.into()).unwrap());
    }
    assert!(scene.compiled.tables.adjacencies.len() < 300);
    // Not at once: packets that carry one are on their way.
    for (at, index) in seen.iter().enumerate() {
        let recent = &seen[at.saturating_sub(200)..at];
        assert!(!recent.contains(index), "{index} after {at}");
    }
}

/// Another tunnel with the number of an old one is not where packets to the old one end up.
#[test]
fn a_tunnel_with_another_number_has_another_index() {
    let same_peer = [("a", "203.0.113.1"), ("bb", "203.0.113.1")];
    let mut scene = Scene::new(&two(same_peer));
    let [a, b] = ["10.254.1.2", "10.254.2.2"].map(|address| scene.overlay_index(address).unwrap());
    scene.reload(&two([same_peer[1], same_peer[0]]));
    let new = ["10.254.1.2", "10.254.2.2"].map(|address| scene.overlay_index(address).unwrap());
    assert!(!new.contains(&a) && !new.contains(&b) && new[0] != new[1]);
    for index in [a, b] {
        assert!(is_drop(Some(scene.at(index)), DropReason::NoRoute));
    }
    assert_eq!(scene.encap("a", "203.0.113.1").gre_fields.key, Some(1));
    assert_eq!(scene.encap("bb", "203.0.113.1").gre_fields.key, Some(2));
}

#[test]
fn a_new_neighbour_does_not_rebuild_the_tables_of_routes() {
    let mut scene = Scene::new(&hub());
    let tables = scene.compiled.tables.clone();
    let is_same = |scene: &Scene| {
        let now = &scene.compiled.tables;
        Arc::ptr_eq(&tables.overlay.v4, &now.overlay.v4)
            && Arc::ptr_eq(&tables.overlay.v6, &now.overlay.v6)
            && Arc::ptr_eq(&tables.underlay.v4, &now.underlay.v4)
            && Arc::ptr_eq(&tables.underlay.v6, &now.underlay.v6)
    };
    scene.neighbors.insert((LAN, ip("10.1.0.9")), mac(9));
    scene.neighbors.remove(&(WAN, ip("198.51.100.254")));
    scene.path_mtus.insert(ip("203.0.113.1"), 1400);
    scene.compile();
    assert!(is_same(&scene));
    scene.down.insert(scene.tunnel("a"));
    scene.compile();
    assert!(!is_same(&scene));
}

#[test]
fn counters_of_peers_go_on() {
    let mut scene = Scene::new(&hub());
    let sent = scene.encap("a", "203.0.113.1").sent.clone();
    assert_eq!(sent.len(), 2, "one for each core");
    scene.neighbors.insert((WAN, ip("198.51.100.254")), mac(9));
    scene.reload(&two([("bb", "203.0.113.2"), ("a", "203.0.113.1")]));
    assert!(Arc::ptr_eq(&sent, &scene.encap("a", "203.0.113.1").sent));
}
