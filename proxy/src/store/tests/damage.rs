//! Damage of every page, of every row and at every step of the database and of its log: the store opens and gives back
//! all that was not hit, or says why it does not open; never does it give a wrong content for a right one.

use super::{dir, token};
use crate::store::batch::Batch;
use crate::store::key::Keys;
use crate::store::salvage::page::PAGE;
use crate::store::spool::Content;
use crate::store::spool::seal::{self, Sealed};
use crate::store::{Counter, OpenError, Options, Store, StoreError};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, params};
use std::collections::BTreeSet;
use std::fs;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use wxedge_tests::folder::Folder;

/// So many that the spool's tables are more than one page high.
pub(super) const ENTRIES: i64 = 60;
/// Ids are given from there on.
pub(super) const FIRST: i64 = DUE_MS << 10;
const DUE_MS: i64 = 1_700_000_000_000;
/// Credentials, counters and values.
pub(super) const OTHERS: u64 = 1 + 200 + 1;

/// Knows the accounts.
pub(super) fn open(dir: &Path) -> Result<Store, OpenError> {
    let appids = ["wx1", "wx2"].map(str::to_owned).to_vec();
    Store::open(dir, Options { appids, ..Options::default() })
}

fn appid(id: i64) -> &'static str {
    ["wx1", "wx2"][usize::from(id % 3 == 0)]
}

/// What stands in the row of an entry.
pub(super) fn content(id: i64) -> Vec<u8> {
    let n = usize::try_from(id - FIRST).unwrap();
    // Some need pages of their own.
    let length = if n % 25 == 7 { 10_000 } else { 300 + n * 37 % 400 };
    Content {
        ce_id: format!("ce-{id}"),
        ce_type: "com.wechat.text".to_owned(),
        subject: format!("o{}", n % 20),
        body: (0..length).map(|at| u8::try_from((at * 31 + n) % 251).unwrap()).collect(),
    }
    .encode()
}

/// Puts a content into its row.
pub(super) fn put(database: &Connection, id: i64, record: &[u8]) {
    let keys = Keys::new(None);
    seal::put::<Content>(&Batch::new(database, 0), &keys, id, appid(id), record).unwrap();
}

/// One transaction.
pub(super) fn add(database: &Connection, ids: Range<i64>) {
    let transaction = database.unchecked_transaction().unwrap();
    for id in ids {
        let entry = "INSERT INTO entry VALUES (?1, ?2, 0, 0, ?3, 1700000000, ?4, 1, 0, 600, NULL)";
        transaction.execute(entry, params![id, appid(id), (id - FIRST) * 7_919, DUE_MS]).unwrap();
        put(&transaction, id, &content(id));
    }
    transaction.commit().unwrap();
}

/// Everything that there is, as a sound store gives it.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// Ids of entries whose content is what was written.
    pub(super) whole: BTreeSet<i64>,
    /// Ids of other entries, which are dead letters.
    pub(super) dead: BTreeSet<i64>,
    /// Ids of entries that were made anew.
    anew: BTreeSet<i64>,
    /// Credentials, counters and values.
    pub(super) others: u64,
}

/// Reads everything through the store, and sees that no content passes for a right one that is none.
pub(super) fn read(store: &Store) -> Result<Kept, StoreError> {
    let mut kept = Kept {
        others: (store.credentials()?.len() + store.counters("budget")?.len()) as u64,
        ..Kept::default()
    };
    kept.others += u64::from(store.value("key")?.is_some());
    store.read(|database| {
        let sql =
            "SELECT entry.id, appid, due, sum, content FROM entry LEFT JOIN content USING (id)";
        let mut query = database.prepare(sql)?;
        let mut rows = query.query(())?;
        while let Some(row) = rows.next()? {
            let (id, appid): (i64, String) = (row.get(0)?, row.get(1)?);
            if row.get::<_, i64>(2)? != DUE_MS {
                kept.anew.insert(id);
            }
            let found: Option<Vec<u8>> = row.get(4)?;
            let sum = row.get(3).unwrap_or_default();
            let sound =
                found.filter(|kept| Sealed { id, sealed: false, sum, kept }.is::<Content>(&appid));
            match sound {
                Some(found) => {
                    assert!(found == content(id), "a wrong content of {id}");
                    kept.whole.insert(id);
                }
                None => drop(kept.dead.insert(id)),
            }
        }
        Ok(())
    })?;
    Ok(kept)
}

/// Makes a store with everything in it; the last ten entries are in the log, each in a transaction of its own.
pub(super) fn fill(dir: &Path) {
    let store = open(dir).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        store.save_credential(token("first", 1)).await.unwrap();
        let counter = |n| Counter {
            scope: "budget".to_owned(),
            key: format!("a client with a long name {n}"),
            period: "2026-11-20".to_owned(),
            count: n,
        };
        store.raise_counters((0..200).map(counter).collect()).await.unwrap();
        store.set_value("key", vec![7; 2_000]).await.unwrap();
    });
    drop(store);
    let database = Connection::open(dir.join("wxedge.db")).unwrap();
    add(&database, FIRST..FIRST + ENTRIES);
}

/// What is done to a file.
#[derive(Debug, Clone, Copy)]
pub(super) enum Damage {
    Flip(usize),
    Zero(usize),
    /// So many bytes at the beginning.
    Noise(usize),
    Cut(usize),
}

impl Damage {
    fn apply(self, file: &Path) {
        let mut bytes = fs::read(file).unwrap();
        match self {
            Damage::Flip(at) => bytes[at] ^= 0x55,
            Damage::Zero(at) => {
                let end = bytes.len().min(at + 64);
                bytes[at..end].fill(0);
            }
            Damage::Noise(end) => {
                let noise =
                    (1_u64..).map(|at| at.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()[0]);
                bytes.iter_mut().zip(noise).take(end).for_each(|(byte, noise)| *byte = noise);
            }
            Damage::Cut(at) => bytes.truncate(at),
        }
        fs::write(file, bytes).unwrap();
    }
}

/// All the damage that is tried on a database.
fn damages(bytes: &[u8]) -> Vec<Damage> {
    let mut damages: Vec<_> = (0..bytes.len())
        .step_by(512)
        .flat_map(|at| [Damage::Flip(at + 7), Damage::Zero(at)])
        .collect();
    for page in (0..bytes.len()).step_by(PAGE) {
        damages.extend([Damage::Cut(page), Damage::Cut(page + 512)]);
        // The header of the page, and the rows that it points to.
        let head = page + if page == 0 { 100 } else { 0 };
        damages.extend([0, 1, 3, 4, 5, 8, 9].map(|at| Damage::Flip(head + at)));
        if bytes[head] == 0x0d {
            let rows = usize::from(u16::from_be_bytes([bytes[head + 3], bytes[head + 4]]));
            damages.extend((0..rows).map(|row| {
                let at = head + 8 + 2 * row;
                Damage::Flip(page + usize::from(u16::from_be_bytes([bytes[at], bytes[at + 1]])))
            }));
        }
    }
    damages.retain(|damage| match *damage {
        Damage::Flip(at) | Damage::Zero(at) | Damage::Noise(at) | Damage::Cut(at) => {
            at < bytes.len()
        }
    });
    damages
}

/// Copies the store's files from `from`.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for name in ["wxedge.db", "wxedge.db-wal"] {
        if from.join(name).exists() {
            fs::copy(from.join(name), to.join(name)).unwrap();
        }
    }
}

/// Reads everything. What is found damaged only then is looked at by the next start, which saves what can be read.
fn twice(store: Store, dir: &Path, damage: Damage) -> (Store, Kept) {
    // As a start of the edge does.
    let store = match store.spooled(|_| ()) {
        Ok(_senseless) => store,
        Err(error) => {
            assert_eq!(error, StoreError::Damaged, "{damage:?}");
            drop(store);
            open(dir).unwrap()
        }
    };
    match read(&store) {
        Ok(kept) if kept.dead.is_empty() || store.salvaged().is_some() => return (store, kept),
        // As who delivers them does.
        Ok(kept) => {
            let ids: Vec<_> = kept.dead.iter().map(|id| id.cast_unsigned()).collect();
            match store.spool_contents(&ids) {
                Ok(contents) => {
                    assert!(contents.iter().all(|(_, content)| content.is_err()), "{damage:?}");
                }
                Err(error) => assert_eq!(error, StoreError::Damaged, "{damage:?}"),
            }
        }
        Err(error) => assert_eq!(error, StoreError::Damaged, "{damage:?}"),
    }
    drop(store);
    let store = open(dir).unwrap();
    let kept = read(&store).unwrap();
    (store, kept)
}

/// Does `damage` to `file` of a copy of the store in `from`, for each of them, and looks what `judge` says of the store.
fn each(from: &Path, file: &str, damages: &[Damage], judge: impl Fn(Damage, &Store, Kept) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(damage) = damages.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let folder = Folder::new();
                    let dir = dir(&folder);
                    copy(from, &dir);
                    damage.apply(&dir.join(file));
                    match open(&dir) {
                        Ok(store) => {
                            let (store, kept) = twice(store, &dir, *damage);
                            judge(*damage, &store, kept);
                        }
                        // The two numbers in the file that say whose it is.
                        Err(error) => {
                            let said = error.to_string();
                            let whose =
                                said.contains("newer wxedge") || said.contains("not of wxedge");
                            assert!(whose, "{damage:?}: {said}");
                        }
                    }
                }
            });
        }
    });
}

#[test]
fn a_damaged_database_gives_back_what_was_not_hit() {
    let folder = Folder::new();
    fill(&dir(&folder));
    let bytes = fs::read(dir(&folder).join("wxedge.db")).unwrap();
    let mut damages = damages(&bytes);
    // An empty file is that of a first start.
    damages.retain(|damage| !matches!(damage, Damage::Cut(0)));
    each(&dir(&folder), "wxedge.db", &damages, |damage, store, kept| {
        let messages = ENTRIES.unsigned_abs() - kept.whole.len() as u64;
        let lost = messages + OTHERS - kept.others;
        if !matches!(damage, Damage::Cut(_)) {
            assert!(lost <= 150 && messages <= 30, "{damage:?} hit one page, and {kept:?} is left");
        }
        match store.salvaged() {
            Some(salvage) => {
                assert_eq!(salvage.saved, kept.whole.len() as u64 + kept.others, "{damage:?}");
                // Of a message there are two rows, and so it is missed.
                assert!(salvage.lost > 0 || messages == 0, "{damage:?}: {lost} of {salvage:?}");
                assert!(
                    salvage.lost <= 1 + lost + kept.anew.len() as u64,
                    "{damage:?}: {salvage:?} {lost}"
                );
                assert!(salvage.folder.join("wxedge.db").exists(), "{damage:?}");
            }
            None => {
                assert_eq!(kept.whole.len() + kept.dead.len(), 60, "{damage:?}");
                assert_eq!(kept.others, OTHERS, "{damage:?}");
            }
        }
    });
}

/// Entries whose transactions are in the log only.
const LOGGED: i64 = 6;

/// What was reported to be on disk is there, or it is said that it is not. Only of the last transaction nobody can tell
/// whether it was.
#[test]
fn a_damaged_log_gives_back_what_was_not_hit() {
    let folder = Folder::new();
    let from = dir(&folder);
    fill(&from);
    let database = Connection::open(from.join("wxedge.db")).unwrap();
    database.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).unwrap();
    for id in FIRST + ENTRIES..FIRST + ENTRIES + LOGGED {
        add(&database, id..id + 1);
    }
    drop(database);
    let bytes = fs::read(from.join("wxedge.db-wal")).unwrap();
    let frame = 24 + PAGE;
    assert_eq!(bytes.len() % frame, 32);
    let frames = (32..bytes.len()).step_by(frame);
    // The headers of the log and of its frames, and within each page.
    let mut damages: Vec<_> = (0..8).map(|word| Damage::Flip(4 * word)).collect();
    damages.extend([16, 64, 512, 4_096].map(Damage::Noise));
    for at in frames {
        damages.extend([0, 4, 8, 16, 24, 1_000, 4_000].map(|byte| Damage::Flip(at + byte)));
        damages.extend([0, 24, 2_000].map(|byte| Damage::Zero(at + byte)));
        damages.extend([0, 12, 24, 512].map(|byte| Damage::Cut(at + byte)));
    }
    let all = usize::try_from(ENTRIES + LOGGED).unwrap();
    each(&from, "wxedge.db-wal", &damages, |damage, store, kept| {
        assert_eq!(kept.others, OTHERS, "{damage:?}");
        let lost = all - kept.whole.len();
        let last = FIRST + ENTRIES + LOGGED - 1;
        let last_at_most = kept.whole.len() + 1 == all && !kept.whole.contains(&last);
        match (damage, store.salvaged()) {
            // As a power cut does, before anybody was told.
            (Damage::Cut(_), salvage) => assert_eq!(salvage, None, "{damage:?}"),
            (_, None) => assert!(lost == 0 || last_at_most, "{damage:?}: {lost} lost in silence"),
            (_, Some(salvage)) => {
                let folder = salvage.folder.join("wxedge.db-wal");
                assert!(lost <= 1 && folder.exists(), "{damage:?}: {lost} lost, {salvage:?}");
                assert_eq!((salvage.lost, kept.dead.len()), (lost as u64, lost), "{damage:?}");
            }
        }
    });
}
