//! The disk of the store fails, is read-only or is slow: what cannot be made durable in time is refused with 503, what
//! the app takes needs no disk, and when the disk is well again so is the edge.
//!
//! It fails when something is acknowledged that is not on disk, when an answer comes too late for WeChat, when the edge
//! does not say that its store cannot be written, when it does not mend itself, and when the app waits for the disk.

use std::time::Duration;

use nix::errno::Errno;
use wxedge_tests::app::{Answer, App, Gate};
use wxedge_tests::disk::Disk;
use wxedge_tests::edge::{Account, Builder, Edge};
use wxedge_tests::message::Message;
use wxedge_tests::wechat::Verdict;
use wxedge_tests::{PATIENCE, Ruler, eventually, spool, thread};

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

/// The write-ahead log is on disk, but what is moved from it into the database is not: the edge must not take it for moved.
#[test]
fn what_a_failed_sync_of_the_database_has_lost_is_moved_once_more() {
    let disk = Disk::new();
    let ill = Ill::start(FAILS, USERS);
    let builder = disk.under(edge()).accounts([ill.account("main")]);
    let edge = builder.start();
    let wechat = edge.wechat();
    ill.write(&wechat, 20);
    for _ in 0..3 {
        disk.lose_the_database();
        eventually(PATIENCE, "the edge hears of it", || {
            // Side by side: only what is moved while others write is not synced at once.
            std::thread::scope(|scope| {
                for user in 0..USERS {
                    let (ill, wechat) = (&ill, &wechat);
                    scope.spawn(move || (0..10).for_each(|_| drop(ill.deliver(wechat, user))));
                }
            });
            !writable(&edge)
        });
        disk.heal();
        eventually(PATIENCE, "the edge mends itself", || {
            ill.deliver(&wechat, 0).verdict == Verdict::Acknowledged
        });
    }
    assert!(disk.hits() > 1, "it asked the disk");
    ill.write(&wechat, 20);
    assert_kept_by(&disk, &builder, edge, &ill);
}

/// The beginning of a transaction that nobody was told of can still be read, but is on no disk: what is written behind it would
/// be lost with it.
#[test]
fn nothing_is_acknowledged_behind_a_gap_in_the_log() {
    let disk = Disk::new();
    let ill = Ill::start(FAILS, USERS);
    let builder = disk.under(edge()).accounts([ill.account("main")]);
    let edge = builder.start();
    let wechat = edge.wechat();
    ill.write(&wechat, 2);
    disk.lose_the_log();
    assert_eq!(ill.deliver(&wechat, 0).status(), 503);
    // Opened again it is moved into the database, which fails too.
    disk.lose_the_database();
    let hits = disk.hits();
    eventually(PATIENCE, "it is tried", || {
        ill.deliver(&wechat, 1);
        disk.hits() > hits
    });
    disk.heal();
    eventually(PATIENCE, "the edge mends itself", || {
        ill.deliver(&wechat, 2).verdict == Verdict::Acknowledged
    });
    ill.write(&wechat, 2);
    assert_kept_by(&disk, &builder, edge, &ill);
    let report = ill.journal.report();
    assert_eq!(report.delivered, report.acknowledged, "what was refused is not there: {report}");
}

/// The same when it is the next process that could take the gap for a part of the log.
#[test]
fn a_failed_sync_is_remembered_by_the_next_process() {
    let disk = Disk::new();
    let ill = Ill::start(FAILS, USERS);
    let builder = disk.under(edge()).accounts([ill.account("main")]);
    let mut edge = builder.start();
    ill.write(&edge.wechat(), 2);
    disk.lose_the_log();
    assert_eq!(ill.deliver(&edge.wechat(), 0).status(), 503);
    edge.kill();
    disk.heal();
    let edge = builder.clone().folder(&edge.folder()).start();
    ill.write(&edge.wechat(), 2);
    assert_kept_by(&disk, &builder, edge, &ill);
}

/// After a power cut everything that was acknowledged is there, and nothing is damaged.
fn assert_kept_by(disk: &Disk, builder: &Builder, mut edge: Edge, ill: &Ill) {
    edge.kill();
    disk.cut_power(&edge.folder().path().join("store"));
    ill.recover();
    let edge = builder.clone().folder(&edge.folder()).start();
    assert!(edge.status()["store"]["salvaged"].is_null());
    spool::await_empty(&edge, None, PATIENCE);
    ill.journal.report().assert_kept();
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

#[test]
fn what_waits_is_delivered_while_the_disk_forgets_what_was_and_once_more_after_a_crash() {
    const MESSAGES: usize = 5;
    let disk = Disk::new();
    let ill = Ill::start(FAILS, USERS);
    let builder = disk.under(edge()).accounts([ill.account("main")]).spool("concurrency = 1");
    let mut edge = builder.start();
    ill.write(&edge.wechat(), MESSAGES);
    disk.delay_syncs(Duration::from_secs(5));
    let before = ill.app.calls();
    ill.recover();
    // One place, and 40 messages: each would wait for a sync of 5 s if it were given back with the row.
    eventually(PATIENCE, "all are delivered", || ill.app.calls() >= before + USERS * MESSAGES);
    assert!(spool::pending(&edge, None) > 0, "they count until their rows are gone");
    assert!(disk.hits() > 0, "it asked the disk");
    edge.kill();
    disk.heal();
    let edge = builder.folder(&edge.folder()).start();
    spool::await_empty(&edge, None, PATIENCE);
    let report = ill.journal.report();
    println!("{report}");
    report.assert_kept();
}

#[test]
fn an_answer_that_comes_while_the_disk_hangs_is_given_to_wechat() {
    let (disk, gate) = (Disk::new(), Gate::closed());
    let app = App::answering(Answer::text("here").behind(&gate));
    let account = Account::named("main").url(&app.url()).without_secret();
    let edge = disk.under(edge()).accounts([account.upstream("deadline_ms = 800")]).start();
    disk.delay_syncs(Duration::from_secs(6));
    let wechat = edge.wechat();
    let waiting = thread(move || wechat.deliver(&Message::text("hi")));
    eventually(PATIENCE, "the message is on its way to the disk", || disk.hits() > 0);
    gate.open();
    let delivery = waiting.join().unwrap();
    assert!(matches!(delivery.verdict, Verdict::Replied(_)), "{delivery:?}");
    disk.heal();
    eventually(PATIENCE, "its row is gone", || {
        edge.admin("/v1/spool").json()["entries"].as_array().is_some_and(Vec::is_empty)
    });
    assert_eq!((app.calls(), spool::pending(&edge, None)), (1, 0));
}
