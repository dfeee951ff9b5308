//! What the credentials of an account stand on.

use super::Kind;
use super::engine::{Policy, Source};
use crate::api_base::ApiBases;
use crate::config::{self, Secret, TokenEndpoint};
use crate::events::Events;
use crate::metrics::CredentialMetrics;
use crate::store::Store;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whose credentials they are, where they come from, and who hears of them. A reload makes a new one.
#[derive(Debug)]
pub struct Ground {
    /// The account's name.
    pub account: String,
    /// Its appid.
    pub appid: String,
    /// Its AppSecret.
    pub secret: Secret,
    /// `token_endpoint`.
    pub endpoint: TokenEndpoint,
    /// WeChat.
    pub bases: Arc<ApiBases>,
    /// Where they survive a restart.
    pub store: Store,
    /// Who hears of them.
    pub events: Arc<Events>,
    /// How they are counted.
    pub metrics: CredentialMetrics,
    retired: AtomicBool,
}

impl Ground {
    /// The ground of an account that has an AppSecret.
    pub fn new(
        account: &config::Account,
        bases: &Arc<ApiBases>,
        store: &Store,
        events: &Arc<Events>,
        metrics: &CredentialMetrics,
    ) -> Option<Ground> {
        Some(Ground {
            account: account.name.clone(),
            appid: account.appid.clone(),
            secret: account.secret.clone()?,
            endpoint: account.token_endpoint,
            bases: bases.clone(),
            store: store.clone(),
            events: events.clone(),
            metrics: metrics.clone(),
            retired: AtomicBool::new(false),
        })
    }

    /// The account is no longer served.
    pub fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
    }

    /// Whether the account is no longer served.
    pub fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Relaxed)
    }

    /// What the engine of a credential goes by.
    pub fn policy(&self, kind: Kind) -> Policy {
        let source = match (kind, self.endpoint) {
            (Kind::Jsapi | Kind::WxCard, _) => Source::Ticket,
            (Kind::AccessToken, TokenEndpoint::StableToken) => Source::StableToken,
            (Kind::AccessToken, TokenEndpoint::Token) => Source::Token,
        };
        // Tells configurations apart; keeps nothing of the secret.
        let hash = Sha256::new()
            .chain_update(self.appid.as_bytes())
            .chain_update([0])
            .chain_update(self.secret.expose().as_bytes())
            .finalize();
        let configuration = u64::from_le_bytes(std::array::from_fn(|place| hash[place]));
        Policy { source, configuration }
    }
}
