//! The access log: one JSON line a request, and one a call that the edge makes by itself; enough to find a user's message
//! and nothing that tells who it was.

use std::collections::HashSet;

use serde_json::{Value, json};
use wxedge_tests::app::{Answer, App};
use wxedge_tests::canary;
use wxedge_tests::edge::Edge;
use wxedge_tests::message::{Message, now_s};
use wxedge_tests::wechat::Mode;
use wxedge_tests::wechat_api::Fault;
use wxedge_tests::{PATIENCE, eventually};

use crate::late_replies::{Late, SEND};
use crate::spool::{acknowledged, await_entries, quick};
use crate::{PROGRAM, edge};

#[test]
fn one_line_a_callback_with_these_fields() {
    let app = App::answering(Answer::text("hi"));
    let edge = edge().app(&app).start();
    let message = Message::text("hi");
    let sealed = edge.wechat().seal(&message);
    let sent = edge.wechat().send(&sealed).unwrap();
    let line = edge.await_log(1).remove(0);
    let fields: Vec<&str> = line.as_object().unwrap().keys().map(String::as_str).collect();
    let mut expected = [
        "ts",
        "request_id",
        "account",
        "kind",
        "outcome",
        "status",
        "source",
        "user",
        "ce_id",
        "bytes_in",
        "bytes_out",
        "read_ms",
        "protocol_ms",
        "app_ms",
        "total_ms",
    ];
    expected.sort_unstable();
    assert_eq!(fields, expected);
    assert!((line["ts"].as_f64().unwrap() - now_s() as f64).abs() < 60.0);
    for (field, value) in [
        ("account", "main"),
        ("kind", "text"),
        ("outcome", "replied"),
        ("source", "127.0.0.1"),
        ("ce_id", app.only_request().header("ce-id").unwrap()),
    ] {
        assert_eq!(line[field], value);
    }
    assert_eq!(line["status"], 200);
    assert_eq!(line["bytes_in"], sealed.body.len());
    assert_eq!(line["bytes_out"], sent.body.len());
    let ms = |field: &str| line[field].as_f64().unwrap();
    let stages = ms("read_ms") + ms("protocol_ms") + ms("app_ms");
    assert!(ms("app_ms") > 0.0 && stages <= ms("total_ms") + 0.01, "{line}");
}

#[test]
fn a_user_is_found_by_the_hash_that_the_program_prints_and_only_by_it() {
    let app = App::start();
    let edge = edge().app(&app).start();
    let messages = [Message::text("one"), Message::text("two")];
    let again = Message::event("CLICK").from(messages[0].openid());
    for (lines, message) in messages.iter().chain([&again]).enumerate() {
        assert_eq!(edge.wechat().deliver(message).status(), 200);
        // A line is written after its answer; the next one waits, so that they are in order.
        edge.await_log(lines + 1);
    }
    let log = edge.await_log(3);
    let printed = edge.command(PROGRAM, &["hash-openid", messages[0].openid()]);
    assert!(printed.status.success());
    let hash = String::from_utf8(printed.stdout).unwrap().trim().to_owned();
    assert_eq!(hash.len(), 16);
    let users: Vec<bool> = log.iter().map(|line| line["user"] == hash.as_str()).collect();
    assert_eq!(users, [true, false, true]);

    // Keyed: another edge calls the same user something else.
    let other = crate::edge().app(&app).start();
    assert_eq!(other.wechat().deliver(&messages[0]).status(), 200);
    assert_ne!(other.await_log(1)[0]["user"], hash.as_str());
}

#[test]
fn every_request_has_its_line_and_its_id() {
    let app = App::start();
    let edge = edge().mode(Mode::Plain).app(&app).start();
    let wechat = edge.wechat();
    let message = Message::text("hi");
    let requests: [&dyn Fn() -> u16; 5] = [
        &|| wechat.deliver(&message).status(),
        &|| wechat.deliver(&message).status(),
        &|| wechat.clone().token(canary::TOKEN_WRONG).deliver(&message).status(),
        &|| wechat.send(&wechat.seal_bytes(b"<xml><a></xml>", "oCanary", now_s())).unwrap().status,
        &|| wechat.verify().status(),
    ];
    let mut statuses = Vec::new();
    for request in requests {
        statuses.push(request());
        // A line is written after the answer; the next request's must not overtake it.
        edge.await_log(statuses.len());
    }
    let log = edge.log();
    let logged: Vec<u64> = log.iter().map(|line| line["status"].as_u64().unwrap()).collect();
    assert_eq!(logged, statuses.iter().map(|s| u64::from(*s)).collect::<Vec<_>>());
    assert_eq!(logged, [200, 200, 403, 400, 200]);
    let ids: HashSet<&str> = log.iter().map(|line| line["request_id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 5);
    assert_eq!(log[0]["ce_id"], log[1]["ce_id"], "one message, delivered twice");
    assert_eq!(log[2].get("ce_id"), None, "nothing of a request that nobody signed is believed");
    assert_eq!(log[2].get("user"), None);
    assert!(log[2]["reason"].is_string() && log[3]["reason"].is_string());
}

/// The lines of a call of the edge's own, once there are so many.
#[track_caller]
fn await_calls(edge: &Edge, call: &str, lines: usize) -> Vec<Value> {
    eventually(PATIENCE, &format!("{lines} lines of {call}"), || edge.log_of(call).len() >= lines);
    let log = edge.log_of(call);
    assert_eq!(log.len(), lines, "{log:?}");
    log
}

#[test]
fn a_callback_that_the_app_failed_says_how_and_every_redelivery_has_its_line() {
    let app = App::answering(Answer::taken());
    app.script([Answer::status(503), Answer::status(500), Answer::status(422)]);
    let edge = quick(&app).start();
    acknowledged(&edge, &Message::text("hi"));
    await_entries(&edge, 0, 1);
    acknowledged(&edge, &Message::text("well"));
    app.script([Answer::status(410)]);
    acknowledged(&edge, &Message::text("dead"));

    let log = edge.await_log(3);
    let of = |line: &Value| json!([line["outcome"], line["app_status"], line["dead_letter"]]);
    let mut callbacks: Vec<_> = log.iter().map(of).collect();
    callbacks.sort_by_key(|callback| callback[1].as_u64());
    assert_eq!(
        callbacks,
        [
            json!(["acknowledged", null, null]),
            json!(["fallback_error", 410, true]),
            json!(["fallback_error", 503, null]),
        ]
    );
    let calls = await_calls(&edge, "redelivery", 2);
    for (call, result, status, attempt) in
        [(&calls[0], "failed", 500, 2), (&calls[1], "dead", 422, 3)]
    {
        assert_eq!(
            json!([
                call["account"],
                call["kind"],
                call["result"],
                call["reason"],
                call["app_status"],
                call["attempt"]
            ]),
            json!(["main", "text", result, "status", status, attempt])
        );
        assert_eq!(call["ce_id"], app.requests()[0].header("ce-id").unwrap());
        let parent = app.requests()[attempt - 1].header("traceparent").unwrap().to_owned();
        assert!(parent.contains(call["request_id"].as_str().unwrap()), "{parent} {call}");
        assert!(call["total_ms"].as_f64().unwrap() > 0.0);
    }
}

#[test]
fn a_late_call_and_a_late_reply_have_their_lines() {
    let late = Late::start();
    late.say_late("hi");
    late.await_messages(1);
    let call = await_calls(&late.edge, "late_call", 1).remove(0);
    assert_eq!(json!([call["result"], call["attempt"]]), json!(["taken", 1]));
    assert!(call["total_ms"].as_f64().unwrap() >= 500.0, "{call}");
    let callback = late.edge.await_log(1).remove(0);
    assert_eq!(
        (&call["request_id"], &call["ce_id"]),
        (&callback["request_id"], &callback["ce_id"])
    );
    let reply = await_calls(&late.edge, "late_reply", 1).remove(0);
    assert_eq!(json!([reply["result"], reply["attempt"]]), json!(["sent", 1]));
    assert_eq!((&reply["account"], &reply["ce_id"]), (&call["account"], &call["ce_id"]));

    late.api.fault_next(SEND, 1, Fault::Errcode(45047));
    late.say_late("once more");
    let reply = await_calls(&late.edge, "late_reply", 2).remove(1);
    assert_eq!(
        json!([reply["result"], reply["reason"], reply["errcode"]]),
        json!(["refused", "count", 45047])
    );
}
