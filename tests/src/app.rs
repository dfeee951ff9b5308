//! The fake app: a plain HTTP/1.1 server that answers as told, breaks as told, and remembers what it was asked.

use std::collections::{HashMap, VecDeque};
use std::io::{Read, Write};
use std::net::{self, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::socket::{
    AddressFamily, Backlog, Shutdown, SockFlag, SockType, SockaddrIn, bind, getsockname, listen,
    shutdown, socket,
};

use crate::canary;
use crate::http::{find, header, reset};
use crate::port::Port;

/// One request as the app got it.
#[derive(Debug, Clone)]
pub struct Request {
    /// `POST`, always; written down to be asserted.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// In the order in which they came, names as they came.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// Which of the app's connections it came on, counted from 1.
    pub connection: u64,
    /// When it was complete.
    pub at: Instant,
}

impl Request {
    /// The first header of a name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {:?}", String::from_utf8_lossy(&self.body)))
    }
}

/// What the app answers, and how that ends.
#[derive(Debug, Clone)]
pub struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    delay: Duration,
    gate: Option<Gate>,
    ending: Ending,
}

#[derive(Debug, Clone)]
enum Ending {
    /// The connection takes the next request.
    KeepAlive,
    /// `connection: close`, and so it is.
    Close,
    /// The connection is closed although nothing said so.
    CloseUnannounced,
    /// Closed without a byte of an answer.
    NoAnswer,
    /// Never an answer, never an end.
    Hang,
    /// A reset instead of an answer.
    Reset,
    /// A reset after this many bytes of the answer.
    ResetAfter(usize),
    /// Closed after this many bytes of the answer.
    CloseAfter(usize),
    /// The answer's head, then body without end.
    Endless,
    /// These bytes in place of an answer, then closed.
    Raw(Vec<u8>),
}

impl Answer {
    /// A status with a body.
    #[must_use]
    pub fn new(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Answer {
        Answer {
            status,
            headers: vec![("content-type".to_owned(), content_type.to_owned())],
            body: body.into(),
            delay: Duration::ZERO,
            gate: None,
            ending: Ending::KeepAlive,
        }
    }

    /// A status with nothing.
    #[must_use]
    pub fn status(status: u16) -> Answer {
        Answer { headers: Vec::new(), ..Answer::new(status, "", "") }
    }

    /// 200 with JSON.
    #[must_use]
    pub fn json(value: &serde_json::Value) -> Answer {
        Answer::new(200, "application/json", value.to_string())
    }

    /// 200 with a text message in customer-service form.
    #[must_use]
    pub fn text(content: &str) -> Answer {
        Answer::json(&serde_json::json!({"msgtype": "text", "text": {"content": content}}))
    }

    /// 200 with nothing: taken, and nothing to say.
    #[must_use]
    pub fn taken() -> Answer {
        Answer::status(200)
    }

    /// With one more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Answer {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// After a while.
    #[must_use]
    pub fn after(self, delay: Duration) -> Answer {
        Answer { delay, ..self }
    }

    /// Once the gate is open.
    #[must_use]
    pub fn behind(self, gate: &Gate) -> Answer {
        Answer { gate: Some(gate.clone()), ..self }
    }

    fn ending(self, ending: Ending) -> Answer {
        Answer { ending, ..self }
    }

    /// And says that the connection ends there.
    #[must_use]
    pub fn then_close(self) -> Answer {
        self.ending(Ending::Close)
    }

    /// And closes the connection without having said so: a request that is under way finds it dead.
    #[must_use]
    pub fn then_close_unannounced(self) -> Answer {
        self.ending(Ending::CloseUnannounced)
    }

    /// Cut off by a close after `bytes`, head included.
    #[must_use]
    pub fn cut_after(self, bytes: usize) -> Answer {
        self.ending(Ending::CloseAfter(bytes))
    }

    /// Cut off by a reset after `bytes`, head included.
    #[must_use]
    pub fn reset_after(self, bytes: usize) -> Answer {
        self.ending(Ending::ResetAfter(bytes))
    }

    /// Announces the body longer than it is, then closes.
    #[must_use]
    pub fn truncated(self) -> Answer {
        let longer = self.body.len() + 10;
        let answer = self.header("content-length", &longer.to_string());
        let whole = answer.head().len() + answer.body.len();
        answer.cut_after(whole)
    }

    /// Goes on with body for ever.
    #[must_use]
    pub fn endless() -> Answer {
        let answer = Answer::new(200, "text/plain", "");
        answer.header("transfer-encoding", "chunked").ending(Ending::Endless)
    }

    /// Takes the request and says nothing, ever.
    #[must_use]
    pub fn hang() -> Answer {
        Answer::status(200).ending(Ending::Hang)
    }

    /// Takes the request and resets the connection.
    #[must_use]
    pub fn reset() -> Answer {
        Answer::status(200).ending(Ending::Reset)
    }

    /// Takes the request and closes the connection without a byte.
    #[must_use]
    pub fn no_answer() -> Answer {
        Answer::status(200).ending(Ending::NoAnswer)
    }

    /// These bytes, whatever they are, then a close.
    #[must_use]
    pub fn raw(bytes: impl Into<Vec<u8>>) -> Answer {
        Answer::status(200).ending(Ending::Raw(bytes.into()))
    }

    fn head(&self) -> Vec<u8> {
        let mut head = format!("HTTP/1.1 {} Whatever\r\n", self.status);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let framed = ["content-length", "transfer-encoding"];
        if !framed.iter().any(|name| header(&self.headers, name).is_some()) {
            head.push_str(&format!("content-length: {}\r\n", self.body.len()));
        }
        if matches!(self.ending, Ending::Close) {
            head.push_str("connection: close\r\n");
        }
        head.push_str("\r\n");
        head.into_bytes()
    }
}

/// Something that answers wait for until the test lets them go.
#[derive(Debug, Clone, Default)]
pub struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    /// A closed gate.
    #[must_use]
    pub fn closed() -> Gate {
        Gate::default()
    }

    /// Lets everything through, for good.
    pub fn open(&self) {
        *lock(&self.0.0) = true;
        self.0.1.notify_all();
    }

    /// Waits until it is open, or nobody waits for the answer any more.
    pub(crate) fn wait(&self, is_over: impl Fn() -> bool) {
        let mut open = lock(&self.0.0);
        while !*open && !is_over() {
            let waited = self.0.1.wait_timeout(open, Duration::from_millis(50));
            open = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

type Choose = Arc<dyn Fn(&Request) -> Answer + Send + Sync>;

/// The app. Dropping it ends it, with all its connections.
#[derive(Debug)]
pub struct App {
    address: SocketAddr,
    inner: Arc<Inner>,
}

struct Inner {
    /// Answers that are given once, in order, before the usual one.
    script: Mutex<VecDeque<Answer>>,
    usual: Mutex<Choose>,
    requests: Mutex<Vec<Request>>,
    /// Requests that were answered whole.
    answered: AtomicUsize,
    listener: TcpListener,
    /// Whether connections are taken, or refused.
    listens: Mutex<bool>,
    listens_again: Condvar,
    sockets: Mutex<HashMap<u64, TcpStream>>,
    connections: AtomicU64,
    most_connections: AtomicUsize,
    over: AtomicBool,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner").field("connections", &self.connections).finish_non_exhaustive()
    }
}

impl App {
    /// An app that takes everything and says nothing, until told otherwise.
    ///
    /// # Panics
    /// When no port is free.
    #[must_use]
    pub fn start() -> App {
        // A port that the system chose itself it would take back from who stops listening.
        let port = Port::reserve();
        let listener = TcpListener::bind(port.address).expect("a port of ours");
        // A thousand calls may come at once.
        listen(&listener, Backlog::MAXCONN).expect("a backlog");
        let inner = Arc::new(Inner {
            script: Mutex::default(),
            usual: Mutex::new(Arc::new(|_| Answer::taken())),
            requests: Mutex::default(),
            answered: AtomicUsize::new(0),
            listener,
            listens: Mutex::new(true),
            listens_again: Condvar::new(),
            sockets: Mutex::default(),
            connections: AtomicU64::new(0),
            most_connections: AtomicUsize::new(0),
            over: AtomicBool::new(false),
        });
        let accepting = inner.clone();
        crate::thread(move || accepting.accept());
        App { address: port.address, inner }
    }

    /// An app that answers everything alike.
    #[must_use]
    pub fn answering(answer: Answer) -> App {
        let app = App::start();
        app.answer(answer);
        app
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What `upstream.url` has to be; with a secret in it, as apps' URLs may have.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/wechat?key={}", self.address, canary::APP_KEY)
    }

    /// The answer from now on.
    pub fn answer(&self, answer: Answer) {
        self.choose(move |_| answer.clone());
    }

    /// The answer from now on, by what is asked. It may take its time to choose: each request has a thread of its own.
    pub fn choose(&self, choose: impl Fn(&Request) -> Answer + Send + Sync + 'static) {
        *lock(&self.inner.usual) = Arc::new(choose);
    }

    /// The next answers, each given once; then the usual one again.
    pub fn script(&self, answers: impl IntoIterator<Item = Answer>) {
        lock(&self.inner.script).extend(answers);
    }

    /// Refuses connections, and ends those that are there; the port stays its own.
    pub fn stop_listening(&self) {
        let mut listens = lock(&self.inner.listens);
        *listens = false;
        // Linux: the socket keeps its port and stops listening; whoever accepts gets an error.
        let _stopped = shutdown(self.inner.listener.as_raw_fd(), Shutdown::Both);
        drop(listens);
        self.inner.close_connections();
    }

    /// Takes connections again.
    ///
    /// # Panics
    /// Never: the port stayed its own.
    pub fn listen_again(&self) {
        let mut listens = lock(&self.inner.listens);
        listen(&self.inner.listener, Backlog::MAXCONN).expect("a port that stayed ours");
        *listens = true;
        self.inner.listens_again.notify_all();
    }

    /// Forgets the requests until now, for tests with very many of them.
    pub fn forget(&self) {
        lock(&self.inner.requests).clear();
    }

    /// All requests until now.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        lock(&self.inner.requests).clone()
    }

    /// How many requests there were.
    #[must_use]
    pub fn calls(&self) -> usize {
        lock(&self.inner.requests).len()
    }

    /// How many requests were answered whole, as far as the app can tell.
    #[must_use]
    pub fn answered(&self) -> usize {
        self.inner.answered.load(Ordering::SeqCst)
    }

    /// Waits until `number` requests were answered whole. The app counts an answer when it has written it, so whoever
    /// reads the answer may be ahead of the count.
    ///
    /// # Panics
    /// When there are fewer in the end, or more.
    pub fn assert_answered(&self, number: usize) {
        let enough = || self.answered() >= number;
        crate::eventually(Duration::from_secs(5), "the app has answered", enough);
        assert_eq!(self.answered(), number, "requests the app answered whole");
    }

    /// How many connections there were.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.inner.connections.load(Ordering::SeqCst)
    }

    /// How many connections were open at the same time.
    #[must_use]
    pub fn most_connections(&self) -> usize {
        self.inner.most_connections.load(Ordering::SeqCst)
    }

    /// How many connections are open.
    #[must_use]
    pub fn open_connections(&self) -> usize {
        lock(&self.inner.sockets).len()
    }

    /// Waits for this many requests in all.
    ///
    /// # Panics
    /// When they do not come.
    #[track_caller]
    pub fn await_calls(&self, calls: usize) -> Vec<Request> {
        let what = format!("{calls} calls to the app");
        crate::eventually(crate::PATIENCE, &what, || self.calls() >= calls);
        self.requests()
    }

    /// The one request there was.
    ///
    /// # Panics
    /// When there was none, or more.
    #[track_caller]
    #[must_use]
    pub fn only_request(&self) -> Request {
        let mut requests = self.requests();
        assert_eq!(requests.len(), 1, "calls to the app");
        requests.remove(0)
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.inner.over.store(true, Ordering::SeqCst);
        self.stop_listening();
        self.inner.listens_again.notify_all();
    }
}

impl Inner {
    fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    fn close_connections(&self) {
        for socket in lock(&self.sockets).values() {
            // It may be closed already.
            let _closed = socket.shutdown(net::Shutdown::Both);
        }
    }

    fn accept(self: Arc<Self>) {
        while !self.is_over() {
            match self.listener.accept() {
                Ok((socket, _)) => self.clone().welcome(socket),
                Err(_) => {
                    let listens = lock(&self.listens);
                    let stopped = |listens: &mut bool| !*listens && !self.is_over();
                    drop(self.listens_again.wait_while(listens, stopped));
                }
            }
        }
    }

    fn welcome(self: Arc<Self>, socket: TcpStream) {
        let Ok(kept) = socket.try_clone() else { return };
        let connection = self.connections.fetch_add(1, Ordering::SeqCst) + 1;
        {
            // Nobody slips in while the door is being closed.
            let listens = lock(&self.listens);
            if !*listens {
                return;
            }
            let mut sockets = lock(&self.sockets);
            sockets.insert(connection, kept);
            self.most_connections.fetch_max(sockets.len(), Ordering::SeqCst);
        }
        crate::thread(move || {
            self.serve(socket, connection);
            lock(&self.sockets).remove(&connection);
        });
    }

    fn serve(&self, mut socket: TcpStream, connection: u64) {
        // Without it answers that follow one another wait for each other.
        let _delayed = socket.set_nodelay(true);
        let mut unread = Vec::new();
        while let Some(request) = read_request(&mut socket, &mut unread, connection) {
            lock(&self.requests).push(request.clone());
            let scripted = lock(&self.script).pop_front();
            let usual = lock(&self.usual).clone();
            let answer = scripted.unwrap_or_else(|| usual(&request));
            if !self.give(&answer, &mut socket) {
                return;
            }
        }
    }

    /// Answers; says whether the connection goes on.
    fn give(&self, answer: &Answer, socket: &mut TcpStream) -> bool {
        if !answer.delay.is_zero() {
            self.pause(answer.delay);
        }
        if let Some(gate) = &answer.gate {
            gate.wait(|| self.is_over());
        }
        let mut whole = answer.head();
        whole.extend_from_slice(&answer.body);
        match &answer.ending {
            Ending::KeepAlive => return self.write(socket, &whole, true),
            Ending::Close | Ending::CloseUnannounced => {
                self.write(socket, &whole, true);
            }
            Ending::NoAnswer => {}
            Ending::Hang => {
                // Until the other end has enough.
                let _ended = socket.read(&mut [0; 1]);
            }
            Ending::Reset => reset(socket),
            Ending::ResetAfter(bytes) => {
                self.write(socket, &whole[..*bytes], false);
                reset(socket);
            }
            Ending::CloseAfter(bytes) => {
                self.write(socket, &whole[..*bytes], false);
            }
            Ending::Endless => {
                self.write(socket, &whole, false);
                let chunk = format!("1000\r\n{}\r\n", "x".repeat(0x1000));
                while !self.is_over() && self.write(socket, chunk.as_bytes(), false) {}
            }
            Ending::Raw(bytes) => {
                self.write(socket, bytes, false);
            }
        }
        false
    }

    fn write(&self, socket: &mut TcpStream, bytes: &[u8], whole: bool) -> bool {
        let written = socket.write_all(bytes).is_ok();
        if written && whole {
            self.answered.fetch_add(1, Ordering::SeqCst);
        }
        written
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

fn read_request(socket: &mut TcpStream, unread: &mut Vec<u8>, connection: u64) -> Option<Request> {
    let end = loop {
        if let Some(end) = find(unread, b"\r\n\r\n") {
            break end;
        }
        read_more(socket, unread)?;
    };
    let head: Vec<u8> = unread.drain(..end + 4).collect();
    let text = String::from_utf8(head[..end].to_vec()).ok()?;
    let mut lines = text.split("\r\n");
    let mut first = lines.next()?.split(' ');
    let (method, target) = (first.next()?.to_owned(), first.next()?.to_owned());
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let length = match header(&headers, "content-length") {
        Some(length) => length.parse().ok()?,
        None if method == "GET" || method == "HEAD" => 0,
        None => return None,
    };
    while unread.len() < length {
        read_more(socket, unread)?;
    }
    let body = unread.drain(..length).collect();
    Some(Request { method, target, headers, body, connection, at: Instant::now() })
}

fn read_more(socket: &mut TcpStream, unread: &mut Vec<u8>) -> Option<()> {
    let mut buffer = [0; 16 * 1024];
    match socket.read(&mut buffer) {
        Ok(read) if read > 0 => {
            unread.extend_from_slice(&buffer[..read]);
            Some(())
        }
        _ => None,
    }
}

/// A listener whose kernel takes no connections any more: what an app that is buried looks like.
#[derive(Debug)]
pub struct Deaf {
    address: SocketAddr,
    _listener: TcpListener,
    /// Fill the backlog, so that the kernel drops whoever comes next.
    _filling: Vec<TcpStream>,
}

impl Deaf {
    /// Nobody's connection is taken: the backlog is full.
    ///
    /// # Panics
    /// When it cannot be filled.
    #[must_use]
    pub fn full() -> Deaf {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let backlog = Backlog::new(0).expect("a backlog");
        listen(&listener, backlog).expect("a smaller backlog");
        let address = listener.local_addr().expect("an address");
        let mut filling = Vec::new();
        let impatience = Duration::from_millis(200);
        while let Ok(one) = TcpStream::connect_timeout(&address, impatience) {
            filling.push(one);
            assert!(filling.len() < 64, "the backlog does not fill");
        }
        Deaf { address, _listener: listener, _filling: filling }
    }

    /// What `upstream.url` has to be.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/wechat", self.address)
    }
}

/// A port that is taken but not listened on: what an app that is down looks like. Nobody else gets the port meanwhile.
#[derive(Debug)]
pub struct Down {
    address: SocketAddr,
    _socket: OwnedFd,
}

impl Down {
    /// Every connection is refused.
    ///
    /// # Panics
    /// When no port is free.
    #[must_use]
    pub fn start() -> Down {
        let kind = (AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC);
        let socket = socket(kind.0, kind.1, kind.2, None).expect("a socket");
        bind(socket.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, 0)).expect("a free port");
        let bound: SockaddrIn = getsockname(socket.as_raw_fd()).expect("an address");
        Down { address: SocketAddr::from(([127, 0, 0, 1], bound.port())), _socket: socket }
    }

    /// What `upstream.url` has to be.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/wechat", self.address)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
