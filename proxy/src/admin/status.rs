//! `GET /v1/status`.

use super::Admin;
use crate::account::Account;
use crate::api::budget::{Count, Key};
use crate::api_base::Base;
use crate::callback::unix_now_s;
use crate::config::{Mode, SourceIp, Target};
use crate::credential::{Credential, Credentials};
use crate::edge::Edge;
use crate::spool::Orphan;
use crate::store::StoreError;
use serde_json::{Value, json};
use std::sync::{Arc, PoisonError};
use url::Url;

impl Admin {
    pub(super) fn status(&self) -> Value {
        let config = self.edge.config();
        let mut accounts = self.edge.accounts();
        accounts.sort_by(|a, b| a.config.name.cmp(&b.config.name));
        let loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let store = &config.store.dir;
        let bases = self.edge.api_bases();
        let bases = bases.bases().iter().map(|base| base_of(base));
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "started": self.started,
            "ready": self.unready().is_none(),
            "store": {
                "url": format!("embedded:{}", store.display()),
                "writable": self.edge.store.is_writable(),
                "error": self.edge.store.is_damaged().then(|| StoreError::Damaged.to_string()),
                "bytes": self.edge.store.bytes(),
                "bytes_max": config.spool.max_bytes,
                "salvaged": self.edge.store.salvaged().map(|salvage| json!({
                    "saved": salvage.saved,
                    "lost": salvage.lost,
                    "folder": salvage.folder.display().to_string(),
                })),
            },
            "config": {"loaded": loaded.at, "error": loaded.error},
            "api_base": bases.collect::<Vec<_>>(),
            "spool_orphans": self.edge.orphans().iter().map(orphan).collect::<Vec<_>>(),
            "accounts": accounts.iter().map(|a| of_account(a, &self.edge)).collect::<Vec<_>>(),
        })
    }
}

/// One of WeChat's servers; of one that was not tried yet nothing is known.
fn base_of(base: &Base) -> Value {
    let since = base.since();
    json!({
        "base": base.origin(),
        "up": since.map(|_| base.is_up()),
        "since": since,
        "by_proxy": base.is_by_proxy(),
    })
}

fn orphan(Orphan { appid, seen }: &Orphan) -> Value {
    json!({"appid": &**appid, "pending": seen.pending, "dead": seen.dead, "oldest_s": seen.oldest_s})
}

fn of_account(account: &Account, edge: &Edge) -> Value {
    let config = &account.config;
    let seen = account.spool.seen();
    let last = account.metrics.last_received.get();
    let listed = config.source_ips.len() + account.callback_ips.with(|list| list.len());
    let mut source_ip = json!({
        "policy": match config.source_ip {
            SourceIp::Off => "off",
            SourceIp::Report => "report",
            SourceIp::Enforce => "enforce",
        },
        "listed": listed,
    });
    if config.source_ip == SourceIp::Enforce && listed == 0 {
        source_ip["acts_as"] = "report".into();
    }
    let app = match &config.upstream.target {
        Target::Echo => None,
        Target::Url(url) => Some(url),
    };
    json!({
        "account": config.name,
        "appid": config.appid,
        "nickname": config.nickname,
        "mode": match config.mode {
            Mode::Plain => "plain",
            Mode::Compatible => "compatible",
            Mode::Safe => "safe",
        },
        "path": config.path,
        "last_callback": (last > 0).then_some(last),
        "upstream": {
            "host": app.map_or("builtin:echo", |url| url.host_str().unwrap_or_default()),
            "port": app.and_then(Url::port_or_known_default),
            "deadline_ms": config.upstream.deadline.as_millis() as u64,
            "circuit": seen.circuit.label(),
            "in_flight": account.in_flight.waiting(),
            "last_failure": account.last_failure.load().as_deref().map(|(at, failure)| {
                json!({"at": at, "reason": failure.reason()})
            }),
        },
        "spool": {"pending": seen.pending, "dead": seen.dead, "oldest_s": seen.oldest_s},
        "source_ip": source_ip,
        "credentials": account.credentials.as_deref().map(credentials).unwrap_or_default(),
        "budgets": budgets(&config.name, edge),
    })
}

fn credentials(credentials: &Credentials) -> Vec<Value> {
    credentials.all().map(credential).to_vec()
}

/// How a token or ticket is.
pub(super) fn credential(credential: &Arc<Credential>) -> Value {
    let status = credential.status();
    json!({
        "credential": credential.kind().name(),
        "state": status.state.name(),
        "expires": status.expires,
        "errcode": status.errcode,
        "action": status.action,
    })
}

fn budgets(account: &str, edge: &Edge) -> Vec<Value> {
    let (state, now_s) = (edge.state(), unix_now_s());
    let mut own: Vec<_> = state.budgets.iter().filter(|(key, _)| key.account == account).collect();
    own.sort_by_key(|(key, _)| *key);
    let budget = |(key, count): (&Key, &Arc<Count>)| {
        json!({
            "api": key.api,
            "client": key.client,
            "used": count.used(now_s),
            "limit": count.limit(now_s),
        })
    };
    own.into_iter().map(budget).collect()
}
