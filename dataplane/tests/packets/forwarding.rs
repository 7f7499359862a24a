//! Routing: TTL, ECMP, own addresses, unresolved neighbours; what the outer header takes from the
//! inner one and gives back (DSCP, ECN, DF).

use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;

use dataplane::packet::{Flags, Packet, PuntReason};
use dataplane::stages::gre_decap;
use dataplane::tables::encap::{DfPolicy, DscpPolicy};
use dataplane::tables::{Adjacency, Next};

use crate::support::frame::{ICMP, Ip, UDP, forwarded, frame_of, hops, udp, udp_packet};
use crate::support::site::{host_mac, lan_mac, prefix, wan_mac};
use crate::support::{Esp, Lab, Layout, Link, Site};

const V4: (&str, &str) = ("10.1.0.10", "10.2.0.10");
const V6: (&str, &str) = ("fd00:1::a", "fd00:2::a");

#[test]
fn ttl_0_and_1_are_punted_and_2_goes_one_hop() {
    for ends in [V4, V6] {
        for ttl in [0, 1, 2, 3] {
            let mut lab = Lab::pair(&Link::dmvpn());
            let mut ip = Ip::new(ends.0, ends.1, UDP);
            ip.ttl = ttl;
            let packet = ip.packet(&udp(1, 2, b"x"));
            lab.send(1, std::slice::from_ref(&packet));
            let at = |n: u8| if n <= ttl { vec![] } else { vec![PuntReason::TtlExceeded] };
            if ttl < 2 {
                assert_eq!(lab[1].punts[0].mbuf.data(), packet, "quoted as it came");
                assert_eq!(lab[1].take_punts(), at(2));
            } else {
                assert_eq!(lab[2].take_punts(), at(3));
            }
            assert_eq!(lab.receive(2).len(), usize::from(ttl == 3));
            lab.assert_clean();
        }
    }
}

#[test]
fn what_is_for_the_gateway_itself_is_punted() {
    let mut lab = Lab::pair(&Link::dmvpn());
    let ping = |src, dst| Ip::new(src, dst, ICMP).packet(&[8, 0, 0xf7, 0xff, 0, 0, 0, 0]);
    // Its LAN address from its own LAN, its tunnel address and its LAN address through the tunnel.
    lab.send(
        1,
        &[
            ping("10.1.0.10", "10.1.0.1"),
            ping("10.1.0.10", "10.255.0.2"),
            ping("10.1.0.10", "10.2.0.1"),
        ],
    );
    assert_eq!(lab[1].take_punts(), [PuntReason::Local]);
    let packet = &lab[2].punts[1];
    assert_eq!(packet.mbuf.data(), hops(&ping("10.1.0.10", "10.2.0.1"), 1));
    assert!(packet.meta.flags.has(Flags::TUNNELLED) && packet.meta.flags.has(Flags::PROTECTED));
    assert!(!packet.meta.flags.has(Flags::UNDERLAY));
    assert_eq!(packet.meta.interface, 2);
    assert_eq!(lab[2].take_punts(), [PuntReason::Local; 2]);
    lab.assert_clean();
}

#[test]
fn icmp_and_ike_to_the_nbma_address_are_punted_as_underlay() {
    let mut lab = Lab::pair(&Link::dmvpn());
    let site = lab.site(2).clone();
    let packets = [
        Ip::new("192.0.2.77", "192.0.2.2", ICMP).packet(&[8, 0, 0xf7, 0xff, 0, 0, 0, 0]),
        Ip::new("192.0.2.77", "192.0.2.2", UDP).packet(&udp(500, 500, &[0; 28])),
        Ip::new("192.0.2.77", "192.0.2.2", UDP).packet(&udp(4500, 4500, &[0; 32])),
        Ip::new("2001:db8::77", "2001:db8::2", UDP).packet(&udp(500, 500, &[0; 28])),
    ];
    let frames: Vec<_> = packets.iter().map(|p| site.underlay_frame(p)).collect();
    lab[2].send_wan(&frames);
    lab.settle();
    for (punt, packet) in lab[2].punts.iter().zip(&packets) {
        assert_eq!(punt.meta.punt, PuntReason::Local);
        assert!(punt.meta.flags.has(Flags::UNDERLAY));
        assert_eq!(punt.mbuf.data(), packet);
    }
    assert_eq!(lab[2].take_punts().len(), 4);
    lab.assert_clean();
}

#[test]
fn arp_and_neighbor_discovery_are_punted_as_frames() {
    let mut lab = Lab::pair(&Link::default());
    let arp = frame_of([0xff; 6], host_mac(1, 10), None, 0x0806, &[0; 28]);
    let mut solicitation = Ip::new("::", "ff02::1:ff00:1", 58);
    solicitation.ttl = 255;
    let nd = solicitation
        .packet(&[135, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    let nd = frame_of([0x33, 0x33, 0xff, 0, 0, 1], host_mac(1, 10), None, 0x86dd, &nd);
    lab[1].send_lan(&[arp.clone(), nd.clone()]);
    lab.settle();
    let frames: Vec<_> = lab[1].punts.iter().map(|p| p.mbuf.data().to_vec()).collect();
    assert_eq!(frames, [arp, nd]);
    assert_eq!(lab[1].take_punts(), [PuntReason::Arp, PuntReason::NeighborDiscovery]);
    lab.assert_clean();
}

#[test]
fn no_route_and_unresolved_neighbours_are_punted() {
    let mut lab = Lab::pair(&Link::default());
    lab.send(
        1,
        &[udp_packet("10.1.0.10", "203.0.113.1", 1, 60), udp_packet("fd00:1::a", "fd77::1", 1, 60)],
    );
    lab.send(2, &[udp_packet("10.2.0.10", "10.1.0.99", 1, 60)]);
    assert_eq!(lab[1].punts[2].meta.punt, PuntReason::Unresolved);
    let adjacency = lab[1].punts[2].meta.adjacency as usize;
    assert!(matches!(lab.site(1).adjacencies[adjacency], Adjacency::Connected { interface: 0 }));
    assert_eq!(lab[1].take_punts()[..2], [PuntReason::NoRoute; 2]);
    lab.assert_clean();
}

#[test]
fn equal_cost_paths_keep_flows_and_share_them() {
    let link = Link::dmvpn();
    let mut site = Site::new(1, &[2, 3, 4], &link);
    let members: Box<[u32]> = site.peers.iter().map(|(_, peer)| peer.adjacency).collect();
    let group = site.adjacency(Adjacency::Group(members));
    site.overlay_v4.push((prefix("10.77.0.0", 16), group));
    let mut lab = Lab::new(&Layout::RunToCompletion(1), vec![site]);
    let mut by_flow = BTreeMap::<u16, HashSet<u8>>::new();
    for round in 0..3 {
        for flow in 0..60 {
            lab.send(1, &[udp_packet("10.1.0.10", "10.77.0.1", 1000 + flow, 100 + round)]);
            by_flow.entry(flow).or_default().insert(lab.outer()[0][19]);
        }
    }
    assert!(by_flow.values().all(|peers| peers.len() == 1), "a flow keeps to its path");
    for peer in [2, 3, 4] {
        let flows = by_flow.values().filter(|peers| peers.contains(&peer)).count();
        assert!((8..=35).contains(&flows), "{flows} of 60 flows by {peer}");
    }
    lab.assert_clean();
}

#[test]
fn outer_dscp_ecn_and_df_follow_the_policies() {
    for dscp in [DscpPolicy::Copy, DscpPolicy::Fixed(46)] {
        for df in [DfPolicy::Copy, DfPolicy::Set, DfPolicy::Clear] {
            let mut lab = Lab::pair(&Link { dscp, df, ..Link::dmvpn() });
            for (tos, inner_df) in [(0x00, false), (0xb9, true), (0x2a, false), (0xff, true)] {
                let mut ip = Ip::new(V4.0, V4.1, UDP);
                (ip.tos, ip.df) = (tos, inner_df);
                let packet = ip.packet(&udp(1, 2, b"marked"));
                lab.send(1, std::slice::from_ref(&packet));
                let outer = lab.outer().remove(0);
                let expected = if dscp == DscpPolicy::Copy { tos >> 2 } else { 46 };
                assert_eq!(outer[1] >> 2, expected, "DSCP");
                // RFC 6040 section 4.1, normal mode: the mark is copied.
                assert_eq!(outer[1] & 3, tos & 3, "ECN");
                let expected = match df {
                    DfPolicy::Copy => inner_df,
                    DfPolicy::Set => true,
                    DfPolicy::Clear => false,
                };
                assert_eq!(outer[6] & 0x40 != 0, expected, "DF");
                assert_eq!(lab.receive(2), [hops(&packet, 2)], "the inner header is as it was");
            }
            lab.assert_clean();
        }
    }
}

/// RFC 6040 section 4.2, figure 4: inner mark, outer mark, what goes on.
#[test]
fn congestion_marks_of_the_underlay_reach_the_inner_packet() {
    const NOT: u8 = 0;
    const ECT1: u8 = 1;
    const ECT0: u8 = 2;
    const CE: u8 = 3;
    let table = [
        (NOT, NOT, Some(NOT)),
        (NOT, ECT0, Some(NOT)),
        (NOT, ECT1, Some(NOT)),
        (NOT, CE, None),
        (ECT0, NOT, Some(ECT0)),
        (ECT0, ECT0, Some(ECT0)),
        (ECT0, ECT1, Some(ECT1)),
        (ECT0, CE, Some(CE)),
        (ECT1, NOT, Some(ECT1)),
        (ECT1, ECT0, Some(ECT1)),
        (ECT1, ECT1, Some(ECT1)),
        (ECT1, CE, Some(CE)),
        (CE, NOT, Some(CE)),
        (CE, ECT0, Some(CE)),
        (CE, ECT1, Some(CE)),
        (CE, CE, Some(CE)),
    ];
    for (link, ends) in [
        (Link::dmvpn(), V4),
        (Link::dmvpn(), V6),
        (Link::ipsec(), V4),
        (Link::ipsec(), V6),
        (Link::default(), V4),
    ] {
        let mut lab = Lab::pair(&link);
        let mut invalid = 0;
        for (inner, outer, expected) in table {
            let mut ip = Ip::new(ends.0, ends.1, UDP);
            ip.tos = 0x60 | inner;
            let site = lab.site(1).clone();
            lab[1].send_lan(&[site.host_frame(&ip.packet(&udp(1, 2, b"ecn")))]);
            lab[1].settle();
            let mut frame = lab[1].wan.receive().remove(0);
            frame[15] = frame[15] & !3 | outer;
            crate::support::frame::seal_header(&mut frame[14..]);
            lab[2].send_wan(&[frame]);
            lab.settle();
            let arrived = lab.receive(2);
            match expected {
                Some(mark) => {
                    ip.tos = 0x60 | mark;
                    assert_eq!(
                        arrived,
                        [hops(&ip.packet(&udp(1, 2, b"ecn")), 2)],
                        "{inner} in {outer}"
                    );
                }
                None => {
                    invalid += 1;
                    assert!(arrived.is_empty());
                    assert_eq!(lab[2].drops(), [("ecn_invalid", invalid)].into());
                }
            }
        }
    }
}

#[test]
fn packets_of_the_control_thread_take_the_way_they_are_given() {
    let link = Link { esp: Some(Esp::TRANSPORT), ..Link::default() };
    let mut lab = Lab::pair(&link);
    // NHRP to a peer: no look-up, no TTL, its own GRE protocol.
    let nhrp = vec![0, 1, 8, 0, 0, 0, 0, 0, 0, 0, 0, 28];
    let mut packet = Packet::originated(lab[1].mbuf(&nhrp));
    packet.meta.adjacency = lab.site(1).peers[0].1.adjacency;
    packet.meta.ether_type = 0x2001;
    packet.meta.flags.set(Flags::RESOLVED);
    lab[1].inject(packet);
    // An answer to a host: routed, but its TTL is its own.
    let answer = udp_packet("10.1.0.1", "10.1.0.10", 1, 60);
    let packet = Packet::originated(lab[1].mbuf(&answer));
    lab[1].inject(packet);
    // A frame that is complete.
    let arp = frame_of([0xff; 6], wan_mac(1), None, 0x0806, &[3; 28]);
    let mut packet = Packet::new(lab[1].mbuf(&arp));
    packet.meta.port = 1;
    packet.meta.flags.set(Flags::FRAME);
    lab[1].inject(packet);
    lab.settle();
    let tables = lab.site(2).tables();
    let (from, octets) = gre_decap::nhrp(&tables, &lab[2].punts[0]).unwrap();
    // What the SA vouches for: ESP took the outer header off.
    assert_eq!((IpAddr::from(from.address), octets), (lab.site(2).peers[0].0, &nhrp[..]));
    assert_eq!(lab[2].punts[0].meta.in_peer, lab.site(2).peers[0].1.adjacency);
    assert_eq!(lab[2].take_punts(), [PuntReason::Nhrp]);
    assert_eq!(lab.receive(1), [answer]);
    assert!(lab.tap.contains(&arp));
    lab.assert_clean();
}

#[test]
fn hosts_of_one_lan_and_a_route_to_it_by_another_router() {
    let mut site = Site::new(1, &[], &Link::default());
    let router = site.neighbors[2].1;
    site.overlay_v4.push((prefix("172.16.0.0", 12), Next(router)));
    let mut lab = Lab::new(&Layout::RunToCompletion(1), vec![site]);
    let packet = udp_packet("10.1.0.10", "172.16.1.1", 1, 60);
    lab.send(1, std::slice::from_ref(&packet));
    let frame = lab[1].lan.receive().remove(0);
    assert_eq!(frame[..12], [host_mac(1, 11), lan_mac(1)].concat());
    assert_eq!(frame[14..], forwarded(&packet));
    lab.assert_clean();
}
