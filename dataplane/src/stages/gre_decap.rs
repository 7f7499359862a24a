//! gre_decap: finds the tunnel and peer of a GRE packet, takes the headers off.
//!
//! NHRP is punted before any look-up of the peer: a first registration comes from a stranger.

use std::net::IpAddr;

use dpdk::Mbuf;
use wire::ecn::{self, Ecn};
use wire::gre::{self, Protocol};
use wire::{IpProto, flow, ip4, ip6};

use crate::drops::DropReason;
use crate::engine::stage::{Context, Outputs, Stage};
use crate::engine::topology::output::gre_decap;
use crate::ip::IpFacts;
use crate::packet::{Flags, Layer, Packet, PuntReason};
use crate::tables::tunnel::{Protection, Tunnel, TunnelMatch};
use crate::tables::{Peer, Tables};

/// GRE headers that may follow each other: ours, and two of the users behind it.
const NESTING_MAX: usize = 3;
/// A keepalive is an IP and a GRE header; anything longer is none.
const KEEPALIVE_MAX: usize = 20 + gre::HEADER_LEN_MAX + 8;

/// Decapsulates.
#[derive(Default)]
pub struct GreDecap;

impl Stage for GreDecap {
    fn run(&mut self, context: &mut Context<'_>, input: &mut Vec<Packet>, out: &mut Outputs) {
        for mut packet in input.drain(..) {
            match decap(context, &mut packet) {
                Ok(output) => out.push(output, packet),
                Err(reason) => out.drop(packet, reason),
            }
        }
    }
}

/// Facts of the GRE header.
struct Header {
    len: usize,
    protocol: Protocol,
    key: Option<u32>,
    sequence: Option<u32>,
}

fn decap(context: &Context<'_>, packet: &mut Packet) -> Result<usize, DropReason> {
    let tables = context.tables;
    let (local, remote) = outer_addresses(tables, packet)?;
    let start = usize::from(packet.meta.l4);
    let header = header(&packet.mbuf.data()[start..])?;
    let (tunnel, peer) = match tables.tunnels.find(local, remote, header.key) {
        TunnelMatch::Peer(tunnel, peer) => (tunnel, Some(peer)),
        TunnelMatch::Stranger(tunnel) => (tunnel, None),
        TunnelMatch::KeyMissing => return Err(DropReason::GreKeyMissing),
        TunnelMatch::KeyWrong => return Err(DropReason::GreKeyWrong),
        TunnelMatch::None => return Err(DropReason::GreUnknownTunnel),
    };
    check_protection(tables, packet, peer.map_or(tunnel.protection, |peer| peer.protection))?;
    check_sequence(tunnel, peer, &header)?;
    if !packet.mbuf.adj(start + header.len) {
        return Err(DropReason::GreTruncated);
    }
    packet.meta.interface = tunnel.interface;
    packet.meta.in_peer = peer.map_or(crate::packet::NONE, |peer| peer.adjacency);
    packet.meta.ether_type = header.protocol.0;
    packet.meta.flags.set(Flags::TUNNELLED);
    packet.meta.flags.clear(Flags::UNDERLAY);
    match (header.protocol, peer) {
        (Protocol::NHRP, _) => Ok(punt(packet, PuntReason::Nhrp)),
        (_, None) => Err(DropReason::GreUnknownPeer),
        (Protocol::KEEPALIVE, Some(_)) if !tunnel.multipoint => {
            Ok(punt(packet, PuntReason::Keepalive))
        }
        (Protocol::IPV4 | Protocol::IPV6, Some(peer)) => {
            let octets = packet.mbuf.len();
            let output = inner(tables, packet, tunnel, (local, remote))?;
            peer.received[context.core].count(octets);
            Ok(output)
        }
        _ => Err(DropReason::GreProtocol),
    }
}

/// Our address and the peer's: from the header in front of GRE, or from the SA, which vouches for
/// them.
fn outer_addresses(tables: &Tables, packet: &Packet) -> Result<(IpAddr, IpAddr), DropReason> {
    if packet.meta.layer == Layer::Gre {
        let sa = tables.sas.inbound(packet.meta.sa).ok_or(DropReason::SaGone)?;
        return Ok((sa.local, sa.remote));
    }
    let data = packet.mbuf.data();
    if let Ok(packet) = ip4::Packet::new_checked(data) {
        return Ok((IpAddr::V4(packet.dst()), IpAddr::V4(packet.src())));
    }
    let packet = ip6::Packet::new_checked(data).map_err(|_| DropReason::IpVersion)?;
    Ok((IpAddr::V6(packet.dst()), IpAddr::V6(packet.src())))
}

fn header(data: &[u8]) -> Result<Header, DropReason> {
    let packet = gre::Packet::new_checked(data).map_err(|error| match error {
        gre::Error::Truncated => DropReason::GreTruncated,
        gre::Error::Version(_) => DropReason::GreVersion,
        gre::Error::Routing | gre::Error::ReservedBits => DropReason::GreReserved,
        gre::Error::Checksum => DropReason::GreChecksum,
    })?;
    Ok(Header {
        len: packet.header_len(),
        protocol: packet.protocol(),
        key: packet.key(),
        sequence: packet.sequence(),
    })
}

fn check_protection(
    tables: &Tables,
    packet: &Packet,
    protection: Protection,
) -> Result<(), DropReason> {
    let protected = packet.meta.flags.has(Flags::PROTECTED);
    match protection {
        Protection::Discard => Err(DropReason::PolicyDiscard),
        Protection::Clear if protected => Err(DropReason::SaTunnelMismatch),
        Protection::Clear => Ok(()),
        Protection::Required { .. } if !protected => Err(DropReason::CleartextFromProtected),
        Protection::Required { profile } => match tables.sas.inbound(packet.meta.sa) {
            Some(sa) if sa.profile == profile => Ok(()),
            Some(_) => Err(DropReason::SaTunnelMismatch),
            None => Err(DropReason::SaGone),
        },
    }
}

fn check_sequence(tunnel: &Tunnel, peer: Option<&Peer>, header: &Header) -> Result<(), DropReason> {
    match (tunnel.ordered, peer, header.sequence) {
        (true, Some(peer), Some(sequence)) if !peer.sequence.accept(sequence) => {
            Err(DropReason::GreSequence)
        }
        _ => Ok(()),
    }
}

fn punt(packet: &mut Packet, reason: PuntReason) -> usize {
    packet.meta.punt = reason;
    gre_decap::PUNT
}

/// Checks the inner packet and prepares it for routing.
fn inner(
    tables: &Tables,
    packet: &mut Packet,
    tunnel: &Tunnel,
    outer: (IpAddr, IpAddr),
) -> Result<usize, DropReason> {
    let facts = IpFacts::parse_inner(packet.mbuf.data())?;
    if facts.src.is_ipv4() != (packet.meta.ether_type == Protocol::IPV4.0) {
        return Err(DropReason::IpVersion);
    }
    let padding = packet.mbuf.len() - facts.total_len;
    if !packet.mbuf.trim(padding) {
        return Err(DropReason::InnerLength);
    }
    if facts.protocol == IpProto::GRE {
        if !tunnel.multipoint && is_keepalive(packet.mbuf.data(), &facts, outer) {
            return Ok(punt(packet, PuntReason::Keepalive));
        }
        check_nesting(packet.mbuf.data())?;
    }
    if let Some(reason) = facts.martian() {
        return Err(reason);
    }
    let ours = |address| tables.interfaces.is_underlay_local(address);
    if ours(facts.src) || ours(facts.dst) {
        return Err(DropReason::InnerLoop);
    }
    let outer_tos = packet.meta.outer_tos;
    ecn_from(&mut packet.mbuf, facts.traffic_class, outer_tos)?;
    packet.meta.layer = Layer::Ip;
    packet.meta.mss = tunnel.mss;
    packet.meta.flow = flow::hash(packet.mbuf.data());
    packet.meta.lane = packet.meta.flow;
    Ok(gre_decap::IP)
}

/// A peer's keepalive: what it wants to get back, an empty GRE packet from us to it. `outer` is
/// our address and the peer's.
fn is_keepalive(data: &[u8], facts: &IpFacts, outer: (IpAddr, IpAddr)) -> bool {
    (facts.src, facts.dst) == outer
        && data.len() <= KEEPALIVE_MAX
        && gre::Packet::new_checked(&data[facts.upper..])
            .is_ok_and(|gre| gre.protocol() == Protocol::KEEPALIVE)
}

/// Counts GRE headers that follow each other.
fn check_nesting(data: &[u8]) -> Result<(), DropReason> {
    let mut rest = data;
    for _ in 1..NESTING_MAX {
        let Ok(facts) = IpFacts::parse(rest, true) else { return Ok(()) };
        if facts.protocol != IpProto::GRE || facts.later_fragment {
            return Ok(());
        }
        let Ok(gre) = gre::Packet::new_quoted(&rest[facts.upper..]) else { return Ok(()) };
        rest = gre.payload();
    }
    match IpFacts::parse(rest, true) {
        Ok(facts) if facts.protocol == IpProto::GRE => Err(DropReason::GreNesting),
        _ => Ok(()),
    }
}

/// Carries a congestion mark from the outer to the inner header (RFC 6040 section 4.2).
pub(super) fn ecn_from(mbuf: &mut Mbuf, inner_tos: u8, outer_tos: u8) -> Result<(), DropReason> {
    let inner = Ecn::of(inner_tos);
    let combined = ecn::decapsulate(inner, Ecn::of(outer_tos)).ok_or(DropReason::EcnInvalid)?;
    if combined == inner {
        return Ok(());
    }
    let class = combined.in_class(inner_tos);
    let data = mbuf.data_mut().ok_or(DropReason::NoBuffer)?;
    if let Ok(mut packet) = ip4::Packet::new_checked(&mut *data) {
        packet.update_traffic_class(class);
    } else if let Ok(mut packet) = ip6::Packet::new_checked(data) {
        packet.set_traffic_class(class);
    }
    Ok(())
}
