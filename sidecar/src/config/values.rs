//! Values that were found valid by their kind, as what they mean; secrets from their files.

use super::Secret;
use std::collections::BTreeMap;
use std::fs;
use std::str::FromStr;
use std::time::Duration;
use toml::Value;

/// All values by path, and what went wrong with them.
pub(super) struct Values {
    values: BTreeMap<String, Value>,
    issues: Vec<String>,
}

impl Values {
    pub(super) fn new(values: BTreeMap<String, Value>) -> Values {
        Values { values, issues: Vec::new() }
    }

    /// The mistakes that only a look at the values shows.
    pub(super) fn issues(self) -> Vec<String> {
        self.issues
    }

    pub(super) fn issue(&mut self, path: &str, what: &str) {
        self.issues.push(format!("{path}: {what}"));
    }

    pub(super) fn text(&self, path: &str) -> Option<String> {
        self.values.get(path)?.as_str().map(str::to_owned)
    }

    pub(super) fn optional<T: FromStr>(&mut self, path: &str) -> Option<T> {
        let text = self.text(path)?;
        let parsed = text.parse().ok();
        if parsed.is_none() {
            self.issue(path, "cannot be used");
        }
        parsed
    }

    /// The value, or the default that is written here.
    pub(super) fn or<T: FromStr>(&mut self, path: &str, default: &'static str) -> T
    where
        T::Err: std::fmt::Debug,
    {
        #[expect(clippy::expect_used, reason = "written here, and every test reads it")]
        self.optional(path)
            .unwrap_or_else(|| default.parse().expect("invariant: the default is valid"))
    }

    pub(super) fn number(&mut self, path: &str, default: u32) -> u32 {
        let value = self.values.get(path);
        let number = value
            .and_then(|value| value.as_integer().or_else(|| value.as_str()?.trim().parse().ok()));
        let Some(number) = number else { return default };
        u32::try_from(number).unwrap_or_else(|_| {
            self.issue(path, "is too large");
            default
        })
    }

    pub(super) fn seconds(&mut self, path: &str, default: u32) -> Duration {
        Duration::from_secs(self.number(path, default).into())
    }

    pub(super) fn list<T: FromStr>(&self, path: &str, default: &[&str]) -> Vec<T> {
        let parse = |text: &str| text.trim().parse().ok();
        match self.values.get(path) {
            Some(Value::Array(list)) => {
                list.iter().filter_map(Value::as_str).filter_map(parse).collect()
            }
            // The environment has lists with commas.
            Some(Value::String(list)) => list.split(',').filter_map(parse).collect(),
            _ => default.iter().copied().filter_map(parse).collect(),
        }
    }

    /// All values whose path begins with `prefix`, by the rest of it.
    pub(super) fn table<T: FromStr>(&self, prefix: &str) -> BTreeMap<String, T> {
        let named = |(path, value): (&String, &Value)| {
            let name = path.strip_prefix(prefix)?;
            Some((name.to_owned(), value.as_str()?.parse().ok()?))
        };
        self.values.iter().filter_map(named).collect()
    }

    /// A secret that stands here, or in the file that its twin names.
    pub(super) fn secret(&mut self, path: &str) -> Option<Secret> {
        if let Some(text) = self.text(path) {
            return Some(Secret::new(text));
        }
        let twin = format!("{path}_file");
        let file = self.text(&twin)?;
        match fs::read_to_string(&file) {
            Ok(text) if !text.trim().is_empty() => Some(Secret::new(text.trim())),
            Ok(_) => {
                self.issue(&twin, "the file is empty");
                None
            }
            Err(error) => {
                self.issue(&twin, &error.to_string());
                None
            }
        }
    }
}
