//! What WeChat does: it refuses tokens, another system takes them, a budget is used up, it stops pushing.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use wxedge_sidecar::alert::Engine;
use wxedge_sidecar::config::MarkFail;
use wxedge_sidecar::edge::event::{Event, Summary};
use wxedge_sidecar::edge::status::{Account, Status, Store};
use wxedge_sidecar::observation::Seen;
use wxedge_tests::app::{Answer, App};
use wxedge_tests::edge::{Builder, Edge};
use wxedge_tests::folder::Folder;
use wxedge_tests::http::{self, Response};
use wxedge_tests::message::{Message, now_s};
use wxedge_tests::sidecar::Sidecar;
use wxedge_tests::wechat_api::Api;
use wxedge_tests::{PATIENCE, canary, eventually};

use crate::{SOON, edge, edge_with_secret, sidecar};

const APPID: &str = "wx0123456789main";

fn api() -> Api {
    let api = Api::start();
    api.account(APPID, canary::SECRET);
    api
}

fn start(edge: &Builder, api: &Api) -> (Edge, Sidecar) {
    let edge = edge.clone().api_base(&[&api.url()]).start();
    let sidecar = sidecar(&edge).start();
    sidecar.await_stream(&edge);
    (edge, sidecar)
}

/// A call to WeChat through the edge.
fn call(edge: &Edge) -> Response {
    let key = format!("Bearer {}", canary::CLIENT_KEY);
    http::send(edge.api(), "GET", "/main/cgi-bin/user/get", &[("authorization", &key)], b"")
}

fn await_token(edge: &Edge) {
    eventually(PATIENCE, "the edge has a token", || {
        let expiry = "wxedge_token_expiry_timestamp_seconds";
        edge.count(expiry, &[("credential", "access_token")]) > 0.0
    });
}

#[test]
fn an_address_that_is_not_on_the_allow_list() {
    let api = api();
    api.refuse_ip(Ipv4Addr::new(203, 0, 113, 7));
    let (_edge, sidecar) = start(&edge_with_secret(), &api);
    let fired = sidecar.await_alert("token_failure", "firing", SOON);
    assert_eq!(
        (fired["severity"].as_str(), fired["account"].as_str()),
        (Some("critical"), Some("main"))
    );
    assert!(fired["description"].as_str().unwrap().contains("40164"), "{fired}");
    assert!(fired.to_string().contains("203.0.113.7"), "the address is said: {fired}");
}

#[test]
fn a_wrong_secret() {
    let api = api();
    api.refuse_tokens(40125);
    let (_edge, sidecar) = start(&edge_with_secret(), &api);
    let fired = sidecar.await_alert("token_failure", "firing", SOON);
    assert!(fired["description"].as_str().unwrap().contains("40125"), "{fired}");
    assert!(fired["action"].as_str().unwrap().contains("AppSecret"), "{fired}");
}

#[test]
fn another_system_that_refreshes() {
    let api = api();
    let edge = edge_with_secret().client("crm", &["allow = [\"/**\"]"]);
    let (edge, sidecar) = start(&edge, &api);
    await_token(&edge);
    api.kill_token(APPID);
    let _healed = call(&edge);
    let fired = sidecar.await_alert("token_foreign_refresh", "firing", SOON);
    assert_eq!(
        (fired["severity"].as_str(), fired["account"].as_str()),
        (Some("medium"), Some("main"))
    );
}

#[test]
fn a_budget_that_is_nearly_used_up() {
    let api = api();
    let edge = edge_with_secret().client(
        "crm",
        &["allow = [\"/**\"]", "budget = \"enforce\"", "budgets = { \"/cgi-bin/user/get\" = 5 }"],
    );
    let (edge, sidecar) = start(&edge, &api);
    await_token(&edge);
    for _ in 0..3 {
        let _counted = call(&edge);
    }
    eventually(PATIENCE, "the sidecar has seen three calls", || {
        sidecar.get("/v1/console").json()["accounts"][0]["budgets"][0]["used"] == 3
    });
    assert!(sidecar.alerts().iter().all(|alert| alert["alert"] != "quota_low"));
    let _fourth = call(&edge);
    let fired = sidecar.await_alert("quota_low", "firing", SOON);
    assert!(fired["description"].as_str().unwrap().contains("/cgi-bin/user/get"), "{fired}");
}

#[test]
fn failures_that_wechat_sees() {
    let app = App::start();
    app.stop_listening();
    // Nowhere to keep what the app does not take: 503.
    let edge =
        edge().app(&app).spool("max_bytes = 1048576").line("max_body_bytes = 4194304").start();
    let sidecar = sidecar(&edge).line("markfail", "visible_failures = 10").start();
    sidecar.await_stream(&edge);
    let long = "长".repeat(400_000);
    let mut seen = 0;
    while seen < 8 {
        assert!(
            sidecar.alerts().iter().all(|alert| alert["alert"] != "markfail_risk"),
            "after {seen}"
        );
        seen += u32::from(edge.wechat().deliver(&Message::text(&long)).status() == 503);
    }
    let fired = sidecar.await_alert("markfail_risk", "firing", SOON);
    assert_eq!(
        (fired["severity"].as_str(), fired["account"].as_str()),
        (Some("high"), Some("main"))
    );
    let state = [("account", "main"), ("state", "at_risk")];
    assert_eq!(sidecar.metrics().sum("wxedge_markfail_state", &state), Some(1.0));
}

/// What a sidecar has in its state that has watched 5 callbacks a second for a day, until now.
fn a_day_of_traffic() -> Value {
    let now = 1_000 * now_s().unsigned_abs();
    let begin = now - 24 * 3_600 * 1_000;
    let terms = MarkFail {
        visible_failures: 30,
        window: Duration::from_secs(300),
        silence: Duration::from_secs(20),
    };
    let mut engine = Engine::new(terms, begin);
    let account =
        Account { account: "main".to_owned(), appid: APPID.to_owned(), ..Account::default() };
    let store = Store { writable: true, bytes_max: 1, ..Store::default() };
    let status = Box::new(Status { accounts: vec![account], store, ..Status::default() });
    let outcomes = BTreeMap::from([("acknowledged".to_owned(), 5)]);
    let summary = Summary { account: "main".to_owned(), outcomes, ..Summary::default() };
    engine.observe(begin, &Seen::StreamOpened);
    for at in (begin..now).step_by(1_000) {
        engine.observe(at, &Seen::Status { of: status.clone() });
        engine.observe(at, &Seen::Event { of: Event::Summary(summary.clone()) });
        assert_eq!(engine.tick(at), []);
    }
    json!({"engine": engine.save()})
}

#[test]
fn a_wechat_that_stops_pushing() {
    let app = App::answering(Answer::taken());
    let edge = edge().app(&app).start();
    let folder = Arc::new(Folder::new());
    std::fs::create_dir(folder.path().join("sidecar")).unwrap();
    folder.write("sidecar/state.json", a_day_of_traffic().to_string());
    let sidecar = sidecar(&edge).folder(&folder).start();
    sidecar.await_stream(&edge);
    for _ in 0..50 {
        assert_eq!(edge.wechat().deliver(&Message::text("hi")).status(), 200);
        std::thread::sleep(Duration::from_millis(100));
    }
    let stopped = Instant::now();
    let fired = sidecar.await_alert("markfail", "firing", Duration::from_secs(60));
    assert!(stopped.elapsed() > Duration::from_secs(19), "so long WeChat may be silent");
    assert_eq!(
        (fired["severity"].as_str(), fired["account"].as_str()),
        (Some("critical"), Some("main"))
    );
    let state = |state| {
        sidecar.metrics().sum("wxedge_markfail_state", &[("account", "main"), ("state", state)])
    };
    assert_eq!((state("suspected"), state("healthy")), (Some(1.0), Some(0.0)));
    assert_eq!(edge.wechat().deliver(&Message::text("back")).status(), 200);
    sidecar.await_alert("markfail", "resolved", SOON);
    assert_eq!(state("recovered"), Some(1.0));
}
