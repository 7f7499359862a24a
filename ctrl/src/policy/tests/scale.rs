//! How long a compilation takes when there is much, and how much one change makes anew. Prints
//! figures: `cargo test -p greyhound --lib policy::tests::scale -- --ignored --nocapture`.

use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dataplane::tables::Tables;

use super::*;
use crate::config::Spi;

fn address(first: u32, n: u32) -> IpAddr {
    IpAddr::from((first + n).to_be_bytes())
}

/// An mGRE hub with `count` protected peers, each with two SAs.
fn hub(count: u32) -> String {
    let mut text = [PORTS, &profile("transport")].concat();
    text += "[[tunnel]]\nname = \"dm\"\nmode = \"mgre\"\nsource = \"wan\"\n\
             addresses = [\"10.128.0.1/9\"]\nprotection = \"transport\"\n[tunnel.nhrp]\n\
             multicast = \"dynamic\"\nmap = [\n";
    let nbma = |n| address(0xcb00_0000, n);
    for n in 0..count {
        let protocol = address(0x0a80_0002, n);
        writeln!(text, "{{ protocol = \"{protocol}\", nbma = \"{}\" }},", nbma(n)).unwrap();
    }
    text += "]\n";
    for n in 0..count {
        let remote = nbma(n).to_string();
        text += &sa("transport", "out", &remote, 0x10_0000 + n);
        text += &sa("transport", "in", &remote, 0x20_0000 + n);
    }
    text
}

fn timed<T>(what: &str, action: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let result = action();
    let took = start.elapsed();
    println!("{what}: {took:.2?}");
    (result, took)
}

fn peers(count: u32) -> Duration {
    let (config, _) = timed(&format!("{count} peers: parse"), || config(&hub(count)));
    let mut scene = Scene::unresolved(PORTS);
    scene.neighbors.insert((WAN, ip("198.51.100.254")), mac(254));
    scene.config = config;
    timed("  SAs made", || scene.sas.configure(&scene.config, moment(1)).unwrap());
    timed("  SAs compared", || scene.sas.configure(&scene.config, moment(1)).unwrap());
    timed("  first compilation", || scene.compile());
    scene.neighbors.insert((LAN, ip("10.1.0.9")), mac(9));
    let (_, took) = timed("  after one more neighbour", || scene.compile());
    assert!(matches!(scene.overlay("10.128.0.2"), Some(Adjacency::Tunnel(encap)) if encap.esp > 0));
    took
}

#[test]
#[ignore = "takes a while; prints figures"]
fn many_peers() {
    let (thousand, ten_thousand) = (peers(1_000), peers(10_000));
    assert!(ten_thousand < thousand * 60, "quadratic");
}

/// A hub with `count` peers that have registered; if it is protected, with the SAs of one more.
fn registered(count: u32, is_protected: bool) -> Scene {
    let protection = if is_protected { "protection = \"transport\"\n" } else { "" };
    let mut text = [PORTS, &profile("transport")].concat();
    text += &format!(
        "[[tunnel]]\nname = \"dm\"\nmode = \"mgre\"\nsource = \"wan\"\n\
         addresses = [\"10.128.0.1/9\"]\n{protection}[tunnel.nhrp]\nmulticast = \"dynamic\"\n"
    );
    for n in (0..=count).filter(|_| is_protected) {
        let remote = address(0xcb00_0000, n).to_string();
        text += &sa("transport", "out", &remote, 0x10_0000 + n);
        text += &sa("transport", "in", &remote, 0x20_0000 + n);
    }
    let mut scene = Scene::new(&text);
    (0..count).for_each(|n| register(&mut scene, n));
    scene.compile();
    scene
}

fn register(scene: &mut Scene, n: u32) {
    let learned = scene.learned.of_mut(TunnelId(0));
    let peer = address(0xcb00_0000, n).into();
    assert!(learned.bind(address(0x0a80_0002, n), peer, Origin::Registered));
}

/// The SA to the first peer has another SPI.
fn renew(scene: &mut Scene) {
    scene.config.sas[0].spi = Spi::new(0x30_0000).unwrap();
    scene.sas.configure(&scene.config, moment(2)).unwrap();
}

/// Its name, and what it does to a hub with so many peers.
type Change = (&'static str, fn(&mut Scene, u32));

/// One after another.
const CHANGES: [Change; 5] = [
    ("a neighbour", |scene, _| scene.neighbors.extend([((LAN, ip("10.1.0.9")), mac(9))])),
    ("one more peer", register),
    ("a path MTU", |scene, _| scene.path_mtus.extend([(address(0xcb00_0000, 0), 1300)])),
    ("an SA", |scene, _| renew(scene)),
    ("one peer less", |scene, count| {
        scene.learned.of_mut(TunnelId(0)).unbind(address(0x0a80_0002, count));
    }),
];

/// The time includes that old tables are freed.
#[test]
#[ignore = "takes a while; prints figures"]
fn one_change() {
    let mut scene = registered(10_000, true);
    for (what, change) in CHANGES {
        change(&mut scene, 10_000);
        timed(&format!("10000 peers, {what}"), || scene.compile());
    }
}

/// How many templates and SAs the old tables do not have.
fn made_anew(old: &Tables, new: &Tables) -> (usize, usize) {
    fn is_new<T>(old: Option<&Arc<T>>, new: Option<&Arc<T>>) -> bool {
        new.is_some_and(|new| !old.is_some_and(|old| Arc::ptr_eq(old, new)))
    }
    fn template(tables: &Tables, index: usize) -> Option<&Arc<Encap>> {
        match tables.adjacencies.get(index)? {
            Adjacency::Tunnel(encap) => Some(encap),
            _ => None,
        }
    }
    let templates = (0..new.adjacencies.len())
        .filter(|index| is_new(template(old, *index), template(new, *index)));
    // Slots count from zero; some rest.
    let sas = (0..1000).filter(|slot| {
        is_new(old.sas.shared_inbound(*slot), new.sas.shared_inbound(*slot))
            || is_new(old.sas.shared_outbound(*slot), new.sas.shared_outbound(*slot))
    });
    (templates.count(), sas.count())
}

#[test]
fn one_change_makes_what_has_changed() {
    let mut scene = registered(200, true);
    let mut made = Vec::new();
    for (_, change) in CHANGES {
        change(&mut scene, 200);
        let old = scene.compiled.tables.clone();
        scene.compile();
        made.push(made_anew(&old, &scene.compiled.tables));
    }
    assert_eq!(made, [(0, 0), (1, 0), (1, 0), (1, 1), (0, 0)]);
}

#[test]
#[ignore = "takes a while; prints figures"]
fn many_routes() {
    let mut scene = Scene::new(PORTS);
    let gateway = scene.config.routes[0].clone();
    let hop = |n: u32| crate::config::NextHop::Gateway {
        address: address(0x0a01_0002, n % 16),
        interface: crate::config::Interface::Port(crate::config::PortId(LAN)),
    };
    let route = |n: u32| crate::config::Route {
        table: crate::config::Table::Overlay,
        prefix: wire::IpPrefix::new(address(0x2000_0000, n << 8), 24).unwrap(),
        next_hops: vec![hop(n)],
    };
    scene.config.routes = (0..500_000).map(route).chain([gateway]).collect();
    timed("500000 routes: first compilation", || scene.compile());
    for n in 0..16_u8 {
        scene.neighbors.insert((LAN, address(0x0a01_0002, n.into())), mac(n));
    }
    timed("  after some neighbours", || scene.compile());
    assert!(matches!(scene.overlay("32.0.0.1"), Some(Adjacency::Neighbor(_))));
    scene.config.routes.pop();
    timed("  after a change of a route", || scene.compile());
}
