//! `markfail`: WeChat is believed to have stopped pushing an account's callbacks. `markfail_risk`: failures that WeChat can
//! see are at 80 % of what it alarms at. Both as [`crate::markfail`] believes; here it is told what happens in each second.

use super::book::{Level, Sign};
use super::{Cause, Kind};
use crate::config;
use crate::edge::event::{Failure, Summary};
use crate::markfail::{Detector, Second, State};
use crate::observation::Millis;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Outcomes that WeChat sees as a failure.
const VISIBLE: [&str; 4] = ["unavailable", "held", "client_gone", "rejected_timeout"];
/// WeChat waits this long.
const LATE_MS: f64 = 5000.0;
const RISK_PERCENT: u64 = 80;

/// An account's callbacks as WeChat pushes them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Pushing {
    detector: Detector,
    /// Of the second that goes on.
    arrivals: u64,
    visible: u64,
    last: Millis,
    /// WeChat's addresses. Fetched again after a restart.
    #[serde(skip)]
    addresses: Vec<IpNet>,
}

impl Pushing {
    pub(super) fn new(terms: &config::MarkFail) -> Pushing {
        let detector = Detector::new(terms);
        Pushing { detector, arrivals: 0, visible: 0, last: 0, addresses: Vec::new() }
    }

    /// Goes by other terms.
    pub(super) fn configure(&mut self, terms: &config::MarkFail) {
        self.detector.configure(terms);
    }

    pub(super) fn summary(&mut self, summary: &Summary) {
        let total: u64 = summary.outcomes.values().sum();
        let rejected = summary.outcomes.iter().filter(|(name, _)| name.starts_with("rejected_"));
        let rejected: u64 = rejected.map(|(_, n)| n).sum();
        self.arrivals += total.saturating_sub(rejected + summary.outcome("verified"));
        let visible: u64 = VISIBLE.iter().map(|outcome| summary.outcome(outcome)).sum();
        // The slowest is one of those, if there are any.
        let late = visible == 0 && summary.slowest_ms >= LATE_MS;
        self.visible += visible + u64::from(late);
    }

    /// What WeChat sent and was refused: of anybody else's it knows nothing.
    pub(super) fn failure(&mut self, failure: &Failure) {
        let counted = VISIBLE.contains(&failure.outcome.as_str());
        if failure.outcome.starts_with("rejected_") && self.is_wechat(failure.peer) {
            self.arrivals += 1;
            self.visible += u64::from(!counted);
        }
    }

    /// The public URL does not work: WeChat sees that as well.
    pub(super) fn failed_probe(&mut self) {
        self.visible += 1;
    }

    pub(super) fn addresses(&mut self, list: &[String]) {
        let parse =
            |text: &String| text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).ok();
        self.addresses = list.iter().filter_map(parse).collect();
    }

    fn is_wechat(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.addresses.iter().any(|net| net.contains(&peer))
    }

    /// The second that began at `at`, by the wall clock, is over.
    pub(super) fn second(&mut self, at: Millis, known: bool) {
        let (arrivals, visible) = (self.arrivals, self.visible);
        (self.arrivals, self.visible) = (0, 0);
        self.last = at;
        self.detector.second(Second { at, known, arrivals, visible });
    }

    pub(super) fn state(&self) -> State {
        self.detector.state()
    }

    /// `ahead` is how far the other signs' times are ahead of the wall clock.
    pub(super) fn signs(
        &self,
        account: &str,
        terms: &config::MarkFail,
        ahead: Millis,
    ) -> Vec<Sign> {
        let evidence = self.detector.evidence();
        let sign = |kind: Kind, cause, count, window_s| Sign {
            kind,
            account: Some(account.to_owned()),
            level: Level::Firing,
            severity: kind.severity(),
            cause,
            first: evidence.since + ahead,
            last: self.last + ahead,
            count,
            window_s,
            example: None,
        };
        let mut signs = Vec::new();
        let (visible, threshold) = (evidence.visible, u64::from(terms.visible_failures));
        let suspected = self.state() == State::Suspected;
        // A risk that came true is not over.
        let risk = suspected && visible * 100 >= threshold * RISK_PERCENT;
        if risk || self.state() == State::AtRisk {
            let window_s = terms.window.as_secs();
            let cause = Cause::MarkFailRisk { visible, threshold, window_s };
            signs.push(sign(Kind::MarkFailRisk, cause, visible, window_s));
        }
        if suspected {
            let silent_s = evidence.silent_s as u64;
            let usual_per_minute = evidence.usual_per_s * 60.0;
            let cause = Cause::MarkFail { silent_s, usual_per_minute, visible };
            signs.push(sign(Kind::MarkFail, cause, 1, 0));
        }
        signs
    }
}
