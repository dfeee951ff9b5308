//! One callback's entry in metrics, log and event stream: made in one place, once, so that they can never disagree.

use super::admit;
use crate::account::Account;
use crate::config::SourceIp;
use crate::connection::Arrival;
use crate::edge::Edge;
use crate::events::Failed;
use crate::outcome::Outcome;
use bytes::Bytes;
use serde::Serialize;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use wxedge_wechat::message::{Kind, Message};

/// What is to be said about how a callback ended, besides its outcome.
#[derive(Default)]
pub struct Notes {
    /// One word from a closed list.
    pub reason: &'static str,
    /// The app took the message but its reply was no reply.
    pub invalid: bool,
    /// The app's answer, if it was not a good one.
    pub response: Bytes,
}

/// Begun with a callback, finished with its outcome. Dropped unfinished, as after a panic, it counts as `unavailable`.
#[derive(Debug)]
pub struct Record {
    edge: Arc<Edge>,
    account: Arc<Account>,
    arrival: Arrival,
    source: IpAddr,
    /// `source_ip = "report"` would have refused it under `enforce`.
    unlisted: bool,
    kind: Kind,
    notes: Notes,
    request_id: String,
    ce_id: String,
    user: Option<String>,
    bytes_in: usize,
    read: Option<Instant>,
    parsed: Option<Instant>,
    answered: Option<Instant>,
    finished: bool,
}

/// The access log's line.
#[derive(Serialize)]
struct Line<'a> {
    ts: f64,
    request_id: &'a str,
    account: &'a str,
    kind: &'static str,
    outcome: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    reason: &'static str,
    status: u16,
    source: IpAddr,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    source_unlisted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    ce_id: &'a str,
    bytes_in: usize,
    bytes_out: usize,
    read_ms: f64,
    protocol_ms: f64,
    app_ms: f64,
    total_ms: f64,
}

impl Record {
    /// A callback has come in.
    pub fn begin(
        edge: &Arc<Edge>,
        account: &Arc<Account>,
        arrival: Arrival,
        source: IpAddr,
        request_id: String,
    ) -> Record {
        let unlisted =
            account.config.source_ip == SourceIp::Report && !admit::is_listed(account, source);
        Record {
            edge: edge.clone(),
            account: account.clone(),
            arrival,
            source,
            kind: Kind::Unknown,
            unlisted,
            notes: Notes::default(),
            request_id,
            ce_id: String::new(),
            user: None,
            bytes_in: 0,
            read: None,
            parsed: None,
            answered: None,
            finished: false,
        }
    }

    /// Who sent it.
    pub fn source(&self) -> IpAddr {
        self.source
    }

    /// What there is to say about its end.
    pub fn notes(&mut self) -> &mut Notes {
        &mut self.notes
    }

    /// It was read whole.
    pub fn read(&mut self, bytes: usize) {
        self.bytes_in = bytes;
        self.read = Some(Instant::now());
    }

    /// It is a URL verification.
    pub fn is_verification(&mut self) {
        self.kind = Kind::Verification;
    }

    /// It is this message.
    pub fn parsed(&mut self, message: &Message<'_>, ce_id: &str) {
        self.account.metrics.last_received.set(super::unix_now_s());
        self.kind = message.kind();
        self.ce_id = ce_id.to_owned();
        self.user = message.subject().map(|openid| self.edge.openid.hash(openid));
        self.parsed = Some(Instant::now());
    }

    /// The app answered, or will not be waited for any longer.
    pub fn app_answered(&mut self) {
        self.answered = Some(Instant::now());
    }

    /// It is over.
    pub fn finish(mut self, outcome: Outcome, bytes_out: usize) {
        self.record(outcome, bytes_out);
    }

    fn record(&mut self, outcome: Outcome, bytes_out: usize) {
        self.finished = true;
        let took = self.arrival.first_byte.elapsed();
        let metrics = &self.account.metrics;
        // The count last: who sees it finds the rest.
        metrics.duration.observe(took.as_secs_f64());
        metrics.callbacks(self.kind, outcome).inc();
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.account.slowest_us.fetch_max(us, Ordering::Relaxed);
        if outcome.is_failure() || self.notes.invalid {
            self.edge.events.failure(&Failed {
                account: &self.account.config.name,
                outcome: outcome.label(),
                reason: self.notes.reason,
                kind: self.kind.label(),
                peer: self.source,
                took,
                response: &self.notes.response,
            });
        }
        let read = self.read.unwrap_or(self.arrival.first_byte);
        let parsed = self.parsed.unwrap_or(read);
        let answered = self.answered.unwrap_or(parsed);
        let line = Line {
            ts: crate::lines::unix_now(),
            request_id: &self.request_id,
            account: &self.account.config.name,
            kind: self.kind.label(),
            outcome: outcome.label(),
            reason: self.notes.reason,
            status: outcome.status(),
            source: self.source,
            source_unlisted: self.unlisted,
            user: self.user.as_deref(),
            ce_id: &self.ce_id,
            bytes_in: self.bytes_in,
            bytes_out,
            read_ms: ms(read.duration_since(self.arrival.first_byte)),
            protocol_ms: ms(parsed.duration_since(read)),
            app_ms: ms(answered.duration_since(parsed)),
            total_ms: ms(took),
        };
        // Plain fields into memory cannot fail.
        let json = serde_json::to_vec(&line).unwrap_or_default();
        self.edge.log.add(|log| log.extend_from_slice(&json));
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if !self.finished {
            self.notes.reason = "cancelled";
            self.record(Outcome::Unavailable, 0);
        }
    }
}

/// Milliseconds, to the microsecond.
fn ms(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1_000.0
}
