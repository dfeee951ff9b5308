//! The machine's clock jumps by an hour and by days, forth and back, while the edge runs and while it does not: what waits
//! is delivered as often as before, nothing becomes a dead letter before its time, and none is forgotten before its own.
//!
//! It fails when what waits is delivered all at once, or only when the clock is where it was, or given up or forgotten by a
//! clock that is wrong. The clock is libfaketime's, which reads a file; time that only grows stays the system's own.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use wxedge_tests::app::{Answer, App};
use wxedge_tests::edge::{Account, Builder, Edge};
use wxedge_tests::folder::Folder;
use wxedge_tests::message::{Message, now_s};
use wxedge_tests::wechat::Verdict;
use wxedge_tests::{PATIENCE, eventually, spool};

use crate::PROGRAM;
use crate::ill::{FAILS, Ill};

const HOUR_S: i64 = 3_600;
const DAY_S: i64 = 24 * HOUR_S;

/// A clock that is wrong by what its file says.
struct Clock(Folder);

impl Clock {
    fn right() -> Clock {
        let clock = Clock(Folder::new());
        clock.jump(0);
        clock
    }

    /// Is off by this many seconds from now on.
    fn jump(&self, seconds: i64) {
        // Renamed into its place, so that nobody reads half of it.
        let written = self.0.write("next", format!("{seconds:+}\n"));
        std::fs::rename(written, self.path()).unwrap();
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("clock")
    }

    /// An edge that goes by it.
    fn under(&self, builder: Builder) -> Builder {
        builder
            .env("LD_PRELOAD", &library().display().to_string())
            .env("FAKETIME_TIMESTAMP_FILE", &self.path().display().to_string())
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("NO_FAKE_STAT", "1")
    }
}

/// libfaketime for programs with threads, wherever this architecture has it.
fn library() -> PathBuf {
    let mut folders = std::fs::read_dir("/usr/lib").unwrap();
    let found = folders.find_map(|folder| {
        let path = folder.unwrap().path().join("faketime/libfaketimeMT.so.1");
        path.exists().then_some(path)
    });
    found.expect("libfaketime: apt-get install faketime")
}

/// The app, which fails, is called again and again, but not more often than it is to be.
fn is_redelivered(ill: &Ill, edge: &Edge, when: &str) {
    let (before, begun) = (ill.app.calls(), Instant::now());
    eventually(PATIENCE, &format!("redelivery goes on {when}"), || ill.app.calls() >= before + 2);
    let (calls, seconds) = (ill.app.calls() - before, begun.elapsed().as_secs_f64());
    assert!((calls as f64) < 2.0 + 10.0 * seconds, "{calls} calls in {seconds} s {when}");
    assert!(spool::pending(edge, Some("main")) > 0, "nothing is given up {when}");
}

#[test]
fn an_hour_forth_and_back_neither_stops_redelivery_nor_makes_it_a_storm() {
    let clock = Clock::right();
    let ill = Ill::start(FAILS, 1);
    // WeChat's timestamps are right, whatever the edge's clock says.
    let account = ill.account("main").line("replay_window_s = 0");
    let builder = clock.under(Builder::new(PROGRAM)).accounts([account]);
    let builder = builder.folder(&Arc::new(Folder::new()));
    let retry = "[spool]\nretry_min_ms = 300\nretry_max_ms = 1000\n";
    // Half the jump: nothing is given up that has not waited so long.
    let mut edge = builder.clone().more(&format!("{retry}give_up_after_s = 1800")).start();
    for jump_s in [HOUR_S, -HOUR_S, 0] {
        clock.jump(jump_s);
        assert_eq!(ill.deliver(&edge.wechat(), 0).verdict, Verdict::Acknowledged);
        eventually(PATIENCE, "the edge's clock has jumped", || {
            let log = edge.log();
            let ts = log.last().and_then(|line| line["ts"].as_f64());
            ts.is_some_and(|ts| (ts as i64 - now_s() - jump_s).abs() < 60)
        });
        is_redelivered(&ill, &edge, &format!("at {jump_s:+} s"));
    }
    // What a start finds has waited by the clock that it finds.
    for jump_s in [-HOUR_S, HOUR_S, 0] {
        edge.kill();
        clock.jump(jump_s);
        edge = builder.clone().more(retry).start();
        is_redelivered(&ill, &edge, &format!("after a start at {jump_s:+} s"));
    }
    ill.recover();
    spool::await_empty(&edge, None, Duration::from_secs(30));
    let report = ill.journal.report();
    println!("{report}");
    report.assert_kept();
}

#[test]
fn days_ahead_neither_bury_what_waits_nor_forget_what_is_dead() {
    let clock = Clock::right();
    let ill = Ill::start(FAILS, 1);
    let refuses = App::answering(Answer::status(400));
    let dead = Account::named("dead").url(&refuses.url()).without_secret();
    let accounts = [ill.account("main"), dead].map(|account| account.line("replay_window_s = 0"));
    let builder = clock.under(Builder::new(PROGRAM)).accounts(accounts);
    let builder = builder.spool("retry_min_ms = 300").spool("retry_max_ms = 1000");
    let builder = builder.folder(&Arc::new(Folder::new()));
    let mut edge = builder.start();
    assert_eq!(ill.deliver(&edge.wechat_of("main"), 0).verdict, Verdict::Acknowledged);
    let refused = edge.wechat_of("dead").deliver(&Message::text("hi"));
    assert_eq!(refused.verdict, Verdict::Acknowledged);
    let is_kept = |edge: &Edge, when: &str| {
        is_redelivered(&ill, edge, when);
        let left = edge.admin("/v1/spool?account=dead").json();
        assert_eq!(left["entries"].as_array().unwrap().len(), 1, "{when}");
    };
    is_kept(&edge, "before");
    for days in [30, -30, 3] {
        clock.jump(days * DAY_S);
        is_kept(&edge, &format!("at {days:+} days"));
    }
    // 3 days are more than give_up_after_s, 30 more than retention_days.
    for days in [3, 30, -30, 30, 0] {
        edge.kill();
        clock.jump(days * DAY_S);
        edge = builder.start();
        is_kept(&edge, &format!("after a start at {days:+} days"));
    }
    ill.recover();
    spool::await_empty(&edge, Some("main"), Duration::from_secs(30));
    ill.journal.report().assert_kept();
}
