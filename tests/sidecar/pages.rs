//! Its own pages: what Prometheus, programs and the console get, and who gets nothing.

use serde_json::{Value, json};
use wxedge_tests::app::{Answer, App};
use wxedge_tests::message::Message;
use wxedge_tests::port::Port;
use wxedge_tests::{PATIENCE, canary, eventually, http};

use crate::{edge, sidecar};

const KEY: &str = "CanaryAdminKey8f14e45fceea167a-sidecar";

#[test]
fn one_scrape_has_the_edges_metrics_and_its_own() {
    let edge = edge().start();
    let sidecar = sidecar(&edge).start();
    sidecar.await_stream(&edge);
    let answer = sidecar.get("/metrics");
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let text = answer.text();
    let mut types: Vec<_> = text.lines().filter(|line| line.starts_with("# TYPE ")).collect();
    let count = types.len();
    types.sort_unstable();
    types.dedup();
    assert_eq!(types.len(), count, "a name stands twice");
    let mut series: Vec<_> = text
        .lines()
        .filter(|l| !l.starts_with('#'))
        .map(|l| l.rsplit_once(' ').unwrap().0)
        .collect();
    let count = series.len();
    series.sort_unstable();
    series.dedup();
    assert_eq!(series.len(), count, "a series stands twice");

    let metrics = sidecar.metrics();
    for program in ["wxedge", "wxedge-sidecar"] {
        assert_eq!(metrics.sum("wxedge_build_info", &[("program", program)]), Some(1.0));
    }
    assert_eq!(metrics.sum("wxedge_proxy_up", &[]), Some(1.0));
    assert_eq!(metrics.label_values("wxedge_alert_firing", "alert").len(), 14);
    assert_eq!(metrics.sum("wxedge_alerts_total", &[]), Some(0.0), "from the start");
    assert!(metrics.sum("wxedge_callbacks_total", &[]).is_some());
    let memory = metrics.sum("wxedge_sidecar_process_resident_memory_bytes", &[]).unwrap();
    assert!(memory < 30e6, "{memory} bytes");
}

#[test]
fn without_the_edge_its_own_metrics_stay() {
    let nobody = Port::reserve();
    let sidecar = wxedge_tests::sidecar::Builder::new(crate::SIDECAR, nobody.address).start();
    let metrics = sidecar.metrics();
    assert_eq!(metrics.sum("wxedge_proxy_up", &[]), Some(0.0));
    assert_eq!(metrics.sum("wxedge_callbacks_total", &[]), None);
    assert_eq!(sidecar.get("/healthz").text(), "ok\n");
}

#[test]
fn the_console_is_told_what_there_is() {
    let app = App::answering(Answer::text("hi"));
    let edge = edge().app(&app).line("nickname = \"测试号\"").start();
    let sidecar = sidecar(&edge).start();
    sidecar.await_stream(&edge);
    for _ in 0..3 {
        assert_eq!(edge.wechat().deliver(&Message::text("hi")).status(), 200);
    }
    sidecar.await_count(&edge, 3);
    eventually(PATIENCE, "the status has it, too", || {
        sidecar.get("/v1/console").json()["accounts"][0]["last_callback"].is_i64()
    });
    let console = sidecar.get("/v1/console").json();
    assert_eq!(
        (&console["language"], &console["edge"]["up"], &console["edge"]["ready"]),
        (&json!("zh"), &json!(true), &json!(true))
    );
    let account = &console["accounts"][0];
    for (field, value) in [
        ("account", "main"),
        ("nickname", "测试号"),
        ("mode", "safe"),
        ("path", "/wechat/main"),
        ("markfail", "healthy"),
    ] {
        assert_eq!(account[field], value);
    }
    assert_eq!(
        (&account["upstream"]["circuit"], &account["spool"]["pending"]),
        (&json!("closed"), &json!(0))
    );
    let minutes = console["history"]["accounts"]["main"]["outcomes"]["replied"].as_array().unwrap();
    assert_eq!((minutes.len(), minutes.iter().filter_map(Value::as_u64).sum::<u64>()), (60, 3));
    assert!(
        console["host"].is_object()
            && console["probes"].is_array()
            && console["alerts"] == json!([])
    );
    assert!(sidecar.get("/").text().contains("<html"));
}

#[test]
fn who_has_no_key_gets_the_page_and_nothing_else() {
    let edge = edge().start();
    let sidecar = sidecar(&edge).line("", &format!("key = {KEY:?}")).start();
    for target in ["/", "/healthz"] {
        assert_eq!(sidecar.get(target).status, 200, "{target}");
    }
    for target in ["/metrics", "/alerts", "/v1/console", "/v1/tail", "/v1/spool"] {
        assert_eq!(sidecar.get(target).status, 401, "{target}");
    }
    let right = format!("Bearer {KEY}");
    for (target, status) in
        [("/metrics", 200), ("/alerts", 200), ("/v1/console", 200), ("/v1/spool", 401)]
    {
        let answer = http::send(sidecar.address, "GET", target, &[("authorization", &right)], b"");
        assert_eq!(answer.status, status, "{target}: the spool asks for the edge's own key");
    }
}

#[test]
fn pages_of_other_sites_get_nothing() {
    let edge = edge().start();
    let sidecar = sidecar(&edge).start();
    for (name, value) in [
        ("host", "evil.example"),
        ("origin", "http://evil.example"),
        ("sec-fetch-site", "cross-site"),
    ] {
        for target in ["/alerts", "/v1/console", "/metrics"] {
            let answer = http::send(sidecar.address, "GET", target, &[(name, value)], b"");
            assert_eq!(answer.status, 403, "{name}: {value}, {target}");
        }
    }
    let page = sidecar.get("/");
    assert!(page.header("content-security-policy").unwrap().contains("default-src 'none'"));
    assert_eq!(page.header("access-control-allow-origin"), None);
}

#[test]
fn dead_letters_are_replayed_by_who_has_the_edges_key() {
    let app = App::answering(Answer::status(400));
    let edge = edge().app(&app).start();
    let sidecar = sidecar(&edge).start();
    assert_eq!(edge.wechat().deliver(&Message::text("hi")).status(), 200);
    let key = [("x-wxedge-admin-key", canary::ADMIN_KEY)];
    let ask = |method, target: &str, headers: &[(&str, &str)]| {
        http::send(sidecar.address, method, target, headers, b"")
    };
    eventually(PATIENCE, "it is dead", || {
        let page = ask("GET", "/v1/spool?state=dead", &key);
        page.status == 200
            && page.json()["entries"].as_array().is_some_and(|entries| entries.len() == 1)
    });
    let page = ask("GET", "/v1/spool?state=dead", &key).json();
    let id = page["entries"][0]["id"].as_str().unwrap();
    let entry = ask("GET", &format!("/v1/spool/{id}"), &key).json();
    assert_eq!(
        (&entry["last_answer"]["status"], &entry["body"]["Content"]),
        (&json!(400), &json!("hi"))
    );
    for headers in [&[][..], &[("x-wxedge-admin-key", "wrong")]] {
        assert_eq!(ask("POST", &format!("/v1/spool/{id}/replay"), headers).status, 401);
        assert_eq!(ask("GET", "/v1/spool", headers).status, 401);
    }
    app.answer(Answer::taken());
    assert_eq!(ask("POST", &format!("/v1/spool/{id}/replay"), &key).status, 202);
    eventually(PATIENCE, "the app has it", || edge.status()["accounts"][0]["spool"]["dead"] == 0);
}

#[test]
fn the_tail_says_what_happens() {
    let edge = edge().start();
    let sidecar = sidecar(&edge).start();
    let mut tail = http::Connection::to(sidecar.address);
    tail.request("GET", "/v1/tail", &[], b"").unwrap();
    assert_eq!(
        tail.response_head(PATIENCE).unwrap().header("content-type"),
        Some("text/event-stream")
    );
    sidecar.await_stream(&edge);
    let _refused = edge.wechat().token(canary::TOKEN_WRONG).deliver(&Message::text("hi"));
    let until = std::time::Instant::now() + PATIENCE;
    let mut heard = String::new();
    while !(heard.contains("event: failure") && heard.contains("event: summary")) {
        heard.push_str(std::str::from_utf8(&tail.chunk(until).unwrap()).unwrap());
    }
    assert!(heard.contains("\"outcome\":\"rejected_signature\""), "{heard}");
}

#[test]
fn silences_come_and_go() {
    let edge = edge().start();
    let sidecar = sidecar(&edge).start();
    let wanted =
        json!({"alert": "spool_backlog", "account": "main", "minutes": 60, "comment": "known"})
            .to_string();
    let json = [("content-type", "application/json")];
    let made = http::send(sidecar.address, "POST", "/v1/silences", &json, wanted.as_bytes());
    assert_eq!(made.status, 201);
    let id = made.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(sidecar.get("/v1/console").json()["silences"][0]["comment"], "known");
    for wrong in [
        json!({"alert": "spool_backlog", "minutes": 0}),
        json!({"alert": "nonsense", "minutes": 1}),
        json!({"alert": "spool_backlog", "minutes": 1, "more": 1}),
    ] {
        let refused = http::send(
            sidecar.address,
            "POST",
            "/v1/silences",
            &json,
            wrong.to_string().as_bytes(),
        );
        assert!((400..=422).contains(&refused.status), "{wrong}");
    }
    let gone = http::send(sidecar.address, "DELETE", &format!("/v1/silences/{id}"), &[], b"");
    assert_eq!(gone.status, 204);
    assert_eq!(sidecar.get("/v1/console").json()["silences"], json!([]));
}

#[test]
fn its_key_goes_to_no_proxy_of_the_environment() {
    let proxy = App::start();
    let edge = edge().start();
    let address = format!("http://{}", proxy.address());
    let sidecar = sidecar(&edge).env("HTTP_PROXY", &address).env("http_proxy", &address).start();
    sidecar.await_stream(&edge);
    assert_eq!((proxy.calls(), proxy.connections()), (0, 0));
}

#[test]
fn off_loopback_the_spool_needs_a_key_of_the_edge() {
    let edge = edge().without_admin_key().start();
    let open =
        sidecar(&edge).line("", "listen = \"0.0.0.0:0\"").line("", &format!("key = {KEY:?}"));
    let without = open.clone().without("edge", "key").start();
    let right = format!("Bearer {KEY}");
    let ask = |address, target| {
        http::send(address, "GET", target, &[("authorization", &right)], b"").status
    };
    assert_eq!((ask(without.address, "/alerts"), ask(without.address, "/v1/spool")), (200, 403));
}

#[test]
fn a_reload_does_not_take_the_key_away_that_the_listener_needs() {
    let edge = edge().start();
    let watching = sidecar(&edge);
    let open =
        watching.clone().line("", "listen = \"0.0.0.0:0\"").line("", &format!("key = {KEY:?}"));
    let sidecar = open.start();
    sidecar.rewrite(&watching);
    sidecar.signal(nix::sys::signal::Signal::SIGHUP);
    eventually(PATIENCE, "it refuses", || sidecar.stderr().contains("key: is required"));
    assert_eq!(sidecar.get("/alerts").status, 401);
}
