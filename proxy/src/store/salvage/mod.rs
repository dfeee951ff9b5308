//! A damaged database becomes a sound one with all that can still be read, and nothing of the old is thrown away.
//!
//! The new one is made beside the damaged one (`salvage.db`) and named `salvaged.db` when it is whole and on disk. Only
//! then are the damaged files moved into a folder `damaged-<Unix seconds>` and the new one takes their place. So a crash
//! at any moment leaves the damaged files where they are, or a whole new one whose taking over goes on at the next start.

pub(super) mod page;
mod pages;
pub(super) mod spool;
mod tables;
mod wal;

use super::key::Keys;
use super::{OpenError, database, schema};
use page::Record;
use pages::Pages;
use rusqlite::Connection;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// What was made of a damaged database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Salvage {
    /// Rows that are in the new one.
    pub saved: u64,
    /// Rows that are not, or without what makes them useful, at least: a page of rows that cannot be read counts as one.
    pub lost: u64,
    /// Where the damaged files are.
    pub folder: PathBuf,
}

impl Salvage {
    /// The same with what was made of the log, whose damaged file is in a folder beside this one's.
    pub(super) fn and(self, log: &Salvage) -> Salvage {
        Salvage { saved: self.saved + log.saved, lost: self.lost + log.lost, ..self }
    }
}

/// Ends what a crash has interrupted: a new database that is whole takes its place, half of one is removed.
pub(super) fn finish(path: &Path) -> Result<(), OpenError> {
    let _absent = fs::remove_file(made(path, "salvage"));
    if !made(path, "salvaged").exists() {
        return Ok(());
    }
    let ended = folder(path).and_then(|folder| {
        replace(path, &folder)?;
        let shown = folder.display();
        log::error!("the store was damaged, and is replaced by what could be read; the rest of the damaged files is in {shown}");
        Ok(())
    });
    ended.map_err(|error| OpenError::Unusable(path.to_owned(), error))
}

/// A write-ahead log that SQLite does not read to its end, and a copy of it.
pub(super) struct BrokenLog {
    folder: PathBuf,
    frames: u64,
    /// Transactions that were reported to be on disk, at least.
    lost: u64,
    /// Messages that came after all that SQLite reads.
    newer: Vec<Record>,
}

/// What SQLite does not see when it opens a database.
#[derive(Default)]
pub(super) struct Unseen {
    /// The file ends too early.
    pub(super) cut: bool,
    pub(super) broken: Option<BrokenLog>,
}

/// Looks at the database at `path` and its log before SQLite does. If something that was reported to be on disk may stand in
/// what SQLite will not read of the log, keeps a copy, and what can be used of it.
pub(super) fn look(path: &Path) -> Result<Unseen, OpenError> {
    let unusable = |error| OpenError::Unusable(path.to_owned(), error);
    // Closed when this returns: closing them later would take SQLite's locks away.
    let mut pages = match Pages::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Unseen::default()),
        pages => pages.map_err(unusable)?,
    };
    let (cut, behind) = (pages.cut, &pages.log.behind);
    if behind.commits == 0 {
        return Ok(Unseen { cut, broken: None });
    }
    let (frames, lost) = (behind.frames, behind.lost());
    let folder = folder(path).map_err(unusable)?;
    pages.log.keep(&folder).map_err(unusable)?;
    let newer = tables::newer(&mut pages).map_err(|error| OpenError::of(path, error))?;
    Ok(Unseen { cut, broken: Some(BrokenLog { folder, frames, lost, newer }) })
}

impl BrokenLog {
    /// Adds to the opened database what can be used, and says what became of it.
    pub(super) fn restore(
        self,
        database: &mut Connection,
        appids: &[String],
        keys: &Keys,
    ) -> rusqlite::Result<Option<Salvage>> {
        let BrokenLog { folder, frames, lost, newer } = self;
        let (saved, halves) = tables::add(&newer, database, appids, keys, lost > 0)?;
        let shown = folder.display();
        if lost == 0 {
            log::warn!(
                "the last transaction is not whole in the write-ahead log, {frames} of its pages are not used; after a power cut that is as it should be, and nothing is lost; a copy is in {shown}"
            );
            return Ok(None);
        }
        log::error!(
            "the store's write-ahead log is damaged: {lost} transactions or more, {frames} pages, cannot be used; {saved} messages of them are saved; replies that may have been sent are dead letters; a copy is in {shown}; it holds messages and tokens: remove it when it is of no more use"
        );
        Ok(Some(Salvage { saved, lost: halves, folder }))
    }
}

/// Replaces the damaged database at `path`, which nobody has open; `what` SQLite found first.
pub(super) fn salvage(
    path: &Path,
    what: &str,
    appids: &[String],
    keys: &Keys,
) -> Result<Salvage, OpenError> {
    let unusable = |error| OpenError::Unusable(path.to_owned(), error);
    let of = |error| OpenError::of(path, error);
    log::error!(
        "{} is damaged ({what}); what can be read of it goes into a new one",
        path.display()
    );
    room(path)?;
    let new = made(path, "salvage");
    let pages = Pages::open(path).map_err(unusable)?;
    let mut target = new_database(&new).map_err(of)?;
    let found = tables::copy(&pages, &mut target, appids, keys).map_err(of)?;
    target.close().map_err(|(_, error)| of(error))?;
    File::open(&new).and_then(|new| new.sync_all()).map_err(unusable)?;
    fs::rename(&new, made(path, "salvaged")).map_err(unusable)?;
    let folder = folder(path).map_err(unusable)?;
    replace(path, &folder).map_err(unusable)?;
    let (saved, lost) = (found.saved(), found.lost);
    log::error!(
        "the store was damaged: {found} are saved, at least {lost} rows are lost; the damaged files are in {}; they hold messages and tokens: remove them when they are of no more use",
        folder.display()
    );
    Ok(Salvage { saved, lost, folder })
}

/// Another file beside the database.
fn made(path: &Path, name: &str) -> PathBuf {
    path.with_file_name(name).with_extension("db")
}

/// The files that SQLite has beside a database.
fn beside(path: &Path) -> [PathBuf; 2] {
    ["db-wal", "db-shm"].map(|extension| path.with_extension(extension))
}

/// A new folder for damaged files.
pub(super) fn folder(path: &Path) -> io::Result<PathBuf> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    for second in since.as_secs().. {
        let folder = path.with_file_name(format!("damaged-{second}"));
        match DirBuilder::new().mode(0o700).create(&folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => return made.map(|()| folder),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// Moves the damaged files into `folder`, and the whole new one into their place.
fn replace(path: &Path, folder: &Path) -> io::Result<()> {
    // The log goes before the new database comes: SQLite would take it for its own.
    for file in beside(path).into_iter().chain([path.to_owned()]) {
        let Some(name) = file.file_name() else { continue };
        match fs::rename(&file, folder.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _moved => {}
        }
    }
    database::sync_names(folder);
    fs::rename(made(path, "salvaged"), path)?;
    path.parent().into_iter().for_each(database::sync_names);
    Ok(())
}

/// Sees that a copy has room beside the damaged files.
fn room(path: &Path) -> Result<(), OpenError> {
    let size = |path: &Path| fs::metadata(path).map_or(0, |file| file.len());
    let needed = size(path) + size(&path.with_extension("db-wal"));
    let dir = path.parent().unwrap_or(path);
    let free = nix::sys::statvfs::statvfs(dir)
        .map_err(|error| OpenError::Unusable(dir.to_owned(), error.into()))?;
    let free = free.blocks_available().saturating_mul(free.fragment_size());
    if free < needed {
        return Err(OpenError::NoRoom { path: path.to_owned(), needed, free });
    }
    Ok(())
}

/// An empty database. A crash leaves half of it, which is thrown away: it needs no log of its own.
fn new_database(path: &Path) -> rusqlite::Result<Connection> {
    let mut database = database::make(path)?;
    database.pragma_update(None, "journal_mode", "MEMORY")?;
    database.pragma_update(None, "synchronous", "OFF")?;
    schema::migrate(&mut database)?;
    Ok(database)
}
