//! The key of `store.key_file`, and the keys that are made from it.

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use std::fmt;
use zeroize::Zeroizing;

/// What messages are encrypted with: 32 bytes that only the owner knows.
#[derive(Clone)]
pub struct StoreKey(Zeroizing<[u8; 32]>);

/// A file holds no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "it should hold 32 bytes: as 64 hexadecimal digits, as 44 characters of base64, or as they are; `openssl rand -hex 32` makes one"
)]
pub struct KeyError;

impl StoreKey {
    /// Reads what stands in a key's file: 64 hexadecimal digits, 44 characters of base64 or the 32 bytes themselves.
    /// Blanks around a text are taken off.
    ///
    /// # Errors
    /// When it is none of them.
    pub fn parse(content: &[u8]) -> Result<StoreKey, KeyError> {
        let mut key = Zeroizing::new([0; 32]);
        if content.len() == key.len() {
            key.copy_from_slice(content);
            return Ok(StoreKey(key));
        }
        let text = content.trim_ascii();
        let bytes = Zeroizing::new(match text.len() {
            64 => from_hex(text).unwrap_or_default(),
            44 => STANDARD.decode(text).unwrap_or_default(),
            _ => Vec::new(),
        });
        if bytes.len() != key.len() {
            return Err(KeyError);
        }
        key.copy_from_slice(&bytes);
        Ok(StoreKey(key))
    }

    /// Another key for another purpose: nothing can be learned from one about the other.
    fn derive(&self, purpose: &str) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(mac(&*self.0, |mac| mac.update(purpose.as_bytes())))
    }
}

impl fmt::Debug for StoreKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

fn from_hex(text: &[u8]) -> Option<Vec<u8>> {
    let digit =
        |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    text.as_chunks::<2>()
        .0
        .iter()
        .map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?))
        .collect()
}

fn mac(key: &[u8], fill: impl FnOnce(&mut Hmac<Sha256>)) -> [u8; 32] {
    // An HMAC takes keys of any length.
    let Ok(mut mac) = <Hmac<Sha256> as KeyInit>::new_from_slice(key) else { return [0; 32] };
    fill(&mut mac);
    mac.finalize().into_bytes().into()
}

/// What the store computes with.
pub(super) struct Keys {
    content: Option<Aes256Gcm>,
    user: Option<Zeroizing<[u8; 32]>>,
}

/// Bytes of the nonce that stands before what it encrypted.
const NONCE: usize = 12;

impl Keys {
    pub(super) fn new(key: Option<&StoreKey>) -> Keys {
        let content = key.map(|key| Aes256Gcm::new((&*key.derive("content")).into()));
        Keys { content, user: key.map(|key| key.derive("user")) }
    }

    /// `text` encrypted, and bound to `place`; `None` when there is no key.
    pub(super) fn seal(&self, place: &[u8], text: &[u8]) -> Option<Vec<u8>> {
        let cipher = self.content.as_ref()?;
        // Random ones may repeat after 2^32 messages, at a chance of 2^-32.
        let nonce: [u8; NONCE] = rand::random();
        let payload = Payload { msg: text, aad: place };
        // Only 64 GiB are too long.
        let sealed = cipher.encrypt(&Nonce::from(nonce), payload).ok()?;
        Some([&nonce, &sealed[..]].concat())
    }

    /// Whether there is a key.
    pub(super) fn can_open(&self) -> bool {
        self.content.is_some()
    }

    /// What was encrypted with this key at this `place`.
    pub(super) fn open(&self, place: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE>()?;
        let payload = Payload { msg: sealed, aad: place };
        self.content.as_ref()?.decrypt(&Nonce::from(*nonce), payload).ok()
    }

    /// What stands for a user in the file, and what does without a key.
    pub(super) fn user_hashes(&self, appid: &str, openid: &str) -> [u64; 2] {
        let in_clear = user_hash_in_clear(appid, openid);
        let keyed = self.user.as_ref().map(|key| {
            first(mac(&**key, |mac| {
                mac.update(appid.as_bytes());
                mac.update(&[0]);
                mac.update(openid.as_bytes());
            }))
        });
        [keyed.unwrap_or(in_clear), in_clear]
    }
}

/// The hash of a user that was written without a key.
fn user_hash_in_clear(appid: &str, openid: &str) -> u64 {
    let hash = Sha256::new().chain_update(appid).chain_update([0]).chain_update(openid);
    first(hash.finalize().into())
}

/// The first 64 of so many bits.
fn first(hash: [u8; 32]) -> u64 {
    hash.first_chunk().map_or(0, |first| u64::from_be_bytes(*first))
}
