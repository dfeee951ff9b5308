//! Calls of an app to WeChat: whose they are, which credential they need, and what leaves the edge.

pub mod jssdk;
pub mod pattern;
pub mod query;
pub mod route;
pub mod target;

#[cfg(test)]
mod tests;
