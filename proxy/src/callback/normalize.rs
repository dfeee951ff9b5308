//! Stage 6: the message as the app gets it: plain JSON (or CloudEvents, or XML) under CloudEvents headers.

use super::Facts;
use crate::account::Account;
use crate::config::{BodyFormat, SigningKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use chrono::Datelike;
use hmac::{Hmac, KeyInit, Mac};
use http::header::{CONTENT_TYPE, HeaderName};
use http::{HeaderMap, HeaderValue};
use sha2::Sha256;
use std::fmt::Write;
use std::time::Duration;
use wxedge_wechat::message::{Format, Message};
use wxedge_wechat::signature::sign;

/// One request to the app.
#[derive(Debug)]
pub struct Delivery {
    /// Added to the app's URL: the plaintext-mode query of XML mode.
    pub query: Option<String>,
    /// Everything but `host` and `content-length`.
    pub headers: HeaderMap,
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
    let mut headers = HeaderMap::with_capacity(20);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    event.headers(&mut headers);
    put(&mut headers, "idempotency-key", &event.id);
    put(&mut headers, "x-wxedge-account", &account.config.name);
    headers.insert("x-wxedge-attempt", HeaderValue::from(attempt));
    headers.insert("x-wxedge-deadline-ms", HeaderValue::from(left.as_millis() as u64));
    put(&mut headers, "traceparent", &facts.random.traceparent());
    if let Some(key) = &upstream.signing_secret {
        sign_webhook(&mut headers, key, &event.id, facts.now_s, &body);
    }
    let query = (upstream.format == BodyFormat::Xml).then(|| plaintext_query(account, message, facts));
    Delivery { query, headers, body }
}

/// The CloudEvents attributes of a message.
struct Event {
    id: String,
    source: String,
    kind: String,
    subject: Option<String>,
    time: Option<String>,
}

impl Event {
    fn of(account: &Account, message: &Message<'_>, facts: &Facts) -> Event {
        Event {
            id: facts.ce_id.clone(),
            source: format!("/wechat/{}", account.config.appid),
            kind: message.ce_type(),
            subject: message.subject().map(str::to_owned),
            time: message.create_time().and_then(rfc3339),
        }
    }

    /// Binary mode.
    fn headers(&self, headers: &mut HeaderMap) {
        headers.insert("ce-specversion", HeaderValue::from_static("1.0"));
        put(headers, "ce-id", &self.id);
        put(headers, "ce-source", &percent_encoded(&self.source));
        put(headers, "ce-type", &percent_encoded(&self.kind));
        if let Some(subject) = &self.subject {
            put(headers, "ce-subject", &percent_encoded(subject));
        }
        if let Some(time) = &self.time {
            put(headers, "ce-time", time);
        }
    }

    /// Structured mode.
    fn structured(&self, message: &Message<'_>) -> Vec<u8> {
        let mut envelope = serde_json::json!({
            "specversion": "1.0",
            "id": self.id,
            "source": self.source,
            "type": self.kind,
            "datacontenttype": "application/json",
        });
        if let Some(subject) = &self.subject {
            envelope["subject"] = subject.as_str().into();
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
    let openid = percent_encoded(message.from_user().unwrap_or_default());
    format!("signature={signature}&timestamp={timestamp}&nonce={nonce}&openid={openid}")
}

/// Standard Webhooks: HMAC-SHA256 over `id.timestamp.body`, <https://www.standardwebhooks.com>.
fn sign_webhook(headers: &mut HeaderMap, key: &SigningKey, id: &str, now_s: i64, body: &[u8]) {
    // HMAC takes keys of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key.expose()) else { return };
    mac.update(id.as_bytes());
    mac.update(format!(".{now_s}.").as_bytes());
    mac.update(body);
    put(headers, "webhook-id", id);
    headers.insert("webhook-timestamp", HeaderValue::from(now_s));
    put(headers, "webhook-signature", &format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())));
}

fn put(headers: &mut HeaderMap, name: &'static str, value: &str) {
    // Values are percent-encoded, hexadecimal or from the configuration's narrow alphabets.
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(HeaderName::from_static(name), value);
    }
}

/// As the CloudEvents HTTP binding §3.1.3.2 says: space, `"`, `%` and everything outside printable ASCII is encoded.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_graphic() && !matches!(byte, b'"' | b'%') {
            encoded.push(byte as char);
        } else {
            // Writing to a string cannot fail.
            let _infallible = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// `2023-11-14T22:13:20Z`; nothing for times before 1970 or after 9999.
fn rfc3339(unix_s: i64) -> Option<String> {
    let time = chrono::DateTime::from_timestamp(unix_s, 0)?;
    (0..=9_999).contains(&time.year()).then(|| time.to_rfc3339_opts(chrono::SecondsFormat::Secs, true))
}
