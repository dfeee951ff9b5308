//! The fake WeChat and the fake app.
