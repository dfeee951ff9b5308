//! Every way an app can fail: WeChat gets `success`, the operators get the reason.

use std::time::Duration;

use wxedge_tests::app::{Answer, App, Deaf, Down};
use wxedge_tests::edge::{Builder, Edge};
use wxedge_tests::message::Message;
use wxedge_tests::wechat::{Mode, Verdict};

/// Redelivery is another theme: none comes before a test here is over.
fn edge() -> Builder {
    crate::edge().spool("retry_min_ms = 60000")
}

/// What is to be seen of one failed call.
#[track_caller]
fn fails(edge: &Edge, outcome: &str, reason: &str) {
    let delivery = edge.wechat().deliver(&Message::text("hi"));
    assert_eq!(
        (delivery.verdict.clone(), delivery.body()),
        (Verdict::Acknowledged, &b"success"[..]),
        "{reason}"
    );
    edge.assert_outcomes(&[(outcome, 1)]);
    let failures = "wxedge_upstream_failures_total";
    assert_eq!(
        edge.count(failures, &[("account", "main"), ("reason", reason)]),
        1.0,
        "{reason}: {:?}",
        edge.await_log(1)
    );
    assert_eq!(edge.count(failures, &[]), 1.0, "and no other reason");
    assert_eq!(edge.count("wxedge_callback_duration_seconds_count", &[]), 1.0);
    let line = edge.await_log(1).remove(0);
    assert_eq!((line["outcome"].as_str(), line["reason"].as_str()), (Some(outcome), Some(reason)));
    if outcome == "fallback_error" {
        assert_eq!(
            edge.count("wxedge_upstream_duration_seconds_count", &[("account", "main")]),
            1.0
        );
    }
}

#[test]
fn a_name_that_does_not_resolve() {
    // Too long for a label: the system's resolver says no without asking anybody.
    let url = format!("http://{}.invalid/wechat", "x".repeat(64));
    fails(&edge().url(&url).start(), "fallback_error", "dns");
}

#[test]
fn a_connection_that_is_refused() {
    let down = Down::start();
    fails(&edge().url(&down.url()).start(), "fallback_error", "connect");
}

#[test]
fn a_connection_that_is_not_taken() {
    let deaf = Deaf::full();
    let edge = edge().url(&deaf.url()).upstream("connect_timeout_ms = 300").start();
    fails(&edge, "fallback_error", "connect_timeout");
    let took = edge.log()[0]["app_ms"].as_f64().unwrap();
    assert!((290.0..900.0).contains(&took), "{took}");
}

#[test]
fn no_answer_by_the_deadline() {
    let app = App::answering(Answer::hang());
    let edge = edge().app(&app).upstream("deadline_ms = 500").start();
    fails(&edge, "fallback_deadline", "timeout");
}

#[test]
fn an_error_status() {
    for status in [500, 404, 302] {
        let app = App::answering(Answer::status(status));
        fails(&edge().app(&app).start(), "fallback_error", "status");
    }
}

#[test]
fn an_answer_that_is_no_http_or_too_long() {
    let long = "x".repeat(1024 * 1024 + 1);
    for answer in [
        Answer::raw("SSH-2.0-OpenSSH_9.2\r\n\r\n"),
        Answer::raw("HTTP/1.1 abc\r\n\r\n"),
        Answer::raw("HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n"),
        Answer::raw("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nnonsense\r\n"),
        Answer::raw(format!("HTTP/1.1 200 OK\r\n\r\n{long}")),
        Answer::new(200, "text/plain", long),
        Answer::endless(),
    ] {
        let app = App::answering(answer);
        fails(&edge().app(&app).start(), "fallback_error", "invalid");
    }
}

#[test]
fn a_connection_that_breaks_before_the_answer_is_complete() {
    let whole = || Answer::text("half an answer is none");
    for answer in [
        Answer::reset(),
        Answer::no_answer(),
        whole().truncated(),
        whole().cut_after(10),
        whole().cut_after(60),
        whole().reset_after(60),
    ] {
        let app = App::answering(answer);
        fails(&edge().app(&app).start(), "fallback_error", "reset");
        assert_eq!(app.calls(), 1, "a fresh connection that breaks is no reason to ask twice");
    }
}

#[test]
fn a_stream_that_trickles_is_cut_at_the_deadline_and_a_flood_at_once() {
    let app = App::answering(Answer::endless());
    let edge = edge().app(&app).start();
    let delivery = edge.wechat().deliver(&Message::text("hi"));
    assert_eq!(delivery.verdict, Verdict::Acknowledged);
    assert!(delivery.took < Duration::from_secs(3), "{:?}", delivery.took);
    wxedge_tests::eventually(wxedge_tests::PATIENCE, "the flood's connection ends", || {
        app.open_connections() == 0
    });
}

#[test]
fn late_failures_are_not_counted_twice_and_late_timeouts_end_the_call() {
    let app = App::answering(Answer::hang());
    let edge =
        edge().app(&app).upstream("deadline_ms = 500").upstream("late_timeout_s = 1").start();
    assert_eq!(edge.wechat().deliver(&Message::text("hi")).verdict, Verdict::Acknowledged);
    edge.assert_count("wxedge_callbacks_in_flight", &[], 0.0);
    edge.assert_count("wxedge_upstream_duration_seconds_count", &[], 1.0);
    wxedge_tests::eventually(wxedge_tests::PATIENCE, "the hanging call ends", || {
        app.open_connections() == 0
    });
    assert_eq!(edge.count("wxedge_upstream_failures_total", &[]), 1.0);
}

#[test]
fn the_app_is_well_again_without_a_restart() {
    let app = App::start();
    app.script([
        Answer::reset(),
        Answer::status(500),
        Answer::no_answer(),
        Answer::text("well again"),
    ]);
    let edge = edge().mode(Mode::Plain).app(&app).start();
    for _ in 0..2 {
        assert_eq!(edge.wechat().deliver(&Message::text("hi")).verdict, Verdict::Acknowledged);
    }
    // The third goes out on the kept connection, finds it dead, and once more on a fresh one.
    let delivery = edge.wechat().deliver(&Message::text("hi"));
    assert_eq!(delivery.reply().at("Content"), Some("well again"));
    edge.assert_outcomes(&[("fallback_error", 2), ("replied", 1)]);
}
