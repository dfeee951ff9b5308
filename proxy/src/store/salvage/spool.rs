//! What an entry, a content and a failure must be to be kept.

use crate::limits;
use crate::store::batch::Batch;
use crate::store::key::Keys;
use crate::store::spool::seal::{self, Sealed};
use crate::store::spool::{Content, Failed};
use rusqlite::Connection;
use rusqlite::types::ValueRef;
use std::time::{SystemTime, UNIX_EPOCH};

/// A record with a checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Content,
    Failure,
}

/// A row of `content` or `failure`.
pub(super) fn sealed<'a>(id: Option<i64>, columns: &[ValueRef<'a>]) -> Option<Sealed<'a>> {
    match *columns {
        [_, ValueRef::Integer(sealed), ValueRef::Integer(sum), ValueRef::Blob(kept)] => {
            Some(Sealed { id: id?, sealed: sealed != 0, sum: u32::try_from(sum).ok()?, kept })
        }
        _ => None,
    }
}

/// What it is, if it is what was written for this account.
pub(super) fn kind(sealed: &Sealed<'_>, appid: &str) -> Option<Kind> {
    let failure = || sealed.is::<Failed>(appid).then_some(Kind::Failure);
    sealed.is::<Content>(appid).then_some(Kind::Content).or_else(failure)
}

/// Whether the columns of an entry can be scheduled.
pub(super) fn is_entry(columns: &[ValueRef<'_>]) -> bool {
    let between = |column: usize, most: i64| match columns.get(column) {
        Some(ValueRef::Integer(value)) => (0..=most).contains(value),
        _ => false,
    };
    between(2, 1) && between(3, 2) && between(7, u32::MAX.into()) && between(8, u32::MAX.into())
}

/// Makes an entry for a content that has lost its own; `false` when it cannot be read. A callback is pending, a reply is
/// a dead letter: nobody knows whether it was sent.
pub(super) fn make_entry(
    target: &Connection,
    keys: &Keys,
    sealed: &Sealed<'_>,
    appid: &str,
) -> rusqlite::Result<bool> {
    let Ok(content) = sealed.open::<Content>(keys, appid) else { return Ok(false) };
    // As when it arrived: who is not known has an order of its own.
    let named = Some(&content.subject).filter(|subject| !subject.is_empty());
    let user = keys.user_hashes(appid, named.unwrap_or(&content.ce_id))[0].cast_signed();
    let (id, now_ms) = (sealed.id, now_ms());
    // The ids of a process begin with the milliseconds at its start, times 1024.
    let received_s = (id >> limits::SPOOL_ID_BITS).clamp(0, now_ms) / 1_000;
    let reply = content.body.starts_with(Content::REPLY);
    let sql = "INSERT INTO entry VALUES (?1, ?2, ?3, 0, ?4, ?5, ?6, 1, 0, ?7, NULL)";
    let bytes = i64::try_from(content.bytes()).unwrap_or(i64::MAX);
    target.prepare_cached(sql)?.execute((id, appid, reply, user, received_s, now_ms, bytes))?;
    if reply {
        die(target, keys, id, appid, "maybe_sent", DOUBT)?;
    }
    Ok(true)
}

/// Of a reply.
const DOUBT: &str = "whether it was sent was lost when the store was damaged";

/// Makes an entry a dead letter whose content is lost.
pub(super) fn bury(target: &Connection, keys: &Keys, id: i64, appid: &str) -> rusqlite::Result<()> {
    die(target, keys, id, appid, "damaged", "its content was lost when the store was damaged")
}

/// Makes every reply that waits a dead letter: that it was sent may have been written down, and lost.
pub(super) fn doubt(target: &Connection, keys: &Keys) -> rusqlite::Result<()> {
    let sql = "SELECT id, appid FROM entry WHERE kind = 1 AND state < 2";
    let mut query = target.prepare(sql)?;
    let replies = query.query_map((), |row| Ok((row.get(0)?, row.get::<_, String>(1)?)))?;
    for (id, appid) in replies.collect::<rusqlite::Result<Vec<_>>>()? {
        die(target, keys, id, &appid, "maybe_sent", DOUBT)?;
    }
    Ok(())
}

fn die(
    target: &Connection,
    keys: &Keys,
    id: i64,
    appid: &str,
    reason: &str,
    detail: &str,
) -> rusqlite::Result<()> {
    let sql = "UPDATE entry SET state = 2, died = coalesce(died, ?2) WHERE id = ?1";
    target.prepare_cached(sql)?.execute((id, now_ms() / 1_000))?;
    let failed = Failed { reason: reason.to_owned(), detail: detail.to_owned(), answer: None };
    seal::put::<Failed>(&Batch::new(target, 0), keys, id, appid, &failed.encode())
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
