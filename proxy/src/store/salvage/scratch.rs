//! A damaged database is only read. When its first page is of no use, a copy with another first page is.

use super::{beside, made, new_database};
use crate::store::schema;
use rusqlite::{Connection, OpenFlags};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// The bytes of a page; ours are what SQLite makes by default.
pub(super) const PAGE: usize = 4_096;

/// Opens the damaged database at `path` so that as much as possible can be read of it.
pub(super) fn open(path: &Path) -> rusqlite::Result<Connection> {
    let scratch = made(path, "scratch");
    let found = connect(path).and_then(|source| Ok((schema::written(&source)?, source)));
    let (version, source) = match found {
        Ok((version, source)) if (1..=schema::VERSION).contains(&version) => {
            (version, Some(source))
        }
        _ => (schema::VERSION, None),
    };
    remove(&scratch);
    let expected = new_database(&scratch, version)?;
    if let Some(source) = source.filter(|source| same_tables(source, &expected)) {
        return Ok(source);
    }
    expected.close().map_err(|(_, error)| error)?;
    match copy(path, &scratch) {
        Ok(()) => connect(&scratch),
        Err(error) => Err(rusqlite::Error::ToSqlConversionFailure(Box::new(error))),
    }
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let rights = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let source = Connection::open_with_flags(path, rights)?;
    // It is not asked to be sound: pages may be missing at its end, and cells overlap.
    source.pragma_update(None, "writable_schema", true)?;
    source.pragma_update(None, "cell_size_check", true)?;
    source.pragma_update(None, "mmap_size", 0)?;
    Ok(source)
}

fn same_tables(source: &Connection, expected: &Connection) -> bool {
    let tables = |database: &Connection| {
        let sql = "SELECT group_concat(type || name || tbl_name || sql) FROM sqlite_schema WHERE rootpage > 0";
        database.query_row(sql, (), |row| row.get::<_, String>(0)).ok()
    };
    tables(source) == tables(expected)
}

/// The first page says where each table begins. That is the same in every database that was made by the same
/// migrations, and so the new one that stands in `scratch` has the right one. So may the write-ahead log.
fn copy(path: &Path, scratch: &Path) -> io::Result<()> {
    let mut page = [0; PAGE];
    File::open(scratch)?.read_exact(&mut page)?;
    // Versions that differ make SQLite ask the file for its size; write-ahead mode as with ours; no free pages.
    page[18..20].copy_from_slice(&[2, 2]);
    page[32..40].fill(0);
    page[92..96].copy_from_slice(&[0xff; 4]);
    remove(scratch);
    fs::copy(path, scratch)?;
    File::options().write(true).open(scratch)?.write_all_at(&page, 0)?;
    let [log, _] = beside(path);
    match fs::copy(log, &beside(scratch)[0]) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _copied => Ok(()),
    }
}

/// Removes a database of the salvage's own, or half of one.
pub(super) fn remove(path: &Path) {
    for file in beside(path).iter().map(|file| file.as_path()).chain([path]) {
        // Most often there is none; what stays is written over.
        let _absent = fs::remove_file(file);
    }
}
