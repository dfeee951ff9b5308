//! Nothing acknowledged is lost: the real `wxedge` is killed, its app breaks in every way, its disk fills up, fails and
//! is slow, its clock jumps. One module a proof; `tests/soak` has those that take long or need root.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod clock;
mod crash;
mod disk;
mod full;
mod ill;
mod late;
mod markfail;

use wxedge_tests::edge::Builder;

const PROGRAM: &str = env!("CARGO_BIN_EXE_wxedge");

/// The program under test, in a hurry to deliver again.
fn edge() -> Builder {
    Builder::new(PROGRAM).spool("retry_min_ms = 100").spool("retry_max_ms = 1000")
}
