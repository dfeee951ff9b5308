//! The robot of a DingTalk group: `open.dingtalk.com/document/robots/custom-robot-access` and `…/customize-robot-security-settings`,
//! read in copies.
//!
//! Signed: `timestamp` (ms) and `sign`, HMAC-SHA256 with the secret over `timestamp\nsecret`, in base64, are added to the query.
//! Markdown with a title that notifications show; 20 messages a minute, then nothing for 10 minutes: `errcode` 130101, 410100
//! (660026 by hearsay). A message may have 20 000 bytes. Refusals are answered 200, as well.

use super::lane::{Receiver, json};
use super::message::Message;
use super::retry::{Codes, Verdict};
use super::signature::hmac_base64;
use super::text;
use crate::config::{Language, Secret};
use crate::limits;
use reqwest::{Client, RequestBuilder};
use serde_json::json;
use std::time::Duration;
use url::Url;

const CODES: Codes =
    Codes { code: "errcode", words: "errmsg", too_often: &[130101, 410100, 660026], busy: &[-1] };

/// Bytes of `markdown.text`: well below what is allowed, and all that anybody reads.
const TEXT_BYTES: usize = 8192;

#[derive(Debug)]
pub(super) struct DingTalk {
    pub(super) address: Secret,
    pub(super) secret: Option<Secret>,
    pub(super) language: Language,
}

impl DingTalk {
    fn signed(&self, now: u64) -> Option<Url> {
        let mut url = Url::parse(self.address.expose()).ok()?;
        if let Some(secret) = &self.secret {
            let timestamp = now.to_string();
            let sign = sign(secret.expose(), &timestamp);
            url.query_pairs_mut().append_pair("timestamp", &timestamp).append_pair("sign", &sign);
        }
        Some(url)
    }
}

impl Receiver<Message> for DingTalk {
    fn name(&self) -> &'static str {
        "dingtalk"
    }

    fn pace(&self) -> Duration {
        Duration::from_millis(3_200)
    }

    fn room(&self) -> usize {
        limits::MESSAGES
    }

    fn request(&self, http: &Client, message: &Message, now: u64) -> RequestBuilder {
        let title = text::title(message, self.language);
        let head = format!("### {title}\n\n");
        let body = text::body(message, self.language, TEXT_BYTES - head.len());
        // Two blanks make a line end here; without them lines run together.
        let text = head + &body.replace('\n', "  \n");
        let request = match self.signed(now) {
            Some(url) => http.post(url),
            // Refused as an address when it is sent.
            None => http.post(""),
        };
        let body = json!({ "msgtype": "markdown", "markdown": { "title": title, "text": text } });
        json(request, body.to_string())
    }

    fn verdict(&self, status: u16, body: &[u8]) -> Verdict {
        CODES.verdict(status, body)
    }
}

fn sign(secret: &str, timestamp: &str) -> String {
    hmac_base64(secret.as_bytes(), format!("{timestamp}\n{secret}").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By Python: `base64.b64encode(hmac.new(secret, timestamp + b"\n" + secret, "sha256").digest())`, then
    /// `urllib.parse.quote_plus` of it.
    #[test]
    fn the_signature_is_in_the_query() {
        let robot = DingTalk {
            address: Secret::new("https://oapi.dingtalk.com/robot/send?access_token=t"),
            secret: Some(Secret::new("this is secret")),
            language: Language::English,
        };
        assert_eq!(
            robot.signed(1_599_360_473_001).unwrap().as_str(),
            "https://oapi.dingtalk.com/robot/send?access_token=t&timestamp=1599360473001\
             &sign=FFa7lqbDg9nUpjv2PsmsNQx0pUOYra%2BizTNB%2F0xfMGY%3D"
        );
    }

    #[test]
    fn answers_are_understood() {
        let verdict = |body: &str| format!("{:?}", CODES.verdict(200, body.as_bytes()));
        assert_eq!(verdict(r#"{"errcode":0,"errmsg":"ok"}"#), "Sent");
        let fast =
            r#"{"status":1111,"wait":5,"punish":"deny","errcode":130101,"errmsg":"send too fast"}"#;
        assert_eq!(verdict(fast), r#"TooOften("errcode 130101")"#);
        assert_eq!(
            verdict(r#"{"errcode":300001,"errmsg":"too fast"}"#),
            r#"TooOften("errcode 300001")"#
        );
        assert_eq!(verdict(r#"{"errcode":-1}"#), r#"Failed("errcode -1")"#);
        let sign = r#"{"errcode":310000,"errmsg":"sign not match"}"#;
        assert_eq!(verdict(sign), r#"Refused("errcode 310000")"#);
        assert_eq!(verdict("<html>"), r#"Failed("no answer of a robot")"#);
    }
}
