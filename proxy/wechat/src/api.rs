//! WeChat's API, the other direction: what its answers say.

pub mod errcode;
