//! Who is told, in which words.

use serde_json::{Value, json};
use wxedge_tests::app::{Answer, App};
use wxedge_tests::message::Message;
use wxedge_tests::{eventually, eventually_some};

use crate::{SOON, edge, sidecar};

/// Somebody who takes whatever he is told.
fn robot() -> App {
    App::answering(Answer::json(&json!({"errcode": 0, "code": 0})))
}

#[test]
fn one_burst_is_one_message_to_each() {
    let robots = [(); 4].map(|()| robot());
    let [wecom, dingtalk, feishu, webhook] = &robots;
    let app = App::answering(Answer::new(500, "text/plain", "Error 500:"));
    let edge = edge().app(&app).line("nickname = \"测试号\"").start();
    let sidecar = sidecar(&edge)
        .line("notify", &format!("wecom = {:?}", wecom.url()))
        .line("notify", &format!("dingtalk = {:?}", dingtalk.url()))
        .line("notify", "dingtalk_secret = \"SECCanaryClientKey9c9f0f895fb98ab\"")
        .line("notify", &format!("feishu = {:?}", feishu.url()))
        .line("notify", "feishu_secret = \"CanaryClientKey9c9f0f895fb98ab\"")
        .line("notify", &format!("webhook = {:?}", webhook.url()))
        .start();
    sidecar.await_stream(&edge);
    for _ in 0..30 {
        assert_eq!(edge.wechat().deliver(&Message::text("hi")).status(), 200);
    }
    let fired = sidecar.await_alert("response_invalid", "firing", SOON);
    eventually(SOON, "each is told", || robots.iter().all(|robot| robot.calls() >= 1));
    // The messages also sank into the spool, which is told a minute later; until then one message says all.
    assert!(robots.iter().all(|robot| robot.calls() == 1), "one message for the burst");
    for robot in [wecom, dingtalk, feishu] {
        let text = robot.requests()[0].json().to_string();
        for part in ["测试号", "wx0123456789main", "Error 500:", fired["action"].as_str().unwrap()]
        {
            assert!(text.contains(part), "no {part}: {text}");
        }
    }
    let told = webhook.requests()[0].json();
    let alerts = told["alerts"].as_array().unwrap();
    assert!(alerts.iter().any(|alert| alert["alert"] == "response_invalid"), "{told}");
    assert!(dingtalk.requests()[0].target.contains("sign="));
}

#[test]
fn a_silenced_alert_is_shown_and_not_told() {
    let robot = robot();
    let app = App::answering(Answer::status(400));
    let edge = edge().app(&app).start();
    let sidecar = sidecar(&edge).line("notify", &format!("webhook = {:?}", robot.url())).start();
    sidecar.await_stream(&edge);
    let json = [("content-type", "application/json")];
    let silence = json!({"alert": "spool_backlog", "minutes": 60}).to_string();
    let made = wxedge_tests::http::send(
        sidecar.address,
        "POST",
        "/v1/silences",
        &json,
        silence.as_bytes(),
    );
    assert_eq!(made.status, 201);
    assert_eq!(edge.wechat().deliver(&Message::text("hi")).status(), 200);
    sidecar.await_alert("spool_backlog", "firing", SOON);
    // Another alert after it, which is told, shows that the silenced one was not.
    for _ in 0..20 {
        let stranger = edge.wechat().token(wxedge_tests::canary::TOKEN_WRONG);
        assert_eq!(stranger.deliver(&Message::text("hi")).status(), 403);
    }
    let told = eventually_some(SOON, "the other is told", || robot.requests().into_iter().next());
    let names: Vec<Value> = told.json()["alerts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|alert| alert["alert"].clone())
        .collect();
    assert_eq!(names, ["signature_failures"]);
}

#[test]
fn a_robot_that_fails_is_tried_again() {
    let robot = App::start();
    robot.script([Answer::status(503), Answer::reset(), Answer::taken()]);
    let app = App::answering(Answer::status(400));
    let edge = edge().app(&app).start();
    let sidecar = sidecar(&edge).line("notify", &format!("webhook = {:?}", robot.url())).start();
    sidecar.await_stream(&edge);
    assert_eq!(edge.wechat().deliver(&Message::text("hi")).status(), 200);
    eventually(SOON, "three tries", || robot.calls() >= 3);
    let bodies: Vec<_> = robot.requests().into_iter().map(|request| request.body).collect();
    assert!(bodies.iter().all(|body| *body == bodies[0]), "the same each time");
    eventually(SOON, "one is counted as sent", || {
        let sent = [("output", "webhook"), ("result", "sent")];
        sidecar.metrics().sum("wxedge_notifications_total", &sent) == Some(1.0)
    });
}
