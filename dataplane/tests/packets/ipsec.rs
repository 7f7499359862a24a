//! ESP: transport, tunnel, alone, in UDP, with and without ESN, each checked by an independent
//! implementation.

use dataplane::tables::encap::GreSpec;
use dataplane::tables::sa::SaMode;

use crate::support::frame::{ESP, GRE, UDP, hops, udp_packet};
use crate::support::site::oracle_sa;
use crate::support::{Esp, Lab, Link};

/// The ESP packet in an outer IP packet, and whether it is in UDP.
fn esp_of(outer: &[u8]) -> (&[u8], bool) {
    let (protocol, upper) = if outer[0] >> 4 == 4 { (outer[9], 20) } else { (outer[6], 40) };
    match protocol {
        ESP => (&outer[upper..], false),
        UDP => {
            let udp = &outer[upper..];
            assert_eq!(udp[..4], [0x11, 0x94, 0x11, 0x94], "ports 4500");
            assert_eq!(usize::from(u16::from_be_bytes([udp[4], udp[5]])), udp.len());
            assert_eq!(udp[6..8], [0, 0], "checksum of zero (RFC 3948 section 2.1)");
            (&udp[8..], true)
        }
        other => panic!("protocol {other} on the underlay"),
    }
}

fn check_link(link: &Link, ends: (&str, &str)) {
    let esp = link.esp.unwrap();
    let mut lab = Lab::pair(link);
    let packets: Vec<_> =
        (0..5u16).map(|i| udp_packet(ends.0, ends.1, i, 61 + usize::from(i))).collect();
    lab.send(1, &packets);
    let arrived: Vec<_> = packets.iter().map(|p| hops(p, 2)).collect();
    assert_eq!(lab.receive(2), arrived);
    lab.assert_clean();

    let sa = oracle_sa(1, 2, &esp);
    for (number, (outer, packet)) in (1..).zip(lab.outer().iter().zip(&packets)) {
        let (esp_packet, udp) = esp_of(outer);
        assert_eq!(udp, esp.udp);
        let opened = sa.open(0, esp_packet);
        assert_eq!((opened.sequence, opened.iv), (number, number));
        let inner = hops(packet, 1);
        let is_v6 = |p: &[u8]| p[0] >> 4 == 6;
        match (link.gre, esp.mode) {
            (None, _) => {
                assert_eq!(opened.next_header, if is_v6(&inner) { 41 } else { 4 });
                assert_eq!(opened.payload, inner);
            }
            (Some(gre), SaMode::Transport) => {
                assert_eq!(opened.next_header, GRE);
                assert_eq!(opened.payload[gre.len()..], inner);
            }
            (Some(gre), SaMode::Tunnel) => {
                assert_eq!(opened.next_header, if is_v6(outer) { 41 } else { 4 });
                let ip_len = if is_v6(outer) { 40 } else { 20 };
                let (ip, rest) = opened.payload.split_at(ip_len);
                if is_v6(outer) {
                    assert_eq!(ip[8..40], outer[8..40], "ends of the GRE packet");
                    assert_eq!(ip[6], GRE);
                    assert_eq!(usize::from(u16::from_be_bytes([ip[4], ip[5]])), rest.len());
                } else {
                    assert_eq!(ip[12..20], outer[12..20], "ends of the GRE packet");
                    assert_eq!(ip[9], GRE);
                    assert_eq!(
                        usize::from(u16::from_be_bytes([ip[2], ip[3]])),
                        opened.payload.len()
                    );
                    assert_eq!(crate::support::frame::checksum(ip), 0);
                }
                assert_eq!(rest[gre.len()..], inner);
            }
        }
    }
}

#[test]
fn every_combination_of_mode_esn_cipher_nat_and_family() {
    let mut count = 0;
    for bits in 0..64u8 {
        let bit = |n: u8| bits & 1 << n != 0;
        let esp = Esp::combination(bits);
        let gre = Some(GreSpec { key: Some(42), checksum: bit(0), sequence: bit(1) });
        let link = Link { gre, esp: Some(esp), underlay_v6: bit(4), ..Link::default() };
        let ends = if bit(5) { ("fd00:1::a", "fd00:2::a") } else { ("10.1.0.10", "10.2.0.10") };
        check_link(&link, ends);
        count += 1;
    }
    assert_eq!(count, 64);
}

#[test]
fn ipsec_alone_over_both_families() {
    for underlay_v6 in [false, true] {
        for udp in [false, true] {
            for ends in [("fd00:1::a", "fd00:2::a"), ("10.1.0.10", "10.2.0.10")] {
                let esp = Some(Esp { udp, ..Esp::TUNNEL });
                check_link(&Link { esp, underlay_v6, ..Link::ipsec() }, ends);
            }
        }
    }
}
