//! Adjacencies: what a route leads to.

use std::ops::Deref;
use std::sync::Arc;

use crate::drops::DropReason;

use super::encap::Encap;
use super::multicast::ReplicationList;

/// Where a packet goes next, and how its header is rewritten for it.
#[derive(Debug, Clone)]
pub enum Adjacency {
    /// Nowhere.
    Drop(DropReason),
    /// To the gateway itself.
    Local,
    /// A connected subnet: the destination is the next hop, found among the neighbours.
    Connected {
        /// Interface of the subnet.
        interface: u16,
    },
    /// A next hop whose link-layer address is not known yet: punt, the control thread resolves it.
    Unresolved {
        /// Interface that it is on.
        interface: u16,
    },
    /// A resolved next hop on a port.
    Neighbor(L2Rewrite),
    /// A peer of a tunnel, or the far end of an IPsec SA. Snapshots share the templates that stay.
    Tunnel(Template),
    /// Overlay packets that leave by an underlay port, as its policy says: an index into
    /// `Tables::policies`.
    Policy(u32),
    /// Broadcast on a tunnel: replicated to all of its peers.
    Replicate(ReplicationList),
    /// Equal-cost next hops; a flow keeps to one of them.
    Group(Box<[u32]>),
}

impl Adjacency {
    /// Interface index of a packet's way back, for the reverse path check.
    pub fn interface(&self) -> Option<u16> {
        match self {
            Adjacency::Connected { interface } | Adjacency::Unresolved { interface } => {
                Some(*interface)
            }
            Adjacency::Neighbor(l2) => Some(l2.interface),
            Adjacency::Tunnel(encap) => Some(encap.interface),
            _ => None,
        }
    }
}

/// A template, and beside the way to it what a look-up asks: with very many peers each look at a
/// template is a cache miss.
#[derive(Debug, Clone)]
pub struct Template {
    encap: Arc<Encap>,
    /// Ordering domain; see [`Encap::lane`].
    pub lane: u32,
    /// Largest inner IP packet.
    pub mtu: u16,
}

impl From<Arc<Encap>> for Template {
    fn from(encap: Arc<Encap>) -> Self {
        Template { lane: encap.lane, mtu: encap.mtu, encap }
    }
}

impl Deref for Template {
    type Target = Arc<Encap>;

    #[inline(always)]
    fn deref(&self) -> &Arc<Encap> {
        &self.encap
    }
}

/// Longest link-layer header: Ethernet with one VLAN tag.
pub const L2_MAX: usize = 18;

/// The link-layer header of a next hop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct L2Rewrite {
    /// Destination, source and VLAN tag in their final places; the EtherType is set per packet.
    pub header: [u8; L2_MAX],
    /// Leads to every host of the link.
    pub broadcast: bool,
    /// 14, or 18 with a VLAN tag.
    pub len: u8,
    /// Port to send on.
    pub port: u16,
    /// Its logical interface.
    pub interface: u16,
    /// Largest IP packet, in octets.
    pub mtu: u16,
    /// The port fills in IPv4 header checksums when it is asked to.
    pub tx_checksum: bool,
}

impl L2Rewrite {
    /// The header of a next hop; the EtherType, the last two octets, is set per packet.
    pub fn new(interface: &super::Interface, destination: wire::MacAddr) -> Self {
        let mut header = [0; L2_MAX];
        header[..6].copy_from_slice(&destination.octets());
        header[6..12].copy_from_slice(&interface.mac.octets());
        if let Some(vlan) = interface.vlan {
            header[12..14].copy_from_slice(&wire::eth::EtherType::VLAN.0.to_be_bytes());
            header[14..16].copy_from_slice(&vlan.to_be_bytes());
        }
        L2Rewrite {
            header,
            broadcast: destination == wire::MacAddr::BROADCAST,
            len: if interface.vlan.is_some() { 18 } else { 14 },
            port: interface.port,
            interface: interface.index,
            mtu: interface.mtu,
            tx_checksum: interface.tx_checksum,
        }
    }

    /// The header as it is without a tag.
    #[inline]
    pub(crate) fn untagged(&self) -> [u8; wire::eth::HEADER_LEN] {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, ..] = self.header;
        [a, b, c, d, e, f, g, h, i, j, k, l, m, n]
    }
}
