//! Scenes: what passes on the link is drawn above each.

use super::super::state::State;
use super::samples::*;
use super::*;

/// neighbour > all: who has 192.0.2.2?      we > neighbour: 192.0.2.2 is at 53:02
#[test]
fn arp_request_is_answered_as_linux_does() {
    let now = Instant::now();
    let mut table = table_at(now);
    let actions = table.handle_frame(now, LAN, &ARP_REQUEST);
    assert_eq!(actions, [send(&ARP_REPLY), resolved("192.0.2.1", MAC, &[])]);
    let entry = table.entries().next().unwrap();
    assert_eq!((entry.state, entry.origin), (State::Stale, Origin::Learnt));
    // Nobody needs it: it goes after a minute.
    let (happened, sent) = run(&mut table, now + seconds(60));
    assert_eq!(happened, [(now + seconds(60), lost("192.0.2.1"))]);
    assert_eq!((sent, table.poll_timeout()), (0, None));
}

/// neighbour > all: who has 192.0.2.2?      a packet needs it      we > neighbour: still .1?
#[test]
fn stale_neighbour_that_a_packet_needs_is_probed_soon() {
    let now = Instant::now();
    let mut table = table_at(now);
    table.handle_frame(now, LAN, &ARP_REQUEST);
    let later = now + seconds(20);
    let actions = table.resolve(later, LAN, ip("192.0.2.1"), Some(1));
    assert_eq!(actions, [resolved("192.0.2.1", MAC, &[1])]);
    assert_eq!(table.poll_timeout(), Some(later + seconds(5)));
    let [Action::Send { frame, .. }] = &table.poll(later + seconds(5))[..] else { panic!() };
    assert_eq!(frame[..6], MAC.octets());
    assert_eq!(state(&table, "192.0.2.1"), Some(State::Probe));
}

/// neighbour > group: NS 2001:db8:1::2      we > neighbour: NA, router, solicited, override
#[test]
fn solicitation_is_answered_as_linux_does() {
    let now = Instant::now();
    let mut table = table_at(now);
    let actions = table.handle_frame(now, LAN, &NS);
    assert_eq!(actions, [send(&NA), resolved("2001:db8:1::1", MAC, &[])]);
}

/// we > all: who has .1?      neighbour > us: .1 is at 53:02     (we are the asking side here)
#[test]
fn our_questions_are_those_of_linux() {
    let now = Instant::now();
    let asking = InterfaceConfig {
        mac: MAC,
        addresses: vec!["192.0.2.1/24".parse().unwrap(), "2001:db8:1::1/64".parse().unwrap()],
        link_local: None,
        ..config()
    };
    let mut table = Table::new(1);
    table.set_interfaces(now, vec![asking]);
    let actions = table.resolve(now, LAN, ip("192.0.2.2"), Some(1));
    assert_eq!(actions, [send(&ARP_REQUEST)]);
    assert_eq!(table.resolve(now, LAN, ip("192.0.2.2"), Some(2)), []);
    let actions = table.handle_frame(now, LAN, &ARP_REPLY);
    assert_eq!(actions, [resolved("192.0.2.2", OUR_MAC, &[1, 2])]);
    assert_eq!(table.resolve(now, LAN, ip("2001:db8:1::2"), Some(3)), [send(&NS)]);
    let actions = table.handle_frame(now, LAN, &NA);
    assert_eq!(actions, [resolved("2001:db8:1::2", OUR_MAC, &[3])]);
    assert_eq!(state(&table, "2001:db8:1::2"), Some(State::Reachable));
    // Known now: a late packet comes straight back.
    let actions = table.resolve(now, LAN, ip("192.0.2.2"), Some(4));
    assert_eq!(actions, [resolved("192.0.2.2", OUR_MAC, &[4])]);
}

/// we > all: who has .7? x3, 1 s apart      silence      hold-down      gone
#[test]
fn no_answer() {
    let now = Instant::now();
    let mut table = table_at(now);
    let question = table.resolve(now, LAN, ip("192.0.2.7"), Some(1));
    assert_eq!(question.len(), 1);
    assert_eq!(table.poll(now + seconds(1)), question);
    assert_eq!(table.poll(now + seconds(2)), question);
    assert_eq!(table.poll(now + seconds(3)), [failed("192.0.2.7", &[1])]);
    // Held down: packets come back at once, nobody is asked.
    let actions = table.resolve(now + seconds(4), LAN, ip("192.0.2.7"), Some(2));
    assert_eq!(actions, [failed("192.0.2.7", &[2])]);
    assert_eq!(table.poll(now + seconds(8)), []);
    assert_eq!((table.entries().count(), table.poll_timeout()), (0, None));
    assert_eq!(table.resolve(now + seconds(9), LAN, ip("192.0.2.7"), Some(3)), question);
}

/// ... failed      neighbour > us: .7 is at 53:01, late
#[test]
fn late_answer_ends_the_hold_down() {
    let now = Instant::now();
    let mut table = table_at(now);
    table.resolve(now, LAN, ip("192.0.2.7"), None);
    run(&mut table, now + seconds(4));
    let reply = arp(Operation::Reply, MAC, "192.0.2.7", "192.0.2.2");
    let actions = table.handle_frame(now + seconds(4), LAN, &reply);
    assert_eq!(actions, [resolved("192.0.2.7", MAC, &[])]);
}

/// we > neighbour: still .1?   neighbour > us: yes      ...      silence      we > all: who has .1?
#[test]
fn pinned_neighbours_are_probed_and_asked_for_again() {
    let now = Instant::now();
    let mut table = table_at(now);
    assert_eq!(table.keep(now, LAN, ip("192.0.2.1")).len(), 1);
    let reply = arp(Operation::Reply, MAC, "192.0.2.1", "192.0.2.2");
    assert_eq!(table.handle_frame(now, LAN, &reply).len(), 1);
    let mut at = now;
    for _ in 0..100 {
        at = table.poll_timeout().unwrap();
        let [Action::Send { frame, .. }] = &table.poll(at)[..] else { panic!("no probe") };
        assert_eq!(frame[..6], MAC.octets());
        assert_eq!(table.handle_frame(at, LAN, &reply), []);
        assert_eq!(state(&table, "192.0.2.1"), Some(State::Reachable));
        let pause = table.poll_timeout().unwrap() - at;
        assert!((seconds(15)..=seconds(45)).contains(&pause), "{pause:?}");
    }
    assert_eq!(table.counters().probes, 100);
    let at = table.poll_timeout().unwrap().max(at);
    let (happened, sent) = run(&mut table, at + seconds(3));
    assert_eq!(happened, [(at + seconds(3), lost("192.0.2.1"))]);
    assert_eq!(sent, 4);
    assert_eq!(state(&table, "192.0.2.1"), Some(State::Incomplete));
    // It stays away for an hour: three questions every 8 s, for ever.
    let (_, sent) = run(&mut table, at + seconds(3) + seconds(3600));
    assert!((1340..1360).contains(&sent), "{sent}");
    let last = at + seconds(3604);
    assert_eq!(table.handle_frame(last, LAN, &reply), [resolved("192.0.2.1", MAC, &[])]);
    // No route needs it any more: it expires.
    table.release(LAN, ip("192.0.2.1"));
    let (happened, sent) = run(&mut table, last + seconds(600));
    assert_eq!((happened.len(), sent, table.entries().count()), (1, 0, 0));
}

/// A packet asks once; the neighbour answers probes.
#[test]
fn neighbours_that_a_packet_asked_for_are_probed_while_young() {
    let now = Instant::now();
    let mut table = table_at(now);
    reachable(&mut table, now, "192.0.2.1");
    let reply = arp(Operation::Reply, MAC, "192.0.2.1", "192.0.2.2");
    let mut gone_at = None;
    while let Some(at) = table.poll_timeout() {
        for action in table.poll(at) {
            match action {
                Action::Send { .. } => assert_eq!(table.handle_frame(at, LAN, &reply), []),
                action => {
                    assert_eq!(action, lost("192.0.2.1"));
                    gone_at = Some(at);
                }
            }
        }
    }
    // 20 minutes, a last time of reachability, and a minute of grace.
    let lived = gone_at.unwrap() - now;
    assert!((seconds(1260)..=seconds(1305)).contains(&lived), "{lived:?}");
}

/// neighbour > all: .1 is now at 53:09 (failover)      we > 53:09: still .1?
#[test]
fn gratuitous_arp_moves_an_entry_and_is_verified() {
    let now = Instant::now();
    let mut table = table_at(now);
    reachable(&mut table, now, "192.0.2.1");
    let later = now + seconds(2);
    let moved = arp(Operation::Request, OTHER_MAC, "192.0.2.1", "192.0.2.1");
    assert_eq!(table.handle_frame(later, LAN, &moved), [changed("192.0.2.1", OTHER_MAC)]);
    assert_eq!(state(&table, "192.0.2.1"), Some(State::Stale));
    let [Action::Send { frame, .. }] = &table.poll(later + seconds(5))[..] else { panic!() };
    assert_eq!(frame[..6], OTHER_MAC.octets());
    // A gratuitous reply is as good; one without news changes nothing.
    let reply = arp(Operation::Reply, MAC, "192.0.2.1", "192.0.2.1");
    assert_eq!(table.handle_frame(now + seconds(8), LAN, &reply), [changed("192.0.2.1", MAC)]);
    assert_eq!(table.handle_frame(now + seconds(10), LAN, &reply), []);
}

/// RFC 4861 7.2.5, on the wire.
#[test]
fn override_flag_of_advertisements() {
    let now = Instant::now();
    let (us, all, it) = ("2001:db8:1::2", "ff02::1", "2001:db8:1::1");
    let mut table = table_at(now);
    let told = |table: &mut Table, at, to, mac, flags| {
        table.handle_frame(at, LAN, &nd(OTHER_MAC, it, to, advertisement(it, mac, flags)))
    };
    table.resolve(now, LAN, ip(it), Some(1));
    // Incomplete: without an address there is nothing to learn.
    assert_eq!(told(&mut table, now, us, None, "S"), []);
    assert_eq!(told(&mut table, now, us, Some(MAC), "S"), [resolved(it, MAC, &[1])]);
    // No override: the entry is doubted, not changed.
    let now = now + seconds(2);
    assert_eq!(told(&mut table, now, all, Some(OTHER_MAC), ""), []);
    assert_eq!(state(&table, it), Some(State::Stale));
    assert_eq!(told(&mut table, now, us, Some(OTHER_MAC), "S"), []);
    assert_eq!(state(&table, it), Some(State::Stale));
    // A solicited one about what is known confirms it, with or without an address.
    assert_eq!(told(&mut table, now, us, None, "S"), []);
    assert_eq!(state(&table, it), Some(State::Reachable));
    // Override without a question: changed, not confirmed. With one: confirmed.
    assert_eq!(told(&mut table, now, all, Some(OTHER_MAC), "O"), [changed(it, OTHER_MAC)]);
    assert_eq!(state(&table, it), Some(State::Stale));
    let now = now + seconds(2);
    assert_eq!(told(&mut table, now, us, Some(MAC), "SO"), [changed(it, MAC)]);
    assert_eq!(state(&table, it), Some(State::Reachable));
}

/// newcomer > group: NS our address, from ::      we > all nodes: NA, override, not solicited
#[test]
fn probe_for_duplicates_is_answered_to_all_nodes() {
    let now = Instant::now();
    let mut table = Table::new(1);
    // The probe in the capture is about the link-local address of its sender; make that ours.
    let link_local = ip6::link_local(MAC);
    table.set_interfaces(now, vec![InterfaceConfig { link_local: Some(link_local), ..config() }]);
    let [Action::Send { frame, .. }] = &table.handle_frame(now, LAN, &NS_PROBE)[..] else {
        panic!("not answered")
    };
    let all_nodes = "ff02::1".parse().unwrap();
    assert_eq!(frame[..6], MacAddr::multicast_v6(all_nodes).octets());
    let packet = ip6::Packet::new_checked(&frame[14..]).unwrap();
    assert_eq!((packet.src(), packet.dst(), packet.hop_limit()), (link_local, all_nodes, 255));
    let expected = nd::Message::NeighborAdvertisement {
        target: link_local,
        target_mac: Some(OUR_MAC),
        router: true,
        solicited: false,
        override_entry: true,
    };
    assert_eq!(nd::Message::parse(&packet, packet.payload()), Ok(expected));
    assert_eq!(table.entries().count(), 0);
    // Nor is it anyone else's business.
    assert_eq!(table_at(now).handle_frame(now, LAN, &NS_PROBE), []);
}

/// newcomer > all: who has our address? From 0.0.0.0      we > newcomer: we have
#[test]
fn arp_probe_is_answered_and_teaches_nothing() {
    let now = Instant::now();
    let mut table = table_at(now);
    let probe = arp(Operation::Request, MAC, "0.0.0.0", "192.0.2.2");
    let [Action::Send { frame, .. }] = &table.handle_frame(now, LAN, &probe)[..] else { panic!() };
    let reply = arp::Repr::parse(&frame[14..]).unwrap();
    assert_eq!((reply.sender_ip, reply.sender_mac), ([192, 0, 2, 2].into(), OUR_MAC));
    assert_eq!(frame[..6], MAC.octets());
    assert_eq!(table.entries().count(), 0);
}

/// we > all: gratuitous ARP and unsolicited advertisements, twice, 2 s apart
#[test]
fn our_addresses_are_announced() {
    let now = Instant::now();
    let mut table = table_at(now);
    table.announce(now, Some(LAN));
    let first = table.poll(now);
    assert_eq!(first.len(), 3);
    let Action::Send { frame, .. } = &first[0] else { panic!() };
    let packet = arp::Repr::parse(&frame[14..]).unwrap();
    assert_eq!(packet.sender_ip, packet.target_ip);
    assert_eq!((frame.len(), &frame[..6]), (42, &MacAddr::BROADCAST.octets()[..]));
    assert_eq!(table.poll(now + seconds(1)), []);
    assert_eq!(table.poll(now + seconds(2)), first);
    assert_eq!((table.poll_timeout(), table.counters().announcements), (None, 6));
}

/// The same on VLAN 100.
#[test]
fn frames_carry_the_vlan_tag() {
    let now = Instant::now();
    let mut table = Table::new(1);
    table.set_interfaces(now, vec![InterfaceConfig { vlan: Some(100), ..config() }]);
    let tagged = |frame: &[u8], vid| [&frame[..12], &[0x81, 0, 0, vid], &frame[12..]].concat();
    let answer = [send(&tagged(&ARP_REPLY, 100)), resolved("192.0.2.1", MAC, &[])];
    assert_eq!(table.handle_frame(now, LAN, &tagged(&ARP_REQUEST, 100)), answer);
    // The device may have taken the tag off.
    assert_eq!(table.handle_frame(now, LAN, &ARP_REQUEST), answer[..1]);
    assert_eq!(table.handle_frame(now, LAN, &tagged(&NS, 100))[..1], [send(&tagged(&NA, 100))]);
    assert_eq!(table.handle_frame(now, LAN, &tagged(&ARP_REQUEST, 101)), []);
    assert_eq!(table.counters().refused(Refusal::NotForUs), 1);
}

#[test]
fn static_neighbours_neither_age_nor_move() {
    let now = Instant::now();
    let mut table = table_at(now);
    table.resolve(now, LAN, ip("192.0.2.1"), Some(1));
    let fixed = InterfaceConfig { neighbors: vec![(ip("192.0.2.1"), MAC)], ..config() };
    let actions = table.set_interfaces(now, vec![fixed.clone()]);
    assert_eq!(actions, [resolved("192.0.2.1", MAC, &[1])]);
    assert_eq!(table.set_interfaces(now, vec![fixed]), []);
    let moved = arp(Operation::Request, OTHER_MAC, "192.0.2.1", "192.0.2.1");
    assert_eq!(table.handle_frame(now + seconds(9), LAN, &moved), []);
    assert_eq!(table.counters().refused(Refusal::Static), 1);
    assert_eq!(table.clear(now, None), []);
    assert_eq!((table.poll_timeout(), table.entries().count()), (None, 1));
    assert_eq!(table.set_interfaces(now, vec![config()]), [lost("192.0.2.1")]);
}

#[test]
fn interfaces_that_change_withdraw_what_is_wrong_now() {
    let now = Instant::now();
    let mut table = table_at(now);
    reachable(&mut table, now, "192.0.2.1");
    reachable(&mut table, now, "192.0.2.200");
    table.keep(now, LAN, ip("192.0.2.1"));
    let narrow = InterfaceConfig { addresses: vec!["192.0.2.2/25".parse().unwrap()], ..config() };
    assert_eq!(table.set_interfaces(now, vec![narrow.clone()]), [lost("192.0.2.200")]);
    // Another Ethernet address: the pin is asked for from it.
    let other = InterfaceConfig { mac: OTHER_MAC, ..narrow };
    let actions = table.set_interfaces(now, vec![other.clone()]);
    assert_eq!(actions[0], lost("192.0.2.1"));
    let [_, Action::Send { frame, .. }] = &actions[..] else { panic!("{actions:?}") };
    assert_eq!(frame[6..12], OTHER_MAC.octets());
    table.resolve(now, LAN, ip("192.0.2.9"), Some(5));
    let withdrawn = Action::Dropped { packet: 5, reason: Unqueued::Withdrawn };
    assert_eq!(table.set_interfaces(now, vec![]), [withdrawn]);
    assert_eq!((table.entries().count(), table.poll_timeout()), (0, None));
    // The pin was kept for the interface's return.
    assert_eq!(table.set_interfaces(now, vec![other]).len(), 1);
}

#[test]
fn clear_forgets_and_asks_for_pins_again() {
    let now = Instant::now();
    let mut table = table_at(now);
    reachable(&mut table, now, "192.0.2.1");
    reachable(&mut table, now, "192.0.2.3");
    table.keep(now, LAN, ip("192.0.2.3"));
    assert_eq!(table.clear(now, Some(LAN + 1)), []);
    let actions = table.clear(now, Some(LAN));
    assert_eq!(actions[..2], [lost("192.0.2.1"), lost("192.0.2.3")]);
    assert_eq!(actions.len(), 3);
    assert_eq!(state(&table, "192.0.2.3"), Some(State::Incomplete));
}
