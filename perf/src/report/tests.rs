use super::*;

const MACHINE_HZ: u64 = 2_000_000_000;

pub(crate) fn machine() -> Machine {
    Machine { cpu: "Processor 1".into(), tsc_hz: MACHINE_HZ, hugepages: false, optimized: true }
}

pub(crate) fn case(mode: Mode, size: u16) -> Case {
    Case {
        mode,
        size: Size::Octets(size),
        peers: 1,
        flows: 64,
        aead: Algorithm::Aes256Gcm16,
        backend: Backend::Ring,
        preset: Preset::RunToCompletion,
        cores: vec![CoreId(3)],
        burst: 256,
        mtu: 1500,
        load: None,
    }
}

/// A run of 1000 packets on one core, in one stage.
pub(crate) fn run_of(busy: u64) -> Run {
    run(&[busy], &[StageKind::Rx], 64)
}

/// A run of 1000 packets in 10 calls of each stage, with a tenth of the cycles in the loop.
fn run(busy: &[u64], kinds: &[StageKind], size: u64) -> Run {
    let cycles = busy.iter().sum::<u64>() * 9 / 10 / kinds.len() as u64;
    let stage = |kind: &StageKind| StageCost { kind: *kind, calls: 10, packets: 1000, cycles };
    Run {
        packets: 1000,
        octets: 1000 * size,
        busy_cycles: busy.to_vec(),
        stages: kinds.iter().map(stage).collect(),
        clock_ratio: 1.25,
        preemptions: Some(2),
        turns: 10,
        turns_aside: 1,
    }
}

pub(crate) fn report() -> Report {
    use StageKind::{Classify, EspOpen, Rx, Tx};
    let machine = machine();
    let plain = [run(&[100_000], &[Rx, Classify, Tx], 64)];
    let sealed = [Rx, Classify, EspOpen, Tx];
    let opened = [400_000, 200_000, 320_000].map(|busy| run(&[busy], &sealed, 512));
    let cases = [
        CaseReport::of(&case(Mode::Forward, 64), &plain, &machine),
        CaseReport::of(&case(Mode::Decrypt, 512), &opened, &machine),
        CaseReport::of(&case(Mode::Decrypt, 1400), &opened[..2], &machine),
    ];
    Report { machine, cases: cases.into_iter().flatten().collect() }
}

#[test]
fn tables() {
    let expected = "\
Processor 1, TSC 2000 MHz, no hugepages
run-to-completion on core 3, bursts of 256, median of 1 run
TSC cycles for each packet put in; sizes are octets of the inner IP packet

forward, 1 peer, 64 flows
                                  64
  rx                            30.0
  classify                      30.0
  tx                            30.0
  loop                          10.0
  total                        100.0
  total, least-most          100-100
  packets per call               100
  Mpps                         20.00
  Gbit/s                       10.24
  drops                            0
  core clock / TSC              1.25
  turns set aside               1/10

decrypt, aes256gcm16 by ring, 1 peer, 64 flows
                                 512        1400
  rx                            72.0        45.0
  classify                      72.0        45.0
  esp_open                      72.0        45.0
  tx                            72.0        45.0
  loop                          32.0        20.0
  total                        320.0       200.0
  total, least-most          200-400     200-400
  packets per call               100         100
  Mpps                          6.25       10.00
  Gbit/s                       25.60       40.96
  drops                            0           0
  core clock / TSC              1.25        1.25
  turns set aside               1/10        1/10
";
    assert_eq!(report().render(false), expected);
}

/// Fragments, copies, two ways, jumbo frames, a mixture: what is said beside the usual.
#[test]
fn rows_and_notes_of_special_cases() {
    let machine = machine();
    let of = |case: &Case, runs: &[Run]| CaseReport::of(case, runs, &machine).unwrap();
    let mut twice = run(&[200_000], &[StageKind::Rx, StageKind::EspSeal], 1500);
    twice.stages[1].packets *= 2;
    let fragment = of(&case(Mode::Fragment, 1500), &[twice]);
    let copies = Case { peers: 8, ..case(Mode::Replicate, 64) };
    let replicate = of(&copies, &[run(&[800_000], &[StageKind::Replicate], 64)]);
    let jumbo = Case { mtu: 9216, ..case(Mode::Encrypt, 9000) };
    let jumbo = of(&jumbo, &[run_of(9_000_000)]);
    let mixture = Case { size: Size::Imix, ..case(Mode::Encrypt, 64) };
    let mixture = of(&mixture, &[run_of(300_000)]);

    assert_eq!((fragment.frames_out, fragment.stages[1].passes), (2, 2.0));
    // By packet put in, so that stages add up to the total.
    assert_eq!(fragment.stages[1].cycles_per_packet, 90.0);
    assert_eq!((replicate.copies, replicate.cycles_per_copy), (Some(8), Some(100.0)));
    let json = serde_json::to_value(&replicate).unwrap();
    assert_eq!((&json["copies"], &json["cycles_per_packet"]), (&8.into(), &800.0.into()));
    assert_eq!(serde_json::to_value(&mixture).unwrap()["size"], "imix");

    let cases = vec![fragment, replicate, jumbo, mixture];
    let text = Report { machine, cases }.render(false);
    for line in [
        "  frames in > out              1 > 2",
        "  for each copy                100.0",
        "replicate, aes256gcm16 by ring, 8 peers, 64 flows",
        "encrypt of 9000: links of 9216 octets",
        "imix is 7 of 64, 4 of 594, 1 of 1442, on average 355.5 octets",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
}

/// A thousand frames, one a microsecond, at half of 10 Mpps.
pub(crate) fn latency() -> LatencyReport {
    let eal = Eal::for_tests();
    let mut latencies = Latencies::new(eal, 5e6).unwrap();
    for microseconds in 1..=1000u64 {
        latencies.histogram.saturating_record(microseconds * 1000);
    }
    LatencyReport::of("50".parse().unwrap(), &latencies)
}

#[test]
fn latency_is_in_the_table_and_in_json() {
    let latency = latency();
    let near = |found: f64, expected: f64| (found - expected).abs() <= expected / 1000.0;
    let expected = [500.0, 900.0, 990.0, 999.0, 1000.0, 1000.0];
    for ((name, found), expected) in latency.percentiles().into_iter().zip(expected) {
        assert!(near(found, expected), "{name}: {found} instead of {expected}");
    }
    assert!(latency.distribution.is_sorted());
    assert!(near(latency.distribution.last().unwrap().0, 1000.0));

    let mut report = report();
    report.cases.truncate(1);
    report.cases[0].latency = Some(latency);
    let text = report.render(false);
    for line in [
        "  at 50%, Mpps offered          5.00",
        "  latency p50, us             500.22",
        "latency: from when a packet was due to when it had been sent, ports excluded",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    let json: serde_json::Value = serde_json::from_str(&report.render(true)).unwrap();
    assert_eq!(json["latency"]["load"], 0.5);
    assert_eq!(json["latency"]["frames"], 1000);
    assert!(near(json["latency"]["p99_9_us"].as_f64().unwrap(), 999.0));
}

#[test]
fn a_build_that_is_not_optimised_is_called_so() {
    let mut report = report();
    report.machine.optimized = false;
    assert!(report.render(false).contains("not a release build"));
}

#[test]
fn json_lines() {
    let text = report().render(true);
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 3);
    let stage = |name| {
        serde_json::json!({
            "name": name, "cycles_per_packet": 72.0, "packets_per_call": 100.0, "passes": 1.0,
        })
    };
    let expected = serde_json::json!({
        "mode": "decrypt", "size": 512, "octets_per_packet": 512.0, "mtu": 1500, "peers": 1,
        "flows": 64, "aead": "aes256gcm16", "backend": "ring", "preset": "run-to-completion",
        "cores": [3], "burst": 256, "packets": 1000, "frames_in": 1, "frames_out": 1,
        "mpps": 6.25, "gbps": 25.6, "cycles_per_packet": 320.0,
        "cycles_per_packet_range": [200.0, 400.0],
        "cycles_per_packet_runs": [400.0, 200.0, 320.0],
        "stages": [stage("rx"), stage("classify"), stage("esp_open"), stage("tx")],
        "loop_cycles_per_packet": 32.0, "clock_ratio": 1.25, "preemptions": 2,
        "turns": 10, "turns_aside": 1, "drops": 0,
        "machine": {
            "cpu": "Processor 1", "tsc_hz": MACHINE_HZ, "hugepages": false, "optimized": true,
        },
    });
    assert_eq!(lines[1], expected);
    assert_eq!((&lines[0]["aead"], &lines[0]["backend"]), (&().into(), &().into()));
}

/// Two cores share the work: what a packet costs is the sum, how fast they are the busier one.
#[test]
fn rate_is_that_of_the_busiest_core() {
    let runs = [run(&[100_000, 300_000], &[StageKind::Rx], 1000)];
    let report = CaseReport::of(&case(Mode::Forward, 1000), &runs, &machine()).unwrap();
    assert!((report.cycles_per_packet - 400.0).abs() < 1e-9);
    assert!((report.mpps - 1000.0 / 300_000.0 * 2000.0).abs() < 1e-9);
    assert!((report.gbps - report.mpps * 8.0).abs() < 1e-9);
}

#[test]
fn no_runs_no_report() {
    assert_eq!(CaseReport::of(&case(Mode::Forward, 64), &[], &machine()), None);
}
