//! The robot of a WeCom group: `developer.work.weixin.qq.com/document/path/99110` (formerly 91770), read in copies.
//!
//! Markdown of at most 4096 bytes (`errcode` 40058 when it is longer); 20 messages a minute, 45009 beyond. Its markdown has bold,
//! quotes, links and three colours; `<@userid>` calls people, so nothing foreign may bring a `<`.

use super::lane::{Receiver, json};
use super::message::Message;
use super::retry::{Codes, Verdict};
use super::text;
use crate::config::{Language, Secret};
use crate::limits;
use reqwest::{Client, RequestBuilder};
use serde_json::json;
use std::time::Duration;

const CODES: Codes =
    Codes { code: "errcode", words: "errmsg", too_often: &[45009, 45033], busy: &[-1] };

/// Bytes of `markdown.content`.
const CONTENT_BYTES: usize = 4096;

#[derive(Debug)]
pub(super) struct WeCom {
    pub(super) address: Secret,
    pub(super) language: Language,
}

impl Receiver<Message> for WeCom {
    fn name(&self) -> &'static str {
        "wecom"
    }

    fn pace(&self) -> Duration {
        Duration::from_millis(3_200)
    }

    fn room(&self) -> usize {
        limits::MESSAGES
    }

    fn request(&self, http: &Client, message: &Message, _now: u64) -> RequestBuilder {
        let title = text::title(message, self.language);
        let head = format!("### {title}\n");
        let body = text::body(message, self.language, CONTENT_BYTES - head.len());
        let content = head + &body;
        let body = json!({ "msgtype": "markdown", "markdown": { "content": content } });
        json(http.post(self.address.expose()), body.to_string())
    }

    fn verdict(&self, status: u16, body: &[u8]) -> Verdict {
        CODES.verdict(status, body)
    }
}
