//! Strict HTTP/1 framing, judged on the raw bytes of the header.
//!
//! Pingora already refuses most of what smuggling needs. What it tolerates, and other servers may read differently,
//! is refused here: CL with TE, several CL values, bare LF, a missing or repeated Host, names with `_`, targets that
//! are no path. The raw bytes count, because the parsed header has been tidied up.

/// Why a header is refused: a word for the log.
pub type Reason = &'static str;

/// Judges a complete header, from the request line to the empty line.
///
/// # Errors
/// The first rule the header breaks.
pub fn check(header: &[u8]) -> Result<(), Reason> {
    if has_bare_line_end(header) {
        return Err("bare_lf");
    }
    let mut lines = header.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let http11 = request_line(lines.next().unwrap_or_default())?;

    let mut hosts = 0;
    let mut lengths = 0;
    let mut encodings = 0;
    for line in lines.take_while(|line| !line.is_empty()) {
        let colon = line.iter().position(|byte| *byte == b':').ok_or("header_line")?;
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.is_empty() || !name.iter().all(|byte| is_name_byte(*byte)) {
            return Err("header_name");
        }
        if value.iter().any(|byte| (*byte < 0x20 && *byte != b'\t') || *byte == 0x7f) {
            return Err("header_value");
        }
        if name.eq_ignore_ascii_case(b"host") {
            hosts += 1;
            if value.is_empty() || value.contains(&b'/') || value.contains(&b'@') || value.contains(&b',') {
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
        _ => Ok(()),
    }
}

/// `METHOD SP /path SP HTTP/1.x`, one space each. Says whether it is HTTP/1.1.
fn request_line(line: &[u8]) -> Result<bool, Reason> {
    let mut parts = line.split(|byte| *byte == b' ');
    let (method, target, version) = (parts.next(), parts.next(), parts.next());
    if parts.next().is_some() || !method.is_some_and(|m| !m.is_empty() && m.iter().all(u8::is_ascii_alphabetic)) {
        return Err("request_line");
    }
    let target = target.unwrap_or_default();
    if !target.starts_with(b"/") || target.starts_with(b"//") {
        return Err("target");
    }
    if !target.iter().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'#' | b'\\')) {
        return Err("target");
    }
    match version {
        Some(b"HTTP/1.1") => Ok(true),
        Some(b"HTTP/1.0") => Ok(false),
        _ => Err("version"),
    }
}

fn has_bare_line_end(header: &[u8]) -> bool {
    let mut previous = 0;
    for byte in header {
        if (*byte == b'\n') != (previous == b'\r') {
            return true;
        }
        previous = *byte;
    }
    false
}

/// A token byte of RFC 9110 §5.6.2, without `_`: some servers read `_` and `-` alike.
fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^`|~".contains(&byte)
}
