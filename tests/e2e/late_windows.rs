//! The window of a late reply: how long after a message WeChat takes customer-service messages to its user.

use nix::sys::signal::Signal;
use serde_json::json;
use wxedge_tests::app::Answer;
use wxedge_tests::message::{Message, now_s};

use crate::late_replies::{Late, SEND};

#[test]
fn a_window_opens_with_the_arrival_whatever_the_message_says() {
    let late = Late::start();
    let hour_ago = (now_s() - 3_600).to_string();
    let days_ago = (now_s() - 300_000).to_string();
    let click = Message::event("CLICK").text_field("EventKey", "k");
    for (number, message) in (1..).zip([
        Message::text("hi").raw_field("CreateTime", &days_ago),
        click.raw_field("CreateTime", &hour_ago),
        Message::event("subscribe").raw_field("CreateTime", &hour_ago),
        Message::event("SCAN").raw_field("CreateTime", &hour_ago),
    ]) {
        late.answer_late(&message, Answer::text("hi"));
        let got = late.await_messages(number);
        assert_eq!(got[number - 1].touser, message.openid());
    }
    late.assert_late(&[("sent", 4)]);
}

#[test]
fn where_no_window_opens_nothing_is_sent() {
    let late = Late::start();
    for (number, event) in (1..).zip(["VIEW", "LOCATION"]) {
        let message = Message::event(event);
        late.answer_late(&message, Answer::text("hi"));
        let dead = late.await_dead(message.openid());
        assert_eq!((&dead["reason"], &dead["kind"]), (&json!("window"), &json!("reply")), "{dead}");
        late.assert_late(&[("window", number)]);
    }
    assert_eq!(late.api.count(SEND), 0);
}

#[test]
fn a_window_that_has_closed_meanwhile_is_not_tried() {
    let mut late = Late::start();
    late.app.answer(Answer::status(503).header("retry-after", "600"));
    let click = Message::event("CLICK").text_field("EventKey", "k");
    let (old, young) = (Message::text("1"), Message::text("2"));
    for message in [&click, &old, &young] {
        assert_eq!(late.edge.wechat().deliver(message).body(), b"success");
    }
    late.await_disk("SELECT count(*) FROM failure", 3);
    let folder = late.end(Signal::SIGTERM);
    // In place of the time that would have to pass.
    let store = rusqlite::Connection::open(folder.path().join("store/wxedge.db")).unwrap();
    for (number, age_s) in [(0, 61), (1, 48 * 3_600 + 1), (2, 3_600)] {
        let sql = "UPDATE entry SET received = received - ?2, due = 0
            WHERE id = (SELECT id FROM entry ORDER BY id LIMIT 1 OFFSET ?1)";
        assert_eq!(store.execute(sql, (number, age_s)).unwrap(), 1);
    }
    drop(store);
    late.app.answer(Answer::text("sorry for the wait"));
    late.begin_again();
    for message in [&click, &old] {
        assert_eq!(late.await_dead(message.openid())["reason"], "window");
    }
    assert_eq!(late.await_messages(1)[0].touser, young.openid());
    late.assert_late(&[("sent", 1), ("window", 2)]);
    assert_eq!(late.api.count(SEND), 1);
}
