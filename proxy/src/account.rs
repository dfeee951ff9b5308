//! One account as it runs: its configuration and what it remembers.

use crate::api_base::ApiBases;
use crate::callback::dedupe::Dedupe;
use crate::callback::holds::Holds;
use crate::callback::spent::Spent;
use crate::callback::unix_now_s;
use crate::callback_ips::CallbackIps;
use crate::config::{self, Target};
use crate::credential::{Credentials, Ground};
use crate::events::Events;
use crate::limits;
use crate::metrics::{AccountMetrics, Metrics};
use crate::process_log::Seldom;
use crate::spool::{AccountSpool, Spool};
use crate::store::{SavedCredential, Store};
use crate::upstream::{Failure, Fate, Upstream};
use arc_swap::ArcSwapOption;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

/// The customer's program.
#[derive(Debug, Clone)]
pub enum App {
    /// `builtin:echo`: answers text and images with the same.
    Echo,
    /// A program reached by HTTP.
    Http(Arc<Upstream>),
}

impl App {
    /// The app of an account; `before` is that account until now.
    ///
    /// # Errors
    /// When the app's URL is of no use; the configuration was checked, so it is not.
    pub fn new(config: &config::Upstream, before: Option<&Account>) -> Result<App, Failure> {
        Ok(match (&config.target, before) {
            (Target::Echo, _) => App::Echo,
            // Its connections and addresses stay, unless they are another app's.
            (_, Some(before)) if before.config.upstream.same_app(config) => before.app.clone(),
            (Target::Url(url), _) => App::Http(Arc::new(Upstream::new(url, config)?)),
        })
    }
}

/// One account. A reload makes a new one that shares what the old one remembers.
#[derive(Debug)]
pub struct Account {
    /// What the file says.
    pub config: Arc<config::Account>,
    /// Who answers.
    pub app: App,
    /// Which messages were seen.
    pub dedupe: Arc<Dedupe>,
    /// Which signatures were used, in plain mode.
    pub spent: Arc<Spent>,
    /// What was acknowledged and not taken.
    pub spool: Arc<AccountSpool>,
    /// How often WeChat was left without an answer.
    pub holds: Arc<Holds>,
    /// What it has of WeChat; nothing without an AppSecret.
    pub credentials: Option<Arc<Credentials>>,
    /// Where WeChat says its callbacks come from.
    pub callback_ips: Arc<CallbackIps>,
    /// How many callbacks are being handled.
    pub in_flight: Arc<InFlight>,
    /// When the app failed last, in Unix seconds, and why.
    pub last_failure: Arc<ArcSwapOption<(i64, Failure)>>,
    reminder: Arc<Seldom>,
    /// Its series.
    pub metrics: Arc<AccountMetrics>,
    /// The slowest answer since the last summary, in microseconds.
    pub slowest_us: Arc<AtomicU64>,
    /// Callbacks since the last summary that the app failed, in the order of [`Failure::REASONS`].
    pub fallen: Arc<[AtomicU64; Failure::REASONS.len()]>,
}

/// What all accounts stand on.
#[derive(Debug)]
pub struct Shared<'a> {
    /// The registry's series.
    pub metrics: &'a Metrics,
    /// WeChat.
    pub bases: &'a Arc<ApiBases>,
    /// What survives a restart.
    pub store: &'a Store,
    /// What was acknowledged and not taken.
    pub spool: &'a Spool,
    /// Who hears of events.
    pub events: &'a Arc<Events>,
    /// The credentials that an earlier process has saved.
    pub saved: &'a [SavedCredential],
}

impl Shared<'_> {
    /// The credentials of an account: those of `before`, the same appid until now, go on.
    fn credentials(
        &self,
        config: &config::Account,
        before: Option<&Account>,
    ) -> Option<Arc<Credentials>> {
        let metrics = self.metrics.api.credentials();
        let ground = Ground::new(config, self.bases, self.store, self.events, metrics)?;
        match before.and_then(|before| before.credentials.as_ref()) {
            Some(credentials) => {
                credentials.configure(ground);
                Some(credentials.clone())
            }
            None => Some(Arc::new(Credentials::new(ground, self.saved))),
        }
    }
}

impl Account {
    /// An account as `config` wants it, with the memory of the account that had its name until now, and the credentials of
    /// the one that had its appid.
    pub fn new(
        config: Arc<config::Account>,
        app: App,
        same_name: Option<&Account>,
        same_appid: Option<&Account>,
        shared: &Shared<'_>,
    ) -> Account {
        // A timestamp may be ahead of our clock by the window, and then be valid for twice as long.
        let kept = limits::DEDUPE_ANSWER.max(2 * config.replay_window.unwrap_or_default());
        let credentials = shared.credentials(&config, same_appid);
        let spool = shared.spool.of(&config.appid);
        let callback_ips = match same_appid {
            Some(before) => before.callback_ips.clone(),
            None => Arc::new(CallbackIps::restore(shared.store, &config.appid)),
        };
        let Some(before) = same_name else {
            return Account {
                app,
                dedupe: Arc::new(Dedupe::new(kept)),
                spent: Arc::new(Spent::new(kept)),
                spool,
                holds: Arc::default(),
                credentials,
                callback_ips,
                in_flight: Arc::default(),
                last_failure: Arc::default(),
                reminder: Arc::default(),
                metrics: Arc::new(shared.metrics.account(&config.name)),
                slowest_us: Arc::new(AtomicU64::new(0)),
                fallen: Arc::default(),
                config,
            };
        };
        before.dedupe.keep(kept);
        before.spent.keep(kept);
        Account {
            app,
            dedupe: before.dedupe.clone(),
            spent: before.spent.clone(),
            spool,
            holds: before.holds.clone(),
            credentials,
            callback_ips,
            in_flight: before.in_flight.clone(),
            last_failure: before.last_failure.clone(),
            reminder: before.reminder.clone(),
            metrics: before.metrics.clone(),
            slowest_us: before.slowest_us.clone(),
            fallen: before.fallen.clone(),
            config,
        }
    }

    /// The app failed: counted, shown in the status, and said now and then.
    pub fn failed(&self, failure: Failure) {
        self.metrics.upstream_failures(&failure).inc();
        self.last_failure.store(Some(Arc::new((unix_now_s(), failure))));
        if self.reminder.is_time() {
            let fate = match failure {
                Failure::Invalid => "it has taken the message, and the user gets no reply",
                _ if failure.fate() == Fate::Dead => {
                    "its message is a dead letter: mend the app, then replay it"
                }
                _ => "what it has not taken is kept and delivered again",
            };
            log::warn!("{}: {failure}; {fate}", self.config.name);
        }
    }

    /// Counts a callback that the app failed, by a reason of [`Failure::REASONS`], for the summary of this second.
    pub fn count_fallen(&self, reason: &str) {
        let place = Failure::REASONS.iter().position(|known| *known == reason);
        if let Some(place) = place {
            self.fallen[place].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Forgets what is too old, closes what is idle, fetches what is due. Called once a second.
    pub fn upkeep(&self, store: &Store) {
        if let Some(credentials) = &self.credentials {
            credentials.upkeep();
            self.callback_ips.upkeep(credentials, store, &self.config.appid);
        }
        let now = Instant::now();
        self.dedupe.sweep(now);
        self.spent.sweep(now);
        if let App::Http(upstream) = &self.app {
            upstream.reap();
        }
    }
}

/// What an account has at hand. All of it is bounded by `max_in_flight`, apart from each other, and by
/// [`limits::UNVERIFIED_BYTES`].
#[derive(Debug, Default)]
pub struct InFlight {
    waiting: AtomicUsize,
    late: AtomicUsize,
    unverified: AtomicUsize,
}

impl InFlight {
    /// Callbacks that wait for their answer.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Callbacks that wait, and calls that go on after the deadline.
    pub fn all(&self) -> usize {
        self.waiting() + self.late.load(Ordering::Relaxed)
    }

    /// Takes a place for a callback if there are fewer than `max_in_flight`.
    pub fn enter(account: &Arc<Account>) -> Option<Place> {
        let before = account.in_flight.waiting.fetch_add(1, Ordering::Relaxed);
        account.metrics.in_flight.inc();
        let place = Place(account.clone());
        (before < account.config.max_in_flight).then_some(place)
    }
}

/// A place among the callbacks that wait; dropping it gives it back.
#[derive(Debug)]
pub struct Place(Arc<Account>);

impl Place {
    /// Exchanges it for a place among the calls that go on after the deadline, if there are fewer than `max_in_flight`.
    pub fn late(self) -> Option<Late> {
        let before = self.0.in_flight.late.fetch_add(1, Ordering::Relaxed);
        let late = Late(self.0.clone());
        (before < self.0.config.max_in_flight).then_some(late)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.in_flight.waiting.fetch_sub(1, Ordering::Relaxed);
        self.0.metrics.in_flight.dec();
    }
}

/// A place among the calls that go on; dropping it gives it back.
#[derive(Debug)]
pub struct Late(Arc<Account>);

impl Late {
    /// Whose call it is.
    pub fn account(&self) -> &Account {
        &self.0
    }
}

impl Drop for Late {
    fn drop(&mut self) {
        self.0.in_flight.late.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The bytes of a body that nobody has verified yet; dropping it gives them back.
#[derive(Debug)]
pub struct Unverified<'a> {
    account: &'a Account,
    bytes: usize,
}

impl<'a> Unverified<'a> {
    /// None yet.
    pub fn new(account: &'a Account) -> Unverified<'a> {
        Unverified { account, bytes: 0 }
    }

    /// Adds bytes. Says whether there is room for them.
    pub fn add(&mut self, bytes: usize) -> bool {
        self.bytes += bytes;
        let before = self.account.in_flight.unverified.fetch_add(bytes, Ordering::Relaxed);
        before + bytes <= limits::UNVERIFIED_BYTES
    }
}

impl Drop for Unverified<'_> {
    fn drop(&mut self) {
        self.account.in_flight.unverified.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
