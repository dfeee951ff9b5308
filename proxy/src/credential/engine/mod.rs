//! The life of one credential of one account: an access token, a `jsapi` or a `wx_card` ticket.
//!
//! Pure: no I/O, no clock, no randomness. The caller says what the time is and what happened, does the fetches that the
//! engine orders, and keeps what [`Engine::saved`] gives. One fetch runs at a time; every order to fetch is answered
//! with [`Engine::fetched`], and one that never is counts as lost after [`limits::CREDENTIAL_FETCH`].
//!
//! | event | what follows |
//! |---|---|
//! | a value grows old | it is refreshed 300 to 210 s ahead and serves until its expiry, never longer |
//! | a fetch fails | a pause by the class of the error, at most an hour; some errors stop it until somebody acts |
//! | a value is rejected | asked without force: a new value is used at once, also when another system made it |
//! | the rejected value comes back | it is forced, 20 times in 24 hours and 30 s apart; else held for 30 s |
//!
//! WeChat's rules: `stable_token` hands out the same token until its last 5 minutes
//! (<https://developers.weixin.qq.com/doc/service/api/base/api_getstableaccesstoken>), `token` a new one each time, with the
//! old one valid for 5 minutes (<https://developers.weixin.qq.com/doc/service/api/base/api_getaccesstoken>).

mod allowance;
mod backoff;
mod clock;
mod landing;
mod saved;
mod status;
mod terms;
mod value;

pub use clock::Now;
pub use saved::{Saved, SavedValue};
pub use status::{State, Status};
pub use terms::{Fetch, Issued, Outcome, Policy, Source, Want, Why};
pub use value::{Digest, Value};

use crate::limits;
use allowance::Allowance;
use clock::Moment;
use std::time::Duration;
use value::Replaced;
use wxedge_wechat::api::errcode::Refusal;

/// One credential.
#[derive(Debug)]
pub struct Engine {
    policy: Policy,
    value: Option<Value>,
    /// Of the last value.
    generation: u64,
    replaced: Replaced,
    flight: Option<Flight>,
    flights: u64,
    /// When the last fetch began.
    begun: Moment,
    /// When the value wants to be refreshed.
    due: Moment,
    /// No fetch before this but an operator's; [`Moment::NEVER`] is a stop.
    pause: Moment,
    /// Fetches in a row that failed or brought too short a life.
    failures: u32,
    /// Why the last fetch failed.
    trouble: Option<Refusal>,
    /// How the value was rejected since WeChat last handed it out.
    rejected: Option<i64>,
    held: Option<Held>,
    forced: Allowance,
    /// Where every fetch makes a new token: those because of a rejection.
    reactive: Allowance,
    /// Young values in a row that were rejected, and when the last of them was asked about.
    streak: u32,
    streak_at: Moment,
    /// Somebody has asked since the last fetch began.
    demanded: bool,
    /// A fetch that may have changed the token is without an answer.
    unsettled: bool,
}

/// A fetch that runs.
#[derive(Debug)]
struct Flight {
    id: u64,
    force: bool,
    began: Moment,
    configuration: u64,
    /// The value there was had long to live.
    early: bool,
    /// What [`Engine::unsettled`] was when it began.
    unsettled: bool,
}

/// A value that was rejected and came back.
#[derive(Debug, Clone, Copy)]
struct Held {
    until: Moment,
    errcode: i64,
}

/// WeChat changes a token in its last 5 minutes by itself; the rest is for the time that answers take.
const EARLY: Duration = Duration::from_secs(300 + 30);

impl Engine {
    /// A credential of which nothing is known.
    pub fn new(policy: Policy) -> Engine {
        Engine {
            policy,
            value: None,
            generation: 0,
            replaced: Replaced::default(),
            flight: None,
            flights: 0,
            begun: Moment::PAST,
            due: Moment::PAST,
            pause: Moment::PAST,
            failures: 0,
            trouble: None,
            rejected: None,
            held: None,
            forced: Allowance::new(limits::FORCED_FETCHES, limits::FORCED_SPACING),
            reactive: Allowance::new(limits::REACTIVE_FETCHES, limits::REACTIVE_SPACING),
            streak: 0,
            streak_at: Moment::PAST,
            demanded: false,
            unsettled: false,
        }
    }

    /// The value there is; none beyond its expiry.
    pub fn value(&self, now: Now) -> Option<&Value> {
        self.value.as_ref().filter(|value| now.moment() < value.expires)
    }

    /// The digests of the value there is and of those replaced within the last 24 hours.
    pub fn digests(&self, now: Now) -> impl Iterator<Item = Digest> {
        let replaced = self.replaced.kept(now.moment()).map(|(digest, _)| digest);
        self.value.iter().map(|value| value.digest).chain(replaced)
    }

    /// Takes over a new configuration. With another secret a stop ends and failures are forgotten.
    pub fn configure(&mut self, policy: Policy) {
        if policy.configuration != self.policy.configuration {
            self.resume();
            // Whether the new secret is right is seen now and not in two hours; `stable_token` makes no new token for it.
            if self.trouble.is_some() || self.policy.source == Source::StableToken {
                self.due = Moment::PAST;
            }
        }
        self.policy = policy;
    }

    /// What is to be fetched now of its own accord: ahead of expiry, for want of a value, or again after a failure.
    pub fn due(&mut self, now: Now) -> Option<Fetch> {
        self.give_up(now);
        let due = self.flight.is_none() && self.next().is_some_and(|next| next <= now.moment());
        due.then(|| self.begin(now, false))
    }

    /// How long until [`Engine::due`] has something to do; none until something else happens.
    #[cfg(test)]
    fn due_in(&self, now: Now) -> Option<Duration> {
        let next = match &self.flight {
            Some(flight) => Some(flight.began.plus(limits::CREDENTIAL_FETCH)),
            None => self.next(),
        };
        next.map(|next| next.since(now.moment()))
    }

    /// Somebody needs a value.
    pub fn wanted(&mut self, now: Now) -> Want {
        self.give_up(now);
        self.demanded = true;
        if let Some(value) = self.value(now) {
            return Want::Use(value.generation);
        }
        if self.flight.is_some() {
            return Want::Wait;
        }
        match self.closed(now, self.pause) {
            Some(why) => Want::Refused(why),
            None => Want::Fetch(self.begin(now, false)),
        }
    }

    /// WeChat answered a call, made with the value of this generation, with 40001, 40014 or 42001.
    pub fn rejected(&mut self, now: Now, generation: u64, errcode: i64) -> Want {
        self.give_up(now);
        let at = now.moment();
        let Some(value) = self.value(now).filter(|value| value.generation == generation) else {
            return self.wanted(now);
        };
        let young = at.since(value.fetched) < limits::REACTIVE_PEACE;
        if self.held.is_some_and(|held| at < held.until) {
            return Want::Refused(Why::Confirmed);
        }
        self.rejected = Some(errcode);
        if self.flight.is_some() {
            return Want::Wait;
        }
        if !young {
            self.streak = 0;
        }
        let mut opens = self.pause;
        if let Some(more) = self.streak.checked_sub(limits::REACTIVE_AT_ONCE) {
            opens = opens.max(self.streak_at.plus(backoff::exponential(more + 1)));
        }
        if self.policy.source == Source::Token {
            opens = opens.max(self.reactive.opens());
        }
        if let Some(why) = self.closed(now, opens) {
            return Want::Refused(why);
        }
        self.streak = self.streak.saturating_add(1);
        self.streak_at = at;
        if self.policy.source == Source::Token {
            self.reactive.spend(at);
        }
        Want::Fetch(self.begin(now, false))
    }

    /// An operator asks for a refresh: a stop and every pause end.
    pub fn operator(&mut self, now: Now) -> Want {
        self.give_up(now);
        self.resume();
        match self.flight {
            Some(_) => Want::Wait,
            None => Want::Fetch(self.begin(now, false)),
        }
    }

    fn begin(&mut self, now: Now, force: bool) -> Fetch {
        let began = now.moment();
        let early = self.value.as_ref().is_some_and(|value| value.expires.since(began) > EARLY);
        self.flights += 1;
        let id = self.flights;
        let unsettled = self.unsettled;
        let configuration = self.policy.configuration;
        self.flight = Some(Flight { id, force, began, configuration, early, unsettled });
        self.begun = began;
        self.demanded = false;
        if force {
            self.forced.spend(began);
        }
        if force || self.policy.source == Source::Token {
            self.unsettled = true;
        }
        Fetch { flight: id, force }
    }

    /// When the next fetch begins of its own accord.
    fn next(&self) -> Option<Moment> {
        let wanted = self.policy.source != Source::Ticket || self.demanded;
        let due = if self.value.is_some() { self.due } else { Moment::PAST };
        (wanted && !self.is_stopped()).then_some(due.max(self.pause))
    }

    /// Why nothing may be fetched, if it may not before `opens`.
    fn closed(&self, now: Now, opens: Moment) -> Option<Why> {
        if self.is_stopped() {
            return Some(Why::Stopped);
        }
        let pause = opens.since(now.moment());
        (!pause.is_zero()).then_some(Why::Pausing(pause))
    }

    fn is_stopped(&self) -> bool {
        self.pause == Moment::NEVER
    }

    fn resume(&mut self) {
        self.pause = Moment::PAST;
        self.failures = 0;
        self.streak = 0;
        self.held = None;
    }
}

#[cfg(test)]
mod tests;
