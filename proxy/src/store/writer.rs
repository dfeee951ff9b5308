//! The thread that writes: a batch, one transaction, one sync of the disk, then everybody is told.
//!
//! After a failed commit nobody knows what the kernel still holds of it, and asking again may succeed without having
//! written. So the connection is dropped, the batch is told that it failed, and only a file that was opened anew and
//! has taken a write is trusted again.

use super::error::is_damage;
use super::lock::Held;
use super::{StoreError, database};
use crate::limits;
use crate::process_log::Seldom;
use rusqlite::{Connection, TransactionBehavior, ffi};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// One write.
pub(super) trait Write: Send {
    /// Does it, in the transaction of its batch.
    fn apply(&mut self, database: &Connection) -> rusqlite::Result<()>;
    /// Tells who waits for it how the transaction ended.
    fn tell(self: Box<Self>, ended: Result<(), StoreError>);
}

/// A write and who waits for it.
pub(super) struct Waiting<F, T> {
    apply: F,
    value: Option<T>,
    waiter: oneshot::Sender<Result<T, StoreError>>,
}

impl<F, T> Waiting<F, T> {
    pub(super) fn new(apply: F, waiter: oneshot::Sender<Result<T, StoreError>>) -> Waiting<F, T> {
        Waiting { apply, value: None, waiter }
    }
}

impl<F, T> Write for Waiting<F, T>
where
    F: FnMut(&Connection) -> rusqlite::Result<T> + Send,
    T: Send,
{
    fn apply(&mut self, database: &Connection) -> rusqlite::Result<()> {
        self.value = Some((self.apply)(database)?);
        Ok(())
    }

    fn tell(self: Box<Self>, ended: Result<(), StoreError>) {
        let Waiting { value, waiter, .. } = *self;
        // Who no longer waits need not know.
        let _gone = waiter.send(ended.and_then(|()| value.ok_or(StoreError::Closed)));
    }
}

/// The thread's own.
pub(super) struct Writer {
    path: PathBuf,
    /// `None` after a failure, until the file can be written again.
    database: Option<Connection>,
    /// Whether the file was found damaged. Then no write is tried any more.
    damaged: bool,
    queue: Receiver<Box<dyn Write>>,
    writable: Arc<AtomicBool>,
    /// How many writes the last batch had.
    last: usize,
    failures: Seldom,
    /// Whether the log says that the store cannot be written.
    said: bool,
    // Fields are dropped in order: the store is another's when its database is closed, and then it is told.
    _held: Held,
    _ended: SyncSender<()>,
}

impl Writer {
    pub(super) fn new(
        path: PathBuf,
        database: Connection,
        queue: Receiver<Box<dyn Write>>,
        writable: Arc<AtomicBool>,
        held: Held,
        ended: SyncSender<()>,
    ) -> Writer {
        Writer {
            path,
            database: Some(database),
            damaged: false,
            queue,
            writable,
            last: 0,
            failures: Seldom::default(),
            said: false,
            _held: held,
            _ended: ended,
        }
    }

    /// Writes until the store is closed.
    pub(super) fn run(mut self) {
        let mut batch = Vec::with_capacity(limits::STORE_BATCH);
        loop {
            let open = self.take(&mut batch);
            self.write(&mut batch);
            if !open {
                break;
            }
            let tidied = self.tidy();
            self.note(&tidied);
        }
        if let Some(database) = &self.database {
            database::empty_log(database);
        }
    }

    /// Fills `batch` with what waits; `false` when nothing will follow.
    fn take(&self, batch: &mut Vec<Box<dyn Write>>) -> bool {
        // A broken store tries to mend itself also when nobody writes.
        let mut patience = if self.database.is_some() || self.damaged {
            Duration::MAX
        } else {
            limits::STORE_REOPEN
        };
        let mut until = None;
        while batch.len() < limits::STORE_BATCH {
            match self.queue.recv_timeout(patience) {
                Ok(write) => batch.push(write),
                Err(RecvTimeoutError::Disconnected) => return false,
                Err(RecvTimeoutError::Timeout) => break,
            }
            // Who was alone the last time waits for nobody.
            let until = *until.get_or_insert_with(|| Instant::now() + limits::STORE_GATHER);
            let company = batch.len() < self.last;
            patience = if company {
                until.saturating_duration_since(Instant::now())
            } else {
                Duration::ZERO
            };
        }
        true
    }

    /// Writes the batch and tells everybody.
    fn write(&mut self, batch: &mut Vec<Box<dyn Write>>) {
        if batch.is_empty() {
            return;
        }
        self.last = batch.len();
        let ended = self.commit(batch);
        self.note(&ended);
        let ended = ended.map_err(|error| match self.damaged {
            true => StoreError::Damaged,
            false => StoreError::Write(error.to_string()),
        });
        for write in batch.drain(..) {
            write.tell(ended.clone());
        }
    }

    fn commit(&mut self, batch: &mut [Box<dyn Write>]) -> rusqlite::Result<()> {
        let database = self.database()?;
        let transaction = database.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for write in batch {
            write.apply(&transaction)?;
        }
        transaction.commit()
    }

    /// Moves the write-ahead log into the database when it has become long.
    fn tidy(&mut self) -> rusqlite::Result<()> {
        let database = self.database()?;
        let waiting: i64 = database.query_row("PRAGMA wal_checkpoint(NOOP)", (), |row| {
            Ok(row.get::<_, i64>(1)? - row.get::<_, i64>(2)?)
        })?;
        if waiting >= limits::STORE_WAL_PAGES {
            // A reader may keep some of it until the next time.
            database.query_row("PRAGMA wal_checkpoint(PASSIVE)", (), |_| Ok(()))?;
        }
        Ok(())
    }

    /// The database, opened again if it had to be given up.
    fn database(&mut self) -> rusqlite::Result<&mut Connection> {
        let database = match self.database.take() {
            Some(database) => database,
            None if self.damaged => {
                let error = ffi::Error::new(ffi::SQLITE_CORRUPT);
                return Err(rusqlite::Error::SqliteFailure(error, None));
            }
            None => {
                let database = database::reopen(&self.path)?;
                self.writable.store(true, Ordering::Release);
                if std::mem::take(&mut self.said) {
                    log::warn!("the store can be written again");
                }
                database
            }
        };
        Ok(self.database.insert(database))
    }

    /// Gives a database up that has failed.
    fn note(&mut self, ended: &rusqlite::Result<()>) {
        let Err(error) = ended else { return };
        self.writable.store(false, Ordering::Release);
        self.database = None;
        if is_damage(error) && !self.damaged {
            self.damaged = true;
            database::suspect(&self.path);
        }
        if self.failures.is_time() {
            self.said = true;
            let path = self.path.display();
            let advice = match self.damaged {
                true => {
                    "restart wxedge: that saves what can be read; until then nothing is written"
                }
                false => "look at its disk",
            };
            log::error!("the store {path} cannot be written: {error}; {advice}");
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.writable.store(false, Ordering::Release);
    }
}
