//! The engine among callers, failures, restarts and foreign refreshes, in an order that a seed decides.

use super::super::{Engine, Fetch, Now, Policy, Saved, Source, State, Want};
use super::world::{Answered, HOUR, MINUTE, Mode, Random, SECOND, WeChat};
use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

const STEPS: usize = 250;
const START: i64 = 1_760_000_000_000;
/// Errcodes of the endpoints: every class.
const ERRCODES: [i64; 13] =
    [-1, 40001, 40125, 40013, 40164, 61004, 40243, 89503, 89506, 45009, 45011, 50000, 42001];

/// Everything around one engine.
pub(super) struct Schedule {
    /// WeChat is sick all the time, and nothing but the engine limits force.
    pub(super) sick: bool,
    pub(super) random: Random,
    pub(super) source: Source,
    pub(super) configuration: u64,
    pub(super) wechat: WeChat,
    pub(super) engine: Engine,
    /// The true time, Unix milliseconds.
    pub(super) t: i64,
    /// How wrong the wall clock is.
    pub(super) skew: i64,
    /// When the process started.
    pub(super) started: i64,
    pub(super) saved: Option<(Saved, bool)>,
    pub(super) wire: Option<Wire>,
    pub(super) calls: VecDeque<Call>,
    /// What the engine was told last: number, value, when it dies.
    pub(super) told: Option<(u64, String, i64)>,
    pub(super) known_foreign: u64,
    pub(super) was_strange: bool,
    pub(super) clock_was_set: bool,
    /// Nothing goes wrong any more.
    pub(super) calm: bool,
    pub(super) stopped: bool,
    pub(super) last_pause: i64,
    pub(super) fetches: VecDeque<i64>,
    pub(super) resets: VecDeque<i64>,
    /// The last fetch because of a rejection, since the last reset.
    pub(super) reactive: Option<i64>,
    pub(super) forced: Vec<i64>,
    /// What has happened, so that a schedule that tests nothing is found out.
    pub(super) seen: BTreeSet<&'static str>,
}

/// A fetch on its way.
pub(super) struct Wire {
    pub(super) fetch: Fetch,
    pub(super) began: i64,
    pub(super) configuration: u64,
    /// When WeChat gets it, and when the answer is here.
    pub(super) arrives: i64,
    pub(super) lands: i64,
    pub(super) answer: Option<Answered>,
    pub(super) lost: bool,
    /// The task that carried it out died.
    pub(super) dead: bool,
}

/// A call that uses a token.
pub(super) struct Call {
    pub(super) generation: u64,
    pub(super) token: String,
    pub(super) returns: i64,
}

impl Schedule {
    fn new(seed: u64, source: Source) -> Schedule {
        let policy = Policy { source, configuration: 0 };
        let sick = seed.is_multiple_of(4);
        Schedule {
            sick,
            random: Random(seed),
            source,
            configuration: 0,
            wechat: WeChat::new(sick),
            engine: Engine::new(policy),
            t: START,
            skew: 0,
            started: START,
            saved: None,
            wire: None,
            calls: VecDeque::new(),
            told: None,
            known_foreign: 0,
            was_strange: sick,
            clock_was_set: false,
            calm: false,
            stopped: false,
            last_pause: 0,
            fetches: VecDeque::new(),
            resets: VecDeque::from([START]),
            reactive: None,
            forced: Vec::new(),
            seen: BTreeSet::new(),
        }
    }

    pub(super) fn now(&self) -> Now {
        let steady = Duration::from_millis((self.t - self.started).unsigned_abs());
        Now { steady, unix_ms: self.t + self.skew }
    }

    fn policy(&self) -> Policy {
        Policy { source: self.source, configuration: self.configuration }
    }

    fn run(&mut self) {
        for _ in 0..STEPS {
            self.step();
        }
        self.recover();
    }

    pub(super) fn mishap(&mut self, percent: i64) -> bool {
        !self.calm && self.random.percent(percent)
    }

    fn step(&mut self) {
        match self.random.below(100) {
            0..45 => self.call(),
            45..80 => {
                let most = self.random.pick(&[50, 2 * SECOND, 40 * SECOND, 10 * MINUTE, 2 * HOUR]);
                let until = self.t + self.random.below(most);
                self.advance(until);
            }
            80..86 if !self.sick => {
                let (ill, strange) =
                    (self.random.pick(&ERRCODES), [0, -1, 1, 59, 61, i64::MIN, i64::MAX]);
                let odd = self.random.pick(&strange);
                self.wechat.mode = self.random.pick(&[
                    Mode::Well,
                    Mode::Well,
                    Mode::Refusing(ill),
                    Mode::Unreachable,
                    Mode::Sick,
                    Mode::Odd(odd),
                ]);
                self.wechat.rotates = self.random.pick(&[300, 200, 0]) * SECOND;
                self.was_strange |= matches!(self.wechat.mode, Mode::Sick | Mode::Odd(_));
            }
            80..91 => self.wechat.interfere(self.t, self.source),
            91..94 => self.restart(),
            94..96 => {
                self.skew = self.random.pick(&[0, HOUR, -HOUR]);
                self.clock_was_set = true;
            }
            96..98 => self.operator(),
            98 => {
                self.configuration += 1;
                self.reset();
                self.engine.configure(self.policy());
            }
            _ => self.burst(),
        }
    }

    /// Somebody has a call to make.
    fn call(&mut self) {
        let want = self.engine.wanted(self.now());
        if let Some((generation, token)) = self.follow(want) {
            let returns = self.t + self.random.below(5 * SECOND);
            self.calls.push_back(Call { generation, token, returns });
        }
    }

    /// Calls at the same moment.
    fn burst(&mut self) {
        (0..10).for_each(|_| self.call());
    }

    pub(super) fn send(&mut self, fetch: Fetch, asked_for: bool) {
        let running = self.wire.as_ref().filter(|wire| !wire.dead);
        assert!(running.is_none(), "two fetches at once");
        if let Some(dead) = &self.wire {
            assert!(self.t - dead.began >= 30 * SECOND, "a lost fetch given up early");
        }
        assert!(asked_for || !self.stopped, "a fetch after a stop");
        self.count(fetch.force);
        if fetch.force {
            assert_eq!(self.source, Source::StableToken, "only stable_token knows force");
            self.save();
            if self.mishap(5) {
                return self.restart();
            }
        }
        let arrives = self.t + self.random.below(8 * SECOND);
        self.wire = Some(Wire {
            fetch,
            began: self.t,
            configuration: self.configuration,
            arrives,
            lands: arrives + self.random.below(8 * SECOND),
            answer: None,
            lost: self.mishap(8),
            dead: self.mishap(2),
        });
    }

    /// Time passes, and with it everything that has its time.
    fn advance(&mut self, until: i64) {
        while self.t < until {
            let mut next = until;
            if let Some(due_in) = self.engine.due_in(self.now()) {
                next = next.min(self.t + due_in.as_millis() as i64);
            }
            if let Some(wire) = self.wire.as_ref().filter(|wire| !wire.dead) {
                next = next.min(if wire.answer.is_some() { wire.lands } else { wire.arrives });
            }
            next = self.calls.iter().map(|call| call.returns).fold(next, i64::min);
            self.t = next.max(self.t);
            self.tick();
        }
    }

    fn tick(&mut self) {
        if let Some(wire) =
            self.wire.as_mut().filter(|wire| wire.answer.is_none() && wire.arrives <= self.t)
        {
            wire.answer = Some(self.wechat.ask(self.t, self.source, wire.fetch.force));
        }
        if let Some(wire) =
            self.wire.take_if(|wire| !wire.dead && wire.answer.is_some() && wire.lands <= self.t)
        {
            self.land(wire);
        }
        while let Some(index) = self.calls.iter().position(|call| call.returns <= self.t) {
            let call = self.calls.remove(index).expect("it was just found");
            self.returned(&call);
        }
        let honest = self.engine.due_in(self.now());
        let due = self.engine.due(self.now());
        match due {
            Some(fetch) => {
                assert_eq!(honest, Some(Duration::ZERO), "due before its time");
                if self.source != Source::Ticket {
                    assert!(!fetch.force, "forced without a rejection");
                }
                self.send(fetch, false);
            }
            // The only other thing to do is to give up a lost fetch, and then it is not due yet.
            None => {
                let again = self.engine.due_in(self.now());
                assert_ne!(again, Some(Duration::ZERO), "due, and yet nothing is done");
            }
        }
    }

    pub(super) fn save(&mut self) {
        self.saved = Some((self.engine.saved(self.now()), self.stopped));
    }

    pub(super) fn restart(&mut self) {
        self.reset();
        self.wire = None;
        self.calls.clear();
        self.t += self.random.pick(&[0, SECOND, 40 * SECOND, HOUR]);
        self.started = self.t;
        let Some((saved, stopped)) = self.saved.clone() else {
            (self.engine, self.told, self.stopped) = (Engine::new(self.policy()), None, false);
            return;
        };
        let same = saved.configuration == self.configuration;
        self.engine = Engine::restore(self.policy(), self.now(), saved.clone(), self.random.unit());
        self.stopped = stopped && same;
        self.told = saved.value.map(|value| {
            let dies = self.t
                + self
                    .engine
                    .value(self.now())
                    .map_or(Duration::ZERO, |value| value.life(self.now()))
                    .as_millis() as i64;
            assert!(
                dies - self.t <= (value.expires - value.confirmed).max(0),
                "a restored value lives longer"
            );
            (saved.generation, value.secret.expose().to_owned(), dies)
        });
        assert!(
            self.engine
                .value(self.now())
                .is_none_or(|value| value.generation() == saved.generation)
        );
    }

    fn operator(&mut self) {
        self.reset();
        self.stopped = false;
        match self.engine.operator(self.now()) {
            Want::Fetch(fetch) => self.send(fetch, true),
            Want::Wait => assert!(self.wire.is_some()),
            other => panic!("an operator asks at once, not {other:?}"),
        }
    }

    /// What the past held up is allowed to happen again.
    fn reset(&mut self) {
        self.stopped = false;
        self.resets.push_back(self.t);
        self.reactive = None;
    }

    /// All is well again: soon there is a value that works, and it stays.
    fn recover(&mut self) {
        self.calm = true;
        self.wechat.mode = Mode::Well;
        self.wechat.rotates = 300 * SECOND;
        // What is on its way may bring an error yet.
        self.advance(self.t + 31 * SECOND);
        if self.stopped {
            self.operator();
        }
        // Errors last as their class says, rejections a minute, held values half a minute, lost fetches as long.
        let limit = self.t + self.last_pause + 4 * MINUTE;
        loop {
            self.call();
            self.advance(self.t + 10 * SECOND);
            if self.stopped {
                self.operator();
            }
            let value =
                self.engine.value(self.now()).map(|value| value.secret().expose().to_owned());
            if value.is_some_and(|token| {
                self.source == Source::Ticket || self.wechat.accepts(self.t, &token)
            }) && self.engine.status(self.now()).state == State::Ok
            {
                return;
            }
            assert!(self.t < limit, "no recovery: {:?}", self.engine.status(self.now()));
        }
    }
}

/// Runs schedules; says of one that fails which it was. Gives all that happened in any of them.
fn run(source: Source, seeds: std::ops::Range<u64>) -> BTreeSet<&'static str> {
    let mut seen = BTreeSet::new();
    for seed in seeds {
        let run = std::panic::AssertUnwindSafe(|| {
            let mut schedule = Schedule::new(seed, source);
            schedule.run();
            schedule.seen
        });
        match std::panic::catch_unwind(run) {
            Ok(more) => seen.extend(more),
            Err(panic) => {
                eprintln!("{source:?}, seed {seed}");
                std::panic::resume_unwind(panic);
            }
        }
    }
    seen
}

/// What every credential goes through.
const ALWAYS: [&str; 8] =
    ["use", "fetch", "wait", "refused: pausing", "refused: stopped", "new", "failed", "ignored"];

#[test]
fn stable_tokens_hold_under_every_schedule() {
    let seen = run(Source::StableToken, 0..1000);
    let more = ["foreign", "confirmed", "forced", "refused: confirmed"];
    assert_eq!(seen, BTreeSet::from_iter(ALWAYS.into_iter().chain(more)));
}

#[test]
fn tokens_hold_under_every_schedule() {
    let seen = run(Source::Token, 0..600);
    assert_eq!(seen, BTreeSet::from_iter(ALWAYS.into_iter().chain(["foreign"])));
}

#[test]
fn tickets_hold_under_every_schedule() {
    let seen = run(Source::Ticket, 0..400);
    assert_eq!(seen, BTreeSet::from_iter(ALWAYS.into_iter().chain(["confirmed"])));
}
