//! Security associations. Never their keys.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::api::protocol::UdpPorts;

/// A security association.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(proptest_derive::Arbitrary))]
pub struct Sa {
    /// Number that the data path knows it by, unique in its direction.
    pub slot: u32,
    /// Inbound or outbound.
    pub direction: Direction,
    /// Security parameter index.
    pub spi: u32,
    /// Name of its profile.
    pub profile: String,
    /// What ESP covers.
    pub mode: EspMode,
    /// Algorithm, by its name in the configuration.
    pub algorithm: String,
    /// Crypto device that does its AEAD; `null`: software.
    pub crypto: Option<String>,
    /// Our outer address.
    pub local: IpAddr,
    /// The peer's outer address.
    pub remote: IpAddr,
    /// UDP encapsulation (RFC 3948); `null`: none.
    pub udp: Option<UdpPorts>,
    /// Extended sequence numbers (RFC 4303, section 2.2.1).
    pub esn: bool,
    /// Highest sequence number sent or accepted, with its upper half.
    pub sequence: u64,
    /// Replay window in packets; `null`: outbound, or replays are accepted.
    pub window: Option<u32>,
    /// Packets sent or accepted.
    pub packets: u64,
    /// Octets of their inner packets.
    pub octets: u64,
    /// Dropped as replays or left of the window.
    pub replays: u64,
    /// Dropped because the ICV did not verify.
    pub forgeries: u64,
    /// What is left of its life.
    pub lifetime: LifetimeLeft,
    /// Whether it can be used.
    pub state: SaState,
}

/// Direction of an SA.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, clap::ValueEnum, Serialize, Deserialize)]
#[cfg_attr(test, derive(proptest_derive::Arbitrary))]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// From the peer.
    In,
    /// To the peer.
    Out,
}

/// What ESP covers (RFC 4301, section 3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(proptest_derive::Arbitrary))]
#[serde(rename_all = "snake_case")]
pub enum EspMode {
    /// The payload of a packet.
    Transport,
    /// A whole packet.
    Tunnel,
}

/// What is left of the life of an SA; `null`: that measure does not end it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(proptest_derive::Arbitrary))]
pub struct LifetimeLeft {
    /// Seconds.
    pub seconds: Option<u64>,
    /// Octets under ESP.
    pub octets: Option<u64>,
    /// Packets.
    pub packets: Option<u64>,
}

/// Whether an SA can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(proptest_derive::Arbitrary))]
#[serde(rename_all = "snake_case")]
pub enum SaState {
    /// On its way to its core.
    Installing,
    /// In use.
    Active,
    /// At the end of its life: packets are dropped.
    Expired,
    /// Being withdrawn from its core.
    Retiring,
}
