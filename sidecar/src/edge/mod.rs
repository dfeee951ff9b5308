//! The edge as it shows itself: its admin API and its event stream, read by a client that never makes it wait.

pub mod client;
pub mod event;
pub mod status;
pub mod stream;
