//! `[clients.<name>]`: who may use the API listener, and for what.

use std::collections::BTreeMap;

use super::Secret;
use super::section::Section;
use super::value::{any, bearer, name};
use crate::api::edge_token;
use wxedge_wechat::api::pattern::Pattern;
use wxedge_wechat::api::route::ApiPath;

/// One program that may call WeChat through the edge.
#[derive(Debug)]
pub struct Client {
    /// The name in `[clients.<name>]`.
    pub name: String,
    /// `key` or `keys`: any of them is this client. Never empty.
    pub keys: Vec<Secret>,
    /// `accounts`: names of the accounts it may use. Never empty.
    pub accounts: Vec<String>,
    /// `allow`: path patterns; `*` is one segment, `**` any number. Default none.
    pub allow: Vec<Pattern>,
    /// `rate_per_second`: calls, 1 to 1 000 000. Default 50.
    pub rate_per_second: u32,
    /// `raw_token`: whether it may read the real token. Default no.
    pub raw_token: bool,
    /// `budget`: what happens when a daily budget is used up. Default report.
    pub budget: Budget,
    /// `[clients.<name>.budgets]`: calls a day by API path.
    pub budgets: BTreeMap<String, u64>,
}

/// `budget`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Budget {
    /// Budgets are not counted.
    Off,
    /// A used-up budget is reported.
    Report,
    /// A used-up budget refuses the call.
    Enforce,
}

impl Client {
    /// Reads `[clients.<name>]`. `accounts` are the names of those that exist.
    pub(super) fn read(text: &str, at: &Section<'_>, accounts: &[&str]) -> Client {
        if let Err(message) = name(text) {
            at.issue_here(message);
        }
        Client {
            name: text.to_owned(),
            keys: keys(at),
            accounts: client_accounts(at, accounts),
            allow: at.list("allow", pattern).unwrap_or_default(),
            rate_per_second: at.integer("rate_per_second", 1..=1_000_000, 50) as u32,
            raw_token: at.boolean("raw_token", false),
            budget: at.choice(
                "budget",
                &[("off", Budget::Off), ("report", Budget::Report), ("enforce", Budget::Enforce)],
                Budget::Report,
            ),
            budgets: budgets(&at.sub("budgets")),
        }
    }
}

fn keys(at: &Section<'_>) -> Vec<Secret> {
    let given = at.credential(Some("key"), Some("keys"));
    if !given.given {
        at.issue(
            "key",
            "is missing; write a long random text that only this client gets: openssl rand -hex 32",
        );
    }
    for (index, key) in given.values.iter().enumerate() {
        let entry = given.entry(index);
        if let Err(message) = bearer(key.expose()) {
            at.issue(&given.key, format!("{entry}{message}"));
        }
        if edge_token::looks_like(key.expose()) {
            let message = "must not begin with wxedge_, which is how edge tokens begin";
            at.issue(&given.key, format!("{entry}{message}"));
        }
    }
    given.values
}

fn client_accounts(at: &Section<'_>, existing: &[&str]) -> Vec<String> {
    let names = at.list("accounts", any);
    if !at.has("accounts") || names.as_ref().is_some_and(Vec::is_empty) {
        let message = format!("names no account; the configured ones are {}", existing.join(", "));
        at.issue("accounts", message);
    }
    let names = names.unwrap_or_default();
    for (index, name) in names.iter().enumerate() {
        if !existing.contains(&name.as_str()) {
            let message = format!(
                "entry {} is no account; the configured ones are {}",
                index + 1,
                existing.join(", ")
            );
            at.issue("accounts", message);
        }
    }
    names
}

fn pattern(text: &str) -> Result<Pattern, &'static str> {
    Pattern::parse(text).ok_or(
        "must be a path pattern such as /cgi-bin/message/**: * is one whole segment, ** any number",
    )
}

fn budgets(at: &Section<'_>) -> BTreeMap<String, u64> {
    let mut budgets = BTreeMap::new();
    for path in at.keys() {
        if pattern(path).is_err() || path.contains('*') {
            at.issue(path, "must be the path of an API, such as \"/cgi-bin/message/custom/send\"");
        }
        budgets.insert(
            ApiPath::new(path).as_str().to_owned(),
            at.integer(path, 1..=1_000_000_000_000, 1),
        );
    }
    budgets
}
