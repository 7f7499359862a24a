//! classify: what a received frame is, and whose.
//!
//! ```text
//! frame > MAC, VLAN, EtherType > IP header > overlay port:  hosts' packets    > lookup
//!                                          > underlay port: ESP to us         > esp_open
//!                                                           GRE to us         > gre_decap
//!                                                           fragments to us   > reassemble
//!                                                           ICMP, IKE to us   > punt
//!                                                           bypassed by policy > lookup
//!                                                           all else          > drop
//! ```

use dpdk::Checksum;
use wire::eth::{self, EtherType};
use wire::{IpProto, MacAddr, flow, ip4, plain, vlan};

use crate::addr::Addr;
use crate::drops::DropReason;
use crate::engine::stage::{self, Context, Outputs, Stage};
use crate::engine::topology::output::classify;
use crate::ip::{IpFacts, check_v4, is_plain_v4};
use crate::packet::{Flags, Layer, Packet, PuntReason, port_of_all};
use crate::stages::underlay::{self, Verdict};
use crate::tables::policy::Action;
use crate::tables::sa::FEW_SAS;
use crate::tables::{Interface, Role, Tables};

/// What the link layer says of a frame.
struct Link {
    /// Octets of Ethernet and tag that the frame begins with.
    len: usize,
    vlan: Option<u16>,
    ether_type: EtherType,
    /// Sent to a link-layer group.
    to_group: bool,
}

/// Sorts received frames.
#[derive(Default)]
pub struct Classify;

impl Stage for Classify {
    fn run(&mut self, context: &mut Context<'_>, input: &mut Vec<Packet>, out: &mut Outputs) {
        if context.tables.sas.inbound_slots() > FEW_SAS {
            fetch(context.tables, input);
        }
        // The same code each time, so that the usual one does what it needs and no more.
        if context.spread {
            sort::<true>(context, input, out);
        } else {
            sort::<false>(context, input, out);
        }
    }
}

fn sort<const SPREAD: bool>(context: &Context<'_>, input: &mut Vec<Packet>, out: &mut Outputs) {
    let tables = context.tables;
    let usual = |(): &mut (), packets: &mut [Packet], mut verdicts: &mut [stage::Verdict]| {
        // Nearly always, and cheaper to tell than where runs end.
        if port_of_all(packets).is_some() {
            return arrived::<SPREAD>(tables, packets, verdicts);
        }
        for run in packets.chunk_by_mut(|a, b| a.meta.port == b.meta.port) {
            let (of_run, rest) = verdicts.split_at_mut(run.len());
            verdicts = rest;
            arrived::<SPREAD>(tables, run, of_run);
        }
    };
    out.sort_usual(input, &mut (), usual, |(), packet| frame(context, packet));
}

/// Decides about the usual of packets that one port received.
fn arrived<const SPREAD: bool>(
    tables: &Tables,
    packets: &mut [Packet],
    verdicts: &mut [stage::Verdict],
) {
    let Some(first) = packets.first() else { return };
    let Some(interface) = tables.interfaces.find(first.meta.port, None) else { return };
    let arrival = Arrival { interface: interface.index, mac: mac_bits(interface.mac.octets()) };
    match interface.role {
        Role::Overlay => {
            from_hosts::<SPREAD>(arrival, packets, verdicts);
        }
        Role::Underlay => {
            // Most packets that come together are of one kind, and to one address.
            let (kind, ours) = likely(tables, first).unwrap_or((ANY, NOBODYS));
            let peers = (tables, arrival, ours);
            match kind {
                ESP => from_peers::<SPREAD, ESP>(peers, packets, verdicts),
                GRE => from_peers::<SPREAD, GRE>(peers, packets, verdicts),
                FRAGMENT => from_peers::<SPREAD, FRAGMENT>(peers, packets, verdicts),
                _ => {}
            }
            if stage::any_undecided(verdicts) {
                from_peers::<SPREAD, ANY>(peers, packets, verdicts);
            }
        }
    }
}

// Kinds of what peers send: the number of the protocol.
const ESP: u16 = IpProto::ESP.0 as u16;
const GRE: u16 = IpProto::GRE.0 as u16;
/// A piece of any protocol, with a number that none has.
const FRAGMENT: u16 = 1 << 8;
/// Each of these.
const ANY: u16 = 1 << 9;

#[inline(always)]
fn kind(ip: &plain::Packet<'_>) -> u16 {
    if ip.is_fragment() { FRAGMENT } else { ip.protocol().0.into() }
}

/// The kind of what is in a frame, and where it is to, if that is a plain packet to us.
fn likely(tables: &Tables, packet: &Packet) -> Option<(u16, u64)> {
    let ip = packet.mbuf.data().get(eth::HEADER_LEN..).and_then(plain::Packet::new)?;
    is_ours(tables, ip.dst()).then(|| (kind(&ip), ip.dst().into()))
}

/// Fetches where the SAs of packets are found, if they are ESP in plain IPv4.
fn fetch(tables: &Tables, packets: &[Packet]) {
    const SPI: usize = eth::HEADER_LEN + ip4::HEADER_LEN;
    for packet in packets {
        let esp = packet.mbuf.data().get(SPI..);
        if let Some(spi) = esp.and_then(|esp| esp.first_chunk()) {
            tables.sas.prefetch(u32::from_be_bytes(*spi));
        }
    }
}

/// Where a run of packets arrives.
#[derive(Clone, Copy)]
struct Arrival {
    /// The untagged interface of the port.
    interface: u16,
    /// Its MAC address, by [`leading_mac`].
    mac: u64,
}

fn mac_bits([a, b, c, d, e, f]: [u8; 6]) -> u64 {
    leading_mac(u64::from_le_bytes([a, b, c, d, e, f, 0, 0]))
}

/// The first six of eight octets, and nothing of the others.
#[inline(always)]
fn leading_mac(octets: u64) -> u64 {
    octets << 16
}

/// The packet in a frame as nearly all are: in one piece, untagged, to the port's own MAC address,
/// with an IPv4 packet without options from an ordinary address. About all others, and whatever is
/// wrong, [`frame`] decides; of these, if they are to an ordinary address, it would say the same.
#[inline(always)]
fn plain(arrival: Arrival, packet: &Packet) -> Option<plain::Packet<'_>> {
    const IPV4: [u8; 2] = EtherType::IPV4.0.to_be_bytes();
    let data = packet.mbuf.data();
    let link = data.first_chunk::<{ eth::HEADER_LEN + plain::LEN }>()?;
    let to_us = leading_mac(u64::from_le_bytes(*link.first_chunk()?)) == arrival.mac;
    let untagged = packet.mbuf.vlan_stripped().is_none();
    if !to_us || !untagged || link[12..14] != IPV4 || !packet.mbuf.is_contiguous() {
        return None;
    }
    let ip = plain::Packet::new(&data[eth::HEADER_LEN..])?;
    let checksum_good = packet.mbuf.rx_ip_checksum() == Checksum::Good || ip.verify_checksum();
    (checksum_good && is_plain_v4(ip.src())).then_some(ip)
}

/// Decides about the plain packets of hosts, in a loop of its own.
#[inline(never)]
fn from_hosts<const SPREAD: bool>(
    arrival: Arrival,
    packets: &mut [Packet],
    verdicts: &mut [stage::Verdict],
) {
    stage::decide_each(packets, verdicts, |packet| from_host::<SPREAD>(arrival, packet));
}

/// Decides about a plain packet of a host.
#[inline(always)]
fn from_host<const SPREAD: bool>(arrival: Arrival, packet: &mut Packet) -> Option<stage::Verdict> {
    let ip = plain(arrival, packet).filter(|ip| is_plain_v4(ip.dst()))?;
    let (total_len, destination) = (ip.total_len(), ip.dst());
    let hash = if SPREAD { flow::of_plain(&ip) } else { None };
    settle(packet, arrival.interface, total_len, destination);
    Some(stage::Verdict::output(overlay(packet, hash, SPREAD)))
}

/// Decides about the plain packets of tunnel peers that are of one kind and to one address of ours,
/// in a loop that needs few registers; or about what such a loop has left, of [`ANY`] kind and to
/// any of our addresses.
#[inline(never)]
fn from_peers<const SPREAD: bool, const KIND: u16>(
    (tables, arrival, mut ours): (&Tables, Arrival, u64),
    packets: &mut [Packet],
    verdicts: &mut [stage::Verdict],
) {
    for (packet, verdict) in packets.iter_mut().zip(verdicts) {
        if (KIND != ANY || *verdict == stage::Verdict::UNDECIDED)
            && let Some(decided) = from_peer::<SPREAD, KIND>(tables, arrival, &mut ours, packet)
        {
            *verdict = decided;
        }
    }
}

/// No IPv4 address is this.
const NOBODYS: u64 = u64::MAX;

/// Decides about a plain packet of a tunnel peer. `ours` is that of our addresses which it must be
/// for; of [`ANY`] kind, the one that the packet before was for.
#[inline(always)]
fn from_peer<const SPREAD: bool, const KIND: u16>(
    tables: &Tables,
    arrival: Arrival,
    ours: &mut u64,
    packet: &mut Packet,
) -> Option<stage::Verdict> {
    let ip = plain(arrival, packet)?;
    let is_of_kind = match KIND {
        ANY => matches!(kind(&ip), ESP | GRE | FRAGMENT),
        FRAGMENT => ip.is_fragment(),
        protocol => u16::from(ip.protocol().0) == protocol && !ip.is_fragment(),
    };
    if !is_of_kind {
        return None;
    }
    let kind = if KIND == ANY { kind(&ip) } else { KIND };
    let (total_len, destination) = (ip.total_len(), ip.dst());
    let underlay = underlay::Plain::of(&ip);
    if *ours != u64::from(destination) {
        if KIND != ANY || !is_ours(tables, destination) {
            return None;
        }
        *ours = destination.into();
    }
    settle(packet, arrival.interface, total_len, destination);
    let output = match kind {
        ESP => underlay.esp(tables, packet).map(output_of),
        GRE => Ok(output_of(underlay.gre::<SPREAD>(packet))),
        _ => {
            underlay.fragment(packet);
            Ok(classify::FRAGMENT)
        }
    };
    Some(output.into())
}

/// Whether an ordinary address is one of ours. Not for each packet, and so not in its loop.
#[cold]
#[inline(never)]
fn is_ours(tables: &Tables, destination: u32) -> bool {
    is_plain_v4(destination) && tables.interfaces.is_underlay_local(Addr::v4(destination))
}

/// Off with the link-layer header, and with what Ethernet padded behind the packet. It fits, as
/// `plain::Packet::new` saw.
#[inline(always)]
fn settle(packet: &mut Packet, interface: u16, total_len: u16, destination: u32) {
    let _ = packet.mbuf.narrow(eth::HEADER_LEN, total_len.into());
    packet.meta.interface = interface;
    packet.meta.layer = Layer::Ip;
    packet.meta.ether_type = EtherType::IPV4.0;
    packet.meta.destination = destination;
}

#[inline(never)]
fn frame(context: &Context<'_>, packet: &mut Packet) -> Result<usize, DropReason> {
    let tables = context.tables;
    if !packet.mbuf.is_contiguous() {
        packet.mbuf.linearize().map_err(|_| DropReason::NoRoom)?;
    }
    let data = packet.mbuf.data();
    let header = data.first_chunk::<{ eth::HEADER_LEN }>().ok_or(DropReason::FrameTruncated)?;
    let dst = MacAddr([header[0], header[1], header[2], header[3], header[4], header[5]]);
    let mut link = Link {
        len: eth::HEADER_LEN,
        vlan: None,
        ether_type: EtherType(u16::from_be_bytes([header[12], header[13]])),
        to_group: dst.is_group(),
    };
    if let Some(tci) = packet.mbuf.vlan_stripped() {
        link.vlan = vlan_of(tci);
    } else if link.ether_type == EtherType::VLAN {
        tagged(data, &mut link)?;
    }
    let interface =
        tables.interfaces.find(packet.meta.port, link.vlan).ok_or(DropReason::UnknownVlan)?;
    if dst != interface.mac && !link.to_group {
        return Err(DropReason::NotOurMac);
    }
    packet.meta.interface = interface.index;
    match link.ether_type {
        EtherType::IPV4 => {
            let checksum_good = packet.mbuf.rx_ip_checksum() == Checksum::Good;
            let header = check_v4(behind(&link, packet)?, checksum_good)?;
            let facts = IpFacts::of_v4(&header);
            ip(context, interface, &link, packet, &facts)
        }
        EtherType::IPV6 => ip6(context, interface, &link, packet),
        EtherType::ARP => Ok(punt(packet, PuntReason::Arp)),
        _ => Err(DropReason::UnknownEtherType),
    }
}

#[inline(never)]
fn ip6(
    context: &Context<'_>,
    interface: &Interface,
    link: &Link,
    packet: &mut Packet,
) -> Result<usize, DropReason> {
    let data = behind(link, packet)?;
    let facts = IpFacts::parse_v6(data)?;
    if facts.protocol == IpProto::ICMPV6 && is_neighbor_discovery(data, &facts) {
        return Ok(punt(packet, PuntReason::NeighborDiscovery));
    }
    ip(context, interface, link, packet, &facts)
}

/// The octets behind the link-layer header.
#[inline(always)]
fn behind<'a>(link: &Link, packet: &'a Packet) -> Result<&'a [u8], DropReason> {
    packet.mbuf.data().get(link.len..).ok_or(DropReason::FrameTruncated)
}

#[inline(always)]
fn ip(
    context: &Context<'_>,
    interface: &Interface,
    link: &Link,
    packet: &mut Packet,
    facts: &IpFacts,
) -> Result<usize, DropReason> {
    if let Some(reason) = facts.martian() {
        return Err(reason);
    }
    // Off with the link-layer header, and with what Ethernet padded behind the packet.
    if !packet.mbuf.narrow(link.len, facts.total_len) {
        return Err(DropReason::FrameTruncated);
    }
    packet.meta.layer = Layer::Ip;
    packet.meta.ether_type = link.ether_type.0;
    packet.meta.destination = facts.dst.v4_bits();
    match interface.role {
        // Of link-layer broadcasts only what is one for IP, too (RFC 1812 section 5.3.4).
        Role::Overlay if link.to_group && !facts.is_group() => Err(DropReason::NotOurMac),
        Role::Overlay => Ok(overlay(packet, None, context.spread)),
        Role::Underlay if link.to_group => Err(DropReason::UnderlayTransit),
        Role::Underlay => underlay_packet(context, interface, packet, facts),
    }
}

/// Reads the VLAN tag of a frame.
#[inline(never)]
fn tagged(frame: &[u8], link: &mut Link) -> Result<(), DropReason> {
    let behind = frame.get(eth::HEADER_LEN..).ok_or(DropReason::FrameTruncated)?;
    let tag = vlan::Tag::new_checked(behind).map_err(|_| DropReason::FrameTruncated)?;
    link.vlan = vlan_of(tag.vid());
    link.ether_type = tag.ethertype();
    link.len += vlan::TAG_LEN;
    Ok(())
}

/// VLAN 0 is a priority tag: the frame belongs to the port itself (IEEE 802.1Q).
fn vlan_of(tci: u16) -> Option<u16> {
    Some(tci & 0xfff).filter(|id| *id != 0)
}

/// RFC 4861 section 4: types 133 to 137, hop limit 255.
fn is_neighbor_discovery(data: &[u8], facts: &IpFacts) -> bool {
    facts.ttl == 255
        && !facts.fragment
        && data.get(facts.upper).is_some_and(|kind| (133..=137).contains(kind))
}

#[inline(always)]
fn overlay(packet: &mut Packet, hash: Option<u32>, spread: bool) -> usize {
    if spread {
        let hash = packet.mbuf.rss_hash().or(hash);
        packet.meta.lane = hash.unwrap_or_else(|| packet.flow());
    }
    classify::OVERLAY
}

fn punt(packet: &mut Packet, reason: PuntReason) -> usize {
    packet.meta.punt = reason;
    classify::PUNT
}

#[inline(always)]
fn underlay_packet(
    context: &Context<'_>,
    interface: &Interface,
    packet: &mut Packet,
    facts: &IpFacts,
) -> Result<usize, DropReason> {
    let tables = context.tables;
    packet.meta.flags.set(Flags::UNDERLAY);
    if !tables.interfaces.is_underlay_local(facts.dst) {
        return transit(context, interface, packet, facts);
    }
    if facts.fragment {
        packet.meta.lane = underlay::fragment_lane(facts);
        return Ok(classify::FRAGMENT);
    }
    underlay::dispatch(tables, packet, facts).map(output_of)
}

fn output_of(verdict: Verdict) -> usize {
    match verdict {
        Verdict::Esp => classify::ESP,
        Verdict::Gre => classify::GRE,
        Verdict::Punt => classify::PUNT,
    }
}

/// Cleartext on the underlay for a host behind us: only where the port's policy bypasses it.
#[inline(never)]
fn transit(
    context: &Context<'_>,
    interface: &Interface,
    packet: &mut Packet,
    facts: &IpFacts,
) -> Result<usize, DropReason> {
    let policy = interface.policy.and_then(|index| context.tables.policies.get(index as usize));
    let policy = policy.ok_or(DropReason::UnderlayTransit)?;
    // Rules are written as seen outbound.
    match policy.classify(&facts.flow_key(packet.mbuf.data()).reversed()) {
        Some((_, Action::Bypass)) => {
            packet.meta.flags.clear(Flags::UNDERLAY);
            Ok(overlay(packet, None, context.spread))
        }
        Some((_, Action::Protect { .. })) => Err(DropReason::CleartextFromProtected),
        Some((_, Action::Discard)) => Err(DropReason::PolicyDiscard),
        None => Err(DropReason::UnderlayTransit),
    }
}
