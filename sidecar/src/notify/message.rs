//! What one message is about, before it has words.

use crate::alert::{Alert, Severity, State};
use crate::limits;
use serde::{Deserialize, Serialize};

/// Why an alert is in a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum News {
    /// It fires.
    Firing,
    /// It fires still; that was told a while ago.
    Still,
    /// It is over.
    Resolved,
}

/// An alert in a message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// Why.
    pub(super) news: News,
    /// The alert, as it was then.
    pub(super) alert: Alert,
}

/// All that a burst of changes has come to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Message {
    /// The worst first, what is over last; at most [`limits::MESSAGE_ALERTS`].
    pub(super) entries: Vec<Entry>,
    /// How many fire, also those that found no room.
    pub(super) firing: usize,
    /// How many are over, also those that found no room.
    pub(super) resolved: usize,
}

impl Message {
    /// Of at least one entry.
    pub(super) fn of(mut entries: Vec<Entry>) -> Option<Message> {
        if entries.is_empty() {
            return None;
        }
        entries.sort_by(|a, b| {
            let (x, y) = (&a.alert, &b.alert);
            (a.news.cmp(&b.news))
                .then(y.severity.cmp(&x.severity))
                .then(x.kind.cmp(&y.kind))
                .then(x.account.cmp(&y.account))
        });
        let resolved = entries.iter().filter(|entry| entry.news == News::Resolved).count();
        let firing = entries.len() - resolved;
        entries.truncate(limits::MESSAGE_ALERTS);
        Some(Message { entries, firing, resolved })
    }

    /// How many found no room.
    pub(super) fn omitted(&self) -> usize {
        self.firing + self.resolved - self.entries.len()
    }

    /// The severity of the worst that fires; none when all is over.
    pub(super) fn severity(&self) -> Option<Severity> {
        let firing = self.entries.iter().filter(|entry| entry.alert.state == State::Firing);
        firing.map(|entry| entry.alert.severity).max()
    }
}
