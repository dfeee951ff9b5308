//! The edge's admin API.

use super::status::Status;
use crate::config;
use crate::{http, limits};
use reqwest::{Client as Http, Method, RequestBuilder, Response};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::time::Duration;
use tokio::time::timeout;
use url::Url;

/// A client of one edge.
#[derive(Debug, Clone)]
pub struct Client {
    http: Http,
    edge: config::Edge,
}

/// A signed URL verification: what WeChat would append to the public URL, and what has to come back.
#[derive(Debug, Clone, Deserialize)]
pub struct Verification {
    /// The query. It is signed, so it is for the public URL only.
    pub query: String,
    /// The answer that is right.
    pub echostr: String,
}

/// Why the edge did not answer as it should.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// There is no connection to it.
    #[error("the edge cannot be reached")]
    Connect,
    /// It does not answer in time.
    #[error("the edge does not answer in time")]
    Timeout,
    /// It refuses, and says why.
    #[error("the edge answers {status}: {error}")]
    Status {
        /// 401: `edge.key` is wrong; 409: it could not be done.
        status: u16,
        /// The edge's own words.
        error: String,
    },
    /// It answers something else than expected: is it an edge?
    #[error("the edge's answer makes no sense")]
    Invalid,
}

impl AskError {
    /// One word.
    pub fn reason(&self) -> &'static str {
        match self {
            AskError::Connect => "connect",
            AskError::Timeout => "timeout",
            AskError::Status { status: 401, .. } => "unauthorized",
            AskError::Status { .. } => "status",
            AskError::Invalid => "invalid",
        }
    }
}

impl From<reqwest::Error> for AskError {
    fn from(error: reqwest::Error) -> AskError {
        if error.is_timeout() {
            AskError::Timeout
        } else if error.is_connect() || error.is_request() {
            AskError::Connect
        } else {
            AskError::Invalid
        }
    }
}

impl Client {
    /// For the edge of a configuration.
    pub fn new(http: Http, edge: config::Edge) -> Client {
        Client { http, edge }
    }

    /// Whether it has a key for the edge.
    pub fn has_key(&self) -> bool {
        self.edge.key.is_some()
    }

    /// `GET /v1/status`.
    ///
    /// # Errors
    /// When there is none.
    pub async fn status(&self) -> Result<Status, AskError> {
        let status: Status = self.json(Method::GET, "/v1/status", limits::STATUS_TIMEOUT).await?;
        // Any JSON would do otherwise, as unknown fields are skipped and missing ones are none.
        if status.version.is_empty() { Err(AskError::Invalid) } else { Ok(status) }
    }

    /// `GET /metrics`, as the edge writes it.
    ///
    /// # Errors
    /// When there is none.
    pub async fn metrics(&self) -> Result<String, AskError> {
        let body = self.ask(Method::GET, "/metrics", limits::STATUS_TIMEOUT).await?;
        String::from_utf8(body).map_err(|_| AskError::Invalid)
    }

    /// A signed URL verification for an account.
    ///
    /// # Errors
    /// When there is none: no such account, for example.
    pub async fn verification(&self, account: &str) -> Result<Verification, AskError> {
        let path = format!("/v1/accounts/{account}/verification");
        self.json(Method::GET, &path, limits::STATUS_TIMEOUT).await
    }

    /// WeChat's own look at the callback URL, in WeChat's words: `{"dns":[…],"ping":[…]}` or an `errcode`.
    ///
    /// # Errors
    /// When WeChat could not be asked.
    pub async fn callback_check(&self, account: &str) -> Result<Value, AskError> {
        let path = format!("/v1/accounts/{account}/callback-check");
        self.json(Method::POST, &path, limits::ACTION_TIMEOUT).await
    }

    /// The addresses that WeChat calls an account from.
    ///
    /// # Errors
    /// When they could not be had.
    pub async fn callback_ips(&self, account: &str) -> Result<Vec<String>, AskError> {
        #[derive(Deserialize)]
        struct List {
            ip_list: Vec<String>,
        }
        let path = format!("/v1/accounts/{account}/callback-ips");
        let list: List = self.json(Method::GET, &path, limits::STATUS_TIMEOUT).await?;
        Ok(list.ip_list)
    }

    /// `GET /v1/events`: an answer without an end. It has to come within [`limits::STATUS_TIMEOUT`]; what follows is the
    /// caller's to bound.
    ///
    /// # Errors
    /// When there is none.
    pub async fn events(&self) -> Result<Response, AskError> {
        let request = self.request(Method::GET, "/v1/events")?;
        let asked = async { accepted(request.send().await?).await };
        timeout(limits::STATUS_TIMEOUT, asked).await.map_err(|_| AskError::Timeout)?
    }

    /// Passes a request for the spool on, with the key of whoever asks. Gives status and body back, whatever they are.
    ///
    /// # Errors
    /// When the edge does not answer.
    pub async fn spool(
        &self,
        method: Method,
        path: &str,
        key: Option<&str>,
    ) -> Result<(u16, Vec<u8>), AskError> {
        let mut request = self.http.request(method, self.url(path)?);
        if let Some(key) = key {
            request = request.bearer_auth(key);
        }
        let response = request.timeout(limits::ACTION_TIMEOUT).send().await?;
        let status = response.status().as_u16();
        let body = http::body(response, limits::ANSWER_BYTES).await.ok_or(AskError::Invalid)?;
        Ok((status, body))
    }

    async fn json<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        within: Duration,
    ) -> Result<T, AskError> {
        let body = self.ask(method, path, within).await?;
        serde_json::from_slice(&body).map_err(|_| AskError::Invalid)
    }

    async fn ask(&self, method: Method, path: &str, within: Duration) -> Result<Vec<u8>, AskError> {
        let response = self.request(method, path)?.timeout(within).send().await?;
        let response = accepted(response).await?;
        http::body(response, limits::ANSWER_BYTES).await.ok_or(AskError::Invalid)
    }

    /// A request to the admin listener, with the key.
    fn request(&self, method: Method, path: &str) -> Result<RequestBuilder, AskError> {
        let request = self.http.request(method, self.url(path)?);
        Ok(match &self.edge.key {
            Some(key) => request.bearer_auth(key.expose()),
            None => request,
        })
    }

    fn url(&self, path: &str) -> Result<Url, AskError> {
        self.edge.admin.join(path).map_err(|_| AskError::Invalid)
    }
}

/// The answer, if it is one; the edge's own words if it is a refusal.
async fn accepted(response: Response) -> Result<Response, AskError> {
    if response.status().is_success() {
        return Ok(response);
    }
    let status = response.status().as_u16();
    let body = http::body(response, limits::EVENT_BYTES).await.unwrap_or_default();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let error = body["error"].as_str().unwrap_or("no reason given").to_owned();
    Err(AskError::Status { status, error })
}
