//! The listener and its connections, one thread each.

use std::collections::HashMap;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::ops::ControlFlow;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, bind, getsockname, listen,
    setsockopt, socket, sockopt,
};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::answer::Answer;
use super::clock::Clock;
use super::control;
use super::errcode;
use super::fault::{Fault, Faults};
use super::platform::Platform;
use super::quota::{STABLE_TOKEN, TOKEN};
use super::record::{Body, Record, Request};
use super::wire::{Form, Head, NoRequest, Wire, framed};

/// One address of WeChat's.
pub(super) struct Server {
    pub(super) clock: Clock,
    pub(super) platform: Arc<Mutex<Platform>>,
    pub(super) faults: Mutex<Faults>,
    pub(super) record: Mutex<Record>,
    pub(super) connections: AtomicU64,
    pub(super) most_fetches: AtomicUsize,
    fetches: AtomicUsize,
    /// Serves `/_fake/`.
    control: bool,
    tls: Option<Arc<ServerConfig>>,
    listener: TcpListener,
    listens: Mutex<bool>,
    changed: Condvar,
    sockets: Mutex<HashMap<u64, TcpStream>>,
    over: AtomicBool,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("listener", &self.listener).finish_non_exhaustive()
    }
}

impl Server {
    pub(super) fn start(
        address: SocketAddr,
        clock: Clock,
        platform: Arc<Mutex<Platform>>,
        tls: Option<Arc<ServerConfig>>,
        control: bool,
    ) -> std::io::Result<Arc<Server>> {
        let server = Arc::new(Server {
            clock,
            platform,
            faults: Mutex::default(),
            record: Mutex::default(),
            connections: AtomicU64::new(0),
            most_fetches: AtomicUsize::new(0),
            fetches: AtomicUsize::new(0),
            control,
            tls,
            listener: bound(address)?,
            listens: Mutex::new(true),
            changed: Condvar::new(),
            sockets: Mutex::default(),
            over: AtomicBool::new(false),
        });
        let accepting = server.clone();
        crate::thread(move || accepting.accept());
        Ok(server)
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.listener.local_addr().expect("a listener")
    }

    /// Refuses connections. Those that are there and the port stay.
    pub(super) fn stop_listening(&self) {
        let mut listens = lock(&self.listens);
        *listens = false;
        // Linux: the socket keeps its port and stops listening; whoever accepts gets an error.
        let _stopped =
            nix::sys::socket::shutdown(self.listener.as_raw_fd(), nix::sys::socket::Shutdown::Both);
    }

    pub(super) fn listen_again(&self) {
        let mut listens = lock(&self.listens);
        listen(&self.listener, Backlog::MAXCONN).expect("a port that stayed ours");
        *listens = true;
        self.changed.notify_all();
    }

    pub(super) fn close_connections(&self) {
        for socket in lock(&self.sockets).values() {
            // It may be closed already.
            let _closed = socket.shutdown(Shutdown::Both);
        }
    }

    /// Forgets what was asked.
    pub(super) fn forget(&self) {
        *lock(&self.record) = Record::default();
        self.most_fetches.store(0, Ordering::SeqCst);
    }

    pub(super) fn end(&self) {
        self.over.store(true, Ordering::SeqCst);
        self.stop_listening();
        self.changed.notify_all();
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    fn accept(self: Arc<Self>) {
        while !self.is_over() {
            match self.listener.accept() {
                Ok((socket, _)) => self.clone().welcome(socket),
                Err(_) => {
                    let listens = lock(&self.listens);
                    let stopped = |listens: &mut bool| !*listens && !self.is_over();
                    drop(self.changed.wait_while(listens, stopped));
                }
            }
        }
    }

    fn welcome(self: Arc<Self>, socket: TcpStream) {
        let Ok(kept) = socket.try_clone() else { return };
        let number = self.connections.fetch_add(1, Ordering::SeqCst) + 1;
        {
            // Nobody slips in while the door is being closed.
            let listens = lock(&self.listens);
            if !*listens {
                return;
            }
            lock(&self.sockets).insert(number, kept);
        }
        crate::thread(move || {
            if let Some(mut wire) = self.wire(socket) {
                self.serve(&mut wire, number);
            }
            lock(&self.sockets).remove(&number);
        });
    }

    fn wire(&self, socket: TcpStream) -> Option<Wire> {
        // Without it answers that follow one another wait for each other.
        socket.set_nodelay(true).ok()?;
        let Some(tls) = &self.tls else { return Some(Wire::new(Box::new(socket))) };
        let session = ServerConnection::new(tls.clone()).ok()?;
        Some(Wire::new(Box::new(StreamOwned::new(session, socket))))
    }

    fn serve(&self, wire: &mut Wire, connection: u64) {
        let mut kept = false;
        loop {
            match wire.head() {
                Ok(head) => {
                    if self.exchange(wire, head, connection, kept).is_break() {
                        return;
                    }
                }
                Err(NoRequest::Closed) => return,
                Err(NoRequest::Malformed) => {
                    lock(&self.record).mistake("a request that is no HTTP/1.1".to_owned());
                    let bad = Answer::new(400, "text/html", "<h1>400 Bad Request</h1>");
                    // Whoever sends such things may be gone.
                    let _written = wire.write(&framed(&bad, Form::Close, self.clock.now()).0);
                    return;
                }
            }
            kept = true;
        }
    }

    /// One request and its answer; whether the connection goes on.
    fn exchange(
        &self,
        wire: &mut Wire,
        head: Head,
        connection: u64,
        kept: bool,
    ) -> ControlFlow<()> {
        if self.control && head.path().starts_with("/_fake/") {
            wire.body(&head);
            let answer = control::answer(self, &head);
            return self.write(wire, &answer, Form::Length);
        }
        let fault = lock(&self.faults).pick(head.path(), kept);
        let fetching = Fetching::begin(self, head.path());
        let (body, complete) = match fault {
            Some(Fault::CloseAfterHead) => (Body::empty(), false),
            Some(Fault::EarlyAnswer) => {
                let request = received(head.clone(), Body::empty(), false, connection);
                let answer = self.answer(&request, None);
                lock(&self.record).add(request);
                drop(fetching);
                self.write(wire, &answer, Form::Length)?;
                let (_, complete) = wire.body(&head);
                return if complete { ControlFlow::Continue(()) } else { ControlFlow::Break(()) };
            }
            _ => wire.body(&head),
        };
        let request = received(head, body, complete, connection);
        let skipped = matches!(fault, Some(Fault::CloseAfterHead | Fault::StaleKeepAlive));
        if skipped || !complete {
            lock(&self.record).add(request);
            return ControlFlow::Break(());
        }
        let answer = self.answer(&request, fault.as_ref());
        lock(&self.record).add(request);
        match &fault {
            Some(Fault::Slow(delay)) => self.pause(*delay),
            Some(Fault::Behind(gate)) => gate.wait(|| self.is_over()),
            Some(Fault::Silence) => {
                wire.await_close();
                return ControlFlow::Break(());
            }
            _ => {}
        }
        // Before the answer: whoever has it may ask again at once.
        drop(fetching);
        self.give(wire, &answer, fault)
    }

    /// What WeChat makes of a request, or what it was told to say instead.
    fn answer(&self, request: &Request, fault: Option<&Fault>) -> Answer {
        let now = self.clock.now();
        match fault {
            Some(Fault::Errcode(40001)) if !is_fetch(request.path()) => {
                Answer::json(&errcode::not_latest(now))
            }
            Some(Fault::Errcode(errcode)) => Answer::json(&errcode::body(*errcode, now)),
            Some(Fault::IpNotListed(ip)) => Answer::json(&errcode::ip_not_listed(*ip, now)),
            Some(Fault::ComponentIpNotListed(ip)) => {
                Answer::json(&errcode::component_ip_not_listed(*ip, now))
            }
            Some(Fault::Answer(answer)) => answer.clone(),
            Some(Fault::ServerError) => {
                Answer::new(500, "text/html", "<html><h1>500 Internal Server Error</h1></html>")
            }
            Some(Fault::Redirect(url)) => Answer::new(302, "text/html", "").header("Location", url),
            _ => {
                let outcome = lock(&self.platform).call(request, now);
                let mut record = lock(&self.record);
                outcome.mistakes.into_iter().for_each(|mistake| record.mistake(mistake));
                outcome.answer
            }
        }
    }

    fn give(&self, wire: &mut Wire, answer: &Answer, fault: Option<Fault>) -> ControlFlow<()> {
        match fault {
            Some(Fault::CloseUnanswered) => ControlFlow::Break(()),
            Some(Fault::CutBody) => {
                let (bytes, begins) = framed(answer, Form::Length, self.clock.now());
                // The rest would have come next; nobody is told that it does not.
                let _written = wire.write(&bytes[..begins + answer.body.len() / 2]);
                ControlFlow::Break(())
            }
            Some(Fault::Garbage) => {
                let _written = wire.write(b"\x00\xff\x13\x37 this is no HTTP\r\n\r\n");
                ControlFlow::Break(())
            }
            Some(Fault::Chunked) => self.write(wire, answer, Form::Chunked),
            Some(Fault::Close) => {
                self.write(wire, answer, Form::Close)?;
                ControlFlow::Break(())
            }
            Some(Fault::CloseUnannounced) => {
                self.write(wire, answer, Form::Length)?;
                ControlFlow::Break(())
            }
            _ => self.write(wire, answer, Form::Length),
        }
    }

    fn write(&self, wire: &mut Wire, answer: &Answer, form: Form) -> ControlFlow<()> {
        match wire.write(&framed(answer, form, self.clock.now()).0) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    }

    /// Takes its time, but not longer than the test.
    fn pause(&self, delay: Duration) {
        let until = Instant::now() + delay;
        while !self.is_over() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            std::thread::sleep(left.min(Duration::from_millis(100)));
        }
    }
}

fn received(head: Head, body: Body, complete: bool, connection: u64) -> Request {
    let Head { method, target, headers, .. } = head;
    Request { method, target, headers, body, complete, connection, at: Instant::now() }
}

fn is_fetch(path: &str) -> bool {
    matches!(path, TOKEN | STABLE_TOKEN)
}

/// Counts the token calls that are under way, as long as it lives.
struct Fetching<'a>(&'a Server);

impl Fetching<'_> {
    fn begin<'a>(server: &'a Server, path: &str) -> Option<Fetching<'a>> {
        is_fetch(path).then(|| {
            let now = server.fetches.fetch_add(1, Ordering::SeqCst) + 1;
            server.most_fetches.fetch_max(now, Ordering::SeqCst);
            Fetching(server)
        })
    }
}

impl Drop for Fetching<'_> {
    fn drop(&mut self) {
        self.0.fetches.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A listener whose port stays taken while it does not listen: the system lets go only of ports that it chose itself.
fn bound(address: SocketAddr) -> std::io::Result<TcpListener> {
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let chosen = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(&chosen, sockopt::ReuseAddr, &true)?;
    bind(chosen.as_raw_fd(), &SockaddrStorage::from(address))?;
    let bound: SockaddrStorage = getsockname(chosen.as_raw_fd())?;
    let port = match (bound.as_sockaddr_in(), bound.as_sockaddr_in6()) {
        (Some(bound), _) => bound.port(),
        (_, Some(bound)) => bound.port(),
        _ => address.port(),
    };
    let listener = TcpListener::bind(SocketAddr::new(address.ip(), port))?;
    // A thousand calls may come at once.
    listen(&listener, Backlog::MAXCONN)?;
    Ok(listener)
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
