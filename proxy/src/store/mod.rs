//! The embedded store: what must survive a restart, in one SQLite file that only its owner may read.
//!
//! One thread owns the only connection that writes (`writer.rs`). Writes wait for it in a bounded queue; it takes what
//! waits, commits that as one transaction with one sync of the disk, and then tells everybody how it ended. What is
//! kept, and the SQL for it, stands in `credentials.rs`, `counters.rs`, `values.rs` and `spool/`; how the file is
//! opened in `database.rs`, its tables in `schema.rs`.

mod backup;
mod batch;
mod checkpoint;
mod counters;
mod credentials;
mod database;
mod error;
mod key;
mod lock;
mod queue;
mod reader;
mod salvage;
mod schema;
pub mod spool;
mod values;
mod writer;

pub use backup::{Backup, BackupError, backup};
pub use counters::Counter;
pub use credentials::SavedCredential;
use error::is_damage;
pub use error::{OpenError, StoreError};
pub use key::{KeyError, StoreKey};
pub use lock::Access;
pub use salvage::Salvage;

use crate::limits;
use batch::Batch;
use key::Keys;
use lock::{Held, Lease};
use pingora_timeout::fast_timeout::fast_timeout;
use queue::Queue;
use reader::Reader;
use rusqlite::Connection;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tokio::sync::oneshot;
use writer::{Health, Waiting, Writer};

/// The database's name in the store's folder.
const FILE: &str = "wxedge.db";

/// How a store is opened.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Alone, or beside the process that has it.
    pub access: Access,
    /// Messages are encrypted with it, if there is one.
    pub key: Option<StoreKey>,
    /// The accounts of the configuration. Only a damaged store asks: a message whose entry is lost does not say whose it
    /// is, but its checksum tells whether it is of one of these.
    pub appids: Vec<String>,
}

/// A handle on the store. Cloning it is cheap; when the last one is dropped the store is closed.
#[derive(Clone)]
pub struct Store(Arc<Shared>);

// It holds tokens and keys.
crate::opaque!(Store);

struct Shared {
    path: PathBuf,
    lease: Arc<Lease>,
    salvaged: Option<Salvage>,
    queue: Arc<Queue>,
    keys: Arc<Keys>,
    writable: Arc<AtomicBool>,
    /// Something was found that SQLite did not write; only a start mends it.
    damaged: Arc<AtomicBool>,
    opened: Instant,
    /// Hears when the writer has ended.
    ended: Mutex<Receiver<()>>,
    reader: Arc<Reader>,
}

impl Store {
    /// Opens the store in the folder `dir`; makes both when there is none. Looks over all but the spool,
    /// whose damage is found when it is read: [`Store::spooled`]. A damaged store, also one that was found to be before, is
    /// replaced by one with all that can be read of it, see [`Store::salvaged`].
    ///
    /// # Errors
    /// When the folder cannot be written, another process has the store open, or the file is of a newer wxedge, not
    /// wxedge's at all, or damaged with no room to save what can be read. The text says what to do.
    pub fn open(dir: &Path, options: Options) -> Result<Store, OpenError> {
        database::make_folder(dir).map_err(|error| OpenError::Unusable(dir.to_owned(), error))?;
        let lease = Arc::new(Lease::take(dir, options.access)?);
        let held = Held(lease.clone());
        let path = dir.join(FILE);
        let keys = Arc::new(Keys::new(options.key.as_ref()));
        let (database, salvaged) = if lease.owns() {
            database::open_or_salvage(&path, &options.appids, &keys)?
        } else {
            (database::open(&path)?, None)
        };
        let reader =
            database::connect_reader(&path).map_err(|error| OpenError::of(&path, error))?;
        let reader = Arc::new(Reader::new(path.clone(), reader));
        lease.opened();
        let queue = Arc::new(Queue::default());
        let writable = Arc::new(AtomicBool::new(true));
        let damaged = Arc::new(AtomicBool::new(false));
        let (ending, ended) = sync_channel(0);
        let health = Health { writable: writable.clone(), damaged: damaged.clone() };
        let (to_write, to_read) = (queue.clone(), reader.clone());
        let writer = Writer::new(path.clone(), database, to_write, to_read, health, held, ending);
        std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || writer.run())
            .map_err(OpenError::Thread)?;
        Ok(Store(Arc::new(Shared {
            path,
            lease,
            salvaged,
            queue,
            keys,
            writable,
            damaged,
            opened: Instant::now(),
            ended: Mutex::new(ended),
            reader,
        })))
    }

    /// Whether no other process has the store: always, unless it was joined ([`Access::Join`]). Costs next to nothing.
    pub fn owns(&self) -> bool {
        self.0.lease.owns()
    }

    /// Becomes the owner of a store that was joined as soon as the one before has let go; says whether it is. No other
    /// process can get between. Costs a look at a file; to be asked every now and then.
    pub fn try_own(&self) -> bool {
        self.0.lease.try_own()
    }

    /// Whether the last write reached the disk, or would now.
    pub fn is_writable(&self) -> bool {
        self.0.writable.load(Ordering::Acquire)
    }

    /// Whether the database was found damaged while it was in use. Only the next start makes a sound one of it.
    pub fn is_damaged(&self) -> bool {
        self.0.damaged.load(Ordering::Acquire)
    }

    /// Whether the store was mended when it was opened, and that not long ago: what is damaged again will be again.
    pub fn was_just_mended(&self) -> bool {
        self.salvaged().is_some() && self.0.opened.elapsed() < limits::SALVAGE_HOLDS
    }

    /// What was made of a store that was found damaged when it was opened.
    pub fn salvaged(&self) -> Option<&Salvage> {
        self.0.salvaged.as_ref()
    }

    /// The size of the database and of its write-ahead log, in bytes.
    pub fn bytes(&self) -> u64 {
        // Asked by name: closing a file of the database here would take SQLite's locks on it away.
        let size = |path: &Path| std::fs::metadata(path).map_or(0, |file| file.len());
        size(&self.0.path) + size(&self.0.path.with_extension("db-wal"))
    }

    /// Finishes what waits, puts the write-ahead log into the database and lets go of the folder. Writes that come
    /// later get [`StoreError::Closed`]. Blocks until it is done, or the disk has not answered for
    /// [`limits::STORE_WAIT`].
    pub fn close(&self) {
        self.0.close();
    }

    /// Runs `apply` in the next transaction; what it returned comes back when that is on disk.
    ///
    /// The write happens also when the caller stops waiting for it.
    async fn write<T: Send + 'static>(
        &self,
        apply: impl FnMut(&Batch<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        // Pingora's timer is cheap and need not be exact here.
        match fast_timeout(limits::STORE_WAIT, self.write_sized(0, apply)).await {
            Ok(answered) => answered,
            Err(_elapsed) => Err(StoreError::Slow),
        }
    }

    /// The same for a write that holds `bytes` of message while it waits. However long that takes: what is on disk in the end
    /// is known to who wrote it.
    async fn write_sized<T: Send + 'static>(
        &self,
        bytes: usize,
        apply: impl FnMut(&Batch<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (waiter, answer) = oneshot::channel();
        self.0.queue.put(bytes, Box::new(Waiting::new(apply, waiter)))?;
        answer.await.map_or(Err(StoreError::Closed), |(answer, _apply)| answer)
    }

    /// Has the next start look over the whole database, and save what can be read: something was found damaged.
    fn suspect(&self) {
        database::suspect(&self.0.path);
    }

    /// Asks the database; it answers with what is on disk at one moment.
    fn read<T>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        self.ask(self.0.reader.read(query))
    }

    /// The same for a query that takes long, by a connection of its own: nobody else's waits for it.
    fn read_long<T>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let reader = database::connect_reader(&self.0.path);
        self.ask(reader.and_then(|reader| query(&*reader.unchecked_transaction()?)))
    }

    fn ask<T>(&self, answer: rusqlite::Result<T>) -> Result<T, StoreError> {
        answer.map_err(|error| {
            if is_damage(&error) {
                self.suspect();
                self.0.damaged.store(true, Ordering::Release);
                return StoreError::Damaged;
            }
            StoreError::Read(error.to_string())
        })
    }
}

impl Shared {
    fn close(&self) {
        // The writer ends when nothing waits and nothing can come.
        self.queue.close();
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        if ended.recv_timeout(limits::STORE_WAIT) == Err(RecvTimeoutError::Timeout) {
            log::error!("the store was not closed in time: its disk does not answer");
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests;
