//! `[accounts.<name>]`: one WeChat account, its credentials, its policies and the app behind it.

use std::time::Duration;

use ipnet::IpNet;
use wxedge_wechat::crypto::AesKey;

use super::section::Section;
use super::value::{any, cidr, host_name, name};
use super::{Secret, Target, Upstream};

/// One WeChat account.
#[derive(Debug)]
pub struct Account {
    /// The name in `[accounts.<name>]`: `[a-z0-9_]+` without `__`.
    pub name: String,
    /// `appid`: unique, 1 to 64 of `[A-Za-z0-9_-]`.
    pub appid: String,
    /// `nickname`: shown in alerts. Default empty.
    pub nickname: String,
    /// `secret`: the AppSecret. Callbacks alone need none.
    pub secret: Option<Secret>,
    /// `token` or `tokens`: any of them verifies, the first signs. Never empty.
    pub tokens: Vec<Secret>,
    /// `encoding_aes_keys`: any decrypts, the one that decrypted encrypts. Never empty unless `mode` is plain.
    pub aes_keys: Vec<AesKey>,
    /// `mode`. Default safe.
    pub mode: Mode,
    /// `path`: what WeChat calls; unique. Default `/wechat/<name>`.
    pub path: String,
    /// `replay_window_s`: how far a callback's timestamp may be from now, up to 24 h; `None` (0 in the file) is off.
    /// Default 300 s.
    pub replay_window: Option<Duration>,
    /// `max_body_bytes`: largest callback body, 1 KiB to 64 MiB. Default 1 MiB.
    pub max_body_bytes: usize,
    /// `max_in_flight`: callbacks at work at once, 1 to 1 000 000. Default 10 000.
    pub max_in_flight: usize,
    /// `source_ip`: what becomes of a callback from an address that is not WeChat's. Default report.
    pub source_ip: SourceIp,
    /// `source_ips`: the addresses that are WeChat's. Default none.
    pub source_ips: Vec<IpNet>,
    /// `on_deadline`. Default success.
    pub on_deadline: OnDeadline,
    /// `join_budget`: visible failures per 5 min that `join` may cause, 0 to 1 000. Default 10.
    pub join_budget: usize,
    /// `token_endpoint`: which of WeChat's endpoints gives the access token. Default stable_token.
    pub token_endpoint: TokenEndpoint,
    /// `jssdk_hosts`: host names whose pages may be signed for the JS-SDK. Default none.
    pub jssdk_hosts: Vec<String>,
    /// `[accounts.<name>.upstream]`: the app.
    pub upstream: Upstream,
    /// `late_reply.via`: how a reply that came too late is sent. Default customer_service.
    pub late_reply_via: LateReplyVia,
}

/// `mode`, as it is set in WeChat's console.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// 明文模式: nothing is encrypted and the signature does not cover the body.
    Plain,
    /// 兼容模式: every message comes plain and encrypted; only the encrypted part counts.
    Compatible,
    /// 安全模式: everything is encrypted.
    Safe,
}

/// `source_ip`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceIp {
    /// The address does not matter.
    Off,
    /// A foreign address is counted and logged.
    Report,
    /// A foreign address is refused.
    Enforce,
}

/// `on_deadline`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDeadline {
    /// WeChat is told `success`; a late reply takes another way.
    Success,
    /// WeChat's own repeats join the running call.
    Join,
}

/// `token_endpoint`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenEndpoint {
    /// `/cgi-bin/stable_token`, which does not invalidate the token other systems hold.
    StableToken,
    /// `/cgi-bin/token`.
    Token,
}

/// `late_reply.via`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LateReplyVia {
    /// As a customer-service message.
    CustomerService,
    /// Not at all.
    Drop,
}

/// First segments of the edge's own endpoints.
const OWN: [&str; 4] = ["healthz", "metrics", "readyz", "v1"];

/// First segments of WeChat's APIs, which SDKs call without an account in front.
#[rustfmt::skip]
const OF_WECHAT: [&str; 28] = [
    "bizwifi", "card", "channels", "cityservice", "customservice", "cv", "datacube", "device", "game", "hardware", "intp",
    "merchant", "nontax", "papay", "poi", "product", "redpacketcover", "retail", "scan", "semantic", "shakearound", "shop",
    "sns", "tcb", "union", "wxa", "wxaapi", "xpay",
];

/// What `conf/wxedge.toml` has in the place of a Token.
const PLACEHOLDER_TOKEN: &str = "ReplaceMe";
/// What `conf/wxedge.toml` has in the place of an EncodingAESKey.
const PLACEHOLDER_AES_KEY: &str = "ReplaceThisByYourOwnEncodingAESKey000000000";

impl Account {
    /// Reads `[accounts.<name>]`.
    pub(super) fn read(name: &str, at: &Section<'_>) -> Account {
        check_name(name, at);
        let mode = at.choice(
            "mode",
            &[("plain", Mode::Plain), ("compatible", Mode::Compatible), ("safe", Mode::Safe)],
            Mode::Safe,
        );
        let secret = at.credential(Some("secret"), None);
        let account = Account {
            name: name.to_owned(),
            appid: at.required("appid", "copy it from WeChat's console", appid).unwrap_or_default(),
            nickname: at.parsed("nickname", nickname).unwrap_or_default(),
            secret: secret.values.into_iter().next(),
            tokens: tokens(at),
            aes_keys: aes_keys(at, mode),
            mode,
            path: at.parsed("path", callback_path).unwrap_or_else(|| format!("/wechat/{name}")),
            replay_window: match at.integer("replay_window_s", 0..=86_400, 300) {
                0 => None,
                seconds => Some(Duration::from_secs(seconds)),
            },
            max_body_bytes: at.integer("max_body_bytes", 1_024..=67_108_864, 1_048_576) as usize,
            max_in_flight: at.integer("max_in_flight", 1..=1_000_000, 10_000) as usize,
            source_ip: at.choice(
                "source_ip",
                &[
                    ("off", SourceIp::Off),
                    ("report", SourceIp::Report),
                    ("enforce", SourceIp::Enforce),
                ],
                SourceIp::Report,
            ),
            source_ips: at.list("source_ips", cidr).unwrap_or_default(),
            on_deadline: at.choice(
                "on_deadline",
                &[("success", OnDeadline::Success), ("join", OnDeadline::Join)],
                OnDeadline::Success,
            ),
            join_budget: at.integer("join_budget", 0..=1_000, 10) as usize,
            token_endpoint: at.choice(
                "token_endpoint",
                &[("stable_token", TokenEndpoint::StableToken), ("token", TokenEndpoint::Token)],
                TokenEndpoint::StableToken,
            ),
            jssdk_hosts: at.list("jssdk_hosts", host_name).unwrap_or_default(),
            upstream: Upstream::read(&at.sub("upstream")),
            late_reply_via: late_reply_via(&at.sub("late_reply")),
        };
        account.warn(at);
        account
    }

    fn warn(&self, at: &Section<'_>) {
        let sends_late = self.late_reply_via == LateReplyVia::CustomerService;
        if self.secret.is_none() && sends_late && self.upstream.target != Target::Echo {
            at.warn(
                "secret",
                "is not set, so a reply that comes too late for WeChat is dropped; set it, or late_reply.via = \"drop\" if \
                 that is meant",
            );
        }
        if self.appid.starts_with("gh_") {
            at.warn("appid", "is the 原始ID; the AppID begins with wx");
        }
        // With an AppSecret the edge asks WeChat for its addresses.
        if self.source_ip == SourceIp::Enforce
            && self.source_ips.is_empty()
            && self.secret.is_none()
        {
            at.warn(
                "source_ip",
                "acts as \"report\" while source_ips is empty; list WeChat's addresses there",
            );
        }
    }
}

fn check_name(text: &str, at: &Section<'_>) {
    if let Err(message) = name(text) {
        at.issue_here(message);
    } else if OWN.contains(&text) {
        at.issue_here(&format!("clashes with the edge's own /{text}; choose another name"));
    } else if OF_WECHAT.contains(&text) {
        at.issue_here(&format!(
            "clashes with WeChat's APIs below /{text}/, which SDKs call without an account in front; choose another name"
        ));
    }
}

fn appid(text: &str) -> Result<String, &'static str> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    if !(1..=64).contains(&text.len()) || !text.bytes().all(allowed) {
        return Err(
            "must be 1 to 64 of A to Z, a to z, 0 to 9, _ and -; copy it from WeChat's console",
        );
    }
    any(text)
}

/// It is shown on terminals, in chats and in log lines.
fn nickname(text: &str) -> Result<String, &'static str> {
    if text.chars().count() > 64 || text.contains(char::is_control) {
        return Err("must be one line of at most 64 characters");
    }
    any(text)
}

/// Bytes that mean themselves in every URL, so that WeChat, proxies and the edge agree on the path.
fn callback_path(text: &str) -> Result<String, &'static str> {
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    if !text.starts_with('/') || text.len() > 256 || !text.bytes().all(unreserved) {
        return Err(
            "must begin with / and hold only A to Z, a to z, 0 to 9, - . _ ~ and /, 256 in all at most",
        );
    }
    if text.split('/').skip(1).any(|segment| matches!(segment, "." | "..")) || text.contains("//") {
        return Err("must not hold // or a segment . or .., which proxies rewrite");
    }
    any(text)
}

fn tokens(at: &Section<'_>) -> Vec<Secret> {
    let given = at.credential(Some("token"), Some("tokens"));
    if !given.given && !at.broken() {
        at.issue("token", "is missing; write the Token you entered in WeChat's console");
    }
    for (index, token) in given.values.iter().enumerate() {
        let token = token.expose();
        if token == PLACEHOLDER_TOKEN {
            let entry = given.entry(index);
            at.warn(&given.key, format!("{entry}is the example's; write your own Token there"));
        }
        if !(3..=32).contains(&token.len())
            || !token.bytes().all(|byte| byte.is_ascii_alphanumeric())
        {
            let entry = given.entry(index);
            at.warn(
                &given.key,
                format!(
                    "{entry}is no Token that WeChat's console takes: 3 to 32 letters and digits"
                ),
            );
        }
    }
    given.values
}

fn aes_keys(at: &Section<'_>, mode: Mode) -> Vec<AesKey> {
    let given = at.credential(None, Some("encoding_aes_keys"));
    if !given.given && mode != Mode::Plain && !at.broken() {
        let message = "is missing; write the EncodingAESKey of WeChat's console, or set mode = \"plain\" if it is so there";
        at.issue(&given.key, message);
    }
    let mut keys = Vec::with_capacity(given.values.len());
    for (index, key) in given.values.iter().enumerate() {
        if key.expose() == PLACEHOLDER_AES_KEY {
            let entry = given.entry(index);
            let message = format!("{entry}is the example's; write your own EncodingAESKey there");
            at.warn(&given.key, message);
        }
        match AesKey::parse(key.expose()) {
            Ok(key) => keys.push(key),
            Err(_) => {
                let entry = given.entry(index);
                at.issue(
                    &given.key,
                    format!(
                        "{entry}is no EncodingAESKey: 43 letters and digits, as in WeChat's console"
                    ),
                );
            }
        }
    }
    keys
}

fn late_reply_via(at: &Section<'_>) -> LateReplyVia {
    let words = [("customer_service", LateReplyVia::CustomerService), ("drop", LateReplyVia::Drop)];
    at.choice("via", &words, LateReplyVia::CustomerService)
}
