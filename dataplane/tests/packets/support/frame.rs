//! Packets built octet by octet, with a checksum of its own, so that what the gateway makes of
//! them is not compared with itself.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Protocol numbers.
pub const ICMP: u8 = 1;
pub const TCP: u8 = 6;
pub const UDP: u8 = 17;
pub const GRE: u8 = 47;
pub const ESP: u8 = 50;

/// The Internet checksum, written after RFC 1071 section 1 and nothing else.
pub fn checksum(data: &[u8]) -> u16 {
    let mut sum: u32 = 0;
    for pair in data.chunks(2) {
        sum += u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0));
    }
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// An IP packet to be built; the fields are those of IPv4 where the versions differ.
#[derive(Debug, Clone)]
pub struct Ip {
    pub src: IpAddr,
    pub dst: IpAddr,
    pub protocol: u8,
    pub ttl: u8,
    pub tos: u8,
    pub df: bool,
    pub more: bool,
    /// Fragment offset in octets.
    pub offset: usize,
    pub id: u16,
}

impl Ip {
    pub fn new(src: &str, dst: &str, protocol: u8) -> Self {
        let (src, dst) = (src.parse().unwrap(), dst.parse().unwrap());
        Ip { src, dst, protocol, ttl: 64, tos: 0, df: false, more: false, offset: 0, id: 0x1234 }
    }

    pub fn packet(&self, payload: &[u8]) -> Vec<u8> {
        match (self.src, self.dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => self.v4(src, dst, payload),
            (IpAddr::V6(src), IpAddr::V6(dst)) => self.v6(src, dst, payload),
            _ => panic!("two families in one packet"),
        }
    }

    fn v4(&self, src: Ipv4Addr, dst: Ipv4Addr, payload: &[u8]) -> Vec<u8> {
        let mut p = vec![0x45, self.tos];
        p.extend(((20 + payload.len()) as u16).to_be_bytes());
        p.extend(self.id.to_be_bytes());
        let fragment = (self.offset / 8) as u16
            | if self.df { 0x4000 } else { 0 }
            | if self.more { 0x2000 } else { 0 };
        p.extend(fragment.to_be_bytes());
        p.extend([self.ttl, self.protocol, 0, 0]);
        p.extend(src.octets());
        p.extend(dst.octets());
        seal_header(&mut p);
        p.extend(payload);
        p
    }

    fn v6(&self, src: Ipv6Addr, dst: Ipv6Addr, payload: &[u8]) -> Vec<u8> {
        let is_fragment = self.more || self.offset != 0;
        let extra = if is_fragment { 8 } else { 0 };
        let mut p = (6 << 28 | u32::from(self.tos) << 20).to_be_bytes().to_vec();
        p.extend(((payload.len() + extra) as u16).to_be_bytes());
        p.extend([if is_fragment { 44 } else { self.protocol }, self.ttl]);
        p.extend(src.octets());
        p.extend(dst.octets());
        if is_fragment {
            p.extend([self.protocol, 0]);
            p.extend((self.offset as u16 | u16::from(self.more)).to_be_bytes());
            p.extend(u32::from(self.id).to_be_bytes());
        }
        p.extend(payload);
        p
    }
}

/// Writes the header checksum of the IPv4 packet again, after a test changed the header.
pub fn seal_header(packet: &mut [u8]) {
    let len = (usize::from(packet[0] & 15) * 4).min(packet.len());
    packet[10..12].fill(0);
    let sum = checksum(&packet[..len]);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
}

/// A UDP datagram without checksum.
pub fn udp(src: u16, dst: u16, payload: &[u8]) -> Vec<u8> {
    let mut d = [src.to_be_bytes(), dst.to_be_bytes()].concat();
    d.extend(((8 + payload.len()) as u16).to_be_bytes());
    d.extend([0, 0]);
    d.extend(payload);
    d
}

/// A UDP packet of `len` octets in all between two hosts, its payload told by `seed`.
pub fn udp_packet(src: &str, dst: &str, seed: u16, len: usize) -> Vec<u8> {
    let ip = Ip::new(src, dst, UDP);
    let header = if ip.src.is_ipv4() { 28 } else { 48 };
    let payload: Vec<u8> =
        (0..len - header).map(|i| (i as u8).wrapping_mul(31) ^ seed as u8).collect();
    ip.packet(&udp(seed, 53, &payload))
}

/// A TCP SYN with an MSS option, and a valid checksum.
pub fn syn_packet(src: &str, dst: &str, mss: u16) -> Vec<u8> {
    let ip = Ip::new(src, dst, TCP);
    let mut tcp =
        vec![0x30, 0x39, 0x00, 0x50, 0, 0, 0, 1, 0, 0, 0, 0, 0x60, 0x02, 0xff, 0xff, 0, 0, 0, 0];
    tcp.extend([2, 4]);
    tcp.extend(mss.to_be_bytes());
    let sum = transport_checksum(&ip, &tcp);
    tcp[16..18].copy_from_slice(&sum.to_be_bytes());
    ip.packet(&tcp)
}

/// Checksum of a TCP or UDP segment with its pseudo header; 0 for one that is valid.
pub fn transport_checksum(ip: &Ip, segment: &[u8]) -> u16 {
    let mut pseudo = Vec::new();
    match (ip.src, ip.dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            pseudo.extend([src.octets(), dst.octets()].concat());
            pseudo.extend([0, ip.protocol]);
            pseudo.extend((segment.len() as u16).to_be_bytes());
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            pseudo.extend([src.octets(), dst.octets()].concat());
            pseudo.extend((segment.len() as u32).to_be_bytes());
            pseudo.extend([0, 0, 0, ip.protocol]);
        }
        _ => panic!("two families in one packet"),
    }
    pseudo.extend(segment);
    checksum(&pseudo)
}

/// A GRE header and its payload.
pub fn gre(key: Option<u32>, sequence: Option<u32>, protocol: u16, payload: &[u8]) -> Vec<u8> {
    let flags = if key.is_some() { 0x20 } else { 0 } | if sequence.is_some() { 0x10 } else { 0 };
    let mut p = vec![flags, 0];
    p.extend(protocol.to_be_bytes());
    p.extend(key.into_iter().chain(sequence).flat_map(u32::to_be_bytes));
    p.extend(payload);
    p
}

/// The EtherType of an IP packet.
pub fn ether_type(packet: &[u8]) -> u16 {
    if packet[0] >> 4 == 6 { 0x86dd } else { 0x0800 }
}

/// An Ethernet frame, tagged if `vlan` says so; the EtherType follows from the packet.
pub fn frame(dst: [u8; 6], src: [u8; 6], vlan: Option<u16>, packet: &[u8]) -> Vec<u8> {
    frame_of(dst, src, vlan, ether_type(packet), packet)
}

/// An Ethernet frame of any type.
pub fn frame_of(dst: [u8; 6], src: [u8; 6], vlan: Option<u16>, kind: u16, data: &[u8]) -> Vec<u8> {
    let mut f = [dst, src].concat();
    if let Some(vlan) = vlan {
        f.extend([0x81, 0]);
        f.extend(vlan.to_be_bytes());
    }
    f.extend(kind.to_be_bytes());
    f.extend(data);
    f
}

/// What a forwarded packet looks like: one hop less, header checksum right.
pub fn forwarded(packet: &[u8]) -> Vec<u8> {
    hops(packet, 1)
}

/// What a packet looks like after some hops.
pub fn hops(packet: &[u8], hops: u8) -> Vec<u8> {
    let mut p = packet.to_vec();
    if p[0] >> 4 == 4 {
        p[8] -= hops;
        seal_header(&mut p);
    } else {
        p[7] -= hops;
    }
    p
}
