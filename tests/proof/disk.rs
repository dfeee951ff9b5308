//! The disk of the store fails, is read-only or is slow: what cannot be made durable in time is refused with 503, what
//! the app takes needs no disk, and when the disk is well again so is the edge.
//!
//! It fails when something is acknowledged that is not on disk, when an answer comes too late for WeChat, when the edge
//! does not say that its store cannot be written, and when it does not mend itself.

use std::time::Duration;

use nix::errno::Errno;
use wxedge_tests::disk::Disk;
use wxedge_tests::edge::Edge;
use wxedge_tests::wechat::Verdict;
use wxedge_tests::{PATIENCE, Ruler, eventually, spool};

use crate::edge;
use crate::ill::{FAILS, Fault, Ill};

const USERS: usize = 8;

fn writable(edge: &Edge) -> bool {
    edge.status()["store"]["writable"].as_bool().unwrap()
}

#[test]
fn a_sync_that_fails_is_no_acknowledgement() {
    no_acknowledgement(|disk| disk.fail_syncs(Errno::EIO));
}

#[test]
fn a_disk_that_has_become_read_only_is_no_acknowledgement() {
    no_acknowledgement(|disk| disk.fail_writes(Errno::EROFS));
}

fn no_acknowledgement(fail: impl Fn(&Disk)) {
    let disk = Disk::new();
    let (ill, well) = (Ill::start(FAILS, USERS), Ill::well(USERS));
    let builder = disk.under(edge()).accounts([ill.account("ill"), well.account("well")]);
    let mut edge = builder.start();
    let wechat = edge.wechat_of("ill");
    for round in 0..3 {
        let before = ill.deliver(&wechat, 0);
        assert_eq!(before.verdict, Verdict::Acknowledged, "round {round}: the disk is well");

        fail(&disk);
        for user in 1..USERS {
            let refused = ill.deliver(&wechat, user);
            assert_eq!((refused.status(), refused.body()), (503, &b""[..]), "round {round}");
            let healthy = well.deliver(&edge.wechat_of("well"), user);
            assert_eq!(healthy.verdict, Verdict::Acknowledged, "what the app takes needs no disk");
        }
        assert!(!writable(&edge), "round {round}");
        assert!(disk.hits() > 0, "it asked the disk");

        disk.heal();
        eventually(PATIENCE, "the edge mends itself", || {
            ill.deliver(&wechat, 0).verdict == Verdict::Acknowledged
        });
        assert!(writable(&edge));
    }
    // What was acknowledged is on disk and not only in the memory of the process.
    edge.kill();
    ill.recover();
    let edge = builder.folder(&edge.folder()).start();
    spool::await_empty(&edge, None, PATIENCE);
    let report = ill.journal.report();
    report.assert_kept();
    assert!(report.acknowledged >= 6, "{report}");
    well.journal.report().assert_kept();
}

#[test]
fn a_slow_disk_keeps_nobody_waiting_longer_than_wechat_does() {
    let ruler = Ruler::start();
    let disk = Disk::new();
    let fails = Ill::start(FAILS, USERS);
    let hangs = Ill::start(Fault::Late(Duration::from_secs(7)), USERS);
    let builder = disk.under(edge()).accounts([fails.account("fails"), hangs.account("hangs")]);
    let edge = builder.start();
    disk.delay_syncs(Duration::from_secs(2));
    std::thread::scope(|scope| {
        for (name, ill) in [("fails", &fails), ("hangs", &hangs)] {
            for user in 0..USERS {
                let (edge, ruler) = (&edge, &ruler);
                scope.spawn(move || {
                    for _ in 0..2 {
                        let delivery = ill.deliver(&edge.wechat_of(name), user);
                        let promised = Duration::from_millis(4_800) + 2 * ruler.worst();
                        assert!(delivery.took < promised, "{name}: {:?}", delivery.took);
                        let (status, body) = (delivery.status(), delivery.body());
                        let is_promised = matches!((status, body), (200, b"success") | (503, b""));
                        assert!(is_promised, "{name}: {status} {body:?}");
                    }
                });
            }
        }
    });
    assert!(disk.hits() > 0, "it asked the disk");
    disk.heal();
    for (name, ill) in [("fails", &fails), ("hangs", &hangs)] {
        ill.recover();
        spool::await_empty(&edge, Some(name), Duration::from_secs(30));
        let report = ill.journal.report();
        println!("{name}: {report}");
        report.assert_kept();
    }
    let report = fails.journal.report();
    assert!(report.acknowledged > 0, "a disk that is slow, but in time, is no fault: {report}");
}
