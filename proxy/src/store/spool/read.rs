//! What is read of the spool. All of it blocks.

use super::record::{Content, Failed};
use super::row::{self, Entry, columns, row_id};
use super::seal::{self, Unreadable};
use crate::limits;
use crate::store::key::Keys;
use crate::store::{Store, StoreError, database};
use rusqlite::{Connection, OptionalExtension};
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::Builder;

/// Which entries a page of the list shows.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only dead letters, or only what is none.
    pub dead: Option<bool>,
    /// Only those of this account.
    pub appid: Option<Arc<str>>,
    /// Only those with a higher id.
    pub after: u64,
    /// Not more than so many, and never more than [`limits::SPOOL_PAGE`].
    pub limit: usize,
}

/// Contents, each with the id of its entry.
pub type Contents = Vec<(Entry, Result<Content, Unreadable>)>;

/// An entry with all that is known of it.
#[derive(Debug)]
pub struct Listed {
    /// The entry.
    pub entry: Entry,
    /// Its content; on a page of the list without the body.
    pub content: Result<Content, Unreadable>,
    /// Why its last call failed, if one did.
    pub failed: Option<Failed>,
}

impl Store {
    /// Gives every entry to `each`, in the order of their ids, and looks over them. Says how many rows make no sense and were
    /// left out.
    ///
    /// # Errors
    /// When the file cannot be read. [`StoreError::Damaged`] when the entries are not what was written; the next
    /// [`Store::open`] then saves what can be read.
    pub fn spooled(&self, each: impl FnMut(Entry)) -> Result<u64, StoreError> {
        let (chunks, read) = sync_channel(limits::SPOOL_CHUNKS_AHEAD);
        let thread = |name: &str| Builder::new().name(name.to_owned());
        let none = |error: io::Error| StoreError::Read(error.to_string());
        // A million take a while: they are looked over, read and dealt with side by side.
        std::thread::scope(|scope| {
            let checking = thread("spool-check")
                .spawn_scoped(scope, || self.read_long(database::check_entries))
                .map_err(none)?;
            let reading = thread("spool-read")
                .spawn_scoped(scope, || self.read_long(|database| read_entries(database, chunks)))
                .map_err(none)?;
            read.into_iter().flatten().for_each(each);
            let senseless = reading.join().unwrap_or(Err(StoreError::Closed));
            checking.join().unwrap_or(Err(StoreError::Closed))?;
            senseless
        })
    }

    /// The contents of these entries, in their order. Those that are gone are left out. If one is damaged, the next start
    /// looks over the whole store: its page may hide others.
    ///
    /// # Errors
    /// When the file cannot be read. Where it is damaged, only the contents there are.
    pub fn spool_contents(&self, ids: &[u64]) -> Result<Contents, StoreError> {
        let sql = concat!("SELECT ", columns!(), " FROM entry WHERE id = ?1");
        self.read(|database| {
            let mut query = database.prepare_cached(sql)?;
            let mut contents = Vec::with_capacity(ids.len());
            for id in ids {
                if let Some(entry) = query.query_row([row_id(*id)], row::entry).optional()? {
                    let content = content(database, &self.0.keys, *id, &entry.appid)?;
                    contents.push((entry, content));
                }
            }
            Ok(contents)
        })
        .inspect(|contents: &Contents| {
            if contents.iter().any(|(_, content)| *content == Err(Unreadable::Damaged)) {
                self.suspect();
            }
        })
    }

    /// Why the oldest or the youngest pending entry cannot be read for want of its key; nothing when both can.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn spool_sealed(&self) -> Result<Option<Unreadable>, StoreError> {
        let ends = self.read(|database| {
            let end = |order| {
                let sql =
                    format!("SELECT id FROM entry WHERE +state < 2 ORDER BY id {order} LIMIT 1");
                database.query_row(&sql, (), |row| row.get::<_, i64>(0)).optional()
            };
            Ok([end("ASC")?, end("DESC")?].map(|id| id.map(i64::cast_unsigned)))
        })?;
        let ends: Vec<_> = ends.into_iter().flatten().collect();
        let contents = self.spool_contents(&ends)?;
        let sealed = contents.into_iter().filter_map(|(_, content)| content.err());
        Ok(sealed.into_iter().find(|why| *why != Unreadable::Damaged))
    }

    /// Whether an account has entries with a higher id than `id` that are no dead letters. Looks at all that are higher. It
    /// is taken to have some when the file cannot be read: callbacks ask.
    pub fn spooled_since(&self, id: u64, appid: &str) -> bool {
        let sql = "SELECT 1 FROM entry WHERE id > ?1 AND appid = ?2 AND +state < 2 LIMIT 1";
        let found = self.read(|database| database.prepare_cached(sql)?.exists((row_id(id), appid)));
        found.unwrap_or(true)
    }

    /// A page of the list, in the order of ids. The contents have no body.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn spool_page(&self, filter: &Filter) -> Result<Vec<Listed>, StoreError> {
        // Written out, so that the index of dead letters is used.
        let state = match filter.dead {
            None => "TRUE",
            Some(true) => "state = 2",
            Some(false) => "state < 2",
        };
        let sql = format!(
            concat!(
                "SELECT ",
                columns!(),
                " FROM entry WHERE id > ?1 AND (?2 IS NULL OR appid = ?2) AND {} ORDER BY id LIMIT ?3"
            ),
            state
        );
        let limit = i64::try_from(filter.limit.min(limits::SPOOL_PAGE)).unwrap_or(i64::MAX);
        self.read_long(|database| {
            let page = row::entries(database, &sql, (row_id(filter.after), &filter.appid, limit))?;
            let listed = page.into_iter().map(|entry| {
                let content = head(database, &self.0.keys, &entry)?;
                listed(database, &self.0.keys, entry, content)
            });
            listed.collect()
        })
    }

    /// The ids of the entries about a user, those up to `after` left out. Looks at all others.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn spool_about(
        &self,
        appid: &str,
        subject: &str,
        after: u64,
    ) -> Result<Vec<u64>, StoreError> {
        let sql =
            "SELECT id FROM entry WHERE id > ?1 AND appid = ?2 AND user IN (?3, ?4) ORDER BY id";
        // Some may be older than the key.
        let [first, second] = self.user_hashes(appid, subject).map(u64::cast_signed);
        self.read_long(|database| {
            let mut query = database.prepare(sql)?;
            let mut rows = query.query((row_id(after), appid, first, second))?;
            let mut ids = Vec::new();
            while let Some(row) = rows.next()? {
                let id = row.get::<_, i64>(0)?.cast_unsigned();
                // Another user may have the same hash.
                let content = content(database, &self.0.keys, id, appid)?;
                if content.map_or(true, |content| content.subject == subject) {
                    ids.push(id);
                }
            }
            Ok(ids)
        })
    }

    /// An entry with all that is known of it.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn spool_entry(&self, id: u64) -> Result<Option<Listed>, StoreError> {
        self.read(|database| {
            let sql = concat!("SELECT ", columns!(), " FROM entry WHERE id = ?1");
            let entry = database.prepare_cached(sql)?.query_row([row_id(id)], row::entry);
            let Some(entry) = entry.optional()? else { return Ok(None) };
            let content = content(database, &self.0.keys, entry.id, &entry.appid)?;
            listed(database, &self.0.keys, entry, content).map(Some)
        })
    }
}

/// Sends all entries, in the order of their ids. Gives the number of rows that make no sense.
fn read_entries(database: &Connection, chunks: SyncSender<Vec<Entry>>) -> rusqlite::Result<u64> {
    let mut query = database.prepare(concat!("SELECT ", columns!(), " FROM entry ORDER BY id"))?;
    let mut rows = query.query(())?;
    let (mut appids, mut senseless) = (Appids::default(), 0);
    let mut chunk = Vec::with_capacity(limits::SPOOL_CHUNK);
    while let Some(row) = rows.next()? {
        match row::entry_with(row, |appid| appids.get(appid)) {
            Ok(entry) => chunk.push(entry),
            Err(_) => senseless += 1,
        }
        if chunk.len() == limits::SPOOL_CHUNK {
            let full = std::mem::replace(&mut chunk, Vec::with_capacity(limits::SPOOL_CHUNK));
            // Who reads takes all of them.
            let _taken = chunks.send(full);
        }
    }
    let _taken = chunks.send(chunk);
    Ok(senseless)
}

fn listed(
    database: &Connection,
    keys: &Keys,
    entry: Entry,
    content: Result<Content, Unreadable>,
) -> rusqlite::Result<Listed> {
    let failed = seal::get(database, keys, row_id(entry.id), &entry.appid)?;
    // One that cannot be read is as good as none.
    Ok(Listed { content, failed: failed.and_then(Result::ok), entry })
}

/// The content of an entry without its body. A long body is not read, unless it is encrypted; damage of it shows when the
/// entry itself is looked at.
fn head(
    database: &Connection,
    keys: &Keys,
    entry: &Entry,
) -> rusqlite::Result<Result<Content, Unreadable>> {
    if entry.bytes > limits::SPOOL_LISTED_WHOLE {
        let head = seal::head(database, row_id(entry.id), limits::SPOOL_LISTED_WHOLE / 4);
        if let Some(content) = head.and_then(|head| Content::decode_head(&head)) {
            return Ok(Ok(content));
        }
    }
    let content = content(database, keys, entry.id, &entry.appid)?;
    Ok(content.map(|content| Content { body: Vec::new(), ..content }))
}

/// The content of an entry that there is.
fn content(
    database: &Connection,
    keys: &Keys,
    id: u64,
    appid: &str,
) -> rusqlite::Result<Result<Content, Unreadable>> {
    Ok(seal::get(database, keys, row_id(id), appid)?.unwrap_or(Err(Unreadable::Damaged)))
}

/// The texts of a column that has few different ones, each held once.
#[derive(Default)]
struct Appids(Vec<Arc<str>>);

impl Appids {
    fn get(&mut self, appid: &str) -> Arc<str> {
        if let Some(known) = self.0.iter().find(|known| ***known == *appid) {
            return known.clone();
        }
        let new = Arc::from(appid);
        self.0.push(Arc::clone(&new));
        new
    }
}
