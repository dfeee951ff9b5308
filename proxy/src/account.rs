//! One account as it runs: its configuration and what it remembers.

use crate::callback::dedupe::Dedupe;
use crate::callback::spent::Spent;
use crate::config::{self, Target};
use crate::limits;
use crate::metrics::{AccountMetrics, Metrics};
use crate::upstream::{Failure, Upstream};
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
    /// How many callbacks are being handled.
    pub in_flight: Arc<InFlight>,
    /// Its series.
    pub metrics: Arc<AccountMetrics>,
    /// The slowest answer since the last summary, in microseconds.
    pub slowest_us: Arc<AtomicU64>,
}

impl Account {
    /// An account as `config` wants it, with the memory of `before`, the same account until now.
    ///
    /// # Errors
    /// When the app's URL is of no use; the configuration was checked, so it is not.
    pub fn new(
        config: Arc<config::Account>,
        before: Option<&Account>,
        metrics: &Metrics,
    ) -> Result<Account, Failure> {
        let kept = limits::DEDUPE_ANSWER.max(config.replay_window.unwrap_or_default());
        let app = match &config.upstream.target {
            Target::Echo => App::Echo,
            Target::Url(url) => App::Http(Arc::new(Upstream::new(url, &config.upstream)?)),
        };
        let Some(before) = before else {
            return Ok(Account {
                app,
                dedupe: Arc::new(Dedupe::new(kept)),
                spent: Arc::new(Spent::new(kept)),
                in_flight: Arc::new(InFlight(AtomicUsize::new(0))),
                metrics: Arc::new(metrics.account(&config.name)),
                slowest_us: Arc::new(AtomicU64::new(0)),
                config,
            });
        };
        before.dedupe.keep(kept);
        before.spent.keep(kept);
        Ok(Account {
            // Its connections and addresses stay, unless they are another app's.
            app: if before.config.upstream == config.upstream { before.app.clone() } else { app },
            dedupe: before.dedupe.clone(),
            spent: before.spent.clone(),
            in_flight: before.in_flight.clone(),
            metrics: before.metrics.clone(),
            slowest_us: before.slowest_us.clone(),
            config,
        })
    }

    /// Forgets what is too old, closes what is idle. Called once a second.
    pub fn tidy(&self) {
        let now = Instant::now();
        self.dedupe.sweep(now);
        self.spent.sweep(now);
        if let App::Http(upstream) = &self.app {
            upstream.reap();
        }
    }
}

/// Callbacks being handled, calls that go on after the deadline included.
#[derive(Debug)]
pub struct InFlight(AtomicUsize);

impl InFlight {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Takes a place if there are fewer than `max`.
    pub fn enter(account: &Arc<Account>) -> Option<Place> {
        let before = account.in_flight.0.fetch_add(1, Ordering::Relaxed);
        account.metrics.in_flight.inc();
        let place = Place(account.clone());
        (before < account.config.max_in_flight).then_some(place)
    }
}

/// A place among the callbacks being handled; dropping it gives it back.
#[derive(Debug)]
pub struct Place(Arc<Account>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.in_flight.0.fetch_sub(1, Ordering::Relaxed);
        self.0.metrics.in_flight.dec();
    }
}
