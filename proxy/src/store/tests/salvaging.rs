//! What becomes of a damaged store's files, and of a store that is found damaged while it is used.

use super::damage::{ENTRIES, FIRST, OTHERS, content, fill, open, put, read};
use super::dir;
use super::other::{next, other, say, start};
use crate::store::salvage::page::PAGE;
use crate::store::spool::Content;
use crate::store::{OpenError, Store, StoreError};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SigSet, Signal};
use rusqlite::Connection;
use rusqlite::config::DbConfig;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use wxedge_tests::folder::Folder;

fn database(dir: &Path) -> PathBuf {
    dir.join("wxedge.db")
}

/// Pages that hold a row with this in it.
fn pages_with(dir: &Path, needle: &[u8]) -> Vec<usize> {
    let bytes = fs::read(database(dir)).unwrap();
    let holds = |page: &[u8]| page.windows(needle.len()).any(|window| window == needle);
    (0..)
        .zip(bytes.chunks(PAGE))
        .filter(|(_, page)| holds(page))
        .map(|(number, _)| number)
        .collect()
}

fn overwrite(dir: &Path, page: usize) {
    let mut bytes = fs::read(database(dir)).unwrap();
    bytes[page * PAGE..(page + 1) * PAGE].fill(0xff);
    fs::write(database(dir), bytes).unwrap();
}

/// A page of the counters, which the start looks over.
fn overwrite_counters(dir: &Path) {
    overwrite(dir, pages_with(dir, b"long name 77")[0]);
}

fn names(dir: &Path) -> Vec<String> {
    let name =
        |file: std::io::Result<fs::DirEntry>| file.unwrap().file_name().into_string().unwrap();
    fs::read_dir(dir).unwrap().map(name).collect()
}

#[test]
fn the_damaged_files_are_kept_and_the_new_ones_are_private() {
    let folder = Folder::new();
    let dir = dir(&folder);
    fill(&dir);
    overwrite_counters(&dir);
    let damaged = fs::read(database(&dir)).unwrap();
    let store = open(&dir).unwrap();
    let salvage = store.salvaged().expect("damaged").clone();
    assert!(salvage.saved > 50 && salvage.lost > 0, "{salvage:?}");
    assert!(fs::read(database(&salvage.folder)).unwrap() == damaged);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&salvage.folder), mode(&database(&dir))), (0o700, 0o600));
    let kept = read(&store).unwrap();
    assert_eq!(kept.whole.len() as i64, ENTRIES);
    drop(store);
    let store = open(&dir).unwrap();
    assert_eq!(store.salvaged(), None, "once");
    assert_eq!(read(&store).unwrap().others, kept.others);
    assert!(!names(&dir).iter().any(|name| name.starts_with("salvage")), "{:?}", names(&dir));
}

/// The log of a damaged database goes with it: SQLite would take it for the new one's.
#[test]
fn what_stands_in_the_log_only_is_saved() {
    let folder = Folder::new();
    let dir = dir(&folder);
    fill(&dir);
    let other = Connection::open(database(&dir)).unwrap();
    other.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).unwrap();
    super::damage::add(&other, FIRST + ENTRIES..FIRST + ENTRIES + 3);
    drop(other);
    overwrite_counters(&dir);
    let store = open(&dir).unwrap();
    let salvage = store.salvaged().expect("damaged");
    assert!(salvage.folder.join("wxedge.db-wal").exists());
    assert_eq!(read(&store).unwrap().whole.len() as i64, ENTRIES + 3);
}

#[test]
fn an_empty_database_with_a_log_is_damaged() {
    let folder = Folder::new();
    let dir = dir(&folder);
    fill(&dir);
    let other = Connection::open(database(&dir)).unwrap();
    other.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).unwrap();
    super::damage::add(&other, FIRST + ENTRIES..FIRST + ENTRIES + 3);
    drop(other);
    fs::write(database(&dir), "").unwrap();
    let store = open(&dir).unwrap();
    assert!(store.salvaged().is_some());
    let whole = read(&store).unwrap().whole;
    assert!((FIRST + ENTRIES..FIRST + ENTRIES + 3).all(|id| whole.contains(&id)), "{whole:?}");
}

/// A crash may come between any two of the renames at its end, and before them.
#[test]
fn a_salvage_that_was_interrupted_is_ended() {
    let left = |names: &[&str], dir: &Path, salvaged: &Path| {
        for name in names {
            fs::copy(salvaged, dir.join(name)).unwrap();
        }
    };
    for (what, names, moved) in [
        ("half of a new one", &["salvage.db"][..], false),
        ("a whole one beside the damaged", &["salvaged.db"], false),
        ("a whole one, and the damaged is moved", &["salvaged.db"], true),
    ] {
        let folder = Folder::new();
        let dir = dir(&folder);
        fill(&dir);
        let sound = folder.path().join("sound");
        fs::copy(database(&dir), &sound).unwrap();
        overwrite_counters(&dir);
        left(names, &dir, &sound);
        if moved {
            fs::create_dir(dir.join("damaged-1")).unwrap();
            fs::rename(database(&dir), dir.join("damaged-1/wxedge.db")).unwrap();
        }
        let store = open(&dir).unwrap();
        let whole = names == ["salvaged.db"];
        assert_eq!(store.salvaged().is_none(), whole, "{what}");
        let kept = read(&store).unwrap();
        assert_eq!(kept.whole.len() as i64, ENTRIES, "{what}");
        assert_eq!(kept.others == OTHERS, whole, "{what}");
    }
}

#[test]
fn a_message_that_lost_its_content_is_a_dead_letter() {
    let folder = Folder::new();
    let dir = dir(&folder);
    fill(&dir);
    // A page that one message overflows into: it links to no other, and no row begins there.
    let overflows = |page: &&usize| {
        let bytes = fs::read(database(&dir)).unwrap();
        bytes[**page * PAGE..].starts_with(&[0; 4])
    };
    let pages = pages_with(&dir, &content(FIRST + 7)[9_500..9_700]);
    overwrite(&dir, *pages.iter().find(overflows).unwrap());
    overwrite_counters(&dir);
    let store = open(&dir).unwrap();
    let kept = read(&store).unwrap();
    let [dead] = kept.dead.into_iter().collect::<Vec<_>>().try_into().expect("one");
    let dead = store.read(|database| {
        let sql = "SELECT state, died > 0, instr(content, CAST('damaged' AS BLOB)) > 0 FROM entry JOIN failure USING (id) WHERE id = ?1";
        database.query_row(sql, [dead], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
    });
    assert_eq!(dead, Ok((2, true, true)));
}

/// Nobody knows whether it was sent.
#[test]
fn a_reply_that_lost_its_entry_is_a_dead_letter() {
    let folder = Folder::new();
    let dir = dir(&folder);
    fill(&dir);
    let reply = Content {
        ce_id: "ce".to_owned(),
        ce_type: "com.wechat.text".to_owned(),
        subject: "o1".to_owned(),
        body: br#"{"until_s":7,"sent":0,"messages":[]}"#.to_vec(),
    };
    let id = FIRST + ENTRIES;
    put(&Connection::open(database(&dir)).unwrap(), id, &reply.encode());
    overwrite_counters(&dir);
    let store = open(&dir).unwrap();
    let entry = store.read(|database| {
        let sql = "SELECT kind, state, instr(content, CAST('maybe_sent' AS BLOB)) > 0 FROM entry JOIN failure USING (id) WHERE id = ?1";
        database.query_row(sql, [id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
    });
    assert_eq!(entry, Ok((1, 2, true)));
    let pending = "SELECT count(*) FROM entry WHERE state = 0";
    let pending = store.read(|database| database.query_row(pending, (), |row| row.get(0)));
    assert_eq!(pending, Ok(ENTRIES), "the others are not");
}

#[test]
fn no_room_is_said_before_anything_is_done() {
    let folder = Folder::new();
    let dir = dir(&folder);
    fill(&dir);
    overwrite_counters(&dir);
    // A hole takes no room, but its copy would.
    let file = fs::OpenOptions::new().write(true).open(database(&dir)).unwrap();
    file.set_len(8 << 40).unwrap();
    drop(file);
    let error = open(&dir).unwrap_err();
    assert!(matches!(error, OpenError::NoRoom { .. }), "{error}");
    let said = error.to_string();
    assert!(said.contains("make room and start again"), "{said}");
    assert!(!names(&dir).iter().any(|name| name.contains("damaged-") || name.contains("salvage")));
}

/// Files of the other process may not become as large as the new database.
#[test]
fn a_disk_that_fills_up_meanwhile_leaves_the_damaged_files_alone() {
    if let Some(dir) = other() {
        let mut signals = SigSet::empty();
        signals.add(Signal::SIGXFSZ);
        signals.thread_block().unwrap();
        setrlimit(Resource::RLIMIT_FSIZE, 50_000, 50_000).unwrap();
        let error = open(&dir).unwrap_err().to_string();
        assert!(error.contains("look at the disk"), "{error}");
        return say("done");
    }
    let folder = Folder::new();
    fill(&dir(&folder));
    overwrite_counters(&dir(&folder));
    let before = fs::read(database(&dir(&folder))).unwrap();
    let test = "salvaging::a_disk_that_fills_up_meanwhile_leaves_the_damaged_files_alone";
    let (mut child, mut said) = start(test, &folder);
    assert_eq!(next(&mut said).as_deref(), Some("done"));
    assert!(child.wait().unwrap().success());
    assert!(fs::read(database(&dir(&folder))).unwrap() == before);
    assert!(open(&dir(&folder)).unwrap().salvaged().is_some());
}

async fn delete_contents(store: &Store) -> Result<(), StoreError> {
    store.write(|batch| batch.execute("DELETE FROM content", ()).map(drop)).await
}

/// A store with damage that a start does not look for.
fn damaged(folder: &Folder) -> Store {
    let dir = dir(folder);
    std::thread::scope(|scope| scope.spawn(|| fill(&dir)).join().unwrap());
    overwrite(&dir, pages_with(&dir, format!("ce-{FIRST}").as_bytes())[0]);
    let store = open(&dir).unwrap();
    assert_eq!(store.salvaged(), None);
    store
}

/// Nothing is acknowledged any more.
#[tokio::test]
async fn damage_that_is_found_by_a_write_stops_all_writes_until_the_next_start() {
    let folder = Folder::new();
    let store = damaged(&folder);
    assert_eq!(delete_contents(&store).await, Err(StoreError::Damaged));
    assert!(!store.is_writable());
    for _ in 0..3 {
        assert_eq!(store.set_value("after", vec![1]).await, Err(StoreError::Damaged));
    }
    assert_eq!(store.value("after"), Ok(None));
    drop(store);
    let store = open(&dir(&folder)).unwrap();
    assert!(store.salvaged().is_some(), "the start looks at everything");
    assert_eq!(delete_contents(&store).await, Ok(()));
    assert_eq!(store.set_value("after", vec![1]).await, Ok(()));
}

#[tokio::test]
async fn damage_that_is_found_by_a_read_is_mended_by_the_next_start() {
    let folder = Folder::new();
    let store = damaged(&folder);
    assert_eq!(store.set_value("before", vec![1]).await, Ok(()));
    assert_eq!(read(&store).unwrap_err(), StoreError::Damaged);
    assert_eq!(store.set_value("after", vec![1]).await, Err(StoreError::Damaged));
    assert!(!store.is_writable());
    assert!(StoreError::Damaged.to_string().contains("restart wxedge"));
    drop(store);
    let store = open(&dir(&folder)).unwrap();
    assert!(store.salvaged().is_some());
    assert!(read(&store).is_ok());
}

/// SQLite makes its index of the log anew.
#[test]
fn what_stands_beside_the_database_may_be_garbage_or_gone() {
    let folder = Folder::new();
    let dir = dir(&folder);
    fill(&dir);
    fs::write(dir.join("wxedge.db-shm"), vec![0xa5; 32_768]).unwrap();
    let kept = read(&open(&dir).unwrap()).unwrap();
    assert_eq!((kept.whole.len() as i64, kept.others), (ENTRIES, OTHERS));
    for name in ["wxedge.db-shm", "wxedge.db-wal"] {
        let _absent = fs::remove_file(dir.join(name));
    }
    let store = open(&dir).unwrap();
    assert_eq!((store.salvaged(), read(&store).unwrap().others), (None, OTHERS));
}
