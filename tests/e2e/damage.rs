//! A store that the disk has damaged: the edge starts with what can be read, and says how much cannot.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use nix::sys::signal::Signal;
use wxedge_tests::PATIENCE;
use wxedge_tests::app::{Answer, App};
use wxedge_tests::message::{Message, openid};

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
