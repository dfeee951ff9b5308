//! The engine as its callers have it: observations in, changes out.

mod app;
mod book;
mod edge;
mod outside;
mod overdue;
mod pushing;
mod quiet;
mod restart;
mod schedule;
mod token;
mod words;

use super::{Alert, Change, Engine, Kind, Severity, State};
use crate::config;
use crate::edge::event::{Event, Failure, Summary};
use crate::edge::status::{self, Status};
use crate::observation::{Facts, Fault, FaultKind, Finding, Millis, Probe, Seen};
use std::time::Duration;

/// 2026-08-22 00:00:00 in Beijing.
const START: Millis = 1_787_328_000_000;

/// An edge with the account `main`, and an engine that watches it.
struct World {
    engine: Engine,
    now: Millis,
    /// What the edge's status says, every 3 s; nothing when there is none.
    status: Option<Status>,
    /// All changes, with their second since the start.
    changes: Vec<(u64, Change)>,
}

fn terms() -> config::MarkFail {
    config::MarkFail {
        visible_failures: 30,
        window: Duration::from_secs(300),
        silence: Duration::from_secs(20),
    }
}

fn account(name: &str) -> status::Account {
    status::Account {
        account: name.to_owned(),
        appid: format!("wx_{name}"),
        nickname: format!("号 {name}"),
        upstream: status::Upstream {
            host: "app.internal".to_owned(),
            circuit: "closed".to_owned(),
            ..status::Upstream::default()
        },
        ..status::Account::default()
    }
}

fn status() -> Status {
    let store = status::Store { writable: true, bytes: 1, bytes_max: 1000, ..Default::default() };
    Status { store, accounts: vec![account("main")], ..Status::default() }
}

fn finding(probe: Probe, target: &str, fault: Option<FaultKind>) -> Finding {
    Finding {
        probe,
        account: Some("main".to_owned()),
        target: target.to_owned(),
        took_ms: 1.0,
        fault: fault.map(|kind| Fault { kind, detail: "as seen".to_owned() }),
        facts: Facts::default(),
    }
}

impl World {
    /// After a first status, with the stream open.
    fn new() -> World {
        let engine = Engine::new(terms(), START);
        let mut world = World { engine, now: START, status: Some(status()), changes: Vec::new() };
        world.see(Seen::StreamOpened);
        world.pass(1);
        world
    }

    fn see(&mut self, seen: Seen) {
        self.engine.observe(self.now, &seen);
    }

    fn event(&mut self, of: Event) {
        self.see(Seen::Event { of });
    }

    fn probe(&mut self, of: Finding) {
        self.see(Seen::Probe { of });
    }

    /// The probe of the edge's public URL.
    fn echo(&mut self, fault: Option<FaultKind>) {
        self.probe(finding(Probe::Echo, "example.com:443", fault));
    }

    /// A summary of `main`, with callbacks by outcome and failures by reason.
    fn summary(&mut self, outcomes: &[(&str, u64)], failures: &[(&str, u64)]) {
        let owned = |pairs: &[(&str, u64)]| {
            pairs.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect()
        };
        self.event(Event::Summary(Summary {
            account: "main".to_owned(),
            outcomes: owned(outcomes),
            failures: owned(failures),
            ..Summary::default()
        }));
    }

    fn failure(&mut self, outcome: &str, reason: &str, peer: &str) {
        self.event(Event::Failure(Failure {
            account: "main".to_owned(),
            outcome: outcome.to_owned(),
            reason: reason.to_owned(),
            kind: "text".to_owned(),
            peer: peer.parse().unwrap(),
            duration_ms: 5,
            response_length: 9,
            response: "Error 500".to_owned(),
        }));
    }

    fn main(&mut self) -> &mut status::Account {
        &mut self.status.as_mut().unwrap().accounts[0]
    }

    /// Lets seconds pass, each with a tick at its end.
    fn pass(&mut self, seconds: u64) {
        for _ in 0..seconds {
            if (self.now / 1000).is_multiple_of(3) {
                let seen = match self.status.clone() {
                    Some(status) => Seen::Status { of: Box::new(status) },
                    None => Seen::NoStatus { reason: "timeout".to_owned() },
                };
                self.see(seen);
            }
            self.now += 1000;
            let changes = self.engine.tick(self.now);
            let second = self.now.saturating_sub(START) / 1000;
            self.changes.extend(changes.into_iter().map(|change| (second, change)));
        }
    }

    /// What has changed since the last time: kind and state.
    fn changes(&mut self) -> Vec<(Kind, State)> {
        self.changes.drain(..).map(|(_, change)| (change.alert.kind, change.alert.state)).collect()
    }

    fn alert(&self, kind: Kind) -> Option<&Alert> {
        self.engine.alerts().into_iter().find(|alert| alert.kind == kind)
    }

    fn state(&self, kind: Kind) -> Option<State> {
        self.alert(kind).map(|alert| alert.state)
    }

    fn severity(&self, kind: Kind) -> Option<Severity> {
        self.alert(kind).map(|alert| alert.severity)
    }

    fn fires(&self, kind: Kind) -> bool {
        self.state(kind) == Some(State::Firing)
    }
}
