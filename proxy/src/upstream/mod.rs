//! The app's side: one pooled HTTP/1.1 request a message, its answer or the reason why there is none.

mod connection;
mod dns;
mod failure;
mod pool;

pub use failure::Failure;

use crate::config;
use crate::limits;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, header};
use http_body_util::Full;
use pingora_timeout::fast_timeout::fast_timeout;
use pool::Pool;
use std::time::Duration;
use url::Url;

/// A complete answer of the app, whatever its status.
#[derive(Debug, Clone)]
pub struct AppAnswer {
    /// HTTP status.
    pub status: u16,
    /// The `content-type` header, if it is text.
    pub content_type: Option<String>,
    /// The body, complete.
    pub body: Bytes,
}

/// The app of one account, reached by HTTP.
#[derive(Debug)]
pub struct Upstream {
    pool: Pool,
    host: HeaderValue,
    path: String,
    query: Option<String>,
    late_timeout: Duration,
}

impl Upstream {
    /// Prepares to call `url`; nothing is connected or looked up yet.
    ///
    /// # Errors
    /// When the URL names no host.
    pub fn new(url: &Url, settings: &config::Upstream) -> Result<Upstream, Failure> {
        let name = url.host_str().ok_or(Failure::Dns)?;
        let port = url.port_or_known_default().ok_or(Failure::Dns)?;
        let host = match url.port() {
            Some(port) => format!("{name}:{port}"),
            None => name.to_owned(),
        };
        Ok(Upstream {
            pool: Pool::new(url, name, port, settings)?,
            host: HeaderValue::try_from(host).map_err(|_| Failure::Dns)?,
            path: url.path().to_owned(),
            query: url.query().map(str::to_owned),
            late_timeout: settings.late_timeout,
        })
    }

    /// Posts `body` and waits for the complete answer, `late_timeout` at most.
    ///
    /// A request is sent again once, and only when it went out on a reused connection that died before any byte of
    /// the answer: the app closed it while the request was on its way.
    ///
    /// # Errors
    /// Why there is no complete answer.
    pub async fn call(&self, query: Option<&str>, headers: HeaderMap, body: Bytes) -> Result<AppAnswer, Failure> {
        let request = self.request(query, headers, body)?;
        match fast_timeout(self.late_timeout, self.send(request)).await {
            Ok(result) => result,
            Err(_elapsed) => Err(Failure::Timeout),
        }
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Result<AppAnswer, Failure> {
        // Waits for its turn when the app has all the connections it may have; the caller's deadline bounds that.
        let _turn = self.pool.turn().await;
        if let Some(mut reused) = self.pool.take_idle() {
            match reused.exchange(request.clone()).await {
                Ok(answer) => return Ok(self.settle(reused, answer)),
                Err(failure) if reused.answered() => return Err(failure),
                Err(_stale) => {}
            }
        }
        let mut fresh = self.pool.connect().await?;
        let answer = fresh.exchange(request).await?;
        Ok(self.settle(fresh, answer))
    }

    fn settle(
        &self,
        connection: connection::Connection,
        (parts, body): (http::response::Parts, Bytes),
    ) -> AppAnswer {
        self.pool.give_back(connection);
        let content_type = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        AppAnswer { status: parts.status.as_u16(), content_type: content_type.map(str::to_owned), body }
    }

    fn request(&self, query: Option<&str>, headers: HeaderMap, body: Bytes) -> Result<Request<Full<Bytes>>, Failure> {
        let target = match (&self.query, query) {
            (None, None) => self.path.clone(),
            (Some(one), None) => format!("{}?{one}", self.path),
            (None, Some(one)) => format!("{}?{one}", self.path),
            (Some(own), Some(more)) => format!("{}?{own}&{more}", self.path),
        };
        let mut request = Request::post(target).body(Full::new(body)).map_err(|_| Failure::Connect)?;
        *request.headers_mut() = headers;
        request.headers_mut().insert(header::HOST, self.host.clone());
        Ok(request)
    }

    /// Closes connections that have been idle for too long.
    pub fn reap(&self) {
        self.pool.reap(limits::APP_IDLE);
    }
}
