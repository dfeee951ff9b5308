//! Every key there is, and what its value must look like.

use super::tree::Value;
use std::net::SocketAddr;
use url::Url;

/// What a value must look like.
#[derive(Clone, Copy)]
pub(super) enum Kind {
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
pub(super) const KEYS: &[(&str, Kind)] = &[
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

/// What is wrong with the value of a key, if anything is.
pub(super) fn issue(path: &str, value: &Value) -> Option<String> {
    let Some(kind) = kind(path) else {
        let known = KEYS.iter().map(|(key, _)| *key);
        let nearest = known.max_by(|a, b| {
            strsim::jaro_winkler(a, path).total_cmp(&strsim::jaro_winkler(b, path))
        })?;
        return Some(format!("there is no such key; the nearest is {nearest}"));
    };
    let text = value.text();
    let (valid, expected) = match kind {
        Kind::Address => (text.is_some_and(is_address), "an address such as 127.0.0.1:8090"),
        Kind::Addresses => (
            value.list().is_some_and(|list| list.into_iter().all(is_address)),
            "a list of addresses such as 119.29.29.29:53",
        ),
        Kind::Url | Kind::SecretUrl => {
            (text.is_some_and(is_url), "an address that begins with http:// or https://")
        }
        Kind::Number => (value.number().is_some_and(|number| number > 0), "a whole number from 1"),
        Kind::Language => (matches!(text, Some("zh" | "en")), "zh or en"),
        Kind::Text | Kind::Secret => (text.is_some_and(|text| !text.is_empty()), "a text"),
    };
    (!valid).then(|| format!("must be {expected}"))
}

/// The kind of a key; `None` when there is no such key.
pub(super) fn kind(path: &str) -> Option<Kind> {
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

pub(super) fn is_url(text: &str) -> bool {
    text.parse::<Url>().is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}
