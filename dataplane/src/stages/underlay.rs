//! What an underlay packet addressed to us is; `classify` asks it of whole packets, `reassemble`
//! of those that it put together.

use wire::esp::{self, Encapsulated};
use wire::{IpProto, ip4, plain, udp};

use crate::addr::Addr;
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

/// A packet with a plain header, to one of our addresses: what [`dispatch`] needs of it.
#[derive(Clone, Copy)]
pub(super) struct Plain {
    src: u32,
    dst: u32,
    /// Of the payload.
    octets: u16,
    /// The first four octets of the payload.
    upper: u32,
    traffic_class: u8,
}

impl Plain {
    #[inline(always)]
    pub(super) fn of(ip: &plain::Packet<'_>) -> Self {
        Plain {
            src: ip.src(),
            dst: ip.dst(),
            octets: ip.total_len() - PLAIN_LEN,
            upper: ip.upper(),
            traffic_class: ip.traffic_class(),
        }
    }

    /// As [`dispatch`] does with ESP.
    #[inline(always)]
    pub(super) fn esp(self, tables: &Tables, packet: &mut Packet) -> Result<Verdict, DropReason> {
        self.note(packet);
        esp(tables, packet, self.upper, self.octets.into())
    }

    /// As [`dispatch`] does with GRE.
    #[inline(always)]
    pub(super) fn gre<const SPREAD: bool>(self, packet: &mut Packet) -> Verdict {
        self.note(packet);
        if SPREAD {
            packet.meta.lane = pair_lane(Addr::v4(self.src), Addr::v4(self.dst));
        }
        Verdict::Gre
    }

    /// Of a fragment, [`dispatch`] has the say when it is whole.
    #[inline(always)]
    pub(super) fn fragment(self, packet: &mut Packet) {
        packet.meta.flags.set(Flags::UNDERLAY);
        packet.meta.lane = pair_lane(Addr::v4(self.src), Addr::v4(self.dst));
    }

    #[inline(always)]
    fn note(self, packet: &mut Packet) {
        packet.meta.flags.set(Flags::UNDERLAY);
        packet.meta.outer_tos = self.traffic_class;
        packet.meta.l4 = PLAIN_LEN;
    }
}

/// Octets of a plain header, as metadata counts them.
pub(super) const PLAIN_LEN: u16 = 20;
const _: () = assert!(PLAIN_LEN as usize == ip4::HEADER_LEN);

/// Decides about a whole, unfragmented packet with one of our underlay addresses.
#[inline(always)]
pub(super) fn dispatch(
    tables: &Tables,
    packet: &mut Packet,
    facts: &IpFacts,
) -> Result<Verdict, DropReason> {
    packet.meta.outer_tos = facts.traffic_class;
    packet.meta.l4 = u16::try_from(facts.upper).map_err(|_| DropReason::IpHeaderLength)?;
    match facts.protocol {
        IpProto::ESP => esp_at_l4(tables, packet),
        IpProto::GRE => {
            packet.meta.lane = pair_lane(facts.src, facts.dst);
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

#[inline(never)]
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
                esp_at_l4(tables, packet)
            }
            Encapsulated::Keepalive => Err(DropReason::NatKeepalive),
            Encapsulated::TooShort => Err(DropReason::NatTraversalShort),
            Encapsulated::Ike(_) => Ok(punt(packet)),
        },
        udp::PORT_IKE => Ok(punt(packet)),
        _ => Err(DropReason::UnderlayProtocol),
    }
}

fn esp_at_l4(tables: &Tables, packet: &mut Packet) -> Result<Verdict, DropReason> {
    let data = &packet.mbuf.data()[usize::from(packet.meta.l4)..];
    let (spi, octets) = (data.first_chunk().ok_or(DropReason::EspTruncated)?, data.len());
    esp(tables, packet, u32::from_be_bytes(*spi), octets)
}

/// `octets` from the ESP header to the end of the packet. The SA's owner decides about the outer
/// addresses: it has the SA at hand.
#[inline(always)]
fn esp(
    tables: &Tables,
    packet: &mut Packet,
    spi: u32,
    octets: usize,
) -> Result<Verdict, DropReason> {
    if octets < ESP_MIN {
        return Err(DropReason::EspTruncated);
    }
    if !octets.is_multiple_of(esp::ALIGN) {
        return Err(DropReason::EspUnaligned);
    }
    let slot = tables.sas.slot_of(spi).ok_or(DropReason::UnknownSpi)?;
    packet.meta.sa = slot;
    packet.meta.lane = slot;
    Ok(Verdict::Esp)
}

/// Lane of clear GRE: by outer addresses, so that a tunnel's packets stay in order.
#[inline(always)]
fn pair_lane(src: Addr, dst: Addr) -> u32 {
    (src.fold() >> 32) as u32 ^ ((dst.fold() >> 32) as u32).rotate_left(7)
}

/// Lane of a fragment: by outer addresses alone, so that one core sees all fragments of a source.
/// Its datagrams then keep their order, and its quota is one quota however many cores there are.
pub(super) fn fragment_lane(facts: &IpFacts) -> u32 {
    pair_lane(facts.src, facts.dst)
}
