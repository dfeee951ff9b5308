//! The file and the environment merged into one tree whose values know where they came from.

use std::collections::BTreeMap;

use toml::de::{DeTable, DeValue};
use zeroize::Zeroizing;

use super::Issues;

/// What every overriding variable begins with; what follows is the key path with `__` for the dot.
const PREFIX: &str = "WXEDGE__";
const SEPARATOR: &str = "__";

/// A table: its keys, raw.
pub(super) type Table = BTreeMap<String, Node>;

/// One value and where it came from.
pub(super) struct Node {
    pub(super) origin: Origin,
    pub(super) value: Value,
}

/// Where a value came from.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Origin {
    /// The line of the file its key stands in.
    File(usize),
    /// The environment variable.
    Environment(String),
}

/// A value. Deliberately without `Debug`: any text may be a secret.
pub(super) enum Value {
    Table(Table),
    List(Vec<Node>),
    Text(Zeroizing<String>),
    Integer(i64),
    Boolean(bool),
    /// A fraction, a date, an integer beyond 64 bits: nothing that any key takes.
    Other,
}

/// Parses the file. A syntax error names the place only; the parser's own words quote the line, which may be a secret's.
pub(super) fn parse(text: &str) -> Result<Table, Issues> {
    let lines = Lines::of(text);
    match DeTable::parse(text) {
        Ok(table) => Ok(lines.table(table.into_inner())),
        Err(error) => {
            let (line, column) = lines.place(error.span().map_or(0, |span| span.start));
            let message = format!(
                "column {column}: this is not TOML; look for a missing quote or bracket, a text without quotes, or a key or \
                 table that is there twice"
            );
            Err(Issues::one(Some(line), message))
        }
    }
}

/// Lays the environment over the file. A variable below something that is no table is left out: the walk reports that.
pub(super) fn overlay(root: &mut Table, environment: &BTreeMap<String, String>) {
    for (variable, text) in environment {
        let Some(path) = variable.strip_prefix(PREFIX) else { continue };
        let path = path.to_ascii_lowercase();
        let origin = Origin::Environment(variable.clone());
        let node = Node { origin, value: Value::Text(Zeroizing::new(text.clone())) };
        insert(root, &path, node);
    }
}

fn insert(table: &mut Table, path: &str, node: Node) {
    let Some((key, rest)) = path.split_once(SEPARATOR) else {
        table.insert(path.to_owned(), node);
        return;
    };
    let origin = node.origin.clone();
    let child = table
        .entry(key.to_owned())
        .or_insert_with(|| Node { origin, value: Value::Table(Table::new()) });
    if let Value::Table(table) = &mut child.value {
        insert(table, rest, node);
    }
}

/// The offsets at which the lines of a text begin.
struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn of(text: &'a str) -> Lines<'a> {
        let starts =
            std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Lines { text, starts }
    }

    /// Line and column, from 1, of a byte offset; columns count characters.
    fn place(&self, offset: usize) -> (usize, usize) {
        let line = self.starts.partition_point(|start| *start <= offset);
        let start = self.starts.get(line - 1).copied().unwrap_or(0);
        let column = self.text.get(start..offset).map_or(0, |before| before.chars().count());
        (line, column + 1)
    }

    fn table(&self, table: DeTable<'_>) -> Table {
        let node =
            |(key, value): (toml::Spanned<toml::de::DeString<'_>>, toml::Spanned<DeValue<'_>>)| {
                let origin = Origin::File(self.place(key.span().start).0);
                (
                    key.into_inner().into_owned(),
                    Node { origin, value: self.value(value.into_inner()) },
                )
            };
        table.into_iter().map(node).collect()
    }

    fn value(&self, value: DeValue<'_>) -> Value {
        match value {
            DeValue::Table(table) => Value::Table(self.table(table)),
            DeValue::Array(list) => {
                let node = |entry: toml::Spanned<DeValue<'_>>| Node {
                    origin: Origin::File(self.place(entry.span().start).0),
                    value: self.value(entry.into_inner()),
                };
                Value::List(list.into_iter().map(node).collect())
            }
            DeValue::String(text) => Value::Text(Zeroizing::new(text.into_owned())),
            DeValue::Integer(digits) => i64::from_str_radix(digits.as_str(), digits.radix())
                .map_or(Value::Other, Value::Integer),
            DeValue::Boolean(value) => Value::Boolean(value),
            DeValue::Float(_) | DeValue::Datetime(_) => Value::Other,
        }
    }
}
