//! The sidecar's configuration: a small TOML file, overridden by `WXEDGE_SIDECAR__…` in the environment.
//!
//! Messages name keys, never values: any of them may be a secret in the wrong place.

mod keys;
mod secret;
mod tree;
mod values;

pub use secret::Secret;

use crate::limits;
use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use keys::is_url;
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
    /// What is valid but probably not meant, one a line.
    pub warnings: Vec<String>,
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
    pub(crate) fn addresses(&self) -> impl Iterator<Item = (&'static str, &Secret)> {
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

/// All mistakes of a configuration, one a line, each with its key and where that stands.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct Issues(pub Vec<String>);

/// Of DNSPod (Tencent, 182.254.116.116 is the one that WeChat's guide tells to ask) and of the public.
const DNS_RESOLVERS: [&str; 2] = ["182.254.116.116:53", "119.29.29.29:53"];

impl Config {
    /// Reads and checks the file at `path` with `environment` over it.
    pub fn load(path: &Path, environment: &BTreeMap<String, String>) -> Result<Config, Issues> {
        let text = fs::read_to_string(path)
            .map_err(|error| Issues(vec![format!("cannot be read ({error})")]))?;
        Config::parse(&text, environment)
    }

    /// Checks `text` with `environment` over it.
    pub fn parse(text: &str, environment: &BTreeMap<String, String>) -> Result<Config, Issues> {
        let mut values = Values::new(tree::read(text, environment)?);
        let config = Config {
            listen: values.or("listen", "127.0.0.1:8090"),
            key: values.secret("key"),
            language: match values.text("language") {
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
            warnings: Vec::new(),
        };
        for (key, address) in config.notify.addresses() {
            if !is_url(address.expose()) {
                values.issue(key, "must be an address that begins with http:// or https://");
            }
        }
        if config.probe.interval > Duration::from_secs(limits::PROBE_INTERVAL_S) {
            let most = limits::PROBE_INTERVAL_S;
            values.issue("probe.interval_s", format!("must be at most {most}"));
        }
        let has_key = values.has("key") || values.has("key_file");
        if !config.listen.ip().is_loopback() && !has_key {
            values.issue("key", "is required when listen is not a loopback address");
        }
        let (issues, warnings) = values.finish();
        if issues.is_empty() { Ok(Config { warnings, ..config }) } else { Err(Issues(issues)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn parse(text: &str, environment: &[(&str, &str)]) -> Result<Config, Issues> {
        let environment =
            environment.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        Config::parse(text, &environment)
    }

    #[test]
    fn the_shipped_file_is_valid_and_shows_every_key() {
        let shipped = include_str!("../../../conf/sidecar.toml");
        assert_eq!(parse(shipped, &[]).unwrap().listen, "127.0.0.1:8090".parse().unwrap());
        for (key, _) in keys::KEYS {
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
        assert!(parse(open, &[("WXEDGE_SIDECAR__KEY", "k")]).is_ok());
    }

    #[test]
    fn a_key_can_stand_in_a_file_which_is_nobody_elses() {
        let folder = wxedge_tests::folder::Folder::new();
        let file = folder.write("key", "k\n");
        let text = format!("listen = \"0.0.0.0:8090\"\nkey_file = {file:?}");
        let everybody = "can be read by every user of this machine; chmod 600 it, or 640";
        for (mode, expected) in
            [(0o640, vec![]), (0o644, vec![format!("key_file (line 2): {everybody}")])]
        {
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            let config = parse(&text, &[]).unwrap();
            assert!(config.key.unwrap().matches(b"k"));
            assert_eq!(config.warnings, expected);
        }
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
        let expected = [
            "lisen (line 2): there is no such key; the nearest is listen",
            "listen (line 3): must be an address such as 127.0.0.1:8090",
            "language (line 4): must be zh or en",
            "listen_file (line 5): there is no such key; the nearest is listen",
            "key (line 6): is set twice, also as key_file; keep one",
            "edge.admin (line 9): must be an address that begins with http:// or https://",
            "probe.interval_s (line 11): must be a whole number from 1",
            "probe.dns_resolvers (line 12): must be a list of addresses such as 119.29.29.29:53",
            "probe.public_url.main (line 14): must be an address that begins with http:// or https://",
            "markfail.window_s (WXEDGE_SIDECAR__MARKFAIL__WINDOW_S): must be a whole number from 1",
        ];
        assert_eq!(message.lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn mistakes_that_only_the_whole_shows_are_named_besides_the_others() {
        let text = "
            listen = '0.0.0.0:8090'
            language = 'fr'
            [edge]
            key_file = '/nowhere'
            [probe]
            interval_s = 999999
            [markfail]
            window_s = 99999999999
        ";
        let expected = [
            "language (line 3): must be zh or en",
            "edge.key_file (line 5): No such file or directory (os error 2)",
            "probe.interval_s (line 7): must be at most 600",
            "markfail.window_s (line 9): is too large",
            "key: is required when listen is not a loopback address",
        ];
        assert_eq!(parse(text, &[]).unwrap_err().0, expected);
        // A key that cannot be read is no missing one.
        let unread = "listen = '0.0.0.0:8090'\nkey_file = '/nowhere'";
        let expected = ["key_file (line 2): No such file or directory (os error 2)"];
        assert_eq!(parse(unread, &[]).unwrap_err().0, expected);
    }

    #[test]
    fn a_syntax_error_names_the_line_only() {
        let issues = parse("\nkey = 'canary\n", &[]).unwrap_err().0;
        assert_eq!(issues.len(), 1);
        assert!(issues[0].starts_with("line 2: column 14: this is not TOML; "), "{issues:?}");
    }
}
