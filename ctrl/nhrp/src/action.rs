//! What the machine tells its owner, and what it asks it.

use std::net::IpAddr;
use std::sync::Arc;

use wire::IpPrefix;
use wire::nhrp::{Code, ErrorCode};

use crate::cache::Binding;
use crate::client::ServerState;
use crate::path::Path;
use crate::shortcut::Shortcut;

/// What is to be done, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Send an NHRP packet through the tunnel.
    Send {
        /// Whom to.
        to: Path,
        /// The packet, from its fixed header on; GRE type 0x2001.
        octets: Vec<u8>,
    },
    /// Have the machine of the tunnel that leads to a destination send a packet on, as
    /// [`crate::Nhrp::relay`]: it is of the same network. If it cannot, tell
    /// [`crate::Nhrp::not_relayed`] of this one.
    Relay {
        /// Who sent it to this tunnel.
        from: Path,
        /// Who is to get it, or what is asked for in it.
        target: IpAddr,
        /// The packet.
        octets: Vec<u8>,
    },
    /// Somebody was answered, and may send data from this address, although it is no peer of ours
    /// to send to. Comes before the answer, which must not leave sooner than data is taken.
    Expect {
        /// Its NBMA address.
        nbma: IpAddr,
    },
    /// A peer is reached so from now on; it may have been reached otherwise before.
    Install(Binding),
    /// A peer is not reached any more.
    Remove {
        /// Its protocol address.
        protocol: IpAddr,
    },
    /// Destinations are reached through a peer, past the next hop that routing says; or through
    /// another peer than before. The peer has been installed before.
    InstallShortcut(Shortcut),
    /// A shortcut is not to be used any more.
    RemoveShortcut {
        /// Its destinations.
        prefix: IpPrefix,
    },
    /// Find out the addresses of a server's name, and say them by [`crate::Nhrp::looked_up`].
    LookUp {
        /// The name.
        name: Arc<str>,
    },
    /// Something for operators.
    Event(Event),
}

/// What operators want to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A client registered, or moved.
    Registered {
        /// Its protocol address.
        protocol: IpAddr,
        /// Its NBMA address, outside of a NAT.
        nbma: IpAddr,
    },
    /// A registration ended without being renewed.
    Expired {
        /// Protocol address of the client.
        protocol: IpAddr,
    },
    /// A client took its registration back.
    Withdrawn {
        /// Its protocol address.
        protocol: IpAddr,
    },
    /// A registration was refused.
    Refused {
        /// The address that the client wanted.
        protocol: IpAddr,
        /// Where it came from.
        nbma: IpAddr,
        /// Why.
        code: Code,
    },
    /// We are registered with a server; or something about it changed.
    ServerUp {
        /// Its NBMA address.
        nbma: IpAddr,
        /// Its protocol address.
        protocol: IpAddr,
        /// Our address outside of a NAT, if there is one between.
        outside: Option<IpAddr>,
    },
    /// A server does not answer.
    ServerDown {
        /// Its NBMA address.
        nbma: IpAddr,
    },
    /// A server refused to register us.
    ServerRefused {
        /// Its NBMA address.
        nbma: IpAddr,
        /// Why.
        code: Code,
    },
    /// The name of a server has no address that can be used; what it had is kept.
    NameFailed {
        /// The name.
        name: Arc<str>,
        /// Why.
        why: String,
    },
    /// An address that the name of a server has is of no use: it is ours, or no host's, or leads
    /// into a tunnel.
    AddressRefused {
        /// The address.
        nbma: IpAddr,
    },
    /// A destination has no shorter way, or nobody answers for it; routing goes on.
    Unresolved {
        /// The destination.
        destination: IpAddr,
        /// What the answer says; `None` if there was none.
        code: Option<Code>,
    },
    /// A peer was told that there is a shorter way.
    Redirected {
        /// Protocol address of the peer.
        peer: IpAddr,
        /// The destination of its packet.
        destination: IpAddr,
    },
    /// Somebody complains about a packet of ours.
    Error {
        /// Where the complaint came from.
        nbma: IpAddr,
        /// What it says.
        code: ErrorCode,
    },
}

/// How a packet to a destination would go, shortcuts aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// Out of this tunnel's overlay, to our side: it is ours to answer for.
    Local(IpPrefix),
    /// Through this tunnel.
    Tunnel {
        /// The destinations that the route is for.
        prefix: IpPrefix,
        /// Protocol address of the next hop; the destination itself if it is in the tunnel's own
        /// network.
        next_hop: IpAddr,
    },
    /// Through another tunnel of the same network: these are the destinations.
    OtherTunnel(IpPrefix),
}

/// What the machine asks its owner.
pub trait Overlay {
    /// The route to a destination, as if there were no shortcuts; `None` if there is none, or it
    /// leads elsewhere.
    fn route(&self, destination: IpAddr) -> Option<Route>;

    /// Whether a peer, by its authenticated identity, may have a protocol address.
    fn may_claim(&self, peer: Path, protocol: IpAddr) -> bool;

    /// The NBMA address that a peer is seen at: outside of its NAT.
    fn seen_at(&self, peer: Path) -> IpAddr {
        peer.nbma
    }

    /// Who is reached at an NBMA address; `None` if that are several, as behind a NAT, so that it
    /// takes more than the address to say who is meant.
    fn path_to(&self, nbma: IpAddr) -> Option<Path> {
        Some(nbma.into())
    }

    /// Whether a peer can have this NBMA address: it is not ours, and no route leads there through
    /// a tunnel.
    fn may_be_nbma(&self, nbma: IpAddr) -> bool;
}

/// A server, for reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerEntry {
    /// Its name, if it is configured by one.
    pub name: Option<Arc<str>>,
    /// Its NBMA address, if it is known.
    pub nbma: Option<IpAddr>,
    /// Its protocol address, if it is known.
    pub protocol: Option<IpAddr>,
    /// Whether we are registered with it.
    pub state: ServerState,
    /// Our address outside of a NAT, if there is one between.
    pub outside: Option<IpAddr>,
}
