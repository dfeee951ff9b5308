//! What the edge calls WeChat with: access tokens and tickets.

pub mod engine;
