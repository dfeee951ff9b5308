//! Stage 3: what did they say? All failures look the same from outside.

use super::Rejection;
use super::verify::Verified;
use crate::account::Account;
use crate::outcome::Outcome;
use std::borrow::Cow;

/// A message in clear.
pub struct Clear<'a> {
    /// XML or JSON.
    pub message: Cow<'a, [u8]>,
    /// What the reply is sealed with; nothing in plain mode.
    pub sealed_with: Option<SealedWith>,
}

/// The places of the Token and the key among the account's own; the reply uses the same.
#[derive(Debug, Clone, Copy)]
pub struct SealedWith {
    /// Among `tokens`.
    pub token: usize,
    /// Among `aes_keys`.
    pub key: usize,
}

/// Decrypts with the first key that fits.
///
/// # Errors
/// `rejected_decrypt`.
pub fn decrypt<'a>(account: &Account, verified: Verified<'a>) -> Result<Clear<'a>, Rejection> {
    let (encrypt, token) = match verified {
        Verified::Plain(message) => {
            return Ok(Clear { message: Cow::Borrowed(message), sealed_with: None });
        }
        Verified::Encrypted { encrypt, token } => (encrypt, token),
    };
    let mut reason = "no_key";
    for (key, aes_key) in account.config.aes_keys.iter().enumerate() {
        match aes_key.decrypt(&encrypt, &account.config.appid) {
            Ok(message) => {
                let sealed_with = Some(SealedWith { token, key });
                return Ok(Clear { message: Cow::Owned(message), sealed_with });
            }
            Err(error) => reason = error.reason(),
        }
    }
    Err(Rejection::new(Outcome::RejectedDecrypt, reason))
}
