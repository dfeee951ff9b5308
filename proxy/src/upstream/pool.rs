//! Kept connections to one app, bounded.

use super::Failure;
use super::connection::{Connection, Stream};
use super::dns::Name;
use crate::config;
use crate::limits;
use crate::process_log::Seldom;
use rustls::pki_types::ServerName;
use std::io;
use std::net::SocketAddr;
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
    reminder: Seldom,
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
            reminder: Seldom::default(),
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

    /// A new connection, ready for a request. The addresses of the name share the time, so that one that is silent
    /// leaves some to the next.
    pub(super) async fn connect(&self) -> Result<Connection, Failure> {
        let addresses = self.name.addresses().await?;
        let share =
            self.connect_timeout / u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
        let share = share.max(limits::CONNECT_SHARE).min(self.connect_timeout);
        let mut failure = Failure::Connect;
        for address in addresses.iter() {
            let error = match tokio::time::timeout(share, self.connect_to(*address)).await {
                Ok(Ok(connection)) => return Ok(connection),
                Ok(Err(error)) => error,
                Err(_elapsed) => {
                    failure = Failure::ConnectTimeout;
                    io::ErrorKind::TimedOut.into()
                }
            };
            if self.reminder.is_time() {
                log::warn!("the app at {address} does not take connections: {error}");
            }
        }
        self.name.doubt();
        Err(failure)
    }

    async fn connect_to(&self, address: SocketAddr) -> io::Result<Connection> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let Some(tls) = &self.tls else { return Ok(Connection::new(Stream::Tcp(stream))) };
        let stream = tls.connector.connect(tls.server_name.clone(), stream).await?;
        Ok(Connection::new(Stream::Tls(Box::new(stream))))
    }
}

#[cfg(test)]
mod tests {
    use super::super::dns::tests::Script;
    use super::*;
    use std::net::TcpListener;
    use wxedge_tests::app::Down;

    #[tokio::test]
    async fn when_no_address_takes_a_connection_the_name_is_looked_up_again() {
        let down = Down::start();
        let old = Url::parse(&down.url()).unwrap().socket_addrs(|| None).unwrap();
        let app = TcpListener::bind("127.0.0.1:0").unwrap();
        let script = Script::default();
        script.add(Ok(&old));
        script.add(Ok(&[app.local_addr().unwrap()]));
        let pool = Pool {
            name: script.name(),
            tls: None,
            connect_timeout: Duration::from_secs(3),
            idle: Mutex::default(),
            turns: Semaphore::new(1),
            reminder: Seldom::default(),
        };
        let connect = || async {
            let connected = pool.connect().await.map(drop);
            // A lookup that it started ends here.
            tokio::task::yield_now().await;
            connected
        };
        for _ in 0..2 {
            assert_eq!(connect().await, Err(Failure::Connect), "not before the pause is over");
        }
        tokio::time::pause();
        tokio::time::advance(limits::DNS_PAUSE).await;
        tokio::time::resume();
        assert_eq!(connect().await, Err(Failure::Connect));
        assert_eq!(connect().await, Ok(()));
    }
}
