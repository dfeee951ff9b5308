//! Late replies: what the app says after its callback was over, or what no passive reply can say, reaches the user once,
//! as a customer-service message.

use std::sync::Arc;

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use wxedge_tests::app::{Answer, App, Gate};
use wxedge_tests::edge::{Account, Builder, Edge};
use wxedge_tests::folder::Folder;
use wxedge_tests::message::{Message, openid};
use wxedge_tests::wechat::{Mode, Verdict};
use wxedge_tests::wechat_api::{CustomMessage, Fault};
use wxedge_tests::{PATIENCE, eventually, eventually_some};

use crate::api::{Wechat, await_disk, before, settle};

pub(crate) const SEND: &str = "/cgi-bin/message/custom/send";
const LATE_REPLIES: &str = "wxedge_late_replies_total";
const RESULTS: [&str; 8] =
    ["sent", "retried", "dropped", "content_dropped", "window", "refused", "maybe_sent", "gave_up"];

/// An edge between the app and WeChat's API; it waits for the app no longer than it must, and tries again soon.
pub(crate) struct Late {
    pub(crate) api: Wechat,
    pub(crate) app: App,
    pub(crate) edge: Edge,
    builder: Builder,
}

impl Late {
    pub(crate) fn start() -> Late {
        Late::with(|builder| builder)
    }

    fn with(more: impl FnOnce(Builder) -> Builder) -> Late {
        Late::before(Wechat::start(), more)
    }

    pub(crate) fn before(api: Wechat, more: impl FnOnce(Builder) -> Builder) -> Late {
        let app = App::start();
        let builder = before(&api).more("[spool]\nretry_min_ms = 100\nretry_max_ms = 100");
        let builder = more(builder.app(&app).upstream("deadline_ms = 500"));
        Late { edge: builder.start(), api, app, builder }
    }

    /// The app answers this message so, after WeChat has been told `success`.
    #[track_caller]
    pub(crate) fn answer_late(&self, message: &Message, answer: Answer) {
        let gate = Gate::closed();
        self.app.script([answer.behind(&gate)]);
        let delivery = self.edge.wechat().deliver(message);
        assert_eq!((&delivery.verdict, delivery.body()), (&Verdict::Acknowledged, &b"success"[..]));
        gate.open();
    }

    /// The app answers a text of some user so, too late. Gives the user.
    #[track_caller]
    pub(crate) fn say_late(&self, content: &str) -> String {
        let message = Message::text("hi");
        self.answer_late(&message, Answer::text(content));
        message.openid().to_owned()
    }

    /// Waits for this many messages to users in all.
    #[track_caller]
    pub(crate) fn await_messages(&self, number: usize) -> Vec<CustomMessage> {
        let what = format!("{number} customer-service messages");
        eventually(PATIENCE, &what, || self.api.custom_messages().len() >= number);
        let messages = self.api.custom_messages();
        assert_eq!(messages.len(), number, "{messages:?}");
        messages
    }

    /// Waits until replies have ended so, and no others have.
    #[track_caller]
    pub(crate) fn assert_late(&self, expected: &[(&str, u64)]) {
        for result in RESULTS {
            let number = expected.iter().find(|(one, _)| *one == result).map_or(0, |(_, n)| *n);
            self.edge.assert_count(LATE_REPLIES, &[("result", result)], number as f64);
        }
    }

    /// Waits until the spool holds nothing, not even on disk.
    #[track_caller]
    pub(crate) fn assert_nothing_is_left(&self) {
        for table in ["entry", "content", "failure"] {
            await_disk(&self.edge.folder(), &format!("SELECT count(*) FROM {table}"), 0);
        }
        self.edge.assert_count("wxedge_spool_entries", &[], 0.0);
        self.edge.assert_count("wxedge_spool_bytes", &[], 0.0);
    }

    pub(crate) fn entries(&self) -> Vec<Value> {
        self.edge.admin("/v1/spool").json()["entries"].as_array().unwrap().clone()
    }

    /// Waits for the dead letter about a user.
    #[track_caller]
    pub(crate) fn await_dead(&self, user: &str) -> Value {
        let is_it = |entry: &Value| entry["state"] == "dead" && entry["subject"] == user;
        eventually_some(PATIENCE, "a dead letter", || self.entries().into_iter().find(is_it))
    }

    /// Waits for something to be on disk.
    #[track_caller]
    pub(crate) fn await_disk(&self, sql: &str, number: i64) {
        await_disk(&self.edge.folder(), sql, number);
    }

    /// Ends the edge, and gives its folder.
    #[track_caller]
    pub(crate) fn end(&mut self, signal: Signal) -> Arc<Folder> {
        self.edge.signal(signal);
        self.edge.await_exit(PATIENCE);
        self.edge.folder()
    }

    /// The next edge in the folder of one that has ended.
    pub(crate) fn begin_again(&mut self) {
        self.edge = self.builder.clone().folder(&self.edge.folder()).start();
    }
}

fn texts(messages: &[CustomMessage]) -> Vec<String> {
    let text = |json: Value| json["text"]["content"].as_str().unwrap().to_owned();
    messages.iter().map(|message| text(message.json())).collect()
}

#[test]
fn what_the_app_says_after_the_deadline_reaches_the_user_once() {
    for mode in [Mode::Plain, Mode::Safe] {
        let late = Late::with(|builder| builder.mode(mode));
        late.assert_late(&[]);
        let message = Message::text("hi");
        late.answer_late(&message, Answer::text("你好 😀 <a href=\"u\">é</a>"));
        let [got] = late.await_messages(1).try_into().unwrap();
        let user = message.openid();
        assert_eq!(got.touser, user);
        let expected = r#"{"msgtype":"text","text":{"content":"你好 😀 <a href=\"u\">é</a>"},"touser":"USER"}"#;
        assert_eq!(String::from_utf8(got.body).unwrap(), expected.replace("USER", user));
        late.assert_late(&[("sent", 1)]);
        late.assert_nothing_is_left();
        let repeat = late.edge.wechat().deliver(&message);
        assert_eq!(repeat.body(), b"success");
        late.edge.assert_outcomes(&[("fallback_deadline", 1), ("joined", 1)]);
        assert_eq!((late.app.calls(), late.api.count(SEND)), (1, 1));
    }
}

#[test]
fn long_text_comes_in_pieces_and_in_order() {
    let late = Late::start();
    let text: String = (0..1_500).map(|number| format!("{number}，")).collect();
    let user = late.say_late(&text);
    let got = late.await_messages(text.len().div_ceil(2_046));
    assert!(got.iter().all(|piece| piece.touser == user));
    let pieces = texts(&got);
    assert!(pieces.iter().all(|piece| piece.len() <= 2_048));
    assert_eq!(pieces.concat(), text);
    late.assert_late(&[("sent", 1)]);
    late.assert_nothing_is_left();
}

#[test]
fn so_does_what_it_says_to_a_redelivered_message() {
    let late = Late::start();
    late.app.script([Answer::status(503), Answer::text("here I am")]);
    let message = Message::text("hi");
    assert_eq!(late.edge.wechat().deliver(&message).body(), b"success");
    let got = late.await_messages(1);
    assert_eq!((got[0].touser.as_str(), texts(&got)), (message.openid(), vec!["here I am".into()]));
    late.assert_late(&[("sent", 1)]);
    late.assert_nothing_is_left();
    late.edge.assert_outcomes(&[("fallback_error", 1)]);
    assert_eq!(late.app.calls(), 2);
}

#[test]
fn kinds_without_a_passive_form_follow_the_success() {
    let late = Late::start();
    let kinds = ["mpnews", "wxcard", "msgmenu", "miniprogrampage"];
    for (number, kind) in (1..).zip(kinds) {
        late.app.answer(Answer::json(&json!({"msgtype": kind, kind: {"title": "题"}})));
        let message = Message::text("hi");
        assert_eq!(late.edge.wechat().deliver(&message).body(), b"success");
        let got = late.await_messages(number).pop().unwrap();
        let expected = json!({"touser": message.openid(), "msgtype": kind, kind: {"title": "题"}});
        assert_eq!(got.json(), expected);
    }
    late.edge.assert_outcomes(&[("acknowledged", 4)]);
    late.assert_late(&[("sent", 4)]);
    late.assert_nothing_is_left();
    assert_eq!(late.app.calls(), 4);
}

#[test]
fn what_is_nothing_to_say_sends_nothing() {
    let late = Late::start();
    for answer in [Answer::taken(), Answer::new(200, "text/plain", "success")] {
        late.answer_late(&Message::text("hi"), answer);
        late.assert_nothing_is_left();
    }
    late.assert_late(&[]);
    // Only a passive reply can hand a user over to a person.
    let transfer = json!({"msgtype": "transfer_customer_service"});
    late.answer_late(&Message::text("hi"), Answer::json(&transfer));
    late.assert_late(&[("dropped", 1)]);
    late.answer_late(&Message::event("unsubscribe"), Answer::text("come back"));
    late.assert_late(&[("dropped", 1), ("content_dropped", 1)]);
    late.assert_nothing_is_left();
    late.answer_late(&Message::text("hi"), Answer::new(200, "text/html", "<h1>hi</h1>"));
    late.edge.assert_count("wxedge_upstream_failures_total", &[("reason", "invalid")], 1.0);
    late.assert_nothing_is_left();
    late.assert_late(&[("dropped", 1), ("content_dropped", 1)]);
    assert_eq!((late.app.calls(), late.api.count(SEND)), (5, 0));
}

#[test]
fn an_account_that_sends_none_drops_and_counts_them() {
    type Drops = (fn(Account) -> Account, &'static str);
    let why: [Drops; 2] = [
        (|main| main.line("late_reply.via = \"drop\""), "via_drop"),
        (|main| main.without_secret(), "no_secret"),
    ];
    for (drops, reason) in why {
        let late = Late::with(|builder| builder.main(drops));
        late.say_late("too late");
        late.assert_late(&[("dropped", 1)]);
        late.app.answer(Answer::json(&json!({"msgtype": "wxcard", "wxcard": {}})));
        assert_eq!(late.edge.wechat().deliver(&Message::text("hi")).body(), b"success");
        late.assert_late(&[("dropped", 2)]);
        late.assert_nothing_is_left();
        assert_eq!((late.app.calls(), late.api.count(SEND)), (2, 0));
        let lines = eventually_some(PATIENCE, "both have a line", || {
            Some(late.edge.log_of("late_reply")).filter(|lines| lines.len() == 2)
        });
        assert!(lines.iter().all(|line| line["reason"] == reason), "{lines:?}");
    }
}

#[test]
fn a_late_failure_is_delivered_again() {
    let late = Late::start();
    late.answer_late(&Message::text("hi"), Answer::status(500));
    let calls = late.app.await_calls(2);
    let header = |name| [&calls[0], &calls[1]].map(|call| call.header(name).unwrap().to_owned());
    assert_eq!(header("x-wxedge-attempt"), ["1", "2"]);
    let [first, second] = header("idempotency-key");
    assert_eq!(first, second);
    late.assert_nothing_is_left();
    late.assert_late(&[]);
    assert_eq!(late.api.count(SEND), 0);
}

#[test]
fn a_user_gets_replies_in_the_order_of_what_was_said() {
    let late = Late::start();
    let user = openid();
    let (first, second) = (Gate::closed(), Gate::closed());
    late.app.script([
        Answer::text("one").behind(&first),
        Answer::text("two").behind(&second),
        Answer::text("three"),
    ]);
    for number in ["1", "2", "3"] {
        let message = Message::text(number).from(&user);
        assert_eq!(late.edge.wechat().deliver(&message).body(), b"success");
    }
    late.edge.assert_outcomes(&[("fallback_deadline", 1), ("fallback_order", 2)]);
    assert_eq!(late.app.calls(), 1, "they wait for the first one");
    late.api.fault_next(SEND, 3, Fault::Errcode(-1));
    first.open();
    second.open();
    assert_eq!(texts(&late.await_messages(3)), ["one", "two", "three"]);
    late.assert_late(&[("sent", 3), ("retried", 3)]);
    late.assert_nothing_is_left();
}

/// A client that sends a message and does not wait; the app has been called.
fn leave(late: &Late, message: &Message) {
    let wechat = late.edge.wechat();
    let sealed = wechat.seal(message);
    let calls = late.app.calls();
    let client = wechat.begin("POST", &sealed.query, &sealed.body).unwrap();
    late.app.await_calls(calls + 1);
    drop(client);
    late.edge.assert_outcomes(&[("client_gone", calls as u64 + 1)]);
}

#[test]
fn when_wechat_leaves_early_and_does_not_come_back_the_answer_is_late() {
    let mut late = Late::start();
    settle(&late.edge, &late.api);
    let (message, unsubscribe) = (Message::text("hi"), Message::event("unsubscribe"));
    let gate = Gate::closed();
    late.app.answer(Answer::text("hi").behind(&gate));
    leave(&late, &message);
    leave(&late, &unsubscribe);
    gate.open();
    late.edge.assert_count("wxedge_upstream_duration_seconds_count", &[], 2.0);
    late.assert_late(&[("content_dropped", 1)]);
    assert_eq!(late.api.count(SEND), 0, "it may yet come back");
    // Not to this process.
    late.end(Signal::SIGTERM);
    assert_eq!(late.await_messages(1)[0].touser, message.openid());
}

#[test]
fn when_wechat_leaves_early_and_the_app_fails_the_message_is_in_the_spool() {
    let late = Late::start();
    let gate = Gate::closed();
    late.app.script([Answer::status(500).behind(&gate)]);
    late.app.answer(Answer::text("at last"));
    let message = Message::text("hi");
    leave(&late, &message);
    gate.open();
    assert_eq!(late.await_messages(1)[0].touser, message.openid());
    // What goes to the user so goes to nobody else.
    let repeat = late.edge.wechat().deliver(&message);
    assert_eq!(repeat.body(), b"success");
    late.assert_nothing_is_left();
    assert_eq!(late.app.calls(), 2);
}
