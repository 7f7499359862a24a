//! Peers of tunnels: those of the configuration, and those that NHRP has found.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use nhrp::{Origin, Path};
use wire::IpPrefix;

use crate::config::{Multicast, Tunnel, TunnelId, TunnelMode};

/// What NHRP has found out, by tunnel.
#[derive(Debug, Default)]
pub struct Learned(HashMap<TunnelId, LearnedPeers>);

/// What NHRP has found out about the peers of one tunnel.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct LearnedPeers {
    /// Peers by protocol address, and how they were found. A static entry for the same address
    /// comes first.
    bindings: BTreeMap<IpAddr, (Path, Origin)>,
    /// The same, the other way round: a peer may have several addresses.
    protocols: BTreeMap<Path, BTreeSet<IpAddr>>,
    /// Peers that prefixes are reached by, past what routing says.
    pub shortcuts: BTreeMap<IpPrefix, Path>,
    /// Our servers.
    pub servers: BTreeSet<Path>,
    /// Those of them that we are registered with.
    pub registered_with: BTreeSet<Path>,
    /// With whom else NHRP itself exchanges messages, whether or not a binding leads there.
    pub strangers: BTreeSet<Path>,
}

impl LearnedPeers {
    /// Notes a binding; says whether it is news.
    pub fn bind(&mut self, protocol: IpAddr, peer: Path, origin: Origin) -> bool {
        if self.bindings.get(&protocol) == Some(&(peer, origin)) {
            return false;
        }
        self.unbind(protocol);
        self.bindings.insert(protocol, (peer, origin));
        self.protocols.entry(peer).or_default().insert(protocol);
        true
    }

    /// Forgets a binding; says whether there was one.
    pub fn unbind(&mut self, protocol: IpAddr) -> bool {
        let Some((peer, _)) = self.bindings.remove(&protocol) else { return false };
        if let Some(others) = self.protocols.get_mut(&peer) {
            others.remove(&protocol);
            if others.is_empty() {
                self.protocols.remove(&peer);
            }
        }
        true
    }

    /// Whether something leads to a peer.
    #[must_use]
    pub fn knows(&self, peer: Path) -> bool {
        self.protocols.contains_key(&peer)
            || self.servers.contains(&peer)
            || self.strangers.contains(&peer)
    }
}

impl Learned {
    /// What is known about a tunnel's peers, to be changed.
    pub fn of_mut(&mut self, tunnel: TunnelId) -> &mut LearnedPeers {
        self.0.entry(tunnel).or_default()
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Bindings of a multipoint tunnel: the static ones, then those that were learned.
    pub fn bindings(&self, id: TunnelId, tunnel: &Tunnel) -> impl Iterator<Item = (IpAddr, Path)> {
        self.known(id, tunnel).map(|(protocol, peer, _)| (protocol, peer))
    }

    /// The same, and how each was found.
    fn known(&self, id: TunnelId, tunnel: &Tunnel) -> impl Iterator<Item = (IpAddr, Path, Origin)> {
        let (map, learned) = match &tunnel.mode {
            TunnelMode::Mgre { map, .. } => (map.as_slice(), self.0.get(&id)),
            TunnelMode::Gre { .. } => (&[][..], None),
        };
        let statics: BTreeSet<IpAddr> = map.iter().map(|entry| entry.protocol).collect();
        let learned = learned.into_iter().flat_map(|learned| &learned.bindings);
        let learned = learned.filter(move |(protocol, _)| !statics.contains(protocol));
        let learned = learned.map(|(&protocol, &(peer, origin))| (protocol, peer, origin));
        let fixed = map.iter().map(|of| (of.protocol, of.nbma.into(), Origin::Static));
        fixed.chain(learned)
    }

    /// The peer that has been found at an address in a tunnel.
    pub(super) fn peer_at(&self, id: TunnelId, protocol: IpAddr) -> Option<Path> {
        self.0.get(&id)?.bindings.get(&protocol).map(|(peer, _)| *peer)
    }

    /// The shortcuts of a tunnel.
    pub(super) fn shortcuts(&self, id: TunnelId) -> impl Iterator<Item = (IpPrefix, Path)> {
        let shortcuts = self.0.get(&id).into_iter().flat_map(|peers| &peers.shortcuts);
        shortcuts.map(|(prefix, peer)| (*prefix, *peer))
    }

    /// The peer that a prefix has a shortcut to.
    pub(super) fn shortcut(&self, id: TunnelId, prefix: IpPrefix) -> Option<Path> {
        self.0.get(&id)?.shortcuts.get(&prefix).copied()
    }

    /// All peers of a tunnel, each once.
    pub fn peers(&self, id: TunnelId, tunnel: &Tunnel) -> Vec<Path> {
        let mut peers: Vec<Path> = match &tunnel.mode {
            TunnelMode::Gre { remote, .. } => vec![(*remote).into()],
            TunnelMode::Mgre { multicast, .. } => {
                let listed = match multicast {
                    Multicast::Peers(nbma) => nbma.as_slice(),
                    Multicast::Off | Multicast::EveryPeer | Multicast::Servers => &[],
                };
                let bindings = self.bindings(id, tunnel).map(|(_, peer)| peer);
                let servers = self.0.get(&id).into_iter().flat_map(|peers| &peers.servers);
                let listed = listed.iter().map(|nbma| (*nbma).into());
                bindings.chain(listed).chain(servers.copied()).collect()
            }
        };
        sorted(&mut peers);
        peers
    }

    /// All peers of a tunnel, and with whom else NHRP exchanges messages.
    pub fn peers_and_strangers(&self, id: TunnelId, tunnel: &Tunnel) -> Vec<Path> {
        let mut all = self.peers(id, tunnel);
        all.extend(self.0.get(&id).into_iter().flat_map(|peers| &peers.strangers));
        sorted(&mut all);
        all
    }

    /// The peers of a tunnel that get multicast and broadcast packets. Not those that were
    /// resolved: they get them by the hub, and would get them twice.
    pub fn receivers(&self, id: TunnelId, tunnel: &Tunnel) -> Vec<Path> {
        let mut peers: Vec<Path> = match &tunnel.mode {
            TunnelMode::Gre { remote, .. } => vec![(*remote).into()],
            TunnelMode::Mgre { multicast: Multicast::Off, .. } => Vec::new(),
            TunnelMode::Mgre { multicast: Multicast::EveryPeer, .. } => {
                let known = self.known(id, tunnel);
                let found = known.filter(|(_, _, origin)| *origin != Origin::Resolved);
                found.map(|(_, peer, _)| peer).collect()
            }
            TunnelMode::Mgre { multicast: Multicast::Servers, .. } => self
                .0
                .get(&id)
                .map_or_else(Vec::new, |of| of.registered_with.iter().copied().collect()),
            TunnelMode::Mgre { multicast: Multicast::Peers(nbma), .. } => {
                nbma.iter().map(|nbma| (*nbma).into()).collect()
            }
        };
        sorted(&mut peers);
        peers
    }
}

fn sorted(peers: &mut Vec<Path>) {
    peers.sort_unstable();
    peers.dedup();
}
