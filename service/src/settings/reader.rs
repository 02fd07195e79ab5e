//! Reads a tree of settings section by section and collects every problem on the way.
//!
//! What a section is asked for is what exists: the same calls that read a value also say which
//! keys there are (for the page and for "did you mean") and what their defaults are.

use std::cell::RefCell;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use config::{Map, Value, ValueKind};
use sluicegate_limits::policy::problem::nearest;

use super::load::{COMMAND_LINE, ENVIRONMENT, SettingsProblem};

/// One key that can be set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingRow {
    /// The full dotted key.
    pub key: String,
    /// Its default as it would be written; `-` where it has none.
    pub default: String,
}

/// What the walk over all sections shares.
pub(super) struct Walk {
    /// The settings file; empty where there is none.
    pub(super) file: String,
    pub(super) problems: RefCell<Vec<SettingsProblem>>,
    pub(super) rows: RefCell<Vec<SettingRow>>,
}

/// One table of settings that is being read.
pub(super) struct Section<'w> {
    walk: &'w Walk,
    path: String,
    table: Map<String, Value>,
    origins: Map<String, Option<String>>,
    asked: Vec<String>,
}

impl Walk {
    pub(super) fn new(file: &str) -> Self {
        let file = file.to_owned();
        Self { file, problems: RefCell::default(), rows: RefCell::default() }
    }

    pub(super) fn problem(&self, origin: Option<&str>, key: &str, what: String, h: Option<String>) {
        let problem = SettingsProblem::new(&self.file, origin, key, what, h);
        self.problems.borrow_mut().push(problem);
    }

    /// Where a relative path begins: at the settings file for a value that stands in it.
    fn base(&self, origin: Option<&str>) -> PathBuf {
        let beside = origin.is_some_and(|o| o == self.file);
        let parent = Path::new(&self.file).parent().filter(|_| beside);
        parent.map(Path::to_path_buf).unwrap_or_default()
    }
}

impl<'w> Section<'w> {
    pub(super) fn new(walk: &'w Walk, path: &str, table: Map<String, Value>) -> Self {
        let origins = table.iter().map(|(k, v)| (k.clone(), origin_of(v))).collect();
        Self { walk, path: path.to_owned(), table, origins, asked: Vec::new() }
    }

    /// A nested table; an empty one where it is missing.
    pub(super) fn section(&mut self, key: &str) -> Section<'w> {
        let path = self.full(key);
        let table = match self.take(key).map(|v| v.kind) {
            None | Some(ValueKind::Nil) => Map::new(),
            Some(ValueKind::Table(table)) => table,
            Some(other) => {
                self.wrong(key, format!("must be a mapping, not {}", kind_name(&other)), None);
                Map::new()
            }
        };
        Section::new(self.walk, &path, table)
    }

    /// A whole number within a range.
    pub(super) fn number(&mut self, key: &str, default: u64, range: RangeInclusive<u64>) -> u64 {
        self.row(key, &default);
        self.number_in(key, range).unwrap_or(default)
    }

    /// A whole number that has no default.
    pub(super) fn optional_number(&mut self, key: &str, range: RangeInclusive<u64>) -> Option<u64> {
        self.row(key, &"-");
        self.number_in(key, range)
    }

    fn number_in(&mut self, key: &str, range: RangeInclusive<u64>) -> Option<u64> {
        let value = self.take(key)?;
        let number = match &value.kind {
            ValueKind::I64(n) => u64::try_from(*n).ok(),
            ValueKind::U64(n) => Some(*n),
            ValueKind::String(s) => s.trim().parse().ok(),
            _ => None,
        };
        let number = number.filter(|n| range.contains(n));
        if number.is_none() {
            let (least, most) = range.into_inner();
            self.wrong(key, format!("must be a whole number from {least} to {most}"), None);
        }
        number
    }

    /// A share from 0 to 1.
    pub(super) fn share(&mut self, key: &str, default: f64) -> f64 {
        self.row(key, &default);
        let Some(value) = self.take(key) else { return default };
        let share = match &value.kind {
            ValueKind::Float(x) => Some(*x),
            ValueKind::I64(0) => Some(0.0),
            ValueKind::I64(1) => Some(1.0),
            ValueKind::String(s) => s.trim().parse().ok(),
            _ => None,
        };
        share.filter(|x| (0.0..=1.0).contains(x)).unwrap_or_else(|| {
            self.wrong(key, "must be a number from 0 to 1", None);
            default
        })
    }

    /// Yes or no.
    pub(super) fn flag(&mut self, key: &str, default: bool) -> bool {
        self.choice(
            key,
            if default { "true" } else { "false" },
            &[("true", true), ("false", false)],
        )
        .unwrap_or(default)
    }

    /// One of a few words; nothing only after a problem was noted.
    pub(super) fn choice<T: Copy>(
        &mut self,
        key: &str,
        default: &str,
        words: &[(&str, T)],
    ) -> Option<T> {
        let text = self.text_or(key, default);
        let default = || words.iter().find(|(w, _)| *w == default).map(|(_, t)| *t);
        self.word(key, &text, words).or_else(default)
    }

    /// One of a few words, without a default.
    pub(super) fn optional_choice<T: Copy>(&mut self, key: &str, words: &[(&str, T)]) -> Option<T> {
        let text = self.text(key)?;
        self.word(key, &text, words)
    }

    fn word<T: Copy>(&self, key: &str, text: &str, words: &[(&str, T)]) -> Option<T> {
        let found = words.iter().find(|(w, _)| *w == text).map(|(_, t)| *t);
        if found.is_none() {
            let list = words.iter().map(|(w, _)| *w).collect::<Vec<_>>();
            let help = did_you_mean(text, list.iter().copied());
            self.wrong(key, format!("must be one of {}", list.join(", ")), help);
        }
        found
    }

    /// A text with a default.
    pub(super) fn text_or(&mut self, key: &str, default: &str) -> String {
        self.row(key, &default);
        self.text_in(key).unwrap_or_else(|| default.to_owned())
    }

    /// A text that has no default.
    pub(super) fn text(&mut self, key: &str) -> Option<String> {
        self.row(key, &"-");
        self.text_in(key)
    }

    /// A path that has no default.
    pub(super) fn path(&mut self, key: &str) -> Option<PathBuf> {
        self.row(key, &"-");
        let base = self.walk.base(self.origins.get(key).and_then(Option::as_deref));
        self.text_in(key).map(|text| base.join(text))
    }

    fn text_in(&mut self, key: &str) -> Option<String> {
        let value = self.take(key)?;
        let text = text_of(value.kind);
        if text.is_none() {
            self.wrong(key, "must be a text", None);
        }
        text.filter(|t| !t.is_empty())
    }

    /// A list of texts with the place that relative paths in it begin at; one text is a list
    /// whose items are separated by commas, as environment variables have it.
    pub(super) fn list(&mut self, key: &str, default: &[&str]) -> Vec<(PathBuf, String)> {
        self.row(key, &format!("[{}]", default.join(", ")));
        let Some(value) = self.take(key) else {
            return default.iter().map(|d| (PathBuf::new(), (*d).to_owned())).collect();
        };
        let base = self.walk.base(self.origins.get(key).and_then(Option::as_deref));
        let items = match value.kind {
            ValueKind::Array(items) => items,
            ValueKind::String(text) => {
                text.split(',').map(|t| Value::new(None, t.trim().to_owned())).collect()
            }
            _ => {
                self.wrong(key, "must be a list of texts", None);
                Vec::new()
            }
        };
        let mut texts = Vec::new();
        for item in items {
            match text_of(item.kind) {
                Some(text) if !text.is_empty() => texts.push((base.clone(), text)),
                _ => self.wrong(key, "must be a list of texts", None),
            }
        }
        texts
    }

    /// The keys that nobody asked for yet.
    pub(super) fn remaining(&self) -> Vec<String> {
        let mut keys: Vec<_> = self.table.keys().cloned().collect();
        keys.sort_unstable();
        keys
    }

    /// What kind of value stands at the key, without taking it.
    pub(super) fn peek(&self, key: &str) -> Option<&ValueKind> {
        self.table.get(key).map(|v| &v.kind)
    }

    /// Notes a problem with the value of `key`.
    pub(super) fn wrong(&self, key: &str, what: impl Into<String>, help: Option<String>) {
        let first = key.split('.').next().unwrap_or(key);
        // What is there and stands nowhere was set by a flag.
        let origin = self.origins.get(first).map(|o| o.as_deref().unwrap_or(COMMAND_LINE));
        self.walk.problem(origin, &self.full(key), what.into(), help);
    }

    /// Where the value of `key` stands.
    pub(super) fn origin(&self, key: &str) -> Option<&String> {
        self.origins.get(key).and_then(Option::as_ref)
    }

    /// Notes a problem with the section itself.
    pub(super) fn wrong_here(&self, what: String, help: Option<String>) {
        let origin = self.origins.values().flatten().next().map(String::as_str);
        self.walk.problem(origin, &self.path, what, help);
    }

    /// Ends the section: whatever is left is unknown.
    pub(super) fn finish(self) {
        for key in self.remaining() {
            let help = did_you_mean(&key, self.asked.iter().map(String::as_str))
                .or_else(|| Some(format!("known here: {}", self.asked.join(", "))));
            self.wrong(&key, "unknown setting", help);
        }
    }

    fn take(&mut self, key: &str) -> Option<Value> {
        if !self.asked.iter().any(|k| k == key) {
            self.asked.push(key.to_owned());
        }
        self.table.remove(key).filter(|v| !matches!(v.kind, ValueKind::Nil))
    }

    /// Notes that there is such a key.
    pub(super) fn row(&self, key: &str, default: &dyn Display) {
        let row = SettingRow { key: self.full(key), default: default.to_string() };
        let mut rows = self.walk.rows.borrow_mut();
        if !rows.iter().any(|r| r.key == row.key) {
            rows.push(row);
        }
    }

    fn full(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }
}

impl SettingsProblem {
    fn new(
        file: &str,
        origin: Option<&str>,
        key: &str,
        message: String,
        help: Option<String>,
    ) -> Self {
        let place = match origin {
            Some(ENVIRONMENT) => {
                let name = key.to_ascii_uppercase().replace('.', "__");
                format!("environment SLUICEGATE__{name}")
            }
            Some(origin) => origin.to_owned(),
            None if file.is_empty() => COMMAND_LINE.to_owned(),
            None => file.to_owned(),
        };
        Self { place, key: key.to_owned(), message, help }
    }
}

/// Where a value stands; the environment makes tables that stand nowhere themselves.
fn origin_of(value: &Value) -> Option<String> {
    let inside = || match &value.kind {
        ValueKind::Table(table) => table.values().find_map(origin_of),
        _ => None,
    };
    value.origin().map(str::to_owned).or_else(inside)
}

/// "did you mean", where a word is close enough to be meant.
fn did_you_mean<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    nearest(word, known).map(|known| format!("did you mean `{known}`?"))
}

fn text_of(kind: ValueKind) -> Option<String> {
    match kind {
        ValueKind::String(text) => Some(text),
        ValueKind::Boolean(yes) => Some(yes.to_string()),
        ValueKind::I64(n) => Some(n.to_string()),
        ValueKind::Float(x) => Some(x.to_string()),
        _ => None,
    }
}

fn kind_name(kind: &ValueKind) -> &'static str {
    match kind {
        ValueKind::Array(_) => "a list",
        ValueKind::Table(_) => "a mapping",
        ValueKind::Nil => "nothing",
        _ => "a single value",
    }
}
