//! The token service: one fetch, ahead of expiry, saved over restarts; its errors by class, and what to do about each.

use std::net::Ipv4Addr;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::json;
use wxedge_tests::app::Gate;
use wxedge_tests::edge::{Account, Edge};
use wxedge_tests::wechat_api::{self, Fault, MAIN, Scope};
use wxedge_tests::{PATIENCE, canary, eventually};

use crate::api::{
    LONG, OTHER, Wechat, admin_post, assert_ok, assert_refused, assert_results, await_disk, before,
    credential, get, settle,
};
use crate::events::Stream;

const USERS: &str = "/main/cgi-bin/user/get";
const REFRESHES: &str = "wxedge_token_refreshes_total";
const EXPIRY: &str = "wxedge_token_expiry_timestamp_seconds";

fn stops(mut edge: Edge, signal: Signal) -> std::sync::Arc<wxedge_tests::folder::Folder> {
    let folder = edge.folder();
    edge.signal(signal);
    edge.await_exit(PATIENCE);
    folder
}

#[test]
fn a_cold_start_with_fifty_calls_is_one_fetch() {
    let wechat = Wechat::start();
    let gate = Gate::closed();
    wechat.fault_next(Scope::TokenEndpoints, 1, Fault::Behind(gate.clone()));
    let edge = before(&wechat).start();
    std::thread::scope(|scope| {
        for _ in 0..50 {
            scope.spawn(|| assert_ok(&get(&edge, USERS)));
        }
        eventually(PATIENCE, "a fetch", || wechat.fetches().all() == 1);
        gate.open();
    });
    let fetches = wechat.fetches();
    assert_eq!((fetches.stable, fetches.forced, fetches.token), (1, 0, 0));
    assert_eq!(wechat.most_fetches_at_once(), 1);
    let asked = wechat.only("/cgi-bin/stable_token");
    let expected = json!({
        "grant_type": "client_credential",
        "appid": MAIN,
        "secret": canary::SECRET,
        "force_refresh": false,
    });
    assert_eq!((asked.method.as_str(), asked.query(), asked.json()), ("POST", "", expected));
    assert_results(&edge, &[("ok", 50)]);
    edge.assert_count(REFRESHES, &[("credential", "access_token"), ("result", "new")], 1.0);
    let token = credential(&edge, "access_token");
    assert_eq!((&token["state"], &token["errcode"]), (&json!("ok"), &json!(null)));
    let expires = edge.count(EXPIRY, &[("credential", "access_token")]);
    assert_eq!(token["expires"], expires as i64);
    for ticket in ["jsapi", "wx_card"] {
        assert_eq!(credential(&edge, ticket)["state"], "none", "nobody has asked for it");
        assert_eq!(edge.count(EXPIRY, &[("credential", ticket)]), 0.0);
    }
}

#[test]
fn a_restart_goes_on_with_the_saved_token() {
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        let wechat = Wechat::start();
        let edge = before(&wechat).start();
        assert_ok(&get(&edge, USERS));
        let token = wechat.main_token();
        await_disk(&edge.folder(), "SELECT count(*) FROM credential", 1);
        let folder = stops(edge, signal);
        wechat.clear();
        let gate = Gate::closed();
        wechat.fault(Scope::TokenEndpoints, Fault::Behind(gate.clone()));
        let edge = before(&wechat).folder(&folder).start();
        // Nobody waits for the confirmation.
        assert_ok(&get(&edge, USERS));
        gate.open();
        let labels = [("credential", "access_token"), ("result", "confirmed")];
        edge.assert_count(REFRESHES, &labels, 1.0);
        let used = wechat.only("/cgi-bin/user/get").parameter("access_token");
        assert_eq!(used, Some(token), "{signal}");
        let fetches = wechat.fetches();
        assert_eq!((fetches.stable, fetches.forced), (1, 0), "{signal}");
    }
}

#[test]
fn forced_refreshes_are_counted_over_a_kill() {
    let wechat = Wechat::start();
    let edge = before(&wechat).start();
    settle(&edge, &wechat);
    wechat.kill_token_same(MAIN);
    assert_ok(&get(&edge, USERS));
    assert_eq!(wechat.fetches().forced, 1);
    let folder = stops(edge, Signal::SIGKILL);
    let edge = before(&wechat).folder(&folder).start();
    wechat.kill_token_same(MAIN);
    // The next one may come 30 s after the last.
    assert_refused(&get(&edge, USERS), 502);
    assert_eq!(wechat.fetches().forced, 1);
}

#[test]
fn a_token_is_refreshed_ahead_of_expiry_and_the_old_one_serves_meanwhile() {
    let wechat = Wechat::start();
    wechat.token_lifetime(Duration::from_secs(16));
    let edge = before(&wechat).start();
    assert_ok(&get(&edge, USERS));
    let used = || {
        let calls = wechat.requests_to("/cgi-bin/user/get");
        calls.last().unwrap().parameter("access_token").unwrap()
    };
    let old = used();
    let gate = Gate::closed();
    wechat.fault(Scope::TokenEndpoints, Fault::Behind(gate.clone()));
    eventually(LONG, "a second fetch", || wechat.fetches().all() == 2);
    assert_ok(&get(&edge, USERS));
    assert_eq!(used(), old);
    gate.open();
    edge.assert_count(REFRESHES, &[("credential", "access_token"), ("result", "new")], 2.0);
    assert_ok(&get(&edge, USERS));
    assert_ne!(used(), old);
    assert_eq!(wechat.fetches().forced, 0);
    assert_results(&edge, &[("ok", 3)]);
}

#[test]
fn every_refusal_says_what_to_do_in_status_log_metric_and_event() {
    let wechat = Wechat::start();
    let edge = before(&wechat).start();
    assert_ok(&get(&edge, USERS));
    let mut events = Stream::open(&edge);
    let ip = Ipv4Addr::new(47, 94, 148, 108);
    let by_code = |errcode| Fault::Errcode(errcode);
    let refusals = [
        (40164, Fault::IpNotListed(ip), "47.94.148.108"),
        (61004, Fault::ComponentIpNotListed(ip), "47.94.148.108"),
        (40125, by_code(40125), "`secret`"),
        (40001, by_code(40001), "`secret`"),
        (40243, by_code(40243), "frozen"),
        (50002, by_code(50002), "limited"),
        (89503, by_code(89503), "confirm"),
        (89506, by_code(89506), "refused"),
        (45009, by_code(45009), "quota"),
        (-1, by_code(-1), "busy"),
    ];
    let mut failed = 0.0;
    for (errcode, fault, words) in refusals {
        wechat.fault(Scope::TokenEndpoints, fault);
        let refused = admin_post(&edge, "/v1/accounts/main/token/refresh", b"");
        assert_eq!(refused.status, 409, "{errcode}: {}", refused.text());
        assert!(refused.json()["error"].as_str().unwrap().contains(words), "{errcode}");
        let token = credential(&edge, "access_token");
        assert_eq!((&token["state"], &token["errcode"]), (&json!("failing"), &json!(errcode)));
        assert!(token["action"].as_str().unwrap().contains(words), "{token}");
        failed += 1.0;
        edge.assert_count(
            REFRESHES,
            &[("credential", "access_token"), ("result", "failed")],
            failed,
        );
        let event = events.await_event("token").data;
        let field = |name: &str| event[name].clone();
        assert_eq!(field("account"), "main");
        assert_eq!(
            (field("credential"), field("result")),
            ("access_token".into(), "failed".into())
        );
        assert_eq!((field("errcode"), field("action")), (errcode.into(), token["action"].clone()));
        edge.await_stderr(&format!("s and cannot be refreshed ({errcode}): "));
    }
    // The old one serves all the while.
    assert_ok(&get(&edge, USERS));
    wechat.heal_all();
    assert_eq!(admin_post(&edge, "/v1/accounts/main/token/refresh", b"").status, 200);
    assert_eq!(credential(&edge, "access_token")["action"], json!(null));
}

#[test]
fn a_wrong_secret_stops_the_fetches_until_the_right_one_is_there() {
    const RIGHT: &str = "0123456789abcdef0123456789abcdef";
    for errcode in [40001, 40125] {
        let wechat = Wechat(wechat_api::Builder::new().account(MAIN, RIGHT).start().unwrap());
        wechat.account(OTHER, canary::SECRET);
        wechat.wrong_secret(errcode);
        wechat.token_lifetime(Duration::from_secs(4));
        let fetches = |appid: &str| {
            let all = wechat.requests_to("/cgi-bin/stable_token");
            all.iter().filter(|asked| asked.json()["appid"] == appid).count()
        };
        let builder = before(&wechat).and(Account::named("other"));
        let edge = builder.start();
        for _ in 0..5 {
            let refused = get(&edge, USERS);
            assert_refused(&refused, 503);
            assert!(refused.text().contains("`secret`"), "{}", refused.text());
        }
        eventually(LONG, "the other account's turn, again and again", || fetches(OTHER) >= 3);
        assert_eq!(fetches(MAIN), 1, "{errcode}");
        assert_eq!(credential(&edge, "access_token")["errcode"], errcode);

        let right = builder.render(&edge.folder()).replacen(canary::SECRET, RIGHT, 1);
        edge.rewrite_text(&right);
        edge.signal(Signal::SIGHUP);
        edge.assert_count("wxedge_config_reloads_total", &[("result", "ok")], 1.0);
        eventually(PATIENCE, "it goes on", || credential(&edge, "access_token")["state"] == "ok");
        assert_ok(&get(&edge, USERS));
        assert!(fetches(MAIN) >= 2);
    }
}

#[test]
fn a_wrong_secret_is_still_wrong_after_a_restart() {
    let wechat = Wechat(wechat_api::Builder::new().account(MAIN, "right").start().unwrap());
    let edge = before(&wechat).start();
    assert_refused(&get(&edge, USERS), 503);
    let folder = stops(edge, Signal::SIGTERM);
    let edge = before(&wechat).folder(&folder).start();
    assert_refused(&get(&edge, USERS), 503);
    assert_eq!(wechat.fetches().all(), 1);
}

#[test]
fn without_an_answer_it_asks_again_after_a_pause() {
    let wechat = Wechat::start();
    wechat.fault(Scope::TokenEndpoints, Fault::ServerError);
    let edge = before(&wechat).start();
    assert_refused(&get(&edge, USERS), 503);
    eventually(PATIENCE, "it asks again", || wechat.fetches().all() >= 3);
    let token = credential(&edge, "access_token");
    assert_eq!((&token["state"], &token["errcode"]), (&json!("failing"), &json!(null)));
    // 1 s, 2 s, 4 s: no storm.
    let asked = wechat.requests_to("/cgi-bin/stable_token");
    for pair in asked.windows(2) {
        assert!(pair[1].at - pair[0].at >= Duration::from_millis(500));
    }
    wechat.heal_all();
    eventually(LONG, "it is there", || credential(&edge, "access_token")["state"] == "ok");
    assert_ok(&get(&edge, USERS));
}

#[test]
fn the_old_endpoint_can_be_chosen() {
    let wechat = Wechat::start();
    let edge = before(&wechat).line("token_endpoint = \"token\"").start();
    settle(&edge, &wechat);
    let asked = wechat.only("/cgi-bin/token");
    let query = ["grant_type", "appid", "secret"].map(|name| asked.parameter(name).unwrap());
    assert_eq!(query, ["client_credential", MAIN, canary::SECRET]);
    assert_eq!((asked.method.as_str(), wechat.fetches().stable), ("GET", 0));
    // Every fetch of this endpoint makes a new token, so two systems could fight without end: one is answered at once.
    wechat.kill_token(MAIN);
    assert_ok(&get(&edge, USERS));
    wechat.kill_token(MAIN);
    for _ in 0..5 {
        assert_refused(&get(&edge, USERS), 502);
    }
    assert_eq!((wechat.fetches().token, wechat.fetches().stable), (2, 0));
}

#[test]
fn another_system_that_refreshes_is_said_so() {
    let wechat = Wechat::start();
    let edge = before(&wechat).start();
    settle(&edge, &wechat);
    let mut events = Stream::open(&edge);
    wechat.kill_token(MAIN);
    assert_ok(&get(&edge, USERS));
    let event = events.await_event("token").data;
    assert_eq!(
        (&event["result"], &event["credential"]),
        (&json!("foreign"), &json!("access_token"))
    );
    edge.assert_count(REFRESHES, &[("credential", "access_token"), ("result", "foreign")], 1.0);
    edge.await_stderr("another system refreshes this appid");
}

#[test]
fn a_tickets_fetch_meets_a_dead_token_and_goes_on_with_a_better_one() {
    let wechat = Wechat::start();
    let edge = before(&wechat).start();
    settle(&edge, &wechat);
    wechat.kill_token(MAIN);
    let ticket = get(&edge, "/main/cgi-bin/ticket/getticket?type=jsapi");
    assert_ok(&ticket);
    assert!(ticket.json()["ticket"].as_str().unwrap().starts_with(canary::TICKET_PREFIX));
    assert_eq!(wechat.count("/cgi-bin/ticket/getticket"), 2);
    edge.assert_count(REFRESHES, &[("credential", "jsapi"), ("result", "new")], 1.0);
    assert_eq!(credential(&edge, "jsapi")["state"], "ok");
    let expires = edge.count(EXPIRY, &[("credential", "jsapi")]);
    assert_eq!(credential(&edge, "jsapi")["expires"], expires as i64);
}

#[test]
fn an_account_that_is_renamed_keeps_its_token() {
    let wechat = Wechat::start();
    let builder = before(&wechat);
    let mut edge = builder.start();
    settle(&edge, &wechat);
    let expiry = |account: &str| {
        let labels = [("account", account), ("credential", "access_token")];
        edge.metrics().sum(EXPIRY, &labels)
    };
    let expires = expiry("main").unwrap();
    let text = builder.render(&edge.folder());
    let text = text.replace("accounts.main", "accounts.new").replace("\"main\"", "\"new\"");
    edge.rewrite_text(&text);
    edge.signal(Signal::SIGHUP);
    edge.assert_count("wxedge_config_reloads_total", &[("result", "ok")], 1.0);
    assert_eq!((expiry("main"), expiry("new")), (None, Some(expires)));
    assert_ok(&get(&edge, "/new/cgi-bin/user/get"));
    assert_eq!(wechat.fetches().stable, 1);
    assert!(edge.is_running());
}
