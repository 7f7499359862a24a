//! How long a compilation takes when there is much. Prints figures:
//! `cargo test -p greyhound --lib policy::tests::scale -- --ignored --nocapture`.

use std::fmt::Write;
use std::time::{Duration, Instant};

use super::*;

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
