//! The admin listener: health, metrics, status, events. Loopback, or a key.

use crate::account::Account;
use crate::callback::unix_now_s;
use crate::config::{Mode, SourceIp, Target};
use crate::connection::origin::foreign;
use crate::connection::{App, Arrival, Response};
use crate::edge::Edge;
use crate::events::Event;
use bytes::Bytes;
use http::{Method, header};
use pingora::http::ResponseHeader;
use pingora::protocols::http::ServerSession;
use serde_json::{Value, json};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use wxedge_wechat::signature::sign;

/// An idle event stream says so this often, which shows both ends whether the other one is there.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// What operators ask.
#[derive(Debug)]
pub struct Admin {
    edge: Arc<Edge>,
    started: i64,
    ready: Arc<AtomicBool>,
    drain: watch::Receiver<bool>,
    /// Whether the listener is bound to loopback; a reload does not change that.
    loopback: bool,
    loaded: Mutex<Loaded>,
}

/// What can be asked for.
enum Endpoint<'a> {
    Health,
    Readiness,
    Metrics,
    Status,
    Events,
    /// For the account of this name.
    Verification(&'a str),
}

impl<'a> Endpoint<'a> {
    fn find(path: &'a str) -> Option<Endpoint<'a>> {
        let segments: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        match segments.as_slice() {
            ["healthz"] => Some(Endpoint::Health),
            ["readyz"] => Some(Endpoint::Readiness),
            ["metrics"] => Some(Endpoint::Metrics),
            ["v1", "status"] => Some(Endpoint::Status),
            ["v1", "events"] => Some(Endpoint::Events),
            ["v1", "accounts", name, "verification"] => Some(Endpoint::Verification(name)),
            _ => None,
        }
    }
}

#[derive(Debug)]
struct Loaded {
    at: i64,
    error: Option<String>,
}

impl Admin {
    /// `ready` is true while the edge takes callbacks.
    pub fn new(edge: Arc<Edge>, ready: Arc<AtomicBool>, drain: watch::Receiver<bool>) -> Admin {
        let now = unix_now_s();
        Admin {
            loopback: edge.config().listen.admin.ip().is_loopback(),
            edge,
            started: now,
            ready,
            drain,
            loaded: Mutex::new(Loaded { at: now, error: None }),
        }
    }

    /// A reload was taken, or refused for this reason.
    pub fn reloaded(&self, result: Result<(), String>) {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        match result {
            Ok(()) => *loaded = Loaded { at: unix_now_s(), error: None },
            Err(error) => loaded.error = Some(error),
        }
    }

    fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed) && !*self.drain.borrow()
    }

    /// Nothing when the answer was a stream, which is over.
    async fn answer(
        &self,
        endpoint: Endpoint<'_>,
        session: &mut ServerSession,
    ) -> Option<Response> {
        Some(match endpoint {
            Endpoint::Health => Response::text(200, "ok\n"),
            Endpoint::Readiness if self.is_ready() => Response::text(200, "ready\n"),
            Endpoint::Readiness => Response::text(503, "not ready\n"),
            Endpoint::Metrics => Response {
                content_type: "text/plain; version=0.0.4; charset=utf-8",
                ..Response::text(200, self.edge.render_metrics())
            },
            Endpoint::Status => object(200, &self.status()),
            Endpoint::Verification(name) => match self.edge.account(name) {
                Some(account) => object(200, &verification(&account)),
                None => object(404, &json!({"error": "no such account"})),
            },
            Endpoint::Events => {
                // The reader left; that is how streams end.
                let _left = self.stream(session).await;
                return None;
            }
        })
    }

    /// Why a request is not for us. Health and readiness are everybody's.
    fn refusal(&self, session: &ServerSession) -> Option<Response> {
        if let Some(reason) = foreign(session, self.loopback) {
            return Some(object(403, &json!({"error": reason})));
        }
        let config = self.edge.config();
        let key = config.listen.admin_key.as_ref();
        // Off loopback there is no way in without a key, also when a reload took it away.
        if key.is_none() && self.loopback {
            return None;
        }
        let given = session.get_header(header::AUTHORIZATION);
        let given = given.and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
        let right = key.zip(given).is_some_and(|(key, given)| key.matches(given));
        (!right)
            .then(|| object(401, &json!({"error": "authorization: Bearer <admin_key> is needed"})))
    }

    fn status(&self) -> Value {
        let config = self.edge.config();
        let mut accounts = self.edge.accounts();
        accounts.sort_by(|a, b| a.config.name.cmp(&b.config.name));
        let loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let store = &config.store.dir;
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "started": self.started,
            "ready": self.is_ready(),
            "store": {
                "url": format!("embedded:{}", store.display()),
                "writable": std::fs::metadata(store).is_ok_and(|folder| !folder.permissions().readonly()),
                "bytes": 0,
                "bytes_max": config.spool.max_bytes,
            },
            "config": {"loaded": loaded.at, "error": loaded.error},
            "api_base": [],
            "accounts": accounts.iter().map(|account| status_of(account)).collect::<Vec<_>>(),
        })
    }

    /// `GET /v1/events`: everything from now on, as server-sent events, until one end has enough.
    async fn stream(&self, session: &mut ServerSession) -> pingora::Result<()> {
        let mut events = self.edge.events.subscribe();
        let mut drain = self.drain.clone();
        let mut head = ResponseHeader::build(200, Some(3))?;
        head.insert_header(header::CONTENT_TYPE, "text/event-stream")?;
        head.insert_header(header::CACHE_CONTROL, "no-store")?;
        head.insert_header(header::TRANSFER_ENCODING, "chunked")?;
        session.set_keepalive(None);
        session.set_write_timeout(Some(crate::limits::WRITE_TIMEOUT));
        session.write_response_header(Box::new(head)).await?;
        let hello =
            self.edge.events.event("hello", None, json!({"version": env!("CARGO_PKG_VERSION")}));
        session.write_response_body(server_sent(&hello), false).await?;
        loop {
            let chunk = tokio::select! {
                event = events.recv() => match event {
                    Ok(event) => server_sent(&event),
                    Err(RecvError::Lagged(lost)) => {
                        self.edge.metrics.events_dropped.inc_by(lost);
                        server_sent(&self.edge.events.event("lost", None, json!({"n": lost})))
                    }
                    Err(RecvError::Closed) => break,
                },
                () = tokio::time::sleep(HEARTBEAT) => Bytes::from_static(b":\n\n"),
                _draining = drain.wait_for(|drain| *drain) => break,
            };
            session.write_response_body(chunk, false).await?;
        }
        session.write_response_body(Bytes::new(), true).await
    }
}

impl App for Admin {
    async fn respond(self: &Arc<Self>, session: &mut ServerSession, _arrival: Arrival) {
        let path = session.req_header().uri.path().to_owned();
        let endpoint = Endpoint::find(&path);
        let public = matches!(endpoint, Some(Endpoint::Health | Endpoint::Readiness));
        let refusal = if public { None } else { self.refusal(session) };
        let mut allow = None;
        let response = match (refusal, endpoint) {
            (Some(refusal), _) => refusal,
            (None, None) => object(404, &json!({"error": "no such endpoint"})),
            (None, Some(_)) if session.req_header().method != Method::GET => {
                allow = Some((header::ALLOW, "GET"));
                object(405, &json!({"error": "only GET"}))
            }
            (None, Some(endpoint)) => match self.answer(endpoint, session).await {
                Some(answer) => answer,
                None => return,
            },
        };
        // The client may be gone; there is nobody else to tell.
        let _gone = response.write_with(session, allow).await;
    }

    fn unrouted(&self, status: u16, reason: &'static str, peer: IpAddr) {
        log::info!("admin: {peer} gets {status}: {reason}");
    }
}

fn status_of(account: &Account) -> Value {
    let config = &account.config;
    let last = account.metrics.last_received.get();
    let mut source_ip = json!({
        "policy": match config.source_ip {
            SourceIp::Off => "off",
            SourceIp::Report => "report",
            SourceIp::Enforce => "enforce",
        },
        "listed": config.source_ips.len(),
    });
    if config.source_ip == SourceIp::Enforce && config.source_ips.is_empty() {
        source_ip["acts_as"] = "report".into();
    }
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
            "host": match &config.upstream.target {
                Target::Echo => "builtin:echo",
                Target::Url(url) => url.host_str().unwrap_or_default(),
            },
            "circuit": "closed",
            "in_flight": account.in_flight.waiting(),
            "last_failure": account.last_failure.load().as_deref().map(|(at, failure)| {
                json!({"at": at, "reason": failure.reason()})
            }),
        },
        "spool": {"pending": 0, "dead": 0, "oldest_s": 0},
        "source_ip": source_ip,
        "credentials": [],
        "budgets": [],
    })
}

/// A signed URL verification, for the sidecar to send through the public URL without knowing the Token.
fn verification(account: &Account) -> Value {
    let timestamp = unix_now_s().to_string();
    let nonce = rand::random::<u32>().to_string();
    let echostr = rand::random::<u64>().to_string();
    let token = account.config.tokens.first().map_or("", |token| token.expose());
    let signature = sign(&[token, &timestamp, &nonce]);
    let query =
        format!("signature={signature}&timestamp={timestamp}&nonce={nonce}&echostr={echostr}");
    json!({"query": query, "echostr": echostr})
}

fn server_sent(event: &Event) -> Bytes {
    format!("id: {}\nevent: {}\ndata: {}\n\n", event.id, event.name, event.data).into()
}

fn object(status: u16, value: &Value) -> Response {
    Response { content_type: "application/json", ..Response::text(status, value.to_string()) }
}

#[cfg(test)]
mod tests;
