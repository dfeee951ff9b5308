//! The promise: WeChat has its answer in time, whatever the app does, and the call to the app is not cut off.

use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use wxedge_tests::app::{Answer, App, Gate};
use wxedge_tests::message::Message;
use wxedge_tests::wechat::{Mode, Verdict};
use wxedge_tests::{PATIENCE, Ruler, eventually, thread};

use crate::edge;

/// Within what the contract promises of a deadline. The machine's own delay, twice (the edge's thread and the test's),
/// is not the edge's.
#[track_caller]
fn on_time(took: Duration, deadline_ms: u64, ruler: &Ruler) {
    let ms = took.as_millis() as u64;
    let machine_ms = 2 * ruler.worst().as_millis() as u64;
    let promised = deadline_ms - 100..=deadline_ms + 300 + machine_ms;
    assert!(
        promised.contains(&ms),
        "{ms} ms for {deadline_ms} on a machine that is {machine_ms} ms late"
    );
}

#[test]
fn a_slow_app_is_a_success_at_the_deadline_and_finishes_what_it_does() {
    let ruler = Ruler::start();
    for mode in [Mode::Plain, Mode::Safe] {
        let app = App::start();
        let gate = Gate::closed();
        app.script([Answer::text("too late").behind(&gate)]);
        let edge = edge().mode(mode).app(&app).upstream("deadline_ms = 800").start();
        let delivery = edge.wechat().deliver(&Message::text("hi"));
        assert_eq!(
            (delivery.verdict.clone(), delivery.body()),
            (Verdict::Acknowledged, &b"success"[..])
        );
        on_time(delivery.took, 800, &ruler);
        edge.assert_outcomes(&[("fallback_deadline", 1)]);
        edge.assert_count("wxedge_upstream_failures_total", &[("reason", "timeout")], 1.0);
        edge.assert_count("wxedge_upstream_duration_seconds_count", &[], 0.0);

        gate.open();
        edge.assert_count("wxedge_upstream_duration_seconds_count", &[], 1.0);
        app.assert_answered(1);
        assert_eq!(edge.wechat().deliver(&Message::text("hi")).verdict, Verdict::Acknowledged);
        assert_eq!(app.requests()[1].connection, 1, "the late answer was read to its end");
        assert_eq!(app.calls(), 2);
        assert_eq!(edge.count("wxedge_upstream_failures_total", &[]), 1.0);
    }
}

#[test]
fn the_default_deadline_is_4300_ms_and_wechat_never_gives_up() {
    let ruler = Ruler::start();
    let app = App::answering(Answer::hang());
    let edge = edge().app(&app).start();
    let push = edge.wechat().push(&Message::text("hi"));
    assert_eq!(push.deliveries.len(), 1);
    assert_eq!(push.last().verdict, Verdict::Acknowledged);
    on_time(push.last().took, 4300, &ruler);
    let left: u64 = app.requests()[0].header("x-wxedge-deadline-ms").unwrap().parse().unwrap();
    assert!((4_000..=4_300).contains(&left), "{left}");
}

#[test]
fn the_clock_starts_with_the_first_byte_and_not_with_the_last() {
    let ruler = Ruler::start();
    let app = App::answering(Answer::hang());
    let edge = edge().app(&app).upstream("deadline_ms = 1500").start();
    let wechat = edge.wechat();
    let sealed = wechat.seal(&Message::text("hi"));
    let request = wechat.request("POST", &sealed.query, &sealed.body);
    let (head, tail) = request.split_at(request.len() / 2);
    let mut connection = wechat.connect().unwrap();
    let begun = Instant::now();
    connection.send(head).unwrap();
    std::thread::sleep(Duration::from_millis(700)); // the time it takes is what is tested
    connection.send(tail).unwrap();
    assert_eq!(connection.response(PATIENCE).unwrap().body, b"success");
    on_time(begun.elapsed(), 1500, &ruler);
    let left: u64 = app.only_request().header("x-wxedge-deadline-ms").unwrap().parse().unwrap();
    assert!(left <= 800, "{left} ms left for the app");
}

#[test]
fn games_are_answered_within_2500_ms() {
    let ruler = Ruler::start();
    let app = App::answering(Answer::hang());
    let edge = edge().app(&app).start();
    let delivery = edge.wechat().deliver(&Message::event("minigame_deliver_goods"));
    assert_eq!(delivery.verdict, Verdict::Acknowledged);
    assert_eq!(delivery.body(), br#"{"ErrCode":0,"ErrMsg":"success"}"#);
    on_time(delivery.took, 2500, &ruler);
    edge.assert_outcomes(&[("fallback_deadline", 1)]);
    edge.assert_count("wxedge_spool_entries", &[("state", "pending")], 1.0);
    let left: u64 = app.only_request().header("x-wxedge-deadline-ms").unwrap().parse().unwrap();
    assert!((2_000..=2_500).contains(&left), "{left}");
}

#[test]
fn a_reply_just_before_the_deadline_goes_out() {
    let app = App::answering(Answer::text("just in time").after(Duration::from_millis(1_000)));
    let edge = edge().app(&app).upstream("deadline_ms = 1600").start();
    let delivery = edge.wechat().deliver(&Message::text("hi"));
    assert_eq!(delivery.reply().at("Content"), Some("just in time"));
    assert!(delivery.took >= Duration::from_millis(1_000));
    edge.assert_outcomes(&[("replied", 1)]);
}

#[test]
fn a_thousand_slow_calls_at_once_are_all_answered_on_time() {
    let ruler = Ruler::start();
    const CALLS: usize = 1_000;
    let app = App::answering(Answer::hang());
    let edge = edge().app(&app).upstream("max_connections = 2000").start();
    let start = Arc::new(Barrier::new(CALLS));
    let deliveries: Vec<_> = (0..CALLS)
        .map(|number| {
            let (wechat, start) = (edge.wechat(), start.clone());
            thread(move || {
                let message = Message::text("hi");
                let sealed = wechat.seal(&message);
                start.wait();
                // One every 3 ms: for more than a second all wait at the same time, and a debug build on a busy
                // machine can still take them in.
                std::thread::sleep(Duration::from_millis(3 * number as u64));
                wechat.deliver_sealed(&message, &sealed)
            })
        })
        .collect();
    eventually(PATIENCE, "a thousand calls in flight", || {
        edge.count("wxedge_callbacks_in_flight", &[]) == CALLS as f64
    });
    let mut slowest = Duration::ZERO;
    for delivery in deliveries {
        let delivery = delivery.join().unwrap();
        assert_eq!(delivery.verdict, Verdict::Acknowledged);
        assert!(delivery.took >= Duration::from_millis(4_200), "{:?}", delivery.took);
        slowest = slowest.max(delivery.took);
    }
    on_time(slowest, 4300, &ruler);
    edge.assert_outcomes(&[("fallback_deadline", CALLS as u64)]);
    assert_eq!(app.calls(), CALLS);
    assert_eq!(app.most_connections(), CALLS);
}
