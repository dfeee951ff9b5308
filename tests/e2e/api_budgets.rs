//! What a client may use: calls a second, calls a day; and WeChat's own quotas.

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use wxedge_tests::edge::{Builder, Edge};
use wxedge_tests::http::Response;
use wxedge_tests::{PATIENCE, eventually};

use crate::api::{
    Wechat, assert_ok, assert_own, assert_refused, assert_results, await_disk, before, get, post,
};

const SEND: &str = "/cgi-bin/message/custom/send";
const MENU: &str = "/cgi-bin/menu/create";
const RATIO: &str = "wxedge_api_budget_used_ratio";

fn send(edge: &Edge) -> Response {
    post(edge, &format!("/main{SEND}"), &json!({}))
}

fn with_budget(wechat: &Wechat, policy: &str, limit: u64) -> Builder {
    let lines = [
        "allow = [\"/**\"]",
        &format!("budget = \"{policy}\""),
        &format!("[clients.crm.budgets]\n{SEND:?} = {limit}"),
    ];
    // The table is the last of the client's lines, so its other keys stand before it.
    let key = format!("key = {:?}", wxedge_tests::canary::CLIENT_KEY);
    let lines = [lines[0], lines[1], &key, "accounts = [\"main\"]", lines[2]];
    before(wechat).client("crm", &lines)
}

fn budget(edge: &Edge) -> Value {
    edge.status()["accounts"][0]["budgets"][0].clone()
}

#[test]
fn beyond_its_rate_a_client_is_told_to_wait_a_second() {
    let wechat = Wechat::start();
    let edge = before(&wechat).client("crm", &["allow = [\"/**\"]", "rate_per_second = 3"]).start();
    // Twenty at once, token endpoints and the edge's own included.
    let targets = ["/main/cgi-bin/user/get", "/v1/accounts/main/ticket/jsapi", "/nobody/x"];
    let answers: Vec<_> = std::thread::scope(|scope| {
        let ask = |place: usize| {
            let edge = &edge;
            scope.spawn(move || get(edge, targets[place % targets.len()]))
        };
        let asking: Vec<_> = (0..60).map(ask).collect();
        asking.into_iter().map(|asked| asked.join().unwrap()).collect()
    });
    let limited: Vec<_> = answers.iter().filter(|answer| answer.status == 429).collect();
    // The second may have ended in between.
    assert!(limited.len() >= 30, "{} of 60", limited.len());
    for answer in limited {
        assert_refused(answer, 429);
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
    eventually(PATIENCE, "the next second", || get(&edge, targets[0]).status == 200);
    let metrics = edge.metrics();
    let limited = metrics.sum("wxedge_api_requests_total", &[("result", "rate_limited")]).unwrap();
    assert!(limited >= 30.0);
}

#[test]
fn an_enforced_budget_ends_with_wechats_own_code_and_no_call() {
    let wechat = Wechat::start();
    let edge = with_budget(&wechat, "enforce", 3).start();
    for _ in 0..3 {
        assert_ok(&send(&edge));
    }
    for _ in 0..2 {
        assert_own(&send(&edge), 200, 45009);
    }
    assert_ok(&get(&edge, "/main/cgi-bin/user/get"));
    // No spelling is another API.
    assert_own(&post(&edge, &format!("/main{}/", SEND.to_uppercase()), &json!({})), 200, 45009);
    assert_eq!(wechat.count(SEND), 3);
    assert_eq!(budget(&edge)["used"], 3);
    assert_eq!((&budget(&edge)["api"], &budget(&edge)["limit"]), (&json!(SEND), &json!(3)));
    eventually(PATIENCE, "its metric", || {
        edge.metrics().sum(RATIO, &[("account", "main"), ("api", SEND)]) == Some(1.0)
    });
    assert_results(&edge, &[("budget_used_up", 3), ("ok", 4)]);
}

#[test]
fn what_is_not_sent_costs_no_budget() {
    let wechat = Wechat::start();
    let edge = with_budget(&wechat, "enforce", 3).start();
    assert_ok(&send(&edge));
    wechat.stop_listening();
    wechat.close_connections();
    eventually(PATIENCE, "WeChat is gone", || send(&edge).status == 502);
    for _ in 0..5 {
        assert_refused(&send(&edge), 502);
    }
    assert!(budget(&edge)["used"].as_u64().unwrap() <= 2, "{}", budget(&edge));
}

#[test]
fn a_reported_budget_is_said_and_lets_through() {
    let wechat = Wechat::start();
    let edge = with_budget(&wechat, "report", 2).start();
    (0..4).for_each(|_| assert_ok(&send(&edge)));
    edge.await_stderr("clients.crm.budgets: /cgi-bin/message/custom/send of main is used up");
    assert_eq!(budget(&edge)["used"], 4);
    assert_results(&edge, &[("ok", 4)]);
}

#[test]
fn a_budget_that_is_off_is_not_counted() {
    let wechat = Wechat::start();
    let edge = with_budget(&wechat, "off", 1).start();
    (0..3).for_each(|_| assert_ok(&send(&edge)));
    assert_eq!(edge.status()["accounts"][0]["budgets"], json!([]));
}

#[test]
fn what_is_used_survives_a_restart_a_kill_and_a_reload() {
    let wechat = Wechat::start();
    let mut edge = with_budget(&wechat, "enforce", 6).start();
    let folder = edge.folder();
    assert_ok(&send(&edge));
    edge.signal(Signal::SIGTERM);
    edge.await_exit(PATIENCE);
    drop(edge);
    let mut edge = with_budget(&wechat, "enforce", 6).folder(&folder).start();
    assert_eq!(budget(&edge)["used"], 1, "written down at the end");
    (0..2).for_each(|_| assert_ok(&send(&edge)));
    // Written down once a second.
    await_disk(&folder, "SELECT count FROM counter WHERE scope = 'budget'", 3);
    edge.signal(Signal::SIGKILL);
    edge.await_exit(PATIENCE);
    drop(edge);
    let mut edge = with_budget(&wechat, "enforce", 6).folder(&folder).start();
    assert_eq!(budget(&edge)["used"], 3);
    assert_ok(&send(&edge));
    edge.rewrite(&with_budget(&wechat, "enforce", 5));
    edge.signal(Signal::SIGHUP);
    edge.assert_count("wxedge_config_reloads_total", &[("result", "ok")], 1.0);
    assert_eq!((&budget(&edge)["used"], &budget(&edge)["limit"]), (&json!(4), &json!(5)));
    assert_ok(&send(&edge));
    assert_own(&send(&edge), 200, 45009);
    assert_eq!(wechat.count(SEND), 5);
}

#[test]
fn wechats_own_quota_is_learned_and_is_the_measure_of_what_is_only_reported() {
    let wechat = Wechat::start();
    wechat.quota(SEND, 500_000);
    let edge = with_budget(&wechat, "report", 2).start();
    (0..5).for_each(|_| assert_ok(&send(&edge)));
    eventually(PATIENCE, "it is asked for", || budget(&edge)["limit"] == 500_000);
    let asked = wechat.only("/cgi-bin/openapi/quota/get");
    assert_eq!((asked.method.as_str(), asked.json()), ("POST", json!({"cgi_path": SEND})));
    eventually(PATIENCE, "its metric", || {
        edge.metrics().sum(RATIO, &[("api", SEND)]) == Some(5.0 / 500_000.0)
    });
}

/// A client with budgets for `main`.
fn client(builder: Builder, name: &str, policy: &str, budgets: &[(&str, u64)]) -> Builder {
    let budgets: String =
        budgets.iter().map(|(api, limit)| format!("{api:?} = {limit}\n")).collect();
    let lines = [
        "allow = [\"/**\"]",
        "accounts = [\"main\"]",
        &format!("key = \"{name}\""),
        &format!("budget = {policy:?}"),
        &format!("[clients.{name}.budgets]\n{budgets}"),
    ];
    builder.client(name, &lines)
}

fn call_as(edge: &Edge, client: &str, path: &str) {
    let headers = [("authorization", &*format!("Bearer {client}"))];
    let target = format!("/main{path}");
    assert_ok(&wxedge_tests::http::send(edge.api(), "POST", &target, &headers, b"{}"));
}

#[test]
fn a_quota_is_asked_for_once_for_all_clients_and_only_where_it_is_the_measure() {
    let wechat = Wechat::start();
    wechat.quota(SEND, 500_000);
    let builder = client(before(&wechat), "first", "report", &[(SEND, 2)]);
    let builder = client(builder, "second", "report", &[(SEND, 3)]);
    // Its API would be asked for before the other.
    let edge = client(builder, "third", "enforce", &[(MENU, 4)]).start();
    for (client, path) in [("third", MENU), ("first", SEND), ("second", SEND)] {
        call_as(&edge, client, path);
    }
    let limits = || -> Vec<_> {
        let status = edge.status();
        let budgets = status["accounts"][0]["budgets"].as_array().unwrap();
        budgets.iter().map(|budget| budget["limit"].as_u64().unwrap()).collect()
    };
    eventually(PATIENCE, "both have learned it", || limits() == [500_000, 500_000, 4]);
    let asked = wechat.requests_to("/cgi-bin/openapi/quota/get");
    let asked: Vec<_> = asked.iter().map(|request| request.json()).collect();
    assert_eq!(asked, [json!({"cgi_path": SEND})]);
}

#[test]
fn the_series_of_a_budget_and_of_a_client_go_with_them() {
    let wechat = Wechat::start();
    let both = client(before(&wechat), "first", "report", &[(SEND, 2)]);
    let both = client(both, "second", "report", &[(MENU, 4)]);
    let mut edge = both.start();
    call_as(&edge, "first", SEND);
    call_as(&edge, "second", MENU);
    let ratio = |edge: &Edge, api: &str| edge.metrics().sum(RATIO, &[("api", api)]);
    eventually(PATIENCE, "both ratios", || {
        (ratio(&edge, SEND), ratio(&edge, MENU)) == (Some(0.5), Some(0.25))
    });
    let clients = |edge: &Edge| edge.metrics().label_values("wxedge_api_requests_total", "client");
    assert!(clients(&edge).contains(&"second".to_owned()));
    edge.rewrite(&client(before(&wechat), "first", "report", &[(SEND, 2)]));
    edge.signal(Signal::SIGHUP);
    edge.assert_count("wxedge_config_reloads_total", &[("result", "ok")], 1.0);
    eventually(PATIENCE, "its budget is gone", || ratio(&edge, MENU).is_none());
    assert!(ratio(&edge, SEND).is_some());
    assert!(!clients(&edge).contains(&"second".to_owned()), "{:?}", clients(&edge));
    assert!(clients(&edge).contains(&"first".to_owned()));
}

#[test]
fn wechats_own_45009_passes_with_its_words() {
    let wechat = Wechat::start();
    wechat.quota(SEND, 1);
    let edge = before(&wechat).start();
    assert_ok(&send(&edge));
    let answer = send(&edge);
    assert_eq!((answer.status, answer.json()["errcode"].as_i64()), (200, Some(45009)));
    assert!(answer.text().contains("reach max api daily quota limit rid: "));
    edge.assert_count("wxedge_api_errcodes_total", &[("errcode", "45009")], 1.0);
    assert_results(&edge, &[("errcode", 1), ("ok", 1)]);
}
