//! The last hour, for the picture on the console: how callbacks ended and how long the slowest took, minute by minute.

use crate::edge::event::Summary;
use crate::observation::Millis;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, VecDeque};

/// Minutes that are shown.
const MINUTES: usize = 60;
/// Accounts that are shown: the edge says which there are, so this is only a bound.
const ACCOUNTS: usize = 1_000;
const MINUTE_MS: u64 = 60_000;

/// The last hour of every account.
#[derive(Debug, Default)]
pub struct History(BTreeMap<String, VecDeque<Minute>>);

/// A minute in which something happened.
#[derive(Debug)]
struct Minute {
    /// Minutes since 1970.
    number: u64,
    outcomes: BTreeMap<String, u64>,
    slowest_ms: f64,
}

impl History {
    /// Counts a second.
    pub fn add(&mut self, at: Millis, summary: &Summary) {
        if self.0.len() >= ACCOUNTS && !self.0.contains_key(&summary.account) {
            return;
        }
        let number = at / MINUTE_MS;
        let minutes = self.0.entry(summary.account.clone()).or_default();
        if minutes.back().is_none_or(|last| last.number != number) {
            minutes.push_back(Minute { number, outcomes: BTreeMap::new(), slowest_ms: 0.0 });
        }
        let first = (number + 1).saturating_sub(MINUTES as u64);
        while minutes.front().is_some_and(|oldest| oldest.number < first) {
            minutes.pop_front();
        }
        if let Some(minute) = minutes.back_mut() {
            for (outcome, count) in &summary.outcomes {
                *minute.outcomes.entry(outcome.clone()).or_default() += count;
            }
            minute.slowest_ms = minute.slowest_ms.max(summary.slowest_ms);
        }
    }

    /// Forgets accounts of which nothing was heard for an hour.
    pub fn forget(&mut self, now: Millis) {
        let first = (now / MINUTE_MS + 1).saturating_sub(MINUTES as u64);
        self.0.retain(|_, minutes| minutes.back().is_some_and(|last| last.number >= first));
    }

    /// `{"step_s","from","accounts":{name:{"outcomes":{name:[…]},"slowest_ms":[…]}}}`, oldest minute first, the running one last.
    pub fn to_json(&self, now: Millis) -> Value {
        let first = (now / MINUTE_MS + 1).saturating_sub(MINUTES as u64);
        let accounts: Map<String, Value> = self
            .0
            .iter()
            .map(|(account, minutes)| (account.clone(), rows(minutes, first)))
            .collect();
        json!({"step_s": 60, "from": first * 60, "accounts": accounts})
    }
}

fn rows(minutes: &VecDeque<Minute>, first: u64) -> Value {
    let mut slowest = vec![0.0; MINUTES];
    let mut outcomes: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for minute in minutes {
        let place = minute.number.checked_sub(first).and_then(|place| usize::try_from(place).ok());
        let Some(place) = place.filter(|place| *place < MINUTES) else { continue };
        slowest[place] = minute.slowest_ms;
        for (outcome, count) in &minute.outcomes {
            outcomes.entry(outcome).or_insert_with(|| vec![0; MINUTES])[place] = *count;
        }
    }
    json!({"outcomes": outcomes, "slowest_ms": slowest})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(outcome: &str, count: u64, slowest_ms: f64) -> Summary {
        let outcomes = BTreeMap::from([(outcome.to_owned(), count)]);
        Summary { account: "main".to_owned(), outcomes, slowest_ms, ..Summary::default() }
    }

    #[test]
    fn minutes_add_up_and_the_oldest_goes() {
        const BEGIN: Millis = 1_700_000_040_000;
        let mut history = History::default();
        history.add(BEGIN, &summary("replied", 2, 5.0));
        history.add(BEGIN + 59_000, &summary("replied", 3, 4.0));
        history.add(BEGIN + 60_000, &summary("fallback_error", 1, 9.5));
        let shown = history.to_json(BEGIN + 60_000);
        let main = &shown["accounts"]["main"];
        assert_eq!(
            (main["outcomes"]["replied"][58].as_u64(), shown["step_s"].as_u64()),
            (Some(5), Some(60))
        );
        assert_eq!(main["outcomes"]["fallback_error"][59], 1);
        assert_eq!(
            (main["slowest_ms"][58].as_f64(), main["slowest_ms"][59].as_f64()),
            (Some(5.0), Some(9.5))
        );
        assert_eq!(shown["from"].as_u64(), Some((BEGIN / 60_000 - 58) * 60));

        let later = history.to_json(BEGIN + 60 * 60_000);
        assert_eq!(later["accounts"]["main"]["outcomes"]["replied"], Value::Null);
        assert_eq!(later["accounts"]["main"]["outcomes"]["fallback_error"][0], 1);
    }

    #[test]
    fn an_account_that_is_gone_is_forgotten_in_an_hour() {
        let mut history = History::default();
        history.add(0, &summary("replied", 1, 1.0));
        history.forget(59 * 60_000);
        assert_eq!(history.0.len(), 1);
        history.forget(60 * 60_000);
        assert_eq!(history.0.len(), 0);
    }

    #[test]
    fn it_holds_an_hour_and_not_more() {
        let mut history = History::default();
        for minute in 0..1_000 {
            history.add(minute * 60_000, &summary("replied", 1, 1.0));
        }
        assert_eq!(history.0["main"].len(), MINUTES);
    }
}
