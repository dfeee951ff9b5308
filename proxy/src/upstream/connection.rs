//! One HTTP/1.1 connection to the app: a request is one write, its answer is framed strictly and bounded.
//!
//! This is not a general client. It posts one buffer and reads one answer, so that a callback that waits costs no
//! buffers and no task of its own; general clients measured here took 25 KB and 4 µs a callback more. The parsing is
//! `httparse`'s.

use super::{AppAnswer, Failure, retry_after};
use crate::limits;
use bytes::Bytes;
use std::future::poll_fn;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant, SystemTime};
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// A connected stream.
pub(super) enum Stream {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

pub(super) struct Connection {
    stream: Stream,
    /// Whether a byte arrived since the last request was sent.
    answered: bool,
    /// Whether the last answer left the connection fit for another request.
    reusable: bool,
    idle_since: Instant,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("idle_since", &self.idle_since).finish_non_exhaustive()
    }
}

impl Connection {
    pub(super) fn new(stream: Stream) -> Connection {
        Connection { stream, answered: false, reusable: false, idle_since: Instant::now() }
    }

    /// Sends one request and reads its whole answer.
    pub(super) async fn exchange(&mut self, request: &[u8]) -> Result<AppAnswer, Failure> {
        self.answered = false;
        self.reusable = false;
        self.write(request).await.map_err(|_| Failure::Reset)?;
        let mut received = Vec::new();
        let head = loop {
            match Head::parse(&received)? {
                // An interim answer; the real one follows.
                Some(head) if head.status < 200 => drop(received.drain(..head.bytes)),
                Some(head) => break head,
                None if received.len() > limits::HEADER_BYTES => return Err(Failure::Invalid),
                None if self.read(&mut received).await? == 0 => return Err(Failure::Reset),
                None => {}
            }
        };
        let mut body = received.split_off(head.bytes);
        let extra = match head.framing {
            Framing::Length(length) => self.read_length(&mut body, length).await?,
            Framing::Chunked => self.read_chunked(&mut body).await?,
            Framing::Close => self.read_to_end(&mut body).await?,
        };
        self.reusable = head.keep_alive && !extra;
        Ok(AppAnswer {
            status: head.status,
            content_type: head.content_type,
            retry_after: head.retry_after,
            body: Bytes::from(body),
        })
    }

    /// Reads up to `length` bytes of body. Says whether there was more than that.
    async fn read_length(&mut self, body: &mut Vec<u8>, length: usize) -> Result<bool, Failure> {
        while body.len() < length {
            if self.read(body).await? == 0 {
                return Err(Failure::Reset);
            }
        }
        let extra = body.len() > length;
        body.truncate(length);
        Ok(extra)
    }

    /// Reads chunks to the last one and replaces `body` by what they hold. Says whether anything came after it.
    async fn read_chunked(&mut self, body: &mut Vec<u8>) -> Result<bool, Failure> {
        let mut raw = Raw { bytes: std::mem::take(body), at: 0 };
        loop {
            let (line, size) = match httparse::parse_chunk_size(raw.rest()) {
                Err(_) => return Err(Failure::Invalid),
                // A line without a digit is no last chunk, though the parser takes it for one.
                Ok(httparse::Status::Complete(_)) if !raw.rest()[0].is_ascii_hexdigit() => {
                    return Err(Failure::Invalid);
                }
                Ok(httparse::Status::Complete(found)) => found,
                Ok(httparse::Status::Partial) => {
                    self.read_more(&mut raw, limits::CHUNK_LINE_BYTES).await?;
                    continue;
                }
            };
            raw.at += line;
            if size == 0 {
                break;
            }
            let left = limits::APP_ANSWER_BYTES - body.len();
            let size =
                usize::try_from(size).ok().filter(|size| *size <= left).ok_or(Failure::Invalid)?;
            while raw.rest().len() < size + 2 {
                self.read_more(&mut raw, usize::MAX).await?;
            }
            let (data, rest) = raw.rest().split_at(size);
            if !rest.starts_with(b"\r\n") {
                return Err(Failure::Invalid);
            }
            body.extend_from_slice(data);
            raw.at += size + 2;
        }
        // Trailers, which nobody here reads, end with an empty line.
        loop {
            match raw.rest().windows(2).position(|pair| pair == b"\r\n") {
                Some(0) => return Ok(raw.rest().len() > 2),
                Some(end) => raw.at += end + 2,
                None => self.read_more(&mut raw, limits::HEADER_BYTES).await?,
            }
        }
    }

    /// Reads on where what is there, `max` bytes at most, does not suffice.
    async fn read_more(&mut self, raw: &mut Raw, max: usize) -> Result<(), Failure> {
        if raw.rest().len() > max {
            return Err(Failure::Invalid);
        }
        raw.bytes.drain(..std::mem::take(&mut raw.at));
        match self.read(&mut raw.bytes).await? {
            0 => Err(Failure::Reset),
            _ => Ok(()),
        }
    }

    /// Reads until the app closes the connection.
    async fn read_to_end(&mut self, body: &mut Vec<u8>) -> Result<bool, Failure> {
        while self.read(body).await? > 0 {
            if body.len() > limits::APP_ANSWER_BYTES {
                return Err(Failure::Invalid);
            }
        }
        Ok(false)
    }

    /// Appends what has arrived; 0 is the end. The buffer is on the stack, so waiting takes no memory.
    async fn read(&mut self, into: &mut Vec<u8>) -> Result<usize, Failure> {
        let read = poll_fn(|cx| {
            let mut chunk = [MaybeUninit::uninit(); limits::APP_READ_BYTES];
            let mut chunk = ReadBuf::uninit(&mut chunk);
            ready!(self.stream.poll_read(cx, &mut chunk))?;
            into.extend_from_slice(chunk.filled());
            Poll::Ready(Ok::<_, std::io::Error>(chunk.filled().len()))
        });
        let read = read.await.map_err(|_| Failure::Reset)?;
        self.answered |= read > 0;
        Ok(read)
    }

    async fn write(&mut self, request: &[u8]) -> std::io::Result<()> {
        match &mut self.stream {
            Stream::Tcp(stream) => stream.write_all(request).await,
            Stream::Tls(stream) => {
                stream.write_all(request).await?;
                stream.flush().await
            }
        }
    }

    /// Whether a byte of the last request's answer arrived.
    pub(super) fn answered(&self) -> bool {
        self.answered
    }

    /// Ends a request. Says whether the connection can take another one.
    pub(super) fn rest(&mut self) -> bool {
        self.idle_since = Instant::now();
        self.reusable
    }

    /// Whether the app has left the connection open, and said nothing unasked.
    pub(super) fn is_open(&mut self) -> bool {
        let mut byte = [0];
        let mut nobody = Context::from_waker(Waker::noop());
        self.stream.poll_read(&mut nobody, &mut ReadBuf::new(&mut byte)).is_pending()
    }

    pub(super) fn idle_for(&self) -> Duration {
        self.idle_since.elapsed()
    }
}

impl Stream {
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        match self {
            Stream::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

/// Bytes received, and how many of them are done with.
struct Raw {
    bytes: Vec<u8>,
    at: usize,
}

impl Raw {
    fn rest(&self) -> &[u8] {
        &self.bytes[self.at..]
    }
}

/// The head of an answer.
struct Head {
    status: u16,
    /// Its length, to the empty line.
    bytes: usize,
    framing: Framing,
    keep_alive: bool,
    content_type: Option<String>,
    /// Not looked for in a 2xx.
    retry_after: Option<Duration>,
}

/// How the end of a body is found, RFC 9112 §6.3.
enum Framing {
    Length(usize),
    Chunked,
    Close,
}

impl Head {
    /// Nothing while the head is incomplete.
    fn parse(received: &[u8]) -> Result<Option<Head>, Failure> {
        if received.is_empty() {
            return Ok(None);
        }
        let mut headers = [MaybeUninit::uninit(); limits::APP_HEADERS];
        let mut response = httparse::Response::new(&mut []);
        let parsed = httparse::ParserConfig::default().parse_response_with_uninit_headers(
            &mut response,
            received,
            &mut headers,
        );
        let bytes = match parsed.map_err(|_| Failure::Invalid)? {
            httparse::Status::Complete(bytes) => bytes,
            httparse::Status::Partial => return Ok(None),
        };
        let status = response.code.ok_or(Failure::Invalid)?;
        let mut keep_alive = response.version == Some(1);
        let mut closes = false;
        let mut length = None;
        let mut chunked = false;
        let mut content_type = None;
        let mut retry_after = None;
        for header in response.headers.iter() {
            let value = header.value.trim_ascii();
            if header.name.eq_ignore_ascii_case("content-length") {
                let value = std::str::from_utf8(value)
                    .ok()
                    .filter(|v| v.bytes().all(|b| b.is_ascii_digit()));
                let value = value.and_then(|value| value.parse().ok()).ok_or(Failure::Invalid)?;
                if length.replace(value).is_some_and(|before| before != value) {
                    return Err(Failure::Invalid);
                }
            } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
                if chunked || !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(Failure::Invalid);
                }
                chunked = true;
            } else if header.name.eq_ignore_ascii_case("connection") {
                for option in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                    keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
                    closes |= option.eq_ignore_ascii_case(b"close");
                }
            } else if header.name.eq_ignore_ascii_case("content-type") {
                content_type = std::str::from_utf8(value).ok().map(str::to_owned);
            } else if !(200..300).contains(&status)
                && header.name.eq_ignore_ascii_case("retry-after")
            {
                retry_after = retry_after::parse(value, SystemTime::now());
            }
        }
        let framing = match (status, chunked, length) {
            (100..200 | 204 | 304, ..) => Framing::Length(0),
            (_, true, Some(_)) => return Err(Failure::Invalid),
            (_, true, None) => Framing::Chunked,
            (_, false, Some(length)) if length > limits::APP_ANSWER_BYTES => {
                return Err(Failure::Invalid);
            }
            (_, false, Some(length)) => Framing::Length(length),
            (_, false, None) => Framing::Close,
        };
        let keep_alive = keep_alive && !closes && !matches!(framing, Framing::Close);
        Ok(Some(Head { status, bytes, framing, keep_alive, content_type, retry_after }))
    }
}

#[cfg(test)]
mod tests;
