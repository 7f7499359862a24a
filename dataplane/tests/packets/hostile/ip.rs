//! Malformed and misdirected IP, on the underlay and from hosts.

use super::Target;
use crate::support::frame::{self, Ip, UDP, seal_header, udp, udp_packet};
use crate::support::{Lab, Link};

/// Frames of a host on the LAN are dropped for this reason.
fn assert_host_dropped(packets: &[Vec<u8>], reason: &'static str) {
    let mut lab = Lab::pair(&Link::default());
    lab.send(1, packets);
    assert_eq!(lab[1].drops(), [(reason, packets.len() as u64)].into());
    assert!(lab.outer().is_empty() && lab[1].punts.is_empty());
}

/// The same malformed packet on both sides.
fn assert_dropped_everywhere(packets: &[Vec<u8>], reason: &'static str) {
    assert_host_dropped(packets, reason);
    Target::new(&Link::dmvpn()).assert_dropped(packets, reason);
}

fn v4() -> Vec<u8> {
    udp_packet("10.1.0.10", "10.2.0.10", 1, 60)
}

fn v6() -> Vec<u8> {
    udp_packet("fd00:1::a", "fd00:2::a", 1, 80)
}

fn with_total_length(length: u16) -> Vec<u8> {
    let mut packet = v4();
    packet[2..4].copy_from_slice(&length.to_be_bytes());
    seal_header(&mut packet);
    packet
}

#[test]
fn hostile_total_length_beyond_frame() {
    assert_dropped_everywhere(&[61, 62, 1500, 65_535].map(with_total_length), "ip_length");
    let mut packet = v6();
    packet[4..6].copy_from_slice(&41u16.to_be_bytes());
    assert_dropped_everywhere(&[packet], "ip_length");
}

#[test]
fn hostile_total_length_below_header() {
    assert_dropped_everywhere(&[0, 1, 19].map(with_total_length), "ip_length");
}

#[test]
fn hostile_ihl_below_5_or_beyond_the_packet() {
    let packets = [0u8, 1, 2, 3, 4].map(|ihl| {
        let mut packet = v4();
        packet[0] = 0x40 | ihl;
        packet
    });
    assert_dropped_everywhere(&packets, "ip_header_length");
    let mut packet = v4();
    packet[0] = 0x4f;
    packet.truncate(50);
    assert_dropped_everywhere(&[packet], "ip_header_length");
}

#[test]
fn hostile_header_checksum_each_bit() {
    let packets: Vec<_> = (0..16)
        .map(|bit| {
            let mut packet = v4();
            packet[10 + bit / 8] ^= 1 << (bit % 8);
            packet
        })
        .collect();
    assert_dropped_everywhere(&packets, "ip_checksum");
}

#[test]
fn hostile_frames_of_every_length_below_the_headers() {
    let mut target = Target::new(&Link::dmvpn());
    let whole = target.lab.site(2).underlay_frame(&v4());
    let v6 = target.lab.site(2).underlay_frame(&v6());
    let cut: Vec<_> =
        (1..34).map(|n| whole[..n].to_vec()).chain((1..54).map(|n| v6[..n].to_vec())).collect();
    target.lab[2].send_wan(&cut);
    target.lab.settle();
    assert_eq!(target.drops(), [("frame_truncated", cut.len() as u64)].into());
    target.assert_alive();
}

#[test]
fn hostile_version_that_is_not_the_ether_types() {
    let mut target = Target::new(&Link::dmvpn());
    for (kind, packet) in [(0x86dd, v4()), (0x0800, v6()), (0x0800, [vec![0x50], v4()].concat())] {
        let frame = frame::frame_of([2, 0, 0, 2, 0, 2], [2; 6], None, kind, &packet);
        target.lab[2].send_wan(&[frame]);
    }
    target.lab.settle();
    assert_eq!(target.drops(), [("ip_version", 3)].into());
    target.assert_alive();
}

#[test]
fn hostile_frames_for_others_and_of_unknown_kind() {
    let mut target = Target::new(&Link::dmvpn());
    let mac = [2, 0, 0, 2, 0, 2];
    target.lab[2].send_wan(&[
        frame::frame([2, 9, 9, 9, 9, 9], [2; 6], None, &v4()),
        frame::frame(mac, [2; 6], Some(7), &v4()),
        frame::frame_of(mac, [2; 6], None, 0x8847, &v4()),
        frame::frame_of(mac, [2; 6], None, 0x8100, &[0, 0]),
    ]);
    target.lab.settle();
    let expected = [
        ("not_our_mac", 1),
        ("unknown_vlan", 1),
        ("unknown_ether_type", 1),
        ("frame_truncated", 1),
    ];
    assert_eq!(target.drops(), expected.into());
    target.assert_alive();
}

#[test]
fn hostile_unicast_ip_in_a_link_layer_broadcast() {
    let mut lab = Lab::pair(&Link::default());
    lab[1].send_lan(&[
        frame::frame([0xff; 6], [2; 6], None, &v4()),
        frame::frame([1, 0, 0x5e, 1, 1, 1], [2; 6], None, &v4()),
    ]);
    lab.settle();
    assert_eq!(lab[1].drops(), [("not_our_mac", 2)].into());
}

#[test]
fn hostile_martian_source_0_multicast_loopback() {
    for source in ["0.0.0.0", "0.1.2.3", "127.0.0.1", "224.0.0.1", "239.1.1.1", "255.255.255.255"] {
        let packet = Ip::new(source, "10.2.0.10", UDP).packet(&udp(1, 2, b""));
        assert_host_dropped(std::slice::from_ref(&packet), "martian_source");
        let mut target = Target::new(&Link::dmvpn());
        let outer = Ip::new(source, "192.0.2.2", frame::ESP).packet(&[0; 64]);
        target.assert_dropped(&[outer], "martian_source");
        target.assert_inner_dropped(&packet, "martian_source");
        Target::new(&Link::ipsec()).assert_inner_dropped(&packet, "selector_mismatch");
    }
    // The last one stands for IPv4 within a host; on the wire it would be taken for 10.1.0.10.
    for source in ["::", "::1", "ff02::1", "::ffff:10.1.0.10"] {
        let packet = Ip::new(source, "fd00:2::a", UDP).packet(&udp(1, 2, b""));
        assert_host_dropped(std::slice::from_ref(&packet), "martian_source");
        Target::new(&Link::dmvpn()).assert_inner_dropped(&packet, "martian_source");
    }
}

#[test]
fn hostile_martian_destination() {
    for destination in ["0.0.0.0", "127.0.0.1", "240.0.0.1"] {
        let packet = Ip::new("10.1.0.10", destination, UDP).packet(&udp(1, 2, b""));
        assert_host_dropped(std::slice::from_ref(&packet), "martian_destination");
        Target::new(&Link::dmvpn()).assert_inner_dropped(&packet, "martian_destination");
    }
    let packet = Ip::new("fd00:1::a", "::ffff:10.2.0.10", UDP).packet(&udp(1, 2, b""));
    assert_host_dropped(std::slice::from_ref(&packet), "martian_destination");
    Target::new(&Link::dmvpn()).assert_inner_dropped(&packet, "martian_destination");
}

#[test]
fn hostile_underlay_is_no_transit_and_speaks_nothing_else() {
    let mut target = Target::new(&Link::dmvpn());
    let transit = [
        udp_packet("198.51.100.7", "10.2.0.10", 1, 60),
        udp_packet("198.51.100.7", "192.0.2.9", 1, 60),
    ];
    target.assert_dropped(&transit, "underlay_transit");
    // IP-in-IP, 6in4, AH, NHRP as an IP protocol, TCP, and GRE in UDP (RFC 8086).
    let mut packets: Vec<_> =
        [4, 41, 51, 54, 6, 89].map(|protocol| target.outer(protocol, &v4())).into();
    packets.push(target.outer(UDP, &udp(50_000, 4754, &frame::gre(Some(42), None, 0x0800, &v4()))));
    target.assert_dropped(&packets, "underlay_protocol");
}

#[test]
fn hostile_extension_headers_in_a_loop() {
    // Hop-by-hop options that follow each other, more than any sender needs, and one cut short.
    let chain = [[0u8, 0, 1, 4, 0, 0, 0, 0]; 40].concat();
    let mut packet = Ip::new("fd00:1::a", "fd00:2::a", 0).packet(&chain);
    assert_host_dropped(std::slice::from_ref(&packet), "ip_extension_header");
    packet.truncate(40 + 8);
    packet[41] = 9;
    packet[4..6].copy_from_slice(&8u16.to_be_bytes());
    assert_host_dropped(&[packet], "ip_extension_header");
}
