//! `tests/config/bad`: each file begins with `# expect: LINE: part of the diagnostic` lines.

use super::{errors, fixtures, parse};
use crate::config::Diagnostic;

fn meets(diagnostic: &Diagnostic, expectation: &str) -> bool {
    let (line, part) = expectation.split_once(": ").expect("LINE: text");
    let expected: u32 = line.parse().expect("a line number");
    // 0 stands for the file as a whole.
    let line = diagnostic.position.map_or(0, |position| position.line);
    line == expected && diagnostic.to_string().contains(part)
}

#[test]
fn bad_configurations_are_refused_for_the_expected_reasons() {
    let mut count = 0;
    for entry in std::fs::read_dir(fixtures().join("bad")).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let expected: Vec<_> =
            text.lines().filter_map(|line| line.strip_prefix("# expect: ")).collect();
        let result = parse(&text);
        let mut found = errors(&result);
        let name = path.file_name().unwrap().display();
        assert!(!expected.is_empty(), "{name}: no expectation");
        for expectation in &expected {
            let place = found.iter().position(|diagnostic| meets(diagnostic, expectation));
            let place = place.unwrap_or_else(|| {
                panic!("{name}: missing: {expectation}\nfound: {:#?}", shown(&found))
            });
            found.remove(place);
        }
        assert!(found.is_empty(), "{name}: beyond expectation: {:#?}", shown(&found));
        count += 1;
    }
    assert!(count > 100, "only {count} fixtures");
}

fn shown(found: &[&Diagnostic]) -> Vec<String> {
    found.iter().map(ToString::to_string).collect()
}
