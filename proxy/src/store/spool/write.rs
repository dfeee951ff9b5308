//! What is written of the spool. All of it is on disk when it returns; what fails may still be found at the next start,
//! as after a crash.

use super::record::{Content, Failed};
use super::row::{self, Entry, NewEntry, columns, row_id};
use super::seal;
use crate::limits;
use crate::store::batch::{Added, Batch};
use crate::store::key::Keys;
use crate::store::{Store, StoreError};
use rusqlite::{Connection, OptionalExtension, Params, TransactionBehavior};

impl Store {
    /// What stands for a user in [`Entry::user`], and what stood for it before the store had a key. With a key nobody else
    /// can compute the first.
    pub fn user_hashes(&self, appid: &str, openid: &str) -> [u64; 2] {
        self.0.keys.user_hashes(appid, openid)
    }

    /// Adds an entry, and why its first call failed if there was one. Returns its id.
    ///
    /// # Errors
    /// When it may not be on disk.
    pub async fn spool(
        &self,
        entry: NewEntry,
        content: Content,
        failed: Option<Failed>,
    ) -> Result<u64, StoreError> {
        let (keys, new) = (self.0.keys.clone(), New::of(entry, &content));
        let failed = failed.map(|failed| failed.encode());
        self.write_sized(new.record.len(), move |batch| {
            let id = new.add(batch, &keys)?;
            if let Some(failed) = &failed {
                seal::put::<Failed>(batch, &keys, id, &new.entry.appid, failed)?;
            }
            Ok(id.cast_unsigned())
        })
        .await
    }

    /// Deletes an entry that was taken, if it is still there.
    ///
    /// # Errors
    /// When it may still be on disk.
    pub async fn spool_taken(&self, id: u64) -> Result<(), StoreError> {
        self.write_sized(0, move |batch| delete(batch, row_id(id)).map(drop)).await
    }

    /// Deletes an entry that was taken, if there was one, and adds the reply to it: both or nothing. Returns the
    /// reply's id; none, and nothing is added, when the entry is gone already.
    ///
    /// # Errors
    /// When it may not be on disk.
    pub async fn spool_taken_with_reply(
        &self,
        id: Option<u64>,
        reply: NewEntry,
        content: Content,
        failed: Option<Failed>,
    ) -> Result<Option<u64>, StoreError> {
        let (keys, new) = (self.0.keys.clone(), New::of(reply, &content));
        let failed = failed.map(|failed| failed.encode());
        self.write_sized(new.record.len(), move |batch| {
            if let Some(id) = id
                && !delete(batch, row_id(id))?
            {
                return Ok(None);
            }
            let id = new.add(batch, &keys)?;
            if let Some(failed) = &failed {
                seal::put::<Failed>(batch, &keys, id, &new.entry.appid, failed)?;
            }
            Ok(Some(id.cast_unsigned()))
        })
        .await
    }

    /// Writes down that a call failed, and when the next one is due. The entry is pending again. Nothing happens when
    /// it is gone or dead.
    ///
    /// # Errors
    /// When it may not be on disk.
    pub async fn spool_failed(
        &self,
        id: u64,
        attempts: u32,
        failures: u32,
        due_ms: i64,
        failed: Failed,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE entry SET state = 0, attempts = ?2, failures = ?3, due = ?4
                   WHERE id = ?1 AND state < 2 RETURNING appid";
        self.update(sql, id, (row_id(id), attempts, failures, due_ms), failed).await.map(drop)
    }

    /// Makes an entry a dead letter, if it is none yet. `false` when it is gone.
    ///
    /// # Errors
    /// When it may not be on disk.
    pub async fn spool_dead(
        &self,
        id: u64,
        attempts: u32,
        died_s: i64,
        failed: Failed,
    ) -> Result<bool, StoreError> {
        let sql = "UPDATE entry SET state = 2, attempts = ?2, died = ?3
                   WHERE id = ?1 AND state < 2 RETURNING appid";
        let died = self.update(sql, id, (row_id(id), attempts, died_s), failed).await?;
        // A write that was said to have failed may have been done.
        let dead = "SELECT 1 FROM entry WHERE id = ?1 AND state = 2";
        let is_dead = move |batch: &Batch<'_>| batch.prepare_cached(dead)?.exists([row_id(id)]);
        Ok(died || self.write_sized(0, is_dead).await?)
    }

    /// Marks that a reply is being sent, and what of it, if that has changed. `false` when the entry is gone or dead:
    /// then it must not be sent.
    ///
    /// # Errors
    /// When it may not be on disk.
    pub async fn spool_sending(
        &self,
        id: u64,
        content: Option<Content>,
    ) -> Result<bool, StoreError> {
        let keys = self.0.keys.clone();
        let record = content.map(|content| (bytes(&content), content.encode()));
        let size = record.as_ref().map_or(0, |(_, record)| record.len());
        self.write_sized(size, move |batch| {
            let id = row_id(id);
            let sql = "UPDATE entry SET state = 1, bytes = coalesce(?2, bytes)
                       WHERE id = ?1 AND state < 2 RETURNING appid";
            let bytes = record.as_ref().map(|(bytes, _)| bytes);
            let appid: Option<String> =
                batch.prepare_cached(sql)?.query_row((id, bytes), |row| row.get(0)).optional()?;
            if let (Some(appid), Some((_, record))) = (&appid, &record) {
                seal::put::<Content>(batch, &keys, id, appid, record)?;
            }
            Ok(appid.is_some())
        })
        .await
    }

    /// Makes these dead letters pending again, due now, and returns them; what is none is left alone. That they begin anew
    /// at `now_s`, in Unix seconds, is kept.
    ///
    /// # Errors
    /// When some may not be on disk.
    pub async fn spool_replay(&self, ids: Vec<u64>, now_s: i64) -> Result<Vec<Entry>, StoreError> {
        let sql = concat!(
            "UPDATE entry SET state = 0, due = 0, failures = 0, died = ?2
             WHERE id = ?1 AND state = 2 RETURNING ",
            columns!()
        );
        self.each(ids, move |batch, id| one(batch, sql, (id, now_s))).await
    }

    /// Deletes these entries and returns those that were there.
    ///
    /// # Errors
    /// When some may still be on disk.
    pub async fn spool_delete(&self, ids: Vec<u64>) -> Result<Vec<Entry>, StoreError> {
        self.each(ids, |batch, id| {
            let entry =
                one(batch, concat!("SELECT ", columns!(), " FROM entry WHERE id = ?1"), [id])?;
            delete(batch, id)?;
            Ok(entry)
        })
        .await
    }

    /// Erases these entries and returns those that were there. When it returns, no file of the store holds what was theirs,
    /// or of entries deleted before, unless another program was reading the database or the disk failed: then that is so soon
    /// after that has ended.
    ///
    /// # Errors
    /// When some may still be on disk.
    pub async fn spool_erase(&self, ids: Vec<u64>) -> Result<Vec<Entry>, StoreError> {
        let erased = self.spool_delete(ids).await?;
        self.write_sized(0, |batch| {
            batch.erase();
            Ok(())
        })
        .await?;
        Ok(erased)
    }

    /// Deletes dead letters that died before `died_before_s`, in Unix seconds, and returns them: at most
    /// [`limits::SPOOL_CHUNK`]. If it is so many, there may be more.
    ///
    /// # Errors
    /// When some may still be on disk.
    pub async fn spool_expire(&self, died_before_s: i64) -> Result<Vec<Entry>, StoreError> {
        self.write_sized(0, move |batch| {
            let sql = concat!(
                "SELECT ",
                columns!(),
                " FROM entry WHERE state = 2 AND died < ?1 ORDER BY id LIMIT ?2"
            );
            let chunk = i64::try_from(limits::SPOOL_CHUNK).unwrap_or(i64::MAX);
            let old = row::entries(batch, sql, (died_before_s, chunk))?;
            old.iter().try_for_each(|entry| delete(batch, row_id(entry.id)).map(drop))?;
            Ok(old)
        })
        .await
    }

    /// Runs an update that returns the entry's appid, and writes down why the call failed if there is such an entry; says
    /// whether there is.
    async fn update(
        &self,
        sql: &'static str,
        id: u64,
        values: impl Params + Clone + Send + 'static,
        failed: Failed,
    ) -> Result<bool, StoreError> {
        let (keys, failed) = (self.0.keys.clone(), failed.encode());
        self.write_sized(failed.len(), move |batch| {
            let mut update = batch.prepare_cached(sql)?;
            let appid = update.query_row(values.clone(), |row| row.get::<_, String>(0));
            let appid = appid.optional()?;
            if let Some(appid) = &appid {
                seal::put::<Failed>(batch, &keys, row_id(id), appid, &failed)?;
            }
            Ok(appid.is_some())
        })
        .await
    }

    /// Does the same to each of these entries, some in one transaction, and returns those that it was done to.
    async fn each(
        &self,
        ids: Vec<u64>,
        apply: impl Fn(&Batch<'_>, i64) -> rusqlite::Result<Option<Entry>> + Copy + Send + 'static,
    ) -> Result<Vec<Entry>, StoreError> {
        let mut done = Vec::with_capacity(ids.len());
        for ids in ids.chunks(limits::SPOOL_CHUNK) {
            let ids: Vec<_> = ids.iter().copied().map(row_id).collect();
            let chunk = self.write_sized(0, move |batch| {
                ids.iter()
                    .filter_map(|id| apply(batch, *id).transpose())
                    .collect::<Result<Vec<_>, _>>()
            });
            done.extend(chunk.await?);
        }
        Ok(done)
    }
}

/// Writes an entry.
const PUT: &str = "INSERT INTO entry VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";

/// Writes an entry whose id is the next.
const ADD: &str =
    "INSERT INTO entry (appid, kind, state, user, received, due, attempts, failures, bytes, died)
    VALUES (?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";

/// An entry on its way to the writer.
struct New {
    entry: NewEntry,
    bytes: i64,
    record: Vec<u8>,
}

impl New {
    fn of(entry: NewEntry, content: &Content) -> New {
        New { entry, bytes: bytes(content), record: content.encode() }
    }

    fn add(&self, batch: &Batch<'_>, keys: &Keys) -> rusqlite::Result<i64> {
        let (id, next) = batch.next_id()?;
        let NewEntry { appid, kind, state, user, .. } = &self.entry;
        let NewEntry { received_s, due_ms, attempts, failures, died_s, .. } = &self.entry;
        let sql = if next { ADD } else { PUT };
        batch.statement(sql)?.execute((
            id,
            appid,
            kind,
            state,
            user.cast_signed(),
            received_s,
            due_ms,
            attempts,
            failures,
            self.bytes,
            died_s,
        ))?;
        has(batch, id)?;
        seal::add(batch, keys, id, next, appid, &self.record)?;
        has(batch, id)?;
        Ok(id)
    }
}

/// That the row which was just added got this id: a content is bound to it.
fn has(batch: &Batch<'_>, id: i64) -> rusqlite::Result<()> {
    match batch.last_insert_rowid() {
        given if given == id => Ok(()),
        given => Err(rusqlite::Error::IntegralValueOutOfRange(0, given)),
    }
}

fn bytes(content: &Content) -> i64 {
    i64::try_from(content.bytes()).unwrap_or(i64::MAX)
}

fn one(database: &Connection, sql: &str, values: impl Params) -> rusqlite::Result<Option<Entry>> {
    database.prepare_cached(sql)?.query_row(values, row::entry).optional()
}

/// Deletes all rows of an entry. Says whether there was one.
fn delete(batch: &Batch<'_>, id: i64) -> rusqlite::Result<bool> {
    batch.deleted();
    let found = batch.statement("DELETE FROM entry WHERE id = ?1")?.execute([id])? > 0;
    for sql in ["DELETE FROM content WHERE id = ?1", "DELETE FROM failure WHERE id = ?1"] {
        batch.statement(sql)?.execute([id])?;
    }
    Ok(found)
}

/// Deletes entries whose writers were told that they have failed, where they are there all the same. An id may have been given
/// to another process's entry since, whose content has another sum.
pub(in crate::store) fn withdraw(
    database: &mut Connection,
    added: &[Added],
) -> rusqlite::Result<()> {
    let transaction = database.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for (id, sum) in added {
        let content = "DELETE FROM content WHERE id = ?1 AND sum = ?2";
        if transaction.execute(content, (id, sum))? > 0 {
            transaction.execute("DELETE FROM failure WHERE id = ?1", [id])?;
            transaction.execute("DELETE FROM entry WHERE id = ?1", [id])?;
        }
    }
    transaction.commit()
}
