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
use arc_swap::ArcSwap;
use http::HeaderValue;
use pingora::ErrorType;
use pingora::connectors::TransportConnector;
use pingora::protocols::Stream;
use pingora::upstreams::peer::HttpPeer;
use prometheus::IntGauge;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use url::{Position, Url};

/// One of WeChat's servers.
#[derive(Debug)]
pub struct Base {
    origin: String,
    host: HeaderValue,
    tls: bool,
    server_name: String,
    /// Where to connect: the base, or the egress proxy.
    name: Arc<Name>,
    tunnel: Option<Arc<Tunnel>>,
    peers: ArcSwap<Peers>,
    kept: Kept,
    health: Mutex<(Health, Instant)>,
    up: AtomicBool,
    since: AtomicI64,
    gauge: IntGauge,
}

/// What Pingora connects to, one for each address.
#[derive(Debug, Default)]
struct Peers {
    addresses: Arc<Vec<SocketAddr>>,
    peers: Vec<HttpPeer>,
}

impl Base {
    pub(super) fn new(
        url: &Url,
        proxy: Option<&Arc<Proxy>>,
        gauge: IntGauge,
    ) -> Result<Base, Failure> {
        let host = url.host_str().ok_or(Failure::Dns)?;
        let port = url.port_or_known_default().ok_or(Failure::Dns)?;
        gauge.set(1);
        Ok(Base {
            origin: url.origin().ascii_serialization(),
            host: HeaderValue::try_from(&url[Position::BeforeHost..Position::AfterPort])
                .map_err(|_| Failure::Dns)?,
            tls: url.scheme() == "https",
            server_name: host.trim_matches(['[', ']']).to_owned(),
            name: proxy.map_or_else(|| Arc::new(Name::new(host, port)), |proxy| proxy.name.clone()),
            tunnel: proxy.map(|proxy| Arc::new(Tunnel::new(proxy, host, port))),
            peers: ArcSwap::default(),
            kept: Kept::default(),
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
    pub(super) fn kept(base: &Arc<Base>) -> Option<Connection> {
        let (stream, address) = base.kept.take()?;
        Some(Connection::new(stream, base.clone(), address, true))
    }

    /// Keeps a connection whose exchange is complete.
    pub(super) fn keep(&self, stream: Stream, address: SocketAddr) {
        self.kept.put(stream, address, Instant::now());
    }

    /// Closes kept connections that are of no use any more. Called once a second.
    pub(super) fn sweep(&self) {
        self.kept.sweep(&self.peers.load().addresses, Instant::now());
    }

    /// A new connection; TCP, the egress proxy and TLS within the time for connecting. The addresses share it, so that
    /// one that is silent leaves some to the next.
    pub(super) async fn fresh(
        base: &Arc<Base>,
        connector: &TransportConnector,
    ) -> Result<Connection, Failure> {
        let peers = base.peers().await?;
        let share =
            limits::API_CONNECT_TIMEOUT / u32::try_from(peers.peers.len()).unwrap_or(1).max(1);
        let share = share.max(limits::CONNECT_SHARE);
        let mut failure = Failure::Dns;
        for (peer, address) in peers.peers.iter().zip(peers.addresses.iter()) {
            match tokio::time::timeout(share, connector.new_stream(peer)).await {
                Ok(Ok(stream)) => {
                    let stream = Box::new(Gathered::new(stream));
                    return Ok(Connection::new(stream, base.clone(), *address, false));
                }
                Ok(Err(error)) => failure = reason(error.etype()),
                Err(_elapsed) => failure = Failure::ConnectTimeout,
            }
        }
        Err(failure)
    }

    /// What to connect to now, made anew when the addresses have changed.
    async fn peers(&self) -> Result<Arc<Peers>, Failure> {
        let addresses = self.name.addresses().await?;
        let peers = self.peers.load_full();
        if Arc::ptr_eq(&peers.addresses, &addresses) {
            return Ok(peers);
        }
        let peer = |address: &SocketAddr| {
            #[expect(clippy::disallowed_methods, reason = "there is no name to resolve")]
            let mut peer = HttpPeer::new(*address, self.tls, self.server_name.clone());
            peer.options.custom_l4 = self.tunnel.clone().map(|tunnel| tunnel as _);
            peer
        };
        let peers = Arc::new(Peers { peers: addresses.iter().map(peer).collect(), addresses });
        self.peers.store(peers.clone());
        Ok(peers)
    }
}

fn reason(error: &ErrorType) -> Failure {
    match error {
        ErrorType::ConnectTimedout | ErrorType::TLSHandshakeTimedout => Failure::ConnectTimeout,
        ErrorType::InvalidCert | ErrorType::TLSHandshakeFailure | ErrorType::TLSWantX509Lookup => {
            Failure::Tls
        }
        ErrorType::ConnectProxyFailure => Failure::Proxy,
        _ => Failure::Connect,
    }
}
