//! The proofs that take long or need root: `make soak`. Those of every day are in `tests/proof`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "it says how much it has proven")]

mod crash;
mod late;
mod power;

const PROGRAM: &str = env!("CARGO_BIN_EXE_wxedge");
