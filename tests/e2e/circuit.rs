//! The circuit breaker: an app that takes nothing is left alone but for a probe, and nobody waits for it.

use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use wxedge_tests::app::{Answer, App, Down};
use wxedge_tests::edge::{Account, Edge};
use wxedge_tests::message::{Message, openid};
use wxedge_tests::{PATIENCE, Ruler, eventually, thread};

use crate::events::Stream;
use crate::spool::{acknowledged, attempt, await_entries, slow, texts};

/// After so many failures in a row it opens.
const FAILURES: u64 = 10;

fn circuit(edge: &Edge) -> String {
    let states = ["closed", "open", "probing"];
    let metrics = edge.metrics();
    let is = |state: &&&str| {
        metrics.sum("wxedge_circuit_state", &[("account", "main"), ("state", state)]) == Some(1.0)
    };
    let now: Vec<_> = states.iter().filter(is).collect();
    assert_eq!(now.len(), 1, "it is in one state");
    (*now[0]).to_owned()
}

/// Messages of as many users, one after the other, until the circuit is open.
#[track_caller]
fn open(edge: &Edge) {
    for _ in 0..FAILURES {
        assert_eq!(circuit(edge), "closed");
        acknowledged(edge, &Message::text("opens it"));
    }
    assert_ne!(circuit(edge), "closed");
    edge.assert_outcomes(&[("fallback_error", FAILURES)]);
}

#[test]
fn it_opens_after_ten_failures_is_probed_once_a_second_and_a_success_drains_all_in_order() {
    let app = App::answering(Answer::status(500));
    let edge = slow(&app).start();
    let mut events = Stream::open(&edge);
    open(&edge);
    assert_eq!(events.await_event("circuit").data["state"], "open");
    let user = openid();
    let texts_of_user: Vec<_> = (0..20).map(|number| number.to_string()).collect();
    for text in &texts_of_user {
        acknowledged(&edge, &Message::text(text).from(&user));
    }
    edge.assert_outcomes(&[("fallback_circuit_open", 20), ("fallback_error", FAILURES)]);

    // Every second the oldest message is the probe, whatever its own turn would be.
    let calls = app.await_calls(FAILURES as usize + 3);
    let probes = &calls[FAILURES as usize..];
    for (number, probe) in probes.iter().enumerate() {
        assert_eq!(probe.header("ce-id"), calls[0].header("ce-id"));
        assert_eq!(attempt(probe), number as u32 + 2);
    }
    for pair in probes.windows(2) {
        let pause = pair[1].at - pair[0].at;
        assert!(pause >= Duration::from_millis(900), "{pause:?}");
    }
    for state in ["probing", "open", "probing", "open"] {
        assert_eq!(events.await_event("circuit").data["state"], state);
    }
    let shown = edge.status()["accounts"][0]["upstream"]["circuit"].clone();
    assert!(shown == "open" || shown == "probing", "{shown}");

    let before = app.calls();
    app.answer(Answer::taken());
    let back = Instant::now();
    await_entries(&edge, 0, 0);
    let drained = &app.requests()[before..];
    let first = drained[0].at.saturating_duration_since(back);
    assert!(first < Duration::from_secs(3), "{first:?} after it was back");
    let of_user: Vec<_> = texts(drained).into_iter().filter(|text| text != "opens it").collect();
    assert_eq!(of_user, texts_of_user);
    assert_eq!(circuit(&edge), "closed");
    assert_eq!(edge.status()["accounts"][0]["upstream"]["circuit"], "closed");
    eventually(PATIENCE, "it is said", || events.await_event("circuit").data["state"] == "closed");
    acknowledged(&edge, &Message::text("as usual"));
    assert_eq!(texts(&app.requests()).last().unwrap(), "as usual");
    edge.assert_count("wxedge_callbacks_total", &[("outcome", "acknowledged")], 1.0);
}

#[test]
fn while_it_is_open_wechat_does_not_wait_for_the_app() {
    let ruler = Ruler::start();
    let app = App::answering(Answer::hang());
    let edge = slow(&app).upstream("deadline_ms = 1500").start();
    let start = Arc::new(Barrier::new(FAILURES as usize));
    let slow: Vec<_> = (0..FAILURES)
        .map(|_| {
            let (wechat, start) = (edge.wechat(), start.clone());
            thread(move || {
                start.wait();
                wechat.deliver(&Message::text("hi"))
            })
        })
        .collect();
    for delivery in slow {
        assert_eq!(delivery.join().unwrap().body(), b"success");
    }
    edge.assert_outcomes(&[("fallback_deadline", FAILURES)]);
    assert_ne!(circuit(&edge), "closed");
    for _ in 0..10 {
        let delivery = edge.wechat().deliver(&Message::text("hi"));
        assert_eq!(delivery.body(), b"success");
        let late = 2 * ruler.worst();
        assert!(delivery.took < Duration::from_millis(1_000) + late, "{:?}", delivery.took);
    }
    edge.assert_outcomes(&[("fallback_circuit_open", 10), ("fallback_deadline", FAILURES)]);
}

#[test]
fn without_a_waiting_message_a_new_one_is_the_probe() {
    let app = App::answering(Answer::status(500));
    let edge = slow(&app).start();
    open(&edge);
    let ids: Vec<_> = edge.admin("/v1/spool?limit=1000").json()["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["id"].as_str().unwrap().to_owned())
        .collect();
    for id in ids {
        assert_eq!(edge.operate("DELETE", &format!("/v1/spool/{id}")).status, 204);
    }
    await_entries(&edge, 0, 0);
    app.answer(Answer::taken());
    let before = app.calls();
    eventually(PATIENCE, "a message closes it", || {
        acknowledged(&edge, &Message::text("probe"));
        circuit(&edge) == "closed"
    });
    await_entries(&edge, 0, 0);
    assert!(app.calls() > before);
}

#[test]
fn half_of_twenty_calls_open_it_and_what_the_app_turns_away_does_not() {
    let app = App::start();
    let edge = slow(&app).start();
    for status in [401, 403, 404, 400, 302, 410] {
        app.answer(Answer::status(status));
        for _ in 0..4 {
            acknowledged(&edge, &Message::text("hi"));
        }
    }
    assert_eq!((circuit(&edge).as_str(), app.calls()), ("closed", 24));
    app.choose(|request| match request.json()["Content"].as_str() {
        Some("bad") => Answer::status(429),
        _ => Answer::taken(),
    });
    for number in 1..=10 {
        acknowledged(&edge, &Message::text("good"));
        assert_eq!(circuit(&edge), "closed", "after {number} good and {} bad", number - 1);
        acknowledged(&edge, &Message::text("bad"));
    }
    assert_ne!(circuit(&edge), "closed", "10 of 20");
}

#[test]
fn a_probe_that_is_turned_away_is_followed_by_another_in_a_second() {
    let app = App::answering(Answer::status(500));
    let edge = slow(&app).start();
    open(&edge);
    app.answer(Answer::status(404));
    let before = app.calls();
    let probes = app.await_calls(before + 4).split_off(before + 1);
    for pair in probes.windows(2) {
        let pause = pair[1].at - pair[0].at;
        assert!(pause >= Duration::from_millis(900), "{pause:?}");
        assert!(pause < Duration::from_millis(1_800), "{pause:?}");
    }
}

#[test]
fn one_account_s_dead_app_does_not_slow_another_s_callbacks() {
    const STORM: usize = 64;
    let ruler = Ruler::start();
    let (hangs, works) = (App::answering(Answer::hang()), App::answering(Answer::text("hi")));
    let down = Down::start();
    let edge = slow(&hangs)
        .and(Account::named("works").url(&works.url()))
        .and(Account::named("down").url(&down.url()))
        .start();
    let storm: Vec<_> = (0..STORM)
        .map(|number| {
            let wechat = edge.wechat_of(if number % 2 == 0 { "main" } else { "down" });
            thread(move || (0..4).map(|_| wechat.deliver(&Message::text("hi")).status()).collect())
        })
        .collect();
    let mut slowest = Duration::ZERO;
    let mut answered = 0;
    while storm.iter().any(|one| !one.is_finished()) || answered < 20 {
        let delivery = edge.wechat_of("works").deliver(&Message::text("hi"));
        assert_eq!(delivery.reply().at("Content"), Some("hi"));
        slowest = slowest.max(delivery.took);
        answered += 1;
    }
    for one in storm {
        let statuses: Vec<u16> = one.join().unwrap();
        assert_eq!(statuses, [200; 4]);
    }
    let late = 2 * ruler.worst();
    assert!(slowest < Duration::from_millis(700) + late, "{slowest:?}, machine {late:?}");
    assert_eq!(works.calls(), answered);
    let closed = [("account", "works"), ("state", "closed")];
    assert_eq!(edge.count("wxedge_circuit_state", &closed), 1.0);
    for account in ["main", "down"] {
        let closed = [("account", account), ("state", "closed")];
        assert_eq!(edge.count("wxedge_circuit_state", &closed), 0.0, "{account}");
    }
}
