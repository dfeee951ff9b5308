//! The body of a request on its way to WeChat: read as it comes, copied as far as it may be.

use super::Stop;
use super::copy::Copy;
use super::refusal::Refusal;
use crate::limits;
use bytes::Bytes;
use http::{Version, header};
use pingora::ErrorType;
use pingora::protocols::http::ServerSession;
use std::collections::VecDeque;
use std::time::Instant;

/// A body that is being read.
pub struct Body<'a> {
    copy: Copy<'a>,
    /// Read, not sent, and not in the copy.
    ready: VecDeque<Bytes>,
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
        let ended = session.is_body_empty();
        let mut body = Body { copy, ready: VecDeque::new(), ended, length };
        if ended {
            return Ok(body);
        }
        ask_for(session).await?;
        if length.is_some() {
            let first = body.read(session).await?;
            body.ready.extend(first);
            return Ok(body);
        }
        let mut bytes = 0;
        while let Some(part) = read(session).await? {
            bytes += part.len() as u64;
            if !body.copy.add(&part) {
                body.ready = body.copy.take().into();
                body.ready.push_back(part);
                return Ok(body);
            }
        }
        (body.ended, body.length) = (true, Some(bytes));
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
        match self.ready.pop_front() {
            Some(part) => Ok(Some(part)),
            None if self.ended => Ok(None),
            None => self.read(session).await,
        }
    }

    /// The whole body, also once more, if there is a copy of it.
    pub fn again(&self) -> Option<impl Iterator<Item = &[u8]>> {
        if self.ended { self.copy.parts() } else { None }
    }

    async fn read(&mut self, session: &mut ServerSession) -> Result<Option<Bytes>, Stop> {
        let part = read(session).await?;
        match &part {
            None => self.ended = true,
            Some(part) => {
                if !self.copy.add(part) {
                    self.copy.give_up();
                }
                self.ended = session.is_body_done();
            }
        }
        Ok(part)
    }
}

/// Reads a body whole that is no more than `max` bytes and comes in time.
///
/// # Errors
/// When it is longer, or does not come.
pub async fn small(session: &mut ServerSession, max: usize, by: Instant) -> Result<Vec<u8>, Stop> {
    let whole = async {
        ask_for(session).await?;
        let mut whole = Vec::new();
        while let Some(part) = read(session).await? {
            if whole.len() + part.len() > max {
                let message = format!("the body is longer than {max} bytes");
                return Err(Refusal::bad_request(message).into());
            }
            whole.extend_from_slice(&part);
        }
        Ok(whole)
    };
    let late = || Err(Refusal::bad_request("the body did not come in time").into());
    tokio::time::timeout_at(by.into(), whole).await.unwrap_or_else(|_elapsed| late())
}

/// Who waits to be asked for the body is asked.
async fn ask_for(session: &mut ServerSession) -> Result<(), Stop> {
    let waits = session.get_header(header::EXPECT).is_some()
        && session.req_header().version == Version::HTTP_11;
    if waits {
        session.write_continue_response().await.map_err(|_| Stop::ClientGone)?;
    }
    session.set_read_timeout(Some(limits::API_READ_TIMEOUT));
    Ok(())
}

async fn read(session: &mut ServerSession) -> Result<Option<Bytes>, Stop> {
    let error = match session.read_request_body().await {
        Ok(part) => return Ok(part),
        Err(error) => error,
    };
    // Nobody knows where this request ends and the next would begin.
    session.set_keepalive(None);
    Err(match error.etype() {
        ErrorType::ConnectionClosed | ErrorType::ReadError => Stop::ClientGone,
        ErrorType::ReadTimedout => Refusal::bad_request("the body did not come in time").into(),
        _ => Refusal::bad_request("the body is not well framed").into(),
    })
}
