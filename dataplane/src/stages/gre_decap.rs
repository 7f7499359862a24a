//! gre_decap: finds the tunnel and peer of a GRE packet, takes the headers off.
//!
//! NHRP is punted before any look-up of the peer: a first registration comes from a stranger.

mod known;

use dpdk::Mbuf;
use wire::ecn::{self, Ecn};
use wire::gre::{self, Protocol};
use wire::{IpProto, ip4, ip6, plain};

use crate::addr::Addr;
use crate::drops::DropReason;
use crate::engine::stage::{Context, Outputs, Stage, Verdict, decide_each};
use crate::engine::topology::output::gre_decap;
use crate::ip::{IpFacts, check_v4, inner_reason, is_plain_v4};
use crate::packet::{Flags, Layer, NONE, Packet, PuntReason};
use crate::tables::interface::Locals;
use crate::tables::tunnel::{Protection, Remote, Tunnel, TunnelMatch};
use crate::tables::{Peer, Tables};

use self::known::{Finder, Known, Origin};

/// GRE headers that may follow each other: ours, and two of the users behind it.
const NESTING_MAX: usize = 3;
/// A keepalive is an IP and a GRE header; anything longer is none.
const KEEPALIVE_MAX: usize = 20 + gre::HEADER_LEN_MAX + 8;

/// Decapsulates.
#[derive(Default)]
pub struct GreDecap {
    known: Known,
    /// The tables that it is of.
    generation: u64,
}

impl Stage for GreDecap {
    fn run(&mut self, context: &mut Context<'_>, input: &mut Vec<Packet>, out: &mut Outputs) {
        if self.generation != context.tables.generation {
            self.generation = context.tables.generation;
            self.known.clear();
        }
        let context = &*context;
        out.sort_usual(
            input,
            &mut self.known,
            |known, packets, verdicts| usual(context, known, packets, verdicts),
            |_, packet| decap(context, packet),
        );
    }
}

/// Decapsulates the usual packets, as [`plain()`] knows them; [`decap`] has the others.
fn usual(
    context: &Context<'_>,
    known: &mut Known,
    packets: &mut [Packet],
    verdicts: &mut [Verdict],
) {
    // The same code each time, so that the usual one does what it needs and no more.
    match (known.is_small(context.tables), context.spread) {
        (true, false) => each::<false>(context, &mut Finder::new(known), packets, verdicts),
        (true, true) => each::<true>(context, &mut Finder::new(known), packets, verdicts),
        (false, spread) => {
            known.find_all(context, packets);
            if spread {
                each_found::<true>(context, known.numbers(), packets, verdicts);
            } else {
                each_found::<false>(context, known.numbers(), packets, verdicts);
            }
        }
    }
}

/// The same one by one.
#[inline(never)]
fn each<'a, const SPREAD: bool>(
    context: &Context<'a>,
    finder: &mut Finder<'a, '_>,
    packets: &mut [Packet],
    verdicts: &mut [Verdict],
) {
    let (tables, locals) = (context.tables, context.tables.interfaces.underlay_locals());
    decide_each(packets, verdicts, |packet| {
        plain::<SPREAD>(context, locals, packet, |packet, origin| {
            finder.find(tables, packet, origin)
        })
    });
}

/// The same of packets whose peers were found, and have these numbers.
#[inline(never)]
fn each_found<const SPREAD: bool>(
    context: &Context<'_>,
    numbers: &[u32],
    packets: &mut [Packet],
    verdicts: &mut [Verdict],
) {
    let (tables, locals) = (context.tables, context.tables.interfaces.underlay_locals());
    let mut numbers = numbers.iter();
    decide_each(packets, verdicts, |packet| {
        let number = numbers.next()?;
        plain::<SPREAD>(context, locals, packet, |_, _| tables.tunnels.peer(*number))
    });
}

/// Facts of the GRE header.
struct Header {
    /// Where the payload begins.
    end: usize,
    protocol: Protocol,
    key: Option<u32>,
    sequence: Option<u32>,
}

/// Decapsulates what nearly every packet is: from a known peer, whom `find` finds, with no GRE
/// field but the key, and a plain IPv4 packet between ordinary addresses in it. None, and nothing
/// changed, for all others and whatever is wrong: [`decap`] decides, and of these it would do the
/// same.
#[inline(always)]
fn plain<'a, const SPREAD: bool>(
    context: &Context<'_>,
    locals: Locals<'_>,
    packet: &mut Packet,
    find: impl FnOnce(&Packet, Origin) -> Option<(&'a Tunnel, &'a Peer)>,
) -> Option<Verdict> {
    let (origin, end) = Origin::of(packet)?;
    let data = packet.mbuf.data();
    let (tunnel, peer) = find(packet, origin)?;
    let inner = plain::Packet::new(data.get(end..)?)?;
    let (src, dst) = (inner.src(), inner.dst());
    let ordinary = inner.verify_checksum()
        && is_plain_v4(src) & is_plain_v4(dst)
        && inner.protocol() != IpProto::GRE
        && is_unmarked(inner.traffic_class(), packet.meta.outer_tos)
        && !locals.contain(Addr::v4(src))
        && !locals.contain(Addr::v4(dst));
    if !ordinary {
        return None;
    }
    let (octets, total_len) = (data.len() - end, inner.total_len());
    // It fits: `plain::Packet::new` looked.
    let _ = packet.mbuf.narrow(end, total_len.into());
    packet.meta.ether_type = Protocol::IPV4.0;
    packet.meta.destination = dst;
    tunnelled(packet, tunnel, Some(peer));
    arrived(context, SPREAD, packet, (tunnel, peer), octets);
    Some(Verdict::output(gre_decap::IP))
}

/// Whether the outer header says nothing about congestion that the inner one does not say.
#[inline(always)]
fn is_unmarked(inner_tos: u8, outer_tos: u8) -> bool {
    let outer = Ecn::of(outer_tos);
    outer == Ecn::NotEct || outer == Ecn::of(inner_tos)
}

/// Notes the tunnel that a packet came out of.
#[inline(always)]
fn tunnelled(packet: &mut Packet, tunnel: &Tunnel, peer: Option<&Peer>) {
    packet.meta.interface = tunnel.interface;
    packet.meta.in_peer = peer.map_or(NONE, |peer| peer.adjacency);
    packet.meta.flags.set(Flags::TUNNELLED);
    packet.meta.flags.clear(Flags::UNDERLAY);
}

/// Notes and counts an IP packet, from here on like any other, that came with `octets`.
#[inline(always)]
fn arrived(
    context: &Context<'_>,
    spread: bool,
    packet: &mut Packet,
    (tunnel, peer): (&Tunnel, &Peer),
    octets: usize,
) {
    packet.meta.layer = Layer::Ip;
    packet.meta.mss = tunnel.mss;
    if spread {
        packet.meta.lane = packet.flow();
    }
    peer.received[context.core].count(octets);
}

#[inline(never)]
fn decap(context: &Context<'_>, packet: &mut Packet) -> Result<usize, DropReason> {
    let tables = context.tables;
    let (local, remote) = outer_ends(tables, packet)?;
    let header = header(packet.mbuf.data(), packet.meta.l4.into())?;
    let (tunnel, peer) = match tables.tunnels.find(local, remote, header.key) {
        TunnelMatch::Peer(tunnel, peer) => (tunnel, Some(peer)),
        TunnelMatch::Stranger(tunnel) => (tunnel, None),
        TunnelMatch::KeyMissing => return Err(DropReason::GreKeyMissing),
        TunnelMatch::KeyWrong => return Err(DropReason::GreKeyWrong),
        TunnelMatch::None => return Err(DropReason::GreUnknownTunnel),
    };
    check_protection(tables, packet, peer.map_or(tunnel.protection, |peer| peer.protection))?;
    check_sequence(tunnel, peer, &header)?;
    packet.meta.ether_type = header.protocol.0;
    tunnelled(packet, tunnel, peer);
    match (header.protocol, peer) {
        (Protocol::IPV4, Some(peer)) => {
            let data = packet.mbuf.data().get(header.end..).ok_or(DropReason::InnerLength)?;
            let facts = IpFacts::of_v4(&check_v4(data, false).map_err(inner_reason)?);
            inner(context, packet, (tunnel, peer), (local, remote), (header.end, &facts))
        }
        (Protocol::IPV6, Some(peer)) => inner_v6(context, packet, (tunnel, peer), header.end),
        (Protocol::NHRP, _) => {
            // With its outer header, which tells the control thread who sent it: see [`nhrp`].
            packet.meta.l4 = u16::try_from(header.end).map_err(|_| DropReason::GreTruncated)?;
            punt(packet, 0, PuntReason::Nhrp)
        }
        (_, None) => Err(DropReason::GreUnknownPeer),
        (Protocol::KEEPALIVE, Some(_)) if !tunnel.multipoint => {
            punt(packet, header.end, PuntReason::Keepalive)
        }
        _ => Err(DropReason::GreProtocol),
    }
}

/// Who a punted NHRP packet came from, and the packet itself, behind GRE. None if
/// the SA that brought it is gone.
#[must_use]
pub fn nhrp<'a>(tables: &Tables, packet: &'a Packet) -> Option<(Remote, &'a [u8])> {
    let (_, remote) = outer_ends(tables, packet).ok()?;
    Some((remote, packet.mbuf.data().get(packet.meta.l4.into()..)?))
}

/// Our address and the peer: from the header in front of GRE, or from the SA, which vouches for
/// them.
fn outer_ends(tables: &Tables, packet: &Packet) -> Result<(Addr, Remote), DropReason> {
    if packet.meta.layer == Layer::Gre {
        let sa = tables.sas.inbound(packet.meta.sa).ok_or(DropReason::SaGone)?;
        return Ok((sa.local, sa.peer()));
    }
    let data = packet.mbuf.data();
    if let Ok(packet) = ip4::Packet::new_checked(data) {
        return Ok((packet.dst().into(), Addr::from(packet.src()).into()));
    }
    let packet = ip6::Packet::new_checked(data).map_err(|_| DropReason::IpVersion)?;
    Ok((packet.dst().into(), Addr::from(packet.src()).into()))
}

fn header(data: &[u8], start: usize) -> Result<Header, DropReason> {
    let data = data.get(start..).ok_or(DropReason::GreTruncated)?;
    let packet = gre::Packet::new_checked(data).map_err(|error| match error {
        gre::Error::Truncated => DropReason::GreTruncated,
        gre::Error::Version(_) => DropReason::GreVersion,
        gre::Error::Routing | gre::Error::ReservedBits => DropReason::GreReserved,
        gre::Error::Checksum => DropReason::GreChecksum,
    })?;
    Ok(Header {
        end: start + packet.header_len(),
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

fn punt(packet: &mut Packet, start: usize, reason: PuntReason) -> Result<usize, DropReason> {
    if !packet.mbuf.adj(start) {
        return Err(DropReason::GreTruncated);
    }
    packet.meta.punt = reason;
    Ok(gre_decap::PUNT)
}

fn inner_v6(
    context: &Context<'_>,
    packet: &mut Packet,
    from: (&Tunnel, &Peer),
    start: usize,
) -> Result<usize, DropReason> {
    let outer = outer_ends(context.tables, packet)?;
    let data = packet.mbuf.data().get(start..).ok_or(DropReason::InnerLength)?;
    let facts = IpFacts::parse_v6(data).map_err(inner_reason)?;
    inner(context, packet, from, outer, (start, &facts))
}

/// Checks the inner packet, which begins at `start`, and prepares it for routing. `outer` is our
/// address and the peer.
fn inner(
    context: &Context<'_>,
    packet: &mut Packet,
    (tunnel, peer): (&Tunnel, &Peer),
    outer: (Addr, Remote),
    (start, facts): (usize, &IpFacts),
) -> Result<usize, DropReason> {
    let octets = packet.mbuf.len() - start;
    // Off with the headers, and with what the peer padded.
    if !packet.mbuf.narrow(start, facts.total_len) {
        return Err(DropReason::InnerLength);
    }
    if facts.protocol == IpProto::GRE {
        if !tunnel.multipoint && is_keepalive(packet.mbuf.data(), facts, outer) {
            return punt(packet, 0, PuntReason::Keepalive);
        }
        check_nesting(packet.mbuf.data())?;
    }
    if let Some(reason) = facts.martian() {
        return Err(reason);
    }
    let interfaces = &context.tables.interfaces;
    if interfaces.is_underlay_local(facts.src) || interfaces.is_underlay_local(facts.dst) {
        return Err(DropReason::InnerLoop);
    }
    let outer_tos = packet.meta.outer_tos;
    ecn_from(&mut packet.mbuf, facts.traffic_class, outer_tos)?;
    packet.meta.destination = facts.dst.v4_bits();
    arrived(context, context.spread, packet, (tunnel, peer), octets);
    Ok(gre_decap::IP)
}

/// A peer's keepalive: what it wants to get back, an empty GRE packet from us to it. `outer` is
/// our address and the peer.
fn is_keepalive(data: &[u8], facts: &IpFacts, (local, peer): (Addr, Remote)) -> bool {
    (facts.src, facts.dst) == (local, peer.address)
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
#[inline(always)]
pub(super) fn ecn_from(mbuf: &mut Mbuf, inner_tos: u8, outer_tos: u8) -> Result<(), DropReason> {
    let inner = Ecn::of(inner_tos);
    let combined = ecn::decapsulate(inner, Ecn::of(outer_tos)).ok_or(DropReason::EcnInvalid)?;
    if combined == inner { Ok(()) } else { mark(mbuf, combined, inner_tos) }
}

#[inline(never)]
fn mark(mbuf: &mut Mbuf, combined: Ecn, inner_tos: u8) -> Result<(), DropReason> {
    let class = combined.in_class(inner_tos);
    let data = mbuf.data_mut().ok_or(DropReason::NoBuffer)?;
    if let Ok(mut packet) = ip4::Packet::new_checked(&mut *data) {
        packet.update_traffic_class(class);
    } else if let Ok(mut packet) = ip6::Packet::new_checked(data) {
        packet.set_traffic_class(class);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
