//! The clock here against the `Date` of WeChat's API.

use super::exchange::{Answer, Stream, head};
use super::{Found, finding};
use crate::limits;
use crate::observation::{Facts, Fault, FaultKind, Finding, Probe};
use std::time::{Duration, Instant, SystemTime};

/// Asks on a connection; what is asked for does not matter, nor what the status is.
pub(super) async fn clock(host_port: &str, begun: Instant, stream: Box<dyn Stream>) -> Finding {
    let (sent, start) = (SystemTime::now(), Instant::now());
    let found = match head(host_port, begun, stream).await {
        Ok(answer) => found(date(&answer), sent, start.elapsed()),
        Err(fault) => fault.into(),
    };
    finding(Probe::Clock, host_port.to_owned(), start.elapsed(), found)
}

fn date(answer: &Answer) -> Option<SystemTime> {
    let date = answer.head.headers().get("date")?.to_str().ok()?;
    httpdate::parse_http_date(date).ok()
}

/// The answer was made half the round trip after `sent`, and somewhere within the second that its date names.
fn found(date: Option<SystemTime>, sent: SystemTime, round_trip: Duration) -> Found {
    let Some(date) = date else { return Found::default() };
    let here = sent + round_trip / 2;
    let there = date + Duration::from_millis(500);
    let (ahead, apart) = match here.duration_since(there) {
        Ok(ahead) => (true, ahead),
        Err(behind) => (false, behind.duration()),
    };
    let fault = (apart > limits::CLOCK_SKEW).then(|| {
        let (seconds, which) = (apart.as_secs(), if ahead { "ahead of" } else { "behind" });
        let detail = format!(
            "the clock here is {seconds} s {which} WeChat's; at 300 s (replay_window_s) callbacks are refused"
        );
        Fault::new(FaultKind::ClockSkew, detail)
    });
    let millis = i64::try_from(apart.as_millis()).unwrap_or(i64::MAX);
    let ahead_ms = Some(if ahead { millis } else { -millis });
    Found { fault, facts: Facts { ahead_ms, ..Facts::default() } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::UNIX_EPOCH;

    #[test]
    fn half_the_round_trip_and_half_a_second_are_allowed_for() {
        let sent = UNIX_EPOCH + Duration::from_millis(1_000_000_400);
        let date = UNIX_EPOCH + Duration::from_secs(1_000_000);
        let exact = found(Some(date), sent, Duration::from_millis(200));
        assert_eq!(exact, Found { facts: exact.facts.clone(), fault: None });
        assert_eq!(exact.facts.ahead_ms, Some(0));
    }

    #[test]
    fn more_than_a_minute_is_a_fault() {
        let now = UNIX_EPOCH + Duration::from_secs(1_000_000);
        for (there, fault, ahead_ms) in [
            (now - Duration::from_secs(60), false, 59_500),
            (now - Duration::from_secs(75), true, 74_500),
            (now + Duration::from_secs(59), false, -59_500),
            (now + Duration::from_secs(60), true, -60_500),
        ] {
            let found = found(Some(there), now, Duration::ZERO);
            assert_eq!((found.fault.is_some(), found.facts.ahead_ms), (fault, Some(ahead_ms)));
        }
        assert_eq!(found(None, now, Duration::ZERO), Found::default());
    }
}
