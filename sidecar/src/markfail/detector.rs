//! The detector: what it is told of every second, and what it believes.

use serde::{Deserialize, Serialize};

use super::failures::Failures;
use super::rate::Rate;
use super::silence::{Gaps, Silence};
use super::{Evidence, Second, State};
use crate::clock::millis;
use crate::config;
use crate::observation::Millis;

/// How long WeChat stops pushing, in seconds.
const BLOCK_S: u32 = 60;
/// Silences of this length may have been a block, or three in a row, with some seconds of the traffic's own before and after.
const LIKE_A_BLOCK_S: std::ops::RangeInclusive<u32> = BLOCK_S - 5..=3 * BLOCK_S;
/// A silence that was not improbable before it was so long is none of WeChat's making, but the account's evening or weekend.
const LONGEST_S: u32 = 900;
/// The evidence that a silence out of the blue needs: one in e¹⁵, three million, lasts so long by itself.
const OUT_OF_THE_BLUE: f64 = 15.0;
/// The evidence that it needs when WeChat has seen so many failures that we were at risk: one in e⁷, a thousand.
const AFTER_FAILURES: f64 = 7.0;
/// At this share of the failures at which WeChat alarms it may stop pushing.
const RISK: f64 = 0.8;
/// How long callbacks must have come again before all is well.
const RECOVERY_MS: u64 = 300_000;

/// Believes, for one account, that WeChat pushes or that it has stopped: a pure function of the seconds that it was told.
/// Some 6 KB, and never more; it can be written down and read back, and then goes on as if nothing had been.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Detector {
    visible_failures: u32,
    silence_s: u32,
    failures: Failures,
    rate: Rate,
    gaps: Gaps,
    silence: Silence,
    state: State,
    since: Millis,
    /// The second told last.
    last: Option<Millis>,
    /// Seconds in a row that nobody watched.
    unwatched_s: f64,
    /// Failures since the state is what it is.
    fresh_failures: u64,
}

impl Detector {
    /// Knows nothing yet.
    pub fn new(terms: &config::MarkFail) -> Detector {
        let mut detector = Detector {
            visible_failures: 0,
            silence_s: 0,
            failures: Failures::new(0),
            rate: Rate::new(),
            gaps: Gaps::new(),
            silence: Silence::begin(false, 0.0, 0.0),
            state: State::Healthy,
            since: 0,
            last: None,
            unwatched_s: 0.0,
            fresh_failures: 0,
        };
        detector.configure(terms);
        detector
    }

    /// Goes by other terms from now on, and keeps what was learned.
    pub fn configure(&mut self, terms: &config::MarkFail) {
        self.visible_failures = terms.visible_failures;
        self.silence_s = u32::try_from(terms.silence.as_secs()).unwrap_or(u32::MAX);
        self.failures.set_window(millis(terms.window));
    }

    /// Takes one second in, and says what is believed at its end. Seconds come in order; those that are left out count as
    /// not watched, and so does a clock that was set back.
    pub fn second(&mut self, second: Second) -> State {
        self.skip_to(second.at);
        self.failures.count(second.at, second.visible);
        if second.arrivals > 0 {
            self.pushed(second);
        } else if second.known {
            self.silent(second.at);
        } else {
            self.unwatched(second.at, 1.0);
        }
        self.fresh_failures = self.fresh_failures.saturating_add(second.visible);
        self.settle(second.at);
        self.state
    }

    /// What is believed.
    pub fn state(&self) -> State {
        self.state
    }

    /// What it is believed for.
    pub fn evidence(&self) -> Evidence {
        Evidence {
            silent_s: f64::from(self.silence.seconds),
            usual_per_s: self.silence.usual_per_s,
            visible: self.failures.total(),
            improbability: self.silence.evidence.exp(),
            needed: self.needed().exp(),
            since: self.since,
        }
    }

    fn pushed(&mut self, second: Second) {
        let suspected = self.state == State::Suspected;
        let like_a_block = suspected && LIKE_A_BLOCK_S.contains(&self.silence.seconds);
        if !like_a_block {
            self.silence.learn(&mut self.gaps);
        }
        if suspected {
            if !like_a_block {
                // The rate is another one from now on, and nothing is suspected before it is known.
                self.rate.forget();
            }
            self.enter(State::Recovered, second.at);
        }
        self.watched(second.at, second.arrivals);
        self.silence = self.new_silence(second.known, second.at);
    }

    fn silent(&mut self, at: Millis) {
        self.unwatched_s = 0.0;
        self.silence.grow(&self.gaps, self.rate.usual(at));
        let length = self.silence.seconds;
        if self.state != State::Suspected || length > *LIKE_A_BLOCK_S.end() {
            self.watched(at, 0);
        }
        if (self.silence_s..=LONGEST_S).contains(&length) && self.silence.evidence >= self.needed()
        {
            self.enter(State::Suspected, at);
        }
    }

    fn watched(&mut self, at: Millis, arrivals: u64) {
        self.unwatched_s = 0.0;
        if self.rate.watched(at, arrivals) {
            self.gaps.fade();
        }
    }

    /// Nobody knows what came: a silence that was going on is none.
    fn unwatched(&mut self, at: Millis, seconds: f64) {
        self.rate.fade(seconds);
        self.silence = self.new_silence(false, at);
        self.unwatched_s += seconds;
        // Longer than a block: what was suspected would be over.
        if self.state == State::Suspected && self.unwatched_s > f64::from(BLOCK_S) {
            self.enter(self.at_rest(), at);
        }
    }

    fn new_silence(&self, whole: bool, at: Millis) -> Silence {
        Silence::begin(whole, self.rate.share(at), self.rate.per_s())
    }

    /// Seconds that are missing between the last one and this one.
    fn skip_to(&mut self, at: Millis) {
        match self.last.replace(at) {
            None => self.since = at,
            Some(last) if at <= last => {
                self.since = self.since.min(at);
                self.unwatched(at, 0.0);
            }
            Some(last) if at - last >= 2000 => {
                self.unwatched(at, (at - last - 1000) as f64 / 1000.0)
            }
            Some(_) => {}
        }
    }

    fn settle(&mut self, at: Millis) {
        let recovering = self.state == State::Recovered
            && at.saturating_sub(self.since) < RECOVERY_MS
            && self.fresh_failures < self.risk();
        if self.state != State::Suspected && !recovering {
            self.enter(self.at_rest(), at);
        }
    }

    fn at_rest(&self) -> State {
        if self.failures.total() >= self.risk() { State::AtRisk } else { State::Healthy }
    }

    fn enter(&mut self, state: State, at: Millis) {
        if self.state != state {
            self.state = state;
            self.since = at;
            self.fresh_failures = 0;
        }
    }

    fn risk(&self) -> u64 {
        (f64::from(self.visible_failures) * RISK).ceil() as u64
    }

    /// WeChat stops after failures, but not all that it sees can be seen from here.
    fn needed(&self) -> f64 {
        let risk = (self.failures.total() as f64 / self.risk().max(1) as f64).min(1.0);
        OUT_OF_THE_BLUE - (OUT_OF_THE_BLUE - AFTER_FAILURES) * risk
    }
}
