//! The sidecar's configuration: a small TOML file, overridden by `WXEDGE_SIDECAR__…` in the environment.
//!
//! Messages name keys, never values: any of them may be a secret in the wrong place.

mod secret;
mod values;

pub use secret::Secret;

use crate::limits;
use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::{Table, Value};
use url::Url;
use values::Values;

/// A configuration a start would accept.
#[derive(Debug, Clone)]
pub struct Config {
    /// `listen`: where the sidecar's own pages are served.
    pub listen: SocketAddr,
    /// `key`: what `Authorization: Bearer` must carry, if anything.
    pub key: Option<Secret>,
    /// `language` of messages and pages.
    pub language: Language,
    /// `data`: the folder of what is remembered over a restart.
    pub data: PathBuf,
    /// The edge that is watched.
    pub edge: Edge,
    /// How the edge is looked at from outside.
    pub probe: Probe,
    /// Who is told.
    pub notify: Notify,
    /// When WeChat is believed to have stopped pushing.
    pub markfail: MarkFail,
}

/// `[edge]`.
#[derive(Debug, Clone)]
pub struct Edge {
    /// Its admin listener.
    pub admin: Url,
    /// Its API listener.
    pub api: Url,
    /// Its `listen.admin_key`, when it has one.
    pub key: Option<Secret>,
}

/// `[probe]`.
#[derive(Debug, Clone)]
pub struct Probe {
    /// Resolvers besides the system's own.
    pub dns_resolvers: Vec<SocketAddr>,
    /// From one look to the next.
    pub interval: Duration,
    /// By account, the URL that WeChat was told.
    pub public_url: BTreeMap<String, Url>,
}

/// `[notify]`. The addresses are secrets: those of robots work for whoever knows them, others may have a password.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "each is the key of its name")]
pub struct Notify {
    pub alertmanager: Option<Secret>,
    pub wecom: Option<Secret>,
    pub dingtalk: Option<Secret>,
    pub dingtalk_secret: Option<Secret>,
    pub feishu: Option<Secret>,
    pub feishu_secret: Option<Secret>,
    pub webhook: Option<Secret>,
    /// A firing alert is said again after this long.
    pub repeat_interval: Duration,
}

/// `[markfail]`.
#[derive(Debug, Clone)]
pub struct MarkFail {
    /// Failures in `window` at which WeChat alarms.
    pub visible_failures: u32,
    /// The window those are counted in.
    pub window: Duration,
    /// The shortest silence that can count as a block.
    pub silence: Duration,
}

impl Notify {
    /// The names of the keys that say where messages go.
    pub fn channels(&self) -> Vec<&'static str> {
        self.addresses().map(|(key, _)| key).collect()
    }

    /// Where messages go, by key.
    fn addresses(&self) -> impl Iterator<Item = (&'static str, &Secret)> {
        let addresses = [
            ("notify.alertmanager", &self.alertmanager),
            ("notify.wecom", &self.wecom),
            ("notify.dingtalk", &self.dingtalk),
            ("notify.feishu", &self.feishu),
            ("notify.webhook", &self.webhook),
        ];
        addresses.into_iter().filter_map(|(key, address)| Some((key, address.as_ref()?)))
    }
}

/// Of messages and pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// `zh`.
    Chinese,
    /// `en`.
    English,
}

/// All mistakes of a configuration, one a line, each with its key.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct Issues(pub Vec<String>);

/// What a value must look like.
#[derive(Clone, Copy)]
enum Kind {
    /// `host:port` with a numeric host.
    Address,
    /// A list of addresses.
    Addresses,
    /// `http://` or `https://`.
    Url,
    /// A whole number from 1.
    Number,
    /// `zh` or `en`.
    Language,
    /// Any text, a path for example.
    Text,
    /// A text that may also stand in the file that `<key>_file` names.
    Secret,
    /// The address of who is told, which may be a secret as well: that of a chat robot works for whoever knows it.
    SecretUrl,
}

/// Every key; `*` is any name.
const KEYS: &[(&str, Kind)] = &[
    ("listen", Kind::Address),
    ("key", Kind::Secret),
    ("language", Kind::Language),
    ("data", Kind::Text),
    ("edge.admin", Kind::Url),
    ("edge.api", Kind::Url),
    ("edge.key", Kind::Secret),
    ("probe.dns_resolvers", Kind::Addresses),
    ("probe.interval_s", Kind::Number),
    ("probe.public_url.*", Kind::Url),
    ("notify.alertmanager", Kind::SecretUrl),
    ("notify.wecom", Kind::SecretUrl),
    ("notify.dingtalk", Kind::SecretUrl),
    ("notify.dingtalk_secret", Kind::Secret),
    ("notify.feishu", Kind::SecretUrl),
    ("notify.feishu_secret", Kind::Secret),
    ("notify.webhook", Kind::SecretUrl),
    ("notify.repeat_interval_s", Kind::Number),
    ("markfail.visible_failures", Kind::Number),
    ("markfail.window_s", Kind::Number),
    ("markfail.silence_s", Kind::Number),
];

const ENVIRONMENT: &str = "WXEDGE_SIDECAR__";

/// Of DNSPod (Tencent, 182.254.116.116 is the one that WeChat's guide tells to ask) and of the public.
const DNS_RESOLVERS: [&str; 2] = ["182.254.116.116:53", "119.29.29.29:53"];

impl Config {
    /// Reads and checks the file at `path` with `environment` over it.
    pub fn load(path: &Path, environment: &BTreeMap<String, String>) -> Result<Config, Issues> {
        let text = fs::read_to_string(path)
            .map_err(|error| Issues(vec![format!("{}: {error}", path.display())]))?;
        Config::parse(&text, environment)
    }

    /// Checks `text` with `environment` over it.
    pub fn parse(text: &str, environment: &BTreeMap<String, String>) -> Result<Config, Issues> {
        let table = text.parse::<Table>().map_err(|error| Issues(vec![not_toml(text, &error)]))?;
        let mut values = BTreeMap::new();
        flatten("", table, &mut values);
        for (variable, value) in environment {
            if let Some(path) = variable.strip_prefix(ENVIRONMENT) {
                let path = path.to_lowercase().replace("__", ".");
                values.insert(path, Value::String(value.clone()));
            }
        }

        let mut issues: Vec<String> =
            values.iter().filter_map(|(path, value)| issue(path, value)).collect();
        for path in values.keys() {
            let file = format!("{path}_file");
            if kind(&file).is_some() && values.contains_key(&file) {
                issues.push(format!("{path}: is set twice, also as {file}; keep one"));
            }
        }
        if !issues.is_empty() {
            return Err(Issues(issues));
        }
        let mut values = Values::new(values);
        let config = Config {
            listen: values.or("listen", "127.0.0.1:8090"),
            key: values.secret("key"),
            language: match values.text("language").as_deref() {
                Some("en") => Language::English,
                _ => Language::Chinese,
            },
            data: values.or("data", "data/sidecar"),
            edge: Edge {
                admin: values.or("edge.admin", "http://127.0.0.1:8082"),
                api: values.or("edge.api", "http://127.0.0.1:8081"),
                key: values.secret("edge.key"),
            },
            probe: Probe {
                dns_resolvers: values.list("probe.dns_resolvers", &DNS_RESOLVERS),
                interval: values.seconds("probe.interval_s", 30),
                public_url: values.table("probe.public_url."),
            },
            notify: Notify {
                alertmanager: values.secret("notify.alertmanager"),
                wecom: values.secret("notify.wecom"),
                dingtalk: values.secret("notify.dingtalk"),
                dingtalk_secret: values.secret("notify.dingtalk_secret"),
                feishu: values.secret("notify.feishu"),
                feishu_secret: values.secret("notify.feishu_secret"),
                webhook: values.secret("notify.webhook"),
                repeat_interval: values.seconds("notify.repeat_interval_s", 14_400),
            },
            markfail: MarkFail {
                visible_failures: values.number("markfail.visible_failures", 30),
                window: values.seconds("markfail.window_s", 300),
                silence: values.seconds("markfail.silence_s", 20),
            },
        };
        for (key, address) in config.notify.addresses() {
            if !is_url(address.expose()) {
                values.issue(key, "must be an address that begins with http:// or https://");
            }
        }
        if config.probe.interval > Duration::from_secs(limits::PROBE_INTERVAL_S) {
            let most = limits::PROBE_INTERVAL_S;
            values.issue("probe.interval_s", &format!("must be at most {most}"));
        }
        let mut issues = values.issues();
        if !config.listen.ip().is_loopback() && config.key.is_none() {
            issues.push("key: is required when listen is not a loopback address".to_owned());
        }
        if issues.is_empty() { Ok(config) } else { Err(Issues(issues)) }
    }
}

/// Says where the mistake is, without the line itself: the parser's own words would repeat it.
fn not_toml(text: &str, error: &toml::de::Error) -> String {
    let start = error.span().map_or(0, |span| span.start);
    let line = text.bytes().take(start).filter(|byte| *byte == b'\n').count() + 1;
    format!("line {line}: this is not TOML")
}

/// Turns nested tables into `table.key`.
fn flatten(prefix: &str, table: Table, values: &mut BTreeMap<String, Value>) {
    for (key, value) in table {
        let path = if prefix.is_empty() { key } else { format!("{prefix}.{key}") };
        match value {
            Value::Table(table) => flatten(&path, table, values),
            value => {
                values.insert(path, value);
            }
        }
    }
}

/// What is wrong with the value of a key, if anything is.
fn issue(path: &str, value: &Value) -> Option<String> {
    let Some(kind) = kind(path) else {
        let known = KEYS.iter().map(|(key, _)| *key);
        let nearest = known.max_by(|a, b| {
            strsim::jaro_winkler(a, path).total_cmp(&strsim::jaro_winkler(b, path))
        })?;
        return Some(format!("{path}: there is no such key; the nearest is {nearest}"));
    };
    let text = value.as_str();
    let (valid, expected) = match kind {
        Kind::Address => (text.is_some_and(is_address), "an address such as 127.0.0.1:8090"),
        Kind::Addresses => (
            match value {
                Value::Array(list) => list.iter().all(|one| one.as_str().is_some_and(is_address)),
                // The environment has lists with commas.
                _ => text.is_some_and(|text| text.split(',').map(str::trim).all(is_address)),
            },
            "a list of addresses such as 119.29.29.29:53",
        ),
        Kind::Url | Kind::SecretUrl => {
            (text.is_some_and(is_url), "an address that begins with http:// or https://")
        }
        Kind::Number => (
            value.as_integer().or_else(|| text?.parse().ok()).is_some_and(|number| number > 0),
            "a whole number from 1",
        ),
        Kind::Language => (matches!(text, Some("zh" | "en")), "zh or en"),
        Kind::Text | Kind::Secret => (text.is_some_and(|text| !text.is_empty()), "a text"),
    };
    (!valid).then(|| format!("{path}: must be {expected}"))
}

/// The kind of a key; `None` when there is no such key.
fn kind(path: &str) -> Option<Kind> {
    let named = |name: &str| {
        KEYS.iter().find(|(key, _)| match key.strip_suffix('*') {
            Some(prefix) => name.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty()),
            None => *key == name,
        })
    };
    if let Some((_, kind)) = named(path) {
        return Some(*kind);
    }
    match named(path.strip_suffix("_file")?)? {
        (_, Kind::Secret | Kind::SecretUrl) => Some(Kind::Text),
        _ => None,
    }
}

fn is_address(text: &str) -> bool {
    text.parse::<SocketAddr>().is_ok()
}

fn is_url(text: &str) -> bool {
    text.parse::<Url>().is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str, environment: &[(&str, &str)]) -> Result<Config, Issues> {
        let environment =
            environment.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        Config::parse(text, &environment)
    }

    #[test]
    fn the_shipped_file_is_valid_and_shows_every_key() {
        let shipped = include_str!("../../../conf/sidecar.toml");
        assert_eq!(parse(shipped, &[]).unwrap().listen, "127.0.0.1:8090".parse().unwrap());
        for (key, _) in KEYS {
            let name = key.trim_end_matches(".*").rsplit('.').next().unwrap();
            assert!(shipped.contains(name), "{key} is missing");
        }
    }

    #[test]
    fn an_empty_file_listens_on_loopback() {
        assert_eq!(parse("", &[]).unwrap().listen, "127.0.0.1:8090".parse().unwrap());
    }

    #[test]
    fn the_environment_wins() {
        let environment = [
            ("WXEDGE_SIDECAR__LISTEN", "127.0.0.1:1"),
            ("WXEDGE_SIDECAR__PROBE__DNS_RESOLVERS", "127.0.0.1:53, 127.0.0.2:53"),
            ("WXEDGE_SIDECAR__PROBE__INTERVAL_S", "5"),
        ];
        let config = parse("listen = \"127.0.0.1:2\"", &environment).unwrap();
        assert_eq!(config.listen, "127.0.0.1:1".parse().unwrap());
    }

    #[test]
    fn off_loopback_needs_a_key() {
        let open = "listen = \"0.0.0.0:8090\"\n";
        let issues = parse(open, &[]).unwrap_err().0;
        assert_eq!(issues, ["key: is required when listen is not a loopback address"]);
        assert!(parse(&format!("{open}key = \"k\""), &[]).is_ok());
        let file = format!("{}/Cargo.toml", env!("CARGO_MANIFEST_DIR"));
        assert!(parse(&format!("{open}key_file = {file:?}"), &[]).is_ok());
        assert!(parse(open, &[("WXEDGE_SIDECAR__KEY", "k")]).is_ok());
    }

    #[test]
    fn every_mistake_is_named_and_no_value_is_repeated() {
        let text = "
            lisen = 'canary'
            listen = 'canary'
            language = 'canary'
            listen_file = 'canary'
            key = 'canary'
            key_file = 'canary'
            [edge]
            admin = 'canary'
            [probe]
            interval_s = 0
            dns_resolvers = ['canary']
            [probe.public_url]
            main = 'canary'
        ";
        let message = parse(text, &[("WXEDGE_SIDECAR__MARKFAIL__WINDOW_S", "canary")])
            .unwrap_err()
            .to_string();
        assert!(!message.contains("canary"), "{message}");
        let mut lines: Vec<_> = message.lines().collect();
        lines.sort_unstable();
        let expected = [
            "edge.admin: must be an address that begins with http:// or https://",
            "key: is set twice, also as key_file; keep one",
            "language: must be zh or en",
            "lisen: there is no such key; the nearest is listen",
            "listen: must be an address such as 127.0.0.1:8090",
            "listen_file: there is no such key; the nearest is listen",
            "markfail.window_s: must be a whole number from 1",
            "probe.dns_resolvers: must be a list of addresses such as 119.29.29.29:53",
            "probe.interval_s: must be a whole number from 1",
            "probe.public_url.main: must be an address that begins with http:// or https://",
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn a_syntax_error_names_the_line_only() {
        let issues = parse("\nkey = 'canary\n", &[]).unwrap_err().0;
        assert_eq!(issues, ["line 2: this is not TOML"]);
    }
}
