//! Entries of one account on their way to the app: which is tried next, and what follows from how that ends.
//!
//! Pure: no I/O, no clock, no randomness. What the queue holds is durable already; the caller makes the calls, keeps
//! what they lead to in the store, and tells the queue. Times are milliseconds of a monotonic clock.
//!
//! | event | what follows |
//! |---|---|
//! | an entry is added | its user's entries are tried in the order of ids, one at a time; no user waits for another |
//! | its first call still runs | it is leased: not tried before that call's end is told |
//! | an attempt fails | a pause that doubles, at least what `Retry-After` asks; a dead letter when it is too old |
//! | it failed 8 times for a fault of its own | its user no longer waits for it; it is tried on by itself |
//! | the app is back | nothing waits any more; one attempt at once, doubled by each success, halved by each failure |
//! | the circuit is open | the oldest entry is the probe, after 8 failures in a row the next oldest |
//! | the receiver has taken it | its place and its user's turn are free; it counts until the store has deleted it |
//!
//! Of what can be tried the oldest comes first. A million entries take about 100 bytes each.

mod agenda;
mod entry;
mod order;
mod pages;
mod probe;
mod restore;
mod terms;

pub use entry::Pending;
pub use order::Announced;
pub use restore::Restore;
pub use terms::{Failure, Terms, Verdict};

use agenda::Agenda;
use entry::{Entry, Lease};
use order::Order;
use pages::Pages;
use probe::Probe;
use std::collections::HashMap;

/// An entry to be tried now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// The entry.
    pub id: u64,
    /// Which call of it this is, counted from 1.
    pub attempt: u32,
}

/// The entries of one account that wait for one receiver.
pub struct Queue {
    terms: Terms,
    entries: Pages<u64, Entry>,
    /// What the receiver has taken and the store has not deleted yet: tried no more, but there.
    taken: HashMap<u64, Pending>,
    order: Order,
    agenda: Agenda,
    /// Of both.
    bytes: u64,
    /// Attempts that run.
    in_flight: usize,
    /// Attempts that may run at once until there is more trust in the app.
    ramp: usize,
    /// Successes so far. That it begins again at 0 some day does no harm.
    successes: u32,
    probe: Probe,
}

// A million entries.
crate::opaque!(Queue);

impl Queue {
    /// An empty queue; it is `now`.
    pub fn new(terms: Terms, now: u64) -> Queue {
        Queue {
            terms,
            entries: Pages::default(),
            taken: HashMap::new(),
            order: Order::default(),
            agenda: Agenda::new(now),
            bytes: 0,
            in_flight: 0,
            ramp: 1,
            successes: 0,
            probe: Probe::default(),
        }
    }

    /// Takes over a new configuration, for what happens from now on.
    pub fn configure(&mut self, terms: Terms) {
        self.terms = terms;
    }

    /// Whether new messages of this user have to go behind others.
    pub fn holds(&self, user: u64) -> bool {
        self.order.holds(user)
    }

    /// The write of an entry of this user is about to begin.
    pub fn announce(&mut self, user: u64) -> Announced {
        self.order.announce(user)
    }

    /// That write has failed, or was not begun.
    pub fn withdraw(&mut self, announced: Announced) {
        let user = self.order.ended(announced);
        self.offer(user);
    }

    /// An entry is durable. With `leased` its first call still runs; that call's end is to be told. A dead letter that
    /// is replayed is added like a new entry, with 0 failures: it is tried before younger ones of its user, but for one
    /// that is in flight. Says whether it was there already.
    pub fn add(&mut self, pending: Pending, leased: bool, announced: Option<Announced>) -> bool {
        if let Some(announced) = announced {
            self.withdraw(announced);
        }
        let id = pending.id;
        let known = self.taken.contains_key(&id) || self.entries.get(id).is_some();
        match self.entries.get(id) {
            // Read from the store while its write was being told; who wrote it has it in hand.
            Some(entry) if leased && entry.lease == Lease::None => drop(self.remove(id)),
            _ if known => return true,
            _ => {}
        }
        self.insert(pending, leased);
        known
    }

    fn insert(&mut self, pending: Pending, leased: bool) {
        let Pending { id, user, due, .. } = pending;
        let lease = if leased { Lease::FirstCall } else { Lease::None };
        let entry = Entry::new(&pending, lease, self.successes);
        let holds = entry.holds();
        self.bytes += u64::from(entry.bytes);
        self.entries.insert(id, entry);
        if !holds {
            if !leased {
                self.agenda.put(id, due);
            }
            return;
        }
        let head = self.order.head(user);
        self.order.insert(user, id);
        if leased {
            self.order.begin(user);
        } else if head.is_some_and(|head| head < id) {
            return;
        }
        // Whoever had the user's turn has lost it, or has it again.
        if let Some(head) = head
            && let Some(entry) = self.entries.get(head)
        {
            self.agenda.withdraw(head, entry.due);
        }
        self.offer(user);
    }

    /// The oldest entry that can be tried now. It is in flight until its end is told.
    pub fn take(&mut self, now: u64) -> Option<Attempt> {
        if self.is_full(self.ramp) {
            return None;
        }
        let id = self.agenda.take(now)?;
        self.begin(id)
    }

    /// The entry that an open circuit is probed with: the oldest, however long it would have to wait otherwise; after 8
    /// failures in a row the next oldest, so that no poisoned message keeps the circuit open.
    pub fn take_probe(&mut self, now: u64) -> Option<Attempt> {
        if self.is_full(self.terms.concurrency) {
            return None;
        }
        self.hasten(now);
        let id = self.probe.take(&mut self.agenda)?;
        self.begin(id)
    }

    /// When [`Queue::take`] has something next, if nothing else happens before.
    pub fn next_at(&self) -> Option<u64> {
        if self.is_full(self.ramp) { None } else { self.agenda.next_at() }
    }

    /// Whether no further attempt may begin: as many run as may, or the store has too many to delete.
    fn is_full(&self, ramp: usize) -> bool {
        self.in_flight >= ramp.min(self.terms.concurrency) || self.taken.len() >= self.terms.deletes
    }

    /// A first call, of a message that was never spooled, has succeeded: `count` of them. That is trust in the app, too: where
    /// the attempts that may run all hang, others follow.
    pub fn succeeded(&mut self, count: u32) {
        self.ramp = self.ramp.saturating_add(count as usize).min(self.terms.concurrency.max(1));
        self.successes = self.successes.wrapping_add(count);
    }

    /// The receiver has taken an entry in flight. It is not tried any more, whatever becomes of its row, and the next of its
    /// user may go.
    pub fn taken(&mut self, id: u64) {
        let Some(lease) = self.entries.get(id).map(|entry| entry.lease) else { return };
        if lease == Lease::Attempt {
            self.ramp = self.ramp.saturating_mul(2).min(self.terms.concurrency);
        }
        self.successes = self.successes.wrapping_add(1);
        if let Some(pending) = self.remove(id) {
            self.bytes += u64::from(pending.bytes);
            self.taken.insert(id, pending);
        }
    }

    /// The receiver has taken an entry, and the store has deleted it. Gives it, if it was still there.
    pub fn delivered(&mut self, id: u64) -> Option<Pending> {
        self.taken(id);
        self.remove(id)
    }

    /// The call of an entry in flight has failed. `jitter` is random. None if it is not in flight.
    pub fn failed(&mut self, id: u64, now: u64, failure: Failure, jitter: u32) -> Option<Verdict> {
        let successes = self.successes;
        let entry = self.entries.get(id).filter(|entry| entry.lease != Lease::None)?;
        let age = entry.age(now);
        if entry.lease == Lease::Attempt {
            self.ramp = (self.ramp / 2).max(1);
            self.probe.failed(id);
            if self.terms.gives_up(age, &failure) {
                return Some(Verdict::GiveUp);
            }
        }
        self.free(id);
        let entry = self.entries.get_mut(id)?;
        let held = entry.holds();
        if failure.counts && entry.successes != successes {
            entry.failures = entry.failures.saturating_add(1);
        }
        entry.successes = successes;
        let pause = self.terms.pause(entry.attempts, age, &failure, jitter);
        entry.due = now.saturating_add(pause);
        let Entry { due, attempts, failures, user, .. } = *entry;
        if held && !entry.holds() {
            self.order.remove(user, id);
        }
        self.place(id);
        Some(Verdict::Retry { due, attempts, failures })
    }

    /// The call of an entry in flight was given up, without an answer to judge: it can be tried again at once.
    pub fn release(&mut self, id: u64) {
        self.free(id);
        self.place(id);
    }

    /// An entry is dead, deleted or erased. If it was in flight, how that ends changes nothing any more.
    pub fn remove(&mut self, id: u64) -> Option<Pending> {
        if let Some(taken) = self.taken.remove(&id) {
            self.bytes -= u64::from(taken.bytes);
            return Some(taken);
        }
        self.free(id);
        let entry = self.entries.remove(id)?;
        self.bytes -= u64::from(entry.bytes);
        self.agenda.withdraw(id, entry.due);
        self.order.remove(entry.user, id);
        self.offer(entry.user);
        Some(entry.pending(id))
    }

    /// The same for an entry whose call number `attempt` still runs. None if it is not in flight, or with another call.
    pub fn remove_in_flight(&mut self, id: u64, attempt: u32) -> Option<Pending> {
        let entry = self.entries.get(id)?;
        let same = entry.lease != Lease::None && entry.attempts == attempt;
        if same { self.remove(id) } else { None }
    }

    /// The app is back: everything is due, and trust in it begins anew.
    pub fn pull(&mut self, now: u64) {
        self.hasten(now);
        self.ramp = 1;
        self.probe = Probe::default();
    }

    /// How many entries there are, those in flight and those that are being deleted included.
    pub fn len(&self) -> usize {
        self.entries.len() + self.taken.len()
    }

    /// Whether there is one that the receiver has not taken.
    pub fn has_untaken(&self) -> bool {
        self.entries.len() > 0
    }

    /// Whether there is nothing in it or on its way into it.
    pub fn is_idle(&self) -> bool {
        self.is_empty() && self.order.is_idle()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What all entries count against `spool.max_bytes`.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The age of the oldest entry that the receiver has not taken, in milliseconds.
    pub fn oldest(&self, now: u64) -> Option<u64> {
        let (_, entry) = self.entries.first()?;
        Some(u64::try_from(entry.age(now)).unwrap_or(0))
    }

    /// Attempts that run.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Whether the entry is here.
    pub fn contains(&self, id: u64) -> bool {
        self.entries.get(id).is_some() || self.taken.contains_key(&id)
    }

    /// The entry as it stands, unless the receiver has taken it.
    pub fn get(&self, id: u64) -> Option<Pending> {
        self.entries.get(id).map(|entry| entry.pending(id))
    }

    /// When the entry is due; nothing while it is in flight, or when it is taken.
    pub fn due(&self, id: u64) -> Option<u64> {
        self.entries.get(id).filter(|entry| entry.lease == Lease::None).map(|entry| entry.due)
    }

    /// An entry, out of the agenda already, is handed out.
    fn begin(&mut self, id: u64) -> Option<Attempt> {
        let entry = self.entries.get_mut(id)?;
        entry.lease = Lease::Attempt;
        entry.attempts = entry.attempts.saturating_add(1);
        self.in_flight += 1;
        if entry.holds() {
            self.order.begin(entry.user);
        }
        Some(Attempt { id, attempt: entry.attempts })
    }

    /// An entry is no longer in flight, if it was.
    fn free(&mut self, id: u64) {
        let Some(entry) = self.entries.get_mut(id) else { return };
        let lease = std::mem::replace(&mut entry.lease, Lease::None);
        if lease == Lease::Attempt {
            self.in_flight -= 1;
        }
        if lease != Lease::None && entry.holds() {
            self.order.end(entry.user);
        }
    }

    /// An entry that is not in flight can be tried when its turn comes.
    fn place(&mut self, id: u64) {
        let Some(entry) = self.entries.get(id) else { return };
        if !entry.holds() {
            self.agenda.put(id, entry.due);
        }
        self.offer(entry.user);
    }

    /// The user's oldest entry can be tried when it is due, if it is its turn.
    fn offer(&mut self, user: u64) {
        if let Some(id) = self.order.turn(user)
            && let Some(entry) = self.entries.get(id)
        {
            self.agenda.put(id, entry.due);
        }
    }

    /// Everything that waits is due.
    fn hasten(&mut self, now: u64) {
        for id in self.agenda.pull(now) {
            if let Some(entry) = self.entries.get_mut(id) {
                entry.due = now;
            }
        }
    }
}

#[cfg(test)]
mod tests;
