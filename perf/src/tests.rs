//! The whole bench, on the production stages, with few packets.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use clap::Parser;
use dpdk::Eal;
use wire::ip4;

use super::*;
use crate::capture::tests::{TempFile, mixed};
use crate::mode::Way;
use crate::proof::Watched;

mod modes;

pub(crate) fn args(line: &str) -> Args {
    Args::try_parse_from(std::iter::once("bench").chain(line.split_whitespace())).unwrap()
}

/// The only case of a command line.
pub(crate) fn case(line: &str) -> Case {
    let mut cases = args(line).options.cases(&available_cores()).unwrap();
    assert_eq!(cases.len(), 1);
    cases.remove(0)
}

/// DPDK has 32 ports, of which a bench takes up to ten: one at a time, however many threads there
/// are.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn bench(line: &str) -> Report {
    let _alone = alone();
    run_on(Eal::for_tests(), &args(line)).unwrap()
}

fn stage_names(case: &CaseReport) -> Vec<&'static str> {
    case.stages.iter().map(|stage| stage.name.into()).collect()
}

/// Figures that hang together, whatever the machine.
fn assert_plausible(case: &CaseReport) {
    assert_eq!(case.drops, 0);
    let feed = case.burst / case.frames_in.max(case.frames_out);
    assert!(case.packets >= 16 * feed as u64, "{} packets", case.packets);
    let stages: f64 = case.stages.iter().map(|stage| stage.cycles_per_packet).sum();
    let sum = stages + case.loop_cycles_per_packet;
    assert!((sum - case.cycles_per_packet).abs() < 0.01, "{sum} {case:?}");
    assert!(case.loop_cycles_per_packet >= 0.0, "{case:?}");
    let most = case.burst * 4 * case.cores.len() * case.frames_in.max(case.frames_out);
    for stage in &case.stages {
        assert!(stage.cycles_per_packet > 0.0, "{stage:?}");
        assert!((1.0..=most as f64).contains(&stage.packets_per_call), "{stage:?}");
    }
    assert!(case.mpps > 0.0 && case.gbps > 0.0);
    let gbps = case.mpps * case.octets_per_packet * 8.0 / 1e3;
    assert!((case.gbps - gbps).abs() < 1e-9, "{case:?}");
}

#[test]
fn modes_of_one_way() {
    let modes = "--mode forward,gre-encap,gre-decap,encrypt,decrypt";
    let report = bench(&format!("{modes} --size 28,64,1400 --duration 0.005 --runs 1"));
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
        assert!(case.stages.iter().all(|stage| stage.packets_per_call == 128.0), "{case:?}");
        assert!(case.stages.iter().all(|stage| stage.passes == 1.0), "{case:?}");
        let Size::Octets(size) = case.size else { panic!("{case:?}") };
        assert_eq!(case.octets_per_packet, f64::from(size));
    }
}

#[test]
fn the_largest_packets_of_each_mode() {
    for (mode, size) in [
        ("forward", 1500),
        ("gre-decap", 1476),
        ("encrypt,decrypt", 1442),
        ("forward", 9216),
        ("gre-encap", 9192),
        ("encrypt,decrypt,hub", 9158),
        ("fragment,reassemble", 9216),
    ] {
        let report = bench(&format!("--mode {mode} --size {size} --duration 0.005 --runs 1"));
        report.cases.iter().for_each(assert_plausible);
    }
}

#[test]
fn many_peers_small_bursts_and_the_long_key() {
    let report = bench(
        "--mode encrypt,decrypt,hub --size imix --peers 300 --flows 700 --aead aes256gcm16 \
         --backend portable --burst 32 --duration 0.005 --runs 3",
    );
    for case in &report.cases {
        assert_plausible(case);
        assert_eq!(case.backend.map(aead::Backend::name), Some("portable"));
        assert!((350.0..360.0).contains(&case.octets_per_packet), "{case:?}");
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
            "--preset {preset} --cores {first},{second} --peers 4 --duration 0.005 --runs 1"
        ));
        report.cases.iter().for_each(assert_plausible);
        assert_eq!(report.cases.len(), 34);
    }
}

/// IPv4 and IPv6 of a capture go every way that a capture suits, over one peer and over several.
#[test]
fn a_capture() {
    let file = TempFile::new("bench.pcap", &mixed());
    let modes = "--mode forward,gre-encap,gre-decap,encrypt,decrypt,hub";
    for peers in [1, 3] {
        let line = format!("{modes} --pcap {} --peers {peers}", file.0.display());
        let report = bench(&format!("{line} --duration 0.005 --runs 1"));
        assert_eq!(report.cases.len(), 6);
        for case in &report.cases {
            assert_plausible(case);
            // Packets of 40, 40 and 1000 octets in turn.
            assert!((355.0..365.0).contains(&case.octets_per_packet), "{case:?}");
            assert_eq!(case.flows, None);
        }
        let text = report.render(false);
        assert!(text.contains("is 3 packets, on average 360.0 octets; left out: 1 ARP"), "{text}");
    }
}

#[test]
fn a_core_that_does_not_exist_is_an_error() {
    let error = run_on(Eal::for_tests(), &args("--mode forward --size 64 --cores 9999 --runs 1"));
    let text = error.unwrap_err().to_string();
    assert_eq!(text, "there is no core 9999 that this process may run on");
}

/// What would make a figure worthless is found: a table that leads nowhere drops every packet.
#[test]
fn drops_are_an_error() {
    let _alone = alone();
    let case = case("--mode forward --size 64");
    let eal = Eal::for_tests();
    let mut setup = Setup::new(eal, &case).unwrap();
    let (worker, link) = &mut setup.gateway.members[0];
    let nothing = dataplane::tables::Tables::default();
    let publish = dataplane::engine::message::Command::Publish(nothing.into());
    link.commands.push(publish).unwrap();
    worker.turn();
    let error = measure::measure(eal, &case, &mut setup, Duration::from_millis(1)).unwrap_err();
    assert!(!error.is_usage());
    let text = error.to_string();
    assert!(text.starts_with("forward of 64 octets: drops where none are expected: "), "{text}");
    assert!(text.contains("classify unknown_vlan "), "{text}");
    let line: serde_json::Value = serde_json::from_str(&error.json_line()).unwrap();
    assert_eq!(line["drops"], line["drops_by_reason"]["classify.unknown_vlan"]);
    assert!(line["drops"].as_u64().unwrap() >= 256, "{line}");
}

#[test]
fn two_settings_are_compared() {
    let _alone = alone();
    let words = [
        "bench",
        "--mode",
        "encrypt",
        "--size",
        "512",
        "--duration",
        "0.005",
        "--runs",
        "4",
        "--compare",
        "--backend ring",
        "--backend portable",
    ];
    let args = Args::try_parse_from(words).unwrap();
    let pairs = compare::pairs(&args, &available_cores()).unwrap();
    let found = compare::run(Eal::for_tests(), &args, &pairs).unwrap();
    let [pair] = &found.pairs[..] else { panic!("{found:?}") };
    assert_eq!(pair.ratios.len(), 4);
    let backends = [&pair.a, &pair.b].map(|case| case.backend.map(aead::Backend::name));
    assert_eq!(backends, [Some("ring"), Some("portable")]);
    assert!(pair.ratio.min <= pair.ratio.median && pair.ratio.median <= pair.ratio.max);
}

fn assert_latency(line: &str) {
    let line = format!("{line} --load 40 --duration 0.01 --runs 2");
    for case in bench(&line).cases {
        let latency = case.latency.as_ref().unwrap();
        assert!((latency.offered_mpps / case.mpps - 0.4).abs() < 1e-6, "{case:?}");
        assert!(latency.frames > 0 && latency.carried_mpps > 0.0, "{case:?}");
        let values = latency.percentiles().map(|(_, us)| us);
        assert!(values.is_sorted() && latency.min_us > 0.0, "{latency:?}");
        assert!(latency.distribution.is_sorted(), "{latency:?}");
    }
}

#[test]
fn latency_of_every_mode() {
    assert_latency("--mode all --size 64,imix");
    assert_latency("--mode fragment,reassemble --peers 3");
    assert_latency("--mode encrypt,hub,decrypt --size 36 --peers 5 --flows 17");
}

#[test]
fn latency_of_a_pipeline() {
    let [first, second, ..] = available_cores()[..] else {
        eprintln!("skipped: there is one core only");
        return;
    };
    let cores = format!("--preset pipeline --cores {first},{second}");
    assert_latency(&format!("{cores} --mode encrypt,decrypt --size 64 --peers 3"));
}
