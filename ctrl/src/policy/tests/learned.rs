//! Peers that NHRP has found.

use wire::IpPrefix;

use super::*;

const DYNAMIC: &str = "[[tunnel]]\nname = \"dm\"\nmode = \"mgre\"\nsource = \"wan\"\nkey = 42\n\
    addresses = [\"10.255.0.1/24\"]\n[tunnel.nhrp]\nauthentication = \"s3cret\"\n\
    multicast = \"dynamic\"\nmap = [{ protocol = \"10.255.0.2\", nbma = \"203.0.113.2\" }]\n\
    [[route]]\nprefix = \"10.9.0.0/16\"\nvia = \"10.255.0.9\"\n";
const DM: TunnelId = TunnelId(0);

fn scene() -> Scene {
    Scene::new(&[PORTS, DYNAMIC].concat())
}

fn reached(scene: &Scene, address: &str) -> Option<IpAddr> {
    match scene.overlay(address) {
        Some(Adjacency::Tunnel(encap)) => Some(outer(encap).1),
        _ => None,
    }
}

/// Whether that is news.
fn register(scene: &mut Scene, protocol: &str, nbma: &str) -> bool {
    scene.learned.of_mut(DM).bind(ip(protocol), path(nbma), Origin::Registered)
}

#[test]
fn a_binding_leads_to_the_peer_until_it_is_gone() {
    let mut scene = scene();
    for address in ["10.255.0.9", "10.9.1.1"] {
        assert!(is_drop(scene.overlay(address), DropReason::Unresolved), "{address}");
    }
    assert!(register(&mut scene, "10.255.0.9", "203.0.113.9"));
    scene.compile();
    for address in ["10.255.0.9", "10.9.1.1"] {
        assert_eq!(reached(&scene, address), Some(ip("203.0.113.9")), "{address}");
    }
    let dm = scene.tunnel("dm");
    let known = |scene: &Scene, nbma: &str| {
        let (local, remote) = (ip("198.51.100.1").into(), ip(nbma).into());
        matches!(
            scene.compiled.tables.tunnels.find(local, remote, Some(42)),
            dataplane::tables::tunnel::TunnelMatch::Peer(tunnel, _) if tunnel.interface == dm
        )
    };
    assert!(known(&scene, "203.0.113.9"));
    let Some(Adjacency::Replicate(list)) = scene.overlay("10.255.0.255") else { panic!() };
    assert_eq!(list.replicas.len(), 2);

    // It has moved.
    assert!(register(&mut scene, "10.255.0.9", "203.0.113.99"));
    scene.compile();
    assert_eq!(reached(&scene, "10.9.1.1"), Some(ip("203.0.113.99")));
    assert!(!known(&scene, "203.0.113.9"));

    assert!(scene.learned.of_mut(DM).unbind(ip("10.255.0.9")));
    scene.compile();
    assert!(is_drop(scene.overlay("10.9.1.1"), DropReason::Unresolved));
    assert!(!known(&scene, "203.0.113.99") && known(&scene, "203.0.113.2"));
}

/// Its hub sends multicast to it, so that it would come twice.
#[test]
fn who_was_resolved_gets_no_multicast() {
    let mut scene = scene();
    scene.learned.of_mut(DM).bind(ip("10.255.0.9"), path("203.0.113.9"), Origin::Resolved);
    scene.compile();
    assert_eq!(reached(&scene, "10.255.0.9"), Some(ip("203.0.113.9")));
    let Some(Adjacency::Replicate(list)) = scene.overlay("10.255.0.255") else { panic!() };
    assert_eq!(list.replicas.len(), 1);
    // It registers with us, too.
    assert!(register(&mut scene, "10.255.0.9", "203.0.113.9"));
    scene.compile();
    let Some(Adjacency::Replicate(list)) = scene.overlay("10.255.0.255") else { panic!() };
    assert_eq!(list.replicas.len(), 2);
}

#[test]
fn a_static_peer_stays_where_it_is() {
    let mut scene = scene();
    register(&mut scene, "10.255.0.2", "203.0.113.66");
    scene.compile();
    assert_eq!(reached(&scene, "10.255.0.2"), Some(ip("203.0.113.2")));
}

#[test]
fn who_is_only_talked_with_has_an_adjacency_and_no_route() {
    let mut scene = scene();
    scene.learned.of_mut(DM).strangers.insert(path("203.0.113.77"));
    scene.compile();
    assert_eq!(outer(scene.encap("dm", "203.0.113.77")).1, ip("203.0.113.77"));
    let Some(Adjacency::Replicate(list)) = scene.overlay("10.255.0.255") else { panic!() };
    assert_eq!(list.replicas.len(), 1, "multicast is for peers");
}

#[test]
fn multicast_to_servers_is_for_those_that_we_are_registered_with() {
    let servers = "multicast = \"nhs\"\nnhs = [{ nbma = \"hub.example.net\" }]";
    let mut scene =
        Scene::new(&[PORTS, &DYNAMIC.replace("multicast = \"dynamic\"", servers)].concat());
    let copies = |scene: &Scene| {
        let Some(Adjacency::Replicate(list)) = scene.overlay("10.255.0.255") else { panic!() };
        let to = |of: &dataplane::tables::Replica| match scene.at(of.adjacency) {
            Adjacency::Tunnel(encap) => outer(encap).1,
            other => panic!("{other:?}"),
        };
        list.replicas.iter().map(to).collect::<Vec<_>>()
    };
    assert!(copies(&scene).is_empty());
    let hub = path("203.0.113.7");
    let learned = scene.learned.of_mut(DM);
    (learned.servers, learned.registered_with) = ([hub].into(), [hub].into());
    scene.compile();
    assert_eq!(copies(&scene), [hub.nbma]);
}

#[test]
fn several_bindings_may_share_an_nbma_address() {
    let mut peers = LearnedPeers::default();
    let nbma = path("203.0.113.9");
    let mut bind = |protocol| peers.bind(ip(protocol), nbma, Origin::Registered);
    assert!(bind("10.255.0.8") && bind("10.255.0.9"));
    assert!(!bind("10.255.0.9"), "no news");
    assert!(peers.unbind(ip("10.255.0.8")) && peers.knows(nbma));
    assert!(peers.unbind(ip("10.255.0.9")) && !peers.knows(nbma));
    assert!(!peers.unbind(ip("10.255.0.9")));
}

/// Shortcuts to one peer are renewed each by its own use.
#[test]
fn shortcuts_to_one_peer_count_for_themselves() {
    let mut scene = scene();
    let (near, far) = (path("203.0.113.9"), path("203.0.113.10"));
    register(&mut scene, "10.255.0.9", "203.0.113.9");
    register(&mut scene, "10.255.0.10", "203.0.113.10");
    let prefixes = ["10.9.1.0/24", "10.9.2.0/24"].map(|of| of.parse::<IpPrefix>().unwrap());
    let shortcuts = [(prefixes[0], near), (prefixes[1], near)];
    scene.learned.of_mut(DM).shortcuts = shortcuts.into();
    scene.compile();
    let encap = |scene: &Scene, address: &str| match scene.overlay(address) {
        Some(Adjacency::Tunnel(encap)) => encap.clone(),
        other => panic!("{other:?}"),
    };
    // By one shortcut, by the other, and by routing.
    let ways = ["10.9.1.1", "10.9.2.1", "10.9.3.1"].map(|address| encap(&scene, address));
    for (way, count) in ways.iter().zip([1, 20, 300]) {
        assert_eq!((way.template, way.peer), (ways[2].template, ways[2].peer));
        (0..count).for_each(|_| way.sent[1].count(100));
    }
    let counted = |scene: &Scene| {
        let counters = scene.memory.counters("dm", near).unwrap();
        (prefixes.map(|of| counters.sent_by(of)), counters.sent().0)
    };
    assert_eq!(counted(&scene), ([Some(1), Some(20)], 321));

    // One is gone, and another follows: nothing that was sent to the peer is forgotten.
    let shortcuts =
        [(prefixes[0], far), (prefixes[1], near), ("10.9.4.0/24".parse().unwrap(), near)];
    scene.learned.of_mut(DM).shortcuts = shortcuts.into();
    scene.compile();
    encap(&scene, "10.9.4.1").sent[1].count(100);
    encap(&scene, "10.9.1.1").sent[1].count(100);
    assert_eq!(counted(&scene), ([None, Some(20)], 322));
    let counters = scene.memory.counters("dm", far).unwrap();
    assert_eq!((counters.sent_by(prefixes[0]), counters.sent().0), (Some(1), 1));
}

/// What a shortcut's peer waits for, the shortcut waits for.
#[test]
fn a_shortcut_has_what_its_peer_has() {
    let mut scene = scene();
    register(&mut scene, "10.255.0.9", "203.0.113.9");
    let prefix = "10.9.1.0/24".parse().unwrap();
    scene.learned.of_mut(DM).shortcuts = [(prefix, path("203.0.113.9"))].into();
    let links = std::mem::take(&mut scene.neighbors);
    scene.compile();
    let index = scene.overlay_index("10.9.1.1").unwrap();
    assert!(matches!(scene.at(index), Adjacency::Unresolved { .. }));
    assert!(scene.compiled.unresolved.contains_key(&index));
    scene.neighbors = links;
    scene.compile();
    assert_eq!(scene.overlay_index("10.9.1.1"), Some(index), "packets that wait refer to it");
    assert_eq!(reached(&scene, "10.9.1.1"), Some(ip("203.0.113.9")));
}

/// A spoke whose address changes again and again does not fill the tables.
#[test]
fn counters_and_adjacencies_of_peers_that_are_gone_are_given_back() {
    let mut scene = scene();
    for number in 0..600_u32 {
        let nbma = IpAddr::from((0xCB00_7200 + number).to_be_bytes()).into();
        scene.learned.of_mut(DM).bind(ip("10.255.0.9"), nbma, Origin::Registered);
        scene.compile();
        assert_eq!(scene.memory.peers["dm"].len(), 2);
    }
    let adjacencies = scene.compiled.tables.adjacencies.len();
    assert!(adjacencies < 300, "{adjacencies} for two peers");
}
