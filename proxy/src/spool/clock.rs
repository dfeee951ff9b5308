//! By what messages grow old: Unix time as processes have seen it pass, not as the machine's clock has it.
//!
//! A machine's clock can be days ahead, after a start above all. What it says then would make dead letters of everything
//! that waits, and forget those that there are. So only this counts: the time that a process sees pass, an hour at most
//! for the time between two processes, and what WeChat's own timestamps prove.

use crate::limits;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// Unix time in seconds, which may be behind but is never ahead.
#[derive(Debug)]
pub(super) struct Clock {
    /// What it was when the process began.
    begun_s: AtomicI64,
}

impl Clock {
    /// Begins when the machine's clock says `now_s`. A process was last known to run at `alive_s`, if there was one.
    pub(super) fn begin(now_s: i64, alive_s: Option<i64>) -> Clock {
        let gap_s = seconds(limits::SPOOL_GAP);
        let latest = alive_s.map_or(now_s, |alive_s| alive_s.saturating_add(gap_s));
        Clock { begun_s: AtomicI64::new(now_s.min(latest)) }
    }

    /// What it says when the process has run for so long.
    pub(super) fn now_s(&self, running: Duration) -> i64 {
        self.begun_s.load(Ordering::Relaxed).saturating_add(seconds(running))
    }

    /// It was so late, for certain, when the process had run for so long.
    pub(super) fn prove(&self, time_s: i64, running: Duration) {
        self.begun_s.fetch_max(time_s.saturating_sub(seconds(running)), Ordering::Relaxed);
    }
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_S: i64 = 1_800_000_000;
    const HOUR_S: i64 = 3_600;
    const DAY_S: i64 = 24 * HOUR_S;

    #[test]
    fn what_lies_between_two_processes_counts_for_an_hour_at_most() {
        for (alive_s, expected_s) in [
            (None, NOW_S),
            (Some(NOW_S - 60), NOW_S),
            (Some(NOW_S - HOUR_S), NOW_S),
            (Some(NOW_S - 3 * DAY_S), NOW_S - 3 * DAY_S + HOUR_S),
            // The clock has gone back, or was ahead before.
            (Some(NOW_S + DAY_S), NOW_S),
        ] {
            let clock = Clock::begin(NOW_S, alive_s);
            assert_eq!(clock.now_s(Duration::ZERO), expected_s, "{alive_s:?}");
            assert_eq!(clock.now_s(Duration::from_secs(90)), expected_s + 90, "{alive_s:?}");
        }
    }

    #[test]
    fn it_is_set_by_what_is_certain_and_never_back() {
        let clock = Clock::begin(NOW_S, Some(NOW_S - 3 * DAY_S));
        let running = Duration::from_secs(100);
        clock.prove(NOW_S - 4 * DAY_S, running);
        assert_eq!(clock.now_s(running), NOW_S - 3 * DAY_S + HOUR_S + 100);
        clock.prove(NOW_S + 100, running);
        assert_eq!(clock.now_s(running), NOW_S + 100);
        assert_eq!(clock.now_s(2 * running), NOW_S + 200);
    }
}
