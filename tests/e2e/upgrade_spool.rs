//! What waits in the spool when a new process takes over.

use wxedge_tests::PATIENCE;
use wxedge_tests::app::{Answer, App, Gate};
use wxedge_tests::edge::Edge;
use wxedge_tests::message::{Message, openid};

use crate::spool::{acknowledged, attempt, await_entries, entries, quick, slow, texts};

#[track_caller]
fn await_end(mut old: Edge) {
    assert_eq!(old.await_exit(PATIENCE).code(), Some(0));
}

#[test]
fn what_the_old_process_spooled_the_new_one_delivers_in_order() {
    let app = App::answering(Answer::status(500));
    let user = openid();
    let old = slow(&app).start();
    for text in ["1", "2", "3"] {
        acknowledged(&old, &Message::text(text).from(&user));
    }
    let new = slow(&app).after(&old).start();
    acknowledged(&new, &Message::text("4").from(&user));
    await_end(old);
    acknowledged(&new, &Message::text("5").from(&user));
    app.answer(Answer::taken());
    await_entries(&new, 0, 0);
    let mut got = texts(&app.requests());
    got.dedup();
    assert_eq!(got, ["1", "2", "3", "4", "5"]);
    let first: Vec<_> =
        app.requests().into_iter().filter(|call| call.json()["Content"] == "1").collect();
    assert!(first.iter().all(|call| call.header("ce-id") == first[0].header("ce-id")));
    assert_eq!(attempt(&first[1]), 2);
}

#[test]
fn a_call_that_goes_on_in_the_old_process_keeps_its_place() {
    let gate = Gate::closed();
    let app = App::start();
    app.script([Answer::taken().behind(&gate)]);
    let user = openid();
    let old = quick(&app).runtime("grace_s = 60").start();
    acknowledged(&old, &Message::text("1").from(&user));
    let new = quick(&app).runtime("grace_s = 60").after(&old).start();
    old.await_stderr("a new process takes over");
    acknowledged(&new, &Message::text("2").from(&user));
    new.assert_outcomes(&[("fallback_order", 1)]);
    assert_eq!(texts(&app.requests()), ["1"]);
    gate.open();
    await_end(old);
    await_entries(&new, 0, 0);
    assert_eq!(texts(&app.requests()), ["1", "2"]);
    acknowledged(&new, &Message::text("3").from(&user));
    new.assert_outcomes(&[("acknowledged", 1), ("fallback_order", 1)]);
}

#[test]
fn what_the_new_process_writes_meanwhile_it_counts_once() {
    let gate = Gate::closed();
    let app = App::start();
    app.script([Answer::taken().behind(&gate)]);
    let old = slow(&app).upstream("deadline_ms = 4300").runtime("grace_s = 60").start();
    let wechat = old.wechat();
    let sealed = wechat.seal(&Message::text("keeps the old one alive"));
    let mut waiting = wechat.begin("POST", &sealed.query, &sealed.body).unwrap();
    app.await_calls(1);
    app.answer(Answer::status(400));
    let new = slow(&app).after(&old).start();
    old.await_stderr("a new process takes over");
    acknowledged(&new, &Message::text("dead"));
    app.answer(Answer::status(500));
    acknowledged(&new, &Message::text("pending"));
    new.assert_outcomes(&[("fallback_error", 2)]);
    let bytes = new.count("wxedge_spool_bytes", &[]);
    gate.open();
    assert_eq!(waiting.response(PATIENCE).unwrap().status, 200);
    await_end(old);
    new.await_stderr("the store is this one's alone");
    await_entries(&new, 1, 1);
    assert_eq!(new.count("wxedge_spool_bytes", &[]), bytes);
    for entry in entries(&new, "") {
        let id = entry["id"].as_str().unwrap();
        assert_eq!(new.operate("DELETE", &format!("/v1/spool/{id}")).status, 204);
    }
    await_entries(&new, 0, 0);
    assert_eq!(new.count("wxedge_spool_bytes", &[]), 0.0);
}
