//! The app's side: one pooled HTTP/1.1 request a message, its answer or the reason why there is none.

mod connection;
mod dns;
mod failure;
mod pool;
mod retry_after;

pub(crate) use dns::Name;
pub use failure::{Failure, Fate};

use crate::config;
use crate::limits;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use connection::Connection;
use percent_encoding::percent_decode_str;
use pool::Pool;
use std::borrow::Cow;
use std::time::{Duration, Instant};
use url::{Position, Url};

/// One request to the app.
pub struct Delivery {
    /// Added to the app's URL: the plaintext-mode query of XML mode.
    pub query: Option<String>,
    /// Lines that end in CR LF: everything but `host`, `authorization`, `content-length` and what is left of the time.
    pub headers: String,
    /// The body.
    pub body: Vec<u8>,
    /// When the app should have answered.
    pub deadline: Instant,
}

impl std::fmt::Debug for Delivery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Delivery").field("bytes", &self.body.len()).finish_non_exhaustive()
    }
}

/// A complete answer of the app, whatever its status.
#[derive(Clone)]
pub struct AppAnswer {
    /// HTTP status.
    pub status: u16,
    /// The `content-type` header, if it is text.
    pub content_type: Option<String>,
    /// How long the app wants to be left alone, at most [`limits::RETRY_AFTER_MAX`]: `retry-after`, which is looked for
    /// only when the status is not 2xx.
    pub retry_after: Option<Duration>,
    /// The body, complete.
    pub body: Bytes,
}

impl std::fmt::Debug for AppAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AppAnswer").field("status", &self.status).finish_non_exhaustive()
    }
}

/// The app of one account, reached by HTTP.
#[derive(Debug)]
pub struct Upstream {
    pool: Pool,
    /// Path and query of the URL.
    target: Redacted,
    /// `host`, and `authorization` for the `user:password@` of the URL, as lines.
    headers: Redacted,
}

impl Upstream {
    /// Prepares to call `url`; nothing is connected or looked up yet.
    ///
    /// # Errors
    /// When the URL names no host.
    pub fn new(url: &Url, settings: &config::Upstream) -> Result<Upstream, Failure> {
        let name = url.host_str().ok_or(Failure::Dns)?;
        let port = url.port_or_known_default().ok_or(Failure::Dns)?;
        let host = &url[Position::BeforeHost..Position::AfterPort];
        Ok(Upstream {
            pool: Pool::new(url, name, port, settings)?,
            target: Redacted(url[Position::BeforePath..Position::AfterQuery].to_owned()),
            headers: Redacted(match basic_authorization(url) {
                Some(value) => format!("host: {host}\r\nauthorization: {value}\r\n"),
                None => format!("host: {host}\r\n"),
            }),
        })
    }

    /// Posts a message and waits for the complete answer; how long is the caller's to bound.
    ///
    /// It is sent again once, and only when it went out on a reused connection that died before any byte of the
    /// answer: the app closed it while the request was on its way.
    ///
    /// # Errors
    /// Why there is no complete answer.
    pub async fn call(&self, delivery: Delivery) -> Result<AppAnswer, Failure> {
        // Waits for its turn when the app has all the connections it may have; the caller's deadline bounds that.
        let _turn = self.pool.turn().await;
        self.probe(delivery).await
    }

    /// The same without waiting for a turn: the probe of an open circuit is one connection more than the app may have,
    /// because those may all be taken by calls that hang.
    ///
    /// # Errors
    /// Why there is no complete answer.
    pub async fn probe(&self, delivery: Delivery) -> Result<AppAnswer, Failure> {
        if let Some(mut reused) = self.pool.take_idle() {
            match reused.exchange(&self.request(&delivery)).await {
                Ok(answer) => return Ok(self.settle(reused, answer)),
                Err(failure) if reused.answered() => return Err(failure),
                Err(_stale) => {}
            }
        }
        // Boxed: it is large and rare, and would make every call as large.
        let mut fresh = Box::pin(self.pool.connect()).await?;
        let request = self.request(&delivery);
        // A request on a fresh connection is not sent again.
        drop(delivery);
        let answer = fresh.exchange(&request).await?;
        Ok(self.settle(fresh, answer))
    }

    fn settle(&self, connection: Connection, answer: AppAnswer) -> AppAnswer {
        self.pool.give_back(connection);
        answer
    }

    /// The request as it goes over the wire.
    fn request(&self, delivery: &Delivery) -> Vec<u8> {
        let target = self.target.0.as_str();
        let target = match &delivery.query {
            None => Cow::Borrowed(target),
            Some(query) if target.contains('?') => Cow::Owned(format!("{target}&{query}")),
            Some(query) => Cow::Owned(format!("{target}?{query}")),
        };
        let left = delivery.deadline.saturating_duration_since(Instant::now()).as_millis();
        let (mut length, mut millis) = (itoa::Buffer::new(), itoa::Buffer::new());
        let parts: [&[u8]; 11] = [
            b"POST ",
            target.as_bytes(),
            b" HTTP/1.1\r\n",
            self.headers.0.as_bytes(),
            delivery.headers.as_bytes(),
            b"x-wxedge-deadline-ms: ",
            millis.format(left).as_bytes(),
            b"\r\ncontent-length: ",
            length.format(delivery.body.len()).as_bytes(),
            b"\r\n\r\n",
            &delivery.body,
        ];
        parts.concat()
    }

    /// Closes connections that have been idle for too long.
    pub fn reap(&self) {
        self.pool.reap(limits::APP_IDLE);
    }
}

/// The value of basic authentication, if the URL has a user; what it has percent-encoded goes out decoded.
pub(crate) fn basic_authorization(url: &Url) -> Option<String> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let decoded = |part| percent_decode_str(part).collect::<Vec<u8>>();
    let pair = [decoded(url.username()), decoded(url.password().unwrap_or_default())].join(&b':');
    Some(format!("Basic {}", STANDARD.encode(pair)))
}

/// What may hold a password.
struct Redacted(String);

impl std::fmt::Debug for Redacted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}
