//! `tests/config/bad`: each file begins with `# expect: LINE: part of the diagnostic` lines.

use std::path::Path;

use super::{errors, fixtures, parse};
use crate::config::Diagnostic;

fn meets(diagnostic: &Diagnostic, expectation: &str) -> bool {
    let (line, part) = expectation.split_once(": ").expect("LINE: text");
    let expected: u32 = line.parse().expect("a line number");
    // 0 stands for the file as a whole.
    let line = diagnostic.position.map_or(0, |position| position.line);
    line == expected && diagnostic.to_string().contains(part)
}

/// What is wrong with the diagnostics of one fixture.
fn disagreements(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap();
    let expected = text.lines().filter_map(|line| line.strip_prefix("# expect: "));
    let result = parse(&text);
    let mut found = errors(&result);
    let mut wrong = Vec::new();
    for expectation in expected {
        match found.iter().position(|diagnostic| meets(diagnostic, expectation)) {
            Some(place) => drop(found.remove(place)),
            None => wrong.push(format!("{}: missing: {expectation}", path.display())),
        }
    }
    wrong.extend(found.iter().map(|diagnostic| format!("{}: {diagnostic}", path.display())));
    if result.is_ok() {
        wrong.push(format!("{}: loads", path.display()));
    }
    wrong
}

#[test]
fn bad_configurations_are_refused_for_the_expected_reasons() {
    let entries = std::fs::read_dir(fixtures().join("bad")).unwrap();
    let paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    let wrong: Vec<_> = paths.iter().flat_map(|path| disagreements(path)).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(paths.len() > 100, "only {} fixtures", paths.len());
}
