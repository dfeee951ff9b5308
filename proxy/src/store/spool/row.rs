//! A row of `entry`.

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, Params, Row};
use std::sync::Arc;

/// What is known of an entry without its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Higher than that of every entry before it. At most `i64::MAX`.
    pub id: u64,
    /// Whose.
    pub appid: Arc<str>,
    /// What is delivered, and where to.
    pub kind: EntryKind,
    /// Where it is on its way.
    pub state: EntryState,
    /// [`Store::user_hash`](crate::store::Store::user_hashes): whose entries are delivered in order.
    pub user: u64,
    /// When WeChat brought it, in Unix seconds.
    pub received_s: i64,
    /// When it is tried next, in Unix milliseconds.
    pub due_ms: i64,
    /// Calls made so far, the first one included.
    pub attempts: u32,
    /// Failures of its own, while others succeeded.
    pub failures: u32,
    /// What it counts against `spool.max_bytes`: [`Content::bytes`](super::Content::bytes).
    pub bytes: u64,
    /// When it became a dead letter, in Unix seconds; of one that is pending again, when it was replayed.
    pub died_s: Option<i64>,
}

impl Entry {
    /// Since when it is to be delivered, in Unix seconds: a dead letter that is replayed begins anew.
    pub fn since_s(&self) -> i64 {
        self.died_s.map_or(self.received_s, |replayed_s| replayed_s.max(self.received_s))
    }
}

/// An [`Entry`] that is to be added: the store gives the id and counts the bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "each as in an entry")]
pub struct NewEntry {
    pub appid: Arc<str>,
    pub kind: EntryKind,
    pub state: EntryState,
    pub user: u64,
    pub received_s: i64,
    pub due_ms: i64,
    pub attempts: u32,
    pub failures: u32,
    pub died_s: Option<i64>,
}

/// What is delivered, and where to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A callback, to the app.
    Callback = 0,
    /// A late reply, to WeChat's customer-service API.
    Reply = 1,
}

/// Where an entry is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryState {
    /// It waits for its next try.
    Pending = 0,
    /// A reply whose sending has begun: found at start, nobody knows whether WeChat has it.
    Sending = 1,
    /// A dead letter.
    Dead = 2,
}

/// What [`entry`] reads of a row, in its order.
macro_rules! columns {
    () => {
        "id, appid, kind, state, user, received, due, attempts, failures, bytes, died"
    };
}
pub(super) use columns;

/// Reads [`columns`].
pub(super) fn entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    entry_with(row, |appid| Arc::from(appid))
}

/// The same; `appid` makes the text of that column.
pub(super) fn entry_with(
    row: &Row<'_>,
    appid: impl FnOnce(&str) -> Arc<str>,
) -> rusqlite::Result<Entry> {
    Ok(Entry {
        id: row.get::<_, i64>(0)?.cast_unsigned(),
        appid: appid(row.get_ref(1)?.as_str()?),
        kind: row.get(2)?,
        state: row.get(3)?,
        user: row.get::<_, i64>(4)?.cast_unsigned(),
        received_s: row.get(5)?,
        due_ms: row.get(6)?,
        attempts: row.get(7)?,
        failures: row.get(8)?,
        bytes: row.get::<_, i64>(9)?.unsigned_abs(),
        died_s: row.get(10)?,
    })
}

/// The entries that `sql` finds; it reads [`columns`]. Rows that make no sense are left out.
pub(super) fn entries(
    database: &Connection,
    sql: &str,
    values: impl Params,
) -> rusqlite::Result<Vec<Entry>> {
    let mut query = database.prepare_cached(sql)?;
    let mut rows = query.query(values)?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next()? {
        entries.extend(entry(row));
    }
    Ok(entries)
}

/// SQLite's integers have a sign; no id that was given gets that far.
pub(super) fn row_id(id: u64) -> i64 {
    i64::try_from(id).unwrap_or(i64::MAX)
}

impl ToSql for EntryKind {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(*self as i64))
    }
}

impl FromSql for EntryKind {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<EntryKind> {
        match value.as_i64()? {
            0 => Ok(EntryKind::Callback),
            1 => Ok(EntryKind::Reply),
            other => Err(FromSqlError::OutOfRange(other)),
        }
    }
}

impl ToSql for EntryState {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(*self as i64))
    }
}

impl FromSql for EntryState {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<EntryState> {
        match value.as_i64()? {
            0 => Ok(EntryState::Pending),
            1 => Ok(EntryState::Sending),
            2 => Ok(EntryState::Dead),
            other => Err(FromSqlError::OutOfRange(other)),
        }
    }
}
