//! What is acknowledged but not taken by the app.

pub mod breaker;
pub mod queue;
