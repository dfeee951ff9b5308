//! Calls of an app to WeChat: whose they are, which credential they need, what leaves the edge, and what the answers say.

pub mod errcode;
pub mod jssdk;
pub mod pattern;
pub mod query;
pub mod route;
pub mod target;

#[cfg(test)]
mod tests;
