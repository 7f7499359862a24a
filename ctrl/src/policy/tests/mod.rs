//! Tables of small gateways, compiled from the text of their configuration.

mod inbound;
mod learned;
mod memory;
mod multicast;
mod nat;
mod networks;
mod property;
mod protection;
mod routes;
mod scale;
mod spd;
mod stability;

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;
use std::path::Path;
use std::time::Instant;

use dataplane::drops::DropReason;
use dataplane::tables::{Adjacency, Encap};
use nhrp::Origin;
use wire::MacAddr;
use zeroize::Zeroizing;

use super::{
    AdjacencyKey, Compiled, Known, Learned, LearnedPeers, Memory, PortFacts, compile,
    tunnel_interface,
};
use crate::config::{Config, Direction, TunnelId};
use crate::sas::{Moment, Sas};

/// An underlay and an overlay port of both families. The gateways of the underlay are .254 and
/// fe80::1.
const PORTS: &str = r#"
[[port]]
name = "wan"
device = "net_null0"
role = "underlay"
addresses = ["198.51.100.1/24", "2001:db8:1::1/64"]
gateway = ["198.51.100.254", "fe80::1"]

[[port]]
name = "lan"
device = "net_null1"
role = "overlay"
addresses = ["10.1.0.1/24", "2001:db8:a::1/64"]
"#;
const WAN: u16 = 0;
const LAN: u16 = 1;

/// A profile; `name` is "transport" or "tunnel" and says its mode.
fn profile(name: &str) -> String {
    format!("[[ipsec.profile]]\nname = \"{name}\"\nmode = \"{name}\"\nesp = [\"aes128gcm16\"]\n")
}

/// An SA with a key of its own.
fn sa(profile: &str, direction: &str, remote: &str, spi: u32) -> String {
    format!(
        "[[ipsec.sa]]\nprofile = \"{profile}\"\ndirection = \"{direction}\"\n\
         remote = \"{remote}\"\nspi = {spi}\nlocal = \"198.51.100.1\"\n\
         key_file = \"{spi}.key\"\n"
    )
}

/// A point-to-point tunnel with more lines of its own.
fn gre(name: &str, remote: &str, more: &str) -> String {
    format!(
        "[[tunnel]]\nname = \"{name}\"\nmode = \"gre\"\nsource = \"wan\"\nremote = \"{remote}\"\n\
         {more}\n"
    )
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A way to a peer: an address, or one with a port.
fn path(text: &str) -> nhrp::Path {
    let behind_nat =
        |at: SocketAddr| nhrp::Path { nbma: at.ip(), port: NonZeroU16::new(at.port()) };
    text.parse().map_or_else(|_| ip(text).into(), behind_nat)
}

fn mac(last: u8) -> MacAddr {
    MacAddr([2, 0, 0x5e, 0, 0x53, last])
}

/// 20 octets that tell key files apart, and that are no hexadecimal digits.
fn config(text: &str) -> Config {
    let key = |path: &Path| {
        let name = path.file_stem().unwrap().to_str().unwrap();
        Ok(Zeroizing::new(format!("key {name:.>12}salt").into_bytes()))
    };
    Config::parse(text, Path::new("/etc/greyhound/hub.toml"), &key).unwrap_or_else(|found| {
        panic!("{:#?}\n{text}", found.iter().map(ToString::to_string).collect::<Vec<_>>())
    })
}

fn moment(random: u64) -> Moment {
    Moment { now: Instant::now(), tsc: 0, ticks_per_second: 1_000_000_000, random }
}

/// A gateway as the control thread knows it.
struct Scene {
    config: Config,
    neighbors: HashMap<(u16, IpAddr), MacAddr>,
    sas: Sas,
    path_mtus: HashMap<IpAddr, u16>,
    down: BTreeSet<u16>,
    learned: Learned,
    memory: Memory,
    compiled: Compiled,
}

impl Scene {
    /// With both gateways of the underlay resolved.
    fn new(text: &str) -> Self {
        let mut scene = Scene::unresolved(text);
        scene.neighbors.insert((WAN, ip("198.51.100.254")), mac(254));
        scene.neighbors.insert((WAN, ip("fe80::1")), mac(1));
        scene.compile();
        scene
    }

    fn unresolved(text: &str) -> Self {
        let mut scene = Scene {
            config: config(text),
            neighbors: HashMap::new(),
            sas: Sas::default(),
            path_mtus: HashMap::new(),
            down: BTreeSet::new(),
            learned: Learned::default(),
            memory: Memory::default(),
            compiled: Compiled {
                tables: Default::default(),
                needed: BTreeSet::new(),
                unresolved: HashMap::new(),
            },
        };
        scene.sas.configure(&scene.config, moment(7)).unwrap();
        scene.compile();
        scene
    }

    fn reload(&mut self, text: &str) {
        self.config = config(text);
        self.sas.configure(&self.config, moment(8)).unwrap();
        self.compile();
    }

    fn compile(&mut self) {
        let mut memory = std::mem::take(&mut self.memory);
        self.compiled = self.compile_with(&mut memory);
        self.memory = memory;
    }

    fn compile_with(&self, memory: &mut Memory) -> Compiled {
        let facts = |index: usize| PortFacts {
            port: u16::try_from(index).unwrap(),
            mac: mac(0),
            tx_checksum: false,
        };
        let facts: Vec<PortFacts> = (0..self.config.ports.len()).map(facts).collect();
        let known = Known {
            ports: &facts,
            neighbors: &self.neighbors,
            sas: &self.sas,
            path_mtus: &self.path_mtus,
            down: &self.down,
            learned: &self.learned,
        };
        compile(&self.config, &known, memory, 2)
    }

    fn tunnel(&self, name: &str) -> u16 {
        let at = self.config.tunnels.iter().position(|tunnel| tunnel.name == name).unwrap();
        tunnel_interface(&self.config, TunnelId(u16::try_from(at).unwrap()))
    }

    fn at(&self, index: u32) -> &Adjacency {
        &self.compiled.tables.adjacencies[index as usize]
    }

    fn overlay_index(&self, address: &str) -> Option<u32> {
        self.compiled.tables.overlay.lookup(ip(address))
    }

    /// What packets of hosts to this address take.
    fn overlay(&self, address: &str) -> Option<&Adjacency> {
        self.overlay_index(address).map(|index| self.at(index))
    }

    fn underlay(&self, address: &str) -> Option<&Adjacency> {
        self.compiled.tables.underlay.lookup(ip(address)).map(|index| self.at(index))
    }

    fn peer(&self, tunnel: &str, nbma: &str) -> &Adjacency {
        let key = AdjacencyKey::Peer(self.tunnel(tunnel), path(nbma));
        self.at(self.memory.indices.find(&key).unwrap())
    }

    fn encap(&self, tunnel: &str, nbma: &str) -> &Encap {
        let adjacency = self.peer(tunnel, nbma);
        let Adjacency::Tunnel(encap) = adjacency else { panic!("{adjacency:?}") };
        encap
    }

    /// The slot of an SA.
    fn slot(&self, direction: Direction, spi: u32) -> u32 {
        let mut entries = self.sas.iter();
        let is_it = |entry: &&crate::sas::Entry| {
            (entry.manual.direction, entry.manual.spi.value()) == (direction, spi)
        };
        entries.find(is_it).unwrap().slot
    }
}

fn is_drop(adjacency: Option<&Adjacency>, reason: DropReason) -> bool {
    matches!(adjacency, Some(Adjacency::Drop(found)) if *found == reason)
}

/// Source and destination of the IPv4 header at `at` of a template.
fn ends(encap: &Encap, at: u8) -> (IpAddr, IpAddr) {
    let address = |at: usize| {
        let octets: [u8; 4] = encap.template[at..at + 4].try_into().unwrap();
        IpAddr::from(octets)
    };
    (address(usize::from(at) + 12), address(usize::from(at) + 16))
}

fn outer(encap: &Encap) -> (IpAddr, IpAddr) {
    ends(encap, encap.ip)
}

fn spi(encap: &Encap) -> u32 {
    let at = usize::from(encap.esp);
    u32::from_be_bytes(encap.template[at..at + 4].try_into().unwrap())
}
