//! A receiver of the test's own: it notes what comes, and is well, ill, busy or silent.

use axum::Router;
use axum::body::Bytes;
use axum::extract::State as Shared;
use axum::http::{HeaderMap, HeaderName, StatusCode, Uri};
use axum::response::IntoResponse;
use serde_json::Value;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use wxedge_sidecar::config::Secret;

/// In every address and secret.
pub(super) const CANARY: &str = "canary7391";

/// What a receiver does with a request.
#[derive(Debug, Clone)]
pub(super) enum Answer {
    Say(u16, &'static str),
    With(u16, &'static str, String),
    Hang,
}

pub(super) const OK: Answer = Answer::Say(200, "");
pub(super) const TAKEN: Answer =
    Answer::Say(200, r#"{"errcode":0,"errmsg":"ok","code":0,"msg":"success"}"#);

/// What came, and when.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) at: Instant,
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
    pub(super) body: Value,
}

/// A receiver.
#[derive(Clone)]
pub(super) struct Receiver {
    pub(super) address: String,
    pub(super) script: Arc<Mutex<VecDeque<Answer>>>,
    pub(super) requests: Arc<Mutex<Vec<Request>>>,
}

impl Receiver {
    /// Answers the first request by the first answer, and so on; the last one is for all that follow.
    pub(super) async fn start(script: impl IntoIterator<Item = Answer>) -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let receiver = Receiver {
            address: format!(
                "http://{}/hook/{CANARY}?key={CANARY}",
                listener.local_addr().unwrap()
            ),
            script: Arc::new(Mutex::new(script.into_iter().collect())),
            requests: Arc::default(),
        };
        let router = Router::new().fallback(note).with_state(receiver.clone());
        tokio::spawn(axum::serve(listener, router).into_future());
        receiver
    }

    pub(super) fn secret(&self) -> Option<Secret> {
        Some(Secret::new(self.address.as_str()))
    }

    pub(super) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    pub(super) async fn received(&self, count: usize) -> Vec<Request> {
        eventually(|| self.requests().len() >= count).await;
        self.requests()
    }
}

async fn note(
    Shared(receiver): Shared<Receiver>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> impl IntoResponse {
    let body = serde_json::from_slice(&body).unwrap();
    receiver.requests.lock().unwrap().push(Request { at: Instant::now(), uri, headers, body });
    let answer = {
        let mut script = receiver.script.lock().unwrap();
        if script.len() > 1 { script.pop_front().unwrap() } else { script[0].clone() }
    };
    let (status, headers, body) = match answer {
        Answer::Say(status, body) => (status, HeaderMap::new(), body),
        Answer::With(status, name, value) => {
            let header = (HeaderName::from_static(name), value.parse().unwrap());
            (status, HeaderMap::from_iter([header]), "")
        }
        Answer::Hang => std::future::pending().await,
    };
    (StatusCode::from_u16(status).unwrap(), headers, body)
}

/// Waits for a condition.
pub(super) async fn eventually(condition: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(40);
    while !condition() {
        assert!(Instant::now() < end, "it never came to it");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
