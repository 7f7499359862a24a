//! Desired state to tables: a pure function of the configuration and of what is known at run time.
//!
//! ```text
//! Config, neighbours, SAs, path MTUs -> compile() -> Tables for the cores
//!                                                 -> next hops that must be resolved
//! ```

mod fib;
mod indices;
mod ipsec;
mod multicast;
mod peer_counters;
mod peers;
#[cfg(test)]
mod tests;
mod tunnels;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use dataplane::counters::Traffic;
use dataplane::drops::DropReason;
use dataplane::tables::{
    Adjacency, Encap, EncapSpec, Interface, Interfaces, L2Rewrite, Neighbors, Role, SaTable, Tables,
};
use nhrp::Path;
use wire::{IpPrefix, MacAddr};

use crate::config::{self, Config, PortId, TunnelId};
use crate::sas::Sas;

use ipsec::GreSas;
use tunnels::Way;

pub use fib::RouteCache;
pub use indices::{AdjacencyKey, Indices};
pub use peer_counters::PeerCounters;
pub use peers::{Learned, LearnedPeers};
pub use tunnels::{Guard, guard};

/// Hash maps with a fast hash. It is seeded at random: strangers choose some of the addresses.
type FastMap<K, V> = HashMap<K, V, foldhash::fast::RandomState>;
type FastSet<T> = HashSet<T, foldhash::fast::RandomState>;

/// What is known at run time, beside the configuration.
pub struct Known<'a> {
    /// Per configured port: its DPDK port and MAC address; sub-interfaces have their parent's.
    pub ports: &'a [PortFacts],
    /// Resolved neighbours: (interface, address).
    pub neighbors: &'a HashMap<(u16, IpAddr), MacAddr>,
    /// All SAs.
    pub sas: &'a Sas,
    /// Path MTUs that differ from the port's.
    pub path_mtus: &'a HashMap<IpAddr, u16>,
    /// Tunnels that keepalives have found dead, by interface index.
    pub down: &'a BTreeSet<u16>,
    /// Peers that NHRP has found.
    pub learned: &'a Learned,
}

/// What a configured port turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortFacts {
    /// DPDK port.
    pub port: u16,
    /// Its MAC address.
    pub mac: MacAddr,
    /// It fills in IPv4 header checksums of what it sends.
    pub tx_checksum: bool,
}

/// What persists from one compilation to the next, so that indices stay and counters go on.
#[derive(Default)]
pub struct Memory {
    /// Adjacency indices.
    pub indices: Indices,
    /// Forwarding tables that can be shared with the next snapshot.
    pub routes: RouteCache,
    /// Counters of peers by the name of their tunnel, and the compilation that last asked for them.
    peers: FastMap<String, FastMap<Path, (u64, PeerCounters)>>,
    /// Templates of the last snapshot by the index of their adjacency, and what they were made of.
    templates: Vec<Option<(EncapSpec, Arc<Encap>)>>,
    /// SAs of the last snapshot.
    sas: Arc<SaTable>,
    /// Names of ports and tunnels, by interface index.
    names: Vec<String>,
    generation: u64,
}

impl Memory {
    /// Counters of a peer of a tunnel.
    pub fn counters(&self, tunnel: &str, peer: Path) -> Option<&PeerCounters> {
        self.peers.get(tunnel)?.get(&peer).map(|(_, counters)| counters)
    }

    /// Counters of all peers, with the name of their tunnel.
    pub fn all_counters(&self) -> impl Iterator<Item = (&str, Path, &PeerCounters)> {
        self.peers.iter().flat_map(|(tunnel, peers)| {
            peers.iter().map(move |(peer, (_, counters))| (tunnel.as_str(), *peer, counters))
        })
    }

    /// Many peers come and go: what the last compilation did not ask for is forgotten.
    fn forget(&mut self, adjacencies: &[Adjacency]) {
        for (template, adjacency) in self.templates.iter_mut().zip(adjacencies) {
            if !matches!(adjacency, Adjacency::Tunnel(_)) {
                *template = None;
            }
        }
        for peers in self.peers.values_mut() {
            peers.retain(|_, (asked, _)| *asked == self.generation);
        }
        self.peers.retain(|_, peers| !peers.is_empty());
    }

    /// Gives up the adjacencies of interfaces that have another number now, or are gone: packets
    /// on their way to a tunnel must not leave by the one that has its number.
    fn follow(&mut self, config: &Config) {
        let ports = config.ports.iter().map(|port| &port.name);
        let names: Vec<&String> =
            ports.chain(config.tunnels.iter().map(|tunnel| &tunnel.name)).collect();
        let old = self.names.iter().zip(0u16..);
        let other = old.filter(|(name, index)| names.get(usize::from(*index)) != Some(name));
        let gone: BTreeSet<u16> = other.map(|(_, index)| index).collect();
        if !gone.is_empty() {
            self.indices.forget(&gone);
        }
        if !gone.is_empty() || names.len() != self.names.len() {
            self.names = names.into_iter().cloned().collect();
        }
    }
}

/// What a compilation yields.
pub struct Compiled {
    /// For the cores.
    pub tables: Tables,
    /// Next hops (interface, address) that tunnels and routes need resolved.
    pub needed: BTreeSet<(u16, IpAddr)>,
    /// Adjacencies of tunnels and policies that wait for a next hop, and for which.
    pub unresolved: HashMap<u32, (u16, IpAddr)>,
}

/// The interface index of a port.
pub fn port_interface(port: PortId) -> u16 {
    port.0
}

/// The interface index of a tunnel: they come after the ports.
pub fn tunnel_interface(config: &Config, tunnel: TunnelId) -> u16 {
    let ports = u16::try_from(config.ports.len()).unwrap_or(u16::MAX);
    ports.saturating_add(tunnel.0)
}

/// Makes the tables. `cores` is the number of worker cores, for sharded counters.
pub fn compile(config: &Config, known: &Known<'_>, memory: &mut Memory, cores: usize) -> Compiled {
    memory.generation += 1;
    memory.follow(config);
    let interfaces = Arc::new(Interfaces::new(interfaces(config, known)));
    let mut build = Build {
        config,
        known,
        interfaces: &interfaces,
        adjacencies: vec![None; memory.indices.count()],
        ways: FastMap::default(),
        gre_sas: GreSas::default(),
        needed: BTreeSet::new(),
        unresolved: HashMap::new(),
        memory,
        cores,
    };
    let underlay = fib::underlay(&mut build);
    let tunnels = tunnels::tunnel_map(&mut build, &underlay);
    let policies = ipsec::policies(&mut build, &underlay);
    let multicast = multicast::rules(&mut build);
    let overlay = fib::overlay(&mut build);
    let neighbors = build.neighbors();
    let sas = ipsec::sa_table(&build);
    let Build { adjacencies, needed, unresolved, .. } = build;
    let adjacencies = memory.indices.table(adjacencies);
    memory.sas = Arc::new(sas);
    memory.forget(&adjacencies);
    let tables = Tables {
        generation: memory.generation,
        interfaces,
        overlay,
        underlay,
        adjacencies: Arc::new(adjacencies),
        neighbors: Arc::new(neighbors),
        tunnels: Arc::new(tunnels),
        sas: memory.sas.clone(),
        policies: Arc::new(policies),
        multicast: Arc::new(multicast),
    };
    Compiled { tables, needed, unresolved }
}

/// A compilation under way.
struct Build<'a> {
    config: &'a Config,
    known: &'a Known<'a>,
    interfaces: &'a Interfaces,
    /// By index.
    adjacencies: Vec<Option<Adjacency>>,
    /// Next hops that lead to outer addresses, by their index: many peers are behind one.
    ways: FastMap<u32, Way>,
    gre_sas: GreSas,
    needed: BTreeSet<(u16, IpAddr)>,
    unresolved: HashMap<u32, (u16, IpAddr)>,
    memory: &'a mut Memory,
    cores: usize,
}

impl Build<'_> {
    /// Puts an adjacency in place; gives its index.
    fn set(&mut self, key: AdjacencyKey, adjacency: Adjacency) -> u32 {
        let index = self.memory.indices.of(key);
        self.put(index, adjacency);
        index
    }

    /// The same, by its index.
    fn put(&mut self, index: u32, adjacency: Adjacency) {
        let index = index as usize;
        if self.adjacencies.len() <= index {
            self.adjacencies.resize(index + 1, None);
        }
        self.adjacencies[index] = Some(adjacency);
    }

    /// The template of the adjacency with this index. It is the last snapshot's, unless anything
    /// that decides it has changed.
    fn encap(&mut self, index: u32, spec: EncapSpec) -> Arc<Encap> {
        let templates = &mut self.memory.templates;
        let index = index as usize;
        if templates.len() <= index {
            templates.resize(index + 1, None);
        }
        match &mut templates[index] {
            Some((last, encap)) if *last == spec => encap.clone(),
            other => {
                let encap = Arc::new(Encap::new(&spec));
                *other = Some((spec, encap.clone()));
                encap
            }
        }
    }

    /// Our own addresses.
    fn local(&mut self) -> u32 {
        self.set(AdjacencyKey::Local, Adjacency::Local)
    }

    /// What is dropped for this reason.
    fn drop(&mut self, reason: DropReason) -> u32 {
        self.set(AdjacencyKey::Drop(reason), Adjacency::Drop(reason))
    }

    fn connected(&mut self, interface: u16) -> u32 {
        self.set(AdjacencyKey::Connected(interface), Adjacency::Connected { interface })
    }

    /// Whether keepalives have found a tunnel dead.
    fn is_down(&self, tunnel: TunnelId) -> bool {
        self.known.down.contains(&tunnel_interface(self.config, tunnel))
    }

    /// A next hop on a port. It is needed: somebody routes by it.
    fn next_hop(&mut self, interface: u16, address: IpAddr) -> u32 {
        self.needed.insert((interface, address));
        let adjacency = match self.link(interface, address) {
            Some(link) => Adjacency::Neighbor(link),
            None => Adjacency::Unresolved { interface },
        };
        self.set(AdjacencyKey::NextHop(interface, address), adjacency)
    }

    /// The link-layer header of a neighbour, if it is resolved.
    fn link(&self, interface: u16, address: IpAddr) -> Option<L2Rewrite> {
        let mac = self.known.neighbors.get(&(interface, address))?;
        Some(L2Rewrite::new(self.interfaces.get(interface)?, *mac))
    }

    fn neighbors(&mut self) -> Neighbors {
        let known = self.known;
        let resolved = known.neighbors.keys().filter_map(|(interface, address)| {
            let link = self.link(*interface, *address)?;
            let key = AdjacencyKey::NextHop(*interface, *address);
            let index = self.set(key, Adjacency::Neighbor(link));
            Some(((*interface, (*address).into()), index))
        });
        resolved.collect()
    }

    fn counters(&mut self, tunnel: &str, path: Path) -> &mut PeerCounters {
        let (cores, generation) = (self.cores, self.memory.generation);
        let peers = self.memory.peers.entry(tunnel.to_owned()).or_default();
        let new = || (generation, PeerCounters::new(cores));
        let (asked, counters) = peers.entry(path).or_insert_with(new);
        *asked = generation;
        counters
    }

    /// Counters of what leaves by a shortcut, part of what is sent to its peer.
    fn sent_by_shortcut(&mut self, id: TunnelId, prefix: IpPrefix, path: Path) -> Arc<[Traffic]> {
        let (learned, cores) = (self.known.learned, self.cores);
        let is_shortcut = |prefix| learned.shortcut(id, prefix) == Some(path);
        let tunnel = &self.config.tunnels[id.index()].name;
        self.counters(tunnel, path).of_shortcut(prefix, is_shortcut, cores)
    }
}

fn interfaces(config: &Config, known: &Known<'_>) -> Vec<Interface> {
    let ports = config.ports.iter().zip(known.ports).zip(0u16..);
    let interface = |((port, facts), index): ((&config::Port, &PortFacts), u16)| {
        let addresses = || port.addresses.iter().map(|address| address.address());
        let v4 = addresses().filter_map(|address| match address {
            IpAddr::V4(a) => Some(a.to_bits()),
            IpAddr::V6(_) => None,
        });
        let v6 = addresses().filter_map(|address| match address {
            IpAddr::V6(a) => Some(a.to_bits()),
            IpAddr::V4(_) => None,
        });
        Interface {
            index,
            port: facts.port,
            vlan: match port.attachment {
                config::Attachment::Vlan { vlan, .. } => Some(vlan.value()),
                config::Attachment::Device { .. } => None,
            },
            role: match port.role {
                config::Role::Underlay => Role::Underlay,
                config::Role::Overlay => Role::Overlay,
            },
            mac: facts.mac,
            mtu: port.mtu,
            tx_checksum: facts.tx_checksum,
            addresses_v4: v4.collect(),
            addresses_v6: v6.collect(),
            policy: ipsec::policy_index(config, PortId(index)),
        }
    };
    ports.map(interface).collect()
}
