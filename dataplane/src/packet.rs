//! A packet on its way through the stages: the buffer, and what earlier stages learned about it.

use dpdk::Mbuf;
use wire::eth::EtherType;
use wire::flow;

use crate::ip::IpFacts;

/// Marks "none" in the index fields of [`Meta`].
pub const NONE: u32 = u32::MAX;

/// A buffer with its metadata. Moving it moves ownership: whoever holds it last frees the buffer.
#[derive(Debug)]
pub struct Packet {
    /// The octets. What they start with depends on the edge; see [`Meta::layer`].
    pub mbuf: Mbuf,
    /// What earlier stages learned.
    pub meta: Meta,
}

impl Packet {
    /// A packet about which nothing is known yet.
    pub fn new(mbuf: Mbuf) -> Self {
        Packet { mbuf, meta: Meta::default() }
    }

    /// A packet that the gateway made itself, from its IP header on; or, if it has none, what the
    /// caller says of it.
    pub fn originated(mbuf: Mbuf) -> Self {
        let mut packet = Packet::new(mbuf);
        packet.meta.flags.set(Flags::ORIGINATED);
        if let Ok(facts) = IpFacts::parse(packet.mbuf.data(), true) {
            let kind = if facts.dst.is_v4() { EtherType::IPV4 } else { EtherType::IPV6 };
            packet.meta.ether_type = kind.0;
            packet.meta.destination = facts.dst.v4_bits();
        }
        packet
    }

    /// Hash of the flow, for ECMP and fan-out, of a packet that begins with its IP header. Worked
    /// out where somebody needs it, which most packets never meet.
    #[inline]
    pub fn flow(&self) -> u32 {
        self.flow_at(0)
    }

    /// The same where the IP header begins at `offset`.
    #[inline]
    pub(crate) fn flow_at(&self, offset: usize) -> u32 {
        // What the port hashed of a tunnelled packet were the outer headers.
        let hashed =
            if self.meta.flags.has(Flags::TUNNELLED) { None } else { self.mbuf.rss_hash() };
        let packet = self.mbuf.data().get(offset..).unwrap_or_default();
        hashed.unwrap_or_else(|| flow::hash(packet))
    }
}

/// The port that all packets of a burst have, by [`Meta::port`]; none if they differ, or there are
/// none.
#[inline]
pub fn port_of_all(packets: &[Packet]) -> Option<u16> {
    let first = packets.first()?.meta.port;
    // Without a branch for each.
    let unlike = packets.iter().fold(0, |unlike, packet| unlike | (packet.meta.port ^ first));
    (unlike == 0).then_some(first)
}

/// Which header the first octet of the buffer belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Layer {
    /// An Ethernet frame, as received or ready to be sent.
    #[default]
    Ethernet,
    /// An IPv4 or IPv6 header.
    Ip,
    /// A GRE header.
    Gre,
}

/// Why a packet goes to the control thread.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Default,
    strum::EnumCount,
    strum::FromRepr,
    strum::IntoStaticStr,
)]
#[strum(serialize_all = "snake_case")]
pub enum PuntReason {
    /// An ARP frame.
    #[default]
    Arp,
    /// IPv6 neighbour discovery.
    NeighborDiscovery,
    /// Addressed to one of our own addresses, overlay or underlay.
    Local,
    /// Waits for its next hop to be resolved; `meta.adjacency` names it.
    Unresolved,
    /// TTL or hop limit ran out: answer with time exceeded.
    TtlExceeded,
    /// Larger than `meta.mtu` and not to be fragmented: answer with too big.
    TooBig,
    /// No route: answer with unreachable.
    NoRoute,
    /// GRE keepalive, ours come back or a peer's to be reflected.
    Keepalive,
    /// NHRP in GRE.
    Nhrp,
}

/// Metadata of a packet: plain values, valid from the stage that sets them on.
#[derive(Debug, Clone, Copy)]
pub struct Meta {
    /// Chosen egress adjacency, an index into `Tables::adjacencies`.
    pub adjacency: u32,
    /// The adjacency back to the tunnel peer the packet came from.
    pub in_peer: u32,
    /// SA slot: inbound until decryption has been accounted for, then outbound.
    pub sa: u32,
    /// Ordering domain: packets of one lane are handled by one instance of a stage.
    pub lane: u32,
    /// Destination of an IPv4 packet, in host order: what `lookup` looks up.
    pub destination: u32,
    /// High half of the ESP sequence number.
    pub sequence_high: u32,
    /// Ingress interface, port, VLAN or tunnel; see `Tables::interfaces`.
    pub interface: u16,
    /// Egress port.
    pub port: u16,
    /// Offset of the transport header (underlay RX) or of the ESP header (TX).
    pub l4: u16,
    /// Octets that the egress can carry; valid on the way to a fragmenting stage and with `TooBig`.
    pub mtu: u16,
    /// TCP MSS of the tunnel it came from, IPv4; 0: none.
    pub mss: u16,
    /// EtherType of what the tunnel carries, as in the GRE protocol field.
    pub ether_type: u16,
    /// TOS or traffic class of the outer header of a tunnelled packet received (RFC 6040).
    pub outer_tos: u8,
    /// Which header the buffer starts with.
    pub layer: Layer,
    /// Why the packet is punted.
    pub punt: PuntReason,
    /// Conditions that hold for this packet.
    pub flags: Flags,
}

impl Default for Meta {
    fn default() -> Self {
        Meta {
            adjacency: NONE,
            in_peer: NONE,
            sa: NONE,
            lane: 0,
            destination: 0,
            sequence_high: 0,
            interface: u16::MAX,
            port: u16::MAX,
            l4: 0,
            mtu: 0,
            mss: 0,
            ether_type: 0,
            outer_tos: 0,
            layer: Layer::Ethernet,
            punt: PuntReason::Arp,
            flags: Flags(0),
        }
    }
}

/// A set of conditions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags(u8);

impl Flags {
    /// Decrypted and authenticated by an SA.
    pub const PROTECTED: Flags = Flags(1);
    /// `meta.adjacency` was chosen by the control thread: no look-up.
    pub const RESOLVED: Flags = Flags(2);
    /// Made by the gateway itself: its TTL is not decremented.
    pub const ORIGINATED: Flags = Flags(4);
    /// Came out of a tunnel.
    pub const TUNNELLED: Flags = Flags(8);
    /// Belongs to the underlay: looked up and answered there.
    pub const UNDERLAY: Flags = Flags(16);
    /// Arrived in UDP on port 4500.
    pub const UDP_ENCAPSULATED: Flags = Flags(32);
    /// A complete Ethernet frame of the control thread, to be sent as it is.
    pub const FRAME: Flags = Flags(64);
    /// Larger than `meta.mtu`, but not to be fragmented before it is sealed.
    pub const OVERSIZE: Flags = Flags(128);

    /// Whether all of `other` are in this set.
    #[inline]
    pub fn has(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether any of `other` is in this set.
    #[inline]
    pub fn any(self, other: Flags) -> bool {
        self.0 & other.0 != 0
    }

    /// Both sets together.
    #[inline]
    #[must_use]
    pub const fn or(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }

    /// Adds `other`.
    #[inline]
    pub fn set(&mut self, other: Flags) {
        self.0 |= other.0;
    }

    /// Removes `other`.
    #[inline]
    pub fn clear(&mut self, other: Flags) {
        self.0 &= !other.0;
    }
}
