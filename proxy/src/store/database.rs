//! The SQLite file: how it is made, opened and looked over.

use super::{OpenError, schema};
use crate::limits;
use rusqlite::{Connection, OpenFlags, ffi};
use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Makes the folder if there is none; only its owner may look into it.
pub(super) fn make_folder(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent)?;
    DirBuilder::new().mode(0o700).create(dir)?;
    sync_names(parent);
    Ok(())
}

/// Opens the database for writing; makes it when there is none, and refuses one that cannot be trusted.
pub(super) fn open(path: &Path) -> Result<Connection, OpenError> {
    make_file(path).map_err(|error| OpenError::Unusable(path.to_owned(), error))?;
    let of = |error| OpenError::of(path, error);
    let mut database = connect_writer(path).map_err(of)?;
    let version = schema::version(path, &database)?;
    if version > 0 {
        check(path, &database)?;
    } else {
        // Both can be chosen only before the first table.
        database.pragma_update(None, "page_size", limits::STORE_PAGE_BYTES).map_err(of)?;
        database.pragma_update(None, "auto_vacuum", "INCREMENTAL").map_err(of)?;
    }
    schema::migrate(&mut database).map_err(of)?;
    write_ahead(&database).map_err(of)?;
    Ok(database)
}

/// Opens the database for writing again, after a failure, and tries whether it can be written.
pub(super) fn reopen(path: &Path) -> rusqlite::Result<Connection> {
    let mut database = connect_writer(path)?;
    write_ahead(&database)?;
    schema::write_version(&mut database)?;
    Ok(database)
}

/// Opens the database for reading, for as long as the store lives. So the writer's connection is never the last one,
/// which would put the write-ahead log into the database when it is given up after a failure.
pub(super) fn open_reader(path: &Path) -> Result<Connection, OpenError> {
    connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
        .and_then(|database| {
            // Only the first read opens the file.
            database.query_row("SELECT count(*) FROM sqlite_schema", (), |_| Ok(()))?;
            Ok(database)
        })
        .map_err(|error| OpenError::of(path, error))
}

/// SQLite gives its other files the rights of this one. Must not be called while the database is open: closing the
/// file takes all locks of the process on it away.
fn make_file(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options.open(path)?.set_permissions(Permissions::from_mode(0o600))?;
    if let Some(dir) = path.parent() {
        sync_names(dir);
    }
    Ok(())
}

/// Puts the names in `dir` on disk: a file without a name is lost.
fn sync_names(dir: &Path) {
    // Not every file system can, and not every user may; SQLite does not insist either.
    let _unable = File::open(dir).and_then(|dir| dir.sync_all());
}

fn connect(path: &Path, rights: OpenFlags) -> rusqlite::Result<Connection> {
    // Each connection is used by one thread at a time.
    let database = Connection::open_with_flags(path, rights | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    database.busy_timeout(limits::STORE_LOCKED)?;
    // A fault of the disk is an error of a read, not a signal that ends the process.
    database.pragma_update(None, "mmap_size", 0)?;
    Ok(database)
}

/// The connection that writes. A newer process that has joined the store, or the one that was joined, may be in a
/// transaction: that is waited for as long as a caller waits for its write. SQLite's own waiting sleeps up to 100 ms, and
/// so misses the moments between the commits of a busy process.
fn connect_writer(path: &Path) -> rusqlite::Result<Connection> {
    let mut database = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    database.busy_handler(Some(|tries: i32| {
        std::thread::sleep(limits::STORE_TURN);
        limits::STORE_TURN * tries.unsigned_abs() < limits::STORE_WAIT
    }))?;
    Ok(database)
}

fn write_ahead(database: &Connection) -> rusqlite::Result<()> {
    let mode: String = database.query_row("PRAGMA journal_mode = WAL", (), |row| row.get(0))?;
    if mode != "wal" {
        let error = ffi::Error::new(ffi::SQLITE_CANTOPEN);
        let text = "its file system has no shared memory, as a write-ahead log needs it";
        return Err(rusqlite::Error::SqliteFailure(error, Some(text.to_owned())));
    }
    // One sync for each commit.
    database.pragma_update(None, "synchronous", "FULL")?;
    // The writer does it between commits.
    database.pragma_update(None, "wal_autocheckpoint", 0)?;
    // A log that grew long while somebody read becomes short again.
    database.pragma_update(None, "journal_size_limit", limits::STORE_WAL_BYTES)?;
    // What is deleted is overwritten: messages do not stay in free pages.
    database.pragma_update(None, "secure_delete", true)
}

/// Looks over the tables that must be right and are small. The spool's may be large: reading its entries finds damage
/// there, and each content has a checksum.
fn check(path: &Path, database: &Connection) -> Result<(), OpenError> {
    for table in ["sqlite_schema", "credential", "counter", "value"] {
        let sql = format!("PRAGMA quick_check({table})");
        let found: String = database
            .query_row(&sql, (), |row| row.get(0))
            .map_err(|error| OpenError::of(path, error))?;
        if found != "ok" {
            return Err(OpenError::Damaged { path: path.to_owned(), what: found });
        }
    }
    Ok(())
}
