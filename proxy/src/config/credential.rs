//! Secrets in their four forms: `key`, `keys`, and a `_file` twin of each.
//!
//! The environment's form wins over the file's; two forms in the same layer contradict each other.

use std::path::Path;

use zeroize::Zeroizing;

use super::section::Section;
use super::tree::Origin;
use super::{Secret, file};

/// What was given for one secret.
pub(super) struct Credential {
    /// The key it was given as, or the first it could have been given as.
    pub(super) key: String,
    /// Whether anything was given, right or wrong.
    pub(super) given: bool,
    /// The values, in order; none is empty.
    pub(super) values: Vec<Secret>,
}

/// One key a secret can stand under.
struct Form {
    key: String,
    many: bool,
    file: bool,
}

impl Section<'_> {
    /// A secret that may have several values at a time: `one`, `many`, and a `_file` twin of each.
    pub(super) fn credential(&self, one: Option<&str>, many: Option<&str>) -> Credential {
        let mut forms: Vec<_> = [(one, false), (many, true)]
            .into_iter()
            .filter_map(|(key, many)| Some((key?, many)))
            .flat_map(|(key, many)| {
                let file = Form { key: format!("{key}_file"), many, file: true };
                [Form { key: key.to_owned(), many, file: false }, file]
            })
            .collect();
        let first = forms.first().map_or_else(String::new, |form| form.key.clone());
        let from_environment = |form: &Form| {
            self.node(&form.key).is_some_and(|node| matches!(node.origin, Origin::Environment(_)))
        };
        forms.retain(|form| self.node(&form.key).is_some());
        if forms.iter().any(from_environment) {
            forms.retain(from_environment);
        }
        let [form, others @ ..] = forms.as_slice() else {
            return Credential { key: first, given: false, values: Vec::new() };
        };
        for other in others {
            self.issue(&other.key, format!("is given besides `{}`; keep one of the two", form.key));
        }
        Credential {
            key: form.key.clone(),
            given: true,
            values: self.values(form).unwrap_or_default(),
        }
    }

    /// None when what was given is wrong, which is noted.
    fn values(&self, form: &Form) -> Option<Vec<Secret>> {
        let contents = if form.file { Some(self.contents(&form.key)?) } else { None };
        let texts: Vec<&str> = match (&contents, form.many) {
            (Some(contents), true) => contents.lines().filter(|line| !line.is_empty()).collect(),
            (Some(contents), false) => vec![contents.trim_end_matches(['\r', '\n'])],
            (None, true) => self.raw_list(&form.key)?,
            (None, false) => vec![self.raw_text(&form.key)?],
        };
        if texts.is_empty() || texts.iter().any(|text| text.trim().is_empty()) {
            self.issue(&form.key, "is empty; put the value there, or remove the key");
            return None;
        }
        if texts.iter().any(|text| text.contains(char::is_control)) {
            self.issue(&form.key, "holds a line break or control character; keep the value alone");
            return None;
        }
        Some(texts.into_iter().map(Secret::new).collect())
    }

    fn contents(&self, key: &str) -> Option<Zeroizing<String>> {
        let path = Path::new(self.raw_text(key)?);
        self.warn_if_open(key, path);
        file::read_text(path).map_err(|message| self.issue(key, message)).ok()
    }
}

impl Credential {
    /// How a message begins that is about the value at `index`.
    pub(super) fn entry(&self, index: usize) -> String {
        if self.values.len() > 1 { format!("entry {} ", index + 1) } else { String::new() }
    }
}
