//! The failures of late that WeChat has seen.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::observation::Millis;

/// The window is counted in this many parts: exact to 2 % of it, whatever its length.
const PARTS: u64 = 60;

/// Failures in the last `window_ms`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Failures {
    window_ms: u64,
    /// When a part began, and its failures; the oldest first, none that is empty.
    parts: VecDeque<(Millis, u64)>,
}

impl Failures {
    pub(super) fn new(window_ms: u64) -> Failures {
        Failures { window_ms, parts: VecDeque::new() }
    }

    /// Another window, for what is counted already as well.
    pub(super) fn set_window(&mut self, window_ms: u64) {
        self.window_ms = window_ms;
    }

    /// Counts `failures` at `at`, and forgets those that are too old for the window that ends there.
    pub(super) fn count(&mut self, at: Millis, failures: u64) {
        let window = self.window_ms;
        self.parts.retain(|&(began, _)| began <= at && at - began < window);
        if failures == 0 {
            return;
        }
        match self.parts.back_mut() {
            Some((began, count)) if at - *began < window / PARTS => {
                *count = count.saturating_add(failures)
            }
            _ => self.parts.push_back((at, failures)),
        }
    }

    /// All in the window.
    pub(super) fn total(&self) -> u64 {
        self.parts.iter().fold(0, |sum, &(_, failures)| sum.saturating_add(failures))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_count_for_as_long_as_the_window_is() {
        let mut failures = Failures::new(300_000);
        failures.count(1_000_000, 3);
        failures.count(1_002_000, 4);
        assert_eq!(failures.total(), 7);
        failures.count(1_200_000, 1);
        assert_eq!(failures.total(), 8);
        failures.count(1_300_000, 0);
        assert_eq!(failures.total(), 1);
        failures.count(900_000, 0);
        assert_eq!(failures.total(), 0, "the clock was set back");
    }

    #[test]
    fn a_window_of_any_length_has_few_parts() {
        for window in [1_000, 300_000, 604_800_000] {
            let mut failures = Failures::new(window);
            for second in 0..2_000 {
                failures.count(1_000_000_000 + second * 1000, 1);
            }
            assert!(failures.parts.len() as u64 <= PARTS + 1, "{} parts", failures.parts.len());
        }
    }
}
