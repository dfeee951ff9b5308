//! Tokens and tickets, with all that is known of them. They stand in the file as they are, as in WeChat's own guides: it is
//! its owner's only.

use super::{Store, StoreError};
use crate::config::Secret;
use rusqlite::Connection;

/// What is known of one credential of one account.
#[derive(Debug, Clone)]
pub struct SavedCredential {
    /// Whose.
    pub appid: String,
    /// `access_token`, `jsapi` or `wx_card`.
    pub credential: String,
    /// Counts up with every change. At most `i64::MAX`.
    pub revision: u64,
    /// JSON of [`crate::credential::engine::Saved`].
    pub state: Secret,
}

impl Store {
    /// Every credential that is saved.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn credentials(&self) -> Result<Vec<SavedCredential>, StoreError> {
        self.read(|database| {
            let sql = "SELECT appid, credential, revision, state FROM credential";
            let mut query = database.prepare_cached(sql)?;
            let rows = query.query_map((), |row| {
                Ok(SavedCredential {
                    appid: row.get(0)?,
                    credential: row.get(1)?,
                    revision: row.get::<_, i64>(2)?.unsigned_abs(),
                    state: Secret::new(row.get::<_, String>(3)?),
                })
            })?;
            rows.collect()
        })
    }

    /// Saves a credential unless the one that is saved has the same or a higher revision; says whether it did. It is on
    /// disk then.
    ///
    /// # Errors
    /// When it may not be on disk.
    pub async fn save_credential(&self, saved: SavedCredential) -> Result<bool, StoreError> {
        self.write(move |database| save(database, &saved)).await
    }
}

fn save(database: &Connection, saved: &SavedCredential) -> rusqlite::Result<bool> {
    let SavedCredential { appid, credential, revision, state } = saved;
    let revision = i64::try_from(*revision).unwrap_or(i64::MAX);
    let changed = database
        .prepare_cached(
            "INSERT INTO credential VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO UPDATE SET revision = excluded.revision, state = excluded.state
             WHERE excluded.revision > revision",
        )?
        .execute((appid, credential, revision, state.expose()))?;
    Ok(changed > 0)
}
