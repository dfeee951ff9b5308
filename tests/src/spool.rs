//! What the edge says of its spool.

use std::time::Duration;

use crate::edge::Edge;
use crate::eventually;

/// How many entries wait: of an account, or of all.
///
/// # Panics
/// When there are dead letters: no proof expects one.
#[track_caller]
#[must_use]
pub fn pending(edge: &Edge, account: Option<&str>) -> u64 {
    let status = edge.status();
    let accounts = status["accounts"].as_array().expect("accounts");
    let counted = accounts.iter().filter(|one| account.is_none_or(|name| one["account"] == name));
    let mut pending = 0;
    for account in counted {
        let count = |what: &str| account["spool"][what].as_u64().expect("a number");
        assert_eq!(count("dead"), 0, "{}", edge.admin("/v1/spool?state=dead").text());
        pending += count("pending");
    }
    pending
}

/// Waits until nothing waits any more: of an account, or of all.
///
/// # Panics
/// When it does not get there within `patience`.
#[track_caller]
pub fn await_empty(edge: &Edge, account: Option<&str>, patience: Duration) {
    let what = format!("everything is delivered ({})", account.unwrap_or("all accounts"));
    eventually(patience, &what, || pending(edge, account) == 0);
}
