//! Whatever the configuration and the state of the world: what must be sealed is never sent, and
//! never accepted, in clear.

use dataplane::tables::Protection;
use dataplane::tables::tunnel::TunnelMatch;
use proptest::prelude::*;

use super::*;

const PEERS: [&str; 4] = ["203.0.113.1", "203.0.113.2", "198.51.100.3", "198.51.100.4"];
const PROFILES: [&str; 2] = ["transport", "tunnel"];

#[derive(Debug, Clone)]
struct RandomTunnel {
    is_mgre: bool,
    /// Index into [`PEERS`]; a multipoint tunnel has the next one too.
    peer: usize,
    protection: Option<usize>,
}

impl RandomTunnel {
    fn peers(&self) -> Vec<&'static str> {
        let count = if self.is_mgre { 2 } else { 1 };
        (0..count).map(|n| PEERS[(self.peer + n) % PEERS.len()]).collect()
    }

    fn text(&self, number: usize) -> String {
        let protection = self.protection.map(|p| format!("protection = \"{}\"", PROFILES[p]));
        let more = format!(
            "key = {number}\naddresses = [\"10.254.{number}.1/24\"]\n{}",
            protection.unwrap_or_default()
        );
        let name = format!("t{number}");
        if !self.is_mgre {
            return gre(&name, self.peers()[0], &more);
        }
        let map = self.peers().into_iter().zip(2..).map(|(nbma, host)| {
            format!("{{ protocol = \"10.254.{number}.{host}\", nbma = \"{nbma}\" }},")
        });
        format!(
            "[[tunnel]]\nname = \"{name}\"\nmode = \"mgre\"\nsource = \"wan\"\n{more}\n\
             [tunnel.nhrp]\nmulticast = \"dynamic\"\nmap = [{}]\n",
            map.collect::<String>()
        )
    }
}

/// A rule of GRE between our address and a peer, or all of them.
#[derive(Debug, Clone)]
struct RandomRule {
    peer: Option<usize>,
    /// 0: bypass, 1: discard, else: protect by a profile.
    action: usize,
}

impl RandomRule {
    fn text(&self) -> String {
        let dst = self.peer.map_or("0.0.0.0/0", |peer| PEERS[peer]);
        let action = match (self.action, self.peer) {
            (2.., Some(peer)) => format!(
                "action = \"protect\"\nprofile = \"{}\"\nremote = \"{}\"",
                PROFILES[self.action % 2],
                PEERS[peer]
            ),
            (0, _) => "action = \"bypass\"".to_owned(),
            _ => "action = \"discard\"".to_owned(),
        };
        format!(
            "[[ipsec.policy]]\nport = \"wan\"\nselect = {{ src = \"198.51.100.1\", \
             dst = \"{dst}\", proto = \"gre\" }}\n{action}\n"
        )
    }
}

#[derive(Debug, Clone)]
struct World {
    tunnels: Vec<RandomTunnel>,
    rules: Vec<RandomRule>,
    /// By profile and peer.
    outbound: Vec<bool>,
    expired: Vec<bool>,
    resolved: Vec<bool>,
    down: Vec<bool>,
    has_gateway: bool,
}

/// What a peer must be sent by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Must {
    Clear,
    Seal { profile: usize, peer: usize },
    Drop,
}

impl World {
    fn must(&self, tunnel: &RandomTunnel, peer: &str) -> Must {
        let peer = PEERS.iter().position(|nbma| *nbma == peer).unwrap();
        if let Some(profile) = tunnel.protection {
            return Must::Seal { profile, peer };
        }
        for rule in &self.rules {
            if rule.peer.is_none_or(|of| of == peer) {
                return match (rule.action, rule.peer) {
                    (0, _) => Must::Clear,
                    (2.., Some(peer)) => Must::Seal { profile: rule.action % 2, peer },
                    _ => Must::Drop,
                };
            }
        }
        Must::Clear
    }

    fn scene(&self) -> Scene {
        let mut text = PORTS.to_owned();
        if !self.has_gateway {
            text = text.replace("gateway", "# gateway");
        }
        text.extend(PROFILES.map(profile));
        text.extend(self.tunnels.iter().enumerate().map(|(n, tunnel)| tunnel.text(n + 1)));
        text.extend(self.rules.iter().map(RandomRule::text));
        for (number, spi) in (0..self.outbound.len()).zip(0x1000..) {
            if self.outbound[number] {
                text +=
                    &sa(PROFILES[number / PEERS.len()], "out", PEERS[number % PEERS.len()], spi);
            }
        }
        let mut scene = Scene::unresolved(&text);
        for (number, spi) in (0..self.expired.len()).zip(0x1000..) {
            if self.outbound[number] && self.expired[number] {
                let slot = scene.slot(Direction::Out, spi);
                scene.sas.by_slot(slot).unwrap().expired = true;
            }
        }
        let next_hops = ["198.51.100.254", PEERS[2], PEERS[3]];
        for (next_hop, _) in next_hops.iter().zip(&self.resolved).filter(|(_, is)| **is) {
            scene.neighbors.insert((WAN, ip(next_hop)), mac(5));
        }
        for number in (0..self.tunnels.len()).filter(|number| self.down[*number]) {
            scene.down.insert(scene.tunnel(&format!("t{}", number + 1)));
        }
        self.shortcuts(&mut scene);
        scene.compile();
        scene
    }

    /// To each peer of each multipoint tunnel: of a shortcut the same is demanded.
    fn shortcuts(&self, scene: &mut Scene) {
        for (number, tunnel) in (0u8..).zip(&self.tunnels).filter(|(_, tunnel)| tunnel.is_mgre) {
            let shortcut = |(network, peer): (u8, &str)| {
                (format!("10.{number}.{network}.0/24").parse().unwrap(), path(peer))
            };
            let learned = scene.learned.of_mut(TunnelId(number.into()));
            learned.shortcuts = (0..).zip(tunnel.peers()).map(shortcut).collect();
        }
    }
}

prop_compose! {
    fn world()(
        tunnels in prop::collection::vec(
            (any::<bool>(), 0..4_usize, prop::option::of(0..2_usize)), 1..5),
        rules in prop::collection::vec((prop::option::of(0..4_usize), 0..4_usize), 0..4),
        outbound in prop::collection::vec(any::<bool>(), 8),
        expired in prop::collection::vec(prop::bool::weighted(0.2), 8),
        resolved in prop::collection::vec(prop::bool::weighted(0.8), 3),
        down in prop::collection::vec(prop::bool::weighted(0.2), 4),
        has_gateway in prop::bool::weighted(0.8),
    ) -> World {
        let tunnel = |(is_mgre, peer, protection)| RandomTunnel { is_mgre, peer, protection };
        World {
            tunnels: tunnels.into_iter().map(tunnel).collect(),
            rules: rules.into_iter().map(|(peer, action)| RandomRule { peer, action }).collect(),
            outbound, expired, resolved, down, has_gateway,
        }
    }
}

/// Checks all adjacencies of a tunnel's interface against what must be.
fn check_outbound(world: &World, scene: &Scene, number: usize, tunnel: &RandomTunnel) {
    let interface = scene.tunnel(&format!("t{}", number + 1));
    for adjacency in scene.compiled.tables.adjacencies.iter() {
        let Adjacency::Tunnel(encap) = adjacency else { continue };
        if encap.interface != interface {
            continue;
        }
        let far = if encap.inner == 0 { outer(encap).1 } else { ends(encap, encap.inner).1 };
        match world.must(tunnel, &far.to_string()) {
            Must::Drop => panic!("{far} must not be reachable"),
            Must::Clear => assert_eq!(encap.esp, 0),
            Must::Seal { profile, peer } => {
                assert_ne!(encap.esp, 0, "in clear to {far}");
                let entry = scene.sas.iter().find(|entry| entry.slot == encap.slot).unwrap();
                assert_eq!(entry.manual.profile.index(), profile);
                assert_eq!(entry.manual.remote, ip(PEERS[peer]));
                assert_eq!(entry.manual.spi.value(), spi(encap));
                assert!(!entry.expired);
            }
        }
    }
}

/// Whatever a route or a copy leads to that carries the tunnel's packets is one of its peers.
fn check_routes(world: &World, scene: &Scene, number: usize, tunnel: &RandomTunnel) {
    let interface = scene.tunnel(&format!("t{}", number + 1));
    for host in [2, 3, 4, 255] {
        let is_mapped = host < 2 + tunnel.peers().len();
        match scene.overlay(&format!("10.254.{}.{host}", number + 1)) {
            None => assert!(world.down[number], "10.254.{}.{host}", number + 1),
            Some(Adjacency::Tunnel(encap)) => {
                assert_eq!(encap.interface, interface);
                assert!(is_mapped || !tunnel.is_mgre);
            }
            Some(Adjacency::Replicate(list)) => {
                assert_eq!(host, 255);
                assert_eq!(list.replicas.len(), tunnel.peers().len());
                for replica in &list.replicas {
                    let key = scene.memory.indices.key(replica.adjacency);
                    assert!(matches!(key, Some(AdjacencyKey::Peer(of, _)) if *of == interface));
                }
            }
            Some(other) => assert!(matches!(
                other,
                Adjacency::Drop(_) | Adjacency::Unresolved { interface: WAN }
            )),
        }
    }
}

fn check_inbound(world: &World, scene: &Scene, number: usize, tunnel: &RandomTunnel) {
    let key = Some(u32::try_from(number + 1).unwrap());
    let hub = ip("198.51.100.1").into();
    for nbma in tunnel.peers() {
        let found = scene.compiled.tables.tunnels.find(hub, ip(nbma).into(), key);
        let TunnelMatch::Peer(_, peer) = found else { panic!("{found:?}") };
        let expected = match world.must(tunnel, nbma) {
            Must::Clear => Protection::Clear,
            Must::Seal { profile, .. } => {
                Protection::Required { profile: u16::try_from(profile).unwrap() }
            }
            Must::Drop => Protection::Discard,
        };
        assert_eq!(peer.protection, expected);
    }
    if !tunnel.is_mgre {
        return;
    }
    let found = scene.compiled.tables.tunnels.find(hub, ip("192.0.2.99").into(), key);
    let TunnelMatch::Stranger(of) = found else { panic!("{found:?}") };
    if tunnel.protection.is_some() {
        assert!(matches!(of.protection, Protection::Required { .. }));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn nothing_that_must_be_sealed_passes_in_clear(world in world()) {
        let scene = world.scene();
        for (number, tunnel) in world.tunnels.iter().enumerate() {
            check_outbound(&world, &scene, number, tunnel);
            check_routes(&world, &scene, number, tunnel);
            check_inbound(&world, &scene, number, tunnel);
        }
    }
}
