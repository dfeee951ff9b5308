//! How a record is kept in its row: with a checksum, and encrypted when there is a key.

use super::record::{Content, Failed};
use crate::store::batch::Batch;
use crate::store::key::Keys;
use rusqlite::{Connection, ErrorCode, Row};
use std::borrow::Cow;
use std::io::Read;

/// Why an entry's content cannot be had. The entry stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It is missing, or not what was written.
    #[error("the content is damaged")]
    Damaged,
    /// It is encrypted and the store was opened without a key.
    #[error("the content is encrypted; set store.key_file to the key it was written with")]
    NoKey,
    /// It was encrypted with another key.
    #[error("the content is encrypted with another key than that of store.key_file")]
    OtherKey,
}

impl Unreadable {
    /// One word for programs.
    pub fn reason(self) -> &'static str {
        match self {
            Unreadable::Damaged => "damaged",
            Unreadable::NoKey | Unreadable::OtherKey => "encrypted",
        }
    }
}

/// A record that has a table of its own.
pub(in crate::store) trait Record: Sized {
    /// Told apart by more than the table, so that none passes for the other.
    const MARK: u8;
    const PUT: &'static str;
    const GET: &str;
    fn of(record: &[u8]) -> Option<Self>;
}

impl Record for Content {
    const MARK: u8 = b'c';
    const PUT: &str = "INSERT OR REPLACE INTO content VALUES (?1, ?2, ?3, ?4)";
    const GET: &str = "SELECT sealed, sum, content FROM content WHERE id = ?1";

    fn of(record: &[u8]) -> Option<Content> {
        Content::decode(record)
    }
}

impl Record for Failed {
    const MARK: u8 = b'f';
    const PUT: &str = "INSERT OR REPLACE INTO failure VALUES (?1, ?2, ?3, ?4)";
    const GET: &str = "SELECT sealed, sum, content FROM failure WHERE id = ?1";

    fn of(record: &[u8]) -> Option<Failed> {
        Failed::decode(record)
    }
}

/// Writes a record of kind `R` into its row.
pub(in crate::store) fn put<R: Record>(
    batch: &Batch<'_>,
    keys: &Keys,
    id: i64,
    appid: &str,
    record: &[u8],
) -> rusqlite::Result<()> {
    put_by(R::PUT, &place::<R>(id, appid), batch, keys, id, record).map(drop)
}

/// Writes a new content, whose id is the `next` of its table or just one that it does not have.
pub(super) fn add(
    batch: &Batch<'_>,
    keys: &Keys,
    id: i64,
    next: bool,
    appid: &str,
    record: &[u8],
) -> rusqlite::Result<()> {
    let sql = if next { ADD } else { Content::PUT };
    let sum = put_by(sql, &place::<Content>(id, appid), batch, keys, id, record)?;
    batch.added(id, sum);
    Ok(())
}

const ADD: &str = "INSERT INTO content (sealed, sum, content) VALUES (?2, ?3, ?4)";

fn put_by(
    sql: &'static str,
    place: &[u8],
    batch: &Batch<'_>,
    keys: &Keys,
    id: i64,
    record: &[u8],
) -> rusqlite::Result<u32> {
    let (sealed, kept) = match keys.seal(place, record) {
        Some(sealed) => (true, Cow::Owned(sealed)),
        None => (false, Cow::Borrowed(record)),
    };
    let sum = sum(place, sealed, &kept);
    batch.statement(sql)?.execute((id, sealed, sum, &*kept))?;
    Ok(sum)
}

/// Reads a record of kind `R` from its row, if it has one.
pub(super) fn get<R: Record>(
    database: &Connection,
    keys: &Keys,
    id: i64,
    appid: &str,
) -> rusqlite::Result<Option<Result<R, Unreadable>>> {
    let read = |row: &Row<'_>| {
        let kept = row.get_ref(2)?.as_blob()?;
        Ok(Sealed { id, sealed: row.get(0)?, sum: row.get(1)?, kept }.open(keys, appid))
    };
    match database.prepare_cached(R::GET)?.query_row([id], read) {
        Ok(record) => Ok(Some(record)),
        Err(rusqlite::Error::QueryReturnedNoRows) => Ok(None),
        // Its page cannot be made sense of, or the row; others can be read.
        Err(error) => match error.sqlite_error_code() {
            None | Some(ErrorCode::DatabaseCorrupt) => Ok(Some(Err(Unreadable::Damaged))),
            Some(_) => Err(error),
        },
    }
}

/// The beginning of a content that is not encrypted: so many bytes, unchecked, because only the whole can be. Nothing where
/// it cannot be had.
pub(super) fn head(database: &Connection, id: i64, bytes: u64) -> Option<Vec<u8>> {
    let mut query = database.prepare_cached("SELECT sealed FROM content WHERE id = ?1").ok()?;
    let sealed: bool = query.query_row([id], |row| row.get(0)).ok()?;
    if sealed {
        return None;
    }
    // Unlike a query it does not read the rest of a long one.
    let blob = database.blob_open("main", "content", "content", id, true).ok()?;
    let mut head = Vec::new();
    blob.take(bytes).read_to_end(&mut head).ok()?;
    Some(head)
}

/// A record as it stands in its row.
pub(in crate::store) struct Sealed<'a> {
    pub(in crate::store) id: i64,
    pub(in crate::store) sealed: bool,
    pub(in crate::store) sum: u32,
    pub(in crate::store) kept: &'a [u8],
}

impl Sealed<'_> {
    /// Whether it is what was written, of kind `R` and for this account.
    pub(in crate::store) fn is<R: Record>(&self, appid: &str) -> bool {
        self.sum == sum(&place::<R>(self.id, appid), self.sealed, self.kept)
    }

    /// What was written.
    pub(in crate::store) fn open<R: Record>(
        &self,
        keys: &Keys,
        appid: &str,
    ) -> Result<R, Unreadable> {
        if !self.is::<R>(appid) {
            return Err(Unreadable::Damaged);
        }
        if !self.sealed {
            return R::of(self.kept).ok_or(Unreadable::Damaged);
        }
        if !keys.can_open() {
            return Err(Unreadable::NoKey);
        }
        let place = place::<R>(self.id, appid);
        let record = keys.open(&place, self.kept).ok_or(Unreadable::OtherKey)?;
        R::of(&record).ok_or(Unreadable::Damaged)
    }
}

/// Whose the record is. It cannot be moved to another row, or another account.
fn place<R: Record>(id: i64, appid: &str) -> Vec<u8> {
    [&[R::MARK][..], &id.to_be_bytes(), appid.as_bytes()].concat()
}

/// What is kept is checked as it stands there: so damage is told from another key.
fn sum(place: &[u8], sealed: bool, kept: &[u8]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(&[u8::from(sealed)]);
    sum.update(place);
    sum.update(kept);
    sum.finalize()
}
