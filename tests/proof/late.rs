//! An app that takes nearly as long as it may: its call is not repeated while it runs, and what it takes in the end is
//! taken. One that takes longer gets the message again.
//!
//! It fails when a message is redelivered whose first call still runs, and when one is lost whose call was given up.

use std::time::Duration;

use wxedge_tests::spool;

use crate::edge;
use crate::ill::{Fault, Ill};

const USERS: usize = 4;

/// Calls an app that answers after this time, of which it has 3 s, and says how often it was called for one message.
fn calls_for_each(answers_after: Duration) -> f64 {
    let ill = Ill::start(Fault::Late(answers_after), USERS);
    let account = ill.account("main").upstream("deadline_ms = 500").upstream("late_timeout_s = 3");
    let edge = edge().accounts([account]).start();
    ill.write(&edge.wechat(), 1);
    assert_eq!(spool::pending(&edge, None), USERS as u64, "safe while the app takes its time");
    ill.app.await_calls(USERS);
    // The first calls go on as slowly as they began.
    ill.recover();
    spool::await_empty(&edge, None, Duration::from_secs(30));
    ill.journal.report().assert_kept();
    ill.app.calls() as f64 / USERS as f64
}

#[test]
fn a_call_that_still_runs_is_not_repeated() {
    assert_eq!(calls_for_each(Duration::from_millis(2_000)), 1.0);
}

#[test]
fn a_call_that_was_given_up_is_repeated() {
    assert_eq!(calls_for_each(Duration::from_millis(5_000)), 2.0);
}
