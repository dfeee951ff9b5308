//! What may come twice. In plain mode a signature does not cover the body, so it is bound to the first that came with it.

use wxedge_tests::app::App;
use wxedge_tests::message::{Message, now_s};
use wxedge_tests::wechat::{Callback, Mode};

use crate::edge;

#[test]
fn in_plain_mode_a_signature_is_good_for_one_body() {
    let app = App::start();
    let edge = edge().mode(Mode::Plain).app(&app).start();
    let wechat = edge.wechat();
    let genuine = wechat.seal(&Message::text("genuine"));
    let forged = Callback { body: Message::text("forged").to_xml(), ..genuine.clone() };
    assert_eq!(wechat.send(&genuine).unwrap().status, 200);
    let refused = wechat.send(&forged).unwrap();
    assert_eq!((refused.status, refused.body), (403, Vec::new()));
    assert_eq!(wechat.send(&genuine).unwrap().status, 200, "the same again is a repeat");
    edge.assert_outcomes(&[("acknowledged", 1), ("joined", 1), ("rejected_replay", 1)]);
    assert_eq!(app.only_request().json()["Content"], "genuine");
}

#[test]
fn in_plain_mode_a_signature_that_verified_the_url_posts_nothing_and_the_reverse() {
    let app = App::start();
    let edge = edge().mode(Mode::Plain).app(&app).start();
    let wechat = edge.wechat();
    let query = wechat.verification(now_s(), "123");
    let get = |query: &str| wechat.exchange("GET", query, b"").unwrap().status;
    assert_eq!([get(&query), get(&query)], [200, 200], "a verification may be repeated");
    let spent = Callback { query, body: Message::text("forged").to_xml() };
    assert_eq!(wechat.send(&spent).unwrap().status, 403);

    let sealed = wechat.seal(&Message::text("genuine"));
    assert_eq!(wechat.send(&sealed).unwrap().status, 200);
    assert_eq!(get(&format!("{}&echostr=1", sealed.query)), 403);
    edge.assert_outcomes(&[("acknowledged", 1), ("rejected_replay", 2), ("verified", 2)]);
    assert_eq!(app.only_request().json()["Content"], "genuine");
}

#[test]
fn in_encrypted_modes_a_replayed_request_is_a_repeat_that_the_app_does_not_see() {
    for mode in [Mode::Compatible, Mode::Safe] {
        let app = App::start();
        let edge = edge().mode(mode).app(&app).start();
        let wechat = edge.wechat();
        let sealed = wechat.seal(&Message::text("hi"));
        for _ in 0..3 {
            assert_eq!(wechat.send(&sealed).unwrap().status, 200);
        }
        edge.assert_outcomes(&[("acknowledged", 1), ("joined", 2)]);
        assert_eq!(app.calls(), 1);
    }
}

#[test]
fn a_window_of_zero_takes_any_time() {
    for mode in Mode::ALL {
        let edge = edge().mode(mode).line("replay_window_s = 0").start();
        let wechat = edge.wechat();
        for timestamp in [1, now_s() - 1_000_000, now_s() + 1_000_000] {
            let sealed = wechat.seal_at(&Message::text("hi"), timestamp);
            assert_eq!(wechat.send(&sealed).unwrap().status, 200, "{mode} {timestamp}");
            let query = wechat.verification(timestamp, "1");
            assert_eq!(wechat.exchange("GET", &query, b"").unwrap().status, 200);
        }
        edge.assert_outcomes(&[("replied", 3), ("verified", 3)]);
    }
}

#[test]
fn another_window_is_kept() {
    let edge = edge().line("replay_window_s = 20").start();
    let wechat = edge.wechat();
    let at = |offset: i64| {
        let sealed = wechat.seal_at(&Message::text("hi"), now_s() + offset);
        wechat.send(&sealed).unwrap().status
    };
    assert_eq!([at(-10), at(-21), at(10), at(23)], [200, 403, 200, 403]);
}
