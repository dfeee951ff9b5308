//! One connection: requests one after the other, each read within its time, framed strictly, answered once.

pub mod framing;
pub mod metered;
pub mod origin;
pub(crate) mod stream;

use crate::limits;
use crate::phase::Phases;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use metered::{Meter, Metered};
use pingora::http::ResponseHeader;
use pingora::protocols::Stream;
use pingora::protocols::http::ServerSession;
use pingora_timeout::fast_timeout::fast_timeout;
use std::future::{Future, poll_fn};
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;
use tokio::time::{Sleep, sleep};

/// What serves the requests of a listener.
pub trait App: Send + Sync + 'static {
    /// Answers one request whose header is complete and well framed.
    fn respond(
        self: &Arc<Self>,
        session: &mut ServerSession,
        arrival: Arrival,
    ) -> impl Future<Output = ()> + Send;

    /// A request ended before it could be told what it is about: counts it, and gives the answer of this status.
    fn unrouted(&self, status: u16, reason: &'static str, peer: IpAddr) -> Response;
}

/// How a request came in.
#[derive(Debug, Clone, Copy)]
pub struct Arrival {
    /// The first byte of the request line.
    pub first_byte: Instant,
    /// Who holds the other end of the connection.
    pub peer: IpAddr,
}

impl Arrival {
    /// When the whole request must have been read.
    pub fn read_by(&self) -> Instant {
        self.first_byte + limits::REQUEST_TIMEOUT
    }
}

/// An answer that is one buffer. Cloning it shares the buffer.
#[derive(Clone, PartialEq, Eq)]
pub struct Response {
    /// HTTP status.
    pub status: u16,
    /// The media type, if there is a body.
    pub content_type: &'static str,
    /// The body.
    pub body: Bytes,
}

crate::opaque!(Response);

impl Response {
    /// A status without a body.
    pub fn empty(status: u16) -> Response {
        Response { status, content_type: "", body: Bytes::new() }
    }

    /// Plain text.
    pub fn text(status: u16, body: impl Into<Bytes>) -> Response {
        Response { status, content_type: "text/plain; charset=utf-8", body: body.into() }
    }

    /// Writes the answer. The connection stays usable if it was.
    ///
    /// # Errors
    /// When the client is gone or does not read.
    pub async fn write(self, session: &mut ServerSession) -> Result<(), WriteError> {
        self.write_with(session, None).await
    }

    /// Writes the answer with one more header.
    ///
    /// # Errors
    /// When the client is gone or does not read.
    pub async fn write_with(
        self,
        session: &mut ServerSession,
        more: Option<(HeaderName, &'static str)>,
    ) -> Result<(), WriteError> {
        let write = async {
            let mut header = ResponseHeader::build_no_case(self.status, Some(6))?;
            if !self.body.is_empty() {
                header.insert_header(CONTENT_TYPE, HeaderValue::from_static(self.content_type))?;
                if self.content_type.starts_with("text/plain") {
                    // What comes from outside, as echostr does, is no page.
                    let nosniff = HeaderValue::from_static("nosniff");
                    header.insert_header(X_CONTENT_TYPE_OPTIONS, nosniff)?;
                }
            }
            header.insert_header(CONTENT_LENGTH, self.body.len())?;
            if let Some((name, value)) = more {
                header.insert_header(name, value)?;
            }
            session.write_response_header(Box::new(header)).await?;
            session.write_response_body(self.body, true).await?;
            session.finish_body().await
        };
        match fast_timeout(limits::WRITE_TIMEOUT, write).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(WriteError),
        }
    }
}

/// The client is gone or does not read.
#[derive(Debug, thiserror::Error)]
#[error("the answer could not be written")]
pub struct WriteError;

/// Serves a connection until it ends, goes idle, or the edge drains.
pub async fn serve<A: App>(app: Arc<A>, stream: Stream, peer: IpAddr, mut phases: Phases) {
    let meter = Arc::new(Meter::awaiting());
    let mut stream: Stream = Box::new(Metered::new(stream, meter.clone()));
    let present = phases.clone();
    let mut draining = pin!(phases.draining());
    // One timer for the whole connection: to put it off costs next to nothing.
    let mut idle = pin!(sleep(limits::KEEPALIVE_TIMEOUT));
    for request in 1..=limits::KEEPALIVE_REQUESTS {
        meter.rearm();
        idle.as_mut().reset(tokio::time::Instant::now() + limits::KEEPALIVE_TIMEOUT);
        let mut session = ServerSession::new_http1(stream);
        let read = read_header(&mut session, &meter, idle.as_mut(), draining.as_mut()).await;
        let first_byte = meter.first_byte().unwrap_or_else(Instant::now);
        let mut body = framing::Body::Whole;
        let refused = match read {
            Header::Complete => {
                let header = session.to_h1_raw();
                match framing::check(&header) {
                    _ if !meter.is_line_as_read(&header) => Some((400, "request_line")),
                    Ok(framed) => {
                        body = framed;
                        None
                    }
                    Err(reason) => Some((400, reason)),
                }
            }
            Header::Refused(reason) => Some((400, reason)),
            Header::Late => Some((408, "header_timeout")),
            Header::Closed => return,
        };
        if let Some((status, reason)) = refused {
            let refusal = app.unrouted(status, reason, peer);
            session.set_keepalive(None);
            // The client may be gone; there is nobody to tell.
            let _gone = refusal.write(&mut session).await;
            return;
        }
        meter.header_done();
        // Nothing follows where the client awaits the end, as with HTTP/1.0, or where others may see the body's end elsewhere.
        let goes_on = request < limits::KEEPALIVE_REQUESTS
            && body == framing::Body::Whole
            && !present.are_draining()
            && session.get_keepalive().is_some();
        session.set_keepalive(goes_on.then_some(limits::KEEPALIVE_TIMEOUT.as_secs()));
        app.respond(&mut session, Arrival { first_byte, peer }).await;
        // It flushes, drains what a refused request left unread, and says goodbye, all of which a client can hold up.
        // Boxed: it is large, and every waiting connection would be as large.
        let Ok(finished) = fast_timeout(limits::WRITE_TIMEOUT, Box::pin(session.finish())).await
        else {
            return;
        };
        match finished {
            Ok(Some(reusable)) => match reusable.into_parts() {
                (next, None) => stream = next,
                // Bytes after the body: nobody asked for pipelining.
                (_, Some(_)) => return,
            },
            Ok(None) | Err(_) => return,
        }
    }
}

enum Header {
    Complete,
    Refused(&'static str),
    Late,
    Closed,
}

/// Reads a header: waits for its first byte as long as a connection may idle, from then on as long as a request may
/// take.
///
/// When the edge drains, a connection that has not begun a request is closed a moment later: one may be on its way.
async fn read_header(
    session: &mut ServerSession,
    meter: &Meter,
    mut idle: Pin<&mut Sleep>,
    mut draining: Pin<&mut impl Future<Output = ()>>,
) -> Header {
    // Pingora's own timeouts are per read; the ones here are for the whole.
    session.set_keepalive(Some(0));
    session.set_read_timeout(None);
    let mut read = pin!(session.read_request());
    let mut lingers = false;
    let begun = poll_fn(|cx| {
        match read.as_mut().poll(cx) {
            Poll::Ready(read) => return Poll::Ready(Some(read)),
            Poll::Pending if meter.first_byte().is_some() => return Poll::Ready(None),
            Poll::Pending => {}
        }
        // A request that comes now is the connection's last, so `draining` is not polled again after its end.
        if !lingers && draining.as_mut().poll(cx).is_ready() {
            lingers = true;
            idle.as_mut().reset(tokio::time::Instant::now() + limits::DRAIN_LINGER);
        }
        idle.as_mut().poll(cx).map(|()| Some(Ok(false)))
    });
    let read = match begun.await {
        Some(read) => read,
        None => match fast_timeout(limits::REQUEST_TIMEOUT, read).await {
            Err(_late) => return Header::Late,
            Ok(read) => read,
        },
    };
    match read {
        Ok(true) => Header::Complete,
        Ok(false) => Header::Closed,
        Err(_) if meter.exhausted() => Header::Refused("header_too_large"),
        Err(error) if *error.etype() == pingora::ErrorType::ConnectionClosed => Header::Closed,
        Err(error) if *error.etype() == pingora::ErrorType::ReadError => Header::Closed,
        Err(_) => Header::Refused("header"),
    }
}
