//! `kill -9`, the short run; `make soak` has the long one. What is proven stands in [`wxedge_tests::crash`].

use std::time::Duration;

use wxedge_tests::crash::Crash;
use wxedge_tests::seed;

use crate::PROGRAM;

#[test]
fn what_was_acknowledged_survives_kill_9() {
    let seed = seed::seed();
    println!("WXEDGE_SEED={seed}");
    let outcome = Crash {
        program: PROGRAM,
        seed,
        users: 24,
        pause: Duration::from_millis(150),
        duration: Duration::from_secs(20),
        kills: 10,
        life: Duration::from_secs(2),
        patience: Duration::from_secs(60),
    }
    .run();
    println!("kills {}, {}", outcome.kills, outcome.report);
    outcome.report.assert_kept();
    // Otherwise nothing was proven.
    assert!(outcome.report.entrusted >= 100, "{}", outcome.report);
}
