//! The real `wxedge` between the fake WeChat and the fake app: every row of the contract, one module a theme.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod admin;
mod admin_spool;
mod admission;
mod answers;
mod api;
mod api_admin;
mod api_answers;
mod api_bodies;
mod api_budgets;
mod api_clients;
mod api_credentials;
mod api_endpoints;
mod api_failover;
mod api_log;
mod api_process;
mod api_repeats;
mod api_streaming;
mod api_tokens;
mod backup;
mod bounds;
mod circuit;
mod damage;
mod deadlines;
mod delivery;
mod events;
mod faults;
mod formats;
mod join;
mod late_failures;
mod late_replies;
mod late_windows;
mod log;
mod metrics;
mod money;
mod order;
mod outcomes;
mod process;
mod reload;
mod repeats;
mod replay;
mod replies;
mod spool;
mod spool_bounds;
mod spool_restart;
mod upgrade;
mod upgrade_spool;
mod verification;

use wxedge_tests::edge::Builder;

/// The program under test, with the account `main`.
fn edge() -> Builder {
    Builder::new(PROGRAM)
}

const PROGRAM: &str = env!("CARGO_BIN_EXE_wxedge");
