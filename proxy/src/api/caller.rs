//! Who calls (`[clients]`), and what they may do.

use super::edge_token::KeyHash;
use super::refusal::Refusal;
use crate::config;
use crate::limits;
use pingora_limits::rate::Rate;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Everybody who may call.
#[derive(Debug, Default)]
pub struct Clients(Vec<Arc<Client>>);

/// One client as it runs.
pub struct Client {
    /// What the file says.
    pub config: Arc<config::Client>,
    key_hashes: Vec<KeyHash>,
    rate: Rate,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("name", &self.config.name).finish_non_exhaustive()
    }
}

/// Who makes a call.
#[derive(Debug, Clone)]
pub enum Caller {
    /// Somebody on this machine, while no client is configured.
    Anyone,
    /// A client.
    Client(Arc<Client>),
}

impl Clients {
    /// The clients of a configuration.
    pub fn new(clients: &BTreeMap<String, Arc<config::Client>>) -> Clients {
        let client = |config: &Arc<config::Client>| {
            Arc::new(Client {
                config: config.clone(),
                key_hashes: config.keys.iter().map(|key| KeyHash::of(key.expose())).collect(),
                rate: Rate::new_with_estimator_config(limits::RATE_INTERVAL, 1, 1),
            })
        };
        Clients(clients.values().map(client).collect())
    }

    /// Whether there is none, so that everybody on this machine may call.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The client with this key; each is compared in constant time.
    pub fn by_key(&self, key: &str) -> Option<&Arc<Client>> {
        let has = |client: &&Arc<Client>| {
            client.config.keys.iter().fold(false, |found, own| found | own.matches(key.as_bytes()))
        };
        self.0.iter().rfind(has)
    }

    /// The client of this name.
    pub fn by_name(&self, name: &str) -> Option<&Arc<Client>> {
        self.0.iter().find(|client| client.config.name == name)
    }
}

impl Client {
    /// Whether one of its keys has this hash: an edge token ends with the key it was issued for.
    pub fn has_key_hash(&self, hash: KeyHash) -> bool {
        self.key_hashes.contains(&hash)
    }
}

impl Caller {
    /// The name in metrics, log and budgets; nothing for anyone.
    pub fn name(&self) -> &str {
        match self {
            Caller::Anyone => "",
            Caller::Client(client) => &client.config.name,
        }
    }

    /// Counts a call against `rate_per_second`.
    ///
    /// # Errors
    /// When there were too many in this second.
    pub fn count(&self) -> Result<(), Refusal> {
        let Caller::Client(client) = self else { return Ok(()) };
        let max = client.config.rate_per_second;
        if client.rate.observe(&(), 1) <= max as isize {
            return Ok(());
        }
        let name = &client.config.name;
        Err(Refusal::too_many(format!("client {name} may call {max} times a second")))
    }

    /// Whether the caller may use an account.
    ///
    /// # Errors
    /// When it is not in `accounts`.
    pub fn may_use(&self, account: &str) -> Result<(), Refusal> {
        match self {
            Caller::Client(client) if !client.config.accounts.iter().any(|own| own == account) => {
                let name = &client.config.name;
                Err(Refusal::forbidden(format!("client {name} may not use this account")))
            }
            _ => Ok(()),
        }
    }

    /// Whether the caller may call an API.
    ///
    /// # Errors
    /// When no pattern of `allow` covers it.
    pub fn may_call(&self, decoded_path: &str) -> Result<(), Refusal> {
        match self {
            Caller::Client(client)
                if !client.config.allow.iter().any(|pattern| pattern.matches(decoded_path)) =>
            {
                let name = &client.config.name;
                Err(Refusal::forbidden(format!(
                    "client {name} may not call this API; see its `allow`"
                )))
            }
            _ => Ok(()),
        }
    }

    /// Whether the caller may read the real token.
    ///
    /// # Errors
    /// When it has not `raw_token`.
    pub fn may_read_token(&self) -> Result<(), Refusal> {
        match self {
            Caller::Client(client) if !client.config.raw_token => {
                let name = &client.config.name;
                Err(Refusal::forbidden(format!(
                    "client {name} may not read the token; see `raw_token`"
                )))
            }
            _ => Ok(()),
        }
    }
}
