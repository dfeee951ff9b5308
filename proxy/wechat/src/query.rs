//! The query string of a callback, checked against a strict grammar before anything is hashed.
//!
//! WeChat sends digits, hexadecimal digits and openids, so nearly every value is refused unless it
//! is plainly written: that closes the re-split, swap and length-extension forgeries which
//! sort-and-concatenate signatures allow.

use std::borrow::Cow;

use crate::cut;
use crate::signature::Signature;

/// Longest query string that is looked at, in bytes. WeChat's own have about 250.
pub const QUERY_BYTES_MAX: usize = 2048;
/// Most digits of a `timestamp` (seconds since 1970).
pub const TIMESTAMP_DIGITS_MAX: usize = 12;
/// Longest `nonce`, in bytes. WeChat sends 8 to 10 digits.
pub const NONCE_BYTES_MAX: usize = 64;
/// Longest `echostr`, in bytes once decoded. WeChat sends up to 19 digits.
pub const ECHOSTR_BYTES_MAX: usize = 512;
/// Longest `openid`, in bytes once decoded. WeChat's have 28.
pub const OPENID_BYTES_MAX: usize = 128;

/// Why a query string is no callback's. Holds nothing of the query.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// Longer than [`QUERY_BYTES_MAX`].
    #[error("query string too long")]
    TooLong,
    /// A known parameter stands there twice.
    #[error("repeated query parameter")]
    Repeated,
    /// `timestamp` is missing or not 1 to 12 digits.
    #[error("timestamp missing or malformed")]
    Timestamp,
    /// `nonce` is missing or not 1 to 64 of `[A-Za-z0-9_-]`.
    #[error("nonce missing or malformed")]
    Nonce,
    /// `signature` or `msg_signature` is not 40 lower-case hexadecimal digits.
    #[error("signature malformed")]
    Signature,
    /// `encrypt_type` is neither `aes` nor `raw`.
    #[error("encrypt_type unknown")]
    EncryptType,
    /// `echostr` is too long or wrongly percent-encoded.
    #[error("echostr malformed")]
    Echostr,
    /// `openid` is too long or wrongly percent-encoded.
    #[error("openid malformed")]
    Openid,
}

impl QueryError {
    /// The name in metrics and logs.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::TooLong => "query_too_long",
            Self::Repeated => "query_repeated",
            Self::Timestamp => "timestamp_malformed",
            Self::Nonce => "nonce_malformed",
            Self::Signature => "signature_malformed",
            Self::EncryptType => "encrypt_type_unknown",
            Self::Echostr => "echostr_malformed",
            Self::Openid => "openid_malformed",
        }
    }
}

/// The parameters of a callback. Unknown ones are ignored; which of these must be there is the
/// configured mode's to say.
#[derive(Clone)]
pub struct Query<'a> {
    /// Over Token, timestamp and nonce only; says nothing about the body.
    pub signature: Option<Signature>,
    /// Over Token, timestamp, nonce and ciphertext.
    pub msg_signature: Option<Signature>,
    /// As sent: it is hashed as a string.
    pub timestamp: &'a str,
    /// As sent.
    pub nonce: &'a str,
    /// `encrypt_type=aes`; `raw` and its absence mean plaintext.
    pub aes: bool,
    /// What a verification wants back. Not signed.
    pub echostr: Option<Cow<'a, str>>,
    /// The sender. Not signed, so good for nothing but logs.
    pub openid: Option<Cow<'a, str>>,
}

crate::opaque!(Query<'_>);

impl<'a> Query<'a> {
    /// Reads a raw query string, without its `?`.
    ///
    /// # Errors
    /// [`QueryError`] for everything that WeChat would not send.
    pub fn parse(raw_query: &'a str) -> Result<Self, QueryError> {
        if raw_query.len() > QUERY_BYTES_MAX {
            return Err(QueryError::TooLong);
        }
        let mut signature = None;
        let mut msg_signature = None;
        let mut timestamp = None;
        let mut nonce = None;
        let mut encrypt_type = None;
        let mut echostr = None;
        let mut openid = None;
        let mut rest = Some(raw_query);
        while let Some(pairs) = rest {
            let pair = match cut(pairs, b'&') {
                Some((pair, more)) => {
                    rest = Some(more);
                    pair
                }
                None => {
                    rest = None;
                    pairs
                }
            };
            let (name, value) = cut(pair, b'=').unwrap_or((pair, ""));
            let slot = match name {
                "signature" => &mut signature,
                "msg_signature" => &mut msg_signature,
                "timestamp" => &mut timestamp,
                "nonce" => &mut nonce,
                "encrypt_type" => &mut encrypt_type,
                "echostr" => &mut echostr,
                "openid" => &mut openid,
                _ => continue,
            };
            if slot.replace(value).is_some() {
                return Err(QueryError::Repeated);
            }
        }
        Ok(Self {
            signature: signature.map(hex).transpose()?,
            msg_signature: msg_signature.map(hex).transpose()?,
            timestamp: timestamp.filter(|t| is_timestamp(t)).ok_or(QueryError::Timestamp)?,
            nonce: nonce.filter(|n| is_nonce(n)).ok_or(QueryError::Nonce)?,
            aes: match encrypt_type {
                Some("aes") => true,
                Some("raw") | None => false,
                Some(_) => return Err(QueryError::EncryptType),
            },
            echostr: echostr
                .map(|e| decode(e, ECHOSTR_BYTES_MAX).ok_or(QueryError::Echostr))
                .transpose()?,
            openid: openid
                .map(|o| decode(o, OPENID_BYTES_MAX).ok_or(QueryError::Openid))
                .transpose()?,
        })
    }

    /// The timestamp in seconds since 1970.
    #[must_use]
    pub fn timestamp_s(&self) -> i64 {
        // At most twelve digits, as `parse` saw to.
        self.timestamp.bytes().fold(0, |seconds, digit| seconds * 10 + i64::from(digit - b'0'))
    }
}

fn hex(value: &str) -> Result<Signature, QueryError> {
    Signature::parse_hex(value).ok_or(QueryError::Signature)
}

fn is_timestamp(value: &str) -> bool {
    (1..=TIMESTAMP_DIGITS_MAX).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_digit())
}

fn is_nonce(value: &str) -> bool {
    (1..=NONCE_BYTES_MAX).contains(&value.len())
        && value.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}

/// Undoes percent-encoding. `+` stays `+`: WeChat's official accounts send digits, and where
/// `echostr` is base64 (WeCom) a form decoder's blank would break it.
pub(crate) fn decode(value: &str, bytes_max: usize) -> Option<Cow<'_, str>> {
    if !value.contains('%') {
        return (value.len() <= bytes_max).then_some(Cow::Borrowed(value));
    }
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        if byte == b'%' {
            let (digits, tail) = tail.split_at_checked(2)?;
            let digit = |d: u8| char::from(d).to_digit(16);
            bytes.push(u8::try_from(digit(digits[0])? << 4 | digit(digits[1])?).ok()?);
            rest = tail;
        } else {
            bytes.push(byte);
            rest = tail;
        }
    }
    let text = String::from_utf8(bytes).ok()?;
    (text.len() <= bytes_max).then_some(Cow::Owned(text))
}

#[cfg(test)]
mod tests;
