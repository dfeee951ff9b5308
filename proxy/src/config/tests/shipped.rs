//! The files in `conf/`: valid, complete, and true about the defaults.

use std::collections::BTreeSet;

use super::{NO_ENVIRONMENT, warnings};
use crate::config::notes::Notes;
use crate::config::section::Section;
use crate::config::{Config, tree};

const QUICKSTART: &str = include_str!("../../../../conf/quickstart.toml");
const COMPLETE: &str = include_str!("../../../../conf/wxedge.toml");

/// Keys whose commented line is an example, because they have no default.
const EXAMPLES: [&str; 19] = [
    "admin_key",
    "admin_key_file",
    "callback_tls",
    "api_tls",
    "admin_tls",
    "token_file",
    "tokens",
    "tokens_file",
    "encoding_aes_keys_file",
    "secret",
    "secret_file",
    "signing_secret",
    "signing_secret_file",
    "key",
    "key_file",
    "keys",
    "keys_file",
    "accounts",
    "allow",
];

/// One line of the complete file that holds a key or a table, commented or not.
struct Line<'a> {
    active: bool,
    table: String,
    text: &'a str,
}

impl Line<'_> {
    /// `None` for the header of a table.
    fn key(&self) -> Option<&str> {
        self.text.split_once(" = ").map(|(key, _)| key)
    }
}

fn lines() -> Vec<Line<'static>> {
    let mut table = String::new();
    let mut lines = Vec::new();
    for line in COMPLETE.lines() {
        let text = line.strip_prefix('#').unwrap_or(line);
        let key_like =
            text.starts_with(|first: char| first.is_ascii_lowercase() || "[\"".contains(first));
        if !key_like {
            continue;
        }
        if let Some(header) = text.strip_prefix('[') {
            table = header.trim_end_matches(']').to_owned();
        }
        lines.push(Line { active: !line.starts_with('#'), table: table.clone(), text });
    }
    lines
}

fn file_of(lines: &[Line<'_>], keep: impl Fn(&Line<'_>) -> bool) -> String {
    lines.iter().filter(|line| keep(line)).map(|line| format!("{}\n", line.text)).collect()
}

fn parsed(text: &str) -> Config {
    Config::parse(text, NO_ENVIRONMENT).unwrap_or_else(|issues| panic!("{text}\n{issues}"))
}

#[test]
fn both_files_are_valid_and_only_what_must_be_replaced_is_warned_of() {
    assert_eq!(warnings(&parsed(QUICKSTART)), [""; 0]);
    let [secret, token, aes_keys] = warnings(&parsed(COMPLETE)).try_into().unwrap();
    assert!(secret.starts_with("accounts.main.secret (line"), "{secret}");
    for (warning, key) in [(token, "token"), (aes_keys, "encoding_aes_keys")] {
        assert!(warning.starts_with(&format!("accounts.main.{key} (line")), "{warning}");
        assert!(warning.contains("is the example's; write your own"), "{warning}");
    }
    let echo = crate::config::Target::Echo;
    assert_eq!(parsed(QUICKSTART).accounts["main"].upstream.target, echo);
}

/// Both ways: no key without its lines in the file, no line about a key that does not exist.
#[test]
fn the_complete_file_has_every_key() {
    let documented: BTreeSet<_> = lines()
        .iter()
        .filter_map(|line| Some(format!("{}.{}", line.table, line.key()?)))
        .filter(|path| !path.starts_with("clients.crm.budgets."))
        .collect();

    let tables = "[clients.crm]\n[accounts.main]\n";
    let tree = tree::parse(tables).unwrap();
    let notes = Notes::default();
    Config::read(&Section::root(&notes, &tree));
    let known: BTreeSet<_> = notes.known_paths();
    let is_table = |path: &String| {
        let inside = format!("{path}.");
        let named = ["clients.crm.budgets", "wechat", "api", "spool"].contains(&path.as_str());
        named || known.iter().any(|other| other.starts_with(&inside))
    };
    let keys: BTreeSet<_> = known.iter().filter(|path| !is_table(path)).cloned().collect();
    assert!(keys.len() > 60, "the walk knows its keys: {keys:?}");
    assert_eq!(documented, keys);
}

#[test]
fn the_values_shown_are_the_defaults() {
    let lines = lines();
    let example = |line: &Line<'_>| line.key().is_some_and(|key| EXAMPLES.contains(&key));
    let client = |line: &Line<'_>| line.table.starts_with("clients.");
    let shown = |config: Config| format!("{:?}", Config { warnings: Vec::new(), ..config });

    let least = file_of(&lines, |line| line.active);
    let most = file_of(&lines, |line| !client(line) && (line.active || !example(line)));
    assert!(most.lines().count() > least.lines().count() + 35, "defaults are shown:\n{most}");
    assert_eq!(shown(parsed(&most)), shown(parsed(&least)));

    let wanted = ["key", "accounts", "allow"];
    let given = |line: &Line<'_>| {
        line.key().is_none_or(|key| wanted.contains(&key) || key.starts_with('"'))
    };
    let least = file_of(&lines, |line| line.active || client(line) && given(line));
    let most =
        file_of(&lines, |line| line.active || client(line) && (given(line) || !example(line)));
    assert_eq!(most.lines().count(), least.lines().count() + 3);
    assert_eq!(shown(parsed(&most)), shown(parsed(&least)));
}
