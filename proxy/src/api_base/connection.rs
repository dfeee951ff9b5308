//! One exchange with a base: request out, answer in, as streams. Pingora's client does the framing; here stand the
//! times that bound it.

use super::base::Base;
use super::failure::Failure;
use crate::limits;
use bytes::Bytes;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::Stream;
use pingora::protocols::http::v1::client::HttpSession;
use pingora::{Error, ErrorType};
use std::net::SocketAddr;
use std::sync::Arc;

/// A connection to a base, for one exchange.
pub struct Connection {
    /// Boxed: it is large, and handed on from stage to stage.
    session: Box<HttpSession>,
    base: Arc<Base>,
    address: SocketAddr,
    reused: bool,
    /// The whole request went out.
    sent: bool,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("base", &self.base.origin()).finish_non_exhaustive()
    }
}

impl Connection {
    pub(super) fn new(
        stream: Stream,
        base: Arc<Base>,
        address: SocketAddr,
        reused: bool,
    ) -> Connection {
        let mut session = Box::new(HttpSession::new(stream));
        session.read_timeout = Some(limits::API_READ_TIMEOUT);
        session.write_timeout = Some(limits::API_WRITE_TIMEOUT);
        Connection { session, base, address, reused, sent: false }
    }

    /// Whose it is.
    pub fn base(&self) -> &Arc<Base> {
        &self.base
    }

    /// Whether it served another exchange before, and may have been closed by WeChat meanwhile.
    pub fn is_reused(&self) -> bool {
        self.reused
    }

    /// Sends the head of the request.
    ///
    /// # Errors
    /// When WeChat does not take it.
    pub async fn send_head(&mut self, head: RequestHeader) -> Result<(), Failure> {
        self.session.write_request_header(Box::new(head)).await.map(drop).map_err(|e| reason(&e))
    }

    /// Sends some of the body.
    ///
    /// # Errors
    /// When WeChat does not take it.
    pub async fn send(&mut self, chunk: &[u8]) -> Result<(), Failure> {
        // An empty chunk would end a body without a length.
        if chunk.is_empty() {
            return Ok(());
        }
        self.session.write_body(chunk).await.map(drop).map_err(|e| reason(&e))
    }

    /// The request is complete.
    ///
    /// # Errors
    /// When WeChat does not take it.
    pub async fn finish(&mut self) -> Result<(), Failure> {
        let finish = tokio::time::timeout(limits::API_WRITE_TIMEOUT, self.session.finish_body());
        match finish.await {
            Ok(Ok(_)) => {
                self.sent = true;
                Ok(())
            }
            Ok(Err(error)) => Err(reason(&error)),
            Err(_elapsed) => Err(Failure::Timeout),
        }
    }

    /// Waits for the head of the answer; those that come before the real one are passed over.
    ///
    /// # Errors
    /// When there is none in time, or it is no HTTP.
    pub async fn answer(&mut self) -> Result<(), Failure> {
        self.session.read_timeout = Some(limits::API_ANSWER_TIMEOUT);
        for _interim in 0..limits::API_INTERIM_ANSWERS {
            self.session.read_response().await.map_err(|e| reason(&e))?;
            if !self.head()?.status.is_informational() {
                self.session.read_timeout = Some(limits::API_READ_TIMEOUT);
                return Ok(());
            }
        }
        Err(Failure::Invalid)
    }

    /// The head of the answer, once it was waited for.
    ///
    /// # Errors
    /// When it was not.
    pub fn head(&self) -> Result<&ResponseHeader, Failure> {
        self.session.resp_header().ok_or(Failure::Invalid)
    }

    /// The next part of the answer's body; `None` at its end.
    ///
    /// # Errors
    /// When it does not come.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Failure> {
        self.session.read_body_bytes().await.map_err(|e| reason(&e))
    }

    /// Whether the answer is complete.
    pub fn is_done(&mut self) -> bool {
        self.session.is_body_done()
    }

    /// Keeps the connection for the next exchange if this one is complete; closes it if not.
    pub async fn release(mut self) {
        // What WeChat did not take of a request it would take for the beginning of the next.
        if !self.sent {
            return;
        }
        self.session.respect_keepalive();
        if let Some(stream) = self.session.reuse().await {
            self.base.keep(stream, self.address);
        }
    }
}

fn reason(error: &Error) -> Failure {
    match error.etype() {
        ErrorType::ReadTimedout | ErrorType::WriteTimedout => Failure::Timeout,
        ErrorType::ConnectionClosed | ErrorType::ReadError | ErrorType::WriteError => {
            Failure::Reset
        }
        _ => Failure::Invalid,
    }
}
