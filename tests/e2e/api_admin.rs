//! What operators do for an account: §9's refresh, callback-check, callback-ips, clear_quota; and what the status tells.

use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::json;
use wxedge_tests::message::{Message, now_s};
use wxedge_tests::wechat_api::{Answer, Fault, Scope};
use wxedge_tests::{PATIENCE, canary, eventually};

use crate::api::{LONG, Wechat, admin_post, assert_ok, bearer, before, credential, get, settle};

const USERS: &str = "/main/cgi-bin/user/get";
const CLEAR: &str = "/v1/accounts/main/clear_quota";

#[test]
fn a_refresh_asks_wechat_and_shows_how_the_token_is() {
    let wechat = Wechat::start();
    let edge = before(&wechat).start();
    assert_ok(&get(&edge, USERS));
    let answer = admin_post(&edge, "/v1/accounts/main/token/refresh", b"");
    assert_eq!(answer.status, 200, "{}", answer.text());
    let object = answer.json();
    assert_eq!((&object["credential"], &object["state"]), (&json!("access_token"), &json!("ok")));
    assert_eq!(object, credential(&edge, "access_token"));
    assert!(!answer.text().contains(canary::ACCESS_TOKEN_PREFIX));
    let fetches = wechat.fetches();
    assert_eq!((fetches.stable, fetches.forced), (2, 0), "never by force");
}

#[test]
fn a_refresh_ends_a_stop() {
    let wechat = Wechat::start();
    wechat.refuse_tokens(40125);
    let edge = before(&wechat).start();
    eventually(PATIENCE, "it stopped", || credential(&edge, "access_token")["errcode"] == 40125);
    wechat.heal(Scope::TokenEndpoints);
    assert_eq!(get(&edge, USERS).status, 503);
    assert_eq!(admin_post(&edge, "/v1/accounts/main/token/refresh", b"").status, 200);
    assert_ok(&get(&edge, USERS));
}

#[test]
fn actions_are_posts_of_known_accounts_with_the_key() {
    let wechat = Wechat::start();
    let edge = before(&wechat).start();
    for action in ["token/refresh", "callback-check", "clear_quota"] {
        let target = format!("/v1/accounts/main/{action}");
        assert_eq!(edge.admin(&target).status, 405, "{action}");
        let nobody = admin_post(&edge, &format!("/v1/accounts/nobody/{action}"), b"");
        assert_eq!(nobody.status, 404);
        assert!(nobody.json()["error"].is_string());
        let key = bearer(canary::CLIENT_KEY);
        let headers = [("authorization", key.as_str())];
        let refused = wxedge_tests::http::send(edge.admin, "POST", &target, &headers, b"");
        assert_eq!(refused.status, 401, "{action}");
    }
    assert_eq!(admin_post(&edge, "/v1/accounts/main/callback-ips", b"").status, 405);
    assert_eq!(wechat.count("/cgi-bin/clear_quota"), 0);
    assert_eq!(wechat.count("/cgi-bin/callback/check"), 0);
}

#[test]
fn ten_clears_a_month_then_409_and_a_restart_forgets_none() {
    let wechat = Wechat::start();
    let mut edge = before(&wechat).start();
    for left in (4..10).rev() {
        let answer = admin_post(&edge, CLEAR, b"");
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.json(), json!({"errcode": 0, "errmsg": "ok", "left_this_month": left}));
    }
    let sent = wechat.requests_to("/cgi-bin/clear_quota").remove(0);
    assert_eq!((sent.method.as_str(), sent.json()), ("POST", json!({"appid": "wx0123456789main"})));
    assert_eq!(sent.parameter("access_token"), Some(wechat.main_token()));

    let folder = edge.folder();
    edge.signal(Signal::SIGKILL);
    edge.await_exit(PATIENCE);
    drop(edge);
    let edge = before(&wechat).folder(&folder).start();
    for left in (0..4).rev() {
        assert_eq!(admin_post(&edge, CLEAR, b"").json()["left_this_month"], left);
    }
    for _ in 0..3 {
        let refused = admin_post(&edge, CLEAR, b"");
        assert_eq!(refused.status, 409);
        assert!(refused.json()["error"].as_str().unwrap().contains("10"), "{}", refused.text());
    }
    assert_eq!(wechat.count("/cgi-bin/clear_quota"), 10);
}

#[test]
fn a_clear_that_wechat_did_not_answer_counts_and_is_not_sent_again() {
    let wechat = Wechat::start();
    let edge = before(&wechat).start();
    assert_ok(&get(&edge, USERS));
    wechat.fault_next("/cgi-bin/clear_quota", 1, Fault::CloseAfterHead);
    let failed = admin_post(&edge, CLEAR, b"");
    assert_eq!(failed.status, 409, "{}", failed.text());
    assert_eq!(wechat.count("/cgi-bin/clear_quota"), 1);
    assert_eq!(admin_post(&edge, CLEAR, b"").json()["left_this_month"], 8);
    wechat.fault_next("/cgi-bin/clear_quota", 1, Fault::Errcode(48006));
    let refused = admin_post(&edge, CLEAR, b"").json();
    assert_eq!((&refused["errcode"], &refused["left_this_month"]), (&json!(48006), &json!(7)));
}

#[test]
fn a_clear_that_cannot_be_sent_for_want_of_a_token_does_not_count() {
    let wechat = Wechat::start();
    wechat.refuse_tokens(40125);
    let edge = before(&wechat).start();
    let refused = admin_post(&edge, CLEAR, b"");
    assert_eq!(refused.status, 409, "{}", refused.text());
    assert!(refused.json()["error"].as_str().unwrap().contains("40125"), "{}", refused.text());
    wechat.heal(Scope::TokenEndpoints);
    assert_eq!(admin_post(&edge, "/v1/accounts/main/token/refresh", b"").status, 200);
    assert_eq!(admin_post(&edge, CLEAR, b"").json()["left_this_month"], 9);
}

#[test]
fn callback_check_is_wechats_own() {
    let wechat = Wechat::start();
    let edge = before(&wechat).start();
    let check = |body: &str| admin_post(&edge, "/v1/accounts/main/callback-check", body.as_bytes());
    let all = check("");
    assert_eq!(all.status, 200, "{}", all.text());
    assert_eq!(all.json()["dns"][0]["real_operator"], "UNICOM");
    assert_eq!(all.json()["ping"][0]["package_loss"], "0%");
    let dns = check(r#"{"action":"dns","check_operator":"CHINANET"}"#).json();
    assert_eq!((dns["dns"].is_array(), dns.get("ping")), (true, None));
    assert_eq!(check(r#"{"action":"other"}"#).json()["errcode"], 40202);
    let asked = wechat.requests_to("/cgi-bin/callback/check");
    let default = json!({"action": "all", "check_operator": "DEFAULT"});
    assert_eq!((asked.len(), asked[0].json()), (3, default));
    let too_long = format!("\"{}\"", "x".repeat(16 * 1024));
    for (body, why) in
        [("no json", "the body is no JSON"), (&too_long, "the body is longer than 16384 bytes")]
    {
        let bad = check(body);
        assert_eq!((bad.status, bad.json()), (400, json!({"error": why})));
    }
    assert_eq!(wechat.count("/cgi-bin/callback/check"), 3);
}

#[test]
fn wechats_list_of_its_addresses_feeds_source_ip() {
    let wechat = Wechat::start();
    let elsewhere = json!({"ip_list": ["81.69.103.236", "175.24.214.128/25", "2402:4e00::/32"]});
    wechat.fault("/cgi-bin/getcallbackip", Fault::Answer(Answer::json(&elsewhere)));
    let edge = before(&wechat).line("source_ip = \"enforce\"").start();
    let source = || edge.status()["accounts"][0]["source_ip"].clone();
    eventually(PATIENCE, "the list is there", || source()["listed"] == 3);
    assert_eq!(source()["policy"], "enforce");
    assert_eq!(source().get("acts_as"), None);
    let ips = edge.admin("/v1/accounts/main/callback-ips").json();
    assert_eq!(ips["ip_list"], elsewhere["ip_list"]);
    assert!((ips["fetched"].as_i64().unwrap() - now_s()).abs() < 60);
    // Nobody on this machine is WeChat now.
    assert_eq!(edge.wechat().deliver(&Message::text("hi")).status(), 403);

    let folder = edge.folder();
    drop(edge);
    let asked = wechat.count("/cgi-bin/getcallbackip");
    let edge = before(&wechat).line("source_ip = \"enforce\"").folder(&folder).start();
    assert_eq!(edge.status()["accounts"][0]["source_ip"]["listed"], 3, "kept over a restart");
    assert_eq!(edge.wechat().deliver(&Message::text("hi")).status(), 403);
    assert_ok(&get(&edge, USERS));
    assert_eq!(wechat.count("/cgi-bin/getcallbackip"), asked, "asked for once a day");
}

#[test]
fn who_is_on_the_list_is_let_in_and_without_a_list_everybody_is() {
    let wechat = Wechat::start();
    // The fake's own list has 127.0.0.1.
    let edge = before(&wechat).line("source_ip = \"enforce\"").start();
    let source = || edge.status()["accounts"][0]["source_ip"].clone();
    eventually(PATIENCE, "the list is there", || source()["listed"] == 3);
    assert_eq!(edge.wechat().push(&Message::text("hi")).reply().at("Content"), Some("hi"));

    let none = Wechat::start();
    none.fault("/cgi-bin/getcallbackip", Fault::Errcode(48001));
    let edge = before(&none).line("source_ip = \"enforce\"").start();
    eventually(LONG, "it is asked for", || none.count("/cgi-bin/getcallbackip") == 1);
    let source = edge.status()["accounts"][0]["source_ip"].clone();
    assert_eq!(source, json!({"policy": "enforce", "listed": 0, "acts_as": "report"}));
    assert_eq!(edge.wechat().push(&Message::text("hi")).reply().at("Content"), Some("hi"));
    let empty = edge.admin("/v1/accounts/main/callback-ips").json();
    assert_eq!(empty, json!({"ip_list": [], "fetched": 0}));
}

#[test]
fn the_edges_own_calls_meet_a_dead_token_like_any_other() {
    let wechat = Wechat::start();
    let edge = before(&wechat).start();
    settle(&edge, &wechat);
    wechat.kill_token(wxedge_tests::wechat_api::MAIN);
    let answer = admin_post(&edge, "/v1/accounts/main/callback-check", b"");
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.json()["dns"].is_array(), "{}", answer.text());
    assert_eq!(wechat.count("/cgi-bin/callback/check"), 2);
}

#[test]
fn the_status_has_all_fields_of_the_contract() {
    let wechat = Wechat::start();
    let edge = before(&wechat).start();
    assert_ok(&get(&edge, USERS));
    let status = edge.status();
    let account = &status["accounts"][0];
    let credentials = account["credentials"].as_array().unwrap();
    let names: Vec<_> = credentials.iter().map(|one| one["credential"].as_str().unwrap()).collect();
    assert_eq!(names, ["access_token", "jsapi", "wx_card"]);
    for one in credentials {
        let fields: Vec<_> = one.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(fields, ["action", "credential", "errcode", "expires", "state"]);
    }
    let expires = credentials[0]["expires"].as_i64().unwrap();
    assert!((expires - now_s() - 7_200).abs() < 60, "{expires}");
    assert_eq!(account["budgets"], json!([]));
    let base = status["api_base"][0].as_object().unwrap();
    let fields: Vec<_> = base.keys().map(String::as_str).collect();
    assert_eq!(fields, ["base", "by_proxy", "since", "up"]);
    assert_eq!((&base["up"], &base["by_proxy"]), (&json!(true), &json!(false)));
    assert!(Duration::from_secs(base["since"].as_u64().unwrap()) > Duration::ZERO);
}
