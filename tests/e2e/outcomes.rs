//! The contract with dashboards and alerts: every outcome there is can happen, and this is how.

use std::cell::RefCell;
use std::time::Duration;

use wxedge::outcome::Outcome;
use wxedge_tests::app::{Answer, App, Gate};
use wxedge_tests::canary;
use wxedge_tests::edge::Account;
use wxedge_tests::http;
use wxedge_tests::message::{Message, now_s};
use wxedge_tests::wechat::{Mode, Verdict, Wechat};

use crate::edge;

/// A way to end, the outcome it has, and the status that goes with it.
type Case<'a> = (Outcome, Box<dyn Fn() + 'a>);

#[test]
fn every_outcome_is_reached_and_counted_once() {
    let app = App::start();
    let gate = Gate::closed();
    let join = Account::named("join").url(&app.url()).line(r#"on_deadline = "join""#);
    let edge = edge()
        .app(&app)
        .and(join.upstream("deadline_ms = 500"))
        .line("max_in_flight = 1")
        .line("max_body_bytes = 2000000")
        .spool("max_bytes = 1048576")
        .spool("retry_min_ms = 100")
        .spool("retry_max_ms = 100")
        .listen(r#"trusted_proxies = ["127.0.0.1"]"#)
        .line("source_ip = \"enforce\"")
        .line("source_ips = [\"127.0.0.1\"]")
        .upstream("deadline_ms = 500")
        .start();
    let wechat = edge.wechat();
    let (repeated, slow) = (Message::text("hi"), Message::text("hi"));
    let waiting = RefCell::new(None);
    let deliver = |wechat: &Wechat, message: &Message, status: u16| {
        assert_eq!(wechat.deliver(message).status(), status);
    };
    let with = |answer: Answer, message: Message, status: u16| {
        app.answer(answer);
        deliver(&wechat, &message, status);
    };
    let cases: Vec<Case<'_>> = vec![
        (Outcome::Verified, Box::new(|| assert_eq!(wechat.verify().status(), 200))),
        (Outcome::Replied, Box::new(|| with(Answer::text("hi"), Message::text("hi"), 200))),
        (Outcome::Acknowledged, Box::new(|| with(Answer::taken(), repeated.clone(), 200))),
        (Outcome::Joined, Box::new(|| deliver(&wechat, &repeated, 200))),
        (
            Outcome::FallbackDeadline,
            Box::new(|| {
                app.script([Answer::taken().behind(&gate)]);
                deliver(&wechat, &slow, 200);
            }),
        ),
        (
            Outcome::FallbackOrder,
            Box::new(|| deliver(&wechat, &Message::text("hi").from(slow.openid()), 200)),
        ),
        (
            Outcome::Held,
            Box::new(|| {
                app.script([Answer::taken().behind(&gate)]);
                let impatient = edge.wechat_of("join").patience(Duration::from_millis(1_500));
                assert_eq!(
                    impatient.deliver(&Message::text("hi")).verdict,
                    Verdict::RequestTimeout
                );
            }),
        ),
        (
            Outcome::RejectedSource,
            Box::new(|| {
                let sealed = wechat.seal(&Message::text("hi"));
                let target = format!("/wechat/main?{}", sealed.query);
                let headers = [("x-forwarded-for", "198.51.100.1")];
                let refused = http::send(edge.callback, "POST", &target, &headers, &sealed.body);
                assert_eq!(refused.status, 403);
            }),
        ),
        (
            Outcome::RejectedTimeout,
            Box::new(|| {
                let sealed = wechat.seal(&Message::text("hi"));
                let request = wechat.request("POST", &sealed.query, &sealed.body);
                let mut connection = wechat.connect().unwrap();
                connection.send(&request[..request.len() - 1]).unwrap();
                assert_eq!(connection.response(wxedge_tests::PATIENCE).unwrap().status, 408);
            }),
        ),
        (
            Outcome::RejectedSignature,
            Box::new(|| {
                deliver(&wechat.clone().token(canary::TOKEN_WRONG), &Message::text("hi"), 403)
            }),
        ),
        (
            Outcome::RejectedReplay,
            Box::new(|| {
                let old = wechat.seal_at(&Message::text("hi"), now_s() - 400);
                assert_eq!(wechat.send(&old).unwrap().status, 403);
            }),
        ),
        (
            Outcome::RejectedDecrypt,
            Box::new(|| {
                deliver(&wechat.clone().aes_key(canary::AES_KEY_WRONG), &Message::text("hi"), 403)
            }),
        ),
        (
            Outcome::RejectedMalformed,
            Box::new(|| {
                let broken = wechat.seal_bytes(b"<xml><MsgType>text</xml>", "oCanary", now_s());
                assert_eq!(wechat.send(&broken).unwrap().status, 400);
            }),
        ),
        (
            Outcome::RejectedSize,
            Box::new(|| deliver(&wechat, &Message::text(&"x".repeat(1_600_000)), 413)),
        ),
        (
            Outcome::FallbackOverload,
            Box::new(|| {
                app.script([Answer::taken().behind(&gate)]);
                let before = app.calls();
                let sealed = wechat.seal(&Message::text("hi"));
                let client = wechat.begin("POST", &sealed.query, &sealed.body).unwrap();
                app.await_calls(before + 1);
                deliver(&wechat, &Message::text("hi"), 200);
                *waiting.borrow_mut() = Some(client);
            }),
        ),
        (Outcome::ClientGone, Box::new(|| drop(waiting.take()))),
        (Outcome::FallbackError, Box::new(|| with(Answer::status(500), Message::text("hi"), 200))),
        (
            Outcome::FallbackCircuitOpen,
            Box::new(|| {
                let closed = [("account", "main"), ("state", "closed")];
                edge.assert_count("wxedge_circuit_state", &closed, 0.0);
                deliver(&wechat, &Message::text("hi"), 200);
            }),
        ),
        (
            Outcome::Unavailable,
            Box::new(|| deliver(&wechat, &Message::text(&"x".repeat(1_100_000)), 503)),
        ),
    ];
    let mut expected: Vec<(&str, u64)> = Vec::new();
    for (outcome, reach) in &cases {
        reach();
        expected.push((outcome.label(), 1));
        edge.assert_outcomes(&expected);
    }
    for outcome in Outcome::ALL {
        assert!(
            cases.iter().any(|(reached, _)| *reached == outcome),
            "{outcome:?} is reached by no test"
        );
    }
    let log = edge.await_log(cases.len());
    for ((outcome, _), line) in cases.iter().zip(&log) {
        assert_eq!(line["outcome"], outcome.label());
        assert_eq!(line["status"], outcome.status(), "{outcome:?}");
    }
    assert_eq!(log.len(), Outcome::ALL.len());
    assert_eq!(edge.wechat().mode(Mode::Safe).verify().status(), 200, "and it goes on");
}
