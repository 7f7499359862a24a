//! Whatever the text is: no panic, and a refusal always says why and where.

use proptest::prelude::*;

use super::{fixtures, parse};
use crate::config::Severity;

fn check(text: &str) {
    let Err(found) = parse(text) else { return };
    assert!(found.iter().any(|diagnostic| diagnostic.severity == Severity::Error), "{text}");
    for diagnostic in &found {
        let Some(position) = diagnostic.position else { continue };
        let line = text.split('\n').nth(usize::try_from(position.line).unwrap() - 1);
        let columns = line.expect("a line of the text").chars().count();
        assert!(usize::try_from(position.column).unwrap() <= columns + 1, "{diagnostic}\n{text}");
    }
    assert!(found.is_sorted_by_key(|diagnostic| diagnostic.position));
}

fn good() -> String {
    std::fs::read_to_string(fixtures().join("good.toml")).unwrap()
}

/// Values of every type, plausible and not.
fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f64>().prop_map(|number| format!("{number:?}")),
        (0_u32..70_000).prop_map(|number| number.to_string()),
        "\"[0-9a-f:./]{0,20}\"",
        "\"[ -!#-\\[\\]-~]{0,12}\"",
        "\"[0-9]{1,22}(ms|s|m|h|d|B|kB|MB|TB|TiB)?\"",
        Just("true".to_owned()),
        Just("[]".to_owned()),
        Just("[[], {}, 0, \"\"]".to_owned()),
        Just("{}".to_owned()),
        Just("1979-05-27".to_owned()),
        Just("0xffffffffffffffffffffffff".to_owned()),
        Just("\"\"".to_owned()),
        Just("[\"lan\", \"dmvpn\", \"wan\", \"10.1.0.1/24\", \"198.51.100.1\"]".to_owned()),
    ]
}

/// The good example with some of its values replaced, lines left out, and lines repeated.
fn mutated() -> impl Strategy<Value = String> {
    let change = (
        0_usize..200,
        prop_oneof![
            3 => value().prop_map(Some),
            1 => Just(None),
        ],
    );
    proptest::collection::vec(change, 1..6).prop_map(|changes| {
        let text = good();
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        for (place, change) in changes {
            let place = place % lines.len();
            match (change, lines[place].split_once('=').map(|(key, _)| key.to_owned())) {
                (Some(value), Some(key)) => lines[place] = format!("{key}= {value}"),
                (Some(_), None) => lines.insert(place, lines[place].clone()),
                (None, _) => drop(lines.remove(place)),
            }
        }
        lines.join("\n")
    })
}

/// Punctuation of TOML between pieces of keys and values.
const LIKE_TOML: &str = "([\\[\\]{}\"'=.,#\n a-f0-9_-]|\\[\\[port\\]\\]|ipsec|é){0,80}";

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_survived(text in any::<String>()) {
        check(&text);
    }

    #[test]
    fn text_like_toml_is_survived(text in LIKE_TOML) {
        check(&text);
    }

    #[test]
    fn changed_configurations_are_survived(text in mutated()) {
        check(&text);
    }

    #[test]
    fn truncated_configurations_are_survived(end in any::<prop::sample::Index>()) {
        let text = good();
        let mut end = end.index(text.len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        check(&text[..end]);
    }
}

/// Octets in place of each other, which the token level of the other properties misses.
#[test]
fn each_octet_can_be_broken() {
    let text = good();
    for place in (0..text.len()).step_by(7) {
        for octet in ["\"", "]", "=", "\n", "9", "\u{0}"] {
            let mut broken = text.clone();
            broken.replace_range(place..=place, octet);
            check(&broken);
        }
    }
}
