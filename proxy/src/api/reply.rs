//! The answer to the caller.

use super::forward::Answer;
use super::outcome::Outcome;
use super::refusal::{self, Refusal};
use crate::limits;
use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, Version, header};
use pingora::http::ResponseHeader;
use pingora::protocols::http::ServerSession;
use serde_json::Value;

/// The caller is gone, or WeChat stopped in the middle of its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// The caller does not take it.
    Caller,
    /// WeChat does not go on.
    Wechat,
}

impl Broken {
    /// How the call is counted.
    pub fn outcome(self) -> Outcome {
        match self {
            Broken::Caller => Outcome::ClientGone,
            Broken::Wechat => Outcome::Failed,
        }
    }
}

/// Writes what the edge itself says instead of WeChat.
///
/// # Errors
/// When the caller does not take it.
pub async fn refuse(
    session: &mut ServerSession,
    refusal: &Refusal,
    rid: &str,
) -> Result<(), Broken> {
    let waits = session.get_header(header::EXPECT).is_some();
    if !waits {
        // The rest of its body is read, for a while: who is still sending gets the answer and not a reset. Who waits to be
        // asked for the body does not send it.
        session.set_close_on_response_before_downstream_finish(false);
    }
    let head = refusal.head().map_err(|_| Broken::Caller)?;
    whole(session, Box::new(head), refusal.body(rid).into()).await?;
    if session.get_keepalive().is_none() && !waits {
        // Pingora drains only where the connection goes on.
        session.finish_body().await.map_err(|_| Broken::Caller)?;
        let drain = session.drain_request_body();
        // It was answered; how it ends does not matter.
        let _drained = tokio::time::timeout(limits::WRITE_TIMEOUT, drain).await;
    }
    Ok(())
}

/// Writes an object.
///
/// # Errors
/// When the caller does not take it.
pub async fn object(session: &mut ServerSession, object: &Value) -> Result<(), Broken> {
    let mut head = ResponseHeader::build(200, Some(4)).map_err(|_| Broken::Caller)?;
    for (name, value) in [
        (header::CONTENT_TYPE, refusal::CONTENT_TYPE),
        // Most of them hold a credential.
        (header::CACHE_CONTROL, "no-store"),
    ] {
        head.insert_header(name, value).map_err(|_| Broken::Caller)?;
    }
    whole(session, Box::new(head), object.to_string().into()).await
}

/// Writes WeChat's answer.
///
/// # Errors
/// When one end does not go on; the connection to the caller then ends, so that it sees that something is missing.
pub async fn answer(session: &mut ServerSession, answer: Answer) -> Result<(), Broken> {
    let (mut head, mut part, mut connection) = match answer {
        Answer::Whole(head, body)
            if session.req_header().method != Method::HEAD && may_have_body(head.status) =>
        {
            return whole(session, head, body).await;
        }
        Answer::Whole(head, body) => (head, body, None),
        Answer::Stream(head, part, connection) => (head, part, Some(connection)),
    };
    if !may_have_body(head.status) {
        head.remove_header(&header::CONTENT_LENGTH);
    } else if !head.headers.contains_key(header::CONTENT_LENGTH) {
        if session.req_header().version == Version::HTTP_11 {
            let chunked = HeaderValue::from_static("chunked");
            head.insert_header(header::TRANSFER_ENCODING, chunked).map_err(|_| Broken::Wechat)?;
        } else {
            session.set_keepalive(None);
        }
    }
    session.set_write_timeout(Some(limits::API_WRITE_TIMEOUT));
    session.write_response_header(head).await.map_err(|_| Broken::Caller)?;
    loop {
        if !part.is_empty() {
            session.write_response_body(part, false).await.map_err(|_| Broken::Caller)?;
        }
        let Some(from) = &mut connection else { break };
        part = match from.chunk().await {
            Ok(Some(chunk)) => chunk,
            Ok(None) => break,
            Err(_) => {
                // No last chunk: what was cut off must not look complete.
                session.set_keepalive(None);
                session.shutdown().await;
                return Err(Broken::Wechat);
            }
        };
    }
    if let Some(connection) = connection {
        connection.release().await;
    }
    session.write_response_body(Bytes::new(), true).await.map_err(|_| Broken::Caller)
}

/// Whether an answer of this status can have a body, and so says where it ends.
fn may_have_body(status: StatusCode) -> bool {
    !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

async fn whole(
    session: &mut ServerSession,
    mut head: Box<ResponseHeader>,
    body: Bytes,
) -> Result<(), Broken> {
    let write = async {
        head.insert_header(header::CONTENT_LENGTH, body.len())?;
        session.write_response_header(head).await?;
        session.write_response_body(body, true).await
    };
    match tokio::time::timeout(limits::API_WRITE_TIMEOUT, write).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(Broken::Caller),
    }
}
