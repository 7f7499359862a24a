//! Peers of tunnels: those of the configuration, and those that NHRP has found.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use wire::IpPrefix;

use crate::config::{Multicast, NhrpMap, Tunnel, TunnelId, TunnelMode};

/// What NHRP has found out, by tunnel.
#[derive(Debug, Default)]
pub struct Learned(HashMap<TunnelId, LearnedPeers>);

/// What NHRP has found out about the peers of one tunnel.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct LearnedPeers {
    /// NBMA addresses by protocol address. A static entry for the same address comes first.
    bindings: BTreeMap<IpAddr, IpAddr>,
    /// The same, the other way round: a peer may have several addresses.
    protocols: BTreeMap<IpAddr, BTreeSet<IpAddr>>,
    /// NBMA addresses that prefixes are reached by, past what routing says.
    pub shortcuts: BTreeMap<IpPrefix, IpAddr>,
    /// NBMA addresses that NHRP itself talks with, whether or not a binding leads there.
    pub correspondents: BTreeSet<IpAddr>,
}

impl LearnedPeers {
    /// Notes a binding; says whether it is news.
    pub fn bind(&mut self, protocol: IpAddr, nbma: IpAddr) -> bool {
        if self.bindings.get(&protocol) == Some(&nbma) {
            return false;
        }
        self.unbind(protocol);
        self.bindings.insert(protocol, nbma);
        self.protocols.entry(nbma).or_default().insert(protocol);
        true
    }

    /// Forgets a binding; says whether there was one.
    pub fn unbind(&mut self, protocol: IpAddr) -> bool {
        let Some(nbma) = self.bindings.remove(&protocol) else { return false };
        if let Some(others) = self.protocols.get_mut(&nbma) {
            others.remove(&protocol);
            if others.is_empty() {
                self.protocols.remove(&nbma);
            }
        }
        true
    }

    /// Whether something leads to an NBMA address.
    #[must_use]
    pub fn knows(&self, nbma: IpAddr) -> bool {
        self.protocols.contains_key(&nbma) || self.correspondents.contains(&nbma)
    }

    /// The first address of the peer at an NBMA address.
    #[must_use]
    pub fn protocol_of(&self, nbma: IpAddr) -> Option<IpAddr> {
        self.protocols.get(&nbma)?.first().copied()
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
    pub fn bindings(&self, id: TunnelId, tunnel: &Tunnel) -> Vec<NhrpMap> {
        let TunnelMode::Mgre { map, .. } = &tunnel.mode else { return Vec::new() };
        let mut bindings = map.clone();
        if let Some(learned) = self.0.get(&id) {
            let statics: BTreeSet<IpAddr> = map.iter().map(|entry| entry.protocol).collect();
            let others = learned.bindings.iter().filter(|(own, _)| !statics.contains(own));
            bindings.extend(others.map(|(&protocol, &nbma)| NhrpMap { protocol, nbma }));
        }
        bindings
    }

    /// The shortcuts of a tunnel.
    pub(super) fn shortcuts(&self, id: TunnelId) -> impl Iterator<Item = (IpPrefix, IpAddr)> {
        let shortcuts = self.0.get(&id).into_iter().flat_map(|peers| &peers.shortcuts);
        shortcuts.map(|(prefix, nbma)| (*prefix, *nbma))
    }

    /// The NBMA address of all peers of a tunnel, each once.
    pub fn peers(&self, id: TunnelId, tunnel: &Tunnel) -> Vec<IpAddr> {
        let mut peers: Vec<IpAddr> = match &tunnel.mode {
            TunnelMode::Gre { remote, .. } => vec![*remote],
            TunnelMode::Mgre { multicast, .. } => {
                let listed = match multicast {
                    Multicast::Peers(nbma) => nbma.as_slice(),
                    Multicast::Off | Multicast::EveryPeer => &[],
                };
                let bindings = self.bindings(id, tunnel).into_iter().map(|entry| entry.nbma);
                let talks = self.0.get(&id).into_iter().flat_map(|peers| &peers.correspondents);
                bindings.chain(listed.iter().chain(talks).copied()).collect()
            }
        };
        sorted(&mut peers);
        peers
    }

    /// The peers of a tunnel that get multicast and broadcast packets.
    pub(super) fn receivers(&self, id: TunnelId, tunnel: &Tunnel) -> Vec<IpAddr> {
        let mut peers: Vec<IpAddr> = match &tunnel.mode {
            TunnelMode::Gre { remote, .. } => vec![*remote],
            TunnelMode::Mgre { multicast: Multicast::Off, .. } => Vec::new(),
            TunnelMode::Mgre { multicast: Multicast::EveryPeer, .. } => {
                self.bindings(id, tunnel).into_iter().map(|entry| entry.nbma).collect()
            }
            TunnelMode::Mgre { multicast: Multicast::Peers(nbma), .. } => nbma.clone(),
        };
        sorted(&mut peers);
        peers
    }
}

fn sorted(peers: &mut Vec<IpAddr>) {
    peers.sort_unstable();
    peers.dedup();
}
