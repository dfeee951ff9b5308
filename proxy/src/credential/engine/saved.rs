//! What of a credential outlives the process.
//!
//! The clock may have been set meanwhile. Set forward, a value looks older than it is and is fetched again. Set back, it
//! would look younger: no value gets more life than WeChat gave it, `stable_token` is asked at once, which tells
//! the rest of its life and makes no new one, and what else was counted is taken as done just now.

use super::clock::{Moment, Now, span};
use super::value::{Digest, Value};
use super::{Engine, Policy, Source, backoff};
use crate::config::Secret;
use crate::limits;
use serde::{Deserialize, Serialize};
use wxedge_wechat::api::errcode::{Answer, Refusal};

/// What to keep. Times are Unix milliseconds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Saved {
    /// Of which configuration; see [`Policy::configuration`].
    pub configuration: u64,
    /// The number of the last value.
    pub generation: u64,
    /// The value there is.
    pub value: Option<SavedValue>,
    /// Tokens replaced within 24 hours, and when; oldest first.
    pub replaced: Vec<(Digest, i64)>,
    /// Forced refreshes within 24 hours, oldest first.
    pub forced: Vec<i64>,
    /// Fetches of the `token` endpoint because a token was rejected, within 24 hours, oldest first.
    pub reactive: Vec<i64>,
    /// A fetch that may have changed the token had no answer yet.
    pub unsettled: bool,
    /// Errcode and message of the refusal that stopped it.
    pub stopped: Option<(i64, String)>,
}

/// The value in [`Saved`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SavedValue {
    /// The token or ticket.
    #[serde(serialize_with = "Secret::expose_to")]
    pub secret: Secret,
    /// When it was first handed out.
    pub fetched: i64,
    /// When WeChat last handed it out.
    pub confirmed: i64,
    /// When it expires.
    pub expires: i64,
}

impl Engine {
    /// What to keep: after every [`Engine::fetched`], and before a forced fetch is sent.
    pub fn saved(&self, now: Now) -> Saved {
        let unix = |moment: Moment| now.unix_ms_at(moment);
        let within = |moments: &mut dyn Iterator<Item = Moment>| moments.map(unix).collect();
        Saved {
            configuration: self.policy.configuration,
            generation: self.generation,
            value: self.value.as_ref().map(|value| SavedValue {
                secret: value.secret.clone(),
                fetched: unix(value.fetched),
                confirmed: unix(value.confirmed),
                expires: unix(value.expires),
            }),
            replaced: self
                .replaced
                .kept(now.moment())
                .map(|(digest, at)| (digest, unix(at)))
                .collect(),
            forced: within(&mut self.forced.spent()),
            reactive: within(&mut self.reactive.spent()),
            unsettled: self.unsettled,
            stopped: self
                .trouble
                .as_ref()
                .filter(|_| self.is_stopped())
                .and_then(|refusal| Some((refusal.errcode()?, refusal.message().to_owned()))),
        }
    }

    /// An engine that goes on where an earlier process ended. A stop holds unless the configuration is another.
    pub fn restore(policy: Policy, now: Now, saved: Saved, jitter: f64) -> Engine {
        let mut engine = Engine::new(policy);
        let at = now.moment();
        engine.generation = saved.generation;
        engine.unsettled = saved.unsettled;
        for (digest, replaced) in saved.replaced {
            engine.replaced.push(digest, now.past(replaced));
        }
        // The last one may have been closer than the clock says.
        let spent = |times: Vec<i64>| {
            let newest = times.len().saturating_sub(1);
            times.into_iter().enumerate().map(
                move |(index, time)| {
                    if index == newest { at } else { now.past(time) }
                },
            )
        };
        spent(saved.forced).for_each(|moment| engine.forced.spend(moment));
        spent(saved.reactive).for_each(|moment| engine.reactive.spend(moment));
        if let Some(value) = saved.value {
            let life = span(value.fetched.max(value.confirmed), value.expires)
                .min(limits::CREDENTIAL_LIFE);
            let left = span(now.unix_ms, value.expires).min(life);
            let expires = at.plus(left);
            engine.begun = now.past(value.fetched);
            engine.due = match policy.source {
                Source::StableToken => at,
                Source::Token | Source::Ticket => expires.minus(backoff::ahead(left, jitter)),
            };
            engine.value = Some(Value {
                digest: Digest::of(value.secret.expose()),
                secret: value.secret,
                generation: saved.generation,
                fetched: now.past(value.fetched),
                confirmed: now.past(value.confirmed),
                expires,
                restored: true,
            });
        }
        if let Some((errcode, errmsg)) = saved.stopped
            && saved.configuration == policy.configuration
        {
            let answer = Answer { errcode, errmsg: errmsg.into() };
            engine.trouble = Some(Refusal::answered(policy.source.asked(), &answer));
            engine.pause = Moment::NEVER;
        }
        engine
    }
}
