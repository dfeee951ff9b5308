//! A queue and a circuit breaker among messages, writes, failures, replays and restarts, in an order that a seed
//! decides.

use super::super::{Announced, Failure, Pending, Queue, Restore, Terms, Verdict};
use super::judge::Judge;
use crate::spool::breaker::{Breaker, State};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use std::collections::BTreeSet;
use std::ops::Range;

const STEPS: usize = 100;
const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

/// Everything around one queue.
struct Schedule {
    random: StdRng,
    terms: Terms,
    users: u64,
    queue: Queue,
    breaker: Breaker,
    judge: Judge,
    now: u64,
    /// Of every hundred calls so many fail.
    sick: u32,
    /// Every so manyth entry fails for a fault of its own.
    poisoned: u64,
    writes: Vec<Write>,
    calls: Vec<Call>,
    /// To be deleted: the app has them.
    taken: Vec<u64>,
    /// To become dead letters.
    given_up: Vec<u64>,
    dead: Vec<Pending>,
    last_id: u64,
}

/// A write of an entry on its way.
struct Write {
    announced: Announced,
    pending: Pending,
    leased: bool,
    durable: bool,
}

/// A call to the app on its way.
struct Call {
    id: u64,
    ends: u64,
    probe: bool,
}

impl Schedule {
    fn new(seed: u64) -> Schedule {
        let mut random = StdRng::seed_from_u64(seed);
        let retry_min_ms = pick(&mut random, &[100, 2 * SECOND]);
        let terms = Terms {
            retry_min_ms,
            retry_max_ms: retry_min_ms * pick(&mut random, &[1, 10, 300]),
            give_up_after_ms: pick(&mut random, &[20 * SECOND, 10 * MINUTE, 24 * HOUR]),
            concurrency: random.random_range(1..8),
            deletes: random.random_range(1..6),
        };
        Schedule {
            users: random.random_range(1..6),
            poisoned: pick(&mut random, &[2, 7, u64::MAX]),
            random,
            terms,
            queue: Queue::new(terms, 0),
            breaker: Breaker::default(),
            judge: Judge::new(terms),
            now: 0,
            sick: 0,
            writes: Vec::new(),
            calls: Vec::new(),
            taken: Vec::new(),
            given_up: Vec::new(),
            dead: Vec::new(),
            last_id: 0,
        }
    }

    fn run(mut self) -> BTreeSet<&'static str> {
        for _ in 0..STEPS {
            self.step();
            self.pump();
            self.judge.compare(&self.queue, self.users);
        }
        self.recover();
        self.judge.seen
    }

    fn percent(&mut self, percent: u32) -> bool {
        self.random.random_ratio(percent, 100)
    }

    fn step(&mut self) {
        match self.random.random_range(0..100) {
            0..35 => self.message(),
            35..60 => self.write(),
            60..85 => {
                let most =
                    pick(&mut self.random, &[50, 2 * SECOND, 5 * SECOND, MINUTE, 20 * MINUTE]);
                let until = self.now + self.random.random_range(0..most);
                self.advance(until);
            }
            85..88 => self.sick = pick(&mut self.random, &[0, 0, 30, 100]),
            88..92 => self.delete(),
            92..94 => self.bury(),
            94..96 => self.replay(),
            96..98 => self.disturb(),
            98 => self.restart(),
            _ => {
                self.terms.concurrency = self.random.random_range(1..8);
                self.queue.configure(self.terms);
                self.judge.terms = self.terms;
            }
        }
    }

    /// A message comes.
    fn message(&mut self) {
        let user = self.random.random_range(0..self.users);
        let behind = self.breaker.state() != State::Closed || self.queue.holds(user);
        let leased = !behind && self.percent(30);
        if !behind && !leased {
            if !self.random.random_ratio(self.sick, 100) {
                self.queue.succeeded(1);
                self.breaker.succeeded(self.now, 1);
                return self.judge.succeeded(1);
            }
            self.breaker.failed(self.now);
        }
        let pause = if behind || leased { 0 } else { self.terms.retry_min_ms };
        let pending = Pending {
            id: 0,
            user,
            attempts: u32::from(!behind),
            // Eight of its own are rare, so some come with most of them.
            failures: pick(&mut self.random, &[0, 0, 0, 6]),
            received_at: self.now as i64 - self.random.random_range(0..5_000),
            due: self.now + pause,
            bytes: self.random.random_range(0..1_000),
        };
        self.judge.writes.push(user);
        let announced = self.queue.announce(user);
        self.writes.push(Write { announced, pending, leased, durable: false });
    }

    /// A write goes on: it fails, the entry becomes durable, or the queue is told of that.
    fn write(&mut self) {
        if self.writes.is_empty() {
            return;
        }
        let at = self.random.random_range(0..self.writes.len());
        if !self.writes[at].durable && !self.percent(5) {
            self.last_id += self.random.random_range(1..4);
            let write = &mut self.writes[at];
            write.pending.id = self.last_id;
            write.durable = true;
            self.judge.durable(write.pending);
            if self.percent(50) {
                return;
            }
        }
        let Write { announced, pending, leased, durable } = self.writes.swap_remove(at);
        let of_user = self.judge.writes.iter().position(|user| *user == pending.user);
        self.judge.writes.swap_remove(of_user.expect("it was announced"));
        if !durable {
            return self.queue.withdraw(announced);
        }
        self.queue.add(pending, leased, Some(announced));
        self.judge.added(pending.id, leased);
        if leased {
            self.call(pending.id, false);
        }
    }

    fn call(&mut self, id: u64, probe: bool) {
        let ends = self.now + self.random.random_range(0..10 * SECOND);
        self.calls.push(Call { id, ends, probe });
    }

    /// Everything that can be tried is.
    fn pump(&mut self) {
        while self.breaker.state() == State::Closed {
            let promised = self.queue.next_at().is_some_and(|at| at <= self.now);
            let taken = self.queue.take(self.now);
            assert_eq!(promised, taken.is_some(), "next_at promised {promised}");
            self.judge.took(taken);
            let Some(attempt) = taken else { return };
            self.call(attempt.id, false);
        }
        if self.breaker.try_probe(self.now) {
            let taken = self.queue.take_probe(self.now);
            self.judge.took_probe(taken, &self.queue);
            match taken {
                Some(attempt) => self.call(attempt.id, true),
                // A live message is the probe.
                None => {
                    let well = !self.random.random_ratio(self.sick, 100);
                    self.probe_ended(well);
                }
            }
        }
    }

    fn probe_ended(&mut self, well: bool) {
        if self.breaker.probe_ended(well) == Some(State::Closed) {
            self.queue.pull(self.now);
            self.judge.closed(&self.queue);
        }
    }

    /// Time passes, and with it everything that has its time.
    fn advance(&mut self, until: u64) {
        while self.now < until {
            let next = self.next().filter(|next| *next < until).unwrap_or(until);
            self.now = next.max(self.now);
            self.judge.now = self.now;
            while let Some(at) = self.calls.iter().position(|call| call.ends <= self.now) {
                let call = self.calls.swap_remove(at);
                self.ended(call);
            }
            self.pump();
        }
    }

    /// When something happens of its own accord.
    fn next(&self) -> Option<u64> {
        let open = match self.breaker.state() {
            State::Closed => self.queue.next_at(),
            State::Open => Some(self.now + SECOND),
            State::Probing => None,
        };
        self.calls.iter().map(|call| call.ends).chain(open).min()
    }

    fn ended(&mut self, Call { id, probe, .. }: Call) {
        let poisoned = id.is_multiple_of(self.poisoned);
        let well = !poisoned && !self.random.random_ratio(self.sick, 100);
        if well {
            self.breaker.succeeded(self.now, 1);
            self.queue.taken(id);
            if self.judge.flight(id).is_some() {
                self.judge.taken(id);
                self.taken.push(id);
                if self.percent(70) {
                    self.delete();
                }
            }
        } else {
            self.fail(id, poisoned);
        }
        if probe {
            self.probe_ended(well);
        }
    }

    fn fail(&mut self, id: u64, poisoned: bool) {
        let failure = Failure {
            retry_after_ms: self.percent(10).then_some(pick(&mut self.random, &[0, MINUTE, HOUR])),
            at_most_ms: self.percent(10).then_some(10 * MINUTE),
            counts: poisoned,
        };
        let verdict = self.queue.failed(id, self.now, failure, self.random.random());
        self.judge.failed(id, failure, verdict);
        if verdict == Some(Verdict::GiveUp) {
            self.given_up.push(id);
        }
        self.breaker.failed(self.now);
    }

    /// The store deletes what was taken, some before others that were taken earlier.
    fn delete(&mut self) {
        while !self.taken.is_empty() && !self.percent(10) {
            let at = self.random.random_range(0..self.taken.len());
            let id = self.taken.swap_remove(at);
            if self.judge.flight(id).is_some() {
                let delivered = self.queue.delivered(id);
                self.judge.delivered(id, delivered);
            }
        }
    }

    /// What was given up becomes dead letters, or cannot.
    fn bury(&mut self) {
        for id in std::mem::take(&mut self.given_up) {
            if self.judge.flight(id).is_none() {
                continue;
            }
            if self.percent(10) {
                self.queue.release(id);
                self.judge.released(id);
            } else {
                let removed = self.queue.remove(id);
                self.dead.push(self.judge.removed(id, removed));
            }
        }
    }

    fn replay(&mut self) {
        let mut dead = std::mem::take(&mut self.dead);
        dead.sort_by_key(|pending| pending.id);
        for pending in dead {
            let pending = Pending { failures: 0, due: self.now, ..pending };
            self.judge.durable(pending);
            self.queue.add(pending, false, None);
            self.judge.added(pending.id, false);
            self.judge.seen.insert("replay");
        }
    }

    /// An entry is erased, or the call of one is ended by something else.
    fn disturb(&mut self) {
        let ids: Vec<u64> =
            self.judge.entries.keys().copied().filter(|id| self.queue.contains(*id)).collect();
        if ids.is_empty() {
            return;
        }
        let id = pick(&mut self.random, &ids);
        if self.percent(50) {
            let removed = self.queue.remove(id);
            self.judge.removed(id, removed);
            self.judge.seen.insert("removed");
        } else if let Some(at) = self.calls.iter().position(|call| call.id == id && !call.probe) {
            self.calls.swap_remove(at);
            self.queue.release(id);
            self.judge.released(id);
            self.judge.seen.insert("released");
        }
    }

    /// The process dies, and what is durable is read.
    fn restart(&mut self) {
        let entries = self.judge.restarted();
        if !self.taken.is_empty() {
            self.judge.seen.insert("taken once more");
        }
        self.calls.clear();
        self.writes.clear();
        self.taken.clear();
        self.given_up.clear();
        self.breaker = Breaker::default();
        let mut restore = Restore::new(self.now);
        entries.into_iter().for_each(|entry| restore.push(entry));
        self.queue = restore.finish(self.terms);
    }

    /// Nothing goes wrong any more: everything is delivered, in as many calls as there are entries and a few.
    fn recover(&mut self) {
        (self.sick, self.poisoned) = (0, u64::MAX);
        while !self.writes.is_empty() {
            self.write();
        }
        self.replay();
        let mut left = 20 + 4 * self.queue.len();
        while !self.queue.is_empty() || self.breaker.state() != State::Closed {
            self.bury();
            self.delete();
            self.pump();
            if let Some(next) = self.next() {
                self.advance(next.max(self.now + 1));
            }
            left = left.checked_sub(1).unwrap_or_else(|| panic!("{:?}", self.judge.entries));
        }
        assert!(self.judge.entries.is_empty(), "lost: {:?}", self.judge.entries);
        self.judge.compare(&self.queue, self.users);
    }
}

fn pick<T: Copy>(random: &mut StdRng, from: &[T]) -> T {
    from[random.random_range(0..from.len())]
}

/// Runs schedules; says of one that fails which it was. Gives all that happened in any of them.
fn run(seeds: Range<u64>) -> BTreeSet<&'static str> {
    let mut seen = BTreeSet::new();
    for seed in seeds {
        match std::panic::catch_unwind(|| Schedule::new(seed).run()) {
            Ok(more) => seen.extend(more),
            Err(panic) => {
                eprintln!("seed {seed}");
                std::panic::resume_unwind(panic);
            }
        }
    }
    seen
}

#[test]
fn it_holds_under_every_schedule() {
    let expected = [
        "closed",
        "delivered",
        "gave way",
        "given up",
        "holds nobody",
        "no room",
        "probe",
        "released",
        "removed",
        "replay",
        "restart",
        "retry",
        "taken once more",
    ];
    assert_eq!(run(0..2_000), BTreeSet::from(expected));
}
