//! Tunnels with a profile: what leaves is sealed, or nothing leaves.

use super::*;

const PEER: &str = "203.0.113.7";

fn protected(mode: &str, sas: &[String]) -> String {
    let tunnel = format!("protection = \"{mode}\"\naddresses = [\"10.254.0.1/30\"]");
    [PORTS, &profile(mode), &gre("branch", PEER, &tunnel), &sas.concat()].concat()
}

#[test]
fn without_an_sa_it_drops_whatever_else_is_missing() {
    let without_gateway = |text: String| text.replace("gateway = [", "# [");
    let text = protected("transport", &[sa("transport", "in", PEER, 0x1000)]);
    for text in [text.clone(), without_gateway(text)] {
        let scene = Scene::unresolved(&text);
        assert!(is_drop(Some(scene.peer("branch", PEER)), DropReason::NoSa));
        assert!(is_drop(scene.overlay("10.254.0.2"), DropReason::NoSa));
        assert!(scene.compiled.unresolved.is_empty(), "nothing waits only to be dropped");
    }
}

#[test]
fn with_an_sa_it_waits_for_the_next_hop() {
    let text = protected("transport", &[sa("transport", "out", PEER, 0x1001)]);
    let mut scene = Scene::unresolved(&text);
    assert!(matches!(scene.peer("branch", PEER), Adjacency::Unresolved { interface: WAN }));
    let index = scene.overlay_index("10.254.0.2").unwrap();
    assert_eq!(scene.compiled.unresolved[&index], (WAN, ip("198.51.100.254")));
    scene.neighbors.insert((WAN, ip("198.51.100.254")), mac(254));
    scene.compile();
    let encap = scene.encap("branch", PEER);
    assert_eq!((spi(encap), encap.slot), (0x1001, scene.slot(Direction::Out, 0x1001)));
    assert_eq!(outer(encap), (ip("198.51.100.1"), ip(PEER)));
    assert_eq!((encap.inner, encap.udp, encap.next_header), (0, 0, 47));
    assert_eq!(encap.lane, encap.slot, "one SA is one lane");

    let slot = encap.slot;
    scene.sas.by_slot(slot).unwrap().expired = true;
    scene.compile();
    assert!(is_drop(scene.overlay("10.254.0.2"), DropReason::SaExpired));
}

/// An SA of another profile, or of another peer, is none.
#[test]
fn only_its_own_sa_will_do() {
    let sas = [sa("tunnel", "out", PEER, 0x1001), sa("transport", "out", "203.0.113.8", 0x1002)];
    let text = [&protected("transport", &sas), &profile("tunnel")[..]].concat();
    let scene = Scene::new(&text);
    assert!(is_drop(Some(scene.peer("branch", PEER)), DropReason::NoSa));
}

#[test]
fn tunnel_mode_has_a_header_of_its_own() {
    let scene = Scene::new(&protected("tunnel", &[sa("tunnel", "out", PEER, 0x1001)]));
    let encap = scene.encap("branch", PEER);
    let both = (ip("198.51.100.1"), ip(PEER));
    assert_eq!((outer(encap), ends(encap, encap.inner)), (both, both));
    assert_eq!(encap.next_header, 4);
}

/// The outer source is the SA's, which need not be the tunnel's.
#[test]
fn tunnel_mode_leaves_from_the_address_of_the_sa() {
    let sa = sa("tunnel", "out", PEER, 0x1001).replace("198.51.100.1", "198.51.100.5");
    let text = protected("tunnel", &[sa])
        .replace("\"198.51.100.1/24\"", "\"198.51.100.1/24\", \"198.51.100.5/24\"");
    let scene = Scene::new(&text);
    let encap = scene.encap("branch", PEER);
    assert_eq!(outer(encap), (ip("198.51.100.5"), ip(PEER)));
    assert_eq!(ends(encap, encap.inner), (ip("198.51.100.1"), ip(PEER)));
}

/// 1500 octets leave 1442 for GRE without key over ESP, and 40 less for a segment.
#[test]
fn the_path_mtu_lowers_mtu_and_mss() {
    let mut scene = Scene::new(&protected("transport", &[sa("transport", "out", PEER, 0x1001)]));
    let encap = scene.encap("branch", PEER);
    assert_eq!((encap.path_mtu, encap.mtu, encap.mss), (1500, 1442, 1402));
    scene.path_mtus.insert(ip(PEER), 1400);
    scene.path_mtus.insert(ip("203.0.113.8"), 600);
    scene.compile();
    let encap = scene.encap("branch", PEER);
    assert_eq!((encap.path_mtu, encap.mtu, encap.mss), (1400, 1342, 1302));
    let tunnel = scene.compiled.tables.tunnels.by_interface(scene.tunnel("branch")).unwrap();
    assert_eq!(tunnel.mss, 1302);
    scene.path_mtus.insert(ip(PEER), 9000);
    scene.compile();
    assert_eq!(scene.encap("branch", PEER).path_mtu, 1500, "the port's own is the most");
}

/// Segments from hosts behind any peer may go to hosts behind any other.
#[test]
fn the_mss_of_a_multipoint_tunnel_is_that_of_its_narrowest_path() {
    let text = [
        PORTS,
        "[[tunnel]]\nname = \"dm\"\nmode = \"mgre\"\nsource = \"wan\"\n[tunnel.nhrp]\nmap = [\n\
         { protocol = \"10.255.0.2\", nbma = \"203.0.113.2\" },\n\
         { protocol = \"10.255.0.3\", nbma = \"203.0.113.3\" }]\n",
    ];
    let mut scene = Scene::new(&text.concat());
    scene.path_mtus.insert(ip("203.0.113.2"), 1300);
    scene.compile();
    let tunnel = scene.compiled.tables.tunnels.by_interface(scene.tunnel("dm")).unwrap();
    assert_eq!(tunnel.mss, 1300 - 24 - 40);
}

#[test]
fn a_peer_behind_a_nat_is_followed() {
    let udp = |line: &str| format!("{line}udp_encap = true\n");
    let sas =
        [udp(&sa("transport", "out", PEER, 0x1001)), udp(&sa("transport", "in", PEER, 0x1000))];
    let mut scene = Scene::new(&protected("transport", &sas));
    let ports = |encap: &Encap| {
        let at = usize::from(encap.udp);
        let port = |at: usize| u16::from_be_bytes([encap.template[at], encap.template[at + 1]]);
        (port(at), port(at + 2))
    };
    let encap = scene.encap("branch", PEER);
    assert_eq!((outer(encap).1, ports(encap)), (ip(PEER), (4500, 4500)));

    let inbound = scene.slot(Direction::In, 0x1000);
    assert!(scene.sas.moved(inbound, (ip("192.0.2.33"), 31_000)));
    scene.path_mtus.insert(ip("192.0.2.33"), 1400);
    scene.compile();
    let encap = scene.encap("branch", PEER);
    assert_eq!((outer(encap).1, ports(encap)), (ip("192.0.2.33"), (4500, 31_000)));
    assert_eq!(encap.path_mtu, 1400, "of the path to where it is");
    assert_eq!(spi(encap), 0x1001);
}
