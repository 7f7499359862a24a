//! Ports, tunnels and peers.

use std::net::IpAddr;
use std::num::NonZeroU16;

use serde::{Deserialize, Serialize};

use super::{NextHopState, Traffic};

/// A port, or a VLAN of one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(proptest_derive::Arbitrary))]
pub struct Port {
    /// Name in the configuration.
    pub name: String,
    /// PCI address or virtual device; `null` for a VLAN.
    pub device: Option<String>,
    /// DPDK driver, such as `net_ixgbe`; `null` for a VLAN.
    pub driver: Option<String>,
    /// The port that a VLAN belongs to.
    pub parent: Option<String>,
    /// IEEE 802.1Q tag of a VLAN.
    pub vlan: Option<u16>,
    /// Side of the gateway.
    pub role: Role,
    /// Ethernet address, such as `02:00:00:00:00:01`.
    pub mac: String,
    /// Addresses with prefix lengths, such as `10.1.0.1/24`.
    pub addresses: Vec<String>,
    /// Largest IP packet, in octets.
    pub mtu: u16,
    /// State of the link; that of the parent for a VLAN.
    pub link: Link,
    /// Offloads in use, by their DPDK names.
    pub offloads: Vec<String>,
    /// Receive queues; 0 for a VLAN.
    pub rx_queues: u16,
    /// Transmit queues; 0 for a VLAN.
    pub tx_queues: u16,
    /// What was received.
    pub rx: ReceiveCounters,
    /// What was sent.
    pub tx: TransmitCounters,
}

/// On which side of the tunnels a port lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(proptest_derive::Arbitrary))]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Outer packets.
    Underlay,
    /// Inner packets.
    Overlay,
}

/// State of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(proptest_derive::Arbitrary))]
pub struct Link {
    /// Whether it is up.
    pub up: bool,
    /// Mbit/s; `null` if the device does not say.
    pub speed_mbps: Option<u32>,
    /// Full duplex.
    pub full_duplex: bool,
}

/// What a device received.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(proptest_derive::Arbitrary))]
pub struct ReceiveCounters {
    /// Frames.
    pub packets: u64,
    /// Octets of frames, without FCS.
    pub octets: u64,
    /// Frames with errors.
    pub errors: u64,
    /// Frames that the device dropped because no core took them in time.
    pub missed: u64,
}

/// What a device sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(proptest_derive::Arbitrary))]
pub struct TransmitCounters {
    /// Frames.
    pub packets: u64,
    /// Octets of frames, without FCS.
    pub octets: u64,
    /// Frames that the device could not send.
    pub errors: u64,
}

/// A tunnel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(proptest_derive::Arbitrary))]
pub struct Tunnel {
    /// Name in the configuration.
    pub name: String,
    /// Point to point, or many peers.
    pub mode: TunnelMode,
    /// The underlay port that outer packets leave by.
    pub source: String,
    /// Source of outer packets.
    pub local: IpAddr,
    /// The one peer; `null` for mGRE.
    pub remote: Option<IpAddr>,
    /// GRE key (RFC 2890), which is no secret.
    pub key: Option<u32>,
    /// Addresses with prefix lengths.
    pub addresses: Vec<String>,
    /// Whether packets can pass.
    pub up: bool,
    /// Why they cannot, such as `no SA` or `keepalive`; `null` if it is up.
    pub down_reason: Option<String>,
    /// Keepalives; `null` if none are sent.
    pub keepalive: Option<Keepalive>,
    /// Largest inner packet, in octets.
    pub mtu: u16,
    /// What the MSS option of IPv4 TCP SYNs is lowered to, in octets; `null`: it is let be.
    pub mss: Option<u16>,
    /// Profile that protects it; `null`: in clear.
    pub protection: Option<String>,
    /// Known peers.
    pub peers: u32,
    /// Received from all peers.
    pub rx: Traffic,
    /// Sent to all peers.
    pub tx: Traffic,
}

/// Mode of a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(proptest_derive::Arbitrary))]
#[serde(rename_all = "snake_case")]
pub enum TunnelMode {
    /// Point to point.
    Gre,
    /// Many peers.
    Mgre,
}

/// GRE keepalives of a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(proptest_derive::Arbitrary))]
pub struct Keepalive {
    /// Seconds between two of them.
    pub period_seconds: u64,
    /// The tunnel is down after so many without an answer.
    pub retries: u8,
    /// Sent since the last answer.
    pub unanswered: u32,
}

/// A far end of a tunnel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(proptest_derive::Arbitrary))]
pub struct Peer {
    /// The tunnel.
    pub tunnel: String,
    /// Addresses in the tunnel; none for a point-to-point tunnel.
    pub protocol: Vec<IpAddr>,
    /// Address in the underlay.
    pub nbma: IpAddr,
    /// The UDP port that tells it from others behind the same NAT.
    pub nbma_port: Option<NonZeroU16>,
    /// How it came to be known.
    pub kind: PeerKind,
    /// Whether its next hop in the underlay is known down to the link layer.
    pub next_hop: NextHopState,
    /// How its packets are protected.
    pub protection: PeerProtection,
    /// SPI of the SA that it sends on.
    pub spi_in: Option<u32>,
    /// SPI of the SA that we send on.
    pub spi_out: Option<u32>,
    /// Received from it.
    pub rx: Traffic,
    /// Sent to it.
    pub tx: Traffic,
}

/// How a peer came to be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(proptest_derive::Arbitrary))]
#[serde(rename_all = "snake_case")]
pub enum PeerKind {
    /// In `map` or `multicast` of the tunnel.
    Static,
    /// The `remote` of a point-to-point tunnel.
    Remote,
    /// Found by NHRP.
    Dynamic,
}

/// How packets of a peer are protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(proptest_derive::Arbitrary))]
#[serde(rename_all = "snake_case")]
pub enum PeerProtection {
    /// They are not meant to be.
    Clear,
    /// By an SA in each direction.
    Protected,
    /// They have to be, and an SA is missing: packets are dropped.
    NoSa,
}
