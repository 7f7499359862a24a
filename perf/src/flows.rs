//! The frames that hosts send: IPv4 and UDP, round robin over flows, and so over peers.

use dpdk::{Mbuf, Mempool};
use wire::eth::EtherType;
use wire::{EmitError, IpProto, eth, ip4, udp};

use crate::addresses::{self, GATEWAY_MAC, NEIGHBOR_MAC};

/// One flow: from a host of its own to a host behind a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Flow {
    pub(crate) number: u32,
    pub(crate) peer: u32,
    /// Its number among the flows of that peer.
    pub(crate) of_peer: u32,
}

impl Flow {
    /// All flows: neighbours in the list are of different peers.
    pub(crate) fn all(flows: u32, peers: u32) -> impl Iterator<Item = Flow> {
        (0..flows).map(move |number| Flow { number, peer: number % peers, of_peer: number / peers })
    }
}

/// Makes frames of the same size.
#[derive(Debug)]
pub(crate) struct Frames {
    /// Ethernet, IPv4 and UDP header of each flow.
    headers: Vec<[u8; HEADERS]>,
    payload: Vec<u8>,
    next: usize,
}

impl Frames {
    /// Frames with IPv4 packets of `size` octets, at least 28.
    pub(crate) fn new(flows: impl IntoIterator<Item = Flow>, size: u16) -> Result<Self, EmitError> {
        let headers = flows.into_iter().map(|flow| headers(flow, size));
        let payload = (0..=u8::MAX).cycle().take(usize::from(size) - UDP_IP).collect();
        Ok(Self { headers: headers.collect::<Result<_, _>>()?, payload, next: 0 })
    }

    /// Whether there is no flow.
    pub(crate) fn is_empty(&self) -> bool {
        self.headers.is_empty()
    }

    /// Appends `count` frames to `out`, or none if the pool has fewer.
    pub(crate) fn make(&mut self, pool: &Mempool, count: u32, out: &mut Vec<Mbuf>) {
        let first = out.len();
        pool.alloc_bulk(count, out);
        for mbuf in &mut out[first..] {
            if let Some(frame) = mbuf.append(HEADERS + self.payload.len()) {
                let (headers, payload) = frame.split_at_mut(HEADERS);
                headers.copy_from_slice(&self.headers[self.next]);
                payload.copy_from_slice(&self.payload);
            }
            self.next = if self.next + 1 == self.headers.len() { 0 } else { self.next + 1 };
        }
    }
}

const UDP_IP: usize = ip4::HEADER_LEN + udp::HEADER_LEN;
/// Octets of the same headers, in the type of lengths on the wire.
const IP_LEN: u16 = 20;
const UDP_LEN: u16 = 8;
const HEADERS: usize = eth::HEADER_LEN + UDP_IP;
/// The discard service (RFC 863).
const DISCARD: u16 = 9;

fn headers(flow: Flow, size: u16) -> Result<[u8; HEADERS], EmitError> {
    let mut headers = [0; HEADERS];
    let link = eth::Repr { dst: GATEWAY_MAC, src: NEIGHBOR_MAC, ethertype: EtherType::IPV4 };
    link.emit(&mut headers)?;
    let source = addresses::source(flow.number);
    // Hosts 1 to 254 of the peer's network.
    let host = 1 + flow.of_peer % 254;
    let destination = (addresses::network(flow.peer).to_bits() + host).into();
    let ip_payload = size - IP_LEN;
    let ip = ip4::Repr::new(source, destination, IpProto::UDP, ip_payload);
    ip.emit(&mut headers[eth::HEADER_LEN..])?;
    // A source address tells flows apart already; ports differ as far as they go.
    let src_port = 1024 + u16::try_from(flow.of_peer / 254).unwrap_or_default();
    let payload_len = ip_payload - UDP_LEN;
    let udp = udp::Repr { src_port, dst_port: DISCARD, payload_len };
    udp.emit(&mut headers[eth::HEADER_LEN + ip4::HEADER_LEN..])?;
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn flows_are_dealt_to_peers_in_turn() {
        let peers: Vec<_> = Flow::all(5, 2).map(|flow| (flow.peer, flow.of_peer)).collect();
        assert_eq!(peers, [(0, 0), (1, 0), (0, 1), (1, 1), (0, 2)]);
    }

    #[test]
    fn each_flow_has_a_header_of_its_own() {
        let frames = Frames::new(Flow::all(2000, 3), 64).unwrap();
        let distinct: BTreeSet<_> = frames.headers.iter().collect();
        assert_eq!(distinct.len(), 2000);
    }

    #[test]
    fn a_frame_is_what_it_says() {
        for size in [28, 29, 64, 1400] {
            let frames = Frames::new(Flow::all(300, 1), size).unwrap();
            let mut octets = frames.headers[299].to_vec();
            octets.extend(&frames.payload);
            assert_eq!(octets.len(), 14 + usize::from(size));
            let frame = eth::Frame::new_checked(&octets[..]).unwrap();
            assert_eq!((frame.dst(), frame.ethertype()), (GATEWAY_MAC, EtherType::IPV4));
            let packet = ip4::Packet::new_checked(&octets[14..]).unwrap();
            assert!(packet.verify_checksum());
            assert_eq!(packet.total_len(), size);
            assert_eq!(packet.src().to_string(), "172.16.1.43");
            assert_eq!(packet.dst().to_string(), "10.0.0.46");
            let datagram = udp::Packet::new_checked(packet.payload()).unwrap();
            assert_eq!((datagram.src_port(), datagram.dst_port()), (1025, 9));
            assert_eq!(datagram.payload().len(), usize::from(size) - 28);
        }
    }
}
