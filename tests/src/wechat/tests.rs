//! A fake WeChat that takes everything proves nothing: it has to notice an edge that is late, wrong, or silent. The
//! edge here is a server that says what it is told.

use super::*;
use crate::app::{Answer, App, Deaf, Down};

/// WeChat in front of something that answers so.
fn wechat(answer: Answer) -> (App, Wechat) {
    let app = App::answering(answer);
    let wechat =
        Wechat::new(&app.url().split('?').next().unwrap().replace("localhost", "127.0.0.1"));
    (app, wechat)
}

fn plain(answer: Answer) -> (App, Wechat) {
    let (app, wechat) = wechat(answer);
    (app, wechat.mode(Mode::Plain))
}

/// A passive reply in XML, with what a test changes.
fn reply(message: &Message, msg_type: &str, content: &str) -> String {
    format!(
        "<xml><ToUserName>{}</ToUserName><FromUserName>{TO_USER}</FromUserName><CreateTime>1700000000</CreateTime><MsgType>{msg_type}</MsgType>{content}</xml>",
        message.openid()
    )
}

fn verdict(mode: Mode, message: &Message, body: impl Into<Vec<u8>>) -> Verdict {
    let wechat = Wechat::new("http://127.0.0.1/").mode(mode);
    wechat.verdict(message, &Ok(Response { status: 200, headers: Vec::new(), body: body.into() }))
}

#[test]
fn success_and_nothing_are_acknowledgements_and_other_texts_are_not() {
    let message = Message::text("hi");
    for mode in Mode::ALL {
        assert_eq!(verdict(mode, &message, "success"), Verdict::Acknowledged);
        assert_eq!(verdict(mode, &message, ""), Verdict::Acknowledged);
        for wrong in [
            "ok",
            "Success",
            "success\n",
            "{\"errcode\":0}",
            "<html></html>",
            "<xml></xml>",
            "\u{1}",
        ] {
            assert!(
                matches!(verdict(mode, &message, wrong), Verdict::BadReply(_)),
                "{mode} {wrong:?}"
            );
        }
    }
}

#[test]
fn replies_are_taken_only_when_they_are_complete_and_to_the_right_user() {
    let message = Message::text("hi");
    let good = [
        ("text", "<Content>a</Content>"),
        ("image", "<Image><MediaId>a</MediaId></Image>"),
        ("voice", "<Voice><MediaId>a</MediaId></Voice>"),
        ("video", "<Video><MediaId>a</MediaId></Video>"),
        ("music", "<Music><MusicUrl>a</MusicUrl></Music>"),
        ("transfer_customer_service", ""),
        (
            "news",
            "<ArticleCount>1</ArticleCount><Articles><item><Title>a</Title></item></Articles>",
        ),
    ];
    for (msg_type, content) in good {
        let taken = verdict(Mode::Plain, &message, reply(&message, msg_type, content));
        assert!(matches!(taken, Verdict::Replied(_)), "{msg_type}: {taken:?}");
        let other_user = reply(&Message::text("hi"), msg_type, content);
        assert!(
            matches!(verdict(Mode::Plain, &message, other_user), Verdict::BadReply(_)),
            "{msg_type}"
        );
    }
    let bad = [
        ("text", ""),
        ("text", "<Content></Content>"),
        ("image", "<MediaId>a</MediaId>"),
        ("video", "<Video><Title>a</Title></Video>"),
        ("music", ""),
        (
            "news",
            "<ArticleCount>2</ArticleCount><Articles><item><Title>a</Title></item></Articles>",
        ),
        ("news", "<ArticleCount>1</ArticleCount><Articles><item></item></Articles>"),
        ("mpnews", "<MediaId>a</MediaId>"),
        ("", "<Content>a</Content>"),
    ];
    for (msg_type, content) in bad {
        let refused = verdict(Mode::Plain, &message, reply(&message, msg_type, content));
        assert!(matches!(refused, Verdict::BadReply(_)), "{msg_type} {content}: {refused:?}");
    }
}

#[test]
fn encrypted_replies_are_opened_and_forged_ones_are_not() {
    let message = Message::text("hi");
    let inner = reply(&message, "text", "<Content>a</Content>");
    let envelope = |token: &str, key: &str, appid: &str| {
        let key = AesKey::parse(key).unwrap();
        let seal = wxedge_wechat::envelope::Seal {
            key: &key,
            token,
            appid,
            timestamp: 1_700_000_000,
            nonce: "1",
            random: *b"0123456789abcdef",
        };
        seal.seal(Format::Xml, inner.as_bytes())
    };
    let appid = "wx0123456789main";
    let right = envelope(canary::TOKEN, canary::AES_KEY, appid);
    assert!(
        matches!(verdict(Mode::Safe, &message, right.clone()), Verdict::Replied(r) if r.encrypted)
    );
    assert!(matches!(verdict(Mode::Compatible, &message, right.clone()), Verdict::Replied(_)));
    assert!(matches!(verdict(Mode::Plain, &message, right), Verdict::BadReply(_)));
    for wrong in [
        envelope(canary::TOKEN_WRONG, canary::AES_KEY, appid),
        envelope(canary::TOKEN, canary::AES_KEY_WRONG, appid),
        envelope(canary::TOKEN, canary::AES_KEY, "wx1"),
        inner.into_bytes(),
    ] {
        assert!(matches!(verdict(Mode::Safe, &message, wrong), Verdict::BadReply(_)));
    }
}

#[test]
fn money_wants_an_errcode_and_never_a_success() {
    let message = Message::event("xpay_goods_deliver_notify");
    assert_eq!(
        verdict(Mode::Plain, &message, r#"{"ErrCode":0,"ErrMsg":"x"}"#),
        Verdict::Acknowledged
    );
    for wrong in ["success", "", r#"{"ErrCode":1}"#, "{}"] {
        let refused = verdict(Mode::Plain, &message, wrong);
        assert!(matches!(refused, Verdict::NoReply(_)) && refused.is_sent_again(), "{wrong}");
    }
}

#[test]
fn a_silent_edge_gets_three_deliveries_of_one_message_under_fresh_signatures() {
    let (edge, wechat) = plain(Answer::hang());
    let wechat = wechat.patience(Duration::from_millis(80));
    let push = wechat.push(&Message::text("hi"));
    assert_eq!(push.deliveries.len(), 3);
    assert!(push.deliveries.iter().all(|d| d.verdict == Verdict::RequestTimeout));
    let requests = edge.await_calls(3);
    assert!(requests.iter().all(|request| request.body == requests[0].body));
    let mut targets: Vec<_> = requests.iter().map(|request| request.target.clone()).collect();
    targets.dedup();
    assert_eq!(targets.len(), 3);
    assert_eq!(wechat.report().failures[&Alarm::RequestTimeout], 3);
}

#[test]
fn it_waits_five_seconds_by_itself_and_not_longer() {
    let (_edge, wechat) = plain(Answer::hang());
    let late = wechat.deliver(&Message::text("hi"));
    assert_eq!(late.verdict, Verdict::RequestTimeout);
    assert!((4.9..5.5).contains(&late.took.as_secs_f64()), "{:?}", late.took);
}

#[test]
fn an_edge_that_breaks_is_told_apart() {
    for broken in
        [Answer::reset(), Answer::no_answer(), Answer::status(503), Answer::raw("nonsense\r\n\r\n")]
    {
        let (_edge, wechat) = plain(broken);
        let delivery = wechat.deliver(&Message::text("hi"));
        assert!(matches!(delivery.verdict, Verdict::NoReply(_)), "{delivery:?}");
        assert_eq!(delivery.verdict.alarm(), Some(Alarm::BadReply));
    }
    let cut_off = plain(Answer::new(200, "text/plain", "success").truncated());
    assert!(matches!(cut_off.1.deliver(&Message::text("hi")).verdict, Verdict::NoReply(_)));
    let (_edge, wechat) = plain(Answer::new(200, "text/html", "<html></html>"));
    let push = wechat.push(&Message::text("hi"));
    assert_eq!(push.deliveries.len(), 1, "the user has seen it; WeChat does not send it again");
    assert!(matches!(push.last().verdict, Verdict::BadReply(_)));
}

#[test]
fn an_edge_that_takes_no_connection_is_told_apart() {
    let down = Down::start();
    let gone = Wechat::new(&down.url()).deliver(&Message::text("hi"));
    assert_eq!(gone.verdict, Verdict::ConnectTimeout);
    let deaf = Deaf::full();
    let wechat = Wechat::new(&deaf.url()).patience(Duration::from_millis(200));
    assert_eq!(wechat.deliver(&Message::text("hi")).verdict, Verdict::ConnectTimeout);
    let nowhere = Wechat::new("http://wxedge.invalid/").deliver(&Message::text("hi"));
    assert_eq!(nowhere.verdict, Verdict::DnsFailure);
}

#[test]
fn a_verification_wants_its_echostr_back() {
    let (edge, wechat) = wechat(Answer::new(200, "text/plain", "success"));
    assert!(matches!(wechat.verify().verdict, Verdict::BadReply(_)));
    edge.choose(|request| {
        let echostr = request.target.split("echostr=").nth(1).unwrap();
        Answer::new(200, "text/plain", echostr)
    });
    assert_eq!(wechat.verify().verdict, Verdict::Acknowledged);
}

#[test]
fn it_stops_pushing_and_withholds() {
    let (edge, wechat) = plain(Answer::status(503));
    let wechat = wechat.ledger(Ledger::default().markfail(4));
    let pushes: Vec<_> =
        (0..4).map(|_| wechat.push(&Message::text("hi")).deliveries.len()).collect();
    assert_eq!(pushes, [3, 3, 0, 0]);
    assert_eq!(edge.calls(), 6);
    assert_eq!(wechat.report().withheld, 2);
    assert_eq!(wechat.report().alarms[&Alarm::MarkFail], 1);
}

#[test]
fn it_sends_wechat_s_headers() {
    let (edge, wechat) = plain(Answer::taken());
    assert_eq!(wechat.deliver(&Message::text("hi")).verdict, Verdict::Acknowledged);
    let request = edge.only_request();
    for (name, value) in [
        ("User-Agent", "Mozilla/4.0"),
        ("Accept", "*/*"),
        ("Pragma", "no-cache"),
        ("Content-Type", "text/xml"),
    ] {
        assert_eq!(request.header(name), Some(value));
    }
    for name in ["signature=", "&timestamp=", "&nonce=", "&openid="] {
        assert!(request.target.contains(name), "{name}");
    }
}
