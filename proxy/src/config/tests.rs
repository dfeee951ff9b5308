//! What a configuration means, and what is said about one that means nothing.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use super::{Config, Issues};

mod environment;
mod files;
mod mistakes;
mod shipped;

/// One account; rows of the tests go on in its table at line 6. Every value says "Canary", so that a message that repeats
/// one gives itself away.
const ACCOUNT: &str = r#"[accounts.main]
appid = "wxCanary"
token = "CanaryToken"
encoding_aes_keys = ["CanaryKey0123456789012345678901234567890123"]
upstream.url = "http://Canary:Canary@127.0.0.1:3000/Canary?key=Canary"
"#;

const NO_ENVIRONMENT: &BTreeMap<String, String> = &BTreeMap::new();

/// Parses, and makes sure that nothing that can be printed repeats a value.
fn parse(text: &str, environment: &BTreeMap<String, String>) -> Result<Config, Issues> {
    let result = Config::parse(text, environment);
    let printed = match &result {
        Ok(config) => {
            let warnings: Vec<_> = config.warnings.iter().map(ToString::to_string).collect();
            // The appid is public and meant to be seen.
            format!("{config:?}{warnings:?}").replace("wxCanary", "")
        }
        Err(issues) => format!("{issues:?}{issues}"),
    };
    assert!(!printed.contains("Canary"), "a value is printed for:\n{text}\n{printed}");
    result
}

/// The configuration of [`ACCOUNT`] with more below it.
fn valid(more: &str) -> Config {
    let text = format!("{ACCOUNT}{more}");
    parse(&text, NO_ENVIRONMENT).unwrap_or_else(|issues| panic!("{text}\n{issues}"))
}

/// The lines an operator reads about a text with mistakes.
fn complaints(text: &str, environment: &BTreeMap<String, String>) -> Vec<String> {
    match parse(text, environment) {
        Ok(_) => panic!("nothing is wrong with\n{text}"),
        Err(issues) => issues.to_string().lines().map(str::to_owned).collect(),
    }
}

fn warnings(config: &Config) -> Vec<String> {
    config.warnings.iter().map(ToString::to_string).collect()
}

fn variables(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// A folder of its own for one test, removed afterwards.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("wxedge-{}-{}", process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Folder(path)
    }

    /// Writes a file and returns its path as TOML and the environment want it.
    fn file(&self, name: &str, contents: impl AsRef<[u8]>) -> String {
        let path = self.0.join(name);
        fs::write(&path, contents).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

#[test]
fn every_mistake_is_reported_at_once_in_the_order_of_the_file() {
    let text = r#"
[listen]
callback = "Canary"
calback = "Canary"

[accounts.main]
appid = "wx Canary"
mode = "Canary"
upstream = { url = "ftp://Canary", deadline_ms = 9 }
"#;
    let environment = variables(&[("WXEDGE__RUNTIME__THREADS", "Canary")]);
    let found = complaints(text, &environment);
    let places: Vec<_> = found.iter().map(|line| line.split_once(": ").unwrap().0).collect();
    let expected = [
        "listen.callback (line 3)",
        "listen.calback (line 4)",
        "accounts.main.encoding_aes_keys (line 6)",
        "accounts.main.token (line 6)",
        "accounts.main.appid (line 7)",
        "accounts.main.mode (line 8)",
        "accounts.main.upstream.deadline_ms (line 9)",
        "accounts.main.upstream.url (line 9)",
        "runtime.threads (WXEDGE__RUNTIME__THREADS)",
    ];
    assert_eq!(places, expected);
}

#[test]
fn a_file_that_cannot_be_read_is_one_issue() {
    let issues = Config::load(Path::new("no/such/file.toml"), NO_ENVIRONMENT).unwrap_err();
    let expected = "no/such/file.toml cannot be read (No such file or directory (os error 2)); \
                    check the path and its permissions";
    assert_eq!(issues.to_string(), expected);

    let folder = Folder::new();
    let path = folder.file("wxedge.toml", ACCOUNT);
    assert_eq!(Config::load(Path::new(&path), NO_ENVIRONMENT).unwrap().accounts.len(), 1);
    let path = folder.file("binary.toml", [0xff, 0xfe]);
    let issues = Config::load(Path::new(&path), NO_ENVIRONMENT).unwrap_err();
    assert!(issues.to_string().ends_with("is not UTF-8 text; check that it is the right file"));
}

#[test]
fn the_minigame_deadline_is_the_smaller_one() {
    let deadline = |more| valid(more).accounts["main"].upstream.deadline_minigame.as_millis();
    assert_eq!(deadline(""), 2_500);
    assert_eq!(deadline("upstream.deadline_ms = 2501"), 2_500);
    assert_eq!(deadline("upstream.deadline_ms = 900"), 900);
}

#[test]
fn zero_means_off_or_by_itself() {
    assert_eq!(valid("replay_window_s = 0").accounts["main"].replay_window, None);
    let window = valid("replay_window_s = 1").accounts["main"].replay_window;
    assert_eq!(window, Some(std::time::Duration::from_secs(1)));
    assert!(valid("[runtime]\nthreads = 0").runtime.threads >= 1);
    assert_eq!(valid("[runtime]\nthreads = 3").runtime.threads, 3);
}

#[test]
fn a_change_that_needs_a_restart_is_named() {
    let old = valid("");
    assert_eq!(old.restart_only(&valid("")), [""; 0]);
    let rows = [
        ("[listen]\ncallback = \"127.0.0.1:9000\"", "listen.callback"),
        ("[listen]\napi = \"127.0.0.1:9000\"", "listen.api"),
        ("[listen]\nadmin = \"127.0.0.1:9000\"", "listen.admin"),
        ("[listen]\nmax_connections = 7", "listen.max_connections"),
        ("[listen]\nmax_connections_per_peer = 7", "listen.max_connections_per_peer"),
        ("[runtime]\nthreads = 1001", "runtime.threads"),
        ("[runtime]\ngrace_s = 11", "runtime.grace_s"),
        ("[runtime]\nupgrade_sock = \"other.sock\"", "runtime.upgrade_sock"),
        ("[store]\nurl = \"embedded:other\"", "store.url"),
    ];
    for (more, key) in rows {
        assert_eq!(old.restart_only(&valid(more)), [key]);
    }
    let reloadable = "
        max_in_flight = 3
        [listen]
        trusted_proxies = [\"10.0.0.0/8\"]
        admin_key = \"Canary\"
    ";
    assert_eq!(old.restart_only(&valid(reloadable)), [""; 0]);
}

#[test]
fn secrets_compare_and_hide() {
    let config = valid("");
    let token = &config.accounts["main"].tokens[0];
    assert!(token.matches(b"CanaryToken"));
    for wrong in ["", "CanaryToke", "CanaryToken1", "canaryToken"] {
        assert!(!token.matches(wrong.as_bytes()), "{wrong}");
    }
    assert_eq!(format!("{token:?}"), "[redacted]");
    let account = &config.accounts["main"];
    assert_eq!(account.upstream.target.to_string(), "http://127.0.0.1:3000");
    assert_eq!(format!("{:?}", account.upstream.target), "http://127.0.0.1:3000");
}
