//! What an underlay packet addressed to us is; `classify` asks it of whole packets, `reassemble`
//! of those that it put together.

use wire::esp::{self, Encapsulated};
use wire::{IpProto, flow, udp};

use crate::drops::DropReason;
use crate::ip::IpFacts;
use crate::packet::{Flags, Packet, PuntReason};
use crate::tables::Tables;

/// Shortest ESP packet of AES-GCM: header, IV, trailer padded to four octets, ICV.
const ESP_MIN: usize = esp::HEADER_LEN + esp::GCM_IV_LEN + 4 + esp::GCM_ICV_LEN;

/// Where a packet goes.
pub(super) enum Verdict {
    /// To `esp_open`; `meta.sa`, `meta.lane` and `meta.l4` are set.
    Esp,
    /// To `gre_decap`; `meta.l4` is set.
    Gre,
    /// To the control thread.
    Punt,
}

/// Decides about a whole, unfragmented packet with one of our underlay addresses.
pub(super) fn dispatch(
    tables: &Tables,
    packet: &mut Packet,
    facts: &IpFacts,
) -> Result<Verdict, DropReason> {
    packet.meta.outer_tos = facts.traffic_class;
    packet.meta.l4 = u16::try_from(facts.upper).map_err(|_| DropReason::IpHeaderLength)?;
    match facts.protocol {
        IpProto::ESP => esp(tables, packet, facts),
        IpProto::GRE => {
            packet.meta.flow = flow::hash(packet.mbuf.data());
            packet.meta.lane = pair_lane(facts);
            Ok(Verdict::Gre)
        }
        IpProto::UDP => udp_datagram(tables, packet, facts),
        IpProto::ICMP | IpProto::ICMPV6 => Ok(punt(packet)),
        _ => Err(DropReason::UnderlayProtocol),
    }
}

fn punt(packet: &mut Packet) -> Verdict {
    packet.meta.punt = PuntReason::Local;
    Verdict::Punt
}

fn udp_datagram(
    tables: &Tables,
    packet: &mut Packet,
    facts: &IpFacts,
) -> Result<Verdict, DropReason> {
    let data = &packet.mbuf.data()[facts.upper..];
    let datagram = udp::Packet::new_checked(data).map_err(|_| DropReason::IpLength)?;
    match datagram.dst_port() {
        udp::PORT_NAT_T => match Encapsulated::classify(datagram.payload()) {
            Encapsulated::Esp(_) => {
                packet.meta.flags.set(Flags::UDP_ENCAPSULATED);
                packet.meta.l4 += 8;
                esp(tables, packet, facts)
            }
            Encapsulated::Keepalive => Err(DropReason::NatKeepalive),
            Encapsulated::TooShort => Err(DropReason::NatTraversalShort),
            Encapsulated::Ike(_) => Ok(punt(packet)),
        },
        udp::PORT_IKE => Ok(punt(packet)),
        _ => Err(DropReason::UnderlayProtocol),
    }
}

fn esp(tables: &Tables, packet: &mut Packet, facts: &IpFacts) -> Result<Verdict, DropReason> {
    let esp = &packet.mbuf.data()[usize::from(packet.meta.l4)..];
    if esp.len() < ESP_MIN {
        return Err(DropReason::EspTruncated);
    }
    if !esp.len().is_multiple_of(esp::ALIGN) {
        return Err(DropReason::EspUnaligned);
    }
    let spi = u32::from_be_bytes([esp[0], esp[1], esp[2], esp[3]]);
    let sa = tables.sas.by_spi(spi).ok_or(DropReason::UnknownSpi)?;
    let udp = packet.meta.flags.has(Flags::UDP_ENCAPSULATED);
    // Behind a NAT the source may change; the SA's owner decides once the packet is authentic.
    if sa.local != facts.dst || sa.udp != udp || (sa.remote != facts.src && !udp) {
        return Err(DropReason::SaAddress);
    }
    packet.meta.sa = sa.slot;
    packet.meta.lane = sa.slot;
    Ok(Verdict::Esp)
}

/// Lane of clear GRE: by outer addresses, so that a tunnel's packets stay in order.
fn pair_lane(facts: &IpFacts) -> u32 {
    address_lane(facts.src) ^ address_lane(facts.dst).rotate_left(7)
}

#[expect(clippy::cast_possible_truncation, reason = "the other half is folded in")]
fn address_lane(address: std::net::IpAddr) -> u32 {
    match address {
        std::net::IpAddr::V4(a) => a.to_bits().wrapping_mul(0x9e37_79b1) >> 7,
        std::net::IpAddr::V6(a) => {
            let folded = a.to_bits() as u64 ^ (a.to_bits() >> 64) as u64;
            (folded.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32
        }
    }
}

/// Lane of a fragment: by outer addresses alone, so that one core sees all fragments of a source.
/// Its datagrams then keep their order, and its quota is one quota however many cores there are.
pub(super) fn fragment_lane(facts: &IpFacts) -> u32 {
    pair_lane(facts)
}
