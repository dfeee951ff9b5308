//! Answers, before they are framed.

use serde_json::{Value, json};

/// What is answered.
#[derive(Debug, Clone)]
pub struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Answer {
    /// A status with a body.
    #[must_use]
    pub fn new(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Answer {
        let headers = vec![("Content-Type".to_owned(), content_type.to_owned())];
        Answer { status, headers, body: body.into() }
    }

    /// 200 with JSON, as WeChat labels it.
    #[must_use]
    pub fn json(value: &Value) -> Answer {
        Answer::new(200, "application/json; encoding=utf-8", value.to_string())
    }

    /// With one more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Answer {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(super) fn ok() -> Answer {
        Answer::json(&json!({"errcode": 0, "errmsg": "ok"}))
    }
}
