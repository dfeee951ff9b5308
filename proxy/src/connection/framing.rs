//! Strict HTTP/1 framing, judged on the raw bytes of the header.
//!
//! Pingora already refuses most of what smuggling needs. What it tolerates, and other servers may read differently,
//! is refused here: CL with TE, several CL values, bare LF, a missing or repeated Host, names with `_`, targets that
//! are no path. The raw bytes count, because the parsed header has been tidied up.

use memchr::memchr;

/// Why a header is refused: a word for the log.
pub type Reason = &'static str;

/// How a body says where it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// By its length; there may be none.
    Whole,
    /// By its last chunk. Servers differ in what they take for one, so it is best the last of its connection.
    Chunked,
}

/// Judges a complete header, from the request line to the empty line.
///
/// # Errors
/// The first rule the header breaks.
pub fn check(header: &[u8]) -> Result<Body, Reason> {
    let mut lines = Lines(header);
    let http11 = request_line(lines.next()?)?;

    let mut hosts = 0;
    let mut lengths = 0;
    let mut encodings = 0;
    loop {
        let line = lines.next()?;
        if line.is_empty() {
            break;
        }
        let colon = line.iter().position(|byte| !NAME_BYTE[usize::from(*byte)]).unwrap_or(0);
        if colon == 0 || line[colon] != b':' {
            return Err("header_name");
        }
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        // The few names that matter differ in length from most others, which is looked at first.
        if name.eq_ignore_ascii_case(b"host") {
            hosts += 1;
            if value.is_empty()
                || value.contains(&b'/')
                || value.contains(&b'@')
                || value.contains(&b',')
            {
                return Err("host");
            }
        } else if name.eq_ignore_ascii_case(b"content-length") {
            lengths += 1;
            if value.is_empty() || value.len() > 19 || !value.iter().all(u8::is_ascii_digit) {
                return Err("content_length");
            }
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            encodings += 1;
            if !value.eq_ignore_ascii_case(b"chunked") {
                return Err("transfer_encoding");
            }
        } else if name.eq_ignore_ascii_case(b"upgrade") {
            return Err("upgrade");
        }
    }
    match (hosts, lengths, encodings) {
        (0, ..) if http11 => Err("host"),
        (2.., ..) => Err("host"),
        (_, 2.., _) => Err("content_length"),
        (_, 1, 1..) => Err("content_length_and_transfer_encoding"),
        (_, _, 2..) => Err("transfer_encoding"),
        (_, _, 1) if !http11 => Err("transfer_encoding"),
        (_, _, 1) => Ok(Body::Chunked),
        _ => Ok(Body::Whole),
    }
}

/// `METHOD SP /path SP HTTP/1.x`, one space each. Says whether it is HTTP/1.1.
fn request_line(line: &[u8]) -> Result<bool, Reason> {
    let method_end = memchr(b' ', line).ok_or("request_line")?;
    let (method, rest) = (&line[..method_end], &line[method_end + 1..]);
    let target_end = memchr(b' ', rest).ok_or("request_line")?;
    let (target, version) = (&rest[..target_end], &rest[target_end + 1..]);
    if method.is_empty() || !method.iter().all(u8::is_ascii_alphabetic) {
        return Err("request_line");
    }
    if !target.starts_with(b"/") || target.starts_with(b"//") {
        return Err("target");
    }
    // A fold without early exit becomes vector code.
    let is_plain = |byte: &u8| byte.is_ascii_graphic() & (*byte != b'#') & (*byte != b'\\');
    if !target.iter().fold(true, |all, byte| all & is_plain(byte)) {
        return Err("target");
    }
    match version {
        b"HTTP/1.1" => Ok(true),
        b"HTTP/1.0" => Ok(false),
        _ => Err("version"),
    }
}

/// The lines of a header; each ends in CR LF. Other control bytes are refused by Pingora's parser.
struct Lines<'a>(&'a [u8]);

impl<'a> Lines<'a> {
    fn next(&mut self) -> Result<&'a [u8], Reason> {
        let end = memchr(b'\n', self.0).ok_or("unterminated")?;
        let (line, rest) = (&self.0[..end], &self.0[end + 1..]);
        self.0 = rest;
        line.strip_suffix(b"\r").ok_or("bare_lf")
    }
}

/// Token bytes of RFC 9110 §5.6.2, without `_`: some servers read `_` and `-` alike.
const NAME_BYTE: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let punctuation = b"!#$%&'*+-.^`|~";
    let mut place = 0;
    while place < punctuation.len() {
        table[punctuation[place] as usize] = true;
        place += 1;
    }
    table
};
