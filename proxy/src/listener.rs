//! Accepting connections: bounded in all and per peer, TLS within its time, handed to an [`App`].
//!
//! This is a Pingora [`Service`], so Pingora runs it. The accept loop is ours because the bounds must count a connection
//! from `accept`, before TLS, to its last byte.

use crate::connection::{App, serve};
use crate::limits;
use crate::phase::Phases;
use crate::process_log::Seldom;
use async_trait::async_trait;
use dashmap::DashMap;
use pingora::listeners::tls::Acceptor;
use pingora::protocols::Stream;
use pingora::protocols::l4::stream::Stream as L4Stream;
use pingora::server::{ListenFds, ShutdownWatch};
use pingora::services::Service;
use prometheus::IntGauge;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::net::TcpStream;

/// Whether a peer is only bounded by the number of all connections, as our own proxies are.
pub type Exempt = Box<dyn Fn(&IpAddr) -> bool + Send + Sync>;

/// How many connections are allowed, and how many there are.
pub struct Admission {
    max: usize,
    max_per_peer: usize,
    exempt: Exempt,
    open: AtomicUsize,
    per_peer: DashMap<IpAddr, usize>,
    gauge: IntGauge,
    refused: AtomicUsize,
    reminder: Seldom,
}

impl std::fmt::Debug for Admission {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admission").field("open", &self.open).finish_non_exhaustive()
    }
}

impl Admission {
    /// No connections yet. `exempt` peers, and loopback, are only bounded by `max`.
    pub fn new(max: usize, max_per_peer: usize, exempt: Exempt, gauge: IntGauge) -> Admission {
        Admission {
            max,
            max_per_peer,
            exempt,
            open: AtomicUsize::new(0),
            per_peer: DashMap::new(),
            gauge,
            refused: AtomicUsize::new(0),
            reminder: Seldom::default(),
        }
    }

    /// Admits a connection, or says now and then how many it did not.
    fn admit_or_tell(self: &Arc<Self>, peer: IpAddr, listener: &str) -> Option<Admitted> {
        let admitted = self.admit(peer);
        if admitted.is_none() {
            self.refused.fetch_add(1, Ordering::Relaxed);
            if self.reminder.is_time() {
                let refused = self.refused.swap(0, Ordering::Relaxed);
                log::warn!("{listener}: {refused} connections refused, the last from {peer}");
            }
        }
        admitted
    }

    fn admit(self: &Arc<Self>, peer: IpAddr) -> Option<Admitted> {
        if self.open.fetch_add(1, Ordering::Relaxed) >= self.max {
            self.open.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        let counted = !peer.is_loopback() && !(self.exempt)(&peer);
        let peer = network(peer);
        // From here on the guard gives back what was taken.
        let mut admitted = Admitted { admission: self.clone(), peer: None };
        self.gauge.inc();
        if counted {
            let mut open = self.per_peer.entry(peer).or_insert(0);
            if *open >= self.max_per_peer {
                return None;
            }
            *open += 1;
            admitted.peer = Some(peer);
        }
        Some(admitted)
    }
}

/// Who counts as one peer: an IPv4 address, or an IPv6 /64, which is what one host gets.
fn network(peer: IpAddr) -> IpAddr {
    match peer {
        IpAddr::V4(_) => peer,
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64)),
    }
}

/// One admitted connection; dropping it gives its place back.
struct Admitted {
    admission: Arc<Admission>,
    peer: Option<IpAddr>,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.admission.gauge.dec();
        self.admission.open.fetch_sub(1, Ordering::Relaxed);
        let Some(peer) = self.peer else { return };
        if let Some(mut open) = self.admission.per_peer.get_mut(&peer) {
            *open -= 1;
        }
        self.admission.per_peer.remove_if(&peer, |_, open| *open == 0);
    }
}

/// A bound socket and what serves its connections.
pub struct Listener<A> {
    name: &'static str,
    address: SocketAddr,
    socket: Option<std::net::TcpListener>,
    tls: Option<Arc<Acceptor>>,
    admission: Arc<Admission>,
    phases: Phases,
    threads: usize,
    app: Arc<A>,
}

impl<A> std::fmt::Debug for Listener<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listener")
            .field("name", &self.name)
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl<A: App> Listener<A> {
    /// A listener on `socket`, which is bound already: a taken port is an error of the start.
    ///
    /// # Errors
    /// When the socket does not listen.
    pub fn new(
        name: &'static str,
        socket: std::net::TcpListener,
        tls: Option<Acceptor>,
        admission: Admission,
        phases: Phases,
        threads: usize,
        app: Arc<A>,
    ) -> std::io::Result<Listener<A>> {
        // Asked again, with more room than the standard library's 128.
        nix::sys::socket::listen(&socket, limits::ACCEPT_BACKLOG)?;
        socket.set_nonblocking(true)?;
        Ok(Listener {
            name,
            address: socket.local_addr()?,
            socket: Some(socket),
            tls: tls.map(Arc::new),
            admission: Arc::new(admission),
            phases,
            threads,
            app,
        })
    }

    /// The address in use; its port is real also where 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its name and another handle on its socket, for the process after this one.
    ///
    /// # Errors
    /// When the process may have no more files open, or the listener runs already.
    pub fn share(&self) -> std::io::Result<(&'static str, OwnedFd)> {
        let socket = self.socket.as_ref().ok_or(std::io::ErrorKind::NotConnected)?;
        Ok((self.name, socket.try_clone()?.into()))
    }

    fn accepted(&self, stream: TcpStream, peer: IpAddr) {
        let Some(admitted) = self.admission.admit_or_tell(peer, self.name) else {
            return;
        };
        let (app, tls, phases) = (self.app.clone(), self.tls.clone(), self.phases.clone());
        tokio::spawn(async move {
            let _admitted = admitted;
            if stream.set_nodelay(true).is_err() {
                return;
            }
            let stream = L4Stream::from(stream);
            let stream: Stream = match tls {
                None => Box::new(stream),
                Some(tls) => {
                    // Boxed: it is large, short, and would make every connection's task as large.
                    let handshake = Box::pin(tls.tls_handshake(stream));
                    match tokio::time::timeout(limits::TLS_HANDSHAKE_TIMEOUT, handshake).await {
                        Ok(Ok(stream)) => Box::new(stream),
                        // Scanners do this all day; the connection's end is all they get.
                        Ok(Err(_)) | Err(_) => return,
                    }
                }
            };
            serve(app, stream, peer, phases).await;
        });
    }
}

#[async_trait]
impl<A: App> Service for Listener<A> {
    async fn start_service(
        &mut self,
        _fds: Option<ListenFds>,
        _shutdown: ShutdownWatch,
        _per_fd: usize,
    ) {
        let Some(socket) = self.socket.take() else { return };
        let listener = match tokio::net::TcpListener::from_std(socket) {
            Ok(listener) => listener,
            Err(error) => {
                log::error!("{} cannot listen on {}: {error}", self.name, self.address);
                return;
            }
        };
        let mut phases = self.phases.clone();
        phases.started().await;
        let mut draining = pin!(phases.draining());
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => self.accepted(stream, peer.ip().to_canonical()),
                    Err(error) => {
                        log::warn!("{} cannot accept: {error}", self.name);
                        tokio::time::sleep(limits::ACCEPT_PAUSE).await;
                    }
                },
                () = &mut draining => break,
            }
        }
        // The kernel has taken these already, and would reset them.
        for _ in 0..limits::ACCEPT_LAST {
            tokio::select! {
                biased;
                Ok((stream, peer)) = listener.accept() => self.accepted(stream, peer.ip().to_canonical()),
                () = std::future::ready(()) => break,
            }
        }
    }

    fn name(&self) -> &str {
        self.name
    }

    fn threads(&self) -> Option<usize> {
        Some(self.threads)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRANGER: &str = "203.0.113.9";

    fn admission(max: usize, max_per_peer: usize) -> Arc<Admission> {
        let exempt: [ipnet::IpNet; 1] = ["10.0.0.0/8".parse().unwrap()];
        let gauge = IntGauge::new("connections", "open").unwrap();
        let exempt = Box::new(move |peer: &IpAddr| exempt.iter().any(|net| net.contains(peer)));
        Arc::new(Admission::new(max, max_per_peer, exempt, gauge))
    }

    fn admit(admission: &Arc<Admission>, peer: &str, times: usize) -> Vec<Admitted> {
        let peer = peer.parse().unwrap();
        (0..times).filter_map(|_| admission.admit(peer)).collect()
    }

    #[test]
    fn no_more_than_the_bound_in_all_and_a_place_is_given_back() {
        let admission = admission(3, 100);
        let mut held = admit(&admission, STRANGER, 2);
        held.extend(admit(&admission, "127.0.0.1", 2));
        assert_eq!((held.len(), admission.gauge.get()), (3, 3));
        drop(held.pop());
        assert_eq!(admit(&admission, "10.0.0.1", 5).len(), 1);
        drop(held);
        assert_eq!((admission.gauge.get(), admission.open.load(Ordering::Relaxed)), (0, 0));
        assert_eq!(admit(&admission, STRANGER, 5).len(), 3);
    }

    #[test]
    fn no_more_than_the_bound_of_one_peer_unless_it_is_exempt() {
        let admission = admission(100, 2);
        let held = admit(&admission, STRANGER, 5);
        assert_eq!(held.len(), 2);
        for (other, admitted) in
            [("203.0.113.10", 2), ("2001:db8::1", 2), ("127.0.0.1", 5), ("::1", 5), ("10.9.8.7", 5)]
        {
            assert_eq!(admit(&admission, other, 5).len(), admitted, "{other}");
        }
        assert_eq!(admission.gauge.get(), 2, "who was refused holds nothing");
        drop(held);
        assert_eq!(admit(&admission, STRANGER, 5).len(), 2);
        assert!(admission.per_peer.is_empty(), "who has left is forgotten");
    }
}
