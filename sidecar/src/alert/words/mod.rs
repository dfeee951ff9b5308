//! All words of all alerts: what is so, and the first thing to do. One file for each language, the same functions in each.

mod en;
mod zh;

use super::Cause;
use crate::config::Language;
use std::net::IpAddr;

/// Why there is no status when the sidecar's key is wrong: the edge is well, and must not be called dead.
const UNAUTHORIZED: &str = "unauthorized";

impl Cause {
    /// What is so, in one or two sentences.
    pub fn description(&self, language: Language) -> String {
        match language {
            Language::Chinese => zh::description(self),
            Language::English => en::description(self),
        }
    }

    /// The first thing to do.
    pub fn action(&self, language: Language) -> String {
        match language {
            Language::Chinese => zh::action(self),
            Language::English => en::action(self),
        }
    }
}

/// Why WeChat gives no token or ticket: each has other words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refused {
    /// 40164, 61004: this address may not ask.
    Address,
    /// 40001, 40125, 41004: the secret is wrong.
    Secret,
    /// 40243: the secret is frozen.
    Frozen,
    /// 40013, 41002: the appid is wrong.
    Appid,
    /// 50002: the account is limited.
    Limited,
    /// 89501, 89503: an administrator has to confirm.
    Confirmation,
    /// 89506: an administrator refused, for a day.
    DeniedForADay,
    /// 89507: an administrator refused, for an hour.
    DeniedForAnHour,
    /// 48001, 48004: the account may not use this API.
    Unauthorized,
    /// 45009: the day's calls are used up.
    Quota,
    /// 45011: too many calls a minute.
    Rate,
    /// 40001, 40014, 42001 for a ticket: its access token is not taken.
    AccessToken,
    /// -1: WeChat is busy.
    Busy,
    /// No answer.
    Unreached,
    /// Any other.
    Other,
}

impl Refused {
    fn of(credential: &str, errcode: Option<i64>) -> Refused {
        let Some(errcode) = errcode else { return Refused::Unreached };
        match errcode {
            40001 | 40014 | 42001 if credential != "access_token" => Refused::AccessToken,
            40164 | 61004 => Refused::Address,
            40001 | 40125 | 41004 => Refused::Secret,
            40243 => Refused::Frozen,
            40013 | 41002 => Refused::Appid,
            50002 => Refused::Limited,
            89501 | 89503 => Refused::Confirmation,
            89506 => Refused::DeniedForADay,
            89507 => Refused::DeniedForAnHour,
            48001 | 48004 => Refused::Unauthorized,
            45009 => Refused::Quota,
            45011 => Refused::Rate,
            -1 => Refused::Busy,
            _ => Refused::Other,
        }
    }
}

/// The first IP address in the edge's words: `Add 47.94.148.108 to the account's IP allow-list …`.
fn address(action: Option<&str>) -> Option<IpAddr> {
    let words = action?.split(|c: char| !(c.is_ascii_hexdigit() || matches!(c, '.' | ':')));
    words.filter_map(|word| word.trim_matches(['.', ':']).parse().ok()).next()
}

/// The address of a resolver without its port.
fn host_of(resolver: &str) -> &str {
    resolver.rsplit_once(':').map_or(resolver, |(host, _)| host.trim_matches(['[', ']']))
}

/// So much of the whole, in percent.
fn percent(part: u64, whole: u64) -> u64 {
    u64::try_from(u128::from(part) * 100 / u128::from(whole.max(1))).unwrap_or(u64::MAX)
}

/// Bytes in MiB.
fn mib(bytes: u64) -> u64 {
    bytes >> 20
}

/// A number with one digit after the point, where that says something.
fn decimal(number: f64) -> String {
    if number >= 10.0 { format!("{number:.0}") } else { format!("{number:.1}") }
}
