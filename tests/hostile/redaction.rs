//! Whatever goes wrong: no secret, no query string and no openid in what the edge says, on any of its channels.

use std::net::SocketAddr;
use std::time::Instant;

use wxedge_tests::app::{Answer, App, Down};
use wxedge_tests::canary;
use wxedge_tests::edge::{Account, Edge};
use wxedge_tests::http::{self, Connection};
use wxedge_tests::message::{Message, now_s};
use wxedge_tests::wechat::Mode;
use wxedge_tests::{PATIENCE, eventually, thread};

use crate::edge;

/// Reads `/v1/events` until the edge ends, or `enough` says so.
fn listen(
    admin: SocketAddr,
    enough: impl Fn(&str) -> bool + Send + 'static,
) -> std::thread::JoinHandle<String> {
    let mut connection = Connection::to(admin);
    let key = format!("Bearer {}", canary::ADMIN_KEY);
    connection.request("GET", "/v1/events", &[("authorization", &key)], b"").unwrap();
    assert_eq!(connection.response_head(PATIENCE).unwrap().status, 200);
    thread(move || {
        let until = Instant::now() + PATIENCE;
        let mut heard = String::new();
        while !enough(&heard) {
            let chunk =
                connection.chunk(until).unwrap_or_else(|why| panic!("{why:?} after {heard}"));
            heard.push_str(&String::from_utf8(chunk).unwrap());
        }
        heard
    })
}

/// Everything that makes somebody print a request: Pingora, the app's client, the stages.
fn provoke(edge: &Edge) {
    let secret = canary::SECRET;
    for request in [
        format!(
            "POST /wechat/main?access_token={secret} HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n"
        ),
        format!("GET /nowhere?access_token={secret} HTTP/1.1\r\nHost: a\r\n\r\n"),
        format!("GET /wechat/main?access_token={secret} HTTP/9.9\r\nHost: a\r\n\r\n"),
        format!("GET /wechat/main?access_token={secret}&a=<\u{1}> HTTP/1.1\r\nHost: a\r\n\r\n"),
        format!(
            "GET /wechat/main?access_token={secret} HTTP/1.1\r\nAuthorization: {secret}\r\nbro\0ken\r\n\r\n"
        ),
        format!("GET http://a/?access_token={secret} HTTP/1.1\r\nHost: {secret}@b\r\n\r\n"),
        format!(
            "PUT /wechat/main?access_token={secret} HTTP/1.1\r\nHost: a\r\nX-A: {secret}\r\n\r\n"
        ),
        format!("{secret} /{secret} {secret}\r\n\r\n"),
        format!("\u{16}\u{3}\u{1}\u{2}{secret}"),
        format!(
            "POST /wechat/main?signature={secret}&openid=oCanary HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{secret}\r\n"
        ),
        format!(
            "POST /wechat/main?openid={} HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n<a>",
            canary::OPENID
        ),
    ] {
        for address in [edge.callback, edge.admin] {
            let mut connection = Connection::to(address);
            // It can be refused before it is sent whole.
            let _refused = connection.send(&request);
            connection.finish_sending().ok();
            connection.closed(PATIENCE).unwrap();
        }
    }
    for target in ["/v1/status", &format!("/v1/accounts/{secret}/verification?a={secret}")] {
        let wrong = format!("Bearer {secret}");
        assert_eq!(
            http::send(edge.admin, "GET", target, &[("authorization", &wrong)], b"").status,
            401
        );
    }
    let right = format!("Bearer {}", canary::ADMIN_KEY);
    let unknown = format!("/v1/accounts/{secret}/verification?a={secret}");
    let unknown = http::send(edge.admin, "GET", &unknown, &[("authorization", &right)], b"");
    assert_eq!(unknown.status, 404);
    canary::search(unknown.text()).unwrap();
}

/// Callbacks that fail in every stage.
fn fail(edge: &Edge, account: &str) {
    let wechat = edge.wechat_of(account);
    let hi = || Message::text("hi");
    let _failures = [
        wechat.deliver(&hi()),
        wechat.clone().token(canary::TOKEN_WRONG).deliver(&hi()),
        wechat.clone().aes_key(canary::AES_KEY_WRONG).deliver(&hi()),
        wechat.clone().appid("wxsomebodyelse").deliver(&hi()),
        wechat.deliver_sealed(&hi(), &wechat.seal_at(&hi(), now_s() - 4_000)),
        wechat.clone().token(canary::TOKEN_WRONG).verify(),
    ];
    let openid = canary::OPENID;
    for body in [
        format!(
            "<xml><FromUserName>{openid}</FromUserName><FromUserName>{openid}</FromUserName></xml>"
        ),
        format!("<xml><FromUserName>{openid}"),
        format!("{{\"FromUserName\":\"{openid}\",\"Encrypt\":\"{}\"", canary::SECRET),
        format!("<!DOCTYPE a SYSTEM \"{openid}\"><xml>&{openid};</xml>"),
    ] {
        let status =
            wechat.send(&wechat.seal_bytes(body.as_bytes(), openid, now_s())).unwrap().status;
        assert_eq!(status, 400);
        let sealed = wechat.seal(&hi());
        let _refused = wechat.exchange("POST", &sealed.query, body.as_bytes());
    }
}

#[test]
fn no_secret_no_query_and_no_openid_on_any_channel() {
    let [down, reset] = [Down::start(), Down::start()];
    let broken = App::answering(Answer::reset());
    let failing = App::answering(Answer::status(500));
    let with_key = |url: String| format!("{url}?key={}", canary::APP_KEY);
    let accounts = [
        Account::named("main").url(&with_key(down.url())),
        Account::named("plain").mode(Mode::Plain).url(&broken.url()),
        Account::named("compatible").mode(Mode::Compatible).url(&failing.url()),
        // A user and a password, and TLS to what speaks none.
        Account::named("secure")
            .url(&with_key(format!("https://user:{}@{}/wechat", canary::SECRET, failing.address())))
            .upstream("connect_timeout_ms = 300"),
        Account::named("nameless").url(&with_key(format!("http://{}.invalid/", "x".repeat(64)))),
        Account::named("late").url(&with_key(reset.url())).upstream("deadline_ms = 500"),
    ];
    let names = ["main", "plain", "compatible", "secure", "nameless", "late"];
    let edge = edge().accounts(accounts).start();
    let events = listen(edge.admin, move |heard| {
        names.iter().all(|name| {
            heard
                .lines()
                .any(|line| line.contains("\"outcomes\"") && line.contains(&format!("\"{name}\"")))
        })
    });
    provoke(&edge);
    for name in names {
        fail(&edge, name);
    }
    let heard = events.join().unwrap();
    assert!(heard.contains("event: failure"), "{heard}");
    canary::search(&heard).unwrap();

    // The same of the log, which has something to say of each; the rest is searched when the edge ends.
    let expected = edge.metrics().sum("wxedge_callbacks_total", &[]).unwrap() as usize;
    assert!(expected >= names.len() * 14, "{expected}");
    eventually(PATIENCE, "the log is written", || edge.log().len() >= expected);
    for line in edge.log() {
        canary::search(&line.to_string()).unwrap();
        assert!(!line.to_string().contains('?'), "a query string: {line}");
    }
    let stderr = edge.stderr();
    canary::search(&stderr).unwrap();
    assert!(!stderr.contains("access_token="), "{stderr}");
    assert_eq!(edge.count("wxedge_panics_total", &[]), 0.0);
}
