//! What an answer means for a message, and when it is tried again.

use crate::limits;
use chrono::DateTime;
use serde_json::Value;
use std::time::Duration;

/// What has become of a try. Reasons are words and numbers of our own: what others answer may repeat an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It was taken.
    Sent,
    /// It is wrong, or the address is: another try would end the same way.
    Refused(String),
    /// Too many messages came.
    TooOften(String),
    /// It may work the next time.
    Failed(String),
}

/// By the HTTP status alone.
pub(super) fn by_status(status: u16) -> Verdict {
    let reason = format!("http {status}");
    match status {
        200..=299 => Verdict::Sent,
        429 => Verdict::TooOften(reason),
        408 | 425 | 500.. => Verdict::Failed(reason),
        _ => Verdict::Refused(reason),
    }
}

/// How a robot says what it thinks: its answers are 200 also when they are refusals.
pub(super) struct Codes {
    /// Where the code is.
    pub(super) code: &'static str,
    /// Where its words are.
    pub(super) words: &'static str,
    /// Codes that mean that messages come too often.
    pub(super) too_often: &'static [i64],
    /// Codes that mean that it may work the next time.
    pub(super) busy: &'static [i64],
}

impl Codes {
    /// By the code in the answer; by the status when there is none.
    pub(super) fn verdict(&self, status: u16, body: &[u8]) -> Verdict {
        let answer: Value = serde_json::from_slice(body).unwrap_or_default();
        let Some(code) = answer[self.code].as_i64() else {
            return match by_status(status) {
                // Something between here and the robot has answered.
                Verdict::Sent => Verdict::Failed("no answer of a robot".to_owned()),
                verdict => verdict,
            };
        };
        let words = answer[self.words].as_str().unwrap_or_default().to_lowercase();
        // Some say it by a code that means other things as well, or by one that is in no list.
        let often = ["too many", "too fast", "frequen"].iter().any(|part| words.contains(part));
        let reason = format!("{} {code}", self.code);
        match code {
            0 => Verdict::Sent,
            _ if often || self.too_often.contains(&code) => Verdict::TooOften(reason),
            _ if self.busy.contains(&code) => Verdict::Failed(reason),
            _ => Verdict::Refused(reason),
        }
    }
}

/// How long to wait before the next try: none when there will not be one. `tried` is how often it was, `age` how long ago the
/// first time was, `asked` what `Retry-After` asks for, `chance` from 0 to 1.
pub(super) fn wait(
    verdict: &Verdict,
    tried: u32,
    age: Duration,
    asked: Option<Duration>,
    chance: f64,
) -> Option<Duration> {
    let least = match verdict {
        Verdict::Sent | Verdict::Refused(_) => return None,
        Verdict::TooOften(_) => asked.unwrap_or(limits::NOTIFY_TOO_OFTEN),
        Verdict::Failed(_) => asked.unwrap_or_default(),
    };
    let [first, most] = limits::NOTIFY_RETRY;
    let doubled = first.saturating_mul(2_u32.saturating_pow(tried.saturating_sub(1))).min(most);
    let wait = doubled.mul_f64(1.0 - chance / 2.0).max(least);
    (age + wait <= limits::NOTIFY_AGE).then_some(wait)
}

/// What `Retry-After` asks for: seconds, or a date, seen from `now` in Unix seconds.
pub(super) fn after(header: &str, now: i64) -> Option<Duration> {
    let header = header.trim();
    let seconds = header
        .parse::<u32>()
        .map(i64::from)
        .or_else(|_| DateTime::parse_from_rfc2822(header).map(|date| date.timestamp() - now));
    Some(Duration::from_secs(seconds.ok()?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_and_end() {
        let failed = Verdict::Failed(String::new());
        let mut age = Duration::ZERO;
        let waits = (1..).map_while(|tried| {
            let wait = wait(&failed, tried, age, None, 0.0)?;
            age += wait;
            Some(wait.as_secs())
        });
        let waits: Vec<_> = waits.take(100).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300, 300]);
        let half = wait(&failed, 3, Duration::ZERO, None, 1.0);
        assert_eq!(half, Some(Duration::from_secs(2)));
        assert_eq!(wait(&failed, 1, limits::NOTIFY_AGE, None, 0.0), None);
    }

    #[test]
    fn who_asks_for_time_gets_it() {
        let (failed, often) = (Verdict::Failed(String::new()), Verdict::TooOften(String::new()));
        let seconds = |verdict, asked: Option<u64>| {
            let asked = asked.map(Duration::from_secs);
            wait(verdict, 1, Duration::ZERO, asked, 0.5).map(|wait| wait.as_secs_f64())
        };
        assert_eq!(seconds(&failed, Some(30)), Some(30.0));
        assert_eq!(seconds(&often, None), Some(60.0));
        assert_eq!(seconds(&often, Some(2)), Some(2.0));
        assert_eq!(seconds(&often, Some(0)), Some(0.75), "never at once");
        assert_eq!(seconds(&failed, Some(86_400)), None, "it would be old news by then");
        assert_eq!(seconds(&Verdict::Refused(String::new()), Some(1)), None);
    }

    #[test]
    fn retry_after_is_read() {
        assert_eq!(after(" 7 ", 0), Some(Duration::from_secs(7)));
        let date = "Wed, 21 Oct 2015 07:28:00 GMT";
        assert_eq!(after(date, 1_445_412_420), Some(Duration::from_secs(60)));
        assert_eq!(after(date, 1_445_412_520), None, "in the past");
        assert_eq!(after("soon", 0), None);
        assert_eq!(after("-1", 0), None);
    }

    #[test]
    fn a_status_says_whether_to_try_again() {
        for (status, expected) in [
            (200, "Sent"),
            (202, "Sent"),
            (302, "Refused"),
            (400, "Refused"),
            (401, "Refused"),
            (404, "Refused"),
            (408, "Failed"),
            (429, "TooOften"),
            (500, "Failed"),
            (503, "Failed"),
        ] {
            assert!(format!("{:?}", by_status(status)).starts_with(expected), "{status}");
        }
    }
}
