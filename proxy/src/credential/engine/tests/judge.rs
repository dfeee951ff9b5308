//! What has to hold, whatever the schedule: the judge keeps books of its own and compares.

use super::super::{Issued, Outcome, Source, Want, Why};
use super::schedule::{Call, Schedule, Wire};
use super::world::{DAY, HOUR, MINUTE, SECOND};
use std::time::Duration;
use wxedge_wechat::api::errcode::{Asked, Pause, Refusal};

/// More fetches than this within an hour are a storm. Each start, operator and configuration is good for some more.
const STORM: usize = 200;
const PER_RESET: usize = 12;

impl Schedule {
    /// Does what the engine says; the value, when it says to use it.
    pub(super) fn follow(&mut self, want: Want) -> Option<(u64, String)> {
        self.seen.insert(match want {
            Want::Use(_) => "use",
            Want::Fetch(_) => "fetch",
            Want::Wait => "wait",
            Want::Refused(Why::Stopped) => "refused: stopped",
            Want::Refused(Why::Pausing(_)) => "refused: pausing",
            Want::Refused(Why::Confirmed) => "refused: confirmed",
        });
        match want {
            Want::Use(generation) => {
                let (told, token, dies) =
                    self.told.clone().expect("a value that nobody handed out");
                assert_eq!(generation, told, "not the newest value");
                assert!(self.t < dies, "given out {} ms beyond its expiry", self.t - dies);
                let value = self.engine.value(self.now()).expect("Use without a value");
                assert_eq!(value.secret().expose(), token);
                return Some((generation, token));
            }
            Want::Fetch(fetch) => self.send(fetch, false),
            Want::Wait => assert!(self.wire.is_some(), "waits for nothing"),
            Want::Refused(Why::Stopped) => assert!(self.stopped, "refused as stopped"),
            Want::Refused(Why::Pausing(pause)) => {
                assert!(pause > Duration::ZERO);
                let most = if self.source == Source::Token { DAY } else { HOUR };
                assert!(pause.as_millis() as i64 <= most, "pauses for {pause:?}");
            }
            Want::Refused(Why::Confirmed) => {}
        }
        None
    }

    pub(super) fn count(&mut self, force: bool) {
        let t = self.t;
        self.fetches.push_back(t);
        self.fetches.retain(|at| t - at < HOUR);
        self.resets.retain(|at| t - at < HOUR);
        let most = STORM + PER_RESET * self.resets.len();
        assert!(self.fetches.len() <= most, "{} fetches in an hour", self.fetches.len());
        if force {
            self.seen.insert("forced");
            let closest = self.forced.last().map_or(i64::MAX, |last| t - last);
            assert!(closest >= 30 * SECOND, "forced again after {closest} ms");
            self.forced.push(t);
            // A clock set forward while the process was down makes the past look older than it is.
            let day = if self.clock_was_set { DAY - 2 * HOUR } else { DAY };
            let within = self.forced.iter().filter(|at| t - **at < day).count();
            assert!(within <= 20, "forced {within} times in a day");
        }
    }

    pub(super) fn land(&mut self, wire: Wire) {
        let answered = wire.answer.expect("it has landed");
        let asked = if self.source == Source::Ticket { Asked::Ticket } else { Asked::Token };
        let result = if wire.lost {
            Err(Refusal::unanswered(asked, "no answer in time"))
        } else {
            answered.result
        };
        let issued = result.as_ref().ok().map(|Issued { value, expires_in_s }| {
            (
                value.expose().to_owned(),
                wire.began.saturating_add((*expires_in_s).clamp(0, DAY / SECOND) * SECOND),
            )
        });
        let refusal = result.as_ref().err().cloned();
        let jitter = self.random.unit();
        let outcome = self.engine.fetched(self.now(), wire.fetch.flight, result, jitter);
        self.seen.insert(outcome.name().unwrap_or("ignored"));
        let stale = wire.configuration != self.configuration;
        match (&outcome, refusal) {
            (Outcome::Ignored, _) => {
                let useless = issued.is_none_or(|(_, dies)| dies <= wire.began);
                assert!(stale && useless, "an answer ignored");
            }
            (Outcome::Failed, Some(refusal)) => {
                self.last_pause = match refusal.pause() {
                    Pause::Stop => 0,
                    Pause::For(pause) => (pause.as_millis() as i64 * 11 / 10).min(HOUR),
                    Pause::Backoff => MINUTE,
                };
                self.stopped = refusal.pause() == Pause::Stop;
            }
            (Outcome::Failed, None) => {
                let (_, dies) = issued.as_ref().expect("a value");
                assert!(*dies <= wire.began, "a good value is no failure");
                self.last_pause = MINUTE;
            }
            (Outcome::New | Outcome::Foreign | Outcome::Confirmed(_), None) => {
                let (token, dies) = issued.expect("a value");
                self.known(&outcome, token, dies);
                if outcome == Outcome::Foreign {
                    assert!(
                        self.wechat.foreign > self.known_foreign || self.was_strange,
                        "no other system has refreshed",
                    );
                }
                self.known_foreign = answered.foreign;
                self.stopped = false;
                self.last_pause = MINUTE;
            }
            (outcome, refusal) => panic!("{outcome:?} for {refusal:?}"),
        }
        if self.mishap(2) {
            return self.restart();
        }
        self.save();
        if let Outcome::Confirmed(Some(force)) = outcome {
            assert!(force.force);
            self.send(force, false);
        }
    }

    /// Keeps the books of what the engine was told.
    pub(super) fn known(&mut self, outcome: &Outcome, token: String, dies: i64) {
        let before = self.told.take();
        let generation = match (&before, outcome) {
            (Some((generation, old, _)), Outcome::Confirmed(_)) => {
                assert_eq!(*old, token, "confirmed, but another value");
                *generation
            }
            (Some((generation, old, _)), _) => {
                assert_ne!(*old, token, "new, but the same value");
                generation + 1
            }
            (None, outcome) => {
                assert_eq!(*outcome, Outcome::New);
                self.engine.saved(self.now()).generation
            }
        };
        self.told = Some((generation, token, dies));
    }

    pub(super) fn returned(&mut self, call: &Call) {
        if self.source == Source::Ticket || self.wechat.accepts(self.t, &call.token) {
            return;
        }
        let want = self.engine.rejected(self.now(), call.generation, 40001);
        if let Some((newest, ..)) = self.told.as_ref().filter(|told| self.t < told.2)
            && *newest != call.generation
        {
            assert_eq!(want, Want::Use(*newest), "a better value is known");
        }
        if let Want::Fetch(fetch) = want {
            assert!(!fetch.force, "forced before it was asked for without");
            let apart = self.reactive.replace(self.t).map_or(i64::MAX, |last| self.t - last);
            assert!(
                self.source != Source::Token || apart >= 30 * SECOND,
                "a token each {apart} ms"
            );
        }
        if let Some((generation, token)) = self.follow(want) {
            assert_ne!(generation, call.generation, "the value that was just rejected");
            assert_ne!(token, call.token);
        }
    }
}
