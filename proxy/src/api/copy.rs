//! The copy of a request body that is kept for one repetition: bounded for each call, and for all together by
//! `api.replay_bytes`. Beyond a bound there is no copy, and the body goes through all the same.

use crate::limits;
use bytes::Bytes;
use std::sync::atomic::{AtomicU64, Ordering};

/// The bytes of all copies.
#[derive(Debug, Default)]
pub struct Copies(AtomicU64);

/// The copy of one body; dropping it gives its bytes back.
pub struct Copy<'a> {
    copies: &'a Copies,
    max_all: u64,
    chunks: Vec<Bytes>,
    bytes: u64,
    complete: bool,
}

crate::opaque!(Copy<'_>);

impl Copies {
    /// An empty copy. All together may hold `max_all` bytes.
    pub fn begin(&self, max_all: u64) -> Copy<'_> {
        Copy { copies: self, max_all, chunks: Vec::new(), bytes: 0, complete: true }
    }

    /// The bytes of all copies now.
    #[cfg(test)]
    fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Copy<'_> {
    /// Adds a part of the body. The parts share their memory with what is sent.
    pub fn add(&mut self, chunk: &Bytes) {
        let bytes = chunk.len() as u64;
        if !self.complete || bytes == 0 {
            return;
        }
        self.bytes += bytes;
        let all = self.copies.0.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if self.bytes > limits::API_COPY_BYTES || all > self.max_all {
            self.give_up();
        } else {
            self.chunks.push(chunk.clone());
        }
    }

    /// The whole body, unless it was too long.
    pub fn chunks(&self) -> Option<&[Bytes]> {
        self.complete.then_some(&self.chunks)
    }

    /// Its length in bytes.
    pub fn len(&self) -> u64 {
        self.bytes
    }

    /// Whether the body is empty.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    fn give_up(&mut self) {
        self.complete = false;
        self.chunks = Vec::new();
        self.copies.0.fetch_sub(std::mem::take(&mut self.bytes), Ordering::Relaxed);
    }
}

impl Drop for Copy<'_> {
    fn drop(&mut self) {
        self.give_up();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_the_bound_of_one_and_of_all() {
        let copies = Copies::default();
        let mebibyte = Bytes::from(vec![0; 1 << 20]);
        let mut one = copies.begin(20 << 20);
        (0..12).for_each(|_| one.add(&mebibyte));
        assert_eq!((one.chunks().map(<[_]>::len), copies.bytes()), (Some(12), 12 << 20));
        let mut two = copies.begin(20 << 20);
        (0..9).for_each(|_| two.add(&mebibyte));
        assert_eq!((two.chunks(), copies.bytes()), (None, 12 << 20), "over the bound of all");
        one.add(&Bytes::from_static(b"x"));
        assert_eq!((one.chunks(), copies.bytes()), (None, 0), "over the bound of one");
        one.add(&mebibyte);
        assert_eq!(one.chunks(), None, "a part is no copy");
        let mut three = copies.begin(20 << 20);
        three.add(&mebibyte);
        drop(three);
        assert_eq!(copies.bytes(), 0);
    }
}
