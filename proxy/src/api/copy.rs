//! The copy of a request body that is kept for one repetition: bounded for each call, and for all together by
//! `api.replay_bytes`. Beyond a bound there is no copy, and the body goes through all the same.

use crate::limits;
use bytes::{Bytes, BytesMut};
use std::sync::atomic::{AtomicU64, Ordering};

/// The bytes of all copies.
#[derive(Debug, Default)]
pub struct Copies(AtomicU64);

/// The copy of one body; dropping it gives its bytes back.
pub struct Copy<'a> {
    copies: &'a Copies,
    max_all: u64,
    /// Large parts share their memory with what is sent; small ones are gathered, or each would cost more than it holds.
    blocks: Vec<Bytes>,
    small: BytesMut,
    bytes: u64,
    whole: bool,
}

crate::opaque!(Copy<'_>);

impl Copies {
    /// An empty copy. All together may hold `max_all` bytes.
    pub fn begin(&self, max_all: u64) -> Copy<'_> {
        let (blocks, small) = (Vec::new(), BytesMut::new());
        Copy { copies: self, max_all, blocks, small, bytes: 0, whole: true }
    }

    /// The bytes of all copies now.
    #[cfg(test)]
    fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Copy<'_> {
    /// Adds a part of the body. Says whether the copy is whole: if not, what was added before is still in it, and the part
    /// is not.
    pub fn add(&mut self, part: &Bytes) -> bool {
        if !self.whole {
            return false;
        }
        let bytes = part.len() as u64;
        let all = self.copies.0.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.bytes += bytes;
        if self.bytes > limits::API_COPY_BYTES || all > self.max_all {
            self.whole = false;
        } else if part.len() < limits::API_COPY_BLOCK_BYTES && self.bytes > bytes {
            self.small.extend_from_slice(part);
            if self.small.len() >= limits::API_COPY_BLOCK_BYTES {
                self.seal();
            }
        } else {
            self.seal();
            self.blocks.push(part.clone());
        }
        self.whole
    }

    /// The parts of the body in order, unless it was too long.
    pub fn parts(&self) -> Option<impl Iterator<Item = &[u8]>> {
        let small = std::iter::once(&self.small[..]);
        self.whole.then(|| self.blocks.iter().map(|block| &block[..]).chain(small))
    }

    /// What is in it; it is none any more. The bytes stay counted, because they are sent from here.
    pub fn take(&mut self) -> Vec<Bytes> {
        self.whole = false;
        self.seal();
        std::mem::take(&mut self.blocks)
    }

    /// Gives up what is in it.
    pub fn give_up(&mut self) {
        self.take();
        self.copies.0.fetch_sub(std::mem::take(&mut self.bytes), Ordering::Relaxed);
    }

    fn seal(&mut self) {
        if !self.small.is_empty() {
            self.blocks.push(self.small.split().freeze());
        }
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

    fn length(copy: &Copy<'_>) -> Option<usize> {
        copy.parts().map(|parts| parts.map(<[u8]>::len).sum())
    }

    #[test]
    fn no_more_than_the_bound_of_one_and_of_all() {
        let copies = Copies::default();
        let mebibyte = Bytes::from(vec![0; 1 << 20]);
        let mut one = copies.begin(20 << 20);
        (0..12).for_each(|_| assert!(one.add(&mebibyte)));
        assert_eq!((length(&one), copies.bytes()), (Some(12 << 20), 12 << 20));
        let mut two = copies.begin(20 << 20);
        assert_eq!((0..9).filter(|_| two.add(&mebibyte)).count(), 8, "the bound of all");
        assert_eq!(length(&two), None);
        two.give_up();
        assert_eq!(copies.bytes(), 12 << 20);
        assert!(!one.add(&Bytes::from_static(b"x")), "the bound of one");
        assert!(!one.add(&mebibyte), "a part is no copy");
        let taken: usize = one.take().iter().map(Bytes::len).sum();
        assert_eq!((taken, length(&one)), (12 << 20, None));
        drop(one);
        assert_eq!(copies.bytes(), 0);
    }

    #[test]
    fn small_parts_are_gathered() {
        let copies = Copies::default();
        let mut copy = copies.begin(1 << 30);
        let body: Vec<u8> = (0..300_000_u32).map(|at| (at % 251) as u8).collect();
        body.iter().for_each(|byte| assert!(copy.add(&Bytes::copy_from_slice(&[*byte]))));
        assert!(copy.blocks.len() < 25, "{}", copy.blocks.len());
        let kept: Vec<u8> = copy.parts().unwrap().flatten().copied().collect();
        assert_eq!((kept, copies.bytes()), (body.clone(), 300_000));
        assert_eq!(copy.take().concat(), body);
    }
}
