//! What the edge's event stream says. Names and fields are those of the wire; what this version does not know is skipped.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// One event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", content = "data", rename_all = "snake_case")]
pub enum Event {
    /// The stream has begun.
    Hello {
        /// The edge's version.
        version: String,
    },
    /// What happened to an account's callbacks in a second; nothing comes for a second without any.
    Summary(Summary),
    /// A callback that did not end well; at most ten a second and account come.
    Failure(Failure),
    /// An app's circuit has changed.
    Circuit {
        /// Whose app.
        account: String,
        /// `closed`, `open`, `probing`.
        state: String,
    },
    /// Something happened to an entry of the spool; at most ten a second, account and action come.
    Spool {
        /// Whose; an appid when no account has it any more.
        account: String,
        /// `spooled`, `retry`, `delivered`, `dead`, `replayed`, `deleted`, …
        action: String,
        /// The entry.
        id: String,
        /// One word.
        #[serde(default)]
        reason: String,
        /// Bytes of the app's answer that failed.
        #[serde(default)]
        response_length: u64,
        /// How that begins.
        #[serde(default)]
        response: String,
    },
    /// A token or ticket was asked for.
    Token {
        /// Whose.
        account: String,
        /// `access_token`, `jsapi`, `wx_card`.
        credential: String,
        /// `new`, `confirmed` (the one there is, again), `foreign` (another system had it made), `failed`.
        result: String,
        /// WeChat's, when it gave one.
        errcode: Option<i64>,
        /// What to do about it.
        action: Option<String>,
    },
    /// One of WeChat's servers is reached again, or not any more.
    ApiBase {
        /// Its origin.
        base: String,
        /// Whether it is reached.
        up: bool,
    },
    /// The edge has read its configuration again.
    Reload {
        /// `ok` or `refused`.
        result: String,
        /// Why it was refused.
        error: Option<String>,
    },
    /// This many events were lost, because they were not read in time.
    Lost {
        /// How many.
        n: u64,
    },
}

/// A second of an account.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Whose.
    pub account: String,
    /// Callbacks by outcome.
    pub outcomes: BTreeMap<String, u64>,
    /// Callbacks by kind of message.
    #[serde(default)]
    pub kinds: BTreeMap<String, u64>,
    /// First deliveries that the app failed, by reason: `connect`, `timeout`, `status`, `invalid`, …
    #[serde(default)]
    pub failures: BTreeMap<String, u64>,
    /// The longest that a callback took, in milliseconds.
    #[serde(default)]
    pub slowest_ms: f64,
}

impl Summary {
    /// How many callbacks ended so.
    pub fn outcome(&self, name: &str) -> u64 {
        self.outcomes.get(name).copied().unwrap_or(0)
    }
}

/// A callback that did not end well.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// Whose.
    pub account: String,
    /// How it ended.
    pub outcome: String,
    /// Why, one word.
    pub reason: String,
    /// Its kind of message.
    pub kind: String,
    /// Who sent it.
    pub peer: IpAddr,
    /// How long it took.
    pub duration_ms: u64,
    /// Bytes of the app's answer.
    pub response_length: u64,
    /// How that begins.
    pub response: String,
}

impl std::fmt::Debug for Failure {
    /// Without the app's answer, which may be about a person.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Failure { account, outcome, reason, .. } = self;
        write!(f, "Failure({account}, {outcome}, {reason})")
    }
}

impl Event {
    /// Reads an event of the stream; nothing when this version does not know it.
    pub fn parse(name: &str, data: &str) -> Option<Event> {
        let data: serde_json::Value = serde_json::from_str(data).ok()?;
        serde_json::from_value(serde_json::json!({"event": name, "data": data})).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_as_the_edge_writes_them() {
        let event = Event::parse("hello", r#"{"t":1.5,"account":null,"version":"0.1.0"}"#);
        assert_eq!(event, Some(Event::Hello { version: "0.1.0".to_owned() }));
        let data = r#"{"account":"main","outcomes":{"replied":2},"kinds":{"text":2},
            "failures":{"connect":1},"slowest_ms":1.25,"t":1700000000.123}"#;
        let Some(Event::Summary(summary)) = Event::parse("summary", data) else { panic!() };
        assert_eq!((summary.outcome("replied"), summary.outcome("held")), (2, 0));
        assert_eq!(summary.failures["connect"], 1);
        let data = r#"{"account":"main","credential":"access_token","result":"failed",
            "errcode":40164,"action":"add the address","t":1}"#;
        assert!(matches!(
            Event::parse("token", data),
            Some(Event::Token { errcode: Some(40164), .. })
        ));
    }

    #[test]
    fn what_is_not_known_is_skipped() {
        assert_eq!(Event::parse("confetti", "{}"), None);
        assert_eq!(Event::parse("hello", "{}"), None);
        assert_eq!(Event::parse("hello", "no JSON"), None);
    }
}
