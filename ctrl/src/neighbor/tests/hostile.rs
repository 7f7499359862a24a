//! What strangers on the link try.

use super::super::state::State;
use super::samples::*;
use super::*;
use Operation::{Reply, Request};

fn refused(table: &mut Table, now: Instant, frame: &[u8], reason: Refusal) {
    let before = table.counters().refused(reason);
    let entries = table.entries().collect::<Vec<_>>();
    assert_eq!(table.handle_frame(now, LAN, frame), []);
    assert_eq!(table.counters().refused(reason), before + 1, "{reason:?}");
    assert_eq!(table.entries().collect::<Vec<_>>(), entries);
}

#[test]
fn nothing_is_learnt_from_what_was_not_asked() {
    let now = Instant::now();
    let mut table = table_at(now);
    // Replies and announcements make no entry, nor do the questions of others.
    refused(&mut table, now, &arp(Reply, MAC, "192.0.2.1", "192.0.2.2"), Refusal::Others);
    refused(&mut table, now, &arp(Request, MAC, "192.0.2.1", "192.0.2.1"), Refusal::Others);
    refused(&mut table, now, &arp(Request, MAC, "192.0.2.1", "192.0.2.7"), Refusal::Others);
    let na = advertisement("2001:db8:1::1", Some(MAC), "SO");
    let na = nd(MAC, "2001:db8:1::1", "2001:db8:1::2", na);
    refused(&mut table, now, &na, Refusal::Others);
    // An entry that is not being asked for is not moved by a reply.
    reachable(&mut table, now, "192.0.2.1");
    let forged = arp(Reply, OTHER_MAC, "192.0.2.1", "192.0.2.2");
    refused(&mut table, now + seconds(5), &forged, Refusal::Unsolicited);
    // A reply to somebody else is none to us.
    table.resolve(now, LAN, ip("192.0.2.8"), None);
    refused(&mut table, now, &arp(Reply, MAC, "192.0.2.8", "192.0.2.7"), Refusal::Others);
}

#[test]
fn senders_are_single_hosts_of_the_subnet() {
    let now = Instant::now();
    let mut table = table_at(now);
    for sender in ["192.0.3.1", "192.0.2.0", "192.0.2.255", "127.0.0.1", "8.8.8.8"] {
        refused(&mut table, now, &arp(Request, MAC, sender, "192.0.2.2"), Refusal::OffLink);
    }
    for sender in ["224.0.0.1", "255.255.255.255"] {
        refused(&mut table, now, &arp(Request, MAC, sender, "192.0.2.2"), Refusal::Arp);
    }
    let ask = |src: &str| nd(MAC, src, "2001:db8:1::2", solicitation("2001:db8:1::2", Some(MAC)));
    refused(&mut table, now, &ask("2001:db8:2::1"), Refusal::OffLink);
    refused(&mut table, now, &ask("::1"), Refusal::OffLink);
    // A link-local sender is on the link.
    assert_eq!(table.handle_frame(now, LAN, &ask("fe80::1")).len(), 2);
    // Its announcement, too, has to be about a host of the subnet.
    let na = advertisement("2001:db8:2::1", Some(MAC), "O");
    refused(&mut table, now, &nd(MAC, "fe80::1", "ff02::1", na), Refusal::OffLink);
}

#[test]
fn spoof_of_our_own_address_is_defended_at_a_limited_rate() {
    let now = Instant::now();
    let mut table = table_at(now);
    let spoof = arp(Request, MAC, "192.0.2.2", "192.0.2.2");
    let [Action::Send { frame, .. }] = &table.handle_frame(now, LAN, &spoof)[..] else { panic!() };
    let defence = arp::Repr::parse(&frame[14..]).unwrap();
    assert_eq!((defence.sender_mac, defence.sender_ip), (OUR_MAC, [192, 0, 2, 2].into()));
    for _ in 0..100 {
        refused(&mut table, now + seconds(9), &spoof, Refusal::Conflict);
    }
    assert_eq!(table.handle_frame(now + seconds(10), LAN, &spoof).len(), 1);
    assert_eq!(table.counters().refused(Refusal::Conflict), 102);
    // IPv6: an advertisement for, or a solicitation from, an address of ours.
    let na = advertisement("2001:db8:1::2", Some(MAC), "O");
    assert_eq!(table.handle_frame(now, LAN, &nd(MAC, "2001:db8:1::1", "ff02::1", na)).len(), 1);
    let own = ip6::link_local(OUR_MAC).to_string();
    let ns = solicitation("2001:db8:1::2", Some(MAC));
    assert_eq!(table.handle_frame(now, LAN, &nd(MAC, &own, "2001:db8:1::2", ns)).len(), 1);
    assert_eq!(table.entries().count(), 0);
    assert_eq!(table.counters().refused(Refusal::Conflict), 104);
}

#[test]
fn two_stations_that_fight_change_an_entry_once_a_second() {
    let now = Instant::now();
    let mut table = table_at(now);
    reachable(&mut table, now, "192.0.2.1");
    let mut changes = 0;
    for n in 0..1000_u32 {
        let mac = if n % 2 == 0 { OTHER_MAC } else { MAC };
        let frame = arp(Request, mac, "192.0.2.1", "192.0.2.1");
        let at = now + Duration::from_millis(10) * n;
        changes += table.handle_frame(at, LAN, &frame).len();
    }
    assert!((8..=10).contains(&changes), "{changes}");
}

#[test]
fn probes_for_duplicates_cannot_make_us_flood_all_nodes() {
    let now = Instant::now();
    let mut table = table_at(now);
    let probe = nd(MAC, "::", "ff02::1:ff00:2", solicitation("2001:db8:1::2", None));
    let sent = (0..1000).map(|_| table.handle_frame(now, LAN, &probe).len()).sum::<usize>();
    assert_eq!(sent, 20);
    assert_eq!(table.counters().refused(Refusal::Rate), 980);
    assert_eq!(table.handle_frame(now + seconds(1), LAN, &probe).len(), 1);
}

#[test]
fn invalid_discovery_is_refused() {
    let now = Instant::now();
    let mut table = table_at(now);
    table.resolve(now, LAN, ip("2001:db8:1::1"), None);
    let good =
        nd(MAC, "2001:db8:1::1", "2001:db8:1::2", advertisement("2001:db8:1::1", Some(MAC), "SO"));
    // Hop limit: forwarded. Checksum, length, code.
    for (at, octet) in [(21, 254), (56, good[56] ^ 1), (19, 200), (55, 1)] {
        let mut bad = good.clone();
        bad[at] = octet;
        refused(&mut table, now, &bad, Refusal::Nd);
    }
    // Sent to all on the link, though it is for one address.
    let mut bad = good.clone();
    bad[..6].copy_from_slice(&MacAddr::BROADCAST.octets());
    refused(&mut table, now, &bad, Refusal::Nd);
    // Fragmented (RFC 6980).
    let mut bad = good[..54].to_vec();
    bad[20] = 44;
    bad[19] += 8;
    bad.extend([58, 0, 0, 0, 0, 0, 0, 1]);
    bad.extend(&good[54..]);
    refused(&mut table, now, &bad, Refusal::Nd);
    // Our own Ethernet address is nobody else's.
    let ours = advertisement("2001:db8:1::1", Some(OUR_MAC), "SO");
    refused(&mut table, now, &nd(MAC, "2001:db8:1::1", "2001:db8:1::2", ours), Refusal::Nd);
    let mut ours = arp(Request, MAC, "192.0.2.1", "192.0.2.2");
    ours[22..28].copy_from_slice(&OUR_MAC.octets());
    refused(&mut table, now, &ours, Refusal::Frame);
    assert_eq!(state(&table, "2001:db8:1::1"), Some(State::Incomplete));
    assert_eq!(table.handle_frame(now, LAN, &good).len(), 1);
}

#[test]
fn what_is_not_for_this_table() {
    let now = Instant::now();
    let mut table = table_at(now);
    refused(&mut table, now, &RS, Refusal::Ignored);
    refused(&mut table, now, &ARP_REPLY, Refusal::Frame);
    let mut other = ARP_REQUEST;
    other[..6].copy_from_slice(&OTHER_MAC.octets());
    refused(&mut table, now, &other, Refusal::NotForUs);
    let mut group = ARP_REQUEST;
    group[6] = 1;
    refused(&mut table, now, &group, Refusal::Frame);
    for (kind, reason) in
        [(134, Refusal::Ignored), (137, Refusal::Ignored), (133, Refusal::Ignored)]
    {
        let mut frame = NS;
        frame[54] = kind;
        refused(&mut table, now, &frame, reason);
    }
    for len in 0..42 {
        let reason = if len < 14 { Refusal::Frame } else { Refusal::Arp };
        refused(&mut table, now, &ARP_REQUEST[..len], reason);
    }
    for len in 14..86 {
        refused(&mut table, now, &NS[..len], Refusal::Nd);
    }
    assert_eq!(table.handle_frame(now, LAN + 1, &ARP_REQUEST), []);
    assert_eq!(table.counters().refused(Refusal::Interface), 1);
}

#[test]
fn what_can_be_no_next_hop() {
    let now = Instant::now();
    let mut table = table_at(now);
    for address in [
        "192.0.2.2",
        "192.0.2.0",
        "192.0.2.255",
        "198.51.100.1",
        "224.0.0.5",
        "255.255.255.255",
        "0.0.0.0",
        "::",
        "2001:db8:1::2",
        "2001:db8:2::1",
        "ff02::1",
    ] {
        let actions = table.resolve(now, LAN, ip(address), Some(1));
        let dropped = Action::Dropped { packet: 1, reason: Unqueued::NotNeighbor };
        assert_eq!(actions, [dropped], "{address}");
        assert_eq!(table.keep(now, LAN, ip(address)), []);
    }
    assert_eq!(table.entries().count(), 0);
    // Both ends of a /31 are hosts (RFC 3021).
    let addresses = vec!["192.0.2.2/31".parse().unwrap()];
    table.set_interfaces(now, vec![InterfaceConfig { addresses, ..config() }]);
    assert_eq!(table.resolve(now, LAN, ip("192.0.2.3"), None).len(), 1);
}
