//! The fake WeChat API: `api.weixin.qq.com` with its real rules, and all the ways in which it can fail.
//!
//! Tokens come and go by a [`Clock`] that tests move. Every token and ticket begins with a [canary], so
//! that all output of the edge can be searched for them. What is asked is remembered byte for byte.
//!
//! ```
//! use std::time::Duration;
//! use wxedge_tests::http;
//! use wxedge_tests::wechat_api::{Api, Fault};
//!
//! let api = Api::start();
//! api.fault_next("/cgi-bin/user/info", 1, Fault::Errcode(-1));
//! let token = api.token("wx0123456789main");
//! let target = format!("/cgi-bin/user/info?access_token={token}&openid=o1");
//! assert_eq!(http::get(api.address(), &target).json()["errcode"], -1);
//! assert_eq!(http::get(api.address(), &target).json()["openid"], "o1");
//! api.clock().advance(Duration::from_secs(7200));
//! assert_eq!(http::get(api.address(), &target).json()["errcode"], 42001);
//! assert_eq!(api.count("/cgi-bin/user/info"), 3);
//! ```

mod answer;
mod clock;
mod control;
pub mod egress;
mod errcode;
mod fault;
mod platform;
mod query;
mod quota;
mod record;
mod server;
#[cfg(test)]
mod tests;
mod tokens;
mod wire;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

pub use answer::Answer;
pub use clock::Clock;
pub use fault::{Fault, Scope};
pub use platform::CustomMessage;
pub use record::{BODY_KEPT, Body, Fetches, Request};

use self::platform::Platform;
use self::server::{Server, lock};
use crate::canary;
use crate::tls::Identity;

/// The AppID of [`edge::Account`](crate::edge::Account) `main`.
pub const MAIN: &str = "wx0123456789main";

/// What an API is started with.
#[derive(Debug)]
pub struct Builder {
    listen: SocketAddr,
    clock: Clock,
    platform: Arc<Mutex<Platform>>,
    tls: Option<(String, Identity)>,
    control: bool,
}

impl Builder {
    /// Without accounts, on a free port, with a stopped clock.
    #[must_use]
    pub fn new() -> Builder {
        Builder {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            clock: Clock::stopped(),
            platform: Arc::new(Mutex::new(Platform::new())),
            tls: None,
            control: false,
        }
    }

    /// With this account.
    #[must_use]
    pub fn account(self, appid: &str, secret: &str) -> Builder {
        lock(&self.platform).account(appid, secret);
        self
    }

    /// At this address.
    #[must_use]
    pub fn listen(self, listen: SocketAddr) -> Builder {
        Builder { listen, ..self }
    }

    /// By this clock.
    #[must_use]
    pub fn clock(self, clock: Clock) -> Builder {
        Builder { clock, ..self }
    }

    /// Another address of the same WeChat: tokens, quotas and the clock are shared; faults and records are not.
    #[must_use]
    pub fn beside(self, other: &Api) -> Builder {
        let platform = other.server.platform.clone();
        Builder { platform, clock: other.clock().clone(), ..self }
    }

    /// By TLS, with this certificate; the name is the one in [`Api::url`], whatever the certificate says.
    #[must_use]
    pub fn tls(self, name: &str, identity: &Identity) -> Builder {
        Builder { tls: Some((name.to_owned(), identity.clone())), ..self }
    }

    /// With `/_fake/`, for programs that cannot call this library.
    #[must_use]
    pub fn control(self) -> Builder {
        Builder { control: true, ..self }
    }

    /// Starts it.
    ///
    /// # Errors
    /// When the address is taken.
    pub fn start(self) -> std::io::Result<Api> {
        let (name, config) = match self.tls {
            Some((name, identity)) => (Some(name), Some(identity.server())),
            None => (None, None),
        };
        let server = Server::start(self.listen, self.clock, self.platform, config, self.control)?;
        Ok(Api { address: server.address(), name, server })
    }
}

impl Default for Builder {
    fn default() -> Self {
        Builder::new()
    }
}

/// A running API. Dropping it ends it, with all its connections.
#[derive(Debug)]
pub struct Api {
    address: SocketAddr,
    /// Its name in URLs, with TLS.
    name: Option<String>,
    server: Arc<Server>,
}

impl Api {
    /// With the account [`MAIN`], whose secret is [`canary::SECRET`], as the edge's `main` has it.
    ///
    /// # Panics
    /// When no port is free.
    #[must_use]
    pub fn start() -> Api {
        Builder::new().account(MAIN, canary::SECRET).start().expect("a free port")
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What an entry of `wechat.api_base` has to be.
    #[must_use]
    pub fn url(&self) -> String {
        match &self.name {
            Some(name) => format!("https://{name}:{}", self.address.port()),
            None => format!("http://{}", self.address),
        }
    }

    /// The clock that everything goes by.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.server.clock
    }

    // What WeChat knows and how strict it is.

    /// One more account, or a new secret of one.
    pub fn account(&self, appid: &str, secret: &str) {
        lock(&self.server.platform).account(appid, secret);
    }

    /// What a wrong secret at the token endpoints is: 40001 (default) or 40125.
    pub fn wrong_secret(&self, errcode: i64) {
        lock(&self.server.platform).wrong_secret = errcode;
    }

    /// What a token is that nobody ever got: 40014 (default) or 40001.
    pub fn unknown_token(&self, errcode: i64) {
        lock(&self.server.platform).unknown_token = errcode;
    }

    /// How long new tokens are, in characters, 33 to 512; 157 unless told.
    ///
    /// # Panics
    /// When that is not so.
    pub fn token_length(&self, characters: usize) {
        assert!((33..=512).contains(&characters), "{characters} characters");
        lock(&self.server.platform).tokens.length = characters;
    }

    /// How long new tokens live; two hours unless told. In its last five minutes, as always, `stable_token` hands out a
    /// new one.
    pub fn token_lifetime(&self, lifetime: Duration) {
        lock(&self.server.platform).tokens.lifetime = lifetime;
    }

    /// How long the token before serves beside a new one of `/cgi-bin/token`; five minutes unless told, which is the most
    /// that WeChat promises.
    pub fn token_grace(&self, grace: Duration) {
        lock(&self.server.platform).tokens.grace = grace;
    }

    /// How often an account may call `path` a day.
    pub fn quota(&self, path: &str, daily_limit: u64) {
        lock(&self.server.platform).quotas.limit(path, daily_limit);
    }

    /// A file for `/cgi-bin/media/get`. Besides, `size-<bytes>` is always there.
    pub fn media(&self, id: &str, content_type: &str, bytes: impl Into<Vec<u8>>) {
        let media = (content_type.to_owned(), bytes.into());
        lock(&self.server.platform).media.insert(id.to_owned(), media);
    }

    /// From now on this user gets so many customer-service messages for so long; then they are 45047, and 45015 when
    /// the time is over. Users of whom nothing is said get all.
    pub fn open_window(&self, touser: &str, messages: u32, lasts: Duration) {
        let until = self.clock().now() + lasts;
        lock(&self.server.platform).customers.open_window(touser, messages, until);
    }

    /// The token that `stable_token` hands out at this moment: for callers without an edge.
    ///
    /// # Panics
    /// When there is no such account.
    #[must_use]
    pub fn token(&self, appid: &str) -> String {
        self.known(appid).tokens.stable(appid, self.clock().now()).text
    }

    /// Whether an API call with this token would be taken.
    #[must_use]
    pub fn is_valid(&self, token: &str) -> bool {
        lock(&self.server.platform).tokens.owner(token, self.clock().now()).is_ok()
    }

    /// Another system has refreshed: every token of the account is dead (40001), and `stable_token` has a new one, which
    /// it hands out without force.
    ///
    /// # Panics
    /// When there is no such account.
    pub fn kill_token(&self, appid: &str) {
        self.known(appid).tokens.kill(appid, self.clock().now());
    }

    /// The account's current tokens are refused with 40001, but `stable_token` goes on handing its one out: only force
    /// helps.
    ///
    /// # Panics
    /// When there is no such account.
    pub fn kill_token_same(&self, appid: &str) {
        self.known(appid).tokens.refuse_current(appid);
    }

    fn known(&self, appid: &str) -> MutexGuard<'_, Platform> {
        let platform = lock(&self.server.platform);
        assert!(platform.knows(appid), "no account {appid}");
        platform
    }

    // How it fails.

    /// From now on, until healed.
    pub fn fault(&self, scope: impl Into<Scope>, fault: Fault) {
        lock(&self.server.faults).always(scope.into(), fault);
    }

    /// For the next `requests` in the scope; before what [`Api::fault`] says, and in the order in which it was told.
    ///
    /// # Panics
    /// When that is none.
    pub fn fault_next(&self, scope: impl Into<Scope>, requests: u64, fault: Fault) {
        assert!(requests > 0, "a fault for no request");
        lock(&self.server.faults).next(scope.into(), requests, fault);
    }

    /// Takes back what was told for exactly this scope.
    pub fn heal(&self, scope: impl Into<Scope>) {
        lock(&self.server.faults).heal(&scope.into());
    }

    /// Takes back every fault.
    pub fn heal_all(&self) {
        lock(&self.server.faults).heal_all();
    }

    /// Every call of this path is 40001, whatever its token, until healed.
    pub fn always_40001(&self, path: &str) {
        self.fault(path, Fault::Errcode(40001));
    }

    /// The token endpoints answer this error (-1, 40243, 89503, 89506, 45009 ...) until healed.
    pub fn refuse_tokens(&self, errcode: i64) {
        self.fault(Scope::TokenEndpoints, Fault::Errcode(errcode));
    }

    /// The token endpoints answer 40164 with this address until healed: it is not on the account's list.
    pub fn refuse_ip(&self, ip: Ipv4Addr) {
        self.fault(Scope::TokenEndpoints, Fault::IpNotListed(ip));
    }

    /// Refuses connections, and ends those that are there; the port stays its own.
    pub fn stop_listening(&self) {
        self.refuse_connections();
        self.close_connections();
    }

    /// Refuses connections; those that are there stay.
    pub fn refuse_connections(&self) {
        self.server.stop_listening();
    }

    /// Takes connections again.
    pub fn listen_again(&self) {
        self.server.listen_again();
    }

    /// Closes all connections, idle or not.
    pub fn close_connections(&self) {
        self.server.close_connections();
    }

    // What it was asked.

    /// The requests until now, the last 10 000 of them, in the order in which their answers were decided.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        lock(&self.server.record).requests.iter().cloned().collect()
    }

    /// The requests with this path.
    #[must_use]
    pub fn requests_to(&self, path: &str) -> Vec<Request> {
        let record = lock(&self.server.record);
        record.requests.iter().filter(|request| request.path() == path).cloned().collect()
    }

    /// How many requests there were with this path.
    #[must_use]
    pub fn count(&self, path: &str) -> u64 {
        lock(&self.server.record).count(path)
    }

    /// The customer-service messages that users got until now, at every address of this WeChat; the last 10 000.
    #[must_use]
    pub fn custom_messages(&self) -> Vec<CustomMessage> {
        lock(&self.server.platform).customers.got.iter().cloned().collect()
    }

    /// How often tokens were asked for, whatever came of it.
    #[must_use]
    pub fn fetches(&self) -> Fetches {
        lock(&self.server.record).fetches
    }

    /// How many calls of the token endpoints, of all accounts, were under way at the same time.
    #[must_use]
    pub fn most_fetches_at_once(&self) -> usize {
        self.server.most_fetches.load(Ordering::SeqCst)
    }

    /// What callers did that no caller should do, such as a second `access_token` in a query.
    #[must_use]
    pub fn mistakes(&self) -> Vec<String> {
        lock(&self.server.record).mistakes.clone()
    }

    /// How many connections there were.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.server.connections.load(Ordering::SeqCst)
    }

    /// Forgets the requests, their counts and the mistakes. Tokens, quotas, what users got and faults stay.
    pub fn clear(&self) {
        self.server.forget();
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        self.server.end();
    }
}
