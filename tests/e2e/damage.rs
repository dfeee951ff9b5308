//! A store that the disk has damaged: the edge starts with what can be read, and says how much cannot.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;

use nix::sys::signal::Signal;
use serde_json::Value;
use wxedge_tests::app::{Answer, App};
use wxedge_tests::edge::Edge;
use wxedge_tests::message::{Message, openid};
use wxedge_tests::wechat::{Mode, Verdict};
use wxedge_tests::{PATIENCE, eventually};

use crate::spool::{acknowledged, await_entries, entries, quick, slow, texts};

const PAGE: usize = 8 * 1024;
const MESSAGES: usize = 40;

/// So long that a page holds a few.
fn text(number: usize) -> String {
    format!("message {number:02} {}", "x".repeat(1_000))
}

/// Damages a page of contents, and the end of the page of entries, where the oldest are.
fn damage(database: &Path, appid: &str) {
    let mut bytes = fs::read(database).unwrap();
    let count = |page: &[u8], text: &str| {
        page.windows(text.len()).filter(|window| *window == text.as_bytes()).count()
    };
    let content = bytes.chunks_mut(PAGE).find(|page| count(page, "message 25") > 0);
    content.expect("a page of contents").fill(0xff);
    let entries = bytes.chunks_mut(PAGE).find(|page| count(page, appid) >= MESSAGES);
    entries.expect("the page of entries")[PAGE - 200..].fill(0xff);
    fs::write(database, bytes).unwrap();
}

#[test]
fn what_the_damage_has_left_is_delivered_and_the_rest_is_told() {
    let app = App::answering(Answer::status(500));
    let mut old = slow(&app).start();
    for number in 0..MESSAGES {
        acknowledged(&old, &Message::text(&text(number)).from(&openid()));
    }
    let appid = old.status()["accounts"][0]["appid"].as_str().unwrap().to_owned();
    let folder = old.folder();
    // Then everything is in the database, and as long as the app is silent nothing of it in the log.
    app.answer(Answer::hang());
    old.signal(Signal::SIGTERM);
    old.await_exit(PATIENCE);
    let mut old = slow(&app).folder(&folder).start();
    await_entries(&old, MESSAGES, 0);
    assert!(old.status()["store"]["salvaged"].is_null());
    old.signal(Signal::SIGKILL);
    old.await_exit(PATIENCE);
    let store = folder.path().join("store");
    damage(&store.join("wxedge.db"), &appid);

    let before = app.requests().len();
    app.answer(Answer::taken());
    let edge = quick(&app).folder(&folder).start();
    let dead = entries(&edge, "state=dead");
    await_entries(&edge, 0, dead.len());
    assert!((3..=8).contains(&dead.len()), "those of one page: {}", dead.len());
    assert!(dead.iter().all(|entry| entry["reason"] == "damaged"), "{dead:?}");
    let delivered: HashSet<String> = texts(&app.requests()[before..]).into_iter().collect();
    let expected: HashSet<String> = (0..MESSAGES).map(text).collect();
    assert!(delivered.is_subset(&expected), "none is a wrong one");
    assert_eq!(delivered.len() + dead.len(), MESSAGES);
    assert!(delivered.contains(&text(0)), "its content says whose it is");

    let salvaged = edge.status()["store"]["salvaged"].clone();
    assert_eq!(salvaged["lost"].as_u64(), Some(dead.len() as u64), "{salvaged}");
    assert!(salvaged["saved"].as_u64().unwrap() >= delivered.len() as u64, "{salvaged}");
    let kept = Path::new(salvaged["folder"].as_str().unwrap());
    assert!(kept.starts_with(&store) && kept.join("wxedge.db").is_file(), "{salvaged}");
    edge.await_stderr(&format!("at least {} rows are lost", dead.len()));
}

/// Damages every page, of the database and of its log, that holds this text.
fn damage_pages_of(store: &Path, text: &str) {
    let mut hit = 0;
    for (name, first, frame) in [("wxedge.db", 0, 0), ("wxedge.db-wal", 32, 24)] {
        let path = store.join(name);
        let bytes = fs::read(&path).unwrap();
        let file = fs::File::options().write(true).open(&path).unwrap();
        for at in (first + frame..bytes.len()).step_by(PAGE + frame) {
            let page = &bytes[at..(at + PAGE).min(bytes.len())];
            if page.windows(text.len()).any(|window| window == text.as_bytes()) {
                file.write_all_at(&[0xff; 512], at as u64).unwrap();
                hit += 1;
            }
        }
    }
    assert!(hit > 0, "{text} is nowhere");
}

/// Has it delete these entries until it meets the damage. Some of their pages may be in its memory.
#[track_caller]
fn meet_damage(edge: &Edge, entries: &[Value]) {
    let ids = entries.iter().map(|entry| entry["id"].as_str().unwrap());
    let mut answers = ids.map(|id| edge.operate("DELETE", &format!("/v1/spool/{id}")));
    let refused = answers.find(|answer| answer.status != 204).expect("it meets the damage");
    assert_eq!(refused.status, 409, "{}", refused.text());
    assert!(refused.text().contains("restart wxedge"), "{}", refused.text());
    let unready = edge.admin("/readyz");
    assert_eq!(unready.status, 503, "{}", unready.text());
    let store = edge.status()["store"].clone();
    assert_eq!(store["writable"], false, "{store}");
    assert!(store["error"].as_str().unwrap().contains("damaged"), "{store}");
}

#[test]
fn damage_met_while_it_runs_ends_it_once_and_the_next_start_saves_the_rest() {
    const LARGE: usize = 40;
    let app = App::answering(Answer::status(500));
    // A call that goes on: it ends no sooner than after grace_s, and can be asked how it is.
    app.script([Answer::hang()]);
    let builder = slow(&app).runtime("grace_s = 3").mode(Mode::Plain);
    let mut edge = builder.start();
    acknowledged(&edge, &Message::text("hangs"));
    // More than it keeps of the database in memory.
    for number in 0..LARGE {
        let text = format!("message {number:02} {}", "x".repeat(150_000));
        acknowledged(&edge, &Message::text(&text).from(&openid()));
    }
    let folder = edge.folder();
    let store = folder.path().join("store");
    damage_pages_of(&store, "message 03 ");
    meet_damage(&edge, &entries(&edge, "limit=5")[4..]);
    edge.await_stderr("the store is damaged, and the next start saves what can be read");
    assert_eq!(edge.await_exit(PATIENCE).code(), Some(3));

    let edge = builder.folder(&folder).start();
    assert_eq!(edge.admin("/readyz").status, 200);
    assert!(edge.status()["store"]["salvaged"]["saved"].as_u64().unwrap() > 30);
    let left = entries(&edge, "state=pending&limit=100");
    assert!((30..=LARGE).contains(&left.len()), "{} are left", left.len());

    // A disk that goes on like this is not to have it start again and again.
    damage_pages_of(&store, "message ");
    meet_damage(&edge, &left);
    edge.await_stderr("damaged again, so soon after it was mended");
    assert_eq!(edge.wechat().deliver(&Message::text("hi")).status(), 503, "it is on no disk");
    app.answer(Answer::text("here"));
    eventually(PATIENCE, "what the app takes needs no disk", || {
        matches!(edge.wechat().deliver(&Message::text("hi")).verdict, Verdict::Replied(_))
    });
    assert_eq!(edge.admin("/healthz").status, 200);
}
