//! Time, as the engine sees it.

use std::time::Duration;

/// A moment, on both clocks.
///
/// Within a process everything is measured on the steady clock, so that nothing happens when somebody sets the other one.
/// That one is for what outlives the process and for what people read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// On a clock that nobody sets, since any moment before the engine was made. Best one that goes on while the machine
    /// sleeps (`CLOCK_BOOTTIME`); with one that does not, a token may be found dead only by being rejected.
    pub steady: Duration,
    /// Milliseconds since 1970.
    pub unix_ms: i64,
}

/// A moment on the steady clock, in milliseconds; before 0 when it was in an earlier process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment(i64);

impl Moment {
    /// Before everything.
    pub(super) const PAST: Moment = Moment(i64::MIN);
    /// After everything.
    pub(super) const NEVER: Moment = Moment(i64::MAX);

    pub(super) fn plus(self, duration: Duration) -> Moment {
        Moment(self.0.saturating_add(milliseconds(duration)))
    }

    pub(super) fn minus(self, duration: Duration) -> Moment {
        Moment(self.0.saturating_sub(milliseconds(duration)))
    }

    /// The time since an earlier moment; zero when that was later.
    pub(super) fn since(self, earlier: Moment) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0).max(0).unsigned_abs())
    }
}

impl Now {
    /// On the steady clock.
    pub(super) fn moment(self) -> Moment {
        Moment(milliseconds(self.steady))
    }

    /// What the other clock shows, or showed, at `moment`: milliseconds since 1970.
    pub(super) fn unix_ms_at(self, moment: Moment) -> i64 {
        self.unix_ms.saturating_add(moment.0.saturating_sub(self.moment().0))
    }

    /// A moment of an earlier process. What would lie ahead, because the clock was set back, is now.
    pub(super) fn past(self, unix_ms: i64) -> Moment {
        self.moment().minus(span(unix_ms, self.unix_ms))
    }
}

/// From one Unix time to another, in milliseconds; zero when it would be negative.
pub(super) fn span(from_ms: i64, to_ms: i64) -> Duration {
    Duration::from_millis(to_ms.saturating_sub(from_ms).max(0).unsigned_abs())
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
