//! Values that must never be shown: no `Display`, a `Debug` that says nothing, wiped from memory when dropped.

use std::fmt;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::{Deserialize, Deserializer, Serializer};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// A text that is known to the edge and its owner only: a Token, an AppSecret, a key of an operator or a client.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes a text as a secret.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(Zeroizing::new(text.into()))
    }

    /// The secret itself, for the one place that computes with it. Never for a log, a metric or an error.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// For `serialize_with`, in the one place that writes it down.
    ///
    /// # Errors
    /// The serializer's.
    pub fn expose_to<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }

    /// Whether `candidate` is this secret, in a time that depends on the lengths only.
    pub fn matches(&self, candidate: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(candidate).into()
    }
}

/// Read from JSON; written only by who says so ([`Secret::expose_to`]).
impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
        String::deserialize(deserializer).map(Secret::new)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// The key of the Standard Webhooks headers, decoded from `whsec_<base64>`.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningKey(Zeroizing<Vec<u8>>);

/// Bytes a signing key may have: what the Standard Webhooks specification recommends.
const SIGNING_KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// Generators of such keys differ on the `=` at the end.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

impl SigningKey {
    /// Decodes `whsec_<base64 of 24 to 64 bytes>`; `None` when the text is not of that shape.
    pub fn parse(text: &str) -> Option<SigningKey> {
        let key = Zeroizing::new(BASE64.decode(text.strip_prefix("whsec_")?).ok()?);
        SIGNING_KEY_BYTES.contains(&key.len()).then_some(SigningKey(key))
    }

    /// The bytes that key the HMAC.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}
