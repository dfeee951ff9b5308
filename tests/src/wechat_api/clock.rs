//! The time that WeChat's rules go by.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use chrono::{DateTime, Datelike, Utc};

/// Noon of 15 January 2026 in Beijing: far from the ends of the day and of the month.
const NOON: Duration = Duration::from_secs(1_768_449_600);
const BEIJING_AHEAD_S: i64 = 8 * 3600;

/// A clock that tests move. Its clones are the same clock.
#[derive(Debug, Clone)]
pub struct Clock(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    begun: Duration,
    /// Since when it runs by itself.
    runs: Option<Instant>,
    advanced: Mutex<Duration>,
}

impl Clock {
    /// Stands still at a noon until it is moved.
    #[must_use]
    pub fn stopped() -> Clock {
        Clock::new(NOON, None)
    }

    /// Begins now and runs by itself; it can be moved, too.
    #[must_use]
    pub fn running() -> Clock {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Clock::new(now, Some(Instant::now()))
    }

    fn new(begun: Duration, runs: Option<Instant>) -> Clock {
        Clock(Arc::new(Inner { begun, runs, advanced: Mutex::default() }))
    }

    /// Moves it ahead.
    pub fn advance(&self, by: Duration) {
        *self.0.advanced.lock().unwrap_or_else(PoisonError::into_inner) += by;
    }

    /// The time, since 1970.
    #[must_use]
    pub fn now(&self) -> Duration {
        let advanced = *self.0.advanced.lock().unwrap_or_else(PoisonError::into_inner);
        self.0.begun + advanced + self.0.runs.map_or(Duration::ZERO, |since| since.elapsed())
    }
}

/// The minute of a time, counted from any.
pub(super) fn minute(now: Duration) -> u64 {
    now.as_secs() / 60
}

/// The day of a time in Beijing, counted from any.
pub(super) fn day(now: Duration) -> u64 {
    beijing(now).num_days_from_ce().unsigned_abs().into()
}

/// The month of a time in Beijing, counted from any.
pub(super) fn month(now: Duration) -> u64 {
    let date = beijing(now);
    (date.year().unsigned_abs() * 12 + date.month0()).into()
}

/// As a `date` header has it.
pub(super) fn http_date(now: Duration) -> String {
    utc(now.as_secs() as i64).format("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

fn beijing(now: Duration) -> DateTime<Utc> {
    utc(now.as_secs() as i64 + BEIJING_AHEAD_S)
}

fn utc(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).expect("a time of this age")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_months_end_at_midnight_in_beijing() {
        let clock = Clock::stopped();
        assert_eq!(http_date(clock.now()), "Thu, 15 Jan 2026 04:00:00 GMT");
        let (today, this_month) = (day(clock.now()), month(clock.now()));
        clock.advance(Duration::from_secs(12 * 3600 - 1));
        assert_eq!(day(clock.now()), today);
        clock.advance(Duration::from_secs(1));
        assert_eq!(day(clock.now()), today + 1);
        clock.advance(Duration::from_secs(16 * 86_400 - 1));
        assert_eq!(month(clock.now()), this_month);
        clock.advance(Duration::from_secs(1));
        assert_eq!(month(clock.now()), this_month + 1);
    }

    #[test]
    fn one_stands_still_and_the_other_runs() {
        let stopped = Clock::stopped();
        let running = Clock::running();
        let (before, ran) = (stopped.now(), running.now());
        crate::eventually(crate::PATIENCE, "time goes by", || running.now() > ran);
        assert_eq!(stopped.now(), before);
        stopped.clone().advance(Duration::from_secs(7));
        assert_eq!(stopped.now(), before + Duration::from_secs(7));
    }
}
