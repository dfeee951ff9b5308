//! The request target of a call, checked before anybody decides by it.
//!
//! What the edge decides on must be what WeChat acts on. So every path that a server could read in
//! two ways is refused, and what is left goes on byte for byte.

use std::borrow::Cow;
use std::fmt;

use crate::cut;

/// Longest path, in bytes. WeChat's own have up to 60.
pub const PATH_BYTES_MAX: usize = 2048;
/// Longest query, in bytes, without its `?`.
pub const QUERY_BYTES_MAX: usize = 8 * 1024;

/// Why a target is refused, in words for the caller. Holds nothing of the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Not in origin form: `http://…`, `*`, empty.
    #[error("path: must begin with /")]
    NotAbsolute,
    /// Longer than [`PATH_BYTES_MAX`].
    #[error("path: longer than {PATH_BYTES_MAX} bytes")]
    PathTooLong,
    /// Longer than [`QUERY_BYTES_MAX`].
    #[error("query: longer than {QUERY_BYTES_MAX} bytes")]
    QueryTooLong,
    /// `//`.
    #[error("path: // is not allowed")]
    EmptySegment,
    /// `..` anywhere, or `.` as a segment.
    #[error("path: .. and the segment . are not allowed")]
    Dots,
    /// A blank, a control byte, one outside of ASCII, `\`, `;` or `#`.
    #[error("path: blanks, control bytes, bytes outside of ASCII, \\ ; and # are not allowed")]
    Byte,
    /// `%` without two hexadecimal digits.
    #[error("path: % must be followed by two hexadecimal digits")]
    Percent,
    /// A byte that means something else once it is decoded, or that may not be there at all.
    #[error("path: encoded / . % \\ ; ? # blanks, control bytes and non-ASCII are not allowed")]
    EncodedByte,
    /// A blank, a control byte or `#`: none of them can stand in a request line.
    #[error("query: blanks, control bytes and # must be percent-encoded")]
    QueryByte,
}

/// A target that passed all checks.
#[derive(Clone, PartialEq, Eq)]
pub struct Target<'a> {
    path: &'a str,
    decoded: Cow<'a, str>,
    query: Option<&'a str>,
}

impl<'a> Target<'a> {
    /// Splits a request target in origin form (`/path?query`).
    ///
    /// # Errors
    /// [`TargetError`] for all that could be read in two ways; the caller answers 400.
    pub fn parse(target: &'a str) -> Result<Self, TargetError> {
        let (path, query) = match cut(target, b'?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        if path.len() > PATH_BYTES_MAX {
            return Err(TargetError::PathTooLong);
        }
        if query.is_some_and(|query| query.len() > QUERY_BYTES_MAX) {
            return Err(TargetError::QueryTooLong);
        }
        let decoded = check_path(path)?;
        if query.is_some_and(|query| query.bytes().any(|b| b <= b' ' || matches!(b, 0x7f | b'#'))) {
            return Err(TargetError::QueryByte);
        }
        Ok(Self { path, decoded, query })
    }

    /// The path as sent.
    #[must_use]
    pub fn path(&self) -> &'a str {
        self.path
    }

    /// The path without percent-encoding: visible ASCII. For decisions only.
    #[must_use]
    pub fn decoded_path(&self) -> &str {
        &self.decoded
    }

    /// The query as sent, without its `?`.
    #[must_use]
    pub fn query(&self) -> Option<&'a str> {
        self.query
    }

    /// The decoded segments: none are empty but one after a slash at the end.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        segments(&self.decoded)
    }

    /// The first decoded segment, which may name the account; empty for `/`.
    #[must_use]
    pub fn first_segment(&self) -> &str {
        self.segments().next().unwrap_or_default()
    }

    /// The target without its first segment: what follows the name of the account, `/` if nothing.
    #[must_use]
    pub fn without_first_segment(self) -> Self {
        let decoded = match self.decoded {
            Cow::Borrowed(decoded) => Cow::Borrowed(behind_first_segment(decoded)),
            Cow::Owned(decoded) => Cow::Owned(behind_first_segment(&decoded).to_owned()),
        };
        Self { path: behind_first_segment(self.path), decoded, query: self.query }
    }
}

/// A query can hold secrets.
impl fmt::Debug for Target<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target").field("path", &self.path).finish_non_exhaustive()
    }
}

/// The segments of a path that begins with `/`.
pub(crate) fn segments(path: &str) -> impl Iterator<Item = &str> + Clone {
    path.strip_prefix('/').unwrap_or(path).split('/')
}

/// An encoded `/` is refused, so the decoded path has its segments where the path has them.
fn behind_first_segment(path: &str) -> &str {
    path.get(1..).and_then(|rest| rest.find('/')).map_or("/", |at| &path[at + 1..])
}

/// Gives the decoded path.
fn check_path(path: &str) -> Result<Cow<'_, str>, TargetError> {
    if !path.starts_with('/') {
        return Err(TargetError::NotAbsolute);
    }
    let (mut before, mut dots, mut encoded) = (0, false, false);
    for byte in path.bytes() {
        match byte {
            b'/' if before == b'/' => return Err(TargetError::EmptySegment),
            b'.' if before == b'.' => return Err(TargetError::Dots),
            b'.' => dots = true,
            b'%' => encoded = true,
            b'\\' | b';' | b'#' => return Err(TargetError::Byte),
            byte if !byte.is_ascii_graphic() => return Err(TargetError::Byte),
            _ => {}
        }
        before = byte;
    }
    if dots && segments(path).any(|segment| segment == ".") {
        return Err(TargetError::Dots);
    }
    if encoded { decode(path).map(Cow::Owned) } else { Ok(Cow::Borrowed(path)) }
}

fn decode(path: &str) -> Result<String, TargetError> {
    let mut decoded = String::with_capacity(path.len());
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(char::from(byte));
            continue;
        }
        let mut digit = || bytes.next().and_then(|digit| char::from(digit).to_digit(16));
        let (Some(high), Some(low)) = (digit(), digit()) else {
            return Err(TargetError::Percent);
        };
        match char::from_u32(high << 4 | low) {
            Some(plain) if plain.is_ascii_graphic() && !r"/.%\;?#".contains(plain) => {
                decoded.push(plain);
            }
            _ => return Err(TargetError::EncodedByte),
        }
    }
    Ok(decoded)
}
