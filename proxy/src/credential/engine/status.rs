//! What operators see of a credential.

use super::{Engine, Now};

/// How a credential is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// There is a value, and nothing is wrong.
    Ok,
    /// There is none, and nobody has been refused one: it was not asked for, or is being fetched.
    None,
    /// The last fetch failed, or WeChat rejects the very value that it hands out. A value there may be all the same.
    Failing,
}

/// The status of a credential; tells nothing of its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// How it is.
    pub state: State,
    /// When the value there expires, in Unix seconds; none without one.
    pub expires: Option<i64>,
    /// WeChat's error, while it is failing and WeChat said one.
    pub errcode: Option<i64>,
    /// What to do about it, while it is failing.
    pub action: Option<String>,
}

const REJECTED_ACTION: &str = "Wait: WeChat rejects the very token that it hands out, and it cannot be forced to make another yet.";

impl State {
    /// The name in `/v1/status`.
    pub fn name(self) -> &'static str {
        match self {
            State::Ok => "ok",
            State::None => "none",
            State::Failing => "failing",
        }
    }
}

impl Engine {
    /// How the credential is.
    pub fn status(&self, now: Now) -> Status {
        let value = self.value(now);
        let expires = value.map(|value| now.unix_ms_at(value.expires).div_euclid(1000));
        let held = self.held.filter(|held| now.moment() < held.until);
        let (state, errcode, action) = if let Some(refusal) = &self.trouble {
            (State::Failing, refusal.errcode(), Some(refusal.action()))
        } else if let Some(held) = held {
            (State::Failing, Some(held.errcode), Some(REJECTED_ACTION.to_owned()))
        } else if value.is_some() {
            (State::Ok, None, None)
        } else {
            (State::None, None, None)
        };
        Status { state, expires, errcode, action }
    }
}
