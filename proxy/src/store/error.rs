//! What can go wrong, in sentences that say what to do.

use crate::limits;
use rusqlite::ffi;
use std::io;
use std::path::{Path, PathBuf};

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its folder or a file in it cannot be made or written.
    #[error("the store {} cannot be used: {}; let the user that wxedge runs as write there, or change store.url", .0.display(), .1)]
    Unusable(PathBuf, io::Error),
    /// Another process has it.
    #[error("the store {} is in use by another wxedge{}; stop that one first, take over from it with --upgrade, or give this one a store.url of its own", .dir.display(), of(*.pid))]
    InUse {
        /// The store's folder.
        dir: PathBuf,
        /// Who has it; `None` when that one has just begun.
        pid: Option<u32>,
    },
    /// Another process is on the way to having it.
    #[error("the store {} is being opened or taken over by another wxedge{}; wait until that one has it, or stop it", .dir.display(), of(*.pid))]
    Claimed {
        /// The store's folder.
        dir: PathBuf,
        /// Who is; `None` when that one has just begun.
        pid: Option<u32>,
    },
    /// A database of another program.
    #[error("{} is a database, but not of wxedge; give store.url a folder of its own", .0.display())]
    Foreign(PathBuf),
    /// Written by a newer wxedge.
    #[error("{} has schema version {found}, and this wxedge knows up to version {known}; start the newer wxedge or restore a backup", .path.display())]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The highest this program can read.
        known: i64,
    },
    /// Not what SQLite wrote, and another process has it: only an owner may mend it.
    #[error("{} is damaged ({what}); stop the wxedge that has it and start again: a start saves what can be read", .path.display())]
    Damaged {
        /// The database.
        path: PathBuf,
        /// What SQLite found first.
        what: String,
    },
    /// What can be read of a damaged one cannot be kept.
    #[error("{} is damaged, and to save what can be read of it takes {needed} bytes where {free} are free; make room and start again, or restore a backup", .path.display())]
    NoRoom {
        /// The database.
        path: PathBuf,
        /// What it takes.
        needed: u64,
        /// What there is.
        free: u64,
    },
    /// It cannot be read or written.
    #[error("{} cannot be opened: {}; look at the disk and at the rights of the file", .0.display(), .1)]
    Database(PathBuf, rusqlite::Error),
    /// The thread that writes.
    #[error("the store's thread cannot be started: {0}")]
    Thread(io::Error),
}

impl OpenError {
    /// What SQLite said about the database at `path`.
    pub(super) fn of(path: &Path, error: rusqlite::Error) -> OpenError {
        if is_damage(&error) {
            return OpenError::Damaged { path: path.to_owned(), what: error.to_string() };
        }
        OpenError::Database(path.to_owned(), error)
    }
}

/// Whether the database is not what SQLite wrote: also when it is cut off within a page.
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    error.sqlite_error().is_some_and(|error| {
        matches!(error.code, DatabaseCorrupt | NotADatabase)
            || error.extended_code == ffi::SQLITE_IOERR_SHORT_READ
    })
}

/// Whether it is not known any more what of the files is on disk: the kernel tells of a write that failed only once.
pub(super) fn is_unsynced(error: &rusqlite::Error) -> bool {
    error.sqlite_error().is_some_and(|error| error.extended_code == ffi::SQLITE_IOERR_FSYNC)
}

fn of(pid: Option<u32>) -> String {
    pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default()
}

/// Why something was not written or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Refused at once, nothing was written.
    #[error("too much waits for the store already; its disk is too slow")]
    Busy,
    /// It is not known whether it was or will be written.
    #[error("the store's disk has not taken a write for {} s", limits::STORE_WAIT.as_secs())]
    Slow,
    /// The transaction failed. It may still be found at the next start, as after a crash.
    #[error("the store cannot write: {0}; look at the disk of store.url")]
    Write(String),
    /// The database does not answer.
    #[error("the store cannot be read: {0}; look at the disk of store.url")]
    Read(String),
    /// The database is damaged. Nothing more is written until the next start has made a sound one of it.
    #[error("the store is damaged; restart wxedge: that saves what can be read")]
    Damaged,
    /// Nothing was written.
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    /// Whether no write of this process will get to the disk any more.
    pub fn is_final(&self) -> bool {
        matches!(self, StoreError::Damaged | StoreError::Closed)
    }
}
