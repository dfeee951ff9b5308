//! The spool of one account: its queues and its circuit, and the store under them.
//!
//! Memory follows the disk, never the other way round: an entry is queued when it is written, and forgotten when its row
//! is gone. The lock here is held for moments only, never across a wait.

use super::breaker::{Breaker, State as Circuit};
use super::queue::{
    Announced, Attempt, Failure as Setback, Pending, Queue, Restore, Terms, Verdict,
};
use super::{Ground, Kept, Refused, late};
use crate::callback::judge::{Fallen, Subject};
use crate::callback::unix_now_s;
use crate::limits;
use crate::outcome::Outcome;
use crate::store::StoreError;
use crate::store::spool::{
    Content, Entry, EntryKind, EntryState, Failed, LastAnswer, NewEntry, Unreadable,
};
use crate::upstream::{Failure, Fate};
use arc_swap::ArcSwap;
use serde_json::json;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// What an account has acknowledged and its app has not taken.
#[derive(Debug)]
pub struct AccountSpool {
    appid: Arc<str>,
    /// Its name in the configuration; the appid while it is not there.
    name: ArcSwap<String>,
    ground: Ground,
    state: Mutex<State>,
    /// Whether the circuit keeps callbacks from the app: read by every callback.
    open: AtomicBool,
    /// Callbacks in the queue and on their way into it: read by every callback.
    waiting: AtomicUsize,
    /// Calls that the app took since the circuit last heard: counted by every callback.
    successes: AtomicU32,
    /// Writes on their way.
    writes: AtomicUsize,
    dead: AtomicU64,
    /// Something is to be tried sooner than was known.
    changed: Notify,
    /// Whether a task redelivers.
    running: AtomicBool,
}

#[derive(Debug)]
struct State {
    callbacks: Queue,
    replies: Queue,
    breaker: Breaker,
    terms: Terms,
    /// Replies that were on their way when the process that sent them ended.
    unsure: Vec<u64>,
}

/// An entry that somebody has in hand: nobody else tries it until it is told how that ended.
#[derive(Debug)]
pub struct Leased {
    /// Its row.
    pub id: u64,
    /// What it is.
    pub kind: EntryKind,
    /// Which call this is, counted from 1.
    pub attempt: u32,
    /// It is the probe of an open circuit.
    pub probe: bool,
}

/// What there is to do.
#[derive(Debug)]
pub(super) struct Next {
    /// To be tried now.
    pub(super) leased: Vec<Leased>,
    /// When there may be more.
    pub(super) at: Option<Instant>,
}

/// What another process has left of an account.
pub(super) struct Left {
    pub(super) callbacks: Restore,
    pub(super) replies: Restore,
    /// Replies that were on their way.
    pub(super) sending: Vec<u64>,
    pub(super) dead: u64,
    pub(super) dead_bytes: u64,
}

impl Left {
    pub(super) fn new(now: u64) -> Left {
        let (callbacks, replies) = (Restore::new(now), Restore::new(now));
        Left { callbacks, replies, sending: Vec::new(), dead: 0, dead_bytes: 0 }
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
        let queue = || Queue::new(terms.clone(), ground.now_ms());
        let state = State {
            callbacks: queue(),
            replies: queue(),
            breaker: Breaker::default(),
            terms,
            unsure: Vec::new(),
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
            changed: Notify::new(),
            running: AtomicBool::new(false),
        }
    }

    /// Takes over what another process has left: the entries that wait, and how many are dead. Those that this process has
    /// written itself are known already.
    pub(super) fn restore(&self, left: Left) {
        let mut state = self.state();
        let State { callbacks, replies, terms, unsure, .. } = &mut *state;
        let mut added = 0;
        for (queue, entries) in [(callbacks, left.callbacks), (replies, left.replies)] {
            let own = queue.bytes();
            if queue.is_idle() {
                *queue = entries.finish(terms.clone());
            } else {
                entries.iter().for_each(|pending| queue.add(&pending, false, None));
            }
            added += queue.bytes() - own;
        }
        unsure.extend(left.sending);
        self.waiting.store(state.callbacks.len(), Ordering::Release);
        drop(state);
        self.ground.quota.restore(&self.appid, added + left.dead_bytes);
        self.dead.fetch_add(left.dead, Ordering::Relaxed);
        self.changed.notify_one();
    }

    /// Whether a reply is this process's own.
    pub(super) fn has_reply(&self, id: u64) -> bool {
        self.state().replies.contains(id)
    }

    pub(super) fn configure(&self, name: &str, terms: &Terms) {
        self.name.store(Arc::new(name.to_owned()));
        let mut state = self.state();
        state.callbacks.configure(terms.clone());
        state.replies.configure(terms.clone());
        state.terms = terms.clone();
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

    // --- what callbacks ask ---

    /// Whose order a message is in: that of the user whom it is about, or none but its own.
    pub fn user(&self, subject: &Subject<'_>) -> u64 {
        let user = subject.message.subject().unwrap_or(&subject.facts.ce_id);
        self.ground.store.user_hash(&self.appid, user)
    }

    /// How a callback ends that does not go to the app: because earlier ones of its user have not gone yet, or because the
    /// app is believed to be down.
    pub fn detour(&self, subject: &Subject<'_>) -> Option<Outcome> {
        if self.open.load(Ordering::Acquire) {
            // Without an entry to probe with, a live message is the probe.
            let mut state = self.state();
            let probe = state.callbacks.is_empty() && {
                let before = state.breaker.state();
                state.breaker.try_probe(self.ground.now_ms()) && {
                    self.tell_circuit(before, &state);
                    true
                }
            };
            return (!probe).then_some(Outcome::FallbackCircuitOpen);
        }
        if !self.ground.others.are_gone() {
            return self.ground.others_wait(&self.appid).then_some(Outcome::FallbackOrder);
        }
        if self.waiting.load(Ordering::Acquire) == 0 {
            return None;
        }
        let user = self.user(subject);
        self.state().callbacks.holds(user).then_some(Outcome::FallbackOrder)
    }

    /// The app took a callback in time.
    pub fn app_succeeded(&self) {
        self.successes.fetch_add(1, Ordering::Relaxed);
        if self.open.load(Ordering::Acquire) {
            self.probe_ended(true);
        }
    }

    /// The app took a callback late, after its call was counted as failed at `failed_at`.
    pub fn app_succeeded_late(&self, failed_at: Option<Instant>) {
        let Some(at) = failed_at else { return self.app_succeeded() };
        let at = at.saturating_duration_since(self.ground.started).as_millis() as u64;
        self.state().breaker.took_back(at);
        if self.open.load(Ordering::Acquire) {
            self.probe_ended(true);
        }
    }

    /// The app failed, or did not answer by the deadline.
    pub fn app_failed(&self, failure: &Failure) {
        if !matches!(failure.fate(), Fate::Redeliver { counts: true, .. }) {
            return;
        }
        let now = self.ground.now_ms();
        let mut state = self.state();
        self.count_successes(&mut state, now);
        let before = state.breaker.state();
        if before == Circuit::Closed {
            state.breaker.failed(now);
        } else {
            state.breaker.probe_ended(false);
        }
        self.tell_circuit(before, &state);
    }

    /// A probe of the open circuit has ended, or a call that says as much.
    fn probe_ended(&self, success: bool) {
        let mut state = self.state();
        let before = state.breaker.state();
        state.breaker.probe_ended(success);
        if before != Circuit::Closed && state.breaker.state() == Circuit::Closed {
            state.callbacks.pull(self.ground.now_ms());
        }
        self.tell_circuit(before, &state);
    }

    fn count_successes(&self, state: &mut State, now: u64) {
        let successes = self.successes.swap(0, Ordering::Relaxed);
        if successes > 0 {
            state.breaker.succeeded(now, successes.into());
            state.callbacks.succeeded(successes);
        }
    }

    /// Says that the circuit has another state than before.
    fn tell_circuit(&self, before: Circuit, state: &State) {
        let circuit = state.breaker.state();
        if circuit != before {
            self.open.store(circuit != Circuit::Closed, Ordering::Release);
            let name = self.name.load();
            self.ground.events.send("circuit", Some(&name), json!({"state": circuit.label()}));
            match (before, circuit) {
                (Circuit::Closed, Circuit::Open) => log::warn!(
                    "{name}: the app fails again and again; messages go to the spool until it takes one"
                ),
                (_, Circuit::Closed) => log::warn!("{name}: the app is back"),
                _ => {}
            }
            self.changed.notify_one();
        }
    }

    // --- what is put in ---

    /// Writes a message down. With `fallen` its first call has failed; if such a message is not worth another, it is a dead
    /// letter.
    ///
    /// # Errors
    /// When it may not be on disk.
    pub async fn keep(&self, kept: &Kept, fallen: Option<&Fallen>) -> Result<(), Refused> {
        let Some(fallen) = fallen else {
            let leased = self.add(kept, EntryKind::Callback, 0, None).await?;
            self.put_back(vec![leased]);
            return Ok(());
        };
        let failed = failed(fallen);
        match fallen.failure.fate() {
            Fate::Dead => self.add_dead(None, kept, EntryKind::Callback, failed).await,
            Fate::Redeliver { at_most, .. } => {
                let leased = self.add(kept, EntryKind::Callback, 1, Some(failed)).await?;
                // The row says already what this decides.
                let _due = self.setback(&leased, fallen, at_most);
                Ok(())
            }
        }
    }

    /// Writes a message down whose first call goes on.
    ///
    /// # Errors
    /// When it may not be on disk.
    pub async fn lease(&self, kept: &Kept) -> Result<Leased, Refused> {
        self.add(kept, EntryKind::Callback, 1, None).await
    }

    async fn add(
        &self,
        kept: &Kept,
        kind: EntryKind,
        attempts: u32,
        failed: Option<Failed>,
    ) -> Result<Leased, Refused> {
        let writing = Writing::begin(self, kept, kind)?;
        let entry = self.entry(kept, kind, EntryState::Pending, attempts);
        let content = kept.content.clone();
        let id = self.timed(self.ground.store.spool(entry, content, failed)).await?;
        let leased = writing.done(id, attempts);
        self.tell("spooled", id, "");
        Ok(leased)
    }

    fn entry(&self, kept: &Kept, kind: EntryKind, state: EntryState, attempts: u32) -> NewEntry {
        let now_s = unix_now_s();
        NewEntry {
            appid: self.appid.clone(),
            kind,
            state,
            user: kept.user,
            received_s: kept.received_s,
            due_ms: now_s.saturating_mul(1_000),
            attempts,
            failures: 0,
            died_s: (state == EntryState::Dead).then_some(now_s),
        }
    }

    async fn timed<T>(&self, write: impl Future<Output = T>) -> T {
        let begun = Instant::now();
        let written = write.await;
        self.ground.write_seconds.observe(begun.elapsed().as_secs_f64());
        written
    }

    /// Adds a dead letter, in the place of the entry `of` if there is one.
    async fn add_dead(
        &self,
        of: Option<&Leased>,
        kept: &Kept,
        kind: EntryKind,
        failed: Failed,
    ) -> Result<(), Refused> {
        let bytes = kept.content.bytes();
        if !self.ground.quota.take(&self.appid, bytes) {
            return Err(Refused::Full);
        }
        let reason = failed.reason.clone();
        let entry = self.entry(kept, kind, EntryState::Dead, 1);
        let content = kept.content.clone();
        let written = match of {
            None => self.ground.store.spool(entry, content, Some(failed)).await,
            Some(of) => {
                let of = Some(of.id);
                self.ground.store.spool_taken_with_reply(of, entry, content, Some(failed)).await
            }
        };
        match written {
            Ok(id) => {
                self.dead.fetch_add(1, Ordering::Relaxed);
                self.tell("dead", id, &reason);
                Ok(())
            }
            Err(error) => {
                self.ground.quota.give_back(&self.appid, bytes);
                Err(error.into())
            }
        }
    }

    // --- how what was in hand ended ---

    /// The receiver has it. Returns when its row is gone.
    pub async fn taken(&self, leased: Leased) {
        while let Err(error) = self.ground.store.spool_taken(leased.id).await {
            if error == StoreError::Closed {
                return;
            }
            // It holds its place meanwhile, so that a broken store does not lead to many deliveries of one message.
            tokio::time::sleep(limits::STORE_REOPEN).await;
        }
        self.gone(leased);
    }

    /// The row is gone, because the receiver has it.
    fn gone(&self, leased: Leased) {
        let mut state = self.state();
        let queue = state.queue(leased.kind);
        // An operator may have deleted it meanwhile.
        if let Some(pending) = queue.get(leased.id) {
            queue.delivered(leased.id);
            drop(state);
            self.left(leased.kind, Some(pending.bytes));
            self.tell("delivered", leased.id, "");
        }
        self.changed.notify_one();
    }

    /// Counts an entry that is no longer pending; `bytes` when its row is gone too.
    fn left(&self, kind: EntryKind, bytes: Option<u32>) {
        if kind == EntryKind::Callback {
            self.waiting.fetch_sub(1, Ordering::AcqRel);
        }
        if let Some(bytes) = bytes {
            self.ground.quota.give_back(&self.appid, bytes.into());
        }
    }

    /// The first call of a leased entry has failed after all. `counted`: for the circuit, when the deadline came.
    pub async fn first_failed(&self, leased: Leased, fallen: Fallen, counted: bool) {
        if !counted {
            self.app_failed(&fallen.failure);
        }
        self.failed(leased, &fallen).await;
    }

    /// A call has failed: there will be another, or the entry is a dead letter. Says whether it is.
    pub async fn failed(&self, leased: Leased, fallen: &Fallen) -> bool {
        match fallen.failure.fate() {
            Fate::Dead => {
                self.bury(leased, failed(fallen)).await;
                true
            }
            Fate::Redeliver { at_most, .. } => match self.setback(&leased, fallen, at_most) {
                Some(Verdict::GiveUp) => {
                    self.bury(leased, failed(fallen)).await;
                    true
                }
                Some(Verdict::Retry { due, attempts, failures }) => {
                    self.retry(leased.id, due, attempts, failures, failed(fallen)).await;
                    false
                }
                None => false,
            },
        }
    }

    /// A reply was not sent, which is certain: it is tried again, or a dead letter. Says whether it is.
    pub async fn reply_failed(
        &self,
        leased: Leased,
        failed: Failed,
        pause: Option<Duration>,
    ) -> bool {
        let setback =
            Setback { retry_after_ms: pause.map(millis), at_most_ms: None, counts: false };
        let now = self.ground.now_ms();
        let verdict = self.state().replies.failed(leased.id, now, setback, rand::random());
        match verdict {
            Some(Verdict::GiveUp) => {
                self.bury(leased, failed).await;
                true
            }
            Some(Verdict::Retry { due, attempts, failures }) => {
                self.retry(leased.id, due, attempts, failures, failed).await;
                false
            }
            None => false,
        }
    }

    fn setback(
        &self,
        leased: &Leased,
        fallen: &Fallen,
        at_most: Option<Duration>,
    ) -> Option<Verdict> {
        let retry_after = fallen.answer.as_ref().and_then(|answer| answer.retry_after);
        let setback = Setback {
            retry_after_ms: retry_after.map(millis),
            at_most_ms: at_most.map(millis),
            counts: true,
        };
        let now = self.ground.now_ms();
        let mut state = self.state();
        self.count_successes(&mut state, now);
        let verdict = state.callbacks.failed(leased.id, now, setback, rand::random());
        self.changed.notify_one();
        verdict
    }

    /// Writes down when an entry is tried again. In memory it is decided already; a store that cannot write it has a row
    /// that is tried earlier after a restart.
    async fn retry(&self, id: u64, due: u64, attempts: u32, failures: u32, failed: Failed) {
        let wait = due.saturating_sub(self.ground.now_ms());
        let due_ms = unix_now_s().saturating_mul(1_000).saturating_add_unsigned(wait);
        let reason = failed.reason.clone();
        self.changed.notify_one();
        match self.ground.store.spool_failed(id, attempts, failures, due_ms, failed).await {
            Ok(()) => self.tell("retry", id, &reason),
            Err(error) => log::warn!("{}: a retry was not written down: {error}", self.name.load()),
        }
    }

    /// Makes an entry in hand a dead letter. Returns when its row says so; a store that cannot write it keeps it in hand.
    pub async fn bury(&self, leased: Leased, failed: Failed) {
        let reason = failed.reason.clone();
        let Leased { id, attempt, .. } = leased;
        let store = &self.ground.store;
        while let Err(error) = store.spool_dead(id, attempt, unix_now_s(), failed.clone()).await {
            if error == StoreError::Closed {
                return;
            }
            tokio::time::sleep(limits::STORE_REOPEN).await;
        }
        let there = self.state().queue(leased.kind).remove(id).is_some();
        if there {
            self.left(leased.kind, None);
            self.dead.fetch_add(1, Ordering::Relaxed);
            self.tell("dead", id, &reason);
        }
        self.changed.notify_one();
    }

    /// What was in hand was not tried.
    pub(super) fn put_back(&self, leased: Vec<Leased>) {
        let mut state = self.state();
        for Leased { id, kind, .. } in leased {
            state.queue(kind).release(id);
        }
        drop(state);
        self.changed.notify_one();
    }

    // --- replies ---

    /// The app has taken a message and said something to it that goes out as a reply: both are written at once. Gives the
    /// reply to send; nothing when earlier ones of the user go first, or when it could not be written.
    pub async fn taken_with_reply(&self, of: Option<Leased>, reply: &Kept) -> Option<Leased> {
        let writing = match Writing::begin(self, reply, EntryKind::Reply) {
            Ok(writing) => writing,
            Err(refused) => {
                log::error!("{}: a late reply is lost: {refused}", self.name.load());
                if let Some(of) = of {
                    self.taken(of).await;
                }
                return None;
            }
        };
        let state = if writing.behind { EntryState::Pending } else { EntryState::Sending };
        let behind = writing.behind;
        let entry = self.entry(reply, EntryKind::Reply, state, u32::from(!behind));
        let id = of.as_ref().map(|of| of.id);
        let write =
            self.ground.store.spool_taken_with_reply(id, entry, reply.content.clone(), None);
        match self.timed(write).await {
            Ok(id) => {
                let leased = writing.done(id, u32::from(!behind));
                if let Some(of) = of {
                    self.gone(of);
                }
                self.tell("spooled", leased.id, "reply");
                if behind {
                    self.put_back(vec![leased]);
                    return None;
                }
                Some(leased)
            }
            Err(error) => {
                log::error!("{}: a late reply is lost: {error}", self.name.load());
                drop(writing);
                if let Some(of) = of {
                    self.taken(of).await;
                }
                None
            }
        }
    }

    /// The same for a reply that can no longer be sent.
    pub async fn taken_with_dead_reply(&self, of: Option<Leased>, reply: &Kept, failed: Failed) {
        match self.add_dead(of.as_ref(), reply, EntryKind::Reply, failed).await {
            Ok(()) => {
                if let Some(of) = of {
                    self.gone(of);
                }
            }
            Err(refused) => {
                log::error!("{}: a dead letter is lost: {refused}", self.name.load());
                if let Some(of) = of {
                    self.taken(of).await;
                }
            }
        }
    }

    /// Marks on disk that a reply is on its way. Not when it is gone, or the store cannot write.
    pub async fn mark_sending(
        &self,
        leased: &Leased,
        content: Content,
    ) -> Result<bool, StoreError> {
        self.timed(self.ground.store.spool_sending(leased.id, Some(content))).await
    }

    // --- redelivery ---

    /// What is to be tried now.
    pub(super) fn next(&self) -> Next {
        let now = self.ground.now_ms();
        // What the app takes could not be forgotten, and would be delivered again.
        if !self.ground.store.is_writable() {
            return Next { leased: Vec::new(), at: Some(Instant::now() + limits::STORE_REOPEN) };
        }
        let mut state = self.state();
        self.count_successes(&mut state, now);
        let before = state.breaker.state();
        let mut leased = Vec::new();
        let lease =
            |kind, probe| move |Attempt { id, attempt }| Leased { id, kind, attempt, probe };
        let callbacks_at = if before == Circuit::Closed {
            let free = limits::SPOOL_CHUNK;
            while leased.len() < free
                && let Some(attempt) = state.callbacks.take(now)
            {
                leased.push(lease(EntryKind::Callback, false)(attempt));
            }
            state.callbacks.next_at()
        } else {
            if !state.callbacks.is_empty() && state.breaker.try_probe(now) {
                match state.callbacks.take_probe(now) {
                    Some(attempt) => leased.push(lease(EntryKind::Callback, true)(attempt)),
                    // All are leased: their first calls are the probes.
                    None => state.breaker.probe_ended(false).map_or((), drop),
                }
            }
            Some(now + millis(limits::CIRCUIT_PROBE))
        };
        while leased.len() < limits::SPOOL_CHUNK
            && let Some(attempt) = state.replies.take(now)
        {
            leased.push(lease(EntryKind::Reply, false)(attempt));
        }
        let at = callbacks_at.into_iter().chain(state.replies.next_at()).min();
        self.tell_circuit(before, &state);
        let at = at.map(|at| self.ground.started + Duration::from_millis(at));
        Next { leased, at }
    }

    /// Waits until there may be more to try than [`AccountSpool::next`] said.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// A redelivery has succeeded, or failed.
    pub(super) fn redelivered(&self, probe: bool, failure: Option<&Failure>) {
        match failure {
            Some(failure) => self.app_failed(failure),
            None if probe => self.probe_ended(true),
            None => self.app_succeeded(),
        }
    }

    /// What these entries hold.
    pub(super) async fn contents(
        &self,
        ids: impl Iterator<Item = u64>,
    ) -> Result<HashMap<u64, Result<Kept, Unreadable>>, StoreError> {
        let (store, ids) = (self.ground.store.clone(), ids.collect::<Vec<_>>());
        let read = tokio::task::spawn_blocking(move || store.spool_contents(&ids));
        let contents = read.await.map_err(|_| StoreError::Closed)??;
        let kept = |entry: Entry, content| Kept {
            user: entry.user,
            received_s: entry.received_s,
            content,
        };
        let contents = contents.into_iter();
        Ok(contents.map(|(entry, content)| (entry.id, content.map(|it| kept(entry, it)))).collect())
    }

    // --- what operators do ---

    /// A dead letter is pending again.
    pub(super) fn revived(&self, entry: &Entry) {
        let pending = self.ground.pending(self.ground.moment(), entry);
        self.dead.fetch_sub(1, Ordering::Relaxed);
        if entry.kind == EntryKind::Callback {
            self.waiting.fetch_add(1, Ordering::AcqRel);
        }
        self.state().queue(entry.kind).add(&pending, false, None);
        self.tell("replayed", entry.id, "");
        self.changed.notify_one();
    }

    /// The row of an entry was deleted: `action` says why.
    pub(super) fn deleted(&self, entry: &Entry, action: &'static str) {
        let bytes = u32::try_from(entry.bytes).unwrap_or(u32::MAX);
        if self.state().queue(entry.kind).remove(entry.id).is_some() {
            self.left(entry.kind, Some(bytes));
        } else if entry.state == EntryState::Dead {
            self.dead.fetch_sub(1, Ordering::Relaxed);
            self.ground.quota.give_back(&self.appid, bytes.into());
        }
        self.tell(action, entry.id, "");
        self.changed.notify_one();
    }

    /// Makes dead letters of the replies that were on their way when the process that sent them ended: nobody knows whether
    /// WeChat has them.
    pub(super) async fn bury_unsure(&self) {
        let unsure = std::mem::take(&mut self.state().unsure);
        for id in unsure {
            let failed = late::maybe_sent("the process ended while it was being sent");
            let store = &self.ground.store;
            while let Err(error) = store.spool_dead(id, 1, unix_now_s(), failed.clone()).await {
                if error == StoreError::Closed {
                    return;
                }
                tokio::time::sleep(limits::STORE_REOPEN).await;
            }
            self.dead.fetch_add(1, Ordering::Relaxed);
            self.tell("dead", id, late::MAYBE_SENT);
        }
    }

    /// When the next entry is due, in Unix seconds; nothing while it is in hand or the circuit is open.
    pub fn next_attempt_s(&self, entry: &Entry) -> Option<i64> {
        let mut state = self.state();
        if state.breaker.state() != Circuit::Closed && entry.kind == EntryKind::Callback {
            return None;
        }
        let due = state.queue(entry.kind).get(entry.id)?.due;
        let wait = due.saturating_sub(self.ground.now_ms()) / 1_000;
        Some(unix_now_s().saturating_add_unsigned(wait))
    }

    /// The task that redelivers begins; not when there is one.
    pub(super) fn begin(&self) -> bool {
        !self.running.swap(true, Ordering::AcqRel)
    }

    /// It has ended.
    pub(super) fn end(&self) {
        self.running.store(false, Ordering::Release);
    }

    fn tell(&self, action: &'static str, id: u64, reason: &str) {
        self.ground.events.spool(&self.name.load(), action, id, reason);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn queue(&mut self, kind: EntryKind) -> &mut Queue {
        match kind {
            EntryKind::Callback => &mut self.callbacks,
            EntryKind::Reply => &mut self.replies,
        }
    }
}

/// An entry on its way to the disk: it has its room, and its user's later messages go behind it already. Dropped before it
/// is done, all of that is given back.
struct Writing<'a> {
    spool: &'a AccountSpool,
    kept: &'a Kept,
    kind: EntryKind,
    bytes: u64,
    /// Whether others of the user go first.
    behind: bool,
    announced: Option<Announced>,
}

impl<'a> Writing<'a> {
    fn begin(
        spool: &'a AccountSpool,
        kept: &'a Kept,
        kind: EntryKind,
    ) -> Result<Writing<'a>, Refused> {
        let bytes = kept.content.bytes();
        if spool.writes.fetch_add(1, Ordering::Relaxed) >= limits::SPOOL_WRITES {
            spool.writes.fetch_sub(1, Ordering::Relaxed);
            return Err(Refused::Busy);
        }
        if !spool.ground.quota.take(&spool.appid, bytes) {
            spool.writes.fetch_sub(1, Ordering::Relaxed);
            return Err(Refused::Full);
        }
        let mut state = spool.state();
        let queue = state.queue(kind);
        let behind = queue.holds(kept.user);
        let announced = Some(queue.announce(kept.user));
        if kind == EntryKind::Callback {
            spool.waiting.fetch_add(1, Ordering::AcqRel);
        }
        drop(state);
        Ok(Writing { spool, kept, kind, bytes, behind, announced })
    }

    /// It is on disk, and in hand.
    fn done(mut self, id: u64, attempts: u32) -> Leased {
        let Writing { spool, kept, kind, bytes, .. } = self;
        spool.writes.fetch_sub(1, Ordering::Relaxed);
        let now = spool.ground.moment();
        let pending = Pending {
            id,
            user: kept.user,
            attempts,
            failures: 0,
            received_at: now.received_at(kept.received_s),
            due: now.ms,
            bytes: u32::try_from(bytes).unwrap_or(u32::MAX),
        };
        spool.state().queue(kind).add(&pending, true, self.announced.take());
        Leased { id, kind, attempt: attempts, probe: false }
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        if let Some(announced) = self.announced.take() {
            self.spool.writes.fetch_sub(1, Ordering::Relaxed);
            self.spool.state().queue(self.kind).withdraw(announced);
            self.spool.left(self.kind, Some(u32::try_from(self.bytes).unwrap_or(u32::MAX)));
        }
    }
}

fn failed(fallen: &Fallen) -> Failed {
    let answer = fallen.answer.as_ref();
    Failed {
        reason: fallen.failure.reason().to_owned(),
        detail: fallen.failure.to_string(),
        answer: answer
            .map(|answer| LastAnswer { status: answer.status, body: answer.body.to_vec() }),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
