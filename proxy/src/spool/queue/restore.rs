//! The queue at start: what the store holds, sorted once instead of put in one by one.

use super::agenda::Agenda;
use super::entry::{Entry, Lease, Pending};
use super::order::Order;
use super::pages::Pages;
use super::{Queue, Terms};

/// A queue that is being filled with what the store holds.
pub struct Restore {
    now: u64,
    entries: Pages<u64, Entry>,
    bytes: u64,
    /// Users and ids of those that hold their users back.
    held: Vec<(u64, u64)>,
    /// Ids of the others.
    loose: Vec<u64>,
    /// Those that are not due.
    later: Vec<u64>,
}

// A million entries.
crate::opaque!(Restore);

impl Restore {
    /// Nothing yet; it is `now`.
    pub fn new(now: u64) -> Restore {
        let (held, loose, later) = (Vec::new(), Vec::new(), Vec::new());
        Restore { now, entries: Pages::default(), bytes: 0, held, loose, later }
    }

    /// One entry more; fastest in the order of ids.
    pub fn push(&mut self, pending: Pending) {
        let Pending { id, user, due, bytes, .. } = pending;
        let entry = Entry::new(&pending, Lease::None, 0);
        self.bytes += u64::from(bytes);
        if entry.holds() {
            self.held.push((user, id));
        } else {
            self.loose.push(id);
        }
        if due > self.now {
            self.later.push(id);
        }
        self.entries.insert(id, entry);
    }

    /// The entries so far.
    pub fn iter(&self) -> impl Iterator<Item = Pending> {
        self.entries.iter().map(|(id, entry)| entry.pending(*id))
    }

    /// All of them are there.
    pub fn finish(self, terms: Terms) -> Queue {
        let Restore { now, entries, bytes, mut held, loose: mut turns, mut later } = self;
        held.sort_unstable();
        let users = held.chunk_by(|one, other| one.0 == other.0);
        turns.extend(users.filter_map(|user| user.first()).map(|(_, id)| *id));
        turns.sort_unstable();
        later.sort_unstable();
        let mut order = Order::default();
        for (user, id) in held {
            order.insert(user, id);
        }
        let mut agenda = Agenda::new(now);
        for id in turns {
            let due = match later.binary_search(&id) {
                Ok(_) => entries.get(id).map_or(now, |entry| entry.due),
                Err(_) => now,
            };
            agenda.put(id, due);
        }
        Queue { entries, order, agenda, bytes, ..Queue::new(terms, now) }
    }
}
