//! Each parser of the wire crate over arbitrary and mutated octets: an error or values, no panic.

use std::hint::black_box;

use wire::{IpProto, arp, esp, eth, flow, frag, gre, icmp, icmp6, ip4, ip6, tcp, udp, vlan};

use crate::fuzz::for_a_while;
use crate::support::frame::{self, Ip};
use crate::support::rng::Rng;

fn seed_packet(rng: &mut Rng) -> Vec<u8> {
    let random = |rng: &mut Rng| {
        let count = rng.below(80);
        rng.bytes(count)
    };
    match rng.below(10) {
        0 => random(rng),
        1 => frame::syn_packet("10.0.0.1", "10.0.0.2", 1460),
        2 => frame::syn_packet("fd00::1", "fd00::2", 1460),
        3 => {
            frame::gre(Some(1), Some(2), 0x0800, &frame::udp_packet("10.0.0.1", "10.0.0.2", 1, 60))
        }
        4 => frame::udp(4500, 4500, &random(rng)),
        5 => {
            frame::frame([2; 6], [4; 6], Some(3), &frame::udp_packet("10.0.0.1", "10.0.0.2", 1, 60))
        }
        6 => Ip::new("fd00::1", "fd00::2", 0).packet(&[
            60, 0, 1, 4, 0, 0, 0, 0, 44, 0, 1, 4, 0, 0, 0, 0, 17, 0, 0, 1, 0, 0, 0, 1, 1, 2, 3, 4,
        ]),
        7 => vec![
            0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 10, 0, 0, 2,
        ],
        8 => {
            [vec![135, 0, 0, 0, 0, 0, 0, 0], vec![0xfe; 16], vec![1, 1, 2, 0, 0, 0, 0, 1]].concat()
        }
        _ => {
            let mut ip = Ip::new("10.0.0.1", "10.0.0.2", 17);
            ip.more = true;
            ip.packet(&random(rng))
        }
    }
}

fn parse_link(data: &[u8]) {
    if let Ok(frame) = eth::Frame::new_checked(data) {
        black_box((eth::Repr::parse(&frame), frame.payload()));
    }
    if let Ok(tag) = vlan::Tag::new_checked(data) {
        black_box((vlan::Repr::parse(&tag), tag.payload()));
    }
    let _ = black_box(arp::Repr::parse(data));
}

fn parse_network(data: &[u8]) {
    if let Ok(ip) = ip4::Packet::new_checked(data) {
        let fragments = frag::Fragments::ip4(&ip, 68).map(|f| f.count());
        black_box((ip4::Repr::parse(&ip).is_ok(), ip.payload(), ip.options(), fragments.is_ok()));
        let _ = black_box(frag::check_ip4(&ip));
    }
    if let Ok(ip) = ip4::Packet::new_quoted(data) {
        black_box((ip.verify_checksum(), ip.options()));
    }
    if let Ok(ip) = ip6::Packet::new_checked(data) {
        black_box((ip6::Repr::parse(&ip), ip.payload()));
        if let Ok(upper) = ip6::ext::upper(ip.next_header(), ip.payload()) {
            assert!(upper.offset <= ip.payload().len(), "the upper layer begins within the packet");
        }
    }
    for next in [0, 43, 44, 60, 135] {
        if let Ok(upper) = ip6::ext::upper(IpProto(next), data) {
            assert!(upper.offset <= data.len());
        }
    }
    black_box(flow::hash(data));
}

fn parse_transport(data: &mut [u8]) {
    if let Ok(datagram) = udp::Packet::new_checked(&*data) {
        black_box((udp::Repr::parse(&datagram), datagram.payload()));
    }
    if let Ok(segment) = tcp::Packet::new_checked(&*data) {
        black_box((segment.mss(), segment.is_syn(), segment.header_len()));
    }
    tcp::clamp_mss(data, 1000);
    if let Ok(packet) = gre::Packet::new_checked(&*data) {
        black_box((gre::Repr::parse(&packet), packet.payload(), packet.key(), packet.sequence()));
    }
    if let Ok(packet) = gre::Packet::new_quoted(&*data) {
        black_box((packet.payload(), packet.key()));
    }
    if let Ok(packet) = esp::Packet::new_checked(&*data) {
        black_box((esp::Repr::parse(&packet), packet.payload()));
    }
    if let Ok(trailer) = esp::check_trailer(data) {
        assert!(usize::from(trailer.len) <= data.len());
        assert!(data.len() < 8 || trailer.len > 5 || esp::short_trailer(data) == Some(trailer));
    }
    black_box(esp::Encapsulated::classify(data));
    let _ = black_box(icmp::Message::parse(data));
    let (src, dst) = ("fd00::1".parse().unwrap(), "fd00::2".parse().unwrap());
    let _ = black_box(icmp6::Message::parse(src, dst, data));
}

#[test]
fn fuzz_parsers() {
    for_a_while(|rng| {
        let mut data = seed_packet(rng);
        for _ in 0..16 {
            for from in [0, 14, 20, 40] {
                let part = data.get(from..).unwrap_or_default();
                parse_link(part);
                parse_network(part);
                parse_transport(&mut part.to_vec());
            }
            rng.mutate(&mut data);
        }
    });
}
