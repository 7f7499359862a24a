//! What is kept from one compilation to the next never shows: after any changes, the tables are
//! those that are made of the same knowledge from nothing.

use std::sync::Arc;
use std::time::Duration;

use dataplane::tables::Tables;
use dataplane::tables::tunnel::{Remote, TunnelMatch};
use proptest::prelude::*;

use super::*;

/// Peers of the tunnels; the first two are behind one NAT.
const PEERS: [&str; 5] =
    ["203.0.113.1", "203.0.113.1:4501", "203.0.113.2", "198.51.100.3", "198.51.100.4"];

/// A configuration of a multipoint and a point-to-point tunnel.
#[derive(Debug, Clone)]
struct Setup {
    port_mtu: u16,
    ttl: u8,
    key: u8,
    mode: &'static str,
    is_protected: bool,
    /// The point-to-point tunnel comes first, so that numbers change.
    is_swapped: bool,
    sequence: &'static str,
    /// What the port's policy does with GRE to the last peer.
    action: Option<&'static str>,
    /// SPIs of the SAs to and from each peer; 0: none.
    spis: Vec<u32>,
}

prop_compose! {
    fn setup()(
        (port_mtu, ttl, key) in (prop_oneof![Just(1500_u16), Just(1400)], 63..65_u8, 1..3_u8),
        mode in prop_oneof![Just("transport"), Just("tunnel")],
        (is_protected, is_swapped) in any::<(bool, bool)>(),
        sequence in prop_oneof![3 => Just("off"), 1 => Just("send")],
        action in prop::option::of(prop_oneof![Just("protect"), Just("discard")]),
        which in prop::collection::vec(0..4_u32, 2 * PEERS.len()),
    ) -> Setup {
        let spi = |(which, n)| if which == 0 { 0 } else { 0x1000 * (1 + which / 3) + n };
        let spis = which.into_iter().zip(0..).map(spi).collect();
        Setup { port_mtu, ttl, key, mode, is_protected, is_swapped, sequence, action, spis }
    }
}

impl Setup {
    /// Takes over one setting.
    fn take(&mut self, which: usize, from: &Self) {
        match which {
            0 => self.port_mtu = from.port_mtu,
            1 => self.ttl = from.ttl,
            2 => self.key = from.key,
            3 => self.mode = from.mode,
            4 => self.is_protected = from.is_protected,
            5 => self.is_swapped = from.is_swapped,
            6 => self.sequence = from.sequence,
            7 => self.action = from.action,
            _ => self.spis[which - 8] = from.spis[which - 8],
        }
    }

    /// The number of the multipoint tunnel.
    fn hub(&self) -> TunnelId {
        TunnelId(u16::from(self.is_swapped))
    }

    fn text(&self) -> String {
        let Setup { port_mtu, ttl, key, mode, sequence, .. } = self;
        let wan = format!("role = \"underlay\"\nmtu = {port_mtu}");
        let mut profiles = profile(mode).replacen(mode, "sealed", 1);
        if self.is_swapped {
            profiles.insert_str(0, &profile("transport"));
        }
        let protection = if self.is_protected { "protection = \"sealed\"" } else { "" };
        let common = format!("ttl = {ttl}\nkey = {key}\nsequence = \"{sequence}\"");
        let hub = format!(
            "[[tunnel]]\nname = \"dm\"\nmode = \"mgre\"\nsource = \"wan\"\n{common}\n\
             addresses = [\"10.255.0.1/24\", \"2001:db8:ff::/64\"]\n{protection}\n[tunnel.nhrp]\n\
             multicast = \"dynamic\"\n\
             map = [{{ protocol = \"10.255.0.2\", nbma = \"{}\" }}]\n",
            PEERS[2]
        );
        let single = gre("single", PEERS[3], &format!("{common}\naddresses = [\"10.254.0.1/30\"]"));
        let tunnels = if self.is_swapped { single + &hub } else { hub + &single };
        let route = "[[route]]\nprefix = \"10.9.0.0/16\"\nvia = \"10.255.0.9\"\n";
        let ports = PORTS.replace("role = \"underlay\"", &wan);
        // None comes in from a peer that none goes out to.
        let has = |number: usize| self.spis[number] > 0 && self.spis[number / 2 * 2] > 0;
        let sas = (0..self.spis.len()).filter(|number| has(*number));
        let sas = sas.map(|number| sealed(number, self.spis[number]));
        [ports, profiles, tunnels, route.to_owned(), self.policy(), sas.collect()].concat()
    }

    fn policy(&self) -> String {
        let Some(action) = self.action else { return String::new() };
        let peer = PEERS[4];
        let protect = format!("profile = \"sealed\"\nremote = \"{peer}\"\n");
        format!(
            "[[ipsec.policy]]\nport = \"wan\"\nselect = {{ src = \"198.51.100.1\", \
             dst = \"{peer}\", proto = \"gre\" }}\naction = \"{action}\"\n{}",
            if action == "protect" { &protect } else { "" }
        )
    }
}

/// The SA with this number: two for each peer, in UDP if there is a NAT.
fn sealed(number: usize, spi: u32) -> String {
    let direction = ["out", "in"][number % 2];
    let peer = path(PEERS[number / 2]);
    let sa = sa("sealed", direction, &peer.nbma.to_string(), spi);
    if peer.nbma != path(PEERS[0]).nbma {
        return sa;
    }
    let port = peer.port.map_or(4500, u16::from);
    format!("{sa}udp_encap = {{ local_port = 4500, remote_port = {port} }}\n")
}

#[derive(Debug, Clone)]
enum Change {
    /// One of the settings, by number, is as it is here.
    Setup(usize, Box<Setup>),
    /// Of the next hops, by number: the last octet of its MAC address.
    Neighbor(usize, Option<u8>),
    PathMtu(usize, Option<u16>),
    Down(bool),
    /// A host of the multipoint tunnel, and its peer.
    Bind(u8, usize, Origin),
    Unbind(u8),
    /// Whom NHRP talks with, and whether as with a server.
    Talk(usize, bool),
    Shortcut(u8, Option<usize>),
    Expired(u32),
    /// The slot of an inbound SA, and the port that its peer is seen at.
    Moved(u32, u16),
}

fn change() -> impl Strategy<Value = Change> {
    let (peer, host, slot) = (0..PEERS.len(), 2..12_u8, 0..16_u32);
    let maybe = |of: std::ops::Range<usize>| prop::option::weighted(0.7, of);
    let origin = prop_oneof![Just(Origin::Registered), Just(Origin::Resolved)];
    prop_oneof![
        4 => (0..18_usize, setup()).prop_map(|(which, to)| Change::Setup(which, Box::new(to))),
        2 => (0..5_usize, prop::option::weighted(0.8, 0..3_u8))
            .prop_map(|(of, mac)| Change::Neighbor(of, mac)),
        2 => (peer.clone(), prop::option::weighted(0.8, 1300..1450_u16))
            .prop_map(|(of, mtu)| Change::PathMtu(of, mtu)),
        1 => any::<bool>().prop_map(Change::Down),
        4 => (host.clone(), peer.clone(), origin)
            .prop_map(|(host, peer, origin)| Change::Bind(host, peer, origin)),
        2 => host.prop_map(Change::Unbind),
        1 => (peer.clone(), any::<bool>()).prop_map(|(peer, server)| Change::Talk(peer, server)),
        1 => (0..3_u8, maybe(peer)).prop_map(|(net, peer)| Change::Shortcut(net, peer)),
        1 => slot.clone().prop_map(Change::Expired),
        2 => (slot, 4500..4504_u16).prop_map(|(slot, port)| Change::Moved(slot, port)),
    ]
}

/// In the multipoint tunnel.
fn address_of(host: u8) -> IpAddr {
    match host % 2 {
        0 => IpAddr::from([0x2001, 0xdb8, 0xff, 0, 0, 0, 0, host.into()]),
        _ => IpAddr::from([10, 255, 0, host]),
    }
}

/// A gateway with its clock.
struct World {
    scene: Scene,
    setup: Setup,
    hub: TunnelId,
    now: Instant,
}

impl World {
    fn apply(&mut self, change: &Change) {
        let scene = &mut self.scene;
        let learned = scene.learned.of_mut(self.hub);
        match *change {
            Change::Setup(which, ref to) => {
                self.setup.take(which, to);
                self.set_up();
            }
            Change::Neighbor(of, last) => {
                let all = ["198.51.100.254", PEERS[3], PEERS[4], "10.1.0.9", "10.1.0.10"];
                let key = (if of < 3 { WAN } else { LAN }, ip(all[of]));
                scene.neighbors.remove(&key);
                scene.neighbors.extend(last.map(|last| (key, mac(last))));
            }
            Change::PathMtu(of, mtu) => {
                let peer = path(PEERS[of]).nbma;
                scene.path_mtus.remove(&peer);
                scene.path_mtus.extend(mtu.map(|mtu| (peer, mtu)));
            }
            Change::Down(is_down) => {
                let single = scene.tunnel("single");
                scene.down = is_down.then_some(single).into_iter().collect();
            }
            Change::Bind(host, peer, origin) => {
                learned.bind(address_of(host), path(PEERS[peer]), origin);
            }
            Change::Unbind(host) => {
                learned.unbind(address_of(host));
            }
            Change::Talk(peer, is_server) => {
                let talks = [path(PEERS[peer])].into();
                (learned.servers, learned.strangers) =
                    if is_server { (talks, [].into()) } else { ([].into(), talks) };
                learned.registered_with = learned.servers.clone();
            }
            Change::Shortcut(net, peer) => {
                let prefix = wire::IpPrefix::new(IpAddr::from([10, 77, net, 0]), 24).unwrap();
                learned.shortcuts.remove(&prefix);
                learned.shortcuts.extend(peer.map(|peer| (prefix, path(PEERS[peer]))));
            }
            Change::Expired(slot) => {
                scene.sas.by_slot(slot).into_iter().for_each(|entry| entry.expired = true);
            }
            Change::Moved(slot, port) => {
                scene.sas.moved(slot, (ip("203.0.113.77"), port));
            }
        }
    }

    /// As the daemon does: what was learned belongs to the tunnel's name.
    fn set_up(&mut self) {
        let scene = &mut self.scene;
        scene.config = config(&self.setup.text());
        // Slots have rested by then.
        self.now += Duration::from_secs(10);
        let moment = Moment { now: self.now, ..moment(3) };
        scene.sas.configure(&scene.config, moment).unwrap();
        let learned = std::mem::take(scene.learned.of_mut(self.hub));
        scene.learned.clear();
        scene.down.clear();
        self.hub = self.setup.hub();
        *scene.learned.of_mut(self.hub) = learned;
    }

    /// Compiles, and compares with what another memory makes of the same, with the same numbers.
    fn check(&mut self) {
        let Memory { indices, names, .. } = &self.scene.memory;
        let mut fresh =
            Memory { indices: indices.clone(), names: names.clone(), ..Memory::default() };
        self.scene.compile();
        let expected = self.scene.compile_with(&mut fresh);
        assert_eq!(shown(&self.scene.compiled), shown(&expected));
        self.check_sas(&expected.tables);
        self.check_counters();
    }

    /// Keys are not shown; an SA's counters are its alone.
    fn check_sas(&self, expected: &Tables) {
        let sas = &self.scene.compiled.tables.sas;
        for entry in self.scene.sas.iter() {
            let slot = entry.slot;
            let counters = match entry.manual.direction {
                Direction::In => &sas.inbound(slot).unwrap().counters,
                Direction::Out => &sas.outbound(slot).unwrap().counters,
            };
            assert!(Arc::ptr_eq(counters, &entry.counters));
            assert_eq!(
                sas.slot_of(entry.manual.spi.value()),
                expected.sas.slot_of(entry.manual.spi.value())
            );
        }
    }

    /// Templates and peers count where the reports look.
    fn check_counters(&self) {
        let Scene { config, learned, memory, compiled, .. } = &self.scene;
        for (id, tunnel) in (0..).map(TunnelId).zip(&config.tunnels) {
            for peer in learned.peers_and_strangers(id, tunnel) {
                let counters = memory.counters(&tunnel.name, peer).unwrap();
                let key = AdjacencyKey::Peer(tunnel_interface(config, id), peer);
                let index = memory.indices.find(&key).unwrap();
                if let Adjacency::Tunnel(encap) = self.scene.at(index) {
                    assert!(Arc::ptr_eq(&encap.sent, &counters.own));
                }
                let port = peer.port.map_or(0, u16::from);
                let remote = Remote { address: peer.nbma.into(), port };
                let found = compiled.tables.tunnels.find(tunnel.local.into(), remote, tunnel.key);
                let TunnelMatch::Peer(_, found) = found else { panic!("{found:?}") };
                // Where both tunnels have the peer, one of them counts.
                if found.adjacency == index {
                    assert!(Arc::ptr_eq(&found.received, &counters.received));
                    assert!(Arc::ptr_eq(&found.sequence, &counters.sequence));
                }
            }
            for (prefix, peer) in learned.shortcuts(id) {
                let sent = || memory.counters(&tunnel.name, peer)?.sent_by(prefix);
                let key = AdjacencyKey::Shortcut(tunnel_interface(config, id), prefix);
                let index = memory.indices.find(&key).unwrap();
                if let (Adjacency::Tunnel(encap), Some(before)) = (self.scene.at(index), sent()) {
                    encap.sent[0].packets.add(1);
                    assert_eq!(sent(), Some(before + 1));
                    encap.sent[0].packets.set(before);
                }
            }
        }
    }
}

/// All that a compilation yields, but secrets; of what is found by an address, all that there may
/// be here.
fn shown(compiled: &Compiled) -> String {
    let Compiled { tables, needed, unresolved } = compiled;
    let tables = Tables { generation: 0, ..tables.clone() };
    let hosts = (2..12).map(address_of);
    let others = ["10.255.0.255", "10.254.0.1", "10.254.0.2", "10.9.0.1", "10.1.0.9"].map(ip);
    let shortcuts = (0..3).map(|net| IpAddr::from([10, 77, net, 1]));
    let overlay = hosts.chain(others).chain(shortcuts).map(|at| tables.overlay.lookup(at));
    let underlay = PEERS.map(|peer| tables.underlay.lookup(path(peer).nbma));
    let unresolved: std::collections::BTreeMap<_, _> = unresolved.iter().collect();
    let overlay: Vec<_> = overlay.collect();
    format!("{tables:#?}\n{overlay:?}\n{underlay:?}\n{needed:?}\n{unresolved:?}")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn tables_do_not_depend_on_what_was_before(
        setup in setup(),
        changes in prop::collection::vec(prop::collection::vec(change(), 1..4), 1..20),
    ) {
        let hub = setup.hub();
        let mut world = World { scene: Scene::new(PORTS), setup, hub, now: Instant::now() };
        world.set_up();
        world.check();
        for together in &changes {
            together.iter().for_each(|change| world.apply(change));
            world.check();
        }
    }
}
