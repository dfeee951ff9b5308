//! WeChat's API servers, in order of preference (`wechat.api_base`): connected to, tried in turn, watched.
//!
//! Another base is tried only while nothing was sent: after DNS, connect and TLS failures. Once bytes may have arrived
//! the call may have been executed, and WeChat has no way to ask.

mod base;
mod call;
mod connection;
mod egress;
mod failure;
mod gathered;
mod health;
mod kept;

pub use base::Base;
pub use call::Call;
pub use connection::Connection;
pub use failure::Failure;

use crate::config;
use crate::events::Events;
use crate::metrics::Metrics;
use pingora::connectors::{ConnectorOptions, TransportConnector};
use serde_json::json;
use std::sync::Arc;
use std::time::Instant;

/// All bases, and the connections to them.
pub struct ApiBases {
    bases: Vec<Arc<Base>>,
    connector: TransportConnector,
    events: Arc<Events>,
}

impl std::fmt::Debug for ApiBases {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiBases").field("bases", &self.bases).finish_non_exhaustive()
    }
}

impl ApiBases {
    /// Prepares the bases of `config`; nothing is connected or looked up yet.
    ///
    /// # Errors
    /// When a URL names no host, which those of a checked configuration do.
    pub fn new(
        config: &config::Wechat,
        metrics: &Metrics,
        events: Arc<Events>,
    ) -> Result<ApiBases, Failure> {
        let proxy = config.proxy.as_ref().map(egress::Proxy::new).transpose()?.map(Arc::new);
        let bases = config.api_base.iter().map(|url| {
            Base::new(url, proxy.as_ref(), metrics.api_base_up(url)).map(Arc::new)
        });
        // Bases keep their connections themselves, without a task and a timer for each; its own pool stays empty.
        let mut options = ConnectorOptions::new(1);
        options.ca_file = config.ca_file.as_ref().map(|file| file.display().to_string());
        Ok(ApiBases {
            bases: bases.collect::<Result<_, Failure>>()?,
            connector: TransportConnector::new(Some(options)),
            events,
        })
    }

    /// The bases in order of preference.
    pub fn bases(&self) -> &[Arc<Base>] {
        &self.bases
    }

    /// A connection to the first base that takes one, the healthy ones first. Nothing was sent on it.
    ///
    /// # Errors
    /// Why the last one did not.
    pub async fn connect(&self) -> Result<Connection, Failure> {
        if let Some(connection) = self.kept() {
            return Ok(connection);
        }
        let mut failure = Failure::Connect;
        // Those that are down come last: they may be back.
        let (up, down): (Vec<_>, Vec<_>) = self.bases.iter().partition(|base| base.is_up());
        for base in up.into_iter().chain(down) {
            match self.fresh(base).await {
                Ok(connection) => return Ok(connection),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    /// A kept connection to the first healthy base, if there is one.
    fn kept(&self) -> Option<Connection> {
        let base = self.bases.iter().find(|base| base.is_up())?;
        Base::kept(base)
    }

    /// A new connection to this base.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn fresh(&self, base: &Arc<Base>) -> Result<Connection, Failure> {
        let connected = Base::fresh(base, &self.connector).await;
        self.note(base, connected.as_ref().err());
        connected
    }

    /// Looks at every base that nobody looked at for a while, and after the kept connections. Called once a second.
    pub fn upkeep(self: &Arc<Self>) {
        self.bases.iter().for_each(|base| base.sweep());
        for base in self.bases.iter().filter(|base| base.is_due(Instant::now())) {
            let (bases, base) = (self.clone(), base.clone());
            // Its result is noted; the connection is closed.
            tokio::spawn(async move { bases.fresh(&base).await.is_ok() });
        }
    }

    /// A base was reached, or not. Says so when that changes what is believed of it.
    fn note(&self, base: &Base, failure: Option<&Failure>) {
        let Some(up) = base.note(failure.is_none()) else { return };
        let origin = base.origin();
        match failure {
            None => log::warn!("{origin} is reached again"),
            Some(failure) => log::warn!("{origin} is down: {failure}"),
        }
        self.events.send("api_base", None, json!({"base": origin, "up": up}));
    }
}
