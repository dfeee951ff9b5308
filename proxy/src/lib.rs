//! wxedge: the edge between WeChat and an app that knows nothing of WeChat.
//!
//! A newcomer's way in: [`server`] (what is started) → [`connection`] (how a request is read) → [`edge`] (whose it
//! is) → [`callback`] (its stages, in order) → [`outcome`] (how it ends) → [`metrics`] (how that is counted).
//!
//! A host that runs a Pingora server of its own mounts [`edge::Edge::serve`]; see `examples/plugin.rs`.

/// `Debug` for what holds a message, a query or an openid: it shows nothing of it.
macro_rules! opaque {
    ($($type:ty),*) => {
        $(impl std::fmt::Debug for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(concat!(stringify!($type), "([redacted])"))
            }
        })*
    };
}

pub(crate) use opaque;

pub mod account;
pub mod admin;
pub mod api;
pub mod api_base;
pub mod callback;
pub mod callback_ips;
pub mod cli;
pub mod config;
pub mod connection;
pub mod credential;
pub mod edge;
pub mod events;
mod key_file;
pub mod limits;
pub mod lines;
pub mod listener;
pub mod metrics;
pub mod openid;
pub mod outcome;
pub mod phase;
pub mod process_log;
mod send;
pub mod server;
pub mod spool;
pub mod store;
pub mod summary;
pub mod tls;
pub mod upgrade;
pub mod upstream;
