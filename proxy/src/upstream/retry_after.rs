//! `Retry-After`, RFC 9110 §10.2.3.

use crate::limits;
use chrono::DateTime;
use std::time::{Duration, SystemTime};

/// How long to wait: seconds, or a date, which may have passed. At most [`limits::RETRY_AFTER_MAX`]; `None` for what is
/// neither.
pub(super) fn parse(value: &[u8], now: SystemTime) -> Option<Duration> {
    let text = std::str::from_utf8(value).ok()?;
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let wait = if is_number {
        // More digits than a number can have are a long time, too.
        text.parse().map_or(Duration::MAX, Duration::from_secs)
    } else {
        let until = SystemTime::from(DateTime::parse_from_rfc2822(text).ok()?);
        until.duration_since(now).unwrap_or_default()
    };
    Some(wait.min(limits::RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_dates_are_read_and_bounded() {
        // Sun, 06 Nov 1994 08:49:37 GMT.
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        for (value, seconds) in [
            ("0", Some(0)),
            ("120", Some(120)),
            ("86401", Some(86_400)),
            ("99999999999999999999999", Some(86_400)),
            ("Sun, 06 Nov 1994 08:51:37 GMT", Some(120)),
            ("Sun, 06 Nov 1994 08:49:36 GMT", Some(0)),
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
            ("Fri, 31 Dec 9999 23:59:59 GMT", Some(86_400)),
            ("", None),
            ("-1", None),
            ("+1", None),
            ("1.5", None),
            ("1 second", None),
            ("tomorrow", None),
            ("Sun, 36 Nov 1994 08:49:37 GMT", None),
        ] {
            let parsed = parse(value.as_bytes(), now);
            assert_eq!(parsed, seconds.map(Duration::from_secs), "{value:?}");
        }
        assert_eq!(parse(b"\xff", now), None);
    }
}
