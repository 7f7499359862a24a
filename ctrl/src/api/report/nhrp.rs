//! NHRP on mGRE tunnels.

use std::net::IpAddr;
use std::num::NonZeroU16;

use serde::{Deserialize, Serialize};

/// A binding in the cache of a tunnel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(proptest_derive::Arbitrary))]
pub struct NhrpBinding {
    /// The tunnel.
    pub tunnel: String,
    /// Address of the peer in the tunnel.
    pub protocol: IpAddr,
    /// Address of the peer in the underlay, as its packets have it.
    pub nbma: IpAddr,
    /// The UDP port that tells it from others behind the same NAT.
    pub nbma_port: Option<NonZeroU16>,
    /// The NBMA address that the peer takes for its own, if a NAT made another one of it.
    pub claimed: Option<IpAddr>,
    /// Where it comes from.
    pub kind: NhrpKind,
    /// Seconds until it ends; `null`: never.
    pub expires_seconds: Option<u64>,
}

/// Where a binding comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(proptest_derive::Arbitrary))]
#[serde(rename_all = "snake_case")]
pub enum NhrpKind {
    /// A `map` of the tunnel.
    Static,
    /// The peer has registered.
    Registered,
    /// A server that we are registered with.
    Nhs,
    /// We have asked for it.
    Resolved,
}

/// Destinations that are reached past the next hop that routing says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(proptest_derive::Arbitrary))]
pub struct NhrpShortcut {
    /// The tunnel.
    pub tunnel: String,
    /// The destinations.
    pub prefix: String,
    /// Address of the peer in the tunnel.
    pub via: IpAddr,
    /// Address of the peer in the underlay.
    pub nbma: IpAddr,
    /// The UDP port that tells it from others behind the same NAT.
    pub nbma_port: Option<NonZeroU16>,
    /// Seconds until it ends, unless it is renewed.
    pub expires_seconds: u64,
}

/// A next hop server of a tunnel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(proptest_derive::Arbitrary))]
pub struct NhrpServer {
    /// The tunnel.
    pub tunnel: String,
    /// Name of the server, if the configuration has one.
    pub name: Option<String>,
    /// Address of the server in the underlay; `null`: its name has none.
    pub nbma: Option<IpAddr>,
    /// Address of the server in the tunnel, once it is known.
    pub protocol: Option<IpAddr>,
    /// Our address outside of a NAT, if there is one between.
    pub outside: Option<IpAddr>,
    /// Whether we are registered with it.
    pub state: NhrpServerState,
}

/// Whether a server has our registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(proptest_derive::Arbitrary))]
#[serde(rename_all = "snake_case")]
pub enum NhrpServerState {
    /// Others of its kind are used.
    Standby,
    /// Its name has no address yet.
    Unresolved,
    /// Asked, no answer yet.
    Registering,
    /// It has accepted our registration.
    Up,
    /// It does not answer, or refuses.
    Down,
}

/// A peer that gets the multicast and broadcast packets of a tunnel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(proptest_derive::Arbitrary))]
pub struct NhrpReceiver {
    /// The tunnel.
    pub tunnel: String,
    /// Address of the peer in the underlay: it gets one copy.
    pub nbma: IpAddr,
    /// The UDP port that tells it from others behind the same NAT.
    pub nbma_port: Option<NonZeroU16>,
    /// Addresses of the peer in the tunnel, as far as they are known.
    pub protocol: Vec<IpAddr>,
    /// Why it gets them.
    pub reason: NhrpReceiverReason,
}

/// Why a peer gets multicast and broadcast packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(proptest_derive::Arbitrary))]
#[serde(rename_all = "snake_case")]
pub enum NhrpReceiverReason {
    /// `multicast` of the tunnel names it.
    Listed,
    /// All get them but those that were asked for: it is in a `map` of the tunnel.
    Static,
    /// The same: it has registered.
    Registered,
    /// The same, or servers get them: it is one that we are registered with.
    Nhs,
}

/// What NHRP knows, at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(proptest_derive::Arbitrary))]
pub struct NhrpOverview {
    /// Next hop servers.
    pub servers: Vec<NhrpServer>,
    /// Bindings.
    pub cache: Vec<NhrpBinding>,
    /// Shortcuts.
    pub shortcuts: Vec<NhrpShortcut>,
}

/// What NHRP has sent and received on a tunnel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(proptest_derive::Arbitrary))]
pub struct NhrpTraffic {
    /// The tunnel.
    pub tunnel: String,
    /// Of each kind of message.
    pub messages: Vec<NhrpMessages>,
    /// Packets received that were not acted upon, by reason; only what has occurred.
    pub drops: Vec<NhrpDrops>,
}

/// Messages of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(proptest_derive::Arbitrary))]
pub struct NhrpMessages {
    /// Such as `registration_request`.
    pub kind: String,
    /// Well-formed ones received.
    pub received: u64,
    /// Sent.
    pub sent: u64,
}

/// Packets that were not acted upon, for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(proptest_derive::Arbitrary))]
pub struct NhrpDrops {
    /// Such as `checksum` or `authentication`.
    pub reason: String,
    /// How many.
    pub count: u64,
}
