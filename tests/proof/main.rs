//! Nothing acknowledged is lost: the real `wxedge` is killed, its app breaks in every way, its disk fills up, fails and
//! is slow, its clock jumps. One module a proof; `tests/soak` has those that take long or need root.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod crash;

const PROGRAM: &str = env!("CARGO_BIN_EXE_wxedge");
