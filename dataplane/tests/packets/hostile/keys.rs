//! The same (key, IV) twice: never. Not over cores, not over rekeys, not at the 32-bit boundary,
//! not when an SA is installed again.

use std::collections::HashSet;

use dataplane::engine::message::Event;
use dataplane::engine::stage::SaCommand;
use dataplane::engine::topology::StageKind;

use crate::support::frame::udp_packet;
use crate::support::site::oracle_sa;
use crate::support::{Esp, Lab, Layout, Link, Site};

const WRAP: u64 = 1 << 32;

fn lab(layout: &Layout, esp: Esp, peers: &[u8]) -> Lab {
    let link = Link { esp: Some(esp), ..Link::dmvpn() };
    Lab::new(layout, vec![Site::new(1, peers, &link)])
}

/// Flows enough that every core has some.
fn packets(peer: u8, count: u16) -> Vec<Vec<u8>> {
    (0..count).map(|i| udp_packet("10.1.0.10", &format!("10.{peer}.0.10"), i, 100)).collect()
}

/// SPI and IV of each packet that left.
fn ivs(lab: &mut Lab) -> Vec<([u8; 4], u64)> {
    let outer = lab.outer();
    let iv = |p: &[u8]| u64::from_be_bytes(p[28..36].try_into().unwrap());
    outer.iter().map(|p| (p[20..24].try_into().unwrap(), iv(p))).collect()
}

#[test]
fn hostile_same_key_and_iv_never_twice_over_cores_rekeys_and_the_32_bit_boundary() {
    let layouts = [
        Layout::RunToCompletion(1),
        Layout::RunToCompletion(3),
        Layout::Pipeline(2),
        Layout::Pipeline(4),
        Layout::Elephant(3),
    ];
    for layout in layouts {
        let mut lab = lab(&layout, Esp { start: WRAP - 150, ..Esp::TRANSPORT }, &[2, 3, 4, 5]);
        let mut seen = HashSet::new();
        let mut sent = 0;
        for round in 0..4 {
            for peer in [2, 3, 4, 5] {
                lab.send(1, &packets(peer, 100));
            }
            sent += 400;
            seen.extend(ivs(&mut lab));
            // The control thread loses its head and installs everything again.
            if round % 2 == 1 {
                let outbound = lab.site(1).outbound.clone();
                lab[1].install(&[], &outbound);
            }
        }
        assert_eq!(seen.len(), sent, "{layout:?}");
        lab.assert_clean();
    }
}

#[test]
fn hostile_across_the_32_bit_boundary_packets_open_under_the_right_number() {
    let mut lab = lab(&Layout::RunToCompletion(1), Esp { start: WRAP - 3, ..Esp::TRANSPORT }, &[2]);
    lab.send(1, &packets(2, 6));
    let sa = oracle_sa(1, 2, &Esp::TRANSPORT);
    for (number, packet) in (WRAP - 2..).zip(lab.outer()) {
        let opened = sa.open((number >> 32) as u32, &packet[20..]);
        assert_eq!((opened.sequence, opened.iv), (number, number));
    }
    lab.assert_clean();
}

#[test]
fn hostile_outbound_counter_exhaustion_stops() {
    for (esn, last) in [(false, WRAP - 1), (true, u64::MAX)] {
        let esp = Esp { esn, start: last - 5, ..Esp::TRANSPORT };
        let mut lab = lab(&Layout::RunToCompletion(1), esp, &[2]);
        lab.send(1, &packets(2, 20));
        let seen = ivs(&mut lab);
        assert_eq!(
            seen.iter().map(|(_, iv)| *iv).collect::<Vec<_>>(),
            (last - 4..=last).collect::<Vec<_>>()
        );
        assert_eq!(lab[1].drops(), [("sequence_exhausted", 15)].into());
        assert!(matches!(lab[1].events[..], [Event::Expired { slot: 2, inbound: false }]));
        let outbound = lab.site(1).outbound.clone();
        lab[1].install(&[], &outbound);
        lab.send(1, &packets(2, 5));
        assert!(lab.outer().is_empty(), "installed again, it still has no numbers left");
    }
}

#[test]
fn hostile_retired_and_installed_again_the_counter_goes_on() {
    let mut lab = lab(&Layout::RunToCompletion(1), Esp::TRANSPORT, &[2]);
    let sa = lab.site(1).outbound[0].clone();
    lab.send(1, &packets(2, 10));
    lab[1].command(StageKind::GreEncap, 2, SaCommand::RetireOutbound(2));
    lab.send(1, &packets(2, 10));
    lab[1].command(StageKind::GreEncap, 2, SaCommand::InstallOutbound(sa));
    lab.send(1, &packets(2, 10));
    let numbers: Vec<_> = ivs(&mut lab).into_iter().map(|(_, iv)| iv).collect();
    assert_eq!(numbers, (1..=20).collect::<Vec<_>>());
    assert_eq!(lab[1].drops(), [("sa_gone", 10)].into());
}
