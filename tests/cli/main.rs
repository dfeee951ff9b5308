//! The `fake-wechat` program, against servers that say what they are told: it has to notice.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Command;

use serde_json::Value;
use wxedge_tests::app::{Answer, App, Request};

/// Runs it and returns its exit code and its report.
fn run(app: &App, arguments: &[&str]) -> (Option<i32>, Value) {
    let url = format!("http://{}/wechat/main", app.address());
    let output = Command::new(env!("CARGO_BIN_EXE_fake-wechat"))
        .args(["--url", &url, "--token", "Token", "--appid", "wx1", "--mode", "plain"])
        .args(arguments)
        .output()
        .unwrap();
    let report = serde_json::from_slice(&output.stdout);
    (output.status.code(), report.unwrap_or_else(|error| panic!("{error}: {output:?}")))
}

/// Verifies as it should, answers messages so.
fn app(answer: Answer) -> App {
    let app = App::start();
    app.choose(move |request: &Request| match request.target.split_once("echostr=") {
        Some((_, echostr)) => Answer::new(200, "text/plain", echostr),
        None => answer.clone(),
    });
    app
}

#[test]
fn all_well_is_exit_0() {
    let app = app(Answer::new(200, "text/plain", "success"));
    let (code, report) = run(&app, &["--count", "20", "--concurrency", "4"]);
    assert_eq!(code, Some(0), "{report}");
    assert_eq!(report["verified"], true);
    assert_eq!((&report["deliveries"], &report["acknowledged"]), (&20.into(), &20.into()));
    assert_eq!(app.calls(), 21);
}

#[test]
fn one_bad_reply_is_exit_1() {
    let app = app(Answer::new(200, "text/html", "<html></html>"));
    let (code, report) = run(&app, &["--event", "subscribe"]);
    assert_eq!(code, Some(1), "{report}");
    assert_eq!(report["failures"]["bad_reply"], 1);
    assert!(String::from_utf8_lossy(&app.requests()[1].body).contains("subscribe"));
}

#[test]
fn failures_are_an_alarm_and_stop_the_pushing() {
    let app = app(Answer::status(503));
    let (code, report) = run(&app, &["--count", "9", "--alarm", "3", "--markfail", "6"]);
    assert_eq!(code, Some(1), "{report}");
    assert_eq!(report["deliveries"], 6, "three deliveries a message, then none");
    assert_eq!(report["alarms"]["bad_reply"], 2);
    assert_eq!(report["alarms"]["markfail"], 1);
    assert_eq!(report["withheld"], 7);
}

#[test]
fn a_url_that_does_not_verify_is_exit_1() {
    let app = App::answering(Answer::new(200, "text/plain", "success"));
    let (code, report) = run(&app, &[]);
    assert_eq!((code, &report["verified"]), (Some(1), &false.into()));
    assert_eq!(report["acknowledged"], 1);
}
