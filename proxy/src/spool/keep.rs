//! What is put into the spool: written first, then in memory, then acknowledged.

use super::account::AccountSpool;
use super::lease::{Leased, failed};
use super::queue::{Announced, Pending};
use super::{Kept, Refused};
use crate::callback::judge::{Fallen, Subject};
use crate::callback::unix_now_s;
use crate::limits;
use crate::store::StoreError;
use crate::store::spool::{Content, EntryKind, EntryState, Failed, NewEntry};
use crate::upstream::Fate;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

impl AccountSpool {
    /// Whose order a message is in: that of the user whom it is about, or none but its own.
    pub fn user(&self, subject: &Subject<'_>) -> u64 {
        let user = subject.message.subject().unwrap_or(&subject.facts.ce_id);
        let [user, unkeyed] = self.ground.store.user_hashes(&self.appid, user);
        // What was spooled before there was a key of the store goes first.
        if unkeyed != user && self.state().callbacks.holds(unkeyed) { unkeyed } else { user }
    }

    /// Writes a message down. With `fallen` its first call has failed; if such a message is not worth another, it is a dead
    /// letter.
    ///
    /// # Errors
    /// When it may not be on disk.
    pub async fn keep(
        self: &Arc<Self>,
        kept: &Kept,
        fallen: Option<&Fallen>,
    ) -> Result<(), Refused> {
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
                // In memory only: a restart tries it at once.
                let setback = self.app_setback(leased.id, fallen, at_most);
                let retried = self.setback(leased, setback);
                debug_assert!(retried.is_ok(), "a first call is never the last");
                Ok(())
            }
        }
    }

    /// Writes a message down whose first call goes on.
    ///
    /// # Errors
    /// When it may not be on disk.
    pub async fn lease(self: &Arc<Self>, kept: &Kept) -> Result<Leased, Refused> {
        self.add(kept, EntryKind::Callback, 1, None).await
    }

    async fn add(
        self: &Arc<Self>,
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
            died_s: (state == EntryState::Dead).then_some(self.ground.stamp_s()),
        }
    }

    /// There is no room for another entry, which the log says now and then.
    fn full(&self) -> Refused {
        if self.said_full.is_time() {
            log::error!(
                "{}: the spool is full, {} bytes of spool.max_bytes are in use: what the app does not take gets 503; bring the \
                 app back, delete dead letters or raise spool.max_bytes",
                self.name.load(),
                self.ground.quota.bytes()
            );
        }
        Refused::Full
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
            return Err(self.full());
        }
        let reason = failed.reason.clone();
        let entry = self.entry(kept, kind, EntryState::Dead, 1);
        let content = kept.content.clone();
        let (of, failed) = (of.map(|of| of.id), Some(failed));
        let write = self.ground.store.spool_taken_with_reply(of, entry, content, failed);
        match self.timed(write).await {
            Ok(Some(id)) => {
                self.count_dead(id);
                self.tell("dead", id, &reason);
                Ok(())
            }
            // Deleted meanwhile, and its reply with it.
            Ok(None) => {
                self.ground.quota.give_back(&self.appid, bytes);
                Ok(())
            }
            Err(error) => {
                self.ground.quota.give_back(&self.appid, bytes);
                Err(error.into())
            }
        }
    }

    /// The app has taken a message and said something to it that goes out as a reply: both are written at once. Gives the
    /// reply to send; nothing when others go first, or an operator has deleted the message.
    ///
    /// # Errors
    /// When the reply may not be on disk. The message is gone all the same.
    pub async fn taken_with_reply(
        self: &Arc<Self>,
        of: Option<Leased>,
        reply: &Kept,
    ) -> Result<Option<Leased>, Refused> {
        let writing = match Writing::begin(self, reply, EntryKind::Reply) {
            Ok(writing) => writing,
            Err(refused) => {
                if let Some(of) = of {
                    self.taken(of).await;
                }
                return Err(refused);
            }
        };
        if let Some(of) = &of {
            // Now that the reply has its place among those of its user.
            self.answered(of);
        }
        let state = if writing.behind { EntryState::Pending } else { EntryState::Sending };
        let behind = writing.behind;
        let entry = self.entry(reply, EntryKind::Reply, state, u32::from(!behind));
        let id = of.as_ref().map(|of| of.id);
        let write =
            self.ground.store.spool_taken_with_reply(id, entry, reply.content.clone(), None);
        match self.timed(write).await {
            Ok(None) => {
                // Deleted meanwhile, and the reply with it.
                drop(writing);
                if let Some(of) = of {
                    self.forget(of);
                }
                Ok(None)
            }
            Ok(Some(id)) => {
                let leased = writing.done(id, u32::from(!behind));
                if let Some(of) = of {
                    self.gone(of);
                }
                self.tell("spooled", leased.id, "reply");
                if behind {
                    self.put_back(vec![leased]);
                    return Ok(None);
                }
                Ok(Some(leased))
            }
            Err(error) => {
                drop(writing);
                if let Some(of) = of {
                    self.taken(of).await;
                }
                Err(error.into())
            }
        }
    }

    /// The same for a reply that can no longer be sent.
    pub async fn taken_with_dead_reply(&self, of: Option<Leased>, reply: &Kept, failed: Failed) {
        if let Some(of) = &of {
            self.answered(of);
        }
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
}

/// An entry on its way to the disk: it has its room, and its user's later messages go behind it already. Dropped before it
/// is done, all of that is given back.
struct Writing<'a> {
    spool: &'a Arc<AccountSpool>,
    kept: &'a Kept,
    kind: EntryKind,
    bytes: u64,
    /// Whether others of the user go first.
    behind: bool,
    announced: Option<Announced>,
}

impl<'a> Writing<'a> {
    fn begin(
        spool: &'a Arc<AccountSpool>,
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
            return Err(spool.full());
        }
        let mut state = spool.state();
        let concurrency = state.terms.concurrency;
        let queue = state.queue(kind);
        // Replies that are sent at once are not counted as attempts, so they are bounded here.
        let full = kind == EntryKind::Reply && queue.len() >= concurrency;
        let behind = full || queue.holds(kept.user);
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
        let known = spool.state().queue(kind).add(pending, true, self.announced.take());
        if known {
            // Read as what another process has left, and counted twice.
            spool.left(kind, Some(pending.bytes));
        }
        Leased { id, kind, attempt: attempts, probe: false, spool: Some(spool.clone()) }
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        if let Some(announced) = self.announced.take() {
            self.spool.writes.fetch_sub(1, Ordering::Relaxed);
            self.spool.state().queue(self.kind).withdraw(announced);
            self.spool.left(self.kind, Some(u32::try_from(self.bytes).unwrap_or(u32::MAX)));
            // Whoever waited for this one waits no longer.
            self.spool.changed.notify_one();
        }
    }
}
