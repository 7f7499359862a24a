//! What destinations lead to.

use super::*;

/// An mGRE tunnel with two mapped peers, a point-to-point one, and routes through all of them.
fn hub() -> String {
    let route =
        |prefix: &str, via: &str| format!("[[route]]\nprefix = \"{prefix}\"\nvia = {via}\n");
    [
        PORTS,
        "[[tunnel]]\nname = \"dm\"\nmode = \"mgre\"\nsource = \"wan\"\nkey = 42\n\
         addresses = [\"10.255.0.1/24\"]\n[tunnel.nhrp]\nmap = [\n\
         { protocol = \"10.255.0.2\", nbma = \"203.0.113.2\" },\n\
         { protocol = \"10.255.0.3\", nbma = \"198.51.100.3\" }]\n",
        &gre(
            "branch",
            "203.0.113.7",
            "addresses = [\"10.254.0.1/30\"]\nkeepalive = { period = \"10s\" }",
        ),
        &route("10.2.0.0/16", "\"10.255.0.2\""),
        &route("10.3.0.0/16", "[\"10.255.0.2\", \"branch\"]"),
        &route("10.4.0.0/16", "\"10.255.0.99\""),
        &route("10.5.0.0/16", "\"branch\""),
        &route("10.6.0.0/16", "\"10.1.0.77\""),
        &route("10.6.0.0/16", "\"10.1.0.78\""),
        &route("10.7.0.0/16", "\"lan\""),
        &route("2001:db8:b::/48", "\"2001:db8:a::77\""),
    ]
    .concat()
}

#[test]
fn connected_prefixes_and_own_addresses() {
    let scene = Scene::new(&hub());
    assert!(matches!(scene.overlay("10.1.0.9"), Some(Adjacency::Connected { interface: LAN })));
    assert!(matches!(
        scene.overlay("2001:db8:a::9"),
        Some(Adjacency::Connected { interface: LAN })
    ));
    for own in ["10.1.0.1", "2001:db8:a::1", "10.255.0.1", "10.254.0.1"] {
        assert!(matches!(scene.overlay(own), Some(Adjacency::Local)), "{own}");
    }
    assert!(matches!(scene.underlay("198.51.100.1"), Some(Adjacency::Local)));
    assert!(matches!(
        scene.underlay("198.51.100.9"),
        Some(Adjacency::Connected { interface: WAN })
    ));
    assert!(scene.overlay("192.0.2.1").is_none());
}

/// Two worlds: hosts do not reach the underlay, and NBMA addresses no tunnel.
#[test]
fn nothing_of_one_world_is_in_the_table_of_the_other() {
    let scene = Scene::new(&hub());
    for nbma in ["198.51.100.1", "198.51.100.9", "203.0.113.2", "2001:db8:1::1"] {
        assert!(scene.overlay(nbma).is_none(), "{nbma}");
    }
    for inner in ["10.1.0.1", "10.255.0.2", "10.2.0.1"] {
        let Some(Adjacency::Neighbor(link)) = scene.underlay(inner) else { panic!("{inner}") };
        assert_eq!(link.interface, WAN, "only the default route of the underlay");
    }
}

/// A default route of the overlay into a tunnel does not carry the tunnel's own packets.
#[test]
fn nbma_addresses_are_never_looked_up_in_the_overlay() {
    let route = "[[route]]\nprefix = \"0.0.0.0/0\"\nvia = \"branch\"\n";
    let scene = Scene::new(&[&hub(), route].concat());
    assert!(matches!(scene.overlay("203.0.113.7"), Some(Adjacency::Tunnel(_))));
    assert_eq!(scene.encap("branch", "203.0.113.7").template[..6], mac(254).octets());

    let no_gateway = hub().replace("gateway = [\"198.51.100.254\", \"fe80::1\"]\n", "");
    let scene = Scene::new(&[&no_gateway, route].concat());
    assert!(is_drop(Some(scene.peer("branch", "203.0.113.7")), DropReason::NoRoute));
    assert!(is_drop(scene.overlay("203.0.113.7"), DropReason::NoRoute));
}

#[test]
fn each_family_has_its_own_gateway() {
    let mut scene = Scene::unresolved(&hub());
    assert!(matches!(scene.underlay("192.0.2.1"), Some(Adjacency::Unresolved { interface: WAN })));
    for gateway in ["198.51.100.254", "fe80::1"] {
        assert!(scene.compiled.needed.contains(&(WAN, ip(gateway))), "{gateway}");
    }
    scene.neighbors.insert((WAN, ip("fe80::1")), mac(1));
    scene.compile();
    assert!(matches!(scene.underlay("192.0.2.1"), Some(Adjacency::Unresolved { .. })));
    let Some(Adjacency::Neighbor(link)) = scene.underlay("2001:db8:ff::1") else { panic!() };
    assert_eq!(link.header[..6], mac(1).octets());
}

#[test]
fn static_routes_and_equal_cost_groups() {
    let mut scene = Scene::new(&hub());
    assert!(matches!(scene.overlay("10.7.1.1"), Some(Adjacency::Connected { interface: LAN })));
    let members = |scene: &Scene, address| match scene.overlay(address) {
        Some(Adjacency::Group(members)) => members.to_vec(),
        other => panic!("{other:?}"),
    };
    let find = |scene: &Scene, key| scene.memory.indices.find(&key).unwrap();
    let hops = ["10.1.0.77", "10.1.0.78"].map(|a| AdjacencyKey::NextHop(LAN, ip(a)));
    let hops = hops.map(|key| find(&scene, key));
    assert_eq!(members(&scene, "10.6.1.1"), hops, "two sections with one prefix add up");
    assert!(matches!(scene.at(hops[0]), Adjacency::Unresolved { interface: LAN }));
    let peers = [("dm", "203.0.113.2"), ("branch", "203.0.113.7")];
    let peers = peers
        .map(|(tunnel, nbma)| find(&scene, AdjacencyKey::Peer(scene.tunnel(tunnel), path(nbma))));
    assert_eq!(members(&scene, "10.3.1.1"), peers);

    scene.neighbors.insert((LAN, ip("10.1.0.77")), mac(77));
    scene.neighbors.insert((LAN, ip("2001:db8:a::77")), mac(78));
    scene.compile();
    assert!(matches!(scene.at(hops[0]), Adjacency::Neighbor(link) if link.interface == LAN));
    let Some(Adjacency::Neighbor(link)) = scene.overlay("2001:db8:b::5") else { panic!() };
    assert_eq!(link.header[..6], mac(78).octets());
}

#[test]
fn a_multipoint_tunnel_leads_to_the_peers_that_are_mapped() {
    let mut scene = Scene::new(&hub());
    for (address, nbma) in [("10.255.0.2", "203.0.113.2"), ("10.2.9.9", "203.0.113.2")] {
        let Some(Adjacency::Tunnel(encap)) = scene.overlay(address) else { panic!("{address}") };
        assert_eq!(outer(encap), (ip("198.51.100.1"), ip(nbma)));
        assert_eq!(encap.interface, scene.tunnel("dm"));
        assert_eq!(encap.gre_fields.key, Some(42));
    }
    // On the underlay's own link the peer itself is the neighbour.
    assert!(matches!(scene.overlay("10.255.0.3"), Some(Adjacency::Unresolved { interface: WAN })));
    let waits = scene.overlay_index("10.255.0.3").unwrap();
    assert_eq!(scene.compiled.unresolved[&waits], (WAN, ip("198.51.100.3")));
    scene.neighbors.insert((WAN, ip("198.51.100.3")), mac(3));
    scene.compile();
    assert!(matches!(scene.overlay("10.255.0.3"), Some(Adjacency::Tunnel(_))));
    assert!(scene.compiled.unresolved.is_empty());
    for unmapped in ["10.255.0.4", "10.4.0.1"] {
        assert!(is_drop(scene.overlay(unmapped), DropReason::Unresolved), "{unmapped}");
    }
}

#[test]
fn a_tunnel_that_is_down_withdraws_its_routes() {
    let mut scene = Scene::new(&hub());
    let branch = scene.tunnel("branch");
    assert!(matches!(scene.overlay("10.254.0.2"), Some(Adjacency::Tunnel(_))));
    scene.down.insert(branch);
    scene.compile();
    for gone in ["10.254.0.2", "10.254.0.3", "10.5.0.1"] {
        assert!(scene.overlay(gone).is_none(), "{gone}");
    }
    assert!(matches!(scene.overlay("10.254.0.1"), Some(Adjacency::Local)));
    // Of the group, the other member is left.
    let Some(Adjacency::Tunnel(encap)) = scene.overlay("10.3.0.1") else { panic!() };
    assert_eq!(encap.interface, scene.tunnel("dm"));
    // Keepalives must get through to bring it up again.
    assert!(matches!(scene.peer("branch", "203.0.113.7"), Adjacency::Tunnel(_)));
    scene.down.clear();
    scene.compile();
    assert!(matches!(scene.overlay("10.5.0.1"), Some(Adjacency::Tunnel(_))));
}

#[test]
fn of_the_same_prefix_the_connected_one_counts() {
    let text = [&hub(), "[[route]]\nprefix = \"10.1.0.0/24\"\nvia = \"branch\"\n"].concat();
    let scene = Scene::new(&text);
    assert!(matches!(scene.overlay("10.1.0.9"), Some(Adjacency::Connected { interface: LAN })));
}

#[test]
fn own_addresses_come_before_everything() {
    let route = |prefix| format!("[[route]]\nprefix = \"{prefix}\"\nvia = \"branch\"\n");
    let scene = Scene::new(&[&hub(), &route("10.1.0.1/32")[..], &route("10.255.0.1")].concat());
    for own in ["10.1.0.1", "10.255.0.1"] {
        assert!(matches!(scene.overlay(own), Some(Adjacency::Local)), "{own}");
    }
    // Even where a network ends at it.
    let text = hub().replace("\"10.1.0.1/24\"", "\"10.1.0.1/24\", \"10.1.0.255/32\"");
    assert!(matches!(Scene::new(&text).overlay("10.1.0.255"), Some(Adjacency::Local)));
}

#[test]
fn broadcasts() {
    let mut scene = Scene::new(&hub());
    assert!(is_drop(scene.overlay("10.1.0.255"), DropReason::DirectedBroadcast));
    let Some(Adjacency::Replicate(list)) = scene.overlay("10.254.0.3") else { panic!() };
    assert_eq!(list.replicas.len(), 1);
    // Without `multicast` no peer of an mGRE tunnel gets any.
    let Some(Adjacency::Replicate(list)) = scene.overlay("10.255.0.255") else { panic!() };
    assert!(list.replicas.is_empty());

    scene.reload(
        &hub().replace("role = \"overlay\"", "role = \"overlay\"\ndirected_broadcast = true"),
    );
    let Some(Adjacency::Neighbor(link)) = scene.overlay("10.1.0.255") else { panic!() };
    assert!(link.broadcast && link.interface == LAN);
    assert!(matches!(scene.underlay("198.51.100.255"), Some(Adjacency::Connected { .. })));
}

/// One peer keeps to one path, a resolved one if there is any.
#[test]
fn a_peer_behind_equal_cost_paths_keeps_to_one() {
    let hops = "via = [\"198.51.100.10\", \"198.51.100.11\"]\ntable = \"underlay\"";
    let text = [
        PORTS,
        &format!("[[route]]\nprefix = \"203.0.113.0/24\"\n{hops}\n"),
        &gre("branch", "203.0.113.7", ""),
    ];
    let mut scene = Scene::new(&text.concat());
    assert!(matches!(scene.peer("branch", "203.0.113.7"), Adjacency::Unresolved { .. }));
    for hop in ["198.51.100.10", "198.51.100.11"] {
        assert!(scene.compiled.needed.contains(&(WAN, ip(hop))), "{hop}");
    }
    scene.neighbors.insert((WAN, ip("198.51.100.11")), mac(11));
    scene.compile();
    assert_eq!(scene.encap("branch", "203.0.113.7").template[..6], mac(11).octets());
    scene.neighbors.insert((WAN, ip("198.51.100.10")), mac(10));
    scene.compile();
    assert_eq!(scene.encap("branch", "203.0.113.7").template[..6], mac(10).octets());
}

#[test]
fn interfaces_of_vlans() {
    let text = [
        PORTS,
        "[[port]]\nname = \"lan.10\"\nparent = \"lan\"\nvlan = 10\nrole = \"overlay\"\n\
         addresses = [\"10.1.10.1/24\"]\ngateway = \"10.1.10.254\"\n",
        &gre("branch", "203.0.113.7", ""),
    ];
    let mut scene = Scene::new(&text.concat());
    let vlan = 2;
    scene.neighbors.insert((vlan, ip("10.1.10.254")), mac(9));
    scene.compile();
    let interface = scene.compiled.tables.interfaces.get(vlan).unwrap();
    assert_eq!((interface.vlan, interface.policy), (Some(10), None));
    let Some(Adjacency::Neighbor(link)) = scene.overlay("192.0.2.1") else { panic!() };
    assert_eq!((link.interface, link.len), (vlan, 18));
    assert_eq!(link.header[12..16], [0x81, 0x00, 0, 10]);
    assert_eq!(scene.tunnel("branch"), 3, "tunnels are counted after the ports");
    let neighbor = scene.compiled.tables.neighbors.find(vlan, ip("10.1.10.254").into()).unwrap();
    assert!(matches!(scene.at(neighbor), Adjacency::Neighbor(link) if link.interface == vlan));
}
