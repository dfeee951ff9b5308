//! The edge: its accounts, what they share, and the way in, for our own listener and for a host's Pingora server.

mod drain;

use crate::account::{self, Account, Shared};
use crate::api::budget::{Budgets, beijing_day, date};
use crate::api::caller::Clients;
use crate::api::copy::Copies;
use crate::api::edge_token::EdgeTokens;
use crate::api::{self, quota};
use crate::api_base::ApiBases;
use crate::callback::{self, unix_now_s};
use crate::config::{self, Config};
use crate::connection::{App, Arrival, Response, framing};
use crate::events::Events;
use crate::key_file;
use crate::limits;
use crate::lines::{Lines, unix_now};
use crate::metrics::Metrics;
use crate::openid::OpenidKey;
use crate::spool::{Orphan, Spool};
use crate::store::spool::Unreadable;
use crate::store::{self, Access, Store, StoreError, StoreKey};
use crate::summary::Summaries;
use crate::upstream::Failure;
use arc_swap::{ArcSwap, Guard};
use async_trait::async_trait;
use http::{Method, header};
use pingora::protocols::http::ServerSession;
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;
use prometheus::Registry;
use serde_json::json;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, SetOnce};
use url::Url;
use zeroize::Zeroizing;

/// Everything that serves callbacks.
#[derive(Debug)]
pub struct Edge {
    state: ArcSwap<State>,
    /// What is counted.
    pub metrics: Metrics,
    /// What is logged.
    pub log: Lines,
    /// What the sidecar hears.
    pub events: Arc<Events>,
    /// How openids are logged.
    pub openid: OpenidKey,
    /// What survives a restart.
    pub store: Store,
    /// What was acknowledged and not taken.
    pub spool: Spool,
    /// What SDKs of clients carry instead of the real token.
    pub edge_tokens: EdgeTokens,
    /// The request bodies that are kept for one repetition.
    pub copies: Copies,
    /// One permit an API call.
    pub api_places: Semaphore,
    /// The permit of who asks for WeChat's quotas.
    pub quotas: Arc<Semaphore>,
    /// The day whose budgets are counted; earlier ones are gone from the store.
    budget_day: AtomicI64,
    /// When draining must have ended, once it has begun.
    drain_ends: SetOnce<Instant>,
    /// How long draining may take.
    grace: Duration,
}

/// Why an edge cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A key in the store's folder.
    #[error("store.url = embedded:{0}: {1}")]
    Key(String, std::io::Error),
    /// `store.key_file`.
    #[error("store.key_file = {0}: {1}")]
    StoreKey(String, String),
    /// The spool holds messages that `store.key_file` does not open.
    #[error(
        "store.key_file: {0}. Messages that were acknowledged wait in {1} and cannot be delivered without that key: put it back \
         and start again. If it is lost, so are they: move that folder away, and the start makes a new one"
    )]
    Sealed(Unreadable, String),
    /// The store.
    #[error("store.url: {0}")]
    Store(#[from] store::OpenError),
    /// What is in the store.
    #[error("store.url: {0}")]
    Read(#[from] StoreError),
    /// `wechat.ca_file`.
    #[error("wechat.{0}")]
    Wechat(String),
    /// The log's thread.
    #[error("the access log cannot be started: {0}")]
    Log(std::io::Error),
    /// The registry.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    /// An app's URL, which a checked configuration does not have.
    #[error("an app's URL: {0}")]
    App(#[from] Failure),
}

/// The key that `store.key_file` holds.
fn store_key(config: &config::Store) -> Result<Option<StoreKey>, OpenError> {
    let Some(path) = &config.key_file else { return Ok(None) };
    let unusable = |error: &dyn std::fmt::Display| {
        OpenError::StoreKey(path.display().to_string(), error.to_string())
    };
    let content = Zeroizing::new(std::fs::read(path).map_err(|error| unusable(&error))?);
    StoreKey::parse(&content).map(Some).map_err(|error| unusable(&error))
}

/// What a reload exchanges.
#[derive(Debug)]
pub struct State {
    config: Arc<Config>,
    accounts: HashMap<String, Arc<Account>>,
    by_path: HashMap<String, Arc<Account>>,
    bases: Arc<ApiBases>,
    /// Who may call the API listener.
    pub clients: Clients,
    /// What they may use a day.
    pub budgets: Budgets,
}

impl State {
    /// What it was made from.
    pub fn config(&self) -> &Arc<Config> {
        &self.config
    }

    fn new(
        config: Config,
        before: Option<&State>,
        metrics: &Metrics,
        store: &Store,
        spool: &Spool,
        events: &Arc<Events>,
    ) -> Result<State, OpenError> {
        // What can fail comes first: a reload that is refused has changed nothing.
        let mut apps = Vec::with_capacity(config.accounts.len());
        for (name, account) in &config.accounts {
            let before = before.and_then(|state| state.accounts.get(name));
            apps.push(account::App::new(&account.upstream, before.map(Arc::as_ref))?);
        }
        let (saved, used) = (store.credentials()?, store.counters(Budgets::SCOPE)?);
        let bases = match before {
            // What is known of the servers stays known, and connections stay open.
            Some(before) if before.config.wechat == config.wechat => before.bases.clone(),
            _ => {
                let bases = ApiBases::new(&config.wechat, metrics, events.clone());
                Arc::new(bases.map_err(OpenError::Wechat)?)
            }
        };
        let shared = Shared { metrics, bases: &bases, store, spool, events, saved: &saved };
        let budgets = Budgets::new(&config.clients, before.map(|before| &before.budgets));
        budgets.restore(unix_now_s(), &used);
        let mut accounts = HashMap::new();
        let mut by_path = HashMap::new();
        for ((name, account), app) in config.accounts.iter().zip(apps) {
            let same_name = before.and_then(|state| state.accounts.get(name)).map(Arc::as_ref);
            let same_appid = before.and_then(|state| state.by_appid(&account.appid));
            let account = Account::new(account.clone(), app, same_name, same_appid, &shared);
            let account = Arc::new(account);
            let may_call = config.clients.values().filter(|client| client.accounts.contains(name));
            let may_call = may_call.map(|client| client.name.as_str());
            let anyone = config.clients.is_empty().then_some("");
            metrics.api.account(name, may_call.chain(anyone));
            by_path.insert(account.config.path.clone(), account.clone());
            accounts.insert(name.clone(), account);
        }
        let names = config.accounts.values().map(|account| (&*account.appid, &*account.name));
        spool.configure(&config.spool, names);
        let clients = Clients::new(&config.clients);
        Ok(State { config: Arc::new(config), accounts, by_path, bases, clients, budgets })
    }

    fn by_appid(&self, appid: &str) -> Option<&Account> {
        self.accounts.values().map(Arc::as_ref).find(|account| account.config.appid == appid)
    }
}

impl Edge {
    /// An edge with the accounts of `config`: opens its store, starts its log on standard output, registers its
    /// metrics in `registry`.
    ///
    /// # Errors
    /// When the store cannot be used, or a metric of the same name is in `registry`.
    pub fn open(config: Config, registry: Registry) -> Result<Edge, OpenError> {
        Edge::with(config, registry, Access::Own)
    }

    /// An edge that takes over from another one, as [`Edge::open`] makes it. The store becomes its own when the other one
    /// has ended; until then both write to it.
    ///
    /// # Errors
    /// As [`Edge::open`].
    pub fn join(config: Config, registry: Registry) -> Result<Edge, OpenError> {
        Edge::with(config, registry, Access::Join)
    }

    fn with(config: Config, registry: Registry, access: Access) -> Result<Edge, OpenError> {
        let dir = &config.store.dir;
        let appids = config.accounts.values().map(|account| account.appid.clone()).collect();
        let options = store::Options { access, key: store_key(&config.store)?, appids };
        let mut store = Store::open(dir, options.clone())?;
        let key = |error| OpenError::Key(dir.display().to_string(), error);
        let openid = OpenidKey::open(dir).map_err(key)?;
        let edge_tokens = EdgeTokens::new(key_file::open(dir, "edge_token.key").map_err(key)?);
        let grace = config.runtime.grace;
        let metrics = Metrics::register(registry)?;
        let events: Arc<Events> = Arc::default();
        let log = Lines::start("access-log", std::io::stdout()).map_err(OpenError::Log)?;
        let read = |store: &Store| {
            Spool::open(store.clone(), &config.spool, events.clone(), log.clone(), &metrics)
        };
        let spool = match read(&store) {
            // Opened once more the store saves what can be read.
            Err(StoreError::Damaged) => {
                drop(store);
                store = Store::open(dir, options)?;
                read(&store)?
            }
            spool => spool?,
        };
        if let Some(why) = store.spool_sealed()? {
            return Err(OpenError::Sealed(why, dir.display().to_string()));
        }
        let state = State::new(config, None, &metrics, &store, &spool, &events)?;
        Ok(Edge {
            state: ArcSwap::from_pointee(state),
            metrics,
            log,
            events,
            openid,
            store,
            spool,
            edge_tokens,
            copies: Copies::default(),
            api_places: Semaphore::new(limits::API_IN_FLIGHT),
            quotas: Arc::new(Semaphore::new(1)),
            budget_day: AtomicI64::new(i64::MIN),
            drain_ends: SetOnce::new(),
            grace,
        })
    }

    /// Takes a new configuration; callbacks under way end under the old one.
    ///
    /// # Errors
    /// When an app's URL is of no use; the old configuration stays.
    pub fn reload(&self, config: Config) -> Result<(), OpenError> {
        let before = self.state.load_full();
        let Edge { metrics, store, spool, events, .. } = self;
        let state = State::new(config, Some(&before), metrics, store, spool, events)?;
        let state = Arc::new(state);
        self.state.store(state.clone());
        for account in before.accounts.values() {
            let goes_on = state.by_appid(&account.config.appid).is_some();
            if let Some(credentials) = account.credentials.as_ref().filter(|_| !goes_on) {
                credentials.retire();
            }
        }
        let removed = |name: &&String| !state.accounts.contains_key(*name);
        before.accounts.keys().filter(removed).for_each(|name| self.metrics.forget(name));
        let gone = |name: &&String| !state.config.clients.contains_key(*name);
        let clients = before.config.clients.keys();
        clients.filter(gone).for_each(|name| self.metrics.api.forget_client(name));
        let kept = |url: &&Url| state.config.wechat.api_base.contains(url);
        let bases = before.config.wechat.api_base.iter();
        bases.filter(|url| !kept(url)).for_each(|url| self.metrics.forget_api_base(url));
        Ok(())
    }

    /// The configuration now.
    pub fn config(&self) -> Arc<Config> {
        self.state.load().config.clone()
    }

    /// What a reload exchanges, as it is now.
    pub fn state(&self) -> Guard<Arc<State>> {
        self.state.load()
    }

    /// WeChat's API servers.
    pub fn api_bases(&self) -> Arc<ApiBases> {
        self.state.load().bases.clone()
    }

    /// The accounts now, in no order.
    pub fn accounts(&self) -> Vec<Arc<Account>> {
        self.state.load().accounts.values().cloned().collect()
    }

    /// An account by its name in the configuration.
    pub fn account(&self, name: &str) -> Option<Arc<Account>> {
        self.state.load().accounts.get(name).cloned()
    }

    async fn write_down(&self, counters: Vec<store::Counter>) {
        if counters.is_empty() {
            return;
        }
        if let Err(error) = self.store.raise_counters(counters.clone()).await {
            log::error!("the daily budgets could not be saved: {error}");
            self.state.load().budgets.not_written(&counters);
        }
    }

    /// Forgets what was used on days that are over, or that a wrong clock has made up.
    async fn forget_other_days(&self, today: i64) {
        let [first, last] = [today, today + 1].map(date);
        if let Err(error) = self.store.forget_counters_outside(Budgets::SCOPE, &first, &last).await
        {
            log::error!("the daily budgets of other days could not be removed: {error}");
        }
    }

    /// Writes down all that was counted. At the end, when nobody knows what is still on its way.
    pub async fn flush(&self) {
        let used = self.state.load().budgets.used();
        self.write_down(used).await;
    }

    /// An account by its appid.
    pub fn account_of(&self, appid: &str) -> Option<Arc<Account>> {
        let state = self.state.load();
        state.accounts.values().find(|account| account.config.appid == appid).cloned()
    }

    /// What the spool has of accounts that are not in the configuration any more.
    pub fn orphans(&self) -> Vec<Orphan> {
        let state = self.state.load();
        self.spool.orphans(state.accounts.values().map(|account| account.config.appid.as_str()))
    }

    /// All metrics as text.
    pub fn render_metrics(&self) -> String {
        let state = self.state.load();
        let remembered = state.accounts.values().map(|account| account.dedupe.len()).sum();
        for account in state.accounts.values() {
            account.metrics.spool.show(&account.spool.seen());
        }
        self.metrics
            .spool
            .show_orphans(&self.orphans(), |label| state.accounts.contains_key(label));
        self.metrics.render(remembered, self.spool.bytes())
    }

    /// **The plugin**: serves a request of somebody else's Pingora server, from `ProxyHttp::request_filter` for one.
    ///
    /// Says whether it was for a configured callback path and is answered; if not, nothing was touched. The host
    /// brings what stands below HTTP: a deadline for the header, bounds on connections, TLS and its reload.
    pub async fn serve(self: &Arc<Self>, session: &mut ServerSession) -> bool {
        let Some(account) = self.route(session) else { return false };
        let arrival = Edge::arrival(session);
        // HTTP/2 has no raw header, and its framing is not ours to judge.
        if !session.is_http2() && framing::check(&session.to_h1_raw()).is_err() {
            let refusal = self.unrouted(400, "framing", arrival.peer);
            session.set_keepalive(None);
            // The sender may be gone; there is nobody else to tell.
            let _gone = refusal.write(session).await;
        } else {
            self.callback(&account, session, arrival).await;
        }
        true
    }

    /// **The plugin's other half**: answers an API call of somebody else's Pingora server. The host decides which requests
    /// are for it: those of a listener of its own, best, which no browser may reach by another site's script (the edge's
    /// own listener looks at `Host` and `Origin`).
    pub async fn serve_api(self: &Arc<Self>, session: &mut ServerSession) {
        let arrival = Edge::arrival(session);
        // HTTP/2 has no raw header, and its framing is not ours to judge.
        if !session.is_http2() && framing::check(&session.to_h1_raw()).is_err() {
            return api::malformed(self, session, arrival, "framing").await;
        }
        api::handle(self, session, arrival).await;
    }

    fn arrival(session: &ServerSession) -> Arrival {
        let peer = session.client_addr().and_then(|addr| addr.as_inet()).map(|addr| addr.ip());
        let peer = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |ip| ip.to_canonical());
        Arrival { first_byte: Instant::now(), peer }
    }

    async fn callback(
        self: &Arc<Self>,
        account: &Arc<Account>,
        session: &mut ServerSession,
        arrival: Arrival,
    ) {
        match session.req_header().method {
            Method::GET | Method::POST => callback::handle(self, account, session, arrival).await,
            _ => self.refuse(session, arrival, 405).await,
        }
    }

    fn route(&self, session: &ServerSession) -> Option<Arc<Account>> {
        let state: Guard<Arc<State>> = self.state.load();
        state.by_path.get(session.req_header().uri.path()).cloned()
    }

    async fn refuse(&self, session: &mut ServerSession, arrival: Arrival, status: u16) {
        // Only as far as it cannot be an openid or a signature, which a mistake may have stuck to it.
        let plain = |c: &char| c.is_ascii_lowercase() || matches!(c, '/' | '_' | '-' | '.');
        let path = session.req_header().uri.path().chars();
        let path = path.take_while(plain).take(limits::LOG_PATH_CHARS).collect();
        self.unrouted_line(
            status,
            if status == 404 { "path" } else { "method" },
            arrival.peer,
            Some(path),
        );
        let allow = (status == 405).then_some((header::ALLOW, "GET, POST"));
        // The sender may be gone; there is nobody else to tell.
        let _gone = Response::empty(status).write_with(session, allow).await;
    }

    /// A request that is no callback: its number, and its line.
    fn unrouted_line(&self, status: u16, reason: &str, peer: IpAddr, path: Option<String>) {
        self.metrics.unrouted(status);
        let line = json!({"ts": unix_now(), "status": status, "reason": reason, "source": peer, "path": path});
        self.log.add(|log| log.extend(line.to_string().bytes()));
    }

    /// Once a second: forgets what is old, fetches what is due, writes down what was counted, tells the readers of the event
    /// stream what happened. Within a tokio runtime.
    pub fn tick(self: &Arc<Self>, before: &mut Summaries) {
        let state = self.state.load_full();
        if state.accounts.values().any(|account| account.credentials.is_some()) {
            state.bases.upkeep();
        }
        quota::upkeep(self, &state.budgets);
        let unwritten = state.budgets.unwritten();
        let today = beijing_day(unix_now_s());
        let new_day = self.budget_day.swap(today, Ordering::Relaxed) != today;
        if new_day || !unwritten.is_empty() {
            let edge = self.clone();
            tokio::spawn(async move {
                edge.write_down(unwritten).await;
                if new_day {
                    edge.forget_other_days(today).await;
                }
            });
        }
        let accounts = self.accounts();
        accounts.iter().for_each(|account| account.upkeep(&self.store));
        self.spool.upkeep(self, &accounts);
        before.tell(&accounts, &self.events);
    }
}

/// For a host: the edge's upkeep, once a second. When the host shuts down, what was counted is written down; the host may
/// still serve then. The store is closed with the last handle on the edge.
#[derive(Debug)]
pub struct Upkeep(pub Arc<Edge>);

#[async_trait]
impl BackgroundService for Upkeep {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        let mut second = tokio::time::interval(Duration::from_secs(1));
        let mut summaries = Summaries::default();
        loop {
            tokio::select! {
                _ = second.tick() => self.0.tick(&mut summaries),
                _ = shutdown.changed() => return self.0.flush().await,
            }
        }
    }
}

impl App for Edge {
    async fn respond(self: &Arc<Self>, session: &mut ServerSession, arrival: Arrival) {
        match self.route(session) {
            Some(account) => self.callback(&account, session, arrival).await,
            None => self.refuse(session, arrival, 404).await,
        }
    }

    fn unrouted(&self, status: u16, reason: &'static str, peer: IpAddr) -> Response {
        self.unrouted_line(status, reason, peer, None);
        Response::empty(status)
    }
}

#[cfg(test)]
mod tests;
