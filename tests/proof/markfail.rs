//! WeChat stops pushing at 3 failures (MarkFail), and the app fails in every way: WeChat counts no failure, and once the
//! app is well it has every message.
//!
//! It fails when WeChat sees a failure or waits in vain, and when a message does not arrive, is not what was sent, has
//! another `ce-id` or comes before an earlier one of its user.

use std::time::Duration;

use wxedge_tests::app::Answer;
use wxedge_tests::edge::{Account, Edge};
use wxedge_tests::spool;
use wxedge_tests::wechat::Ledger;

use crate::edge;
use crate::ill::{FAILS, Fault, Ill};

/// More than the circuit breaker lets fail, so that it opens where it has to.
const USERS: usize = 12;

/// How an app fails, and how that is called.
const FAULTS: [(&str, Fault); 10] = [
    ("refuses", Fault::Refuses),
    ("drops", Fault::Answers(Answer::no_answer)),
    ("hangs", Fault::Answers(Answer::hang)),
    ("resets", Fault::Answers(Answer::reset)),
    ("fails", FAILS),
    ("garbage", Fault::Answers(|| Answer::raw("SSH-2.0-OpenSSH_9.2\r\n\r\n"))),
    ("truncated", Fault::Answers(|| Answer::text("half of it").truncated())),
    ("late_4400", Fault::Late(Duration::from_millis(4_400))),
    ("late_4900", Fault::Late(Duration::from_millis(4_900))),
    ("late_5100", Fault::Late(Duration::from_millis(5_100))),
];

/// In time, if only just: no fault of the app's.
const SLOW: (&str, Fault) = ("slow_4200", Fault::Late(Duration::from_millis(4_200)));

fn account(name: &str, ill: &Ill) -> Account {
    // A call that hangs ends before the test has to wait long for it.
    ill.account(name).upstream("late_timeout_s = 8")
}

#[test]
fn wechat_sees_no_failure_of_the_app_and_the_app_gets_every_message() {
    let apps: Vec<(&str, Ill)> = FAULTS
        .iter()
        .chain([&SLOW])
        .map(|(name, fault)| (*name, Ill::start(*fault, USERS)))
        .collect();
    let edge = edge().accounts(apps.iter().map(|(name, ill)| account(name, ill))).start();
    std::thread::scope(|scope| {
        for (name, ill) in &apps {
            scope.spawn(|| is_hidden_from_wechat(&edge, name, ill));
        }
    });
}

fn is_hidden_from_wechat(edge: &Edge, name: &str, ill: &Ill) {
    let wechat = edge.wechat_of(name).ledger(Ledger::default().markfail(3));
    ill.write(&wechat, 2);
    assert!(wechat.report().is_quiet(), "{name}: {:?}", wechat.report());
    ill.recover();
    spool::await_empty(edge, Some(name), Duration::from_secs(30));
    let report = ill.journal.report();
    report.assert_kept();
    assert_eq!(report.delivered, 2 * USERS as u64, "{name}");
    // Who took it, late or not, is not asked again.
    assert_eq!(report.duplicates, 0, "{name}: {report}");
}
