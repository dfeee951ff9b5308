//! What is in hand: taken from the queue to be tried, and told how that ended.

use super::Kept;
use super::account::AccountSpool;
use super::breaker::State as Circuit;
use super::queue::{Attempt, Failure as Setback, Verdict};
use crate::callback::judge::Fallen;
use crate::callback::unix_now_s;
use crate::limits;
use crate::store::StoreError;
use crate::store::spool::{Entry, EntryKind, EntryState, Failed, LastAnswer, Unreadable};
use crate::upstream::Fate;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// An entry that somebody has in hand: nobody else tries it until it is told how that ended. A callback that is dropped
/// untold, as after a panic, is tried again; a reply is not, because WeChat may have it.
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
    /// Who has to be told; nobody any more once that is done.
    pub(super) spool: Option<Arc<AccountSpool>>,
}

impl Leased {
    /// It was told how that ended.
    pub(super) fn told(mut self) {
        self.spool = None;
    }
}

impl Drop for Leased {
    fn drop(&mut self) {
        if let Some(spool) = self.spool.take()
            && self.kind == EntryKind::Callback
        {
            // As a failure, so that what ends like this again and again is given pauses.
            let setback = Setback { retry_after_ms: None, at_most_ms: None, counts: true };
            let now = spool.ground.now_ms();
            let mut state = spool.state();
            let queue = state.queue(self.kind);
            if queue.failed(self.id, now, setback, rand::random()) == Some(Verdict::GiveUp) {
                queue.release(self.id);
            }
            drop(state);
            spool.changed.notify_one();
        }
    }
}

/// What there is to do.
#[derive(Debug)]
pub(super) struct Next {
    /// To be tried now.
    pub(super) leased: Vec<Leased>,
    /// When there may be more.
    pub(super) at: Option<Instant>,
}

impl AccountSpool {
    /// What is to be tried now.
    pub(super) fn next(self: &Arc<Self>) -> Next {
        let now = self.ground.now_ms();
        // What the app takes could not be forgotten, and would be delivered again.
        if !self.ground.store.is_writable() {
            return Next { leased: Vec::new(), at: Some(Instant::now() + limits::STORE_REOPEN) };
        }
        let mut state = self.state();
        self.count_successes(&mut state, now);
        let before = state.breaker.state();
        let mut leased = Vec::new();
        let lease = |kind, probe| {
            move |Attempt { id, attempt }| Leased {
                id,
                kind,
                attempt,
                probe,
                spool: Some(self.clone()),
            }
        };
        let callbacks_at = if before == Circuit::Closed {
            while leased.len() < limits::SPOOL_CHUNK
                && let Some(attempt) = state.callbacks.take(now)
            {
                leased.push(lease(EntryKind::Callback, false)(attempt));
            }
            state.callbacks.next_at()
        } else {
            if state.callbacks.has_untaken() && state.breaker.try_probe(now) {
                match state.callbacks.take_probe(now) {
                    Some(attempt) => leased.push(lease(EntryKind::Callback, true)(attempt)),
                    // All are leased: their first calls are the probes.
                    None => {
                        state.breaker.probe_ended(false);
                    }
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
        // One that has died while what another process has left was being read is not tried.
        let contents = contents.into_iter().filter(|(entry, _)| entry.state != EntryState::Dead);
        Ok(contents.map(|(entry, content)| (entry.id, content.map(|it| kept(entry, it)))).collect())
    }

    /// The receiver has it: others may go. What is left to do is to delete its row.
    pub(super) fn answered(&self, leased: &Leased) {
        self.state().queue(leased.kind).taken(leased.id);
        self.changed.notify_one();
    }

    /// The receiver has it. Returns when its row is gone.
    pub async fn taken(&self, leased: Leased) {
        self.answered(&leased);
        while let Err(error) = self.ground.store.spool_taken(leased.id).await {
            if error.is_final() {
                return;
            }
            // It counts meanwhile, so that a broken store leads to no further deliveries, and never to another of this one.
            tokio::time::sleep(limits::STORE_REOPEN).await;
        }
        self.gone(leased);
    }

    /// The row is gone, because the receiver has it.
    pub(super) fn gone(&self, leased: Leased) {
        let delivered = self.state().queue(leased.kind).delivered(leased.id);
        // An operator may have deleted it meanwhile.
        if let Some(pending) = delivered {
            self.left(leased.kind, Some(pending.bytes));
            self.tell("delivered", leased.id, "");
        }
        leased.told();
        self.changed.notify_one();
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
            Fate::Redeliver { at_most, .. } => {
                let setback = self.app_setback(leased.id, fallen, at_most);
                self.try_again(leased, setback, failed(fallen)).await
            }
        }
    }

    /// A reply was not sent, which is certain: it is tried again, or a dead letter. Says whether it is.
    pub async fn reply_failed(
        &self,
        leased: Leased,
        failed: Failed,
        pause: Option<Duration>,
    ) -> bool {
        // Long enough that this failure is on disk before the next try is.
        let pause = pause.unwrap_or_default().max(limits::LATE_REPLY_PAUSE);
        let retry_after_ms = Some(millis(pause));
        let setback = Setback { retry_after_ms, at_most_ms: None, counts: false };
        self.try_again(leased, setback, failed).await
    }

    pub(super) fn app_setback(
        &self,
        id: u64,
        fallen: &Fallen,
        at_most: Option<Duration>,
    ) -> Setback {
        let retry_after = fallen.answer.as_ref().and_then(|answer| answer.retry_after);
        let at_most = at_most.filter(|at_most| self.is_turned_away(id, *at_most));
        Setback {
            retry_after_ms: retry_after.map(millis),
            at_most_ms: at_most.map(millis),
            counts: true,
        }
    }

    /// Whether the app turns messages away for good, or this one.
    fn is_turned_away(&self, id: u64, at_most: Duration) -> bool {
        let failures = self.state().callbacks.get(id).map_or(0, |pending| pending.failures);
        self.turned_away.is_for_good(self.ground.now_ms(), millis(at_most), failures)
    }

    /// Decides when an entry is tried again; it is not in hand any more then.
    ///
    /// # Errors
    /// Gives the entry back that has been tried for long enough.
    pub(super) fn setback(
        &self,
        leased: Leased,
        setback: Setback,
    ) -> Result<Option<Verdict>, Leased> {
        let now = self.ground.now_ms();
        let mut state = self.state();
        self.count_successes(&mut state, now);
        let verdict = state.queue(leased.kind).failed(leased.id, now, setback, rand::random());
        drop(state);
        if verdict == Some(Verdict::GiveUp) {
            return Err(leased);
        }
        leased.told();
        self.changed.notify_one();
        Ok(verdict)
    }

    /// Says whether the entry has become a dead letter instead.
    async fn try_again(&self, leased: Leased, setback: Setback, failed: Failed) -> bool {
        let id = leased.id;
        match self.setback(leased, setback) {
            Ok(Some(Verdict::Retry { due, attempts, failures })) => {
                self.retry(id, due, attempts, failures, failed).await;
                false
            }
            Ok(_gone) => false,
            Err(leased) => {
                self.bury(leased, failed).await;
                true
            }
        }
    }

    /// Writes down when an entry is tried again. In memory it is decided already; a store that cannot write it has a row
    /// that is tried earlier after a restart.
    async fn retry(&self, id: u64, due: u64, attempts: u32, failures: u32, failed: Failed) {
        let wait = due.saturating_sub(self.ground.now_ms());
        let due_ms = unix_now_s().saturating_mul(1_000).saturating_add_unsigned(wait);
        let store = &self.ground.store;
        match store.spool_failed(id, attempts, failures, due_ms, failed.clone()).await {
            Ok(()) => self.tell_failed("retry", id, &failed),
            Err(error) => log::warn!("{}: a retry was not written down: {error}", self.name.load()),
        }
    }

    /// Makes an entry in hand a dead letter. Returns when its row says so; a store that cannot write it keeps it in hand.
    pub async fn bury(&self, leased: Leased, failed: Failed) {
        let (id, attempt) = (leased.id, leased.attempt);
        let Some(dead) = self.write_dead(id, attempt, &failed).await else { return };
        // An operator may have replayed it since.
        let there = self.state().queue(leased.kind).remove_in_flight(id, attempt);
        match there {
            Some(_) if dead => {
                self.left(leased.kind, None);
                self.count_dead(id);
                self.tell_failed("dead", id, &failed);
            }
            Some(pending) => self.left(leased.kind, Some(pending.bytes)),
            None => {}
        }
        leased.told();
        self.changed.notify_one();
    }

    /// Writes down that an entry is a dead letter, however long that takes; nothing when it never will. Says whether it is
    /// one: an operator may have deleted it meanwhile.
    pub(super) async fn write_dead(&self, id: u64, attempts: u32, failed: &Failed) -> Option<bool> {
        loop {
            let died_s = self.ground.stamp_s();
            match self.ground.store.spool_dead(id, attempts, died_s, failed.clone()).await {
                Ok(dead) => return Some(dead),
                Err(error) if error.is_final() => return None,
                Err(_) => tokio::time::sleep(limits::STORE_REOPEN).await,
            }
        }
    }

    /// There is no row of an entry in hand: it was deleted meanwhile, or taken while what another process has left was
    /// being read.
    pub(super) fn forget(&self, leased: Leased) {
        if let Some(pending) = self.state().queue(leased.kind).remove(leased.id) {
            self.left(leased.kind, Some(pending.bytes));
        }
        leased.told();
        self.changed.notify_one();
    }

    /// What was in hand was not tried.
    pub(super) fn put_back(&self, leased: Vec<Leased>) {
        for leased in leased {
            self.state().queue(leased.kind).release(leased.id);
            leased.told();
        }
        self.changed.notify_one();
    }
}

pub(super) fn failed(fallen: &Fallen) -> Failed {
    let answer = fallen.answer.as_ref();
    Failed {
        reason: fallen.failure.reason().to_owned(),
        detail: fallen.failure.to_string(),
        answer: answer
            .map(|answer| LastAnswer { status: answer.status, body: answer.body.to_vec() }),
    }
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
