//! The API path of a process that ends or is reconfigured, and of callers that are still sending or do not wait.

use std::io::ErrorKind;

use nix::sys::signal::Signal;
use serde_json::json;
use wxedge_tests::app::Gate;
use wxedge_tests::edge::{Account, Builder, Edge};
use wxedge_tests::http::Connection;
use wxedge_tests::wechat_api::Fault;
use wxedge_tests::{PATIENCE, canary, eventually};

use crate::api::{
    OTHER, Wechat, assert_ok, assert_refused, assert_results, bearer, before, begin, get, post,
};

const USERS: &str = "/main/cgi-bin/user/get";
const SEND: &str = "/cgi-bin/message/custom/send";
const RELOADS: &str = "wxedge_config_reloads_total";

#[track_caller]
fn reload(edge: &mut Edge, builder: &Builder) {
    let before = edge.count(RELOADS, &[("result", "ok")]);
    edge.rewrite(builder);
    edge.signal(Signal::SIGHUP);
    edge.assert_count(RELOADS, &[("result", "ok")], before + 1.0);
}

#[test]
fn sigterm_answers_the_call_that_runs_and_takes_no_other() {
    let wechat = Wechat::start();
    let mut edge = before(&wechat).runtime("grace_s = 60").start();
    let gate = Gate::closed();
    wechat.fault(SEND, Fault::Behind(gate.clone()));
    let mut running = begin(&edge, &format!("POST /main{SEND} HTTP/1.1\r\ncontent-length: 2"));
    running.send("{}").unwrap();
    eventually(PATIENCE, "it is at WeChat", || wechat.count(SEND) == 1);
    let api = edge.api();
    edge.signal(Signal::SIGTERM);
    let refused = || Connection::open(api, PATIENCE).err().map(|error| error.kind());
    eventually(PATIENCE, "no others", || refused() == Some(ErrorKind::ConnectionRefused));
    assert!(edge.is_running());
    gate.open();
    assert_ok(&running.response(PATIENCE).unwrap());
    assert_eq!(edge.await_exit(PATIENCE).code(), Some(0));
    let log = edge.log();
    assert_eq!(
        (log.len(), log[0]["result"].as_str()),
        (1, Some("ok")),
        "the last line is not lost"
    );
}

#[test]
fn another_wechat_is_taken_over_by_a_reload_with_calls_under_way() {
    let first = Wechat::start();
    let second = first.beside();
    let mut edge = before(&first).start();
    let gate = Gate::closed();
    first.fault(SEND, Fault::Behind(gate.clone()));
    let mut running = begin(&edge, &format!("POST /main{SEND} HTTP/1.1\r\ncontent-length: 2"));
    running.send("{}").unwrap();
    eventually(PATIENCE, "it is at WeChat", || first.count(SEND) == 1);
    reload(&mut edge, &before(&second));
    assert_ok(&get(&edge, USERS));
    assert_eq!((first.count("/cgi-bin/user/get"), second.count("/cgi-bin/user/get")), (0, 1));
    assert_eq!(edge.status()["api_base"][0]["base"], second.url());
    gate.open();
    assert_ok(&running.response(PATIENCE).unwrap());
    assert_eq!((first.count(SEND), second.count(SEND)), (1, 0));
    assert_eq!((first.fetches().all(), second.fetches().all()), (1, 0), "the token stays");
    assert_results(&edge, &[("ok", 2)]);
}

#[test]
fn clients_and_accounts_come_and_go_with_a_reload() {
    const SHOP: &str = "ShopKey0123456789abcdef0123456789";
    let wechat = Wechat::with_other();
    let mut edge = before(&wechat).start();
    let shop = |edge: &Edge, target: &str| {
        let key = bearer(SHOP);
        let headers = [("authorization", key.as_str())];
        wxedge_tests::http::send(edge.api(), "GET", target, &headers, b"")
    };
    assert_refused(&shop(&edge, USERS), 401);
    let key = format!("key = {SHOP:?}");
    let with_shop = before(&wechat)
        .and(Account::named("other"))
        .client("shop", &["allow = [\"/**\"]", "accounts = [\"other\"]", &key]);
    reload(&mut edge, &with_shop);
    assert_ok(&shop(&edge, "/other/cgi-bin/user/get"));
    assert_refused(&shop(&edge, USERS), 403);
    let token = wechat.token(OTHER);
    reload(&mut edge, &before(&wechat));
    assert_refused(&shop(&edge, "/other/cgi-bin/user/get"), 401);
    assert_refused(&get(&edge, "/v1/accounts/other/ticket/jsapi"), 404);
    assert_ok(&get(&edge, USERS));
    // Back again: its token was kept.
    wechat.clear();
    reload(&mut edge, &with_shop);
    assert_ok(&shop(&edge, "/other/cgi-bin/user/get"));
    assert_eq!(wechat.only("/cgi-bin/user/get").parameter("access_token"), Some(token));
    assert_eq!(wechat.fetches().forced, 0);
}

#[test]
fn who_is_refused_while_sending_a_long_body_reads_why() {
    let wechat = Wechat::start();
    let edge = before(&wechat).start();
    let body = vec![b'x'; 8 << 20];
    for (target, status) in
        [("/main/cgi-bin/clear_quota", 403), ("/main/a;b", 400), ("/v1/nothing", 404)]
    {
        let head = format!("POST {target} HTTP/1.1\r\ncontent-length: {}", body.len());
        let mut connection = begin(&edge, &head);
        connection.send(&body).expect("no reset, which is all that many a client would tell");
        assert_refused(&connection.response(PATIENCE).unwrap(), status);
    }
    assert_results(&edge, &[("refused", 3)]);
}

#[test]
fn who_waits_for_100_continue_and_is_refused_is_not_asked_for_the_body() {
    let wechat = Wechat::start();
    let edge = before(&wechat).start();
    let head =
        "POST /main/cgi-bin/clear_quota HTTP/1.1\r\ncontent-length: 9\r\nexpect: 100-continue";
    let mut connection = begin(&edge, head);
    let answer = connection.response_head(PATIENCE).unwrap();
    assert_eq!((answer.status, answer.header("connection")), (403, Some("close")));
}

#[test]
fn one_connection_serves_many_calls_in_their_order() {
    let wechat = Wechat::start();
    let edge = before(&wechat).start();
    let key = bearer(canary::CLIENT_KEY);
    let headers = [("authorization", key.as_str())];
    let mut connection = Connection::to(edge.api());
    for number in 0..20 {
        // Answers and refusals, with bodies and without.
        connection.request("GET", USERS, &headers, b"").unwrap();
        assert_ok(&connection.response(PATIENCE).unwrap());
        let body = json!({"number": number}).to_string();
        connection.request("POST", &format!("/main{SEND}"), &headers, body.as_bytes()).unwrap();
        assert_ok(&connection.response(PATIENCE).unwrap());
        connection.request("POST", "/main/cgi-bin/clear_quota", &headers, b"{}").unwrap();
        assert_refused(&connection.response(PATIENCE).unwrap(), 403);
        let file = "/main/cgi-bin/media/get?media_id=size-100000";
        connection.request("GET", file, &headers, b"").unwrap();
        assert_eq!(connection.response(PATIENCE).unwrap().body.len(), 100_000);
    }
    let sent: Vec<_> =
        wechat.requests_to(SEND).iter().map(|call| call.json()["number"].clone()).collect();
    assert_eq!(sent, (0..20).map(|number| json!(number)).collect::<Vec<_>>());
    assert_results(&edge, &[("ok", 60), ("refused", 20)]);
}

#[test]
fn who_leaves_while_wechat_thinks_is_counted_and_holds_nothing() {
    let wechat = Wechat::start();
    let edge = before(&wechat).start();
    let gate = Gate::closed();
    wechat.fault(SEND, Fault::Behind(gate.clone()));
    let mut leaving = begin(&edge, &format!("POST /main{SEND} HTTP/1.1\r\ncontent-length: 2"));
    leaving.send("{}").unwrap();
    eventually(PATIENCE, "it is at WeChat", || wechat.count(SEND) == 1);
    leaving.reset();
    gate.open();
    assert_ok(&post(&edge, &format!("/main{SEND}"), &json!({})));
    eventually(PATIENCE, "both are counted", || {
        edge.count("wxedge_api_requests_total", &[]) == 2.0
    });
    assert_eq!(wechat.count(SEND), 2, "what WeChat has begun is not sent again");
}
