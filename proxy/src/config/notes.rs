//! What the walk over the tree notes: mistakes, warnings, and which keys exist, so that the others are unknown.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use super::Issue;
use super::tree::{Origin, Table, Value};

/// What the walk has met so far.
#[derive(Default)]
pub(super) struct Notes {
    issues: RefCell<Vec<Issue>>,
    warnings: RefCell<Vec<Issue>>,
    /// The keys that exist, by the path of their table.
    known: RefCell<BTreeMap<String, BTreeSet<String>>>,
}

impl Notes {
    /// Adds a mistake.
    pub(super) fn issue(&self, issue: Issue) {
        self.issues.borrow_mut().push(issue);
    }

    /// Adds a warning.
    pub(super) fn warning(&self, warning: Issue) {
        self.warnings.borrow_mut().push(warning);
    }

    /// Makes `key` a known one of the table at `path`.
    pub(super) fn know(&self, path: &str, key: &str) {
        let mut known = self.known.borrow_mut();
        match known.get_mut(path) {
            Some(keys) => keys.insert(key.to_owned()),
            None => known.entry(path.to_owned()).or_default().insert(key.to_owned()),
        };
    }

    /// Ends the walk: what nobody asked for is unknown. Returns issues and warnings in the order of the file.
    pub(super) fn finish(self, root: &Table) -> (Vec<Issue>, Vec<Issue>) {
        let known = self.known.into_inner();
        let mut issues = self.issues.into_inner();
        unknown_keys(&known, root, "", &mut issues);
        let mut warnings = self.warnings.into_inner();
        for list in [&mut issues, &mut warnings] {
            list.sort_by(|a, b| {
                (a.line.is_none(), a.line, &a.path).cmp(&(b.line.is_none(), b.line, &b.path))
            });
        }
        (issues, warnings)
    }

    /// Every key path the walk asked for.
    #[cfg(test)]
    pub(super) fn known_paths(&self) -> BTreeSet<String> {
        let known = self.known.borrow();
        known.iter().flat_map(|(table, keys)| keys.iter().map(|key| join(table, key))).collect()
    }
}

fn unknown_keys(
    known: &BTreeMap<String, BTreeSet<String>>,
    table: &Table,
    path: &str,
    issues: &mut Vec<Issue>,
) {
    for (key, node) in table {
        let full = join(path, key);
        if !known.get(path).is_some_and(|keys| keys.contains(key)) {
            issues.push(issue_at(full, Some(&node.origin), unknown_message(known, path, key)));
        } else if let Value::Table(inner) = &node.value {
            unknown_keys(known, inner, &full, issues);
        }
    }
}

/// Names the table around or inside this one that has such a key, or else the key of this table that looks most like it.
fn unknown_message(known: &BTreeMap<String, BTreeSet<String>>, path: &str, key: &str) -> String {
    let related = |table: &str| within(table, path) || within(path, table);
    let mut owners: Vec<_> =
        known.iter().filter(|(table, keys)| keys.contains(key) && related(table)).collect();
    owners.sort_by_key(|(table, _)| table.len());
    match owners.first() {
        Some((table, _)) if table.is_empty() => {
            return "is not a key of this table; it belongs at the top level".to_owned();
        }
        Some((table, _)) => return format!("is not a key of this table; it belongs in [{table}]"),
        None => {}
    }
    let likeness = |candidate: &&String| (strsim::jaro_winkler(candidate, key) * 1000.0) as u32;
    match known.get(path).and_then(|keys| keys.iter().max_by_key(likeness)) {
        Some(nearest) => format!("is not a known key; the nearest is `{nearest}`"),
        None => "is not a known key; remove it".to_owned(),
    }
}

/// Whether the table at `path` is somewhere inside the one at `outer`.
fn within(path: &str, outer: &str) -> bool {
    outer.is_empty() || path.strip_prefix(outer).is_some_and(|rest| rest.starts_with('.'))
}

/// An issue about the key at `path`.
pub(super) fn issue_at(path: String, origin: Option<&Origin>, message: String) -> Issue {
    let (line, variable) = match origin {
        Some(Origin::File(line)) => (Some(*line), None),
        Some(Origin::Environment(variable)) => (None, Some(variable.clone())),
        None => (None, None),
    };
    Issue { path, line, variable, message }
}

/// Adds a key to a path, in quotes if TOML would want them.
pub(super) fn join(path: &str, key: &str) -> String {
    let bare = !key.is_empty()
        && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    let dot = if path.is_empty() { "" } else { "." };
    if bare { format!("{path}{dot}{key}") } else { format!("{path}{dot}{key:?}") }
}
