//! The sidecar's time.

use crate::observation::Millis;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The wall clock as it was at the start, and a monotonic one from there: it never jumps.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    started: Instant,
    started_at: Millis,
}

impl Clock {
    /// It is now.
    pub fn start() -> Clock {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let started_at = u64::try_from(since.as_millis()).unwrap_or(0);
        Clock { started: Instant::now(), started_at }
    }

    /// Milliseconds since 1970.
    pub fn now(&self) -> Millis {
        let passed = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.started_at.saturating_add(passed)
    }
}
