//! The store's file system is full, or read-only from the start.
//!
//! The edge gets a view of the files of its own (`unshare`), where the store's folder is a small tmpfs or cannot be
//! written; it goes when the edge goes. Needs no root where users may have namespaces of their own, as on Debian.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use wxedge_tests::edge::{Builder, Edge};
use wxedge_tests::folder::Folder;
use wxedge_tests::wechat::Verdict;
use wxedge_tests::{PATIENCE, eventually, spool};

use crate::edge;
use crate::ill::{FAILS, Ill};

/// How many messages may go to what is left of a full disk.
const MOST: usize = 1_000;

/// An edge that runs after `mount`, which gets the store's folder for `$0`.
fn with_mount(builder: Builder, store: &Path, mount: &str) -> Builder {
    let script = format!("{mount} && exec \"$@\"");
    let store = store.display().to_string();
    builder.under(&["unshare", "--map-root-user", "--mount", "sh", "-c", &script, &store])
}

/// The path as the edge sees it.
fn inside(edge: &Edge, path: &Path) -> PathBuf {
    let root = PathBuf::from(format!("/proc/{}/root", edge.pid()));
    root.join(path.strip_prefix("/").unwrap())
}

#[test]
fn a_full_disk_refuses_what_it_cannot_keep_and_is_well_again_when_there_is_room() {
    let folder = Arc::new(Folder::new());
    let store = folder.path().join("store");
    std::fs::create_dir(&store).unwrap();
    let (ill, well) = (Ill::start(FAILS, 1), Ill::well(1));
    let builder = edge().folder(&folder).accounts([ill.account("ill"), well.account("well")]);
    let mount = "mount -t tmpfs -o size=8m,mode=700 tmpfs \"$0\"";
    let edge = with_mount(builder, &store, mount).start();
    let wechat = edge.wechat_of("ill");
    assert_eq!(ill.deliver(&wechat, 0).verdict, Verdict::Acknowledged);

    let filler = inside(&edge, &store).join("filler");
    // It ends with an error: the file takes all that is left.
    std::fs::write(&filler, vec![0; 8 << 20]).unwrap_err();
    let refused = (0..MOST).map(|_| ill.deliver(&wechat, 0));
    let refused = refused.skip_while(|delivery| delivery.verdict == Verdict::Acknowledged);
    let refused = refused.map(|delivery| (delivery.status(), delivery.body().to_vec())).next();
    assert_eq!(refused, Some((503, Vec::new())), "no room, no acknowledgement");
    edge.assert_count("wxedge_callbacks_total", &[("outcome", "unavailable")], 1.0);
    for _ in 0..10 {
        let delivery = well.deliver(&edge.wechat_of("well"), 0);
        assert_eq!(delivery.verdict, Verdict::Acknowledged, "what the app takes needs no room");
    }

    std::fs::remove_file(&filler).unwrap();
    eventually(PATIENCE, "the edge mends itself", || {
        ill.deliver(&wechat, 0).verdict == Verdict::Acknowledged
    });
    ill.recover();
    spool::await_empty(&edge, None, PATIENCE);
    let report = ill.journal.report();
    println!("{report}");
    report.assert_kept();
}

#[test]
fn a_store_that_cannot_be_written_is_no_store_to_start_with() {
    let folder = Folder::new();
    let store = folder.path().join("store");
    std::fs::create_dir(&store).unwrap();
    let mount = "mount --bind \"$0\" \"$0\" && mount -o remount,bind,ro \"$0\"";
    let (code, said) = with_mount(edge().store(&store), &store, mount).fail();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(&store.display().to_string()), "{said}");
    assert!(said.contains("Read-only file system"), "{said}");
}
