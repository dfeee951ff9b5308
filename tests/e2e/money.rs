//! Virtual payment, games and logistics: the app's own words, and never a success in the app's place.

use serde_json::json;
use wxedge_tests::app::{Answer, App, Down, Gate};
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
fn an_app_that_fails_is_never_a_success() {
    for mode in [Mode::Plain, Mode::Safe] {
        let app = App::start();
        let edge = edge().mode(mode).app(&app).upstream("deadline_ms = 500").start();
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
        for failure in &failures {
            for event in EVENTS {
                app.answer(failure.clone());
                let delivery = edge.wechat().deliver(&Message::event(event));
                assert_eq!((delivery.status(), delivery.body()), (503, &b""[..]), "{failure:?}");
                assert!(delivery.verdict.is_sent_again());
            }
        }
        edge.assert_outcomes(&[("unavailable", (failures.len() * EVENTS.len()) as u64)]);
    }
}

#[test]
fn a_call_that_fails_after_its_deadline_counts_once() {
    const FAILURES: &str = "wxedge_upstream_failures_total";
    // A 2xx is taken, whatever its body; otherwise the repeat makes a second call. Both ways the first one is over
    // when the repeat is answered.
    for (late, calls) in
        [(Answer::status(500), 2), (Answer::reset(), 2), (Answer::new(200, "text/html", "<h1>"), 1)]
    {
        let gate = Gate::closed();
        let app = App::start();
        app.script([late.clone().behind(&gate), Answer::json(&json!({"ErrCode": 0}))]);
        let edge = edge().app(&app).upstream("deadline_ms = 500").start();
        let event = Message::event(EVENTS[0]);
        assert_eq!(edge.wechat().deliver(&event).status(), 503);
        assert_eq!(edge.count(FAILURES, &[("reason", "timeout")]), 1.0);
        gate.open();
        assert_eq!(edge.wechat().deliver(&event).verdict, Verdict::Acknowledged);
        assert_eq!(app.calls(), calls, "{late:?}");
        assert_eq!(edge.count(FAILURES, &[]), 1.0, "{late:?}");
    }
}

#[test]
fn an_app_that_is_down_is_asked_again_with_every_delivery_until_it_is_up() {
    let down = Down::start();
    let edge = edge().url(&down.url()).start();
    let push = edge.wechat().push(&Message::event(EVENTS[0]));
    assert_eq!(push.deliveries.iter().map(|d| d.status()).collect::<Vec<_>>(), [503, 503, 503]);
    edge.assert_outcomes(&[("unavailable", 3)]);

    let app = App::start();
    app.script([
        Answer::status(503).then_close(),
        Answer::no_answer(),
        Answer::json(&json!({"ErrCode": 0})),
    ]);
    let edge = crate::edge().app(&app).start();
    let push = edge.wechat().push(&Message::event(EVENTS[0]));
    assert_eq!(push.deliveries.len(), 3);
    assert_eq!(push.last().verdict, Verdict::Acknowledged);
    assert_eq!(app.calls(), 3, "what was unavailable is not remembered");
    edge.assert_outcomes(&[("replied", 1), ("unavailable", 2)]);
}
