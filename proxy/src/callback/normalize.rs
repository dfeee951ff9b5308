//! Stage 6: the message as the app gets it: plain JSON (or CloudEvents, or XML) under CloudEvents headers.

use super::Facts;
use crate::account::Account;
use crate::config::{BodyFormat, SigningKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use chrono::{DateTime, Datelike, SecondsFormat};
use hmac::{Hmac, KeyInit, Mac};
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::Sha256;
use std::time::Duration;
use wxedge_wechat::message::{Format, Message};
use wxedge_wechat::signature::sign;

/// One request to the app.
#[derive(Debug)]
pub struct Delivery {
    /// Added to the app's URL: the plaintext-mode query of XML mode.
    pub query: Option<String>,
    /// Everything but `host`, `authorization` and `content-length`.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body.
    pub body: Bytes,
}

/// Makes the request for a message. `attempt` counts from 1, `left` is how long the app has.
pub fn normalize(
    account: &Account,
    message: &Message<'_>,
    clear: &[u8],
    facts: &Facts,
    attempt: u32,
    left: Duration,
) -> Delivery {
    let upstream = &account.config.upstream;
    let event = Event::of(account, message, facts);
    let (content_type, body) = match (upstream.format, message.format()) {
        (BodyFormat::Json, _) => ("application/json; charset=utf-8", data(message)),
        (BodyFormat::CloudEvents, _) => ("application/cloudevents+json; charset=utf-8", event.structured(message)),
        (BodyFormat::Xml, Format::Xml) => ("text/xml; charset=utf-8", clear.to_vec()),
        (BodyFormat::Xml, Format::Json) => ("application/json; charset=utf-8", clear.to_vec()),
    };
    let body = Bytes::from(body);
    let mut headers = Headers::new();
    headers.put(CONTENT_TYPE, content_type);
    event.headers(&mut headers);
    headers.put(IDEMPOTENCY_KEY, &facts.ce_id);
    headers.put(X_WXEDGE_ACCOUNT, &account.config.name);
    headers.put_number(X_WXEDGE_ATTEMPT, attempt);
    headers.put_number(X_WXEDGE_DEADLINE_MS, left.as_millis());
    headers.put_with(TRACEPARENT, |values| facts.random.write_traceparent(values));
    if let Some(key) = &upstream.signing_secret {
        sign_webhook(&mut headers, key, &facts.ce_id, facts.now_s, &body);
    }
    let query = (upstream.format == BodyFormat::Xml).then(|| plaintext_query(account, message, facts));
    Delivery { query, headers: headers.finish(), body }
}

const CE_SPECVERSION: HeaderName = HeaderName::from_static("ce-specversion");
const CE_ID: HeaderName = HeaderName::from_static("ce-id");
const CE_SOURCE: HeaderName = HeaderName::from_static("ce-source");
const CE_TYPE: HeaderName = HeaderName::from_static("ce-type");
const CE_SUBJECT: HeaderName = HeaderName::from_static("ce-subject");
const CE_TIME: HeaderName = HeaderName::from_static("ce-time");
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const X_WXEDGE_ACCOUNT: HeaderName = HeaderName::from_static("x-wxedge-account");
const X_WXEDGE_ATTEMPT: HeaderName = HeaderName::from_static("x-wxedge-attempt");
const X_WXEDGE_DEADLINE_MS: HeaderName = HeaderName::from_static("x-wxedge-deadline-ms");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// Headers whose values share one buffer.
struct Headers {
    values: String,
    ends: Vec<(HeaderName, usize)>,
}

impl Headers {
    fn new() -> Headers {
        Headers { values: String::with_capacity(512), ends: Vec::with_capacity(16) }
    }

    fn put(&mut self, name: HeaderName, value: &str) {
        self.put_with(name, |values| values.push_str(value));
    }

    fn put_number(&mut self, name: HeaderName, value: impl itoa::Integer) {
        self.put(name, itoa::Buffer::new().format(value));
    }

    fn put_with(&mut self, name: HeaderName, write: impl FnOnce(&mut String)) {
        write(&mut self.values);
        self.ends.push((name, self.values.len()));
    }

    fn finish(self) -> Vec<(HeaderName, HeaderValue)> {
        let values = Bytes::from(self.values);
        let mut headers = Vec::with_capacity(self.ends.len());
        let mut begin = 0;
        for (name, end) in self.ends {
            // Values are percent-encoded, hexadecimal or from the configuration's narrow alphabets.
            if let Ok(value) = HeaderValue::from_maybe_shared(values.slice(begin..end)) {
                headers.push((name, value));
            }
            begin = end;
        }
        headers
    }
}

/// The CloudEvents attributes of a message.
struct Event<'a> {
    id: &'a str,
    appid: &'a str,
    kind: String,
    subject: Option<&'a str>,
    time: Option<String>,
}

impl<'a> Event<'a> {
    fn of(account: &'a Account, message: &'a Message<'_>, facts: &'a Facts) -> Event<'a> {
        Event {
            id: &facts.ce_id,
            appid: &account.config.appid,
            kind: message.ce_type(),
            subject: message.subject(),
            time: message.create_time().and_then(rfc3339),
        }
    }

    /// Binary mode.
    fn headers(&self, headers: &mut Headers) {
        headers.put(CE_SPECVERSION, "1.0");
        headers.put(CE_ID, self.id);
        headers.put_with(CE_SOURCE, |values| values.extend(["/wechat/", self.appid]));
        headers.put_with(CE_TYPE, |values| percent_encode(values, &self.kind));
        if let Some(subject) = self.subject {
            headers.put_with(CE_SUBJECT, |values| percent_encode(values, subject));
        }
        if let Some(time) = &self.time {
            headers.put(CE_TIME, time);
        }
    }

    /// Structured mode.
    fn structured(&self, message: &Message<'_>) -> Vec<u8> {
        let mut envelope = serde_json::json!({
            "specversion": "1.0",
            "id": self.id,
            "source": format!("/wechat/{}", self.appid),
            "type": self.kind,
            "datacontenttype": "application/json",
        });
        if let Some(subject) = self.subject {
            envelope["subject"] = subject.into();
        }
        if let Some(time) = &self.time {
            envelope["time"] = time.as_str().into();
        }
        let mut body = envelope.to_string().into_bytes();
        // The message is JSON already: it goes in as it is, before the closing brace.
        body.pop();
        body.extend_from_slice(b",\"data\":");
        message.write_json(&mut body);
        body.push(b'}');
        body
    }
}

fn data(message: &Message<'_>) -> Vec<u8> {
    let mut body = Vec::with_capacity(512);
    message.write_json(&mut body);
    body
}

/// A fresh query as WeChat sends in plaintext mode, so that an SDK in that mode accepts the request.
fn plaintext_query(account: &Account, message: &Message<'_>, facts: &Facts) -> String {
    let timestamp = facts.now_s.to_string();
    let nonce = facts.random.nonce();
    let token = account.config.tokens.first().map_or("", |token| token.expose());
    let signature = sign(&[token, &timestamp, &nonce]);
    let mut query = format!("signature={signature}&timestamp={timestamp}&nonce={nonce}&openid=");
    query.extend(utf8_percent_encode(message.from_user().unwrap_or_default(), NON_ALPHANUMERIC));
    query
}

/// Standard Webhooks: HMAC-SHA256 over `id.timestamp.body`, <https://www.standardwebhooks.com>.
fn sign_webhook(headers: &mut Headers, key: &SigningKey, id: &str, now_s: i64, body: &[u8]) {
    // HMAC takes keys of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key.expose()) else { return };
    mac.update(id.as_bytes());
    mac.update(format!(".{now_s}.").as_bytes());
    mac.update(body);
    headers.put(WEBHOOK_ID, id);
    headers.put_number(WEBHOOK_TIMESTAMP, now_s);
    let signature = mac.finalize().into_bytes();
    headers.put_with(WEBHOOK_SIGNATURE, |values| {
        values.push_str("v1,");
        STANDARD.encode_string(signature, values);
    });
}

/// As the CloudEvents HTTP binding §3.1.3.2 says: space, `"`, `%` and everything outside printable ASCII is encoded.
fn percent_encode(out: &mut String, text: &str) {
    const ENCODED: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'%');
    out.extend(utf8_percent_encode(text, ENCODED));
}

/// `2023-11-14T22:13:20Z`; nothing for times that RFC 3339 cannot write, before the year 0 or after 9999.
fn rfc3339(unix_s: i64) -> Option<String> {
    let time = DateTime::from_timestamp(unix_s, 0).filter(|time| (0..=9_999).contains(&time.year()))?;
    Some(time.to_rfc3339_opts(SecondsFormat::Secs, true))
}
