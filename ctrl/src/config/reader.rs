//! Typed access to the tree that the TOML parser yields. Whatever is missing, of the wrong type,
//! out of range or unknown is reported where it is found; reading then goes on with the rest.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::Display;
use std::num::NonZeroU16;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::locations::{Lines, Locations, join};
use super::suggest::did_you_mean;
use super::{Diagnostic, Position, Severity, scalar};

/// Collects diagnostics.
pub(super) struct Reports<'a> {
    file: PathBuf,
    lines: Lines<'a>,
    locations: Locations,
    found: RefCell<Vec<Diagnostic>>,
}

impl<'a> Reports<'a> {
    pub(super) fn new(file: &Path, text: &'a str, document: &Spanned<DeTable<'_>>) -> Self {
        let lines = Lines::of(text);
        let locations = Locations::of(document.get_ref(), &lines);
        Self { file: file.to_path_buf(), lines, locations, found: RefCell::default() }
    }

    /// The configuration file.
    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    pub(super) fn error(&self, path: &str, complaint: impl Into<Complaint>) {
        self.push(Severity::Error, self.locations.value(path), path, complaint.into());
    }

    pub(super) fn warning(&self, path: &str, complaint: impl Into<Complaint>) {
        self.push(Severity::Warning, self.locations.value(path), path, complaint.into());
    }

    pub(super) fn syntax_error(&self, offset: Option<usize>, message: &str) {
        let position = offset.map(|offset| self.lines.position(offset));
        self.push(Severity::Error, position, "", message.into());
    }

    /// `key` of a diagnostic that is about the key itself, not its value.
    fn key_error(&self, path: &str, complaint: Complaint) {
        self.push(Severity::Error, self.locations.key(path), path, complaint);
    }

    fn push(&self, severity: Severity, at: Option<Position>, key: &str, complaint: Complaint) {
        let Complaint { message, hint } = complaint;
        let (file, key) = (self.file.clone(), key.to_owned());
        let diagnostic = Diagnostic { severity, file, position: at, key, message, hint };
        self.found.borrow_mut().push(diagnostic);
    }

    /// What was found, in the order of the file, and where everything stands.
    pub(super) fn finish(self) -> (Vec<Diagnostic>, Locations) {
        let mut found = self.found.into_inner();
        found.sort_by_key(|diagnostic| diagnostic.position);
        (found, self.locations)
    }
}

/// What is wrong with a value, and what may mend it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Complaint {
    message: String,
    hint: Option<String>,
}

impl Complaint {
    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    pub(super) fn maybe_hint(self, hint: Option<String>) -> Self {
        Self { hint, ..self }
    }
}

impl<T: Display> From<T> for Complaint {
    fn from(message: T) -> Self {
        Self { message: message.to_string(), hint: None }
    }
}

/// A table. Remembers which keys were asked for: those are the ones that exist.
pub(super) struct Section<'a> {
    /// `None`: the section is not there, or it is no table.
    table: Option<&'a DeTable<'a>>,
    path: String,
    reports: &'a Reports<'a>,
    known: RefCell<BTreeSet<&'static str>>,
    /// Keys that must be there and are not, each with what follows the message.
    missing: RefCell<Vec<(&'static str, &'static str)>>,
}

impl<'a> Section<'a> {
    pub(super) fn root(table: &'a DeTable<'a>, reports: &'a Reports<'a>) -> Self {
        Self::new(Some(table), String::new(), reports)
    }

    fn new(table: Option<&'a DeTable<'a>>, path: String, reports: &'a Reports<'a>) -> Self {
        Self { table, path, reports, known: RefCell::default(), missing: RefCell::default() }
    }

    /// The value of `key`, if it is there.
    pub(super) fn take(&self, key: &'static str) -> Option<Item<'a>> {
        self.known.borrow_mut().insert(key);
        let value = self.table?.get(key)?.get_ref();
        Some(Item { value, path: join(&self.path, key), reports: self.reports })
    }

    /// The value of `key`, which must be there.
    pub(super) fn require(&self, key: &'static str) -> Option<Item<'a>> {
        self.require_because(key, "")
    }

    /// The value of `key`, which must be there; `why` follows the message that it is missing.
    pub(super) fn require_because(&self, key: &'static str, why: &'static str) -> Option<Item<'a>> {
        let item = self.take(key);
        if item.is_none() {
            self.missing.borrow_mut().push((key, why));
        }
        item
    }

    /// What `read` makes of the value of `key`; `default` if the key is absent, or was refused.
    pub(super) fn or_default<T>(
        &self,
        key: &'static str,
        default: T,
        read: impl FnOnce(&Item<'a>) -> Option<T>,
    ) -> T {
        self.take(key).and_then(|item| read(&item)).unwrap_or(default)
    }

    /// Refuses `key` if it is there, because of `why`.
    pub(super) fn refuse(&self, key: &'static str, why: impl Into<Complaint>) {
        if let Some(item) = self.take(key) {
            self.reports.key_error(&item.path, why.into());
        }
    }

    /// Refuses `keys` that have no meaning yet. Their values may be secrets: they are not shown.
    pub(super) fn unsupported(&self, keys: &[&'static str]) {
        for key in keys {
            self.refuse(key, "not supported by this version");
        }
    }

    /// The table of `[key]`; an empty one if it is absent.
    pub(super) fn section(&self, key: &'static str) -> Section<'a> {
        let absent = || Section::new(None, join(&self.path, key), self.reports);
        self.take(key).and_then(|item| item.table()).unwrap_or_else(absent)
    }

    /// The tables of `[[key]]`, at most `count_max`.
    pub(super) fn sections(&self, key: &'static str, count_max: usize) -> Vec<Section<'a>> {
        let Some(item) = self.take(key) else { return Vec::new() };
        if let DeValue::Table(_) = item.value {
            let complaint = Complaint::from("this section can be there many times");
            item.error::<()>(complaint.hint(format!("write [[{}]]", item.path)));
            return item.table().into_iter().collect();
        }
        let tables: Vec<_> = item.list().iter().filter_map(Item::table).collect();
        if tables.len() > count_max {
            item.error::<()>(format!("{} are more than {count_max}", tables.len()));
        }
        tables.into_iter().take(count_max).collect()
    }

    /// Ends reading: what was not asked for is unknown.
    pub(super) fn finish(self) {
        let known = self.known.into_inner();
        let mut missing = self.missing.into_inner();
        let keys = self.table.into_iter().flat_map(|table| table.keys()).map(Spanned::get_ref);
        for key in keys.filter(|key| !known.contains(key.as_ref())) {
            // A misspelt key is not missing as well; and what is missing is the best guess.
            let is_meant = |name: &&str| did_you_mean(key, [*name]).is_some();
            let guess = missing.iter().map(|(name, _)| *name).find(is_meant);
            missing.retain(|(name, _)| Some(*name) != guess);
            let hint = match guess {
                Some(name) => did_you_mean(key, [name]),
                None => did_you_mean(key, known.iter().copied()),
            };
            let path = join(&self.path, key);
            self.reports.key_error(&path, Complaint::from("unknown key").maybe_hint(hint));
        }
        for (name, why) in missing {
            self.reports.error(&self.path, format!("{name:?} is missing{why}"));
        }
    }

    pub(super) fn error(&self, complaint: impl Into<Complaint>) {
        self.reports.error(&self.path, complaint);
    }

    /// Path of this table, such as `port[0]`.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    pub(super) fn reports(&self) -> &'a Reports<'a> {
        self.reports
    }
}

/// A value and its path.
#[derive(Clone)]
pub(super) struct Item<'a> {
    value: &'a DeValue<'a>,
    path: String,
    reports: &'a Reports<'a>,
}

impl<'a> Item<'a> {
    /// The string that this is, without a word if it is something else.
    pub(super) fn text(&self) -> Option<&'a str> {
        match self.value {
            DeValue::String(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn string(&self) -> Option<&'a str> {
        self.text().or_else(|| self.wrong_type("a string"))
    }

    /// A string that `parse` understands.
    pub(super) fn parse<T>(&self, parse: impl FnOnce(&str) -> Result<T, Complaint>) -> Option<T> {
        match parse(self.string()?) {
            Ok(value) => Some(value),
            Err(complaint) => self.error(complaint),
        }
    }

    /// A string that is one of the names.
    pub(super) fn choice<T: Copy>(&self, names: &[(&'static str, T)]) -> Option<T> {
        let word = self.string()?;
        if let Some((_, value)) = names.iter().find(|(name, _)| *name == word) {
            return Some(*value);
        }
        let hint = did_you_mean(word, names.iter().map(|(name, _)| *name));
        let all = names.iter().map(|(name, _)| format!("{name:?}")).collect::<Vec<_>>().join(", ");
        self.error(Complaint::from(format!("{word:?} is not one of {all}")).maybe_hint(hint))
    }

    pub(super) fn boolean(&self) -> Option<bool> {
        match self.value {
            DeValue::Boolean(value) => Some(*value),
            _ => self.wrong_type("true or false"),
        }
    }

    /// An integer in `range`.
    pub(super) fn integer<T>(&self, range: RangeInclusive<T>) -> Option<T>
    where
        T: TryFrom<u64> + PartialOrd + Display,
    {
        let DeValue::Integer(integer) = self.value else { return self.wrong_type("an integer") };
        let number = u64::from_str_radix(integer.as_str(), integer.radix()).ok();
        let number = number.and_then(|number| T::try_from(number).ok());
        let within = number.filter(|number| range.contains(number));
        if within.is_none() {
            let (first, last) = (range.start(), range.end());
            self.error::<()>(format!("{integer} is not in {first} to {last}"));
        }
        within
    }

    /// A 16-bit integer from 1 to `max`.
    pub(super) fn nonzero_u16(&self, max: u16) -> Option<NonZeroU16> {
        self.integer(1..=max).and_then(NonZeroU16::new)
    }

    /// A duration in `range`.
    pub(super) fn duration(&self, range: RangeInclusive<Duration>) -> Option<Duration> {
        if self.is_integer() {
            let complaint = Complaint::from("a duration needs a unit");
            return self.error(complaint.hint("as in \"10s\""));
        }
        let duration = self.parse(scalar::duration)?;
        if range.contains(&duration) {
            return Some(duration);
        }
        let (first, last) = (range.start().as_secs(), range.end().as_secs());
        self.error(format!("not in {first}s to {last}s"))
    }

    /// A size in `range`, in octets: with its unit, or as a plain number of octets.
    pub(super) fn size_octets(&self, range: RangeInclusive<u64>) -> Option<u64> {
        if self.is_integer() {
            return self.integer(range);
        }
        let octets = self.parse(scalar::size_octets)?;
        if range.contains(&octets) {
            return Some(octets);
        }
        self.error(format!("not in {} to {} octets", range.start(), range.end()))
    }

    /// The elements of an array; none if it is something else.
    pub(super) fn list(&self) -> Vec<Self> {
        let DeValue::Array(array) = self.value else {
            self.wrong_type::<()>("a list");
            return Vec::new();
        };
        let element = |(index, value): (usize, &'a Spanned<DeValue<'a>>)| Self {
            value: value.get_ref(),
            path: format!("{}[{index}]", self.path),
            reports: self.reports,
        };
        array.iter().enumerate().map(element).collect()
    }

    /// The elements of an array, or the one value that is there instead.
    pub(super) fn one_or_list(&self) -> Vec<Self> {
        if self.is_list() { self.list() } else { vec![self.clone()] }
    }

    pub(super) fn is_list(&self) -> bool {
        matches!(self.value, DeValue::Array(_))
    }

    /// The elements of an array that has some.
    pub(super) fn list_of(&self, what: &str) -> Option<Vec<Self>> {
        let elements = self.list();
        if self.is_list() && elements.is_empty() {
            return self.error(format!("the list has no {what}"));
        }
        self.is_list().then_some(elements)
    }

    pub(super) fn is_integer(&self) -> bool {
        matches!(self.value, DeValue::Integer(_))
    }

    pub(super) fn is_boolean(&self) -> bool {
        matches!(self.value, DeValue::Boolean(_))
    }

    /// The table that this is.
    pub(super) fn table(&self) -> Option<Section<'a>> {
        self.table_or("a table")
    }

    /// The table that this is; `expected` says what it could be as well.
    pub(super) fn table_or(&self, expected: &str) -> Option<Section<'a>> {
        let DeValue::Table(table) = self.value else { return self.wrong_type(expected) };
        Some(Section::new(Some(table), self.path.clone(), self.reports))
    }

    /// Reports `complaint`. Always `None`, for the caller to return.
    pub(super) fn error<T>(&self, complaint: impl Into<Complaint>) -> Option<T> {
        self.reports.error(&self.path, complaint);
        None
    }

    pub(super) fn warning(&self, complaint: impl Into<Complaint>) {
        self.reports.warning(&self.path, complaint);
    }

    /// Path of this value, such as `port[0].gateway`.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Reports that this is not what was `expected`. Always `None`, for the caller to return.
    pub(super) fn wrong_type<T>(&self, expected: &str) -> Option<T> {
        let found = match self.value {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a number with a fraction",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        self.error(format!("expected {expected}, found {found}"))
    }
}
