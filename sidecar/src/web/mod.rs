//! The sidecar's own pages: metrics and alerts for programs, the console for people.

mod exposition;
mod guard;
mod overview;
mod serve;
mod spool;
mod tail;

pub use guard::Guard;
pub use serve::serve;

use crate::alert::Kind;
use crate::config::{Config, Language};
use crate::console;
use crate::edge::client::Client;
use crate::host::{Files, Growth};
use crate::metrics;
use crate::notify;
use crate::watch::Watch;
use arc_swap::ArcSwap;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Instant;
use tokio::sync::{Semaphore, watch};

/// What the pages stand on.
#[derive(Debug)]
pub struct Site {
    /// What is known.
    pub watch: Arc<Watch>,
    /// What a reload may change.
    pub settings: Arc<ArcSwap<Settings>>,
    /// What the host panel compares with.
    pub growth: Arc<Growth>,
    /// The edge's open files, and when its metrics were asked for them.
    pub edge_files: Mutex<Option<(Instant, Option<Files>)>>,
    /// A place for each reader of the live tail.
    pub tails: Arc<Semaphore>,
    /// Tells when it is time to end.
    pub stopped: watch::Receiver<bool>,
}

/// What the pages have of the configuration.
#[derive(Debug)]
pub struct Settings {
    edge: Client,
    guard: Guard,
    /// Of alerts, and of the console at first.
    language: Language,
    /// Where the state is kept; the host panel shows its disk.
    data: PathBuf,
}

impl Settings {
    /// Of this configuration.
    pub fn new(config: &Config, http: &reqwest::Client) -> Settings {
        Settings {
            edge: Client::new(http.clone(), config.edge.clone()),
            guard: Guard { loopback: config.listen.ip().is_loopback(), key: config.key.clone() },
            language: config.language,
            data: config.data.clone(),
        }
    }

    fn language(&self, wanted: Option<&str>) -> Language {
        match wanted {
            Some("zh") => Language::Chinese,
            Some("en") => Language::English,
            _ => self.language,
        }
    }
}

type Shared = State<Arc<Site>>;

/// All pages.
pub fn router(site: Site) -> Router {
    let site = Arc::new(site);
    let open = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/", get(|headers| asset(String::new(), headers)))
        .route("/{name}", get(|Path(name): Path<String>, headers| asset(name, headers)))
        .layer(middleware::from_fn_with_state(site.clone(), everybody));
    let closed = Router::new()
        .route("/metrics", get(metrics))
        .route("/alerts", get(alerts))
        .route("/v1/console", get(overview::console))
        .route("/v1/tail", get(tail::tail))
        .route("/v1/silences", post(silence))
        .route("/v1/silences/{id}", delete(unsilence))
        .route("/v1/spool", get(spool::list))
        .route("/v1/spool/replay", post(spool::replay_all))
        .route("/v1/spool/{id}", get(spool::entry).delete(spool::delete))
        .route("/v1/spool/{id}/replay", post(spool::replay))
        .layer(middleware::from_fn_with_state(site.clone(), operators));
    open.merge(closed).layer(middleware::map_response(hardened)).with_state(site)
}

async fn everybody(site: Shared, request: Request, next: Next) -> Response {
    admit(&site, request, next, false).await
}

async fn operators(site: Shared, request: Request, next: Next) -> Response {
    admit(&site, request, next, true).await
}

async fn admit(site: &Site, request: Request, next: Next, secret: bool) -> Response {
    match site.settings.load().guard.refusal(request.headers(), secret) {
        Some((status, why)) => error(status, why),
        None => next.run(request).await,
    }
}

/// What a browser has to keep to.
async fn hardened(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, console::POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// A file of the console; the page itself has no name.
async fn asset(name: String, headers: HeaderMap) -> Response {
    let Some(asset) = console::ASSETS.iter().find(|asset| asset.name == name) else {
        return error(StatusCode::NOT_FOUND, "no such page");
    };
    let etag = asset.etag();
    // A new sidecar has new files, so a browser asks each time; it has most of them already.
    let told = [(header::CACHE_CONTROL, "no-cache"), (header::ETAG, &etag)];
    if headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == etag.as_bytes()) {
        return (StatusCode::NOT_MODIFIED, told).into_response();
    }
    (told, [(header::CONTENT_TYPE, asset.content_type)], asset.bytes).into_response()
}

/// The edge's metrics and the sidecar's own, as one text.
async fn metrics(State(site): Shared) -> Response {
    let edge = site.settings.load_full().edge.metrics().await.unwrap_or_default();
    let accounts = site.accounts();
    match site.watch.look(|known, _now| metrics::render(known, &accounts)) {
        Ok(own) => {
            let text = exposition::merge(&edge, &own);
            ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
                .into_response()
        }
        Err(why) => error(StatusCode::INTERNAL_SERVER_ERROR, &why.to_string()),
    }
}

async fn alerts(State(site): Shared, Query(Lang { lang }): Query<Lang>) -> Response {
    let language = site.settings.load().language(lang.as_deref());
    let alerts = site.watch.look(|known, _now| overview::alerts(known, language));
    Json(alerts).into_response()
}

/// `?lang=`.
#[derive(Debug, Deserialize)]
struct Lang {
    lang: Option<String>,
}

/// What an operator does not want to hear of for a while.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    alert: Option<Kind>,
    account: Option<String>,
    minutes: u32,
    #[serde(default)]
    comment: String,
}

async fn silence(State(site): Shared, Json(wanted): Json<Wanted>) -> Response {
    let Wanted { alert, account, minutes, comment } = wanted;
    let done = site.watch.look(|known, now| {
        let until = (now / 1_000).cast_signed() + i64::from(minutes) * 60;
        known.notifier.silence(now, notify::Wanted { alert, account, until, comment })
    });
    match done {
        Ok(silence) => (StatusCode::CREATED, Json(silence)).into_response(),
        Err(why) => error(StatusCode::BAD_REQUEST, &why.to_string()),
    }
}

async fn unsilence(State(site): Shared, Path(id): Path<String>) -> Response {
    match site.watch.look(|known, _now| known.notifier.unsilence(&id)) {
        true => StatusCode::NO_CONTENT.into_response(),
        false => error(StatusCode::NOT_FOUND, "no such silence"),
    }
}

impl Site {
    /// The accounts that the edge had when it was asked last.
    fn accounts(&self) -> BTreeSet<String> {
        let status = self.watch.status();
        let status = status.borrow();
        let accounts = status.iter().flat_map(|status| &status.accounts);
        accounts.map(|account| account.account.clone()).collect()
    }
}

fn error(status: StatusCode, why: &str) -> Response {
    (status, Json(json!({"error": why}))).into_response()
}

/// The header in which the console sends the edge's own key, which the operator has typed.
const EDGE_KEY: HeaderName = HeaderName::from_static("x-wxedge-admin-key");

fn edge_key(headers: &HeaderMap) -> Option<&str> {
    headers.get(EDGE_KEY)?.to_str().ok()
}
