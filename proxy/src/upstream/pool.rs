//! Kept connections to one app, bounded.

use super::Failure;
use super::connection::{Connection, Stream};
use super::dns::Name;
use crate::config;
use rustls::pki_types::ServerName;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_rustls::TlsConnector;
use url::Url;

/// The connections of one app.
#[derive(Debug)]
pub(super) struct Pool {
    name: Arc<Name>,
    tls: Option<Tls>,
    connect_timeout: Duration,
    /// Last in, first out: the least used ones go idle and are closed.
    idle: Mutex<Vec<Connection>>,
    /// One permit a connection in use.
    turns: Semaphore,
}

struct Tls {
    connector: TlsConnector,
    server_name: ServerName<'static>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tls({:?})", self.server_name)
    }
}

impl Pool {
    pub(super) fn new(
        url: &Url,
        host: &str,
        port: u16,
        settings: &config::Upstream,
    ) -> Result<Pool, Failure> {
        let tls = match url.scheme() {
            "https" => Some(Tls {
                connector: crate::tls::connector(),
                server_name: ServerName::try_from(host.trim_matches(['[', ']']).to_owned())
                    .map_err(|_| Failure::Dns)?,
            }),
            _ => None,
        };
        Ok(Pool {
            name: Arc::new(Name::new(host, port)),
            tls,
            connect_timeout: settings.connect_timeout,
            idle: Mutex::new(Vec::new()),
            turns: Semaphore::new(settings.max_connections),
        })
    }

    /// The right to use a connection, for as long as it is held.
    pub(super) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        // The semaphore is never closed.
        self.turns.acquire().await.ok()
    }

    /// A kept connection that is still open, if there is one.
    pub(super) fn take_idle(&self) -> Option<Connection> {
        loop {
            let mut connection = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
            if connection.is_open() {
                return Some(connection);
            }
        }
    }

    /// Keeps a connection for the next request, unless it ends here.
    pub(super) fn give_back(&self, mut connection: Connection) {
        if connection.rest() {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        }
    }

    /// Closes what has been idle for longer than `limit`.
    pub(super) fn reap(&self, limit: Duration) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|connection| connection.idle_for() < limit);
    }

    /// A new connection, ready for a request; the name, TCP and TLS each within its time.
    pub(super) async fn connect(&self) -> Result<Connection, Failure> {
        let addresses = self.name.addresses().await?;
        match tokio::time::timeout(self.connect_timeout, self.connect_any(&addresses)).await {
            Ok(connected) => connected,
            Err(_elapsed) => Err(Failure::ConnectTimeout),
        }
    }

    async fn connect_any(&self, addresses: &[std::net::SocketAddr]) -> Result<Connection, Failure> {
        for address in addresses {
            let Ok(stream) = TcpStream::connect(address).await else { continue };
            if stream.set_nodelay(true).is_err() {
                continue;
            }
            let Some(tls) = &self.tls else { return Ok(Connection::new(Stream::Tcp(stream))) };
            match tls.connector.connect(tls.server_name.clone(), stream).await {
                Ok(stream) => return Ok(Connection::new(Stream::Tls(Box::new(stream)))),
                Err(error) => log::warn!("TLS with the app at {address} fails: {error}"),
            }
        }
        Err(Failure::Connect)
    }
}
