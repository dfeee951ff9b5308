//! `on_deadline = "join"`: WeChat is left without an answer, so that its own repeats give the app more time.

use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::json;
use wxedge_tests::app::{Answer, Gate};
use wxedge_tests::edge::Builder;
use wxedge_tests::http::Connection;
use wxedge_tests::message::Message;
use wxedge_tests::wechat::{Mode, Push, Verdict};
use wxedge_tests::{PATIENCE, eventually, thread};

use crate::api::Wechat;
use crate::late_replies::Late;

/// In place of WeChat's 5 s: longer than the deadline, and three of them are a test that is not long.
const IMPATIENCE: Duration = Duration::from_millis(1_200);

fn start() -> Late {
    with(|builder| builder)
}

fn with(more: impl FnOnce(Builder) -> Builder) -> Late {
    Late::before(Wechat::start(), |builder| more(builder.line("on_deadline = \"join\"")))
}

/// The app answers so from now on, once the gate is open.
fn behind_a_gate(late: &Late, answer: Answer) -> Gate {
    let gate = Gate::closed();
    late.app.answer(answer.behind(&gate));
    gate
}

/// Sends a message as often as WeChat does.
fn push(late: &Late, message: &Message) -> JoinHandle<Push> {
    let (wechat, message) = (late.edge.wechat().patience(IMPATIENCE), message.clone());
    thread(move || wechat.push(&message))
}

/// One delivery that WeChat gives up on, which the edge has noticed.
#[track_caller]
fn give_up(late: &Late, message: &Message) {
    let held = || {
        let labels = [("outcome", "held")];
        late.edge.metrics().sum("wxedge_callbacks_total", &labels).unwrap_or(0.0)
    };
    let before = held();
    let delivery = late.edge.wechat().patience(IMPATIENCE).deliver(message);
    assert_eq!(delivery.verdict, Verdict::RequestTimeout);
    eventually(PATIENCE, "it was held", || held() > before);
}

/// A delivery whose answer nobody has read yet.
fn begin(late: &Late, message: &Message) -> Connection {
    let wechat = late.edge.wechat();
    let sealed = wechat.seal(message);
    wechat.begin("POST", &sealed.query, &sealed.body).unwrap()
}

#[track_caller]
fn assert_given_up(push: &Push, times: usize) {
    let verdicts: Vec<_> = push.deliveries.iter().map(|delivery| &delivery.verdict).collect();
    assert_eq!(verdicts.len(), times + 1, "{verdicts:?}");
    assert!(verdicts[..times].iter().all(|one| **one == Verdict::RequestTimeout), "{verdicts:?}");
}

#[test]
fn a_repeat_gets_what_the_app_says_meanwhile() {
    for (mode, held) in [(Mode::Plain, 1), (Mode::Safe, 1), (Mode::Safe, 2)] {
        let late = with(|builder| builder.mode(mode));
        let gate = behind_a_gate(&late, Answer::text("worth the wait"));
        let pushed = push(&late, &Message::text("hi"));
        late.edge.assert_outcomes(&[("held", held)]);
        gate.open();
        let pushed = pushed.join().unwrap();
        assert_given_up(&pushed, held as usize);
        assert_eq!(pushed.reply().at("Content"), Some("worth the wait"));
        late.edge.assert_outcomes(&[("held", held), ("joined", 1)]);
        let call = late.app.only_request();
        let left: u64 = call.header("x-wxedge-deadline-ms").unwrap().parse().unwrap();
        assert!((13_000..=14_000).contains(&left), "{left}");
        late.assert_late(&[]);
        late.assert_nothing_is_left();
    }
}

#[test]
fn the_last_repeat_is_answered_whatever_the_app_does() {
    let late = start();
    let gate = behind_a_gate(&late, Answer::text("too late"));
    let message = Message::text("hi");
    let pushed = push(&late, &message).join().unwrap();
    assert_given_up(&pushed, 2);
    assert_eq!(pushed.last().body(), b"success");
    late.edge.assert_outcomes(&[("fallback_deadline", 1), ("held", 2)]);
    late.await_disk("SELECT count(*) FROM content", 1);
    gate.open();
    assert_eq!(late.await_messages(1)[0].touser, message.openid());
    late.assert_nothing_is_left();
    assert_eq!(late.app.calls(), 1);
}

#[test]
fn what_the_app_fails_at_meanwhile_is_in_the_spool_at_once() {
    let late = start();
    let gates = [Gate::closed(), Gate::closed()];
    let failures = gates.each_ref().map(|gate| Answer::status(500).behind(gate));
    // WeChat has given up on the first delivery.
    let [away, here] = failures;
    late.app.script([away]);
    let message = Message::text("hi");
    give_up(&late, &message);
    gates[0].open();
    late.app.await_calls(2);
    let repeat = late.edge.wechat().deliver(&message);
    assert_eq!(repeat.body(), b"success");
    late.edge.assert_outcomes(&[("held", 1), ("joined", 1)]);
    // WeChat still waits.
    late.app.script([here]);
    let mut held = begin(&late, &Message::text("hi"));
    late.app.await_calls(3);
    gates[1].open();
    assert_eq!(held.response(PATIENCE).unwrap().body, b"success");
    late.edge.assert_outcomes(&[("fallback_error", 1), ("held", 1), ("joined", 1)]);
    late.app.await_calls(4);
    late.assert_nothing_is_left();
}

#[test]
fn a_held_delivery_is_answered_as_long_as_wechat_waits_and_costs_nothing_then() {
    let late = with(|builder| builder.line("join_budget = 1"));
    for _ in 0..2 {
        late.app.answer(Answer::text("hi").after(Duration::from_millis(800)));
        let delivery = late.edge.wechat().deliver(&Message::text("hi"));
        assert_eq!(delivery.reply().at("Content"), Some("hi"));
    }
    late.edge.assert_outcomes(&[("replied", 2)]);
    late.app.answer(Answer::hang());
    let pushed = push(&late, &Message::text("hi")).join().unwrap();
    assert_given_up(&pushed, 1);
    assert_eq!(pushed.last().body(), b"success");
    late.edge.assert_outcomes(&[("fallback_deadline", 1), ("held", 1), ("replied", 2)]);
}

#[test]
fn a_held_repeat_joins_too() {
    let late = start();
    let gate = behind_a_gate(&late, Answer::text("hi"));
    let message = Message::text("hi");
    give_up(&late, &message);
    let mut repeat = begin(&late, &message);
    // Its own deadline has passed when this one's has.
    let other = late.edge.wechat().deliver(&Message::event("VIEW"));
    assert_eq!(other.body(), b"success");
    gate.open();
    let answer = repeat.response(PATIENCE).unwrap();
    let verdict = late.edge.wechat().verdict(&message, &Ok(answer));
    assert!(matches!(verdict, Verdict::Replied(_)), "{verdict:?}");
    late.edge.assert_outcomes(&[("fallback_deadline", 1), ("held", 1), ("joined", 1)]);
}

#[test]
fn a_used_up_budget_is_plain_success() {
    let late = with(|builder| builder.line("join_budget = 2"));
    late.app.answer(Answer::hang());
    assert_given_up(&push(&late, &Message::text("hi")).join().unwrap(), 2);
    for number in 2..4 {
        let delivery = late.edge.wechat().deliver(&Message::text("hi"));
        assert_eq!(delivery.body(), b"success");
        late.edge.assert_outcomes(&[("fallback_deadline", number), ("held", 2)]);
    }
}

#[test]
fn only_what_a_user_waits_for_is_held() {
    let late = start();
    late.app.answer(Answer::hang());
    for event in ["VIEW", "unsubscribe", "TEMPLATESENDJOBFINISH", "xpay_goods_deliver_notify"] {
        let delivery = late.edge.wechat().deliver(&Message::event(event));
        assert_eq!(delivery.verdict, Verdict::Acknowledged, "{event}");
    }
    late.edge.assert_outcomes(&[("fallback_deadline", 4)]);
    let click = Message::event("CLICK").text_field("EventKey", "k");
    for (number, message) in (1..).zip([click, Message::of("image", &[("MediaId", "m")])]) {
        give_up(&late, &message);
        late.edge.assert_outcomes(&[("fallback_deadline", 4), ("held", number)]);
    }
}

#[test]
fn what_no_passive_reply_can_say_is_sent_once() {
    let late = start();
    let gate = behind_a_gate(&late, Answer::json(&json!({"msgtype": "wxcard", "wxcard": {}})));
    let message = Message::text("hi");
    let pushed = push(&late, &message);
    late.edge.assert_outcomes(&[("held", 1)]);
    gate.open();
    let pushed = pushed.join().unwrap();
    assert_given_up(&pushed, 1);
    assert_eq!(pushed.last().body(), b"success");
    assert_eq!(late.await_messages(1)[0].touser, message.openid());
    late.assert_late(&[("sent", 1)]);
    late.assert_nothing_is_left();
}

#[test]
fn a_process_that_ends_meanwhile_leaves_the_message_to_the_next() {
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        let mut late = with(|builder| builder.runtime("grace_s = 1"));
        late.app.script([Answer::hang(), Answer::hang()]);
        late.app.answer(Answer::text("at last"));
        let (away, here) = (Message::text("hi"), Message::text("ho"));
        give_up(&late, &away);
        let mut held = begin(&late, &here);
        late.edge.assert_count("wxedge_callbacks_in_flight", &[], 1.0);
        late.end(signal);
        let answer = held.response(PATIENCE);
        late.begin_again();
        if signal == Signal::SIGTERM {
            assert_eq!(answer.unwrap().body, b"success");
            let mut users: Vec<_> =
                late.await_messages(2).into_iter().map(|message| message.touser).collect();
            users.sort();
            assert_eq!(users, [away.openid(), here.openid()]);
            assert_eq!(late.edge.wechat().deliver(&away).status(), 200);
        } else {
            answer.unwrap_err();
            for message in [&away, &here] {
                let repeat = late.edge.wechat().deliver(message);
                assert_eq!(repeat.reply().at("Content"), Some("at last"));
            }
            late.assert_late(&[]);
        }
        late.assert_nothing_is_left();
    }
}

/// Side by side, since they take as long as WeChat does.
#[test]
fn what_takes_wechats_own_time() {
    let scenarios: [(&str, fn()); 5] = [
        ("closed after 6 s", a_connection_is_held_for_6_s),
        ("last after 9 s", a_delivery_9_s_after_the_first_is_the_last),
        ("no repeat of an answer", an_answer_without_a_repeat_is_late_after_20_s),
        ("no repeat of a silence", a_message_without_a_repeat_is_in_the_spool_after_20_s),
        ("a repeat", an_answer_that_a_repeat_has_is_never_late),
    ];
    let running = scenarios.map(|(name, scenario)| (name, thread(scenario)));
    let failed: Vec<_> =
        running.into_iter().filter_map(|(name, run)| run.join().err().map(|_| name)).collect();
    assert_eq!(failed, [""; 0]);
}

/// For what happens 20 s after the first delivery.
const REPEATS_END: Duration = Duration::from_secs(20);

fn a_connection_is_held_for_6_s() {
    let late = start();
    late.app.answer(Answer::hang());
    let begun = Instant::now();
    let mut held = begin(&late, &Message::text("hi"));
    assert_eq!(held.closed(PATIENCE), Ok(Vec::new()));
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(5_900), "{took:?}");
    late.edge.assert_outcomes(&[("held", 1)]);
}

fn a_delivery_9_s_after_the_first_is_the_last() {
    let late = start();
    late.app.answer(Answer::hang());
    let message = Message::text("hi");
    give_up(&late, &message);
    // The first one began before.
    let began = late.app.only_request().at;
    std::thread::sleep(Duration::from_secs(9).saturating_sub(began.elapsed())); // as WeChat's repeats may
    assert_eq!(late.edge.wechat().deliver(&message).body(), b"success");
    late.edge.assert_outcomes(&[("fallback_deadline", 1), ("held", 1)]);
}

fn an_answer_without_a_repeat_is_late_after_20_s() {
    let late = start();
    let gate = behind_a_gate(&late, Answer::text("hi"));
    let message = Message::text("hi");
    let begun = Instant::now();
    give_up(&late, &message);
    gate.open();
    eventually(2 * REPEATS_END, "the late reply", || !late.api.custom_messages().is_empty());
    assert!(begun.elapsed() >= REPEATS_END);
    assert_eq!(late.await_messages(1)[0].touser, message.openid());
    // The user has it, and gets it from nobody else.
    assert_eq!(late.edge.wechat().deliver(&message).body(), b"success");
    late.assert_late(&[("sent", 1)]);
    late.assert_nothing_is_left();
    assert_eq!(late.app.calls(), 1);
}

fn a_message_without_a_repeat_is_in_the_spool_after_20_s() {
    let late = start();
    let gate = behind_a_gate(&late, Answer::text("hi"));
    let begun = Instant::now();
    let message = Message::text("hi");
    give_up(&late, &message);
    eventually(2 * REPEATS_END, "it is in the spool", || !late.entries().is_empty());
    assert!(begun.elapsed() >= REPEATS_END);
    late.await_disk("SELECT count(*) FROM content", 1);
    gate.open();
    assert_eq!(late.await_messages(1)[0].touser, message.openid());
    late.assert_nothing_is_left();
    assert_eq!(late.app.calls(), 1);
}

fn an_answer_that_a_repeat_has_is_never_late() {
    let late = start();
    let gate = behind_a_gate(&late, Answer::text("hi"));
    let (message, other) = (Message::text("hi"), Message::text("ho"));
    give_up(&late, &message);
    give_up(&late, &other);
    gate.open();
    let repeat = late.edge.wechat().deliver(&message);
    assert_eq!(repeat.reply().at("Content"), Some("hi"));
    // The other one's time ends later.
    eventually(2 * REPEATS_END, "the other one's late reply", || {
        !late.api.custom_messages().is_empty()
    });
    assert_eq!(late.await_messages(1)[0].touser, other.openid());
    late.assert_late(&[("sent", 1)]);
}
