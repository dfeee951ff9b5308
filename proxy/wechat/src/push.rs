//! WeChat's own side: callbacks as WeChat sends them, replies as WeChat reads them. For `wxedge
//! send` and the tests.

use crate::crypto::{AesKey, DecryptError};
use crate::envelope::Format;
use crate::message::{Message, ParseError};
use crate::signature::{Signature, sign};

/// One account, at one moment, from WeChat's side.
#[derive(Clone, Copy)]
pub struct Push<'a> {
    /// The Token of the account.
    pub token: &'a str,
    /// The receiver inside the ciphertext.
    pub appid: &'a str,
    /// Its EncodingAESKey.
    pub key: &'a AesKey,
    /// Now, in seconds since 1970.
    pub timestamp: i64,
    /// WeChat's are 8 to 10 digits.
    pub nonce: &'a str,
    /// New for every callback.
    pub random: [u8; 16],
}

/// What is sent: `POST <path>?<query>` with a body. A verification is a GET, without one.
#[derive(Clone, PartialEq, Eq)]
pub struct Callback {
    /// The query string, without its `?`.
    pub query: String,
    /// The body, byte for byte in WeChat's layout.
    pub body: Vec<u8>,
}

crate::opaque!(Push<'_>, Callback);

/// A reply that WeChat would not take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    /// Not an envelope.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// A field of the envelope is missing.
    #[error("incomplete envelope")]
    Incomplete,
    /// `MsgSignature` is wrong.
    #[error("wrong MsgSignature")]
    Signature,
    /// The ciphertext does not open.
    #[error(transparent)]
    Decrypt(#[from] DecryptError),
}

impl Push<'_> {
    /// The query of the GET that verifies a URL.
    #[must_use]
    pub fn verification(&self, echostr: &str) -> String {
        format!("{}&echostr={echostr}", self.signed_query())
    }

    /// A callback in plaintext mode.
    #[must_use]
    pub fn plain(&self, openid: &str, message: &[u8]) -> Callback {
        Callback {
            query: format!("{}&openid={openid}", self.signed_query()),
            body: message.to_vec(),
        }
    }

    /// A callback in secure mode (安全模式): nothing but the receiver and the ciphertext.
    #[must_use]
    pub fn safe(&self, format: Format, openid: &str, to_user: &str, message: &[u8]) -> Callback {
        let encrypt = self.key.encrypt(message, self.appid, self.random);
        let body = match format {
            Format::Xml => format!(
                "<xml>\n    <ToUserName><![CDATA[{to_user}]]></ToUserName>\n    <Encrypt><![CDATA[{encrypt}]]></Encrypt>\n</xml>\n"
            ),
            Format::Json => format!(r#"{{"ToUserName":"{to_user}","Encrypt":"{encrypt}"}}"#),
        };
        Callback { query: self.encrypted_query(openid, &encrypt), body: body.into_bytes() }
    }

    /// A callback in compatible mode (兼容模式): the message in plaintext with the ciphertext as its
    /// last field. A message without a closing root gets none.
    #[must_use]
    pub fn compatible(&self, format: Format, openid: &str, message: &[u8]) -> Callback {
        let encrypt = self.key.encrypt(message, self.appid, self.random);
        let (end, field) = match format {
            Format::Xml => {
                ("</xml>", format!("    <Encrypt><![CDATA[{encrypt}]]></Encrypt>\n</xml>\n"))
            }
            Format::Json => ("}", format!(r#","Encrypt":"{encrypt}"}}"#)),
        };
        let open = message.trim_ascii_end();
        let mut body = open.strip_suffix(end.as_bytes()).unwrap_or(open).to_vec();
        body.extend_from_slice(field.as_bytes());
        Callback { query: self.encrypted_query(openid, &encrypt), body }
    }

    /// Reads an encrypted reply as WeChat does: signature first, then the ciphertext.
    ///
    /// # Errors
    /// [`ReplyError`] for what WeChat would show to the user as a failure.
    pub fn read_reply(&self, body: &[u8]) -> Result<Vec<u8>, ReplyError> {
        let reply = Message::parse(body)?;
        let field = |name| reply.get(name).ok_or(ReplyError::Incomplete);
        let encrypt = field("Encrypt")?;
        let expected = sign(&[self.token, field("TimeStamp")?, field("Nonce")?, encrypt]);
        match Signature::parse_hex(field("MsgSignature")?) {
            Some(signature) if signature.matches(&expected) => {
                Ok(self.key.decrypt(encrypt, self.appid)?)
            }
            _ => Err(ReplyError::Signature),
        }
    }

    fn signed_query(&self) -> String {
        let timestamp = self.timestamp.to_string();
        let signature = sign(&[self.token, &timestamp, self.nonce]);
        format!("signature={signature}&timestamp={timestamp}&nonce={}", self.nonce)
    }

    fn encrypted_query(&self, openid: &str, encrypt: &str) -> String {
        let signature = sign(&[self.token, &self.timestamp.to_string(), self.nonce, encrypt]);
        format!(
            "{}&openid={openid}&encrypt_type=aes&msg_signature={signature}",
            self.signed_query()
        )
    }
}

#[cfg(test)]
mod tests;
