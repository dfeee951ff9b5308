//! Late replies: one customer-service message, sent once.

use crate::api_base::Failure;
use crate::credential::{Ask, Credentials};
use serde_json::{Map, Value};
use std::time::Duration;
use wxedge_wechat::api::errcode::{self, Unsent};

/// Where customer-service messages go.
const PATH: &str = "/cgi-bin/message/custom/send";

/// What became of a message. A `reason` is one word of a closed list, a `detail` one sentence for an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Sent {
    /// WeChat took it.
    Taken,
    /// It was not sent, which is certain, and may be sent later.
    Unsent {
        /// `no_token`; without a connection `dns`, `dns_timeout`, `connect`, `connect_timeout`, `tls`, `proxy`; what
        /// WeChat said: `busy`, `rate`, `token`.
        reason: &'static str,
        /// Why.
        detail: String,
        /// WeChat wants to be left alone for this long at least.
        pause: Option<Duration>,
    },
    /// It was not sent, and would not be later.
    Refused {
        /// WeChat's.
        errcode: i64,
        /// `window`, `count`, `unauthorized`, `quota` or `refused`.
        reason: &'static str,
        /// Why.
        detail: String,
    },
    /// Nobody knows: it may have arrived, but nothing says so. It must not be sent again by itself.
    Maybe {
        /// `timeout`, `reset`, or for an answer that is not WeChat's `invalid`.
        reason: &'static str,
        /// Why.
        detail: String,
    },
}

/// Sends one message, with the `touser` in it, and once more with another token when WeChat rejects the first. Takes no
/// longer than the waits for a token ([`crate::limits::CREDENTIAL_WAIT`] each) and two calls
/// ([`crate::limits::API_OWN_CALL_TIMEOUT`] each).
///
/// Every message goes over a connection of its own. So whatever fails before there is one (the token, DNS, TCP, the
/// egress proxy, TLS) proves that nothing was sent, and a connection that ends early was not just an old one that
/// WeChat closed. Of the answers only WeChat's own is believed, HTTP 200 with a JSON object: a gateway's error page
/// says nothing about what happened behind it.
pub(super) async fn send(credentials: &Credentials, message: &Map<String, Value>) -> Sent {
    let body = Some(Value::Object(message.clone()));
    let answer = credentials.ask_for_bytes(&Ask { path: PATH, body, repeatable: false }).await;
    match answer {
        Ok((status, body)) => judge(status, &body),
        Err(error) => {
            let (reason, detail) = (error.reason(), error.to_string());
            if error.is_unsent() {
                Sent::Unsent { reason, detail, pause: None }
            } else {
                Sent::Maybe { reason, detail }
            }
        }
    }
}

fn judge(status: u16, body: &[u8]) -> Sent {
    let error = errcode::read(body);
    let is_object = || serde_json::from_slice::<Map<String, Value>>(body).is_ok();
    if status != 200 || (error.is_none() && !is_object()) {
        let detail = format!("HTTP {status}, but no answer of WeChat's; it may have been executed");
        return Sent::Maybe { reason: Failure::Invalid.reason(), detail };
    }
    let Some(answer) = error else { return Sent::Taken };
    let (errcode, unsent) = (answer.errcode, Unsent::of(answer.errcode));
    let (reason, detail) = (unsent.label(), format!("errcode {errcode}, {}", answer.shown()));
    if unsent.is_temporary() {
        Sent::Unsent { reason, detail, pause: unsent.pause() }
    } else {
        Sent::Refused { errcode, reason, detail }
    }
}

#[cfg(test)]
mod tests;
