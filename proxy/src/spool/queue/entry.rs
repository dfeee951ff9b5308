//! One entry: what of it is needed to order and schedule it.

use crate::limits;

/// An entry of the spool, durable and not yet taken by the app. Times are milliseconds of a monotonic clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pending {
    /// Grows with the order of arrival.
    pub id: u64,
    /// Whose entries are delivered in order: a hash.
    pub user: u64,
    /// Calls made so far, one that still runs included.
    pub attempts: u32,
    /// Those of them that failed for a fault of its own: others succeeded meanwhile.
    pub failures: u32,
    /// When the message came; before the clock's start if negative.
    pub received_at: i64,
    /// Not to be tried before this.
    pub due: u64,
    /// What it counts against `spool.max_bytes`.
    pub bytes: u32,
}

/// Who has an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lease {
    /// Nobody: it waits.
    None,
    /// Its first call, which began before it was spooled.
    FirstCall,
    /// An attempt that the queue handed out.
    Attempt,
}

/// A [`Pending`] in the queue, where its id is the key. A million of them are kept in memory.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) user: u64,
    pub(super) received_at: i64,
    pub(super) due: u64,
    pub(super) attempts: u32,
    pub(super) failures: u32,
    pub(super) bytes: u32,
    /// The count of successes when it last failed, or was added: whether others succeeded since.
    pub(super) successes: u32,
    pub(super) lease: Lease,
}

impl Entry {
    pub(super) fn new(pending: &Pending, lease: Lease, successes: u32) -> Entry {
        let Pending { id: _, user, attempts, failures, received_at, due, bytes } = *pending;
        Entry { user, received_at, due, attempts, failures, bytes, successes, lease }
    }

    pub(super) fn pending(&self, id: u64) -> Pending {
        let Entry { user, received_at, due, attempts, failures, bytes, .. } = *self;
        Pending { id, user, attempts, failures, received_at, due, bytes }
    }

    /// Whether later entries of its user wait for it.
    pub(super) fn holds(&self) -> bool {
        self.failures < limits::SPOOL_OWN_FAILURES
    }

    /// In milliseconds; negative if the clocks disagree.
    pub(super) fn age(&self, now: u64) -> i64 {
        i64::try_from(now).unwrap_or(i64::MAX).saturating_sub(self.received_at)
    }
}
