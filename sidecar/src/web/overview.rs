//! What the console shows, as one JSON object.

use super::{Lang, Settings, Shared, Site};
use crate::config::Language;
use crate::edge::client::Client;
use crate::edge::status::{Account, Status};
use crate::host::{Files, Host};
use crate::limits;
use crate::markfail;
use crate::notify::Health;
use crate::observation::{Finding, Millis};
use crate::watch::Known;
use axum::Json;
use axum::extract::{Query, State};
use serde_json::{Value, json};
use std::sync::{Arc, PoisonError};
use std::time::Instant;

pub(super) async fn console(State(site): Shared, Query(Lang { lang }): Query<Lang>) -> Json<Value> {
    let settings = site.settings.load_full();
    let language = settings.language(lang.as_deref());
    let status = site.watch.status().borrow().clone().unwrap_or_default();
    let host = host(&site, settings.clone()).await;
    Json(site.watch.look(|known, now| {
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "language": match settings.language {
                Language::Chinese => "zh",
                Language::English => "en",
            },
            "now": now as f64 / 1_000.0,
            "edge": edge(known, &status),
            "accounts": status.accounts.iter().map(|a| account(a, known)).collect::<Vec<_>>(),
            "api_base": status.api_base,
            "spool_orphans": status.spool_orphans,
            "history": known.history.to_json(now),
            "alerts": alerts(known, language),
            "probes": known.findings.values().map(probe).collect::<Vec<_>>(),
            "notify": known.notifier.health().iter().map(output).collect::<Vec<_>>(),
            "silences": known.notifier.silences(),
            "host": host,
        })
    }))
}

/// As `GET /alerts` has them.
pub(super) fn alerts(known: &Known, language: Language) -> Vec<Value> {
    known.engine.alerts().into_iter().map(|alert| alert.to_json(language)).collect()
}

fn edge(known: &Known, status: &Status) -> Value {
    json!({
        "up": known.edge.is_some_and(|(up, _)| up),
        "since": known.edge.map(|(_, since)| since / 1_000),
        "version": status.version,
        "started": status.started,
        "ready": status.ready,
        "store": status.store,
        "config": status.config,
    })
}

fn account(account: &Account, known: &Known) -> Value {
    let believed = known.engine.markfail();
    let state = believed.iter().find(|(name, _)| *name == account.account);
    let state = state.map_or(markfail::State::Healthy, |(_, state)| *state);
    let mut shown = json!(account);
    shown["markfail"] = state.name().into();
    shown
}

fn probe((at, finding): &(Millis, Finding)) -> Value {
    let Finding { probe, account, target, took_ms, fault, .. } = finding;
    json!({
        "account": account,
        "probe": probe.name(),
        "target": target,
        "ok": fault.is_none(),
        "took_ms": took_ms,
        "detail": fault.as_ref().map(|fault| &fault.detail),
        "at": at / 1_000,
    })
}

/// Who is told, and whether they take it.
fn output(health: &Health) -> Value {
    let Health { output, sent, failed, dropped, waiting, error, .. } = health;
    json!({
        "output": output,
        "sent": sent,
        "failed": failed,
        "dropped": dropped,
        "waiting": waiting,
        "error": error,
    })
}

/// Reads files, so not in the runtime's own thread.
async fn host(site: &Site, settings: Arc<Settings>) -> Value {
    let (edge, growth) = (edge_files(site, &settings.edge).await, site.growth.clone());
    let read = move || json!(Host::read(&settings.data, edge, &growth));
    tokio::task::spawn_blocking(read).await.unwrap_or_default()
}

/// The edge's open files, as its metrics had them a moment ago.
async fn edge_files(site: &Site, edge: &Client) -> Option<Files> {
    let known = *site.edge_files.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((at, files)) = known
        && at.elapsed() < limits::EDGE_FILES
    {
        return files;
    }
    let text = edge.metrics().await.unwrap_or_default();
    let value = |name: &str| {
        let value =
            text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok());
        value.map(|value| value as u64)
    };
    let files =
        value("process_open_fds ").map(|open| Files { open, most: value("process_max_fds ") });
    *site.edge_files.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), files));
    files
}
