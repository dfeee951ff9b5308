//! When 401, 403 and 404 make dead letters: an app that is just coming back may say them for some seconds, and a backlog is
//! old then.
//!
//! Pure: no I/O, no clock. Times are milliseconds of a monotonic clock.

use crate::limits;
use std::sync::atomic::{AtomicU64, Ordering};

/// Since when the app turns every message away.
#[derive(Debug, Default)]
pub(super) struct TurnedAway {
    /// 0 while it does not.
    since: AtomicU64,
}

impl TurnedAway {
    /// The app has taken a message, or is in trouble as a whole.
    pub(super) fn no_longer(&self) {
        self.since.store(0, Ordering::Relaxed);
    }

    /// The app has turned a message away that has `failures` of its own. Says whether that is for good: it does so for
    /// `for_ms` already, or with this one alone while it takes others.
    pub(super) fn is_for_good(&self, now: u64, for_ms: u64, failures: u32) -> bool {
        let now = now.max(1);
        let begun = self.since.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed);
        let since = begun.err().unwrap_or(now);
        now.saturating_sub(since) >= for_ms || failures + 1 >= limits::SPOOL_OWN_FAILURES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOR_MS: u64 = limits::TURNED_AWAY.as_millis() as u64;

    #[test]
    fn an_app_that_turns_everything_away_has_ten_minutes() {
        let away = TurnedAway::default();
        for (now, expected) in
            [(0, false), (5_000, false), (FOR_MS, false), (FOR_MS + 1, true), (10 * FOR_MS, true)]
        {
            // A clock that begins at 0 is taken to begin at 1.
            assert_eq!(away.is_for_good(now, FOR_MS, 0), expected, "{now}");
        }
    }

    #[test]
    fn the_ten_minutes_begin_anew_when_it_takes_one_or_is_in_trouble() {
        let away = TurnedAway::default();
        assert!(!away.is_for_good(1_000, FOR_MS, 0));
        away.no_longer();
        assert!(!away.is_for_good(1_000 + FOR_MS, FOR_MS, 0));
        assert!(!away.is_for_good(999 + 2 * FOR_MS, FOR_MS, 0));
        assert!(away.is_for_good(1_000 + 2 * FOR_MS, FOR_MS, 0));
    }

    #[test]
    fn a_message_that_is_turned_away_while_others_are_taken_has_eight_tries() {
        for (failures, expected) in [(0, false), (6, false), (7, true), (8, true)] {
            let away = TurnedAway::default();
            assert_eq!(away.is_for_good(1, FOR_MS, failures), expected, "{failures}");
        }
    }
}
