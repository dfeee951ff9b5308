//! What is kept, and what a handle promises.

mod backup;
mod crash;
mod damage;
mod joining;
mod opening;
mod other;
mod salvaging;
mod sealed;
mod spool;
mod writing;

use super::{Counter, Options, SavedCredential, Store, StoreError};
use crate::config::Secret;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use wxedge_tests::folder::Folder;

fn open(folder: &Folder) -> Store {
    Store::open(&dir(folder), Options::default()).expect("a store")
}

/// The store's own folder, which it makes itself.
fn dir(folder: &Folder) -> std::path::PathBuf {
    folder.path().join("store")
}

fn token(state: &str, revision: u64) -> SavedCredential {
    SavedCredential {
        appid: "wx1".to_owned(),
        credential: "access_token".to_owned(),
        revision,
        state: Secret::new(state),
    }
}

fn counter(scope: &str, key: &str, period: &str, count: u64) -> Counter {
    let [scope, key, period] = [scope, key, period].map(str::to_owned);
    Counter { scope, key, period, count }
}

/// A future that has begun: its write is in the queue.
struct Begun<T>(Pin<Box<dyn Future<Output = T>>>, Option<T>);

fn begin<T>(future: impl Future<Output = T> + 'static) -> Begun<T> {
    let mut future: Pin<Box<dyn Future<Output = T>>> = Box::pin(future);
    let first = match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    };
    Begun(future, first)
}

impl<T> Begun<T> {
    async fn end(self) -> T {
        match self.1 {
            Some(value) => value,
            None => self.0.await,
        }
    }
}

#[tokio::test]
async fn everything_survives_a_restart() {
    let folder = Folder::new();
    let store = open(&folder);
    assert_eq!(store.save_credential(token("first", 1)).await, Ok(true));
    assert_eq!(store.save_credential(token("second", 2)).await, Ok(true));
    let ticket = SavedCredential { credential: "jsapi".to_owned(), ..token("ticket", 1) };
    assert_eq!(store.save_credential(ticket).await, Ok(true));
    assert_eq!(store.count_below("force", "main", "2026-11-20", 20).await, Ok(Some(1)));
    let budget = counter("budget", "crm\u{1f}main\u{1f}/cgi-bin/x", "2026-11-20", 7);
    store.raise_counters(vec![budget.clone()]).await.unwrap();
    store.set_value("key", vec![0, 255]).await.unwrap();
    drop(store);

    let store = open(&folder);
    let mut saved = store.credentials().unwrap();
    saved.sort_by_key(|saved| saved.credential.clone());
    let [access, jsapi] = saved.try_into().expect("two credentials");
    assert_eq!((access.state.expose(), access.revision), ("second", 2));
    assert_eq!((jsapi.credential.as_str(), jsapi.state.expose()), ("jsapi", "ticket"));
    assert_eq!(store.counters("force"), Ok(vec![counter("force", "main", "2026-11-20", 1)]));
    assert_eq!(store.counters("budget"), Ok(vec![budget]));
    assert_eq!(store.value("key"), Ok(Some(vec![0, 255])));
    assert_eq!(store.value("other"), Ok(None));
}

#[tokio::test]
async fn an_older_revision_does_not_overwrite_a_newer_one() {
    let folder = Folder::new();
    let store = open(&folder);
    assert_eq!(store.save_credential(token("second", 2)).await, Ok(true));
    assert_eq!(store.save_credential(token("first", 1)).await, Ok(false));
    assert_eq!(store.save_credential(token("same", 2)).await, Ok(false));
    let saved = store.credentials().unwrap();
    assert_eq!((saved[0].state.expose(), saved[0].revision), ("second", 2));
    // Another account, and another credential, has its own.
    let other = SavedCredential { appid: "wx2".to_owned(), ..token("other", 1) };
    assert_eq!(store.save_credential(other).await, Ok(true));
    let ticket = SavedCredential { credential: "wx_card".to_owned(), ..token("ticket", 1) };
    assert_eq!(store.save_credential(ticket).await, Ok(true));
}

#[tokio::test]
async fn a_count_never_exceeds_its_maximum() {
    let folder = Folder::new();
    let store = open(&folder);
    let calls = (0..100).map(|_| {
        let store = store.clone();
        tokio::spawn(async move { store.count_below("force", "main", "2026-11-20", 20).await })
    });
    let mut counts = Vec::new();
    for call in calls.collect::<Vec<_>>() {
        counts.extend(call.await.unwrap().unwrap());
    }
    counts.sort_unstable();
    assert_eq!(counts, (1..=20).collect::<Vec<u64>>());
    assert_eq!(store.counters("force"), Ok(vec![counter("force", "main", "2026-11-20", 20)]));
    assert_eq!(store.count_below("force", "main", "2026-11-21", 20).await, Ok(Some(1)));
    assert_eq!(store.count_below("force", "main", "2026-11-22", 0).await, Ok(None));
    assert_eq!(store.counters("force").unwrap().len(), 2);
}

#[tokio::test]
async fn counters_of_other_periods_are_forgotten() {
    let folder = Folder::new();
    let store = open(&folder);
    let [old, today] = ["2026-11-19", "2026-11-20"].map(|day| counter("budget", "a", day, 5));
    let [tomorrow, ahead] = ["2026-11-21", "2036-11-20"].map(|day| counter("budget", "a", day, 5));
    let other = counter("clear_quota", "main", "2026-10", 3);
    let all = vec![old, today.clone(), tomorrow.clone(), ahead, other.clone()];
    store.raise_counters(all).await.unwrap();
    store.forget_counters_outside("budget", "2026-11-20", "2026-11-21").await.unwrap();
    assert_eq!(store.counters("budget"), Ok(vec![today, tomorrow]));
    assert_eq!(store.counters("clear_quota"), Ok(vec![other]));
}

#[tokio::test]
async fn a_count_that_comes_late_lowers_none() {
    let folder = Folder::new();
    let store = open(&folder);
    let count = |calls| counter("budget", "a", "2026-11-20", calls);
    for (given, kept) in [(5, 5), (3, 5), (6, 6)] {
        store.raise_counters(vec![count(given)]).await.unwrap();
        assert_eq!(store.counters("budget"), Ok(vec![count(kept)]));
    }
}

#[tokio::test]
async fn nothing_kept_is_shown() {
    let folder = Folder::new();
    let store = open(&folder);
    store.save_credential(token("Canary", 1)).await.unwrap();
    let shown = format!("{store:?} {:?}", store.credentials().unwrap());
    assert!(!shown.contains("Canary"), "{shown}");
}

#[tokio::test]
async fn a_closed_store_says_so() {
    let folder = Folder::new();
    let store = open(&folder);
    let waiting = begin({
        let store = store.clone();
        async move { store.set_value("a", b"1".to_vec()).await }
    });
    store.close();
    assert_eq!(waiting.end().await, Ok(()), "it came before the end");
    assert_eq!(store.set_value("a", b"2".to_vec()).await, Err(StoreError::Closed));
    assert!(!store.is_writable());
    assert_eq!(size(&dir(&folder).join("wxedge.db-wal")), 0, "all is in the database");
    // Its folder is free although a handle lives on.
    assert_eq!(open(&folder).value("a"), Ok(Some(b"1".to_vec())));
}

fn size(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |file| file.len())
}
