//! The real `wxedge` against everybody who is not WeChat, or who stands in between: malformed HTTP, hostile XML, clients
//! that take their time, TLS, a real nginx in front, a host's Pingora server around it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod idle;
mod malformed;
mod mutations;
mod nginx;
mod plugin;
mod redaction;
mod slow;
mod sockets;
mod tally;
mod tls;
mod xml;

use wxedge_tests::edge::Builder;

/// The program under test, with the account `main`.
fn edge() -> Builder {
    Builder::new(PROGRAM)
}

const PROGRAM: &str = env!("CARGO_BIN_EXE_wxedge");
