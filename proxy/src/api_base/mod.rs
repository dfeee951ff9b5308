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
use serde_json::json;
use std::sync::Arc;
use std::time::Instant;

/// All bases, and the connections to them.
#[derive(Debug)]
pub struct ApiBases {
    bases: Vec<Arc<Base>>,
    events: Arc<Events>,
}

impl ApiBases {
    /// Prepares the bases of `config`; nothing is connected or looked up yet.
    ///
    /// # Errors
    /// When `ca_file` cannot be read any more.
    pub fn new(
        config: &config::Wechat,
        metrics: &Metrics,
        events: Arc<Events>,
    ) -> Result<ApiBases, String> {
        let tls = match config.authorities()? {
            Some(roots) => crate::tls::connector_trusting(roots),
            None => crate::tls::connector(),
        };
        let proxy = config.proxy.as_ref().map(egress::Proxy::new).transpose();
        let proxy = proxy.map_err(|failure| failure.to_string())?;
        let bases = config.api_base.iter().map(|url| {
            Base::new(url, &tls, proxy.as_ref(), metrics.api_base_up(url)).map(Arc::new)
        });
        let bases = bases.collect::<Result<_, Failure>>().map_err(|failure| failure.to_string())?;
        Ok(ApiBases { bases, events })
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
        let healthy = self.bases.iter().find(|base| base.is_up());
        match healthy.and_then(Base::kept) {
            Some(kept) => Ok(kept),
            None => self.connect_anew().await,
        }
    }

    /// A new connection to the first base that takes one, the healthy ones first.
    ///
    /// # Errors
    /// Why the last one did not.
    pub async fn connect_anew(&self) -> Result<Connection, Failure> {
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

    /// A new connection to this base.
    ///
    /// # Errors
    /// Why there is none.
    async fn fresh(&self, base: &Arc<Base>) -> Result<Connection, Failure> {
        let connected = Base::fresh(base).await;
        self.note(base, connected.as_ref().err());
        connected
    }

    /// Looks at every base that nobody looked at for a while, and closes what is idle. Called once a second.
    pub fn upkeep(self: &Arc<Self>) {
        for base in &self.bases {
            base.sweep();
            if base.is_due(Instant::now()) {
                let (bases, base) = (self.clone(), base.clone());
                // Its result is noted; the connection is closed.
                tokio::spawn(async move { bases.fresh(&base).await.is_ok() });
            }
        }
    }

    /// A base was reached, or not. Says so when that changes what is believed of it.
    fn note(&self, base: &Base, failure: Option<&Failure>) {
        let Some(up) = base.note(failure.is_none()) else { return };
        let origin = base.origin();
        match failure {
            None => log::info!("{origin} is reached again"),
            Some(failure) => log::warn!("{origin} is down: {failure}"),
        }
        self.events.send("api_base", None, json!({"base": origin, "up": up}));
    }
}
