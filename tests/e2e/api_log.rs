//! What a call leaves behind: one audit line, one count, and nothing that is secret.

use serde_json::{Value, json};
use wxedge::api::outcome::Outcome;
use wxedge_tests::edge::Account;
use wxedge_tests::http;
use wxedge_tests::message::now_s;
use wxedge_tests::wechat_api::Fault;
use wxedge_tests::{PATIENCE, canary, eventually, thread};

use crate::api::{
    Wechat, assert_ok, assert_own, assert_results, await_line, bearer, before, get, post,
};

const REQUESTS: &str = "wxedge_api_requests_total";
const SEND: &str = "/cgi-bin/message/custom/send";

#[test]
fn one_line_a_call_with_these_fields() {
    let wechat = Wechat::start();
    let edge = before(&wechat).start();
    assert_ok(&post(&edge, &format!("/main{SEND}?x=1"), &json!({"touser": "oCanary1"})));
    let line = edge.await_log(1).remove(0);
    let fields: Vec<_> = line.as_object().unwrap().keys().map(String::as_str).collect();
    let expected = [
        "account",
        "api",
        "attempts",
        "client",
        "request_id",
        "result",
        "source",
        "total_ms",
        "ts",
    ];
    assert_eq!(fields, expected);
    for (field, value) in [
        ("account", "main"),
        ("client", "crm"),
        ("api", SEND),
        ("result", "ok"),
        ("source", "127.0.0.1"),
    ] {
        assert_eq!(line[field], value);
    }
    assert!((line["ts"].as_f64().unwrap() - now_s() as f64).abs() < 60.0);
    assert_eq!(line["attempts"], 1);
    assert!(line["total_ms"].as_f64().unwrap() > 0.0);
}

#[test]
fn an_error_of_wechats_has_its_code_and_wechats_rid() {
    let wechat = Wechat::start();
    let edge = before(&wechat).start();
    wechat.fault(SEND, Fault::Errcode(45015));
    let answer = post(&edge, &format!("/main{SEND}"), &json!({})).json();
    let rid = answer["errmsg"].as_str().unwrap().split("rid: ").nth(1).unwrap().to_owned();
    let line = await_line(&edge, "its line", |line| line["result"] == "errcode");
    assert_eq!((&line["errcode"], &line["rid"]), (&json!(45015), &json!(rid)));
    assert_eq!(edge.count("wxedge_api_errcodes_total", &[("errcode", "45015")]), 1.0);
    // Errors are counted by known codes only.
    wechat.fault(SEND, Fault::Errcode(123_456));
    assert_eq!(post(&edge, &format!("/main{SEND}"), &json!({})).json()["errcode"], 123_456);
    await_line(&edge, "its line", |line| line["errcode"] == 123_456);
    assert_eq!(edge.count("wxedge_api_errcodes_total", &[("errcode", "other")]), 1.0);
}

#[test]
fn every_series_is_there_at_zero_before_the_first_call() {
    let wechat = Wechat::with_other();
    let edge = before(&wechat).and(Account::named("other")).start();
    let metrics = edge.metrics();
    for outcome in Outcome::ALL {
        let labels = [("account", "main"), ("client", "crm"), ("result", outcome.label())];
        assert_eq!(metrics.sum(REQUESTS, &labels), Some(0.0), "{labels:?}");
    }
    for account in ["main", "other"] {
        for credential in ["access_token", "jsapi", "wx_card"] {
            let labels = [("account", account), ("credential", credential)];
            for result in ["new", "foreign", "confirmed", "failed"] {
                let labels = [labels[0], labels[1], ("result", result)];
                assert!(metrics.sum("wxedge_token_refreshes_total", &labels).is_some());
            }
            assert!(metrics.sum("wxedge_token_expiry_timestamp_seconds", &labels).is_some());
        }
        let labels = [("account", account)];
        assert_eq!(metrics.sum("wxedge_api_duration_seconds_count", &labels), Some(0.0));
        assert_eq!(metrics.sum("wxedge_api_errcodes_total", &labels), Some(0.0));
    }
    assert_eq!(metrics.sum("wxedge_api_base_up", &[]), Some(1.0));
}

#[test]
fn labels_are_bounded_whatever_is_asked() {
    let wechat = Wechat::start();
    let edge = before(&wechat).start();
    for number in 0..50 {
        assert_ok(&get(&edge, &format!("/main/cgi-bin/unknown/{number}?openid=oCanary{number}")));
        let nobody = http::get(edge.api(), &format!("/nobody{number}/cgi-bin/user/get"));
        assert_eq!(nobody.status, 401);
    }
    edge.assert_count(REQUESTS, &[("api", "other"), ("result", "ok")], 50.0);
    let metrics = edge.metrics();
    for (label, most) in [("api", 2), ("account", 2), ("client", 2)] {
        let values = metrics.label_values(REQUESTS, label);
        assert!(values.len() <= most, "{label}: {values:?}");
    }
}

#[test]
fn every_request_is_counted_and_logged_once() {
    let wechat = Wechat::start();
    let edge = before(&wechat)
        .client(
            "crm",
            &[
                "allow = [\"/cgi-bin/**\"]",
                "rate_per_second = 1000000",
                "budget = \"enforce\"",
                &format!("key = {:?}", canary::CLIENT_KEY),
                "accounts = [\"main\"]",
                "[clients.crm.budgets]\n\"/cgi-bin/menu/get\" = 1",
            ],
        )
        .start();
    wechat.always_40001("/cgi-bin/tags/get");
    wechat.fault("/cgi-bin/tags/create", Fault::CloseAfterHead);
    wechat.fault("/cgi-bin/tags/delete", Fault::Errcode(45009));
    let asked = [
        ("/main/cgi-bin/user/get", "ok"),
        ("/main/cgi-bin/menu/delete", "ok"),
        ("/main/cgi-bin/tags/delete", "errcode"),
        ("/main/cgi-bin/tags/get", "failed"),
        ("/main/cgi-bin/ticket/getticket?type=jsapi", "cached"),
        ("/v1/accounts/main/ticket/jsapi", "cached"),
        ("/cgi-bin/token?appid=wx9", "refused"),
        ("/main/card/get", "refused"),
        ("/main//x", "refused"),
        ("/v1/nothing", "refused"),
    ];
    let edge = std::sync::Arc::new(edge);
    let rounds = 8;
    let callers: Vec<_> = (0..rounds)
        .map(|_| {
            let edge = edge.clone();
            thread(move || asked.iter().for_each(|(target, _)| drop(get(&edge, target))))
        })
        .collect();
    callers.into_iter().for_each(|caller| caller.join().unwrap());
    drop(get(&edge, "/main/cgi-bin/menu/get"));
    assert_own(&get(&edge, "/main/cgi-bin/menu/get"), 200, 45009);
    drop(post(&edge, "/main/cgi-bin/tags/create", &json!({})));
    let of = |result: &str| asked.iter().filter(|(_, own)| *own == result).count() as u64 * rounds;
    assert_results(
        &edge,
        &[
            ("ok", of("ok")),
            // The menu that nobody made, beside.
            ("errcode", of("errcode") + 1),
            ("failed", of("failed") + 1),
            ("cached", of("cached")),
            ("refused", of("refused")),
            ("budget_used_up", 1),
        ],
    );
    let all = asked.len() as u64 * rounds + 3;
    assert_eq!(edge.count(REQUESTS, &[]), all as f64);
    eventually(PATIENCE, "a line each", || edge.log().len() as u64 >= all);
    let lines = edge.log();
    assert_eq!(lines.len() as u64, all);
    let mut ids: Vec<_> = lines.iter().map(|line| line["request_id"].to_string()).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len() as u64, all);
    assert_eq!(edge.count("wxedge_api_duration_seconds_count", &[]), all as f64);
}

#[test]
fn no_secret_is_told_whatever_is_sent_where() {
    let wechat = Wechat::start();
    let edge = before(&wechat).start();
    let token = {
        assert_ok(&get(&edge, "/main/cgi-bin/user/get"));
        wechat.main_token()
    };
    let key = canary::CLIENT_KEY;
    for target in [
        format!("/{token}/cgi-bin/user/get"),
        format!("/main/cgi-bin/{token}"),
        format!("/main/cgi-bin/user/get?access_token={token}&secret={key}&openid=oCanary1"),
        format!("/v1/accounts/{key}/{token}"),
        format!("/v1/accounts/main/jssdk?url=https%3A%2F%2F{key}%2F"),
        format!("/{key};x"),
    ] {
        // Dropped, the edge is searched for all of them; so are its answers here.
        let answer = get(&edge, &target);
        let said = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(!said.contains(&token) && !said.contains(key), "{said}");
    }
    let headers = [("authorization", bearer(&token)), ("x-secret", canary::SECRET.to_owned())];
    let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
    let refused =
        http::send(edge.api(), "POST", "/main/cgi-bin/user/get", &headers, key.as_bytes());
    assert_eq!(refused.status, 401);
    let found: Vec<Value> = edge.await_log(8);
    assert_eq!(found.len(), 8);
}
