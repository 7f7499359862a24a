//! What stages share that write headers.

use std::net::IpAddr;

use dpdk::Mbuf;
use wire::eth::{self, EtherType};
use wire::{ip4, ip6, vlan};

use crate::drops::DropReason;
use crate::ip::IpFacts;
use crate::packet::{Flags, Layer, Packet};
use crate::tables::L2Rewrite;

/// Puts the link-layer header of `l2` before an IP packet; sets its egress port.
pub(super) fn rewrite_l2(packet: &mut Packet, l2: &L2Rewrite) -> Result<(), DropReason> {
    let len = usize::from(l2.len);
    let header = packet.mbuf.prepend(len).ok_or(DropReason::NoRoom)?;
    header.copy_from_slice(&l2.header[..len]);
    header[len - 2..].copy_from_slice(&packet.meta.ether_type.to_be_bytes());
    packet.meta.port = l2.port;
    packet.meta.layer = Layer::Ethernet;
    Ok(())
}

/// Takes one off TTL or hop limit, unless the gateway made the packet itself; whether it may go on.
pub(super) fn age(packet: &mut Packet, facts: &IpFacts) -> bool {
    if packet.meta.flags.has(Flags::ORIGINATED) {
        return true;
    }
    let Some(data) = packet.mbuf.data_mut().filter(|_| facts.ttl > 1) else { return false };
    match facts.dst {
        IpAddr::V4(_) => ip4::Packet::new_checked(data).is_ok_and(|mut p| p.decrement_ttl()),
        IpAddr::V6(_) => ip6::Packet::new_checked(data).is_ok_and(|mut p| p.decrement_hop_limit()),
    }
}

/// Where the IP header of a frame begins: behind Ethernet and, if there is one, a VLAN tag.
pub(super) fn l3_offset(mbuf: &Mbuf) -> usize {
    let tagged = mbuf.data().get(12..14) == Some(&EtherType::VLAN.0.to_be_bytes());
    eth::HEADER_LEN + if tagged { vlan::TAG_LEN } else { 0 }
}

/// High and low half of a sequence number: ESP carries the low one (RFC 4303 section 2.2.1).
pub(super) fn halves(sequence: u64) -> (u32, u32) {
    let [a, b, c, d, low @ ..] = sequence.to_be_bytes();
    (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes(low))
}
