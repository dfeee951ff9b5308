//! Waits for the disk to have what was written, and tells everybody: beside the thread that writes, which writes the next
//! transaction meanwhile.
//!
//! SQLite is told not to wait (`synchronous = NORMAL`): then it syncs the write-ahead log only before it moves it. What
//! `FULL` does on top of that, a sync of the log after each transaction, is done here, for all that were written since the
//! last one.

use super::StoreError;
use super::writer::Write;
use crate::limits;
use rusqlite::ffi;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

/// The writes of a transaction that was committed.
type Written = Vec<Box<dyn Write>>;

/// A thread with the log's file. It ends when this is dropped, which waits until everybody is told.
pub(super) struct Syncer {
    written: Option<SyncSender<Written>>,
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct State {
    /// Transactions that nobody was told of.
    waiting: AtomicUsize,
    /// Why a sync failed. Nobody knows then what the kernel still holds of the log, and no later sync is believed.
    failed: OnceLock<String>,
}

impl Syncer {
    /// A thread for the database at `path`, whose log is there. When a sync fails, the store is not `writable`.
    pub(super) fn start(path: &Path, writable: Arc<AtomicBool>) -> io::Result<Syncer> {
        let log = File::open(path.with_extension("db-wal"))?;
        let state = Arc::new(State::default());
        let (written, transactions) =
            sync_channel(limits::STORE_SYNC.div_ceil(limits::STORE_TRANSACTION));
        let thread = std::thread::Builder::new().name("store-sync".to_owned()).spawn({
            let state = state.clone();
            move || run(&log, &transactions, &state, &writable)
        })?;
        Ok(Syncer { written: Some(written), state, thread: Some(thread) })
    }

    /// Tells the writes of a transaction when they are on disk. Waits while too many are on their way.
    pub(super) fn sync(&self, writes: Written) {
        self.state.waiting.fetch_add(1, Ordering::Relaxed);
        if let Some(written) = &self.written {
            // The thread ends only after this.
            let _ended = written.send(writes);
        }
    }

    /// Whether somebody is still to be told.
    pub(super) fn is_busy(&self) -> bool {
        self.state.waiting.load(Ordering::Acquire) > 0
    }

    /// # Errors
    /// When a sync has failed. Then all that come are told so.
    pub(super) fn check(&self) -> rusqlite::Result<()> {
        self.state.failed.get().map_or(Ok(()), |text| {
            let error = ffi::Error::new(ffi::SQLITE_IOERR_FSYNC);
            Err(rusqlite::Error::SqliteFailure(error, Some(text.clone())))
        })
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        self.written = None;
        if let Some(thread) = self.thread.take() {
            // It has no way to panic, and there is nobody to tell.
            let _ended = thread.join();
        }
    }
}

fn run(log: &File, transactions: &Receiver<Written>, state: &State, writable: &AtomicBool) {
    for mut writes in transactions {
        let mut count = 1;
        while writes.len() < limits::STORE_SYNC
            && let Ok(more) = transactions.try_recv()
        {
            writes.extend(more);
            count += 1;
        }
        if state.failed.get().is_none()
            && let Err(error) = log.sync_data()
        {
            writable.store(false, Ordering::Release);
            state.failed.get_or_init(|| error.to_string());
        }
        let failed = state.failed.get();
        for write in writes {
            write.tell(failed.map_or(Ok(()), |text| Err(StoreError::Write(text.clone()))));
        }
        state.waiting.fetch_sub(count, Ordering::Release);
    }
}
