//! `[[port]]` and `[[tunnel]]`: what packets come from and go to.

use std::net::IpAddr;
use std::num::{NonZeroU8, NonZeroU16, NonZeroU32};
use std::time::Duration;

use wire::{IfAddr, MacAddr};

use super::{ProfileId, Table};

/// Index of a port in [`Config::ports`](crate::config::Config::ports).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortId(pub u16);

impl PortId {
    /// The same number, to index with.
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// Index of a tunnel in [`Config::tunnels`](crate::config::Config::tunnels).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TunnelId(pub u16);

impl TunnelId {
    /// The same number, to index with.
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// One `[[port]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// Unique among ports and tunnels; at most 15 octets, as interface names of the kernel.
    pub name: String,
    /// What the port is made of.
    pub attachment: Attachment,
    /// On which side of the tunnels it lies.
    pub role: Role,
    /// Its own addresses. Empty: a trunk that only carries VLANs, or a listener.
    pub addresses: Vec<IfAddr>,
    /// Largest IP packet, in octets.
    pub mtu: u16,
    /// Whether packets to the broadcast address of a connected prefix are forwarded to the link.
    pub directed_broadcast: bool,
    /// Static neighbours, each in a connected prefix.
    pub neighbors: Vec<Neighbor>,
}

/// What a port is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attachment {
    /// A device of DPDK.
    Device {
        /// A PCI address or a virtual device with its arguments. No two ports share one.
        device: String,
        /// Receive queues; `None`: as many as the pipeline has use for.
        rx_queues: Option<NonZeroU16>,
        /// Transmit queues; `None`: as many as the pipeline has use for.
        tx_queues: Option<NonZeroU16>,
        /// Whether offloads of the device are used.
        offloads: Offloads,
    },
    /// An IEEE 802.1Q VLAN of another port. No two ports share (parent, vlan).
    Vlan {
        /// A port with a device.
        parent: PortId,
        /// The tag.
        vlan: VlanId,
    },
}

/// An IEEE 802.1Q VLAN identifier, 1..=4094.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VlanId(u16);

impl VlanId {
    /// `None` for 0 (no VLAN), 4095 (reserved) and everything above.
    #[must_use]
    pub fn new(id: u16) -> Option<Self> {
        (1..=4094).contains(&id).then_some(Self(id))
    }

    /// The number.
    #[must_use]
    pub fn value(self) -> u16 {
        self.0
    }
}

/// Whether offloads of a device are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offloads {
    /// Those that the device offers.
    Auto,
    /// None: all checksums in software.
    Off,
}

/// On which side of the tunnels a port lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Carries the outer packets of tunnels; NBMA addresses are looked up here.
    Underlay,
    /// Carries the inner packets.
    Overlay,
}

impl Role {
    /// The forwarding table that ports of this role belong to.
    #[must_use]
    pub fn table(self) -> Table {
        match self {
            Self::Underlay => Table::Underlay,
            Self::Overlay => Table::Overlay,
        }
    }
}

/// A static neighbour (ARP or neighbour discovery).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Neighbor {
    /// Its address.
    pub address: IpAddr,
    /// Its unicast Ethernet address.
    pub mac: MacAddr,
}

/// One `[[tunnel]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tunnel {
    /// Unique among ports and tunnels; at most 15 octets, as interface names of the kernel.
    pub name: String,
    /// Point to point, or many peers.
    pub mode: TunnelMode,
    /// The underlay port that outer packets leave by.
    pub source: PortId,
    /// Source of outer packets: an address of `source`, of the family of every peer.
    pub local: IpAddr,
    /// GRE key (RFC 2890). `None` and `Some(0)` are different tunnels.
    pub key: Option<u32>,
    /// Whether a GRE checksum is sent (RFC 2784); one that is received is always verified.
    pub checksum: bool,
    /// Use of GRE sequence numbers (RFC 2890).
    pub sequence: GreSequence,
    /// Its own addresses.
    pub addresses: Vec<IfAddr>,
    /// Largest inner packet in octets; `None`: what fits, at most
    /// [`Config::largest_inner_mtu`](crate::config::Config::largest_inner_mtu).
    pub mtu: Option<u16>,
    /// Whether the MSS option of TCP SYNs is lowered to what fits.
    pub mss_clamp: bool,
    /// TTL or hop limit of outer packets.
    pub ttl: NonZeroU8,
    /// DSCP of outer packets.
    pub dscp: Dscp,
    /// DF of outer packets.
    pub df: Df,
    /// Where too long packets are fragmented.
    pub fragment: Fragment,
    /// Profile that protects the tunnel; `None`: in clear.
    pub protection: Option<ProfileId>,
}

/// Point to point, or many peers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TunnelMode {
    /// `mode = "gre"`.
    Gre {
        /// The peer in the underlay.
        remote: IpAddr,
        /// Keepalives, if any.
        keepalive: Option<Keepalive>,
    },
    /// `mode = "mgre"`.
    Mgre {
        /// Static peers; no protocol address twice.
        map: Vec<NhrpMap>,
        /// Who gets multicast and broadcast packets.
        multicast: Multicast,
        /// How peers are found that are not mapped.
        nhrp: Nhrp,
    },
}

/// NHRP on an mGRE tunnel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nhrp {
    /// Tunnels with the same number are one network; `None`: it is a network of its own.
    pub network_id: Option<NonZeroU32>,
    /// Password of the tunnel.
    pub authentication: Option<nhrp::Secret>,
    /// How long others may keep what we tell them: whole seconds.
    pub holdtime: Duration,
    /// When to register again; `None`: after a third of `holdtime`.
    pub registration: Option<Duration>,
    /// Whether nobody else may register our address while our registration lives.
    pub unique: bool,
    /// Next hop servers to register with.
    pub nhs: Vec<Nhs>,
    /// With how many of each group at a time; `None`: all.
    pub active: Option<NonZeroU8>,
    /// Whether peers are told of shorter ways than by us.
    pub redirect: bool,
    /// Whether we take shorter ways that we are told of.
    pub shortcut: bool,
}

/// A next hop server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nhs {
    /// Where the server is in the underlay.
    pub host: nhrp::Host,
    /// Address of the server in the tunnel; `None`: its reply says.
    pub protocol: Option<IpAddr>,
    /// The lowest of a group is preferred.
    pub priority: u8,
    /// Servers that stand in for each other.
    pub group: u8,
}

/// A static NHRP entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NhrpMap {
    /// Address of the peer in the tunnel.
    pub protocol: IpAddr,
    /// Address of the peer in the underlay, of the family of [`Tunnel::local`].
    pub nbma: IpAddr,
}

/// Which peers of an mGRE tunnel get multicast and broadcast packets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Multicast {
    /// None (the default).
    Off,
    /// `"dynamic"`: every known peer.
    EveryPeer,
    /// `"nhs"`: the servers that we are registered with.
    Servers,
    /// These NBMA addresses: at least one, none twice.
    Peers(Vec<IpAddr>),
}

/// GRE keepalives as Cisco sends them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keepalive {
    /// Time between two of them.
    pub period: Duration,
    /// The tunnel is down after so many without an answer.
    pub retries: NonZeroU8,
}

/// Use of GRE sequence numbers (RFC 2890).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GreSequence {
    /// Not sent; those received are ignored.
    Off,
    /// Sent; those received are ignored.
    Send,
    /// Sent; packets older than the newest are dropped.
    Ordered,
}

/// DSCP of outer packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dscp {
    /// That of the inner packet.
    Copy,
    /// A fixed one, 0..=63.
    Set(u8),
}

/// DF of outer IPv4 packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Df {
    /// That of the inner packet; set for IPv6.
    Copy,
    /// Always set.
    Set,
    /// Never set.
    Clear,
}

/// Where too long packets are fragmented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fragment {
    /// The inner packet, before encapsulation.
    Before,
    /// The outer packet, after encryption.
    After,
}
