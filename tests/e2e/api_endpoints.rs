//! The API listener's own answers: `/v1/…`, refusals and their shape, foreign pages.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::Value;
use wxedge_tests::edge::{Account, Edge};
use wxedge_tests::http::{self, Connection, Response};
use wxedge_tests::wechat_api::{MAIN, Scope};
use wxedge_tests::{PATIENCE, canary};

use crate::api::{
    OTHER, Wechat, admin_post, assert_ok, assert_own, assert_refused, assert_results, bearer,
    before, call, get,
};
use crate::edge;

const USERS: &str = "/main/cgi-bin/user/get";

/// SHA-1 by a program that shares nothing with wxedge.
fn sha1(text: &str) -> String {
    let mut child = Command::new("sha1sum")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("coreutils");
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let said = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    said[..40].to_owned()
}

#[test]
fn the_token_is_for_whom_raw_token_allows_it() {
    let wechat = Wechat::with_other();
    let edge = before(&wechat)
        .and(Account::named("other"))
        .client("crm", &["accounts = [\"main\", \"other\"]", "raw_token = true"])
        .start();
    for (name, appid) in [("main", MAIN), ("other", OTHER)] {
        let answer = get(&edge, &format!("/v1/accounts/{name}/token"));
        assert_ok(&answer);
        assert_eq!(answer.header("content-type"), Some("application/json; charset=utf-8"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        let object = answer.json();
        assert_eq!(object.as_object().unwrap().len(), 2);
        assert_eq!(object["access_token"], wechat.token(appid));
        assert!((7_000..=7_200).contains(&object["expires_in"].as_i64().unwrap()), "{object}");
    }
    // Without `[clients]` everybody on this machine may.
    let open = before(&wechat).without_clients().start();
    let answer = http::get(open.api(), "/v1/accounts/main/token").json();
    assert_eq!(answer["access_token"], wechat.main_token());
    assert_refused(&get(&before(&wechat).start(), "/v1/accounts/main/token"), 403);
}

#[test]
fn tickets_have_endpoints_of_their_own() {
    let wechat = Wechat::start();
    let edge = before(&wechat).start();
    let mut tickets = Vec::new();
    for kind in ["jsapi", "wx_card"] {
        let object = get(&edge, &format!("/v1/accounts/main/ticket/{kind}")).json();
        assert_eq!(object.as_object().unwrap().len(), 2, "{object}");
        assert!((7_000..=7_200).contains(&object["expires_in"].as_i64().unwrap()));
        let sdk = get(&edge, &format!("/main/cgi-bin/ticket/getticket?type={kind}")).json();
        assert_eq!(sdk["ticket"], object["ticket"], "one cache");
        tickets.push(object["ticket"].clone());
    }
    assert_ne!(tickets[0], tickets[1]);
    assert_eq!(wechat.count("/cgi-bin/ticket/getticket"), 2);
    assert_results(&edge, &[("cached", 4)]);
}

#[test]
fn jssdk_signs_pages_of_its_hosts_without_their_fragment() {
    let wechat = Wechat::start();
    let hosts = "jssdk_hosts = [\"shop.example\", \"xn--fiqs8s.example\"]";
    let edge = before(&wechat).line(hosts).start();
    let ticket = get(&edge, "/v1/accounts/main/ticket/jsapi").json();
    let ticket = ticket["ticket"].as_str().unwrap();
    let ask = |url: &str| get(&edge, &format!("/v1/accounts/main/jssdk?url={url}"));
    let mut nonces = Vec::new();
    for (sent, page) in [
        ("https%3A%2F%2Fshop.example%2F", "https://shop.example/"),
        (
            "https%3A%2F%2Fshop.example%2Fa%3Fb%3D1%26c%3D2%23%2Froute",
            "https://shop.example/a?b=1&c=2",
        ),
        (
            "http%3A%2F%2Fshop.example%3A8080%2F%25E4%25BD%25A0",
            "http://shop.example:8080/%E4%BD%A0",
        ),
    ] {
        let object = ask(sent).json();
        let mut fields: Vec<_> = object.as_object().unwrap().keys().map(String::as_str).collect();
        fields.sort_unstable();
        assert_eq!(fields, ["appId", "nonceStr", "signature", "timestamp"], "{object}");
        assert_eq!(object["appId"], MAIN);
        let (nonce, time) =
            (object["nonceStr"].as_str().unwrap(), object["timestamp"].as_i64().unwrap());
        let signed = format!("jsapi_ticket={ticket}&noncestr={nonce}&timestamp={time}&url={page}");
        assert_eq!(object["signature"], sha1(&signed), "{page}");
        assert!((time - wxedge_tests::message::now_s()).abs() < 60);
        nonces.push(nonce.to_owned());
    }
    nonces.dedup();
    assert_eq!(nonces.len(), 3, "{nonces:?}");
    for evil in [
        "https%3A%2F%2Fevil.example%2F",
        "https%3A%2F%2Fshop.example.evil.example%2F",
        "https%3A%2F%2Fshop.example%40evil.example%2F",
        "https%3A%2F%2Fevil.example%5C%40shop.example%2F",
        "shop.example",
        "",
    ] {
        assert_refused(&ask(evil), 403);
    }
    assert_refused(&get(&edge, "/v1/accounts/main/jssdk"), 400);
    // Hosts are named one by one; none are none.
    let closed = before(&wechat).start();
    let page = "/v1/accounts/main/jssdk?url=https%3A%2F%2Fshop.example%2F";
    assert_refused(&get(&closed, page), 403);
}

#[test]
fn unknown_endpoints_accounts_and_methods_are_refused() {
    let wechat = Wechat::start();
    let edge = before(&wechat).start();
    for target in [
        "/v1",
        "/v1/",
        "/v1/status",
        "/v1/accounts",
        "/v1/accounts/main",
        "/v1/accounts/main/ticket",
        "/v1/accounts/main/ticket/other",
        "/v1/accounts/nobody/token",
        "/v1/accounts/main/token/refresh",
    ] {
        assert_refused(&get(&edge, target), 404);
    }
    assert_refused(&call(&edge, "POST", "/v1/accounts/main/ticket/jsapi", &[], b""), 400);
    for method in ["OPTIONS", "TRACE", "CONNECT", "PROPFIND"] {
        let answer = call(&edge, method, USERS, &[], b"");
        assert_refused(&answer, 400);
        assert_eq!(answer.header("access-control-allow-origin"), None);
    }
    assert_eq!(wechat.count("/cgi-bin/user/get"), 0);
}

#[test]
fn foreign_hosts_and_origins_are_refused_with_and_without_a_key() {
    let wechat = Wechat::start();
    let edge = before(&wechat).start();
    let open = before(&wechat).without_clients().start();
    let ask = |edge: &Edge, name: &'static str, value: &str| {
        let key = bearer(canary::CLIENT_KEY);
        let headers = [("authorization", key.as_str()), (name, value)];
        http::send(edge.api(), "GET", USERS, &headers, b"")
    };
    for edge in [&edge, &open] {
        for (name, value) in [
            ("host", "evil.example"),
            ("host", "127.0.0.1.evil.example"),
            ("host", "localhost.evil.example:8081"),
            ("origin", "https://evil.example"),
            ("origin", "null"),
            ("origin", "http://127.0.0.1:1"),
            ("sec-fetch-site", "cross-site"),
        ] {
            let answer = ask(edge, name, value);
            assert_refused(&answer, 403);
            assert_eq!(answer.header("access-control-allow-origin"), None);
        }
        let own = format!("http://{}", edge.api());
        for (name, value) in
            [("host", "localhost"), ("host", "[::1]:8081"), ("origin", own.as_str())]
        {
            assert_ok(&ask(edge, name, value));
        }
    }
    assert_eq!(wechat.count("/cgi-bin/user/get"), 6);
}

#[test]
fn malformed_http_has_the_same_shape_and_is_counted_once() {
    let wechat = Wechat::start();
    let edge = before(&wechat).start();
    let host = format!("host: {}\r\n", edge.api());
    let malformed = [
        format!("GET {USERS} HTTP/1.1\r\n\r\n"),
        format!("GET {USERS} HTTP/1.1\r\n{host}{host}\r\n"),
        format!("GET http://evil.example/ HTTP/1.1\r\n{host}\r\n"),
        format!("GET //evil.example/ HTTP/1.1\r\n{host}\r\n"),
        format!("GET {USERS} HTTP/1.1\n{host}\r\n"),
        format!("GET {USERS} HTTP/2.0\r\n{host}\r\n"),
        format!("POST {USERS} HTTP/1.1\r\n{host}content-length: 1\r\ncontent-length: 2\r\n\r\nab"),
        format!(
            "POST {USERS} HTTP/1.1\r\n{host}content-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"
        ),
        format!("GET {USERS} HTTP/1.1\r\n{host}x_y: 1\r\n\r\n"),
        format!("GET {USERS} HTTP/1.1\r\n{host}x: {}\r\n\r\n", "a".repeat(20_000)),
    ];
    for request in &malformed {
        let mut connection = Connection::to(edge.api());
        // The edge may have answered before all of it is there.
        let _written = connection.send(request);
        let answer = connection.response(PATIENCE);
        let answer = answer.unwrap_or_else(|why| panic!("{why:?}: {:.80}", request));
        assert_refused(&answer, 400);
        connection.closed(PATIENCE).unwrap();
    }
    assert_results(&edge, &[("refused", malformed.len() as u64)]);
    let lines = edge.await_log(malformed.len());
    assert!(lines.iter().all(|line| line["errcode"] == -9400), "{lines:#?}");
    assert_eq!(wechat.requests_to("/cgi-bin/user/get").len(), 0);
}

#[test]
fn an_errors_rid_is_the_one_in_the_log() {
    let wechat = Wechat::start();
    let edge = before(&wechat).start();
    let refusals = [
        (get(&edge, "/main/a;b"), 400),
        (http::get(edge.api(), USERS), 401),
        (get(&edge, "/main/cgi-bin/clear_quota"), 403),
        (get(&edge, "/v1/nothing"), 404),
    ];
    let lines = edge.await_log(refusals.len());
    for (answer, status) in refusals {
        assert_refused(&answer, status);
        let rid = &answer.json()["rid"];
        let line = lines.iter().find(|line| line["request_id"] == *rid).expect("its line");
        assert_eq!(line["errcode"], answer.json()["errcode"]);
        assert_eq!(line.get("rid"), None::<&Value>, "WeChat gave none");
    }
}

#[test]
fn an_account_without_a_secret_has_no_api_and_says_so() {
    let wechat = Wechat::start();
    let builder = before(&wechat);
    let mut edge = builder.start();
    // The runner gives every account one.
    let secret = format!("\nsecret = {:?}", canary::SECRET);
    edge.rewrite_text(&builder.render(&edge.folder()).replace(&secret, ""));
    edge.signal(nix::sys::signal::Signal::SIGHUP);
    edge.assert_count("wxedge_config_reloads_total", &[("result", "ok")], 1.0);
    for target in [USERS, "/v1/accounts/main/ticket/jsapi"] {
        let answer = get(&edge, target);
        assert_refused(&answer, 503);
        assert!(answer.text().contains("accounts.main has no `secret`"), "{}", answer.text());
    }
    let refused = admin_post(&edge, "/v1/accounts/main/token/refresh", b"");
    assert_eq!(refused.status, 409);
    assert!(edge.is_running());
}

#[test]
fn a_token_that_cannot_be_had_is_said_with_what_to_do() {
    let wechat = Wechat::start();
    wechat.refuse_ip([47, 94, 148, 108].into());
    let edge = before(&wechat).start();
    let answers: Vec<Response> = [USERS, "/v1/accounts/main/ticket/jsapi"]
        .into_iter()
        .map(|target| get(&edge, target))
        .collect();
    assert_own(&answers[0], 503, -9503);
    assert!(answers[0].text().contains("(40164)"), "{}", answers[0].text());
    assert!(answers[0].text().contains("Add 47.94.148.108"), "{}", answers[0].text());
    assert_own(&answers[1], 503, -9503);
    wechat.heal(Scope::TokenEndpoints);
    assert_eq!(admin_post(&edge, "/v1/accounts/main/token/refresh", b"").status, 200);
    assert_ok(&get(&edge, USERS));
}

#[test]
fn off_loopback_without_clients_or_an_admin_key_there_is_no_start() {
    let (code, said) = edge().listen("api = \"0.0.0.0:0\"").without_clients().fail();
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("listen.api"), "{said}");
    let (code, said) = edge().listen("admin = \"0.0.0.0:0\"").without_admin_key().fail();
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("admin_key"), "{said}");
    let open = before(&Wechat::start()).listen("api = \"0.0.0.0:0\"").start();
    let port = open.api().port();
    let name = http::send(
        ([127, 0, 0, 1], port).into(),
        "GET",
        "/v1/nothing",
        &[("authorization", &bearer(canary::CLIENT_KEY)), ("host", "edge.internal")],
        b"",
    );
    assert_refused(&name, 404);
}
