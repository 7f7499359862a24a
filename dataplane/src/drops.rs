//! Every reason for which the packet path drops a packet. A dropped packet has exactly one.

use strum::{EnumCount, EnumMessage, IntoEnumIterator};

/// Why a packet was dropped. The names are what `greyhound show drops` prints.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    strum::EnumCount,
    strum::EnumIter,
    strum::EnumMessage,
    strum::EnumString,
    strum::FromRepr,
    strum::IntoStaticStr,
)]
#[strum(serialize_all = "snake_case")]
#[repr(u8)]
pub enum DropReason {
    /// Frame shorter than its headers
    FrameTruncated,
    /// Destination MAC address is not ours
    NotOurMac,
    /// VLAN without a sub-interface
    UnknownVlan,
    /// Neither IPv4, IPv6 nor ARP
    UnknownEtherType,
    /// IPv4 or IPv6 version field disagrees with the EtherType
    IpVersion,
    /// IPv4 header length below 5 words or beyond the packet
    IpHeaderLength,
    /// IP length larger than the frame or smaller than the header
    IpLength,
    /// IPv4 header checksum wrong
    IpChecksum,
    /// IPv6 extension headers malformed or too many
    IpExtensionHeader,
    /// Source address that no host may use: 0/8, loopback, multicast, broadcast, IPv4-mapped
    MartianSource,
    /// Destination address that is never forwarded: 0/8, loopback, reserved, IPv4-mapped
    MartianDestination,
    /// Underlay packet for another host: the underlay is not transit
    UnderlayTransit,
    /// Underlay protocol that is not configured
    UnderlayProtocol,
    /// UDP 4500 datagram too short for ESP
    NatTraversalShort,
    /// NAT keepalive (one octet 0xFF), consumed
    NatKeepalive,
    /// SPI that no SA uses
    UnknownSpi,
    /// SPI is known, but the outer addresses are not those of its SA
    SaAddress,
    /// ESP shorter than its header, IV, trailer and ICV
    EspTruncated,
    /// ESP ciphertext not a multiple of four octets
    EspUnaligned,
    /// SA has been deleted
    SaGone,
    /// SA has reached its lifetime
    SaExpired,
    /// Sequence number is left of the replay window
    ReplayTooOld,
    /// Sequence number was received before
    ReplayDuplicate,
    /// Sequence number is zero, or beyond the last one without ESN
    ReplaySequence,
    /// ICV does not verify
    IcvMismatch,
    /// Crypto device failed, or refused what it was given
    CryptoDevice,
    /// ESP padding length or octets wrong
    EspPadding,
    /// ESP dummy packet (next header 59), consumed
    EspDummy,
    /// Next header that the SA does not allow
    EspNextHeader,
    /// Decrypted packet violates the selectors of its SA
    SelectorMismatch,
    /// Fragment malformed: length not a multiple of eight, or empty
    FragmentMalformed,
    /// First fragment too small to hold the transport header
    FragmentTiny,
    /// Fragment received before
    FragmentDuplicate,
    /// Fragments overlap
    FragmentOverlap,
    /// Offset and length exceed 65 535 octets
    FragmentTooLong,
    /// Fragments of the datagram did not all arrive in time
    FragmentTimeout,
    /// Source has as many incomplete datagrams as one may have
    FragmentQuota,
    /// Memory for incomplete datagrams is used up
    FragmentMemory,
    /// Reassembled datagram does not fit a buffer
    FragmentOversize,
    /// GRE header truncated
    GreTruncated,
    /// GRE version is not 0
    GreVersion,
    /// GRE routing or reserved bits set
    GreReserved,
    /// GRE checksum wrong
    GreChecksum,
    /// No GRE tunnel between these addresses
    GreUnknownTunnel,
    /// GRE key missing where the tunnel has one
    GreKeyMissing,
    /// GRE key is not the tunnel's
    GreKeyWrong,
    /// mGRE packet from a peer that is not known
    GreUnknownPeer,
    /// GRE protocol type that is not carried
    GreProtocol,
    /// GRE sequence number older than the last one accepted
    GreSequence,
    /// GRE in GRE beyond the limit
    GreNesting,
    /// Cleartext from a peer that must be protected
    CleartextFromProtected,
    /// Protected by an SA that is not the tunnel's
    SaTunnelMismatch,
    /// Inner source or destination is one of our underlay addresses
    InnerLoop,
    /// Inner packet claims more octets than arrived, or none
    InnerLength,
    /// Outer congestion mark on an inner packet that cannot carry it (RFC 6040)
    EcnInvalid,
    /// No route to the destination
    NoRoute,
    /// Interface cannot send
    InterfaceDown,
    /// TTL or hop limit ran out
    TtlExceeded,
    /// Too big for the egress and not to be fragmented
    TooBig,
    /// Policy says discard
    PolicyDiscard,
    /// Protected, and there is no SA: never sent in clear
    NoSa,
    /// Outbound SA used its last sequence number
    SequenceExhausted,
    /// Directed broadcast where it is not enabled
    DirectedBroadcast,
    /// Multicast or broadcast that no rule forwards
    NoMulticastRule,
    /// Multicast that did not arrive from where its source is routed
    ReversePath,
    /// Multicast with no receiver but the sender
    NoReplicas,
    /// Next hop stays unresolved, or its queue is full
    Unresolved,
    /// No buffer to copy or fragment into
    NoBuffer,
    /// No room before or behind the packet
    NoRoom,
    /// Ring to the next core is full
    RingFull,
    /// Ring to the control thread is full
    PuntFull,
    /// Rate limit towards the control thread
    PuntRate,
    /// Stage is placed nowhere
    NoStage,
    /// Transmit queue is full
    TxFull,
    /// Control thread has no use for the packet
    Unhandled,
}

impl DropReason {
    /// How many reasons there are.
    pub const COUNT: usize = <Self as EnumCount>::COUNT;

    /// All reasons, in the order of their counters.
    pub fn all() -> impl Iterator<Item = DropReason> {
        Self::iter()
    }

    /// Name as shown and as accepted by filters.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// One line for people.
    pub fn description(self) -> &'static str {
        self.get_documentation().unwrap_or("")
    }
}
