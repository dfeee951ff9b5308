//! The body of a request on its way to WeChat: read as it comes, copied as far as it may be.

use super::Stop;
use super::copy::Copy;
use super::refusal::Refusal;
use crate::limits;
use bytes::Bytes;
use http::header;
use pingora::ErrorType;
use pingora::protocols::http::ServerSession;

/// A body that is being read.
pub struct Body<'a> {
    copy: Copy<'a>,
    /// Read, not sent.
    ready: Vec<Bytes>,
    /// Whether there is no more to read.
    ended: bool,
    /// Its length, if that is known.
    length: Option<u64>,
}

crate::opaque!(Body<'_>);

impl<'a> Body<'a> {
    /// Reads the first part, so that nothing is asked of WeChat for somebody who sends nothing.
    ///
    /// A body without a length is read whole if it may be copied: some of WeChat's APIs take no other.
    ///
    /// # Errors
    /// When the body does not come.
    pub async fn begin(session: &mut ServerSession, copy: Copy<'a>) -> Result<Body<'a>, Stop> {
        let length = session.req_header().headers.get(header::CONTENT_LENGTH);
        let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
        let mut body = Body { copy, ready: Vec::new(), ended: session.is_body_empty(), length };
        if body.ended {
            return Ok(body);
        }
        if session.get_header(header::EXPECT).is_some() {
            session.write_continue_response().await.map_err(|_| Stop::ClientGone)?;
        }
        session.set_read_timeout(Some(limits::API_READ_TIMEOUT));
        body.read(session).await?;
        while length.is_none() && !body.ended && body.copy.chunks().is_some() {
            body.read(session).await?;
        }
        if body.ended {
            body.length = Some(body.ready.iter().map(|chunk| chunk.len() as u64).sum());
        }
        Ok(body)
    }

    /// Its length in bytes, unless it is only known at its end. None at all is `None`, too.
    pub fn length(&self) -> Option<u64> {
        self.length
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ended && self.length.unwrap_or(0) == 0
    }

    /// The next part to send the first time; `None` at its end.
    ///
    /// # Errors
    /// When the rest does not come.
    pub async fn next(&mut self, session: &mut ServerSession) -> Result<Option<Bytes>, Stop> {
        if self.ready.is_empty() && !self.ended {
            self.read(session).await?;
        }
        Ok(if self.ready.is_empty() { None } else { Some(self.ready.remove(0)) })
    }

    /// The whole body once more, if there is a copy of it.
    pub fn again(&self) -> Option<&[Bytes]> {
        if self.ended { self.copy.chunks() } else { None }
    }

    async fn read(&mut self, session: &mut ServerSession) -> Result<(), Stop> {
        match session.read_request_body().await {
            Ok(Some(chunk)) => {
                self.copy.add(&chunk);
                self.ready.push(chunk);
                Ok(())
            }
            Ok(None) => {
                self.ended = true;
                Ok(())
            }
            Err(error) => {
                // Nobody knows where this request ends and the next would begin.
                session.set_keepalive(None);
                Err(match error.etype() {
                    ErrorType::ConnectionClosed | ErrorType::ReadError => Stop::ClientGone,
                    ErrorType::ReadTimedout => {
                        Refusal::bad_request("the body did not come in time").into()
                    }
                    _ => Refusal::bad_request("the body is not well framed").into(),
                })
            }
        }
    }
}

/// Reads a body whole that is no more than `max` bytes.
///
/// # Errors
/// When it is longer, or does not come.
pub async fn small(session: &mut ServerSession, max: usize) -> Result<Vec<u8>, Stop> {
    let copies = super::copy::Copies::default();
    let mut body = Body::begin(session, copies.begin(max as u64)).await?;
    let mut whole = Vec::new();
    while let Some(chunk) = body.next(session).await? {
        if whole.len() + chunk.len() > max {
            session.set_keepalive(None);
            return Err(Refusal::bad_request(format!("the body is longer than {max} bytes")).into());
        }
        whole.extend_from_slice(&chunk);
    }
    Ok(whole)
}
