//! The robot of a Feishu group, version 2: `open.feishu.cn/document/client-docs/bot-v3/add-custom-bot`.
//!
//! Signed: `timestamp` (s) and `sign` in the body; HMAC-SHA256 with `timestamp\nsecret` as the key over nothing, in base64. A card
//! with a coloured title; a body of at most 20 KB; 100 messages a minute and 5 a second, beyond that code 11232, or 9499 with
//! "too many request" and HTTP 400. The same 9499 with "Bad Request" means that the body is wrong.

use super::lane::{Receiver, json};
use super::message::Message;
use super::retry::{Codes, Verdict};
use super::signature::hmac_base64;
use super::text;
use crate::alert::Severity;
use crate::config::{Language, Secret};
use crate::limits;
use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};
use std::time::Duration;

const CODES: Codes = Codes { code: "code", words: "msg", too_often: &[11232], busy: &[] };

/// Bytes of the card's text: with all around it well below what is allowed.
const TEXT_BYTES: usize = 8192;

#[derive(Debug)]
pub(super) struct Feishu {
    pub(super) address: Secret,
    pub(super) secret: Option<Secret>,
    pub(super) language: Language,
}

impl Feishu {
    fn body(&self, message: &Message, now: u64) -> Value {
        let template = match message.severity() {
            Some(Severity::Critical) => "red",
            Some(Severity::High) => "orange",
            Some(Severity::Medium) => "yellow",
            None => "green",
        };
        let content = text::body(message, self.language, TEXT_BYTES);
        let title = text::title(message, self.language);
        let mut body = json!({
            "msg_type": "interactive",
            "card": {
                "config": { "wide_screen_mode": true },
                "header": { "template": template, "title": { "tag": "plain_text", "content": title } },
                "elements": [{ "tag": "markdown", "content": content }],
            },
        });
        if let Some(secret) = &self.secret {
            let timestamp = (now / 1000).to_string();
            body["sign"] = sign(secret.expose(), &timestamp).into();
            body["timestamp"] = timestamp.into();
        }
        body
    }
}

impl Receiver<Message> for Feishu {
    fn name(&self) -> &'static str {
        "feishu"
    }

    fn pace(&self) -> Duration {
        Duration::from_millis(650)
    }

    fn room(&self) -> usize {
        limits::MESSAGES
    }

    fn request(&self, http: &Client, message: &Message, now: u64) -> RequestBuilder {
        json(http.post(self.address.expose()), self.body(message, now).to_string())
    }

    fn verdict(&self, status: u16, body: &[u8]) -> Verdict {
        // Its first version answered `StatusCode` only, and some tenants still do.
        match CODES.verdict(status, body) {
            Verdict::Failed(_) if taken_the_old_way(body) => Verdict::Sent,
            verdict => verdict,
        }
    }
}

fn taken_the_old_way(body: &[u8]) -> bool {
    serde_json::from_slice::<Value>(body).is_ok_and(|answer| answer["StatusCode"] == 0)
}

fn sign(secret: &str, timestamp: &str) -> String {
    hmac_base64(format!("{timestamp}\n{secret}").as_bytes(), b"")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By Python: `base64.b64encode(hmac.new(b"1599360473\ndemo", b"", "sha256").digest())`.
    #[test]
    fn the_signature_is_over_nothing() {
        assert_eq!(sign("demo", "1599360473"), "l1N0gAcBjdwBvGm1xMjOF0XSyaLRpR7tuO5dHfhAYc8=");
    }

    #[test]
    fn answers_are_understood() {
        let robot = Feishu { address: Secret::new("x"), secret: None, language: Language::English };
        let verdict = |status, body: &str| format!("{:?}", robot.verdict(status, body.as_bytes()));
        assert_eq!(verdict(200, r#"{"StatusCode":0,"code":0,"msg":"success"}"#), "Sent");
        assert_eq!(verdict(200, r#"{"StatusCode":0,"StatusMessage":"success"}"#), "Sent");
        let many = r#"{"code":9499,"msg":"too many request","data":{}}"#;
        assert_eq!(verdict(400, many), r#"TooOften("code 9499")"#);
        let limited = r#"{"code":11232,"msg":"frequency limited psm"}"#;
        assert_eq!(verdict(200, limited), r#"TooOften("code 11232")"#);
        let bad = r#"{"code":9499,"msg":"Bad Request","data":{}}"#;
        assert_eq!(verdict(400, bad), r#"Refused("code 9499")"#);
        let sign = r#"{"code":19021,"msg":"sign match fail"}"#;
        assert_eq!(verdict(200, sign), r#"Refused("code 19021")"#);
        assert_eq!(verdict(502, "<html>"), r#"Failed("http 502")"#);
    }
}
