//! GRE in clear: point-to-point and multipoint, with each optional field, over IPv4 and IPv6.

use dataplane::tables::Next;
use dataplane::tables::encap::GreSpec;
use wire::{IpProto, gre, ip4, ip6};

use crate::support::frame::{hops, udp_packet};
use crate::support::site::prefix;
use crate::support::{Lab, Layout, Link, Site};

const V4: (&str, &str) = ("10.1.0.10", "10.2.0.10");
const V6: (&str, &str) = ("fd00:1::a", "fd00:2::a");

fn there_and_back(link: &Link, ends: (&str, &str)) -> Vec<Vec<u8>> {
    let mut lab = Lab::pair(link);
    let there: Vec<_> =
        (0..3).map(|i| udp_packet(ends.0, ends.1, i, 100 + usize::from(i))).collect();
    let back: Vec<_> =
        (0..3).map(|i| udp_packet(ends.1, ends.0, i, 200 + usize::from(i))).collect();
    lab.send(1, &there);
    lab.send(2, &back);
    let expected = |packets: &[Vec<u8>]| packets.iter().map(|p| hops(p, 2)).collect::<Vec<_>>();
    assert_eq!(lab.receive(2), expected(&there));
    assert_eq!(lab.receive(1), expected(&back));
    lab.assert_clean();
    lab.outer()
}

#[test]
fn every_combination_of_fields_over_ipv4_and_ipv6() {
    for bits in 0..8u8 {
        let spec = GreSpec {
            key: (bits & 1 != 0).then_some(0xdead_beef),
            checksum: bits & 2 != 0,
            sequence: bits & 4 != 0,
        };
        for underlay_v6 in [false, true] {
            for ends in [V4, V6] {
                let link = Link { gre: Some(spec), underlay_v6, ordered: true, ..Link::default() };
                let outer = there_and_back(&link, ends);
                assert_eq!(outer.len(), 6);
                for (number, packet) in outer[..3].iter().enumerate() {
                    check_outer(packet, &spec, underlay_v6, number as u32);
                }
            }
        }
    }
}

fn check_outer(packet: &[u8], spec: &GreSpec, v6: bool, number: u32) {
    let payload = if v6 {
        let ip = ip6::Packet::new_checked(packet).unwrap();
        assert_eq!(ip.total_len(), packet.len());
        assert_eq!(ip.next_header(), IpProto::GRE);
        assert_eq!(ip.hop_limit(), 64);
        assert_eq!(
            (ip.src(), ip.dst()),
            ("2001:db8::1".parse().unwrap(), "2001:db8::2".parse().unwrap())
        );
        ip.payload()
    } else {
        let ip = ip4::Packet::new_checked(packet).unwrap();
        assert!(ip.verify_checksum());
        assert_eq!(usize::from(ip.total_len()), packet.len());
        assert_eq!(ip.protocol(), IpProto::GRE);
        assert_eq!(ip.ttl(), 64);
        assert_eq!((ip.src(), ip.dst()), ([192, 0, 2, 1].into(), [192, 0, 2, 2].into()));
        ip.payload()
    };
    let gre = gre::Packet::new_checked(payload).unwrap();
    assert_eq!(gre.key(), spec.key);
    assert_eq!(gre.has_checksum(), spec.checksum);
    assert_eq!(gre.sequence(), spec.sequence.then_some(number));
    assert_eq!(gre.header_len(), spec.len());
    let inner = gre.payload();
    let expected = if inner[0] >> 4 == 6 { 0x86dd } else { 0x0800 };
    assert_eq!(gre.protocol().0, expected);
}

/// Two templates for one peer, as a shortcut makes them, draw from one sequence: the peer takes
/// packets in order only.
#[test]
fn templates_of_one_peer_share_its_sequence() {
    let spec = GreSpec { sequence: true, ..GreSpec::default() };
    let link = Link { gre: Some(spec), ordered: true, ..Link::default() };
    let mut sites = [(1, 2), (2, 1)].map(|(number, peer)| Site::new(number, &[peer], &link));
    let own = sites[0].peers[0].1.adjacency as usize;
    let shortcut = sites[0].adjacencies[own].clone();
    let shortcut = sites[0].adjacency(shortcut);
    sites[0].overlay_v4.push((prefix("10.2.0.11", 32), shortcut));
    let mut lab = Lab::new(&Layout::RunToCompletion(1), sites.into());
    let packet = |number: u8| {
        let host = if number.is_multiple_of(2) { "10.2.0.10" } else { "10.2.0.11" };
        udp_packet(V4.0, host, number.into(), 100)
    };
    lab.send(1, &(0..6).map(packet).collect::<Vec<_>>());
    lab.assert_clean();
    for (number, outer) in (0..).zip(lab.outer()) {
        check_outer(&outer, &spec, false, number);
    }
}

#[test]
fn vlan_on_both_sides() {
    let link = Link { lan_vlan: Some(100), wan_vlan: Some(4094), ..Link::default() };
    let mut lab = Lab::pair(&link);
    let packet = udp_packet(V4.0, V4.1, 1, 100);
    lab.send(1, std::slice::from_ref(&packet));
    assert_eq!(lab.tap[0][12..18], [0x81, 0, 0x0f, 0xfe, 0x08, 0]);
    let frame = &lab[2].lan.receive()[0];
    assert_eq!(frame[..18], [2, 0, 0, 3, 2, 10, 2, 0, 0, 1, 0, 2, 0x81, 0, 0, 100, 8, 0]);
    assert_eq!(frame[18..], hops(&packet, 2));
    lab.assert_clean();
}

#[test]
fn a_hub_carries_packets_between_its_spokes() {
    let link = Link { multipoint: true, ..Link::default() };
    let mut sites = vec![Site::new(1, &[2, 3], &link)];
    for spoke in [2, 3] {
        let mut site = Site::new(spoke, &[1], &link);
        // The rest of the world is behind the hub.
        let hub = site.peers[0].1.adjacency;
        let default = prefix("0.0.0.0", 0);
        site.overlay_v4.push((default, Next(hub)));
        sites.push(site);
    }
    let mut lab = Lab::new(&Layout::RunToCompletion(1), sites);
    let packet = udp_packet("10.2.0.10", "10.3.0.11", 9, 500);
    lab.send(2, std::slice::from_ref(&packet));
    assert_eq!(lab.receive(3), [hops(&packet, 3)]);
    let outer = lab.outer();
    assert_eq!(outer.len(), 2);
    let ends = |p: &[u8]| (p[12..16].to_vec(), p[16..20].to_vec());
    assert_eq!(ends(&outer[0]), (vec![192, 0, 2, 2], vec![192, 0, 2, 1]));
    assert_eq!(ends(&outer[1]), (vec![192, 0, 2, 1], vec![192, 0, 2, 3]));
    lab.assert_clean();
}

#[test]
fn the_outer_identification_differs_from_packet_to_packet() {
    let mut lab = Lab::pair(&Link::default());
    let packets: Vec<_> = (0..200).map(|i| udp_packet(V4.0, V4.1, i, 60)).collect();
    lab.send(1, &packets);
    let ids: std::collections::HashSet<_> =
        lab.outer().iter().map(|p| u16::from_be_bytes([p[4], p[5]])).collect();
    assert_eq!(ids.len(), 200);
}
