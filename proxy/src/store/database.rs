//! The SQLite file: how it is made, opened and looked over.

use super::key::Keys;
use super::salvage::{self, Salvage, Unseen};
use super::{OpenError, schema};
use crate::limits;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, ffi};
use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

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

/// Opens the database of an owner: goes on with what a crash interrupted, and makes a sound one of what can be read when
/// it is damaged; messages of these accounts are known again.
pub(super) fn open_or_salvage(
    path: &Path,
    appids: &[String],
    keys: &Keys,
) -> Result<(Connection, Option<Salvage>), OpenError> {
    salvage::finish(path)?;
    let Unseen { cut, broken } = salvage::look(path)?;
    let suspect = broken.is_some() || mark(path).exists();
    let opened = open(path).and_then(|database| {
        if suspect {
            check(path, &database, &WHOLE)?;
        }
        if cut {
            let what = "it is cut off".to_owned();
            return Err(OpenError::Damaged { path: path.to_owned(), what });
        }
        Ok((database, None))
    });
    let (mut database, mut salvaged) = match opened {
        Err(OpenError::Damaged { what, .. }) => {
            let salvage = salvage::salvage(path, &what, appids, keys)?;
            (open(path)?, Some(salvage))
        }
        opened => opened?,
    };
    if let Some(broken) = broken {
        let restored = broken.restore(&mut database, appids, keys);
        let restored = restored.map_err(|error| OpenError::of(path, error))?;
        salvaged = match (salvaged, restored) {
            (Some(one), Some(other)) => Some(one.and(&other)),
            (one, other) => one.or(other),
        };
    }
    if suspect {
        // What stays is looked at again the next time.
        let _stays = std::fs::remove_file(mark(path));
    }
    Ok((database, salvaged))
}

/// Has the next start look over the whole database: it was found damaged while it was used.
pub(super) fn suspect(path: &Path) {
    // It may be the disk. Then the next start finds out without.
    let _unmarked = File::create(mark(path));
}

fn mark(path: &Path) -> PathBuf {
    path.with_extension("db-damaged")
}

/// Opens the database for writing; makes it when there is none, and refuses one that cannot be trusted.
pub(super) fn open(path: &Path) -> Result<Connection, OpenError> {
    let unusable = |error| OpenError::Unusable(path.to_owned(), error);
    if make_file(path).map_err(unusable)? {
        // SQLite would take it for a new one and throw the log away.
        let what = "it is empty, but has a write-ahead log".to_owned();
        return Err(OpenError::Damaged { path: path.to_owned(), what });
    }
    let of = |error| OpenError::of(path, error);
    let mut database = connect_writer(path).map_err(of)?;
    let version = schema::version(path, &database)?;
    if version == 0 {
        choose_format(&database).map_err(of)?;
    }
    schema::migrate(&mut database).map_err(of)?;
    check(path, &database, &PARTS)?;
    write_ahead(&database).map_err(of)?;
    if is_unsynced(path) {
        move_all(&mut database).map_err(of)?;
        synced(path);
    }
    Ok(database)
}

/// Makes a database file that is not written ahead, yet.
pub(super) fn make(path: &Path) -> rusqlite::Result<Connection> {
    if let Err(error) = make_file(path) {
        return Err(rusqlite::Error::ToSqlConversionFailure(Box::new(error)));
    }
    let database = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    choose_format(&database)?;
    Ok(database)
}

/// What can be chosen only before the first table.
fn choose_format(database: &Connection) -> rusqlite::Result<()> {
    database.pragma_update(None, "page_size", limits::STORE_PAGE_BYTES)?;
    database.pragma_update(None, "auto_vacuum", "INCREMENTAL")
}

/// Opens the database for writing again, after a failure, and tries whether it can be written.
pub(super) fn reopen(path: &Path, unsynced: bool) -> rusqlite::Result<Connection> {
    let mut database = connect_writer(path)?;
    write_ahead(&database)?;
    match unsynced {
        true => move_all(&mut database)?,
        // A sync that fails here is not to be missed: the next one would not.
        false => drop(empty_log(&database)?),
    }
    wait_for_others(&mut database)?;
    schema::write_version(&mut database)?;
    if unsynced {
        synced(path);
    }
    Ok(database)
}

/// Moves all of the log into the database after a sync that failed: what was moved before may not be on disk, and what was
/// written to the log last may not be either, although it can still be read. SQLite moves what was moved before only when
/// nobody else has the database open.
fn move_all(database: &mut Connection) -> rusqlite::Result<()> {
    if log_pages(database)?.1 > 0 || empty_log(database)? {
        let error = ffi::Error::new(ffi::SQLITE_BUSY);
        let text =
            "another connection, such as a backup's, must end before it can be trusted again";
        return Err(rusqlite::Error::SqliteFailure(error, Some(text.to_owned())));
    }
    wait_for_others(database)
}

/// Has this process and the next one distrust what is on disk: a sync has failed.
pub(super) fn unsynced(path: &Path) {
    // On a disk that takes no file the writer remembers it; after a power cut there is nothing left to distrust.
    let _unmarked = File::create(unsynced_mark(path));
}

fn is_unsynced(path: &Path) -> bool {
    unsynced_mark(path).exists()
}

fn synced(path: &Path) {
    // What stays is looked at again the next time.
    let _stays = std::fs::remove_file(unsynced_mark(path));
}

fn unsynced_mark(path: &Path) -> PathBuf {
    path.with_extension("db-unsynced")
}

/// Opens the database for checkpoints, beside the connection that writes.
pub(super) fn connect_checkpointer(path: &Path) -> rusqlite::Result<Connection> {
    let database = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    // Its syncs.
    database.pragma_update(None, "synchronous", "FULL")?;
    Ok(database)
}

/// Opens the database for reading.
pub(super) fn connect_reader(path: &Path) -> rusqlite::Result<Connection> {
    let database = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    // Only the first read opens the file.
    database.query_row("SELECT count(*) FROM sqlite_schema", (), |_| Ok(()))?;
    Ok(database)
}

/// Makes the file if there is none, and says whether it is empty although it has a write-ahead log. SQLite gives its
/// other files the rights of this one. Must not be called while the database is open: closing the file takes all locks of
/// the process on it away.
fn make_file(path: &Path) -> io::Result<bool> {
    let file = make_private(path)?;
    if let Some(dir) = path.parent() {
        sync_names(dir);
    }
    let log = std::fs::metadata(path.with_extension("db-wal")).map_or(0, |log| log.len());
    Ok(file.metadata()?.len() == 0 && log > 0)
}

/// Makes a file that only its owner may read, if there is none.
pub(super) fn make_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let file = options.open(path)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    Ok(file)
}

/// Puts the names in `dir` on disk: a file without a name is lost.
pub(super) fn sync_names(dir: &Path) {
    // Not every file system can, and not every user may; SQLite does not insist either.
    let _unable = File::open(dir).and_then(|dir| dir.sync_all());
}

fn connect(path: &Path, rights: OpenFlags) -> rusqlite::Result<Connection> {
    // Each connection is used by one thread at a time.
    let database = Connection::open_with_flags(path, rights | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    database.busy_timeout(limits::STORE_LOCKED)?;
    // A fault of the disk is an error of a read, not a signal that ends the process.
    database.pragma_update(None, "mmap_size", 0)?;
    // A database that is given up, or found damaged, is left as it is. The writer empties the log at the end.
    database.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    Ok(database)
}

/// The connection that writes.
fn connect_writer(path: &Path) -> rusqlite::Result<Connection> {
    let mut database = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    wait_for_others(&mut database)?;
    Ok(database)
}

/// A transaction of another process, during an upgrade, is waited for as long as a caller waits for its write. SQLite's own
/// waiting sleeps up to 100 ms, and so misses the moments between the commits of a busy process.
pub(super) fn wait_for_others(database: &mut Connection) -> rusqlite::Result<()> {
    database.busy_handler(Some(|tries: i32| {
        std::thread::sleep(limits::STORE_TURN);
        limits::STORE_TURN * tries.unsigned_abs() < limits::STORE_WAIT
    }))
}

/// Moves the write-ahead log into the database and empties it, as far as others do not use it: nobody is made to wait.
/// So nothing is left in it of a transaction that failed, which would look like damage. Says whether others use it: what is
/// not moved now is moved another time.
pub(super) fn empty_log(database: &Connection) -> rusqlite::Result<bool> {
    database.busy_timeout(Duration::ZERO)?;
    database.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |row| row.get(0))
}

/// The pages in the write-ahead log, and how many of them were moved into the database.
pub(super) fn log_pages(database: &Connection) -> rusqlite::Result<(i64, i64)> {
    let mut log = database.prepare_cached("PRAGMA wal_checkpoint(NOOP)")?;
    log.query_row((), |row| Ok((row.get(1)?, row.get(2)?)))
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

/// What is looked over at every start: what must be right before anything else is done. The entries of the spool are looked
/// over while they are read ([`check_entries`]); damage of their contents is found when those are.
const PARTS: [&str; 4] = ["(sqlite_schema)", "(credential)", "(counter)", "(value)"];

/// Everything.
const WHOLE: [&str; 1] = ["(1)"];

fn check(path: &Path, database: &Connection, parts: &[&str]) -> Result<(), OpenError> {
    for part in parts {
        let found = damage(database, part).map_err(|error| OpenError::of(path, error))?;
        if let Some(what) = found {
            return Err(OpenError::Damaged { path: path.to_owned(), what });
        }
    }
    Ok(())
}

/// Looks over the entries of the spool.
pub(super) fn check_entries(database: &Connection) -> rusqlite::Result<()> {
    let corrupt = ffi::Error::new(ffi::SQLITE_CORRUPT);
    match damage(database, "(entry)")? {
        None => Ok(()),
        what => Err(rusqlite::Error::SqliteFailure(corrupt, what)),
    }
}

/// What is wrong with a part of the database.
fn damage(database: &Connection, part: &str) -> rusqlite::Result<Option<String>> {
    let check = format!("PRAGMA quick_check{part}");
    let found: String = database.query_row(&check, (), |row| row.get(0))?;
    // A line of stars names the database, of which there is one.
    let what = found.lines().find(|line| !line.starts_with("***")).unwrap_or(&found);
    Ok((what != "ok").then(|| what.to_owned()))
}
