use super::*;

const MACHINE_HZ: u64 = 2_000_000_000;

fn machine() -> Machine {
    Machine {
        cpu: "Processor 1".into(),
        tsc_hz: MACHINE_HZ,
        hugepages: false,
        aead_backend: Backend::Ring,
        optimized: true,
    }
}

fn case(mode: Mode, size: u16) -> Case {
    Case {
        mode,
        size,
        peers: 1,
        flows: 64,
        aead: Algorithm::Aes256Gcm16,
        preset: Preset::RunToCompletion,
        cores: vec![CoreId(3)],
        burst: 256,
    }
}

/// A run of 1000 packets in 10 calls of each stage, with a tenth of the cycles in the loop.
fn run(busy: &[u64], kinds: &[StageKind]) -> Run {
    let cycles = busy.iter().sum::<u64>() * 9 / 10 / kinds.len() as u64;
    let stage = |kind: &StageKind| StageCost { kind: *kind, calls: 10, packets: 1000, cycles };
    Run {
        packets: 1000,
        busy_cycles: busy.to_vec(),
        stages: kinds.iter().map(stage).collect(),
        clock_ratio: 1.25,
        preemptions: Some(2),
        turns: 10,
        turns_aside: 1,
    }
}

fn report() -> Report {
    use StageKind::{Classify, EspOpen, Rx, Tx};
    let machine = machine();
    let plain = [run(&[100_000], &[Rx, Classify, Tx])];
    let sealed = [Rx, Classify, EspOpen, Tx];
    let opened = [400_000, 200_000, 320_000].map(|busy| run(&[busy], &sealed));
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
run-to-completion on core 3, bursts of 256, 1 peer, 64 flows, median of 1 run
TSC cycles per packet; sizes are octets of the inner IPv4 packet

forward                                 64
  rx                                  30.0
  classify                            30.0
  tx                                  30.0
  loop                                10.0
  total                              100.0
  total, least-most                100-100
  packets per call                     100
  Mpps                               20.00
  Gbit/s                             10.24
  core clock / TSC                    1.25
  turns set aside                     1/10

decrypt, aes256gcm16 by ring           512        1400
  rx                                  72.0        45.0
  classify                            72.0        45.0
  esp_open                            72.0        45.0
  tx                                  72.0        45.0
  loop                                32.0        20.0
  total                              320.0       200.0
  total, least-most                200-400     200-400
  packets per call                     100         100
  Mpps                                6.25       10.00
  Gbit/s                             25.60      112.00
  core clock / TSC                    1.25        1.25
  turns set aside                     1/10        1/10
";
    assert_eq!(report().render(false), expected);
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
    let expected = serde_json::json!({
        "mode": "decrypt", "size": 512, "peers": 1, "flows": 64, "aead": "aes256gcm16",
        "preset": "run-to-completion", "cores": [3], "burst": 256, "packets": 1000,
        "mpps": 6.25, "gbps": 25.6, "cycles_per_packet": 320.0,
        "cycles_per_packet_range": [200.0, 400.0],
        "cycles_per_packet_runs": [400.0, 200.0, 320.0],
        "stages": [
            { "name": "rx", "cycles_per_packet": 72.0, "packets_per_call": 100.0 },
            { "name": "classify", "cycles_per_packet": 72.0, "packets_per_call": 100.0 },
            { "name": "esp_open", "cycles_per_packet": 72.0, "packets_per_call": 100.0 },
            { "name": "tx", "cycles_per_packet": 72.0, "packets_per_call": 100.0 },
        ],
        "loop_cycles_per_packet": 32.0, "clock_ratio": 1.25, "preemptions": 2,
        "turns": 10, "turns_aside": 1, "drops": 0,
        "machine": {
            "cpu": "Processor 1", "tsc_hz": MACHINE_HZ, "hugepages": false,
            "aead_backend": "ring", "optimized": true,
        },
    });
    assert_eq!(lines[1], expected);
    assert_eq!(lines[0]["aead"], serde_json::Value::Null);
}

/// Two cores share the work: what a packet costs is the sum, how fast they are the busier one.
#[test]
fn rate_is_that_of_the_busiest_core() {
    let runs = [run(&[100_000, 300_000], &[StageKind::Rx])];
    let report = CaseReport::of(&case(Mode::Forward, 1000), &runs, &machine()).unwrap();
    assert!((report.cycles_per_packet - 400.0).abs() < 1e-9);
    assert!((report.mpps - 1000.0 / 300_000.0 * 2000.0).abs() < 1e-9);
    assert!((report.gbps - report.mpps * 8.0).abs() < 1e-9);
}

#[test]
fn no_runs_no_report() {
    assert_eq!(CaseReport::of(&case(Mode::Forward, 64), &[], &machine()), None);
}
