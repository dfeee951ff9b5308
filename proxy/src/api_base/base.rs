//! One base: its addresses, its kept connections, what is believed of it.

use super::connection::Connection;
use super::egress::{Proxy, Tunnel};
use super::failure::Failure;
use super::gathered::Gathered;
use super::health::Health;
use super::kept::Kept;
use crate::callback::unix_now_s;
use crate::limits;
use crate::upstream::Name;
use http::HeaderValue;
use pingora::protocols::Stream;
use pingora::protocols::l4::stream::Stream as L4Stream;
use pingora::protocols::tls::client::handshake;
use prometheus::IntGauge;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
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
    kept: Kept,
    health: Mutex<(Health, Instant)>,
    up: AtomicBool,
    /// Unix seconds; 0 before it was ever reached or believed to be down.
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
            kept: Kept::default(),
            health: Mutex::new((Health::default(), Instant::now())),
            up: AtomicBool::new(true),
            since: AtomicI64::new(0),
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

    /// Whether it is believed to take connections; also until it was tried.
    pub fn is_up(&self) -> bool {
        self.up.load(Ordering::Relaxed)
    }

    /// Whether it is reached by the egress proxy.
    pub fn is_by_proxy(&self) -> bool {
        self.tunnel.is_some()
    }

    /// Since when that is known, in Unix seconds; none until it was tried.
    pub fn since(&self) -> Option<i64> {
        Some(self.since.load(Ordering::Relaxed)).filter(|since| *since > 0)
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
        let changed = health.0.note(reached);
        if changed.is_some() || (reached && self.since().is_none()) {
            self.since.store(unix_now_s(), Ordering::Relaxed);
        }
        let up = changed?;
        self.up.store(up, Ordering::Relaxed);
        self.gauge.set(up.into());
        Some(up)
    }

    /// A kept connection, if there is one that is still open.
    pub(super) fn kept(self: &Arc<Self>) -> Option<Connection> {
        let (stream, address) = self.kept.take()?;
        Some(Connection::new(stream, self.clone(), address, true))
    }

    /// Keeps a connection whose exchange is complete.
    pub(super) fn keep(&self, stream: Stream, address: SocketAddr) {
        self.kept.put(stream, address, Instant::now());
    }

    /// Closes kept connections that are of no use any more. Called once a second.
    pub(super) fn sweep(&self) {
        if let Some(addresses) = self.name.known() {
            self.kept.sweep(&addresses, Instant::now());
        }
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
                Ok(Ok(stream)) => {
                    return Ok(Connection::new(stream, self.clone(), *address, false));
                }
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
        let Some(tls) = &self.tls else { return Ok(Box::new(Gathered::new(Box::new(stream)))) };
        match handshake(tls, &self.server_name, stream).await {
            Ok(stream) => Ok(Box::new(Gathered::new(Box::new(stream)))),
            Err(_) => Err(Failure::Tls),
        }
    }
}
