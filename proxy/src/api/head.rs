//! What passes of a request's and an answer's head. To WeChat goes only what it can have use for; to the caller comes what is
//! not about the connection, and nothing that would lead it past the edge.

use http::{HeaderName, StatusCode, header};
use pingora::http::{RequestHeader, ResponseHeader};

/// The head of the request to WeChat, without its `Host` and without what says where its body ends.
///
/// # Errors
/// When the target is none, which [`wxedge_wechat::api::target`] has seen to.
pub fn request(from: &RequestHeader, target: &str) -> pingora::Result<RequestHeader> {
    let mut head = RequestHeader::build_no_case(from.method.clone(), target.as_bytes(), Some(8))?;
    for (name, value) in &from.headers {
        if goes_to_wechat(name) {
            head.append_header(name, value)?;
        }
    }
    Ok(head)
}

fn goes_to_wechat(name: &HeaderName) -> bool {
    match *name {
        // Said anew for the body as it is sent.
        header::CONTENT_LENGTH => false,
        // Not `accept-encoding`: an errcode could not be seen in a compressed answer.
        header::ACCEPT | header::USER_AGENT => true,
        _ => name.as_str().starts_with("content-") || name.as_str().starts_with("wechatmp-"),
    }
}

/// The head of the answer to the caller. Of what says where its body ends only a length is left.
///
/// # Errors
/// When WeChat's status is none.
pub fn answer(from: &ResponseHeader) -> pingora::Result<ResponseHeader> {
    let mut head = ResponseHeader::build_no_case(from.status, Some(from.headers.len() + 2))?;
    for (name, value) in &from.headers {
        if comes_from_wechat(name) {
            head.append_header(name, value)?;
        }
    }
    Ok(head)
}

fn comes_from_wechat(name: &HeaderName) -> bool {
    !matches!(
        *name,
        header::CONNECTION
            | header::TRANSFER_ENCODING
            | header::TRAILER
            | header::TE
            | header::UPGRADE
            | header::PROXY_AUTHENTICATE
            // A redirect leads to WeChat itself, and carries the token.
            | header::LOCATION
            | header::CONTENT_LOCATION
            | header::REFRESH
            | header::LINK
            | header::SET_COOKIE
    ) && name.as_str() != "keep-alive"
        // No page of another site is to read it.
        && !name.as_str().starts_with("access-control-")
}

/// Whether an answer leads elsewhere. Nobody follows it: not the edge, and not the caller, who would pass by it.
pub fn is_redirect(answer: &ResponseHeader) -> bool {
    answer.status.is_redirection() && answer.status != StatusCode::NOT_MODIFIED
}
