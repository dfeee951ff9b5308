//! Values as what they mean, secrets from their files, and every mistake on the way: a value that is wrong is named, and the
//! rest is read as if it were not there.

use super::tree::{Nodes, Origin, Value};
use super::{Secret, keys};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

/// All values by path, and what is wrong with them.
#[derive(Default)]
pub(super) struct Values {
    nodes: Nodes,
    /// The paths of those that are wrong by themselves.
    wrong: BTreeSet<String>,
    issues: Vec<Issue>,
    /// What is valid but probably not meant.
    warnings: Vec<Issue>,
}

/// One mistake, or one warning.
struct Issue {
    origin: Option<Origin>,
    path: String,
    message: String,
}

impl Values {
    /// Looks at each value by itself.
    pub(super) fn new(all: Nodes) -> Values {
        let file = |path: &String| format!("{path}_file");
        let is_twice =
            |path: &&String| keys::kind(&file(path)).is_some() && all.contains_key(&file(path));
        let twice: Vec<String> = all.keys().filter(is_twice).cloned().collect();
        let mut values = Values::default();
        for (path, node) in all {
            match keys::issue(&path, &node.value) {
                None => drop(values.nodes.insert(path, node)),
                Some(message) => {
                    values.wrong.insert(path.clone());
                    values.issues.push(Issue { origin: Some(node.origin), path, message });
                }
            }
        }
        for path in twice {
            values.issue(&path, format!("is set twice, also as {}; keep one", file(&path)));
        }
        values
    }

    /// All mistakes and all warnings in words.
    pub(super) fn finish(self) -> (Vec<String>, Vec<String>) {
        (words(self.issues), words(self.warnings))
    }

    /// Adds a mistake.
    pub(super) fn issue(&mut self, path: &str, message: impl Into<String>) {
        let issue = self.of(path, message.into());
        self.issues.push(issue);
    }

    fn warn_if_open(&mut self, path: &str, file: &Path) {
        if is_open(file) {
            let message = "can be read by every user of this machine; chmod 600 it, or 640";
            let warning = self.of(path, message.to_owned());
            self.warnings.push(warning);
        }
    }

    fn of(&self, path: &str, message: String) -> Issue {
        let origin = self.nodes.get(path).map(|node| node.origin.clone());
        Issue { origin, path: path.to_owned(), message }
    }

    /// Whether a key is there, right or wrong.
    pub(super) fn has(&self, path: &str) -> bool {
        self.nodes.contains_key(path) || self.wrong.contains(path)
    }

    pub(super) fn text(&self, path: &str) -> Option<&str> {
        self.value(path)?.text()
    }

    /// The value, or the default that is written here.
    pub(super) fn or<T: FromStr>(&self, path: &str, default: &'static str) -> T
    where
        T::Err: std::fmt::Debug,
    {
        #[expect(clippy::expect_used, reason = "written here, and every test reads it")]
        self.text(path)
            .and_then(|text| text.parse().ok())
            .unwrap_or_else(|| default.parse().expect("invariant: the default is valid"))
    }

    pub(super) fn number(&mut self, path: &str, default: u32) -> u32 {
        let Some(number) = self.value(path).and_then(Value::number) else { return default };
        u32::try_from(number).unwrap_or_else(|_| {
            self.issue(path, "is too large");
            default
        })
    }

    pub(super) fn seconds(&mut self, path: &str, default: u32) -> Duration {
        Duration::from_secs(self.number(path, default).into())
    }

    pub(super) fn list<T: FromStr>(&self, path: &str, default: &[&str]) -> Vec<T> {
        let list = self.value(path).and_then(Value::list);
        let list = list.unwrap_or_else(|| default.to_vec());
        list.into_iter().filter_map(|text| text.parse().ok()).collect()
    }

    /// All values whose path begins with `prefix`, by the rest of it.
    pub(super) fn table<T: FromStr>(&self, prefix: &str) -> BTreeMap<String, T> {
        let named = |path: &String| {
            let name = path.strip_prefix(prefix)?;
            Some((name.to_owned(), self.text(path)?.parse().ok()?))
        };
        self.nodes.keys().filter_map(named).collect()
    }

    /// A secret that stands here, or in the file that its twin names.
    pub(super) fn secret(&mut self, path: &str) -> Option<Secret> {
        if let Some(text) = self.text(path) {
            return Some(Secret::new(text));
        }
        let twin = format!("{path}_file");
        let file = PathBuf::from(self.text(&twin)?);
        self.warn_if_open(&twin, &file);
        match fs::read_to_string(file) {
            Ok(text) if !text.trim().is_empty() => return Some(Secret::new(text.trim())),
            Ok(_) => self.issue(&twin, "the file is empty"),
            Err(error) => self.issue(&twin, error.to_string()),
        }
        None
    }

    fn value(&self, path: &str) -> Option<&Value> {
        Some(&self.nodes.get(path)?.value)
    }
}

/// In the order of the file; what does not stand in it comes last.
fn words(mut issues: Vec<Issue>) -> Vec<String> {
    issues.sort_by(|a, b| {
        (a.origin.is_none(), &a.origin, &a.path).cmp(&(b.origin.is_none(), &b.origin, &b.path))
    });
    let words = |Issue { origin, path, message }| match origin {
        Some(origin) => format!("{path} ({origin}): {message}"),
        None => format!("{path}: {message}"),
    };
    issues.into_iter().map(words).collect()
}

/// Whether every user of the machine may read a file. Those below /run are somebody else's doing: Docker's secrets and the
/// like, which nobody but the program sees.
fn is_open(path: &Path) -> bool {
    let path = path.canonicalize().unwrap_or_default();
    let metadata = path.metadata();
    !path.starts_with("/run")
        && metadata.is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o004 != 0)
}
