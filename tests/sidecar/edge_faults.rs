//! What the app, the spool and the edge itself do wrong.

use std::time::Duration;

use serde_json::Value;
use wxedge_tests::app::{Answer, App, Deaf};
use wxedge_tests::edge::{Builder, Edge};
use wxedge_tests::message::Message;
use wxedge_tests::sidecar::Sidecar;
use wxedge_tests::{PATIENCE, eventually};

use crate::{SOON, edge, sidecar};

/// A pair of which the sidecar hears what the edge says.
fn start(edge: &Builder) -> (Edge, Sidecar) {
    let edge = edge.start();
    let sidecar = sidecar(&edge).start();
    sidecar.await_stream(&edge);
    (edge, sidecar)
}

fn push(edge: &Edge, times: usize) {
    for _ in 0..times {
        assert_eq!(edge.wechat().deliver(&Message::text("hi")).status(), 200);
    }
}

/// Three messages that the app fails are enough.
#[track_caller]
fn fires(edge: &Builder, alert: &str) -> Value {
    let (edge, sidecar) = start(edge);
    push(&edge, 2);
    sidecar.await_count(&edge, 2);
    assert!(sidecar.alerts().iter().all(|alert| alert["state"] != "firing"), "two are not enough");
    push(&edge, 1);
    let fired = sidecar.await_alert(alert, "firing", SOON);
    assert_eq!(
        (fired["account"].as_str(), fired["appid"].as_str()),
        (Some("main"), Some("wx0123456789main"))
    );
    assert_eq!((fired["count"].as_u64(), fired["window_s"].as_u64()), (Some(3), Some(300)));
    for text in ["description", "action"] {
        assert!(fired[text].as_str().is_some_and(|text| text.chars().count() > 8), "{fired}");
    }
    let firing =
        sidecar.metrics().sum("wxedge_alert_firing", &[("account", "main"), ("alert", alert)]);
    assert_eq!(firing, Some(1.0));
    fired
}

#[test]
fn an_app_that_refuses_connections() {
    let app = App::start();
    app.stop_listening();
    let fired = fires(&edge().app(&app), "connect_timeout");
    assert_eq!(fired["severity"], "high");
    assert_eq!(
        (&fired["example"]["ip"], &fired["example"]["msg_type"]),
        (&"127.0.0.1".into(), &"text".into())
    );
}

#[test]
fn an_app_that_takes_no_connection() {
    let app = Deaf::full();
    let slow = edge().url(&app.url()).upstream("connect_timeout_ms = 200");
    fires(&slow, "connect_timeout");
}

#[test]
fn an_app_that_hangs() {
    let app = App::answering(Answer::hang());
    fires(&edge().app(&app).upstream("deadline_ms = 500"), "request_timeout");
}

#[test]
fn an_app_that_answers_500() {
    let app = App::answering(Answer::new(500, "text/plain", "Error 500:"));
    let fired = fires(&edge().app(&app), "response_invalid");
    let example = &fired["example"];
    assert_eq!(
        (&example["response"], &example["response_length"]),
        (&"Error 500:".into(), &10.into())
    );
}

#[test]
fn an_app_that_is_asked_no_more() {
    let app = App::answering(Answer::new(500, "text/plain", "Error 500:"));
    let edge = edge().app(&app).spool("retry_min_ms = 100").spool("retry_max_ms = 200").start();
    let circuit = |edge: &Edge| edge.status()["accounts"][0]["upstream"]["circuit"] != "closed";
    eventually(PATIENCE, "the circuit is open", || {
        push(&edge, 1);
        circuit(&edge)
    });
    let sidecar = sidecar(&edge).start();
    sidecar.await_stream(&edge);
    push(&edge, 3);
    let fired = sidecar.await_alert("response_invalid", "firing", SOON);
    let told = fired["description"].as_str().unwrap();
    assert!(told.contains(&app.address().to_string()), "{told}");
    // There is no callback that failed; redeliveries did.
    eventually(PATIENCE, "what the app answered is shown", || {
        sidecar.alerts().iter().any(|alert| alert["example"]["response"] == "Error 500:")
    });
}

#[test]
fn an_app_that_resets_connections() {
    fires(&edge().app(&App::answering(Answer::reset())), "response_invalid");
}

#[test]
fn an_app_that_answers_garbage() {
    let app = App::answering(Answer::new(200, "text/html", "<h1>no reply</h1>"));
    fires(&edge().app(&app), "response_invalid");
}

#[test]
fn an_app_whose_name_does_not_exist() {
    // The sidecar looks the name up as well: whoever finds it first.
    let (edge, sidecar) = start(&edge().url("http://nobody.invalid:3000/"));
    push(&edge, 3);
    let fired = sidecar.await_alert("dns_failure", "firing", SOON);
    assert_eq!(
        (fired["severity"].as_str(), fired["account"].as_str()),
        (Some("high"), Some("main"))
    );
}

#[test]
fn an_app_that_is_well_again_and_the_circuit_closed() {
    let app = App::answering(Answer::status(500));
    let (edge, sidecar) =
        start(&edge().app(&app).spool("retry_min_ms = 100").spool("retry_max_ms = 200"));
    push(&edge, 12);
    sidecar.await_alert("response_invalid", "firing", SOON);
    app.answer(Answer::taken());
    // A minute of traffic without a failure ends it; the traffic is what this waits with.
    let resolved = wxedge_tests::eventually_some(Duration::from_secs(100), "it is over", || {
        push(&edge, 1);
        std::thread::sleep(Duration::from_millis(200));
        sidecar.alerts().into_iter().find(|alert| alert["state"] == "resolved")
    });
    assert_eq!(resolved["alert"], "response_invalid");
    assert!(resolved["resolved"].as_i64().unwrap() >= resolved["last"].as_i64().unwrap() + 60);
    let labels = [("account", "main"), ("alert", "response_invalid")];
    assert_eq!(sidecar.metrics().sum("wxedge_alert_firing", &labels), Some(0.0));
    assert_eq!(
        sidecar.metrics().sum("wxedge_alerts_total", &[("alert", "response_invalid")]),
        Some(1.0)
    );
}

#[test]
fn dead_letters() {
    let app = App::answering(Answer::status(400));
    let (edge, sidecar) = start(&edge().app(&app));
    push(&edge, 1);
    let fired = sidecar.await_alert("spool_backlog", "firing", SOON);
    assert_eq!(
        (fired["account"].as_str(), fired["severity"].as_str()),
        (Some("main"), Some("high"))
    );
    assert_eq!(edge.operate("DELETE", &format!("/v1/spool/{}", only_entry(&edge))).status, 204);
    sidecar.await_alert("spool_backlog", "resolved", SOON);
}

fn only_entry(edge: &Edge) -> String {
    let page = edge.admin("/v1/spool").json();
    page["entries"][0]["id"].as_str().unwrap().to_owned()
}

#[test]
fn a_store_that_fills_up() {
    let app = App::start();
    app.stop_listening();
    let (edge, sidecar) =
        start(&edge().app(&app).spool("max_bytes = 1048576").line("max_body_bytes = 1048576"));
    let long = "长".repeat(30_000);
    let full = wxedge_tests::eventually_some(PATIENCE, "the spool is full", || {
        let status = edge.wechat().deliver(&Message::text(&long)).status();
        (status == 503).then_some(status)
    });
    assert_eq!(full, 503);
    let fired = wxedge_tests::eventually_some(SOON, "the store is said to be full", || {
        let alerts = sidecar.alerts();
        alerts
            .into_iter()
            .find(|alert| alert["alert"] == "spool_backlog" && alert["account"].is_null())
    });
    assert_eq!(fired["state"], "firing");
}

#[test]
fn callbacks_with_a_wrong_signature() {
    let (edge, sidecar) = start(&edge());
    let stranger = edge.wechat().token(wxedge_tests::canary::TOKEN_WRONG);
    for _ in 0..19 {
        assert_eq!(stranger.deliver(&Message::text("hi")).status(), 403);
    }
    sidecar.await_count(&edge, 19);
    assert!(sidecar.alerts().iter().all(|alert| alert["state"] != "firing"));
    assert_eq!(stranger.deliver(&Message::text("hi")).status(), 403);
    let fired = sidecar.await_alert("signature_failures", "firing", SOON);
    assert_eq!((fired["severity"].as_str(), fired["count"].as_u64()), (Some("medium"), Some(20)));
}

#[test]
fn an_edge_that_is_gone() {
    let (mut edge, sidecar) = start(&edge());
    edge.kill();
    let fired = sidecar.await_alert("proxy_down", "firing", SOON);
    assert_eq!((fired["severity"].as_str(), &fired["account"]), (Some("critical"), &Value::Null));
    assert_eq!(sidecar.metrics().sum("wxedge_proxy_up", &[]), Some(0.0));
}
