//! A user's messages reach the app in the order in which they came, whatever the app does meanwhile.

use wxedge_tests::app::{Answer, App, Gate, Request};
use wxedge_tests::edge::{Account, Edge};
use wxedge_tests::message::{Message, openid};
use wxedge_tests::{PATIENCE, eventually};

use crate::spool::{acknowledged, attempt, await_entries, entries, quick, slow, texts};

/// The texts that the app got of one user, in order.
fn texts_of(requests: &[Request], user: &str) -> Vec<String> {
    let own = |request: &&Request| request.header("ce-subject") == Some(user);
    texts(&requests.iter().filter(own).cloned().collect::<Vec<_>>())
}

#[track_caller]
fn send(edge: &Edge, user: &str, text: &str) {
    acknowledged(edge, &Message::text(text).from(user));
}

#[test]
fn behind_a_pending_message_its_user_s_others_wait_and_nobody_else_s() {
    let app = App::start();
    let edge = quick(&app).and(Account::named("other").url(&app.url())).start();
    let (user, another) = (openid(), openid());
    app.script([Answer::status(503).header("retry-after", "1")]);
    send(&edge, &user, "1");
    for text in ["2", "3", "4"] {
        send(&edge, &user, text);
    }
    edge.assert_outcomes(&[("fallback_error", 1), ("fallback_order", 3)]);
    send(&edge, &another, "mine");
    // The same person, to another account.
    let elsewhere = Message::text("elsewhere").from(&user);
    assert_eq!(edge.wechat_of("other").deliver(&elsewhere).body(), b"success");
    edge.assert_outcomes(&[("acknowledged", 2), ("fallback_error", 1), ("fallback_order", 3)]);
    assert_eq!(texts(&app.requests()), ["1", "mine", "elsewhere"]);

    await_entries(&edge, 0, 0);
    let got = texts_of(&app.requests(), &user);
    assert_eq!(got, ["1", "elsewhere", "1", "2", "3", "4"]);
    let attempts: Vec<_> = app.requests().iter().skip(3).map(attempt).collect();
    assert_eq!(attempts, [2, 1, 1, 1]);
    let late = app.requests()[4].header("x-wxedge-deadline-ms").unwrap().parse::<u64>().unwrap();
    assert!((59_000..=60_000).contains(&late), "{late}");
    send(&edge, &user, "5");
    assert_eq!(texts(&app.requests()).last().unwrap(), "5", "the way is free again");
    edge.assert_outcomes(&[("acknowledged", 3), ("fallback_error", 1), ("fallback_order", 3)]);
}

#[test]
fn events_keep_their_place_among_messages() {
    let app = App::start();
    let edge = quick(&app).start();
    let user = openid();
    app.script([Answer::status(503).header("retry-after", "1")]);
    send(&edge, &user, "1");
    let event = Message::event("CLICK").from(&user).text_field("EventKey", "k");
    let payment =
        Message::event("xpay_goods_deliver_notify").text_field("OpenId", &user).from(&user);
    acknowledged(&edge, &event);
    assert_eq!(edge.wechat().deliver(&payment).body(), br#"{"ErrCode":0,"ErrMsg":"success"}"#);
    send(&edge, &user, "2");
    await_entries(&edge, 0, 0);
    let types: Vec<_> =
        app.requests().iter().map(|call| call.header("ce-type").unwrap().to_owned()).collect();
    assert_eq!(
        types,
        [
            "com.weixin.message.text",
            "com.weixin.message.text",
            "com.weixin.event.click",
            "com.weixin.event.xpay_goods_deliver_notify",
            "com.weixin.message.text",
        ]
    );
}

#[test]
fn behind_a_call_that_goes_on_its_user_s_messages_wait() {
    let gate = Gate::closed();
    let app = App::start();
    let user = openid();
    app.script([Answer::taken().behind(&gate)]);
    let edge = quick(&app).start();
    send(&edge, &user, "1");
    send(&edge, &user, "2");
    send(&edge, &openid(), "other");
    edge.assert_outcomes(&[("acknowledged", 1), ("fallback_deadline", 1), ("fallback_order", 1)]);
    assert_eq!(texts_of(&app.requests(), &user), ["1"]);
    gate.open();
    await_entries(&edge, 0, 0);
    assert_eq!(texts_of(&app.requests(), &user), ["1", "2"]);
}

#[test]
fn a_message_that_only_fails_itself_lets_its_user_go_after_8_failures() {
    let app = App::start();
    app.choose(|request| match request.json()["Content"].as_str() {
        Some("poison") => Answer::status(500),
        _ => Answer::taken(),
    });
    let edge = quick(&app).start();
    let user = openid();
    send(&edge, &user, "poison");
    send(&edge, &user, "after");
    eventually(PATIENCE, "its user is let go", || {
        // Others succeed between its failures, or they would be the app's.
        for _ in 0..3 {
            send(&edge, &openid(), "fine");
        }
        texts_of(&app.requests(), &user).last().is_some_and(|last| last == "after")
    });
    let got = texts_of(&app.requests(), &user);
    let poisoned = got.iter().filter(|text| *text == "poison").count();
    assert!(poisoned > 8, "{got:?}");
    assert_eq!(edge.status()["accounts"][0]["upstream"]["circuit"], "closed");
    await_entries(&edge, 1, 0);
    send(&edge, &user, "free");
    assert!(texts_of(&app.requests(), &user).contains(&"free".to_owned()));
    edge.assert_count("wxedge_callbacks_total", &[("outcome", "fallback_order")], 1.0);
    // It is tried on by itself, and taken in the end.
    app.answer(Answer::taken());
    await_entries(&edge, 0, 0);
    assert_eq!(texts_of(&app.requests(), &user).last().unwrap(), "poison");
}

#[test]
fn dead_letters_that_are_replayed_keep_their_order() {
    let app = App::answering(Answer::status(400));
    let edge = slow(&app).start();
    let user = openid();
    for text in ["1", "2", "3", "4", "5"] {
        send(&edge, &user, text);
    }
    await_entries(&edge, 0, 5);
    app.answer(Answer::taken());
    let answer = edge.operate("POST", "/v1/spool/replay?state=dead&account=main");
    assert_eq!((answer.status, answer.text()), (202, r#"{"replayed":5}"#));
    await_entries(&edge, 0, 0);
    assert_eq!(texts(&app.requests()[5..]), ["1", "2", "3", "4", "5"]);
    assert_eq!(attempt(&app.requests()[5]), 2);
}

#[test]
fn of_a_user_with_many_waiting_messages_the_app_gets_every_one_in_order() {
    const WAITING: usize = 200;
    let gate = Gate::closed();
    let app = App::start();
    app.script([Answer::status(500).behind(&gate)]);
    let edge = quick(&app).start();
    let user = openid();
    for number in 0..WAITING {
        send(&edge, &user, &number.to_string());
    }
    assert_eq!(entries(&edge, "limit=1000").len(), WAITING);
    gate.open();
    await_entries(&edge, 0, 0);
    let expected = std::iter::once(0).chain(0..WAITING).map(|number| number.to_string());
    assert_eq!(texts_of(&app.requests(), &user), expected.collect::<Vec<_>>());
    assert_eq!(edge.count("wxedge_spool_entries", &[]), 0.0);
}
