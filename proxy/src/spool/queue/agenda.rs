//! What can be tried now and what later: entries whose turn it is, each in one of two ordered sets.

use std::collections::BTreeSet;

/// Entries that are nobody's second and not in flight.
#[derive(Default)]
pub(super) struct Agenda {
    /// Ids of those that are due: the oldest comes first.
    ready: BTreeSet<u64>,
    /// The others by their due time.
    waiting: BTreeSet<(u64, u64)>,
    /// The latest time told.
    now: u64,
}

impl Agenda {
    /// `turns` are the ids of entries whose turn it is.
    pub(super) fn new(now: u64, turns: Vec<u64>) -> Agenda {
        Agenda { ready: turns.into_iter().collect(), waiting: BTreeSet::new(), now }
    }

    pub(super) fn put(&mut self, id: u64, due: u64) {
        if due <= self.now {
            self.ready.insert(id);
        } else {
            self.waiting.insert((due, id));
        }
    }

    /// Takes an entry out, wherever it is.
    pub(super) fn withdraw(&mut self, id: u64, due: u64) {
        if !self.ready.remove(&id) {
            self.waiting.remove(&(due, id));
        }
    }

    /// The oldest entry that is due.
    pub(super) fn take(&mut self, now: u64) -> Option<u64> {
        self.now = self.now.max(now);
        while let Some((due, id)) = self.waiting.first().copied().filter(|next| next.0 <= self.now)
        {
            self.waiting.remove(&(due, id));
            self.ready.insert(id);
        }
        self.ready.pop_first()
    }

    /// The oldest entry from `id` on that is due.
    pub(super) fn take_from(&mut self, id: u64) -> Option<u64> {
        let id = self.ready.range(id..).next().copied()?;
        self.ready.remove(&id);
        Some(id)
    }

    /// Nothing waits any more; gives the ids of those that did.
    pub(super) fn pull(&mut self, now: u64) -> impl Iterator<Item = u64> + use<> {
        self.now = self.now.max(now);
        let waiting = std::mem::take(&mut self.waiting);
        self.ready.extend(waiting.iter().map(|(_, id)| *id));
        waiting.into_iter().map(|(_, id)| id)
    }

    /// When there is something to take, at the latest time told if there is already.
    pub(super) fn next_at(&self) -> Option<u64> {
        if self.ready.is_empty() {
            return self.waiting.first().map(|(due, _)| *due);
        }
        Some(self.now)
    }
}
