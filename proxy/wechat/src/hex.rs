//! Lower-case hexadecimal digits: how signatures, identities and random numbers are written.

use std::fmt;
use std::ops::Deref;

/// Text of exactly `DIGITS` hexadecimal digits, two a byte. Lives where it is used, not on the heap.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Hex<const DIGITS: usize>([u8; DIGITS]);

impl<const DIGITS: usize> Hex<DIGITS> {
    /// Writes out the first `DIGITS / 2` of `bytes`; where there are fewer, zeros follow.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        const DIGIT: &[u8; 16] = b"0123456789abcdef";
        let mut digits = [b'0'; DIGITS];
        for (pair, byte) in digits.as_chunks_mut::<2>().0.iter_mut().zip(bytes) {
            *pair = [DIGIT[usize::from(byte >> 4)], DIGIT[usize::from(byte & 15)]];
        }
        Self(digits)
    }
}

impl<const DIGITS: usize> Deref for Hex<DIGITS> {
    type Target = str;

    fn deref(&self) -> &str {
        // Digits are ASCII.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl<const DIGITS: usize> fmt::Display for Hex<DIGITS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

impl<const DIGITS: usize> fmt::Debug for Hex<DIGITS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}
