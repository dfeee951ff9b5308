//! The socket under a Pingora session: notes when a request began, bounds its header, gathers small writes.
//!
//! Pingora bounds each read, not the whole header, and writes header and body of an answer apart. Both are mended
//! here, below the session, so that nothing else has to know.

use crate::limits;
use memchr::memchr;
use pingora::protocols::Stream;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Header and body of a usual answer fit.
const WRITE_BYTES: usize = 1_536;

/// When the present request began and how much of it was read. Shared by the stream and the connection's loop.
#[derive(Debug)]
pub struct Meter {
    epoch: Instant,
    /// Nanoseconds after `epoch` of the request's first byte, plus one; 0 while there is none.
    first_byte: AtomicU64,
    /// Bytes that may still be read.
    budget: AtomicUsize,
    /// How much of it stood before the end of its first line, the LF included.
    line: AtomicUsize,
    /// Whether that line has ended.
    line_ended: AtomicBool,
}

impl Meter {
    /// A meter that awaits a request.
    pub fn awaiting() -> Meter {
        Meter {
            epoch: Instant::now(),
            first_byte: AtomicU64::new(0),
            budget: AtomicUsize::new(limits::HEADER_BYTES),
            line: AtomicUsize::new(0),
            line_ended: AtomicBool::new(false),
        }
    }

    /// Awaits the next request: its first byte is not here, its header has a fresh budget.
    pub fn rearm(&self) {
        self.first_byte.store(0, Ordering::Relaxed);
        self.budget.store(limits::HEADER_BYTES, Ordering::Relaxed);
        self.line.store(0, Ordering::Relaxed);
        self.line_ended.store(false, Ordering::Relaxed);
    }

    /// The header is complete; the body is bounded elsewhere, by its account.
    pub fn header_done(&self) {
        self.budget.store(usize::MAX, Ordering::Relaxed);
    }

    /// When the request's first byte arrived.
    pub fn first_byte(&self) -> Option<Instant> {
        match self.first_byte.load(Ordering::Relaxed) {
            0 => None,
            nanos => Some(self.epoch + Duration::from_nanos(nanos - 1)),
        }
    }

    /// Whether the header was longer than allowed.
    pub fn exhausted(&self) -> bool {
        self.budget.load(Ordering::Relaxed) == 0
    }

    /// Whether the request line of `header` is the one that was read. Pingora percent-encodes what may not stand there
    /// before anybody can judge it, which makes the line longer.
    pub fn is_line_as_read(&self, header: &[u8]) -> bool {
        let line = self.line.load(Ordering::Relaxed);
        line.checked_sub(1).and_then(|end| header.get(end)) == Some(&b'\n')
    }

    fn read(&self, bytes: &[u8]) {
        if self.first_byte.load(Ordering::Relaxed) == 0 {
            let nanos = u64::try_from(self.epoch.elapsed().as_nanos()).unwrap_or(u64::MAX - 1);
            self.first_byte.store(nanos + 1, Ordering::Relaxed);
        }
        let budget = self.budget.load(Ordering::Relaxed);
        if budget != usize::MAX {
            self.budget.store(budget.saturating_sub(bytes.len()), Ordering::Relaxed);
            if !self.line_ended.load(Ordering::Relaxed) {
                let end = memchr(b'\n', bytes);
                self.line.fetch_add(end.map_or(bytes.len(), |end| end + 1), Ordering::Relaxed);
                self.line_ended.store(end.is_some(), Ordering::Relaxed);
            }
        }
    }
}

/// A stream with a meter and a write buffer.
#[derive(Debug)]
pub struct Metered {
    stream: Stream,
    meter: Arc<Meter>,
    /// Written by the session, not yet by the kernel. Empty, and without memory, between answers.
    pending: Vec<u8>,
}

impl Metered {
    /// Puts `meter` on `stream`.
    pub fn new(stream: Stream, meter: Arc<Meter>) -> Metered {
        Metered { stream, meter, pending: Vec::new() }
    }

    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.pending.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.pending))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.pending.drain(..written);
        }
        self.pending = Vec::new();
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Metered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.meter.exhausted() {
            return Poll::Ready(Err(io::Error::other("request header too large")));
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let read = &buf.filled()[before..];
        if !read.is_empty() {
            self.meter.read(read);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Metered {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.pending.len() + bytes.len() > limits::WRITE_BUFFER_BYTES {
            ready!(self.poll_drain(cx))?;
        }
        if bytes.len() > limits::WRITE_BUFFER_BYTES {
            return Pin::new(&mut self.stream).poll_write(cx, bytes);
        }
        if self.pending.capacity() == 0 {
            self.pending.reserve(WRITE_BYTES);
        }
        self.pending.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

crate::connection::stream::passes_on!(Metered);
