//! What is counted by day or month, and must go on being counted after a restart.

use super::{Store, StoreError};
use rusqlite::{Connection, OptionalExtension};

/// A count: how often `key` happened in `period`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counter {
    /// What kind of count it is: `force`, `clear_quota`, `budget`.
    pub scope: String,
    /// Whose.
    pub key: String,
    /// The day or month, `2026-11-20` or `2026-11`: one form in a scope, so that they can be compared as text.
    pub period: String,
    /// The count. At most `i64::MAX`.
    pub count: u64,
}

impl Store {
    /// Every counter of `scope`.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn counters(&self, scope: &str) -> Result<Vec<Counter>, StoreError> {
        self.read(|database| {
            let sql = "SELECT scope, key, period, count FROM counter WHERE scope = ?1";
            let mut query = database.prepare_cached(sql)?;
            let rows = query.query_map([scope], |row| {
                Ok(Counter {
                    scope: row.get(0)?,
                    key: row.get(1)?,
                    period: row.get(2)?,
                    count: row.get::<_, i64>(3)?.unsigned_abs(),
                })
            })?;
            rows.collect()
        })
    }

    /// Adds one and returns the new count, which is on disk then; `None` when the count has reached `max` and nothing
    /// changes.
    ///
    /// # Errors
    /// When it may not be on disk. It may have been counted: whoever must not exceed `max` does not act.
    pub async fn count_below(
        &self,
        scope: &str,
        key: &str,
        period: &str,
        max: u64,
    ) -> Result<Option<u64>, StoreError> {
        let [scope, key, period] = [scope, key, period].map(str::to_owned);
        let count = self.write(move |database| {
            database
                .prepare_cached(
                    "INSERT INTO counter SELECT ?1, ?2, ?3, 1 WHERE ?4 > 0
                     ON CONFLICT DO UPDATE SET count = count + 1 WHERE count < ?4 RETURNING count",
                )?
                .query_row((&scope, &key, &period, integer(max)), |row| row.get::<_, i64>(0))
                .optional()
        });
        Ok(count.await?.map(i64::unsigned_abs))
    }

    /// Raises these counters to what they are given with, all in one transaction; one that is higher stays.
    ///
    /// # Errors
    /// When they may not be on disk.
    pub async fn raise_counters(&self, counters: Vec<Counter>) -> Result<(), StoreError> {
        self.write(move |database| counters.iter().try_for_each(|counter| raise(database, counter)))
            .await
    }

    /// Forgets the counters of `scope` whose period is before `first` or after `last`.
    ///
    /// # Errors
    /// When they may still be on disk.
    pub async fn forget_counters_outside(
        &self,
        scope: &str,
        first: &str,
        last: &str,
    ) -> Result<(), StoreError> {
        let [scope, first, last] = [scope, first, last].map(str::to_owned);
        let forget = self.write(move |database| {
            database
                .prepare_cached(
                    "DELETE FROM counter WHERE scope = ?1 AND period NOT BETWEEN ?2 AND ?3",
                )?
                .execute((&scope, &first, &last))
        });
        forget.await.map(drop)
    }
}

fn raise(database: &Connection, counter: &Counter) -> rusqlite::Result<()> {
    let Counter { scope, key, period, count } = counter;
    database
        .prepare_cached(
            "INSERT INTO counter VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO UPDATE SET count = max(count, excluded.count)",
        )?
        .execute((scope, key, period, integer(*count)))
        .map(drop)
}

/// SQLite's integers have a sign; no count gets that far.
fn integer(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
