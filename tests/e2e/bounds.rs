//! What is bounded, and what is kept and used again.

use std::time::Duration;

use wxedge_tests::app::{Answer, App, Gate};
use wxedge_tests::http::{Connection, NoAnswer};
use wxedge_tests::message::Message;
use wxedge_tests::wechat::{Mode, Verdict};
use wxedge_tests::{PATIENCE, eventually, thread};

use crate::edge;

#[test]
fn over_max_in_flight_a_message_is_acknowledged_when_it_is_on_disk_and_reaches_the_app_later() {
    let gate = Gate::closed();
    let app = App::answering(Answer::text("hi").behind(&gate));
    let edge = edge().app(&app).line("max_in_flight = 2").start();
    let held: Vec<_> = (0..2)
        .map(|_| {
            let wechat = edge.wechat();
            thread(move || wechat.deliver(&Message::text("hi")))
        })
        .collect();
    app.await_calls(2);
    let message = Message::text("hi");
    assert_eq!(edge.wechat().deliver(&message).body(), b"success");
    edge.assert_outcomes(&[("fallback_overload", 1)]);
    assert_eq!(edge.count("wxedge_spool_write_seconds_count", &[]), 1.0);
    // The spool does not wait for the others: it has calls of its own.
    let calls = app.await_calls(3);
    assert_eq!(calls[2].json()["MsgId"], message.get("MsgId").unwrap());
    assert_eq!(calls[2].header("x-wxedge-attempt"), Some("1"), "nobody has asked the app before");
    gate.open();
    for delivery in held {
        assert!(matches!(delivery.join().unwrap().verdict, Verdict::Replied(_)));
    }
    edge.assert_count("wxedge_callbacks_in_flight", &[], 0.0);
    edge.assert_count("wxedge_redeliveries_total", &[("result", "taken")], 1.0);
    assert_eq!(edge.wechat().deliver(&message).body(), b"success", "its repeat is none");
    assert!(matches!(edge.wechat().deliver(&Message::text("hi")).verdict, Verdict::Replied(_)));
    assert_eq!(app.calls(), 4);
}

#[test]
fn the_app_never_has_more_connections_than_it_may() {
    let app = App::answering(Answer::text("hi").after(Duration::from_millis(50)));
    let edge = edge().mode(Mode::Plain).app(&app).upstream("max_connections = 3").start();
    let deliveries: Vec<_> = (0..24)
        .map(|_| {
            let wechat = edge.wechat();
            thread(move || wechat.deliver(&Message::text("hi")))
        })
        .collect();
    for delivery in deliveries {
        assert!(matches!(delivery.join().unwrap().verdict, Verdict::Replied(_)));
    }
    assert_eq!(app.calls(), 24);
    assert_eq!(app.most_connections(), 3);
}

#[test]
fn a_kept_connection_is_used_again() {
    let app = App::answering(Answer::text("hi"));
    let edge = edge().app(&app).start();
    for _ in 0..10 {
        assert!(matches!(edge.wechat().deliver(&Message::text("hi")).verdict, Verdict::Replied(_)));
    }
    assert_eq!(app.connections(), 1);
    app.answer(Answer::text("hi").then_close());
    for _ in 0..3 {
        assert!(matches!(edge.wechat().deliver(&Message::text("hi")).verdict, Verdict::Replied(_)));
    }
    assert_eq!(app.connections(), 3, "the kept one and one for each that was told to close");
}

#[test]
fn a_kept_connection_that_was_closed_meanwhile_costs_nothing() {
    let app = App::answering(Answer::text("hi").then_close_unannounced());
    let edge = edge().app(&app).start();
    for _ in 0..10 {
        assert!(matches!(edge.wechat().deliver(&Message::text("hi")).verdict, Verdict::Replied(_)));
    }
    app.assert_answered(10);
    edge.assert_outcomes(&[("replied", 10)]);
    assert_eq!(edge.count("wxedge_upstream_failures_total", &[]), 0.0);
}

#[test]
fn a_request_that_finds_its_kept_connection_dead_goes_out_once_more() {
    for dying in [Answer::no_answer(), Answer::reset()] {
        let app = App::start();
        app.script([Answer::text("one"), dying, Answer::text("two")]);
        let edge = edge().app(&app).start();
        let says = |words: &str| {
            let delivery = edge.wechat().deliver(&Message::text("hi"));
            assert_eq!(delivery.reply().at("Content"), Some(words));
        };
        says("one");
        says("two");
        let requests = app.requests();
        assert_eq!(requests.iter().map(|r| r.connection).collect::<Vec<_>>(), [1, 1, 2]);
        assert_eq!(requests[1].header("ce-id"), requests[2].header("ce-id"));
        app.assert_answered(2);
        edge.assert_outcomes(&[("replied", 2)]);
        assert_eq!(edge.count("wxedge_upstream_failures_total", &[]), 0.0);
    }
}

#[test]
fn a_request_is_not_sent_again_once_a_byte_of_the_answer_came_or_on_a_fresh_connection() {
    let app = App::start();
    app.script([Answer::text("one"), Answer::text("cut").cut_after(20), Answer::no_answer()]);
    let edge = edge().app(&app).start();
    assert!(matches!(edge.wechat().deliver(&Message::text("hi")).verdict, Verdict::Replied(_)));
    assert_eq!(edge.wechat().deliver(&Message::text("hi")).body(), b"success");
    assert_eq!(app.calls(), 2);
    assert_eq!(edge.wechat().deliver(&Message::text("hi")).body(), b"success");
    assert_eq!(app.calls(), 3);
    edge.assert_outcomes(&[("fallback_error", 2), ("replied", 1)]);
    edge.assert_count("wxedge_upstream_failures_total", &[("reason", "reset")], 2.0);
}

#[test]
fn two_dead_connections_in_a_row_are_a_failure_and_not_an_endless_try() {
    let app = App::start();
    app.script([Answer::text("one"), Answer::no_answer(), Answer::no_answer()]);
    let edge = edge().app(&app).start();
    assert!(matches!(edge.wechat().deliver(&Message::text("hi")).verdict, Verdict::Replied(_)));
    assert_eq!(edge.wechat().deliver(&Message::text("hi")).body(), b"success");
    assert_eq!(app.calls(), 3);
    edge.assert_outcomes(&[("fallback_error", 1), ("replied", 1)]);
}

#[test]
fn connections_over_the_bound_are_closed_at_once_and_taken_again_later() {
    let edge = edge().listen("max_connections = 4").start();
    let held: Vec<_> = (0..4).map(|_| Connection::to(edge.callback)).collect();
    edge.assert_count("wxedge_connections", &[("listener", "callback")], 4.0);
    let mut fifth = Connection::to(edge.callback);
    assert_eq!(fifth.closed(PATIENCE), Ok(Vec::new()));
    drop(held);
    edge.assert_count("wxedge_connections", &[("listener", "callback")], 0.0);
    assert!(matches!(edge.wechat().deliver(&Message::text("hi")).verdict, Verdict::Replied(_)));
}

#[test]
fn one_connection_serves_one_request_after_the_other() {
    let edge = edge().start();
    let wechat = edge.wechat();
    let mut connection = wechat.connect().unwrap();
    for _ in 0..20 {
        let sealed = wechat.seal(&Message::text("hi"));
        connection.send(wechat.request("POST", &sealed.query, &sealed.body)).unwrap();
        assert_eq!(connection.response(PATIENCE).unwrap().status, 200);
    }
    edge.assert_count("wxedge_connections", &[("listener", "callback")], 1.0);
    assert_eq!(connection.closed(Duration::from_millis(50)), Err(NoAnswer::Timeout));
    drop(connection);
    eventually(PATIENCE, "no connection", || {
        edge.count("wxedge_connections", &[("listener", "callback")]) == 0.0
    });
}

#[test]
fn a_call_that_waits_for_a_connection_is_a_success_at_the_deadline_and_reaches_the_app_later() {
    let gate = Gate::closed();
    let app = App::answering(Answer::taken().behind(&gate));
    let edge =
        edge().app(&app).upstream("max_connections = 1").upstream("deadline_ms = 500").start();
    for _ in 0..3 {
        assert_eq!(edge.wechat().deliver(&Message::text("hi")).body(), b"success");
    }
    edge.assert_outcomes(&[("fallback_deadline", 3)]);
    assert_eq!(app.calls(), 1, "two wait for their turn");
    gate.open();
    app.await_calls(3);
    edge.assert_count("wxedge_callbacks_in_flight", &[], 0.0);
    app.assert_answered(3);
    assert_eq!(app.connections(), 1);
}
