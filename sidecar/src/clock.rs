//! The sidecar's time.

use crate::observation::Millis;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The wall clock as it was at some moment, and a monotonic one from there: it does not jump by itself.
#[derive(Debug)]
pub struct Clock(Mutex<Anchor>);

/// The wall clock's time in Unix seconds; 0 before 1970.
pub(crate) fn unix_now_s() -> i64 {
    (Anchor::now().wall / 1_000).cast_signed()
}

/// A duration in milliseconds.
pub(crate) fn millis(duration: Duration) -> Millis {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[derive(Debug, Clone, Copy)]
struct Anchor {
    monotonic: Instant,
    wall: Millis,
}

impl Clock {
    /// It is now.
    pub fn start() -> Clock {
        Clock(Mutex::new(Anchor::now()))
    }

    /// Milliseconds since 1970.
    pub fn now(&self) -> Millis {
        self.anchor().time()
    }

    /// Takes the wall clock over when that is off by `most` or more: it was set, or the machine has slept. Says whether it was.
    pub fn follow(&self, most: Millis) -> bool {
        let wall = Anchor::now();
        let mut anchor = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let jumped = anchor.time().abs_diff(wall.wall) >= most;
        if jumped {
            *anchor = wall;
        }
        jumped
    }

    fn anchor(&self) -> Anchor {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Anchor {
    fn now() -> Anchor {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Anchor { monotonic: Instant::now(), wall: millis(since) }
    }

    fn time(self) -> Millis {
        self.wall.saturating_add(millis(self.monotonic.elapsed()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_set_is_followed() {
        let clock = Clock::start();
        assert!(!clock.follow(60_000));
        clock.0.lock().unwrap().wall -= 3_600_000;
        let behind = clock.now();
        assert!(clock.follow(2_000));
        assert!(clock.now().abs_diff(behind) >= 3_599_000);
        assert!(!clock.follow(60_000));
    }
}
