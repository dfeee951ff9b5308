//! What `GET /v1/status` of the edge says. Fields that this version does not know are skipped.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The edge at one moment.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "each is the field of its name in the edge's documentation")]
pub struct Status {
    pub version: String,
    /// Unix seconds.
    pub started: i64,
    pub ready: bool,
    pub store: Store,
    pub config: Loaded,
    pub api_base: Vec<ApiBase>,
    pub accounts: Vec<Account>,
    /// What waits for appids that no account has any more.
    pub spool_orphans: Vec<Orphan>,
    /// The rest, for whoever shows all of it.
    #[serde(flatten)]
    pub more: BTreeMap<String, serde_json::Value>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "each is the field of its name in the edge's documentation")]
pub struct Store {
    pub writable: bool,
    /// Why it is damaged, when it is.
    pub error: Option<String>,
    /// What could be saved of a damaged one before it.
    pub salvaged: Option<Salvaged>,
    pub bytes: u64,
    pub bytes_max: u64,
    #[serde(flatten)]
    pub more: BTreeMap<String, serde_json::Value>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "each is the field of its name in the edge's documentation")]
pub struct Salvaged {
    pub saved: u64,
    pub lost: u64,
    /// Where the damaged one is kept.
    pub folder: String,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "each is the field of its name in the edge's documentation")]
pub struct Loaded {
    /// Unix seconds.
    pub loaded: i64,
    pub error: Option<String>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "each is the field of its name in the edge's documentation")]
pub struct ApiBase {
    pub base: String,
    /// None until the edge has tried it.
    pub up: Option<bool>,
    pub since: Option<i64>,
    /// By an egress proxy. What is seen without it says nothing.
    pub by_proxy: bool,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "each is the field of its name in the edge's documentation")]
pub struct Account {
    pub account: String,
    pub appid: String,
    pub nickname: String,
    pub mode: String,
    pub path: String,
    /// Unix seconds.
    pub last_callback: Option<i64>,
    pub upstream: Upstream,
    pub spool: Spool,
    pub source_ip: SourceIp,
    pub credentials: Vec<Credential>,
    pub budgets: Vec<Budget>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "each is the field of its name in the edge's documentation")]
pub struct Upstream {
    /// A name, an address, or `builtin:echo`.
    pub host: String,
    pub port: Option<u16>,
    /// How long the edge waits for the app.
    pub deadline_ms: Option<u64>,
    /// `closed`, `open`, `probing`.
    pub circuit: String,
    pub in_flight: u64,
    pub last_failure: Option<LastFailure>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "each is the field of its name in the edge's documentation")]
pub struct LastFailure {
    /// Unix seconds.
    pub at: i64,
    /// One word, as in summaries.
    pub reason: String,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "each is the field of its name in the edge's documentation")]
pub struct Spool {
    pub pending: u64,
    pub dead: u64,
    pub oldest_s: u64,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "each is the field of its name in the edge's documentation")]
pub struct Orphan {
    pub appid: String,
    #[serde(flatten)]
    pub spool: Spool,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "each is the field of its name in the edge's documentation")]
pub struct SourceIp {
    pub policy: String,
    pub listed: u64,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "each is the field of its name in the edge's documentation")]
pub struct Credential {
    /// `access_token`, `jsapi`, `wx_card`.
    pub credential: String,
    /// `ok`, `none`, `failing`.
    pub state: String,
    /// Unix seconds.
    pub expires: Option<i64>,
    pub errcode: Option<i64>,
    /// What to do about it.
    pub action: Option<String>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "each is the field of its name in the edge's documentation")]
pub struct Budget {
    pub api: String,
    pub client: String,
    pub used: u64,
    /// `None` while nobody knows it.
    pub limit: Option<u64>,
}

impl Upstream {
    /// Host and port, as far as they are known.
    pub fn address(&self) -> String {
        match self.port {
            Some(port) => format!("{}:{port}", self.host),
            None => self.host.clone(),
        }
    }
}

impl Status {
    /// Whether this account is none of the edge's, of which there is always one: without any nobody has told yet.
    pub fn lacks(&self, account: &str) -> bool {
        !self.accounts.is_empty() && self.accounts.iter().all(|one| one.account != account)
    }

    /// Whether the edge takes an account's callbacks from listed addresses only.
    pub fn enforces(&self, account: &str) -> bool {
        let own = self.accounts.iter().find(|one| one.account == account);
        own.is_some_and(|one| one.source_ip.policy == "enforce" && one.source_ip.listed > 0)
    }
}
