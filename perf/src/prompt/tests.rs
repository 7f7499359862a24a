//! Scripts, and what is said to them.

use super::*;
use crate::tests::{alone, args};

/// What a script is answered, how often traffic failed, and how many commands were refused.
fn script(line: &str, script: &str) -> (String, u32, u32) {
    let _alone = alone();
    let mut out = Vec::new();
    let session = Session::new(Eal::for_tests(), &args(line), &mut out);
    let (failed, refused) = session.run(Input::piped(script.as_bytes())).unwrap();
    (String::from_utf8(out).unwrap(), failed, refused)
}

#[test]
fn traffic_runs_between_start_and_stop() {
    let (text, failed, refused) = script(
        "--interactive --mode encrypt --size 64",
        "start\nwait 0.3\nshow stages\nshow drops\nset burst 32\nshow config\nstop\nshow stages\n",
    );
    assert_eq!((failed, refused), (0, 0), "{text}");
    let lines: Vec<_> = text.lines().collect();
    let count = |what: &str| lines.iter().filter(|line| line.contains(what)).count();
    // Setting something starts it again.
    assert_eq!(count("encrypt of 64 octets: started"), 2, "{text}");
    assert_eq!(count("encrypt of 64 octets: stopped after "), 2, "{text}");
    assert_eq!((count("none"), count("  burst       32")), (1, 1), "{text}");
    // Once while it ran, once after it was stopped; with bursts of 128, and then of 32.
    let rows: Vec<_> = lines.iter().filter(|line| line.starts_with("  esp_seal")).collect();
    let bursts: Vec<_> = rows.iter().map(|row| row.split_whitespace().nth(2).unwrap()).collect();
    assert_eq!(bursts, ["128.0", "32.0"], "{text}");
    assert!(text.contains("Mpps with the sources on the same cores"), "{text}");
}

#[test]
fn latency_is_shown_at_a_load() {
    let (text, failed, refused) = script(
        "--interactive --mode forward --size 64 --load 30",
        "start\nwait 0.2\nshow latency\nshow stages\nstop\n",
    );
    assert_eq!((failed, refused), (0, 0), "{text}");
    assert!(text.contains("finding the rate of which 30% is offered"), "{text}");
    assert!(text.contains("forward of 64 octets at 30%: "), "{text}");
    assert!(text.lines().any(|line| line.starts_with("  p99.99 ")), "{text}");
}

#[test]
fn what_does_not_suit_is_refused_and_changes_nothing() {
    let (text, failed, refused) = script(
        "--interactive --mode encrypt --size 64 --aead aes256gcm16",
        "stop\nshow latency\nshow stages\nset mode fragment\nset size 9215\nset burst 0\ngo\n\
         show config\nset mode fragment size 1500\nshow config\nhelp\nquit\nstart\n",
    );
    assert_eq!((failed, refused), (0, 7), "{text}");
    let refusals: Vec<_> = text.lines().filter(|line| line.starts_with("no: ")).collect();
    assert_eq!(refusals[0], "no: nothing runs");
    assert!(refusals[3].contains("in one piece"), "{text}");
    assert!(text.contains("  mode        encrypt\n  size        64 octets\n"), "{text}");
    assert!(text.contains("  mode        fragment\n  size        1500 octets\n"), "{text}");
    assert!(text.contains("  protection  aes256gcm16 by "), "{text}");
    assert!(text.contains("set NAME VALUE"), "{text}");
    // Nothing is read behind quit.
    assert!(!text.contains(": started"), "{text}");
}

/// The end of the input stops what runs.
#[test]
fn the_end_of_a_script_is_a_stop() {
    let (text, failed, refused) = script("--interactive --mode decrypt --size imix", "start\n");
    assert_eq!((failed, refused), (0, 0), "{text}");
    assert!(text.contains("decrypt of imix: stopped after "), "{text}");
}
