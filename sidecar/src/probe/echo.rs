//! A signed `echostr` through the public URL, as WeChat verifies it.

mod judge;

use super::exchange::{Answer, Stream, exchange};
use super::{Found, finding};
use crate::edge::client::Verification;
use crate::limits;
use crate::observation::{Facts, Fault, FaultKind, Finding, Probe, excerpt};
use bytes::Bytes;
use http_body_util::Empty;
use hyper::header::{ACCEPT, CONNECTION, HOST, HeaderValue, PRAGMA, USER_AGENT};
use hyper::{Request, Uri};
use judge::{Answered, judge};
use std::time::Instant;
use url::Url;

/// What is asked, and of whom.
#[derive(Debug)]
pub(super) struct Question<'a> {
    pub(super) url: &'a Url,
    pub(super) host_port: &'a str,
    pub(super) verification: &'a Verification,
    /// When WeChat's 5 s began.
    pub(super) begun: Instant,
    /// The edge takes callbacks from listed addresses only, so that it may refuse this one whatever its signature.
    pub(super) enforced: bool,
}

/// Asks on a connection, and judges the answer.
pub(super) async fn echo(question: &Question<'_>, stream: Box<dyn Stream>) -> Finding {
    let start = Instant::now();
    let left = limits::ANSWER_TIMEOUT.saturating_sub(question.begun.elapsed());
    let found = match request(question) {
        Some(request) => match exchange(stream, request, left).await {
            Ok(answer) => found(question, &answer),
            Err(fault) => fault.into(),
        },
        None => Fault::new(FaultKind::EdgeUnavailable, "its query is none").into(),
    };
    finding(Probe::Echo, question.host_port.to_owned(), start.elapsed(), found)
}

/// No `echostr` was asked for, because of `fault`.
pub(super) fn not_asked(host_port: &str, fault: Fault) -> Finding {
    finding(Probe::Echo, host_port.to_owned(), std::time::Duration::ZERO, fault.into())
}

/// What WeChat sends.
fn request(question: &Question<'_>) -> Option<Request<Empty<Bytes>>> {
    let url = question.url;
    let query = &question.verification.query;
    let target = match url.query() {
        Some(own) if !own.is_empty() => format!("{}?{own}&{query}", url.path()),
        _ => format!("{}?{query}", url.path()),
    };
    let host = match url.port() {
        Some(port) => format!("{}:{port}", url.host_str()?),
        None => url.host_str()?.to_owned(),
    };
    Request::get(target.parse::<Uri>().ok()?)
        .header(USER_AGENT, HeaderValue::from_static("Mozilla/4.0"))
        .header(ACCEPT, HeaderValue::from_static("*/*"))
        .header(HOST, host)
        .header(PRAGMA, HeaderValue::from_static("no-cache"))
        .header(CONNECTION, HeaderValue::from_static("close"))
        .body(Empty::new())
        .ok()
}

fn found(question: &Question<'_>, answer: &Answer) -> Found {
    let status = answer.head.status().as_u16();
    let location = answer.head.headers().get("location").and_then(|value| value.to_str().ok());
    let mut fault = judge(&Answered {
        status,
        location,
        body: &answer.body,
        echostr: &question.verification.echostr,
    });
    if question.enforced && matches!(&fault, Some(f) if f.kind == FaultKind::SignatureRefused) {
        fault = None;
    }
    let response = fault
        .is_some()
        .then(|| without(&question.verification.query, &String::from_utf8_lossy(&answer.body)));
    let length = Some(answer.length);
    let facts =
        Facts { status: Some(status), response, response_length: length, ..Facts::default() };
    Found { fault, facts }
}

/// The beginning of a body, without what it repeats of a signed query.
fn without(query: &str, body: &str) -> String {
    let mut body = body.replace(query, "…");
    for (_, value) in url::form_urlencoded::parse(query.as_bytes()) {
        // What is shorter tells nothing, and may be part of any word.
        if value.len() >= 8 {
            body = body.replace(&*value, "…");
        }
    }
    excerpt(&body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signed_query_is_taken_out_of_what_is_shown() {
        let query = "signature=0123456789abcdef&timestamp=1700000000&nonce=12&echostr=987654321";
        let body = format!("<a href='/?{query}'>sig 0123456789abcdef, 12 o'clock</a>\n");
        assert_eq!(without(query, &body), "<a href='/?…'>sig …, 12 o'clock</a> ");
        assert_eq!(without(query, &"é".repeat(300)).chars().count(), limits::EXCERPT_CHARS);
    }
}
