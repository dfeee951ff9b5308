//! What an answer changes.

use super::clock::{Moment, Now};
use super::value::{Digest, Value};
use super::{Engine, Fetch, Flight, Held, Issued, Outcome, Source, backoff};
use crate::limits;
use std::time::Duration;
use wxedge_wechat::api::errcode::{Pause, Refusal};

impl Engine {
    /// What became of a fetch. A ticket's fetch that met a rejected access token repeats with a new one before it
    /// gives up here.
    pub fn fetched(
        &mut self,
        now: Now,
        flight: u64,
        answer: Result<Issued, Refusal>,
        jitter: f64,
    ) -> Outcome {
        let Some(flight) = self.flight.take_if(|running| running.id == flight) else {
            return Outcome::Ignored;
        };
        match answer {
            Ok(issued) if issued.expires_in_s > 0 && !issued.value.expose().is_empty() => {
                self.issued(now, &flight, issued, jitter)
            }
            Ok(_) => {
                let refusal = Refusal::unanswered(
                    self.policy.source.asked(),
                    "the answer has no value with a life",
                );
                self.failed(now, &flight, refusal, jitter)
            }
            Err(refusal) => self.failed(now, &flight, refusal, jitter),
        }
    }

    fn issued(&mut self, now: Now, flight: &Flight, issued: Issued, jitter: f64) -> Outcome {
        let at = now.moment();
        let seconds = Duration::from_secs(issued.expires_in_s.unsigned_abs());
        // WeChat counted from before the answer was on its way.
        let expires = flight.began.plus(seconds.min(limits::CREDENTIAL_LIFE));
        self.schedule(at, expires, jitter);
        if expires.since(at) < limits::CREDENTIAL_SHORT_LIFE {
            self.back_off(at, Pause::Backoff, jitter);
        } else {
            self.failures = 0;
            self.pause = Moment::PAST;
        }
        self.trouble = None;
        self.unsettled = false;
        let digest = Digest::of(issued.value.expose());
        if let Some(value) = self.value.as_mut().filter(|value| value.digest == digest) {
            value.confirmed = at;
            value.expires = expires;
            value.restored = false;
            return Outcome::Confirmed(self.confirmed(now, flight));
        }
        self.generation += 1;
        let (secret, generation) = (issued.value, self.generation);
        let new = Value {
            secret,
            digest,
            generation,
            fetched: at,
            confirmed: at,
            expires,
            restored: false,
        };
        let rejected = self.rejected.take();
        self.held = None;
        let Some(old) = self.value.replace(new) else {
            return Outcome::New;
        };
        self.replaced.push(old.digest, at);
        let ours = flight.force || flight.unsettled || old.restored || !flight.early;
        let foreign = match self.policy.source {
            Source::StableToken => !ours,
            Source::Token => !ours && rejected.is_some(),
            Source::Ticket => false,
        };
        if foreign { Outcome::Foreign } else { Outcome::New }
    }

    /// The value came back; if it was rejected, it is forced or held.
    fn confirmed(&mut self, now: Now, flight: &Flight) -> Option<Fetch> {
        let errcode = self.rejected?;
        let may_force = self.policy.source == Source::StableToken
            && !flight.force
            && self.forced.opens() <= now.moment()
            && self.pause <= now.moment();
        if may_force {
            return Some(self.begin(now, true));
        }
        self.hold(now.moment(), errcode);
        None
    }

    fn hold(&mut self, at: Moment, errcode: i64) {
        self.rejected = None;
        self.held = Some(Held { until: at.plus(limits::CONFIRMED_HOLD), errcode });
    }

    fn failed(&mut self, now: Now, flight: &Flight, refusal: Refusal, jitter: f64) -> Outcome {
        let at = now.moment();
        self.due = self.due.min(at);
        if refusal.errcode().is_some() {
            // WeChat said no, so this fetch changed nothing.
            self.unsettled = flight.unsettled;
        }
        if flight.configuration != self.policy.configuration {
            return Outcome::Ignored;
        }
        if flight.force
            && refusal.is_quota()
            && let Some(pause) = backoff::pause(refusal.pause(), 1, jitter)
        {
            // Only forcing is used up. The value is held, and refreshed in its time.
            self.forced.close(at.plus(pause));
            if let Some(errcode) = self.rejected {
                self.hold(at, errcode);
            }
            if let Some(value) = &self.value {
                self.schedule(at, value.expires, jitter);
            }
            return Outcome::Failed;
        }
        self.back_off(at, refusal.pause(), jitter);
        self.trouble = Some(refusal);
        Outcome::Failed
    }

    fn schedule(&mut self, at: Moment, expires: Moment, jitter: f64) {
        self.due = expires.minus(backoff::ahead(expires.since(at), jitter));
    }

    fn back_off(&mut self, at: Moment, pause: Pause, jitter: f64) {
        self.failures = self.failures.saturating_add(1);
        let pause = backoff::pause(pause, self.failures, jitter);
        self.pause = pause.map_or(Moment::NEVER, |pause| at.plus(pause));
    }

    /// A fetch that nobody answered for is over.
    pub(super) fn give_up(&mut self, now: Now) {
        let lost =
            |flight: &mut Flight| now.moment().since(flight.began) >= limits::CREDENTIAL_FETCH;
        if let Some(flight) = self.flight.take_if(lost) {
            let refusal = Refusal::unanswered(self.policy.source.asked(), "the fetch was lost");
            self.failed(now, &flight, refusal, 1.0);
        }
    }
}
