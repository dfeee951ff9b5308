//! What an entry, a content and a failure must be to be kept.

use rusqlite::Connection;
use rusqlite::types::ValueRef;
use sha2::{Digest, Sha256};
use std::time::{SystemTime, UNIX_EPOCH};

/// A record with a checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Kind {
    Content = b'c' as isize,
    Failure = b'f' as isize,
}

/// A row of `content` or `failure`.
pub(super) struct Sealed<'a> {
    pub(super) id: i64,
    sealed: bool,
    sum: i64,
    kept: &'a [u8],
}

impl<'a> Sealed<'a> {
    pub(super) fn of(id: Option<i64>, columns: &[ValueRef<'a>]) -> Option<Sealed<'a>> {
        match *columns {
            [_, ValueRef::Integer(sealed), ValueRef::Integer(sum), ValueRef::Blob(kept)] => {
                Some(Sealed { id: id?, sealed: sealed != 0, sum, kept })
            }
            _ => None,
        }
    }

    /// What it is, if it is what was written for this account.
    pub(super) fn kind(&self, appid: &str) -> Option<Kind> {
        let Sealed { id, sealed, kept, .. } = *self;
        let is = |kind: &Kind| sum(*kind, id, appid, sealed, kept) == self.sum;
        [Kind::Content, Kind::Failure].into_iter().find(is)
    }

    /// The openid and the body in it.
    fn message(&self) -> Option<(String, &'a [u8])> {
        let ([_, _, subject], body) = decode(self.kept).filter(|_| !self.sealed)?;
        Some((subject, body))
    }
}

/// Whether the columns of an entry can be scheduled.
pub(super) fn is_entry(columns: &[ValueRef<'_>]) -> bool {
    let between = |column: usize, most: i64| match columns.get(column) {
        Some(ValueRef::Integer(value)) => (0..=most).contains(value),
        _ => false,
    };
    between(2, 1) && between(3, 2) && between(7, u32::MAX.into()) && between(8, u32::MAX.into())
}

/// Makes an entry for a content that has lost its own; `false` when nobody can say whose it is. A callback is pending, a
/// reply is a dead letter: nobody knows whether it was sent.
pub(super) fn make_entry(
    target: &Connection,
    sealed: &Sealed<'_>,
    appid: &str,
) -> rusqlite::Result<bool> {
    let Some((subject, body)) = sealed.message() else { return Ok(false) };
    let user = Sha256::new().chain_update(appid).chain_update([0]).chain_update(subject).finalize();
    let user = user.first_chunk().map_or(0, |first| i64::from_be_bytes(*first));
    let (id, now_ms) = (sealed.id, now_ms());
    // The ids of a process begin with the milliseconds at its start, times 1024.
    let received_s = (id >> 10).clamp(0, now_ms) / 1_000;
    let reply = body.starts_with(b"{\"messages\":");
    let sql = "INSERT INTO entry VALUES (?1, ?2, ?3, 0, ?4, ?5, ?6, 1, 0, ?7, NULL)";
    let bytes = i64::try_from(body.len()).unwrap_or(i64::MAX);
    target.prepare_cached(sql)?.execute((id, appid, reply, user, received_s, now_ms, bytes))?;
    if reply {
        die(target, id, appid, "maybe_sent", DOUBT)?;
    }
    Ok(true)
}

/// Of a reply.
const DOUBT: &str = "whether it was sent was lost when the store was damaged";

/// Makes an entry a dead letter whose content is lost.
pub(super) fn bury(target: &Connection, id: i64, appid: &str) -> rusqlite::Result<()> {
    die(target, id, appid, "damaged", "its content was lost when the store was damaged")
}

/// Makes every reply that waits a dead letter: that it was sent may have been written down, and lost.
pub(super) fn doubt(target: &Connection) -> rusqlite::Result<()> {
    let sql = "SELECT id, appid FROM entry WHERE kind = 1 AND state < 2";
    let mut query = target.prepare(sql)?;
    let replies = query.query_map((), |row| Ok((row.get(0)?, row.get::<_, String>(1)?)))?;
    for (id, appid) in replies.collect::<rusqlite::Result<Vec<_>>>()? {
        die(target, id, &appid, "maybe_sent", DOUBT)?;
    }
    Ok(())
}

fn die(
    target: &Connection,
    id: i64,
    appid: &str,
    reason: &str,
    detail: &str,
) -> rusqlite::Result<()> {
    let sql = "UPDATE entry SET state = 2, died = coalesce(died, ?2) WHERE id = ?1";
    target.prepare_cached(sql)?.execute((id, now_ms() / 1_000))?;
    let mut record = Vec::new();
    for text in [reason, detail] {
        record.extend(u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
        record.extend(text.as_bytes());
    }
    let sum = sum(Kind::Failure, id, appid, false, &record);
    let sql = "INSERT OR REPLACE INTO failure VALUES (?1, 0, ?2, ?3)";
    target.prepare_cached(sql)?.execute((id, sum, record)).map(drop)
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// As in the table.
pub(in crate::store) fn sum(kind: Kind, id: i64, appid: &str, sealed: bool, kept: &[u8]) -> i64 {
    let place = [&[kind as u8][..], &id.to_be_bytes(), appid.as_bytes()].concat();
    let hash = Sha256::new()
        .chain_update([u8::from(sealed)])
        .chain_update(place.len().to_be_bytes())
        .chain_update(place)
        .chain_update(kept)
        .finalize();
    hash.first_chunk().map_or(0, |first| i64::from_be_bytes(*first))
}

fn decode<const N: usize>(mut record: &[u8]) -> Option<([String; N], &[u8])> {
    let mut texts = [const { String::new() }; N];
    for text in &mut texts {
        let (length, rest) = record.split_first_chunk()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (bytes, rest) = rest.split_at_checked(length)?;
        *text = String::from_utf8(bytes.to_owned()).ok()?;
        record = rest;
    }
    Some((texts, record))
}
