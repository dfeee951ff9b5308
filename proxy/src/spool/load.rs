//! What another process has left: read at start, or when a process whose place this one takes has ended.

use super::account::{AccountSpool, State};
use super::queue::Restore;
use super::{Ground, Moment, Spool, late};
use crate::store::spool::{Entry, EntryKind, EntryState};
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
        others.waiting.contains(appid) || self.store.spooled_since(others.last_id, appid)
    }
}

/// What another process has left of an account.
struct Left {
    callbacks: Restore,
    replies: Restore,
    /// Replies that were on their way, by id, and what each counts.
    sending: Vec<(u64, u64)>,
    dead: u64,
    dead_bytes: u64,
    /// Dead letters that this process has counted.
    counted: HashSet<u64>,
}

impl Left {
    /// A dead letter.
    fn dead(&mut self, entry: &Entry) {
        if !self.counted.contains(&entry.id) {
            self.dead += 1;
            self.dead_bytes += entry.bytes;
        }
    }
}

impl AccountSpool {
    /// Takes over what another process has left: the entries that wait, and how many are dead. Those that this process has
    /// written itself are known already.
    fn restore(&self, left: Left) {
        let mut state = self.state();
        let known = state.callbacks.len();
        let State { callbacks, replies, terms, unsure, .. } = &mut *state;
        let mut added = 0;
        for (queue, entries) in [(callbacks, left.callbacks), (replies, left.replies)] {
            let own = queue.bytes();
            if queue.is_idle() {
                *queue = entries.finish(*terms);
            } else {
                for pending in entries.iter() {
                    queue.add(pending, false, None);
                }
            }
            added += queue.bytes() - own;
        }
        added += left.sending.iter().map(|(_, bytes)| bytes).sum::<u64>();
        unsure.extend(left.sending);
        let more = state.callbacks.len() - known;
        state.unheard |= more > 0;
        self.waiting.fetch_add(more, Ordering::AcqRel);
        drop(state);
        self.ground.quota.restore(&self.appid, added + left.dead_bytes);
        self.dead.fetch_add(left.dead, Ordering::Relaxed);
        self.changed.notify_one();
    }

    /// What another process has left, before it is read.
    fn nothing_left(&self, now: Moment) -> Left {
        let restore = || Restore::new(now.ms);
        Left {
            callbacks: restore(),
            replies: restore(),
            sending: Vec::new(),
            dead: 0,
            dead_bytes: 0,
            counted: self.state().counted.clone(),
        }
    }

    /// Whether a reply is this process's own.
    fn has_reply(&self, id: u64) -> bool {
        self.state().replies.contains(id)
    }

    /// Makes dead letters of the replies that were on their way when the process that sent them ended: nobody knows whether
    /// WeChat has them.
    pub(super) async fn bury_unsure(&self) {
        let unsure = std::mem::take(&mut self.state().unsure);
        for (id, bytes) in unsure {
            // One that this process was about to send when it read the store is in good hands, and counts already.
            let dead = !self.has_reply(id) && {
                let failed = late::maybe_sent("the process ended while it was being sent");
                let Some(dead) = self.write_dead(id, 1, &failed).await else { return };
                dead
            };
            if dead {
                self.count_dead(id);
                self.tell("dead", id, late::MAYBE_SENT);
            } else {
                self.ground.quota.give_back(&self.appid, bytes);
            }
        }
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
                let left = left.unwrap_or_else(|| self.of(&entry.appid).nothing_left(now));
                last = Some((entry.appid.clone(), left));
            }
            let Some((_, left)) = &mut last else { return };
            match (entry.state, entry.kind) {
                (EntryState::Dead, _) => left.dead(&entry),
                (EntryState::Sending, _) => left.sending.push((entry.id, entry.bytes)),
                (EntryState::Pending, EntryKind::Callback) => {
                    left.callbacks.push(self.ground.pending(now, &entry));
                }
                (EntryState::Pending, EntryKind::Reply) => {
                    left.replies.push(self.ground.pending(now, &entry));
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
            left.sending.retain(|(id, _)| !spool.has_reply(*id));
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
