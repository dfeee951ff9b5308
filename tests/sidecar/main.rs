//! The real `wxedge-sidecar` beside the real `wxedge`: faults that are caused, and what is said of them.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod edge_faults;
mod life;
mod outside;
mod pages;
mod quiet;
mod told;
mod wechat_faults;

use std::path::Path;
use std::time::Duration;

use wxedge_tests::edge::{self, Edge};
use wxedge_tests::sidecar;

const SIDECAR: &str = env!("CARGO_BIN_EXE_wxedge-sidecar");

/// Faults of the app have to be said within 15 s; this is for a busy machine.
const SOON: Duration = Duration::from_secs(40);

/// An edge with the account `main`, which has an AppSecret. Its program stands beside the sidecar's: it is built with all
/// packages, not with the sidecar alone.
fn edge_with_secret() -> edge::Builder {
    let program = Path::new(SIDECAR).with_file_name("wxedge");
    let found = program.exists();
    assert!(found, "`cargo build -p wxedge` comes first: there is no {}", program.display());
    edge::Builder::new(program.to_str().unwrap())
}

/// The same without an AppSecret: nothing is asked of WeChat, and so nothing can be wrong there.
fn edge() -> edge::Builder {
    edge_with_secret().main(edge::Account::without_secret)
}

/// A sidecar that watches this edge.
fn sidecar(edge: &Edge) -> sidecar::Builder {
    sidecar::Builder::new(SIDECAR, edge.admin)
}
