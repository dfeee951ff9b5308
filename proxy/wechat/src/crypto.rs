//! The encrypted frame: AES-256-CBC over `random(16) | u32 length | message | appid`, padded to 32
//! bytes, in base64.
//!
//! Verify `msg_signature` before decrypting: the signature, not the cipher, authenticates the text,
//! and only a verified ciphertext cannot be used to ask the padding questions.

use std::fmt;
use std::sync::LazyLock;

use aes::cipher::{Array, BlockModeDecrypt, BlockModeEncrypt, InnerIvInit, KeyInit};
use aes::{Aes256Dec, Aes256Enc};
use base64::Engine;
use base64::alphabet;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig, Simd};
use zeroize::Zeroizing;

/// Characters of an EncodingAESKey: 32 bytes in base64 without its `=`.
pub const ENCODING_AES_KEY_CHARS: usize = 43;

/// Random bytes before the length.
const RANDOM_BYTES: usize = 16;
/// Random bytes and length.
const HEAD_BYTES: usize = RANDOM_BYTES + 4;
/// AES's block.
const BLOCK_BYTES: usize = 16;
/// What WeChat pads to; not AES's 16, so library unpadders refuse half of its messages.
const PAD_BYTES: u8 = 32;

/// The last character of an EncodingAESKey carries two unused bits; three keys in four, Tencent's
/// own samples among them, do not have them zero, and strict decoders refuse those.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(base64::engine::DecodePaddingMode::RequireNone),
);

/// Ciphertext, which is long, is worth the vector instructions of the machine at hand.
static STANDARD: LazyLock<Simd> = LazyLock::new(|| Simd::standard(GeneralPurposeConfig::new()));

/// An EncodingAESKey is not one. Does not say what it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not 43 characters.
    #[error("an EncodingAESKey has 43 characters")]
    Length,
    /// A character outside `A-Z a-z 0-9 + /`.
    #[error("an EncodingAESKey consists of letters and digits")]
    Alphabet,
}

impl KeyError {
    /// The name in metrics and logs.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Length => "key_length",
            Self::Alphabet => "key_alphabet",
        }
    }
}

/// A ciphertext that this key and appid do not open. All variants show the same text to the
/// outside; only [`DecryptError::reason`] tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot decrypt")]
pub enum DecryptError {
    /// Not canonical base64 of whole blocks.
    Base64,
    /// The padding is not 1 to 32 equal bytes: the wrong key, nearly always.
    Padding,
    /// The length does not fit.
    Length,
    /// Encrypted for another appid.
    Appid,
}

impl DecryptError {
    /// The name in metrics and logs.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Base64 => "base64",
            Self::Padding => "padding",
            Self::Length => "length",
            Self::Appid => "appid",
        }
    }
}

/// An EncodingAESKey with its key schedules, ready to use. Leaves no trace in memory when dropped.
#[derive(Clone)]
pub struct AesKey {
    encrypt: Aes256Enc,
    decrypt: Aes256Dec,
    /// The first half of the key, by WeChat's rule; hence as secret as the key.
    iv: Zeroizing<[u8; BLOCK_BYTES]>,
}

impl fmt::Debug for AesKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl AesKey {
    /// Reads an EncodingAESKey as the console shows it. Blanks are dropped: they come with copy and
    /// paste.
    ///
    /// # Errors
    /// [`KeyError`] if it is not 43 characters of base64.
    pub fn parse(encoding_aes_key: &str) -> Result<Self, KeyError> {
        let mut chars = Zeroizing::new([0; ENCODING_AES_KEY_CHARS]);
        let mut count = 0;
        for byte in encoding_aes_key.bytes().filter(|b| !b.is_ascii_whitespace()) {
            *chars.get_mut(count).ok_or(KeyError::Length)? = byte;
            count += 1;
        }
        if count != ENCODING_AES_KEY_CHARS {
            return Err(KeyError::Length);
        }
        let mut key = Zeroizing::new([0; 32]);
        match LENIENT.decode_slice(chars.as_slice(), key.as_mut_slice()) {
            Ok(32) => Ok(Self::new(&key)),
            _ => Err(KeyError::Alphabet),
        }
    }

    fn new(key: &[u8; 32]) -> Self {
        let mut iv = Zeroizing::new([0; BLOCK_BYTES]);
        iv.copy_from_slice(&key[..BLOCK_BYTES]);
        Self { encrypt: Aes256Enc::new(key.into()), decrypt: Aes256Dec::new(key.into()), iv }
    }

    /// Opens an `Encrypt` text meant for `appid` (a third-party platform's messages: the
    /// component's appid) and returns the message in it.
    ///
    /// # Errors
    /// [`DecryptError`]; what the peer sees must not depend on which.
    pub fn decrypt(&self, encrypt_b64: &str, appid: &str) -> Result<Vec<u8>, DecryptError> {
        let mut bytes = STANDARD.decode(encrypt_b64).map_err(|_| DecryptError::Base64)?;
        let (blocks, rest) = Array::slice_as_chunks_mut(&mut bytes);
        if blocks.is_empty() || !rest.is_empty() {
            return Err(DecryptError::Base64);
        }
        cbc::Decryptor::inner_iv_init(&self.decrypt, (&*self.iv).into()).decrypt_blocks(blocks);

        let padding = padding(&bytes).ok_or(DecryptError::Padding)?;
        bytes.truncate(bytes.len() - padding);
        let (head, body) = bytes.split_first_chunk::<HEAD_BYTES>().ok_or(DecryptError::Length)?;
        let (_, length) = head.split_last_chunk::<4>().ok_or(DecryptError::Length)?;
        let length =
            usize::try_from(u32::from_be_bytes(*length)).map_err(|_| DecryptError::Length)?;
        let (_, receiver) = body.split_at_checked(length).ok_or(DecryptError::Length)?;
        if receiver != appid.as_bytes() {
            return Err(DecryptError::Appid);
        }
        bytes.truncate(HEAD_BYTES + length);
        bytes.drain(..HEAD_BYTES);
        Ok(bytes)
    }

    /// Encrypts a message for `appid`. `random` must be new for every message: the IV is not.
    #[must_use]
    pub fn encrypt(&self, message: &[u8], appid: &str, random: [u8; RANDOM_BYTES]) -> String {
        let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
        let used = HEAD_BYTES + message.len() + appid.len();
        let padding = PAD_BYTES - (used % usize::from(PAD_BYTES)) as u8;
        let mut bytes = Vec::with_capacity(used + usize::from(padding));
        bytes.extend_from_slice(&random);
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(message);
        bytes.extend_from_slice(appid.as_bytes());
        bytes.resize(used + usize::from(padding), padding);
        let (blocks, _) = Array::slice_as_chunks_mut(&mut bytes);
        cbc::Encryptor::inner_iv_init(&self.encrypt, (&*self.iv).into()).encrypt_blocks(blocks);
        STANDARD.encode(&bytes)
    }
}

/// The number of padding bytes, if the last of them says 1 to 32 and all of them agree. Looks at 32
/// bytes whatever they say, so that the time tells nothing.
fn padding(bytes: &[u8]) -> Option<usize> {
    let (&last, _) = bytes.split_last()?;
    let mut wrong = u8::from(last == 0)
        | u8::from(last > PAD_BYTES)
        | u8::from(usize::from(last) > bytes.len());
    for (position, byte) in (0..PAD_BYTES).zip(bytes.iter().rev()) {
        let is_padding = u8::from(position < last).wrapping_neg();
        wrong |= is_padding & (byte ^ last);
    }
    (wrong == 0).then_some(usize::from(last))
}

/// Whether a text is base64 of whole AES blocks in its one canonical spelling. To be asked before
/// it is hashed: base64 in any other spelling would let characters move between the signed fields.
#[must_use]
pub fn is_canonical_base64(text: &str) -> bool {
    let bytes = text.as_bytes();
    if bytes.is_empty() || !bytes.len().is_multiple_of(4) {
        return false;
    }
    let data = bytes.strip_suffix(b"==").or_else(|| bytes.strip_suffix(b"=")).unwrap_or(bytes);
    if !(data.len() * 3 / 4).is_multiple_of(BLOCK_BYTES) {
        return false;
    }
    // Bits of the last character that encode nothing: four with `==`, two with `=`, none without.
    let unused = match bytes.len() - data.len() {
        2 => 0b1111,
        1 => 0b11,
        _ => 0,
    };
    // A fold without early exit becomes vector code.
    data.iter().fold(true, |all, b| all & (b.is_ascii_alphanumeric() | (*b == b'+') | (*b == b'/')))
        && data.last().is_some_and(|last| sextet(*last) & unused == 0)
}

/// The value of a base64 character; the alphabet was checked.
fn sextet(character: u8) -> u8 {
    match character {
        b'A'..=b'Z' => character - b'A',
        b'a'..=b'z' => character - b'a' + 26,
        b'0'..=b'9' => character - b'0' + 52,
        b'+' => 62,
        _ => 63,
    }
}

#[cfg(test)]
mod tests;
