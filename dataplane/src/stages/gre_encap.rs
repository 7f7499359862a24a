//! gre_encap: the one rewrite of a packet. Copies the adjacency's template before it and fills
//! what differs from packet to packet: lengths, identification, sequence numbers, checksums, and
//! the ESP padding, so that `esp_seal` only has to seal in place.
//!
//! Owns the sequence counters of the SAs and tunnels whose lane leads here: a counter has one
//! owner, so no two packets can ever get the same (key, IV).

use std::sync::Arc;

use dpdk::{Mbuf, TxRequest};
use wire::ecn::{self, Ecn};
use wire::{IpProto, checksum, esp};

use crate::drops::DropReason;
use crate::engine::message::Event;
use crate::engine::stage::{Context, Outputs, SaCommand, Stage};
use crate::engine::topology::output::gre_encap;
use crate::packet::{Layer, NONE, Packet};
use crate::stages::rewrite::halves;
use crate::tables::encap::{DfPolicy, DscpPolicy, ESP_IV, ESP_TRAILER, Encap, ICV};
use crate::tables::{Adjacency, FastMap, OutboundSa};

/// TOS of what the gateway itself sends through a tunnel: CS6, network control (RFC 4594).
const TOS_CONTROL: u8 = 0xc0;
const DF: u8 = 0x40;
/// Octets of the outer IPv4 header: templates have no options.
const IP4_LEN: u16 = 20;

/// Encapsulates, for IPsec alone and GRE alike.
pub struct GreEncap {
    outbound: Vec<Option<Outbound>>,
    gre_sequences: FastMap<u32, u32>,
    identification: u16,
    /// Distance of identifications: the number of instances, so that no two of them meet.
    stride: u16,
}

/// Run-time state of an outbound SA.
struct Outbound {
    sa: Arc<OutboundSa>,
    /// Last sequence number used.
    sequence: u64,
    octets: u64,
    expired: bool,
}

impl Outbound {
    /// Goes on where the SA's last owner stopped, be it this core or another: no matter how often
    /// an SA is installed, its key sees each IV once.
    fn new(sa: Arc<OutboundSa>) -> Self {
        let sequence = sa.counters.sequence.value();
        let octets = sa.counters.traffic.octets.value();
        Outbound { sa, sequence, octets, expired: false }
    }

    /// The next sequence number, or why there is none. An SA that stopped stays stopped.
    fn next(&mut self, octets: usize, now: u64) -> Result<u64, DropReason> {
        let limit = if self.sa.esn { u64::MAX } else { u64::from(u32::MAX) };
        let lifetime = &self.sa.lifetime;
        if self.sequence == limit {
            return Err(DropReason::SequenceExhausted);
        }
        let over = (lifetime.packets != 0 && self.sequence >= lifetime.packets)
            || (lifetime.octets != 0 && self.octets >= lifetime.octets)
            || (lifetime.tsc != 0 && now >= lifetime.tsc);
        if self.expired || over {
            return Err(DropReason::SaExpired);
        }
        self.sequence += 1;
        self.octets += octets as u64;
        self.sa.counters.traffic.count(octets);
        self.sa.counters.sequence.set(self.sequence);
        Ok(self.sequence)
    }
}

/// What the outer header takes from the inner packet.
struct Inner {
    tos: u8,
    df: bool,
    ip_next_header: u8,
    octets: usize,
}

impl Inner {
    fn of(packet: &Packet) -> Self {
        let data = packet.mbuf.data();
        let octets = packet.mbuf.len();
        match data {
            [first, tos, _, _, _, _, flags, ..] if first >> 4 == 4 => {
                Inner { tos: *tos, df: flags & DF != 0, ip_next_header: 4, octets }
            }
            [first, second, ..] if first >> 4 == 6 => {
                Inner { tos: first << 4 | second >> 4, df: true, ip_next_header: 41, octets }
            }
            _ => Inner { tos: TOS_CONTROL, df: false, ip_next_header: 0, octets },
        }
    }
}

impl GreEncap {
    /// Draws IPv4 identifications from `number` on, `stride` apart.
    pub fn new(number: u16, stride: u16) -> Self {
        let gre_sequences = FastMap::default();
        GreEncap { outbound: Vec::new(), gre_sequences, identification: number, stride }
    }

    fn encap(&mut self, context: &mut Context<'_>, mut packet: Packet, out: &mut Outputs) {
        let encap = match context.tables.adjacencies.get(packet.meta.adjacency as usize) {
            Some(Adjacency::Tunnel(encap)) => encap,
            Some(Adjacency::Drop(reason)) => return out.drop(packet, *reason),
            _ => return out.drop(packet, DropReason::Unresolved),
        };
        let inner = Inner::of(&packet);
        let sequence = match self.sequence(encap, &inner, context) {
            Ok(sequence) => sequence,
            Err(reason) => return out.drop(packet, reason),
        };
        if encap.esp != 0 && !append_trailer(&mut packet.mbuf, encap, &inner) {
            return out.drop(packet, DropReason::NoRoom);
        }
        let gre_sequence = self.gre_sequence(encap, packet.meta.adjacency);
        let len = usize::from(encap.len);
        if !packet.mbuf.is_contiguous() || packet.mbuf.prepend(len).is_none() {
            return out.drop(packet, DropReason::NoRoom);
        }
        let offloaded = encap.tx_checksum && request_checksum(&mut packet.mbuf, encap);
        let Some(data) = packet.mbuf.data_mut() else {
            return out.drop(packet, DropReason::NoRoom);
        };
        data[..len].copy_from_slice(&encap.template[..len]);
        if encap.gre != 0 {
            fill_gre(data, encap, packet.meta.ether_type, gre_sequence, inner.octets);
        }
        self.identification = self.identification.wrapping_add(self.stride);
        if encap.inner != 0 {
            // Tunnel mode: the GRE packet's own header ends where the ESP trailer begins.
            let end = len + inner.octets;
            let at = usize::from(encap.inner);
            fill_ip(&mut data[..end], at, encap, &inner, self.identification, 0);
            fill_checksum(data, at, encap);
        }
        if encap.esp != 0 {
            fill_esp(data, encap, sequence, self.iv_offset(encap.slot));
        }
        let flow_label = packet.meta.flow & 0xf_ffff;
        let at = usize::from(encap.ip);
        fill_ip(data, at, encap, &inner, self.identification, flow_label);
        if !offloaded {
            fill_checksum(data, at, encap);
        }
        encap.sent[context.core].count(inner.octets);
        packet.meta.layer = Layer::Ethernet;
        packet.meta.port = encap.port;
        packet.meta.l4 = u16::from(encap.esp);
        packet.meta.sa = encap.slot;
        (packet.meta.sequence_high, _) = halves(sequence);
        packet.meta.mtu = encap.path_mtu;
        if encap.slot != NONE {
            out.push(gre_encap::SEAL, packet);
        } else if packet.mbuf.len() > usize::from(encap.ip) + usize::from(encap.path_mtu) {
            out.push(gre_encap::FRAGMENT, packet);
        } else {
            out.push(gre_encap::TX, packet);
        }
    }

    fn install(&mut self, sa: Arc<OutboundSa>, context: &mut Context<'_>) {
        let slot = sa.slot as usize;
        if self.outbound.len() <= slot {
            self.outbound.resize_with(slot + 1, || None);
        }
        if let Some(old) = self.outbound[slot].replace(Outbound::new(sa)) {
            context.events.push(Event::RetiredOutbound(old.sa));
        }
    }

    fn sequence(
        &mut self,
        encap: &Encap,
        inner: &Inner,
        context: &mut Context<'_>,
    ) -> Result<u64, DropReason> {
        if encap.slot == NONE {
            return Ok(0);
        }
        let state = self.outbound.get_mut(encap.slot as usize).and_then(Option::as_mut);
        let state = state.ok_or(DropReason::SaGone)?;
        let next = state.next(inner.octets, context.now);
        if next.is_err() && !state.expired {
            state.expired = true;
            context.events.push(Event::Expired { slot: encap.slot, inbound: false });
        }
        next
    }

    fn iv_offset(&self, slot: u32) -> u64 {
        let state = self.outbound.get(slot as usize).and_then(Option::as_ref);
        state.map_or(0, |state| state.sa.iv_offset)
    }

    fn gre_sequence(&mut self, encap: &Encap, adjacency: u32) -> u32 {
        if !encap.gre_fields.sequence {
            return 0;
        }
        let next = self.gre_sequences.entry(adjacency).or_insert(0);
        let sequence = *next;
        *next = next.wrapping_add(1);
        sequence
    }
}

impl Stage for GreEncap {
    fn run(&mut self, context: &mut Context<'_>, input: &mut Vec<Packet>, out: &mut Outputs) {
        for packet in input.drain(..) {
            self.encap(context, packet, out);
        }
    }

    fn apply(&mut self, command: SaCommand, context: &mut Context<'_>) {
        match command {
            SaCommand::InstallOutbound(sa) => self.install(sa, context),
            SaCommand::RetireOutbound(slot) => {
                if let Some(state) = self.outbound.get_mut(slot as usize).and_then(Option::take) {
                    context.events.push(Event::RetiredOutbound(state.sa));
                }
            }
            SaCommand::InstallInbound(_) | SaCommand::RetireInbound(_) => {}
        }
    }
}

/// Appends padding, pad length, next header and room for the ICV (RFC 4303 section 2.4).
fn append_trailer(mbuf: &mut Mbuf, encap: &Encap, inner: &Inner) -> bool {
    let header = usize::from(encap.len) - usize::from(encap.esp) - ESP_IV;
    let pad = esp::padding_for(header + inner.octets, 4);
    let next_header = match encap.next_header {
        0 => IpProto(inner.ip_next_header),
        gre_or_ip => IpProto(gre_or_ip),
    };
    match mbuf.append(pad + ESP_TRAILER + ICV) {
        Some(tail) => esp::write_trailer(tail, 0, pad, next_header).is_ok(),
        None => false,
    }
}

fn fill_gre(data: &mut [u8], encap: &Encap, protocol: u16, sequence: u32, payload: usize) {
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

fn fill_esp(data: &mut [u8], encap: &Encap, sequence: u64, iv_offset: u64) {
    let at = usize::from(encap.esp);
    let (_, low) = halves(sequence);
    data[at + 4..at + 8].copy_from_slice(&low.to_be_bytes());
    let iv = sequence.wrapping_add(iv_offset);
    data[at + 8..at + 16].copy_from_slice(&iv.to_be_bytes());
    if encap.udp != 0 {
        // The checksum stays zero (RFC 3948 section 2.1).
        let udp = usize::from(encap.udp);
        let length = octets(data.len() - udp);
        data[udp + 4..udp + 6].copy_from_slice(&length);
    }
}

/// Asks the port for the checksum of the outer header; whether it will be there.
fn request_checksum(mbuf: &mut Mbuf, encap: &Encap) -> bool {
    mbuf.request_tx(TxRequest {
        l2_len: encap.ip,
        l3_len: IP4_LEN,
        ipv4_checksum: true,
        vlan_insert: None,
    })
}

/// Fills the IP header at `at`, but for the checksum; the packet ends with `data`.
fn fill_ip(data: &mut [u8], at: usize, encap: &Encap, inner: &Inner, id: u16, flow_label: u32) {
    let tos = outer_tos(encap, inner);
    let length = data.len() - at;
    if encap.outer_v6 {
        let word = 6 << 28 | u32::from(tos) << 20 | flow_label;
        data[at..at + 4].copy_from_slice(&word.to_be_bytes());
        data[at + 4..at + 6].copy_from_slice(&octets(length - 40));
        return;
    }
    let df = match encap.df {
        DfPolicy::Copy => inner.df,
        DfPolicy::Set => true,
        DfPolicy::Clear => false,
    };
    let header = &mut data[at..at + 20];
    header[1] = tos;
    header[2..4].copy_from_slice(&octets(length));
    header[4..6].copy_from_slice(&id.to_be_bytes());
    header[6] = if df { DF } else { 0 };
}

fn fill_checksum(data: &mut [u8], at: usize, encap: &Encap) {
    if !encap.outer_v6 {
        let header = &mut data[at..at + usize::from(IP4_LEN)];
        let sum = checksum::of(header);
        header[10..12].copy_from_slice(&sum.to_be_bytes());
    }
}

/// A length as it is on the wire. The MTU of a template leaves room for all its headers within
/// 65 535 octets.
fn octets(length: usize) -> [u8; 2] {
    debug_assert!(length <= usize::from(u16::MAX));
    u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes()
}

fn outer_tos(encap: &Encap, inner: &Inner) -> u8 {
    let dscp = match encap.dscp {
        DscpPolicy::Copy => inner.tos >> 2,
        DscpPolicy::Fixed(dscp) => dscp,
    };
    ecn::encapsulate(Ecn::of(inner.tos)).in_class(dscp << 2)
}
