//! What is in the spool outlives the process, and nobody reads it who has not the key.

use std::path::Path;
use std::sync::Arc;

use nix::sys::signal::Signal;
use wxedge_tests::app::{Answer, App, Gate};
use wxedge_tests::edge::{Builder, Edge};
use wxedge_tests::folder::Folder;
use wxedge_tests::message::{Message, now_s, openid};
use wxedge_tests::{PATIENCE, eventually, thread};

use crate::spool::{acknowledged, attempt, await_entries, entries, quick, slow, texts};

/// Ends it, and starts another in its folder.
#[track_caller]
fn restart(mut old: Edge, signal: Signal, builder: &Builder) -> Edge {
    end(&mut old, signal);
    builder.clone().folder(&old.folder()).start()
}

#[track_caller]
fn end(edge: &mut Edge, signal: Signal) {
    edge.signal(signal);
    edge.await_exit(PATIENCE);
}

#[test]
fn attempts_count_on_and_the_order_stays() {
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        let app = App::answering(Answer::status(503).header("retry-after", "2"));
        app.script([Answer::status(500)]);
        let old = quick(&app).start();
        let user = openid();
        acknowledged(&old, &Message::text("1").from(&user));
        acknowledged(&old, &Message::text("2").from(&user));
        acknowledged(&old, &Message::text("3").from(&user));
        eventually(PATIENCE, "the second call is written down", || {
            entries(&old, "")[0]["attempts"] == 2
        });
        let before = app.requests();
        assert_eq!(texts(&before), ["1", "1"]);
        let folder = old.folder();
        app.answer(Answer::taken());
        let new = restart(old, signal, &quick(&app));
        await_entries(&new, 0, 0);
        let after = app.requests().split_off(2);
        assert_eq!(texts(&after), ["1", "2", "3"], "{signal}");
        assert_eq!(after.iter().map(attempt).collect::<Vec<_>>(), [3, 1, 1]);
        assert_eq!(after[0].header("ce-id"), before[0].header("ce-id"));
        assert_eq!(after[0].body, before[0].body);
        drop((new, folder));
    }
}

/// The pauses were made for an app that was down, and whether it was nobody knows any more.
#[test]
fn the_first_success_after_a_restart_ends_the_pauses() {
    let app = App::answering(Answer::status(500));
    let builder = slow(&app);
    let mut edge = builder.start();
    for _ in 0..3 {
        acknowledged(&edge, &Message::text("waits"));
    }
    edge = restart(edge, Signal::SIGKILL, &builder);
    eventually(PATIENCE, "each has a pause that is written down", || {
        entries(&edge, "").iter().all(|entry| entry["attempts"] == 2)
    });
    edge = restart(edge, Signal::SIGKILL, &builder);
    let before = app.calls();
    app.answer(Answer::taken());
    acknowledged(&edge, &Message::text("of somebody else"));
    await_entries(&edge, 0, 0);
    assert_eq!(app.calls(), before + 4);
}

#[test]
fn a_call_that_went_on_when_the_process_was_killed_is_made_again() {
    let app = App::start();
    app.script([Answer::hang()]);
    let old = quick(&app).start();
    acknowledged(&old, &Message::text("hi"));
    let new = restart(old, Signal::SIGKILL, &quick(&app));
    await_entries(&new, 0, 0);
    let calls = app.requests();
    assert_eq!(calls.iter().map(attempt).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(calls[0].header("ce-id"), calls[1].header("ce-id"));
}

#[test]
fn sigterm_spools_what_the_app_does_not_answer_in_time() {
    let app = App::start();
    app.script([Answer::hang()]);
    let mut old = slow(&app).upstream("deadline_ms = 4300").runtime("grace_s = 2").start();
    let waiting = {
        let wechat = old.wechat();
        thread(move || wechat.deliver(&Message::text("hi")))
    };
    app.await_calls(1);
    end(&mut old, Signal::SIGTERM);
    assert_eq!(waiting.join().unwrap().body(), b"success");
    let new = slow(&app).folder(&old.folder()).start();
    await_entries(&new, 0, 0);
    assert_eq!(app.requests().iter().map(attempt).collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn dead_letters_and_counts_outlive_it_too() {
    let gate = Gate::closed();
    let app = App::answering(Answer::status(400));
    let old = slow(&app).start();
    acknowledged(&old, &Message::text("dead"));
    app.answer(Answer::status(500));
    acknowledged(&old, &Message::text("pending"));
    let (bytes, before) = (old.count("wxedge_spool_bytes", &[]), entries(&old, ""));
    app.answer(Answer::taken().behind(&gate));
    let new = restart(old, Signal::SIGKILL, &slow(&app));
    await_entries(&new, 1, 1);
    assert_eq!(new.count("wxedge_spool_bytes", &[]), bytes);
    let after = entries(&new, "");
    for (before, after) in before.iter().zip(&after) {
        for field in ["id", "ce_id", "subject", "received", "reason", "state", "bytes"] {
            assert_eq!(before[field], after[field], "{field}");
        }
    }
    assert_eq!((before.len(), after.len()), (2, 2));
    gate.open();
    await_entries(&new, 0, 1);
}

/// Whether any file of the store has these bytes in it.
fn on_disk(store: &Path, words: &str) -> bool {
    let files = std::fs::read_dir(store).unwrap();
    files
        .map(|file| std::fs::read(file.unwrap().path()).unwrap())
        .any(|bytes| bytes.windows(words.len()).any(|window| window == words.as_bytes()))
}

const WORDS: &str = "CanaryWordsOfAMessage";
const LAST_WORDS: &str = "CanaryLastWordsOfTheApp";

/// An edge with a pending and a dead message.
fn with_both(builder: &Builder, app: &App) -> (Edge, Message) {
    let edge = builder.start();
    let message = Message::text(WORDS);
    app.answer(Answer::new(500, "text/plain", LAST_WORDS));
    acknowledged(&edge, &message);
    app.answer(Answer::new(400, "text/plain", LAST_WORDS));
    acknowledged(&edge, &Message::text(WORDS));
    await_entries(&edge, 1, 1);
    (edge, message)
}

#[test]
fn with_a_key_nothing_on_disk_can_be_read_and_without_one_it_can() {
    let app = App::start();
    let keys = Arc::new(Folder::new());
    let key = keys.write("key", [7; 32]);
    let other = keys.write("other", [8; 32]);
    let with = |key: &Path| slow(&app).env("WXEDGE__STORE__KEY_FILE", &key.display().to_string());

    let (open, message) = with_both(&slow(&app), &app);
    for words in [WORDS, LAST_WORDS, message.openid()] {
        assert!(on_disk(&open.folder().path().join("store"), words), "the control: {words}");
    }
    let (mut sealed, message) = with_both(&with(&key), &app);
    let store = sealed.folder().path().join("store");
    for words in [WORDS, LAST_WORDS, message.openid()] {
        assert!(!on_disk(&store, words), "{words}");
    }
    let whole = entries(&sealed, "state=dead").remove(0);
    assert_eq!(whole["reason"], "status", "operators read it");

    // Without the key, or with another one, this is no start: nothing is lost and nothing goes out.
    app.answer(Answer::taken());
    let calls = app.calls();
    end(&mut sealed, Signal::SIGTERM);
    for builder in [slow(&app), with(&other)] {
        let (code, said) = builder.folder(&sealed.folder()).fail();
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("store.key_file: the content is encrypted"), "{said}");
        assert!(!on_disk(&store, message.openid()));
    }
    assert_eq!(app.calls(), calls);
    let sealed = with(&key).folder(&sealed.folder()).start();
    let replayed = sealed.operate("POST", "/v1/spool/replay?state=dead");
    assert_eq!(replayed.status, 202, "{}", replayed.text());
    await_entries(&sealed, 0, 0);
    assert_eq!(texts(&app.requests()[calls..]), [WORDS, WORDS]);
}

#[test]
fn a_replayed_dead_letter_has_its_new_time_also_after_a_restart() {
    let app = App::answering(Answer::status(500));
    app.script([Answer::status(400)]);
    let builder = quick(&app).spool("give_up_after_s = 4");
    let old = builder.start();
    acknowledged(&old, &Message::text("hi"));
    await_entries(&old, 0, 1);
    let dead = entries(&old, "state=dead").remove(0);
    eventually(PATIENCE, "it is older than give_up_after_s", || {
        now_s() > dead["received"].as_i64().unwrap() + 4
    });
    let replay = format!("/v1/spool/{}/replay", dead["id"].as_str().unwrap());
    assert_eq!(old.operate("POST", &replay).status, 202);
    let new = restart(old, Signal::SIGKILL, &builder);
    let before = app.calls();
    eventually(PATIENCE, "it is tried again and again", || app.calls() >= before + 2);
    await_entries(&new, 1, 0);
    await_entries(&new, 0, 1);
    assert_eq!(entries(&new, "state=dead")[0]["reason"], "status", "and then given up");
}
