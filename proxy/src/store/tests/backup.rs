//! A copy of a store that is used.

use super::other::{next, other, say, start};
use super::{dir, open, token};
use crate::store::salvage::page::PAGE;
use crate::store::{BackupError, Options, Store, backup};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use wxedge_tests::folder::Folder;

/// Another process counts as fast as it can.
#[test]
fn everything_that_was_on_disk_when_it_began_is_in_it() {
    if let Some(dir) = other() {
        return count_for_ever(&dir);
    }
    let folder = Folder::new();
    let test = "backup::everything_that_was_on_disk_when_it_began_is_in_it";
    let (mut child, mut said) = start(test, &folder);
    for round in 0..5 {
        let mut count = 0;
        for _ in 0..20 {
            count = next(&mut said).and_then(|said| said.parse().ok()).expect("a count");
        }
        let to = folder.path().join(format!("new/{round}"));
        let done = backup(&dir(&folder), &to).expect("a backup");
        assert_eq!(done.messages, 0);
        let copy = Store::open(&to, Options::default()).expect("a store");
        assert!(copy.salvaged().is_none());
        let [counter] = copy.counters("load").unwrap().try_into().expect("one counter");
        assert!(counter.count >= count, "{} of {count}", counter.count);
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[tokio::main(flavor = "current_thread")]
async fn count_for_ever(dir: &std::path::Path) {
    let store = Store::open(dir, Options::default()).unwrap();
    loop {
        let count = store.count_below("load", "all", "", u64::MAX).await.unwrap().unwrap();
        say(&count.to_string());
    }
}

#[tokio::test]
async fn it_is_whole_and_its_owner_s_only() {
    let folder = Folder::new();
    let store = open(&folder);
    store.save_credential(token("first", 1)).await.unwrap();
    fs::write(dir(&folder).join("some.key"), [7; 32]).unwrap();
    let to = folder.path().join("copy");
    let done = backup(&dir(&folder), &to).unwrap();
    let named: Vec<_> = done.files.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(named, ["wxedge.db", "some.key"]);
    let mode = |name: &str| fs::metadata(to.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(""), mode("wxedge.db"), mode("some.key")), (0o700, 0o600, 0o600));
    let mut found: Vec<_> =
        fs::read_dir(&to).unwrap().map(|file| file.unwrap().file_name()).collect();
    found.sort();
    assert_eq!(found, ["some.key", "wxedge.db"], "and nothing else");
    assert_eq!(fs::read(to.join("some.key")).unwrap(), [7; 32]);
    // The store it was made of is still used, and the copy is another one.
    let copy = Store::open(&to, Options::default()).unwrap();
    assert_eq!(copy.credentials().unwrap()[0].state.expose(), "first");
    assert_eq!(store.save_credential(token("second", 2)).await, Ok(true));
}

#[test]
fn what_is_none_or_is_in_the_way_is_said() {
    let folder = Folder::new();
    let to = folder.path().join("copy");
    let error = backup(&dir(&folder), &to).unwrap_err();
    assert!(matches!(error, BackupError::NoStore(_)), "{error}");
    assert!(!to.exists());
    drop(open(&folder));
    let error = backup(&dir(&folder), folder.path()).unwrap_err();
    assert!(matches!(error, BackupError::Taken(_)), "{error}");
    let file = folder.write("file", "");
    let error = backup(&dir(&folder), &file.join("copy")).unwrap_err();
    assert!(matches!(error, BackupError::File(..)), "{error}");
}

#[test]
fn a_damaged_store_gives_none() {
    let folder = Folder::new();
    drop(open(&folder));
    let path = dir(&folder).join("wxedge.db");
    let mut bytes = fs::read(&path).unwrap();
    bytes[2 * PAGE..4 * PAGE].fill(0xff);
    fs::write(&path, bytes).unwrap();
    let to = folder.path().join("copy");
    let error = backup(&dir(&folder), &to).unwrap_err();
    assert!(error.to_string().contains("malformed"), "{error}");
    assert_eq!(fs::read_dir(&to).unwrap().count(), 0, "no half of one");
}
