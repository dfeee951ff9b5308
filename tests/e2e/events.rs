//! The event stream: what the sidecar hears.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;
use wxedge_tests::app::{Answer, App};
use wxedge_tests::canary;
use wxedge_tests::edge::Edge;
use wxedge_tests::http::{Connection, NoAnswer};
use wxedge_tests::message::Message;
use wxedge_tests::{PATIENCE, eventually_some};

use crate::edge;

/// One event.
#[derive(Debug)]
pub(crate) struct Event {
    id: u64,
    name: String,
    pub(crate) data: Value,
}

/// A reader of `/v1/events`.
pub(crate) struct Stream {
    connection: Connection,
    unread: String,
}

impl Stream {
    pub(crate) fn open(edge: &Edge) -> Stream {
        let mut connection = Connection::to(edge.admin);
        let key = format!("Bearer {}", canary::ADMIN_KEY);
        connection.request("GET", "/v1/events", &[("authorization", &key)], b"").unwrap();
        let head = connection.response_head(PATIENCE).unwrap();
        assert_eq!((head.status, head.header("content-type")), (200, Some("text/event-stream")));
        Stream { connection, unread: String::new() }
    }

    /// The next event before `until`.
    fn next(&mut self, until: Instant) -> Result<Event, NoAnswer> {
        loop {
            if let Some((block, rest)) = self.unread.split_once("\n\n") {
                let event = parse(block);
                self.unread = rest.to_owned();
                match event {
                    Some(event) => return Ok(event),
                    None => continue,
                }
            }
            let chunk = self.connection.chunk(until)?;
            if chunk.is_empty() {
                return Err(NoAnswer::Closed(Vec::new()));
            }
            self.unread.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// The next event of this name.
    #[track_caller]
    pub(crate) fn await_event(&mut self, name: &str) -> Event {
        let until = Instant::now() + PATIENCE;
        loop {
            let event = self.next(until).unwrap_or_else(|why| panic!("no {name}: {why:?}"));
            if event.name == name {
                return event;
            }
        }
    }
}

/// An event, or nothing for a comment.
fn parse(block: &str) -> Option<Event> {
    let field =
        |name: &str| block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    let data = field("data")?;
    canary::search(data).unwrap();
    Some(Event {
        id: field("id").unwrap().parse().unwrap(),
        name: field("event").unwrap().to_owned(),
        data: serde_json::from_str(data).unwrap(),
    })
}

#[test]
fn it_says_hello_first() {
    let edge = edge().start();
    let mut stream = Stream::open(&edge);
    let hello = stream.next(Instant::now() + PATIENCE).unwrap();
    assert_eq!(hello.name, "hello");
    assert_eq!(hello.data["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(hello.data["account"], Value::Null);
    assert!(hello.data["t"].is_number());
}

#[test]
fn summaries_add_up_to_what_happened_account_by_account() {
    let app = App::answering(Answer::text("hi"));
    let edge = edge().app(&app).start();
    let mut stream = Stream::open(&edge);
    for _ in 0..5 {
        assert_eq!(edge.wechat().deliver(&Message::text("hi")).status(), 200);
    }
    app.answer(Answer::taken());
    assert_eq!(edge.wechat().deliver(&Message::event("subscribe")).status(), 200);
    let (mut replied, mut acknowledged, mut texts) = (0, 0, 0);
    while replied + acknowledged < 6 {
        let summary = stream.await_event("summary").data;
        assert_eq!(summary["account"], "main");
        assert!(summary["slowest_ms"].as_f64().unwrap() > 0.0);
        replied += summary["outcomes"]["replied"].as_u64().unwrap_or(0);
        acknowledged += summary["outcomes"]["acknowledged"].as_u64().unwrap_or(0);
        texts += summary["kinds"]["text"].as_u64().unwrap_or(0);
    }
    assert_eq!((replied, acknowledged, texts), (5, 1, 5));
}

#[test]
fn a_failure_says_what_the_app_answered_and_not_more_than_200_characters() {
    let app = App::answering(Answer::new(500, "text/plain", "错".repeat(300)));
    let edge = edge().app(&app).start();
    let mut stream = Stream::open(&edge);
    assert_eq!(edge.wechat().deliver(&Message::text("hi")).status(), 200);
    let failure = stream.await_event("failure").data;
    for (field, value) in [
        ("account", "main"),
        ("outcome", "fallback_error"),
        ("reason", "status"),
        ("kind", "text"),
        ("peer", "127.0.0.1"),
    ] {
        assert_eq!(failure[field], value);
    }
    assert_eq!(failure["response"], "错".repeat(200));
    assert_eq!(failure["response_length"], 900);
    assert!(failure["duration_ms"].is_u64());

    app.answer(Answer::new(200, "text/html", "<h1>no reply</h1>"));
    assert_eq!(edge.wechat().deliver(&Message::text("hi")).status(), 200);
    let invalid = stream.await_event("failure").data;
    assert_eq!(invalid["outcome"], "acknowledged");
    assert_eq!(invalid["response"], "<h1>no reply</h1>");
    let _refused = edge.wechat().token(canary::TOKEN_WRONG).deliver(&Message::text("hi"));
    assert_eq!(stream.await_event("failure").data["outcome"], "rejected_signature");
}

#[test]
fn failures_are_ten_a_second_at_most_and_summaries_still_tell_them_all() {
    const FAILED: u64 = 60;
    // An app that turns everything away is there: the circuit stays closed.
    let app = App::answering(Answer::status(404));
    let edge = edge().app(&app).start();
    let mut stream = Stream::open(&edge);
    let begun = Instant::now();
    for _ in 0..FAILED {
        assert_eq!(edge.wechat().deliver(&Message::text("hi")).status(), 200);
    }
    let seconds = begun.elapsed().as_secs() + 2;
    let (mut told, mut counted, mut reasons) = (0, 0, 0);
    while counted < FAILED {
        let event = stream.next(Instant::now() + PATIENCE).unwrap();
        match event.name.as_str() {
            "failure" => told += 1,
            "summary" => {
                counted += event.data["outcomes"]["fallback_error"].as_u64().unwrap();
                reasons += event.data["failures"]["status"].as_u64().unwrap();
            }
            _ => {}
        }
    }
    assert_eq!((counted, reasons), (FAILED, FAILED));
    assert!((10..=10 * seconds).contains(&told), "{told} in {seconds} s");
}

#[test]
fn ids_count_up_and_two_readers_hear_the_same() {
    let edge = edge().start();
    let mut readers = [Stream::open(&edge), Stream::open(&edge)];
    for reader in &mut readers {
        assert_eq!(reader.next(Instant::now() + PATIENCE).unwrap().name, "hello");
    }
    let _refused = edge.wechat().token(canary::TOKEN_WRONG).deliver(&Message::text("hi"));
    let [one, two] = readers.each_mut().map(|reader| {
        let failure = reader.await_event("failure");
        assert!(reader.await_event("summary").id > failure.id);
        failure
    });
    assert_eq!((one.id, one.data), (two.id, two.data));
}

#[test]
fn reloads_are_told() {
    let edge = edge().start();
    let mut stream = Stream::open(&edge);
    assert_eq!(stream.await_event("hello").id, 1);
    edge.signal(Signal::SIGHUP);
    let taken = stream.await_event("reload").data;
    assert_eq!((taken["result"].as_str(), &taken["error"]), (Some("ok"), &Value::Null));
    edge.rewrite_text("[listen]\nnonsense = 1\n");
    edge.signal(Signal::SIGHUP);
    let refused = stream.await_event("reload").data;
    assert_ne!(refused["result"], "ok");
    assert!(refused["error"].as_str().unwrap().contains("nonsense"), "{refused}");
}

#[test]
fn a_reader_that_leaves_is_forgotten() {
    let edge = edge().start();
    let stream = Stream::open(&edge);
    edge.assert_count("wxedge_connections", &[("listener", "admin")], 2.0);
    drop(stream);
    eventually_some(Duration::from_secs(30), "the reader is forgotten", || {
        let _refused = edge.wechat().token(canary::TOKEN_WRONG).deliver(&Message::text("hi"));
        (edge.count("wxedge_connections", &[("listener", "admin")]) == 1.0).then_some(())
    });
}
