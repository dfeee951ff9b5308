//! When who is told of what: changes are gathered into one message a burst, what still fires is repeated, what was told as
//! firing is told when it is over, and nothing is told twice.
//!
//! Pure. What fires is compared with what was told, so that nothing is lost by a restart, by a silence that ends, or by a change
//! that was missed.

use super::message::{Entry, Message, News};
use super::silence::Silences;
use crate::alert::{Alert, Change, Kind, Severity, State};
use crate::clock::millis;
use crate::limits;
use crate::observation::Millis;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// Of each kind there is one alert for an account, and one for what is nobody's: that bounds every map here.
type Key = (Kind, Option<String>);

/// An alert that was told as firing.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Told {
    /// When.
    at: Millis,
    /// As it was then, or at its end.
    alert: Alert,
}

/// What was told, and what is about to be.
#[derive(Debug)]
pub(super) struct Grouping {
    repeat: Duration,
    told: BTreeMap<Key, Told>,
    /// What fired and was over again before anybody was told.
    fleeting: BTreeMap<Key, Alert>,
    /// When what has been gathered goes out.
    due: Option<Millis>,
    pub(super) silences: Silences,
}

/// What is remembered over a restart.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Memory {
    told: Vec<Told>,
    fleeting: Vec<Alert>,
    silences: Silences,
}

impl Grouping {
    pub(super) fn new(repeat: Duration, memory: Memory, now: Millis) -> Grouping {
        // The wall clock may have gone back while nobody was here.
        let told = memory.told.into_iter().map(|told| Told { at: told.at.min(now), ..told });
        Grouping {
            repeat,
            told: told.map(|told| (key(&told.alert), told)).collect(),
            fleeting: memory.fleeting.into_iter().map(|alert| (key(&alert), alert)).collect(),
            due: None,
            silences: memory.silences,
        }
    }

    /// Has what still fires told once more: there is somebody who was not told.
    pub(super) fn tell_again(&mut self) {
        self.told.values_mut().for_each(|told| told.at = 0);
    }

    pub(super) fn memory(&self) -> Memory {
        Memory {
            told: self.told.values().cloned().collect(),
            fleeting: self.fleeting.values().cloned().collect(),
            silences: self.silences.clone(),
        }
    }

    /// Takes note of what [`Grouping::tick`] could not see: what is over, and how it was at its end.
    pub(super) fn changes(&mut self, changes: Vec<Change>) {
        for Change { alert, was } in changes {
            let key = key(&alert);
            match (alert.state, was) {
                (State::Firing, _) => {
                    self.fleeting.remove(&key);
                    if let Some(told) = self.told.get_mut(&key) {
                        told.alert.resolved = None;
                    }
                }
                (State::Resolved, Some(State::Firing)) => match self.told.get_mut(&key) {
                    Some(told) => told.alert = alert,
                    None => drop(self.fleeting.insert(key, alert)),
                },
                (State::Pending | State::Resolved, _) => {}
            }
        }
    }

    /// A message, when one is due. `firing` is all that fires now.
    pub(super) fn tick(&mut self, now: Millis, firing: &[&Alert]) -> Option<Message> {
        self.silences.end((now / 1000).cast_signed());
        let firing = firing.iter().filter(|alert| alert.state == State::Firing);
        let firing: BTreeMap<Key, &Alert> = firing.map(|alert| (key(alert), *alert)).collect();
        let news = self.news(now, &firing);
        let waits = news.iter().map(|entry| now + millis(wait(entry.alert.severity)));
        self.due = waits.chain(self.due).min();
        if self.due? > now {
            return None;
        }
        self.due = None;
        for entry in &news {
            self.note(now, entry);
        }
        Message::of(
            news.into_iter().filter(|entry| !self.silences.silenced(&entry.alert)).collect(),
        )
    }

    /// What would have to be told if a message went out now. What is over and silenced is in it, to be forgotten.
    fn news(&self, now: Millis, firing: &BTreeMap<Key, &Alert>) -> Vec<Entry> {
        let fires = firing.iter().filter_map(|(key, alert)| {
            let news = match self.told.get(key) {
                _ if self.silences.silenced(alert) => return None,
                None => News::Firing,
                Some(told) if alert.severity > told.alert.severity => News::Firing,
                Some(told) if now >= told.at + millis(self.repeat) => News::Still,
                Some(_) => return None,
            };
            Some(Entry { news, alert: (*alert).clone() })
        });
        let told = self.told.values().map(|told| &told.alert);
        let over = told.chain(self.fleeting.values());
        let over = over.filter(|alert| !firing.contains_key(&key(alert)));
        let over = over.map(|alert| Entry { news: News::Resolved, alert: ended(alert, now) });
        fires.chain(over).collect()
    }

    fn note(&mut self, now: Millis, entry: &Entry) {
        let key = key(&entry.alert);
        self.fleeting.remove(&key);
        match entry.news {
            News::Firing | News::Still => {
                // The example may be about a person, and is not told a second time.
                let alert = Alert { example: None, ..entry.alert.clone() };
                self.told.insert(key, Told { at: now, alert });
            }
            News::Resolved => drop(self.told.remove(&key)),
        }
    }
}

fn key(alert: &Alert) -> Key {
    (alert.kind, alert.account.clone())
}

/// From a change of this severity to the message.
fn wait(severity: Severity) -> Duration {
    match severity {
        Severity::Critical => limits::GROUP_WAIT_CRITICAL,
        Severity::High | Severity::Medium => limits::GROUP_WAIT,
    }
}

/// The alert as one that is over, also when nobody said so.
fn ended(alert: &Alert, now: Millis) -> Alert {
    let resolved = alert.resolved.or(Some((now / 1000).cast_signed()));
    Alert { state: State::Resolved, resolved, ..alert.clone() }
}

#[cfg(test)]
mod tests;
