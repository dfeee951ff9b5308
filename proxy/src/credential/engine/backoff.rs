//! When to ask again: ahead of expiry, and after a failure.

use crate::limits;
use std::time::Duration;
use wxedge_wechat::api::errcode::Pause;

const SECOND: Duration = Duration::from_secs(1);
/// 2^6 s is more than the minute at which doubling ends.
const DOUBLINGS_MAX: u32 = 6;
const MINUTE: Duration = Duration::from_secs(60);

/// How long before its expiry a value with `life` left is refreshed: 300 to 210 s at random, a quarter of a short life at
/// most, so that there is time for more than one try.
pub(super) fn ahead(life: Duration, jitter: f64) -> Duration {
    let most = limits::CREDENTIAL_AHEAD_MAX.min(life / 4);
    let least = limits::CREDENTIAL_AHEAD_MIN.min(life * 7 / 40);
    most.saturating_sub((most.saturating_sub(least)).mul_f64(unit(jitter)))
}

/// The pause after a failure, the `failures`th in a row; none when it is for ever.
pub(super) fn pause(pause: Pause, failures: u32, jitter: f64) -> Option<Duration> {
    match pause {
        Pause::Stop => None,
        Pause::For(time) => {
            Some(time.mul_f64(1.0 + unit(jitter) / 10.0).min(limits::CREDENTIAL_PAUSE))
        }
        Pause::Backoff => Some(exponential(failures).mul_f64(0.5 + unit(jitter) / 2.0)),
    }
}

/// 1 s for the first, doubled for each further one up to a minute.
pub(super) fn exponential(count: u32) -> Duration {
    (SECOND * 2_u32.pow(count.saturating_sub(1).min(DOUBLINGS_MAX))).min(MINUTE)
}

/// Within 0 to 1, whatever came.
fn unit(jitter: f64) -> f64 {
    if jitter.is_nan() { 1.0 } else { jitter.clamp(0.0, 1.0) }
}
