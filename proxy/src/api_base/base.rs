//! One base: its addresses, its kept connections, what is believed of it.

use super::connection::Connection;
use super::egress::{Proxy, Tunnel};
use super::failure::Failure;
use super::health::Health;
use crate::callback::unix_now_s;
use crate::limits;
use crate::upstream::Name;
use http::HeaderValue;
use pingora::protocols::Stream;
use pingora::protocols::l4::stream::Stream as L4Stream;
use pingora::protocols::tls::client::handshake;
use prometheus::IntGauge;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use std::time::Instant;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::{Position, Url};

/// One of WeChat's servers.
pub struct Base {
    origin: String,
    host: HeaderValue,
    server_name: String,
    /// Nothing with http.
    tls: Option<TlsConnector>,
    /// Where to connect: the base, or the egress proxy.
    name: Arc<Name>,
    tunnel: Option<Tunnel>,
    /// Kept connections and since when they are idle. Last in, first out: the least used ones are closed.
    idle: Mutex<Vec<(Stream, Instant)>>,
    health: Mutex<(Health, Instant)>,
    up: AtomicBool,
    since: AtomicI64,
    gauge: IntGauge,
}

impl std::fmt::Debug for Base {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Base").field("origin", &self.origin).finish_non_exhaustive()
    }
}

impl Base {
    pub(super) fn new(
        url: &Url,
        tls: &TlsConnector,
        proxy: Option<&Proxy>,
        gauge: IntGauge,
    ) -> Result<Base, Failure> {
        let host = url.host_str().ok_or(Failure::Dns)?;
        let port = url.port_or_known_default().ok_or(Failure::Dns)?;
        gauge.set(1);
        Ok(Base {
            origin: url.origin().ascii_serialization(),
            host: HeaderValue::from_str(&url[Position::BeforeHost..Position::AfterPort])
                .map_err(|_| Failure::Dns)?,
            tls: (url.scheme() == "https").then(|| tls.clone()),
            server_name: host.trim_matches(['[', ']']).to_owned(),
            name: proxy.map_or_else(|| Arc::new(Name::new(host, port)), |proxy| proxy.name.clone()),
            tunnel: proxy.map(|proxy| Tunnel::new(proxy, host, port)),
            idle: Mutex::default(),
            health: Mutex::new((Health::default(), Instant::now())),
            up: AtomicBool::new(true),
            since: AtomicI64::new(unix_now_s()),
            gauge,
        })
    }

    /// Scheme, host and port, as metrics and status show it.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The `Host` header.
    pub fn host(&self) -> &HeaderValue {
        &self.host
    }

    /// Whether it is believed to take connections.
    pub fn is_up(&self) -> bool {
        self.up.load(Ordering::Relaxed)
    }

    /// Since when that is believed, in Unix seconds.
    pub fn since(&self) -> i64 {
        self.since.load(Ordering::Relaxed)
    }

    /// Whether nobody tried to reach it for a while. Who is told so tries.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        let pause = if self.is_up() { limits::API_BASE_PROBE } else { limits::API_BASE_PROBE_DOWN };
        let due = now.saturating_duration_since(health.1) >= pause;
        if due {
            health.1 = now;
        }
        due
    }

    /// An attempt reached it, or did not. Says what is believed now, when that has changed.
    pub(super) fn note(&self, reached: bool) -> Option<bool> {
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        health.1 = Instant::now();
        let up = health.0.note(reached)?;
        self.up.store(up, Ordering::Relaxed);
        self.since.store(unix_now_s(), Ordering::Relaxed);
        self.gauge.set(up.into());
        Some(up)
    }

    /// A kept connection, if there is one that is still open.
    pub(super) fn kept(self: &Arc<Self>) -> Option<Connection> {
        loop {
            let (mut stream, _) = self.idle().pop()?;
            if is_open(&mut stream) {
                return Some(Connection::new(stream, self.clone(), true));
            }
        }
    }

    /// Keeps a connection for the next exchange.
    pub(super) fn keep(&self, stream: Stream) {
        let mut idle = self.idle();
        if idle.len() < limits::API_IDLE_CONNECTIONS {
            idle.push((stream, Instant::now()));
        }
    }

    /// Closes connections that have been idle for too long.
    pub(super) fn reap(&self) {
        self.idle().retain(|(_, since)| since.elapsed() < limits::API_IDLE);
    }

    fn idle(&self) -> MutexGuard<'_, Vec<(Stream, Instant)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new connection; TCP, the egress proxy and TLS within the time for connecting. The addresses share it for TCP, so
    /// that one that is silent leaves some to the next.
    pub(super) async fn fresh(self: &Arc<Self>) -> Result<Connection, Failure> {
        let addresses = self.name.addresses().await?;
        let count = u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
        let share = (limits::API_CONNECT_TIMEOUT / count).max(limits::CONNECT_SHARE);
        let by = tokio::time::Instant::now() + limits::API_CONNECT_TIMEOUT;
        let mut failure = Failure::Dns;
        for address in addresses.iter() {
            let stream = match tokio::time::timeout(share, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => stream,
                Ok(Err(_)) => {
                    failure = Failure::Connect;
                    continue;
                }
                Err(_elapsed) => {
                    failure = Failure::ConnectTimeout;
                    continue;
                }
            };
            match tokio::time::timeout_at(by, self.open(stream)).await {
                Ok(Ok(stream)) => return Ok(Connection::new(stream, self.clone(), false)),
                Ok(Err(error)) => failure = error,
                Err(_elapsed) => failure = Failure::ConnectTimeout,
            }
        }
        // The server may have moved.
        self.name.doubt();
        Err(failure)
    }

    async fn open(&self, mut stream: TcpStream) -> Result<Stream, Failure> {
        stream.set_nodelay(true).map_err(|_| Failure::Connect)?;
        if let Some(tunnel) = &self.tunnel {
            tunnel.open(&mut stream).await.map_err(|_| Failure::Proxy)?;
        }
        let stream = L4Stream::from(stream);
        let Some(tls) = &self.tls else { return Ok(Box::new(stream)) };
        match handshake(tls, &self.server_name, stream).await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(_) => Err(Failure::Tls),
        }
    }
}

/// Whether WeChat has left a connection open, and said nothing unasked.
fn is_open(stream: &mut Stream) -> bool {
    let mut byte = [0];
    let mut nobody = Context::from_waker(Waker::noop());
    Pin::new(stream).poll_read(&mut nobody, &mut ReadBuf::new(&mut byte)).is_pending()
}
