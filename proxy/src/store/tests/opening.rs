//! What can be opened and what is refused.

use super::{dir, open};
use crate::store::{OpenError, Options, Store};
use rusqlite::Connection;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use wxedge_tests::folder::Folder;

fn refused(dir: &Path) -> OpenError {
    Store::open(dir, Options::default()).expect_err("refused")
}

#[test]
fn only_its_owner_may_read_it() {
    let folder = Folder::new();
    let store = open(&folder);
    let mode = |name: &str| {
        let file = std::fs::metadata(dir(&folder).join(name)).unwrap();
        file.permissions().mode() & 0o777
    };
    assert_eq!(mode(""), 0o700);
    for name in ["wxedge.db", "wxedge.db-wal", "wxedge.db-shm", "lock"] {
        assert_eq!(mode(name), 0o600, "{name}");
    }
    // Copied back from a backup by somebody careless.
    drop(store);
    let database = dir(&folder).join("wxedge.db");
    std::fs::set_permissions(&database, std::fs::Permissions::from_mode(0o644)).unwrap();
    let _store = open(&folder);
    assert_eq!(mode("wxedge.db"), 0o600);
}

#[test]
fn a_second_owner_is_refused() {
    let folder = Folder::new();
    let store = open(&folder);
    let (dir, pid) = (dir(&folder), std::process::id());
    assert_eq!(
        refused(&dir).to_string(),
        format!(
            "the store {} is in use by another wxedge (pid {pid}); stop that one first, take over from it with --upgrade, or give this one a store.url of its own",
            dir.display()
        )
    );
    drop(store);
    open(&folder);
}

#[test]
fn a_newer_schema_is_refused() {
    let folder = Folder::new();
    drop(open(&folder));
    let path = dir(&folder).join("wxedge.db");
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 7).unwrap();
    assert_eq!(
        refused(&dir(&folder)).to_string(),
        format!(
            "{} has schema version 7, and this wxedge knows up to version 2; start the newer wxedge or restore a backup",
            path.display()
        )
    );
}

#[test]
fn another_programs_database_is_refused_and_left_alone() {
    let folder = Folder::new();
    let path = folder.path().join("wxedge.db");
    let other = Connection::open(&path).unwrap();
    other.execute_batch("CREATE TABLE theirs (a); INSERT INTO theirs VALUES (1)").unwrap();
    drop(other);
    let before = std::fs::read(&path).unwrap();
    assert_eq!(
        refused(folder.path()).to_string(),
        format!(
            "{} is a database, but not of wxedge; give store.url a folder of its own",
            path.display()
        )
    );
    assert!(std::fs::read(&path).unwrap() == before);
}

#[test]
fn what_a_crash_left_of_the_first_start_is_taken() {
    let folder = Folder::new();
    folder.write("wxedge.db", "");
    Store::open(folder.path(), Options::default()).expect("a store");
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    // There not even root can make a file.
    let error = refused(Path::new("/proc/self"));
    assert!(matches!(error, OpenError::Unusable(..)), "{error}");
    let text = error.to_string();
    assert!(text.starts_with("the store /proc/self cannot be used: "), "{text}");
    let folder = Folder::new();
    let file = folder.write("file", "");
    let error = refused(&file.join("store"));
    assert!(matches!(error, OpenError::Unusable(..)), "{error}");
}

#[test]
fn a_database_that_cannot_be_written_is_named() {
    let folder = Folder::new();
    // Not even root can write a folder as a file.
    std::fs::create_dir(folder.path().join("wxedge.db")).unwrap();
    let text = refused(folder.path()).to_string();
    let path = folder.path().join("wxedge.db");
    assert!(text.starts_with(&format!("the store {} cannot be used: ", path.display())), "{text}");
}
