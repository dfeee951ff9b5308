//! `wxedge run --upgrade`: a new process takes over, and nobody notices.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use nix::sys::signal::Signal;
use wxedge_tests::app::{Answer, App, Gate};
use wxedge_tests::canary;
use wxedge_tests::edge::{Builder, Edge};
use wxedge_tests::http::Connection;
use wxedge_tests::message::Message;
use wxedge_tests::wechat::Verdict;
use wxedge_tests::{PATIENCE, eventually, thread};

use crate::api::{Wechat, assert_ok, bearer, before, get};
use crate::edge;

/// What an edge says when nothing came of a takeover.
const GOES_ON: &str = "this process goes on";

/// A new process in the place of `old`, which has ended well.
#[track_caller]
fn take_over(mut old: Edge, builder: &Builder) -> Edge {
    let new = builder.clone().after(&old).start();
    assert_eq!(old.await_exit(PATIENCE).code(), Some(0));
    new
}

#[track_caller]
fn assert_serves(edge: &Edge) {
    let delivery = edge.wechat().deliver(&Message::text("hi"));
    assert_eq!(delivery.reply().at("Content"), Some("hi"));
}

/// Clients that ask without a pause, each request once, until they are told to stop. A request without its right answer is
/// a panic.
struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<(Arc<AtomicU64>, JoinHandle<()>)>,
}

impl Load {
    fn start(edge: &Edge) -> Load {
        let mut load = Load { stop: Arc::default(), clients: Vec::new() };
        for keeps in [true, true, false] {
            let wechat = edge.wechat().patience(PATIENCE);
            load.client(edge.callback, keeps, move |connection, number| {
                let message = Message::text(&number.to_string());
                let sealed = wechat.seal(&message);
                connection.send(wechat.request("POST", &sealed.query, &sealed.body)).unwrap();
                let answer = connection.response(PATIENCE).unwrap();
                let closes = answer.header("connection") == Some("close");
                match wechat.verdict(&message, &Ok(answer)) {
                    Verdict::Replied(reply) => {
                        assert_eq!(reply.at("Content"), Some(number.to_string().as_str()));
                    }
                    other => panic!("{other:?}"),
                }
                closes
            });
        }
        for keeps in [true, false] {
            load.client(edge.api(), keeps, |connection, number| {
                let key = bearer(canary::CLIENT_KEY);
                let target = format!("/main/cgi-bin/user/info?openid=o{number}");
                connection.request("GET", &target, &[("authorization", &key)], b"").unwrap();
                let answer = connection.response(PATIENCE).unwrap();
                assert_eq!(answer.json()["openid"], format!("o{number}"), "{}", answer.text());
                answer.header("connection") == Some("close")
            });
        }
        load
    }

    /// A client whose `ask` says whether the connection is not to be used again.
    fn client(
        &mut self,
        address: SocketAddr,
        keeps: bool,
        ask: impl Fn(&mut Connection, u64) -> bool + Send + 'static,
    ) {
        let (stop, answered) = (self.stop.clone(), Arc::new(AtomicU64::new(0)));
        let count = answered.clone();
        let client = thread(move || {
            let mut kept: Option<Connection> = None;
            while !stop.load(Ordering::Relaxed) {
                let open = kept.take().filter(is_open);
                let mut connection = open.unwrap_or_else(|| Connection::to(address));
                let closes = ask(&mut connection, count.load(Ordering::Relaxed));
                count.fetch_add(1, Ordering::Relaxed);
                kept = (keeps && !closes).then_some(connection);
            }
        });
        self.clients.push((answered, client));
    }

    /// Waits until every client has been answered some more.
    #[track_caller]
    fn go_on(&self) {
        let answered = |client: &(Arc<AtomicU64>, _)| client.0.load(Ordering::Relaxed);
        let before: Vec<u64> = self.clients.iter().map(answered).collect();
        eventually(PATIENCE, "all clients are answered", || {
            let failed = self.clients.iter().any(|(_, client)| client.is_finished());
            let mut both = self.clients.iter().map(answered).zip(&before);
            failed || both.all(|(now, before)| now > before + 5)
        });
    }

    fn end(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for (_, client) in self.clients.drain(..) {
            client.join().expect("every request is answered");
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Whether the other end has not closed a kept connection meanwhile.
fn is_open(connection: &Connection) -> bool {
    let socket = connection.socket();
    socket.set_nonblocking(true).unwrap();
    let open =
        matches!(socket.peek(&mut [0]), Err(e) if e.kind() == std::io::ErrorKind::WouldBlock);
    socket.set_nonblocking(false).unwrap();
    open
}

#[test]
fn under_load_not_one_request_is_refused_or_lost() {
    let wechat = Wechat::start();
    let builder = before(&wechat);
    let mut edge = builder.start();
    assert_ok(&get(&edge, "/main/cgi-bin/user/get"));
    let token = wechat.main_token();
    let load = Load::start(&edge);
    load.go_on();
    for _ in 0..3 {
        edge = take_over(edge, &builder);
        load.go_on();
    }
    load.end();
    edge.await_stderr("the store is this one's alone");
    assert_eq!((wechat.main_token(), wechat.fetches().forced), (token, 0), "the token stays");
}

#[test]
fn the_old_process_answers_what_it_has_begun() {
    let gate = Gate::closed();
    let app = App::answering(Answer::text("the last answer").behind(&gate));
    let mut old = edge().app(&app).runtime("grace_s = 60").start();
    let wechat = old.wechat().patience(PATIENCE);
    let slow = {
        let wechat = wechat.clone();
        thread(move || wechat.deliver(&Message::text("hi")))
    };
    app.await_calls(1);
    let new = edge().runtime("grace_s = 60").after(&old).start();
    old.await_stderr("a new process takes over: draining");
    assert_eq!((old.callback, old.admin), (new.callback, new.admin));
    for _ in 0..5 {
        assert_eq!(new.admin("/readyz").status, 200, "operators ask the new one");
        assert_serves(&new);
    }
    assert_eq!(app.calls(), 1, "the new file has another app");
    // Who stops the service means both; the old one is about to end by itself.
    old.signal(Signal::SIGTERM);
    assert!(old.is_running());
    gate.open();
    assert_eq!(slow.join().unwrap().reply().at("Content"), Some("the last answer"));
    assert_eq!(old.await_exit(PATIENCE).code(), Some(0));
    assert_eq!(old.await_log(1).len(), 1);
    assert_serves(&new);
}

#[test]
fn a_new_process_that_cannot_start_says_why_and_the_old_one_goes_on() {
    let mut old = edge().start();
    let (code, said) = edge().line("replay_window_s = -1").after(&old).fail();
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("accounts.main.replay_window_s"), "{said}");
    assert_serves(&old);

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let (code, said) = edge().listen(&format!("api = \"{address}\"")).after(&old).fail();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(&format!("listen.api = {address}")), "{said}");
    old.await_stderr(GOES_ON);
    assert_serves(&old);
    assert!(old.is_running());
    assert_serves(&take_over(old, &edge()));
}

#[test]
fn a_new_process_that_dies_or_is_one_too_many_does_not_matter() {
    let mut old = edge().start();
    let key = old.folder().path().join("store/openid.key");
    let aside = key.with_extension("aside");
    // A new process waits here for ever: it has the sockets, and is not ready.
    std::fs::rename(&key, &aside).unwrap();
    nix::unistd::mkfifo(&key, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let mut stuck = edge().after(&old).begin();
    old.await_stderr("a new process wants to take over");

    let (code, said) = edge().after(&old).fail();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("another process is taking over just now"), "{said}");
    assert!(stuck.is_running());
    assert_serves(&old);

    stuck.signal(Signal::SIGKILL);
    stuck.await_exit(PATIENCE);
    old.await_stderr(GOES_ON);
    assert_serves(&old);
    assert!(old.is_running());
    std::fs::rename(&aside, &key).unwrap();
    assert_serves(&take_over(old, &edge()));
}

#[test]
fn without_upgrade_a_second_process_is_refused() {
    let old = edge().start();
    let (code, said) = edge().folder(&old.folder()).fail();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(&format!("in use by another wxedge (pid {})", old.pid())), "{said}");
    assert_serves(&old);
    assert_serves(&take_over(old, &edge()));
}

#[test]
fn with_nobody_to_take_over_from_it_starts_as_usual() {
    let mut dead = edge().start();
    let socket = dead.folder().path().join("upgrade.sock");
    dead.signal(Signal::SIGKILL);
    dead.await_exit(PATIENCE);
    assert!(socket.exists(), "nobody has tidied up");
    let mut edge = edge().after(&dead).start();
    edge.await_stderr("starting without taking over");
    assert_serves(&edge);
    edge.signal(Signal::SIGTERM);
    assert_eq!(edge.await_exit(PATIENCE).code(), Some(0));
    assert!(!socket.exists());
}

#[test]
fn addresses_come_and_go_with_the_configuration() {
    let old = edge().start();
    let (callback, api) = (old.callback, old.api());
    let new = take_over(old, &edge().listen("api = \"127.0.0.2:0\""));
    assert_eq!(new.callback, callback);
    assert!(new.api().ip() != api.ip());
    let _there = Connection::to(new.api());
    assert!(Connection::open(api, PATIENCE).is_err(), "nobody is there any more");
    assert_serves(&new);
}

#[test]
fn a_kept_connection_takes_one_more_request_when_the_edge_drains() {
    let mut edge = edge().start();
    let wechat = edge.wechat();
    let ask = |kept: &mut Connection| {
        let sealed = wechat.seal(&Message::text("hi"));
        kept.send(wechat.request("POST", &sealed.query, &sealed.body)).unwrap();
        let answer = kept.response(PATIENCE).unwrap();
        assert_eq!(answer.status, 200);
        answer.header("connection") == Some("close")
    };
    let mut kept: Vec<_> = (0..10).map(|_| wechat.connect().unwrap()).collect();
    kept.iter_mut().for_each(|kept| assert!(!ask(kept)));
    edge.signal(Signal::SIGTERM);
    let callback = edge.callback;
    eventually(PATIENCE, "it drains", || Connection::open(callback, PATIENCE).is_err());
    let mut idle = kept.pop().unwrap();
    for kept in &mut kept {
        assert!(ask(kept), "it is the last one");
        assert_eq!(kept.closed(PATIENCE), Ok(Vec::new()));
    }
    assert_eq!(idle.closed(PATIENCE), Ok(Vec::new()));
    assert_eq!(edge.await_exit(PATIENCE).code(), Some(0));
}
