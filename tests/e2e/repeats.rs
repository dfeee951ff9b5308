//! The app sees a message once, however often WeChat sends it, and every delivery gets the same answer.

use wxedge_tests::app::{Answer, App, Gate};
use wxedge_tests::edge::{Account, Edge};
use wxedge_tests::message::{Message, openid};
use wxedge_tests::wechat::{Delivery, Mode, Verdict};
use wxedge_tests::{canary, thread};

use crate::edge;

/// An edge in front of an app that answers behind a gate.
fn gated(mode: Mode) -> (App, Edge, Gate) {
    let gate = Gate::closed();
    let app = App::answering(Answer::text("the answer").behind(&gate));
    let edge = edge().mode(mode).app(&app).start();
    (app, edge, gate)
}

fn in_background(edge: &Edge, message: &Message) -> std::thread::JoinHandle<Delivery> {
    let (wechat, message) = (edge.wechat(), message.clone());
    thread(move || wechat.deliver(&message))
}

#[test]
fn three_deliveries_at_once_are_one_call_and_get_one_answer() {
    for mode in Mode::ALL {
        let (app, edge, gate) = gated(mode);
        let message = Message::text("hi");
        let deliveries: Vec<_> = (0..3).map(|_| in_background(&edge, &message)).collect();
        edge.assert_count("wxedge_callbacks_in_flight", &[], 3.0);
        gate.open();
        let bodies: Vec<_> = deliveries
            .into_iter()
            .map(|delivery| {
                let delivery = delivery.join().unwrap();
                assert_eq!(delivery.reply().at("Content"), Some("the answer"));
                delivery.reply().text.clone()
            })
            .collect();
        assert!(bodies.iter().all(|body| *body == bodies[0]));
        assert_eq!(app.calls(), 1);
        edge.assert_outcomes(&[("joined", 2), ("replied", 1)]);
        edge.assert_count("wxedge_dedupe_entries", &[], 1.0);
    }
}

#[test]
fn a_repeat_after_the_answer_gets_it_again() {
    for mode in Mode::ALL {
        let app = App::start();
        let edge = edge().mode(mode).app(&app).spool("retry_min_ms = 60000").start();
        for answer in [
            Answer::text("once"),
            Answer::taken(),
            Answer::status(500),
            Answer::new(200, "a/b", "?"),
        ] {
            app.answer(answer);
            let message = Message::text("hi");
            let first = edge.wechat().deliver(&message);
            app.answer(Answer::text("twice"));
            let second = edge.wechat().deliver(&message);
            assert_eq!(first.body(), second.body());
            assert_eq!(first.verdict, second.verdict);
        }
        assert_eq!(app.calls(), 4);
        edge.assert_outcomes(&[
            ("acknowledged", 2),
            ("fallback_error", 1),
            ("joined", 4),
            ("replied", 1),
        ]);
    }
}

#[test]
fn when_the_client_leaves_early_the_repeat_gets_the_app_s_answer() {
    for before_the_answer in [true, false] {
        let (app, edge, gate) = gated(Mode::Safe);
        let wechat = edge.wechat();
        let message = Message::text("hi");
        let sealed = wechat.seal(&message);
        let client = wechat.begin("POST", &sealed.query, &sealed.body).unwrap();
        app.await_calls(1);
        drop(client);
        edge.assert_outcomes(&[("client_gone", 1)]);
        let repeat = if before_the_answer {
            let repeat = in_background(&edge, &message);
            edge.assert_count("wxedge_callbacks_in_flight", &[], 1.0);
            gate.open();
            repeat.join().unwrap()
        } else {
            gate.open();
            edge.assert_count("wxedge_upstream_duration_seconds_count", &[], 1.0);
            wechat.deliver(&message)
        };
        assert_eq!(repeat.reply().at("Content"), Some("the answer"));
        assert_eq!(app.calls(), 1);
        edge.assert_outcomes(&[("client_gone", 1), ("joined", 1)]);
    }
}

#[test]
fn when_the_client_leaves_early_and_the_app_fails_the_message_is_in_the_spool() {
    let gate = Gate::closed();
    let app = App::start();
    app.script([Answer::status(500).behind(&gate)]);
    let edge = edge().app(&app).spool("retry_min_ms = 100").start();
    let wechat = edge.wechat();
    let message = Message::text("hi");
    let sealed = wechat.seal(&message);
    let client = wechat.begin("POST", &sealed.query, &sealed.body).unwrap();
    app.await_calls(1);
    drop(client);
    edge.assert_outcomes(&[("client_gone", 1)]);
    gate.open();
    assert_eq!(wechat.deliver(&message).body(), b"success");
    edge.assert_outcomes(&[("client_gone", 1), ("joined", 1)]);
    edge.assert_count("wxedge_redeliveries_total", &[("result", "taken")], 1.0);
    assert_eq!(wechat.deliver(&message).body(), b"success");
    assert_eq!(app.calls(), 2, "the repeats asked nobody");
}

#[test]
fn a_client_that_resets_its_connection_is_gone_too() {
    let (app, edge, gate) = gated(Mode::Plain);
    let wechat = edge.wechat();
    let sealed = wechat.seal(&Message::text("hi"));
    let client = wechat.begin("POST", &sealed.query, &sealed.body).unwrap();
    app.await_calls(1);
    client.reset();
    edge.assert_outcomes(&[("client_gone", 1)]);
    gate.open();
}

#[test]
fn a_repeat_after_the_deadline_gets_what_the_first_delivery_got() {
    let app = App::answering(Answer::hang());
    let edge = edge().app(&app).upstream("deadline_ms = 500").start();
    let message = Message::text("hi");
    for _ in 0..2 {
        assert_eq!(edge.wechat().deliver(&message).body(), b"success");
    }
    assert_eq!(app.calls(), 1);
    edge.assert_outcomes(&[("fallback_deadline", 1), ("joined", 1)]);
}

#[test]
fn events_of_one_second_that_differ_anywhere_are_two() {
    let app = App::start();
    let edge = edge().app(&app).start();
    let user = openid();
    let click = Message::event("CLICK").from(&user).text_field("EventKey", "a");
    let card = Message::event("user_get_card").from(&user).text_field("UserCardCode", "1");
    let events = [
        click.clone(),
        click.clone().text_field("EventKey", "b"),
        click.clone().text_field("Event", "VIEW"),
        click.clone().from(&openid()),
        click.clone().raw_field("CreateTime", "1700000000"),
        card.clone(),
        card.clone().text_field("UserCardCode", "2"),
        card.clone().raw_field("List", "<A>1</A>"),
    ];
    for event in &events {
        assert_eq!(edge.wechat().deliver(event).verdict, Verdict::Acknowledged);
        assert_eq!(edge.wechat().deliver(event).verdict, Verdict::Acknowledged);
    }
    assert_eq!(app.calls(), events.len());
    edge.assert_outcomes(&[("acknowledged", 8), ("joined", 8)]);
}

#[test]
fn messages_are_told_apart_by_sender_id_and_account_and_by_nothing_else() {
    let app = App::start();
    let other = Account::named("other").url(&app.url());
    let edge = edge().app(&app).and(other).start();
    let message = Message::text("hi").raw_field("MsgId", "42");
    let deliver = |message: &Message| edge.wechat().deliver(message).verdict;
    assert_eq!(deliver(&message), Verdict::Acknowledged);
    assert_eq!(deliver(&message.clone().text_field("Content", "changed")), Verdict::Acknowledged);
    assert_eq!(app.calls(), 1);
    assert_eq!(deliver(&message.clone().from(&openid())), Verdict::Acknowledged);
    assert_eq!(deliver(&message.clone().raw_field("MsgId", "43")), Verdict::Acknowledged);
    assert_eq!(edge.wechat_of("other").deliver(&message).verdict, Verdict::Acknowledged);
    assert_eq!(app.calls(), 4);
}

#[test]
fn what_was_refused_is_not_remembered() {
    let app = App::start();
    let small = "max_bytes = 1048576";
    let edge = edge().app(&app).line("max_body_bytes = 4194304").spool(small).start();
    let message = Message::text("hi");
    let wechat = edge.wechat();
    assert_eq!(wechat.clone().token(canary::TOKEN_WRONG).deliver(&message).status(), 403);
    assert_eq!(wechat.clone().aes_key(canary::AES_KEY_WRONG).deliver(&message).status(), 403);
    let stale = wechat.seal_at(&message, 1_700_000_000);
    assert_eq!(wechat.send(&stale).unwrap().status, 403);
    assert_eq!(wechat.deliver(&message).verdict, Verdict::Acknowledged);
    assert_eq!(app.calls(), 1);

    let huge = Message::text(&"x".repeat(1_100_000));
    app.script([Answer::status(500)]);
    assert_eq!(wechat.deliver(&huge).status(), 503, "the spool has no room for it");
    assert_eq!(wechat.deliver(&huge).verdict, Verdict::Acknowledged);
    assert_eq!(app.calls(), 3);
    edge.assert_outcomes(&[
        ("acknowledged", 2),
        ("rejected_decrypt", 1),
        ("rejected_replay", 1),
        ("rejected_signature", 1),
        ("unavailable", 1),
    ]);
}

#[test]
fn a_repeat_whose_own_deadline_comes_falls_back_and_says_so() {
    let app = App::start();
    let gate = Gate::closed();
    app.script([Answer::text("too late").behind(&gate)]);
    let edge = edge().app(&app).upstream("deadline_ms = 1000").start();
    let wechat = edge.wechat();
    let message = Message::text("hi");
    let sealed = wechat.seal(&message);
    let client = wechat.begin("POST", &sealed.query, &sealed.body).unwrap();
    app.await_calls(1);
    drop(client);
    edge.assert_outcomes(&[("client_gone", 1)]);
    assert_eq!(wechat.deliver(&message).body(), b"success");
    edge.assert_outcomes(&[("client_gone", 1), ("fallback_deadline", 1)]);
    gate.open();
    edge.assert_count("wxedge_upstream_duration_seconds_count", &[], 1.0);
    // It was acknowledged, so the app's late answer is nobody's, and the message stays remembered.
    assert_eq!(wechat.deliver(&message).body(), b"success");
    assert_eq!(app.calls(), 1);
    edge.assert_outcomes(&[("client_gone", 1), ("fallback_deadline", 1), ("joined", 1)]);
}

#[test]
fn a_repeat_that_waits_for_a_call_that_fails_is_acknowledged_and_the_spool_asks_again() {
    let app = App::start();
    let gate = Gate::closed();
    app.script([Answer::status(500).behind(&gate)]);
    let edge = edge().app(&app).spool("retry_min_ms = 100").start();
    let wechat = edge.wechat();
    let message = Message::text("hi");
    let sealed = wechat.seal(&message);
    let client = wechat.begin("POST", &sealed.query, &sealed.body).unwrap();
    app.await_calls(1);
    drop(client);
    edge.assert_outcomes(&[("client_gone", 1)]);
    let repeat = in_background(&edge, &message);
    edge.assert_count("wxedge_callbacks_in_flight", &[], 1.0);
    gate.open();
    assert_eq!(repeat.join().unwrap().body(), b"success");
    edge.assert_outcomes(&[("client_gone", 1), ("joined", 1)]);
    let calls = app.await_calls(2);
    assert_eq!(calls[0].header("ce-id"), calls[1].header("ce-id"));
    assert_eq!(calls[1].header("x-wxedge-attempt"), Some("2"));
    edge.assert_count("wxedge_redeliveries_total", &[("result", "taken")], 1.0);
    assert_eq!(app.calls(), 2);
}
