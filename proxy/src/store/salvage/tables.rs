//! What is read of the damaged tables, and what of it is kept.

use super::scratch;
use super::spool::{self, Kind, Record};
use super::walk::{Fault, Ids, Kept, read_keys};
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ErrorCode, OptionalExtension, Row, Statement, ffi, params_from_iter};
use std::fmt;
use std::path::Path;

/// The tables whose key is a text: name, key, columns.
const KEYED: [(&str, &[&str], &str); 3] = [
    ("credential", &["appid", "credential"], "appid, credential, revision, state"),
    ("counter", &["scope", "key", "period"], "scope, key, period, count"),
    ("value", &["name"], "name, value"),
];

const ENTRY: Ids<'_> = Ids {
    table: "entry",
    columns: "id, appid, kind, state, user, received, due, attempts, failures, bytes, died",
};
const CONTENT: Ids<'_> = Ids { table: "content", columns: "id, sealed, sum, content" };
const FAILURE: Ids<'_> = Ids { table: "failure", columns: "id, sealed, sum, content" };

/// What was found, in rows.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Tokens and tickets, counters, values.
    keyed: [u64; KEYED.len()],
    /// Messages that are whole.
    messages: u64,
    /// Rows that are not kept, or a message without its content, which is a dead letter now.
    pub(super) lost: u64,
}

impl Found {
    pub(super) fn saved(&self) -> u64 {
        self.keyed.iter().sum::<u64>() + self.messages
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [credentials, counters, values] = self.keyed;
        let messages = self.messages;
        write!(
            f,
            "{messages} messages, {credentials} tokens and tickets, {counters} counters and {values} values"
        )
    }
}

/// Copies all that can be read of the database at `path` into an empty one.
pub(super) fn copy(path: &Path, target: &mut Connection) -> Result<Found, Fault> {
    let source = scratch::open(path)?;
    let transaction = target.transaction()?;
    let mut found = Found::default();
    for ((table, key, columns), saved) in KEYED.into_iter().zip(&mut found.keyed) {
        let mut put = put(&transaction, table, columns)?;
        found.lost += read_keys(&source, table, key, columns, |row| {
            let put = copy_row(row, &mut put)?;
            *saved += u64::from(put == Put::New);
            found.lost += u64::from(put == Put::Senseless);
            Ok(put != Put::Senseless)
        })?;
    }
    Spool { source: &source, target: &transaction }.copy(&mut found)?;
    transaction.commit()?;
    Ok(found)
}

/// The spool: entries, their contents, and why some of them failed.
struct Spool<'a> {
    source: &'a Connection,
    target: &'a Connection,
}

impl Spool<'_> {
    fn copy(&self, found: &mut Found) -> Result<(), Fault> {
        let mut put_entry = put(self.target, ENTRY.table, ENTRY.columns)?;
        let mut senseless = 0;
        let holes = ENTRY.read(self.source, |row| {
            let sound = spool::is_entry(row) && copy_row(row, &mut put_entry)? != Put::Senseless;
            senseless += u64::from(!sound);
            Ok(sound)
        })?;
        let restored = self.contents()?;
        found.lost += (holes + senseless).saturating_sub(restored);
        let mut put_failure = put(self.target, FAILURE.table, FAILURE.columns)?;
        FAILURE.read(self.source, |row| {
            let Some(record) = Record::of(Kind::Failure, row) else { return Ok(false) };
            let appid = self.appid(record.id)?;
            let sound = appid.is_some_and(|appid| record.is_sound(&appid));
            Ok(sound && copy_row(row, &mut put_failure)? != Put::Senseless)
        })?;
        found.lost += self.bury()?;
        let whole = "SELECT count(*) FROM content";
        found.messages =
            self.target.query_row(whole, (), |row| row.get::<_, i64>(0))?.unsigned_abs();
        Ok(())
    }

    /// Copies the contents that are what was written. Says for how many of them the entry was lost and is made anew.
    fn contents(&self) -> Result<u64, Fault> {
        let mut put_content = put(self.target, CONTENT.table, CONTENT.columns)?;
        let appids = self.appids()?;
        let mut restored = 0;
        let mut keep = |row: &Row<'_>| -> Kept {
            let Some(record) = Record::of(Kind::Content, row) else { return Ok(false) };
            match self.appid(record.id)? {
                Some(appid) if record.is_sound(&appid) => {}
                Some(_) => return Ok(false),
                None => {
                    // The checksum tells whose it is.
                    let Some(appid) = appids.iter().find(|appid| record.is_sound(appid)) else {
                        return Ok(false);
                    };
                    if !spool::make_entry(self.target, &record, appid)? {
                        return Ok(false);
                    }
                    restored += 1;
                }
            }
            Ok(copy_row(row, &mut put_content)? != Put::Senseless)
        };
        CONTENT.read(self.source, &mut keep)?;
        // Those whose id is known are found also in the midst of what cannot be read.
        let sql = format!("SELECT {} FROM content WHERE id = ?1", CONTENT.columns);
        if let Ok(mut one) = self.source.prepare(&sql) {
            for (id, _) in self.without_content()? {
                let _unreadable = one.query_row([id], |row| keep(row));
            }
        }
        Ok(restored)
    }

    /// Makes entries without content dead letters, so that somebody sees them. Says how many.
    fn bury(&self) -> Result<u64, Fault> {
        let mut buried = 0;
        for (id, appid) in self.without_content()? {
            spool::bury(self.target, id, &appid)?;
            buried += 1;
        }
        Ok(buried)
    }

    fn without_content(&self) -> Result<Vec<(i64, String)>, Fault> {
        let sql = "SELECT id, appid FROM entry WHERE id NOT IN (SELECT id FROM content)";
        self.target.prepare(sql)?.query_map((), |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
    }

    /// Whose the entry is.
    fn appid(&self, id: i64) -> Result<Option<String>, Fault> {
        let sql = "SELECT appid FROM entry WHERE id = ?1";
        self.target.prepare_cached(sql)?.query_row([id], |row| row.get(0)).optional()
    }

    /// All accounts that are known.
    fn appids(&self) -> Result<Vec<String>, Fault> {
        let sql = "SELECT appid FROM entry UNION SELECT appid FROM credential";
        self.target.prepare(sql)?.query_map((), |row| row.get(0))?.collect()
    }
}

/// What became of a row.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Put {
    New,
    Known,
    Senseless,
}

fn put<'a>(target: &'a Connection, table: &str, columns: &str) -> Result<Statement<'a>, Fault> {
    let marks = vec!["?"; columns.split(',').count()].join(", ");
    target.prepare(&format!("INSERT INTO {table} ({columns}) VALUES ({marks})"))
}

/// Copies a row as it is, if the new table takes it.
fn copy_row(row: &Row<'_>, put: &mut Statement<'_>) -> Result<Put, Fault> {
    let mut values = Vec::with_capacity(put.parameter_count());
    for column in 0..put.parameter_count() {
        match row.get_ref(column) {
            Ok(ValueRef::Text(text)) if str::from_utf8(text).is_err() => return Ok(Put::Senseless),
            Ok(value) => values.push(ToSqlOutput::Borrowed(value)),
            Err(_) => return Ok(Put::Senseless),
        }
    }
    match put.execute(params_from_iter(values)) {
        Ok(_) => Ok(Put::New),
        Err(error) => match error.sqlite_error() {
            Some(known) if known.extended_code == ffi::SQLITE_CONSTRAINT_PRIMARYKEY => {
                Ok(Put::Known)
            }
            Some(known) if known.code == ErrorCode::ConstraintViolation => Ok(Put::Senseless),
            _ => Err(error),
        },
    }
}
