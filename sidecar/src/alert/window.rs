//! Counts of the last seconds.

use crate::observation::Millis;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

const BUCKETS: usize = 60;

/// How often something happened in the last `SECONDS`, in 60 buckets: what is older than that by less than one of them may
/// be forgotten early, never late.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Window<const SECONDS: u64> {
    /// The number of the newest bucket.
    head: u64,
    /// Newest first.
    counts: VecDeque<u32>,
}

impl<const SECONDS: u64> Window<SECONDS> {
    const WIDTH: Millis = SECONDS * 1000 / BUCKETS as u64;

    /// It happened `n` times.
    pub(super) fn add(&mut self, at: Millis, n: u64) {
        let bucket = at / Self::WIDTH;
        let passed = bucket.saturating_sub(self.head).min(BUCKETS as u64);
        self.head = self.head.max(bucket);
        for _ in 0..passed {
            self.counts.push_front(0);
        }
        self.counts.truncate(BUCKETS);
        if let Some(count) = self.counts.front_mut() {
            *count = count.saturating_add(u32::try_from(n).unwrap_or(u32::MAX));
        }
    }

    /// How often in the window that ends now.
    pub(super) fn sum(&self, now: Millis) -> u64 {
        let passed = (now / Self::WIDTH).saturating_sub(self.head);
        let kept = BUCKETS.saturating_sub(usize::try_from(passed).unwrap_or(BUCKETS));
        self.counts.iter().take(kept).map(|count| u64::from(*count)).sum()
    }

    /// About when the first of those happened: where its bucket begins.
    pub(super) fn oldest(&self, now: Millis) -> Option<Millis> {
        let newest = now / Self::WIDTH;
        let buckets = self.counts.iter().zip((0..=self.head).rev());
        let within = buckets.filter(|(n, bucket)| **n > 0 && bucket + (BUCKETS as u64) > newest);
        within.last().map(|(_, bucket)| bucket * Self::WIDTH)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_leave_with_their_time() {
        let mut window = Window::<300>::default();
        assert_eq!(window.sum(1_000_000_000), 0);
        window.add(1_000_000_000, 2);
        window.add(1_000_004_999, 1);
        window.add(1_000_200_000, 4);
        assert_eq!(window.oldest(1_000_294_999), Some(1_000_000_000));
        assert_eq!(window.oldest(1_000_300_000), Some(1_000_200_000));
        assert_eq!(window.sum(1_000_200_000), 7);
        assert_eq!(window.sum(1_000_294_999), 7);
        assert_eq!(window.sum(1_000_300_000), 4);
        assert_eq!(window.sum(1_000_600_000), 0);
        window.add(2_000_000_000, 1);
        assert_eq!(window.sum(2_000_000_000), 1);
    }

    #[test]
    fn it_never_counts_too_much_whatever_was_saved() {
        let saved = r#"{"head":3,"counts":[1,1,1]}"#;
        let mut window: Window<60> = serde_json::from_str(saved).unwrap();
        window.add(4_000, u64::MAX);
        assert_eq!(window.sum(4_000), u64::from(u32::MAX) + 3);
        for second in 5..200 {
            window.add(second * 1000, 1);
        }
        assert_eq!((window.sum(199_000), window.counts.len()), (60, BUCKETS));
    }
}
