//! What stages share that write headers.

use dpdk::Mbuf;
use wire::eth::{self, EtherType};
use wire::vlan;

use crate::drops::DropReason;
use crate::packet::{Layer, Packet};
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
