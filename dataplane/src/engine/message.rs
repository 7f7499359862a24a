//! What the control thread and the cores say to each other.

use std::sync::Arc;

use arrayvec::ArrayVec;

use crate::packet::Packet;
use crate::tables::{InboundSa, OutboundSa, Tables};

use super::stage::SaCommand;

/// Control thread to core. The order of the ring is the order of effects.
#[derive(Debug)]
pub enum Command {
    /// Use these tables from the next turn on; the old ones come back as [`Event::Retired`].
    Publish(Arc<Tables>),
    /// Change the SAs that a stage of this core owns.
    Sa(SaCommand),
    /// Forget fragments that wait for the rest of their datagram.
    ClearReassembly,
    /// Feed a packet of the control thread into `lookup`.
    Inject(Packet),
}

/// Core to control thread, besides punted packets.
#[derive(Debug)]
pub enum Event {
    /// Tables no longer used by this core: dropped, and keys wiped, on the control thread.
    Retired(Arc<Tables>),
    /// An inbound SA no longer used by this core.
    RetiredInbound(Arc<InboundSa>),
    /// An outbound SA no longer used by this core.
    RetiredOutbound(Arc<OutboundSa>),
    /// An SA reached its lifetime in packets, octets or time, or its last sequence number.
    Expired {
        /// Its slot.
        slot: u32,
        /// Whether we receive on it.
        inbound: bool,
    },
    /// The peer of a UDP-encapsulated SA sends from elsewhere (RFC 3948, RFC 7296 section 2.23);
    /// said only for an authenticated packet with the highest sequence number so far.
    PeerMoved {
        /// Inbound slot.
        slot: u32,
        /// Its new address.
        address: std::net::IpAddr,
        /// Its new UDP port.
        port: u16,
    },
    /// A packet came in and goes out by tunnels of one NHRP network, and its sender is to be told;
    /// a few of many.
    Redirect(Box<Redirect>),
}

/// A packet whose sender has a shorter way.
#[derive(Debug)]
pub struct Redirect {
    /// The adjacency back to the peer that it came from.
    pub in_peer: u32,
    /// Its head, from the IP header on.
    pub head: ArrayVec<u8, REDIRECT_HEAD_MAX>,
}

/// Octets of a packet that a redirect quotes: IP and transport headers, as of an ICMP error.
pub const REDIRECT_HEAD_MAX: usize = 128;
