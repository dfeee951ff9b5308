//! Why an alert is.

use super::app::Reason;
use crate::observation::FaultKind;
use serde::{Deserialize, Serialize};

/// Why, with the numbers and names that its words need. No secret, no openid, no whole URL.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "cause", rename_all = "snake_case")]
pub enum Cause {
    /// The app fails.
    App {
        /// How, mostly.
        reason: Reason,
        /// The app's host, and its port where that is known; empty while it is not.
        host: String,
        /// First deliveries in 300 s that failed so.
        failures: u64,
        /// First deliveries in 300 s.
        deliveries: u64,
        /// Callbacks in 300 s that were acknowledged without asking the app, because its circuit was open.
        unasked: u64,
        /// Whether it is open now.
        #[serde(default)]
        open: bool,
    },
    /// The public URL is not as WeChat needs it.
    Url {
        /// What is wrong.
        fault: FaultKind,
        /// What was looked at.
        target: String,
        /// The prober's words.
        detail: String,
        /// The HTTP status of the answer.
        status: Option<u16>,
    },
    /// The certificate of the public URL ends, or is over.
    Certificate {
        /// What was looked at.
        target: String,
        /// Whole days that are left; none when it is over.
        days: Option<u64>,
    },
    /// A name cannot be resolved.
    Name {
        /// The name.
        host: String,
        /// Others of which the same alert is; some of them, when they are many.
        #[serde(default)]
        others: Vec<String>,
        /// How: no answer, no such name, no address of use.
        fault: FaultKind,
        /// The prober's words.
        detail: String,
        /// The resolvers that fail; some of them, when they are many.
        failing: Vec<String>,
        /// How many fail.
        failed: u64,
        /// How many were asked.
        asked: u64,
        /// Whether the system's own is among those that fail.
        system: bool,
    },
    /// WeChat's own lookup of the callback's name finds nothing.
    NameAtWeChat {
        /// What WeChat looked at.
        target: String,
        /// Others of which the same alert is; some of them, when they are many.
        #[serde(default)]
        others: Vec<String>,
        /// The prober's words.
        detail: String,
    },
    /// The edge's admin API does not answer.
    Proxy {
        /// One word: `connect`, `timeout`, `unauthorized`, `status`, `invalid`.
        reason: String,
    },
    /// A token or ticket cannot be had.
    Token {
        /// `access_token`, `jsapi`, `wx_card`.
        credential: String,
        /// WeChat's; none when it was not reached.
        errcode: Option<i64>,
        /// What the edge says to do about it.
        action: Option<String>,
    },
    /// Another system has this account's tokens made.
    ForeignRefresh {
        /// Which one died early.
        credential: String,
    },
    /// A daily budget is nearly used up.
    Quota {
        /// The API's path.
        api: String,
        /// The client's name; empty when there are none.
        client: String,
        /// Calls today.
        used: u64,
        /// Calls a day.
        limit: u64,
    },
    /// Acknowledged messages wait for the app, or are given up.
    Backlog {
        /// How many wait.
        pending: u64,
        /// Since when the oldest one does, in seconds.
        oldest_s: u64,
        /// Dead letters.
        dead: u64,
    },
    /// Messages wait for an appid that no account has any more.
    Orphans {
        /// Whose they are.
        appid: String,
        /// How many wait.
        pending: u64,
        /// Dead letters.
        dead: u64,
    },
    /// The store fills up or cannot be written.
    Store {
        /// Whether it can be written.
        writable: bool,
        /// What it has.
        bytes: u64,
        /// What it may have.
        bytes_max: u64,
    },
    /// Callbacks are rejected.
    Signatures {
        /// For their signature, in 60 s.
        signature: u64,
        /// For their age or because they were seen before, in 60 s.
        replay: u64,
        /// Because no key decrypts them, in 60 s.
        decrypt: u64,
        /// By how many seconds the clock here is ahead of WeChat's, when that is too many.
        clock_ahead_s: Option<i64>,
    },
    /// WeChat is believed to have stopped pushing.
    MarkFail {
        /// No callback since so many seconds.
        silent_s: u64,
        /// Callbacks a minute that are usual.
        usual_per_minute: f64,
        /// Failures that WeChat saw before.
        visible: u64,
    },
    /// WeChat sees many failures.
    MarkFailRisk {
        /// How many.
        visible: u64,
        /// At how many it alarms.
        threshold: u64,
        /// In so many seconds.
        window_s: u64,
    },
}

impl Cause {
    /// Takes over what is so now from a look that counts nothing new.
    pub(super) fn keep_up(&mut self, now: &Cause) {
        if let (Cause::App { open, .. }, Cause::App { open: now, .. }) = (self, now) {
            *open = *now;
        }
    }
}
