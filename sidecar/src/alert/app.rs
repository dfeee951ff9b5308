//! The app's faults: `dns_failure`, `dns_timeout`, `connect_timeout`, `request_timeout`, `response_invalid`.
//!
//! One fires at 3 failures of its kind and 10 % of the account's first deliveries in 300 s. While the circuit is open the
//! app is not asked, so that share would never come about on a busy account: then what would have been asked counts in its
//! place, as the kind of failure that opened the circuit. It stays while the circuit is open, and is over after
//! 60 s with traffic and none. What is not seen is no traffic, and not none either.

use super::book::{Level, Sign};
use super::window::Window;
use super::{Cause, Example, Kind};
use crate::edge::event::{Failure, Summary};
use crate::edge::status::Upstream;
use crate::observation::{Millis, excerpt};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const FAILURES: u64 = 3;
const PERCENT: u64 = 10;
const WINDOW_S: u64 = 300;
const CALM: Millis = 60_000;
/// A failure this old may be one of those that opened the circuit: their summary comes within a second.
const FRESH: Millis = 2_000;

/// The outcomes of first deliveries.
const DELIVERED: [&str; 5] =
    ["replied", "acknowledged", "held", "fallback_deadline", "fallback_error"];

/// The outcome of callbacks that an open circuit keeps from the app.
const UNASKED: &str = "fallback_circuit_open";

/// How the app failed, in the edge's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Its name is not known.
    Dns,
    /// Its name is not resolved in time.
    DnsTimeout,
    /// It refuses the connection.
    Connect,
    /// It does not take the connection in time.
    ConnectTimeout,
    /// It does not answer by the deadline.
    Timeout,
    /// It answers an error status.
    Status,
    /// It answers something that is no reply.
    Invalid,
    /// It breaks its answer off.
    Reset,
}

/// An account's app.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct App {
    deliveries: Window<WINDOW_S>,
    /// Acknowledged without asking the app.
    unasked: Window<WINDOW_S>,
    failures: BTreeMap<Reason, Window<WINDOW_S>>,
    faults: BTreeMap<Kind, Fault>,
    host: String,
    last_delivery: Millis,
    /// When the circuit was last seen open or probing.
    last_open: Millis,
    circuit_open: bool,
    /// How the app failed last, and when; while the circuit is open, why it is.
    latest: Option<(Reason, Millis)>,
    /// What those that were not asked count as: how the app failed when the circuit was last open.
    #[serde(default)]
    opened_by: Option<Kind>,
    /// What the app last answered to a redelivery that it failed; only while the circuit is open.
    #[serde(default)]
    redelivered: Option<Example>,
}

/// Failures of one kind.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Fault {
    firing: bool,
    first: Millis,
    last: Millis,
    example: Option<Example>,
}

impl Reason {
    const ALL: [Reason; 8] = [
        Reason::Dns,
        Reason::DnsTimeout,
        Reason::Connect,
        Reason::ConnectTimeout,
        Reason::Timeout,
        Reason::Status,
        Reason::Invalid,
        Reason::Reset,
    ];

    fn name(self) -> &'static str {
        match self {
            Reason::Dns => "dns",
            Reason::DnsTimeout => "dns_timeout",
            Reason::Connect => "connect",
            Reason::ConnectTimeout => "connect_timeout",
            Reason::Timeout => "timeout",
            Reason::Status => "status",
            Reason::Invalid => "invalid",
            Reason::Reset => "reset",
        }
    }

    fn parse(name: &str) -> Option<Reason> {
        Reason::ALL.into_iter().find(|reason| reason.name() == name)
    }

    fn kind(self) -> Kind {
        match self {
            Reason::Dns => Kind::DnsFailure,
            Reason::DnsTimeout => Kind::DnsTimeout,
            Reason::Connect | Reason::ConnectTimeout => Kind::ConnectTimeout,
            Reason::Timeout => Kind::RequestTimeout,
            Reason::Status | Reason::Invalid | Reason::Reset => Kind::ResponseInvalid,
        }
    }
}

impl Cause {
    /// That an app is not asked because it fails; none when nobody knows how it fails.
    pub(crate) fn circuit(upstream: &Upstream) -> Option<Cause> {
        let reason = Reason::parse(&upstream.last_failure.as_ref()?.reason)?;
        let host = upstream.address();
        Some(Cause::App { reason, host, failures: 0, deliveries: 0, unasked: 0, open: true })
    }
}

impl App {
    pub(super) fn summary(&mut self, at: Millis, summary: &Summary) {
        let delivered: u64 = DELIVERED.iter().map(|outcome| summary.outcome(outcome)).sum();
        if delivered > 0 {
            self.deliveries.add(at, delivered);
            self.last_delivery = at;
        }
        let failed = summary.failures.iter().filter(|(_, n)| **n > 0);
        let failed = failed.filter_map(|(name, n)| Some((Reason::parse(name)?, *n)));
        for (reason, n) in failed.clone() {
            self.occurred(at, reason.kind());
            self.failures.entry(reason).or_default().add(at, n);
        }
        let most = failed.clone().max_by_key(|(_, n)| *n);
        // While the circuit is open what fails still are calls from before.
        if let Some((reason, _)) = most
            && (!self.circuit_open || self.latest.is_none())
        {
            self.latest = Some((reason, at));
        }
        for (reason, _) in failed {
            self.judge(at, reason.kind());
        }
        let unasked = summary.outcome(UNASKED);
        if unasked > 0 {
            self.unasked.add(at, unasked);
            if let (true, Some(kind)) = (self.circuit_open, self.latest_kind()) {
                self.occurred(at, kind);
            }
        }
        self.judge_circuit(at);
    }

    /// Keeps the callback as an example of its kind.
    pub(super) fn failure(&mut self, at: Millis, failure: &Failure) {
        if failure.outcome == UNASKED {
            self.not_asked(at, failure);
            return;
        }
        let reason = match Reason::parse(&failure.reason) {
            Some(reason) => reason,
            // Taken, but what it answered is no reply: the reason says what about it.
            None if matches!(failure.outcome.as_str(), "acknowledged" | "replied") => {
                Reason::Invalid
            }
            None => return,
        };
        self.occurred(at, reason.kind());
        if let Some(fault) = self.faults.get_mut(&reason.kind()) {
            fault.example = Some(Example::of(failure));
        }
    }

    /// Keeps a callback that waits because the circuit is open, as long as there is none that failed.
    fn not_asked(&mut self, at: Millis, failure: &Failure) {
        if let (true, Some(kind)) = (self.circuit_open, self.latest_kind()) {
            self.occurred(at, kind);
            if let Some(fault) = self.faults.get_mut(&kind) {
                fault.example.get_or_insert_with(|| Example::of(failure));
            }
        }
    }

    /// Keeps what the app answered to a redelivery. Redeliveries do not count, but with an open circuit there is no more.
    pub(super) fn redelivered(&mut self, response: &str, response_length: u64) {
        if self.circuit_open && !response.is_empty() {
            let (response, response_length) = (Some(excerpt(response)), Some(response_length));
            self.redelivered =
                Some(Example { ip: None, msg_type: None, response, response_length });
        }
    }

    pub(super) fn circuit(&mut self, at: Millis, state: &str) {
        let open = matches!(state, "open" | "probing");
        let fresh = self.latest.is_some_and(|(_, seen)| at.saturating_sub(seen) <= FRESH);
        if open && !self.circuit_open && !fresh {
            // Whatever that was, it is not what opened it.
            self.latest = None;
        }
        self.circuit_open = open;
        if !open {
            self.redelivered = None;
        }
        self.judge_circuit(at);
    }

    pub(super) fn status(&mut self, at: Millis, upstream: &Upstream) {
        self.host = upstream.address();
        self.circuit(at, &upstream.circuit);
        // The edge goes on trying while the circuit is open, so this is what is wrong now.
        if let (true, Some(last)) = (self.circuit_open, &upstream.last_failure)
            && let Some(reason) = Reason::parse(&last.reason)
        {
            self.latest = Some((reason, at));
            self.judge_circuit(at);
        }
    }

    /// Forgets what is over. `seen_since` is since when all that happens is seen.
    pub(super) fn tick(&mut self, now: Millis, seen_since: Option<Millis>) {
        if self.circuit_open {
            self.last_open = now;
        }
        let (last_open, last_delivery) = (self.last_open, self.last_delivery);
        let over = |fault: &Fault| {
            let Some(seen_since) = seen_since else { return false };
            let calm_since = fault.last.max(last_open).max(seen_since);
            now.saturating_sub(calm_since) >= CALM && last_delivery > calm_since
        };
        for kind in self.faults.keys().copied().collect::<Vec<_>>() {
            let Some(fault) = self.faults.get(&kind) else { continue };
            let forget = if fault.firing { over(fault) } else { self.failed(now, kind) == 0 };
            // One that has only an example yet waits for its summary.
            if forget && now.saturating_sub(fault.last) >= CALM {
                self.faults.remove(&kind);
                // It takes new failures to fire again.
                self.failures.retain(|reason, _| reason.kind() != kind);
            }
        }
    }

    pub(super) fn signs(&self, now: Millis, account: &str) -> Vec<Sign> {
        let firing = self.faults.iter().filter(|(_, fault)| fault.firing);
        firing.map(|(kind, fault)| self.sign(now, account, *kind, fault)).collect()
    }

    fn sign(&self, now: Millis, account: &str, kind: Kind, fault: &Fault) -> Sign {
        let of_kind = Reason::ALL.into_iter().filter(|reason| reason.kind() == kind);
        let often = |reason: &Reason| self.failures.get(reason).map_or(0, |n| n.sum(now));
        let latest = self.latest.map(|(reason, _)| reason);
        let most = of_kind.max_by_key(|reason| (often(reason), Some(*reason) == latest));
        let (failures, unasked) = (self.failed(now, kind), self.unasked_as(now, kind));
        Sign {
            kind,
            account: Some(account.to_owned()),
            level: Level::Firing,
            severity: kind.severity(),
            cause: Cause::App {
                reason: most.unwrap_or(Reason::Status),
                host: self.host.clone(),
                failures,
                deliveries: self.deliveries.sum(now),
                unasked,
                open: self.circuit_open,
            },
            first: fault.first,
            last: fault.last,
            count: failures + unasked,
            window_s: WINDOW_S,
            example: self.example(kind, fault),
        }
    }

    /// A callback that failed so. Of answers, rather one that shows what the app says.
    fn example(&self, kind: Kind, fault: &Fault) -> Option<Example> {
        let own = fault.example.as_ref();
        let says = own.is_some_and(|example| example.response.is_some());
        let redelivered = self.redelivered.as_ref();
        redelivered.filter(|_| kind == Kind::ResponseInvalid && !says).or(own).cloned()
    }

    fn occurred(&mut self, at: Millis, kind: Kind) {
        let new = Fault { firing: false, first: at, last: at, example: None };
        self.faults.entry(kind).or_insert(new).last = at;
    }

    fn judge(&mut self, at: Millis, kind: Kind) {
        let (failures, deliveries) = (self.failed(at, kind), self.deliveries.sum(at));
        if failures >= FAILURES && failures * 100 >= deliveries * PERCENT {
            self.fire(at, kind);
        }
    }

    fn judge_circuit(&mut self, at: Millis) {
        let Some(kind) = self.latest_kind().filter(|_| self.circuit_open) else { return };
        self.opened_by = Some(kind);
        if self.failed(at, kind) + self.unasked_as(at, kind) >= FAILURES {
            self.fire(at, kind);
        }
    }

    fn fire(&mut self, at: Millis, kind: Kind) {
        let of_kind = self.failures.iter().filter(|(reason, _)| reason.kind() == kind);
        let oldest = of_kind.filter_map(|(_, window)| window.oldest(at)).min();
        let new = Fault { firing: false, first: at, last: at, example: None };
        let fault = self.faults.entry(kind).or_insert(new);
        if !fault.firing {
            fault.firing = true;
            // Not one of long before, which has nothing to do with it.
            fault.first = fault.first.max(oldest.unwrap_or(0));
        }
    }

    fn latest_kind(&self) -> Option<Kind> {
        self.latest.map(|(reason, _)| reason.kind())
    }

    /// Failures of a kind in the window.
    fn failed(&self, now: Millis, kind: Kind) -> u64 {
        let of_kind = self.failures.iter().filter(|(reason, _)| reason.kind() == kind);
        of_kind.map(|(_, window)| window.sum(now)).sum()
    }

    /// Callbacks of the window that were not tried because of such failures.
    fn unasked_as(&self, now: Millis, kind: Kind) -> u64 {
        if self.opened_by == Some(kind) { self.unasked.sum(now) } else { 0 }
    }
}
