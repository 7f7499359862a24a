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

use dpdk::{Checksum, Mbuf};
use wire::eth::{self, EtherType};
use wire::{IpProto, MacAddr, flow, vlan};

use crate::drops::DropReason;
use crate::engine::stage::{Context, Outputs, Stage};
use crate::engine::topology::output::classify;
use crate::ip::IpFacts;
use crate::packet::{Flags, Layer, Packet, PuntReason};
use crate::stages::underlay::{self, Verdict};
use crate::tables::policy::Action;
use crate::tables::{Interface, Role, Tables};

/// Octets of Ethernet and tag that a frame may begin with.
struct Link {
    len: usize,
    vlan: Option<u16>,
    ether_type: EtherType,
    dst: MacAddr,
}

/// Sorts received frames.
#[derive(Default)]
pub struct Classify;

impl Stage for Classify {
    fn run(&mut self, context: &mut Context<'_>, input: &mut Vec<Packet>, out: &mut Outputs) {
        for mut packet in input.drain(..) {
            match frame(context.tables, &mut packet) {
                Ok(output) => out.push(output, packet),
                Err(reason) => out.drop(packet, reason),
            }
        }
    }
}

fn frame(tables: &Tables, packet: &mut Packet) -> Result<usize, DropReason> {
    if !packet.mbuf.is_contiguous() {
        packet.mbuf.linearize().map_err(|_| DropReason::NoRoom)?;
    }
    let link = link(&packet.mbuf)?;
    let interface =
        tables.interfaces.find(packet.meta.port, link.vlan).ok_or(DropReason::UnknownVlan)?;
    packet.meta.interface = interface.index;
    if link.dst != interface.mac && !link.dst.is_group() {
        return Err(DropReason::NotOurMac);
    }
    match link.ether_type {
        EtherType::IPV4 | EtherType::IPV6 => {}
        EtherType::ARP => return Ok(punt(packet, PuntReason::Arp)),
        _ => return Err(DropReason::UnknownEtherType),
    }
    let checksum_good = packet.mbuf.rx_ip_checksum() == Checksum::Good;
    let data = packet.mbuf.data().get(link.len..).ok_or(DropReason::FrameTruncated)?;
    let facts = IpFacts::parse(data, checksum_good)?;
    if data[0] >> 4 != if link.ether_type == EtherType::IPV4 { 4 } else { 6 } {
        return Err(DropReason::IpVersion);
    }
    if facts.protocol == IpProto::ICMPV6 && is_neighbor_discovery(data, &facts) {
        return Ok(punt(packet, PuntReason::NeighborDiscovery));
    }
    if let Some(reason) = facts.martian() {
        return Err(reason);
    }
    strip(&mut packet.mbuf, link.len, facts.total_len)?;
    packet.meta.layer = Layer::Ip;
    packet.meta.ether_type = link.ether_type.0;
    match interface.role {
        // Of link-layer broadcasts only what is one for IP, too (RFC 1812 section 5.3.4).
        Role::Overlay if link.dst.is_group() && !facts.is_group() => Err(DropReason::NotOurMac),
        Role::Overlay => Ok(overlay(packet)),
        Role::Underlay if link.dst.is_group() => Err(DropReason::UnderlayTransit),
        Role::Underlay => underlay_packet(tables, interface, packet, &facts),
    }
}

/// Reads the Ethernet header and a VLAN tag, be it in the frame or taken off by the port.
fn link(mbuf: &Mbuf) -> Result<Link, DropReason> {
    let frame = eth::Frame::new_checked(mbuf.data()).map_err(|_| DropReason::FrameTruncated)?;
    let (dst, ether_type) = (frame.dst(), frame.ethertype());
    if let Some(tci) = mbuf.vlan_stripped() {
        let vlan = Some(tci & 0xfff).filter(|id| *id != 0);
        return Ok(Link { len: eth::HEADER_LEN, vlan, ether_type, dst });
    }
    if ether_type != EtherType::VLAN {
        return Ok(Link { len: eth::HEADER_LEN, vlan: None, ether_type, dst });
    }
    let tag = vlan::Tag::new_checked(frame.payload()).map_err(|_| DropReason::FrameTruncated)?;
    // VLAN 0 is a priority tag: the frame belongs to the port itself (IEEE 802.1Q).
    let vlan = Some(tag.vid()).filter(|id| *id != 0);
    let ether_type = tag.ethertype();
    Ok(Link { len: eth::HEADER_LEN + vlan::TAG_LEN, vlan, ether_type, dst })
}

/// Takes off the link-layer header, and what Ethernet padded behind the packet.
fn strip(mbuf: &mut Mbuf, link_len: usize, total_len: usize) -> Result<(), DropReason> {
    let padding = mbuf.len() - link_len - total_len;
    if mbuf.adj(link_len) && mbuf.trim(padding) { Ok(()) } else { Err(DropReason::FrameTruncated) }
}

/// RFC 4861 section 4: types 133 to 137, hop limit 255.
fn is_neighbor_discovery(data: &[u8], facts: &IpFacts) -> bool {
    facts.ttl == 255
        && !facts.fragment
        && data.get(facts.upper).is_some_and(|kind| (133..=137).contains(kind))
}

fn overlay(packet: &mut Packet) -> usize {
    packet.meta.flow = match packet.mbuf.rss_hash() {
        Some(hash) => hash,
        None => flow::hash(packet.mbuf.data()),
    };
    packet.meta.lane = packet.meta.flow;
    classify::OVERLAY
}

fn punt(packet: &mut Packet, reason: PuntReason) -> usize {
    packet.meta.punt = reason;
    classify::PUNT
}

fn underlay_packet(
    tables: &Tables,
    interface: &Interface,
    packet: &mut Packet,
    facts: &IpFacts,
) -> Result<usize, DropReason> {
    packet.meta.flags.set(Flags::UNDERLAY);
    if !tables.interfaces.is_underlay_local(facts.dst) {
        return transit(tables, interface, packet, facts);
    }
    if facts.fragment {
        packet.meta.lane = underlay::fragment_lane(facts);
        return Ok(classify::FRAGMENT);
    }
    match underlay::dispatch(tables, packet, facts)? {
        Verdict::Esp => Ok(classify::ESP),
        Verdict::Gre => Ok(classify::GRE),
        Verdict::Punt => Ok(classify::PUNT),
    }
}

/// Cleartext on the underlay for a host behind us: only where the port's policy bypasses it.
fn transit(
    tables: &Tables,
    interface: &Interface,
    packet: &mut Packet,
    facts: &IpFacts,
) -> Result<usize, DropReason> {
    let policy = interface.policy.and_then(|index| tables.policies.get(index as usize));
    let policy = policy.ok_or(DropReason::UnderlayTransit)?;
    // Rules are written as seen outbound.
    match policy.classify(&facts.flow_key(packet.mbuf.data()).reversed()) {
        Some((_, Action::Bypass)) => {
            packet.meta.flags.clear(Flags::UNDERLAY);
            Ok(overlay(packet))
        }
        Some((_, Action::Protect { .. })) => Err(DropReason::CleartextFromProtected),
        Some((_, Action::Discard)) => Err(DropReason::PolicyDiscard),
        None => Err(DropReason::UnderlayTransit),
    }
}
