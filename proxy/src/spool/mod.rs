//! What is acknowledged but not taken.

pub mod reply;
