//! The one state machine of all alerts: inactive, pending, firing, resolved for 15 minutes, gone.
//!
//! The rules say every second what they see; a rule that goes on seeing says so again. What changes is told once. What is
//! pending is shown and, when nothing comes of it, forgotten without a word. While a resolved alert is shown, another of its
//! key takes its place only by firing; it is a new one then.

use super::kind::{Kind, Severity};
use super::{Alert, Cause, Change, Example, State, pairs};
use crate::observation::Millis;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a resolved alert is shown.
const SHOWN: Duration = Duration::from_mins(15);

/// There is one alert of a kind for an account.
type Key = (Kind, Option<String>);

/// How sure a rule is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    /// Seen, and not yet long or often enough.
    Pending,
    /// It is so.
    Firing,
}

/// What speaks for an alert. Several may speak for the same.
#[derive(Debug, Clone)]
pub(super) struct Sign {
    pub(super) kind: Kind,
    pub(super) account: Option<String>,
    pub(super) level: Level,
    pub(super) severity: Severity,
    pub(super) cause: Cause,
    /// First and last occurrence.
    pub(super) first: Millis,
    pub(super) last: Millis,
    /// Occurrences in that window; one of 0 s is now.
    pub(super) count: u64,
    pub(super) window_s: u64,
    pub(super) example: Option<Example>,
}

/// What an account is called.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Names {
    pub(super) appid: String,
    pub(super) nickname: String,
}

/// All alerts there are.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Book {
    #[serde(with = "pairs")]
    alerts: BTreeMap<Key, Alert>,
}

impl Book {
    /// Takes what all rules see now, and says what that changes. `ahead` is how far `now` and the signs' times are ahead of
    /// the wall clock.
    pub(super) fn take(
        &mut self,
        now: Millis,
        ahead: Millis,
        signs: Vec<Sign>,
        names: &BTreeMap<String, Names>,
    ) -> Vec<Change> {
        let unix = |at: Millis| i64::try_from(at.saturating_sub(ahead) / 1000).unwrap_or(i64::MAX);
        let mut signs = merged(signs);
        let mut changes = Vec::new();
        self.alerts.retain(|key, alert| {
            let sign = signs.remove(key);
            let was = alert.state;
            match (was, sign) {
                (State::Pending, None) => return false,
                (State::Pending | State::Firing, Some(sign)) => refresh(alert, sign, unix),
                (State::Firing, None) => {
                    alert.state = State::Resolved;
                    alert.resolved = Some(unix(now));
                }
                (State::Resolved, Some(sign)) if sign.level == Level::Firing => {
                    *alert = opened(sign, unix);
                    name(alert, names);
                    changes.push(Change { alert: alert.clone(), was: None });
                    return true;
                }
                (State::Resolved, _) => {
                    let since = alert.resolved.unwrap_or(0);
                    return unix(now).saturating_sub(since) < SHOWN.as_secs().cast_signed();
                }
            }
            name(alert, names);
            if alert.state != was {
                changes.push(Change { alert: alert.clone(), was: Some(was) });
            }
            true
        });
        for (key, sign) in signs {
            let mut alert = opened(sign, unix);
            name(&mut alert, names);
            changes.push(Change { alert: alert.clone(), was: None });
            self.alerts.insert(key, alert);
        }
        changes
    }

    /// All that are shown, the worst first.
    pub(super) fn alerts(&self) -> Vec<&Alert> {
        let mut alerts: Vec<&Alert> = self.alerts.values().collect();
        let rank = |state| match state {
            State::Firing => 0,
            State::Pending => 1,
            State::Resolved => 2,
        };
        // Sorting keeps the order of kinds and accounts where these are the same.
        alerts.sort_by_key(|alert| (rank(alert.state), std::cmp::Reverse(alert.severity)));
        alerts
    }
}

/// One sign of each key: the surest, of these the worst, of these the first; with the times of all.
fn merged(signs: Vec<Sign>) -> BTreeMap<Key, Sign> {
    let mut merged: BTreeMap<Key, Sign> = BTreeMap::new();
    for sign in signs {
        let key = (sign.kind, sign.account.clone());
        let Some(other) = merged.remove(&key) else {
            merged.insert(key, sign);
            continue;
        };
        let worth = |sign: &Sign| (sign.level, sign.severity, std::cmp::Reverse(sign.first));
        let (mut best, less) =
            if worth(&sign) > worth(&other) { (sign, other) } else { (other, sign) };
        // What is only pending says nothing about since when the other fires.
        if best.level == less.level {
            best.first = best.first.min(less.first);
        }
        best.last = best.last.max(less.last);
        best.example = best.example.or(less.example);
        merged.insert(key, best);
    }
    merged
}

fn opened(sign: Sign, unix: impl Fn(Millis) -> i64) -> Alert {
    Alert {
        kind: sign.kind,
        severity: sign.severity,
        state: match sign.level {
            Level::Pending => State::Pending,
            Level::Firing => State::Firing,
        },
        account: sign.account,
        appid: None,
        nickname: None,
        time: unix(sign.first),
        last: unix(sign.last),
        resolved: None,
        cause: sign.cause,
        count: sign.count,
        window_s: sign.window_s,
        example: sign.example,
    }
}

/// What the sign says now. What fires goes on to: it is over when nothing speaks for it any more.
fn refresh(alert: &mut Alert, sign: Sign, unix: impl Fn(Millis) -> i64) {
    alert.last = alert.last.max(unix(sign.last));
    if alert.state == State::Firing && sign.level == Level::Pending {
        return;
    }
    alert.state = match sign.level {
        Level::Pending => State::Pending,
        Level::Firing => State::Firing,
    };
    alert.severity = sign.severity;
    alert.example = sign.example.or(alert.example.take());
    if sign.count == 0 {
        // Nothing new since long: what was counted last says more.
        alert.cause.keep_up(&sign.cause);
        return;
    }
    alert.cause = sign.cause;
    alert.count = sign.count;
    alert.window_s = sign.window_s;
}

fn name(alert: &mut Alert, names: &BTreeMap<String, Names>) {
    // Of an account that is gone the names stay.
    if let Some(names) = alert.account.as_ref().and_then(|account| names.get(account)) {
        let given = |name: &String| (!name.is_empty()).then(|| name.clone());
        (alert.appid, alert.nickname) = (given(&names.appid), given(&names.nickname));
    }
}
