//! The spool's series.

use super::{add, counters, gauges};
use crate::spool::{Circuit, Orphan};
use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// Seconds. A sync of a quiet disk takes 0.1 ms; 500 ms lie between the default deadline and the last moment for an answer.
const WRITE_BUCKETS: &[f64] =
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];

/// What becomes of a redelivery.
const REDELIVERIES: [&str; 3] = ["taken", "failed", "dead"];

/// What becomes of replies that missed their callback or have no passive form.
const LATE_REPLIES: [&str; 9] = [
    "sent",
    "retried",
    "dropped",
    "content_dropped",
    "window",
    "refused",
    "maybe_sent",
    "gave_up",
    "lost",
];

/// The spool's series of all accounts.
#[derive(Debug)]
pub struct SpoolMetrics {
    entries: IntGaugeVec,
    oldest_seconds: IntGaugeVec,
    bytes: IntGauge,
    /// Seconds from the order to write an entry until it is on disk.
    pub write_seconds: Histogram,
    redeliveries: IntCounterVec,
    late_replies: IntCounterVec,
    circuit: IntGaugeVec,
    /// The appids of those that have series but no account.
    orphans: Mutex<BTreeSet<String>>,
}

/// The spool's series of one account.
#[derive(Debug)]
pub struct AccountSpoolMetrics {
    pending: IntGauge,
    dead: IntGauge,
    oldest_seconds: IntGauge,
    redeliveries: [IntCounter; REDELIVERIES.len()],
    late_replies: [IntCounter; LATE_REPLIES.len()],
    circuit: [IntGauge; Circuit::ALL.len()],
}

/// How a redelivery ended.
#[derive(Debug, Clone, Copy)]
pub enum Redelivery {
    /// The app has the message.
    Taken,
    /// It will be tried again.
    Failed,
    /// It is a dead letter.
    Dead,
}

/// What became of a reply.
#[derive(Debug, Clone, Copy)]
pub enum LateReply {
    /// WeChat has it.
    Sent,
    /// It was proven not to be sent and will be tried again.
    Retried,
    /// `late_reply.via = "drop"`, no AppSecret, or no form but the passive one.
    Dropped,
    /// The event takes no content.
    ContentDropped,
    /// The time in which WeChat takes it is over.
    Window,
    /// WeChat refused it for good.
    Refused,
    /// Nobody knows.
    MaybeSent,
    /// `spool.give_up_after_s`.
    GaveUp,
    /// The spool did not take it.
    Lost,
}

impl Redelivery {
    /// The name in metrics and log.
    pub fn label(self) -> &'static str {
        REDELIVERIES[self as usize]
    }
}

impl LateReply {
    /// The name in metrics and log.
    pub fn label(self) -> &'static str {
        LATE_REPLIES[self as usize]
    }
}

impl SpoolMetrics {
    pub(super) fn register(r: &Registry) -> Result<SpoolMetrics, prometheus::Error> {
        let seconds = HistogramOpts::new(
            "wxedge_spool_write_seconds",
            "From the order to write an entry until it is on disk",
        );
        Ok(SpoolMetrics {
            entries: add(
                r,
                IntGaugeVec::new(
                    Opts::new("wxedge_spool_entries", "Entries of the spool by state"),
                    &["account", "state"],
                ),
            )?,
            oldest_seconds: gauges(
                r,
                "wxedge_spool_oldest_seconds",
                "Age of the oldest pending entry",
                "account",
            )?,
            bytes: add(
                r,
                IntGauge::new("wxedge_spool_bytes", "What counts against spool.max_bytes"),
            )?,
            write_seconds: add(r, Histogram::with_opts(seconds.buckets(WRITE_BUCKETS.to_vec())))?,
            redeliveries: counters(
                r,
                "wxedge_redeliveries_total",
                "Calls to the app with entries of the spool, by result",
                &["account", "result"],
            )?,
            late_replies: counters(
                r,
                "wxedge_late_replies_total",
                "Replies that could not go out in time or had no passive form, by what became of them",
                &["account", "result"],
            )?,
            circuit: add(
                r,
                IntGaugeVec::new(
                    Opts::new("wxedge_circuit_state", "1 for the state the app's circuit is in"),
                    &["account", "state"],
                ),
            )?,
            orphans: Mutex::default(),
        })
    }

    /// Shows what waits of accounts that are not there any more, under their appids; `is_account` says what is the label of
    /// one that is.
    pub fn show_orphans(&self, orphans: &[Orphan], is_account: impl Fn(&str) -> bool) {
        let mut shown = self.orphans.lock().unwrap_or_else(PoisonError::into_inner);
        for appid in std::mem::take(&mut *shown) {
            if orphans.iter().all(|orphan| *orphan.appid != *appid) && !is_account(&appid) {
                for state in ["pending", "dead"] {
                    // An account of that name has come and gone, and they with it.
                    let _gone = self.entries.remove_label_values(&[&appid, state]);
                }
            }
        }
        for Orphan { appid, seen } in orphans.iter().filter(|orphan| !is_account(&orphan.appid)) {
            self.entries.with_label_values(&[appid, "pending"]).set(seen.pending as i64);
            self.entries.with_label_values(&[appid, "dead"]).set(seen.dead as i64);
            shown.insert(appid.to_string());
        }
    }

    pub(super) fn account(&self, account: &str) -> AccountSpoolMetrics {
        AccountSpoolMetrics {
            pending: self.entries.with_label_values(&[account, "pending"]),
            dead: self.entries.with_label_values(&[account, "dead"]),
            oldest_seconds: self.oldest_seconds.with_label_values(&[account]),
            redeliveries: REDELIVERIES
                .map(|result| self.redeliveries.with_label_values(&[account, result])),
            late_replies: LATE_REPLIES
                .map(|result| self.late_replies.with_label_values(&[account, result])),
            circuit: Circuit::ALL
                .map(|state| self.circuit.with_label_values(&[account, state.label()])),
        }
    }

    pub(super) fn forget(&self, account: &str, gone: impl Fn(prometheus::Result<()>)) {
        for state in ["pending", "dead"] {
            gone(self.entries.remove_label_values(&[account, state]));
        }
        gone(self.oldest_seconds.remove_label_values(&[account]));
        for result in REDELIVERIES {
            gone(self.redeliveries.remove_label_values(&[account, result]));
        }
        for result in LATE_REPLIES {
            gone(self.late_replies.remove_label_values(&[account, result]));
        }
        for state in Circuit::ALL {
            gone(self.circuit.remove_label_values(&[account, state.label()]));
        }
    }

    pub(super) fn bytes(&self, bytes: u64) {
        self.bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }
}

impl AccountSpoolMetrics {
    /// Counts a redelivery.
    pub fn redelivery(&self, result: Redelivery) {
        self.redeliveries[result as usize].inc();
    }

    /// Counts a reply.
    pub fn late_reply(&self, result: LateReply) {
        self.late_replies[result as usize].inc();
    }

    /// What is there now.
    pub fn show(&self, seen: &crate::spool::Seen) {
        self.pending.set(seen.pending as i64);
        self.dead.set(seen.dead as i64);
        self.oldest_seconds.set(seen.oldest_s as i64);
        for (gauge, state) in self.circuit.iter().zip(Circuit::ALL) {
            gauge.set((state == seen.circuit).into());
        }
    }
}
