//! What operators do with the spool: look, replay, delete, erase; and what time does to dead letters.

use super::{AccountSpool, Circuit, Spool};
use crate::limits;
use crate::lines::unix_now;
use crate::store::StoreError;
use crate::store::spool::{Entry, EntryKind, EntryState, Filter};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

impl Spool {
    fn of_entry(&self, entry: &Entry) -> Arc<AccountSpool> {
        self.of(&entry.appid)
    }

    /// Makes a dead letter pending again; says whether it was one.
    ///
    /// # Errors
    /// When that may not be on disk.
    pub async fn replay(&self, id: u64) -> Result<bool, StoreError> {
        Ok(self.replay_all(vec![id]).await? > 0)
    }

    /// Makes all dead letters pending again, of one account or of all; says how many there were.
    ///
    /// # Errors
    /// When some may not be on disk.
    pub async fn replay_dead(&self, appid: Option<&str>) -> Result<usize, StoreError> {
        let appid: Option<Arc<str>> = appid.map(Arc::from);
        let (mut replayed, mut after) = (0, 0);
        loop {
            let store = self.ground.store.clone();
            let limit = limits::SPOOL_PAGE;
            let filter = Filter { dead: Some(true), appid: appid.clone(), after, limit };
            let page = tokio::task::spawn_blocking(move || store.spool_page(&filter));
            let page = page.await.map_err(|_| StoreError::Closed)??;
            let ids: Vec<_> = page.iter().map(|listed| listed.entry.id).collect();
            let Some(last) = ids.last() else { return Ok(replayed) };
            after = *last;
            replayed += self.replay_all(ids).await?;
        }
    }

    async fn replay_all(&self, ids: Vec<u64>) -> Result<usize, StoreError> {
        let entries = self.ground.store.spool_replay(ids, self.ground.stamp_s()).await?;
        entries.iter().for_each(|entry| self.of_entry(entry).revived(entry));
        Ok(entries.len())
    }

    /// Deletes an entry; says whether there was one.
    ///
    /// # Errors
    /// When it may still be on disk.
    pub async fn delete(&self, id: u64) -> Result<bool, StoreError> {
        let entries = self.ground.store.spool_delete(vec![id]).await?;
        entries.iter().for_each(|entry| self.of_entry(entry).deleted(entry, "deleted"));
        Ok(!entries.is_empty())
    }

    /// Erases every entry about a user; says how many there were.
    ///
    /// # Errors
    /// When some may still be on disk.
    pub async fn erase(&self, appid: &str, subject: &str) -> Result<usize, StoreError> {
        let (mut erased, mut after) = (0, 0);
        // What was on its way to the disk when this began is there when the first are gone.
        for _ in 0..2 {
            let store = self.ground.store.clone();
            let (appid, subject) = (appid.to_owned(), subject.to_owned());
            let about =
                tokio::task::spawn_blocking(move || store.spool_about(&appid, &subject, after));
            let ids = about.await.map_err(|_| StoreError::Closed)??;
            after = ids.last().copied().unwrap_or(after);
            let entries = self.ground.store.spool_erase(ids).await?;
            entries.iter().for_each(|entry| self.of_entry(entry).deleted(entry, "erased"));
            erased += entries.len();
        }
        Ok(erased)
    }

    /// Deletes dead letters that are older than `retention`.
    pub(super) async fn expire(&self, retention: Duration) {
        let retention_s = i64::try_from(retention.as_secs()).unwrap_or(i64::MAX);
        let before_s = self.ground.clock_s().saturating_sub(retention_s);
        loop {
            match self.ground.store.spool_expire(before_s).await {
                Ok(entries) => {
                    entries.iter().for_each(|entry| self.of_entry(entry).deleted(entry, "expired"));
                    if entries.len() < limits::SPOOL_CHUNK {
                        return;
                    }
                }
                Err(error) => {
                    return log::error!("old dead letters could not be deleted: {error}");
                }
            }
        }
    }
}

impl AccountSpool {
    /// A dead letter is pending again.
    pub(super) fn revived(&self, entry: &Entry) {
        // It is worth another `give_up_after_s`, however old it is: its row says since when.
        let pending = self.ground.pending(self.ground.moment(), entry);
        // Its row says that it is dead, but who has made it so may not have told yet: then it counts as pending still.
        let known = self.state().queue(entry.kind).remove(entry.id).is_some();
        if !known {
            if !self.discount_dead(entry.id) {
                self.ground.quota.restore(&self.appid, entry.bytes);
            }
            if entry.kind == EntryKind::Callback {
                self.waiting.fetch_add(1, Ordering::AcqRel);
            }
        }
        self.state().queue(entry.kind).add(pending, false, None);
        self.tell("replayed", entry.id, "");
        self.changed.notify_one();
    }

    /// The row of an entry was deleted: `action` says why.
    pub(super) fn deleted(&self, entry: &Entry, action: &'static str) {
        let bytes = u32::try_from(entry.bytes).unwrap_or(u32::MAX);
        if self.state().queue(entry.kind).remove(entry.id).is_some() {
            self.left(entry.kind, Some(bytes));
        } else if entry.state == EntryState::Dead && self.discount_dead(entry.id) {
            self.ground.quota.give_back(&self.appid, bytes.into());
        }
        self.tell(action, entry.id, "");
        self.changed.notify_one();
    }

    /// When the next entry is due, in Unix seconds; nothing while it is in hand or the circuit is open.
    pub fn next_attempt_s(&self, entry: &Entry) -> Option<i64> {
        let mut state = self.state();
        if state.breaker.state() != Circuit::Closed && entry.kind == EntryKind::Callback {
            return None;
        }
        let due = state.queue(entry.kind).due(entry.id)?;
        let wait_ms = due.saturating_sub(self.ground.now_ms());
        // Rounded once, so that it is the same second whenever it is asked.
        Some((unix_now() + wait_ms as f64 / 1_000.0) as i64)
    }
}
