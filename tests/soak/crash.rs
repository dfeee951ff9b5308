//! `kill -9`, the long run: 30 minutes, or `WXEDGE_SOAK_MINUTES`. What is proven stands in [`wxedge_tests::crash`].

use std::time::Duration;

use wxedge_tests::crash::Crash;
use wxedge_tests::seed;

use crate::PROGRAM;

#[test]
fn what_was_acknowledged_survives_a_hundred_times_kill_9() {
    let minutes =
        std::env::var("WXEDGE_SOAK_MINUTES").map_or(30, |minutes| minutes.parse().unwrap());
    let seed = seed::seed();
    println!("WXEDGE_SEED={seed}, {minutes} minutes");
    let outcome = Crash {
        program: PROGRAM,
        seed,
        users: 64,
        pause: Duration::from_millis(500),
        duration: Duration::from_secs(minutes * 60),
        kills: 100,
        life: Duration::from_secs(12),
        patience: Duration::from_secs(300),
    }
    .run();
    println!("kills {}, {}", outcome.kills, outcome.report);
    outcome.report.assert_kept();
    assert!(outcome.report.entrusted >= 1_000, "nothing was proven: {}", outcome.report);
}
