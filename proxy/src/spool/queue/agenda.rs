//! What can be tried now and what later: entries whose turn it is, each in one of two ordered sets.

use super::pages::Pages;
use std::collections::BTreeSet;

/// Entries that are nobody's second and not in flight.
#[derive(Default)]
pub(super) struct Agenda {
    /// Ids of those that are due: the oldest comes first.
    ready: Pages<u64, ()>,
    /// The others by their due time.
    waiting: BTreeSet<(u64, u64)>,
    /// The latest time told.
    now: u64,
}

impl Agenda {
    /// It is `now`.
    pub(super) fn new(now: u64) -> Agenda {
        Agenda { now, ..Agenda::default() }
    }

    pub(super) fn put(&mut self, id: u64, due: u64) {
        if due <= self.now {
            self.ready.insert(id, ());
        } else {
            self.waiting.insert((due, id));
        }
    }

    /// Takes an entry out, wherever it is.
    pub(super) fn withdraw(&mut self, id: u64, due: u64) {
        if self.ready.remove(id).is_none() {
            self.waiting.remove(&(due, id));
        }
    }

    /// The oldest entry that is due.
    pub(super) fn take(&mut self, now: u64) -> Option<u64> {
        self.now = self.now.max(now);
        while let Some((due, id)) = self.waiting.first().copied().filter(|next| next.0 <= self.now)
        {
            self.waiting.remove(&(due, id));
            self.ready.insert(id, ());
        }
        self.take_from(0)
    }

    /// The oldest entry from `id` on that is due.
    pub(super) fn take_from(&mut self, id: u64) -> Option<u64> {
        let (id, ()) = *self.ready.from(id)?;
        self.ready.remove(id);
        Some(id)
    }

    /// Nothing waits any more; gives the ids of those that did.
    pub(super) fn pull(&mut self, now: u64) -> impl Iterator<Item = u64> + use<> {
        self.now = self.now.max(now);
        let waiting = std::mem::take(&mut self.waiting);
        for (_, id) in &waiting {
            self.ready.insert(*id, ());
        }
        waiting.into_iter().map(|(_, id)| id)
    }

    /// When there is something to take; the latest time told if there is already.
    pub(super) fn next_at(&self) -> Option<u64> {
        match self.ready.first() {
            Some(_) => Some(self.now),
            None => self.waiting.first().map(|(due, _)| *due),
        }
    }

    #[cfg(test)]
    pub(super) fn heap_bytes(&self) -> usize {
        self.ready.heap_bytes()
    }
}
