//! The thread that writes: a batch, one transaction, one sync of the disk, then everybody is told.
//!
//! After a failed commit nobody knows what the kernel still holds of it, and asking again may succeed without having
//! written. So the connection is dropped, the batch is told that it failed, and only a file that was opened anew and has
//! taken a write is trusted again; after a sync that failed, only one that nobody else had open, see `database::reopen`.

use super::batch::{self, Added, Batch, Done};
use super::checkpoint::{Checkpointer, checkpoint};
use super::error::{is_damage, is_unsynced};
use super::lock::Held;
use super::queue::Queue;
use super::reader::Reader;
use super::spool::withdraw;
use super::{StoreError, database};
use crate::limits;
use crate::process_log::Seldom;
use rusqlite::{Connection, ErrorCode, TransactionBehavior, ffi};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// One write.
pub(super) trait Write: Send {
    /// Does it, in the transaction of its batch. Done again when that had to be begun anew.
    fn apply(&mut self, batch: &Batch<'_>) -> rusqlite::Result<()>;
    /// Tells who waits for it how the transaction ended.
    fn tell(self: Box<Self>, ended: Result<(), StoreError>);
}

/// How a write ended, and the write itself: its memory is given back by who took it.
pub(super) type Ended<F, T> = (Result<T, StoreError>, F);

/// A write and who waits for it.
pub(super) struct Waiting<F, T> {
    apply: F,
    value: Option<T>,
    waiter: oneshot::Sender<Ended<F, T>>,
}

impl<F, T> Waiting<F, T> {
    pub(super) fn new(apply: F, waiter: oneshot::Sender<Ended<F, T>>) -> Waiting<F, T> {
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
        let Waiting { apply, value, waiter } = *self;
        // Who no longer waits need not know.
        let _gone = waiter.send((ended.and_then(|()| value.ok_or(StoreError::Closed)), apply));
    }
}

/// How the store is, for everybody to see.
pub(super) struct Health {
    pub(super) writable: Arc<AtomicBool>,
    pub(super) damaged: Arc<AtomicBool>,
}

/// The thread's own.
pub(super) struct Writer {
    path: PathBuf,
    /// `None` after a failure, until the file can be written again.
    database: Option<Connection>,
    /// Given up with the database. Without it the writer makes all checkpoints.
    checkpointer: Option<Checkpointer>,
    /// Whether a sync has failed, and the file was not opened again since.
    unsynced: bool,
    /// What was added by the transactions whose sync that was. They may be there all the same when it is opened again.
    doubtful: Vec<Added>,
    /// Whether the file was found damaged. Then no write is tried any more.
    damaged: bool,
    queue: Arc<Queue>,
    /// Given up with the database after a sync that failed.
    reader: Arc<Reader>,
    health: Health,
    /// How many writes the last batch had.
    last: usize,
    /// The highest id that was given to an entry, or may have been by an earlier process.
    last_id: i64,
    /// When it is tried again to empty the write-ahead log of what was erased, while that is still in it.
    erased: Option<Instant>,
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
        reader: Arc<Reader>,
        health: Health,
        held: Held,
        ended: SyncSender<()>,
    ) -> Writer {
        Writer {
            checkpointer: Checkpointer::start(path.clone()).ok(),
            path,
            database: Some(database),
            unsynced: false,
            doubtful: Vec::new(),
            damaged: false,
            queue,
            reader,
            health,
            last: 0,
            last_id: batch::first_id(),
            erased: None,
            loose: true,
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
            let open = self.queue.take(&mut batch, self.last, self.patience());
            let idle = batch.is_empty();
            self.write(&mut batch);
            if !open {
                break;
            }
            let tidied = if idle { self.shrink() } else { Ok(()) }.and_then(|()| self.tidy());
            self.note(&tidied);
        }
        let settled = self.settle();
        self.note(&settled);
        self.checkpointer = None;
        // A damaged one is left as it is, for the start that saves what can be read.
        let sound = !self.health.damaged.load(Ordering::Acquire);
        if let Some(database) = self.database.as_ref().filter(|_| sound) {
            let emptied = database::empty_log(database).map(drop);
            self.note(&emptied);
        }
    }

    /// How long it waits for the next write before it looks after itself.
    fn patience(&self) -> Duration {
        match self.database {
            // Only a start mends it.
            None if self.damaged => Duration::MAX,
            // A broken store tries to mend itself also when nobody writes.
            None => limits::STORE_REOPEN,
            Some(_) if self.loose || self.erased.is_some() => limits::STORE_IDLE,
            Some(_) => Duration::MAX,
        }
    }

    /// Writes the batch and tells everybody.
    fn write(&mut self, writes: &mut Vec<Box<dyn Write>>) {
        if writes.is_empty() {
            return;
        }
        self.last = writes.len();
        self.loose = true;
        let ended = self.commit(writes);
        self.note(&ended);
        let ended = ended.map_err(|error| match self.damaged {
            true => StoreError::Damaged,
            false => StoreError::Write(error.to_string()),
        });
        for write in writes.drain(..) {
            write.tell(ended.clone());
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
            let Done { last_id, erased, added } = batch.end();
            match failed {
                None => {
                    transaction.commit().inspect_err(|error| {
                        if is_unsynced(error) {
                            self.doubtful.extend(added);
                        }
                    })?;
                    self.last_id = last_id;
                    if erased {
                        // What is written is written; if the log cannot be emptied now, it is later.
                        let emptied = self.forget(limits::STORE_LOCKED);
                        self.note(&emptied);
                    }
                    return Ok(());
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
        if self.erased.is_some_and(|again| again <= Instant::now()) {
            self.forget(Duration::ZERO)?;
        }
        let (pages, moved) = database::log_pages(self.database()?)?;
        let long = pages - moved >= limits::STORE_WAL_PAGES;
        let Some(beside) = &mut self.checkpointer else {
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
        self.checkpointer.as_mut().map_or(Ok(()), Checkpointer::wait)
    }

    /// Empties the write-ahead log, which holds what was erased from the database. Waits so long for those who read; if
    /// they still do then, it is tried again.
    fn forget(&mut self, wait: Duration) -> rusqlite::Result<()> {
        self.erased = Some(Instant::now() + limits::STORE_IDLE);
        self.settle()?;
        let database = self.database()?;
        database.busy_timeout(wait)?;
        let truncate = "PRAGMA wal_checkpoint(TRUNCATE)";
        let busy = database.query_row(truncate, (), |row| row.get::<_, bool>(0))?;
        database::wait_for_others(database)?;
        self.erased = self.erased.filter(|_| busy);
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

    /// The database, opened again if it had to be given up; none when it is damaged, whoever has found that.
    fn database(&mut self) -> rusqlite::Result<&mut Connection> {
        if self.health.damaged.load(Ordering::Acquire) {
            self.damaged = true;
            self.database = None;
        }
        let database = match self.database.take() {
            Some(database) => database,
            None if self.damaged => {
                let error = ffi::Error::new(ffi::SQLITE_CORRUPT);
                return Err(rusqlite::Error::SqliteFailure(error, None));
            }
            None => {
                if self.unsynced {
                    // Somebody may have read since.
                    self.reader.give_up();
                }
                let mut database = database::reopen(&self.path, self.unsynced)?;
                withdraw(&mut database, &self.doubtful)?;
                self.doubtful = Vec::new();
                self.unsynced = false;
                self.checkpointer = Checkpointer::start(self.path.clone()).ok();
                self.health.writable.store(true, Ordering::Release);
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
        self.health.writable.store(false, Ordering::Release);
        // What it has heard is told only once.
        let beside = self.checkpointer.take().map_or(Ok(()), |mut beside| beside.wait());
        self.database = None;
        if is_unsynced(error) || beside.is_err_and(|error| is_unsynced(&error)) {
            self.unsynced = true;
            self.reader.give_up();
            database::unsynced(&self.path);
        }
        if is_damage(error) && !self.damaged {
            self.damaged = true;
            self.health.damaged.store(true, Ordering::Release);
            database::suspect(&self.path);
        }
        if self.failures.is_time() {
            self.said = true;
            let path = self.path.display();
            let full = error.sqlite_error_code() == Some(ErrorCode::DiskFull);
            let advice = match (self.damaged, full) {
                (true, _) => {
                    "restart wxedge: that saves what can be read; until then nothing is written"
                }
                (_, true) => "make room on its disk: until then what waits is not delivered either",
                _ => "look at its disk",
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
