//! One callback's entry in metrics, log and event stream: made in one place, once, so that they can never disagree.

use super::{Facts, admit};
use crate::account::Account;
use crate::config::SourceIp;
use crate::connection::Arrival;
use crate::edge::Edge;
use crate::events::Failed;
use crate::lines::Line;
use crate::outcome::Outcome;
use crate::upstream::Failure;
use bytes::Bytes;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;
use wxedge_wechat::hex::Hex;
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
    /// Its HTTP status.
    pub app_status: Option<u16>,
    /// The app will never take the message, which is a dead letter now.
    pub dead_letter: bool,
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
    request_id: Hex<32>,
    ce_id: Option<Hex<32>>,
    user: Option<String>,
    bytes_in: usize,
    read: Option<Instant>,
    parsed: Option<Instant>,
    answered: Option<Instant>,
    finished: bool,
}

impl Record {
    /// A callback has come in.
    pub fn begin(
        edge: &Arc<Edge>,
        account: &Arc<Account>,
        arrival: Arrival,
        source: IpAddr,
        request_id: Hex<32>,
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
            ce_id: None,
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
    pub fn parsed(&mut self, message: &Message<'_>, facts: &Facts) {
        self.account.metrics.last_received.set(facts.now_s);
        self.kind = message.kind();
        self.ce_id = Some(facts.ce_id);
        self.user = message.subject().map(|openid| self.edge.openid.hash(openid));
        self.parsed = Some(Instant::now());
    }

    /// The app answered, or will not be waited for any longer.
    pub fn app_answered(&mut self) {
        self.answered = Some(Instant::now());
    }

    /// How the app failed this callback, if it did. One that is held has not ended for the app.
    fn fallen(&self, outcome: Outcome) -> Option<&'static str> {
        match outcome {
            _ if self.notes.invalid => Some(Failure::Invalid.reason()),
            Outcome::FallbackDeadline => Some(Failure::Timeout.reason()),
            Outcome::FallbackError => Some(self.notes.reason),
            _ => None,
        }
    }

    /// It is over.
    pub fn finish(mut self, outcome: Outcome, bytes_out: usize) {
        self.record(outcome, bytes_out);
    }

    fn record(&mut self, outcome: Outcome, bytes_out: usize) {
        self.finished = true;
        let took = self.arrival.first_byte.elapsed();
        let metrics = &self.account.metrics;
        // Before the outcome: the summary takes both, in the other order.
        if let Some(reason) = self.fallen(outcome) {
            self.account.count_fallen(reason);
        }
        metrics.duration.observe(took.as_secs_f64());
        // The count last: who sees it finds the rest.
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
        let mut line = Line::begin();
        line.text("request_id", &self.request_id);
        line.text("account", &self.account.config.name);
        line.text("kind", self.kind.label());
        line.text("outcome", outcome.label());
        if !self.notes.reason.is_empty() {
            line.text("reason", self.notes.reason);
        }
        line.integer("status", outcome.status().into());
        if let Some(status) = self.notes.app_status {
            line.integer("app_status", status.into());
        }
        if self.notes.dead_letter {
            line.holds("dead_letter");
        }
        line.address("source", self.source);
        if self.unlisted {
            line.holds("source_unlisted");
        }
        if let Some(user) = &self.user {
            line.text("user", user);
        }
        if let Some(ce_id) = &self.ce_id {
            line.text("ce_id", ce_id);
        }
        line.integer("bytes_in", self.bytes_in as i64);
        line.integer("bytes_out", bytes_out as i64);
        line.ms("read_ms", read.duration_since(self.arrival.first_byte));
        line.ms("protocol_ms", parsed.duration_since(read));
        line.ms("app_ms", answered.duration_since(parsed));
        line.ms("total_ms", took);
        self.edge.log.add(|log| log.extend_from_slice(&line.end()));
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
