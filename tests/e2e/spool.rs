//! What the app has not taken is on disk before WeChat hears `success`, and reaches the app until it takes it.

use std::time::{Duration, Instant};

use serde_json::Value;
use wxedge_tests::app::{Answer, App, Down, Gate, Request};
use wxedge_tests::edge::{Builder, Edge};
use wxedge_tests::message::Message;
use wxedge_tests::wechat::{Mode, Verdict};
use wxedge_tests::{PATIENCE, eventually};

use crate::edge;

/// An edge that redelivers quickly.
pub(crate) fn quick(app: &App) -> Builder {
    let edge = edge().app(app).upstream("deadline_ms = 800");
    edge.spool("retry_min_ms = 100").spool("retry_max_ms = 100")
}

/// An edge whose redeliveries nobody waits for.
pub(crate) fn slow(app: &App) -> Builder {
    edge().app(app).upstream("deadline_ms = 800").spool("retry_min_ms = 60000")
}

/// WeChat has its `success`, and will not send the message again.
#[track_caller]
pub(crate) fn acknowledged(edge: &Edge, message: &Message) {
    let delivery = edge.wechat().deliver(message);
    assert_eq!(
        (delivery.verdict.clone(), delivery.body()),
        (Verdict::Acknowledged, &b"success"[..])
    );
}

/// Waits until so many entries are pending and dead, as long as their numbers change.
#[track_caller]
pub(crate) fn await_entries(edge: &Edge, pending: usize, dead: usize) {
    let mut seen = Value::Null;
    let expected = (Some(pending as u64), Some(dead as u64));
    let mut changed = Instant::now();
    while changed.elapsed() < PATIENCE {
        let now = edge.status()["accounts"][0]["spool"].clone();
        let counts = (now["pending"].as_u64(), now["dead"].as_u64());
        if counts == expected {
            return;
        }
        if counts != (seen["pending"].as_u64(), seen["dead"].as_u64()) {
            changed = Instant::now();
        }
        seen = now;
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{pending} pending and {dead} dead: {seen}, {}", edge.admin("/v1/spool").text());
}

/// The entries as operators see them.
#[track_caller]
pub(crate) fn entries(edge: &Edge, query: &str) -> Vec<Value> {
    let answer = edge.admin(&format!("/v1/spool?{query}"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["entries"].as_array().unwrap().clone()
}

/// The texts that the app got, in order.
pub(crate) fn texts(requests: &[Request]) -> Vec<String> {
    let text = |request: &Request| request.json()["Content"].as_str().unwrap().to_owned();
    requests.iter().map(text).collect()
}

pub(crate) fn attempt(request: &Request) -> u32 {
    request.header("x-wxedge-attempt").unwrap().parse().unwrap()
}

/// One message that the app gets again and again: the same but for the attempt, which counts.
#[track_caller]
fn one_message(requests: &[Request], late_timeout_ms: u64) {
    for (number, request) in requests.iter().enumerate() {
        for name in ["ce-id", "idempotency-key", "ce-type", "ce-subject", "ce-time"] {
            assert_eq!(request.header(name), requests[0].header(name), "{name}");
        }
        assert_eq!(request.header("ce-id"), request.header("idempotency-key"));
        assert_eq!(request.body, requests[0].body);
        assert_eq!(attempt(request), number as u32 + 1);
        let left: u64 = request.header("x-wxedge-deadline-ms").unwrap().parse().unwrap();
        match number {
            0 => assert!(left <= 800, "{left}"),
            _ => assert!((late_timeout_ms - 500..=late_timeout_ms).contains(&left), "{left}"),
        }
    }
}

#[test]
fn whatever_the_app_does_wechat_hears_success_and_the_app_gets_it_until_it_takes_it() {
    let status = Answer::status;
    let faults = [
        (status(500), "status"),
        (status(503).header("retry-after", "0"), "status"),
        (status(429), "status"),
        (status(408), "status"),
        (status(401), "status"),
        (status(403), "status"),
        (status(404), "status"),
        (status(599), "status"),
        (Answer::reset(), "reset"),
        (Answer::no_answer(), "reset"),
        (Answer::text("half").truncated(), "reset"),
        (Answer::raw("SSH-2.0-OpenSSH_9.2\r\n\r\n"), "invalid"),
    ];
    for mode in [Mode::Plain, Mode::Safe] {
        let app = App::answering(Answer::taken().then_close());
        let edge = quick(&app).mode(mode).start();
        for (number, (fault, reason)) in faults.iter().enumerate() {
            let before = app.calls();
            app.script([fault.clone(), fault.clone()]);
            let message = Message::text("你好");
            acknowledged(&edge, &message);
            edge.assert_count(
                "wxedge_redeliveries_total",
                &[("result", "taken")],
                (number + 1) as f64,
            );
            let calls = &app.requests()[before..];
            assert_eq!(calls.len(), 3, "{fault:?}");
            one_message(calls, 60_000);
            assert_eq!(calls[0].json()["Content"], "你好");
            let line = &edge.await_log(number + 1)[number];
            assert_eq!(
                (&line["outcome"], &line["reason"]),
                (&"fallback_error".into(), &(*reason).into())
            );
        }
        let all = faults.len() as f64;
        await_entries(&edge, 0, 0);
        assert_eq!(edge.count("wxedge_redeliveries_total", &[("result", "failed")]), all);
        assert_eq!(edge.count("wxedge_upstream_failures_total", &[]), 2.0 * all);
        assert_eq!(edge.count("wxedge_spool_write_seconds_count", &[]), all, "a write each");
        assert_eq!(edge.count("wxedge_spool_bytes", &[]), 0.0);
    }
}

#[test]
fn what_the_app_takes_in_time_is_never_written() {
    let app = App::start();
    let edge = edge().app(&app).start();
    for answer in [
        Answer::text("hi"),
        Answer::taken(),
        Answer::new(200, "text/html", "<h1>no reply</h1>"),
        Answer::new(200, "text/plain", "hi"),
    ] {
        app.answer(answer);
        for message in [Message::text("hi"), Message::event("subscribe"), Message::event("xpay_a")]
        {
            assert_eq!(edge.wechat().deliver(&message).status(), 200);
        }
    }
    assert_eq!(edge.wechat().verify().status(), 200);
    assert_eq!(edge.wechat().token("wrong").deliver(&Message::text("hi")).status(), 403);
    assert_eq!(edge.count("wxedge_spool_write_seconds_count", &[]), 0.0);
    assert_eq!(edge.count("wxedge_spool_bytes", &[]), 0.0);
    assert_eq!(entries(&edge, ""), Vec::<Value>::new());
    assert_eq!(app.calls(), 12);
}

#[test]
fn an_app_that_was_not_there_gets_it_from_the_file_that_names_another() {
    let down = Down::start();
    let app = App::start();
    let mut running = quick(&app).url(&down.url()).start();
    acknowledged(&running, &Message::text("one"));
    acknowledged(&running, &Message::text("two"));
    running.assert_outcomes(&[("fallback_error", 2)]);
    await_entries(&running, 2, 0);
    running.rewrite(&quick(&app));
    running.signal(nix::sys::signal::Signal::SIGHUP);
    await_entries(&running, 0, 0);
    let mut got = texts(&app.requests());
    got.sort();
    assert_eq!(got, ["one", "two"]);
}

#[test]
fn what_the_app_refuses_for_good_is_a_dead_letter_with_its_last_words() {
    let app = App::start();
    let edge = quick(&app).start();
    let refusals = [400, 405, 410, 413, 422, 300, 301, 302, 307];
    for status in refusals {
        app.answer(Answer::new(status, "text/plain", format!("no, {status}")));
        acknowledged(&edge, &Message::text("hi"));
    }
    await_entries(&edge, 0, refusals.len());
    edge.assert_outcomes(&[("fallback_error", refusals.len() as u64)]);
    assert_eq!(app.calls(), refusals.len(), "nobody is asked twice");
    // What stands behind a question mark would be taken out.
    edge.await_stderr("main: a message is a dead letter; /v1/spool says why (state=dead)");
    let dead = entries(&edge, "state=dead");
    for (entry, status) in dead.iter().zip(refusals) {
        assert_eq!((&entry["reason"], &entry["attempts"]), (&"status".into(), &1.into()));
        let whole = edge.admin(&format!("/v1/spool/{}", entry["id"].as_str().unwrap())).json();
        assert_eq!(whole["last_answer"]["status"], status);
        assert_eq!(whole["last_answer"]["body"], format!("no, {status}"));
        assert_eq!(whole["body"]["Content"], "hi");
    }

    // A redelivery can end like that too.
    edge.await_stderr("is a dead letter: mend the app, then replay it");
    app.answer(Answer::new(400, "text/plain", "错".repeat(2_000)));
    app.script([Answer::status(500)]);
    acknowledged(&edge, &Message::text("hi"));
    edge.assert_count("wxedge_redeliveries_total", &[("result", "dead")], 1.0);
    await_entries(&edge, 0, refusals.len() + 1);
    let last = entries(&edge, "state=dead").pop().unwrap();
    assert_eq!(last["attempts"], 2);
    let whole = edge.admin(&format!("/v1/spool/{}", last["id"].as_str().unwrap())).json();
    let words = whole["last_answer"]["body"].as_str().unwrap();
    assert!(words.len() <= 1_030 && words.starts_with("错错"), "{}", words.len());
}

#[test]
fn retry_after_is_respected() {
    let app = App::start();
    let edge = quick(&app).start();
    app.script([
        Answer::status(429).header("retry-after", "1"),
        Answer::status(503).header("retry-after", "1"),
    ]);
    acknowledged(&edge, &Message::text("hi"));
    let calls = app.await_calls(3);
    for pair in calls.windows(2) {
        let pause = pair[1].at - pair[0].at;
        assert!(pause >= Duration::from_millis(990), "{pause:?}");
    }
    await_entries(&edge, 0, 0);
}

#[test]
fn what_is_not_taken_for_give_up_after_s_is_a_dead_letter() {
    let app = App::answering(Answer::new(500, "text/plain", "never"));
    let edge = quick(&app).spool("give_up_after_s = 1").start();
    acknowledged(&edge, &Message::text("hi"));
    await_entries(&edge, 0, 1);
    let dead = entries(&edge, "state=dead").remove(0);
    assert_eq!(dead["attempts"].as_u64().unwrap(), app.calls() as u64);
    assert!(app.calls() > 2, "it was tried: {dead}");
    assert_eq!(dead["reason"], "status");
    assert_eq!(dead["next_attempt"], Value::Null);
}

#[test]
fn a_call_that_goes_on_is_not_made_again_and_its_success_ends_it() {
    let gate = Gate::closed();
    let app = App::start();
    app.script([Answer::taken().behind(&gate)]);
    let edge = quick(&app).start();
    let slow = Message::text("slow");
    acknowledged(&edge, &slow);
    edge.assert_outcomes(&[("fallback_deadline", 1)]);
    assert_eq!(edge.count("wxedge_spool_entries", &[("state", "pending")]), 1.0);
    // Others fail and are redelivered meanwhile, more than once.
    app.script([Answer::status(500), Answer::status(500), Answer::status(500)]);
    acknowledged(&edge, &Message::text("other"));
    edge.assert_count("wxedge_redeliveries_total", &[("result", "taken")], 1.0);
    acknowledged(&edge, &slow);
    gate.open();
    await_entries(&edge, 0, 0);
    let got = texts(&app.requests());
    assert_eq!(got.iter().filter(|text| *text == "slow").count(), 1, "{got:?}");
    assert_eq!(edge.count("wxedge_redeliveries_total", &[("result", "taken")]), 1.0);
}

#[test]
fn a_call_that_goes_on_and_fails_or_never_ends_is_followed_by_others() {
    for late in [Answer::status(500), Answer::reset(), Answer::hang()] {
        let gate = Gate::closed();
        let app = App::start();
        app.script([late.clone().behind(&gate)]);
        let edge = quick(&app).upstream("late_timeout_s = 2").start();
        acknowledged(&edge, &Message::text("hi"));
        edge.assert_outcomes(&[("fallback_deadline", 1)]);
        assert_eq!(app.calls(), 1);
        gate.open();
        let calls = app.await_calls(2);
        one_message(&calls, 2_000);
        await_entries(&edge, 0, 0);
        assert_eq!(edge.count("wxedge_upstream_failures_total", &[]), 1.0, "{late:?}");
    }
}

#[test]
fn a_redelivery_that_hangs_ends_after_late_timeout_s_and_is_repeated() {
    let app = App::start();
    app.script([Answer::status(500), Answer::hang()]);
    let edge = quick(&app).upstream("late_timeout_s = 1").start();
    acknowledged(&edge, &Message::text("hi"));
    let calls = app.await_calls(3);
    one_message(&calls, 1_000);
    let hung = calls[2].at - calls[1].at;
    assert!(hung >= Duration::from_millis(990), "{hung:?}");
    await_entries(&edge, 0, 0);
    eventually(PATIENCE, "the hanging call ends", || app.open_connections() == 1);
}
