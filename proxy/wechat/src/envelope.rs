//! The outer layer: the ciphertext out of a callback, and the encrypted reply around one.

use std::borrow::Cow;

use crate::crypto::AesKey;
use crate::signature::sign;
pub use crate::tree::{Format, ParseError};
use crate::tree::{Shape, Sink, scan};

/// The outer layer of a callback. Its other fields do not count: in compatible mode they repeat
/// what the ciphertext says without being signed.
#[derive(Clone)]
pub struct Envelope<'a> {
    /// How it is written, and hence how the reply has to be.
    pub format: Format,
    /// The ciphertext in base64, exactly as it is signed; `None` in plaintext.
    pub encrypt: Option<Cow<'a, str>>,
}

crate::opaque!(Envelope<'_>, Seal<'_>);

impl<'a> Envelope<'a> {
    /// Opens a body as strictly as [`crate::message::Message::parse`] does. An empty body is an
    /// envelope with nothing in it.
    ///
    /// # Errors
    /// [`ParseError`], as a message's.
    pub fn open(body: &'a [u8]) -> Result<Self, ParseError> {
        let mut field = Field { name: "Encrypt", depth: 0, within: false, value: None };
        match scan(body, &mut field) {
            Ok(format) => Ok(Self { format, encrypt: field.value.filter(|text| !text.is_empty()) }),
            Err(ParseError::Empty) => Ok(Self { format: Format::Xml, encrypt: None }),
            Err(error) => Err(error),
        }
    }
}

/// Keeps the text of one top-level field, if that is all there is in it.
struct Field<'a> {
    name: &'static str,
    depth: usize,
    within: bool,
    value: Option<Cow<'a, str>>,
}

impl<'a> Sink<'a> for Field<'a> {
    fn open(&mut self, name: Cow<'a, str>, _shape: Shape) {
        self.spoil();
        self.within = self.depth == 0 && name == self.name;
        self.depth += 1;
    }

    fn attribute(&mut self, _name: &'a str, _value: Cow<'a, str>) {
        self.spoil();
    }

    fn text(&mut self, piece: Cow<'a, str>) {
        if self.within {
            match &mut self.value {
                Some(value) => value.to_mut().push_str(&piece),
                None => self.value = Some(piece),
            }
        }
    }

    fn close(&mut self) {
        self.depth -= 1;
        self.within = false;
    }
}

impl Field<'_> {
    /// There is more in the field than text.
    fn spoil(&mut self) {
        if std::mem::take(&mut self.within) {
            self.value = None;
        }
    }
}

/// All that an encrypted reply needs besides its text.
#[derive(Clone, Copy)]
pub struct Seal<'a> {
    /// The key that opened the callback.
    pub key: &'a AesKey,
    /// The Token that verified it.
    pub token: &'a str,
    /// The receiver that stood in it.
    pub appid: &'a str,
    /// Now, in seconds since 1970.
    pub timestamp: i64,
    /// The callback's, or a new one; `[A-Za-z0-9_-]`.
    pub nonce: &'a str,
    /// New for every reply.
    pub random: [u8; 16],
}

impl Seal<'_> {
    /// Encrypts and signs a reply.
    #[must_use]
    pub fn seal(&self, format: Format, message: &[u8]) -> Vec<u8> {
        let encrypt = self.key.encrypt(message, self.appid, self.random);
        let timestamp = self.timestamp.to_string();
        let signature = sign(&[self.token, &timestamp, self.nonce, &encrypt]).hex();
        let pieces = match format {
            Format::Xml => [
                "<xml><Encrypt><![CDATA[",
                &encrypt,
                "]]></Encrypt><MsgSignature><![CDATA[",
                &signature,
                "]]></MsgSignature><TimeStamp>",
                &timestamp,
                "</TimeStamp><Nonce><![CDATA[",
                self.nonce,
                "]]></Nonce></xml>",
            ],
            Format::Json => [
                "{\"Encrypt\":\"",
                &encrypt,
                "\",\"MsgSignature\":\"",
                &signature,
                "\",\"TimeStamp\":",
                &timestamp,
                ",\"Nonce\":\"",
                self.nonce,
                "\"}",
            ],
        };
        pieces.concat().into_bytes()
    }
}
