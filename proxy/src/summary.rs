//! The summary of a second: how many callbacks of each kind ended how, for the readers of the event stream.

use crate::account::Account;
use crate::events::Events;
use crate::outcome::Outcome;
use crate::upstream::Failure;
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The counts at the last summary, by account.
#[derive(Debug, Default)]
pub struct Summaries(HashMap<String, Vec<u64>>);

impl Summaries {
    /// Tells the readers of the event stream what happened since the last time.
    pub fn tell(&mut self, accounts: &[Arc<Account>], events: &Events) {
        self.0.retain(|name, _| accounts.iter().any(|account| account.config.name == *name));
        for account in accounts {
            if let Some(summary) = self.summary(account) {
                events.send("summary", Some(&account.config.name), summary);
            }
        }
    }

    /// What happened since the last one; nothing when nothing did.
    fn summary(&mut self, account: &Account) -> Option<Value> {
        let slowest_us = account.slowest_us.swap(0, Ordering::Relaxed);
        let kinds = wxedge_wechat::message::Kind::ALL;
        let counts: Vec<u64> = kinds
            .iter()
            .flat_map(|kind| {
                Outcome::ALL.map(|outcome| account.metrics.callbacks(*kind, outcome).get())
            })
            .collect();
        let last = self.0.insert(account.config.name.clone(), counts.clone());
        let last = last.unwrap_or_else(|| vec![0; counts.len()]);
        let mut by_outcome = Map::new();
        let mut by_kind = Map::new();
        for (place, now) in counts.iter().enumerate() {
            // An account that went and came back within the second counts from zero.
            let new = now.saturating_sub(last[place]);
            if new > 0 {
                let (kind, outcome) =
                    (kinds[place / Outcome::ALL.len()], Outcome::ALL[place % Outcome::ALL.len()]);
                add(&mut by_outcome, outcome.label(), new);
                add(&mut by_kind, kind.label(), new);
            }
        }
        if by_outcome.is_empty() {
            return None;
        }
        // Looked at after the outcomes: a failure is counted before its outcome is.
        let mut by_failure = Map::new();
        for (reason, fallen) in Failure::REASONS.iter().zip(account.fallen.iter()) {
            match fallen.swap(0, Ordering::Relaxed) {
                0 => {}
                new => add(&mut by_failure, reason, new),
            }
        }
        Some(json!({
            "outcomes": by_outcome,
            "kinds": by_kind,
            "failures": by_failure,
            "slowest_ms": slowest_us as f64 / 1_000.0,
        }))
    }
}

fn add(counts: &mut Map<String, Value>, label: &str, new: u64) {
    let count = counts.get(label).and_then(Value::as_u64).unwrap_or(0);
    counts.insert(label.to_owned(), (count + new).into());
}
