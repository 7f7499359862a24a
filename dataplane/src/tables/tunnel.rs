//! Tunnels as received packets find them: by outer addresses and key.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::FastMap;
use super::index::HashIndex;
use crate::addr::Addr;
use crate::counters::Traffic;

/// Whether packets of a tunnel or peer must come through an SA.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protection {
    /// Cleartext only.
    Clear,
    /// Only through an SA of this profile.
    Required {
        /// Index of the profile.
        profile: u16,
    },
    /// Not at all: policy discards them.
    Discard,
}

/// A GRE tunnel interface, point-to-point or multipoint.
#[derive(Debug, Clone)]
pub struct Tunnel {
    /// Interface index.
    pub interface: u16,
    /// Our NBMA address.
    pub local: IpAddr,
    /// What every packet must carry; without a key none may be present.
    pub key: Option<u32>,
    /// Many peers: those that are not known may still send NHRP.
    pub multipoint: bool,
    /// Packets older than the last one are dropped (RFC 2890 section 2.2).
    pub ordered: bool,
    /// For peers that are not known; each known peer has its own.
    pub protection: Protection,
    /// TCP MSS that packets through the tunnel are clamped to, IPv4; 20 less for IPv6. 0: off.
    pub mss: u16,
    /// Tell peers whose packets leave by a tunnel of the same NHRP network that there is a shorter
    /// way: interface index of the network's first tunnel. `None`: do not.
    pub redirect: Option<u16>,
}

/// A known far end of a tunnel.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Index of the tunnel in the map.
    pub tunnel: u16,
    /// Adjacency towards the peer.
    pub adjacency: u32,
    /// How its packets must arrive.
    pub protection: Protection,
    /// What came from it.
    pub received: Arc<[Traffic]>,
    /// GRE sequence number last accepted.
    pub sequence: Arc<LastSequence>,
}

/// The GRE sequence number last accepted from a peer (RFC 2890 section 2.2). Shared by the cores:
/// packets of a peer come from one core, but for the rare ones that were reassembled.
#[derive(Debug, Default)]
pub struct LastSequence(AtomicU64);

impl LastSequence {
    /// Marks that some number was accepted, beside the number.
    const SEEN: u64 = 1 << 32;

    /// Takes `sequence` if it is newer than all before it, by serial number arithmetic, so that
    /// the wrap from 2^32-1 to 0 is no reordering.
    pub fn accept(&self, sequence: u32) -> bool {
        let newer = |last: u64| {
            let [_, _, _, _, number @ ..] = last.to_be_bytes();
            let ahead = sequence.wrapping_sub(u32::from_be_bytes(number));
            last & Self::SEEN == 0 || (ahead != 0 && ahead < 1 << 31)
        };
        self.0
            .fetch_update(Relaxed, Relaxed, |last| {
                newer(last).then_some(Self::SEEN | u64::from(sequence))
            })
            .is_ok()
    }
}

/// Peers that stay in the second-level cache with their counters: looking ahead costs more there
/// than it saves.
const FEW: usize = 4096;

/// What selects a tunnel beside the peer: our address, and the key.
type End = (Addr, Option<u32>);

/// The far end of a tunnel, as its packets show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Remote {
    /// The outer source address, or the one that the SA is for.
    pub address: Addr,
    /// What tells peers with one address, behind one NAT, apart: the UDP port that the SA is for.
    /// 0 for one of them, and wherever there is but one.
    pub port: u16,
}

impl From<Addr> for Remote {
    #[inline(always)]
    fn from(address: Addr) -> Self {
        Remote { address, port: 0 }
    }
}

impl From<IpAddr> for Remote {
    fn from(address: IpAddr) -> Self {
        Addr::from(address).into()
    }
}

/// A peer where a look-up finds it: one cache line.
#[derive(Debug, Clone)]
#[repr(align(64))]
struct Known {
    address: Addr,
    port: u16,
    peer: Peer,
}

const _: () = assert!(size_of::<Known>() == 64);

/// All tunnels.
#[derive(Debug, Default, Clone)]
pub struct TunnelMap {
    tunnels: Vec<Tunnel>,
    /// Of each tunnel.
    ends: Vec<End>,
    peers: Vec<Known>,
    by_ends: HashIndex,
    multipoint: FastMap<End, u16>,
    /// Whether any tunnel redirects.
    redirects: bool,
    /// Address pairs with a tunnel, whatever the key: tells a wrong key from no tunnel. A
    /// multipoint tunnel has one, with anybody.
    pairs: FastMap<(Addr, Option<Remote>), Option<u32>>,
}

#[inline(always)]
fn hash(local: Addr, remote: Remote, key: Option<u32>) -> u64 {
    let key = key.map_or(0, |key| u64::from(key) << 1 | 1) ^ u64::from(remote.port) << 40;
    let mixed = remote.address.fold() ^ local.fold().rotate_left(17) ^ key;
    mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ mixed >> 32
}

/// What a received GRE packet belongs to.
#[derive(Debug, Clone, Copy)]
pub enum TunnelMatch<'a> {
    /// A known peer of a tunnel.
    Peer(&'a Tunnel, &'a Peer),
    /// A multipoint tunnel, from a peer that is not known.
    Stranger(&'a Tunnel),
    /// A tunnel between these addresses exists, and it has a key where the packet has none.
    KeyMissing,
    /// A tunnel between these addresses exists, with another key or none.
    KeyWrong,
    /// Nothing.
    None,
}

impl TunnelMap {
    /// Builds the look-ups. `peers` gives the far end and the peer; of peers with the same ends and
    /// key, the last one counts.
    pub fn new(tunnels: Vec<Tunnel>, peers: Vec<(impl Into<Remote>, Peer)>) -> Self {
        let end = |tunnel: &Tunnel| (tunnel.local.into(), tunnel.key);
        let ends = tunnels.iter().map(end).collect();
        let redirects = tunnels.iter().any(|tunnel| tunnel.redirect.is_some());
        let mut map = TunnelMap { tunnels, ends, redirects, ..TunnelMap::default() };
        for (index, tunnel) in (0u16..).zip(&map.tunnels) {
            if tunnel.multipoint {
                map.multipoint.insert((tunnel.local.into(), tunnel.key), index);
                map.pairs.insert((tunnel.local.into(), None), tunnel.key);
            }
        }
        let mut entries = Vec::with_capacity(peers.len());
        map.peers.reserve(peers.len());
        for ((remote, peer), number) in peers.into_iter().zip(0..) {
            let (local, key) = map.ends[usize::from(peer.tunnel)];
            let remote: Remote = remote.into();
            if !map.tunnels[usize::from(peer.tunnel)].multipoint {
                map.pairs.insert((local, Some(remote)), key);
            }
            let Remote { address, port } = remote;
            map.peers.push(Known { address, port, peer });
            entries.push((hash(local, remote, key), number));
        }
        // The last one counts: it is to be found first.
        entries.reverse();
        map.by_ends = HashIndex::new(&entries);
        map
    }

    /// The tunnel and peer of a packet from `remote` to `local` with this key.
    #[inline(always)]
    pub fn find(&self, local: Addr, remote: Remote, key: Option<u32>) -> TunnelMatch<'_> {
        let number = self.number(local, remote, key);
        match number.and_then(|number| self.peer(number)) {
            Some((tunnel, peer)) => TunnelMatch::Peer(tunnel, peer),
            None => self.find_stranger(local, remote, key),
        }
    }

    /// The number of the peer of such a packet.
    #[inline(always)]
    pub fn number(&self, local: Addr, remote: Remote, key: Option<u32>) -> Option<u32> {
        self.by_ends.find(hash(local, remote, key), |number| {
            self.peers.get(number as usize).is_some_and(|known| {
                (known.address, known.port) == (remote.address, remote.port)
                    && self.ends[usize::from(known.peer.tunnel)] == (local, key)
            })
        })
    }

    /// The peer of this number, and its tunnel.
    #[inline(always)]
    pub fn peer(&self, number: u32) -> Option<(&Tunnel, &Peer)> {
        let peer = &self.peers.get(number as usize)?.peer;
        Some((self.tunnels.get(usize::from(peer.tunnel))?, peer))
    }

    /// Whether peers of any tunnel are told of shorter ways.
    pub fn redirects(&self) -> bool {
        self.redirects
    }

    /// Whether all peers stay in a cache by themselves.
    pub fn is_small(&self) -> bool {
        self.peers.len() <= FEW
    }

    /// The number of the peer of such a packet, most likely: found without a look at the peer.
    #[inline(always)]
    pub fn likely(&self, local: Addr, remote: Remote, key: Option<u32>) -> Option<u32> {
        self.by_ends.find(hash(local, remote, key), |_| true)
    }

    /// Fetches the peer of this number.
    #[inline(always)]
    pub fn prefetch(&self, number: u32) {
        self.peers.get(number as usize).into_iter().for_each(dpdk::prefetch);
    }

    #[cold]
    fn find_stranger(&self, local: Addr, remote: Remote, key: Option<u32>) -> TunnelMatch<'_> {
        if let Some(&index) = self.multipoint.get(&(local, key)) {
            return TunnelMatch::Stranger(&self.tunnels[usize::from(index)]);
        }
        let pair =
            self.pairs.get(&(local, Some(remote))).or_else(|| self.pairs.get(&(local, None)));
        match (pair, key) {
            (None, _) => TunnelMatch::None,
            (Some(Some(_)), None) => TunnelMatch::KeyMissing,
            (Some(_), _) => TunnelMatch::KeyWrong,
        }
    }

    /// The tunnel with this interface index.
    pub fn by_interface(&self, interface: u16) -> Option<&Tunnel> {
        self.tunnels.iter().find(|t| t.interface == interface)
    }
}
