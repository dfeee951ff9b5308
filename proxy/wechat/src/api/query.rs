//! The query of a call: every credential the caller sent is taken out, the edge's is put in front,
//! the rest stays byte for byte.
//!
//! WeChat reads credentials from the query, and how it reads a name that is oddly spelled nobody
//! outside knows. So a name counts as a credential when any decoder could take it for one.

use std::borrow::Cow;
use std::fmt;

use memchr::memchr2;

use super::target::Target;
use crate::cut;

/// Names of credentials, letters and digits only: `access_token`, `component_access_token`, `secret`.
const CREDENTIALS: [&[u8]; 3] = [b"accesstoken", b"componentaccesstoken", b"secret"];
/// The longest of them, in bytes.
const CREDENTIAL_BYTES_MAX: usize = b"componentaccesstoken".len();

/// The credential that goes into a call, by the kind of path.
#[derive(Clone, Copy)]
pub enum Inject<'c> {
    /// `access_token=…`
    AccessToken(&'c str),
    /// `appid=…&secret=…`; a caller's `appid` is taken out as well.
    AppidAndSecret {
        /// The account's.
        appid: &'c str,
        /// The account's.
        secret: &'c str,
    },
    /// `appid=…`; a caller's `appid` is taken out as well.
    Appid(&'c str),
    /// Nothing is put in or taken out: the call carries the user's own token.
    AsSent,
}

impl Inject<'_> {
    /// The target that goes to WeChat: the path as sent, the credential, the rest of the query.
    #[must_use]
    pub fn rewrite(&self, target: &Target<'_>) -> String {
        let (path, query) = (target.path(), target.query());
        let (own, with_appid): (&[(&str, &str)], _) = match *self {
            Self::AccessToken(token) => (&[("access_token", token)], false),
            Self::AppidAndSecret { appid, secret } => {
                (&[("appid", appid), ("secret", secret)], true)
            }
            Self::Appid(appid) => (&[("appid", appid)], true),
            Self::AsSent => {
                let mut out = path.to_owned();
                if let Some(query) = query {
                    out.push('?');
                    out.push_str(query);
                }
                return out;
            }
        };
        let rest = credentials_removed(query.unwrap_or_default(), with_appid);
        let own_bytes: usize = own.iter().map(|(name, value)| name.len() + value.len() + 2).sum();
        let mut out = String::with_capacity(path.len() + own_bytes + 1 + rest.len());
        out.push_str(path);
        let mut separator = '?';
        for (name, value) in own {
            out.push(separator);
            out.push_str(name);
            out.push('=');
            push_encoded(&mut out, value);
            separator = '&';
        }
        if !rest.is_empty() {
            out.push('&');
            out.push_str(&rest);
        }
        out
    }
}

impl fmt::Debug for Inject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Inject([redacted])")
    }
}

/// The query without `access_token`, `component_access_token` and `secret` in any spelling, and
/// without `appid` if `with_appid`. `&` and `;` both separate parameters.
#[must_use]
pub fn credentials_removed(query: &str, with_appid: bool) -> Cow<'_, str> {
    // What is kept, as soon as it is less than everything.
    let mut kept: Option<String> = None;
    let mut keeps_any = false;
    // What stood between the last parameter that was kept and this one. A `;` must not join two
    // that an `&` parted: to a server that knows no `;` they would be one.
    let mut separator = ';';
    let mut start = 0;
    loop {
        let rest = &query[start..];
        let at = memchr2(b'&', b';', rest.as_bytes());
        let parameter = at.map_or(rest, |at| &rest[..at]);
        if is_credential(parameter, with_appid) {
            kept.get_or_insert_with(|| query[..start.saturating_sub(1)].to_owned());
        } else {
            if let Some(kept) = &mut kept {
                if keeps_any {
                    kept.push(separator);
                }
                kept.push_str(parameter);
            }
            keeps_any = true;
            separator = ';';
        }
        let Some(at) = at else { break };
        if rest.as_bytes()[at] == b'&' {
            separator = '&';
        }
        start += at + 1;
    }
    kept.map_or(Cow::Borrowed(query), Cow::Owned)
}

/// The value of the first parameter that is called `name` and spelled plainly, percent-decoded.
/// `None` if there is none, or the value is wrongly encoded. `+` stays `+`: neither a token nor the
/// address of a page holds a blank.
#[must_use]
pub fn value<'q>(query: &'q str, name: &str) -> Option<Cow<'q, str>> {
    let mut parameters = query.split('&').filter_map(|parameter| cut(parameter, b'='));
    let (_, value) = parameters.find(|(found, _)| *found == name)?;
    crate::query::decode(value, value.len())
}

fn is_credential(parameter: &str, with_appid: bool) -> bool {
    let name = cut(parameter, b'=').map_or(parameter, |(name, _)| name);
    if !name.contains('%') {
        return names_credential(name, with_appid);
    }
    names_credential(&String::from_utf8_lossy(&fully_decoded(name)), with_appid)
}

/// Only letters and digits count, so that nothing before, between or behind them makes another name
/// of it: PHP reads `access.token` and ` access token[x]` as `access_token`, others end at a NUL.
fn names_credential(name: &str, with_appid: bool) -> bool {
    let mut letters = [0; CREDENTIAL_BYTES_MAX];
    let mut length = 0;
    let is_one =
        |letters: &[u8]| CREDENTIALS.contains(&letters) || with_appid && letters == b"appid";
    for char in name.chars() {
        let letter = match char {
            // Where a reader may see the end of the name.
            '[' | '=' | '\0' if is_one(&letters[..length]) => return true,
            // These two are s and k to who ignores case by Unicode's rules.
            '\u{17f}' => b's',
            '\u{212a}' => b'k',
            char if char.is_ascii_alphanumeric() => char.to_ascii_lowercase() as u8,
            _ => continue,
        };
        let Some(slot) = letters.get_mut(length) else { return false };
        *slot = letter;
        length += 1;
    }
    is_one(&letters[..length])
}

/// Undoes percent-encoding until there is none left, in one pass: what a decoded byte completes is
/// decoded at once.
fn fully_decoded(name: &str) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(name.len());
    for byte in name.bytes() {
        decoded.push(byte);
        while let [.., b'%', high, low] = decoded[..]
            && let Some(high) = char::from(high).to_digit(16)
            && let Some(low) = char::from(low).to_digit(16)
        {
            decoded.truncate(decoded.len() - 3);
            decoded.push((high << 4 | low) as u8);
        }
    }
    decoded
}

/// Percent-encodes all but the unreserved characters; a token has no others, so it goes in whole.
fn push_encoded(out: &mut String, value: &str) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let unreserved =
        |byte: u8| byte.is_ascii_alphanumeric() | matches!(byte, b'-' | b'.' | b'_' | b'~');
    // A fold without early exit becomes vector code.
    if value.bytes().fold(true, |all, byte| all & unreserved(byte)) {
        return out.push_str(value);
    }
    for byte in value.bytes() {
        if unreserved(byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(DIGITS[usize::from(byte >> 4)]));
            out.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_plain_parameter_is_found() {
        let query =
            "a&access_token=x%2Fy+z&access_token=2&url=https%3A%2F%2Fa%2F%3Fb%3D1&type=&appid=%zz";
        assert_eq!(value(query, "access_token").as_deref(), Some("x/y+z"));
        assert_eq!(value(query, "url").as_deref(), Some("https://a/?b=1"));
        assert_eq!(value(query, "type").as_deref(), Some(""));
        for missing in ["a", "appid", "secret", "Type"] {
            assert_eq!(value(query, missing), None, "{missing}");
        }
    }

    #[test]
    fn a_query_without_credentials_is_not_copied() {
        for query in ["", "openid=o1&lang=zh_CN", "a=%61;b=1&&"] {
            assert!(matches!(credentials_removed(query, true), Cow::Borrowed(_)), "{query}");
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let target = Target::parse("/sns/x?secret=Canary1").unwrap();
        let inject = Inject::AppidAndSecret { appid: "wx", secret: "Canary2" };
        let shown = format!("{target:?} {inject:?}");
        assert!(shown.contains("/sns/x") && !shown.contains("Canary"), "{shown}");
    }
}
