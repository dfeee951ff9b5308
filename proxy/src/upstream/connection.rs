//! One HTTP/1.1 connection to the app, driven by whoever uses it.
//!
//! hyper splits a connection in two: a sender and a future that moves the bytes. Usually that future runs in a task
//! of its own, which costs two wake-ups a request. Here the request's own task polls both; an idle connection is
//! polled by nobody, and asked whether it is still open before it is used again.

use super::Failure;
use crate::limits;
use bytes::{Bytes, BytesMut};
use http::Request;
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Moves the bytes; gone once the connection has ended.
struct Driver(Option<Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>>);

impl Driver {
    /// Moves what can be moved. An error here also shows, more telling, in the response's future.
    fn drive(&mut self, cx: &mut Context<'_>) {
        if self.0.as_mut().is_some_and(|driver| driver.as_mut().poll(cx).is_ready()) {
            self.0 = None;
        }
    }
}

pub(super) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    driver: Driver,
    /// Whether a byte arrived since the last request was sent.
    answered: Arc<AtomicBool>,
    idle_since: Instant,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("idle_since", &self.idle_since).finish_non_exhaustive()
    }
}

impl Connection {
    /// Prepares a connected stream for requests.
    pub(super) async fn open<S>(stream: S) -> Result<Connection, Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let answered = Arc::new(AtomicBool::new(false));
        let watched = Watched { stream, answered: answered.clone() };
        let (sender, driver) = http1::Builder::new()
            .handshake(TokioIo::new(watched))
            .await
            .map_err(|_| Failure::Connect)?;
        Ok(Connection { sender, driver: Driver(Some(Box::pin(driver))), answered, idle_since: Instant::now() })
    }

    /// Sends one request and reads its whole answer, which is bounded.
    pub(super) async fn exchange(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<(http::response::Parts, Bytes), Failure> {
        self.answered.store(false, Ordering::Relaxed);
        let driver = &mut self.driver;
        let mut response = pin!(self.sender.send_request(request));
        let response = poll_fn(|cx| {
            driver.drive(cx);
            response.as_mut().poll(cx)
        });
        let (parts, mut body) = response.await.map_err(classify)?.into_parts();
        let mut whole = BytesMut::new();
        let mut first = None;
        while let Some(chunk) = self.chunk(&mut body).await.map_err(classify)? {
            if whole.len() + first.as_ref().map_or(0, Bytes::len) + chunk.len() > limits::APP_ANSWER_BYTES {
                return Err(Failure::Invalid);
            }
            // Nearly every answer is one chunk, which needs no copy.
            match first.take() {
                None if whole.is_empty() => first = Some(chunk),
                None => whole.extend_from_slice(&chunk),
                Some(begin) => {
                    whole.extend_from_slice(&begin);
                    whole.extend_from_slice(&chunk);
                }
            }
        }
        Ok((parts, first.unwrap_or_else(|| whole.freeze())))
    }

    async fn chunk(&mut self, body: &mut Incoming) -> hyper::Result<Option<Bytes>> {
        loop {
            let frame = poll_fn(|cx| {
                if let Poll::Ready(frame) = Pin::new(&mut *body).poll_frame(cx) {
                    return Poll::Ready(frame);
                }
                self.driver.drive(cx);
                Pin::new(&mut *body).poll_frame(cx)
            });
            match frame.await.transpose()?.map(|frame| frame.into_data()) {
                None => return Ok(None),
                Some(Ok(data)) => return Ok(Some(data)),
                Some(Err(_trailers)) => {}
            }
        }
    }

    /// Whether a byte of the last request's answer arrived.
    pub(super) fn answered(&self) -> bool {
        self.answered.load(Ordering::Relaxed)
    }

    /// Ends a request. Says whether the connection can take another one.
    pub(super) fn rest(&mut self) -> bool {
        self.idle_since = Instant::now();
        self.is_open()
    }

    /// Whether the app has left the connection open.
    pub(super) fn is_open(&mut self) -> bool {
        self.driver.drive(&mut Context::from_waker(Waker::noop()));
        self.driver.0.is_some() && self.sender.is_ready()
    }

    pub(super) fn idle_for(&self) -> Duration {
        self.idle_since.elapsed()
    }
}

fn classify(error: hyper::Error) -> Failure {
    if error.is_parse() { Failure::Invalid } else { Failure::Reset }
}

/// A stream that notes when something was read.
struct Watched<S> {
    stream: S,
    answered: Arc<AtomicBool>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        if buf.filled().len() > before {
            self.answered.store(true, Ordering::Relaxed);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
