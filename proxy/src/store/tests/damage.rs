//! Damage of every page, of every row and at every step of the database and of its log: the store opens and gives back
//! all that was not hit, or says why it does not open; never does it give a wrong content for a right one.

use super::{dir, open, token};
use crate::store::salvage::spool::{Kind, sum};
use crate::store::{Counter, Options, Store, StoreError};
use rusqlite::{Connection, params};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use wxedge_tests::folder::Folder;

const PAGE: usize = 4_096;
/// So many that the spool's tables are more than one page high.
const ENTRIES: i64 = 120;
/// Ids are given from there on.
const FIRST: i64 = 1_700_000_000_000 << 10;

fn appid(id: i64) -> &'static str {
    ["wx1", "wx2"][usize::from(id % 3 == 0)]
}

/// What stands in the row of an entry.
fn content(id: i64) -> Vec<u8> {
    let n = usize::try_from(id - FIRST).unwrap();
    let mut record = Vec::new();
    for text in [format!("ce-{id}"), "com.wechat.text".to_owned(), format!("o{}", n % 20)] {
        record.extend(u32::try_from(text.len()).unwrap().to_be_bytes());
        record.extend(text.bytes());
    }
    // Some need pages of their own.
    let length = if n % 25 == 7 { 9_000 } else { 150 + n * 37 % 400 };
    record.extend((0..length).map(|at| u8::try_from((at * 31 + n) % 251).unwrap()));
    record
}

/// One transaction.
fn add(database: &Connection, ids: Range<i64>) {
    let transaction = database.unchecked_transaction().unwrap();
    for id in ids {
        let (appid, content) = (appid(id), content(id));
        let sum = sum(Kind::Content, id, appid, false, &content);
        let entry = "INSERT INTO entry VALUES (?1, ?2, 0, 0, ?3, 1700000000, 1700000000000, 1, 0, 600, NULL)";
        transaction.execute(entry, params![id, appid, (id - FIRST) * 7_919]).unwrap();
        let row = "INSERT INTO content VALUES (?1, 0, ?2, ?3)";
        transaction.execute(row, params![id, sum, content]).unwrap();
    }
    transaction.commit().unwrap();
}

/// Everything that there is, as a sound store gives it.
#[derive(Debug, Default)]
struct Kept {
    /// Ids of entries whose content is what was written.
    whole: BTreeSet<i64>,
    /// Ids of other entries, which are dead letters.
    dead: BTreeSet<i64>,
    credentials: usize,
    counters: usize,
    value: bool,
}

/// Reads everything through the store, and sees that no content passes for a right one that is none.
fn read(store: &Store) -> Result<Kept, StoreError> {
    let mut kept = Kept {
        credentials: store.credentials()?.len(),
        counters: store.counters("budget")?.len(),
        value: store.value("key")? == Some(vec![7; 2_000]),
        ..Kept::default()
    };
    store.read(|database| {
        let sql =
            "SELECT entry.id, appid, state, sum, content FROM entry LEFT JOIN content USING (id)";
        let mut query = database.prepare(sql)?;
        let mut rows = query.query(())?;
        while let Some(row) = rows.next()? {
            let (id, appid): (i64, String) = (row.get(0)?, row.get(1)?);
            let found: Option<Vec<u8>> = row.get(4)?;
            let sound = found
                .filter(|found| row.get(3) == Ok(sum(Kind::Content, id, &appid, false, found)));
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
fn fill(dir: &Path) {
    let store = Store::open(dir, Options::default()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        store.save_credential(token("first", 1)).await.unwrap();
        let counter = |n| Counter {
            scope: "budget".to_owned(),
            key: format!("a client with a long name {n}"),
            period: "2026-11-20".to_owned(),
            count: n,
        };
        store.raise_counters((0..100).map(counter).collect()).await.unwrap();
        store.set_value("key", vec![7; 2_000]).await.unwrap();
    });
    drop(store);
    let database = Connection::open(dir.join("wxedge.db")).unwrap();
    add(&database, FIRST..FIRST + ENTRIES);
}

/// What is done to a file.
#[derive(Debug, Clone, Copy)]
enum Damage {
    Flip(usize),
    Zero(usize),
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
            Damage::Cut(at) => bytes.truncate(at),
        }
        fs::write(file, bytes).unwrap();
    }
}

/// All the damage that is tried on a file with pages at `begin` and every `step` bytes from there.
fn damages(bytes: &[u8], begin: usize, step: usize) -> Vec<Damage> {
    let mut damages: Vec<_> = (0..bytes.len())
        .step_by(512)
        .flat_map(|at| [Damage::Flip(at + 7), Damage::Zero(at)])
        .collect();
    for page in (begin..bytes.len()).step_by(step) {
        damages.extend([Damage::Cut(page), Damage::Cut(page + 512)]);
        // The header of the page, and the rows that it points to.
        let head = page + if page == 0 { 100 } else { step - PAGE };
        damages.extend([0, 1, 3, 4, 5, 8, 9].map(|at| Damage::Flip(head + at)));
        if bytes[head] == 0x0d {
            let rows = usize::from(u16::from_be_bytes([bytes[head + 3], bytes[head + 4]]));
            damages.extend((0..rows).map(|row| {
                let at = head + 8 + 2 * row;
                Damage::Flip(
                    page + step - PAGE
                        + usize::from(u16::from_be_bytes([bytes[at], bytes[at + 1]])),
                )
            }));
        }
    }
    damages.retain(|damage| match *damage {
        Damage::Flip(at) | Damage::Zero(at) | Damage::Cut(at) => at < bytes.len(),
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
                    match Store::open(&dir, Options::default()) {
                        Ok(store) => {
                            let (store, kept) = match read(&store) {
                                Ok(kept) => (store, kept),
                                // Found where it is read first; the next start saves what can be read.
                                Err(error) => {
                                    assert_eq!(error, StoreError::Damaged, "{damage:?}");
                                    drop(store);
                                    let store = Store::open(&dir, Options::default()).unwrap();
                                    assert!(store.salvaged().is_some(), "{damage:?}");
                                    let kept = read(&store).unwrap();
                                    (store, kept)
                                }
                            };
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
    let damages = damages(&bytes, 0, PAGE);
    let begun = std::time::Instant::now();
    each(&dir(&folder), "wxedge.db", &damages, |damage, store, kept| {
        let all = usize::try_from(ENTRIES).unwrap();
        let lost = all - kept.whole.len();
        println!(
            "{damage:?} {:?} lost {lost} dead {} {} {} {}",
            store.salvaged().map(|s| (s.saved, s.lost)),
            kept.dead.len(),
            kept.credentials,
            kept.counters,
            kept.value
        );
    });
    eprintln!("{} cases, {:?}", damages.len(), begun.elapsed());
}
