//! What a template leaves open: lengths, identification, sequence numbers, checksums and the ESP
//! trailer, written into a packet that already begins with its template.

use wire::checksum::{self, Sum};
use wire::esp;

use crate::packet::Packet;
use crate::stages::rewrite::halves;
use crate::tables::encap::{ESP_IV, ESP_TRAILER, Encap, ICV};

/// TOS of what the gateway itself sends through a tunnel: CS6, network control (RFC 4594).
const TOS_CONTROL: u8 = 0xc0;
/// DF in the word of flags and fragment offset.
const DF: u16 = 0x4000;
const IP4_LEN: usize = 20;
const IP6_LEN: usize = 40;

/// What the outer headers take from the inner packet.
pub(super) struct Inner {
    pub(super) octets: usize,
    tos: u8,
    /// Flags and fragment offset as far as the outer header may copy them.
    df: u16,
    ip_next_header: u8,
}

impl Inner {
    #[inline(always)]
    pub(super) fn of(packet: &Packet) -> Self {
        let data = packet.mbuf.data();
        let octets = packet.mbuf.len();
        match data {
            [first, tos, _, _, _, _, high, low, ..] if first >> 4 == 4 => {
                let df = u16::from_be_bytes([*high, *low]) & DF;
                Inner { tos: *tos, df, ip_next_header: 4, octets }
            }
            [first, second, ..] if first >> 4 == 6 => {
                Inner { tos: first << 4 | second >> 4, df: DF, ip_next_header: 41, octets }
            }
            _ => Inner { tos: TOS_CONTROL, df: 0, ip_next_header: 0, octets },
        }
    }
}

/// What an ESP header numbers a packet by.
#[derive(Clone, Copy, Default)]
pub(super) struct Sealing {
    pub(super) sequence: u64,
    pub(super) iv: u64,
}

/// Octets behind the inner packet: padding, pad length, next header and ICV (RFC 4303 section 2.4).
#[inline(always)]
pub(super) fn tail_len(encap: &Encap, inner: &Inner) -> u16 {
    let header = usize::from(encap.len) - usize::from(encap.esp) - ESP_IV;
    let pad = esp::padding_for(header + inner.octets, esp::ALIGN);
    PADS[pad % esp::ALIGN] + TRAILER_ICV
}

/// Lengths of padding as a number of the type that buffers are measured in.
const PADS: [u16; esp::ALIGN] = [0, 1, 2, 3];
const TRAILER_ICV: u16 = 2 + 16;
const _: () = assert!(TRAILER_ICV as usize == ESP_TRAILER + ICV);

/// Padding of 0 to 3 octets with the pad length behind it, as one word in little-endian order.
const TRAILERS: [u64; esp::ALIGN] = [0, 0x01_01, 0x02_02_01, 0x03_03_02_01];

/// Writes what [`tail_len`] made room for, but for the ICV, whose place may hold anything.
#[inline(always)]
pub(super) fn trailer(data: &mut [u8], tail: u16, encap: &Encap, inner: &Inner) {
    let pad = usize::from(tail - TRAILER_ICV) % esp::ALIGN;
    let next_header = match encap.next_header {
        0 => inner.ip_next_header,
        gre_or_ip => gre_or_ip,
    };
    let word = TRAILERS[pad] | u64::from(next_header) << (8 * (pad + 1));
    let start = data.len() - usize::from(tail);
    // Padding, pad length and next header are five octets at most, and the ICV has sixteen.
    if let Some(to) = data[start..].first_chunk_mut() {
        *to = word.to_le_bytes();
    }
}

/// GRE: protocol, sequence number, and the checksum over header and `payload` octets.
#[inline(always)]
pub(super) fn gre(data: &mut [u8], encap: &Encap, protocol: u16, sequence: u32, payload: usize) {
    let at = usize::from(encap.gre);
    let len = usize::from(encap.len);
    data[at + 2..at + 4].copy_from_slice(&protocol.to_be_bytes());
    if encap.gre_fields.sequence {
        data[len - 4..len].copy_from_slice(&sequence.to_be_bytes());
    }
    if encap.gre_fields.checksum {
        let sum = checksum::of(&data[at..len + payload]);
        data[at + 4..at + 6].copy_from_slice(&sum.to_be_bytes());
    }
}

/// All headers of a plain template at once; `false`, and nothing written, if the packet is shorter
/// than what is copied at a time. `data` ends with the packet.
#[inline(always)]
pub(super) fn plain<const SEALED: bool>(
    data: &mut [u8],
    encap: &Encap,
    inner: &Inner,
    (id, protocol): (u16, u16),
    sealing: Sealing,
) -> bool {
    let octets = data.len();
    let Some(head) = data.first_chunk_mut() else { return false };
    encap.write_plain(head);
    // Offsets are below 64. The masks say so to the compiler, which needs no checks then.
    let ip = usize::from(encap.ip) % 32;
    let header = &mut head[ip..ip + IP4_LEN];
    let sum = ip4(header, encap, inner, octets - ip, id);
    header[10..12].copy_from_slice(&sum.checksum().to_be_bytes());
    let gre = usize::from(encap.gre);
    if gre != 0
        && let Some(field) = head.get_mut(gre + 2..gre + 4)
    {
        field.copy_from_slice(&protocol.to_be_bytes());
    }
    let esp = usize::from(encap.esp);
    if SEALED && let Some(header) = head.get_mut(esp..esp + ESP_IV) {
        numbers(header, sealing);
    }
    true
}

/// Low half of the sequence number, and the IV, of an ESP header with its IV.
#[inline(always)]
fn numbers(header: &mut [u8], sealing: Sealing) {
    let (_, low) = halves(sealing.sequence);
    header[4..8].copy_from_slice(&low.to_be_bytes());
    header[8..].copy_from_slice(&sealing.iv.to_be_bytes());
}

/// ESP: what numbers the packet; the length of UDP in front of it.
#[inline(always)]
pub(super) fn esp(data: &mut [u8], encap: &Encap, sealing: Sealing) {
    let at = usize::from(encap.esp);
    numbers(&mut data[at..at + ESP_IV], sealing);
    if encap.udp != 0 {
        // The checksum stays zero (RFC 3948 section 2.1).
        let udp = usize::from(encap.udp);
        let length = length(data.len() - udp).to_be_bytes();
        data[udp + 4..udp + 6].copy_from_slice(&length);
    }
}

/// The outer IP header; the packet ends with `data`. With `offloaded`, the port does the checksum.
#[inline(always)]
pub(super) fn outer_ip(
    data: &mut [u8],
    encap: &Encap,
    inner: &Inner,
    (id, flow_label): (u16, u32),
    offloaded: bool,
) {
    let at = usize::from(encap.ip);
    let octets = data.len() - at;
    if encap.outer_v6 {
        return ip6(&mut data[at..], encap, inner, octets, flow_label);
    }
    let header = &mut data[at..at + IP4_LEN];
    let sum = ip4(header, encap, inner, octets, id);
    if !offloaded {
        header[10..12].copy_from_slice(&sum.checksum().to_be_bytes());
    }
}

/// The IP header of a GRE packet that goes into tunnel mode, and ends where the ESP trailer begins.
pub(super) fn tunnelled_ip(data: &mut [u8], encap: &Encap, inner: &Inner, id: u16) {
    let at = usize::from(encap.inner);
    let octets = usize::from(encap.len) + inner.octets - at;
    if encap.outer_v6 {
        return ip6(&mut data[at..], encap, inner, octets, 0);
    }
    let header = &mut data[at..at + IP4_LEN];
    ip4(header, encap, inner, octets, id);
    let sum = checksum::of(header);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
}

/// The fields of an IPv4 header that differ from packet to packet, but for the checksum. Gives the
/// sum of an outer header: the template's, and these fields.
#[inline(always)]
fn ip4(header: &mut [u8], encap: &Encap, inner: &Inner, octets: usize, id: u16) -> Sum {
    let df = inner.df & encap.df_keep | encap.df_set;
    let fields = [outer_tos(encap, inner).into(), length(octets), id, df];
    let [tos, octets, id, df] = fields.map(u64::from);
    // Version and header length are the template's, and in its sum.
    let words = (VERSION << 8 | tos) << 48 | octets << 32 | id << 16 | df;
    header[..8].copy_from_slice(&words.to_be_bytes());
    encap.ip_sum.words(words & !(VERSION << 56))
}

/// Version 4, five words of header.
const VERSION: u64 = 0x45;

fn ip6(header: &mut [u8], encap: &Encap, inner: &Inner, octets: usize, flow_label: u32) {
    let word = 6 << 28 | u32::from(outer_tos(encap, inner)) << 20 | flow_label;
    header[..4].copy_from_slice(&word.to_be_bytes());
    header[4..6].copy_from_slice(&length(octets - IP6_LEN).to_be_bytes());
}

/// DSCP as the template says; ECN is copied, the normal mode of RFC 6040 section 4.1.
#[inline(always)]
fn outer_tos(encap: &Encap, inner: &Inner) -> u8 {
    inner.tos & encap.tos_keep | encap.tos_set
}

/// A length as it is on the wire. The MTU of a template leaves room for all its headers within
/// 65 535 octets.
#[inline(always)]
fn length(octets: usize) -> u16 {
    debug_assert!(octets <= usize::from(u16::MAX));
    u16::try_from(octets).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests;
