//! The walk over the tree: typed accessors that note each key they know and each mistake they meet, and go on.
//!
//! An accessor that meets a mistake returns the default, so that the walk reaches every other mistake too; the caller
//! throws the result away when there was any. What a parser says about a text it refuses is `&'static str`: no message
//! can repeat a value.

use std::ops::RangeInclusive;
use std::path::Path;

use super::notes::{Notes, issue_at, join};
use super::tree::{Node, Origin, Table, Value};
use super::{Issue, file};

/// One table of the tree, present or not.
pub(super) struct Section<'a> {
    notes: &'a Notes,
    path: String,
    table: Option<&'a Table>,
    /// Where the table stands, or the nearest one around it that does.
    origin: Option<&'a Origin>,
    /// Something else stands in its place, which is noted: nothing is missing from it.
    broken: bool,
}

impl<'a> Section<'a> {
    /// The tree as a section.
    pub(super) fn root(notes: &'a Notes, table: &'a Table) -> Section<'a> {
        Section { notes, path: String::new(), table: Some(table), origin: None, broken: false }
    }

    /// The table `key` of this one; one without keys when it is not there.
    pub(super) fn sub(&self, key: &str) -> Section<'a> {
        let node = self.node(key);
        let table = node.and_then(|node| match &node.value {
            Value::Table(table) => Some(table),
            _ => None,
        });
        let broken = node.is_some() && table.is_none();
        if broken {
            self.issue(key, format!("must be a table; write it as [{}]", join(&self.path, key)));
        }
        let origin = node.map(|node| &node.origin).or(self.origin);
        Section {
            notes: self.notes,
            path: join(&self.path, key),
            table,
            origin,
            broken: broken || self.broken,
        }
    }

    /// The tables in this one, whose names the user chose. What is no table is noted and left out.
    pub(super) fn tables(&self) -> Vec<(&'a str, Section<'a>)> {
        let names = self.table.into_iter().flat_map(Table::keys);
        names
            .map(|name| (name.as_str(), self.sub(name)))
            .filter(|(_, section)| !section.broken)
            .collect()
    }

    /// The keys in this table, which the user chose.
    pub(super) fn keys(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.table.into_iter().flat_map(Table::keys).map(String::as_str)
    }

    /// Whether `key` is there, whatever it is.
    pub(super) fn has(&self, key: &str) -> bool {
        self.node(key).is_some()
    }

    /// Whether something that is no table stands in its place, so that nothing in it counts as missing.
    pub(super) fn broken(&self) -> bool {
        self.broken
    }

    /// A text that `parse` understands. `what` completes "is missing; …" when there is no default.
    pub(super) fn required<T>(
        &self,
        key: &str,
        what: &str,
        parse: impl FnOnce(&str) -> Result<T, &'static str>,
    ) -> Option<T> {
        if !self.has(key) && !self.broken {
            self.issue(key, format!("is missing; {what}"));
        }
        self.parsed(key, parse)
    }

    /// A text that `parse` understands, if it is there.
    pub(super) fn parsed<T>(
        &self,
        key: &str,
        parse: impl FnOnce(&str) -> Result<T, &'static str>,
    ) -> Option<T> {
        let text = self.raw_text(key)?;
        parse(text).map_err(|message| self.issue(key, message)).ok()
    }

    /// A whole number within `range`.
    pub(super) fn integer(&self, key: &str, range: RangeInclusive<u64>, default: u64) -> u64 {
        let number = match self.node(key) {
            None => return default,
            Some(Node { value: Value::Integer(number), .. }) => u64::try_from(*number).ok(),
            Some(Node { value: Value::Text(text), origin: Origin::Environment(_) }) => {
                text.trim().parse().ok()
            }
            Some(_) => None,
        };
        number.filter(|number| range.contains(number)).unwrap_or_else(|| {
            let (low, high) = range.into_inner();
            self.issue(key, format!("must be a whole number from {low} to {high}, without quotes"));
            default
        })
    }

    /// `true` or `false`.
    pub(super) fn boolean(&self, key: &str, default: bool) -> bool {
        let value = match self.node(key) {
            None => return default,
            Some(Node { value: Value::Boolean(value), .. }) => Some(*value),
            Some(Node { value: Value::Text(text), origin: Origin::Environment(_) }) => {
                text.trim().parse().ok()
            }
            Some(_) => None,
        };
        value.unwrap_or_else(|| {
            self.issue(key, "must be true or false, without quotes");
            default
        })
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(&self, key: &str, words: &[(&str, T)], default: T) -> T {
        let Some(text) = self.raw_text(key) else { return default };
        let found = words.iter().find(|(word, _)| *word == text);
        found.map(|(_, value)| *value).unwrap_or_else(|| {
            let words: Vec<_> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
            self.issue(key, format!("must be one of {}", words.join(", ")));
            default
        })
    }

    /// A list of texts that `parse` understands; in the environment, texts with commas between. None when it is not
    /// there or wrong.
    pub(super) fn list<T>(
        &self,
        key: &str,
        parse: impl Fn(&str) -> Result<T, &'static str>,
    ) -> Option<Vec<T>> {
        let texts = self.raw_list(key)?;
        let entry = |(index, text): (usize, &&str)| {
            parse(text)
                .map_err(|message| self.issue(key, format!("entry {} {message}", index + 1)))
                .ok()
        };
        // Every entry is looked at before any of them makes the list wrong.
        let values: Vec<_> = texts.iter().enumerate().map(entry).collect();
        values.into_iter().collect()
    }

    /// Notes a mistake in `key`.
    pub(super) fn issue(&self, key: &str, message: impl Into<String>) {
        self.notes.issue(self.note(key, message.into()));
    }

    /// Notes a mistake in this table as a whole.
    pub(super) fn issue_here(&self, message: &str) {
        self.notes.issue(issue_at(self.path.clone(), self.origin, message.to_owned()));
    }

    /// Notes something about `key` that is valid but probably not meant.
    pub(super) fn warn(&self, key: &str, message: impl Into<String>) {
        self.notes.warning(self.note(key, message.into()));
    }

    /// Notes when everybody may read the file with a secret that `key` names.
    pub(super) fn warn_if_open(&self, key: &str, path: &Path) {
        if file::is_open(path) {
            self.warn(key, "can be read by every user of this machine; chmod 600 it, or 640");
        }
    }

    /// Looks `key` up, which makes it a known one.
    pub(super) fn node(&self, key: &str) -> Option<&'a Node> {
        self.notes.know(&self.path, key);
        self.table?.get(key)
    }

    /// A text as it stands, if it is there.
    pub(super) fn raw_text(&self, key: &str) -> Option<&'a str> {
        match &self.node(key)?.value {
            Value::Text(text) => Some(text),
            _ => {
                self.issue(key, "must be a text; put it in quotes");
                None
            }
        }
    }

    /// A list of texts as it stands, if it is there.
    pub(super) fn raw_list(&self, key: &str) -> Option<Vec<&'a str>> {
        let node = self.node(key)?;
        let texts = match (&node.value, &node.origin) {
            (Value::List(entries), _) => entries.iter().map(text_of).collect(),
            (Value::Text(text), Origin::Environment(_)) => {
                Some(text.split(',').map(str::trim).filter(|text| !text.is_empty()).collect())
            }
            _ => None,
        };
        if texts.is_none() {
            self.issue(key, "must be a list of texts; write it as [\"…\", \"…\"]");
        }
        texts
    }

    fn note(&self, key: &str, message: String) -> Issue {
        let node = self.table.and_then(|table| table.get(key));
        issue_at(join(&self.path, key), node.map(|node| &node.origin).or(self.origin), message)
    }
}

fn text_of(node: &Node) -> Option<&str> {
    match &node.value {
        Value::Text(text) => Some(text),
        _ => None,
    }
}
