//! What an entry, a content and a failure must be to be kept.

use super::walk::Fault;
use rusqlite::{Connection, Row};
use sha2::{Digest, Sha256};
use std::time::{SystemTime, UNIX_EPOCH};

/// A record with a checksum.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Content = b'c' as isize,
    Failure = b'f' as isize,
}

/// A row of `content` or `failure`.
pub(super) struct Record<'a> {
    pub(super) id: i64,
    kind: Kind,
    sealed: bool,
    sum: i64,
    kept: &'a [u8],
}

impl<'a> Record<'a> {
    pub(super) fn of(kind: Kind, row: &'a Row<'_>) -> Option<Record<'a>> {
        let kept = row.get_ref(3).ok()?.as_blob().ok()?;
        let (id, sealed, sum) = (row.get(0).ok()?, row.get(1).ok()?, row.get(2).ok()?);
        Some(Record { id, kind, sealed, sum, kept })
    }

    /// Whether it is what was written, for this account.
    pub(super) fn is_sound(&self, appid: &str) -> bool {
        sum(self.kind, self.id, appid, self.sealed, self.kept) == self.sum
    }

    /// The openid in it.
    fn subject(&self) -> Option<String> {
        let ([_, _, subject], _) = decode(self.kept).filter(|_| !self.sealed)?;
        Some(subject)
    }
}

/// Whether a row of `entry` can be scheduled.
pub(super) fn is_entry(row: &Row<'_>) -> bool {
    let between =
        |column, most| row.get(column).is_ok_and(|value: i64| (0..=most).contains(&value));
    between(2, 1) && between(3, 2) && between(7, u32::MAX.into()) && between(8, u32::MAX.into())
}

/// Makes an entry for a content that has lost its own; `false` when nobody knows whose it is. It is tried soon, unless
/// it is a reply: nobody knows whether that was sent.
pub(super) fn make_entry(
    target: &Connection,
    record: &Record<'_>,
    appid: &str,
) -> Result<bool, Fault> {
    let Some(subject) = record.subject() else { return Ok(false) };
    let user = Sha256::new().chain_update(appid).chain_update([0]).chain_update(subject).finalize();
    let user = user.first_chunk().map_or(0, |first| i64::from_be_bytes(*first));
    let now_ms = now_ms();
    // The ids of a process begin with the milliseconds at its start, times 1024.
    let received_s = (record.id >> 10).clamp(0, now_ms) / 1_000;
    let sql = "INSERT INTO entry VALUES (?1, ?2, 0, 0, ?3, ?4, ?5, 1, 0, ?6, NULL)";
    let bytes = i64::try_from(record.kept.len()).unwrap_or(i64::MAX);
    target.prepare_cached(sql)?.execute((record.id, appid, user, received_s, now_ms, bytes))?;
    Ok(true)
}

/// Makes an entry a dead letter whose content is damaged.
pub(super) fn bury(target: &Connection, id: i64, appid: &str) -> Result<(), Fault> {
    let sql = "UPDATE entry SET state = 2, died = coalesce(died, ?2) WHERE id = ?1";
    target.prepare_cached(sql)?.execute((id, now_ms() / 1_000))?;
    let detail = "its content was lost when the store was damaged";
    let mut record = Vec::new();
    for text in ["damaged", detail] {
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
