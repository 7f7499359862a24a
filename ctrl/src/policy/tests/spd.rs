//! Policies of underlay ports: crypto maps.

use dataplane::tables::policy::{Action, FlowKey};

use super::*;

const PEER: &str = "203.0.113.7";
/// The IPsec gateway in front of the peer.
const FRONT: &str = "203.0.113.200";

fn rule(src: &str, dst: &str, more: &str) -> String {
    let (more, action) = more.split_once(';').unwrap_or(("", more));
    format!(
        "[[ipsec.policy]]\nport = \"wan\"\n\
         select = {{ src = \"{src}\", dst = \"{dst}\"{more} }}\n{action}\n"
    )
}

fn protect(profile: &str, remote: &str) -> String {
    format!("action = \"protect\"\nprofile = \"{profile}\"\nremote = \"{remote}\"")
}

fn gre_rule(action: &str) -> String {
    rule("198.51.100.1", PEER, &format!(", proto = \"gre\";{action}"))
}

fn scene(parts: &[String]) -> Scene {
    Scene::new(&[PORTS, &profile("transport"), &profile("tunnel"), &parts.concat()].concat())
}

fn flow(src: &str, dst: &str, proto: u8, ports: Option<(u16, u16)>) -> FlowKey {
    FlowKey { src: ip(src), dst: ip(dst), proto, ports }
}

#[test]
fn the_first_match_wins() {
    let scene = scene(&[
        rule("10.1.0.0/16", "10.2.9.0/24", "action = \"discard\""),
        rule("10.1.0.0/16", "10.2.0.0/16", ", proto = \"icmp\";action = \"bypass\""),
        rule("10.1.0.0/16", "10.2.0.0/16", &protect("tunnel", PEER)),
        sa("tunnel", "out", PEER, 0x1001),
    ]);
    let interface = scene.compiled.tables.interfaces.get(WAN).unwrap();
    let policy = &scene.compiled.tables.policies[interface.policy.unwrap() as usize];
    let action = |flow: FlowKey| policy.classify(&flow).map(|(_, action)| action);
    let tcp = |dst| flow("10.1.0.9", dst, 6, Some((1, 2)));
    assert_eq!(action(tcp("10.2.9.1")), Some(Action::Discard));
    assert_eq!(action(flow("10.1.0.9", "10.2.1.1", 1, None)), Some(Action::Bypass));
    assert_eq!(action(tcp("10.3.0.1")), None);
    let Some(Action::Protect { adjacency }) = action(tcp("10.2.1.1")) else { panic!() };
    let Adjacency::Tunnel(encap) = scene.at(adjacency) else { panic!() };
    assert_eq!((spi(encap), outer(encap)), (0x1001, (ip("198.51.100.1"), ip(PEER))));
    assert_eq!((encap.gre, encap.inner, encap.interface), (0, 0, WAN));
    assert_eq!(encap.next_header, 0, "as the version of the packet says");
    // 1500 - 20 - 16 - 16 = 1448, less pad length and next header.
    assert_eq!((encap.mtu, encap.mss), (1446, 1406));
}

#[test]
fn a_rule_without_an_sa_drops() {
    let scene = scene(&[rule("10.1.0.0/16", "10.2.0.0/16", &protect("tunnel", PEER))]);
    let policy = &scene.compiled.tables.policies[0];
    let found = policy.classify(&flow("10.1.0.9", "10.2.0.1", 6, Some((1, 2))));
    let Some((0, Action::Protect { adjacency })) = found else { panic!("{found:?}") };
    assert!(is_drop(Some(scene.at(adjacency)), DropReason::NoSa));
}

/// Destinations of hosts lead into the policies of the port; what the gateway itself sends is
/// looked up in the underlay.
#[test]
fn destinations_become_routes_of_the_overlay() {
    let scene = scene(&[
        rule("10.1.0.0/16", "10.2.0.0/16", "action = \"discard\""),
        rule("2001:db8:a::/48", "2001:db8:b::/48", "action = \"bypass\""),
        rule("198.51.0.0/16", "10.4.0.0/16", "action = \"bypass\""),
        rule("10.1.0.0/16", "10.1.0.0/24", "action = \"bypass\""),
        gre_rule(&protect("transport", PEER)),
    ]);
    for inside in ["10.2.0.1", "2001:db8:b::1", "10.4.0.1"] {
        assert!(matches!(scene.overlay(inside), Some(Adjacency::Policy(0))), "{inside}");
    }
    assert!(scene.overlay(PEER).is_none());
    assert!(matches!(scene.overlay("10.1.0.9"), Some(Adjacency::Connected { .. })));
}

#[test]
fn a_selector_of_gre_protects_a_tunnel_in_transport_mode() {
    let tunnel = gre("branch", PEER, "key = 7");
    let without = scene(&[tunnel.clone(), gre_rule(&protect("transport", PEER))]);
    assert!(is_drop(Some(without.peer("branch", PEER)), DropReason::NoSa));
    let sa = sa("transport", "out", PEER, 0x1001);
    let with = scene(&[tunnel, gre_rule(&protect("transport", PEER)), sa]);
    let encap = with.encap("branch", PEER);
    assert_eq!((spi(encap), encap.next_header, encap.inner), (0x1001, 47, 0));
    assert_eq!(encap.gre_fields.key, Some(7));
}

/// The SA ends at another machine than the tunnel: the outer header leads there, the one inside to
/// the peer.
#[test]
fn a_selector_of_gre_protects_a_tunnel_in_tunnel_mode() {
    let scene = scene(&[
        gre("branch", PEER, ""),
        gre_rule(&protect("tunnel", FRONT)),
        sa("tunnel", "out", FRONT, 0x1001),
    ]);
    let encap = scene.encap("branch", PEER);
    assert_eq!(outer(encap), (ip("198.51.100.1"), ip(FRONT)));
    assert_eq!(ends(encap, encap.inner), (ip("198.51.100.1"), ip(PEER)));
    assert_eq!((spi(encap), encap.next_header), (0x1001, 4));
}

#[test]
fn discard_bypass_and_no_rule() {
    let tunnel = gre("branch", PEER, "");
    let is_clear = |scene: &Scene| scene.encap("branch", PEER).esp == 0;
    assert!(is_clear(&scene(std::slice::from_ref(&tunnel))));
    assert!(is_clear(&scene(&[
        tunnel.clone(),
        gre_rule("action = \"bypass\""),
        rule("0.0.0.0/0", "0.0.0.0/0", "action = \"discard\""),
    ])));
    let udp = rule("198.51.100.1", PEER, ", proto = \"udp\";action = \"discard\"");
    assert!(is_clear(&scene(&[tunnel.clone(), udp])), "no rule of GRE");
    let discard = scene(&[
        tunnel,
        rule("198.51.100.0/24", "203.0.113.0/24", "action = \"discard\""),
        gre_rule("action = \"bypass\""),
    ]);
    assert!(is_drop(Some(discard.peer("branch", PEER)), DropReason::PolicyDiscard));
}

/// The tunnel's own profile is asked before the policies of the port.
#[test]
fn protection_of_the_tunnel_comes_first() {
    let scene = scene(&[
        gre("branch", PEER, "protection = \"transport\""),
        gre_rule("action = \"bypass\""),
        sa("transport", "out", PEER, 0x1001),
    ]);
    assert_eq!(spi(scene.encap("branch", PEER)), 0x1001);
}

#[test]
fn counters_of_a_protected_rule_go_on() {
    let mut scene = scene(&[
        rule("10.1.0.0/16", "10.2.0.0/16", &protect("tunnel", PEER)),
        sa("tunnel", "out", PEER, 0x1001),
    ]);
    let octets = |scene: &Scene| {
        let policy = &scene.compiled.tables.policies[0];
        let found = policy.classify(&flow("10.1.0.9", "10.2.0.1", 6, Some((1, 2))));
        let Some((_, Action::Protect { adjacency })) = found else { panic!("{found:?}") };
        let Adjacency::Tunnel(encap) = scene.at(adjacency) else { panic!() };
        encap.sent[0].count(100);
        encap.sent[0].octets.value()
    };
    assert_eq!(octets(&scene), 100);
    for published in 2..5 {
        scene.compile();
        assert_eq!(octets(&scene), 100 * published);
    }
}
