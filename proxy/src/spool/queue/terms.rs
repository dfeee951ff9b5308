//! When an entry is tried again, and when no more.

use crate::limits;

/// `[spool]` of the configuration.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Terms {
    /// The first pause.
    pub retry_min_ms: u64,
    /// The longest pause.
    pub retry_max_ms: u64,
    /// The age at which an entry that fails becomes a dead letter.
    pub give_up_after_ms: u64,
    /// Attempts at once.
    pub concurrency: usize,
    /// Entries that are taken and not yet deleted; then no further one is tried.
    pub deletes: usize,
}

/// How an attempt failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Failure {
    /// The app asked not to be tried again before this has passed.
    pub retry_after_ms: Option<u64>,
    /// This answer is not worth more tries than until this age: after 401, 403 and 404.
    pub at_most_ms: Option<u64>,
    /// It may be the entry's own fault.
    pub counts: bool,
}

/// What follows a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is tried again, not before `due`; the store keeps the numbers.
    Retry {
        /// Milliseconds of the monotonic clock.
        due: u64,
        /// Calls made so far.
        attempts: u32,
        /// Failures of its own, while others succeeded.
        failures: u32,
    },
    /// It becomes a dead letter: it stays in flight until the caller has made it one and calls `remove`, or could not
    /// and calls `release`.
    GiveUp,
}

impl Terms {
    /// The age beyond which nothing is tried again after such a failure, in milliseconds.
    fn age_max(&self, failure: &Failure) -> u64 {
        failure.at_most_ms.map_or(self.give_up_after_ms, |most| most.min(self.give_up_after_ms))
    }

    /// Whether an entry of this age has been tried for long enough.
    pub(super) fn gives_up(&self, age_ms: i64, failure: &Failure) -> bool {
        u64::try_from(age_ms).is_ok_and(|age| age >= self.age_max(failure))
    }

    /// The pause after the `attempts`th call, in milliseconds: `retry_min_ms`, doubled for each further one up to
    /// `retry_max_ms`, and of that between the half and the whole as `jitter` has it. The last try is made when the
    /// entry is about to be given up, and not long after. `Retry-After` is respected, whatever follows from that.
    pub(super) fn pause(&self, attempts: u32, age_ms: i64, failure: &Failure, jitter: u32) -> u64 {
        let doublings = attempts.saturating_sub(1).min(63);
        let whole = u128::from(self.retry_min_ms) << doublings;
        let whole = whole.min(u128::from(self.retry_max_ms)) as u64;
        let half = whole / 2;
        let spread = u128::from(whole - half) * u128::from(jitter) / u128::from(u32::MAX);
        let left = i128::from(self.age_max(failure)) - i128::from(age_ms);
        let last = u64::try_from(left).unwrap_or(0).max(self.retry_min_ms);
        let asked = failure.retry_after_ms.unwrap_or(0);
        let asked = asked.min(limits::SPOOL_RETRY_AFTER.as_millis() as u64);
        (half + spread as u64).min(last).max(asked)
    }
}
