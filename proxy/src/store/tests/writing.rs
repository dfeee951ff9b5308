//! The writer: one transaction for what waits, a bound on the queue, errors that pass.

use super::spool::{body, content, entries, new};
use super::{Begun, begin, dir, open, size};
use crate::limits;
use crate::store::batch::Batch;
use crate::store::{Store, StoreError};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ffi};
use std::sync::mpsc::{Receiver, Sender, channel};
use wxedge_tests::folder::Folder;

/// Holds the writer in a transaction until the gate is dropped.
#[allow(clippy::disallowed_methods, reason = "one message is sent, if any")]
fn hold(store: &Store) -> (Begun<Result<(), StoreError>>, Sender<()>) {
    let (gate, closed): (Sender<()>, Receiver<()>) = channel();
    let (entered, inside) = channel();
    let store = store.clone();
    let held = begin(async move {
        let apply = move |_: &Batch<'_>| {
            // Both ends may be gone: then the test has ended.
            let _test = entered.send(());
            let _dropped = closed.recv();
            Ok(())
        };
        store.write(apply).await
    });
    inside.recv().expect("the writer has begun");
    (held, gate)
}

/// Puts a write of `name` into the queue.
fn put(store: &Store, name: usize) -> Begun<Result<(), StoreError>> {
    let store = store.clone();
    begin(async move { store.set_value(&name.to_string(), vec![1]).await })
}

/// Puts a write into the queue that runs `sql`.
fn run(store: &Store, sql: &'static str) -> Begun<Result<(), StoreError>> {
    let store = store.clone();
    begin(async move { store.write(move |database| database.execute_batch(sql)).await })
}

#[tokio::test]
async fn what_waits_together_is_one_transaction() {
    let folder = Folder::new();
    let store = open(&folder);
    let (held, gate) = hold(&store);
    let first: Vec<_> = (0..limits::STORE_BATCH).map(|name| put(&store, name)).collect();
    // The last of the second batch fails when that is committed, and so all of it does.
    let second: Vec<_> = (10_000..10_099).map(|name| put(&store, name)).collect();
    let bad = run(
        &store,
        "CREATE TABLE parent (id INTEGER PRIMARY KEY);
         CREATE TABLE child (id REFERENCES parent DEFERRABLE INITIALLY DEFERRED);
         INSERT INTO child VALUES (1)",
    );
    drop(gate);
    assert_eq!(held.end().await, Ok(()));
    for write in first {
        assert_eq!(write.end().await, Ok(()));
    }
    let failed = bad.end().await;
    assert!(matches!(&failed, Err(StoreError::Write(text)) if text.contains("FOREIGN KEY")));
    for write in second {
        assert_eq!(write.end().await, failed);
    }
    let last = limits::STORE_BATCH - 1;
    assert_eq!(store.value(&last.to_string()), Ok(Some(vec![1])));
    assert_eq!(store.value("10000"), Ok(None));
    assert_eq!(put(&store, 1).end().await, Ok(()));
    assert!(store.is_writable());
}

#[tokio::test]
async fn a_write_that_cannot_be_done_spares_its_neighbours() {
    let folder = Folder::new();
    let store = open(&folder);
    let (held, gate) = hold(&store);
    let [before, bad] = [put(&store, 1), run(&store, "INSERT INTO nowhere VALUES (1)")];
    let [half, after] =
        [run(&store, "INSERT INTO value VALUES ('half', x''), (NULL, x'')"), put(&store, 2)];
    drop(gate);
    assert_eq!(held.end().await, Ok(()));
    let bad = bad.end().await;
    assert!(matches!(&bad, Err(StoreError::Write(text)) if text.contains("nowhere")), "{bad:?}");
    let half = half.end().await;
    assert!(matches!(&half, Err(StoreError::Write(text)) if text.contains("NOT NULL")), "{half:?}");
    for write in [before, after] {
        assert_eq!(write.end().await, Ok(()));
    }
    assert_eq!((store.value("1"), store.value("2")), (Ok(Some(vec![1])), Ok(Some(vec![1]))));
    assert_eq!(store.value("half"), Ok(None));
    assert!(store.is_writable(), "the disk is as good as before");
}

/// Also not when the entry with the highest id is deleted in between.
#[tokio::test]
async fn one_transaction_gives_no_id_twice() {
    let folder = Folder::new();
    let store = open(&folder);
    let add = || {
        let store = store.clone();
        begin(async move { store.spool(new(), content("theirs"), None).await })
    };
    let before = add().end().await.unwrap();
    let (held, gate) = hold(&store);
    let [first, second] = [add(), add()];
    let delete = {
        let store = store.clone();
        begin(async move { store.spool_delete(vec![before + 1, before + 2]).await })
    };
    let [third, fourth] = [add(), add()];
    drop(gate);
    assert_eq!(held.end().await, Ok(()));
    let [first, second] = [first.end().await.unwrap(), second.end().await.unwrap()];
    let deleted: Vec<_> = delete.end().await.unwrap().iter().map(|entry| entry.id).collect();
    assert_eq!(deleted, [first, second]);
    let [third, fourth] = [third.end().await.unwrap(), fourth.end().await.unwrap()];
    assert!(second < third && third < fourth);
    let left: Vec<_> = entries(&store).iter().map(|entry| entry.id).collect();
    assert_eq!(left, [before, third, fourth]);
    assert_eq!(body(&store, fourth).as_deref(), Ok("theirs"));
}

#[tokio::test]
async fn a_write_that_nobody_waits_for_any_more_is_done() {
    let folder = Folder::new();
    let store = open(&folder);
    let (held, gate) = hold(&store);
    drop(put(&store, 1));
    drop(gate);
    held.end().await.unwrap();
    put(&store, 2).end().await.unwrap();
    assert_eq!(store.value("1"), Ok(Some(vec![1])));
}

#[tokio::test]
async fn a_full_queue_refuses_at_once() {
    let folder = Folder::new();
    let store = open(&folder);
    let (held, gate) = hold(&store);
    let writes: Vec<_> = (0..limits::STORE_QUEUE).map(|name| put(&store, name)).collect();
    let refused = put(&store, 1_000_000);
    assert_eq!(refused.1, Some(Err(StoreError::Busy)), "answered by the first poll");
    drop(gate);
    held.end().await.unwrap();
    for write in writes {
        assert_eq!(write.end().await, Ok(()));
    }
    assert_eq!(store.value("1000000"), Ok(None));
    assert_eq!(put(&store, 1_000_000).end().await, Ok(()));
}

#[tokio::test]
async fn a_queue_full_of_bytes_refuses_at_once() {
    let folder = Folder::new();
    let store = open(&folder);
    let (held, gate) = hold(&store);
    let body = "x".repeat(limits::STORE_QUEUE_BYTES / 8);
    let add = |body: String| {
        let store = store.clone();
        begin(async move { store.spool(new(), content(&body), None).await })
    };
    // Each is a little more than an eighth.
    let waiting: Vec<_> = (0..7).map(|_| add(body.clone())).collect();
    let refused = add(body.clone());
    assert_eq!(refused.1, Some(Err(StoreError::Busy)), "answered by the first poll");
    let small = put(&store, 1);
    drop(gate);
    held.end().await.unwrap();
    for add in waiting {
        add.end().await.unwrap();
    }
    assert_eq!(small.end().await, Ok(()), "there was room for a small one");
    add(body).end().await.unwrap();
    assert_eq!(entries(&store).len(), 8);
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_does_not_answer_is_not_waited_for_without_end() {
    let folder = Folder::new();
    let store = open(&folder);
    let (held, gate) = hold(&store);
    assert_eq!(put(&store, 1).end().await, Err(StoreError::Slow));
    assert_eq!(held.end().await, Err(StoreError::Slow));
    drop(gate);
    store.close();
    assert_eq!(store.value("1"), Ok(Some(vec![1])), "it was written all the same");
}

/// Only a power cut could show what these settings do.
#[tokio::test]
async fn the_writer_syncs_every_commit_also_after_a_failure() {
    let folder = Folder::new();
    let store = open(&folder);
    for _ in 0..2 {
        let settings = store.write(|database| {
            let names = [
                "journal_mode",
                "synchronous",
                "auto_vacuum",
                "wal_autocheckpoint",
                "secure_delete",
            ];
            names
                .into_iter()
                .map(|name| {
                    let value =
                        database.query_row(&format!("PRAGMA {name}"), (), |row| row.get(0))?;
                    Ok(match value {
                        rusqlite::types::Value::Text(text) => text,
                        other => format!("{other:?}"),
                    })
                })
                .collect::<rusqlite::Result<Vec<_>>>()
        });
        let full = ["wal", "Integer(2)", "Integer(2)", "Integer(0)", "Integer(1)"];
        let full = full.map(str::to_owned);
        assert_eq!(settings.await.unwrap(), full);
        // It gives the connection up: the transaction has ended before the batch has.
        run(&store, "COMMIT").end().await.unwrap_err();
    }
}

/// What was moved from the log before need not be on disk. Only who opens the database alone moves it once more.
#[tokio::test]
async fn after_a_failed_sync_a_database_is_trusted_when_nobody_else_has_it() {
    let folder = Folder::new();
    let store = open(&folder);
    put(&store, 1).end().await.unwrap();
    let other = Connection::open(dir(&folder).join("wxedge.db")).unwrap();
    other.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).unwrap();
    run(&store, "COMMIT").end().await.unwrap_err();
    assert_eq!(put(&store, 2).end().await, Ok(()), "no sync has failed");
    let moved = other.query_row("PRAGMA wal_checkpoint(PASSIVE)", (), |row| row.get::<_, i64>(2));
    assert!(moved.unwrap() > 0);
    let failed = store.write(|_| {
        let error = ffi::Error::new(ffi::SQLITE_IOERR_FSYNC);
        Err::<(), _>(rusqlite::Error::SqliteFailure(error, None))
    });
    failed.await.unwrap_err();
    let refused = put(&store, 3).end().await;
    assert!(
        matches!(&refused, Err(StoreError::Write(text)) if text.contains("another connection")),
        "{refused:?}"
    );
    assert!(!store.is_writable());
    assert_eq!(store.value("1"), Ok(Some(vec![1])), "it is read all the same");
    drop(other);
    assert_eq!(put(&store, 4).end().await, Ok(()));
    assert!(store.is_writable());
    assert_eq!(store.value("1"), Ok(Some(vec![1])));
}

#[tokio::test]
async fn the_write_ahead_log_stays_small() {
    let folder = Folder::new();
    let store = open(&folder);
    let page = limits::STORE_PAGE_BYTES as u64 + 24;
    // More than twice what may stand in it.
    for round in 0..1_100_usize {
        store.set_value("large", vec![round as u8; 64 * 1024]).await.unwrap();
    }
    let log = size(&dir(&folder).join("wxedge.db-wal"));
    assert!(log < 2 * limits::STORE_WAL_PAGES_MAX as u64 * page, "{log} bytes");
    assert!(log > 0 && store.bytes() > log && store.bytes() < log + 1024 * 1024);
}
