//! The file and the environment as one list of values that know where they came from.

use super::Issues;
use std::collections::BTreeMap;
use std::fmt;
use toml::de::{DeTable, DeValue};

/// What every overriding variable begins with; what follows is the key with `__` for the dot.
const ENVIRONMENT: &str = "WXEDGE_SIDECAR__";

/// All values, by `table.key`.
pub(super) type Nodes = BTreeMap<String, Node>;

/// One value and where it came from.
pub(super) struct Node {
    pub(super) origin: Origin,
    pub(super) value: Value,
}

/// Where a value came from.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Origin {
    /// The line of the file that its key stands in, from 1.
    Line(usize),
    /// The environment variable.
    Variable(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Line(line) => write!(f, "line {line}"),
            Origin::Variable(name) => f.write_str(name),
        }
    }
}

/// A value. Deliberately without `Debug`: any text may be a secret.
pub(super) enum Value {
    Text(String),
    Integer(i64),
    /// Of texts; what is none stands as an empty one.
    List(Vec<String>),
    /// Nothing that any key takes.
    Other,
}

impl Value {
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A whole number, which the environment has as a text.
    pub(super) fn number(&self) -> Option<i64> {
        match self {
            Value::Integer(number) => Some(*number),
            Value::Text(text) => text.trim().parse().ok(),
            _ => None,
        }
    }

    /// The entries of a list. The environment has lists with commas.
    pub(super) fn list(&self) -> Option<Vec<&str>> {
        match self {
            Value::List(list) => Some(list.iter().map(String::as_str).collect()),
            Value::Text(text) => Some(text.split(',').map(str::trim).collect()),
            _ => None,
        }
    }
}

/// Reads the file's text, with the environment over it. A syntax error names the place only: the parser's own words would
/// repeat the line, which may be a secret's.
pub(super) fn read(text: &str, environment: &BTreeMap<String, String>) -> Result<Nodes, Issues> {
    let table = DeTable::parse(text).map_err(|error| {
        let (line, column) = place(text, error.span().map_or(0, |span| span.start));
        Issues(vec![format!(
            "line {line}: column {column}: this is not TOML; look for a missing quote or bracket, a text without quotes, or a \
             key or table that is there twice"
        )])
    })?;
    let mut nodes = Nodes::new();
    flatten(text, "", table.into_inner(), &mut nodes);
    for (variable, value) in environment {
        if let Some(path) = variable.strip_prefix(ENVIRONMENT) {
            let path = path.to_lowercase().replace("__", ".");
            let origin = Origin::Variable(variable.clone());
            nodes.insert(path, Node { origin, value: Value::Text(value.clone()) });
        }
    }
    Ok(nodes)
}

/// Turns nested tables into `table.key`.
fn flatten(text: &str, prefix: &str, table: DeTable<'_>, nodes: &mut Nodes) {
    for (key, value) in table {
        let origin = Origin::Line(place(text, key.span().start).0);
        let key = key.into_inner();
        let path = if prefix.is_empty() { key.into_owned() } else { format!("{prefix}.{key}") };
        match value.into_inner() {
            DeValue::Table(table) => flatten(text, &path, table, nodes),
            other => {
                nodes.insert(path, Node { origin, value: value_of(other) });
            }
        }
    }
}

fn value_of(value: DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::Text(text.into_owned()),
        DeValue::Integer(digits) => i64::from_str_radix(digits.as_str(), digits.radix())
            .map_or(Value::Other, Value::Integer),
        DeValue::Array(list) => {
            let texts = list.into_iter().map(|entry| match entry.into_inner() {
                DeValue::String(text) => text.into_owned(),
                _ => String::new(),
            });
            Value::List(texts.collect())
        }
        _ => Value::Other,
    }
}

/// Line and column, from 1, of a byte offset; columns count characters.
fn place(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    (line, before.rsplit('\n').next().unwrap_or_default().chars().count() + 1)
}
