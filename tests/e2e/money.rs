//! Virtual payment, games and logistics: the app's own words, and never a success in the app's place.

use serde_json::json;
use wxedge_tests::app::{Answer, App, Gate};
use wxedge_tests::message::Message;
use wxedge_tests::wechat::{Mode, Verdict};

use crate::edge;

const EVENTS: [&str; 3] =
    ["xpay_goods_deliver_notify", "minigame_deliver_goods", "XPAY_coin_pay_notify"];

#[test]
fn the_app_s_json_passes_verbatim_and_unencrypted() {
    for mode in Mode::ALL {
        let app = App::start();
        let edge = edge().mode(mode).app(&app).start();
        for body in [
            r#"{ "ErrCode" : 0, "ErrMsg" : "ok", "extra": [1, 2] }"#,
            r#"{"result_code":0,"result_info":"好","evidence":""}"#,
            r#"{"msgtype":"text","text":{"content":"not a reply here"}}"#,
        ] {
            app.answer(Answer::new(200, "application/json", body));
            for event in [EVENTS[0], EVENTS[1], "notify_single_waybill_pay"] {
                let answer =
                    edge.wechat().send(&edge.wechat().seal(&Message::event(event))).unwrap();
                assert_eq!((answer.status, answer.text()), (200, body), "{mode} {event}");
                assert!(answer.header("content-type").unwrap().starts_with("application/json"));
            }
        }
        edge.assert_outcomes(&[("replied", 9)]);
    }
}

#[test]
fn an_app_that_took_it_without_a_word_is_an_errcode_of_0() {
    for mode in Mode::ALL {
        let app = App::start();
        let edge = edge().mode(mode).app(&app).start();
        for event in EVENTS {
            for answer in [Answer::taken(), Answer::new(200, "text/plain", "success")] {
                app.answer(answer);
                let delivery = edge.wechat().deliver(&Message::event(event));
                assert_eq!(delivery.status(), 200);
                assert_eq!(delivery.body(), br#"{"ErrCode":0,"ErrMsg":"success"}"#);
            }
        }
        edge.assert_outcomes(&[("acknowledged", 6)]);
    }
}

#[test]
fn whatever_the_app_does_it_is_an_errcode_of_0_once_the_message_is_on_disk() {
    for mode in [Mode::Plain, Mode::Safe] {
        let app = App::start();
        let edge = edge()
            .mode(mode)
            .app(&app)
            .upstream("deadline_ms = 500")
            .spool("retry_min_ms = 60000")
            .start();
        let failures = [
            Answer::status(500),
            Answer::status(404),
            Answer::status(302),
            Answer::reset(),
            Answer::no_answer(),
            Answer::hang(),
            Answer::raw("nonsense\r\n\r\n"),
            Answer::new(200, "application/json", r#"{"ErrCode":0}"#).truncated(),
        ];
        for (number, failure) in failures.iter().enumerate() {
            app.answer(failure.clone());
            let delivery = edge.wechat().deliver(&Message::event(EVENTS[number % EVENTS.len()]));
            assert_eq!(delivery.status(), 200, "{failure:?}");
            assert_eq!(delivery.body(), br#"{"ErrCode":0,"ErrMsg":"success"}"#, "{failure:?}");
            let written = edge.count("wxedge_spool_write_seconds_count", &[]);
            assert_eq!(written, (number + 1) as f64, "{failure:?}");
        }
        edge.assert_outcomes(&[("fallback_deadline", 1), ("fallback_error", 7)]);
        assert_eq!(edge.count("wxedge_spool_entries", &[("state", "pending")]), 7.0);
        assert_eq!(edge.count("wxedge_spool_entries", &[("state", "dead")]), 1.0, "the 302");
    }
}

#[test]
fn what_cannot_be_written_is_no_success_and_wechat_sends_it_again() {
    let app = App::answering(Answer::status(500));
    let edge = edge()
        .mode(Mode::Plain)
        .app(&app)
        .line("max_body_bytes = 4194304")
        .spool("max_bytes = 1048576")
        .start();
    let huge = "x".repeat(1_100_000);
    for (number, event) in EVENTS.into_iter().enumerate() {
        let delivery = edge.wechat().deliver(&Message::event(event).text_field("Env", &huge));
        assert_eq!((delivery.status(), delivery.body()), (503, &b""[..]), "{event}");
        assert!(delivery.verdict.is_sent_again());
        assert_eq!(edge.await_log(number + 1)[number]["reason"], "spool_full");
    }
    edge.assert_outcomes(&[("unavailable", EVENTS.len() as u64)]);
    assert_eq!(edge.count("wxedge_spool_bytes", &[]), 0.0);
}

#[test]
fn a_call_that_fails_after_its_deadline_counts_once_and_the_app_is_asked_again() {
    const FAILURES: &str = "wxedge_upstream_failures_total";
    // A 2xx is taken, whatever its body.
    for (late, calls) in
        [(Answer::status(500), 2), (Answer::reset(), 2), (Answer::new(200, "text/html", "<h1>"), 1)]
    {
        let gate = Gate::closed();
        let app = App::start();
        app.script([late.clone().behind(&gate), Answer::json(&json!({"ErrCode": 0}))]);
        let edge =
            edge().app(&app).upstream("deadline_ms = 500").spool("retry_min_ms = 100").start();
        let event = Message::event(EVENTS[0]);
        assert_eq!(edge.wechat().deliver(&event).verdict, Verdict::Acknowledged);
        assert_eq!(edge.count(FAILURES, &[("reason", "timeout")]), 1.0);
        gate.open();
        edge.assert_count("wxedge_spool_entries", &[("state", "pending")], 0.0);
        assert_eq!(app.calls(), calls, "{late:?}");
        let invalid = edge.count(FAILURES, &[("reason", "invalid")]);
        assert_eq!(edge.count(FAILURES, &[]) - invalid, 1.0, "{late:?}");
        assert_eq!(invalid, f64::from(u8::from(calls == 1)), "what it said was no answer either");
    }
}

#[test]
fn an_app_that_is_down_has_it_as_soon_as_it_is_up_and_only_the_spool_asks_it() {
    let app = App::answering(Answer::status(503).then_close());
    let edge = edge().app(&app).spool("retry_min_ms = 100").spool("retry_max_ms = 100").start();
    let event = Message::event(EVENTS[0]);
    let push = edge.wechat().push(&event);
    assert_eq!(push.deliveries.len(), 1);
    assert_eq!(push.last().body(), br#"{"ErrCode":0,"ErrMsg":"success"}"#);
    app.await_calls(3);
    app.answer(Answer::json(&json!({"ErrCode": 0})));
    edge.assert_count("wxedge_redeliveries_total", &[("result", "taken")], 1.0);
    let calls = app.requests();
    assert!(calls.iter().all(|call| call.header("ce-id") == calls[0].header("ce-id")));
    assert_eq!(edge.wechat().deliver(&event).verdict, Verdict::Acknowledged);
    assert_eq!(app.calls(), calls.len());
    edge.assert_outcomes(&[("fallback_error", 1), ("joined", 1)]);
}
