//! Records of `Name = hex` lines, the format of NIST's response files.

use std::collections::BTreeMap;

/// One test case: fields by name. A line without `=` is a field without value.
pub(super) struct Record<'a>(BTreeMap<&'a str, &'a str>);

/// The records of a file: paragraphs, without comments and `[group]` lines.
pub(super) fn records(file: &str) -> Vec<Record<'_>> {
    let paragraphs = file.split("\n\n").map(|paragraph| {
        let lines = paragraph.lines().filter(|line| !line.starts_with(['#', '[']));
        let fields = lines.filter(|line| !line.is_empty()).map(|line| {
            let (name, value) = line.split_once('=').unwrap_or((line, ""));
            (name.trim(), value.trim())
        });
        Record(fields.collect())
    });
    paragraphs.filter(|record| !record.0.is_empty()).collect()
}

impl Record<'_> {
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(super) fn octets(&self, name: &str) -> Vec<u8> {
        let digits = self.0.get(name).unwrap_or_else(|| panic!("no {name} in {:?}", self.0));
        assert!(digits.len().is_multiple_of(2), "{name}: half an octet");
        let octet = |at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
        (0..digits.len()).step_by(2).map(octet).collect()
    }
}
