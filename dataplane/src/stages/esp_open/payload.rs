//! What an authentic packet holds, and where that goes.

use wire::IpProto;
use wire::esp;

use crate::drops::DropReason;
use crate::engine::stage::Context;
use crate::engine::topology::output::esp_open;
use crate::ip::IpFacts;
use crate::packet::{Flags, Layer, Packet};
use crate::stages::gre_decap::ecn_from;
use crate::stages::underlay;
use crate::tables::InboundSa;
use crate::tables::encap::{ESP_IV, ICV};
use crate::tables::sa::SaMode;

/// What was decrypted: payload, padding and trailer.
#[inline(always)]
pub(super) fn plaintext(packet: &Packet) -> Result<&[u8], DropReason> {
    let data = packet.mbuf.data();
    let end = data.len().checked_sub(ICV).ok_or(DropReason::EspTruncated)?;
    data.get(usize::from(packet.meta.l4) + ESP_IV..end).ok_or(DropReason::EspTruncated)
}

/// Takes off everything but the payload.
#[inline(always)]
pub(super) fn unwrap(packet: &mut Packet, trailer: esp::Trailer) -> Result<(), DropReason> {
    let fits = packet.mbuf.shrink(packet.meta.l4 + HEADERS, trailer.len + BEHIND);
    if fits { Ok(()) } else { Err(DropReason::EspTruncated) }
}

/// [`ESP_IV`] and [`ICV`], as metadata and buffers count.
const HEADERS: u16 = 16;
const BEHIND: u16 = 16;
const _: () = assert!(HEADERS as usize == ESP_IV && BEHIND as usize == ICV);

/// Where the decrypted payload goes, if the SA allows it.
pub(super) fn dispatch(
    context: &Context<'_>,
    packet: &mut Packet,
    next_header: IpProto,
    sa: &InboundSa,
) -> Result<usize, DropReason> {
    match (next_header, sa.mode) {
        (IpProto::NO_NEXT_HEADER, _) => Err(DropReason::EspDummy),
        (IpProto::GRE, SaMode::Transport) if sa.takes_gre() => Ok(gre(packet)),
        (IpProto::IPV4 | IpProto::IPV6, SaMode::Tunnel) => {
            inner_ip(context, packet, next_header, sa)
        }
        _ => Err(DropReason::EspNextHeader),
    }
}

/// A packet that begins with GRE now goes on as that.
#[inline(always)]
pub(super) fn gre(packet: &mut Packet) -> usize {
    packet.meta.layer = Layer::Gre;
    packet.meta.l4 = 0;
    esp_open::GRE
}

fn inner_ip(
    context: &Context<'_>,
    packet: &mut Packet,
    next_header: IpProto,
    sa: &InboundSa,
) -> Result<usize, DropReason> {
    let facts = IpFacts::parse_inner(packet.mbuf.data())?;
    if facts.src.is_v4() != (next_header == IpProto::IPV4) {
        return Err(DropReason::EspNextHeader);
    }
    // TFC padding (RFC 4303 section 2.7).
    let padding = packet.mbuf.len() - facts.total_len;
    if !packet.mbuf.trim(padding) {
        return Err(DropReason::InnerLength);
    }
    packet.meta.layer = Layer::Ip;
    packet.meta.ether_type = if facts.src.is_v4() { 0x0800 } else { 0x86dd };
    let key = facts.flow_key(packet.mbuf.data());
    let selected = sa.selectors.classify(&key).is_some();
    if facts.protocol == IpProto::GRE && context.tables.interfaces.is_underlay_local(facts.dst) {
        let own_ends = sa.allows_gre && facts.dst == sa.local && facts.src == sa.remote;
        return if own_ends || selected {
            tunnelled_gre(packet, &facts)
        } else {
            Err(DropReason::SelectorMismatch)
        };
    }
    if !selected {
        return Err(DropReason::SelectorMismatch);
    }
    if let Some(reason) = facts.martian() {
        return Err(reason);
    }
    let ours = |address| context.tables.interfaces.is_underlay_local(address);
    if ours(facts.src) || ours(facts.dst) {
        return Err(DropReason::InnerLoop);
    }
    let outer = packet.meta.outer_tos;
    ecn_from(&mut packet.mbuf, facts.traffic_class, outer)?;
    packet.meta.flags.clear(Flags::UNDERLAY);
    packet.meta.flags.set(Flags::TUNNELLED);
    packet.meta.destination = facts.dst.v4_bits();
    Ok(esp_open::IP)
}

/// GRE to us, wrapped in tunnel mode.
fn tunnelled_gre(packet: &mut Packet, facts: &IpFacts) -> Result<usize, DropReason> {
    if facts.fragment {
        packet.meta.lane = underlay::fragment_lane(facts);
        return Ok(esp_open::FRAGMENT);
    }
    packet.meta.l4 = u16::try_from(facts.upper).map_err(|_| DropReason::IpHeaderLength)?;
    Ok(esp_open::GRE)
}
