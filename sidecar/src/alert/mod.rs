//! Alerts: what WeChat would have said, and what only the edge knows.
//!
//! Pure: a function of observations and time, without I/O or a clock, so that a recorded stream leads to the same alerts.

mod account;
mod app;
mod book;
mod cause;
mod dns;
mod edge;
mod engine;
mod kind;
mod looks;
mod overdue;
mod pairs;
mod pushing;
mod quota;
mod signatures;
mod spool;
#[cfg(test)]
mod tests;
mod token;
mod url;
mod window;
mod words;

pub use app::Reason;
pub use cause::Cause;
pub use engine::{Engine, Saved};
pub use kind::{Kind, Severity};

use crate::config::Language;
use crate::edge::event::Failure;
use crate::observation::excerpt;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::net::IpAddr;

/// Where an alert is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Seen, and not yet long or often enough to tell anybody.
    Pending,
    /// It is so.
    Firing,
    /// It was so; shown for 15 minutes more.
    Resolved,
}

/// One alert. Of each kind there is one for an account, and one for what is nobody's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// What it is about.
    pub kind: Kind,
    /// How bad.
    pub severity: Severity,
    /// Where it is.
    pub state: State,
    /// Whose.
    pub account: Option<String>,
    /// The account's.
    pub appid: Option<String>,
    /// The account's.
    pub nickname: Option<String>,
    /// First occurrence, in Unix seconds.
    pub time: i64,
    /// Last occurrence, in Unix seconds.
    pub last: i64,
    /// When it was over, in Unix seconds.
    pub resolved: Option<i64>,
    /// What is so, and what to do: in the words of [`Cause::description`] and [`Cause::action`].
    pub cause: Cause,
    /// Occurrences in the window.
    pub count: u64,
    /// That window, in seconds; 0 when what is counted is there now.
    pub window_s: u64,
    /// One occurrence.
    pub example: Option<Example>,
}

/// An alert whose state has changed.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// As it is now.
    pub alert: Alert,
    /// The state it was in; none when it is new.
    pub was: Option<State>,
}

/// One occurrence, as WeChat's alarms show one.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Example {
    /// Who sent the callback, or what was looked at.
    pub ip: Option<IpAddr>,
    /// Kind of message.
    pub msg_type: Option<String>,
    /// How the answer began; at most 200 characters.
    pub response: Option<String>,
    /// Bytes of the answer.
    pub response_length: Option<u64>,
}

impl std::fmt::Debug for Example {
    /// Without the answer, which may be about a person.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Example").field("msg_type", &self.msg_type).finish_non_exhaustive()
    }
}

impl Example {
    /// A callback that did not end well.
    fn of(failure: &Failure) -> Example {
        Example {
            ip: Some(failure.peer),
            msg_type: Some(failure.kind.clone()),
            response: (!failure.response.is_empty()).then(|| excerpt(&failure.response)),
            response_length: Some(failure.response_length),
        }
    }
}

impl Alert {
    /// What is so, in one or two sentences.
    pub fn description(&self, language: Language) -> String {
        self.cause.description(language)
    }

    /// The first thing to do.
    pub fn action(&self, language: Language) -> String {
        self.cause.action(language)
    }

    /// As `GET /alerts` shows it.
    pub fn to_json(&self, language: Language) -> Value {
        json!({
            "alert": self.kind.name(),
            "severity": self.severity,
            "state": self.state,
            "account": self.account,
            "appid": self.appid,
            "nickname": self.nickname,
            "time": self.time,
            "last": self.last,
            "resolved": self.resolved,
            "description": self.description(language),
            "action": self.action(language),
            "count": self.count,
            "window_s": self.window_s,
            "example": self.example,
        })
    }
}
