//! Stage 6: the message as the app gets it: plain JSON (or CloudEvents, or XML) under CloudEvents headers.

use super::Facts;
use crate::account::Account;
use crate::config::{BodyFormat, SigningKey};
use crate::upstream::Delivery;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Datelike, SecondsFormat};
use hmac::{Hmac, KeyInit, Mac};
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::Sha256;
use std::time::Instant;
use wxedge_wechat::message::{Format, Message};
use wxedge_wechat::signature::sign;

/// The lines of a usual message fit.
const HEADER_BYTES: usize = 768;

/// Makes the request for a message. `attempt` counts from 1, by `deadline` the app should have answered.
pub fn normalize(
    account: &Account,
    message: &Message<'_>,
    clear: &[u8],
    facts: &Facts,
    attempt: u32,
    deadline: Instant,
) -> Delivery {
    let upstream = &account.config.upstream;
    let event = Event::of(account, message, facts);
    let (content_type, body) = match (upstream.format, message.format()) {
        (BodyFormat::Json, _) => ("application/json; charset=utf-8", data(message)),
        (BodyFormat::CloudEvents, _) => {
            ("application/cloudevents+json; charset=utf-8", event.structured(message))
        }
        (BodyFormat::Xml, Format::Xml) => ("text/xml; charset=utf-8", clear.to_vec()),
        (BodyFormat::Xml, Format::Json) => ("application/json; charset=utf-8", clear.to_vec()),
    };
    let mut headers = Headers(String::with_capacity(HEADER_BYTES));
    headers.put("content-type", content_type);
    event.headers(&mut headers);
    headers.put("idempotency-key", &facts.ce_id);
    headers.put("x-wxedge-account", &account.config.name);
    headers.put_number("x-wxedge-attempt", attempt);
    headers.put_with("traceparent", |line| facts.random.write_traceparent(line));
    if let Some(key) = &upstream.signing_secret {
        sign_webhook(&mut headers, key, &facts.ce_id, facts.now_s, &body);
    }
    let query =
        (upstream.format == BodyFormat::Xml).then(|| plaintext_query(account, message, facts));
    Delivery { query, headers: headers.0, body, deadline }
}

/// Header lines. Values are percent-encoded, hexadecimal, numbers or from the configuration's narrow alphabets, so
/// that none ends its line.
struct Headers(String);

impl Headers {
    fn put(&mut self, name: &str, value: &str) {
        self.put_with(name, |line| line.push_str(value));
    }

    fn put_number(&mut self, name: &str, value: impl itoa::Integer) {
        self.put(name, itoa::Buffer::new().format(value));
    }

    fn put_with(&mut self, name: &str, write: impl FnOnce(&mut String)) {
        self.0.extend([name, ": "]);
        write(&mut self.0);
        self.0.push_str("\r\n");
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
        headers.put("ce-specversion", "1.0");
        headers.put("ce-id", self.id);
        headers.put_with("ce-source", |line| line.extend(["/wechat/", self.appid]));
        headers.put_with("ce-type", |line| percent_encode(line, &self.kind));
        if let Some(subject) = self.subject {
            headers.put_with("ce-subject", |line| percent_encode(line, subject));
        }
        if let Some(time) = &self.time {
            headers.put("ce-time", time);
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
    let nonce = &facts.random.nonce;
    let token = account.config.tokens.first().map_or("", |token| token.expose());
    let signature = sign(&[token, &timestamp, nonce]);
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
    headers.put("webhook-id", id);
    headers.put_number("webhook-timestamp", now_s);
    let signature = mac.finalize().into_bytes();
    headers.put_with("webhook-signature", |line| {
        line.push_str("v1,");
        STANDARD.encode_string(signature, line);
    });
}

/// As the CloudEvents HTTP binding §3.1.3.2 says: space, `"`, `%` and everything outside printable ASCII is encoded.
fn percent_encode(out: &mut String, text: &str) {
    const ENCODED: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'%');
    out.extend(utf8_percent_encode(text, ENCODED));
}

/// `2023-11-14T22:13:20Z`; nothing for times that RFC 3339 cannot write, before the year 0 or after 9999.
fn rfc3339(unix_s: i64) -> Option<String> {
    let time =
        DateTime::from_timestamp(unix_s, 0).filter(|time| (0..=9_999).contains(&time.year()))?;
    Some(time.to_rfc3339_opts(SecondsFormat::Secs, true))
}
