//! WeChat's callback protocol: signatures, encryption, messages and replies.
//!
//! Pure: bytes in, bytes out. No I/O, no clock, no randomness; time, nonces and random bytes are
//! arguments. Everything that WeChat sends is bounded before it is read, and no error carries
//! a payload, a key or a token.
//!
//! In the order a callback passes them:
//!
//! | module | question it answers |
//! |---|---|
//! | [`query`] | what does the query string say, and does it keep to the grammar? |
//! | [`envelope`] | which format, and what is inside `Encrypt`? Also seals the reply. |
//! | [`signature`] | who knows the Token? |
//! | [`crypto`] | who knows the EncodingAESKey, and what did they say? |
//! | [`message`] | what is it, whom is it from, have we seen it, how does the app get it? |
//! | [`reply`] | what did the app answer, and what does WeChat get? |
//! | [`hex`] | how are digests written? |
//! | [`push`] | WeChat's own side of all this, for tests and `wxedge send` |
//!
//! [`api`] is the other direction: what an app asks of WeChat.
//!
//! Sources: WeChat's message push guide
//! (<https://developers.weixin.qq.com/doc/offiaccount/Getting_Started/message-push.html>) and
//! passive replies
//! (<https://developers.weixin.qq.com/doc/service/guide/product/message/Passive_user_reply_message.html>).

#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")
)]

/// `Debug` for what holds a message, an openid or a signature: it shows nothing of it.
macro_rules! opaque {
    ($($type:ty),*) => {
        $(impl std::fmt::Debug for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(concat!(stringify!($type), "([redacted])"))
            }
        })*
    };
}

pub(crate) use opaque;

pub mod api;
pub mod crypto;
pub mod envelope;
pub mod hex;
pub mod message;
pub mod push;
pub mod query;
pub mod reply;
pub mod signature;

mod json;
mod tree;
mod xml;

/// What stands before and after the first `byte`, an ASCII one. On the short pieces of a message several times as fast as
/// `str::split_once`.
fn cut(text: &str, byte: u8) -> Option<(&str, &str)> {
    debug_assert!(byte.is_ascii(), "a part of a character is no place to cut");
    let at = memchr::memchr(byte, text.as_bytes())?;
    Some((&text[..at], &text[at + 1..]))
}
