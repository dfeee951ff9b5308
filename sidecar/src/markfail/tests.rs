//! The figures that the documentation states, on simulated traffic, and what must not be taken for a block.
//!
//! `MARKFAIL_WEEKS=100 cargo test -p wxedge-sidecar markfail -- --nocapture` simulates that many times the usual and prints
//! what it measured.

use std::fmt;
use std::time::Duration;

use super::{Detector, Second, State};
use crate::config;
use crate::observation::Millis;
use traffic::{Chance, DAY_S, START, Shape, Traffic};

mod states;
mod traffic;

const TERMS: config::MarkFail = config::MarkFail {
    visible_failures: 30,
    window: Duration::from_secs(300),
    silence: Duration::from_secs(20),
};
const BLOCK_S: u64 = 60;
const SEED: u64 = 7;

/// An account, its detector and the time.
struct Account {
    traffic: Traffic,
    detector: Detector,
    at: Millis,
    chance: Chance,
}

impl Account {
    fn new(shape: Shape, rate: f64, seed: u64) -> Account {
        let (traffic, detector) = (Traffic::new(shape, rate, seed), Detector::new(&TERMS));
        Account { traffic, detector, at: START, chance: Chance(seed) }
    }

    fn tell(&mut self, known: bool, arrivals: u64, visible: u64) -> State {
        let state = self.detector.second(Second { at: self.at, known, arrivals, visible });
        self.at += 1000;
        state
    }

    /// Lets the account be for so long; how often a block was suspected.
    fn live(&mut self, seconds: u64) -> u64 {
        let mut suspected = 0;
        for _ in 0..seconds {
            let before = self.detector.state();
            let arrivals = self.traffic.second(self.at);
            let after = self.tell(true, arrivals, 0);
            suspected += u64::from(after == State::Suspected && before != State::Suspected);
        }
        suspected
    }

    /// Blocks it; after how many seconds that was found.
    fn block(&mut self) -> Option<u64> {
        let mut found = None;
        for second in 1..=BLOCK_S {
            if self.tell(true, 0, 0) == State::Suspected {
                found.get_or_insert(second);
            }
        }
        found
    }
}

/// How many blocks there were, and how many were found within 30 s and at all.
#[derive(Default)]
struct Found {
    blocks: u64,
    soon: u64,
    ever: u64,
}

impl Found {
    fn count(&mut self, found: Option<u64>) {
        self.blocks += 1;
        self.soon += u64::from(found.is_some_and(|seconds| seconds <= 30));
        self.ever += u64::from(found.is_some());
    }

    fn soon(&self) -> f64 {
        self.soon as f64 / self.blocks as f64
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "of {} found {} within 30 s, {} while they lasted",
            self.blocks, self.soon, self.ever
        )
    }
}

/// Three days to learn in, weeks in which nothing may be suspected, and blocks out of the blue: those at 1/s and more, and
/// those below. The false alarms of the weeks are returned as well.
fn measure(shape: Shape, rate: f64, weeks: u64) -> (Found, Found, u64) {
    let mut account = Account::new(shape, rate, SEED);
    account.live(3 * DAY_S);
    let false_alarms = account.live(weeks * 7 * DAY_S);
    let (mut busy, mut slow) = (Found::default(), Found::default());
    for _ in 0..100 * weeks {
        let pause = 400 + account.chance.below(1400);
        account.live(pause);
        let found = if account.traffic.base(account.at) >= 1.0 { &mut busy } else { &mut slow };
        found.count(account.block());
    }
    println!("{shape:?} at {rate}/s: {false_alarms} false alarms in {weeks} weeks");
    println!("  blocks at 1/s and more: {busy}; slower: {slow}");
    (busy, slow, false_alarms)
}

/// More weeks for those who want to know better.
fn weeks() -> u64 {
    std::env::var("MARKFAIL_WEEKS")
        .map_or(1, |weeks| weeks.parse().expect("MARKFAIL_WEEKS is a number"))
}

/// None in a week, and when many are simulated at most one in five.
fn rarely(false_alarms: u64, weeks: u64) -> bool {
    false_alarms * 5 <= weeks
}

fn busy(shape: Shape, rate: f64) {
    let weeks = weeks();
    let (busy, _, false_alarms) = measure(shape, rate, weeks);
    assert!(
        busy.blocks >= 15 && busy.soon() >= 0.99,
        "{shape:?}: {} of {} found",
        busy.soon,
        busy.blocks
    );
    assert!(rarely(false_alarms, weeks), "{shape:?}: {false_alarms} false alarms in {weeks} weeks");
}

#[test]
fn blocks_of_steady_traffic_are_found_and_nothing_else() {
    busy(Shape::Steady, 1.0);
    busy(Shape::Steady, 20.0);
}

#[test]
fn blocks_of_traffic_by_day_are_found_and_nothing_else() {
    busy(Shape::Daily, 2.0);
    busy(Shape::QuietNight, 1.0);
}

#[test]
fn blocks_of_traffic_in_bursts_are_found_and_nothing_else() {
    busy(Shape::Switching, 1.0);
    busy(Shape::Batches, 1.0);
    busy(Shape::Storms, 3.0);
}

#[test]
fn blocks_of_slower_traffic_are_found_while_they_last() {
    for (rate, least) in [(0.5, 0.99), (0.35, 0.95)] {
        let (_, slow, false_alarms) = measure(Shape::Steady, rate, weeks());
        assert!(
            slow.ever as f64 >= least * slow.blocks as f64,
            "{rate}/s: {} of {}",
            slow.ever,
            slow.blocks
        );
        assert!(rarely(false_alarms, weeks()));
    }
}

#[test]
fn quiet_accounts_raise_at_most_one_false_alarm_a_week() {
    use Shape::{Batches, Daily, QuietNight, Storms, Switching, Talks, Weekdays};
    for shape in [Daily, Weekdays, QuietNight, Switching, Batches, Storms, Talks] {
        let (mut first, mut later) = (0, 0);
        let accounts = [0.003, 0.05].map(|rate| (0..weeks()).map(move |part| (rate, part)));
        for (rate, part) in accounts.into_iter().flatten() {
            let mut account = Account::new(shape, rate, SEED + part);
            let alarms = [account.live(7 * DAY_S), account.live(7 * DAY_S)];
            first += alarms[0];
            later += alarms[1];
            assert!(
                weeks() > 1 || alarms.iter().all(|&alarms| alarms <= 1),
                "{shape:?} at {rate}/s: {alarms:?}"
            );
        }
        let weeks = 2 * weeks();
        println!(
            "{shape:?}, quiet: {first} false alarms in {weeks} first weeks, {later} in {weeks} later ones"
        );
        assert!(
            first <= weeks && later <= 1 + weeks / 5,
            "{shape:?}: {first} and {later} false alarms in {weeks} weeks"
        );
    }
}
