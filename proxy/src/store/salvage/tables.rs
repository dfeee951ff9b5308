//! What the rows of a damaged database are, and which of them a sound one gets.
//!
//! A page does not say whose it is, so a row is told by its columns, and a content by its checksum.

use super::page::Record;
use super::pages::Pages;
use super::spool::{self, Kind};
use crate::store::key::Keys;
use rusqlite::types::{ToSqlOutput, Type, ValueRef};
use rusqlite::{Connection, ErrorCode, OptionalExtension, params_from_iter};
use std::fmt;

/// The tables, whether their rows have ids, and the types of their columns.
#[rustfmt::skip]
const TABLES: [(Table, bool, &[Type]); 7] = {
    use Type::{Blob as B, Integer as I, Null as N, Text as T};
    [
        (Table::Credential, false, &[T, T, I, T]),
        (Table::Counter, false, &[T, T, T, I]),
        (Table::Value, false, &[T, B]),
        (Table::Entry, true, &[N, T, I, I, I, I, I, I, I, I, I]),
        (Table::Entry, true, &[N, T, I, I, I, I, I, I, I, I, N]),
        (Table::Record, true, &[N, I, I, B]),
        (Table::Schema, true, &[T, T, T, I, T]),
    ]
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Table {
    Credential,
    Counter,
    Value,
    Entry,
    /// `content` or `failure`.
    Record,
    /// SQLite's own.
    Schema,
    /// What an index repeats of a row.
    Index,
}

type Columns<'a> = [ValueRef<'a>];

/// Whose row it is; `None` when it makes no sense.
fn table(id: Option<i64>, columns: &Columns<'_>) -> Option<Table> {
    let types = || columns.iter().map(ValueRef::data_type);
    let known =
        TABLES.iter().find(|(_, ids, own)| *ids == id.is_some() && types().eq(own.iter().copied()));
    let index = id.is_none() && types().all(|of| matches!(of, Type::Integer | Type::Null));
    known.map(|(table, ..)| *table).or(index.then_some(Table::Index))
}

/// What was saved, and what was not.
#[derive(Debug, Default)]
pub(super) struct Found {
    credentials: u64,
    counters: u64,
    values: u64,
    /// With their contents.
    messages: u64,
    /// Rows, at least.
    pub(super) lost: u64,
}

impl Found {
    pub(super) fn saved(&self) -> u64 {
        self.credentials + self.counters + self.values + self.messages
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Found { messages, credentials, counters, values, .. } = self;
        write!(
            f,
            "{messages} messages, {credentials} tokens and tickets, {counters} counters and {values} other values"
        )
    }
}

/// Copies all that can be read into an empty database. Messages of `appids` are known also when nothing else tells of them.
pub(super) fn copy(
    pages: &Pages,
    target: &mut Connection,
    appids: &[String],
    keys: &Keys,
) -> rusqlite::Result<Found> {
    let transaction = target.transaction()?;
    let mut found = Found::default();
    let mut senseless = false;
    let bad = pages.read(|record| {
        let saved = match copy_row(&transaction, &record)? {
            Row::Saved(Table::Credential) => &mut found.credentials,
            Row::Saved(Table::Counter) => &mut found.counters,
            Row::Saved(Table::Value) => &mut found.values,
            Row::Saved(_) | Row::Other => return Ok(()),
            Row::Senseless => {
                senseless = true;
                return Ok(());
            }
        };
        *saved += 1;
        Ok(())
    })?;
    let appids = known(&transaction, appids)?;
    let mut strangers = 0;
    pages.read(|record| {
        match copy_record(&transaction, &record, &appids, keys)? {
            Whose::Message => found.messages += 1,
            Whose::Unknown => strangers += 1,
            Whose::Other => {}
        }
        Ok(())
    })?;
    let buried = bury(&transaction, keys)?;
    // One and the same row may have been found missing in different ways.
    found.lost = bad.max(u64::from(senseless)).max(strangers).max(buried);
    transaction.commit()?;
    Ok(found)
}

/// The rows that stand in the part of the log that SQLite does not read, of messages newer than all that it reads.
pub(super) fn newer(pages: &mut Pages) -> rusqlite::Result<Vec<Record>> {
    let mut newest = 0;
    let message = |record: &Record| {
        let table = table(record.id, &record.columns()?)?;
        record.id.filter(|_| matches!(table, Table::Entry | Table::Record))
    };
    pages.read(|record| {
        newest = message(&record).unwrap_or(0).max(newest);
        Ok(())
    })?;
    let mut newer = Vec::new();
    pages.read_behind(|record| {
        if message(&record).is_some_and(|id| id > newest) {
            newer.push(record);
        }
        Ok(())
    })?;
    Ok(newer)
}

/// Adds these messages. Where it is known that some are lost, what is left of one is a dead letter, and so are replies that
/// may have been sent. Says how many are whole, and how many are not.
pub(super) fn add(
    newer: &[Record],
    target: &mut Connection,
    appids: &[String],
    keys: &Keys,
    known_lost: bool,
) -> rusqlite::Result<(u64, u64)> {
    let transaction = target.transaction()?;
    let (mut added, mut halves) = (0, 0);
    for record in newer {
        copy_row(&transaction, record)?;
    }
    let appids = known(&transaction, appids)?;
    for record in newer {
        let whose = copy_record(&transaction, record, &appids, keys)?;
        added += u64::from(whose == Whose::Message);
    }
    if known_lost {
        halves = bury(&transaction, keys)?;
        spool::doubt(&transaction, keys)?;
    } else {
        let half = "DELETE FROM entry WHERE id = ?1 AND id NOT IN (SELECT id FROM content)";
        for record in newer {
            transaction.prepare_cached(half)?.execute([record.id])?;
        }
    }
    transaction.commit()?;
    Ok((added, halves))
}

/// What became of a row.
enum Row {
    Saved(Table),
    /// It is there already, is another's turn, or SQLite's own.
    Other,
    Senseless,
}

/// Copies a row unless it is a content or a failure.
fn copy_row(target: &Connection, record: &Record) -> rusqlite::Result<Row> {
    let columns = record.columns();
    let Some(columns) = &columns else { return Ok(Row::Senseless) };
    let Some(table) = table(record.id, columns) else { return Ok(Row::Senseless) };
    let sql = match table {
        Table::Credential => "INSERT INTO credential VALUES (?, ?, ?, ?)",
        Table::Counter => "INSERT INTO counter VALUES (?, ?, ?, ?)",
        Table::Value => "INSERT INTO value VALUES (?, ?)",
        Table::Entry if !spool::is_entry(columns) => return Ok(Row::Senseless),
        Table::Entry => "INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        Table::Record | Table::Schema | Table::Index => return Ok(Row::Other),
    };
    let new = insert(target, sql, record.id, columns)?;
    Ok(if new { Row::Saved(table) } else { Row::Other })
}

/// What became of a content or a failure.
#[derive(PartialEq, Eq)]
enum Whose {
    /// A content was added, and so a message is whole.
    Message,
    /// It is damaged, or nobody knows whose it is.
    Unknown,
    /// Another row, or there already.
    Other,
}

/// Copies a content, or a failure of an entry that there is. A content whose entry is lost gets another one.
fn copy_record(
    target: &Connection,
    record: &Record,
    appids: &[String],
    keys: &Keys,
) -> rusqlite::Result<Whose> {
    let columns = record.columns().unwrap_or_default();
    if table(record.id, &columns) != Some(Table::Record) {
        return Ok(Whose::Other);
    }
    let Some(sealed) = spool::sealed(record.id, &columns) else { return Ok(Whose::Unknown) };
    let appid = "SELECT appid FROM entry WHERE id = ?1";
    let appid =
        target.prepare_cached(appid)?.query_row([sealed.id], |row| row.get(0)).optional()?;
    let mut known = appid.as_slice().iter().chain(if appid.is_some() { &[][..] } else { appids });
    let own = known.find_map(|appid: &String| Some((spool::kind(&sealed, appid)?, appid)));
    let Some((kind, own)) = own else { return Ok(Whose::Unknown) };
    let sql = match kind {
        Kind::Failure if appid.is_none() => return Ok(Whose::Other),
        Kind::Failure => "INSERT INTO failure VALUES (?, ?, ?, ?)",
        Kind::Content => "INSERT INTO content VALUES (?, ?, ?, ?)",
    };
    if appid.is_none() && !spool::make_entry(target, keys, &sealed, own)? {
        return Ok(Whose::Unknown);
    }
    let new = insert(target, sql, record.id, &columns)?;
    Ok(if new && kind == Kind::Content { Whose::Message } else { Whose::Other })
}

/// Puts a row in, the id in the place of its first column; says whether there was none with its key.
fn insert(
    target: &Connection,
    sql: &str,
    id: Option<i64>,
    columns: &Columns<'_>,
) -> rusqlite::Result<bool> {
    let id = id.map(ValueRef::Integer);
    let values = id.iter().chain(columns.iter().skip(id.iter().len()));
    let values = values.map(|value| ToSqlOutput::Borrowed(*value));
    match target.prepare_cached(sql)?.execute(params_from_iter(values)) {
        Ok(_) => Ok(true),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// Makes entries without content dead letters, so that somebody sees them. Says how many there are.
fn bury(target: &Connection, keys: &Keys) -> rusqlite::Result<u64> {
    let sql = "SELECT id, appid FROM entry WHERE id NOT IN (SELECT id FROM content)";
    let mut query = target.prepare(sql)?;
    let without = query.query_map((), |row| Ok((row.get(0)?, row.get::<_, String>(1)?)))?;
    let without = without.collect::<rusqlite::Result<Vec<_>>>()?;
    for (id, appid) in &without {
        spool::bury(target, keys, *id, appid)?;
    }
    Ok(without.len() as u64)
}

/// All accounts that are known.
fn known(target: &Connection, appids: &[String]) -> rusqlite::Result<Vec<String>> {
    let sql = "SELECT appid FROM entry UNION SELECT appid FROM credential";
    let mut query = target.prepare(sql)?;
    query.query_map((), |row| row.get(0))?.chain(appids.iter().cloned().map(Ok)).collect()
}
