//! `token_failure`: a token or ticket cannot be had; at once when WeChat's answer would be the same again, after 15 s when
//! it was not reached or is busy. `token_foreign_refresh`: a token died long before its time; over when that has not
//! happened for an hour.

use super::book::{Level, Sign};
use super::window::Window;
use super::{Cause, Kind};
use crate::edge::status::Credential;
use crate::limits;
use crate::observation::{Millis, excerpt};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const LASTS: Millis = 15_000;
const FOREIGN_S: u64 = 3600;

/// An account's tokens and tickets.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Tokens {
    failing: BTreeMap<String, Failing>,
    foreign: Option<Foreign>,
}

/// One that cannot be had.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Failing {
    firing: bool,
    first: Millis,
    last: Millis,
    /// Failed requests that were heard of.
    count: u64,
    errcode: Option<i64>,
    action: Option<String>,
}

/// Tokens that died early.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Foreign {
    first: Millis,
    last: Millis,
    times: Window<FOREIGN_S>,
    credential: String,
}

/// What is heard of one.
pub(super) struct News<'a> {
    pub(super) credential: &'a str,
    pub(super) errcode: Option<i64>,
    pub(super) action: Option<&'a str>,
}

impl Tokens {
    pub(super) fn event(&mut self, at: Millis, result: &str, news: &News<'_>) {
        if result == "failed" {
            self.fails(at, news);
            if let Some(failing) = self.failing.get_mut(news.credential) {
                failing.count += 1;
            }
            return;
        }
        self.failing.remove(news.credential);
        if result == "foreign" {
            let foreign = self.foreign.get_or_insert_with(|| Foreign {
                first: at,
                last: at,
                times: Window::default(),
                credential: String::new(),
            });
            foreign.last = at;
            foreign.times.add(at, 1);
            news.credential.clone_into(&mut foreign.credential);
        }
    }

    pub(super) fn status(&mut self, at: Millis, credentials: &[Credential]) {
        let failing = |name: &str| {
            credentials.iter().any(|one| one.credential == name && one.state == "failing")
        };
        self.failing.retain(|name, _| failing(name));
        for one in credentials.iter().filter(|one| one.state == "failing") {
            let (credential, action) = (one.credential.as_str(), one.action.as_deref());
            self.fails(at, &News { credential, errcode: one.errcode, action });
        }
    }

    fn fails(&mut self, at: Millis, news: &News<'_>) {
        let known = self.failing.contains_key(news.credential);
        if !known && self.failing.len() >= limits::ALERT_CREDENTIALS {
            return;
        }
        let failing = self.failing.entry(news.credential.to_owned()).or_insert(Failing {
            firing: false,
            first: at,
            last: at,
            count: 0,
            errcode: None,
            action: None,
        });
        failing.last = at;
        failing.errcode = news.errcode;
        failing.action = news.action.map(excerpt);
        failing.firing |= is_definite(news) || at.saturating_sub(failing.first) >= LASTS;
    }

    /// `seen_since` is since when all that happens is seen.
    pub(super) fn tick(&mut self, now: Millis, seen_since: Option<Millis>) {
        for failing in self.failing.values_mut() {
            failing.firing |= now.saturating_sub(failing.first) >= LASTS;
        }
        self.foreign.take_if(|foreign| {
            seen_since.is_some() && now.saturating_sub(foreign.last) >= FOREIGN_S * 1000
        });
    }

    pub(super) fn signs(&self, now: Millis, account: &str) -> Vec<Sign> {
        let failing = self.failing.iter().map(|(credential, failing)| Sign {
            kind: Kind::TokenFailure,
            account: Some(account.to_owned()),
            level: if failing.firing { Level::Firing } else { Level::Pending },
            severity: Kind::TokenFailure.severity(),
            cause: Cause::Token {
                credential: credential.clone(),
                errcode: failing.errcode,
                action: failing.action.clone(),
            },
            first: failing.first,
            last: failing.last,
            count: failing.count.max(1),
            window_s: failing.last.saturating_sub(failing.first) / 1000,
            example: None,
        });
        let foreign = self.foreign.iter().map(|foreign| Sign {
            kind: Kind::TokenForeignRefresh,
            account: Some(account.to_owned()),
            level: Level::Firing,
            severity: Kind::TokenForeignRefresh.severity(),
            cause: Cause::ForeignRefresh { credential: foreign.credential.clone() },
            first: foreign.first,
            last: foreign.last,
            count: foreign.times.sum(now),
            window_s: FOREIGN_S,
            example: None,
        });
        failing.chain(foreign).collect()
    }
}

/// Whether WeChat would say the same again.
fn is_definite(news: &News<'_>) -> bool {
    let Some(errcode) = news.errcode else { return false };
    match errcode {
        // The access token was not taken: the edge gets another one and asks again.
        40001 | 40014 | 42001 => news.credential == "access_token",
        40002 | 40013 | 40125 | 40164 | 40243 | 41002 | 41004 | 45009 | 48001 | 48004 | 50002
        | 61004 | 89501 | 89503 | 89506 | 89507 => true,
        _ => false,
    }
}
