//! The app's side: one pooled HTTP/1.1 request a message, its answer or the reason why there is none.

mod connection;
mod dns;
mod failure;
mod pool;

pub use failure::Failure;

use crate::callback::normalize::Delivery;
use crate::config;
use crate::limits;
use bytes::Bytes;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue, Method, Request, Uri, header};
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
    /// `user:password@` of the URL, as HTTP wants it.
    authorization: Option<HeaderValue>,
    target: Uri,
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
            authorization: authorization(url)?,
            target: Uri::try_from(&url[url::Position::BeforePath..url::Position::AfterQuery])
                .map_err(|_| Failure::Connect)?,
            late_timeout: settings.late_timeout,
        })
    }

    /// Posts a message and waits for the complete answer, `late_timeout` at most.
    ///
    /// It is sent again once, and only when it went out on a reused connection that died before any byte of the
    /// answer: the app closed it while the request was on its way.
    ///
    /// # Errors
    /// Why there is no complete answer.
    pub async fn call(&self, delivery: Delivery) -> Result<AppAnswer, Failure> {
        match fast_timeout(self.late_timeout, self.send(&delivery)).await {
            Ok(result) => result,
            Err(_elapsed) => Err(Failure::Timeout),
        }
    }

    async fn send(&self, delivery: &Delivery) -> Result<AppAnswer, Failure> {
        // Waits for its turn when the app has all the connections it may have; the caller's deadline bounds that.
        let _turn = self.pool.turn().await;
        if let Some(mut reused) = self.pool.take_idle() {
            match reused.exchange(self.request(delivery)?).await {
                Ok(answer) => return Ok(self.settle(reused, answer)),
                Err(failure) if reused.answered() => return Err(failure),
                Err(_stale) => {}
            }
        }
        let mut fresh = self.pool.connect().await?;
        let answer = fresh.exchange(self.request(delivery)?).await?;
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

    fn request(&self, delivery: &Delivery) -> Result<Request<Full<Bytes>>, Failure> {
        let target = match &delivery.query {
            None => self.target.clone(),
            Some(query) => {
                let separator = if self.target.query().is_some() { '&' } else { '?' };
                Uri::try_from(format!("{}{separator}{query}", self.target)).map_err(|_| Failure::Connect)?
            }
        };
        let mut headers = HeaderMap::with_capacity(delivery.headers.len() + 3);
        headers.insert(header::HOST, self.host.clone());
        if let Some(authorization) = &self.authorization {
            headers.insert(header::AUTHORIZATION, authorization.clone());
        }
        headers.extend(delivery.headers.iter().cloned());
        let mut request = Request::new(Full::new(delivery.body.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = target;
        *request.headers_mut() = headers;
        Ok(request)
    }

    /// Closes connections that have been idle for too long.
    pub fn reap(&self) {
        self.pool.reap(limits::APP_IDLE);
    }
}

/// Basic authentication; what the URL has percent-encoded goes out decoded.
fn authorization(url: &Url) -> Result<Option<HeaderValue>, Failure> {
    if url.username().is_empty() && url.password().is_none() {
        return Ok(None);
    }
    let decoded = |part| percent_encoding::percent_decode_str(part).collect::<Vec<u8>>();
    let pair = [decoded(url.username()), decoded(url.password().unwrap_or_default())].join(&b':');
    let mut value = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(pair))).map_err(|_| Failure::Connect)?;
    value.set_sensitive(true);
    Ok(Some(value))
}
