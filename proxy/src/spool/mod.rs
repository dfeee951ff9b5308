//! The spool: what was acknowledged before the app took it, until the app has taken it.
//!
//! `queue` and `breaker` decide, without I/O or a clock, what is tried when; `account` puts them on the store, so that
//! what is promised is on disk: `keep` puts in, `lease` hands out and hears how that ended, `circuit` is what callbacks
//! ask first. `redeliver` calls the app, `late` sends replies that missed their callback; `line` is what the log says
//! of that. `load` takes over what an earlier
//! process has left, `operate` is what operators do.

mod account;
pub mod breaker;
mod circuit;
mod clock;
mod keep;
pub mod late;
mod lease;
mod line;
mod load;
mod operate;
pub mod queue;
mod quota;
mod redeliver;
mod reply;
mod turned_away;

pub use account::{AccountSpool, Seen};
pub use breaker::State as Circuit;
pub use lease::Leased;
pub use line::{Call, Ended};

use crate::account::Account;
use crate::callback::judge::Subject;
use crate::callback::unix_now_s;
use crate::config;
use crate::edge::Edge;
use crate::events::Events;
use crate::limits;
use crate::lines::Lines;
use crate::metrics::Metrics;
use crate::store::spool::{Content, Entry};
use crate::store::{Store, StoreError};
use clock::Clock;
use queue::{Pending, Terms};
use quota::Quota;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The store's value that says when a process last ran, in Unix seconds by its [`Clock`].
const ALIVE: &str = "spool_alive";

/// The spools of all accounts, those included that the configuration no longer has.
#[derive(Debug)]
pub struct Spool {
    ground: Ground,
    /// Bounded: appids come from the configuration and what it was.
    accounts: Mutex<HashMap<Arc<str>, Arc<AccountSpool>>>,
    /// Whether what another process has left is being read.
    loading: AtomicBool,
    /// When dead letters were looked through for old ones, on the queues' clock; 0 if they were not.
    expired_at: AtomicU64,
    /// When it was written down that this process runs, on the queues' clock; 0 if it was not.
    alive_at: AtomicU64,
}

/// What the spools of all accounts stand on.
#[derive(Debug, Clone)]
struct Ground {
    store: Store,
    quota: Arc<Quota>,
    events: Arc<Events>,
    log: Lines,
    write_seconds: prometheus::Histogram,
    /// The zero of the queues' clock.
    started: Instant,
    clock: Arc<Clock>,
    /// The longest wait that an entry brings over a restart.
    restored_wait: Duration,
    others: Arc<load::Others>,
}

/// What the spool has of an account that is not in the configuration any more.
#[derive(Debug, Clone)]
pub struct Orphan {
    /// Whose it is.
    pub appid: Arc<str>,
    /// What there is.
    pub seen: Seen,
}

/// A message as the spool keeps it.
#[derive(Clone)]
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
            user: account.spool.user(subject),
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

impl Ground {
    /// Milliseconds since the start; unlike the wall clock it never jumps.
    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Now, on all clocks.
    fn moment(&self) -> Moment {
        Moment { ms: self.now_ms(), unix_s: unix_now_s(), clock_s: self.clock_s() }
    }

    /// By what messages grow old, in Unix seconds.
    fn clock_s(&self) -> i64 {
        self.clock.now_s(self.started.elapsed())
    }

    /// What is written down as the time when something began to grow old: never so early that it is too old too soon.
    fn stamp_s(&self) -> i64 {
        unix_now_s().max(self.clock_s())
    }

    /// A row as the queue has it at this moment. What the wall clock says is turned into spans, and those are bounded, so that
    /// a clock that has jumped between two processes neither hurries nor stops anything.
    fn pending(&self, now: Moment, entry: &Entry) -> Pending {
        let wait = entry.due_ms.saturating_sub(now.unix_s.saturating_mul(1_000));
        let wait = u64::try_from(wait).unwrap_or(0).min(self.restored_wait.as_millis() as u64);
        Pending {
            id: entry.id,
            user: entry.user,
            attempts: entry.attempts,
            failures: entry.failures,
            received_at: now.ago(now.clock_s.saturating_sub(entry.since_s())),
            due: now.ms + wait,
            bytes: u32::try_from(entry.bytes).unwrap_or(u32::MAX),
        }
    }
}

/// A moment, on all clocks.
#[derive(Debug, Clone, Copy)]
struct Moment {
    /// On the queues' clock.
    ms: u64,
    /// In Unix seconds, as the machine has it.
    unix_s: i64,
    /// The same by the [`Clock`].
    clock_s: i64,
}

impl Moment {
    /// When this process got a message, on the queues' clock. A wall clock that was set forward since makes it no older.
    fn received_at(self, received_s: i64) -> i64 {
        self.ago(self.unix_s.min(self.clock_s).saturating_sub(received_s))
    }

    /// So many seconds ago, on the queues' clock.
    fn ago(self, age_s: i64) -> i64 {
        let now = i64::try_from(self.ms).unwrap_or(i64::MAX);
        now.saturating_sub(age_s.max(0).saturating_mul(1_000))
    }
}

impl Spool {
    /// Reads what an earlier process has left.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn open(
        store: Store,
        config: &config::Spool,
        events: Arc<Events>,
        log: Lines,
        metrics: &Metrics,
    ) -> Result<Spool, StoreError> {
        let others = Arc::new(load::Others::look(&store)?);
        let alive_s =
            store.value(ALIVE)?.and_then(|value| String::from_utf8(value).ok()?.parse().ok());
        let clock = Arc::new(Clock::begin(unix_now_s(), alive_s));
        let ground = Ground {
            store,
            quota: Arc::default(),
            events,
            log,
            write_seconds: metrics.spool.write_seconds.clone(),
            started: Instant::now(),
            clock,
            restored_wait: config.retry_max.min(limits::SPOOL_RESTORED_WAIT),
            others,
        };
        let spool = Spool {
            ground,
            accounts: Mutex::default(),
            loading: AtomicBool::new(false),
            expired_at: AtomicU64::new(0),
            alive_at: AtomicU64::new(0),
        };
        if spool.ground.store.owns() {
            spool.load()?;
        }
        Ok(spool)
    }

    /// The spool of an account, made when there is none.
    pub fn of(&self, appid: &str) -> Arc<AccountSpool> {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(spool) = accounts.get(appid) {
            return spool.clone();
        }
        let appid: Arc<str> = appid.into();
        let new = Arc::new(AccountSpool::new(&appid, self.ground.clone()));
        accounts.insert(appid, new.clone());
        new
    }

    /// Whether an appid is that of an account, or was when something was put in.
    pub fn has(&self, appid: &str) -> bool {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner).contains_key(appid)
    }

    /// What counts against `spool.max_bytes`.
    pub fn bytes(&self) -> u64 {
        self.ground.quota.bytes()
    }

    /// Takes a configuration over: its accounts, by appid and name, each have their share of the room.
    pub fn configure<'a>(
        &self,
        config: &config::Spool,
        accounts: impl Iterator<Item = (&'a str, &'a str)>,
    ) {
        let accounts: Vec<_> = accounts.collect();
        self.ground.quota.configure(config.max_bytes, accounts.len());
        for (appid, name) in &accounts {
            self.of(appid).configure(name, &Terms::from(config));
        }
        for Orphan { appid, seen } in self.orphans(accounts.iter().map(|(appid, _)| *appid)) {
            let Seen { pending, dead, .. } = seen;
            log::warn!(
                "{pending} messages of {appid} wait in the spool and {dead} are dead letters, but no account has this appid any more: \
                 nobody gets them; give it its account back, or look at them in /v1/spool (account={appid}) and delete them"
            );
        }
    }

    /// What the spool has of others than the accounts with these appids, by appid.
    pub fn orphans<'a>(&self, appids: impl Iterator<Item = &'a str>) -> Vec<Orphan> {
        let mut spools = self.accounts.lock().unwrap_or_else(PoisonError::into_inner).clone();
        appids.for_each(|appid| drop(spools.remove(appid)));
        let orphan = |(appid, spool): (Arc<str>, Arc<AccountSpool>)| {
            let seen = spool.seen();
            (seen.pending > 0 || seen.dead > 0).then_some(Orphan { appid, seen })
        };
        let mut orphans: Vec<_> = spools.into_iter().filter_map(orphan).collect();
        orphans.sort_by(|one, other| one.appid.cmp(&other.appid));
        orphans
    }

    /// Once a second: begins to redeliver when it may, and forgets old dead letters. Within a tokio runtime.
    pub fn upkeep(&self, edge: &Arc<Edge>, accounts: &[Arc<Account>]) {
        if !self.ground.others.are_gone() {
            if self.ground.store.try_own() && !self.loading.swap(true, Ordering::AcqRel) {
                let edge = edge.clone();
                tokio::task::spawn_blocking(move || edge.spool.take_over());
            }
            return;
        }
        for account in accounts {
            if !edge.draining()
                && let Some(running) = account.spool.begin()
            {
                tokio::spawn(redeliver::run(edge.clone(), running));
            }
        }
        self.prove_time(accounts);
        if self.is_time(&self.expired_at, limits::SPOOL_EXPIRE) {
            let edge = edge.clone();
            let retention = edge.config().spool.retention;
            tokio::spawn(async move { edge.spool.expire(retention).await });
        }
        if self.is_time(&self.alive_at, limits::SPOOL_ALIVE) {
            let (store, clock_s) = (self.ground.store.clone(), self.ground.clock_s());
            // A store that cannot be written says so itself.
            tokio::spawn(async move { store.set_value(ALIVE, clock_s.to_string().into()).await });
        }
    }

    /// Whether something is to be done again that was done `last`.
    fn is_time(&self, last: &AtomicU64, pause: Duration) -> bool {
        let now = self.ground.now_ms().max(1);
        let before = last.load(Ordering::Relaxed);
        let is_time = before == 0 || u128::from(now.saturating_sub(before)) >= pause.as_millis();
        if is_time {
            last.store(now, Ordering::Relaxed);
        }
        is_time
    }

    /// A message whose timestamp WeChat has signed proves what time it was, as far as `replay_window_s` is exact.
    fn prove_time(&self, accounts: &[Arc<Account>]) {
        for account in accounts {
            if let Some(window) = account.config.replay_window {
                let latest_s = account.metrics.last_received.get();
                let window_s = i64::try_from(window.as_secs()).unwrap_or(i64::MAX);
                let running = self.ground.started.elapsed();
                self.ground.clock.prove(latest_s.saturating_sub(window_s), running);
            }
        }
    }
}

impl From<&config::Spool> for Terms {
    fn from(config: &config::Spool) -> Terms {
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Terms {
            retry_min_ms: millis(config.retry_min),
            retry_max_ms: millis(config.retry_max),
            give_up_after_ms: millis(config.give_up_after),
            concurrency: config.concurrency,
            deletes: limits::SPOOL_DELETES,
        }
    }
}
