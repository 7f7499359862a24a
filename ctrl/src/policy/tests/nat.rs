//! Several peers behind one NAT: one address, an SA and a UDP port for each.

use dataplane::tables::tunnel::{Remote, TunnelMatch};

use super::*;

const NAT: &str = "203.0.113.9";
const FIRST: &str = "203.0.113.9";
const SECOND: &str = "203.0.113.9:61002";
const HUB: &str = "[[tunnel]]\nname = \"dm\"\nmode = \"mgre\"\nsource = \"wan\"\nkey = 42\n\
    addresses = [\"10.255.0.1/24\"]\nprotection = \"transport\"\n";

fn udp(direction: &str, spi: u32, port: u16) -> String {
    let ports = format!("udp_encap = {{ local_port = 4500, remote_port = {port} }}\n");
    sa("transport", direction, NAT, spi) + &ports
}

/// A hub with the SAs of two peers, which have registered.
fn scene() -> Scene {
    let sas = [
        udp("out", 0x1001, 61_001),
        udp("out", 0x1002, 61_002),
        udp("in", 0x2002, 61_002),
        udp("in", 0x2001, 61_001),
    ];
    let mut scene = Scene::new(&[PORTS, &profile("transport"), HUB, &sas.concat()].concat());
    let learned = scene.learned.of_mut(TunnelId(0));
    learned.bind(ip("10.255.0.11"), path(FIRST), Origin::Registered);
    learned.bind(ip("10.255.0.12"), path(SECOND), Origin::Registered);
    scene.compile();
    scene
}

/// SPI, address and UDP port that packets to a protocol address go to.
fn way(scene: &Scene, protocol: &str) -> (u32, IpAddr, u16) {
    let adjacency = scene.overlay(protocol);
    let Some(Adjacency::Tunnel(encap)) = adjacency else { panic!("{adjacency:?}") };
    let at = usize::from(encap.udp) + 2;
    let port = u16::from_be_bytes([encap.template[at], encap.template[at + 1]]);
    (spi(encap), outer(encap).1, port)
}

#[test]
fn each_gets_what_is_for_it() {
    let scene = scene();
    assert_eq!(way(&scene, "10.255.0.11"), (0x1001, ip(NAT), 61_001));
    assert_eq!(way(&scene, "10.255.0.12"), (0x1002, ip(NAT), 61_002));
}

#[test]
fn what_an_sa_brings_comes_from_its_peer() {
    let scene = scene();
    let tables = &scene.compiled.tables;
    for (spi, peer) in [(0x2001, FIRST), (0x2002, SECOND)] {
        let sa = tables.sas.inbound(tables.sas.slot_of(spi).unwrap()).unwrap();
        let expected =
            Remote { address: ip(NAT).into(), port: path(peer).port.map_or(0, u16::from) };
        assert_eq!(sa.peer(), expected);
        let found = tables.tunnels.find(ip("198.51.100.1").into(), sa.peer(), Some(42));
        let TunnelMatch::Peer(_, found) = found else { panic!("{found:?}") };
        let key = AdjacencyKey::Peer(scene.tunnel("dm"), path(peer));
        assert_eq!(scene.memory.indices.find(&key), Some(found.adjacency));
    }
    let nobody = Remote { address: ip(NAT).into(), port: 61_001 };
    let found = tables.tunnels.find(ip("198.51.100.1").into(), nobody, Some(42));
    assert!(matches!(found, TunnelMatch::Stranger(_)), "{found:?}");
}

#[test]
fn one_that_moves_does_not_take_the_other_along() {
    let mut scene = scene();
    let profile = Some(scene.sas.iter().next().unwrap().manual.profile);
    let both = [path(FIRST), path(SECOND)];
    assert_eq!(scene.sas.peers_at(profile, ip(NAT)), both.into());
    let inbound = scene.slot(Direction::In, 0x2002);
    assert!(scene.sas.moved(inbound, (ip("192.0.2.33"), 31_000)));
    scene.compile();
    assert_eq!(way(&scene, "10.255.0.11"), (0x1001, ip(NAT), 61_001));
    assert_eq!(way(&scene, "10.255.0.12"), (0x1002, ip("192.0.2.33"), 31_000));
    assert_eq!(scene.sas.peers_at(profile, ip(NAT)), [path(FIRST)].into());
    assert_eq!(scene.sas.peers_at(profile, ip("192.0.2.33")), [path(SECOND)].into());
}

/// A fresh key for one of them changes nothing about who they are.
#[test]
fn each_is_who_it_was_after_a_reload() {
    let mut scene = scene();
    let sas = [
        udp("out", 0x1003, 61_001),
        udp("out", 0x1002, 61_002),
        udp("in", 0x2002, 61_002),
        udp("in", 0x2001, 61_001),
    ];
    scene.reload(&[PORTS, &profile("transport"), HUB, &sas.concat()].concat());
    assert_eq!(way(&scene, "10.255.0.11"), (0x1003, ip(NAT), 61_001));
    assert_eq!(way(&scene, "10.255.0.12"), (0x1002, ip(NAT), 61_002));
    // Without the first the second is still the second.
    scene.reload(&[PORTS, &profile("transport"), HUB, &sas[1], &sas[2]].concat());
    assert!(is_drop(scene.overlay("10.255.0.11"), DropReason::NoSa));
    assert_eq!(way(&scene, "10.255.0.12"), (0x1002, ip(NAT), 61_002));
}
