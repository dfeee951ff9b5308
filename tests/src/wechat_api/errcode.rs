//! WeChat's errors in WeChat's words. Source: protocol.md §5.2 and the pages it names.

use std::net::Ipv4Addr;
use std::time::Duration;

use serde_json::{Value, json};

/// An error, as it stands in the body of an HTTP 200.
pub(super) fn body(errcode: i64, now: Duration) -> Value {
    with_words(errcode, words(errcode), now)
}

/// The token was valid once.
pub(super) fn not_latest(now: Duration) -> Value {
    let words = "invalid credential, access_token is invalid or not latest, could get access_token by \
                 getStableAccessToken, more details at https://mmbizurl.cn/s/JtxxFh33r";
    with_words(40001, words, now)
}

/// A token endpoint does not know the address.
pub(super) fn ip_not_listed(ip: Ipv4Addr, now: Duration) -> Value {
    with_words(40164, &format!("invalid ip {ip} ipv6 ::ffff:{ip}, not in whitelist"), now)
}

/// A third-party platform's call comes from an unknown address.
pub(super) fn component_ip_not_listed(ip: Ipv4Addr, now: Duration) -> Value {
    with_words(61004, &format!("access clientip is not registered requestIP: {ip}"), now)
}

fn with_words(errcode: i64, words: &str, now: Duration) -> Value {
    let (time, rest) = (now.as_secs() as u32, rand::random::<u64>());
    let rid = format!("{time:08x}-{:08x}-{:08x}", rest >> 32, rest as u32);
    json!({"errcode": errcode, "errmsg": format!("{words} rid: {rid}")})
}

fn words(errcode: i64) -> &'static str {
    match errcode {
        -1 => "system error",
        40001 => "invalid credential, access_token is invalid or not latest",
        40002 => "invalid grant_type",
        40007 => "invalid media_id",
        40003 => "invalid openid",
        40008 => "invalid message type",
        40013 => "invalid appid",
        40014 => "invalid access_token",
        40029 => "invalid code",
        40097 => "invalid args",
        40125 => "invalid appsecret",
        40202 => "invalid action",
        40203 => "invalid check_operator",
        40243 => "appsecret is frozen",
        41001 => "access_token missing",
        41002 => "appid missing",
        41004 => "appsecret missing",
        41005 => "media data missing",
        41008 => "missing code",
        41009 => "missing openid",
        42001 => "access_token expired",
        42002 => "refresh_token expired",
        43002 => "require POST method",
        44004 => "empty content",
        45002 => "content size out of limit",
        45008 => "article size out of limit",
        45009 => "reach max api daily quota limit",
        45011 => "api minute-quota reach limit  must slower  retry next minute",
        45015 => "response out of time limit or subscription is canceled",
        45047 => "out of response count limit",
        46003 => "menu no exist",
        47001 => "data format error",
        48001 => "api unauthorized",
        48006 => "forbid to clear quota because of reaching the limit",
        76021 => "cgi_path not found, please check",
        76022 => "could not use this cgi_path, no permission",
        89501 => "此IP正在等待管理员确认,请联系管理员",
        89503 => "此次调用需要管理员确认,请耐心等候",
        89506 => "24小时内该IP被管理员拒绝调用两次,24小时内不可再使用该IP调用",
        89507 => "1小时内该IP被管理员拒绝调用一次,1小时内不可再使用该IP调用",
        _ => "refused",
    }
}
