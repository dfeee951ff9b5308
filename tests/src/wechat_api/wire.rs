//! HTTP/1.1 on a connection: requests read, answers framed.

use std::io::{self, Read, Write};
use std::time::Duration;

use super::answer::Answer;
use super::clock::http_date;
use super::record::Body;
use crate::http::{find, header};

/// The longest head and the longest line between chunks, in bytes.
const HEAD_MAX: usize = 32 * 1024;

/// What a connection runs over.
pub(super) trait Stream: Read + Write + Send {}

impl<T: Read + Write + Send> Stream for T {}

/// A connection and what was read ahead on it.
pub(super) struct Wire {
    stream: Box<dyn Stream>,
    buffer: Vec<u8>,
    begin: usize,
    end: usize,
}

/// The head of a request.
#[derive(Clone)]
pub(super) struct Head {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) headers: Vec<(String, String)>,
    framing: Framing,
}

#[derive(Debug, Clone, Copy)]
enum Framing {
    Length(u64),
    Chunked,
}

/// Why there is no request.
pub(super) enum NoRequest {
    /// The other end has closed, or is gone.
    Closed,
    /// This is no HTTP/1.1.
    Malformed,
}

impl Head {
    pub(super) fn path(&self) -> &str {
        self.target.split_once('?').map_or(&self.target, |(path, _)| path)
    }

    fn parse(text: &str) -> Option<Head> {
        let mut lines = text.split("\r\n");
        let mut first = lines.next()?.split(' ');
        let (method, target) = (first.next()?.to_owned(), first.next()?.to_owned());
        if first.next() != Some("HTTP/1.1") || first.next().is_some() || !target.starts_with('/') {
            return None;
        }
        let headers: Option<Vec<(String, String)>> = lines
            .map(|line| {
                let (name, value) = line.split_once(':')?;
                Some((name.to_owned(), value.trim_matches([' ', '\t']).to_owned()))
            })
            .collect();
        let headers = headers?;
        let framing = framing(&headers)?;
        Some(Head { method, target, headers, framing })
    }
}

/// None when it is not told, or told twice.
fn framing(headers: &[(String, String)]) -> Option<Framing> {
    let told =
        |name: &str| headers.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name)).count();
    match (told("content-length"), told("transfer-encoding")) {
        (0, 0) => Some(Framing::Length(0)),
        (1, 0) => header(headers, "content-length")?.parse().ok().map(Framing::Length),
        (0, 1) => header(headers, "transfer-encoding")?
            .eq_ignore_ascii_case("chunked")
            .then_some(Framing::Chunked),
        _ => None,
    }
}

impl Wire {
    pub(super) fn new(stream: Box<dyn Stream>) -> Wire {
        Wire { stream, buffer: vec![0; HEAD_MAX], begin: 0, end: 0 }
    }

    /// The head of the next request.
    pub(super) fn head(&mut self) -> Result<Head, NoRequest> {
        let head = self.until(b"\r\n\r\n")?;
        let text = String::from_utf8(head)
            // As the bytes are, one character each.
            .unwrap_or_else(|other| other.into_bytes().into_iter().map(char::from).collect());
        Head::parse(&text).ok_or(NoRequest::Malformed)
    }

    /// The body that belongs to a head, and whether it came whole.
    pub(super) fn body(&mut self, head: &Head) -> (Body, bool) {
        let mut body = Body::empty();
        if header(&head.headers, "expect").is_some_and(|value| value == "100-continue")
            && self.write(b"HTTP/1.1 100 Continue\r\n\r\n").is_err()
        {
            return (body, false);
        }
        let whole = match head.framing {
            Framing::Length(length) => self.take(length, &mut body),
            Framing::Chunked => self.chunks(&mut body),
        };
        (body, whole.is_ok())
    }

    fn chunks(&mut self, body: &mut Body) -> Result<(), NoRequest> {
        loop {
            let line = self.until(b"\r\n")?;
            let size = line.split(|byte| *byte == b';').next().unwrap_or_default();
            let size = std::str::from_utf8(size).map_err(|_| NoRequest::Malformed)?;
            let size = u64::from_str_radix(size.trim(), 16).map_err(|_| NoRequest::Malformed)?;
            if size == 0 {
                // Trailers, to the empty line.
                while !self.until(b"\r\n")?.is_empty() {}
                return Ok(());
            }
            self.take(size, body)?;
            if !self.until(b"\r\n")?.is_empty() {
                return Err(NoRequest::Malformed);
            }
        }
    }

    /// Moves the next bytes into the body.
    fn take(&mut self, mut length: u64, body: &mut Body) -> Result<(), NoRequest> {
        while length > 0 {
            if self.begin == self.end {
                self.fill()?;
            }
            let here = (self.end - self.begin).min(usize::try_from(length).unwrap_or(usize::MAX));
            body.push(&self.buffer[self.begin..self.begin + here]);
            self.begin += here;
            length -= here as u64;
        }
        Ok(())
    }

    /// What stands before `end`, which is taken off.
    fn until(&mut self, end: &[u8]) -> Result<Vec<u8>, NoRequest> {
        loop {
            if let Some(at) = find(&self.buffer[self.begin..self.end], end) {
                let found = self.buffer[self.begin..self.begin + at].to_vec();
                self.begin += at + end.len();
                return Ok(found);
            }
            self.fill()?;
        }
    }

    fn fill(&mut self) -> Result<(), NoRequest> {
        self.buffer.copy_within(self.begin..self.end, 0);
        (self.begin, self.end) = (0, self.end - self.begin);
        if self.end == self.buffer.len() {
            return Err(NoRequest::Malformed);
        }
        match self.stream.read(&mut self.buffer[self.end..]) {
            Ok(read) if read > 0 => {
                self.end += read;
                Ok(())
            }
            _ => Err(NoRequest::Closed),
        }
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    /// Reads until the other end has closed.
    pub(super) fn await_close(&mut self) {
        loop {
            (self.begin, self.end) = (0, 0);
            if self.fill().is_err() {
                return;
            }
        }
    }
}

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Length,
    Chunked,
    /// With a length, and the announcement that the connection ends.
    Close,
}

/// The bytes of an answer, and where its body begins.
pub(super) fn framed(answer: &Answer, form: Form, now: Duration) -> (Vec<u8>, usize) {
    let reason = match answer.status {
        200 => "OK",
        302 => "Found",
        400 => "Bad Request",
        500 => "Internal Server Error",
        _ => "Whatever",
    };
    let connection = if form == Form::Close { "close" } else { "keep-alive" };
    let (status, date) = (answer.status, http_date(now));
    let mut head =
        format!("HTTP/1.1 {status} {reason}\r\nConnection: {connection}\r\nDate: {date}\r\n");
    for (name, value) in &answer.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if form == Form::Chunked {
        head.push_str("Transfer-Encoding: chunked\r\n\r\n");
        let begins = head.len();
        let mut bytes = head.into_bytes();
        for chunk in answer.body.chunks((answer.body.len() / 3).max(1)) {
            bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            bytes.extend_from_slice(chunk);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"0\r\n\r\n");
        return (bytes, begins);
    }
    head.push_str(&format!("Content-Length: {}\r\n\r\n", answer.body.len()));
    let begins = head.len();
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(&answer.body);
    (bytes, begins)
}
