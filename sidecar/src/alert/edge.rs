//! `proxy_down`: the admin API does not answer, two polls in a row. And since when all that happens is seen: without that,
//! silence means nothing.

use super::book::{Level, Sign};
use super::{Cause, Kind};
use crate::observation::Millis;
use serde::{Deserialize, Serialize};

/// Polls in a row without an answer.
const POLLS: u64 = 2;

/// What is seen of the edge.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Edge {
    /// The event stream is read.
    opened: bool,
    /// Since then nothing was missed.
    since: Option<Millis>,
    missed: Option<Missed>,
}

/// Polls that had no answer, since the last one that had.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Missed {
    first: Millis,
    last: Millis,
    count: u64,
    reason: String,
}

impl Edge {
    pub(super) fn stream(&mut self, at: Millis, opened: bool) {
        self.opened = opened;
        self.since = (opened && self.missed.is_none()).then_some(at);
    }

    /// Something was missed: events were lost, or nobody looked.
    pub(super) fn missed_something(&mut self, at: Millis) {
        self.since = self.since.map(|_| at);
    }

    pub(super) fn status(&mut self, at: Millis) {
        self.missed = None;
        if self.opened && self.since.is_none() {
            self.since = Some(at);
        }
    }

    pub(super) fn no_status(&mut self, at: Millis, reason: &str) {
        self.since = None;
        let missed = self.missed.get_or_insert_with(|| Missed {
            first: at,
            last: at,
            count: 0,
            reason: String::new(),
        });
        missed.last = at;
        missed.count += 1;
        reason.clone_into(&mut missed.reason);
    }

    /// Since when everything is seen; none while it is not.
    pub(super) fn seen_since(&self) -> Option<Millis> {
        self.since
    }

    pub(super) fn sign(&self) -> Option<Sign> {
        let missed = self.missed.as_ref()?;
        Some(Sign {
            kind: Kind::ProxyDown,
            account: None,
            level: if missed.count >= POLLS { Level::Firing } else { Level::Pending },
            severity: Kind::ProxyDown.severity(),
            cause: Cause::Proxy { reason: missed.reason.clone() },
            first: missed.first,
            last: missed.last,
            count: missed.count,
            window_s: (missed.last - missed.first).div_ceil(1000),
            example: None,
        })
    }
}
