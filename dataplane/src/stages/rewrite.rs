//! What stages share that write headers.

use dpdk::Mbuf;
use wire::eth::{self, EtherType};
use wire::plain::{self, Aged};
use wire::{ip6, vlan};

use crate::drops::DropReason;
use crate::packet::{Flags, Layer, Packet};
use crate::tables::L2Rewrite;

/// Octets of a link-layer header without a tag, as templates count them.
const UNTAGGED: u8 = 14;
const _: () = assert!(UNTAGGED as usize == eth::HEADER_LEN);

/// Puts the link-layer header of `l2` before an IP packet; sets its egress port.
#[inline(always)]
pub(super) fn rewrite_l2(packet: &mut Packet, l2: &L2Rewrite) -> Result<(), DropReason> {
    let ether_type = packet.meta.ether_type.to_be_bytes();
    let header = packet.mbuf.prepend(l2.len.into()).ok_or(DropReason::NoRoom)?;
    match header.first_chunk_mut::<{ eth::HEADER_LEN }>() {
        // Of known length, it takes three moves.
        Some(plain) if l2.len == UNTAGGED => {
            *plain = l2.untagged();
            plain[12..].copy_from_slice(&ether_type);
        }
        _ => {
            let len = header.len();
            header.copy_from_slice(&l2.header[..len]);
            header[len - 2..].copy_from_slice(&ether_type);
        }
    }
    packet.meta.port = l2.port;
    packet.meta.layer = Layer::Ethernet;
    Ok(())
}

/// Takes one off TTL or hop limit, unless the gateway made the packet itself; whether it may go on.
#[inline(always)]
pub(super) fn age(packet: &mut Packet) -> bool {
    if packet.meta.flags.has(Flags::ORIGINATED) {
        return true;
    }
    let is_v4 = packet.meta.ether_type == EtherType::IPV4.0;
    let Some(data) = packet.mbuf.data_mut() else { return false };
    if is_v4 {
        data.first_chunk_mut().is_some_and(plain::decrement_ttl)
    } else {
        ip6::Packet::new_checked(data).is_ok_and(|mut p| p.decrement_hop_limit())
    }
}

/// [`age`] and [`rewrite_l2`] at once, for an IPv4 packet that needs no more than that, to a link
/// without a tag. `false`, and nothing changed, for other links, or if it lacks room.
#[inline(always)]
pub(super) fn hop(packet: &mut Packet, l2: &L2Rewrite, aged: Aged) -> bool {
    const IPV4: u16 = EtherType::IPV4.0;
    if l2.len != UNTAGGED || l2.broadcast {
        return false;
    }
    let Some(frame) = packet.mbuf.grow(UNTAGGED.into(), 0) else { return false };
    let Some((link, ip)) = frame.split_first_chunk_mut::<{ eth::HEADER_LEN }>() else {
        return false;
    };
    // What it is of is there.
    ip.first_chunk_mut().into_iter().for_each(|header| aged.write(header));
    *link = l2.untagged();
    link[12..].copy_from_slice(&IPV4.to_be_bytes());
    packet.meta.port = l2.port;
    packet.meta.layer = Layer::Ethernet;
    true
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
