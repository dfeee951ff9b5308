//! The engine: takes observations in, hands them to the rules, and once a second tells what has changed.

use super::account::{Account, Ground};
use super::book::{Book, Names, Sign};
use super::edge::Edge;
use super::looks::Looks;
use super::spool::Spool;
use super::token::News;
use super::{Alert, Change, Kind, dns, url};
use crate::edge::event::Event;
use crate::edge::status::Status;
use crate::observation::{Finding, Millis, Probe, Seen};
use crate::{config, limits, markfail};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Who did not look for this long has missed something.
const ABSENT: Millis = 10_000;
/// Seconds that are told to the detector one by one; more at once counts as one that was not watched.
const SECONDS: u64 = 60;
/// The clock that is further off is worth a word about signatures: the edge takes callbacks that are up to 300 s old.
const CLOCK_MS: u64 = 60_000;

/// All alerts of one edge. Bounded: so many accounts, each with windows of a fixed size.
#[derive(Debug)]
pub struct Engine {
    terms: config::MarkFail,
    state: Saved,
}

/// All that an engine knows, to go on with after a restart.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Saved {
    /// Never goes back; times of rules are by this clock.
    now: Millis,
    /// How far that is ahead of the wall clock, which may have been set back over a restart.
    ahead: Millis,
    /// What the accounts of the last status are called; none without a status.
    names: Option<BTreeMap<String, Names>>,
    accounts: BTreeMap<String, Account>,
    edge: Edge,
    spool: Spool,
    looks: Looks,
    clock_ahead_ms: i64,
    book: Book,
}

impl Engine {
    /// Knows nothing yet.
    pub fn new(markfail: config::MarkFail, now: Millis) -> Engine {
        Engine { terms: markfail, state: Saved { now, ..Saved::default() } }
    }

    /// Goes on where an engine was when it was saved: what fires then still does and is not told again.
    pub fn restore(saved: Saved, markfail: config::MarkFail, now: Millis) -> Engine {
        let mut state = saved;
        state.ahead = state.now.saturating_sub(now);
        state.now = now + state.ahead;
        state.edge.stream(state.now, false);
        state.looks.missed(state.now);
        for account in state.accounts.values_mut() {
            account.pushing.configure(&markfail);
        }
        Engine { terms: markfail, state }
    }

    /// What to restore from.
    pub fn save(&self) -> Saved {
        self.state.clone()
    }

    /// Takes in what was seen. Observations come in the order of their times.
    pub fn observe(&mut self, at: Millis, seen: &Seen) {
        let at = self.advance(at);
        match seen {
            Seen::StreamOpened => self.state.edge.stream(at, true),
            Seen::StreamClosed => self.state.edge.stream(at, false),
            Seen::Event { of } => self.event(at, of),
            Seen::Status { of } => self.status(at, of),
            Seen::NoStatus { reason } => self.state.edge.no_status(at, reason),
            Seen::CallbackIps { account, list } => {
                if let Some(account) = self.account(account) {
                    account.pushing.addresses(list);
                }
            }
            Seen::Probe { of } => self.probe(at, of),
        }
    }

    /// Once a second: what has changed since the last time. Later is fine.
    pub fn tick(&mut self, now: Millis) -> Vec<Change> {
        let now = self.advance(now);
        let seen_since = self.state.edge.seen_since();
        self.state.accounts.values_mut().for_each(|account| account.tick(now, seen_since));
        self.state.looks.tick(now);
        let signs = self.signs(now);
        let names = self.state.names.as_ref();
        self.state.book.take(now, self.state.ahead, signs, names.unwrap_or(&BTreeMap::new()))
    }

    /// Those that are pending, that fire, and that were resolved in the last 15 min; the worst first.
    pub fn alerts(&self) -> Vec<&Alert> {
        self.state.book.alerts()
    }

    /// What is believed of WeChat's pushing, by account.
    pub fn markfail(&self) -> Vec<(&str, markfail::State)> {
        let accounts = self.state.accounts.iter();
        accounts.map(|(name, account)| (name.as_str(), account.pushing.state())).collect()
    }

    /// Goes on to a time, and tells the detectors of every whole second on the way.
    fn advance(&mut self, at: Millis) -> Millis {
        let state = &mut self.state;
        let before = state.now;
        let now = before.max(at.saturating_add(state.ahead));
        if now - before > ABSENT {
            state.edge.missed_something(now);
            state.looks.missed(now);
        }
        let seen_since = state.edge.seen_since();
        let (first, end) = (before / 1000, now / 1000);
        for second in first..end.min(first + SECONDS) {
            let began = second * 1000;
            let known = seen_since.is_some_and(|since| since < began);
            let wall = began.saturating_sub(state.ahead);
            state.accounts.values_mut().for_each(|account| account.pushing.second(wall, known));
        }
        state.now = now;
        now
    }

    fn event(&mut self, at: Millis, event: &Event) {
        match event {
            Event::Summary(summary) => {
                if let Some(account) = self.account(&summary.account) {
                    account.summary(at, summary);
                }
            }
            Event::Failure(failure) => {
                if let Some(account) = self.account(&failure.account) {
                    account.failure(at, failure);
                }
            }
            Event::Circuit { account, state } => {
                if let Some(account) = self.account(account) {
                    account.app.circuit(at, state);
                }
            }
            Event::Token { account, credential, result, errcode, action } => {
                let news = News { credential, errcode: *errcode, action: action.as_deref() };
                if let Some(account) = self.account(account) {
                    account.token(at, result, &news);
                }
            }
            Event::Lost { .. } => self.state.edge.missed_something(at),
            Event::Spool { account, response, response_length, .. } => {
                if let Some(account) = self.account(account) {
                    account.app.redelivered(response, *response_length);
                }
            }
            Event::Hello { .. } | Event::ApiBase { .. } | Event::Reload { .. } => {}
        }
    }

    fn status(&mut self, at: Millis, status: &Status) {
        let state = &mut self.state;
        state.edge.status(at);
        state.spool.status(at, status);
        let listed = status.accounts.iter().take(limits::ALERT_ACCOUNTS);
        let names: BTreeMap<String, Names> = listed
            .map(|one| {
                let (appid, nickname) = (one.appid.clone(), one.nickname.clone());
                (one.account.clone(), Names { appid, nickname })
            })
            .collect();
        // Who is gone takes along all that there was about it.
        state.accounts.retain(|account, _| names.contains_key(account));
        state.looks.keep(|account| names.contains_key(account));
        state.names = Some(names);
        for one in &status.accounts {
            if let Some(account) = self.account(&one.account) {
                account.status(at, one);
            }
        }
    }

    fn probe(&mut self, at: Millis, finding: &Finding) {
        if finding.account.as_ref().is_some_and(|account| !self.knows(account)) {
            return;
        }
        if let (Probe::Clock, Some(ahead)) = (finding.probe, finding.facts.ahead_ms) {
            self.state.clock_ahead_ms = ahead;
        }
        let unix = self.unix(at);
        let found = url::troubles(finding, unix);
        let failed = found.iter().flatten().any(|(kind, _)| *kind != Kind::TlsExpiry);
        if let (true, Some(account)) = (failed, &finding.account)
            && let Some(account) = self.account(account)
        {
            account.pushing.failed_probe();
        }
        let kinds = found.or_else(|| dns::troubles(finding));
        self.state.looks.take(at, finding, kinds.as_deref());
    }

    fn signs(&self, now: Millis) -> Vec<Sign> {
        let state = &self.state;
        let off = state.clock_ahead_ms.unsigned_abs() >= CLOCK_MS;
        let ground = Ground {
            terms: &self.terms,
            ahead: state.ahead,
            clock_ahead_s: off.then_some(state.clock_ahead_ms / 1000),
        };
        let mut signs: Vec<Sign> = state.edge.sign().into_iter().collect();
        signs.extend(state.spool.signs());
        signs.extend(url::signs(&state.looks, now, self.unix(now)));
        signs.extend(dns::signs(&state.looks, now));
        for (name, account) in &state.accounts {
            signs.extend(account.signs(now, name, &ground));
        }
        signs
    }

    /// What is remembered of an account; nothing of one that the edge does not have.
    fn account(&mut self, name: &str) -> Option<&mut Account> {
        if !self.state.accounts.contains_key(name) {
            if !self.knows(name) || self.state.accounts.len() >= limits::ALERT_ACCOUNTS {
                return None;
            }
            self.state.accounts.insert(name.to_owned(), Account::new(&self.terms));
        }
        self.state.accounts.get_mut(name)
    }

    fn knows(&self, account: &str) -> bool {
        self.state.names.as_ref().is_none_or(|names| names.contains_key(account))
    }

    /// Unix seconds by the wall clock.
    fn unix(&self, at: Millis) -> i64 {
        i64::try_from(at.saturating_sub(self.state.ahead) / 1000).unwrap_or(i64::MAX)
    }
}
