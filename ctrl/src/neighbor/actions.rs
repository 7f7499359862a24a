//! What the table asks of its owner, and what it counts.

use std::net::IpAddr;

use thiserror::Error;
use wire::MacAddr;

/// What is to be done, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action<P> {
    /// Send a frame.
    Send {
        /// Where.
        interface: u16,
        /// From the Ethernet header on, with the interface's VLAN tag; without padding.
        frame: Vec<u8>,
    },
    /// A next hop is known: make its adjacency, and send the packets that waited, oldest first.
    Resolved {
        /// Where it is.
        interface: u16,
        /// The next hop.
        address: IpAddr,
        /// Its link-layer address.
        mac: MacAddr,
        /// Packets that waited.
        packets: Vec<P>,
    },
    /// The adjacency of a next hop has to be made anew.
    Changed {
        /// Where it is.
        interface: u16,
        /// The next hop.
        address: IpAddr,
        /// Its new link-layer address.
        mac: MacAddr,
    },
    /// A next hop is not known any more: withdraw its adjacency.
    Lost {
        /// Where it was.
        interface: u16,
        /// The next hop.
        address: IpAddr,
    },
    /// A next hop does not answer: report its packets as unreachable.
    Failed {
        /// Where it is not.
        interface: u16,
        /// The next hop.
        address: IpAddr,
        /// Packets that waited.
        packets: Vec<P>,
    },
    /// A packet cannot wait: count and drop it.
    Dropped {
        /// The packet.
        packet: P,
        /// Why.
        reason: Unqueued,
    },
}

/// Why a packet does not wait for a next hop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
pub enum Unqueued {
    /// Later packets took its place in the queue of the next hop, or all queues are full.
    #[error("queue for an unresolved next hop is full")]
    QueueFull,
    /// There are too many next hops, or too many that do not answer.
    #[error("neighbour table is full")]
    TableFull,
    /// The next hop cannot be a neighbour on that interface: no connected prefix, our own address,
    /// a group or a broadcast address.
    #[error("no neighbour on this interface")]
    NotNeighbor,
    /// The table was cleared, or the interface changed.
    #[error("neighbour withdrawn")]
    Withdrawn,
}

/// Why a frame was not taken, or not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Error)]
pub enum Refusal {
    /// The interface is not configured.
    #[error("unknown interface")]
    Interface,
    /// No Ethernet frame, from no single station, or one of our own come back.
    #[error("bad Ethernet frame")]
    Frame,
    /// Sent to another station, or in another VLAN.
    #[error("frame for another station")]
    NotForUs,
    /// Neither ARP nor neighbour discovery; router advertisements and redirects are not heeded.
    #[error("no ARP or neighbour discovery that is heeded")]
    Ignored,
    /// Invalid ARP (RFC 826).
    #[error("invalid ARP packet")]
    Arp,
    /// Invalid neighbour discovery (RFC 4861 7.1, RFC 6980).
    #[error("invalid neighbour discovery message")]
    Nd,
    /// It asks or tells about an address that is not ours, and of a neighbour that is not known.
    #[error("neighbour message about others")]
    Others,
    /// The sender has no address in a connected prefix.
    #[error("neighbour message from off link")]
    OffLink,
    /// The sender claims an address of ours.
    #[error("address conflict")]
    Conflict,
    /// An answer to no question.
    #[error("unsolicited reply")]
    Unsolicited,
    /// It contradicts a static entry.
    #[error("neighbour is static")]
    Static,
    /// It changes a link-layer address again, too soon.
    #[error("link-layer address changes too often")]
    TooSoon,
    /// There are too many neighbours that only asked us.
    #[error("too many neighbours learnt")]
    LearntFull,
    /// Too many answers to probes for duplicates of our addresses.
    #[error("too many answers to all nodes")]
    Rate,
}

impl Refusal {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Interface,
        Self::Frame,
        Self::NotForUs,
        Self::Ignored,
        Self::Arp,
        Self::Nd,
        Self::Others,
        Self::OffLink,
        Self::Conflict,
        Self::Unsolicited,
        Self::Static,
        Self::TooSoon,
        Self::LearntFull,
        Self::Rate,
    ];
}

/// What happened so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Questions about our addresses that were answered.
    pub answered: u64,
    /// Our questions to all, the repeated ones included.
    pub requests: u64,
    /// Our questions to a known neighbour.
    pub probes: u64,
    /// Gratuitous ARP and unsolicited advertisements of ours.
    pub announcements: u64,
    /// Next hops that became known.
    pub resolved: u64,
    /// Link-layer addresses that changed.
    pub changed: u64,
    /// Next hops that did not answer.
    pub failed: u64,
    /// Next hops that were known, and are not any more.
    pub lost: u64,
    /// Unanswered next hops that gave way to newer ones.
    pub evicted: u64,
    refused: [u64; Refusal::ALL.len()],
}

impl Counters {
    /// Frames refused for this reason.
    #[must_use]
    pub const fn refused(&self, reason: Refusal) -> u64 {
        self.refused[reason as usize]
    }

    pub(super) const fn refuse(&mut self, reason: Refusal) {
        self.refused[reason as usize] += 1;
    }
}
