//! Parsing, and the cases that are made of it.

use super::*;
use crate::capture::tests::{TempFile, mixed};
use crate::size::Size;
use dataplane::engine::topology::CoreId;

fn args(line: &str) -> Result<Args, clap::Error> {
    Args::try_parse_from(std::iter::once("bench").chain(line.split_whitespace()))
}

const CORES: [CoreId; 8] =
    [CoreId(0), CoreId(1), CoreId(2), CoreId(3), CoreId(4), CoreId(5), CoreId(6), CoreId(9)];

fn case_names(line: &str) -> Vec<String> {
    let cases = args(line).unwrap().options.cases(&CORES).unwrap();
    cases.iter().map(|case| format!("{} {}", case.mode.name(), case.size.label())).collect()
}

fn refused(line: &str) -> String {
    let error = args(line).unwrap().options.cases(&CORES).unwrap_err();
    assert!(error.is_usage(), "{error}");
    error.to_string()
}

#[test]
fn defaults() {
    let args = args("").unwrap();
    let cases = args.options.cases(&CORES).unwrap();
    // Eight modes of four sizes, and two that take packets too big for the path.
    assert_eq!(cases.len(), 8 * 4 + 2);
    let first = &cases[0];
    assert_eq!((first.mode, &first.size), (Mode::Forward, &Size::Octets(64)));
    assert_eq!((first.peers, first.flows, first.burst, first.mtu), (1, 64, 128, 1500));
    assert_eq!((first.aead, first.preset), (Algorithm::Aes128Gcm16, Preset::RunToCompletion));
    assert_eq!((first.backend, first.load), (Backend::default(), None));
    assert_eq!(first.cores, [CoreId(9)]);
    assert_eq!((args.duration, args.runs, args.json), (Duration::from_millis(20), 25, false));
    let peers = |mode| cases.iter().find(|case| case.mode == mode).map(|case| case.peers);
    assert_eq!((peers(Mode::Replicate), peers(Mode::Hub)), (Some(8), Some(1)));
    assert_eq!(case_names("--mode fragment,reassemble"), ["fragment 1500", "reassemble 1500"]);
}

#[test]
fn lists_and_their_order() {
    assert_eq!(
        case_names("--mode decrypt,forward --size 1400,64"),
        ["forward 1400", "forward 64", "decrypt 1400", "decrypt 64"]
    );
    assert_eq!(case_names("--mode encrypt,encrypt --size imix"), ["encrypt imix"]);
    let cases = args("--mode encrypt --size 64,512 --peers 1,1000").unwrap();
    let cases = cases.options.cases(&CORES).unwrap();
    let peers: Vec<_> = cases.iter().map(|case| (case.peers, case.size.label())).collect();
    let expected = [(1, "64"), (1, "512"), (1000, "64"), (1000, "512")];
    assert_eq!(peers, expected.map(|(peers, size)| (peers, size.to_owned())));
}

/// All modes at a size are those that it suits; a mode that is named must suit it.
#[test]
fn all_modes_are_those_that_suit() {
    assert_eq!(case_names("--size 64").len(), 8);
    assert_eq!(case_names("--mode all --size 1500").len(), 10);
    assert_eq!(
        refused("--mode all,fragment --size 64"),
        "fragment of 64 octets: fits the path of 1500 octets in one piece: take at least 1443 \
         octets"
    );
    assert_eq!(
        refused("--mode reassemble --size 1442"),
        "reassemble of 1442 octets: fits the path of 1500 octets in one piece: take at least \
         1443 octets"
    );
}

#[test]
fn every_option() {
    let args = args(
        "--mode gre-encap,gre-decap --size 576 --peers 1000 --flows 4000 --aead aes256gcm16 \
         --backend portable --preset pipeline --cores 2,3 --burst 32 --load 50% --duration 1.5 \
         --runs 3 --json --report page",
    );
    let args = args.unwrap();
    assert!(args.json);
    assert_eq!((args.duration, args.runs), (Duration::from_millis(1500), 3));
    assert_eq!(args.report, Some("page".into()));
    let cases = args.options.cases(&CORES).unwrap();
    assert_eq!(cases.len(), 2);
    let case = &cases[1];
    assert_eq!((case.mode, &case.size), (Mode::GreDecap, &Size::Octets(576)));
    assert_eq!((case.peers, case.flows, case.burst), (1000, 4000, 32));
    assert_eq!((case.aead, case.preset), (Algorithm::Aes256Gcm16, Preset::Pipeline));
    assert_eq!((case.backend, case.load.map(Load::share)), (Backend::Portable, Some(0.5)));
    assert_eq!(case.cores, [CoreId(2), CoreId(3)]);
}

#[test]
fn refused_by_the_parser() {
    for line in [
        "--mode none",
        "--size 27",
        "--size 9217",
        "--size ,",
        "--size medium",
        "--peers 0",
        "--peers 65535",
        "--flows 0",
        "--aead aes192gcm16",
        "--backend none",
        "--preset fast",
        "--cores x",
        "--burst 0",
        "--burst 257",
        "--duration 0",
        "--duration -1",
        "--duration NaN",
        "--duration 1e9",
        "--runs 0",
        "--load 0",
        "--load 101",
        "--compare one",
        "--compare a b --report page",
        "--compare a b --interactive",
        "--compare a b --load 50",
        "--interactive --json",
        "--interactive --report page",
        "--unknown",
    ] {
        assert!(args(line).is_err(), "{line}");
    }
}

#[test]
fn refused_because_they_do_not_fit_together() {
    for (line, reason) in [
        ("--peers 100 --flows 99", "99 flows cannot reach 100 peers: each needs one"),
        (
            "--mode encrypt --size 9159",
            "encrypt of 9159 octets: 9159 octets are too many: 9158 fit a path of jumbo frames",
        ),
        (
            "--mode gre-decap --size 9193",
            "gre-decap of 9193 octets: 9193 octets are too many: 9192 fit a path of jumbo frames",
        ),
        (
            "--mode forward --cores 0,1,2,3,4,5,6,9 --preset pipeline --load 50 --size 28",
            "forward of 28 octets: latency needs packets of at least 36 octets",
        ),
        (
            "--mode decrypt --size 64 --cores 0,1,2,3,4,5,6,9",
            "decrypt of 64 octets on 8 cores: it takes at most 7",
        ),
        (
            "--mode bidirectional --size 64 --cores 0,1,2,3,4",
            "bidirectional of 64 octets on 5 cores: it takes at most 4",
        ),
        ("--cores 1,7", "there is no core 7 that this process may run on"),
        ("--mode fragment --size imix", "fragment of imix: it takes packets of one size"),
        (
            "--mode encrypt --size 64 --cores 0,1 --load 50",
            "encrypt of 64 octets: latency is measured on one core, or on a pipeline",
        ),
        (
            "--mode bidirectional --size 64 --peers 40000",
            "bidirectional of 64 octets: 40000 peers: it takes at most 32768",
        ),
        (
            "--mode replicate --size 64 --peers 10001",
            "replicate of 64 octets: 10001 peers: it takes at most 10000",
        ),
    ] {
        assert_eq!(refused(line), reason);
    }
}

#[test]
fn links_are_as_large_as_packets_need() {
    let mtu = |line: &str| {
        let cases = args(line).unwrap().options.cases(&CORES).unwrap();
        (cases[0].mtu, cases[0].path_mtu())
    };
    assert_eq!(mtu("--mode encrypt --size 1442"), (1500, 1500));
    assert_eq!(mtu("--mode encrypt --size 1443"), (9216, 9216));
    assert_eq!(mtu("--mode forward --size 1500"), (1500, 1500));
    assert_eq!(mtu("--mode gre-decap --size 9000"), (9216, 9216));
    assert_eq!(mtu("--mode fragment --size 1500"), (1500, 1500));
    assert_eq!(mtu("--mode fragment --size 9000"), (9216, 1500));
}

/// What is put in at a time is a burst of what arrives, or of the copies that are made.
#[test]
fn a_burst_is_counted_where_packets_are_most() {
    let case = |line: &str| args(line).unwrap().options.cases(&CORES).unwrap().remove(0);
    let frames = |case: &crate::case::Case| (case.frames_in(), case.feed(), case.frames_out());
    assert_eq!(frames(&case("--mode encrypt --size 64")), (1, 128, 1));
    assert_eq!(frames(&case("--mode fragment")), (1, 128, 2));
    assert_eq!(frames(&case("--mode reassemble")), (2, 64, 1));
    assert_eq!(frames(&case("--mode reassemble --size 9000 --burst 4")), (7, 1, 1));
    assert_eq!(frames(&case("--mode replicate --size 64")), (1, 16, 8));
    assert_eq!(frames(&case("--mode replicate --size 64 --peers 1000")), (1, 1, 1000));
}

#[test]
fn a_capture_is_a_size() {
    let file = TempFile::new("size.pcap", &mixed());
    let path = file.0.display();
    let name = file.0.file_name().unwrap().to_string_lossy().into_owned();
    for line in [format!("--size {path}"), format!("--pcap {path}")] {
        assert_eq!(case_names(&format!("--mode encrypt {line}")), [format!("encrypt {name}")]);
        // Not of those that need packets of one size, a group, or a direction.
        assert_eq!(case_names(&line).len(), 6);
    }
    assert_eq!(case_names(&format!("--mode encrypt --size 64 --pcap {path}")).len(), 2);
    let refused = |rest: &str| refused(&format!("--pcap {path} {rest}"));
    let title = |mode: &str| format!("{mode} of {name}");
    assert_eq!(
        refused("--mode encrypt --flows 3"),
        format!("{}: the flows are those of the capture: leave out --flows", title("encrypt"))
    );
    assert!(refused("--mode replicate").starts_with(&title("replicate")));
    assert!(refused("--mode fragment").ends_with("packets of one size"));
    assert!(refused("--mode bidirectional").ends_with("which way its packets go"));
    assert!(refused("--mode decrypt --cores 0,1").contains("several sources"));
    assert!(refused("--mode forward --load 50").ends_with("not of a capture"));
    assert!(self::refused("--pcap /nowhere.pcap").contains("No such file"));
}

#[test]
fn a_pipeline_takes_the_last_two_cores_or_the_only_one() {
    let cores = |available: &[CoreId]| {
        let cases = args("--preset pipeline").unwrap().options.cases(available);
        cases.map(|cases| cases[0].cores.clone()).map_err(|error| error.to_string())
    };
    assert_eq!(cores(&CORES), Ok(vec![CoreId(6), CoreId(9)]));
    assert_eq!(cores(&CORES[..1]), Ok(vec![CoreId(0)]));
    assert!(cores(&[]).is_err_and(|error| error.contains("which cores")));
}

#[test]
fn peers_have_a_flow_each_without_saying() {
    let cases = args("--mode encrypt --peers 1000").unwrap().options.cases(&CORES).unwrap();
    assert_eq!(cases[0].flows, 1000);
}

#[test]
fn options_replace_those_that_are_given() {
    let options = |line: &str| Options::parse(line.split_whitespace()).unwrap();
    let common = options("--mode encrypt --size 64 --peers 3 --burst 32 --load 50");
    let merged = options("--pcap a.pcap --burst 64 --peers 1,2").over(&common);
    let expected = "--mode encrypt --pcap a.pcap --peers 1,2 --burst 64 --load 50";
    assert_eq!(merged, options(expected));
    assert_eq!(Options::default().over(&common), common);
    assert_eq!(options("--aead aes256gcm16").over(&common).aead, Some(Algorithm::Aes256Gcm16));
    let error = Options::parse(["--burst", "many"]).unwrap_err();
    assert!(error.starts_with("invalid value 'many' for '--burst <BURST>'"), "{error}");
}
