//! Hostile documents from somebody who has the Token, and even the key: refused, at once, and the app never knows.

use std::time::{Duration, Instant};

use serde_json::Value;
use wxedge_tests::app::{Answer, App};
use wxedge_tests::canary;
use wxedge_tests::message::now_s;
use wxedge_tests::wechat::Mode;

use crate::edge;
use crate::tally::Tally;

struct Document {
    name: String,
    body: Vec<u8>,
    status: u16,
}

/// The table that the protocol crate is tested with, too.
fn documents() -> Vec<Document> {
    let table: Vec<Value> = serde_json::from_str(include_str!("../data/hostile_xml.json")).unwrap();
    let document = |row: Value| Document {
        name: row["name"].as_str().unwrap().to_owned(),
        body: match row["body"].as_str() {
            Some(text) => text.as_bytes().to_vec(),
            None => unhex(row["body_hex"].as_str().unwrap()),
        },
        status: row["status"].as_u64().unwrap() as u16,
    };
    table.into_iter().map(document).collect()
}

fn unhex(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    digits.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

/// Sends each of them where a message should be, rightly signed and, in safe mode, rightly encrypted.
fn send_all(mode: Mode) {
    let app = App::answering(Answer::taken());
    let edge = edge().mode(mode).app(&app).start();
    let wechat = edge.wechat();
    let documents = documents();
    assert!(documents.len() >= 20);
    let mut expected = Tally::default();
    let mut taken = 0;
    for Document { name, body, status } in &documents {
        let begun = Instant::now();
        let answer = wechat.send(&wechat.seal_bytes(body, canary::OPENID, now_s())).unwrap();
        let took = begun.elapsed();
        assert_eq!(answer.status, *status, "{name}");
        assert!(took < Duration::from_secs(1), "{name}: {took:?}");
        if *status == 200 {
            taken += 1;
        } else {
            expected.add("rejected_malformed");
            assert!(answer.body.is_empty(), "{name}: the sender learns nothing");
        }
        assert!(app.calls() <= taken, "{name} reached the app");
    }
    // A callback is counted after its answer went out.
    let counted = || Tally::of(&edge).total() == documents.len() as u64;
    wxedge_tests::eventually(Duration::from_secs(5), "all are counted", counted);
    // The odd ones that are taken are one and the same message, some of them.
    let now = Tally::of(&edge);
    assert_eq!(now.get("rejected_malformed"), expected.get("rejected_malformed"));
    assert_eq!(now.get("acknowledged") + now.get("joined"), taken as u64);
    assert_eq!(now.get("acknowledged"), app.calls() as u64);
    assert!(app.calls() > 0);
}

#[test]
fn in_plain_mode_under_a_valid_signature() {
    send_all(Mode::Plain);
}

#[test]
fn in_safe_mode_inside_a_valid_envelope() {
    send_all(Mode::Safe);
}

#[test]
fn in_safe_mode_as_the_envelope_itself() {
    // Nobody has signed these: what is no document is 400, what is one has no `Encrypt` that was signed.
    let edge = edge().start();
    let wechat = edge.wechat();
    let sealed = wechat.seal_bytes(b"<xml></xml>", canary::OPENID, now_s());
    for Document { name, body, status } in documents() {
        let answer = wechat.exchange("POST", &sealed.query, &body).unwrap();
        let expected = if status == 200 { 403 } else { status };
        assert_eq!((answer.status, answer.body), (expected, Vec::new()), "{name}");
    }
}
