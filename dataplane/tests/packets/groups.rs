//! Multicast and broadcast: copies to all but the sender, reverse path, TTL.

use dataplane::tables::{Adjacency, Next, Replica, ReplicationList};

use crate::support::frame::{Ip, UDP, frame, hops, udp};
use crate::support::site::{TUNNEL, host_mac, prefix};
use crate::support::{Lab, Layout, Link, Site};

const GROUP: &str = "239.1.2.3";

fn lab() -> Lab {
    Lab::star(&Link::dmvpn(), &[2, 3, 4])
}

/// A frame to the group's MAC address (RFC 1112 section 6.4), as a host sends it.
fn group_frame(site: u8, packet: &[u8]) -> Vec<u8> {
    let mac = match packet[16] {
        255 => [0xff; 6],
        _ => [1, 0, 0x5e, packet[17] & 0x7f, packet[18], packet[19]],
    };
    frame(mac, host_mac(site, 10), None, packet)
}

fn to_group(src: &str, group: &str, ttl: u8) -> Vec<u8> {
    let mut ip = Ip::new(src, group, UDP);
    ip.ttl = ttl;
    ip.packet(&udp(5000, 5000, b"to all"))
}

#[test]
fn a_packet_of_a_host_goes_to_every_peer_and_not_back() {
    let mut lab = lab();
    let packet = to_group("10.1.0.10", GROUP, 64);
    lab[1].send_lan(&[group_frame(1, &packet)]);
    lab.settle();
    assert_eq!(lab.receive(1), Vec::<Vec<u8>>::new());
    for spoke in [2, 3, 4] {
        let frames = lab[spoke].lan.receive();
        assert_eq!(frames.len(), 1, "spoke {spoke}");
        assert_eq!(frames[0][..6], [1, 0, 0x5e, 1, 2, 3], "the group's MAC address");
        assert_eq!(frames[0][14..], hops(&packet, 2));
    }
    assert_eq!(lab.outer().len(), 3);
    lab.assert_clean();
}

#[test]
fn a_packet_of_a_peer_goes_to_the_lan_and_the_other_peers() {
    let mut lab = lab();
    let packet = to_group("10.2.0.10", GROUP, 64);
    // The other spokes reach spoke 2 through the hub, so that their reverse path is the tunnel.
    for spoke in [3, 4] {
        let mut site = lab.site(spoke).clone();
        let hub = site.peers[0].1.adjacency;
        site.overlay_v4.push((prefix("10.2.0.0", 16), Next(hub)));
        lab[spoke].publish(&site.tables());
    }
    lab[2].send_lan(&[group_frame(2, &packet)]);
    lab.settle();
    assert_eq!(lab.receive(2), Vec::<Vec<u8>>::new());
    assert_eq!(lab.receive(1), [hops(&packet, 2)]);
    for spoke in [3, 4] {
        assert_eq!(lab.receive(spoke), [hops(&packet, 3)]);
        // Its only peer is the one that the copy came from, its LAN was served.
        assert_eq!(lab[spoke].dropped(), 0);
    }
    assert_eq!(lab.outer().len(), 3);
}

#[test]
fn from_where_the_source_is_not_routed_it_is_dropped() {
    let mut lab = lab();
    lab[1].send_lan(&[group_frame(1, &to_group("10.2.0.10", GROUP, 64))]);
    lab.settle();
    assert_eq!(lab[1].drops(), [("reverse_path", 1)].into());
    assert!(lab.outer().is_empty());
}

#[test]
fn ttl_1_is_not_forwarded_and_nobody_is_told() {
    let mut lab = lab();
    lab[1].send_lan(&[group_frame(1, &to_group("10.1.0.10", GROUP, 1))]);
    lab.settle();
    assert_eq!(lab[1].drops(), [("ttl_exceeded", 1)].into());
    assert!(lab[1].punts.is_empty());
}

#[test]
fn link_local_groups_and_those_without_a_rule_stay_on_the_lan() {
    let mut lab = lab();
    let packets =
        ["224.0.0.5", "224.1.1.1", "238.255.255.255"].map(|group| to_group("10.1.0.10", group, 64));
    let frames = packets.map(|packet| group_frame(1, &packet));
    lab[1].send_lan(&frames);
    lab.settle();
    assert_eq!(lab[1].drops(), [("no_multicast_rule", 3)].into());
}

#[test]
fn the_last_receiver_gone_is_a_counted_drop() {
    let mut site = Site::new(1, &[2], &Link::dmvpn());
    for rule in &mut site.multicast {
        rule.receivers.replicas.truncate(1);
    }
    let mut lab = Lab::new(&Layout::RunToCompletion(1), vec![site]);
    lab[1].send_lan(&[group_frame(1, &to_group("10.1.0.10", GROUP, 64))]);
    lab.settle();
    assert_eq!(lab[1].drops(), [("no_replicas", 1)].into());
}

#[test]
fn limited_broadcast_goes_where_a_rule_says() {
    let mut lab = lab();
    let packet = to_group("10.1.0.10", "255.255.255.255", 64);
    lab[1].send_lan(&[group_frame(1, &packet)]);
    lab.settle();
    for spoke in [2, 3, 4] {
        let frames = lab[spoke].lan.receive();
        assert_eq!(frames[0][..6], [0xff; 6]);
        assert_eq!(frames[0][14..], hops(&packet, 2));
    }
    lab.assert_clean();
}

#[test]
fn directed_broadcast_only_where_enabled() {
    let link = Link::dmvpn();
    let packet = to_group("10.1.0.10", "10.2.255.255", 64);
    let mut lab = Lab::pair(&link);
    lab.send(1, std::slice::from_ref(&packet));
    assert_eq!(lab[2].drops(), [("directed_broadcast", 1)].into());

    let mut site = lab.site(2).clone();
    let l2 = dataplane::tables::L2Rewrite::new(&site.interfaces[0], wire::MacAddr::BROADCAST);
    let broadcast = site.adjacency(Adjacency::Neighbor(l2));
    site.overlay_v4.push((prefix("10.2.255.255", 32), broadcast));
    lab[2].publish(&site.tables());
    lab.send(1, std::slice::from_ref(&packet));
    let frames = lab[2].lan.receive();
    assert_eq!(frames[0][..6], [0xff; 6]);
    assert_eq!(frames[0][14..], hops(&packet, 2));
}

#[test]
fn broadcast_on_a_tunnel_goes_to_all_of_its_peers() {
    let link = Link::dmvpn();
    let mut site = Site::new(1, &[2, 3, 4], &link);
    let peers = site.peers.iter().map(|(_, peer)| peer.adjacency);
    let replicas = peers.map(|adjacency| Replica { interface: TUNNEL, adjacency }).collect();
    let all = site.adjacency(Adjacency::Replicate(ReplicationList { replicas }));
    site.overlay_v4.push((prefix("10.255.0.255", 32), all));
    let mut lab = Lab::new(&Layout::RunToCompletion(1), vec![site]);
    let packet = to_group("10.1.0.10", "10.255.0.255", 64);
    lab.send(1, &[packet]);
    let mut destinations: Vec<_> = lab.outer().iter().map(|p| p[19]).collect();
    destinations.sort_unstable();
    assert_eq!(destinations, [2, 3, 4]);
    lab.assert_clean();
}

#[test]
fn copies_too_big_for_a_tunnel_are_fragmented_each() {
    let mut lab = lab();
    let packet = Ip::new("10.1.0.10", GROUP, UDP).packet(&udp(1, 2, &[1; 1470]));
    lab[1].send_lan(&[group_frame(1, &packet)]);
    lab.settle();
    for spoke in [2, 3, 4] {
        assert_eq!(lab.receive(spoke).len(), 2);
    }
    lab.assert_clean();
}
