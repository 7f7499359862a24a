//! Where in the file each key and its value stand.

use std::collections::BTreeMap;
use std::fmt;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Position;

/// Positions by key path, such as `tunnel[1].nhrp.map[0].nbma`.
#[derive(Clone, Default)]
pub(super) struct Locations {
    places: BTreeMap<String, Place>,
}

#[derive(Clone, Copy)]
struct Place {
    key: Option<Position>,
    value: Position,
}

impl Locations {
    /// Those of everything in `document`.
    pub(super) fn of(document: &DeTable<'_>, lines: &Lines<'_>) -> Self {
        let mut locations = Self::default();
        locations.enter_table(document, "", lines);
        locations
    }

    /// Where the value of `path` begins; that of the nearest enclosing one if it is not there.
    pub(super) fn value(&self, path: &str) -> Option<Position> {
        self.nearest(path).map(|place| place.value)
    }

    /// Where the key of `path` begins, or its value, as an element of a list.
    pub(super) fn key(&self, path: &str) -> Option<Position> {
        self.nearest(path).map(|place| place.key.unwrap_or(place.value))
    }

    fn nearest(&self, path: &str) -> Option<Place> {
        let mut path = path;
        loop {
            if let Some(place) = self.places.get(path) {
                return Some(*place);
            }
            path = &path[..path.rfind(['.', '['])?];
        }
    }

    fn enter_table(&mut self, table: &DeTable<'_>, path: &str, lines: &Lines<'_>) {
        for (key, value) in table {
            let path = join(path, key.get_ref());
            self.enter(value, path, Some(lines.position(key.span().start)), lines);
        }
    }

    fn enter(
        &mut self,
        value: &Spanned<DeValue<'_>>,
        path: String,
        key: Option<Position>,
        lines: &Lines<'_>,
    ) {
        match value.get_ref() {
            DeValue::Table(table) => self.enter_table(table, &path, lines),
            DeValue::Array(array) => {
                for (index, element) in array.iter().enumerate() {
                    self.enter(element, format!("{path}[{index}]"), None, lines);
                }
            }
            _ => {}
        }
        let value = lines.position(value.span().start);
        self.places.insert(path, Place { key, value });
    }
}

impl fmt::Debug for Locations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Locations({} keys)", self.places.len())
    }
}

/// The path of `key` in the table at `path`; a key that is not bare is quoted.
pub(super) fn join(path: &str, key: &str) -> String {
    let is_bare =
        !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    let dot = if path.is_empty() { "" } else { "." };
    if is_bare { format!("{path}{dot}{key}") } else { format!("{path}{dot}{key:?}") }
}

/// Turns offsets in a text into lines and columns.
pub(super) struct Lines<'a> {
    text: &'a str,
    /// Offset of the first octet of each line.
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        let after_newlines = text.match_indices('\n').map(|(offset, _)| offset + 1);
        Self { text, starts: std::iter::once(0).chain(after_newlines).collect() }
    }

    /// The position of `offset`, in octets; beyond the end it is that of the end.
    pub(super) fn position(&self, offset: usize) -> Position {
        let offset = offset.min(self.text.len());
        let is_boundary = |offset: &usize| self.text.is_char_boundary(*offset);
        let offset = (0..=offset).rev().find(is_boundary).unwrap_or(0);
        let line = self.starts.partition_point(|&start| start <= offset);
        let start = self.starts[line - 1];
        let column = self.text[start..offset].chars().count() + 1;
        Position {
            line: u32::try_from(line).unwrap_or(u32::MAX),
            column: u32::try_from(column).unwrap_or(u32::MAX),
        }
    }
}
