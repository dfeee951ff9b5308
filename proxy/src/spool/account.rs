//! The spool of one account: its queues and its circuit, and the store under them.
//!
//! Memory follows the disk, never the other way round: an entry is queued when it is written, and forgotten when its row
//! is gone. The lock here is held for moments only, never across a wait.

use super::Ground;
use super::breaker::{Breaker, State as Circuit};
use super::queue::{Queue, Terms};
use super::turned_away::TurnedAway;
use crate::callback::unix_now_s;
use crate::process_log::Seldom;
use crate::store::spool::{EntryKind, Failed};
use arc_swap::ArcSwap;
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// What an account has acknowledged and its app has not taken.
#[derive(Debug)]
pub struct AccountSpool {
    pub(super) appid: Arc<str>,
    /// Its name in the configuration; the appid while it is not there.
    pub(super) name: ArcSwap<String>,
    pub(super) ground: Ground,
    state: Mutex<State>,
    /// Whether the circuit keeps callbacks from the app: read by every callback.
    pub(super) open: AtomicBool,
    /// Callbacks in the queue and on their way into it: read by every callback.
    pub(super) waiting: AtomicUsize,
    /// Calls that the app took since the circuit last heard: counted by every callback.
    pub(super) successes: AtomicU32,
    /// Writes on their way.
    pub(super) writes: AtomicUsize,
    pub(super) dead: AtomicU64,
    /// When the log said last that there is no room.
    pub(super) said_full: Seldom,
    /// When it said last that there are dead letters.
    said_dead: Seldom,
    /// Whether the app answers 401, 403 and 404 and takes nothing.
    pub(super) turned_away: TurnedAway,
    /// Something is to be tried sooner than was known.
    pub(super) changed: Notify,
    /// Whether a task redelivers.
    pub(super) running: AtomicBool,
}

/// What its queues and its circuit know.
#[derive(Debug)]
pub(super) struct State {
    pub(super) callbacks: Queue,
    pub(super) replies: Queue,
    pub(super) breaker: Breaker,
    pub(super) terms: Terms,
    /// Whether the app has taken nothing since callbacks were read that another process has left. Their pauses were made when
    /// it was believed to be down, and nobody knows any more whether it was.
    pub(super) unheard: bool,
    /// Replies that were on their way when the process that sent them ended, by id, and what each counts.
    pub(super) unsure: Vec<(u64, u64)>,
    /// Dead letters that count although another process still has the store; the rest of them is counted when that one
    /// has ended. Bounded by `spool.max_bytes`.
    pub(super) counted: HashSet<u64>,
}

/// The right to redeliver; dropping it gives it back.
#[derive(Debug)]
pub(super) struct Running(pub(super) Arc<AccountSpool>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.store(false, Ordering::Release);
    }
}

/// What operators see.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    /// Entries that wait, those in flight included.
    pub pending: usize,
    /// Dead letters.
    pub dead: u64,
    /// Age of the oldest pending entry, in seconds.
    pub oldest_s: u64,
    /// The app's circuit.
    pub circuit: Circuit,
}

impl AccountSpool {
    pub(super) fn new(appid: &Arc<str>, ground: Ground) -> AccountSpool {
        let terms = Terms::default();
        let queue = || Queue::new(terms, ground.now_ms());
        let state = State {
            callbacks: queue(),
            replies: queue(),
            breaker: Breaker::default(),
            terms,
            unheard: false,
            unsure: Vec::new(),
            counted: HashSet::new(),
        };
        AccountSpool {
            appid: appid.clone(),
            name: ArcSwap::from_pointee(appid.to_string()),
            ground,
            state: Mutex::new(state),
            open: AtomicBool::new(false),
            waiting: AtomicUsize::new(0),
            successes: AtomicU32::new(0),
            writes: AtomicUsize::new(0),
            dead: AtomicU64::new(0),
            said_full: Seldom::default(),
            said_dead: Seldom::default(),
            turned_away: TurnedAway::default(),
            changed: Notify::new(),
            running: AtomicBool::new(false),
        }
    }

    pub(super) fn configure(&self, name: &str, terms: &Terms) {
        self.name.store(Arc::new(name.to_owned()));
        let mut state = self.state();
        state.callbacks.configure(*terms);
        state.replies.configure(*terms);
        state.terms = *terms;
    }

    /// Unix time in seconds, as far as it is sure: a clock that is ahead closes no window of WeChat's.
    pub(super) fn sure_s(&self) -> i64 {
        unix_now_s().min(self.ground.clock_s())
    }

    /// Whose it is.
    pub fn appid(&self) -> &str {
        &self.appid
    }

    /// What operators see of it.
    pub fn seen(&self) -> Seen {
        let now = self.ground.now_ms();
        let state = self.state();
        let oldest = state.callbacks.oldest(now).max(state.replies.oldest(now));
        Seen {
            pending: state.callbacks.len() + state.replies.len(),
            dead: self.dead.load(Ordering::Relaxed),
            oldest_s: oldest.unwrap_or(0) / 1_000,
            circuit: state.breaker.state(),
        }
    }

    /// Counts an entry that is no longer pending; `bytes` when its row is gone too.
    pub(super) fn left(&self, kind: EntryKind, bytes: Option<u32>) {
        if kind == EntryKind::Callback {
            self.waiting.fetch_sub(1, Ordering::AcqRel);
        }
        if let Some(bytes) = bytes {
            self.ground.quota.give_back(&self.appid, bytes.into());
        }
    }

    /// The right to redeliver, until it is dropped; not when somebody has it.
    pub(super) fn begin(self: &Arc<Self>) -> Option<Running> {
        let taken = self.running.swap(true, Ordering::AcqRel);
        (!taken).then(|| Running(self.clone()))
    }

    /// Whether somebody redelivers.
    pub fn is_running(&self) -> bool {
        self.running.load(Ordering::Acquire)
    }

    pub(super) fn count_dead(&self, id: u64) {
        self.dead.fetch_add(1, Ordering::Relaxed);
        if self.said_dead.is_time() {
            let name = self.name.load();
            log::warn!("{name}: a message is a dead letter; /v1/spool says why (state=dead)");
        }
        if !self.ground.others.are_gone() {
            self.state().counted.insert(id);
        }
    }

    /// An entry is no dead letter any more. Says whether it counted as one, its bytes included.
    pub(super) fn discount_dead(&self, id: u64) -> bool {
        let counted = self.ground.others.are_gone() || self.state().counted.remove(&id);
        if counted {
            self.dead.fetch_sub(1, Ordering::Relaxed);
        }
        counted
    }

    pub(super) fn tell(&self, action: &'static str, id: u64, reason: &str) {
        self.ground.events.spool(&self.name.load(), action, id, reason, None);
    }

    /// The same of a try that failed.
    pub(super) fn tell_failed(&self, action: &'static str, id: u64, failed: &Failed) {
        let response = failed.answer.as_ref().map(|answer| answer.body.as_slice());
        self.ground.events.spool(&self.name.load(), action, id, &failed.reason, response);
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    pub(super) fn queue(&mut self, kind: EntryKind) -> &mut Queue {
        match kind {
            EntryKind::Callback => &mut self.callbacks,
            EntryKind::Reply => &mut self.replies,
        }
    }
}
