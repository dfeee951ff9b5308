//! The admin listener: health, metrics, status, events, the spool. Loopback, or a key.

mod actions;
mod events;
mod spool;
mod status;

use crate::account::Account;
use crate::api::{Stop, body};
use crate::callback::unix_now_s;
use crate::connection::origin::foreign;
use crate::connection::{App, Arrival, Response};
use crate::edge::Edge;
use crate::limits;
use http::{Method, header};
use pingora::protocols::http::ServerSession;
use serde_json::{Value, json};
use spool::Spool;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use wxedge_wechat::signature::sign;

/// What operators ask.
#[derive(Debug)]
pub struct Admin {
    edge: Arc<Edge>,
    started: i64,
    ready: Arc<AtomicBool>,
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
    Spool(Spool<'a>),
    /// For the account of this name.
    Account(&'a str, ForAccount),
}

/// What can be asked for of one account.
#[derive(Clone, Copy)]
enum ForAccount {
    Verification,
    TokenRefresh,
    CallbackCheck,
    CallbackIps,
    ClearQuota,
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
            ["v1", "spool", what @ ..] => Spool::find(what).map(Endpoint::Spool),
            ["v1", "accounts", name, what @ ..] => {
                let what = match what {
                    ["verification"] => ForAccount::Verification,
                    ["token", "refresh"] => ForAccount::TokenRefresh,
                    ["callback-check"] => ForAccount::CallbackCheck,
                    ["callback-ips"] => ForAccount::CallbackIps,
                    ["clear_quota"] => ForAccount::ClearQuota,
                    _ => return None,
                };
                Some(Endpoint::Account(name, what))
            }
            _ => None,
        }
    }

    /// As the `allow` header has them.
    fn methods(&self) -> &'static str {
        use ForAccount::{CallbackCheck, ClearQuota, TokenRefresh};
        match self {
            Endpoint::Account(_, TokenRefresh | CallbackCheck | ClearQuota) => "POST",
            Endpoint::Spool(what) => what.methods(),
            _ => "GET",
        }
    }

    fn takes(&self, method: &Method) -> bool {
        self.methods().split(", ").any(|taken| taken == method.as_str())
    }
}

#[derive(Debug)]
struct Loaded {
    at: i64,
    error: Option<String>,
}

impl Admin {
    /// `ready` is true while the edge takes callbacks.
    pub fn new(edge: Arc<Edge>, ready: Arc<AtomicBool>) -> Admin {
        let now = unix_now_s();
        Admin {
            loopback: edge.config().listen.admin.ip().is_loopback(),
            edge,
            started: now,
            ready,
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

    /// Why the edge should get no callbacks, if it should not.
    fn unready(&self) -> Option<&'static str> {
        if !self.ready.load(Ordering::Relaxed) {
            Some("it is starting")
        } else if self.edge.draining() {
            Some("it is ending")
        } else if self.edge.store.is_damaged() {
            Some("its store is damaged; a restart saves what can be read")
        } else {
            None
        }
    }

    /// Nothing when the answer was a stream, which is over.
    async fn answer(
        &self,
        endpoint: Endpoint<'_>,
        session: &mut ServerSession,
    ) -> Option<Response> {
        Some(match endpoint {
            Endpoint::Health => Response::text(200, "ok\n"),
            Endpoint::Readiness => match self.unready() {
                None => Response::text(200, "ready\n"),
                Some(why) => Response::text(503, format!("not ready: {why}\n")),
            },
            Endpoint::Metrics => Response {
                content_type: "text/plain; version=0.0.4; charset=utf-8",
                ..Response::text(200, self.edge.render_metrics())
            },
            Endpoint::Status => object(200, &self.status()),
            Endpoint::Account(name, what) => match self.edge.account(name) {
                Some(account) => self.answer_for(&account, what, session).await,
                None => object(404, &json!({"error": "no such account"})),
            },
            Endpoint::Spool(what) => {
                let head = session.req_header();
                let query = head.uri.query().unwrap_or_default().to_owned();
                let method = head.method.clone();
                self.spool(what, &method, &query).await
            }
            Endpoint::Events => {
                // The reader left; that is how streams end.
                let _left = self.stream(session).await;
                return None;
            }
        })
    }

    async fn answer_for(
        &self,
        account: &Account,
        what: ForAccount,
        session: &mut ServerSession,
    ) -> Response {
        let by = Instant::now() + limits::REQUEST_TIMEOUT;
        let done = match what {
            ForAccount::Verification => Ok(verification(account)),
            ForAccount::CallbackIps => Ok(actions::callback_ips(account)),
            ForAccount::TokenRefresh => actions::refresh(account).await,
            ForAccount::ClearQuota => actions::clear_quota(&self.edge, account).await,
            ForAccount::CallbackCheck => match json_body(session, by).await {
                Ok(body) => actions::callback_check(account, body).await,
                Err(error) => return object(400, &json!({"error": error})),
            },
        };
        match done {
            Ok(done) => object(200, &done),
            Err(error) => object(409, &json!({"error": error})),
        }
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
            (None, Some(endpoint)) if !endpoint.takes(&session.req_header().method) => {
                let only = endpoint.methods();
                allow = Some((header::ALLOW, only));
                object(405, &json!({"error": format!("only {only}")}))
            }
            (None, Some(endpoint)) => match self.answer(endpoint, session).await {
                Some(answer) => answer,
                None => return,
            },
        };
        // The client may be gone; there is nobody else to tell.
        let _gone = response.write_with(session, allow).await;
    }

    fn unrouted(&self, status: u16, reason: &'static str, peer: IpAddr) -> Response {
        log::info!("admin: {peer} gets {status}: {reason}");
        Response::empty(status)
    }
}

/// The body of a request, if it has one, or why it is of no use.
async fn json_body(session: &mut ServerSession, by: Instant) -> Result<Option<Value>, String> {
    let body =
        body::small(session, limits::ADMIN_BODY_BYTES, by).await.map_err(|stop| match stop {
            Stop::Refused(refusal) => refusal.message().to_owned(),
            Stop::Failed(_) | Stop::ClientGone => "the body did not come".to_owned(),
        })?;
    if body.is_empty() {
        return Ok(None);
    }
    serde_json::from_slice(&body).map(Some).map_err(|_| "the body is no JSON".to_owned())
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

fn object(status: u16, value: &Value) -> Response {
    Response { content_type: "application/json", ..Response::text(status, value.to_string()) }
}

#[cfg(test)]
mod tests;
