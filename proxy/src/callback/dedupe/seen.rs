//! Which messages were answered a while ago. Of each only a number is left, so that there is room for all that the replay
//! window asks for, also in a storm.
//!
//! The numbers lie in generations, an eighth of the time each, which are forgotten whole.

use super::Uniform;
use crate::limits;
use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher, BuildHasherDefault};
use std::time::{Duration, Instant};
use wxedge_wechat::message::Identity;

/// Of so many parts of the time the oldest is forgotten at once.
const PARTS: u32 = 8;

/// Answered messages, oldest first.
#[derive(Debug, Default)]
pub(super) struct Seen {
    generations: VecDeque<Generation>,
    len: usize,
}

#[derive(Debug)]
struct Generation {
    /// When its first message was answered.
    first: Instant,
    /// When its last one was.
    last: Instant,
    messages: HashSet<u64, BuildHasherDefault<Uniform>>,
}

impl Seen {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn contains(&self, number: u64) -> bool {
        self.generations.iter().rev().any(|generation| generation.messages.contains(&number))
    }

    /// Adds a message that was answered then, no earlier than those before; they are kept for `kept`.
    pub(super) fn add(&mut self, number: u64, answered: Instant, kept: Duration) {
        let open = self.generations.back_mut().filter(|generation| {
            answered.duration_since(generation.first) < kept / PARTS
                && generation.messages.len() < limits::DEDUPE_SEEN / PARTS as usize
        });
        match open {
            Some(generation) => {
                generation.last = generation.last.max(answered);
                self.len += usize::from(generation.messages.insert(number));
            }
            None => {
                let messages = HashSet::from_iter([number]);
                self.generations.push_back(Generation {
                    first: answered,
                    last: answered,
                    messages,
                });
                self.len += 1;
            }
        }
        while self.len > limits::DEDUPE_SEEN {
            self.forget();
        }
    }

    /// Forgets what was answered more than `kept` ago.
    pub(super) fn sweep(&mut self, now: Instant, kept: Duration) {
        while self.generations.front().is_some_and(|oldest| now.duration_since(oldest.last) > kept)
        {
            self.forget();
        }
    }

    fn forget(&mut self) {
        let gone = self.generations.pop_front();
        self.len -= gone.map_or(0, |gone| gone.messages.len());
    }
}

/// The first half of an identity: no two of some million messages have the same by chance, and none by will, since the
/// identity is a part of a SHA-256 over what WeChat has numbered and signed.
pub(super) fn number(identity: &Identity) -> u64 {
    BuildHasherDefault::<Uniform>::default().hash_one(identity)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEPT: Duration = Duration::from_secs(600);

    /// As evenly spread as identities are.
    fn number(count: usize) -> u64 {
        (count as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32)
    }

    #[test]
    fn a_message_is_remembered_as_long_as_it_is_to_be_and_not_much_longer() {
        let (mut seen, begun) = (Seen::default(), Instant::now());
        let at = |second| begun + Duration::from_secs(second);
        for second in 0..1_200 {
            seen.add(number(second as usize), at(second), KEPT);
            seen.sweep(at(second), KEPT);
            assert!(second < 600 || seen.contains(number(second as usize - 600)), "{second}");
            assert!(second < 676 || !seen.contains(number(second as usize - 676)), "{second}");
        }
        seen.sweep(at(1_900), KEPT);
        assert_eq!((seen.len(), seen.generations.len()), (0, 0));
    }

    #[test]
    fn in_a_storm_the_oldest_are_forgotten_first_and_there_is_a_bound() {
        let (mut seen, now) = (Seen::default(), Instant::now());
        for count in 0..limits::DEDUPE_SEEN + 1 {
            seen.add(number(count), now, KEPT);
        }
        let forgotten = limits::DEDUPE_SEEN / PARTS as usize;
        assert_eq!(seen.len(), limits::DEDUPE_SEEN + 1 - forgotten);
        assert!(!seen.contains(number(forgotten - 1)) && seen.contains(number(forgotten)));
        let buckets: usize = seen.generations.iter().map(|one| one.messages.capacity()).sum();
        // 8 bytes and a byte to find them by, with an eighth of the room free.
        assert!(buckets * 8 / 7 * 9 < 20_000_000, "{buckets}");
    }
}
