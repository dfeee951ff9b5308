//! TLS on the listeners and to the app.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use rustls::{ServerConfig, ServerConnection};
use wxedge_tests::canary;
use wxedge_tests::edge::{Builder, Edge};
use wxedge_tests::folder::Folder;
use wxedge_tests::http::{Connection, find};
use wxedge_tests::message::Message;
use wxedge_tests::tls::Identity;
use wxedge_tests::wechat::{Verdict, Wechat};
use wxedge_tests::{PATIENCE, Ruler, eventually, thread};

use crate::{PROGRAM, edge};

/// An edge whose listener has a certificate from its folder.
fn with_tls(folder: &Folder, listener: &str) -> Builder {
    let path = folder.path().display();
    edge().listen(&format!(
        "{listener}_tls = {{ cert = \"{path}/{listener}.pem\", key = \"{path}/{listener}.key\" }}"
    ))
}

fn trusting(edge: &Edge, identity: &Identity) -> Wechat {
    edge.wechat().tls(identity.trusted(rustls::ALL_VERSIONS))
}

/// Sends a message on this connection and says what WeChat makes of the answer.
fn deliver_on(connection: &mut Connection, wechat: &Wechat) -> Verdict {
    let message = Message::text("hi");
    let sealed = wechat.seal(&message);
    connection.send(wechat.request("POST", &sealed.query, &sealed.body)).unwrap();
    wechat.verdict(&message, &connection.response(PATIENCE).map_err(Into::into))
}

#[test]
fn both_versions_are_spoken_and_http_over_them() {
    let folder = Folder::new();
    let identity = Identity::of("127.0.0.1");
    identity.write(&folder, "callback");
    let edge = with_tls(&folder, "callback").start();
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let wechat = edge.wechat().tls(identity.trusted(&[version]));
        let mut connection = wechat.connect().unwrap();
        for _ in 0..3 {
            let verdict = deliver_on(&mut connection, &wechat);
            assert!(matches!(verdict, Verdict::Replied(_)), "{version:?}: {verdict:?}");
        }
    }
    let stranger = trusting(&edge, &Identity::of("127.0.0.1"));
    assert!(stranger.connect().is_err(), "who does not know the certificate does not connect");
    edge.assert_outcomes(&[("replied", 6)]);
}

#[test]
fn operators_have_it_too() {
    let folder = Folder::new();
    let identity = Identity::of("127.0.0.1");
    identity.write(&folder, "admin");
    let edge = with_tls(&folder, "admin").start();
    let tls = identity.trusted(rustls::ALL_VERSIONS);
    let mut admin = Connection::open_tls(edge.admin, "127.0.0.1", tls, PATIENCE).unwrap();
    let key = format!("Bearer {}", canary::ADMIN_KEY);
    for (target, status) in
        [("/healthz", 200), ("/v1/status", 200), ("/metrics", 200), ("/nowhere", 404)]
    {
        admin.request("GET", target, &[("authorization", &key)], b"").unwrap();
        let answer = admin.response(PATIENCE).unwrap();
        assert_eq!(answer.status, status, "{target}");
        canary::search(answer.text()).unwrap();
    }
    let mut plain = Connection::to(edge.admin);
    plain.request("GET", "/healthz", &[], b"").unwrap();
    assert!(plain.response(PATIENCE).is_err(), "not without TLS");
    assert!(matches!(edge.wechat().deliver(&Message::text("hi")).verdict, Verdict::Replied(_)));
}

#[test]
fn who_does_not_shake_hands_is_dropped() {
    let folder = Folder::new();
    let identity = Identity::of("127.0.0.1");
    identity.write(&folder, "callback");
    let edge = with_tls(&folder, "callback").start();
    let ruler = Ruler::start();
    // The beginning of a handshake, of a longer one, and what is none at all.
    let silent: [&[u8]; 3] =
        [b"", b"\x16\x03\x01", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"];
    let garbage: [&[u8]; 2] = [b"POST /wechat/main HTTP/1.1\r\nHost: a\r\n\r\n", &[0xff; 600]];
    let waits = silent.iter().map(|bytes| (*bytes, Duration::from_secs(5)));
    let waits = waits.chain(garbage.iter().map(|bytes| (*bytes, Duration::ZERO)));
    let dropped: Vec<_> = waits
        .map(|(bytes, expected)| {
            let address = edge.callback;
            thread(move || {
                let mut connection = Connection::to(address);
                let begun = Instant::now();
                connection.send(bytes).unwrap();
                let said = connection.closed(PATIENCE).unwrap();
                (said, begun.elapsed(), expected)
            })
        })
        .collect();
    let wechat = trusting(&edge, &identity);
    assert!(matches!(wechat.deliver(&Message::text("hi")).verdict, Verdict::Replied(_)));
    for dropped in dropped {
        let (said, took, expected) = dropped.join().unwrap();
        let late = expected + Duration::from_millis(500) + ruler.worst();
        assert!(took >= expected.mul_f64(0.99) && took < late, "{took:?}, not {expected:?}");
        assert!(find(&said, b"HTTP").is_none(), "no answer in plain text");
    }
    // With its hands shaken, a client has the usual time.
    let mut slow = wechat.connect().unwrap();
    slow.send("POST ").unwrap();
    assert_eq!(slow.response(PATIENCE).unwrap().status, 408);
    drop(slow);
    edge.assert_count("wxedge_connections", &[("listener", "callback")], 0.0);
    edge.assert_outcomes(&[("replied", 1)]);
    assert_eq!(edge.count("wxedge_unrouted_total", &[]), 1.0);
}

#[test]
fn a_new_certificate_is_presented_after_sighup_and_a_bad_one_never() {
    const RELOADS: &str = "wxedge_config_reloads_total";
    let folder = Folder::new();
    let [old, new] = [Identity::of("127.0.0.1"), Identity::of("127.0.0.1")];
    old.write(&folder, "callback");
    let edge = with_tls(&folder, "callback").start();
    let wechat = trusting(&edge, &old);
    let mut kept = wechat.connect().unwrap();
    assert!(matches!(deliver_on(&mut kept, &wechat), Verdict::Replied(_)));

    new.write(&folder, "callback");
    assert!(
        matches!(wechat.deliver(&Message::text("hi")).verdict, Verdict::Replied(_)),
        "not before it is told"
    );
    edge.signal(Signal::SIGHUP);
    edge.assert_count(RELOADS, &[("result", "ok")], 1.0);
    assert!(wechat.connect().is_err(), "the old one is presented to nobody");
    let renewed = trusting(&edge, &new);
    assert!(matches!(renewed.deliver(&Message::text("hi")).verdict, Verdict::Replied(_)));
    assert!(
        matches!(deliver_on(&mut kept, &wechat), Verdict::Replied(_)),
        "who is connected stays so"
    );

    let bad: [(&str, &dyn Fn()); 4] = [
        ("a key that does not fit", &|| drop(folder.write("callback.key", &old.key))),
        ("no key", &|| drop(folder.write("callback.key", "nonsense"))),
        ("no certificate", &|| drop(folder.write("callback.pem", ""))),
        ("no file", &|| std::fs::remove_file(folder.path().join("callback.pem")).unwrap()),
    ];
    for (number, (what, spoil)) in bad.iter().enumerate() {
        new.write(&folder, "callback");
        spoil();
        edge.signal(Signal::SIGHUP);
        edge.assert_count(RELOADS, &[("result", "refused")], (number + 1) as f64);
        // Counted first, told a moment later.
        eventually(PATIENCE, what, || {
            let error = edge.status()["config"]["error"].clone();
            error.as_str().is_some_and(|error| error.contains("callback_tls"))
        });
        let verdict = renewed.deliver(&Message::text("hi")).verdict;
        assert!(matches!(verdict, Verdict::Replied(_)), "{what}: {verdict:?}");
        new.write(&folder, "callback");
        edge.signal(Signal::SIGHUP);
        edge.assert_count(RELOADS, &[("result", "ok")], (number + 2) as f64);
        eventually(PATIENCE, "well again", || edge.status()["config"]["error"].is_null());
    }
    let stderr = edge.stderr();
    for key in [&old.key, &new.key] {
        let secret = key.lines().nth(1).unwrap();
        assert!(!stderr.contains(secret), "{stderr}");
    }
}

/// An app behind TLS. It notes all that it could read, and the first bytes on the wire.
struct TlsApp {
    address: SocketAddr,
    read: Arc<Mutex<Vec<u8>>>,
}

impl TlsApp {
    fn start(identity: &Identity) -> TlsApp {
        let config = identity.server();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let read = Arc::new(Mutex::new(Vec::new()));
        let into = read.clone();
        thread(move || {
            for socket in listener.incoming() {
                let _ended = TlsApp::serve(&config, socket.unwrap(), &into);
            }
        });
        TlsApp { address, read }
    }

    fn serve(
        config: &Arc<ServerConfig>,
        socket: TcpStream,
        into: &Mutex<Vec<u8>>,
    ) -> std::io::Result<()> {
        let session = ServerConnection::new(config.clone()).map_err(std::io::Error::other)?;
        let mut tls = rustls::StreamOwned::new(session, socket);
        let mut buffer = [0; 16 * 1024];
        loop {
            let read = tls.read(&mut buffer)?;
            if read == 0 {
                return Ok(());
            }
            let mut into = into.lock().unwrap();
            into.extend_from_slice(&buffer[..read]);
            // The message is one object, and the request ends with it.
            if into.ends_with(b"}") {
                tls.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\nsuccess")?;
            }
        }
    }

    fn url(&self) -> String {
        format!("https://{}/wechat", self.address)
    }

    fn read(&self) -> String {
        String::from_utf8(self.read.lock().unwrap().clone()).unwrap()
    }
}

#[test]
fn an_app_behind_a_trusted_certificate_is_reached() {
    let folder = Folder::new();
    let identity = Identity::of("127.0.0.1");
    identity.write(&folder, "app");
    let app = TlsApp::start(&identity);
    // Where the system's authorities are, as OpenSSL reads it.
    let authorities = folder.path().join("app.pem");
    let edge = edge().url(&app.url()).env("SSL_CERT_FILE", authorities.to_str().unwrap()).start();
    assert_eq!(edge.wechat().deliver(&Message::text("hi")).verdict, Verdict::Acknowledged);
    edge.assert_outcomes(&[("acknowledged", 1)]);
    assert!(app.read().starts_with("POST /wechat HTTP/1.1\r\n"), "{}", app.read());
}

/// WeChat gets its `success`; the app gets nothing.
#[track_caller]
fn is_not_reached(edge: &Edge) {
    assert_eq!(edge.wechat().deliver(&Message::text("hi")).body(), b"success");
    edge.assert_outcomes(&[("fallback_error", 1)]);
    edge.assert_count("wxedge_upstream_failures_total", &[("reason", "connect")], 1.0);
    assert_eq!(edge.count("wxedge_upstream_failures_total", &[]), 1.0);
}

#[test]
fn an_app_that_cannot_show_who_it_is_gets_nothing() {
    let folder = Folder::new();
    let [known, other] = [Identity::of("127.0.0.1"), Identity::of("127.0.0.2")];
    known.write(&folder, "known");
    other.write(&folder, "other");
    let trust = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    for (what, served, trusted) in
        [("an unknown authority", &known, "other.pem"), ("another name", &other, "other.pem")]
    {
        let app = TlsApp::start(served);
        let edge = edge().url(&app.url()).env("SSL_CERT_FILE", &trust(trusted)).start();
        is_not_reached(&edge);
        assert_eq!(app.read(), "", "{what}");
    }
    // Without anything set, the system's authorities decide, and they know none of these.
    let app = TlsApp::start(&known);
    is_not_reached(&edge().url(&app.url()).start());
    assert_eq!(app.read(), "");
}

#[test]
fn an_app_without_tls_is_not_spoken_to_in_plain_text() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let edge = edge().url(&format!("https://{}/wechat", listener.local_addr().unwrap())).start();
    let heard = thread(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let mut heard = [0; 16 * 1024];
        let read = socket.read(&mut heard).unwrap();
        socket.write_all(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n").unwrap();
        heard[..read].to_vec()
    });
    is_not_reached(&edge);
    let heard = heard.join().unwrap();
    assert_eq!(heard[..2], [0x16, 3], "a handshake, and nothing else");
    assert!(find(&heard, b"POST").is_none());
}

#[test]
fn send_says_why_a_certificate_is_not_trusted_and_what_to_do() {
    let folder = Folder::new();
    let identity = Identity::of("127.0.0.1");
    identity.write(&folder, "callback");
    let edge = with_tls(&folder, "callback").start();
    let url = format!("https://{}/wechat/main", edge.callback);
    let localhost = url.replace("127.0.0.1", "localhost");
    let ca = folder.path().join("callback.pem");
    let ca = ca.to_str().unwrap();
    let send = |url: &str, more: &[&str]| {
        let arguments = [&["send", "--url", url], more, &["text", "hi"]].concat();
        let output = edge.command(PROGRAM, &arguments);
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, said) = send(&url, &[]);
    assert_eq!(code, Some(1), "{said}");
    for words in ["self-signed", "--ca", "SSL_CERT_FILE", "public authority"] {
        assert!(said.contains(words), "{words} in {said}");
    }
    let (code, said) = send(&localhost, &["--ca", ca]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("made for another name") && said.contains("--url"), "{said}");
    let (code, said) = send(&url, &["--ca", ca]);
    assert_eq!(code, Some(0), "{said}");
}
