//! What `show` and `events` yield: plain data, printed by `--json` as it is and by tables and lines
//! for people.
//!
//! Counters are exact, and count since the start or the last `clear`; those of SAs since the SA
//! was installed. Octets are octets, not bits. Absent values are `null`.

mod engine;
mod event;
mod forwarding;
mod interface;
mod nhrp;
mod security;

pub use engine::{Core, Drop, Stage, Topology};
pub use event::{Entry, Event, EventClass, EventSa, Events};
pub use forwarding::{
    Neighbor, NeighborState, NextHop, NextHopState, Route, RouteSource, RouteTable,
};
pub use interface::{
    Keepalive, Link, Peer, PeerKind, PeerProtection, Port, ReceiveCounters, Role, TransmitCounters,
    Tunnel, TunnelMode,
};
pub use nhrp::{
    NhrpBinding, NhrpDrops, NhrpKind, NhrpMessages, NhrpOverview, NhrpReceiver, NhrpReceiverReason,
    NhrpServer, NhrpServerState, NhrpShortcut, NhrpTraffic,
};
pub use security::{Direction, EspMode, LifetimeLeft, Sa, SaState};

use serde::{Deserialize, Serialize};

/// Packets and octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(proptest_derive::Arbitrary))]
pub struct Traffic {
    /// Packets.
    pub packets: u64,
    /// Octets of the inner IP packets.
    pub octets: u64,
}
