//! §6 of the contract: what the app may answer and what WeChat gets, in each mode.

use serde_json::json;
use wxedge_tests::app::{Answer, App};
use wxedge_tests::edge::Edge;
use wxedge_tests::message::Message;
use wxedge_tests::wechat::{Delivery, Mode, Verdict};

use crate::edge;

pub(crate) const MODES: [Mode; 2] = [Mode::Plain, Mode::Safe];

/// An edge in front of the app, whose answer each test sets.
pub(crate) fn start(mode: Mode) -> (App, Edge) {
    let app = App::start();
    let edge = edge().mode(mode).app(&app).start();
    (app, edge)
}

/// Delivers a text to an app that answers so.
pub(crate) fn deliver(app: &App, edge: &Edge, answer: Answer) -> Delivery {
    app.answer(answer);
    edge.wechat().deliver(&Message::text("hi"))
}

#[track_caller]
pub(crate) fn is_success(delivery: &Delivery, what: &str) {
    assert_eq!(delivery.verdict, Verdict::Acknowledged, "{what}");
    assert_eq!(delivery.body(), b"success", "{what}");
    let content_type = delivery.response.as_ref().unwrap().header("content-type");
    assert_eq!(content_type, Some("text/plain; charset=utf-8"), "{what}");
}

#[test]
fn an_app_with_nothing_to_say_is_a_success() {
    for mode in MODES {
        let (app, edge) = start(mode);
        let bodies = [
            "",
            "success",
            "SUCCESS",
            "ok",
            "OK",
            "true",
            "True",
            "1",
            "null",
            " success\r\n",
            "{}",
            r#"{"code":0,"data":[]}"#,
            r#"{"msgtype":null}"#,
            "[]",
            r#"[{"msgtype":"text"}]"#,
            "0",
            r#""done""#,
        ];
        for body in bodies {
            for content_type in ["application/json", "text/plain"] {
                // As plain text only what is an acknowledgement is one.
                if content_type == "text/plain" && (body.starts_with(['[', '"']) || body == "0") {
                    continue;
                }
                is_success(&deliver(&app, &edge, Answer::new(200, content_type, body)), body);
            }
        }
        for status in [201, 202, 204] {
            is_success(&deliver(&app, &edge, Answer::status(status)), "2xx");
        }
        let calls = app.calls() as u64;
        edge.assert_outcomes(&[("acknowledged", calls)]);
        edge.assert_count("wxedge_upstream_failures_total", &[], 0.0);
    }
}

#[test]
fn kinds_without_a_passive_form_are_a_success() {
    for mode in MODES {
        let (app, edge) = start(mode);
        for (kind, content) in [
            ("mpnews", json!({"media_id": "m"})),
            ("mpnewsarticle", json!({"article_id": "a"})),
            ("wxcard", json!({"card_id": "c"})),
            (
                "msgmenu",
                json!({"head_content": "h", "list": [{"id": "1", "content": "c"}], "tail_content": "t"}),
            ),
            (
                "miniprogrampage",
                json!({"title": "t", "appid": "wx1", "pagepath": "p", "thumb_media_id": "m"}),
            ),
        ] {
            let mut answer = json!({"msgtype": kind});
            answer[kind] = content;
            is_success(&deliver(&app, &edge, Answer::json(&answer)), kind);
        }
        edge.assert_outcomes(&[("acknowledged", 5)]);
        assert!(edge.await_log(5).iter().all(|line| line["reason"] == "customer_service"));
        edge.assert_count("wxedge_upstream_failures_total", &[], 0.0);
    }
}

#[test]
fn what_is_no_reply_is_a_success_and_counted_invalid() {
    let bodies: [(&str, &[u8]); 14] = [
        ("text/html", b"<html><body>Internal error</body></html>"),
        ("application/octet-stream", b"\x00\x01\x02"),
        ("application/json", b"hello"),
        ("application/json", b"{\"msgtype\":"),
        ("application/json", br#"{"msgtype":"text"}"#),
        ("application/json", br#"{"msgtype":"text","text":{"content":""}}"#),
        ("application/json", br#"{"msgtype":"text","text":{"content":" "}}"#),
        ("application/json", br#"{"msgtype":"image","image":{}}"#),
        ("application/json", br#"{"msgtype":"news","news":{"articles":[]}}"#),
        ("application/json", br#"{"msgtype":7}"#),
        ("application/json", br#"{"msgtype":"mpnews"}"#),
        ("text/xml", b"<xml><MsgType>text</MsgType>"),
        ("text/xml", b"<xml><MsgType>mpnews</MsgType></xml>"),
        ("text/plain", b"\xff\xfe"),
    ];
    for mode in MODES {
        let (app, edge) = start(mode);
        for (content_type, body) in bodies {
            let what = String::from_utf8_lossy(body);
            is_success(&deliver(&app, &edge, Answer::new(200, content_type, body)), &what);
        }
        edge.assert_outcomes(&[("acknowledged", bodies.len() as u64)]);
        let invalid = [("account", "main"), ("reason", "invalid")];
        edge.assert_count("wxedge_upstream_failures_total", &invalid, bodies.len() as f64);
        edge.assert_count("wxedge_upstream_failures_total", &[], bodies.len() as f64);
    }
}

#[test]
fn a_long_answer_is_taken_as_long_as_it_is_read_whole() {
    const MOST: usize = 1024 * 1024;
    let (app, edge) = start(Mode::Safe);
    is_success(&deliver(&app, &edge, Answer::new(200, "text/html", "x".repeat(MOST))), "invalid");
    edge.assert_outcomes(&[("acknowledged", 1)]);
    let text = "x".repeat(MOST);
    let delivery = deliver(&app, &edge, Answer::new(200, "text/plain", text.clone()));
    assert_eq!(delivery.reply().at("Content"), Some(text.as_str()));
    for body in [text.clone() + "x", format!("<xml>{text}</xml>")] {
        is_success(&deliver(&app, &edge, Answer::new(200, "text/plain", body)), "not read whole");
    }
    edge.assert_outcomes(&[("acknowledged", 1), ("fallback_error", 2), ("replied", 1)]);
}

#[test]
fn every_other_status_is_a_success_and_a_failure_of_the_app() {
    for mode in MODES {
        let (app, edge) = start(mode);
        let elsewhere = App::start();
        let statuses = [
            500, 501, 502, 503, 504, 429, 408, 401, 403, 404, 400, 405, 410, 413, 422, 300, 301,
            302, 303, 304, 307, 308,
        ];
        for status in statuses {
            let body =
                if status == 304 { "" } else { r#"{"msgtype":"text","text":{"content":"no"}}"# };
            let answer =
                Answer::new(status, "application/json", body).header("location", &elsewhere.url());
            is_success(&deliver(&app, &edge, answer), &status.to_string());
        }
        let failed = statuses.len() as f64;
        assert_eq!(app.calls(), statuses.len(), "none is tried again within the callback");
        assert_eq!(elsewhere.calls(), 0, "redirects are not followed");
        edge.assert_outcomes(&[("fallback_error", statuses.len() as u64)]);
        edge.assert_count("wxedge_upstream_failures_total", &[("reason", "status")], failed);
        edge.assert_count("wxedge_upstream_failures_total", &[], failed);
    }
}

#[test]
fn replies_to_events_that_nobody_reads_are_dropped() {
    for mode in MODES {
        let (app, edge) = start(mode);
        app.answer(Answer::text("nobody reads this"));
        for event in
            ["unsubscribe", "TEMPLATESENDJOBFINISH", "MASSSENDJOBFINISH", "wxa_nickname_audit"]
        {
            is_success(&edge.wechat().deliver(&Message::event(event)), event);
        }
        edge.assert_outcomes(&[("acknowledged", 4)]);
        assert!(edge.await_log(4).iter().all(|line| line["reason"] == "content_dropped"));
        let subscribed = edge.wechat().deliver(&Message::event("subscribe"));
        assert_eq!(subscribed.reply().at("Content"), Some("nobody reads this"));
    }
}
