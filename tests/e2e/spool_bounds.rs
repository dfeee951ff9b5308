//! What the spool does when there is too much: it says so, and one account's storm is not the others'.

use std::sync::{Arc, Barrier};

use serde_json::json;
use wxedge_tests::app::{Answer, App, Gate};
use wxedge_tests::edge::Account;
use wxedge_tests::message::{Message, openid};
use wxedge_tests::thread;
use wxedge_tests::wechat::Mode;

use crate::api::{Wechat, before};
use crate::spool::{acknowledged, await_entries, quick};

const MIB: f64 = 1_048_576.0;

#[test]
fn when_it_is_full_wechat_keeps_the_message_and_other_accounts_have_room() {
    let app = App::answering(Answer::status(500));
    let other = Account::named("other").mode(Mode::Plain).url(&app.url());
    let edge = quick(&app).mode(Mode::Plain).and(other).spool("max_bytes = 1048576").start();
    let large = "x".repeat(40_000);
    let mut stored = 0;
    let refused = loop {
        let message = Message::text(&large);
        let delivery = edge.wechat().deliver(&message);
        if delivery.status() == 503 {
            assert!(delivery.verdict.is_sent_again());
            break message;
        }
        assert_eq!(delivery.body(), b"success");
        stored += 1;
        assert!(stored < 30, "it fills up");
    };
    edge.assert_count("wxedge_callbacks_total", &[("outcome", "unavailable")], 1.0);
    let log = edge.await_log(stored + 1);
    assert!(log.iter().any(|line| line["reason"] == "spool_full"), "{log:?}");
    edge.await_stderr("main: the spool is full");
    // Half is for all, and each account has its part of the other half.
    let bytes = edge.count("wxedge_spool_bytes", &[]);
    assert!((0.7 * MIB..=0.75 * MIB).contains(&bytes), "{bytes}");
    assert_eq!(edge.status()["store"]["bytes_max"], 1_048_576);
    for _ in 0..4 {
        let delivery = edge.wechat_of("other").deliver(&Message::text(&large));
        assert_eq!(delivery.body(), b"success", "there is room for the other account");
    }
    assert_eq!(edge.wechat().deliver(&refused).status(), 503, "it was not remembered");

    app.answer(Answer::taken());
    await_entries(&edge, 0, 0);
    edge.assert_count("wxedge_spool_bytes", &[], 0.0);
    acknowledged(&edge, &refused);
    edge.assert_count("wxedge_callbacks_total", &[("outcome", "acknowledged")], 1.0);
    let taken = edge.count("wxedge_redeliveries_total", &[("result", "taken")]);
    assert_eq!(taken, (stored + 4) as f64, "everything that was acknowledged, and nothing else");
}

#[test]
fn what_waits_is_on_disk_and_not_in_memory() {
    const MESSAGES: usize = 500;
    const BYTES: usize = 200_000;
    let gate = Gate::closed();
    let app = App::start();
    app.script([Answer::taken().behind(&gate)]);
    let edge = quick(&app).mode(Mode::Plain).start();
    let user = openid();
    acknowledged(&edge, &Message::text("first").from(&user));
    let before = edge.resident_bytes();
    let large = "x".repeat(BYTES);
    for _ in 0..MESSAGES {
        acknowledged(&edge, &Message::text(&large).from(&user));
    }
    edge.assert_outcomes(&[("fallback_deadline", 1), ("fallback_order", MESSAGES as u64)]);
    assert!(edge.count("wxedge_spool_bytes", &[]) >= (MESSAGES * BYTES) as f64);
    let grown = edge.resident_bytes().saturating_sub(before);
    assert!(grown < (MESSAGES * BYTES / 2) as u64, "{grown} bytes for {MESSAGES} messages");
    gate.open();
    await_entries(&edge, 0, 0);
    let grown = edge.resident_bytes().saturating_sub(before);
    assert!(grown < (MESSAGES * BYTES / 2) as u64, "{grown} bytes to deliver them");
    assert_eq!(app.calls(), MESSAGES + 1);
}

#[test]
fn a_storm_beyond_max_in_flight_is_acknowledged_and_delivered_whole() {
    const STORM: usize = 100;
    let gate = Gate::closed();
    let app = App::answering(Answer::taken().behind(&gate));
    let edge = quick(&app).line("max_in_flight = 4").start();
    let start = Arc::new(Barrier::new(STORM));
    let senders: Vec<_> = (0..STORM)
        .map(|_| {
            let (wechat, start) = (edge.wechat(), start.clone());
            thread(move || {
                start.wait();
                wechat.deliver(&Message::text("hi"))
            })
        })
        .collect();
    for sender in senders {
        assert_eq!(sender.join().unwrap().body(), b"success");
    }
    assert!(edge.count("wxedge_callbacks_total", &[("outcome", "fallback_overload")]) > 0.0);
    gate.open();
    await_entries(&edge, 0, 0);
    let mut ids: Vec<_> =
        app.requests().iter().map(|call| call.header("ce-id").unwrap().to_owned()).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), STORM);
}

#[test]
fn a_late_reply_that_finds_no_room_is_counted_as_lost() {
    let (api, app) = (Wechat::start(), App::answering(Answer::status(500)));
    let edge = before(&api).app(&app).mode(Mode::Plain);
    let edge = edge.spool("retry_min_ms = 60000").spool("max_bytes = 1048576").start();
    for _ in 0..3 {
        acknowledged(&edge, &Message::text(&"x".repeat(340_000)));
    }
    // A kind without a passive form: WeChat hears `success`, and the reply follows.
    let menu = json!({"msgtype": "msgmenu", "msgmenu": {"head_content": "x".repeat(40_000)}});
    app.answer(Answer::json(&menu));
    acknowledged(&edge, &Message::text("hi"));
    edge.assert_count("wxedge_late_replies_total", &[("result", "lost")], 1.0);
    edge.await_stderr("a late reply is lost: the spool is full");
    let line = edge.log_of("late_reply").remove(0);
    assert_eq!(json!([line["result"], line["reason"]]), json!(["lost", "spool_full"]));
    await_entries(&edge, 3, 0);
    assert_eq!(api.custom_messages().len(), 0);
}
