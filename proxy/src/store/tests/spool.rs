//! What is spooled: how it is added, changed, listed and forgotten.

use super::{dir, open, size};
use crate::limits;
use crate::store::Store;
use crate::store::spool::{
    Content, Entry, EntryKind, EntryState, Failed, Filter, LastAnswer, NewEntry, Unreadable,
};
use rusqlite::Connection;
use wxedge_tests::folder::Folder;

pub(super) fn new() -> NewEntry {
    NewEntry {
        appid: "wx1".into(),
        kind: EntryKind::Callback,
        state: EntryState::Pending,
        user: 7,
        received_s: 1_700_000_000,
        due_ms: 1_700_000_002_000,
        attempts: 1,
        failures: 0,
        died_s: None,
    }
}

pub(super) fn content(body: &str) -> Content {
    Content {
        ce_id: "0011223344556677".to_owned(),
        ce_type: "com.weixin.message.text".to_owned(),
        subject: "oUser".to_owned(),
        body: body.as_bytes().to_owned(),
    }
}

pub(super) fn failed(reason: &str) -> Failed {
    let answer = LastAnswer { status: 503, body: b"busy".to_vec() };
    Failed { reason: reason.to_owned(), detail: "what for".to_owned(), answer: Some(answer) }
}

pub(super) async fn add(store: &Store, body: &str) -> u64 {
    store.spool(new(), content(body), None).await.unwrap()
}

pub(super) fn entries(store: &Store) -> Vec<Entry> {
    let mut entries = Vec::new();
    assert_eq!(store.spooled(|entry| entries.push(entry)), Ok(0));
    entries
}

fn ids(entries: &[Entry]) -> Vec<u64> {
    entries.iter().map(|entry| entry.id).collect()
}

/// The body of an entry's content.
pub(super) fn body(store: &Store, id: u64) -> Result<String, Unreadable> {
    let [(found, content)] = store.spool_contents(&[id]).unwrap().try_into().expect("one content");
    assert_eq!(found.id, id);
    Ok(String::from_utf8(content?.body).unwrap())
}

fn why(store: &Store, id: u64) -> Option<String> {
    Some(store.spool_entry(id).unwrap().expect("an entry").failed?.reason)
}

#[tokio::test]
async fn what_is_spooled_is_there_after_a_restart() {
    let folder = Folder::new();
    let store = open(&folder);
    let first = add(&store, "one").await;
    let other = NewEntry {
        appid: "wx2".into(),
        kind: EntryKind::Reply,
        state: EntryState::Dead,
        user: u64::MAX,
        received_s: -1,
        due_ms: i64::MAX,
        attempts: u32::MAX,
        failures: 3,
        died_s: Some(1_700_000_009),
    };
    let second = store.spool(other, content(""), Some(failed("status"))).await.unwrap();
    drop(store);

    let store = open(&folder);
    let [one, two] = entries(&store).try_into().expect("two entries");
    assert_eq!((one.id, &*one.appid, one.kind), (first, "wx1", EntryKind::Callback));
    assert_eq!((one.state, one.user, one.died_s), (EntryState::Pending, 7, None));
    assert_eq!((one.received_s, one.due_ms), (1_700_000_000, 1_700_000_002_000));
    assert_eq!((one.attempts, one.failures, one.bytes), (1, 0, limits::SPOOL_ENTRY_BYTES + 3));
    assert_eq!((two.id, &*two.appid, two.kind), (second, "wx2", EntryKind::Reply));
    assert_eq!((two.state, two.user), (EntryState::Dead, u64::MAX));
    assert_eq!((two.received_s, two.due_ms, two.died_s), (-1, i64::MAX, Some(1_700_000_009)));
    assert_eq!((two.attempts, two.failures), (u32::MAX, 3));
    let contents = store.spool_contents(&[second, first, first + 1_000]).unwrap();
    let contents: Vec<_> = contents.into_iter().map(|(entry, it)| (entry.id, it)).collect();
    assert!(contents == [(second, Ok(content(""))), (first, Ok(content("one")))]);
    let shown = store.spool_entry(second).unwrap().expect("an entry");
    assert!(shown.failed == Some(failed("status")) && shown.content == Ok(content("")));
    assert!(store.spool_entry(first).unwrap().expect("an entry").failed.is_none());
    assert!(store.spool_entry(second + 1).unwrap().is_none());
}

#[tokio::test]
async fn ids_grow_over_restarts_and_beside_another_process() {
    let folder = Folder::new();
    let mut last = 0;
    for _ in 0..3 {
        let store = open(&folder);
        for _ in 0..3 {
            let id = add(&store, "").await;
            assert!(id > last, "{id} after {last}");
            last = id;
            store.spool_taken(id).await.unwrap();
        }
        assert_eq!(entries(&store), []);
    }
    // The process that it takes over from goes on for a while.
    let store = open(&folder);
    let other = Connection::open(dir(&folder).join("wxedge.db")).unwrap();
    let ours = add(&store, "").await;
    let theirs = ours + 5;
    let sql = "INSERT INTO entry SELECT ?1, appid, kind, state, user, received, due, attempts, \
               failures, bytes, died FROM entry";
    other.execute(sql, [i64::try_from(theirs).unwrap()]).unwrap();
    assert_eq!(add(&store, "").await, theirs + 1);
    assert_eq!(ids(&entries(&store)), [ours, theirs, theirs + 1]);
}

#[tokio::test]
async fn what_was_taken_is_gone_and_its_reply_is_there() {
    let folder = Folder::new();
    let store = open(&folder);
    let id = store.spool(new(), content("question"), Some(failed("timeout"))).await.unwrap();
    let reply = NewEntry { kind: EntryKind::Reply, ..new() };
    let reply =
        store.spool_taken_with_reply(Some(id), reply, content("answer"), None).await.unwrap();
    let reply = reply.expect("the entry was there");
    assert_eq!(ids(&entries(&store)), [reply]);
    assert_eq!(body(&store, reply).as_deref(), Ok("answer"));
    assert!(store.spool_contents(&[id]).unwrap().is_empty());
    // Taken in time: there was no entry.
    let second = store.spool_taken_with_reply(None, new(), content("two"), None).await.unwrap();
    let second = second.expect("there need be none");
    let gone = store.spool_taken_with_reply(Some(id), new(), content("three"), None).await;
    assert_eq!(gone.unwrap(), None, "a message that is gone takes its reply with it");
    for id in [reply, second, second] {
        store.spool_taken(id).await.unwrap();
    }
    drop(store);
    let database = Connection::open(dir(&folder).join("wxedge.db")).unwrap();
    for table in ["entry", "content", "failure"] {
        let sql = format!("SELECT count(*) FROM {table}");
        let rows: i64 = database.query_row(&sql, (), |row| row.get(0)).unwrap();
        assert_eq!(rows, 0, "{table}");
    }
}

#[tokio::test]
async fn a_failure_is_written_down_with_when_it_is_tried_next() {
    let folder = Folder::new();
    let store = open(&folder);
    let id = add(&store, "one").await;
    store.spool_failed(id, 2, 1, 5_000, failed("timeout")).await.unwrap();
    let long = LastAnswer { status: 500, body: vec![b'x'; 2 * limits::SPOOL_ANSWER_BYTES] };
    let again = Failed { answer: Some(long), ..failed("status") };
    store.spool_failed(id, 3, 2, 9_000, again).await.unwrap();
    let shown = store.spool_entry(id).unwrap().expect("an entry");
    let Entry { state, attempts, failures, due_ms, .. } = shown.entry;
    assert_eq!((state, attempts, failures, due_ms), (EntryState::Pending, 3, 2, 9_000));
    let failed_last = shown.failed.expect("why");
    let answer = failed_last.answer.expect("an answer");
    assert_eq!((failed_last.reason.as_str(), answer.status), ("status", 500));
    assert_eq!(answer.body.len(), limits::SPOOL_ANSWER_BYTES);

    // Deleted meanwhile: it does not come back, nor does any part of it.
    store.spool_taken(id).await.unwrap();
    store.spool_failed(id, 4, 3, 9_000, failed("timeout")).await.unwrap();
    store.spool_dead(id, 4, 9, failed("timeout")).await.unwrap();
    assert_eq!(store.spool_sending(id, Some(content("two"))).await, Ok(false));
    drop(store);
    let database = Connection::open(dir(&folder).join("wxedge.db")).unwrap();
    let sql = "SELECT (SELECT count(*) FROM entry) + (SELECT count(*) FROM content)
                    + (SELECT count(*) FROM failure)";
    assert_eq!(database.query_row(sql, (), |row| row.get::<_, i64>(0)), Ok(0));
}

#[tokio::test]
async fn a_reply_is_marked_before_it_is_sent() {
    let folder = Folder::new();
    let store = open(&folder);
    let id = add(&store, "sent 0").await;
    assert_eq!(store.spool_sending(id, None).await, Ok(true));
    assert_eq!(body(&store, id).as_deref(), Ok("sent 0"));
    assert_eq!(store.spool_sending(id, Some(content("sent 1 of 2"))).await, Ok(true));
    drop(store);
    let store = open(&folder);
    let [entry] = entries(&store).try_into().expect("one entry");
    assert_eq!((entry.state, entry.bytes), (EntryState::Sending, limits::SPOOL_ENTRY_BYTES + 11));
    assert_eq!(body(&store, id).as_deref(), Ok("sent 1 of 2"));
    // It was proven that WeChat has not got it.
    store.spool_failed(id, 2, 0, 5_000, failed("connect")).await.unwrap();
    assert_eq!(entries(&store)[0].state, EntryState::Pending);
}

#[tokio::test]
async fn a_dead_letter_is_replayed_or_expires() {
    let folder = Folder::new();
    let store = open(&folder);
    let [a, b, c, d] = [
        add(&store, "a").await,
        add(&store, "b").await,
        add(&store, "c").await,
        add(&store, "d").await,
    ];
    for (id, died_s) in [(a, 100), (b, 200), (c, 300)] {
        store.spool_dead(id, 9, died_s, failed("gone")).await.unwrap();
    }
    // It is dead: a call that ends late changes nothing.
    store.spool_failed(c, 10, 0, 5_000, failed("timeout")).await.unwrap();
    store.spool_dead(c, 10, 900, failed("timeout")).await.unwrap();
    assert_eq!(store.spool_sending(c, None).await, Ok(false));
    assert_eq!(why(&store, c).as_deref(), Some("gone"));

    let replayed = store.spool_replay(vec![b, d, d + 1], 7_000).await.unwrap();
    let [back] = replayed.try_into().expect("one was dead");
    assert_eq!((back.id, back.state, back.attempts), (b, EntryState::Pending, 9));
    assert_eq!((back.due_ms, back.failures, back.died_s), (0, 0, Some(7_000)));
    assert_eq!(back.since_s(), back.received_s.max(7_000));
    assert_eq!(body(&store, b).as_deref(), Ok("b"));

    assert!(store.spool_expire(100).await.unwrap().is_empty());
    assert_eq!(ids(&store.spool_expire(300).await.unwrap()), [a]);
    assert_eq!(ids(&entries(&store)), [b, c, d]);
    assert_eq!(ids(&store.spool_delete(vec![c, a, d]).await.unwrap()), [c, d]);
    assert_eq!(ids(&entries(&store)), [b]);
}

#[tokio::test]
async fn many_are_replayed_expired_and_deleted_in_parts() {
    let folder = Folder::new();
    let store = open(&folder);
    let count = limits::SPOOL_CHUNK + 10;
    let dead = NewEntry { state: EntryState::Dead, died_s: Some(1), ..new() };
    let adds = (0..count).map(|_| {
        let (store, dead) = (store.clone(), dead.clone());
        tokio::spawn(async move { store.spool(dead, content(""), None).await.unwrap() })
    });
    let mut all = Vec::new();
    for add in adds.collect::<Vec<_>>() {
        all.push(add.await.unwrap());
    }
    all.sort_unstable();
    assert_eq!(ids(&entries(&store)), all);
    assert_eq!(store.spool_replay(all.clone(), 1).await.unwrap().len(), count);
    for id in &all {
        store.spool_dead(*id, 2, 1, failed("gone")).await.unwrap();
    }
    assert_eq!(ids(&store.spool_expire(2).await.unwrap()), all[..limits::SPOOL_CHUNK]);
    assert_eq!(ids(&store.spool_delete(all.clone()).await.unwrap()), all[limits::SPOOL_CHUNK..]);
    assert_eq!(entries(&store), []);
}

#[tokio::test]
async fn the_list_comes_in_pages() {
    let folder = Folder::new();
    let store = open(&folder);
    let mut all = Vec::new();
    for number in 0..12 {
        let appid = if number % 3 == 0 { "wx2" } else { "wx1" };
        let entry = NewEntry { appid: appid.into(), ..new() };
        all.push(store.spool(entry, content(&number.to_string()), None).await.unwrap());
    }
    for id in [all[2], all[5], all[6]] {
        store.spool_dead(id, 2, 100, failed("gone")).await.unwrap();
    }
    assert_eq!(store.spool_sending(all[0], None).await, Ok(true));
    let page = |dead, appid: Option<&str>, after, limit| -> Vec<usize> {
        let filter = Filter { dead, appid: appid.map(Into::into), after, limit };
        let page = store.spool_page(&filter).unwrap();
        let place = |id| all.iter().position(|known| *known == id).unwrap();
        page.iter().map(|listed| place(listed.entry.id)).collect()
    };
    assert_eq!(page(None, None, 0, 5), [0, 1, 2, 3, 4]);
    assert_eq!(page(None, None, all[4], 5), [5, 6, 7, 8, 9]);
    assert_eq!(page(None, None, all[9], 5), [10, 11]);
    assert!(page(None, None, all[11], 5).is_empty());
    assert!(page(None, None, u64::MAX, 5).is_empty());
    assert_eq!(page(Some(true), None, 0, 100), [2, 5, 6]);
    assert_eq!(page(Some(true), Some("wx2"), all[2], 100), [6]);
    assert_eq!(page(Some(false), Some("wx2"), 0, usize::MAX), [0, 3, 9]);
    let filter = Filter { dead: Some(true), limit: 1, ..Filter::default() };
    let [listed] = store.spool_page(&filter).unwrap().try_into().expect("one");
    assert!(listed.content == Ok(content("")), "a list needs no body");
    assert!(listed.failed == Some(failed("gone")));
}

#[tokio::test]
async fn the_list_does_not_read_long_bodies() {
    let folder = Folder::new();
    let store = open(&folder);
    let long = store.spool(new(), content(&"x".repeat(100_000)), None).await.unwrap();
    let short = store.spool(new(), content("short"), None).await.unwrap();
    let database = rusqlite::Connection::open(dir(&folder).join("wxedge.db")).unwrap();
    let damage =
        "UPDATE content SET content = CAST(substr(content, 1, length(content) - 1) || '?' AS BLOB)";
    assert_eq!(database.execute(damage, ()), Ok(2));
    let page = store.spool_page(&Filter { limit: 9, ..Filter::default() }).unwrap();
    let [first, second] = page.try_into().expect("two");
    assert!((first.entry.id, first.content) == (long, Ok(content(""))));
    assert!((second.entry.id, second.content) == (short, Err(Unreadable::Damaged)));
    let looked_at = store.spool_entry(long).unwrap().expect("an entry");
    assert!(looked_at.content == Err(Unreadable::Damaged), "damage shows when it is looked at");
}

#[tokio::test]
async fn a_user_is_erased_from_every_file() {
    let folder = Folder::new();
    let store = open(&folder);
    let openid = "oErasedForEver";
    let user = store.user_hashes("wx1", openid)[0];
    let about = |appid: &str, subject: &str, user| {
        let entry = NewEntry { appid: appid.into(), user, ..new() };
        let text = format!("<FromUserName>{subject}</FromUserName>").repeat(300);
        (entry, Content { subject: subject.to_owned(), ..content(&text) })
    };
    let add = async |(entry, content), failed| store.spool(entry, content, failed).await.unwrap();
    let mine = add(about("wx1", openid, user), Some(failed(openid))).await;
    let taken = add(about("wx1", openid, user), None).await;
    let dead = add(about("wx1", openid, user), None).await;
    store.spool_dead(dead, 2, 100, failed(openid)).await.unwrap();
    let same_hash = add(about("wx1", "oOther", user), None).await;
    let other_account = add(about("wx2", "oElsewhere", user), None).await;
    store.spool_taken(taken).await.unwrap();
    assert!(holds(&folder, openid) && holds(&folder, "oOther"));

    let about = store.spool_about("wx1", openid, 0).unwrap();
    assert_eq!(about, [mine, dead]);
    assert_eq!(store.spool_about("wx1", openid, mine), Ok(vec![dead]));
    assert_eq!(ids(&store.spool_erase(about).await.unwrap()), [mine, dead]);
    assert!(!holds(&folder, openid), "while the store is open");
    assert_eq!(ids(&entries(&store)), [same_hash, other_account]);
    assert!(body(&store, same_hash).is_ok());
    assert_eq!(store.spool_about("wx1", openid, 0), Ok(Vec::new()));
}

/// Whether any file of the store holds the text.
fn holds(folder: &Folder, text: &str) -> bool {
    let files = std::fs::read_dir(dir(folder)).unwrap();
    files
        .map(|file| std::fs::read(file.unwrap().path()).unwrap())
        .any(|content| content.windows(text.len()).any(|window| window == text.as_bytes()))
}

#[tokio::test]
async fn the_file_shrinks_when_what_it_held_was_taken() {
    let folder = Folder::new();
    let store = open(&folder);
    let large = "x".repeat(1024 * 1024);
    let mut all = Vec::new();
    for _ in 0..24 {
        all.push(add(&store, &large).await);
    }
    let page = limits::STORE_PAGE_BYTES as u64;
    let kept = (limits::STORE_FREE_PAGES as u64 + 50) * page;
    let database = dir(&folder).join("wxedge.db");
    store.spool_delete(all).await.unwrap();
    assert!(size(&database) > 2 * kept);
    // Nobody writes: it has time for that now.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while size(&database) > kept {
        assert!(std::time::Instant::now() < deadline, "{} bytes", size(&database));
        tokio::time::sleep(limits::STORE_IDLE).await;
    }
    assert!(store.bytes() < kept + limits::STORE_WAL_BYTES as u64);
}

#[tokio::test]
async fn damage_is_found_and_never_delivered() {
    let folder = Folder::new();
    let store = open(&folder);
    let mut all = Vec::new();
    for body in ["changed", "moved", "whose", "missing", "no record", "good"] {
        all.push(add(&store, body).await);
    }
    drop(store);
    let database = Connection::open(dir(&folder).join("wxedge.db")).unwrap();
    let run = |sql: &str, id: u64| database.execute(sql, [i64::try_from(id).unwrap()]).unwrap();
    run(
        "UPDATE content SET content = CAST(replace(CAST(content AS TEXT), 'ch', 'cg') AS BLOB) WHERE id = ?1",
        all[0],
    );
    run(
        "UPDATE content SET (sum, content) = (SELECT sum, content FROM content WHERE id = ?1 + 4) WHERE id = ?1",
        all[1],
    );
    run("UPDATE entry SET appid = 'wx2' WHERE id = ?1", all[2]);
    run("DELETE FROM content WHERE id = ?1", all[3]);
    run("UPDATE content SET content = x'' WHERE id = ?1", all[4]);
    drop(database);
    let store = open(&folder);
    assert_eq!(ids(&entries(&store)), all);
    for id in &all[..5] {
        assert_eq!(body(&store, *id), Err(Unreadable::Damaged), "{id}");
        let shown = store.spool_entry(*id).unwrap().expect("an entry");
        assert!(shown.content == Err(Unreadable::Damaged));
    }
    assert_eq!(body(&store, all[5]).as_deref(), Ok("good"));
    let page = store.spool_page(&Filter { limit: 10, ..Filter::default() }).unwrap();
    assert_eq!(page.iter().filter(|listed| listed.content.is_err()).count(), 5);
}

#[tokio::test]
async fn a_row_that_makes_no_sense_is_counted_and_left_alone() {
    let folder = Folder::new();
    let store = open(&folder);
    let [bad, good] = [add(&store, "bad").await, add(&store, "good").await];
    for id in [bad, good] {
        store.spool_dead(id, 2, 100, failed("gone")).await.unwrap();
    }
    drop(store);
    let database = Connection::open(dir(&folder).join("wxedge.db")).unwrap();
    let bad = i64::try_from(bad).unwrap();
    database.execute("UPDATE entry SET kind = 9 WHERE id = ?1", [bad]).unwrap();
    drop(database);
    let store = open(&folder);
    let mut found = Vec::new();
    assert_eq!(store.spooled(|entry| found.push(entry.id)), Ok(1));
    assert_eq!(found, [good]);
    let page = store.spool_page(&Filter { limit: 10, ..Filter::default() }).unwrap();
    assert_eq!(page.len(), 1);
    assert_eq!(ids(&store.spool_expire(200).await.unwrap()), [good]);
    assert_eq!(store.spooled(|_| unreachable!("it has expired")), Ok(1));
}

#[tokio::test]
async fn nothing_spooled_is_shown() {
    let shown = format!("{:?} {:?}", content("Canary"), failed("Canary"));
    assert!(!shown.contains("Canary") && !shown.contains("oUser") && !shown.contains("busy"));
}
