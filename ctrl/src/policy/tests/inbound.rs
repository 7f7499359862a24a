//! How packets must arrive.

use dataplane::tables::policy::FlowKey;
use dataplane::tables::tunnel::TunnelMatch;
use dataplane::tables::{InboundSa, Protection};

use super::*;

const PEER: &str = "203.0.113.7";
const OTHER: &str = "203.0.113.8";

fn mgre(name: &str, more: &str, peers: &[&str]) -> String {
    let map = peers.iter().enumerate().map(|(index, nbma)| {
        format!("{{ protocol = \"10.255.0.{}\", nbma = \"{nbma}\" }},", index + 2)
    });
    format!(
        "[[tunnel]]\nname = \"{name}\"\nmode = \"mgre\"\nsource = \"wan\"\n{more}\n\
         [tunnel.nhrp]\nmap = [{}]\n",
        map.collect::<String>()
    )
}

fn scene(parts: &[String]) -> Scene {
    Scene::new(&[PORTS, &profile("transport"), &profile("tunnel"), &parts.concat()].concat())
}

fn rule(dst: &str, action: &str) -> String {
    format!(
        "[[ipsec.policy]]\nport = \"wan\"\n\
         select = {{ src = \"198.51.100.1\", dst = \"{dst}\", proto = \"gre\" }}\n{action}\n"
    )
}

fn protect(profile: &str, remote: &str) -> String {
    format!("action = \"protect\"\nprofile = \"{profile}\"\nremote = \"{remote}\"")
}

/// What is asked of GRE from `remote`: by name of the tunnel.
fn asked(scene: &Scene, remote: &str, key: Option<u32>) -> (String, Protection) {
    let found =
        scene.compiled.tables.tunnels.find(ip("198.51.100.1").into(), ip(remote).into(), key);
    let (tunnel, protection) = match found {
        TunnelMatch::Peer(tunnel, peer) => (tunnel, peer.protection),
        TunnelMatch::Stranger(tunnel) => (tunnel, tunnel.protection),
        other => panic!("{other:?}"),
    };
    let at = usize::from(tunnel.interface) - scene.config.ports.len();
    (scene.config.tunnels[at].name.clone(), protection)
}

fn inbound(scene: &Scene, spi: u32) -> &InboundSa {
    let sas = &scene.compiled.tables.sas;
    sas.inbound(sas.slot_of(spi).unwrap()).unwrap()
}

const TRANSPORT: Protection = Protection::Required { profile: 0 };
const TUNNEL: Protection = Protection::Required { profile: 1 };

#[test]
fn a_protected_tunnel_asks_for_its_own_profile() {
    let scene = scene(&[
        gre("p2p", PEER, "protection = \"tunnel\"\nkey = 1"),
        mgre("dm", "protection = \"transport\"\nkey = 2", &[PEER]),
        gre("clear", PEER, "key = 3"),
    ]);
    assert_eq!(asked(&scene, PEER, Some(1)), ("p2p".to_owned(), TUNNEL));
    assert_eq!(asked(&scene, PEER, Some(2)), ("dm".to_owned(), TRANSPORT));
    assert_eq!(asked(&scene, OTHER, Some(2)), ("dm".to_owned(), TRANSPORT), "strangers too");
    assert_eq!(asked(&scene, PEER, Some(3)), ("clear".to_owned(), Protection::Clear));
}

#[test]
fn a_policy_of_the_port_asks_for_its_profile() {
    let scene = scene(&[
        gre("p2p", PEER, ""),
        gre("other", OTHER, ""),
        gre("third", "203.0.113.9", ""),
        rule(PEER, &protect("transport", PEER)),
        rule(OTHER, "action = \"discard\""),
    ]);
    assert_eq!(asked(&scene, PEER, None).1, TRANSPORT);
    assert_eq!(asked(&scene, OTHER, None).1, Protection::Discard);
    assert_eq!(asked(&scene, "203.0.113.9", None).1, Protection::Clear);
}

/// Of somebody unknown the address is not known in advance, so the policies must be of one mind.
#[test]
fn strangers_are_asked_for_what_all_are_asked_for() {
    let of = |rules: &[String]| {
        let scene = scene(&[mgre("dm", "", &[]), rules.concat()]);
        asked(&scene, PEER, None).1
    };
    let all = |action: &str| rule("0.0.0.0/0", action);
    assert_eq!(of(&[]), Protection::Clear);
    assert_eq!(of(&[all("action = \"bypass\"")]), Protection::Clear);
    assert_eq!(of(&[all(&protect("tunnel", PEER))]), TUNNEL);
    assert_eq!(of(&[rule(PEER, &protect("transport", PEER))]), Protection::Discard);
    assert_eq!(of(&[rule(PEER, "action = \"bypass\"")]), Protection::Clear);
    let shadowed = [all("action = \"bypass\""), rule(PEER, "action = \"discard\"")];
    assert_eq!(of(&shadowed), Protection::Clear, "the first match counts");
    assert_eq!(of(&[rule(PEER, &protect("tunnel", PEER)), all(&protect("tunnel", OTHER))]), TUNNEL);
    assert_eq!(
        of(&[rule(PEER, "action = \"bypass\""), all("action = \"discard\"")]),
        Protection::Discard
    );
}

#[test]
fn a_point_to_point_tunnel_comes_before_a_multipoint_one() {
    let p2p = gre("p2p", PEER, "");
    let dm = mgre("dm", "protection = \"transport\"", &[PEER, OTHER]);
    for parts in [[p2p.clone(), dm.clone()], [dm, p2p]] {
        let scene = scene(&parts);
        assert_eq!(asked(&scene, PEER, None), ("p2p".to_owned(), Protection::Clear));
        assert_eq!(asked(&scene, OTHER, None), ("dm".to_owned(), TRANSPORT));
    }
}

#[test]
fn gre_comes_out_of_an_sa_only_where_a_tunnel_wants_it() {
    let sas =
        |profile| [sa(profile, "in", PEER, 0x1000), sa(profile, "in", OTHER, 0x1001)].concat();
    let allowed = |parts: &[String]| {
        let scene = scene(parts);
        [0x1000, 0x1001].map(|spi| inbound(&scene, spi).allows_gre)
    };
    let p2p = |more: &str| gre("p2p", PEER, more);
    let by_transport = sas("transport");
    assert_eq!(allowed(&[p2p("protection = \"transport\""), by_transport.clone()]), [true, false]);
    assert_eq!(allowed(&[p2p("protection = \"tunnel\""), by_transport.clone()]), [false, false]);
    assert_eq!(allowed(&[p2p(""), by_transport.clone()]), [false, false]);
    let dm = mgre("dm", "protection = \"transport\"", &[OTHER]);
    assert_eq!(allowed(&[dm, by_transport.clone()]), [true, true], "peers may be learnt");
    let rule = rule(PEER, &protect("transport", PEER));
    assert_eq!(allowed(&[p2p(""), rule.clone(), by_transport.clone()]), [true, false]);
    assert_eq!(allowed(&[rule, by_transport]), [false, false]);
}

#[test]
fn an_sa_admits_what_its_policies_select_seen_from_the_other_side() {
    let policy = |dst: &str, remote: &str| {
        format!(
            "[[ipsec.policy]]\nport = \"wan\"\nselect = {{ src = \"10.1.0.0/16\", \
             dst = \"{dst}\", proto = \"tcp\", dst_port = 443 }}\n{}\n",
            protect("tunnel", remote)
        )
    };
    let scene = scene(&[
        policy("10.2.0.0/16", PEER),
        policy("10.3.0.0/16", PEER),
        policy("10.4.0.0/16", OTHER),
        sa("tunnel", "in", PEER, 0x1000),
        sa("tunnel", "in", OTHER, 0x1001),
        sa("transport", "in", PEER, 0x1002),
    ]);
    let admits = |spi, src, dst, ports| {
        let key = FlowKey { src: ip(src), dst: ip(dst), proto: 6, ports: Some(ports) };
        inbound(&scene, spi).selectors.classify(&key).is_some()
    };
    assert!(admits(0x1000, "10.2.0.1", "10.1.0.1", (443, 5000)));
    assert!(admits(0x1000, "10.3.0.1", "10.1.0.1", (443, 5000)));
    assert!(!admits(0x1000, "10.3.0.1", "10.1.0.1", (5000, 443)), "ports are reversed too");
    assert!(!admits(0x1000, "10.1.0.1", "10.2.0.1", (443, 443)));
    assert!(!admits(0x1000, "10.4.0.1", "10.1.0.1", (443, 5000)), "of another peer");
    assert!(admits(0x1001, "10.4.0.1", "10.1.0.1", (443, 5000)));
    assert!(!admits(0x1002, "10.2.0.1", "10.1.0.1", (443, 5000)), "of another profile");
    let sa = inbound(&scene, 0x1000);
    let ends = (ip("198.51.100.1").into(), ip(PEER).into());
    assert_eq!(((sa.local, sa.remote), sa.profile), (ends, 1));
    assert!(!sa.allows_gre && !sa.udp && sa.esn);
}
