//! WeChat's book: what failed, when that is an alarm, when pushing stops.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Alarm, Verdict};

/// What WeChat remembers of an account's deliveries.
#[derive(Debug)]
pub struct Ledger {
    threshold: usize,
    window: Duration,
    markfail: Option<usize>,
    block: Duration,
    failures: VecDeque<(Instant, Alarm)>,
    blocked_until: Option<Instant>,
    report: Report,
}

/// All deliveries in numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Requests sent.
    pub deliveries: u64,
    /// Answered by `success` and the like.
    pub acknowledged: u64,
    /// Answered by a passive reply.
    pub replied: u64,
    /// Failed deliveries by the alarm they count towards.
    pub failures: BTreeMap<Alarm, u64>,
    /// Alarms that WeChat would have sent.
    pub alarms: BTreeMap<Alarm, u64>,
    /// Messages that were not sent because pushing had stopped.
    pub withheld: u64,
    /// The longest that an answer took.
    pub slowest: Duration,
}

impl Report {
    /// Whether everything was well.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.failures.is_empty() && self.alarms.is_empty() && self.withheld == 0
    }

    /// For programs.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let counts = |counts: &BTreeMap<Alarm, u64>| -> BTreeMap<&str, u64> {
            counts.iter().map(|(alarm, count)| (alarm.name(), *count)).collect()
        };
        json!({
            "deliveries": self.deliveries,
            "acknowledged": self.acknowledged,
            "replied": self.replied,
            "failures": counts(&self.failures),
            "alarms": counts(&self.alarms),
            "withheld": self.withheld,
            "slowest_ms": self.slowest.as_secs_f64() * 1_000.0,
        })
    }
}

impl Default for Ledger {
    /// WeChat's own numbers: an alarm at 30 failures of a kind in 5 minutes; it never stops pushing.
    fn default() -> Self {
        Ledger {
            threshold: 30,
            window: Duration::from_secs(300),
            markfail: None,
            block: Duration::from_secs(60),
            failures: VecDeque::new(),
            blocked_until: None,
            report: Report::default(),
        }
    }
}

impl Ledger {
    /// An alarm at so many failures of a kind within the window.
    #[must_use]
    pub fn threshold(self, threshold: usize) -> Ledger {
        Ledger { threshold, ..self }
    }

    /// Stops pushing, for a minute, at so many failures of any kind within the window.
    #[must_use]
    pub fn markfail(self, failures: usize) -> Ledger {
        Ledger { markfail: Some(failures), ..self }
    }

    /// Another window than 5 minutes.
    #[must_use]
    pub fn window(self, window: Duration) -> Ledger {
        Ledger { window, ..self }
    }

    /// Stops pushing for another time than a minute.
    #[must_use]
    pub fn block(self, block: Duration) -> Ledger {
        Ledger { block, ..self }
    }

    /// Whether a message may be pushed now; if not, it is counted as withheld.
    pub fn may_push(&mut self, now: Instant) -> bool {
        let may = self.blocked_until.is_none_or(|until| now >= until);
        if !may {
            self.report.withheld += 1;
        }
        may
    }

    /// Enters a delivery.
    pub fn record(&mut self, now: Instant, verdict: &Verdict, took: Duration) {
        self.report.deliveries += 1;
        self.report.slowest = self.report.slowest.max(took);
        match verdict {
            Verdict::Acknowledged => self.report.acknowledged += 1,
            Verdict::Replied(_) => self.report.replied += 1,
            _ => {}
        }
        let Some(alarm) = verdict.alarm() else { return };
        *self.report.failures.entry(alarm).or_default() += 1;
        while self.failures.front().is_some_and(|(at, _)| now.duration_since(*at) > self.window) {
            self.failures.pop_front();
        }
        self.failures.push_back((now, alarm));
        let of_a_kind = self.failures.iter().filter(|(_, kind)| *kind == alarm).count();
        if of_a_kind.is_multiple_of(self.threshold) {
            *self.report.alarms.entry(alarm).or_default() += 1;
        }
        if self.markfail.is_some_and(|limit| self.failures.len() >= limit) {
            *self.report.alarms.entry(Alarm::MarkFail).or_default() += 1;
            self.blocked_until = Some(now + self.block);
            self.failures.clear();
        }
    }

    /// What happened until now.
    #[must_use]
    pub fn report(&self) -> Report {
        self.report.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fail(ledger: &mut Ledger, at: Instant, times: usize) {
        for _ in 0..times {
            ledger.record(at, &Verdict::RequestTimeout, Duration::from_secs(5));
        }
    }

    #[test]
    fn thirty_failures_of_a_kind_within_five_minutes_are_an_alarm() {
        let start = Instant::now();
        let mut ledger = Ledger::default();
        fail(&mut ledger, start, 29);
        ledger.record(start, &Verdict::ConnectTimeout, Duration::from_secs(3));
        assert!(ledger.report().alarms.is_empty(), "29 and 1 of another kind");
        fail(&mut ledger, start + Duration::from_secs(299), 1);
        assert_eq!(ledger.report().alarms[&Alarm::RequestTimeout], 1);
    }

    #[test]
    fn what_is_older_than_the_window_does_not_count() {
        let start = Instant::now();
        let mut ledger = Ledger::default();
        fail(&mut ledger, start, 29);
        fail(&mut ledger, start + Duration::from_secs(301), 29);
        assert!(ledger.report().alarms.is_empty());
        assert_eq!(ledger.report().failures[&Alarm::RequestTimeout], 58);
    }

    #[test]
    fn pushing_stops_for_a_minute_and_goes_on() {
        let start = Instant::now();
        let mut ledger = Ledger::default().markfail(5);
        fail(&mut ledger, start, 4);
        assert!(ledger.may_push(start));
        fail(&mut ledger, start, 1);
        assert_eq!(ledger.report().alarms[&Alarm::MarkFail], 1);
        assert!(!ledger.may_push(start + Duration::from_secs(59)));
        assert!(ledger.may_push(start + Duration::from_secs(60)));
        assert_eq!(ledger.report().withheld, 1);
        fail(&mut ledger, start + Duration::from_secs(60), 4);
        assert!(ledger.may_push(start + Duration::from_secs(60)), "the count began anew");
    }
}
