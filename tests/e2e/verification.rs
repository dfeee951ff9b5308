//! Stage 2 and 3: who may speak, and what proves it.

use wxedge_tests::app::{Answer, App};
use wxedge_tests::canary;
use wxedge_tests::edge::{Account, Edge};
use wxedge_tests::message::{Message, now_s};
use wxedge_tests::wechat::{Callback, Mode, Verdict, Wechat};

use crate::edge;

fn echo(mode: Mode) -> Edge {
    edge().mode(mode).start()
}

/// Sends a callback as it is and returns the status and whether the body is empty, as a refusal's has to be.
#[track_caller]
fn status(wechat: &Wechat, callback: &Callback) -> u16 {
    let response = wechat.send(callback).unwrap();
    assert!(response.status == 200 || response.body.is_empty(), "{response:?}");
    response.status
}

#[test]
fn the_url_is_verified_in_every_mode_with_the_plaintext_signature() {
    for mode in Mode::ALL {
        let edge = echo(mode);
        let delivery = edge.wechat().verify();
        assert_eq!(delivery.verdict, Verdict::Acknowledged, "{mode}");
        let content_type = delivery.response.unwrap();
        assert_eq!(content_type.header("content-type"), Some("text/plain; charset=utf-8"));
        edge.assert_outcomes(&[("verified", 1)]);
        edge.assert_count(
            "wxedge_callbacks_total",
            &[("kind", "verification"), ("outcome", "verified")],
            1.0,
        );
    }
}

#[test]
fn an_echostr_comes_back_byte_for_byte_and_never_as_a_page() {
    let edge = echo(Mode::Safe);
    let wechat = edge.wechat();
    for (sent, expected) in [
        ("5927782489442352469", "5927782489442352469"),
        ("a%2Bb%2Fc%3D%3D", "a+b/c=="),
        ("%3Cscript%3Ealert(1)%3C%2Fscript%3E", "<script>alert(1)</script>"),
        ("a+b", "a+b"),
    ] {
        let response = wechat.exchange("GET", &wechat.verification(now_s(), sent), b"").unwrap();
        assert_eq!((response.status, response.text()), (200, expected));
        assert_eq!(response.header("content-type"), Some("text/plain; charset=utf-8"));
        assert_eq!(response.header("x-content-type-options"), Some("nosniff"));
    }
}

#[test]
fn a_verification_needs_the_token_the_time_and_an_echostr() {
    let edge = echo(Mode::Safe);
    let wechat = edge.wechat();
    let get = |query: &str| wechat.exchange("GET", query, b"").unwrap().status;
    assert_eq!(get(&wechat.verification(now_s(), "1")), 200);
    assert_eq!(get(&wechat.clone().token(canary::TOKEN_WRONG).verification(now_s(), "1")), 403);
    assert_eq!(get(&wechat.verification(now_s() - 310, "1")), 403);
    assert_eq!(get(&wechat.verification(now_s() + 310, "1")), 403);
    assert_eq!(get(&wechat.verification(now_s(), "1").replace("&echostr=1", "")), 403);
    assert_eq!(get(""), 403);
    assert_eq!(get("echostr=1"), 403);
    edge.assert_outcomes(&[("rejected_replay", 2), ("rejected_signature", 4), ("verified", 1)]);
}

#[test]
fn a_message_is_taken_and_answered_in_every_mode() {
    for mode in Mode::ALL {
        let edge = echo(mode);
        let push = edge.wechat().push(&Message::text("你好"));
        assert_eq!(push.reply().at("Content"), Some("你好"));
        assert_eq!(push.reply().encrypted, mode != Mode::Plain);
        edge.assert_outcomes(&[("replied", 1)]);
    }
}

#[test]
fn the_account_s_mode_decides_and_never_the_request() {
    for mode in [Mode::Safe, Mode::Compatible] {
        let app = App::start();
        let edge = edge().mode(mode).app(&app).start();
        let wechat = edge.wechat();
        let message = Message::text("hi");
        let sealed = wechat.seal(&message);
        let parameter = |name: &str| {
            let value =
                sealed.query.split('&').find_map(|pair| pair.strip_prefix(&format!("{name}=")));
            value.unwrap().to_owned()
        };
        let with_query = |query: String| Callback { query, body: sealed.body.clone() };
        let plain = wechat.clone().mode(Mode::Plain).seal(&message);
        let attempts = [
            ("plaintext", plain.clone()),
            (
                "plaintext that claims to be encrypted",
                Callback { query: sealed.query.clone(), ..plain },
            ),
            ("no encrypt_type", with_query(sealed.query.replace("&encrypt_type=aes", ""))),
            ("raw", with_query(sealed.query.replace("encrypt_type=aes", "encrypt_type=raw"))),
            (
                "only the 3-argument signature",
                with_query(
                    sealed
                        .query
                        .replace(&format!("&msg_signature={}", parameter("msg_signature")), ""),
                ),
            ),
            (
                "the 3-argument signature in the other's place",
                with_query(
                    sealed.query.replace(&parameter("msg_signature"), &parameter("signature")),
                ),
            ),
            ("another timestamp", with_query(sealed.query.replace("timestamp=1", "timestamp=2"))),
            ("another nonce", with_query(sealed.query.replace("nonce=", "nonce=1"))),
        ];
        for (name, attempt) in &attempts {
            assert_eq!(status(&wechat, attempt), 403, "{mode}: {name}");
        }
        assert_eq!(app.calls(), 0);
        edge.assert_outcomes(&[("rejected_signature", attempts.len() as u64)]);
        assert_eq!(wechat.deliver(&message).verdict, Verdict::Acknowledged, "the control");
        assert_eq!(app.calls(), 1);
    }
}

#[test]
fn the_plaintext_part_of_compatible_mode_does_not_count() {
    let app = App::start();
    let edge = edge().mode(Mode::Compatible).app(&app).start();
    let wechat = edge.wechat();
    let mut sealed = wechat.seal(&Message::text("genuine"));
    let forged = String::from_utf8(sealed.body).unwrap().replace("genuine", "forged!");
    sealed.body = forged.into_bytes();
    assert_eq!(status(&wechat, &sealed), 200);
    assert_eq!(app.only_request().json()["Content"], "genuine");
}

#[test]
fn a_changed_ciphertext_a_foreign_token_key_or_appid_are_refused_alike() {
    let app = App::start();
    let edge = edge().app(&app).start();
    let wechat = edge.wechat();
    let message = Message::text("hi");
    let mut changed = wechat.seal(&message);
    let text = String::from_utf8(changed.body).unwrap();
    let (head, tail) = text.split_once("<Encrypt><![CDATA[").unwrap();
    let first = if tail.starts_with('A') { "B" } else { "A" };
    changed.body = format!("{head}<Encrypt><![CDATA[{first}{}", &tail[1..]).into_bytes();
    assert_eq!(status(&wechat, &changed), 403);
    for (stranger, outcome) in [
        (wechat.clone().token(canary::TOKEN_WRONG), "rejected_signature"),
        (wechat.clone().aes_key(canary::AES_KEY_WRONG), "rejected_decrypt"),
        (wechat.clone().appid("wx0000000000000000"), "rejected_decrypt"),
    ] {
        assert_eq!(status(&stranger, &stranger.seal(&message)), 403, "{outcome}");
    }
    edge.assert_outcomes(&[("rejected_decrypt", 2), ("rejected_signature", 2)]);
    assert_eq!(app.calls(), 0);
}

#[test]
fn while_the_token_is_changed_both_are_good_and_the_reply_carries_the_one_that_came() {
    let both = Account::named("main").tokens(&[canary::TOKEN, canary::TOKEN_OLD]);
    for mode in Mode::ALL {
        let edge = edge().accounts([both.clone().mode(mode)]).start();
        for token in [canary::TOKEN, canary::TOKEN_OLD] {
            // The fake WeChat takes a reply only when its MsgSignature is by the Token it used itself.
            let wechat = edge.wechat().token(token);
            assert_eq!(wechat.push(&Message::text("hi")).reply().at("Content"), Some("hi"));
            assert_eq!(wechat.verify().verdict, Verdict::Acknowledged);
        }
        let stranger = edge.wechat().token(canary::TOKEN_WRONG);
        assert_eq!(status(&stranger, &stranger.seal(&Message::text("hi"))), 403);
    }
}

#[test]
fn while_the_key_is_changed_both_decrypt_and_the_reply_is_encrypted_with_the_one_that_did() {
    let both = Account::named("main").aes_keys(&[canary::AES_KEY, canary::AES_KEY_OLD]);
    let edge = edge().accounts([both]).start();
    for key in [canary::AES_KEY, canary::AES_KEY_OLD] {
        let wechat = edge.wechat().aes_key(key);
        assert_eq!(wechat.push(&Message::text("hi")).reply().at("Content"), Some("hi"));
    }
    let stranger = edge.wechat().aes_key(canary::AES_KEY_WRONG);
    assert_eq!(status(&stranger, &stranger.seal(&Message::text("hi"))), 403);
}

#[test]
fn a_timestamp_outside_the_window_is_a_replay_in_every_mode() {
    let app = App::answering(Answer::taken());
    for mode in Mode::ALL {
        let edge = edge().mode(mode).app(&app).start();
        let wechat = edge.wechat();
        let at =
            |offset: i64| status(&wechat, &wechat.seal_at(&Message::text("hi"), now_s() + offset));
        // Two seconds of room ahead: the edge looks at its clock a little later than we do.
        assert_eq!([at(-301), at(303), at(-100_000), at(-298), at(299)], [403, 403, 403, 200, 200]);
        edge.assert_outcomes(&[("acknowledged", 2), ("rejected_replay", 3)]);
    }
    assert_eq!(app.calls(), 6);
}
