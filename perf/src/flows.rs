//! The frames that hosts send: IPv4 and UDP, round robin over flows, and so over peers; or the
//! packets of a capture, in their order.

use std::sync::Arc;

use dpdk::{Mbuf, Mempool};
use wire::eth::EtherType;
use wire::{EmitError, IpProto, MacAddr, eth, ip4, udp};

use crate::addresses::{self, GATEWAY_MAC, NEIGHBOR_MAC};
use crate::capture::Capture;
use crate::case::Case;
use crate::mode::{Mode, Way};
use crate::size::{IMIX, Size};

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

    /// Where its packets go, in a mode and way.
    fn destination(self, case: &Case, way: Way) -> std::net::Ipv4Addr {
        // Hosts 1 to 254 of a network.
        let host = 1 + self.of_peer % 254;
        let network = match case.mode {
            Mode::Replicate => {
                return (addresses::GROUPS.0.to_bits() + self.number % 254).into();
            }
            Mode::Hub => addresses::network(case.next_peer(self.peer)),
            Mode::Bidirectional if way == Way::In => addresses::near_network(self.peer),
            _ => addresses::network(self.peer),
        };
        (network.to_bits() + host).into()
    }
}

/// Makes frames.
#[derive(Debug)]
pub(crate) struct Frames {
    content: Content,
    /// Number of the next frame; it is the stamp, if they are stamped.
    made: u64,
    stamped: bool,
}

#[derive(Debug)]
enum Content {
    Flows(Generated),
    Capture { packets: Arc<Capture>, first: usize, step: usize, next: usize },
}

/// Packets of each flow in turn, and of each size of a pattern in turn.
#[derive(Debug)]
struct Generated {
    kinds: Vec<Kind>,
    /// Indices of `kinds`.
    pattern: Vec<usize>,
    payload: Vec<u8>,
    flows: usize,
    next_flow: usize,
    next_size: usize,
}

/// Packets of one size.
#[derive(Debug)]
struct Kind {
    size: usize,
    /// Ethernet, IPv4 and UDP header of each flow.
    headers: Vec<[u8; HEADERS]>,
}

impl Frames {
    /// The frames of source `index` of `of`, which takes whole peers if packets come from peers,
    /// as RSS deals them by outer addresses; else flows. Of a capture it takes each `of`th packet.
    pub(crate) fn new(
        case: &Case,
        way: Way,
        (index, of): (usize, usize),
    ) -> Result<Self, EmitError> {
        let mine = |flow: &Flow| {
            let dealt_by = if way.leaves_tunnel() { flow.peer } else { flow.peer + flow.of_peer };
            dealt_by as usize % of == index
        };
        let flows: Vec<_> = Flow::all(case.flows, case.peers).filter(mine).collect();
        let content = match &case.size {
            Size::Octets(size) => Content::Flows(Generated::new(case, way, &flows, &[*size])?),
            Size::Imix => Content::Flows(Generated::new(case, way, &flows, &IMIX)?),
            Size::Capture(packets) => {
                Content::Capture { packets: packets.clone(), first: index, step: of, next: index }
            }
        };
        Ok(Self { content, made: 0, stamped: false })
    }

    /// The same, each with its number in its last octets ([`stamp`]).
    pub(crate) fn stamped(self) -> Self {
        Self { stamped: true, ..self }
    }

    /// Whether there is nothing to make.
    pub(crate) fn is_empty(&self) -> bool {
        match &self.content {
            Content::Flows(generated) => generated.flows == 0,
            Content::Capture { packets, first, .. } => *first >= packets.packets().len(),
        }
    }

    /// Appends `count` frames to `out`, or none if the pool has fewer. Returns how many octets
    /// their IP packets have.
    pub(crate) fn make(&mut self, pool: &Mempool, count: usize, out: &mut Vec<Mbuf>) -> u64 {
        let first = out.len();
        pool.alloc_bulk(u32::try_from(count).unwrap_or(u32::MAX), out);
        let made = &mut out[first..];
        let octets = match &mut self.content {
            Content::Flows(generated) => made.iter_mut().map(|mbuf| generated.fill(mbuf)).sum(),
            Content::Capture { packets, first, step, next } => {
                let fill = |mbuf: &mut Mbuf| {
                    let packet = &packets.packets()[*next];
                    *next += *step;
                    if *next >= packets.packets().len() {
                        *next = *first;
                    }
                    fill_captured(mbuf, packet)
                };
                made.iter_mut().map(fill).sum()
            }
        };
        if self.stamped {
            made.iter_mut().zip(self.made..).for_each(|(mbuf, number)| put_stamp(mbuf, number));
        }
        self.made += made.len() as u64;
        octets
    }

    /// Octets of the IP packets of the next `count` frames.
    pub(crate) fn next_sizes(&self, count: usize) -> Vec<usize> {
        match &self.content {
            Content::Flows(Generated { kinds, pattern, next_size, .. }) => {
                let sizes = pattern.iter().map(|kind| kinds[*kind].size);
                sizes.cycle().skip(*next_size).take(count).collect()
            }
            Content::Capture { packets, first, step, next } => {
                let all = packets.packets();
                let rest = (*next..all.len()).step_by(*step);
                let again = std::iter::repeat_with(|| (*first..all.len()).step_by(*step));
                let sizes = rest.chain(again.flatten()).map(|at| all[at].len());
                sizes.take(count).collect()
            }
        }
    }
}

impl Generated {
    fn new(case: &Case, way: Way, flows: &[Flow], pattern: &[u16]) -> Result<Self, EmitError> {
        let mut sizes = pattern.to_vec();
        sizes.sort_unstable();
        sizes.dedup();
        let kind = |size: &u16| {
            let headers = flows.iter().map(|flow| headers(case, way, *flow, *size));
            Ok(Kind { size: (*size).into(), headers: headers.collect::<Result<_, EmitError>>()? })
        };
        let place = |size: &u16| sizes.binary_search(size).unwrap_or(0);
        let largest = sizes.last().map_or(UDP_IP, |size| usize::from(*size));
        Ok(Self {
            kinds: sizes.iter().map(kind).collect::<Result<_, _>>()?,
            pattern: pattern.iter().map(place).collect(),
            payload: (0..=u8::MAX).cycle().take(largest - UDP_IP).collect(),
            flows: flows.len(),
            next_flow: 0,
            next_size: 0,
        })
    }

    fn fill(&mut self, mbuf: &mut Mbuf) -> u64 {
        let kind = &self.kinds[self.pattern[self.next_size]];
        if let Some(frame) = mbuf.append(eth::HEADER_LEN + kind.size) {
            let (headers, payload) = frame.split_at_mut(HEADERS);
            headers.copy_from_slice(&kind.headers[self.next_flow]);
            payload.copy_from_slice(&self.payload[..kind.size - UDP_IP]);
        }
        let next = |at: usize, of: usize| if at + 1 == of { 0 } else { at + 1 };
        self.next_flow = next(self.next_flow, self.flows);
        self.next_size = next(self.next_size, self.pattern.len());
        kind.size as u64
    }
}

fn fill_captured(mbuf: &mut Mbuf, packet: &[u8]) -> u64 {
    let ethertype = if packet[0] >> 4 == 4 { EtherType::IPV4 } else { EtherType::IPV6 };
    let link = eth::Repr { dst: GATEWAY_MAC, src: NEIGHBOR_MAC, ethertype };
    if let Some(frame) = mbuf.append(eth::HEADER_LEN + packet.len())
        && link.emit(frame).is_ok()
    {
        frame[eth::HEADER_LEN..].copy_from_slice(packet);
    }
    packet.len() as u64
}

/// Octets of a stamp, at the end of the packet.
const STAMP: usize = 8;

fn put_stamp(mbuf: &mut Mbuf, number: u64) {
    if let Some(stamp) = mbuf.data_mut().and_then(|data| data.last_chunk_mut::<STAMP>()) {
        *stamp = number.to_be_bytes();
    }
}

/// The number of a frame, out of its last octets.
pub(crate) fn stamp(frame: &[u8]) -> Option<u64> {
    frame.last_chunk::<STAMP>().map(|stamp| u64::from_be_bytes(*stamp))
}

const UDP_IP: usize = ip4::HEADER_LEN + udp::HEADER_LEN;
/// Octets of the same headers, in the type of lengths on the wire.
const IP_LEN: u16 = 20;
const UDP_LEN: u16 = 8;
const HEADERS: usize = eth::HEADER_LEN + UDP_IP;
/// The discard service (RFC 863).
const DISCARD: u16 = 9;

fn headers(case: &Case, way: Way, flow: Flow, size: u16) -> Result<[u8; HEADERS], EmitError> {
    let mut headers = [0; HEADERS];
    let destination = flow.destination(case, way);
    let dst = match destination.is_multicast() {
        true => MacAddr::multicast_v4(destination),
        false => GATEWAY_MAC,
    };
    let link = eth::Repr { dst, src: NEIGHBOR_MAC, ethertype: EtherType::IPV4 };
    link.emit(&mut headers)?;
    let ip_payload = size - IP_LEN;
    let source = addresses::source(flow.number);
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
    use crate::tests::case;

    fn generated(line: &str) -> Generated {
        let case = case(line);
        match Frames::new(&case, case.mode.ways()[0], (0, 1)).unwrap().content {
            Content::Flows(generated) => generated,
            Content::Capture { .. } => unreachable!(),
        }
    }

    #[test]
    fn flows_are_dealt_to_peers_in_turn() {
        let peers: Vec<_> = Flow::all(5, 2).map(|flow| (flow.peer, flow.of_peer)).collect();
        assert_eq!(peers, [(0, 0), (1, 0), (0, 1), (1, 1), (0, 2)]);
    }

    #[test]
    fn each_flow_has_a_header_of_its_own() {
        let frames = generated("--mode encrypt --size 64 --flows 2000 --peers 3");
        let distinct: BTreeSet<_> = frames.kinds[0].headers.iter().collect();
        assert_eq!(distinct.len(), 2000);
    }

    #[test]
    fn a_frame_is_what_it_says() {
        for size in [28u16, 29, 64, 1400] {
            let frames = generated(&format!("--mode encrypt --size {size} --flows 300"));
            let mut octets = frames.kinds[0].headers[299].to_vec();
            octets.extend(&frames.payload);
            assert_eq!(octets.len(), 14 + usize::from(size));
            let frame = eth::Frame::new_checked(&octets[..]).unwrap();
            assert_eq!((frame.dst(), frame.ethertype()), (GATEWAY_MAC, EtherType::IPV4));
            let packet = ip4::Packet::new_checked(&octets[14..]).unwrap();
            assert!(packet.verify_checksum() && !packet.dont_fragment());
            assert_eq!(packet.total_len(), size);
            assert_eq!(packet.src().to_string(), "172.16.1.43");
            assert_eq!(packet.dst().to_string(), "10.0.0.46");
            let datagram = udp::Packet::new_checked(packet.payload()).unwrap();
            assert_eq!((datagram.src_port(), datagram.dst_port()), (1025, 9));
            assert_eq!(datagram.payload().len(), usize::from(size) - 28);
        }
    }

    #[test]
    fn destinations_of_modes() {
        let to = |line: &str, way: Way, number| {
            let case = case(line);
            let flow = Flow::all(case.flows, case.peers).nth(number).unwrap();
            flow.destination(&case, way).to_string()
        };
        // From peer 2 of 3 to the first, and from the only one to another.
        assert_eq!(to("--mode hub --size 64 --peers 3", Way::Through, 2), "10.0.0.1");
        assert_eq!(to("--mode hub --size 64 --peers 1", Way::Through, 0), "10.0.1.1");
        assert_eq!(to("--mode bidirectional --size 64 --peers 2", Way::Out, 1), "10.0.1.1");
        assert_eq!(to("--mode bidirectional --size 64 --peers 2", Way::In, 1), "10.128.1.1");
        assert_eq!(to("--mode replicate --size 64", Way::Out, 9), "239.192.0.10");
    }

    #[test]
    fn the_mixture_goes_on_where_it_stopped() {
        let mut frames = generated("--mode encrypt --size imix --flows 5");
        let pool = dpdk::MempoolConfig { mbufs: 63, cache: 0, ..Default::default() };
        let pool = Mempool::new(dpdk::Eal::for_tests(), "flows_imix", pool).unwrap();
        let mut mbufs = Vec::new();
        pool.alloc_bulk(30, &mut mbufs);
        let octets: u64 = mbufs.iter_mut().map(|mbuf| frames.fill(mbuf)).sum();
        let lengths: Vec<_> = mbufs.iter().map(|mbuf| mbuf.len() - 14).collect();
        let expected = IMIX.iter().cycle().take(30).map(|size| usize::from(*size));
        assert_eq!(lengths, expected.collect::<Vec<_>>());
        assert_eq!(octets, lengths.iter().sum::<usize>() as u64);
        assert_eq!((frames.next_flow, frames.next_size), (0, 6));
    }
}
