//! What another process has left: read at start, or when a process whose place this one takes has ended.

use super::account::Left;
use super::{Ground, Spool};
use crate::store::spool::{EntryKind, EntryState};
use crate::store::{Store, StoreError};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// While another process still has the store (`run --upgrade`): whose messages wait there. This process must not let
/// messages get ahead of them, and cannot know them all.
#[derive(Debug)]
pub(super) struct Others {
    gone: AtomicBool,
    /// Accounts that had entries when this process came.
    waiting: HashSet<Arc<str>>,
    /// The highest id then.
    last_id: u64,
}

impl Others {
    /// Looks at what is there. Reads nothing when the store is this process's alone.
    pub(super) fn look(store: &Store) -> Result<Others, StoreError> {
        let mut others =
            Others { gone: AtomicBool::new(false), waiting: HashSet::new(), last_id: 0 };
        if !store.owns() {
            store.spooled(|entry| {
                others.last_id = others.last_id.max(entry.id);
                if entry.state != EntryState::Dead && !others.waiting.contains(&entry.appid) {
                    others.waiting.insert(entry.appid);
                }
            })?;
        }
        Ok(others)
    }

    /// Whether this process has all there is.
    pub(super) fn are_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }
}

impl Ground {
    /// Whether messages of an account may wait in another process.
    pub(super) fn others_wait(&self, appid: &str) -> bool {
        let others = &self.others;
        // A store that cannot be read is no reason to lose the order.
        !others.are_gone()
            && (others.waiting.contains(appid)
                || self.store.spooled_since(others.last_id, appid).unwrap_or(true))
    }
}

impl Spool {
    /// Reads everything that is in the store and not known yet.
    pub(super) fn load(&self) -> Result<(), StoreError> {
        let mut accounts: HashMap<Arc<str>, Left> = HashMap::new();
        let mut last: Option<(Arc<str>, Left)> = None;
        // One for all: reading a million takes a while, and what was due when it began still is.
        let now = self.ground.moment();
        let senseless = self.ground.store.spooled(|entry| {
            // Entries of one account come in runs, mostly.
            if last.as_ref().is_none_or(|(appid, _)| *appid != entry.appid) {
                if let Some((appid, left)) = last.take() {
                    accounts.insert(appid, left);
                }
                let left = accounts.remove(&entry.appid);
                let left = left.unwrap_or_else(|| Left::new(now.ms));
                last = Some((entry.appid.clone(), left));
            }
            let Some((_, left)) = &mut last else { return };
            match (entry.state, entry.kind) {
                (EntryState::Dead, _) => {
                    left.dead += 1;
                    left.dead_bytes += entry.bytes;
                }
                (EntryState::Sending, _) => left.sending.push(entry.id),
                (EntryState::Pending, EntryKind::Callback) => {
                    left.callbacks.push(&self.ground.pending(now, &entry));
                }
                (EntryState::Pending, EntryKind::Reply) => {
                    left.replies.push(&self.ground.pending(now, &entry));
                }
            }
        })?;
        if senseless > 0 {
            log::error!(
                "{senseless} entries of the spool make no sense and are left where they are"
            );
        }
        accounts.extend(last);
        for (appid, mut left) in accounts {
            let spool = self.of(&appid);
            // Those that this process sends itself are in good hands.
            left.sending.retain(|id| !spool.has_reply(*id));
            spool.restore(left);
        }
        self.ground.others.gone.store(true, Ordering::Release);
        Ok(())
    }

    /// The process whose place this one takes has ended. Blocks.
    pub(super) fn take_over(&self) {
        match self.load() {
            Ok(()) => {
                log::info!("the process before this one has ended; the store is this one's alone")
            }
            Err(error) => log::error!("what is in the spool cannot be read yet: {error}"),
        }
        self.loading.store(false, Ordering::Release);
    }
}
