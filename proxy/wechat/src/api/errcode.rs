//! What an answer of WeChat's API says went wrong.
//!
//! Errors come with HTTP 200 and `{"errcode":40001,"errmsg":"… rid: …"}`; no errcode, or 0, is success. Every answer
//! of the API path is asked, so a body is passed over once, without a tree and mostly without a copy.
//!
//! Source: WeChat's global return codes
//! (<https://developers.weixin.qq.com/doc/offiaccount/Getting_Started/Global_Return_Code.html>).

use std::borrow::Cow;

use memchr::memmem;

mod refusal;
mod unsent;

pub use refusal::{Asked, Pause, Refusal};
pub use unsent::Unsent;

/// WeChat is busy. A call that may be repeated may be, after a pause.
pub const BUSY: i64 = -1;

/// Most characters of WeChat's message that are shown.
pub const ERRMSG_CHARS_MAX: usize = 200;
/// Deepest nesting that is passed over on the way to `errcode`.
const DEPTH_MAX: usize = 128;
/// Longest request id, in bytes. WeChat's have 26.
const RID_BYTES_MAX: usize = 64;

/// An error of the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer<'a> {
    /// Never 0.
    pub errcode: i64,
    /// As WeChat wrote it, whole; empty when there is none.
    pub errmsg: Cow<'a, str>,
}

impl Answer<'_> {
    /// WeChat's message as it is shown: at most [`ERRMSG_CHARS_MAX`] characters of it and none a control character.
    #[must_use]
    pub fn shown(&self) -> String {
        let shown = self.errmsg.chars().take(ERRMSG_CHARS_MAX);
        shown.map(|c| if c.is_control() { ' ' } else { c }).collect()
    }
}

/// The error a body tells; `None` for a success and for all that is no JSON object with an integer `errcode`, as a number
/// or as a string, at its top. Of a repeated name the first counts. What stands after the two names is not
/// looked at, so a body that was cut off there still tells its error.
#[must_use]
pub fn read(body: &[u8]) -> Option<Answer<'_>> {
    let body = body.trim_ascii_start();
    if body.first() != Some(&b'{') || memmem::find(body, b"\"errcode\"").is_none() {
        return None;
    }
    let mut scanner = Scanner { rest: &body[1..] };
    let mut errcode = None;
    let mut errmsg = None;
    while let Some((name, value)) = scanner.member() {
        match name {
            b"errcode" if errcode.is_none() => match integer(value)? {
                0 => return None,
                code => errcode = Some(code),
            },
            b"errmsg" if errmsg.is_none() => errmsg = Some(text(value)),
            _ => {}
        }
        if errcode.is_some() && errmsg.is_some() {
            break;
        }
    }
    Some(Answer { errcode: errcode?, errmsg: errmsg.unwrap_or_default() })
}

/// The id under which WeChat knows the call: `rid: 68aeab00-21ea7900-3a442400` at the end of most messages, `req_id: …` in
/// those of `/sns/jscode2session`.
#[must_use]
pub fn rid(errmsg: &str) -> Option<&str> {
    ["rid:", "req_id:"].into_iter().find_map(|name| {
        let at = errmsg.rfind(name)?;
        if errmsg[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_') {
            return None;
        }
        let rest = errmsg[at + name.len()..].trim_start();
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_')));
        let rid = &rest[..end.unwrap_or(rest.len())];
        (1..=RID_BYTES_MAX).contains(&rid.len()).then_some(rid)
    })
}

/// Whether the call's access token is not, or no longer, valid.
#[must_use]
pub const fn is_token_rejected(errcode: i64) -> bool {
    matches!(errcode, 40001 | 40014 | 42001)
}

macro_rules! labels {
    ($($errcode:literal)*) => {
        /// Every label that [`label`] gives.
        pub const LABELS: &[&str] = &[$(stringify!($errcode),)* "other"];

        /// The errcode as a label of a metric; `other` beyond the commonest.
        #[must_use]
        pub const fn label(errcode: i64) -> &'static str {
            match errcode {
                $($errcode => stringify!($errcode),)*
                _ => "other",
            }
        }
    };
}

labels! {
    // Busy; credentials and parameters that are wrong.
    -1 40001 40002 40003 40004 40005 40006 40007 40008 40009 40013 40014 40016 40017 40018 40029
    40032 40033 40035 40037 40039 40050 40066 40097 40125 40132 40163 40164 40226 40243
    // Parameters that are missing; tokens that ran out.
    41001 41002 41004 41006 41008 41028 41030 42001 42002 42003 42007
    // The wrong method; a user who does not follow; refusals of content.
    43001 43002 43003 43004 43019 43101 44002 44004
    // Sizes, quotas and limits of time.
    45001 45002 45003 45009 45011 45015 45028 45029 45047 45056 45058 45059 45064 45072 45080
    45157 45158 45159
    // What does not exist, is not allowed, is not a parameter.
    46001 46003 47001 47003 48001 48002 48003 48004 48005 48006 49003 50001 50002 50005
    // Third-party platforms, keys of a call, confirmations by an administrator, content checks.
    61003 61004 61005 61006 61007 61023 65301 65400 76001 76022 85023 87009 87014 88000
    89501 89503 89506 89507
}

/// The top of an object, after its `{`.
struct Scanner<'a> {
    rest: &'a [u8],
}

impl<'a> Scanner<'a> {
    /// The next name and value, both as written; `None` at the end, and where it is not JSON.
    fn member(&mut self) -> Option<(&'a [u8], &'a [u8])> {
        self.blanks();
        if let Some(rest) = self.rest.strip_prefix(b",") {
            self.rest = rest;
            self.blanks();
        }
        let quoted = self.string()?;
        let name = quoted[1..quoted.len() - 1].trim_ascii();
        self.blanks();
        self.rest = self.rest.strip_prefix(b":")?;
        self.blanks();
        Some((name, self.value()?))
    }

    fn value(&mut self) -> Option<&'a [u8]> {
        match self.rest.first()? {
            b'"' => self.string(),
            b'{' | b'[' => self.nested(),
            _ => {
                let end = self.rest.iter().position(|b| b",}] \t\r\n".contains(b))?;
                Some(self.take(end))
            }
        }
    }

    /// A string with its quotes.
    fn string(&mut self) -> Option<&'a [u8]> {
        self.rest.strip_prefix(b"\"")?;
        let mut at = 1;
        loop {
            at += memchr::memchr2(b'"', b'\\', self.rest.get(at..)?)?;
            if self.rest[at] == b'"' {
                return Some(self.take(at + 1));
            }
            at += 2;
        }
    }

    /// An object or an array, by counting brackets outside strings.
    fn nested(&mut self) -> Option<&'a [u8]> {
        let whole = self.rest;
        let mut depth = 0_usize;
        loop {
            let at = self.rest.iter().position(|b| b"{}[]\"".contains(b))?;
            self.rest = &self.rest[at..];
            match self.rest[0] {
                b'"' => {
                    self.string()?;
                    continue;
                }
                b'{' | b'[' => depth += 1,
                _ => depth -= 1,
            }
            self.rest = &self.rest[1..];
            if depth == 0 {
                return Some(&whole[..whole.len() - self.rest.len()]);
            }
            if depth > DEPTH_MAX {
                return None;
            }
        }
    }

    fn blanks(&mut self) {
        self.rest = self.rest.trim_ascii_start();
    }

    fn take(&mut self, end: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }
}

fn integer(value: &[u8]) -> Option<i64> {
    let digits = value.strip_prefix(b"\"").and_then(|v| v.strip_suffix(b"\"")).unwrap_or(value);
    str::from_utf8(digits).ok()?.trim_ascii().parse().ok()
}

/// A string's content. Where it is no proper JSON string, as written: WeChat leaves control characters in.
fn text(value: &[u8]) -> Cow<'_, str> {
    let Some(inner) = value.strip_prefix(b"\"").and_then(|v| v.strip_suffix(b"\"")) else {
        return Cow::Borrowed("");
    };
    if inner.contains(&b'\\')
        && let Ok(unescaped) = serde_json::from_slice(value)
    {
        return Cow::Owned(unescaped);
    }
    String::from_utf8_lossy(inner)
}

#[cfg(test)]
mod tests;
