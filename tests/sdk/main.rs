//! Unmodified SDKs, wechatpy from PyPI and co-wechat-api from npm, with the real `wxedge` before the fake WeChat API, and
//! without it: what they ask, what they repeat, and what they say of an error.
//!
//! Needs the Python and the Node packages that `make test` installs. Without them these tests fail; a drop-in that was
//! not tried is none.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod calls;
mod errors;
mod peer;
mod rights;
mod storms;

use wxedge_tests::edge::{Builder, Edge};
use wxedge_tests::wechat_api::Api;

/// The program under test, with the account `main`, in front of this WeChat; no clients, so that any SDK on this machine
/// may ask and its secret does not matter.
fn edge(api: &Api) -> Builder {
    Builder::new(PROGRAM).without_clients().api_base(&[&api.url()])
}

/// What an SDK's base URL has to be, without what WeChat has in it.
fn base(edge: &Edge) -> String {
    format!("http://{}/main", edge.api())
}

const PROGRAM: &str = env!("CARGO_BIN_EXE_wxedge");
