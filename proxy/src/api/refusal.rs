//! What the edge itself says to a caller. Shaped like WeChat's own errors, so that every SDK reports them, with codes on
//! which none of them repeats.

use http::header;
use pingora::http::ResponseHeader;
use serde_json::json;
use std::borrow::Cow;

use super::outcome::Outcome;

/// The media type of what the edge itself says.
pub const CONTENT_TYPE: &str = "application/json; charset=utf-8";

/// An answer that does not come from WeChat, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    status: u16,
    errcode: i64,
    /// One sentence for the developer who reads it. No token, no secret.
    message: Cow<'static, str>,
    outcome: Outcome,
}

impl Refusal {
    fn new(
        status: u16,
        errcode: i64,
        outcome: Outcome,
        message: impl Into<Cow<'static, str>>,
    ) -> Refusal {
        Refusal { status, errcode, message: message.into(), outcome }
    }

    /// The request is not one that may be sent on.
    pub fn bad_request(message: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal::new(400, -9400, Outcome::Refused, message)
    }

    /// Nobody knows who calls.
    pub fn unauthorized(message: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal::new(401, -9401, Outcome::Refused, message)
    }

    /// Who calls may not do this.
    pub fn forbidden(message: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal::new(403, -9403, Outcome::Refused, message)
    }

    /// There is no such account or endpoint.
    pub fn not_found(message: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal::new(404, -9404, Outcome::Refused, message)
    }

    /// More calls than `rate_per_second`.
    pub fn too_many(message: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal::new(429, -9429, Outcome::RateLimited, message)
    }

    /// WeChat was asked and there is no answer that helps.
    pub fn bad_gateway(message: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal::new(502, -9502, Outcome::Failed, message)
    }

    /// The edge cannot ask WeChat now.
    pub fn unavailable(message: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal::new(503, -9503, Outcome::Unavailable, message)
    }

    /// An enforced budget is used up. WeChat's own code and status, which SDKs know and do not repeat on.
    pub fn budget_used_up(message: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal::new(200, 45009, Outcome::BudgetUsedUp, message)
    }

    /// WeChat's answer to an appid it does not know.
    pub fn unknown_appid() -> Refusal {
        Refusal::new(200, 40013, Outcome::Refused, "invalid appid: no account of this edge has it")
    }

    /// WeChat's answer to a wrong AppSecret; here the key of a client stands in its place.
    pub fn wrong_key() -> Refusal {
        let message = "invalid appsecret: with [clients] configured, secret is the client's key";
        Refusal::new(200, 40125, Outcome::Refused, message)
    }

    /// How the call is counted.
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// One sentence for the caller's developer.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The code in the body.
    pub fn errcode(&self) -> i64 {
        self.errcode
    }

    /// The body of the answer. `rid` names the call in the edge's log.
    pub fn body(&self, rid: &str) -> String {
        let errmsg = format!("wxedge: {}", self.message);
        json!({"errcode": self.errcode, "errmsg": errmsg, "rid": rid}).to_string()
    }

    /// The head of the answer.
    ///
    /// # Errors
    /// Never: all of it is ASCII.
    pub fn head(&self) -> pingora::Result<ResponseHeader> {
        let mut head = ResponseHeader::build(self.status, Some(5))?;
        head.insert_header(header::CONTENT_TYPE, CONTENT_TYPE)?;
        if self.status == 429 {
            head.insert_header(header::RETRY_AFTER, "1")?;
        }
        Ok(head)
    }
}
