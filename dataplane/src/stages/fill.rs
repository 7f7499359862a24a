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

/// What comes behind the inner packet: padding, pad length, next header and ICV (RFC 4303 section
/// 2.4).
#[derive(Clone, Copy, Default)]
pub(super) struct Tail {
    /// Octets of all.
    pub(super) len: u16,
    /// Octets of padding, fewer than [`esp::ALIGN`].
    pad: usize,
}

impl Tail {
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "padding is less than four octets")]
    pub(super) fn of(encap: &Encap, inner: &Inner) -> Self {
        let header = usize::from(encap.len).wrapping_sub(usize::from(encap.esp) + ESP_IV);
        let pad = esp::padding_for(header.wrapping_add(inner.octets), esp::ALIGN) % esp::ALIGN;
        Tail { len: (pad + ESP_TRAILER + ICV) as u16, pad }
    }

    /// Writes what there is room for at the end of `data`, but for the ICV, whose place may hold
    /// anything.
    #[inline(always)]
    pub(super) fn write(self, data: &mut [u8], encap: &Encap, inner: &Inner) {
        let next_header = match encap.next_header {
            0 => inner.ip_next_header,
            gre_or_ip => gre_or_ip,
        };
        let word = TRAILERS[self.pad] | u64::from(next_header) << (8 * (self.pad + 1));
        let start = data.len() - usize::from(self.len);
        // Padding, pad length and next header are five octets at most, and the ICV has sixteen.
        if let Some(to) = data[start..].first_chunk_mut() {
            *to = word.to_le_bytes();
        }
    }
}

/// Padding of 0 to 3 octets with the pad length behind it, as one word in little-endian order.
const TRAILERS: [u64; esp::ALIGN] = [0, 0x01_01, 0x02_02_01, 0x03_03_02_01];

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

/// All headers of a plain template at once. `data` ends with the packet; gives the octets of the
/// outer one, or none, with nothing written, if `data` is shorter than what is copied at a time.
#[inline(always)]
pub(super) fn plain<const SEALED: bool>(
    data: &mut [u8],
    encap: &Encap,
    inner: &Inner,
    (id, protocol): (u16, u16),
    sealing: Sealing,
) -> Option<usize> {
    let octets = data.len();
    let head = data.first_chunk_mut()?;
    encap.write_plain(head);
    let ip = encap.plain_ip();
    let upper = ip + IP4_LEN;
    let header = &mut head[ip..upper];
    let outer_len = octets - ip;
    let sum = ip4(header, encap, inner, outer_len, id);
    header[10..12].copy_from_slice(&sum.checksum().to_be_bytes());
    let gre = if SEALED { upper + ESP_IV } else { upper };
    if encap.gre != 0 {
        head[gre + 2..gre + 4].copy_from_slice(&protocol.to_be_bytes());
    }
    if SEALED {
        numbers(&mut head[upper..upper + ESP_IV], sealing);
    }
    Some(outer_len)
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
