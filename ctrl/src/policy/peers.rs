//! Peers of tunnels: those of the configuration, and those that NHRP has found.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use nhrp::Path;
use wire::IpPrefix;

use crate::config::{Multicast, Tunnel, TunnelId, TunnelMode};

/// What NHRP has found out, by tunnel.
#[derive(Debug, Default)]
pub struct Learned(HashMap<TunnelId, LearnedPeers>);

/// What NHRP has found out about the peers of one tunnel.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct LearnedPeers {
    /// Peers by protocol address. A static entry for the same address comes first.
    bindings: BTreeMap<IpAddr, Path>,
    /// The same, the other way round: a peer may have several addresses.
    protocols: BTreeMap<Path, BTreeSet<IpAddr>>,
    /// Peers that prefixes are reached by, past what routing says.
    pub shortcuts: BTreeMap<IpPrefix, Path>,
    /// Whom NHRP itself talks with, whether or not a binding leads there.
    pub correspondents: BTreeSet<Path>,
    /// The servers that we are registered with.
    pub servers: BTreeSet<Path>,
}

impl LearnedPeers {
    /// Notes a binding; says whether it is news.
    pub fn bind(&mut self, protocol: IpAddr, peer: Path) -> bool {
        if self.bindings.get(&protocol) == Some(&peer) {
            return false;
        }
        self.unbind(protocol);
        self.bindings.insert(protocol, peer);
        self.protocols.entry(peer).or_default().insert(protocol);
        true
    }

    /// Forgets a binding; says whether there was one.
    pub fn unbind(&mut self, protocol: IpAddr) -> bool {
        let Some(peer) = self.bindings.remove(&protocol) else { return false };
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
        self.protocols.contains_key(&peer) || self.correspondents.contains(&peer)
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
    pub fn bindings(&self, id: TunnelId, tunnel: &Tunnel) -> Vec<(IpAddr, Path)> {
        let TunnelMode::Mgre { map, .. } = &tunnel.mode else { return Vec::new() };
        let mut bindings: Vec<_> =
            map.iter().map(|entry| (entry.protocol, entry.nbma.into())).collect();
        if let Some(learned) = self.0.get(&id) {
            let statics: BTreeSet<IpAddr> = map.iter().map(|entry| entry.protocol).collect();
            let others = learned.bindings.iter().filter(|(own, _)| !statics.contains(own));
            bindings.extend(others.map(|(&protocol, &peer)| (protocol, peer)));
        }
        bindings
    }

    /// The shortcuts of a tunnel.
    pub(super) fn shortcuts(&self, id: TunnelId) -> impl Iterator<Item = (IpPrefix, Path)> {
        let shortcuts = self.0.get(&id).into_iter().flat_map(|peers| &peers.shortcuts);
        shortcuts.map(|(prefix, peer)| (*prefix, *peer))
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
                let bindings = self.bindings(id, tunnel).into_iter().map(|(_, peer)| peer);
                let talks = self.0.get(&id).into_iter().flat_map(|peers| &peers.correspondents);
                let listed = listed.iter().map(|nbma| (*nbma).into());
                bindings.chain(listed).chain(talks.copied()).collect()
            }
        };
        sorted(&mut peers);
        peers
    }

    /// The peers of a tunnel that get multicast and broadcast packets.
    pub(super) fn receivers(&self, id: TunnelId, tunnel: &Tunnel) -> Vec<Path> {
        let mut peers: Vec<Path> = match &tunnel.mode {
            TunnelMode::Gre { remote, .. } => vec![(*remote).into()],
            TunnelMode::Mgre { multicast: Multicast::Off, .. } => Vec::new(),
            TunnelMode::Mgre { multicast: Multicast::EveryPeer, .. } => {
                self.bindings(id, tunnel).into_iter().map(|(_, peer)| peer).collect()
            }
            TunnelMode::Mgre { multicast: Multicast::Servers, .. } => {
                self.0.get(&id).map_or_else(Vec::new, |of| of.servers.iter().copied().collect())
            }
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
