//! SHA-1 signatures: `sha1(sort(parts))`, the only proof that a callback comes from WeChat.
//!
//! Sort-and-concatenate alone is ambiguous: fields can be re-split, swapped, and, when the Token
//! sorts first, extended. It is safe only over parts that passed [`crate::query`]'s grammar and
//! [`crate::crypto::is_canonical_base64`].

use std::fmt;

use sha1::{Digest, Sha1};
use subtle::ConstantTimeEq;

use crate::hex::Hex;

/// A SHA-1 digest as WeChat writes it in `signature`, `msg_signature` and `MsgSignature`.
///
/// `Eq` and `Hash` are for tables of signatures already seen. To verify one, use
/// [`Signature::matches`].
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Signature([u8; 20]);

impl Signature {
    /// Reads exactly 40 lower-case hexadecimal digits, the only form WeChat sends.
    #[must_use]
    pub fn parse_hex(hex: &str) -> Option<Self> {
        let digits: &[u8; 40] = hex.as_bytes().try_into().ok()?;
        let mut bytes = [0; 20];
        for (byte, pair) in bytes.iter_mut().zip(digits.as_chunks::<2>().0) {
            *byte = NIBBLE[usize::from(pair[0])]? << 4 | NIBBLE[usize::from(pair[1])]?;
        }
        Some(Self(bytes))
    }

    /// Compares in constant time, so that an attacker cannot find a signature byte by byte.
    #[must_use]
    pub fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.hex())
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({self})")
    }
}

impl Signature {
    /// The 40 digits.
    pub(crate) fn hex(&self) -> Hex<40> {
        Hex::of(&self.0)
    }
}

/// The values of the digits. As likely letter as figure, they cannot be predicted, so that a table is several times as
/// fast as comparisons.
const NIBBLE: [Option<u8>; 256] = {
    let mut table = [None; 256];
    let mut value = 0;
    while value < 16 {
        table[b"0123456789abcdef"[value as usize] as usize] = Some(value);
        value += 1;
    }
    table
};

/// Signs as WeChat does: the parts sorted byte by byte, concatenated, hashed. Up to four parts
/// (Token, timestamp, nonce, ciphertext; all that WeChat ever signs) take no allocation.
#[must_use]
pub fn sign(parts: &[&str]) -> Signature {
    let mut few = [""; 4];
    let mut many;
    let sorted = if let Some(few) = few.get_mut(..parts.len()) {
        few.copy_from_slice(parts);
        few
    } else {
        many = parts.to_vec();
        &mut many[..]
    };
    sorted.sort_unstable();
    digest(sorted)
}

/// SHA-1 over the parts in the order given.
pub(crate) fn digest(parts: &[&str]) -> Signature {
    let mut sha1 = Sha1::new();
    for part in parts {
        sha1.update(part.as_bytes());
    }
    Signature(sha1.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_round_trips_and_nothing_else_parses() {
        let hex = "f464b24fc39322e44b38aa78f5edd27bd1441696";
        assert_eq!(Signature::parse_hex(hex).unwrap().to_string(), hex);
        for wrong in
            ["", &hex[1..], &hex.to_uppercase(), &format!("{hex}0"), &hex.replace('b', "g")]
        {
            assert_eq!(Signature::parse_hex(wrong), None, "{wrong}");
        }
        assert_eq!(Signature::parse_hex(&"é".repeat(20)), None);
    }

    #[test]
    fn order_and_number_of_parts_do_not_matter() {
        let sorted = sign(&["a", "b", "c"]);
        assert_eq!(sorted.to_string(), "a9993e364706816aba3e25717850c26c9cd0d89d");
        assert_eq!(sign(&["c", "a", "b"]), sorted);
        assert_eq!(sign(&["c", "", "a", "", "b", ""]), sorted);
        assert_eq!(sign(&[]).to_string(), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
    }

    #[test]
    fn every_single_bit_counts() {
        let right = sign(&["token", "1700000000", "nonce"]);
        assert!(right.matches(&right));
        for bit in 0..160 {
            let mut wrong = right;
            wrong.0[bit / 8] ^= 1 << (bit % 8);
            assert!(!right.matches(&wrong), "bit {bit}");
        }
    }
}
