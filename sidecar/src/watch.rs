//! The middle of the sidecar: everything that is seen comes here, and everybody who shows or tells something asks here.
//!
//! The lock is held for moments only, never across a wait.

use crate::alert::{self, Alert, Change, Engine, Kind, State};
use crate::clock::Clock;
use crate::config::{self, Config};
use crate::edge::event::Event;
use crate::edge::status::Status;
use crate::edge::stream::Heard;
use crate::history::History;
use crate::limits;
use crate::log::{info, warn};
use crate::notify::{self, Notifier};
use crate::observation::{Finding, Millis, Probe, Seen};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{broadcast, watch};

/// What the sidecar knows.
#[derive(Debug)]
pub struct Watch {
    clock: Clock,
    known: Mutex<Known>,
    /// The last status there was.
    status: watch::Sender<Option<Arc<Status>>>,
    tail: broadcast::Sender<Told>,
}

/// A line of the live tail: an event's name and its data.
pub type Told = Arc<(String, String)>;

/// A finding is the newest one of its probe, its account and its target.
pub(crate) type Target = (Probe, Option<String>, String);

/// All that is behind the lock.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) engine: Engine,
    pub(crate) notifier: Notifier,
    pub(crate) history: History,
    pub(crate) findings: BTreeMap<Target, (Millis, Finding)>,
    /// How often each alert has fired, by account and kind.
    pub(crate) fired: BTreeMap<(String, Kind), u64>,
    /// Changed configurations that were taken over, and that were refused.
    pub(crate) reloads: Reloads,
    /// Whether the edge answered the last time it was asked, and since when that is so.
    pub(crate) edge: Option<(bool, Millis)>,
    /// Whether its event stream is being read.
    stream: bool,
    markfail: config::MarkFail,
}

/// How often a changed configuration was taken over, and how often it was refused.
#[derive(Debug, Default)]
pub(crate) struct Reloads {
    pub(crate) ok: u64,
    pub(crate) refused: u64,
}

/// What survives a restart.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Saved {
    engine: Option<alert::Saved>,
    notify: notify::Saved,
}

impl Watch {
    /// Begins to watch, with what was known before a restart. Within a runtime.
    pub fn new(config: &Config, http: reqwest::Client, saved: Saved) -> Watch {
        let clock = Clock::start();
        let now = clock.now();
        let engine = match saved.engine {
            Some(saved) => Engine::restore(saved, config.markfail.clone(), now),
            None => Engine::new(config.markfail.clone(), now),
        };
        let mut notifier = Notifier::new(&config.notify, config.language, http, saved.notify, now);
        notifier.spawn();
        let known = Known {
            engine,
            notifier,
            history: History::default(),
            findings: BTreeMap::new(),
            fired: BTreeMap::new(),
            reloads: Reloads::default(),
            edge: None,
            stream: false,
            markfail: config.markfail.clone(),
        };
        Watch {
            clock,
            known: Mutex::new(known),
            status: watch::Sender::new(None),
            tail: broadcast::Sender::new(limits::TAIL),
        }
    }

    /// Takes a changed configuration over. Within a runtime.
    pub fn configure(&self, config: &Config) {
        let now = self.clock.now();
        let mut known = self.known();
        known.reloads.ok += 1;
        known.markfail = config.markfail.clone();
        // The event stream is opened anew.
        known.stream = false;
        known.engine_goes_on(now);
        known.notifier.configure(&config.notify, config.language, now);
        known.notifier.spawn();
    }

    /// Takes note of a changed configuration that was refused.
    pub fn refused(&self) {
        self.known().reloads.refused += 1;
    }

    /// Takes over what is seen.
    pub fn observe(&self, seen: Seen) {
        let now = self.clock.now();
        let mut known = self.known();
        known.engine.observe(now, &seen);
        match seen {
            Seen::Event { of: Event::Summary(summary) } => known.history.add(now, &summary),
            Seen::Probe { of: finding } => known.keep(now, finding),
            Seen::Status { of: status } => {
                known.edge_is(true, now);
                self.status.send_replace(Some(Arc::from(status)));
            }
            Seen::NoStatus { .. } => known.edge_is(false, now),
            Seen::StreamOpened => known.stream = true,
            Seen::StreamClosed => known.stream = false,
            Seen::Event { .. } | Seen::CallbackIps { .. } => {}
        }
    }

    /// Takes over what is heard of the event stream.
    pub fn hear(&self, heard: Heard) {
        let (name, data) = match heard {
            Heard::Opened => {
                self.observe(Seen::StreamOpened);
                ("stream".to_owned(), json!({"open": true}).to_string())
            }
            Heard::Closed => {
                self.observe(Seen::StreamClosed);
                ("stream".to_owned(), json!({"open": false}).to_string())
            }
            Heard::Event(name, data) => {
                if let Some(event) = Event::parse(&name, &data) {
                    self.observe(Seen::Event { of: event });
                }
                (name, data)
            }
        };
        // Nobody reads it, usually.
        let _nobody = self.tail.send(Arc::new((name, data)));
    }

    /// Judges what was seen until now. Called once a second.
    pub fn tick(&self) {
        let jumped = self.clock.follow(limits::CLOCK_STEP_MS);
        let now = self.clock.now();
        let mut known = self.known();
        if jumped {
            info("the clock was set");
            known.engine_goes_on(now);
        }
        known.history.forget(now);
        if let Some(status) = self.status.borrow().as_ref() {
            let is_there = |name: &str| {
                status.accounts.iter().any(|one| one.account == name)
                    || status.spool_orphans.iter().any(|one| one.appid == name)
            };
            known.fired.retain(|(account, _), _| account.is_empty() || is_there(account));
        }
        known.findings.retain(|_, (at, _)| now.saturating_sub(*at) < limits::FINDING_MS);
        let Known { engine, notifier, fired, .. } = &mut *known;
        let changes = engine.tick(now);
        for change in &changes {
            say_of(change);
            if change.alert.state == State::Firing {
                let account = change.alert.account.clone().unwrap_or_default();
                *fired.entry((account, change.alert.kind)).or_default() += 1;
            }
        }
        notifier.changes(changes);
        let firing = engine.alerts();
        let firing: Vec<&Alert> =
            firing.into_iter().filter(|alert| alert.state == State::Firing).collect();
        notifier.tick(now, &firing);
    }

    /// What has to survive a restart.
    pub fn save(&self) -> Saved {
        let known = self.known();
        Saved { engine: Some(known.engine.save()), notify: known.notifier.save() }
    }

    /// Follows the edge's status.
    pub fn status(&self) -> watch::Receiver<Option<Arc<Status>>> {
        self.status.subscribe()
    }

    /// Follows the live tail from now on.
    pub fn tail(&self) -> broadcast::Receiver<Told> {
        self.tail.subscribe()
    }

    /// Lets `see` see what is known now. Not to be used for long.
    pub(crate) fn look<T>(&self, see: impl FnOnce(&mut Known, Millis) -> T) -> T {
        see(&mut self.known(), self.clock.now())
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A line for the log of what has changed.
fn say_of(Change { alert, .. }: &Change) {
    let of = alert.account.as_deref().map(|account| format!(" of {account}")).unwrap_or_default();
    match alert.state {
        // Not yet worth a line.
        State::Pending => {}
        State::Firing => warn(format_args!("{}{of} fires", alert.kind.name())),
        State::Resolved => info(format_args!("{}{of} is over", alert.kind.name())),
    }
}

impl Known {
    /// By another clock, or other terms.
    fn engine_goes_on(&mut self, now: Millis) {
        self.engine = Engine::restore(self.engine.save(), self.markfail.clone(), now);
        if self.stream {
            self.engine.observe(now, &Seen::StreamOpened);
        }
    }

    fn keep(&mut self, now: Millis, finding: Finding) {
        let target = (finding.probe, finding.account.clone(), finding.target.clone());
        if self.findings.len() < limits::FINDINGS || self.findings.contains_key(&target) {
            self.findings.insert(target, (now, finding));
        }
    }

    fn edge_is(&mut self, up: bool, now: Millis) {
        if self.edge.is_none_or(|(was, _)| was != up) {
            self.edge = Some((up, now));
        }
    }
}
