//! What needs a process of its own: `kill -9`, a second owner, a disk that takes no more.

use super::other::{next, other, say, start};
use super::spool::{add, body, content, entries, new};
use super::{dir, open};
use crate::store::{OpenError, Options, Store, StoreError};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigSet, Signal};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use wxedge_tests::folder::Folder;

/// The other process counts as fast as it can and says every count that is on disk.
#[test]
fn what_was_reported_durable_survives_kill_9() {
    if let Some(dir) = other() {
        return count_for_ever(&dir);
    }
    let folder = Folder::new();
    let mut counts: HashMap<String, u64> = HashMap::new();
    for round in 1..=6 {
        let (mut child, mut said) =
            start("crash::what_was_reported_durable_survives_kill_9", &folder);
        for _ in 0..round * 97 {
            heard(&next(&mut said).expect("it counts until it is killed"), &mut counts);
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // What it said before it died.
        while let Some(line) = next(&mut said) {
            heard(&line, &mut counts);
        }
        let store = open(&folder);
        let files = std::fs::read_dir(dir(&folder)).unwrap().map(|file| file.unwrap().file_name());
        let copies = files.filter(|name| name.to_string_lossy().starts_with("damaged"));
        assert_eq!((store.salvaged(), copies.count()), (None, 0), "a crash is no damage");
        let kept = store.counters("load").unwrap();
        let kept: HashMap<_, _> = kept.into_iter().map(|kept| (kept.key, kept.count)).collect();
        for (key, count) in &counts {
            assert!(kept.get(key) >= Some(count), "round {round}: {key} was {count}");
        }
    }
    assert_eq!(counts.len(), 16, "all of its tasks have counted");
}

fn heard(line: &str, counts: &mut HashMap<String, u64>) {
    // The last line may be half; a number that lacks digits is only smaller.
    let Some((key, count)) = line.split_once(' ') else { return };
    let Ok(count) = count.parse::<u64>() else { return };
    let known = counts.entry(key.to_owned()).or_default();
    *known = count.max(*known);
}

#[tokio::main(flavor = "current_thread")]
async fn count_for_ever(dir: &std::path::Path) {
    let store = Store::open(dir, Options::default()).unwrap();
    for task in 0..16 {
        let (store, key) = (store.clone(), format!("task{task}"));
        tokio::spawn(async move {
            loop {
                let count = store.count_below("load", &key, "", u64::MAX).await.unwrap().unwrap();
                say(&format!("{key} {count}"));
            }
        });
    }
    // Until it is killed.
    std::future::pending().await
}

/// The other process spools as fast as it can, says what is on disk, and takes some of it away again.
#[test]
fn what_was_spooled_survives_kill_9() {
    if let Some(dir) = other() {
        return spool_for_ever(&dir);
    }
    let folder = Folder::new();
    let [mut added, mut taken] = [HashMap::new(), HashMap::new()];
    for round in 1..=6 {
        let (mut child, mut said) = start("crash::what_was_spooled_survives_kill_9", &folder);
        let mut hear = |line: String| {
            // The last line may be half.
            let Some(line) = line.strip_suffix('.') else { return };
            let [what, id, body] = line.splitn(3, ' ').collect::<Vec<_>>().try_into().unwrap();
            let known = if what == "added" { &mut added } else { &mut taken };
            known.insert(id.parse::<u64>().unwrap(), body.to_owned());
        };
        for _ in 0..round * 97 {
            hear(next(&mut said).expect("it spools until it is killed"));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // What it said before it died.
        while let Some(line) = next(&mut said) {
            hear(line);
        }
        let store = open(&folder);
        let there: HashSet<u64> = entries(&store).iter().map(|entry| entry.id).collect();
        for (id, text) in &added {
            if there.contains(id) {
                assert_eq!(body(&store, *id).as_ref(), Ok(text), "round {round}");
            }
            // One that was being taken may be gone.
            let gone = taken.contains_key(id) || id % 3 == 0;
            assert!(there.contains(id) || gone, "round {round}: {id} is lost");
        }
        assert!(taken.keys().all(|id| !there.contains(id)), "round {round}: one is back");
    }
}

#[tokio::main(flavor = "current_thread")]
async fn spool_for_ever(dir: &std::path::Path) {
    let store = Store::open(dir, Options::default()).unwrap();
    for task in 0..16 {
        let store = store.clone();
        tokio::spawn(async move {
            for number in 0.. {
                let text = format!("{task} {number}");
                let id = add(&store, &text).await;
                say(&format!("added {id} {text}."));
                if id % 3 == 0 {
                    store.spool_taken(id).await.unwrap();
                    say(&format!("taken {id} {text}."));
                }
            }
        });
    }
    // Until it is killed.
    std::future::pending().await
}

#[test]
fn a_second_process_is_told_who_has_the_store() {
    if let Some(dir) = other() {
        let _store = Store::open(&dir, Options::default()).unwrap();
        say("open");
        // Until it is killed.
        std::io::stdin().lines().for_each(drop);
        return;
    }
    let folder = Folder::new();
    let (mut child, mut said) = start("crash::a_second_process_is_told_who_has_the_store", &folder);
    assert_eq!(next(&mut said).as_deref(), Some("open"));
    let error = Store::open(&dir(&folder), Options::default()).expect_err("in use");
    assert!(matches!(error, OpenError::InUse { pid, .. } if pid == Some(child.id())), "{error}");
    child.kill().unwrap();
    child.wait().unwrap();
    open(&folder);
}

#[test]
fn a_disk_that_takes_no_more_is_an_error_that_passes() {
    if let Some(dir) = other() {
        fill_up(&dir);
        return say("done");
    }
    let folder = Folder::new();
    let (mut child, mut said) =
        start("crash::a_disk_that_takes_no_more_is_an_error_that_passes", &folder);
    assert_eq!(next(&mut said).as_deref(), Some("done"));
    assert!(child.wait().unwrap().success());
    let store = open(&folder);
    assert_eq!(store.value("before"), Ok(Some(vec![1])));
    assert_eq!(store.value("after"), Ok(Some(vec![3])));
    let bodies: Vec<_> =
        entries(&store).iter().map(|entry| body(&store, entry.id).unwrap()).collect();
    assert_eq!(bodies, ["before", "after"]);
}

/// No file of this process may grow for a while: the kernel refuses every write to the log.
#[tokio::main(flavor = "current_thread")]
async fn fill_up(dir: &std::path::Path) {
    // It would end the process; the store's thread inherits this.
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGXFSZ);
    signals.thread_block().unwrap();
    let store = Store::open(dir, Options::default()).unwrap();
    store.set_value("before", vec![1]).await.unwrap();
    let before = add(&store, "before").await;
    let (soft, hard) = getrlimit(Resource::RLIMIT_FSIZE).unwrap();
    setrlimit(Resource::RLIMIT_FSIZE, 0, hard).unwrap();
    for _ in 0..3 {
        let failed = store.set_value("during", vec![2]).await.unwrap_err();
        assert!(failed.to_string().contains("disk I/O error"), "{failed}");
        assert!(!store.is_writable());
        assert_eq!(store.value("before"), Ok(Some(vec![1])), "it can still be read");
        let reply = store.spool_taken_with_reply(Some(before), new(), content("during"), None);
        assert!(matches!(reply.await, Err(StoreError::Write(_))));
        assert_eq!(body(&store, before).as_deref(), Ok("before"));
    }
    let tried = Arc::new(AtomicBool::new(false));
    let trying = tried.clone();
    let write = store.write(move |_| {
        trying.store(true, Ordering::Relaxed);
        Ok(())
    });
    write.await.unwrap_err();
    assert!(!tried.load(Ordering::Relaxed), "a file that takes no write is not trusted again");
    setrlimit(Resource::RLIMIT_FSIZE, soft, hard).unwrap();
    store.set_value("after", vec![3]).await.unwrap();
    assert!(store.is_writable());
    add(&store, "after").await;
}
