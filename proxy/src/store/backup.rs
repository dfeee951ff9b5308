//! A copy of a store, made while an edge uses it.

use super::{FILE, database};
use rusqlite::Connection;
use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// What was copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// The files in the new folder, the database first, and their sizes in bytes.
    pub files: Vec<(String, u64)>,
    /// Messages in the spool.
    pub messages: u64,
}

/// Why there is no backup.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// Nothing to copy.
    #[error("there is no store in {}; is store.url the one of the running edge?", .0.display())]
    NoStore(PathBuf),
    /// A backup is not mixed with anything.
    #[error("{} is not empty; name a new folder", .0.display())]
    Taken(PathBuf),
    /// A file or folder that cannot be made, read or written.
    #[error("{}: {}", .0.display(), .1)]
    File(PathBuf, io::Error),
    /// The database cannot be copied.
    #[error("{} cannot be copied: {}", .0.display(), .1)]
    Database(PathBuf, rusqlite::Error),
    /// The copy is not sound, and so the store is not either.
    #[error("{} is damaged ({what}); restart wxedge: that saves what can be read", .path.display())]
    Damaged {
        /// The store's database.
        path: PathBuf,
        /// What SQLite found first.
        what: String,
    },
}

/// Makes `to`, which does not exist or is empty, a copy of the store in `dir` as it is at one moment: everything that was
/// reported to be on disk before. An edge that uses the store goes on writing meanwhile. The copy has been read and is on
/// disk when this returns. After an error there is no store in `to`.
///
/// # Errors
/// When there is no store, `to` holds something, or the copy cannot be made or is not sound.
pub fn backup(dir: &Path, to: &Path) -> Result<Backup, BackupError> {
    if !dir.join(FILE).is_file() {
        return Err(BackupError::NoStore(dir.to_owned()));
    }
    make_empty(to)?;
    // It has the database's name only when all is done.
    let unfinished = to.join("unfinished");
    let made = copy(dir, to, &unfinished);
    if made.is_err() {
        // It may be large.
        let _gone = fs::remove_file(&unfinished);
    }
    made
}

fn copy(dir: &Path, to: &Path, unfinished: &Path) -> Result<Backup, BackupError> {
    let file = |path: &Path| {
        let path = path.to_owned();
        move |error| BackupError::File(path, error)
    };
    database::make_private(unfinished).map_err(file(unfinished))?;
    let messages = copy_database(&dir.join(FILE), unfinished)?;
    sync(unfinished).map_err(file(unfinished))?;
    let mut files = vec![(FILE.to_owned(), size(unfinished))];
    for name in keys(dir).map_err(file(dir))? {
        let key = to.join(&name);
        database::make_private(&key).map_err(file(&key))?;
        let bytes = fs::read(dir.join(&name)).map_err(file(dir))?;
        fs::write(&key, bytes).map_err(file(&key))?;
        sync(&key).map_err(file(&key))?;
        files.push((name, size(&key)));
    }
    fs::rename(unfinished, to.join(FILE)).map_err(file(to))?;
    sync(to).map_err(file(to))?;
    Ok(Backup { files, messages })
}

/// Makes the folder, or sees that it is empty; only its owner may look into it.
fn make_empty(to: &Path) -> Result<(), BackupError> {
    let file = |error| BackupError::File(to.to_owned(), error);
    DirBuilder::new().recursive(true).mode(0o700).create(to).map_err(file)?;
    if fs::read_dir(to).map_err(file)?.next().is_some() {
        return Err(BackupError::Taken(to.to_owned()));
    }
    fs::set_permissions(to, Permissions::from_mode(0o700)).map_err(file)
}

/// Copies the database and reads the whole copy; says how many messages are in it.
fn copy_database(from: &Path, to: &Path) -> Result<u64, BackupError> {
    let of = |error| BackupError::Database(from.to_owned(), error);
    // One read transaction: it holds nobody up, only the write-ahead log grows meanwhile.
    let source = database::connect_reader(from).map_err(of)?;
    let name = to.to_str().ok_or_else(|| {
        BackupError::File(to.to_owned(), io::Error::other("its name is no UTF-8"))
    })?;
    source.execute("VACUUM INTO ?1", [name]).map_err(of)?;
    let copy = Connection::open(to).map_err(of)?;
    let what: String = copy.query_row("PRAGMA quick_check(1)", (), |row| row.get(0)).map_err(of)?;
    if what != "ok" {
        return Err(BackupError::Damaged { path: from.to_owned(), what });
    }
    let messages = copy.query_row("SELECT count(*) FROM entry", (), |row| row.get::<_, i64>(0));
    Ok(messages.map_err(of)?.unsigned_abs())
}

/// The keys that the edge has made in the store's folder.
fn keys(dir: &Path) -> io::Result<Vec<String>> {
    let mut keys = Vec::new();
    for file in fs::read_dir(dir)? {
        let name = file?.file_name().into_string().unwrap_or_default();
        if name.ends_with(".key") {
            keys.push(name);
        }
    }
    keys.sort();
    Ok(keys)
}

fn sync(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

fn size(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |file| file.len())
}
