//! The thread that writes: what waits, in one transaction. Another one waits for the disk and tells everybody
//! (`syncer.rs`), and a third moves the log into the database (`checkpoint.rs`).
//!
//! After a failed commit or sync nobody knows what the kernel still holds of it, and asking again may succeed without having
//! written. So the connection is dropped, all it wrote last are told that it failed, and only a file that was opened anew and
//! has taken a write is trusted again.

use super::batch::{self, Batch};
use super::checkpoint::{Checkpointer, checkpoint};
use super::error::is_damage;
use super::lock::Held;
use super::queue::Queue;
use super::syncer::Syncer;
use super::{StoreError, database};
use crate::limits;
use crate::process_log::Seldom;
use rusqlite::{Connection, ErrorCode, TransactionBehavior, ffi};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::time::Duration;
use tokio::sync::oneshot;

/// One write.
pub(super) trait Write: Send {
    /// Does it, in the transaction of its batch. Done again when that had to be begun anew.
    fn apply(&mut self, batch: &Batch<'_>) -> rusqlite::Result<()>;
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
    F: FnMut(&Batch<'_>) -> rusqlite::Result<T> + Send,
    T: Send,
{
    fn apply(&mut self, batch: &Batch<'_>) -> rusqlite::Result<()> {
        self.value = Some((self.apply)(batch)?);
        Ok(())
    }

    fn tell(self: Box<Self>, ended: Result<(), StoreError>) {
        let Waiting { value, waiter, .. } = *self;
        // Who no longer waits need not know.
        let _gone = waiter.send(ended.and_then(|()| value.ok_or(StoreError::Closed)));
    }
}

/// How the store is, for everybody to see.
pub(super) struct Health {
    pub(super) writable: Arc<AtomicBool>,
    pub(super) damaged: Arc<AtomicBool>,
}

/// The database and who works on it beside the writer. Given up together.
struct Disk {
    database: Connection,
    syncer: Syncer,
    /// Without it the writer makes all checkpoints.
    checkpointer: Option<Checkpointer>,
}

impl Disk {
    fn new(path: &Path, database: Connection, health: &Health) -> rusqlite::Result<Disk> {
        let syncer = Syncer::start(path, health.writable.clone()).map_err(database::io_error)?;
        database.pragma_update(None, "synchronous", "NORMAL")?;
        Ok(Disk { database, syncer, checkpointer: Checkpointer::start(path.to_owned()).ok() })
    }
}

/// The thread's own.
pub(super) struct Writer {
    path: PathBuf,
    /// `None` after a failure, until the file can be written again.
    disk: Option<Disk>,
    /// Whether the file was found damaged. Then no write is tried any more.
    damaged: bool,
    queue: Arc<Queue>,
    health: Health,
    /// How many writes the last batch had.
    last: usize,
    /// The highest id that was given to an entry, or may have been by an earlier process.
    last_id: i64,
    /// Whether the write-ahead log still holds what was erased.
    erased: bool,
    /// Whether the file may have pages that it no longer needs.
    loose: bool,
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
        queue: Arc<Queue>,
        health: Health,
        held: Held,
        ended: SyncSender<()>,
    ) -> rusqlite::Result<Writer> {
        Ok(Writer {
            disk: Some(Disk::new(&path, database, &health)?),
            path,
            damaged: false,
            queue,
            health,
            last: 0,
            last_id: batch::first_id(),
            erased: false,
            loose: true,
            failures: Seldom::default(),
            said: false,
            _held: held,
            _ended: ended,
        })
    }

    /// Writes until the store is closed.
    pub(super) fn run(mut self) {
        loop {
            let (writes, open) = self.queue.take(self.last, self.patience());
            let idle = writes.is_empty() && !self.is_busy();
            let synced = self.disk.as_ref().map_or(Ok(()), |disk| disk.syncer.check());
            self.note(&synced);
            self.write(writes);
            if !open {
                break;
            }
            let tidied = if idle { self.rest() } else { Ok(()) }.and_then(|()| self.tidy());
            self.note(&tidied);
        }
        if let Some(Disk { database, syncer, checkpointer }) = self.disk.take() {
            drop((syncer, checkpointer));
            database::empty_log(&database);
        }
    }

    /// How long it waits for the next write before it looks after itself.
    fn patience(&self) -> Duration {
        match self.disk {
            // Only a start mends it.
            None if self.damaged => Duration::MAX,
            // A broken store tries to mend itself also when nobody writes.
            None => limits::STORE_REOPEN,
            // It hears of a sync that failed.
            Some(_) if self.loose || self.erased || self.is_busy() => limits::STORE_IDLE,
            Some(_) => Duration::MAX,
        }
    }

    /// Whether somebody waits for the disk.
    fn is_busy(&self) -> bool {
        self.disk.as_ref().is_some_and(|disk| disk.syncer.is_busy())
    }

    /// Commits all writes, and has everybody told.
    fn write(&mut self, mut writes: Vec<Box<dyn Write>>) {
        if writes.is_empty() {
            return;
        }
        self.last = writes.len();
        self.loose = true;
        let ended = self.commit(&mut writes);
        self.note(&ended);
        if let Err(error) = ended {
            let error = match self.damaged {
                true => StoreError::Damaged,
                false => StoreError::Write(error.to_string()),
            };
            writes.into_iter().for_each(|write| write.tell(Err(error.clone())));
        } else if let Some(disk) = &self.disk {
            disk.syncer.sync(writes);
        }
    }

    /// Commits all writes but those that fail for a reason of their own: these are told and taken out.
    fn commit(&mut self, writes: &mut Vec<Box<dyn Write>>) -> rusqlite::Result<()> {
        loop {
            let last_id = self.last_id;
            let database = self.database()?;
            let transaction = database.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let batch = Batch::new(&transaction, last_id);
            let mut each = writes.iter_mut().enumerate();
            let failed = each.find_map(|(at, write)| Some((at, write.apply(&batch).err()?)));
            let (last_id, erased) = batch.end();
            match failed {
                None => {
                    transaction.commit()?;
                    self.last_id = last_id;
                    return if erased { self.forget(limits::STORE_LOCKED) } else { Ok(()) };
                }
                Some((at, error)) if is_its_own(&error) && !transaction.is_autocommit() => {
                    transaction.rollback()?;
                    writes.remove(at).tell(Err(StoreError::Write(error.to_string())));
                }
                Some((_, error)) => return Err(error),
            }
        }
    }

    /// Has the write-ahead log moved into the database when it has become long. That happens beside the writes; but the log
    /// begins anew only when all of it was moved and nothing was written meanwhile, and so the writer moves the last part.
    fn tidy(&mut self) -> rusqlite::Result<()> {
        let database = self.database()?;
        let mut log = database.prepare_cached("PRAGMA wal_checkpoint(NOOP)")?;
        let [pages, moved]: [i64; 2] = log.query_row((), |row| Ok([row.get(1)?, row.get(2)?]))?;
        drop(log);
        let long = pages - moved >= limits::STORE_WAL_PAGES;
        let beside = self.disk.as_mut().and_then(|disk| disk.checkpointer.as_mut());
        let Some(beside) = beside else {
            return if long { checkpoint(self.database()?) } else { Ok(()) };
        };
        if pages < limits::STORE_WAL_PAGES_MAX {
            return if long { beside.ask() } else { Ok(()) };
        }
        if beside.is_running()? && pages < 2 * limits::STORE_WAL_PAGES_MAX {
            return Ok(());
        }
        beside.wait()?;
        checkpoint(self.database()?)
    }

    /// Waits until nothing is moved into the database beside the writer.
    fn settle(&mut self) -> rusqlite::Result<()> {
        let beside = self.disk.as_mut().and_then(|disk| disk.checkpointer.as_mut());
        beside.map_or(Ok(()), Checkpointer::wait)
    }

    /// What there is time for while nobody writes.
    fn rest(&mut self) -> rusqlite::Result<()> {
        if self.erased {
            self.forget(Duration::ZERO)?;
        }
        self.shrink()
    }

    /// Empties the write-ahead log, which holds what was erased from the database. Waits so long for those who read; if
    /// they still do then, it is tried again.
    fn forget(&mut self, wait: Duration) -> rusqlite::Result<()> {
        self.erased = true;
        self.settle()?;
        let database = self.database()?;
        database.busy_timeout(wait)?;
        let truncate = "PRAGMA wal_checkpoint(TRUNCATE)";
        let busy = database.query_row(truncate, (), |row| row.get(0))?;
        database::wait_for_others(database)?;
        self.erased = busy;
        Ok(())
    }

    /// Gives some pages that the database no longer needs back to the file system.
    fn shrink(&mut self) -> rusqlite::Result<()> {
        self.settle()?;
        let database = self.database()?;
        let free: i64 = database.query_row("PRAGMA freelist_count", (), |row| row.get(0))?;
        let more = free - limits::STORE_FREE_PAGES;
        if more > 0 {
            let pages = more.min(limits::STORE_SHRINK_PAGES);
            let mut vacuum = database.prepare(&format!("PRAGMA incremental_vacuum({pages})"))?;
            let mut freed = vacuum.query(())?;
            while freed.next()?.is_some() {}
            // Only that makes the file shorter.
            checkpoint(database)?;
        }
        self.loose = more > limits::STORE_SHRINK_PAGES;
        Ok(())
    }

    /// The database, opened again if it had to be given up.
    fn database(&mut self) -> rusqlite::Result<&mut Connection> {
        let disk = match self.disk.take() {
            Some(disk) => disk,
            None if self.damaged => {
                let error = ffi::Error::new(ffi::SQLITE_CORRUPT);
                return Err(rusqlite::Error::SqliteFailure(error, None));
            }
            None => {
                let disk = Disk::new(&self.path, database::reopen(&self.path)?, &self.health)?;
                self.health.writable.store(true, Ordering::Release);
                if std::mem::take(&mut self.said) {
                    log::warn!("the store can be written again");
                }
                disk
            }
        };
        Ok(&mut self.disk.insert(disk).database)
    }

    /// Gives a database up that has failed.
    fn note(&mut self, ended: &rusqlite::Result<()>) {
        let Err(error) = ended else { return };
        self.health.writable.store(false, Ordering::Release);
        self.disk = None;
        if is_damage(error) && !self.damaged {
            self.damaged = true;
            self.health.damaged.store(true, Ordering::Release);
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

/// Whether the fault is the write's, and neither the disk's nor the database's.
fn is_its_own(error: &rusqlite::Error) -> bool {
    use ErrorCode::{ConstraintViolation, ParameterOutOfRange, TooBig, TypeMismatch, Unknown};
    matches!(
        error.sqlite_error_code(),
        None | Some(ConstraintViolation | ParameterOutOfRange | TooBig | TypeMismatch | Unknown)
    )
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.health.writable.store(false, Ordering::Release);
        self.queue.abandon();
    }
}
