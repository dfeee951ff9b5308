//! Configuration: a TOML file, overridden by the environment, checked as a whole.
//!
//! `tree` merges the two layers into one tree that knows where each value came from; `section` walks it with typed
//! accessors that note every mistake instead of stopping at the first; one file per table turns it into the types
//! below, which have only valid states. Nothing here reads the environment, the clock only says whether a
//! certificate is valid, and no message, `Display` or `Debug` repeats a value.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use notes::Notes;
use section::Section;
use url::Url;

mod account;
mod client;
mod credential;
mod file;
mod issue;
mod listen;
mod notes;
mod process;
mod restart;
mod secret;
mod section;
#[cfg(test)]
mod tests;
mod tls;
mod tree;
mod upstream;
mod value;
mod wechat;

pub use account::{Account, LateReplyVia, Mode, OnDeadline, SourceIp, TokenEndpoint};
pub use client::{Budget, Client};
pub use issue::{Issue, Issues};
pub use listen::Listen;
pub use process::{Runtime, Store};
pub use secret::{Secret, SigningKey};
pub use tls::Tls;
pub use upstream::{BodyFormat, Target, Upstream};
pub use wechat::{Api, Spool, Wechat};

/// A configuration a start would accept.
#[derive(Debug)]
pub struct Config {
    /// `[listen]`.
    pub listen: Listen,
    /// `[runtime]`.
    pub runtime: Runtime,
    /// `[store]`.
    pub store: Store,
    /// `[wechat]`.
    pub wechat: Wechat,
    /// `[api]`.
    pub api: Api,
    /// `[spool]`.
    pub spool: Spool,
    /// `[accounts.<name>]`, by name. Never empty.
    pub accounts: BTreeMap<String, Arc<Account>>,
    /// `[clients.<name>]`, by name.
    pub clients: BTreeMap<String, Arc<Client>>,
    /// What is valid but probably not meant.
    pub warnings: Vec<Issue>,
}

impl Config {
    /// Reads and checks the file at `path` with `environment` over it.
    pub fn load(path: &Path, environment: &BTreeMap<String, String>) -> Result<Config, Issues> {
        let text = file::read_text(path)
            .map_err(|message| Issues::one(None, format!("{} {message}", path.display())))?;
        Config::parse(&text, environment)
    }

    /// Checks `text` with `environment` over it: every mistake at once.
    pub fn parse(text: &str, environment: &BTreeMap<String, String>) -> Result<Config, Issues> {
        let mut tree = tree::parse(text)?;
        tree::overlay(&mut tree, environment);
        let notes = Notes::default();
        let config = Config::read(&Section::root(&notes, &tree));
        let (mistakes, warnings) = notes.finish(&tree);
        if mistakes.is_empty() {
            Ok(Config { warnings, ..config })
        } else {
            Err(Issues { mistakes, warnings })
        }
    }

    fn read(root: &Section<'_>) -> Config {
        let accounts = read_accounts(root);
        let clients = read_clients(root, &accounts);
        Config {
            listen: Listen::read(&root.sub("listen"), !clients.is_empty()),
            runtime: Runtime::read(&root.sub("runtime")),
            store: Store::read(&root.sub("store")),
            wechat: Wechat::read(&root.sub("wechat")),
            api: Api::read(&root.sub("api")),
            spool: Spool::read(&root.sub("spool")),
            accounts,
            clients,
            warnings: Vec::new(),
        }
    }
}

fn read_accounts(root: &Section<'_>) -> BTreeMap<String, Arc<Account>> {
    let section = root.sub("accounts");
    if section.keys().next().is_none() && !section.broken() {
        let state = if root.has("accounts") { "empty" } else { "missing" };
        let fix = "add [accounts.main] with appid, token, encoding_aes_keys and upstream.url";
        root.issue("accounts", format!("is {state}; {fix}"));
    }
    let mut accounts: BTreeMap<String, Arc<Account>> = BTreeMap::new();
    for (name, at) in section.tables() {
        let account = Account::read(name, &at);
        for other in accounts.values() {
            if account.appid == other.appid && !account.appid.is_empty() {
                at.issue(
                    "appid",
                    format!(
                        "is also the appid of accounts.{}; every account has its own",
                        other.name
                    ),
                );
            }
            if account.path == other.path {
                at.issue(
                    "path",
                    format!(
                        "is also the path of accounts.{}; give each account its own",
                        other.name
                    ),
                );
            }
        }
        accounts.insert(name.to_owned(), Arc::new(account));
    }
    accounts
}

fn read_clients(
    root: &Section<'_>,
    accounts: &BTreeMap<String, Arc<Account>>,
) -> BTreeMap<String, Arc<Client>> {
    let names: Vec<_> = accounts.keys().map(String::as_str).collect();
    let mut clients: BTreeMap<String, Arc<Client>> = BTreeMap::new();
    for (name, at) in root.sub("clients").tables() {
        let client = Client::read(name, &at, &names);
        for other in clients.values() {
            let shared = |key: &Secret| {
                other.keys.iter().any(|taken| taken.matches(key.expose().as_bytes()))
            };
            if client.keys.iter().any(shared) {
                at.issue(
                    "key",
                    format!("is also a key of clients.{}; it must say who calls", other.name),
                );
            }
        }
        clients.insert(name.to_owned(), Arc::new(client));
    }
    clients
}

/// What may be shown of a URL: its user, path and query can hold secrets.
fn shown(url: &Url) -> String {
    url.origin().ascii_serialization()
}
