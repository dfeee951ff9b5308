//! The spool of one account: its queues and its circuit, and the store under them.
//!
//! Memory follows the disk, never the other way round: an entry is queued when it is written, and forgotten when its row
//! is gone. The locks here are held for moments only, never across a wait.

use super::breaker::{Breaker, Change, Circuit};
use super::queue::{Attempt, Pending, Queue, Setback, Terms, Verdict};
use super::{Ground, Kept, Refused};
use crate::callback::judge::Fallen;
use crate::callback::unix_now_s;
use crate::limits;
use crate::outcome::Outcome;
use crate::store::{self, Entry, EntryKind, EntryState, Failed, LastAnswer, NewEntry, StoreError};
use crate::upstream::{Failure, Fate};
use arc_swap::ArcSwap;
use rand::Rng;
use serde_json::json;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::sync::Notify;
use wxedge_wechat::message::Message;

/// What an account has acknowledged and its app has not taken.
#[derive(Debug)]
pub struct AccountSpool {
    appid: String,
    /// Its name in the configuration; the appid while it is not there.
    name: ArcSwap<String>,
    ground: Ground,
    state: Mutex<State>,
    /// Whether the circuit keeps callbacks from the app: read by every callback.
    open: AtomicBool,
    /// Entries in the queue of callbacks, and on their way into it: read by every callback.
    waiting: AtomicUsize,
    /// Calls that the app took since the circuit last heard: counted by every callback.
    successes: AtomicU64,
    /// Writes on their way.
    writes: AtomicUsize,
    dead: AtomicU64,
    /// Something is to be tried sooner than was known.
    changed: Notify,
    running: AtomicBool,
}

#[derive(Debug)]
struct State {
    callbacks: Queue,
    replies: Queue,
    breaker: Breaker,
    /// Replies that were on their way when the last process ended.
    unsure: Vec<u64>,
}

/// An entry that somebody has in hand: it is tried by nobody else until it is told how that ended.
#[derive(Debug)]
pub struct Leased {
    /// Its row.
    pub id: u64,
    kind: EntryKind,
}

/// What is to be tried now.
#[derive(Debug)]
pub(super) struct Next {
    pub(super) attempts: Vec<(Leased, u32)>,
    /// Whether they are probes of an open circuit.
    pub(super) probe: bool,
    /// When there may be more.
    pub(super) at: Option<Instant>,
}

impl AccountSpool {
    pub(super) fn new(appid: &str, ground: Ground) -> AccountSpool {
        let state = State {
            callbacks: Queue::default(),
            replies: Queue::default(),
            breaker: Breaker::default(),
            unsure: Vec::new(),
        };
        AccountSpool {
            appid: appid.to_owned(),
            name: ArcSwap::from_pointee(appid.to_owned()),
            ground,
            state: Mutex::new(state),
            open: AtomicBool::new(false),
            waiting: AtomicUsize::new(0),
            successes: AtomicU64::new(0),
            writes: AtomicUsize::new(0),
            dead: AtomicU64::new(0),
            changed: Notify::new(),
            running: AtomicBool::new(false),
        }
    }

    pub(super) fn configure(&self, name: &str, terms: &Terms) {
        self.name.store(Arc::new(name.to_owned()));
        let mut state = self.state();
        state.callbacks.configure(terms.clone());
        state.replies.configure(terms.clone());
    }

    /// Whose it is.
    pub fn appid(&self) -> &str {
        &self.appid
    }

    // --- what a callback asks ---

    /// Whose order a message is in: its user's, or its own when it is no user's.
    pub fn user(&self, message: &Message<'_>) -> u64 {
        let user = message.from_user().unwrap_or_default();
        self.ground.store.user_hash(&self.appid, user)
    }

    /// How a callback ends that does not go to the app, because others have to go first or the app is believed to be down.
    pub fn detour(&self, message: &Message<'_>) -> Option<Outcome> {
        if self.open.load(Ordering::Acquire) {
            // Without an entry to probe with, a live message is the probe.
            let mut state = self.state();
            let nothing_waits = state.callbacks.is_empty();
            let probe = nothing_waits && state.breaker.try_probe(self.ground.now_ms());
            return (!probe).then_some(Outcome::FallbackCircuitOpen);
        }
        if self.waiting.load(Ordering::Acquire) == 0 {
            return None;
        }
        let user = self.user(message);
        self.state().callbacks.holds(user).then_some(Outcome::FallbackOrder)
    }

    /// The app took a callback.
    pub fn app_succeeded(&self) {
        self.successes.fetch_add(1, Ordering::Relaxed);
        if self.open.load(Ordering::Acquire) {
            self.probe_ended(true);
        }
    }

    /// The app took a callback after the deadline, when its call had been counted as failed.
    pub fn app_succeeded_late(&self, failed_at: Option<Instant>) {
        match failed_at {
            None => self.app_succeeded(),
            Some(at) => {
                let at = at.saturating_duration_since(self.ground.started).as_millis() as u64;
                self.state().breaker.took_back(at);
            }
        }
    }

    /// The app failed, or did not answer by the deadline.
    pub fn app_failed(&self, failure: &Failure) {
        if matches!(failure.fate(), Fate::Redeliver { counts: true, .. }) {
            let now = self.ground.now_ms();
            let mut state = self.state();
            self.count_successes(&mut state, now);
            let change = state.breaker.failed(now);
            self.changed(&mut state, change);
        }
    }

    fn count_successes(&self, state: &mut State, now: u64) {
        let successes = self.successes.swap(0, Ordering::Relaxed);
        state.breaker.succeeded(now, successes);
        if successes > 0 {
            state.callbacks.succeeded();
        }
    }
}
