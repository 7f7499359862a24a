//! Packets that are too big: fragments before and after encapsulation, too-big punts, reassembly,
//! TCP MSS.

use dataplane::packet::PuntReason;
use dataplane::tables::sa::SaMode;

use crate::support::frame::{
    Ip, UDP, checksum, hops, syn_packet, transport_checksum, udp, udp_packet,
};
use crate::support::{Esp, Lab, Link};

const V4: (&str, &str) = ("10.1.0.10", "10.2.0.10");
const V6: (&str, &str) = ("fd00:1::a", "fd00:2::a");

/// Octets from the IPv4 header on, put together by offset as a host would.
fn reassembled(mut fragments: Vec<Vec<u8>>) -> Vec<u8> {
    let field = |p: &[u8]| u16::from_be_bytes([p[6], p[7]]);
    fragments.sort_by_key(|p| field(p) & 0x1fff);
    let mut whole = fragments[0][..20].to_vec();
    for (number, fragment) in fragments.iter().enumerate() {
        assert_eq!(checksum(&fragment[..20]), 0, "header checksum");
        assert_eq!(usize::from(u16::from_be_bytes([fragment[2], fragment[3]])), fragment.len());
        assert_eq!(
            usize::from(field(fragment) & 0x1fff) * 8,
            whole.len() - 20,
            "no gap, no overlap"
        );
        let is_last = number + 1 == fragments.len();
        assert_eq!(field(fragment) & 0x2000 != 0, !is_last, "more fragments");
        whole.extend(&fragment[20..]);
    }
    let len = (whole.len() as u16).to_be_bytes();
    whole[2..4].copy_from_slice(&len);
    whole[6..8].fill(0);
    whole[10..12].fill(0);
    let sum = checksum(&whole[..20]).to_be_bytes();
    whole[10..12].copy_from_slice(&sum);
    whole
}

#[test]
fn the_largest_inner_packet_fills_the_path_and_one_octet_more_is_cut_before() {
    for esp in
        [None, Some(Esp::TRANSPORT), Some(Esp::TUNNEL), Some(Esp { udp: true, ..Esp::TRANSPORT })]
    {
        let link = Link { esp, ..Link::default() };
        let mut lab = Lab::pair(&link);
        let overhead = match esp {
            None => 28,
            Some(Esp { udp: true, .. }) => 20 + 8 + 16 + 8 + 2 + 16,
            Some(Esp { mode: SaMode::Transport, .. }) => 20 + 16 + 8 + 2 + 16,
            Some(Esp { mode: SaMode::Tunnel, .. }) => 20 + 16 + 20 + 8 + 2 + 16,
        };
        // ESP pads to four octets.
        let largest = if esp.is_some() { (1500 - overhead) & !1 } else { 1500 - overhead };
        let fits = udp_packet(V4.0, V4.1, 1, largest);
        lab.send(1, std::slice::from_ref(&fits));
        assert_eq!(lab.receive(2), [hops(&fits, 2)]);
        let outer = lab.outer();
        assert_eq!(outer.len(), 1);
        assert!((1497..=1500).contains(&outer[0].len()), "{} octets", outer[0].len());

        let largest = (largest..1500).find(|len| {
            lab.send(1, &[udp_packet(V4.0, V4.1, 1, *len)]);
            lab.receive(2);
            lab.outer().len() > 1
        });
        let too_big = udp_packet(V4.0, V4.1, 2, largest.unwrap());
        lab.send(1, std::slice::from_ref(&too_big));
        let fragments = lab.receive(2);
        assert_eq!(fragments.len(), 2);
        assert_eq!(reassembled(fragments), hops(&too_big, 2));
        assert!(lab.outer().iter().all(|outer| outer.len() <= 1500));
        lab.assert_clean();
    }
}

#[test]
fn df_set_and_ipv6_are_punted_as_too_big_with_the_mtu() {
    let mut lab = Lab::pair(&Link { mtu: Some(1400), ..Link::dmvpn() });
    let mut ip = Ip::new(V4.0, V4.1, UDP);
    ip.df = true;
    let df = ip.packet(&udp(1, 2, &[0; 1373]));
    assert_eq!(df.len(), 1401);
    lab.send(1, &[df.clone(), udp_packet(V6.0, V6.1, 1, 1401)]);
    assert_eq!(lab.receive(2), Vec::<Vec<u8>>::new());
    let punts: Vec<_> = lab[1].punts.drain(..).collect();
    assert_eq!(punts.len(), 2);
    for punt in &punts {
        assert_eq!((punt.meta.punt, punt.meta.mtu), (PuntReason::TooBig, 1400));
        assert_eq!(punt.meta.interface, 0, "where the answer goes");
    }
    assert_eq!(punts[0].mbuf.data(), hops(&df, 1), "the packet that the error quotes");
    drop(punts);
    lab.send(1, &[udp_packet(V6.0, V6.1, 1, 1400), ip.packet(&udp(1, 2, &[0; 1372]))]);
    assert_eq!(lab.receive(2).len(), 2);
    lab.assert_clean();
}

#[test]
fn too_big_for_the_lan_is_cut_or_punted_too() {
    let link = Link { path_mtu: 9000, ..Link::default() };
    let mut site = crate::support::Site::new(2, &[1], &link);
    for adjacency in &mut site.adjacencies {
        if let dataplane::tables::Adjacency::Neighbor(l2) = adjacency {
            l2.mtu = 600;
        }
    }
    let one = crate::support::Site::new(1, &[2], &link);
    let mut lab = Lab::new(&crate::support::Layout::RunToCompletion(1), vec![one, site]);
    let packet = udp_packet(V4.0, V4.1, 1, 1400);
    lab.send(1, &[packet.clone(), udp_packet(V6.0, V6.1, 1, 1400)]);
    let fragments = lab.receive(2);
    assert_eq!(fragments.len(), 3);
    assert_eq!(reassembled(fragments), hops(&packet, 2));
    assert_eq!(lab[2].take_punts(), [PuntReason::TooBig]);
    lab.assert_clean();
}

#[test]
fn outer_fragments_after_encapsulation_are_reassembled_by_the_peer() {
    for underlay_v6 in [false, true] {
        for esp in
            [None, Some(Esp::TRANSPORT), Some(Esp::TUNNEL), Some(Esp { udp: true, ..Esp::TUNNEL })]
        {
            let link = Link {
                esp,
                underlay_v6,
                fragment_after: true,
                path_mtu: 1300,
                mtu: Some(1500),
                ..Link::default()
            };
            let mut lab = Lab::pair(&link);
            let mut ip = Ip::new(V4.0, V4.1, UDP);
            ip.df = true;
            let packets = [ip.packet(&udp(1, 2, &[7; 1472])), udp_packet(V6.0, V6.1, 3, 1500)];
            lab.send(1, &packets);
            let arrived: Vec<_> = packets.iter().map(|p| hops(p, 2)).collect();
            assert_eq!(lab.receive(2), arrived);
            let outer = lab.outer();
            assert_eq!(outer.len(), 4, "two fragments each");
            assert!(outer.iter().all(|packet| packet.len() <= 1300));
            lab.assert_clean();
        }
    }
}

#[test]
fn outer_fragments_in_any_order_and_interleaved() {
    let link = Link {
        esp: Some(Esp::TRANSPORT),
        fragment_after: true,
        path_mtu: 600,
        mtu: Some(1500),
        ..Link::default()
    };
    let mut lab = Lab::pair(&link);
    let packets: Vec<_> = (0..20).map(|i| udp_packet(V4.0, V4.1, i, 1400)).collect();
    let site = lab.site(1).clone();
    let frames: Vec<_> = packets.iter().map(|p| site.host_frame(p)).collect();
    lab[1].send_lan(&frames);
    lab[1].settle();
    let mut fragments = lab[1].wan.receive();
    assert_eq!(fragments.len(), 60);
    // A permutation of all of them: 7 and 60 have no common factor.
    fragments = (0..60).map(|i| fragments[i * 7 % 60].clone()).collect();
    lab[2].send_wan(&fragments);
    lab.settle();
    let mut arrived = lab.receive(2);
    arrived.sort();
    let mut expected: Vec<_> = packets.iter().map(|p| hops(p, 2)).collect();
    expected.sort();
    assert_eq!(arrived, expected);
    lab.assert_clean();
}

#[test]
fn tunnel_mode_with_fragments_inside_of_esp() {
    // A peer that fragments the GRE packet and wraps each fragment: an IPsec box behind a router.
    let link = Link { esp: Some(Esp::TUNNEL), ..Link::default() };
    let mut lab = Lab::pair(&link);
    let sa = crate::support::site::oracle_sa(1, 2, &Esp::TUNNEL);
    let inner = udp_packet(V4.0, V4.1, 5, 900);
    let gre = crate::support::frame::gre(Some(42), None, 0x0800, &inner);
    let site = lab.site(2).clone();
    for (number, (start, end)) in (1..).zip([(400, gre.len()), (0, 400)]) {
        let mut ip = Ip::new("192.0.2.1", "192.0.2.2", crate::support::frame::GRE);
        (ip.offset, ip.more) = (start, end < gre.len());
        let esp = sa.seal(number, 4, &ip.packet(&gre[start..end]));
        let outer = Ip::new("192.0.2.1", "192.0.2.2", crate::support::frame::ESP).packet(&esp);
        lab[2].send_wan(&[site.underlay_frame(&outer)]);
    }
    lab.settle();
    assert_eq!(lab.receive(2), [hops(&inner, 1)]);
    lab.assert_clean();
}

#[test]
fn mss_of_a_syn_is_clamped_on_both_ways() {
    for (ends, lowest) in [(V4, 1360), (V6, 1340)] {
        // Gateway 1 clamps; gateway 2 does not.
        let clamping = Link { mtu: Some(1400), clamp_mss: true, ..Link::dmvpn() };
        let plain = Link { clamp_mss: false, ..clamping.clone() };
        let sites = vec![
            crate::support::Site::new(1, &[2], &clamping),
            crate::support::Site::new(2, &[1], &plain),
        ];
        let mut lab = Lab::new(&crate::support::Layout::RunToCompletion(1), sites);
        for (from, to, src, dst) in [(1, 2, ends.0, ends.1), (2, 1, ends.1, ends.0)] {
            for (offered, expected) in [(1460, lowest), (lowest, lowest), (536, 536)] {
                lab.send(from, &[syn_packet(src, dst, offered)]);
                let arrived = lab.receive(to);
                let ip = Ip::new(src, dst, 6);
                let header = if ip.src.is_ipv4() { 20 } else { 40 };
                let segment = &arrived[0][header..];
                assert_eq!(segment[20..22], [2, 4]);
                assert_eq!(u16::from_be_bytes([segment[22], segment[23]]), expected);
                assert_eq!(transport_checksum(&ip, segment), 0, "TCP checksum");
            }
        }
        lab.assert_clean();
    }
}
