//! §9 of the contract: what operators see of the spool and can do to it.

use serde_json::{Value, json};
use wxedge_tests::app::{Answer, App, Gate};
use wxedge_tests::canary;
use wxedge_tests::edge::{Account, Edge};
use wxedge_tests::message::{Message, now_s, openid};

use crate::events::Stream;
use crate::spool::{acknowledged, await_entries, entries, quick, slow, texts};

/// An edge with two accounts: main has two dead letters and then three pending messages, other one of each.
fn stocked() -> (App, Edge) {
    let app = App::start();
    let edge = slow(&app).and(Account::named("other").url(&app.url())).start();
    let both = |status: u16, main: usize| {
        app.answer(Answer::new(status, "text/plain", "the last words"));
        for number in 0..main {
            acknowledged(&edge, &Message::text(&format!("{status} {number}")));
        }
        let delivery = edge.wechat_of("other").deliver(&Message::text(&format!("{status} other")));
        assert_eq!(delivery.body(), b"success");
    };
    both(400, 2);
    both(500, 3);
    await_entries(&edge, 3, 2);
    (app, edge)
}

fn id(entry: &Value) -> &str {
    entry["id"].as_str().unwrap()
}

#[test]
fn the_list_is_filtered_and_comes_in_pages() {
    let (_app, edge) = stocked();
    let all = entries(&edge, "");
    assert_eq!(all.len(), 7);
    let ids: Vec<u64> = all.iter().map(|entry| id(entry).parse().unwrap()).collect();
    assert!(ids.is_sorted(), "the oldest first: {ids:?}");
    for (query, number) in [
        ("state=pending", 4),
        ("state=dead", 3),
        ("account=main", 5),
        ("account=other&state=dead", 1),
        ("account=main&state=pending", 3),
        ("state=&account=&after=&limit=", 7),
    ] {
        assert_eq!(entries(&edge, query).len(), number, "{query}");
    }
    let mut paged = Vec::new();
    let mut after = String::new();
    loop {
        let page = edge.admin(&format!("/v1/spool?limit=3{after}")).json();
        let page_ids = page["entries"].as_array().unwrap().iter().map(|entry| id(entry).to_owned());
        paged.extend(page_ids);
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
        assert!(paged.len() <= 7);
    }
    assert_eq!(paged, all.iter().map(id).collect::<Vec<_>>());
}

#[test]
fn an_entry_tells_all_that_an_operator_needs() {
    let (_app, edge) = stocked();
    let dead = entries(&edge, "state=dead&account=main").remove(0);
    let whole = edge.admin(&format!("/v1/spool/{}", id(&dead))).json();
    for field in dead.as_object().unwrap().keys() {
        assert_eq!(whole[field], dead[field], "{field}");
    }
    let mut keys: Vec<_> = dead.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    assert_eq!(
        keys,
        [
            "account",
            "attempts",
            "bytes",
            "ce_id",
            "ce_type",
            "detail",
            "id",
            "kind",
            "next_attempt",
            "reason",
            "received",
            "state",
            "subject",
        ]
    );
    for (field, value) in [
        ("account", json!("main")),
        ("kind", json!("callback")),
        ("state", json!("dead")),
        ("ce_type", json!("com.weixin.message.text")),
        ("attempts", json!(1)),
        ("next_attempt", Value::Null),
        ("reason", json!("status")),
    ] {
        assert_eq!(whole[field], value, "{field}");
    }
    assert!(whole["subject"].as_str().unwrap().starts_with(canary::OPENID));
    assert!((whole["received"].as_i64().unwrap() - now_s()).abs() < 60);
    assert!(whole["detail"].as_str().unwrap().contains("400"));
    assert!(whole["bytes"].as_u64().unwrap() > 0);
    assert_eq!(whole["last_answer"], json!({"status": 400, "body": "the last words"}));
    assert_eq!(whole["body"]["Content"], "400 0");
    assert_eq!(whole["body"]["FromUserName"], whole["subject"]);
    assert!(whole["body"]["CreateTime"].is_i64());

    let pending = entries(&edge, "state=pending").remove(0);
    let next = pending["next_attempt"].as_i64().unwrap() - now_s();
    assert!((20..=60).contains(&next), "{next} s");
    for secret in [canary::APP_KEY, canary::SECRET, canary::TOKEN, canary::AES_KEY] {
        assert!(!edge.admin("/v1/spool").text().contains(secret));
        assert!(!edge.admin(&format!("/v1/spool/{}", id(&pending))).text().contains(secret));
    }
}

#[test]
fn what_is_in_hand_has_no_next_attempt() {
    let gate = Gate::closed();
    let app = App::start();
    app.script([Answer::status(500), Answer::taken().behind(&gate), Answer::taken().behind(&gate)]);
    let edge = quick(&app).start();
    // One waits for a redelivery, the other for its first call.
    acknowledged(&edge, &Message::text("failed"));
    app.await_calls(2);
    acknowledged(&edge, &Message::text("slow"));
    app.await_calls(3);
    let [failed, slow] = entries(&edge, "").try_into().unwrap();
    for (entry, attempts) in [(&failed, 1), (&slow, 1)] {
        assert_eq!((&entry["state"], &entry["attempts"]), (&json!("pending"), &json!(attempts)));
        assert_eq!(entry["next_attempt"], Value::Null, "{entry}");
    }
    gate.open();
    await_entries(&edge, 0, 0);
}

#[test]
fn every_change_of_an_entry_is_told_and_nothing_secret_with_it() {
    let app = App::start();
    app.script([Answer::status(500).then_close(), Answer::reset(), Answer::status(400)]);
    let edge = quick(&app).start();
    let mut events = Stream::open(&edge);
    let message = Message::text("hi");
    acknowledged(&edge, &message);
    await_entries(&edge, 0, 1);
    let entry = entries(&edge, "").remove(0);
    assert_eq!(edge.operate("POST", &format!("/v1/spool/{}/replay", id(&entry))).status, 202);
    await_entries(&edge, 0, 0);
    app.answer(Answer::status(400));
    acknowledged(&edge, &Message::text("again").from(message.openid()));
    let target = format!("/v1/spool?account=main&subject={}", message.openid());
    assert_eq!(edge.operate("DELETE", &target).json(), json!({"erased": 1}));
    for (action, reason) in [
        ("spooled", ""),
        ("retry", "reset"),
        ("dead", "status"),
        ("replayed", ""),
        ("delivered", ""),
        ("dead", "status"),
        ("erased", ""),
    ] {
        // The stream searches what it reads for secrets, openids included.
        let told = events.await_event("spool").data;
        assert_eq!((&told["action"], &told["reason"]), (&json!(action), &json!(reason)), "{told}");
        assert!(told["id"].is_string() && told["account"] == "main", "{told}");
    }
}

#[test]
fn replay_delete_and_erase_do_what_they_say_and_tell_it() {
    let (app, edge) = stocked();
    let mut events = Stream::open(&edge);
    app.answer(Answer::taken());
    let [first, second] = entries(&edge, "state=dead&account=main").try_into().unwrap();

    let answer = edge.operate("POST", &format!("/v1/spool/{}/replay", id(&first)));
    assert_eq!((answer.status, answer.text()), (202, r#"{"replayed":1}"#));
    for action in ["replayed", "delivered"] {
        let told = events.await_event("spool").data;
        assert_eq!((&told["action"], &told["id"]), (&json!(action), &first["id"]));
        assert_eq!((&told["account"], told["reason"].is_string()), (&json!("main"), true));
    }
    await_entries(&edge, 3, 1);
    assert_eq!(texts(&app.requests()).last().unwrap(), "400 0");

    let target = format!("/v1/spool/{}", id(&second));
    let deleted = edge.operate("DELETE", &target);
    assert_eq!((deleted.status, deleted.text()), (204, ""));
    let told = events.await_event("spool").data;
    assert_eq!((&told["action"], &told["id"]), (&json!("deleted"), &second["id"]));
    assert_eq!(edge.admin(&target).status, 404);

    let answer = edge.operate("POST", "/v1/spool/replay?state=dead");
    assert_eq!((answer.status, answer.text()), (202, r#"{"replayed":1}"#), "the other account's");
    let answer = edge.operate("POST", "/v1/spool/replay?state=dead&account=other");
    assert_eq!((answer.status, answer.text()), (202, r#"{"replayed":0}"#));

    let waiting = entries(&edge, "account=main").remove(1);
    let whose = waiting["subject"].as_str().unwrap();
    let erased = edge.operate("DELETE", &format!("/v1/spool?account=main&subject={whose}"));
    assert_eq!((erased.status, erased.text()), (200, r#"{"erased":1}"#));
    await_entries(&edge, 2, 0);
    assert_eq!(edge.admin(&format!("/v1/spool/{}", id(&waiting))).status, 404);
    let metrics = edge.metrics();
    let of_main = |state| {
        metrics.sum("wxedge_spool_entries", &[("account", "main"), ("state", state)]).unwrap()
    };
    assert_eq!((of_main("pending"), of_main("dead")), (2.0, 0.0));
}

#[test]
fn of_an_erased_user_nothing_is_left_on_the_disk() {
    let app = App::answering(Answer::new(500, "text/plain", "words about the user"));
    let edge = slow(&app).and(Account::named("other").url(&app.url())).start();
    let (user, another) = (openid(), openid());
    for number in 0..20 {
        acknowledged(&edge, &Message::text(&format!("secret of the user {number}")).from(&user));
    }
    acknowledged(&edge, &Message::text("of another").from(&another));
    let elsewhere = Message::text("elsewhere").from(&user);
    assert_eq!(edge.wechat_of("other").deliver(&elsewhere).body(), b"success");
    let store = edge.folder().path().join("store");
    let found = |words: &str| {
        let files = std::fs::read_dir(&store).unwrap();
        files
            .map(|file| std::fs::read(file.unwrap().path()).unwrap())
            .any(|bytes| bytes.windows(words.len()).any(|window| window == words.as_bytes()))
    };
    assert!(found("secret of the user") && found(&user), "the control");
    for (account, erased) in [("main", 20), ("other", 1), ("main", 0)] {
        let target = format!("/v1/spool?account={account}&subject={user}");
        let answer = edge.operate("DELETE", &target);
        assert_eq!((answer.status, answer.json()), (200, json!({"erased": erased})));
    }
    assert!(!found("secret of the user") && !found("elsewhere") && !found(&user));
    assert!(found("of another") && found(&another));
    // The way is free for what the user says next.
    app.answer(Answer::taken());
    acknowledged(&edge, &Message::text("new").from(&user));
    edge.assert_count("wxedge_callbacks_total", &[("outcome", "acknowledged")], 1.0);
}

#[test]
fn what_is_deleted_or_erased_in_flight_stays_away() {
    let gate = Gate::closed();
    let app = App::answering(Answer::status(500).behind(&gate));
    let edge = slow(&app).start();
    let (deleted, erased) = (Message::text("deleted"), Message::text("erased"));
    acknowledged(&edge, &deleted);
    acknowledged(&edge, &erased);
    edge.assert_outcomes(&[("fallback_deadline", 2)]);
    let [first, _second] = entries(&edge, "").try_into().unwrap();
    assert_eq!(edge.operate("DELETE", &format!("/v1/spool/{}", id(&first))).status, 204);
    let target = format!("/v1/spool?account=main&subject={}", erased.openid());
    assert_eq!(edge.operate("DELETE", &target).json(), json!({"erased": 1}));
    gate.open();
    edge.assert_count("wxedge_upstream_duration_seconds_count", &[], 2.0);
    await_entries(&edge, 0, 0);
    assert_eq!(entries(&edge, "").len(), 0);
    assert_eq!(edge.count("wxedge_spool_bytes", &[]), 0.0);
    app.answer(Answer::taken());
    acknowledged(&edge, &Message::text("next").from(deleted.openid()));
    edge.assert_count("wxedge_callbacks_total", &[("outcome", "acknowledged")], 1.0);
    assert_eq!(app.calls(), 3);
}

#[test]
fn mistakes_are_told() {
    let (_app, edge) = stocked();
    let pending = entries(&edge, "state=pending").remove(0);
    let pending = format!("/v1/spool/{}/replay", id(&pending));
    for (method, target, status) in [
        ("GET", "/v1/spool?state=alive", 400),
        ("GET", "/v1/spool?limit=0", 400),
        ("GET", "/v1/spool?limit=1001", 400),
        ("GET", "/v1/spool?limit=x", 400),
        ("GET", "/v1/spool?after=-1", 400),
        ("GET", "/v1/spool?colour=red", 400),
        ("GET", "/v1/spool?limit=1&limit=2", 400),
        ("GET", "/v1/spool?account=nobody", 404),
        ("GET", "/v1/spool/1", 404),
        ("GET", "/v1/spool/nothing", 404),
        ("GET", "/v1/spool/18446744073709551616", 404),
        ("GET", "/v1/spool/9223372036854775808", 404),
        ("GET", "/v1/spool/1/2/3", 404),
        ("DELETE", "/v1/spool/1", 404),
        ("DELETE", "/v1/spool", 400),
        ("DELETE", "/v1/spool?account=main", 400),
        ("DELETE", "/v1/spool?subject=o", 400),
        ("DELETE", "/v1/spool?account=main&subject=", 400),
        ("DELETE", "/v1/spool?account=nobody&subject=o", 404),
        ("POST", "/v1/spool/1/replay", 404),
        ("POST", &pending, 409),
        ("POST", "/v1/spool/replay?state=pending", 400),
        ("POST", "/v1/spool/replay?account=nobody", 404),
        ("POST", "/v1/spool", 405),
        ("PUT", "/v1/spool/1", 405),
        ("GET", "/v1/spool/1/replay", 405),
        ("DELETE", "/v1/spool/replay", 405),
    ] {
        let answer = edge.operate(method, target);
        assert_eq!(answer.status, status, "{method} {target}: {}", answer.text());
        assert!(answer.json()["error"].is_string(), "{method} {target}");
    }
    await_entries(&edge, 3, 2);
}

#[test]
fn what_an_account_left_goes_by_its_appid() {
    let (app, mut edge) = stocked();
    edge.rewrite(&slow(&app));
    edge.signal(nix::sys::signal::Signal::SIGHUP);
    edge.await_stderr("configuration reloaded");
    let left = entries(&edge, "account=wx0123456789other");
    assert_eq!(left.len(), 2);
    assert!(left.iter().all(|entry| entry["account"] == "wx0123456789other"));
    assert_eq!(edge.admin("/v1/spool?account=other").status, 404);
    let orphan = json!({"appid": "wx0123456789other", "pending": 1, "dead": 1});
    let mut seen = edge.status()["spool_orphans"].clone();
    assert!(seen[0].as_object_mut().unwrap().remove("oldest_s").is_some());
    assert_eq!(seen, json!([orphan]));
    edge.await_stderr("1 messages of wx0123456789other wait in the spool and 1 are dead letters");
    for state in ["pending", "dead"] {
        let labels = [("account", "wx0123456789other"), ("state", state)];
        edge.assert_count("wxedge_spool_entries", &labels, 1.0);
    }
    let user = left[0]["subject"].as_str().unwrap();
    let target = format!("/v1/spool?account=wx0123456789other&subject={user}");
    assert_eq!(edge.operate("DELETE", &target).json(), json!({"erased": 1}));
    assert_eq!(entries(&edge, "").len(), 6);
    let last = left[1]["id"].as_str().unwrap();
    assert_eq!(edge.operate("DELETE", &format!("/v1/spool/{last}")).status, 204);
    assert_eq!(edge.status()["spool_orphans"], json!([]));
    assert!(!edge.admin("/metrics").text().contains("wx0123456789other"), "its series are gone");
}
