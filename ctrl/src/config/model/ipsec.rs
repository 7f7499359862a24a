//! `[[ipsec.profile]]`, `[[ipsec.sa]]` and `[[ipsec.policy]]`.

use std::net::IpAddr;
use std::num::{NonZeroU16, NonZeroU64};
use std::time::Duration;

use aead::Algorithm;
use wire::IpPrefix;

use super::PortId;
use crate::config::KeyMaterial;

/// Index of a profile in [`Config::profiles`](crate::config::Config::profiles).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProfileId(pub u16);

impl ProfileId {
    /// The same number, to index with.
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// One `[[ipsec.profile]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// Unique among profiles.
    pub name: String,
    /// What ESP covers.
    pub mode: EspMode,
    /// Algorithms in order of preference: at least one, none twice.
    pub esp: Vec<Algorithm>,
    /// Sequence numbers and the replay window.
    pub replay: AntiReplay,
    /// When an SA ends.
    pub lifetime: Lifetime,
}

/// What ESP covers (RFC 4301, section 3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EspMode {
    /// The payload of a packet between the two endpoints.
    Transport,
    /// A whole packet, behind a new header.
    Tunnel,
}

/// Sequence numbers and the replay window. Extended ones need a window (RFC 4303, section 2.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AntiReplay {
    /// 64-bit extended sequence numbers.
    Extended(ReplayWindow),
    /// 32-bit sequence numbers; `None`: replays are accepted.
    Short(Option<ReplayWindow>),
}

/// Packets in a replay window: a power of two in 64..=65536.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReplayWindow(u32);

impl ReplayWindow {
    /// `None` for a size that is no power of two, or not in 64..=65536.
    #[must_use]
    pub fn new(packets: u32) -> Option<Self> {
        let allowed = packets.is_power_of_two() && (64..=65536).contains(&packets);
        allowed.then_some(Self(packets))
    }

    /// The number of packets.
    #[must_use]
    pub fn packets(self) -> u32 {
        self.0
    }
}

impl Default for ReplayWindow {
    fn default() -> Self {
        Self(4096)
    }
}

/// When an SA ends. `None`: that measure does not end it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lifetime {
    /// Since its installation; never zero.
    pub time: Option<Duration>,
    /// Octets under ESP.
    pub octets: Option<NonZeroU64>,
    /// Packets; with 32-bit sequence numbers at most 2^32 - 1.
    pub packets: Option<NonZeroU64>,
}

/// One `[[ipsec.sa]]`: a manually keyed SA.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManualSa {
    /// The profile that it belongs to.
    pub profile: ProfileId,
    /// Inbound or outbound.
    pub direction: Direction,
    /// The peer. Outbound: unique with the profile.
    pub remote: IpAddr,
    /// Our end: an address of an underlay port, of the family of `remote`.
    pub local: IpAddr,
    /// Inbound: unique.
    pub spi: Spi,
    /// One of the profile's.
    pub algorithm: Algorithm,
    /// Key and salt, of the length that the algorithm takes. No two SAs share a key.
    pub key: KeyMaterial,
    /// UDP encapsulation (RFC 3948), if any.
    pub udp_encap: Option<UdpEncap>,
}

/// Direction of an SA.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the peer.
    In,
    /// To the peer.
    Out,
}

/// A security parameter index, at least 256: those below are reserved (RFC 4303, section 2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Spi(u32);

impl Spi {
    /// `None` for the reserved values below 256.
    #[must_use]
    pub fn new(spi: u32) -> Option<Self> {
        (spi >= 256).then_some(Self(spi))
    }

    /// The number.
    #[must_use]
    pub fn value(self) -> u32 {
        self.0
    }
}

/// UDP ports around ESP (RFC 3948).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UdpEncap {
    /// Ours.
    pub local_port: NonZeroU16,
    /// The peer's, or that of the NAT before it.
    pub remote_port: NonZeroU16,
}

/// One `[[ipsec.policy]]`: an entry of the SPD; the first match of a port wins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// An underlay port.
    pub port: PortId,
    /// Which packets, seen outbound.
    pub select: Selector,
    /// What becomes of them.
    pub action: Action,
}

/// Which packets a policy is about, seen outbound (RFC 4301, section 4.4.1.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector {
    /// Source; of the family of `dst`.
    pub src: IpPrefix,
    /// Destination.
    pub dst: IpPrefix,
    /// Protocol and ports.
    pub upper: UpperLayer,
}

/// Protocol and ports of a selector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpperLayer {
    /// Every protocol.
    Any,
    /// One protocol.
    Protocol(u8),
    /// One protocol that has ports (TCP, UDP, DCCP, SCTP), and which of them.
    Ports {
        /// 6, 17, 33 or 132.
        protocol: u8,
        /// Source ports.
        src: PortRange,
        /// Destination ports.
        dst: PortRange,
    },
}

/// Ports from `first` to `last`, both included; `first <= last`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortRange {
    first: u16,
    last: u16,
}

impl PortRange {
    /// Every port.
    pub const ANY: Self = Self { first: 0, last: u16::MAX };

    /// `None` if the range is inverted.
    #[must_use]
    pub fn new(first: u16, last: u16) -> Option<Self> {
        (first <= last).then_some(Self { first, last })
    }

    /// The lowest port.
    #[must_use]
    pub fn first(self) -> u16 {
        self.first
    }

    /// The highest port.
    #[must_use]
    pub fn last(self) -> u16 {
        self.last
    }

    /// Whether every port of `other` is one of these.
    #[must_use]
    pub fn covers(self, other: Self) -> bool {
        self.first <= other.first && other.last <= self.last
    }
}

/// What becomes of packets that a policy selects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// ESP by an SA of this profile to this peer.
    Protect {
        /// The profile.
        profile: ProfileId,
        /// The peer, never an address of ours.
        remote: IpAddr,
    },
    /// In clear.
    Bypass,
    /// Dropped.
    Discard,
}
