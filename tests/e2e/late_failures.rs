//! Late replies that WeChat does not take: sent later where it is certain that they have not arrived, a dead letter
//! where they never would, or where nobody knows. None is sent twice by itself.

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::time::Duration;
use wxedge_tests::app::{Answer, Gate};
use wxedge_tests::message::{Message, now_s};
use wxedge_tests::wechat_api::{Fault, MAIN};
use wxedge_tests::{PATIENCE, eventually, eventually_some};

use crate::api::{Wechat, admin_post, settle};
use crate::late_replies::{Late, SEND};

/// An operator sends a dead letter again.
#[track_caller]
fn replay(late: &Late, dead: &Value) {
    let target = format!("/v1/spool/{}/replay", dead["id"].as_str().unwrap());
    let replayed = admin_post(&late.edge, &target, b"");
    assert_eq!((replayed.status, replayed.json()), (202, json!({"replayed": 1})));
}

#[track_caller]
fn assert_reason(entry: &Value, reason: &str) {
    assert_eq!((&entry["reason"], &entry["kind"]), (&json!(reason), &json!("reply")), "{entry}");
}

#[test]
fn what_wechat_refuses_is_a_dead_letter_in_its_words() {
    let late = Late::start();
    let refusals = [
        (45015, "window", "errcode 45015, response out of time limit"),
        (45047, "count", "errcode 45047, out of response count limit"),
        (48001, "unauthorized", "errcode 48001, api unauthorized"),
    ];
    for (number, (errcode, reason, words)) in (1..).zip(refusals) {
        late.api.fault_next(SEND, 1, Fault::Errcode(errcode));
        let user = late.say_late("hi");
        let dead = late.await_dead(&user);
        assert_reason(&dead, reason);
        assert!(dead["detail"].as_str().unwrap().starts_with(words), "{dead}");
        late.assert_late(&[("refused", number)]);
        let entry = late.edge.admin(&format!("/v1/spool/{}", dead["id"].as_str().unwrap())).json();
        let message = json!({"touser": user, "msgtype": "text", "text": {"content": "hi"}});
        assert_eq!(entry["body"]["messages"], json!([message]));
    }
    assert_eq!((late.api.count(SEND), late.api.custom_messages().len()), (3, 0));
    late.edge.assert_count("wxedge_spool_entries", &[("state", "dead")], 3.0);
}

#[test]
fn of_a_long_text_only_what_was_refused_is_sent_again() {
    let late = Late::start();
    let message = Message::text("hi");
    let user = message.openid();
    late.api.open_window(user, 1, Duration::from_secs(60));
    let text = format!("{}{}", "a".repeat(2_048), "b".repeat(10));
    late.answer_late(&message, Answer::text(&text));
    let dead = late.await_dead(user);
    assert_reason(&dead, "count");
    late.await_messages(1);
    late.api.open_window(user, 5, Duration::from_secs(60));
    replay(&late, &dead);
    assert_eq!(late.await_messages(2)[1].json()["text"]["content"], "b".repeat(10));
    late.assert_late(&[("refused", 1), ("sent", 1)]);
    late.assert_nothing_is_left();
}

#[test]
fn a_busy_wechat_is_asked_again() {
    let late = Late::start();
    late.api.fault_next(SEND, 2, Fault::Errcode(-1));
    let user = late.say_late("hi");
    assert_eq!(late.await_messages(1)[0].touser, user);
    late.assert_late(&[("retried", 2), ("sent", 1)]);
    late.assert_nothing_is_left();
    assert_eq!(late.api.count(SEND), 3);
}

#[test]
fn too_many_in_a_minute_wait_for_the_next() {
    let late = Late::start();
    late.api.fault_next(SEND, 1, Fault::Errcode(45011));
    let user = late.say_late("hi");
    late.assert_late(&[("retried", 1)]);
    let waits = |entry: &Value| entry["state"] == "pending" && entry["reason"] == "rate";
    let entry = eventually_some(PATIENCE, "it waits", || late.entries().into_iter().find(waits));
    assert_eq!((&entry["subject"], &entry["attempts"]), (&json!(user), &json!(1)));
    let wait_s = entry["next_attempt"].as_i64().unwrap() - now_s();
    assert!((40..=61).contains(&wait_s), "{entry}");
}

#[test]
fn a_rejected_token_is_replaced_at_once() {
    let late = Late::start();
    settle(&late.edge, &late.api);
    late.api.kill_token(MAIN);
    let user = late.say_late("hi");
    assert_eq!(late.await_messages(1)[0].touser, user);
    late.assert_late(&[("sent", 1)]);
    assert_eq!(late.api.count(SEND), 2);
}

/// Waits until replies have been tried in vain.
#[track_caller]
fn await_retries(late: &Late, number: u64) {
    let retried = [("result", "retried")];
    eventually(PATIENCE, "it is tried", || {
        late.edge.count("wxedge_late_replies_total", &retried) >= number as f64
    });
}

#[test]
fn without_a_token_it_is_tried_until_there_is_one() {
    let api = Wechat::start();
    api.refuse_tokens(-1);
    let late = Late::before(api, |builder| builder);
    let user = late.say_late("hi");
    await_retries(&late, 2);
    assert_reason(&late.entries()[0], "no_token");
    late.api.heal_all();
    assert_eq!(late.await_messages(1)[0].touser, user);
    late.assert_nothing_is_left();
    assert_eq!(late.api.count(SEND), 1);
}

#[test]
fn without_a_connection_it_is_tried_until_there_is_one() {
    let late = Late::start();
    settle(&late.edge, &late.api);
    late.api.stop_listening();
    let user = late.say_late("hi");
    await_retries(&late, 2);
    assert_reason(&late.entries()[0], "connect");
    late.api.listen_again();
    assert_eq!(late.await_messages(1)[0].touser, user);
    late.assert_nothing_is_left();
    assert_eq!(late.api.count(SEND), 1);
}

#[test]
fn what_may_have_arrived_is_sent_again_by_an_operator_only() {
    let mut late = Late::start();
    let mut dead = Vec::new();
    // The first takes as long as the edge waits for an answer, meanwhile the others do not wait for it.
    for (fault, words) in
        [(Fault::Silence, "answer"), (Fault::CloseUnanswered, ""), (Fault::ServerError, "HTTP 500")]
    {
        late.api.fault_next(SEND, 1, fault);
        let calls = late.api.count(SEND);
        dead.push((late.say_late("hi"), words));
        eventually(PATIENCE, "a call", || late.api.count(SEND) == calls + 1);
    }
    let dead: Vec<_> = dead
        .iter()
        .map(|(user, words)| {
            let dead = late.await_dead(user);
            assert_reason(&dead, "maybe_sent");
            assert!(dead["detail"].as_str().unwrap().contains(words), "{dead}");
            dead
        })
        .collect();
    late.assert_late(&[("maybe_sent", 3)]);
    assert_eq!((late.api.count(SEND), late.api.custom_messages().len()), (3, 2));

    late.end(Signal::SIGTERM);
    late.begin_again();
    late.say_late("something else");
    late.await_messages(3);
    late.edge.assert_count("wxedge_spool_entries", &[("state", "dead")], 3.0);
    assert_eq!(late.api.count(SEND), 4, "nor does a restart send it");
    for (number, dead) in (4..).zip(&dead) {
        replay(&late, dead);
        assert_eq!(late.await_messages(number).last().unwrap().touser, dead["subject"]);
    }
    late.assert_nothing_is_left();
}

#[test]
fn a_process_that_is_killed_while_wechat_thinks_leaves_a_question() {
    let mut late = Late::start();
    let gate = Gate::closed();
    late.api.fault_next(SEND, 1, Fault::Behind(gate.clone()));
    let user = late.say_late("hi");
    late.await_messages(1);
    late.end(Signal::SIGKILL);
    gate.open();
    late.begin_again();
    let dead = late.await_dead(&user);
    assert_reason(&dead, "maybe_sent");
    let bytes = dead["bytes"].as_f64().unwrap();
    late.edge.assert_count("wxedge_spool_bytes", &[], bytes);
    late.say_late("next");
    late.await_messages(2);
    late.assert_late(&[("sent", 1)]);
    assert_eq!(late.api.count(SEND), 2);
}

#[test]
fn a_process_that_is_killed_before_it_is_sent_leaves_it_to_the_next() {
    let mut late = Late::start();
    settle(&late.edge, &late.api);
    late.api.stop_listening();
    let user = late.say_late("hi");
    await_retries(&late, 1);
    late.end(Signal::SIGKILL);
    late.api.listen_again();
    late.begin_again();
    // It was waiting, or about to be sent: then nobody knows.
    let is_dead = |late: &Late| late.entries().iter().any(|entry| entry["state"] == "dead");
    eventually(PATIENCE, "it is sent or a dead letter", || {
        late.api.custom_messages().len() == 1 || is_dead(&late)
    });
    if is_dead(&late) {
        let dead = late.await_dead(&user);
        assert_reason(&dead, "maybe_sent");
        replay(&late, &dead);
    }
    assert_eq!(late.await_messages(1)[0].touser, user);
    late.assert_nothing_is_left();
}

#[test]
fn a_process_that_is_told_to_end_sees_its_replies_through() {
    let app_says = [
        ("in time, without a passive form", None),
        ("late", Some(Answer::text("hi"))),
        ("redelivered", Some(Answer::status(500))),
    ];
    for (what, first) in app_says {
        let mut late = Late::start();
        late.api.fault_next(SEND, 1, Fault::Slow(Duration::from_secs(1)));
        late.app.answer(Answer::json(&json!({"msgtype": "wxcard", "wxcard": {}})));
        let message = Message::text("hi");
        match first {
            None => {
                let delivery = late.edge.wechat().deliver(&message);
                assert_eq!(delivery.body(), b"success");
            }
            Some(first) => late.answer_late(&message, first),
        }
        late.await_messages(1);
        late.end(Signal::SIGTERM);
        assert!(late.edge.stderr().contains("drained"), "{what}");
        late.await_disk("SELECT count(*) FROM entry", 0);
    }
}
