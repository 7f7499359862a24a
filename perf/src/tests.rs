//! The whole bench, on the production stages, with few packets.

use std::collections::BTreeMap;

use clap::Parser;
use dpdk::Eal;
use wire::ip4;

use super::*;
use crate::args::Case;
use crate::proof::Watched;

fn args(line: &str) -> Args {
    Args::try_parse_from(std::iter::once("bench").chain(line.split_whitespace())).unwrap()
}

/// The only case of a command line.
fn case(line: &str) -> Case {
    let mut cases = args(line).cases(&available_cores()).unwrap();
    assert_eq!(cases.len(), 1);
    cases.remove(0)
}

fn bench(line: &str) -> Report {
    run_on(Eal::for_tests(), &args(line)).unwrap()
}

fn stage_names(case: &CaseReport) -> Vec<&'static str> {
    case.stages.iter().map(|stage| stage.name.into()).collect()
}

/// Figures that hang together, whatever the machine.
fn assert_plausible(case: &CaseReport) {
    assert_eq!(case.drops, 0);
    assert!(case.packets >= 16 * case.burst as u64, "{} packets", case.packets);
    let stages: f64 = case.stages.iter().map(|stage| stage.cycles_per_packet).sum();
    let sum = stages + case.loop_cycles_per_packet;
    assert!((sum - case.cycles_per_packet).abs() < 0.01, "{sum} {case:?}");
    assert!(case.loop_cycles_per_packet >= 0.0, "{case:?}");
    for stage in &case.stages {
        assert!(stage.cycles_per_packet > 0.0, "{stage:?}");
        assert!(
            (1.0..=case.burst as f64 * 4.0 * case.cores.len() as f64)
                .contains(&stage.packets_per_call),
            "{stage:?}"
        );
    }
    assert!(case.mpps > 0.0 && case.gbps > 0.0);
}

#[test]
fn every_mode() {
    let report = bench("--size 28,64,1400 --duration 0.005 --runs 1");
    let ways = BTreeMap::from([
        ("forward", vec!["rx", "classify", "lookup", "tx"]),
        ("gre-encap", vec!["rx", "classify", "lookup", "gre_encap", "tx"]),
        ("gre-decap", vec!["rx", "classify", "gre_decap", "lookup", "tx"]),
        ("encrypt", vec!["rx", "classify", "lookup", "gre_encap", "esp_seal", "tx"]),
        ("decrypt", vec!["rx", "classify", "esp_open", "gre_decap", "lookup", "tx"]),
    ]);
    assert_eq!(report.cases.len(), 15);
    for case in &report.cases {
        assert_plausible(case);
        assert_eq!(stage_names(case), ways[case.mode.name()]);
        assert!(case.stages.iter().all(|stage| stage.packets_per_call == 256.0), "{case:?}");
    }
}

#[test]
fn the_largest_packets_of_each_mode() {
    for (mode, size) in [("forward", 1500), ("gre-decap", 1476), ("encrypt,decrypt", 1442)] {
        let report = bench(&format!("--mode {mode} --size {size} --duration 0.005 --runs 1"));
        report.cases.iter().for_each(assert_plausible);
    }
}

#[test]
fn many_peers_small_bursts_and_the_long_key() {
    let report = bench(
        "--mode encrypt,decrypt --size 64 --peers 300 --flows 700 --aead aes256gcm16 --burst 32 \
         --duration 0.005 --runs 3",
    );
    for case in &report.cases {
        assert_plausible(case);
        assert_eq!(case.cycles_per_packet_runs.len(), 3);
        let (least, most) = case.cycles_per_packet_range;
        assert!((least..=most).contains(&case.cycles_per_packet));
    }
}

#[test]
fn two_cores() {
    let [first, second, ..] = available_cores()[..] else {
        eprintln!("skipped: there is one core only");
        return;
    };
    for preset in ["run-to-completion", "pipeline"] {
        let report = bench(&format!(
            "--preset {preset} --cores {},{} --peers 4 --size 64 --duration 0.005 --runs 1",
            first, second
        ));
        report.cases.iter().for_each(assert_plausible);
    }
}

#[test]
fn a_core_that_does_not_exist_is_an_error() {
    let error = run_on(Eal::for_tests(), &args("--mode forward --size 64 --cores 9999 --runs 1"));
    let text = error.unwrap_err().to_string();
    assert_eq!(text, "there is no core 9999 that this process may run on");
}

/// What comes out of decryption and decapsulation is what hosts sent, two hops later: the frame
/// to check against is made here, by nobody's stages.
#[test]
fn packets_arrive_as_they_were_sent() {
    for (mode, hops) in [("forward", 1), ("gre-decap", 2), ("decrypt", 2)] {
        let case = case(&format!("--mode {mode} --size 200 --peers 3 --flows 7"));
        let mut watched = Watched::new(Eal::for_tests(), &case).unwrap();
        for round in 0..20 {
            let (sent, frames) = watched.burst();
            assert_eq!((sent, frames.len()), (256, 256), "{mode}");
            for (number, frame) in (256 * round..).zip(&frames) {
                let flow = flows::Flow::all(7, 3).nth(number % 7).unwrap();
                let octets = &frame.data()[14..];
                let packet = ip4::Packet::new_checked(octets).unwrap();
                assert!(packet.verify_checksum());
                assert_eq!(packet.ttl(), 64 - hops, "{mode}");
                assert_eq!(packet.src(), addresses::source(flow.number), "{mode} {number}");
                assert_eq!(packet.dst().octets()[..3], addresses::network(flow.peer).octets()[..3]);
                assert_eq!(octets.len(), 200);
                let payload: Vec<u8> = (0..172).collect();
                assert_eq!(octets[28..], payload);
            }
        }
    }
}

/// Encrypted packets do not repeat a sequence number and hide what is in them.
#[test]
fn encrypted_packets_are_numbered_and_hidden() {
    let case = case("--mode encrypt --size 200 --peers 2 --flows 2");
    let mut watched = Watched::new(Eal::for_tests(), &case).unwrap();
    let mut last = BTreeMap::new();
    let zeros_to_15: Vec<u8> = (0..16).collect();
    for frame in (0..4).flat_map(|_| watched.burst().1) {
        let octets = frame.data();
        assert_eq!(octets.len(), case.mode.frame_len(200));
        let packet = ip4::Packet::new_checked(&octets[14..]).unwrap();
        assert!(packet.verify_checksum());
        assert_eq!(packet.protocol().0, 50);
        let word = |at: usize| u32::from_be_bytes(octets[at..at + 4].try_into().unwrap());
        let previous = last.insert(word(34), word(38)).unwrap_or(0);
        assert_eq!(word(38), previous + 1, "SPI {:#x}", word(34));
        assert!(!octets.windows(16).any(|window| window == zeros_to_15));
    }
    assert_eq!(last, BTreeMap::from([(0x1000, 512), (0x1001, 512)]));
}

/// What would make a figure worthless is found: a table that leads nowhere drops every packet.
#[test]
fn drops_are_an_error() {
    let case = case("--mode forward --size 64");
    let eal = Eal::for_tests();
    let mut setup = Setup::new(eal, &case).unwrap();
    let (worker, link) = &mut setup.gateway.members[0];
    let nothing = dataplane::tables::Tables::default();
    let publish = dataplane::engine::message::Command::Publish(nothing.into());
    link.commands.push(publish).unwrap();
    worker.turn();
    let error = measure::measure(eal, &case, &mut setup, std::time::Duration::from_millis(1));
    let text = error.unwrap_err().to_string();
    assert!(text.starts_with("forward of 64 octets: drops where none are expected: "), "{text}");
    assert!(text.contains("classify unknown_vlan "), "{text}");
}
