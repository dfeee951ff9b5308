//! The spool: what was acknowledged before the app took it, until the app has taken it.
//!
//! `queue` and `breaker` decide, without I/O or a clock, what is tried when; `account` puts them on the store, so that
//! what is promised is on disk; `redeliver` calls the app, `late` sends replies that missed their callback.

mod account;
mod breaker;
pub mod late;
mod queue;
mod quota;
mod redeliver;
mod reply;

pub use account::{AccountSpool, Leased};
pub use breaker::Circuit;

use crate::callback::judge::Subject;
use crate::config;
use crate::events::Events;
use crate::metrics::Metrics;
use crate::store::{Content, EntryKind, EntryState, Store, StoreError};
use queue::Terms;
use quota::Quota;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// What the spools of all accounts stand on.
#[derive(Debug, Clone)]
struct Ground {
    store: Store,
    quota: Arc<Quota>,
    events: Arc<Events>,
    write_seconds: prometheus::Histogram,
    /// The zero of the queues' clock.
    started: Instant,
}

impl Ground {
    /// Milliseconds since the start; unlike the wall clock it never jumps.
    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// The spools of all accounts, those included that the configuration no longer has.
#[derive(Debug)]
pub struct Spool {
    ground: Ground,
    accounts: Mutex<HashMap<String, Arc<AccountSpool>>>,
}

/// A message as the spool keeps it.
pub struct Kept {
    /// Whose messages are delivered in order.
    pub user: u64,
    /// When it arrived, in Unix seconds.
    pub received_s: i64,
    /// What is written.
    pub content: Content,
}

crate::opaque!(Kept);

impl Kept {
    /// Of a callback's message.
    pub fn new(subject: &Subject<'_>) -> Kept {
        let Subject { account, message, facts, .. } = subject;
        Kept {
            user: account.spool.user(message),
            received_s: facts.now_s,
            content: Content {
                ce_id: facts.ce_id.to_string(),
                ce_type: message.ce_type(),
                subject: message.subject().unwrap_or_default().to_owned(),
                body: subject.clear.to_vec(),
            },
        }
    }
}

/// Why a message is not in the spool.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// `spool.max_bytes` is reached.
    #[error("the spool is full (spool.max_bytes)")]
    Full,
    /// The account has as many writes on their way as it may have.
    #[error("too many messages wait to be written")]
    Busy,
    /// The store cannot write.
    #[error("{0}")]
    Store(#[from] StoreError),
}

impl Refused {
    /// One word for log and events.
    pub fn reason(&self) -> &'static str {
        match self {
            Refused::Full => "spool_full",
            Refused::Busy | Refused::Store(StoreError::Busy) => "spool_busy",
            Refused::Store(_) => "spool_unwritable",
        }
    }
}

impl Spool {
    /// Reads what an earlier process has left.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn open(
        store: Store,
        events: Arc<Events>,
        metrics: &Metrics,
    ) -> Result<Spool, StoreError> {
        let ground = Ground {
            store,
            quota: Arc::default(),
            events,
            write_seconds: metrics.spool.write_seconds.clone(),
            started: Instant::now(),
        };
        let spool = Spool { ground, accounts: Mutex::default() };
        spool.load()?;
        Ok(spool)
    }

    fn load(&self) -> Result<(), StoreError> {
        let mut accounts = HashMap::new();
        let mut last: Option<(Arc<str>, Arc<AccountSpool>)> = None;
        self.ground.store.spooled(|entry| {
            // Entries of one account come in runs, mostly.
            let spool = match &last {
                Some((appid, spool)) if *appid == entry.appid => spool.clone(),
                _ => {
                    let spool = accounts.entry(entry.appid.to_string()).or_insert_with(|| {
                        Arc::new(AccountSpool::new(&entry.appid, self.ground.clone()))
                    });
                    last = Some((entry.appid.clone(), spool.clone()));
                    spool.clone()
                }
            };
            spool.restore(&entry);
        })?;
        *self.accounts.lock().unwrap_or_else(PoisonError::into_inner) = accounts;
        Ok(())
    }

    /// The spool of an account, made when there is none.
    pub fn of(&self, appid: &str) -> Arc<AccountSpool> {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(AccountSpool::new(appid, self.ground.clone()));
        accounts.entry(appid.to_owned()).or_insert_with(new).clone()
    }

    /// Every account's spool.
    pub fn all(&self) -> Vec<Arc<AccountSpool>> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Takes a configuration over: the accounts in it each have their share of the room.
    pub fn configure<'a>(
        &self,
        config: &config::Spool,
        appids: impl Iterator<Item = (&'a str, &'a str)>,
    ) {
        let appids: Vec<_> = appids.collect();
        self.ground.quota.configure(config.max_bytes, appids.len());
        for (appid, name) in appids {
            self.of(appid).configure(name, Terms::from(config));
        }
    }
}
