//! The order of each user's entries: whose turn it is.
//!
//! One entry of a user is in flight at a time, and it is the oldest; a write that is on its way may become an older
//! one than those that are here already.

use super::pages::Pages;
use std::collections::HashMap;

/// A write of an entry that is on its way. It ends with `Queue::add` or `Queue::withdraw`; until then it holds its user
/// back.
#[derive(Debug)]
#[must_use]
pub struct Announced {
    user: u64,
    ticket: u64,
}

/// The entries that hold their users back, by user and id.
#[derive(Default)]
pub(super) struct Order {
    entries: Pages<(u64, u64), ()>,
    /// Users with a call or a write on its way.
    busy: HashMap<u64, Busy>,
    /// Of the last write that was announced.
    ticket: u64,
}

#[derive(Default)]
struct Busy {
    in_flight: u32,
    /// Tickets of the writes on their way, the oldest first.
    announced: Vec<u64>,
    cleared: Option<Cleared>,
}

/// An entry has its turn once the writes announced up to a ticket have ended: later ones become younger entries. An
/// entry older than this one came with one of those writes, so it has to wait for no others.
struct Cleared {
    id: u64,
    ticket: u64,
}

impl Order {
    pub(super) fn insert(&mut self, user: u64, id: u64) {
        self.entries.insert((user, id), ());
    }

    pub(super) fn remove(&mut self, user: u64, id: u64) {
        self.entries.remove((user, id));
    }

    /// The user's oldest entry.
    pub(super) fn head(&self, user: u64) -> Option<u64> {
        let ((owner, id), ()) = *self.entries.from((user, 0))?;
        (owner == user).then_some(id)
    }

    /// The user's oldest entry, if it can be tried.
    pub(super) fn turn(&mut self, user: u64) -> Option<u64> {
        let id = self.head(user)?;
        let Some(busy) = self.busy.get_mut(&user) else { return Some(id) };
        if busy.in_flight > 0 {
            return None;
        }
        let ticket = match &busy.cleared {
            Some(cleared) if id <= cleared.id => cleared.ticket,
            _ => self.ticket,
        };
        busy.cleared = Some(Cleared { id, ticket });
        busy.announced.first().is_none_or(|first| *first > ticket).then_some(id)
    }

    /// No call and no write is on its way.
    pub(super) fn is_idle(&self) -> bool {
        self.busy.is_empty()
    }

    pub(super) fn holds(&self, user: u64) -> bool {
        self.busy.get(&user).is_some_and(|busy| !busy.announced.is_empty())
            || self.head(user).is_some()
    }

    pub(super) fn announce(&mut self, user: u64) -> Announced {
        self.busy.entry(user).or_default();
        // Whose turn it is, keeps it.
        let _turn = self.turn(user);
        self.ticket += 1;
        let ticket = self.ticket;
        self.busy.entry(user).or_default().announced.push(ticket);
        Announced { user, ticket }
    }

    /// The write has ended. Gives whose it was.
    pub(super) fn ended(&mut self, announced: Announced) -> u64 {
        let Announced { user, ticket } = announced;
        self.update(user, |busy| busy.announced.retain(|other| *other != ticket));
        user
    }

    /// An entry of the user is in flight.
    pub(super) fn begin(&mut self, user: u64) {
        self.update(user, |busy| busy.in_flight += 1);
    }

    /// It no longer is.
    pub(super) fn end(&mut self, user: u64) {
        self.update(user, |busy| busy.in_flight = busy.in_flight.saturating_sub(1));
    }

    fn update(&mut self, user: u64, change: impl FnOnce(&mut Busy)) {
        let busy = self.busy.entry(user).or_default();
        change(busy);
        if busy.in_flight == 0 && busy.announced.is_empty() {
            self.busy.remove(&user);
        }
    }

    #[cfg(test)]
    pub(super) fn heap_bytes(&self) -> usize {
        self.entries.heap_bytes()
    }
}
