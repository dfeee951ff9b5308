//! What has to hold, whatever the schedule: the judge keeps books of its own, simple and slow, and compares.

use super::super::{Attempt, Failure, Pending, Queue, Terms, Verdict};
use std::collections::{BTreeMap, BTreeSet};

const DAY: u64 = 24 * 3_600_000;

/// Who calls the app with an entry.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Flight {
    First,
    Attempt,
    /// Over: the app has it, and its row is being deleted.
    Taken,
}

/// An entry that is durable.
#[derive(Debug)]
pub(super) struct Known {
    /// As the store has it.
    pub(super) stored: Pending,
    /// Calls begun since.
    calls: u32,
    flight: Option<Flight>,
    /// Others succeeded since it failed last.
    others: bool,
    /// The queue has been told of it.
    added: bool,
}

impl Known {
    fn holds(&self) -> bool {
        self.stored.failures < 8
    }
}

pub(super) struct Judge {
    pub(super) terms: Terms,
    pub(super) now: u64,
    pub(super) entries: BTreeMap<u64, Known>,
    /// Users of the writes on their way, durable or not.
    pub(super) writes: Vec<u64>,
    ramp: usize,
    /// When the open circuit was last probed, with whom, and how often that one failed since another was.
    probed: Option<u64>,
    probe: Option<(u64, u32)>,
    /// A probe gave way to a younger one since the circuit was last closed.
    gave_way: bool,
    /// What has happened, so that a schedule that tests nothing is found out.
    pub(super) seen: BTreeSet<&'static str>,
}

impl Judge {
    pub(super) fn new(terms: Terms) -> Judge {
        Judge {
            terms,
            now: 0,
            entries: BTreeMap::new(),
            writes: Vec::new(),
            ramp: 1,
            probed: None,
            probe: None,
            gave_way: false,
            seen: BTreeSet::new(),
        }
    }

    /// The store has written an entry; its id is the greatest so far, unless it is replayed.
    pub(super) fn durable(&mut self, stored: Pending) {
        let known = Known { stored, calls: 0, flight: None, others: false, added: false };
        assert!(self.entries.insert(stored.id, known).is_none());
    }

    pub(super) fn added(&mut self, id: u64, leased: bool) {
        let known = self.entries.get_mut(&id).unwrap();
        known.added = true;
        known.flight = leased.then_some(Flight::First);
        known.others = false;
    }

    /// What the store holds when the process starts.
    pub(super) fn restarted(&mut self) -> Vec<Pending> {
        self.seen.insert("restart");
        self.writes.clear();
        (self.ramp, self.probed, self.probe, self.gave_way) = (1, None, None, false);
        for known in self.entries.values_mut() {
            (known.calls, known.flight, known.others, known.added) = (0, None, false, true);
        }
        self.entries.values().map(|known| known.stored).collect()
    }

    pub(super) fn flight(&self, id: u64) -> Option<Flight> {
        self.entries.get(&id)?.flight
    }

    fn in_flight(&self) -> usize {
        self.entries.values().filter(|known| known.flight == Some(Flight::Attempt)).count()
    }

    pub(super) fn has_room(&self) -> bool {
        self.in_flight() < self.ramp.min(self.terms.concurrency) && self.can_delete()
    }

    /// Whether the store has not too many to delete.
    fn can_delete(&self) -> bool {
        let taken = self.entries.values().filter(|known| known.flight == Some(Flight::Taken));
        taken.count() < self.terms.deletes
    }

    /// The entries that the app does not have, for all that is known.
    fn untaken(&self) -> impl Iterator<Item = (&u64, &Known)> {
        self.entries.iter().filter(|(_, known)| known.flight != Some(Flight::Taken))
    }

    /// The entries whose turn it is, oldest first; when they are due is another question.
    fn turns(&self) -> Vec<u64> {
        let mut blocked = BTreeSet::new();
        for known in self.untaken().map(|(_, known)| known).filter(|known| known.holds()) {
            if known.flight.is_some() {
                blocked.insert(known.stored.user);
            }
        }
        let turn = |(id, known): (&u64, &Known)| {
            let turn = !known.holds() || blocked.insert(known.stored.user);
            (turn && known.added && known.flight.is_none()).then_some(*id)
        };
        self.untaken().filter_map(turn).collect()
    }

    /// Those of them that nothing on its way may turn out to be older than.
    fn sure(&self) -> Vec<u64> {
        let sure = |id: &u64| !self.writes.contains(&self.entries[id].stored.user);
        self.turns().into_iter().filter(sure).collect()
    }

    fn due(&self, id: u64) -> bool {
        self.entries[&id].stored.due <= self.now
    }

    pub(super) fn took(&mut self, taken: Option<Attempt>) {
        if !self.has_room() {
            assert_eq!(taken, None, "more at once than there may be");
            self.seen.insert("no room");
            return;
        }
        let must = self.sure().into_iter().find(|id| self.due(*id));
        let Some(attempt) = taken else {
            return assert_eq!(must, None, "left, though it could be tried");
        };
        assert!(self.due(attempt.id), "{} is not due", attempt.id);
        assert!(must.is_none_or(|must| attempt.id <= must), "{} before {must:?}", attempt.id);
        self.began(attempt);
    }

    pub(super) fn took_probe(&mut self, taken: Option<Attempt>, queue: &Queue) {
        let apart = self.probed.replace(self.now).map_or(u64::MAX, |last| self.now - last);
        assert!(apart >= 1_000, "probed again after {apart} ms");
        if self.in_flight() >= self.terms.concurrency || !self.can_delete() {
            return assert_eq!(taken, None, "more at once than there may be");
        }
        self.hastened(queue);
        let others = self.sure();
        let Some(attempt) = taken else {
            return assert!(others.is_empty(), "the circuit could be probed with {others:?}");
        };
        self.seen.insert("probe");
        match &mut self.probe {
            Some((id, failures)) if *id == attempt.id => {
                if *failures >= 8 {
                    let alone = others.iter().all(|other| *other == attempt.id);
                    assert!(alone, "a probe that gives way to none of {others:?}");
                    *failures = 0;
                }
            }
            _ => {
                self.gave_way |= self.probe.is_some_and(|(_, failures)| failures >= 8);
                self.probe = Some((attempt.id, 0));
            }
        }
        if self.gave_way {
            self.seen.insert("gave way");
        } else {
            assert!(others.iter().all(|other| attempt.id <= *other), "not the oldest");
        }
        self.began(attempt);
    }

    fn began(&mut self, Attempt { id, attempt }: Attempt) {
        assert!(self.turns().contains(&id), "{id} in its user's way: {:?}", self.entries);
        let known = self.entries.get_mut(&id).unwrap();
        known.calls += 1;
        assert_eq!(attempt, known.stored.attempts + known.calls);
        known.flight = Some(Flight::Attempt);
        if !known.holds() {
            self.seen.insert("holds nobody");
        }
    }

    pub(super) fn succeeded(&mut self, count: u32) {
        self.ramp = (self.ramp + count as usize).min(self.terms.concurrency.max(1));
        self.others_succeeded();
    }

    fn others_succeeded(&mut self) {
        self.entries.values_mut().for_each(|known| known.others = true);
    }

    /// The app has it.
    pub(super) fn taken(&mut self, id: u64) {
        let known = self.entries.get_mut(&id).unwrap();
        if known.flight.replace(Flight::Taken) == Some(Flight::Attempt) {
            self.ramp = (self.ramp * 2).min(self.terms.concurrency);
        }
        self.others_succeeded();
    }

    /// Its row is gone, too.
    pub(super) fn delivered(&mut self, id: u64, delivered: Option<Pending>) {
        assert!(delivered.is_some_and(|pending| pending.id == id));
        self.entries.remove(&id);
        self.seen.insert("delivered");
    }

    pub(super) fn failed(&mut self, id: u64, failure: Failure, verdict: Option<Verdict>) {
        let now = self.now;
        let Some(known) = self.entries.get_mut(&id) else {
            return assert_eq!(verdict, None, "an entry that is gone");
        };
        let flight = known.flight.expect("only calls that run end");
        if flight == Flight::Attempt {
            self.ramp = (self.ramp / 2).max(1);
            if let Some((_, failures)) = self.probe.as_mut().filter(|(probe, _)| *probe == id) {
                *failures += 1;
            }
        }
        let most = failure.at_most_ms.unwrap_or(DAY).min(self.terms.give_up_after_ms);
        let age = now as i64 - known.stored.received_at;
        let old = age >= most as i64 && flight == Flight::Attempt;
        let (due, attempts, failures) = match verdict.expect("it is in flight") {
            Verdict::GiveUp => {
                assert!(old, "given up at {age} ms");
                self.seen.insert("given up");
                return;
            }
            Verdict::Retry { due, attempts, failures } => (due, attempts, failures),
        };
        assert!(!old, "tried again at {age} ms");
        assert_eq!(attempts, known.stored.attempts + known.calls);
        let own = u32::from(failure.counts && known.others);
        assert_eq!(failures, known.stored.failures + own);
        let asked = failure.retry_after_ms.unwrap_or(0).min(DAY);
        let mut whole = self.terms.retry_min_ms;
        for _ in 1..attempts {
            whole = (whole * 2).min(self.terms.retry_max_ms);
        }
        let last = u64::try_from(most as i64 - age).unwrap_or(0).max(self.terms.retry_min_ms);
        let (least, longest) = ((whole / 2).min(last), whole.min(last));
        let pause = due - now;
        assert!((least.max(asked)..=longest.max(asked)).contains(&pause), "a pause of {pause} ms");
        known.stored = Pending { due, attempts, failures, ..known.stored };
        (known.calls, known.flight, known.others) = (0, None, false);
        self.seen.insert("retry");
    }

    pub(super) fn released(&mut self, id: u64) {
        if let Some(known) = self.entries.get_mut(&id) {
            known.flight = None;
        }
    }

    pub(super) fn removed(&mut self, id: u64, removed: Option<Pending>) -> Pending {
        let known = self.entries.remove(&id).unwrap();
        let attempts = known.stored.attempts + known.calls;
        let expected = Pending { attempts, ..known.stored };
        assert_eq!(removed, Some(expected));
        expected
    }

    /// Nobody waits for its time: while the circuit is open, and when it closes.
    fn hastened(&mut self, queue: &Queue) {
        let must = self.sure();
        let there = |known: &Known| known.added && known.flight != Some(Flight::Taken);
        for (id, known) in self.entries.iter_mut().filter(|(_, known)| there(known)) {
            let due = queue.get(*id).unwrap().due;
            assert!(due == known.stored.due || due == self.now);
            assert!(due <= self.now || !must.contains(id), "{id} waits on");
            known.stored.due = due;
        }
    }

    pub(super) fn closed(&mut self, queue: &Queue) {
        self.hastened(queue);
        (self.ramp, self.probed, self.probe, self.gave_way) = (1, None, None, false);
        self.seen.insert("closed");
    }

    /// What everybody can see of the queue.
    pub(super) fn compare(&self, queue: &Queue, users: u64) {
        let added = || self.entries.iter().filter(|(_, known)| known.added);
        assert_eq!(queue.len(), added().count());
        let bytes: u64 = added().map(|(_, known)| u64::from(known.stored.bytes)).sum();
        assert_eq!(queue.bytes(), bytes);
        assert_eq!(queue.in_flight(), self.in_flight());
        let untaken = || self.untaken().filter(|(_, known)| known.added);
        assert_eq!(queue.has_untaken(), untaken().next().is_some());
        let oldest = untaken().next().map(|(_, known)| self.now as i64 - known.stored.received_at);
        assert_eq!(queue.oldest(self.now).map(|age| age as i64), oldest);
        for user in 0..users {
            let held = untaken().any(|(_, known)| known.holds() && known.stored.user == user);
            assert_eq!(queue.holds(user), held || self.writes.contains(&user), "user {user}");
        }
    }
}
