//! What a template leaves open: lengths, identification, sequence numbers, checksums and the ESP
//! trailer, written into a packet that already begins with its template.

use wire::IpProto;
use wire::checksum::{self, Sum};
use wire::esp;

use crate::stages::rewrite::halves;
use crate::tables::encap::{DF, ESP_IV, ESP_TRAILER, Encap, HALF, ICV, ip_start};

/// TOS of what the gateway itself sends through a tunnel: CS6, network control (RFC 4594).
const TOS_CONTROL: u8 = 0xc0;
const IP4_LEN: usize = 20;
const IP6_LEN: usize = 40;

/// What the outer headers take from the inner packet.
pub(super) struct Inner {
    pub(super) octets: u16,
    /// What an IPv4 header begins with, and the same of anything else: see [`ip_start`].
    start: u64,
}

impl Inner {
    #[inline(always)]
    pub(super) fn of(data: &[u8]) -> Self {
        let start = match data.first_chunk().map(|start| u64::from_be_bytes(*start)) {
            Some(start) if start >> 60 == 4 => start,
            _ => start_like(data),
        };
        Inner { octets: length(data.len()), start }
    }

    /// The protocol number of an IP packet in another one, or 0.
    #[inline(always)]
    fn next_header(&self) -> u8 {
        match self.start >> 60 {
            4 => IpProto::IPV4.0,
            6 => IpProto::IPV6.0,
            _ => 0,
        }
    }
}

/// What an IPv4 header would begin with that had the marks of a packet that has none.
#[cold]
#[inline(never)]
fn start_like(data: &[u8]) -> u64 {
    match data {
        [first, second, ..] if first >> 4 == 6 => ip_start(6 << 4, first << 4 | second >> 4, DF),
        _ => ip_start(0, TOS_CONTROL, 0),
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
        let octets = header.wrapping_add(inner.octets.into());
        let pad = esp::padding_for(octets, esp::ALIGN) % esp::ALIGN;
        Tail { len: (pad + ESP_TRAILER + ICV) as u16, pad }
    }

    /// Writes what there is room for at the end of `data`, but for the ICV, whose place may hold
    /// anything.
    #[inline(always)]
    pub(super) fn write(self, data: &mut [u8], encap: &Encap, inner: &Inner) {
        let next_header = match encap.next_header {
            0 => inner.next_header(),
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

/// All headers of a plain template at once, before a packet; with them it has `outer_len` octets
/// from the outer IP header on.
#[inline(always)]
pub(super) fn plain<const SEALED: bool>(
    head: &mut [u8; 2 * HALF],
    encap: &Encap,
    inner: &Inner,
    (outer_len, id, protocol): (u16, u16, u16),
    sealing: Sealing,
) {
    encap.write_plain(head);
    let ip = encap.plain_ip();
    let upper = ip + IP4_LEN;
    if encap.gre != 0 {
        let gre = if SEALED { upper + ESP_IV } else { upper };
        head[gre + 2..gre + 4].copy_from_slice(&protocol.to_be_bytes());
    }
    if SEALED {
        numbers(&mut head[upper..upper + ESP_IV], sealing);
    }
    let header = &mut head[ip..upper];
    let sum = ip4(header, encap, inner, outer_len, id);
    header[10..12].copy_from_slice(&sum.checksum().to_be_bytes());
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
    let sum = ip4(header, encap, inner, length(octets), id);
    if !offloaded {
        header[10..12].copy_from_slice(&sum.checksum().to_be_bytes());
    }
}

/// The IP header of a GRE packet that goes into tunnel mode, and ends where the ESP trailer begins.
pub(super) fn tunnelled_ip(data: &mut [u8], encap: &Encap, inner: &Inner, id: u16) {
    let at = usize::from(encap.inner);
    let octets = usize::from(encap.len) + usize::from(inner.octets) - at;
    if encap.outer_v6 {
        return ip6(&mut data[at..], encap, inner, octets, 0);
    }
    let header = &mut data[at..at + IP4_LEN];
    ip4(header, encap, inner, length(octets), id);
    let sum = checksum::of(header);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
}

/// The fields of an IPv4 header that differ from packet to packet, but for the checksum. Gives the
/// sum of an outer header: the template's, and these fields.
#[inline(always)]
fn ip4(header: &mut [u8], encap: &Encap, inner: &Inner, octets: u16, id: u16) -> Sum {
    let start = outer_start(encap, inner);
    let words = start | u64::from(octets) << 32 | u64::from(id) << 16;
    header[..8].copy_from_slice(&words.to_be_bytes());
    encap.ip_sum.words(words)
}

fn ip6(header: &mut [u8], encap: &Encap, inner: &Inner, octets: usize, flow_label: u32) {
    let [_, traffic_class, ..] = outer_start(encap, inner).to_be_bytes();
    let word = 6 << 28 | u32::from(traffic_class) << 20 | flow_label;
    header[..4].copy_from_slice(&word.to_be_bytes());
    header[4..6].copy_from_slice(&length(octets - IP6_LEN).to_be_bytes());
}

/// What the outer IP header begins with, see [`ip_start`].
#[inline(always)]
fn outer_start(encap: &Encap, inner: &Inner) -> u64 {
    inner.start & encap.ip_keep | encap.ip_set
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
