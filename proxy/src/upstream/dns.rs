//! Names resolved away from the data path, the last good answer kept.

use super::Failure;
use crate::limits;
use crate::process_log::Seldom;
use arc_swap::ArcSwapOption;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// One name and its addresses.
pub(crate) struct Name {
    host: String,
    port: u16,
    /// An address needs no lookup.
    literal: bool,
    /// The last good answer; it serves until there is a better one.
    addresses: ArcSwapOption<Vec<SocketAddr>>,
    lookup: Mutex<Lookup>,
    finished: Notify,
    resolve: Resolve,
    reminder: Seldom,
}

type Resolve = Box<dyn Fn(String, u16) -> Resolving + Send + Sync>;
type Resolving = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

#[derive(Debug, Default)]
struct Lookup {
    running: bool,
    /// When the last one ended.
    ended: Option<Instant>,
    /// Whether it ended without an address.
    failed: bool,
}

impl std::fmt::Debug for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Name({:?}, {})", self.host, self.port)
    }
}

impl Name {
    pub(crate) fn new(host: &str, port: u16) -> Name {
        // In tokio's blocking pool: the system's resolver, with /etc/hosts and nsswitch.
        Name::resolved_by(host, port, |host, port| {
            Box::pin(
                async move { tokio::net::lookup_host((host, port)).await.map(Iterator::collect) },
            )
        })
    }

    /// With another resolver than the system's.
    pub(super) fn resolved_by(
        host: &str,
        port: u16,
        resolve: impl Fn(String, u16) -> Resolving + Send + Sync + 'static,
    ) -> Name {
        let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok();
        Name {
            host: host.to_owned(),
            port,
            literal: literal.is_some(),
            addresses: ArcSwapOption::from_pointee(
                literal.map(|ip| vec![SocketAddr::new(ip, port)]),
            ),
            lookup: Mutex::default(),
            finished: Notify::new(),
            resolve: Box::new(resolve),
            reminder: Seldom::default(),
        }
    }

    /// The addresses to try in order. Waits only for the very first answer, and not for ever.
    pub(crate) async fn addresses(self: &Arc<Self>) -> Result<Arc<Vec<SocketAddr>>, Failure> {
        let finished = self.finished.notified();
        if let Some(addresses) = self.addresses.load_full() {
            self.refresh(limits::DNS_REFRESH);
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

    /// The addresses of the last good answer, if there was one.
    pub(crate) fn known(&self) -> Option<Arc<Vec<SocketAddr>>> {
        self.addresses.load_full()
    }

    /// None of the addresses takes a connection: there may be others by now.
    pub(crate) fn doubt(self: &Arc<Self>) {
        self.refresh(limits::DNS_PAUSE);
    }

    /// Starts a lookup unless one runs, or the last one is younger than `pause`, which is short after one that failed.
    /// Says whether one runs now.
    ///
    /// A lookup cannot be cancelled, so there is one a name, however many wait for it.
    fn refresh(self: &Arc<Self>, pause: Duration) -> bool {
        if self.literal {
            return false;
        }
        let mut lookup = self.lookup.lock().unwrap_or_else(PoisonError::into_inner);
        if lookup.running {
            return true;
        }
        let pause = if lookup.failed { limits::DNS_PAUSE } else { pause };
        if lookup.ended.is_some_and(|ended| ended.elapsed() < pause) {
            return false;
        }
        lookup.running = true;
        drop(lookup);
        let name = self.clone();
        tokio::spawn(async move {
            let found = (name.resolve)(name.host.clone(), name.port).await;
            let error = match found {
                Ok(addresses) if !addresses.is_empty() => {
                    name.addresses.store(Some(Arc::new(addresses)));
                    None
                }
                Ok(_) => Some("it has no address".to_owned()),
                Err(error) => Some(error.to_string()),
            };
            if let Some(error) = &error
                && name.reminder.is_time()
            {
                log::warn!("{} does not resolve: {error}", name.host);
            }
            let failed = error.is_some();
            let mut lookup = name.lookup.lock().unwrap_or_else(PoisonError::into_inner);
            *lookup = Lookup { running: false, ended: Some(Instant::now()), failed };
            drop(lookup);
            name.finished.notify_waiters();
        });
        true
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::collections::VecDeque;

    /// What a resolver says next; when there is nothing more, it never answers.
    #[derive(Debug, Clone, Default)]
    pub(in super::super) struct Script(Arc<Mutex<VecDeque<io::Result<Vec<SocketAddr>>>>>);

    impl Script {
        pub(in super::super) fn add(&self, answer: io::Result<&[SocketAddr]>) {
            self.0.lock().unwrap().push_back(answer.map(<[SocketAddr]>::to_vec));
        }

        fn left(&self) -> usize {
            self.0.lock().unwrap().len()
        }

        pub(in super::super) fn name(&self) -> Arc<Name> {
            let script = self.clone();
            Arc::new(Name::resolved_by("app.example", 80, move |_, _| {
                let answer = script.0.lock().unwrap().pop_front();
                Box::pin(async move {
                    match answer {
                        Some(answer) => answer,
                        None => std::future::pending().await,
                    }
                })
            }))
        }
    }

    fn address(last: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, last], 80))
    }

    fn refused() -> io::Result<&'static [SocketAddr]> {
        Err(io::ErrorKind::NotFound.into())
    }

    /// The first address now. A lookup that this starts has ended when it returns.
    async fn first(name: &Arc<Name>) -> Result<SocketAddr, Failure> {
        let found = name.addresses().await.map(|addresses| addresses[0]);
        tokio::task::yield_now().await;
        found
    }

    #[tokio::test(start_paused = true)]
    async fn a_good_answer_is_renewed_after_a_while_and_a_failed_lookup_soon() {
        let script = Script::default();
        let name = script.name();
        let almost = |pause: Duration| pause - Duration::from_millis(1);
        for answer in [Ok(&[address(1)][..]), refused(), Ok(&[]), Ok(&[address(2)])] {
            script.add(answer);
        }
        assert_eq!(first(&name).await, Ok(address(1)));
        // How long after the last lookup, how many are left to be made then, who serves next.
        for (after, left, serves) in [
            (almost(limits::DNS_REFRESH), 3, 1),
            (limits::DNS_REFRESH, 2, 1),
            (almost(limits::DNS_PAUSE), 2, 1),
            (limits::DNS_PAUSE, 1, 1),
            (limits::DNS_PAUSE, 0, 2),
            (almost(limits::DNS_REFRESH), 0, 2),
        ] {
            let ended = name.lookup.lock().unwrap().ended.unwrap();
            tokio::time::advance(after.saturating_sub(ended.elapsed())).await;
            assert!(first(&name).await.is_ok());
            assert_eq!(
                (script.left(), first(&name).await),
                (left, Ok(address(serves))),
                "{after:?}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn without_any_answer_a_call_fails_at_once_until_the_pause_is_over() {
        let script = Script::default();
        let name = script.name();
        script.add(refused());
        script.add(Ok(&[address(1)]));
        for _ in 0..3 {
            assert_eq!(first(&name).await, Err(Failure::Dns));
        }
        assert_eq!(script.left(), 1);
        tokio::time::advance(limits::DNS_PAUSE).await;
        assert_eq!(first(&name).await, Ok(address(1)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_resolver_that_never_answers_is_waited_for_so_long_and_asked_once() {
        let script = Script::default();
        let name = script.name();
        for _ in 0..2 {
            let begun = Instant::now();
            assert_eq!(first(&name).await, Err(Failure::DnsTimeout));
            assert_eq!(begun.elapsed(), limits::DNS_TIMEOUT);
        }
        script.add(Ok(&[address(1)]));
        assert_eq!(first(&name).await, Err(Failure::DnsTimeout));
        assert_eq!(script.left(), 1, "the first lookup still runs");
    }
}
