//! Limits, and the table against random input.

use super::super::limits::*;
use super::super::state::State;
use super::samples::*;
use super::*;
use proptest::prelude::*;

fn wide() -> InterfaceConfig {
    let addresses = vec!["10.0.0.1/8".parse().unwrap(), "2001:db8:1::2/64".parse().unwrap()];
    InterfaceConfig { addresses, ..config() }
}

fn host(n: u32) -> IpAddr {
    IpAddr::V4((0x0A00_0100 + n).into())
}

#[test]
fn eight_packets_wait_and_the_oldest_gives_way() {
    let now = Instant::now();
    let mut table = table_at(now);
    let mut dropped = Vec::new();
    for packet in 0..11 {
        for action in table.resolve(now, LAN, ip("192.0.2.1"), Some(packet)) {
            if let Action::Dropped { packet, reason } = action {
                dropped.push((packet, reason));
            }
        }
    }
    assert_eq!(dropped, [0, 1, 2].map(|packet| (packet, Unqueued::QueueFull)));
    let reply = arp(Operation::Reply, MAC, "192.0.2.1", "192.0.2.2");
    let waited = [3, 4, 5, 6, 7, 8, 9, 10];
    assert_eq!(table.handle_frame(now, LAN, &reply), [resolved("192.0.2.1", MAC, &waited)]);
}

#[test]
fn a_scan_of_a_subnet_exhausts_nothing_and_live_hosts_still_resolve() {
    let now = Instant::now();
    let mut table = Table::new(1);
    table.set_interfaces(now, vec![wide()]);
    table.keep(now, LAN, host(0));
    let (mut handed_back, mut at) = (0, now);
    for n in 1..20_000 {
        at += Duration::from_micros(100);
        for action in table.resolve(at, LAN, host(n), Some(n)) {
            handed_back += usize::from(matches!(action, Action::Dropped { .. }));
        }
        if n % 1000 == 0 {
            // A live host answers after 10 ms: some 100 later questions.
            assert_eq!(state(&table, &host(n - 100).to_string()), Some(State::Incomplete));
        }
    }
    assert_eq!(table.entries().count(), UNRESOLVED_MAX + 1);
    assert_eq!(handed_back, 19_999 - UNRESOLVED_MAX);
    assert_eq!(table.counters().evicted, 19_999 - UNRESOLVED_MAX as u64);
    // What a route needs is not evicted.
    assert!(table.entries().any(|entry| entry.address == host(0)));
}

#[test]
fn asking_again_makes_an_unanswered_next_hop_no_younger() {
    let now = Instant::now();
    let mut table = Table::new(1);
    table.set_interfaces(now, vec![wide()]);
    for n in 0..256 {
        table.resolve(now, LAN, host(n), None);
    }
    table.resolve(now, LAN, host(0), Some(7));
    let actions = table.resolve(now, LAN, host(256), None);
    assert_eq!(actions[0], Action::Dropped { packet: 7, reason: Unqueued::TableFull });
    assert!(table.entries().all(|entry| entry.address != host(0)));
}

#[test]
fn a_scan_over_many_interfaces_is_bounded_in_all() {
    let now = Instant::now();
    let mut table = Table::new(1);
    let interfaces = (0..20).map(|index| InterfaceConfig { index, ..wide() }).collect();
    table.set_interfaces(now, interfaces);
    for n in 0..4000_u32 {
        table.resolve(now, u16::try_from(n % 20).unwrap(), host(n), Some(n));
    }
    assert_eq!(table.entries().count(), UNRESOLVED_TOTAL_MAX);
    // The newest of each interface are there.
    for n in 3980..4000 {
        assert!(table.entries().any(|entry| entry.address == host(n)), "{n}");
    }
}

#[test]
fn packets_that_wait_are_bounded_in_all() {
    let now = Instant::now();
    let mut table = Table::new(1);
    let interfaces = (0..4).map(|index| InterfaceConfig { index, ..wide() }).collect();
    table.set_interfaces(now, interfaces);
    let mut dropped = 0;
    for n in 0..1000_u32 {
        for packet in 0..8 {
            let actions = table.resolve(now, u16::try_from(n % 4).unwrap(), host(n), Some(packet));
            dropped += actions.iter().filter(|a| matches!(a, Action::Dropped { .. })).count();
        }
    }
    let queued = table.entries().map(|entry| entry.queued).sum::<usize>();
    assert_eq!((queued, dropped), (QUEUED_MAX, 8000 - QUEUED_MAX));
}

#[test]
fn invented_neighbours_cannot_fill_the_table() {
    let now = Instant::now();
    let mut table = Table::new(1);
    table.set_interfaces(now, vec![wide()]);
    let mut answers = 0;
    for n in 0..5000 {
        let frame = arp(Operation::Request, MAC, &host(n).to_string(), "10.0.0.1");
        let actions = table.handle_frame(now, LAN, &frame);
        answers += actions.iter().filter(|a| matches!(a, Action::Send { .. })).count();
    }
    assert_eq!(table.entries().count(), LEARNT_MAX);
    assert_eq!(table.counters().refused(Refusal::LearntFull), 5000 - LEARNT_MAX as u64);
    // All are answered all the same, and packets still find their hosts.
    assert_eq!(answers, 5000);
    assert_eq!(table.resolve(now, LAN, host(9000), None).len(), 1);
    // One that a packet needs counts no more as learnt.
    table.resolve(now, LAN, host(0), None);
    let frame = arp(Operation::Request, MAC, &host(9001).to_string(), "10.0.0.1");
    assert_eq!(table.handle_frame(now, LAN, &frame).len(), 2);
}

#[test]
fn one_poll_is_bounded() {
    let now = Instant::now();
    let mut table = Table::new(1);
    table.set_interfaces(now, vec![wide()]);
    for n in 0..2000 {
        table.keep(now, LAN, host(n));
    }
    let later = now + seconds(1);
    let polls = std::iter::repeat_with(|| table.poll(later).len()).take_while(|&n| n > 0);
    assert_eq!(polls.collect::<Vec<_>>(), [512, 512, 512, 464]);
}

/// What a random run does.
#[derive(Debug, Clone)]
enum Step {
    Frame(usize, Vec<(usize, u8)>),
    Junk(Vec<u8>),
    Arp(bool, u8, u8, u8),
    Resolve(u8),
    Keep(u8),
    Release(u8),
    Clear,
    Wait(u16),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let damage = prop::collection::vec((0..86_usize, any::<u8>()), 0..3);
    let step = prop_oneof![
        4 => (0..6_usize, damage).prop_map(|(sample, damage)| Step::Frame(sample, damage)),
        1 => prop::collection::vec(any::<u8>(), 0..90).prop_map(Step::Junk),
        8 => any::<(bool, u8, u8, u8)>().prop_map(|(r, m, s, t)| Step::Arp(r, m % 4, s % 8, t % 8)),
        6 => (0..8_u8).prop_map(Step::Resolve),
        2 => (0..8_u8).prop_map(Step::Keep),
        2 => (0..8_u8).prop_map(Step::Release),
        1 => Just(Step::Clear),
        6 => (0..20_000_u16).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 1..120)
}

proptest! {
    /// Whatever happens: no panic; what the owner was told agrees with the table; every packet
    /// comes back exactly once, or waits; limits hold; a timer runs while something is pending.
    #[test]
    fn owner_and_table_agree(steps in steps()) {
        let mut now = Instant::now();
        let mut table = table_at(now);
        let mut known = std::collections::BTreeMap::new();
        let (mut given, mut returned) = (0_u32, Vec::new());
        let host = |n: u8| ip(&format!("192.0.2.{n}"));
        for step in steps {
            let actions = match step {
                Step::Frame(sample, damage) => {
                    let samples = [&ARP_REQUEST[..], &ARP_REPLY, &NS, &NA, &NS_PROBE, &RS];
                    let mut frame = samples[sample].to_vec();
                    for (at, octet) in damage {
                        if let Some(slot) = frame.get_mut(at) {
                            *slot = octet;
                        }
                    }
                    table.handle_frame(now, LAN, &frame)
                }
                Step::Junk(bytes) => table.handle_frame(now, LAN, &bytes),
                Step::Arp(request, mac, sender, target) => {
                    let operation = if request { Operation::Request } else { Operation::Reply };
                    let mac = MacAddr([2, 0, 0, 0, 0, mac]);
                    let (sender, target) = (host(sender), host(target));
                    let frame = arp(operation, mac, &sender.to_string(), &target.to_string());
                    table.handle_frame(now, LAN, &frame)
                }
                Step::Resolve(n) => {
                    given += 1;
                    table.resolve(now, LAN, host(n), Some(given))
                }
                Step::Keep(n) => table.keep(now, LAN, host(n)),
                Step::Release(n) => {
                    table.release(LAN, host(n));
                    Vec::new()
                }
                Step::Clear => table.clear(now, None),
                Step::Wait(millis) => {
                    now += Duration::from_millis(millis.into());
                    table.poll(now)
                }
            };
            for action in actions {
                match action {
                    Action::Send { frame, .. } => prop_assert!(frame.len() >= 42),
                    Action::Resolved { address, mac, packets, .. } => {
                        let old = known.insert(address, mac);
                        prop_assert!(old.is_none_or(|old| old == mac));
                        returned.extend(packets);
                    }
                    Action::Changed { address, mac, .. } => {
                        let old = known.insert(address, mac);
                        prop_assert!(old.is_some_and(|old| old != mac));
                    }
                    Action::Lost { address, .. } => {
                        prop_assert!(known.remove(&address).is_some());
                    }
                    Action::Failed { address, packets, .. } => {
                        prop_assert!(!known.contains_key(&address));
                        returned.extend(packets);
                    }
                    Action::Dropped { packet, .. } => returned.push(packet),
                }
            }
            let entries = table.entries().collect::<Vec<_>>();
            let usable = entries.iter().filter_map(|e| e.mac.map(|mac| (e.address, mac)));
            prop_assert!(usable.eq(known.clone()));
            for entry in &entries {
                prop_assert_eq!(entry.mac.is_some(), entry.state.is_usable());
                prop_assert!(entry.queued <= QUEUE_MAX);
                prop_assert!(entry.queued == 0 || entry.state == State::Incomplete);
            }
            let waiting = entries.iter().map(|entry| entry.queued).sum::<usize>();
            prop_assert_eq!(returned.len() + waiting, given as usize);
            prop_assert_eq!(table.poll_timeout().is_some(), !entries.is_empty());
        }
        returned.sort_unstable();
        returned.dedup();
        let waiting = table.entries().map(|entry| entry.queued).sum::<usize>();
        prop_assert_eq!(returned.len() + waiting, given as usize);
    }
}
