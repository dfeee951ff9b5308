//! Small named values: a key, a list that WeChat gave.

use super::{Store, StoreError};
use rusqlite::OptionalExtension;

impl Store {
    /// The value of that name.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn value(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.read(|database| {
            database
                .prepare_cached("SELECT value FROM value WHERE name = ?1")?
                .query_row([name], |row| row.get(0))
                .optional()
        })
    }

    /// Sets the value of that name, which is on disk then.
    ///
    /// # Errors
    /// When it may not be on disk.
    pub async fn set_value(&self, name: &str, value: Vec<u8>) -> Result<(), StoreError> {
        let name = name.to_owned();
        let set = self.write(move |database| {
            database
                .prepare_cached("INSERT OR REPLACE INTO value VALUES (?1, ?2)")?
                .execute((&name, &value))
        });
        set.await.map(drop)
    }
}
