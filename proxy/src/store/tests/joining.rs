//! Two processes and one store: the second joins the first and takes over when that one ends.

use super::other::{next, other, say, start};
use super::{counter, dir, open};
use crate::store::{Access, OpenError, Options, Store};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tokio::task::JoinSet;
use wxedge_tests::folder::Folder;

fn join(dir: &Path) -> Result<Store, OpenError> {
    Store::open(dir, Options { access: Access::Join, ..Options::default() })
}

/// Counts what all processes count, as fast as it can, and says how often that was on disk.
async fn count_while(store: &Store, more: impl Fn() -> bool + Send + Sync + 'static) -> u64 {
    let more = Arc::new(more);
    let mut tasks = JoinSet::new();
    for _ in 0..8 {
        let (store, more) = (store.clone(), more.clone());
        tasks.spawn(async move {
            let mut counted = 0;
            while more() {
                store.count_below("load", "all", "", u64::MAX).await.unwrap();
                counted += 1;
            }
            counted
        });
    }
    tasks.join_all().await.into_iter().sum()
}

/// The other process: has the store, counts until its input ends, says how often it did.
#[tokio::main(flavor = "current_thread")]
async fn count_until_told(dir: &Path, options: Options) {
    let store = Store::open(dir, options).unwrap();
    store.count_below("load", "all", "", u64::MAX).await.unwrap();
    say("open");
    let told = Arc::new(AtomicBool::new(false));
    let telling = told.clone();
    std::thread::spawn(move || {
        std::io::stdin().lines().for_each(drop);
        telling.store(true, Ordering::Release);
    });
    let counted = count_while(&store, move || !told.load(Ordering::Acquire)).await;
    store.close();
    say(&(1 + counted).to_string());
}

/// Both write as fast as they can, the first ends in order, and no count is lost or made twice.
#[tokio::test]
async fn two_processes_write_and_the_second_is_the_owner_when_the_first_has_ended() {
    if let Some(dir) = other() {
        let ended = std::thread::spawn(move || count_until_told(&dir, Options::default()));
        return ended.join().unwrap();
    }
    let folder = Folder::new();
    let test = "joining::two_processes_write_and_the_second_is_the_owner_when_the_first_has_ended";
    let (mut child, mut said) = start(test, &folder);
    assert_eq!(next(&mut said).as_deref(), Some("open"));
    let store = join(&dir(&folder)).expect("joined");
    assert!(!store.owns() && !store.try_own());
    let begun = AtomicBool::new(false);
    let mut ours = count_while(&store, move || !begun.swap(true, Ordering::Relaxed)).await;
    drop(child.stdin.take());
    let waiting = store.clone();
    ours += count_while(&store, move || !waiting.try_own()).await;
    let theirs: u64 = next(&mut said).expect("its count").parse().unwrap();
    assert!(child.wait().unwrap().success());
    assert!(store.owns() && store.is_writable() && theirs > 0, "{theirs} of theirs");
    let all = Ok(vec![counter("load", "all", "", ours + theirs)]);
    assert_eq!(store.counters("load"), all);
    drop(store);
    assert_eq!(open(&folder).counters("load"), all, "as an ordinary start finds it");
}

fn wait_until(condition: impl Fn() -> bool) {
    while !condition() {
        std::thread::yield_now();
    }
}

/// Others try to have the store all the time, and the first is killed.
#[test]
fn nobody_gets_between_the_first_and_the_one_that_joined_it() {
    if let Some(dir) = other() {
        return count_until_told(&dir, Options::default());
    }
    let folder = Folder::new();
    let (mut child, mut said) =
        start("joining::nobody_gets_between_the_first_and_the_one_that_joined_it", &folder);
    assert_eq!(next(&mut said).as_deref(), Some("open"));
    let store = join(&dir(&folder)).expect("joined");
    let pid = std::process::id();
    let refused = join(&dir(&folder)).expect_err("one at a time");
    assert!(matches!(refused, OpenError::Claimed { pid: Some(of), .. } if of == pid), "{refused}");
    let (tries, owned) = (AtomicUsize::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !owned.load(Ordering::Acquire) {
                    Store::open(&dir(&folder), Options::default()).expect_err("refused");
                    tries.fetch_add(1, Ordering::AcqRel);
                }
            });
        }
        wait_until(|| tries.load(Ordering::Acquire) > 10);
        child.kill().unwrap();
        wait_until(|| store.try_own());
        let before = tries.load(Ordering::Acquire);
        wait_until(|| tries.load(Ordering::Acquire) > before + 10);
        owned.store(true, Ordering::Release);
    });
    child.wait().unwrap();
    let refused = Store::open(&dir(&folder), Options::default()).expect_err("owned");
    assert!(matches!(refused, OpenError::InUse { pid: Some(of), .. } if of == pid), "{refused}");
}

/// Its owner notices nothing, and the next may join.
#[test]
fn one_that_joined_and_died_leaves_the_store_to_its_owner() {
    if let Some(dir) = other() {
        return count_until_told(&dir, Options { access: Access::Join, ..Options::default() });
    }
    let folder = Folder::new();
    let store = open(&folder);
    let test = "joining::one_that_joined_and_died_leaves_the_store_to_its_owner";
    for _ in 0..2 {
        let (mut child, mut said) = start(test, &folder);
        assert_eq!(next(&mut said).as_deref(), Some("open"));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(store.owns());
    }
    assert!(!store.counters("load").unwrap().is_empty(), "what it wrote is there");
}

#[test]
fn a_store_that_nobody_has_is_owned_by_who_joins_it() {
    let folder = Folder::new();
    let store = join(&dir(&folder)).expect("a store");
    assert!(store.owns() && store.try_own());
    store.close();
    assert!(!store.owns() && !store.try_own(), "closed is not owned");
    assert!(open(&folder).owns());
}
