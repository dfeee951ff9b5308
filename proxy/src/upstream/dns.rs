//! Names resolved away from the data path, the last good answer kept.

use super::Failure;
use crate::limits;
use arc_swap::ArcSwapOption;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// One name and its addresses.
#[derive(Debug)]
pub(crate) struct Name {
    host: String,
    port: u16,
    /// An address needs no lookup.
    literal: bool,
    /// The last good answer; it serves until there is a better one.
    addresses: ArcSwapOption<Vec<SocketAddr>>,
    lookup: Mutex<Lookup>,
    finished: Notify,
}

#[derive(Debug)]
struct Lookup {
    running: bool,
    /// When the last one ended.
    ended: Option<Instant>,
}

impl Name {
    pub(crate) fn new(host: &str, port: u16) -> Name {
        let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok();
        Name {
            host: host.to_owned(),
            port,
            literal: literal.is_some(),
            addresses: ArcSwapOption::from_pointee(
                literal.map(|ip| vec![SocketAddr::new(ip, port)]),
            ),
            lookup: Mutex::new(Lookup { running: false, ended: None }),
            finished: Notify::new(),
        }
    }

    /// The addresses to try in order. Waits only for the very first answer, and not for ever.
    pub(crate) async fn addresses(self: &Arc<Self>) -> Result<Arc<Vec<SocketAddr>>, Failure> {
        let finished = self.finished.notified();
        if let Some(addresses) = self.addresses.load_full() {
            if !self.literal {
                self.refresh(limits::DNS_REFRESH);
            }
            return Ok(addresses);
        }
        if !self.refresh(limits::DNS_PAUSE) {
            return Err(Failure::Dns);
        }
        if tokio::time::timeout(limits::DNS_TIMEOUT, finished).await.is_err() {
            return Err(Failure::DnsTimeout);
        }
        self.addresses.load_full().ok_or(Failure::Dns)
    }

    /// Starts a lookup unless one runs or the last one is younger than `pause`. Says whether one runs now.
    ///
    /// A lookup cannot be cancelled, so there is one a name, however many wait for it.
    fn refresh(self: &Arc<Self>, pause: Duration) -> bool {
        let mut lookup = self.lookup.lock().unwrap_or_else(PoisonError::into_inner);
        if lookup.running {
            return true;
        }
        if lookup.ended.is_some_and(|ended| ended.elapsed() < pause) {
            return false;
        }
        lookup.running = true;
        drop(lookup);
        let name = self.clone();
        tokio::spawn(async move {
            // In tokio's blocking pool: the system's resolver, with /etc/hosts and nsswitch.
            let found = tokio::net::lookup_host((name.host.as_str(), name.port)).await;
            match found.map(Iterator::collect::<Vec<_>>) {
                Ok(addresses) if !addresses.is_empty() => {
                    name.addresses.store(Some(Arc::new(addresses)))
                }
                Ok(_) => log::warn!("{} has no address", name.host),
                Err(error) => log::warn!("{} does not resolve: {error}", name.host),
            }
            let mut lookup = name.lookup.lock().unwrap_or_else(PoisonError::into_inner);
            *lookup = Lookup { running: false, ended: Some(Instant::now()) };
            drop(lookup);
            name.finished.notify_waiters();
        });
        true
    }
}
