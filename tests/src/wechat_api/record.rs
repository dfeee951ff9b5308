//! What was received.

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::quota::{STABLE_TOKEN, TOKEN};
use crate::http::header;

/// Longer bodies are kept as their hash, in bytes.
pub const BODY_KEPT: usize = 64 * 1024;
/// How many requests are kept; the oldest go first. Counts go on.
const REQUESTS_KEPT: usize = 10_000;
/// How many paths are counted.
const PATHS_COUNTED: usize = 10_000;
const MISTAKES_KEPT: usize = 1_000;

/// One request as WeChat got it.
#[derive(Debug, Clone)]
pub struct Request {
    /// The method.
    pub method: String,
    /// Path and query, byte for byte. Bytes that are not UTF-8 stand as the characters of the same numbers.
    pub target: String,
    /// In the order in which they came, names as they came.
    pub headers: Vec<(String, String)>,
    /// The body without its framing.
    pub body: Body,
    /// Whether the body came whole: a fault, or the caller, may have ended it.
    pub complete: bool,
    /// Which of the listener's connections it came on, counted from 1.
    pub connection: u64,
    /// When it was there.
    pub at: Instant,
}

impl Request {
    /// The path, as it came.
    #[must_use]
    pub fn path(&self) -> &str {
        self.target.split_once('?').map_or(&self.target, |(path, _)| path)
    }

    /// The query without its `?`, as it came.
    #[must_use]
    pub fn query(&self) -> &str {
        self.target.split_once('?').map_or("", |(_, query)| query)
    }

    /// The first parameter of a name in the query, decoded.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<String> {
        super::query::value(&super::query::parameters(self.query()), name).map(str::to_owned)
    }

    /// The first header of a name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none, or longer than [`BODY_KEPT`].
    #[must_use]
    pub fn json(&self) -> Value {
        let body = self.body.bytes();
        serde_json::from_slice(body)
            .unwrap_or_else(|error| panic!("{error}: {:?}", String::from_utf8_lossy(body)))
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "method": self.method,
            "target": self.target,
            "headers": self.headers,
            "body": self.body.kept.as_deref().map(String::from_utf8_lossy),
            "length": self.body.length,
            "sha256": self.body.sha256(),
            "complete": self.complete,
            "connection": self.connection,
        })
    }
}

/// A body: its bytes while they are few, always its length and its hash.
#[derive(Debug, Clone)]
pub struct Body {
    kept: Option<Vec<u8>>,
    length: u64,
    /// Of the bytes that are not kept.
    hash: Sha256,
}

impl Body {
    pub(super) fn empty() -> Body {
        Body { kept: Some(Vec::new()), length: 0, hash: Sha256::new() }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.length += bytes.len() as u64;
        match &mut self.kept {
            Some(kept) if kept.len() + bytes.len() <= BODY_KEPT => kept.extend_from_slice(bytes),
            kept => {
                if let Some(until_now) = kept.take() {
                    self.hash.update(until_now);
                }
                self.hash.update(bytes);
            }
        }
    }

    /// The bytes.
    ///
    /// # Panics
    /// When there are more than [`BODY_KEPT`].
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.kept.as_deref().expect("a body that was short enough to be kept")
    }

    /// The bytes, when they are few enough.
    pub(super) fn kept(&self) -> &[u8] {
        self.kept.as_deref().unwrap_or_default()
    }

    /// How many bytes there are.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    /// SHA-256 of the bytes, in hexadecimal digits.
    #[must_use]
    pub fn sha256(&self) -> String {
        let mut hash = self.hash.clone();
        hash.update(self.kept());
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// How often tokens were asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fetches {
    /// `/cgi-bin/token`.
    pub token: u64,
    /// `/cgi-bin/stable_token` without force.
    pub stable: u64,
    /// `/cgi-bin/stable_token` with `force_refresh`.
    pub forced: u64,
}

impl Fetches {
    /// All of them.
    #[must_use]
    pub fn all(&self) -> u64 {
        self.token + self.stable + self.forced
    }

    fn add(&mut self, request: &Request) {
        match request.path() {
            TOKEN => self.token += 1,
            STABLE_TOKEN => match serde_json::from_slice::<Value>(request.body.kept()) {
                Ok(body) if body["force_refresh"] == true => self.forced += 1,
                _ => self.stable += 1,
            },
            _ => {}
        }
    }
}

/// Everything since the start, or since it was forgotten.
#[derive(Debug, Default)]
pub(super) struct Record {
    pub(super) requests: VecDeque<Request>,
    counts: HashMap<String, u64>,
    pub(super) fetches: Fetches,
    pub(super) mistakes: Vec<String>,
}

impl Record {
    pub(super) fn add(&mut self, request: Request) {
        self.fetches.add(&request);
        if let Some(count) = self.counts.get_mut(request.path()) {
            *count += 1;
        } else if self.counts.len() < PATHS_COUNTED {
            self.counts.insert(request.path().to_owned(), 1);
        }
        if self.requests.len() >= REQUESTS_KEPT {
            self.requests.pop_front();
        }
        self.requests.push_back(request);
    }

    pub(super) fn mistake(&mut self, what: String) {
        if self.mistakes.len() < MISTAKES_KEPT {
            self.mistakes.push(what);
        }
    }

    pub(super) fn count(&self, path: &str) -> u64 {
        self.counts.get(path).copied().unwrap_or(0)
    }
}
