//! Calls of an app to WeChat.

pub mod edge_token;
pub mod jssdk;
