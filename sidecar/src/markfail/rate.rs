//! How often callbacks come: of late, and at this time of the day.
//!
//! Counted are seconds with callbacks, not callbacks: a batch of a thousand in one second says no more about the next second
//! than a single one.

use serde::{Deserialize, Serialize};

use super::sized;
use crate::observation::Millis;

/// How fast "of late" is forgotten. Long enough for 60 busy seconds at 0.2/s, short enough to follow a morning.
const OF_LATE_S: f64 = 300.0;
/// What was seen counts as if it had been seen for at least so long: the first callback after nothing makes no high rate.
const DOUBT_S: f64 = 60.0;
/// A day is half-hours.
const BIN_S: u64 = 1800;
const BINS: usize = 48;
/// WeChat's day, and that of nearly everyone who writes to its accounts.
const UTC_OFFSET_S: u64 = 8 * 3600;
/// What today weighs in a half-hour's usual rate: about four days count, so that a new habit is believed in half a week.
const TODAY: f32 = 0.25;

/// What is known of an account's rate.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Rate {
    /// Seconds, seconds with callbacks and callbacks, each weighed by `exp(-age / OF_LATE_S)`.
    seconds: f64,
    busy: f64,
    arrivals: f64,
    /// By half-hour of the day, the usual share of busy seconds; below zero where nothing is known.
    #[serde(deserialize_with = "sized::<_, _, BINS>")]
    day: Vec<f32>,
    /// The half-hour that is being watched, its number since 1970, its seconds and its busy ones.
    now: u64,
    now_seconds: u32,
    now_busy: u32,
}

impl Rate {
    pub(super) fn new() -> Rate {
        let day = vec![-1.0; BINS];
        Rate { seconds: 0.0, busy: 0.0, arrivals: 0.0, day, now: 0, now_seconds: 0, now_busy: 0 }
    }

    /// A second that was watched. Says whether a new day has begun with it.
    pub(super) fn watched(&mut self, at: Millis, arrivals: u64) -> bool {
        self.fade(1.0);
        let busy = arrivals > 0;
        self.seconds += 1.0;
        self.busy += f64::from(u8::from(busy));
        self.arrivals += arrivals as f64;

        let half_hour = half_hour(at);
        let new_day = half_hour / BINS as u64 > self.now / BINS as u64;
        if half_hour != self.now {
            self.end_half_hour();
            self.now = half_hour;
        }
        self.now_seconds += 1;
        self.now_busy += u32::from(busy);
        new_day
    }

    /// So many seconds that were not: what was of late is less so.
    pub(super) fn fade(&mut self, seconds: f64) {
        let kept = (-seconds / OF_LATE_S).exp();
        self.seconds *= kept;
        self.busy *= kept;
        self.arrivals *= kept;
    }

    /// Takes nothing for granted of what was of late.
    pub(super) fn forget(&mut self) {
        self.fade(f64::INFINITY);
    }

    /// Callbacks per second of late.
    pub(super) fn per_s(&self) -> f64 {
        if self.seconds > 0.0 { self.arrivals / self.seconds } else { 0.0 }
    }

    /// The share of seconds with callbacks, 0 to 1, that can be relied on: the less of what was of late and what is usual.
    /// A storm of events lifts the first only.
    pub(super) fn share(&self, at: Millis) -> f64 {
        (self.busy / self.seconds.max(DOUBT_S)).min(self.usual(at))
    }

    /// What is usual at this time of the day; 1 where nothing is known.
    pub(super) fn usual(&self, at: Millis) -> f64 {
        match self.day.get(bin(half_hour(at))) {
            Some(&share) if share >= 0.0 => f64::from(share),
            _ => 1.0,
        }
    }

    fn end_half_hour(&mut self) {
        let (seconds, busy) =
            (std::mem::take(&mut self.now_seconds), std::mem::take(&mut self.now_busy));
        if u64::from(seconds) < BIN_S / 2 {
            return;
        }
        if let Some(usual) = self.day.get_mut(bin(self.now)) {
            let share = busy as f32 / seconds as f32;
            *usual = if *usual < 0.0 { share } else { *usual + TODAY * (share - *usual) };
        }
    }
}

fn half_hour(at: Millis) -> u64 {
    (at / 1000 + UTC_OFFSET_S) / BIN_S
}

fn bin(half_hour: u64) -> usize {
    (half_hour % BINS as u64) as usize
}
