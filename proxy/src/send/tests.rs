//! WeChat's part against an edge that is a few lines long.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use wxedge_wechat::envelope::{Envelope, Format, Seal};
use wxedge_wechat::message::Message;
use wxedge_wechat::query::Query;
use wxedge_wechat::signature::sign;

use super::*;
use crate::config::Mode;

const TOKEN: &str = "CanaryToken";
const OPENID: &str = "o00000000000000000000000beef";

fn config(mode: &str) -> Config {
    let text = format!(
        "[accounts.main]
        appid = 'wx1'
        token = '{TOKEN}'
        encoding_aes_keys = ['CanaryKey0123456789012345678901234567890123']
        mode = '{mode}'
        upstream.url = 'builtin:echo'"
    );
    Config::parse(&text, &BTreeMap::new()).unwrap()
}

fn moment() -> Moment {
    Moment::of(1_700_000_000_123_456, [7; 16], (0xbeef << 20) + 99)
}

/// Runs `check` with the sender and the text message 你好 in every mode.
fn in_every_mode(check: impl Fn(&Sender<'_>, &Outgoing)) {
    for mode in ["plain", "compatible", "safe"] {
        let config = config(mode);
        let sender = Sender::new(&config.accounts["main"], moment()).unwrap();
        let text = sender.xml(Kind::Text, "你好", None).unwrap();
        check(&sender, &sender.message(text.as_bytes()).unwrap());
    }
}

#[test]
fn the_message_has_wechat_s_layout() {
    let config = config("plain");
    let sender = Sender::new(&config.accounts["main"], moment()).unwrap();
    let xml = |kind, value, key| sender.xml(kind, value, key).unwrap();
    assert_eq!(
        xml(Kind::Text, "a]]>b", None),
        "<xml><ToUserName><![CDATA[gh_wxedge]]></ToUserName>
<FromUserName><![CDATA[o00000000000000000000000beef]]></FromUserName>
<CreateTime>1700000000</CreateTime>
<MsgType><![CDATA[text]]></MsgType>
<Content><![CDATA[a]]]]><![CDATA[>b]]></Content>
<MsgId>170000000012345603</MsgId>
</xml>"
    );
    let parsed = |text: &str, field: &str| {
        Message::parse(text.as_bytes()).unwrap().get(field).map(str::to_owned)
    };
    let rows = [
        (Kind::Text, "a]]>b", "text", "Content", "a]]>b"),
        (Kind::Image, "m1", "image", "MediaId", "m1"),
        (Kind::Voice, "m1", "voice", "MediaId", "m1"),
        (Kind::Video, "m1", "video", "ThumbMediaId", "m1"),
        (Kind::Location, "23.134521, 113.358803", "location", "Location_Y", "113.358803"),
        (Kind::Link, "https://a/?b&c", "link", "Url", "https://a/?b&c"),
        (Kind::Event, "SCAN", "event", "Event", "SCAN"),
    ];
    for (kind, value, msg_type, field, expected) in rows {
        let text = xml(kind, value, Some("key"));
        assert_eq!(parsed(&text, "MsgType").as_deref(), Some(msg_type));
        assert_eq!(parsed(&text, field).as_deref(), Some(expected));
        assert_eq!(parsed(&text, "MsgId").is_some(), kind != Kind::Event, "{kind:?}");
    }
    assert_eq!(parsed(&xml(Kind::Event, "SCAN", Some("key")), "EventKey").as_deref(), Some("key"));
    for wrong in ["", "1", "1,x", "inf,1"] {
        assert!(sender.xml(Kind::Location, wrong, None).is_err(), "{wrong}");
    }
    assert!(sender.message(b"<xml>").is_err());
}

#[test]
fn the_callback_is_signed_and_encrypted_in_the_account_s_mode() {
    in_every_mode(|sender, outgoing| {
        let query = Query::parse(&outgoing.query).unwrap();
        let expected = sign(&[TOKEN, query.timestamp, query.nonce]);
        assert!(query.signature.unwrap().matches(&expected));
        assert_eq!(query.openid.as_deref(), Some(OPENID));
        let envelope = Envelope::open(&outgoing.body).unwrap();
        let plain = Message::parse(&outgoing.body).unwrap().get("Content") == Some("你好");
        let (has_plain, has_cipher) = match sender.mode() {
            Mode::Plain => (true, false),
            Mode::Compatible => (true, true),
            Mode::Safe => (false, true),
        };
        assert_eq!(
            (plain, envelope.encrypt.is_some(), query.aes),
            (has_plain, has_cipher, has_cipher)
        );
        if let Some(encrypt) = envelope.encrypt {
            let expected = sign(&[TOKEN, query.timestamp, query.nonce, &encrypt]);
            assert!(query.msg_signature.unwrap().matches(&expected));
            let text = sender.push().key.decrypt(&encrypt, "wx1").unwrap();
            assert_eq!(Message::parse(&text).unwrap().get("Content"), Some("你好"));
        }
    });
}

fn reply_to(openid: &str) -> String {
    format!(
        "<xml><ToUserName><![CDATA[{openid}]]></ToUserName><MsgType><![CDATA[text]]></MsgType>\
         <Content><![CDATA[再见]]></Content></xml>"
    )
}

fn sealed(sender: &Sender<'_>, token: &str, text: &str) -> Vec<u8> {
    let push = sender.push();
    let (key, appid, timestamp, nonce) = (push.key, push.appid, push.timestamp, push.nonce);
    Seal { key, token, appid, timestamp, nonce, random: [9; 16] }.seal(Format::Xml, text.as_bytes())
}

fn words(
    status: u16,
    body: impl Into<Vec<u8>>,
    outgoing: &Outgoing,
    sender: &Sender<'_>,
) -> (bool, String) {
    let verdict = verdict::judge(&Answer::Http { status, body: body.into() }, outgoing, sender);
    (verdict.is_good(), verdict.to_string())
}

#[test]
fn good_answers_are_told_from_bad_ones() {
    in_every_mode(|sender, outgoing| {
        let judged = |status, body: Vec<u8>| words(status, body, outgoing, sender);
        let safe = sender.mode() == Mode::Safe;
        let encrypted = sender.mode() != Mode::Plain;

        for body in ["", "success"] {
            let (good, text) = judged(200, body.into());
            assert_eq!(
                (good, text.as_str()),
                (
                    true,
                    "good: success. WeChat is content and the user sees nothing; whether the app took the message or the edge covered for it is the `outcome` in the edge's log"
                )
            );
        }
        let (good, text) = judged(200, sealed(sender, TOKEN, &reply_to(OPENID)));
        assert_eq!(good, encrypted, "{text}");
        assert_eq!(text.ends_with("good: a reply. The user sees: 再见"), encrypted, "{text}");
        let (good, text) = judged(200, reply_to(OPENID).into());
        assert_eq!(good, !safe, "{text}");

        let bad: [(u16, Vec<u8>, &str); 6] = [
            (200, sealed(sender, "OtherToken", &reply_to(OPENID)), "bad: this"),
            (200, sealed(sender, TOKEN, &reply_to("oOther")), "bad: this"),
            (200, "SUCCESS".into(), "bad: this"),
            (200, "<html>Error</html>".into(), "bad: this"),
            (200, reply_to("oOther").into(), "bad: this"),
            (403, Vec::new(), "bad: status 403: refused"),
        ];
        for (status, body, expected) in bad {
            let (good, text) = judged(status, body);
            assert!(!good && text.contains(expected), "{text}");
        }
    });
}

#[test]
fn json_is_for_the_events_that_want_it() {
    let config = config("safe");
    let sender = Sender::new(&config.accounts["main"], moment()).unwrap();
    let answer = r#"{"ErrCode":0,"ErrMsg":"success"}"#;
    for (event, expected) in [("xpay_coin_pay_notify", true), ("CLICK", false)] {
        let text = sender.xml(Kind::Event, event, None).unwrap();
        let outgoing = sender.message(text.as_bytes()).unwrap();
        assert_eq!(words(200, answer, &outgoing, &sender).0, expected, "{event}");
    }
}

#[test]
fn a_verification_is_good_when_the_echostr_comes_back() {
    let config = config("safe");
    let sender = Sender::new(&config.accounts["main"], moment()).unwrap();
    let outgoing = sender.verification();
    let echostr = Query::parse(&outgoing.query).unwrap().echostr.unwrap().into_owned();
    assert!(words(200, echostr.as_str(), &outgoing, &sender).0);
    for wrong in ["", "success", &format!("\"{echostr}\"")] {
        assert!(!words(200, wrong, &outgoing, &sender).0, "{wrong}");
    }
}

#[test]
fn the_account_may_be_left_out_when_there_is_only_one() {
    let mut config = config("plain");
    assert_eq!(choose(&config, None).unwrap().name, "main");
    assert_eq!(
        choose(&config, Some("shop")).unwrap_err(),
        "there is no account shop; there are: main"
    );
    let account = config.accounts["main"].clone();
    config.accounts.insert("shop".to_owned(), account);
    let expected = "say which account with --account NAME; there are: main, shop";
    assert_eq!(choose(&config, None).unwrap_err(), expected);
    assert!(choose(&config, Some("shop")).is_ok());
}

#[test]
fn the_listener_is_reached_over_loopback() {
    let mut config = config("plain");
    let account = config.accounts["main"].clone();
    let rows = [
        ("0.0.0.0:8080", "http://127.0.0.1:8080/wechat/main"),
        ("[::]:8080", "http://[::1]:8080/wechat/main"),
        ("192.0.2.1:80", "http://192.0.2.1/wechat/main"),
    ];
    for (listener, expected) in rows {
        config.listen.callback = listener.parse().unwrap();
        assert_eq!(default_url(&config.listen, &account).unwrap().as_str(), expected);
    }
}

/// Serves one connection: reads a request, writes `answer`, and returns what it read.
fn serve(answer: &'static str) -> (Url, thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = Url::parse(&format!("http://{}/wechat/main?old=1", listener.local_addr().unwrap()))
        .unwrap();
    let thread = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"</xml>") {
            let mut byte = [0];
            if stream.read(&mut byte).unwrap() == 0 {
                break;
            }
            request.extend_from_slice(&byte);
        }
        stream.write_all(answer.as_bytes()).unwrap();
        String::from_utf8(request).unwrap()
    });
    (url, thread)
}

fn sent(url: &Url) -> Answer {
    let config = config("plain");
    let sender = Sender::new(&config.accounts["main"], moment()).unwrap();
    let text = sender.xml(Kind::Text, "你好", None).unwrap();
    post(url, &sender.message(text.as_bytes()).unwrap(), None).unwrap().0
}

#[test]
fn the_request_has_wechat_s_headers() {
    let (url, edge) = serve("HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\nsuccess");
    assert!(matches!(sent(&url), Answer::Http { status: 200, body } if body == b"success"));
    let request = edge.join().unwrap();
    assert!(request.starts_with("POST /wechat/main?signature="), "{request}");
    let head = request.split("\r\n\r\n").next().unwrap().to_lowercase();
    for header in [
        "user-agent: mozilla/4.0",
        "accept: */*",
        "pragma: no-cache",
        "content-type: text/xml",
        "connection: close",
    ] {
        assert_eq!(head.lines().filter(|line| *line == header).count(), 1, "{header}\n{head}");
    }
}

#[test]
fn a_named_user_is_who_it_comes_from() {
    let (url, edge) = serve("HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\nsuccess");
    let arguments = Arguments {
        config: PathBuf::new(),
        account: None,
        url: Some(url),
        ca: None,
        openid: Some(openid("oMyself_-1").unwrap()),
        file: None,
        kind: Some(Kind::Text),
        value: Some("hi".to_owned()),
        event_key: None,
    };
    assert!(exchange(&config("plain"), &arguments).unwrap().is_good());
    let request = edge.join().unwrap();
    assert!(request.contains("&openid=oMyself_-1"), "{request}");
    assert!(request.contains("<FromUserName><![CDATA[oMyself_-1]]></FromUserName>"), "{request}");
    for wrong in ["", "a b", "a]]>", &"o".repeat(65)] {
        assert!(openid(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn no_answer_is_explained_without_the_query() {
    let rows = [
        ("HTTP/1.1 200 OK\r\ncontent-length: 70\r\n\r\nsuccess", "the answer broke off: "),
        ("", "the answer broke off: "),
    ];
    for (answer, expected) in rows {
        let (url, edge) = serve(answer);
        let Answer::None { why } = sent(&url) else { panic!("{answer:?}") };
        assert!(why.starts_with(expected) && !why.contains("signature"), "{why}");
        edge.join().unwrap();
    }
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let Answer::None { why } = sent(&Url::parse(&format!("http://{free}/")).unwrap()) else {
        panic!()
    };
    assert_eq!(why, "no connection: Connection refused (os error 111)");
}

#[test]
fn a_redirect_is_not_followed() {
    let (url, edge) =
        serve("HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n");
    assert!(matches!(sent(&url), Answer::Http { status: 302, .. }));
    edge.join().unwrap();
}
