//! What an ICMP error quotes, as far as it names one of our tunnels.

use std::net::IpAddr;

use wire::esp::Spi;
use wire::ip6::ext;
use wire::{IpProto, gre, ip4, ip6, udp};

use super::PmtuDrop;

/// The packet of ours that an ICMP error quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Quoted {
    /// Its source: one of our underlay addresses, if it is ours at all.
    pub local: IpAddr,
    /// Its destination: the peer.
    pub peer: IpAddr,
    /// What carried it.
    pub tunnel: QuotedTunnel,
    /// Octets of the whole packet, as its header says.
    pub packet_len: usize,
}

/// What a quoted packet says about the tunnel that it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum QuotedTunnel {
    /// ESP: sent with this SPI, which the peer chose.
    Esp {
        /// The SPI.
        spi: Spi,
    },
    /// ESP in UDP: sent with this SPI to this port.
    EspInUdp {
        /// The SPI.
        spi: Spi,
        /// Our port.
        local_port: u16,
        /// The peer's port; another than 4500 if the peer is behind a NAT.
        peer_port: u16,
    },
    /// GRE in clear.
    Gre {
        /// The key of the tunnel, if it has one.
        key: Option<u32>,
    },
}

impl Quoted {
    /// Reads a quote that may be cut anywhere; routers quote as little as the IP header and 8
    /// octets (RFC 792).
    pub(super) fn parse(quote: &[u8]) -> Result<Self, PmtuDrop> {
        match quote.first().map(|first| first >> 4) {
            Some(4) => {
                let packet = ip4::Packet::new_quoted(quote).map_err(|_| PmtuDrop::Quote)?;
                if packet.fragment_offset() != 0 {
                    return Err(PmtuDrop::Quote);
                }
                Ok(Self {
                    local: packet.src().into(),
                    peer: packet.dst().into(),
                    tunnel: tunnel(packet.protocol(), packet.payload())?,
                    packet_len: packet.total_len().into(),
                })
            }
            Some(6) => {
                let packet = ip6::Packet::new_quoted(quote).map_err(|_| PmtuDrop::Quote)?;
                let upper = ext::upper(packet.next_header(), packet.payload())
                    .map_err(|_| PmtuDrop::Quote)?;
                if upper.fragment.is_some_and(|(_, fragment)| fragment.offset != 0) {
                    return Err(PmtuDrop::Quote);
                }
                Ok(Self {
                    local: packet.src().into(),
                    peer: packet.dst().into(),
                    tunnel: tunnel(upper.protocol, &packet.payload()[upper.offset..])?,
                    packet_len: packet.total_len(),
                })
            }
            _ => Err(PmtuDrop::Quote),
        }
    }
}

fn tunnel(protocol: IpProto, payload: &[u8]) -> Result<QuotedTunnel, PmtuDrop> {
    match protocol {
        IpProto::ESP => Ok(QuotedTunnel::Esp { spi: spi(payload)? }),
        IpProto::UDP => {
            // A length beyond the quote is no error here, so the datagram is read by hand.
            let (header, rest) =
                payload.split_first_chunk::<{ udp::HEADER_LEN }>().ok_or(PmtuDrop::QuoteShort)?;
            let [s0, s1, d0, d1, ..] = *header;
            let local_port = u16::from_be_bytes([s0, s1]);
            if local_port != udp::PORT_NAT_T {
                return Err(PmtuDrop::NotTunnel);
            }
            let peer_port = u16::from_be_bytes([d0, d1]);
            Ok(QuotedTunnel::EspInUdp { spi: spi(rest)?, local_port, peer_port })
        }
        IpProto::GRE => gre_key(payload).map(|key| QuotedTunnel::Gre { key }),
        _ => Err(PmtuDrop::NotTunnel),
    }
}

fn spi(bytes: &[u8]) -> Result<Spi, PmtuDrop> {
    let spi = bytes.first_chunk().ok_or(PmtuDrop::QuoteShort)?;
    match Spi(u32::from_be_bytes(*spi)) {
        // Zero marks IKE on port 4500; IKE fragments by itself.
        spi if spi.is_usable() => Ok(spi),
        _ => Err(PmtuDrop::NotTunnel),
    }
}

/// Flags and key lie before what a short quote loses, except behind a checksum.
fn gre_key(payload: &[u8]) -> Result<Option<u32>, PmtuDrop> {
    if payload.len() < gre::HEADER_LEN {
        return Err(PmtuDrop::QuoteShort);
    }
    let mut whole = [0; gre::HEADER_LEN_MAX];
    let given = payload.len().min(whole.len());
    whole[..given].copy_from_slice(&payload[..given]);
    let header = gre::Packet::new_quoted(&whole).map_err(|_| PmtuDrop::Quote)?;
    let key_end = gre::HEADER_LEN + if header.has_checksum() { 8 } else { 4 };
    match header.key() {
        Some(_) if given < key_end => Err(PmtuDrop::QuoteShort),
        key => Ok(key),
    }
}
