//! Tokens and tickets. Their values stand in the file as they are, as in WeChat's own guides: it is its owner's only.

use super::{Store, StoreError};
use crate::config::Secret;
use crate::limits;
use rusqlite::{Connection, OptionalExtension};
use sha2::{Digest, Sha256};

/// The credential that calls are routed by, also for a while after it was replaced.
const ACCESS_TOKEN: &str = "access_token";

/// A token or ticket that WeChat gave out.
#[derive(Debug, Clone)]
pub struct SavedCredential {
    /// Whose.
    pub appid: String,
    /// `access_token`, `jsapi` or `wx_card`.
    pub credential: String,
    /// The token.
    pub value: Secret,
    /// When it ends, in Unix seconds.
    pub expires_s: i64,
    /// When it was fetched, in Unix seconds.
    pub fetched_s: i64,
    /// Counts up with every one that is fetched. At most `i64::MAX`.
    pub generation: u64,
}

/// An access token that was valid once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplacedToken {
    /// SHA-256 of the token.
    pub sha256: [u8; 32],
    /// Whose it was.
    pub appid: String,
    /// When another took its place, in Unix seconds.
    pub replaced_s: i64,
}

impl Store {
    /// Every credential that is saved, expired ones too.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn credentials(&self) -> Result<Vec<SavedCredential>, StoreError> {
        self.read(|database| {
            let sql =
                "SELECT appid, credential, value, expires_s, fetched_s, generation FROM credential";
            let mut query = database.prepare_cached(sql)?;
            let rows = query.query_map((), |row| {
                Ok(SavedCredential {
                    appid: row.get(0)?,
                    credential: row.get(1)?,
                    value: Secret::new(row.get::<_, String>(2)?),
                    expires_s: row.get(3)?,
                    fetched_s: row.get(4)?,
                    generation: row.get::<_, i64>(5)?.unsigned_abs(),
                })
            })?;
            rows.collect()
        })
    }

    /// The access tokens that were replaced within the last 24 h, by the time of the last one that was saved.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn replaced_tokens(&self) -> Result<Vec<ReplacedToken>, StoreError> {
        self.read(|database| {
            let sql = "SELECT sha256, appid, replaced_s FROM replaced_token ORDER BY replaced_s";
            let mut query = database.prepare_cached(sql)?;
            let rows = query.query_map((), |row| {
                Ok(ReplacedToken {
                    sha256: row.get(0)?,
                    appid: row.get(1)?,
                    replaced_s: row.get(2)?,
                })
            })?;
            rows.collect()
        })
    }

    /// Saves a credential unless the one that is saved has the same or a higher generation; says whether it did. It is
    /// on disk then. The access token that it replaces is remembered as a hash.
    ///
    /// # Errors
    /// When it may not be on disk.
    pub async fn save_credential(&self, saved: SavedCredential) -> Result<bool, StoreError> {
        self.write(move |database| save(database, &saved)).await
    }
}

fn save(database: &Connection, saved: &SavedCredential) -> rusqlite::Result<bool> {
    let SavedCredential { appid, credential, value, expires_s, fetched_s, generation } = saved;
    let generation = i64::try_from(*generation).unwrap_or(i64::MAX);
    let old: Option<(i64, Secret)> = database
        .prepare_cached(
            "SELECT generation, value FROM credential WHERE appid = ?1 AND credential = ?2",
        )?
        .query_row((appid, credential), |row| {
            Ok((row.get(0)?, Secret::new(row.get::<_, String>(1)?)))
        })
        .optional()?;
    if old.as_ref().is_some_and(|(old, _)| *old >= generation) {
        return Ok(false);
    }
    database
        .prepare_cached("INSERT OR REPLACE INTO credential VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
        .execute((appid, credential, value.expose(), expires_s, fetched_s, generation))?;
    if let Some((_, old)) = old
        && credential == ACCESS_TOKEN
        && old.expose() != value.expose()
    {
        replace(database, appid, &old, *fetched_s)?;
    }
    Ok(true)
}

fn replace(database: &Connection, appid: &str, old: &Secret, now_s: i64) -> rusqlite::Result<()> {
    let sha256: [u8; 32] = Sha256::digest(old.expose()).into();
    database
        .prepare_cached("INSERT OR REPLACE INTO replaced_token VALUES (?1, ?2, ?3)")?
        .execute((sha256, appid, now_s))?;
    let since_s = now_s - limits::REPLACED_TOKEN.as_secs() as i64;
    database
        .prepare_cached("DELETE FROM replaced_token WHERE replaced_s < ?1")?
        .execute([since_s])?;
    Ok(())
}
