//! §6 of the contract: what the app may answer and what WeChat gets, in each mode.

use serde_json::{Value, json};
use wxedge_tests::app::{Answer, App};
use wxedge_tests::edge::Edge;
use wxedge_tests::message::{Message, TO_USER};
use wxedge_tests::wechat::{Delivery, Format, Mode, Reply, Verdict};

use crate::edge;

const MODES: [Mode; 2] = [Mode::Plain, Mode::Safe];

/// An edge in front of the app, whose answer each test sets.
fn start(mode: Mode) -> (App, Edge) {
    let app = App::start();
    let edge = edge().mode(mode).app(&app).start();
    (app, edge)
}

/// Delivers a text to an app that answers so.
fn deliver(app: &App, edge: &Edge, answer: Answer) -> Delivery {
    app.answer(answer);
    edge.wechat().deliver(&Message::text("hi"))
}

#[track_caller]
fn is_success(delivery: &Delivery, what: &str) {
    assert_eq!(delivery.verdict, Verdict::Acknowledged, "{what}");
    assert_eq!(delivery.body(), b"success", "{what}");
    let content_type = delivery.response.as_ref().unwrap().header("content-type");
    assert_eq!(content_type, Some("text/plain; charset=utf-8"), "{what}");
}

#[test]
fn an_app_with_nothing_to_say_is_a_success() {
    for mode in MODES {
        let (app, edge) = start(mode);
        let bodies = [
            "",
            "success",
            "SUCCESS",
            "ok",
            "OK",
            "true",
            "True",
            "1",
            "null",
            " success\r\n",
            "{}",
            r#"{"code":0,"data":[]}"#,
            r#"{"msgtype":null}"#,
            "[]",
            r#"[{"msgtype":"text"}]"#,
            "0",
            r#""done""#,
        ];
        for body in bodies {
            for content_type in ["application/json", "text/plain"] {
                // As plain text only what is an acknowledgement is one.
                if content_type == "text/plain" && (body.starts_with(['[', '"']) || body == "0") {
                    continue;
                }
                is_success(&deliver(&app, &edge, Answer::new(200, content_type, body)), body);
            }
        }
        for status in [201, 202, 204] {
            is_success(&deliver(&app, &edge, Answer::status(status)), "2xx");
        }
        let calls = app.calls() as u64;
        edge.assert_outcomes(&[("acknowledged", calls)]);
        edge.assert_count("wxedge_upstream_failures_total", &[], 0.0);
    }
}

/// Every passive reply, in customer-service form and as WeChat shows it.
fn replies() -> Vec<(Value, Vec<(&'static str, &'static str)>)> {
    vec![
        (
            json!({"msgtype": "text", "text": {"content": "hi"}}),
            vec![("MsgType", "text"), ("Content", "hi")],
        ),
        (
            json!({"msgtype": "TEXT", "TEXT": {"content": "no"}, "text": {"content": "hi"}}),
            vec![("Content", "hi")],
        ),
        (
            json!({"msgtype": "image", "image": {"media_id": "m1"}}),
            vec![("MsgType", "image"), ("Image/MediaId", "m1")],
        ),
        (
            json!({"msgtype": "voice", "voice": {"media_id": "m2"}}),
            vec![("MsgType", "voice"), ("Voice/MediaId", "m2")],
        ),
        (
            json!({"msgtype": "video", "video": {"media_id": "m3", "thumb_media_id": "t", "title": "T", "description": "D"}}),
            vec![
                ("MsgType", "video"),
                ("Video/MediaId", "m3"),
                ("Video/Title", "T"),
                ("Video/Description", "D"),
            ],
        ),
        (
            json!({"msgtype": "music", "music": {"title": "T", "description": "D", "musicurl": "http://a/?b=1&c=2", "hqmusicurl": "http://b", "thumb_media_id": "t"}}),
            vec![
                ("MsgType", "music"),
                ("Music/Title", "T"),
                ("Music/Description", "D"),
                ("Music/MusicUrl", "http://a/?b=1&c=2"),
                ("Music/HQMusicUrl", "http://b"),
                ("Music/ThumbMediaId", "t"),
            ],
        ),
        (
            json!({"msgtype": "news", "news": {"articles": [{"title": "T", "description": "D", "url": "http://u", "picurl": "http://p"}]}}),
            vec![
                ("MsgType", "news"),
                ("ArticleCount", "1"),
                ("Articles/item/Title", "T"),
                ("Articles/item/Description", "D"),
                ("Articles/item/Url", "http://u"),
                ("Articles/item/PicUrl", "http://p"),
            ],
        ),
        (
            json!({"msgtype": "transfer_customer_service"}),
            vec![("MsgType", "transfer_customer_service")],
        ),
        (
            json!({"msgtype": "transfer_customer_service", "transfer_customer_service": {"kf_account": "kf@1"}}),
            vec![("MsgType", "transfer_customer_service"), ("TransInfo/KfAccount", "kf@1")],
        ),
    ]
}

#[track_caller]
fn says(reply: &Reply, expected: &[(&str, &str)]) {
    for (path, text) in expected {
        assert_eq!(reply.at(path), Some(*text), "{path} in {}", reply.text);
    }
}

#[test]
fn every_passive_reply_is_made_of_its_customer_service_form() {
    for mode in Mode::ALL {
        let (app, edge) = start(mode);
        for (json, expected) in replies() {
            // The first byte tells what it is, not the content type.
            for content_type in ["application/json", "text/plain", "text/html"] {
                let delivery =
                    deliver(&app, &edge, Answer::new(200, content_type, json.to_string()));
                says(delivery.reply(), &expected);
                assert_eq!(delivery.reply().encrypted, mode != Mode::Plain);
                let answer = delivery.response.as_ref().unwrap();
                assert_eq!(answer.header("content-type"), Some("text/xml; charset=utf-8"));
            }
        }
        edge.assert_outcomes(&[("replied", app.calls() as u64)]);
    }
}

#[test]
fn json_callbacks_get_json_replies() {
    for mode in Mode::ALL {
        let (app, edge) = start(mode);
        let wechat = edge.wechat().format(Format::Json);
        for (json, expected) in replies() {
            app.answer(Answer::json(&json));
            let message = Message::text("hi");
            let delivery = wechat.deliver(&message);
            says(delivery.reply(), &expected);
            let reply: Value = serde_json::from_str(&delivery.reply().text).unwrap();
            assert_eq!(reply["ToUserName"], message.openid());
            assert!(reply["CreateTime"].is_i64());
            let answer = delivery.response.unwrap();
            assert_eq!(answer.header("content-type"), Some("application/json; charset=utf-8"));
        }
        app.answer(Answer::taken());
        assert_eq!(wechat.deliver(&Message::text("hi")).body(), b"success");
    }
}

#[test]
fn kinds_without_a_passive_form_are_a_success() {
    for mode in MODES {
        let (app, edge) = start(mode);
        for (kind, content) in [
            ("mpnews", json!({"media_id": "m"})),
            ("mpnewsarticle", json!({"article_id": "a"})),
            ("wxcard", json!({"card_id": "c"})),
            (
                "msgmenu",
                json!({"head_content": "h", "list": [{"id": "1", "content": "c"}], "tail_content": "t"}),
            ),
            (
                "miniprogrampage",
                json!({"title": "t", "appid": "wx1", "pagepath": "p", "thumb_media_id": "m"}),
            ),
        ] {
            let mut answer = json!({"msgtype": kind});
            answer[kind] = content;
            is_success(&deliver(&app, &edge, Answer::json(&answer)), kind);
        }
        edge.assert_outcomes(&[("acknowledged", 5)]);
        assert!(edge.await_log(5).iter().all(|line| line["reason"] == "customer_service"));
        edge.assert_count("wxedge_upstream_failures_total", &[], 0.0);
    }
}

#[test]
fn plain_text_is_a_text_reply() {
    for mode in MODES {
        let (app, edge) = start(mode);
        for content_type in ["text/plain", "text/plain; charset=utf-8", "Text/Plain"] {
            let delivery = deliver(&app, &edge, Answer::new(200, content_type, "  好的, done\n"));
            says(delivery.reply(), &[("MsgType", "text"), ("Content", "好的, done")]);
        }
    }
}

#[test]
fn xml_is_checked_and_addressed_anew() {
    for mode in MODES {
        let (app, edge) = start(mode);
        let xml = "<xml><ToUserName>somebody</ToUserName><FromUserName>else</FromUserName><CreateTime>1</CreateTime><MsgType><![CDATA[text]]></MsgType><Content><![CDATA[a < b & c]]></Content></xml>";
        for body in [
            xml.to_owned(),
            format!("\u{feff}\n{xml}"),
            xml.replace("<CreateTime>1</CreateTime>", ""),
        ] {
            let before = wxedge_tests::message::now_s();
            let delivery = deliver(&app, &edge, Answer::new(200, "text/xml", body));
            // The names are checked by the fake WeChat.
            says(
                delivery.reply(),
                &[("MsgType", "text"), ("Content", "a < b & c"), ("FromUserName", TO_USER)],
            );
            let time: i64 = delivery.reply().at("CreateTime").unwrap().parse().unwrap();
            assert!((before..=before + 20).contains(&time), "{time}");
        }
        let news = "<xml><MsgType>news</MsgType><ArticleCount>9</ArticleCount><Articles><item><Title>1</Title></item><item><Title>2</Title></item></Articles></xml>";
        let delivery = deliver(&app, &edge, Answer::new(200, "text/xml", news));
        says(delivery.reply(), &[("ArticleCount", "2"), ("Articles/item/Title", "1")]);
    }
}

#[test]
fn what_is_no_reply_is_a_success_and_counted_invalid() {
    let bodies: [(&str, &[u8]); 14] = [
        ("text/html", b"<html><body>Internal error</body></html>"),
        ("application/octet-stream", b"\x00\x01\x02"),
        ("application/json", b"hello"),
        ("application/json", b"{\"msgtype\":"),
        ("application/json", br#"{"msgtype":"text"}"#),
        ("application/json", br#"{"msgtype":"text","text":{"content":""}}"#),
        ("application/json", br#"{"msgtype":"text","text":{"content":" "}}"#),
        ("application/json", br#"{"msgtype":"image","image":{}}"#),
        ("application/json", br#"{"msgtype":"news","news":{"articles":[]}}"#),
        ("application/json", br#"{"msgtype":7}"#),
        ("application/json", br#"{"msgtype":"mpnews"}"#),
        ("text/xml", b"<xml><MsgType>text</MsgType>"),
        ("text/xml", b"<xml><MsgType>mpnews</MsgType></xml>"),
        ("text/plain", b"\xff\xfe"),
    ];
    for mode in MODES {
        let (app, edge) = start(mode);
        for (content_type, body) in bodies {
            let what = String::from_utf8_lossy(body);
            is_success(&deliver(&app, &edge, Answer::new(200, content_type, body)), &what);
        }
        edge.assert_outcomes(&[("acknowledged", bodies.len() as u64)]);
        let invalid = [("account", "main"), ("reason", "invalid")];
        edge.assert_count("wxedge_upstream_failures_total", &invalid, bodies.len() as f64);
        edge.assert_count("wxedge_upstream_failures_total", &[], bodies.len() as f64);
    }
}

#[test]
fn every_other_status_is_a_success_and_a_failure_of_the_app() {
    for mode in MODES {
        let (app, edge) = start(mode);
        let elsewhere = App::start();
        let statuses = [
            500, 501, 502, 503, 504, 429, 408, 401, 403, 404, 400, 405, 410, 413, 422, 300, 301,
            302, 303, 304, 307, 308,
        ];
        for status in statuses {
            let body =
                if status == 304 { "" } else { r#"{"msgtype":"text","text":{"content":"no"}}"# };
            let answer =
                Answer::new(status, "application/json", body).header("location", &elsewhere.url());
            is_success(&deliver(&app, &edge, answer), &status.to_string());
        }
        let failed = statuses.len() as f64;
        assert_eq!(app.calls(), statuses.len(), "none is tried again within the callback");
        assert_eq!(elsewhere.calls(), 0, "redirects are not followed");
        edge.assert_outcomes(&[("fallback_error", statuses.len() as u64)]);
        edge.assert_count("wxedge_upstream_failures_total", &[("reason", "status")], failed);
        edge.assert_count("wxedge_upstream_failures_total", &[], failed);
    }
}

#[test]
fn any_text_makes_a_valid_reply_and_arrives_as_it_was_written() {
    let text = "a]]>b]]]]>c & <d> \"e\" 😀👨‍👩‍👧 \u{1}\u{8}\u{1f}\t\n中文 /:share ]]>";
    let shown: String = text.chars().filter(|c| *c >= ' ' || "\t\n".contains(*c)).collect();
    for mode in Mode::ALL {
        let (app, edge) = start(mode);
        let delivery = deliver(&app, &edge, Answer::text(text));
        says(delivery.reply(), &[("Content", &shown)]);
        let delivery = edge.wechat().deliver(&Message::text(text));
        assert_eq!(delivery.reply().at("Content"), Some(shown.as_str()));
        assert_eq!(app.requests()[1].json()["Content"], text);
    }
}

#[test]
fn replies_to_events_that_nobody_reads_are_dropped() {
    for mode in MODES {
        let (app, edge) = start(mode);
        app.answer(Answer::text("nobody reads this"));
        for event in
            ["unsubscribe", "TEMPLATESENDJOBFINISH", "MASSSENDJOBFINISH", "wxa_nickname_audit"]
        {
            is_success(&edge.wechat().deliver(&Message::event(event)), event);
        }
        edge.assert_outcomes(&[("acknowledged", 4)]);
        assert!(edge.await_log(4).iter().all(|line| line["reason"] == "content_dropped"));
        let subscribed = edge.wechat().deliver(&Message::event("subscribe"));
        says(subscribed.reply(), &[("Content", "nobody reads this")]);
    }
}

#[test]
fn the_built_in_app_echoes_texts_and_images_and_takes_the_rest() {
    for mode in Mode::ALL {
        let edge = edge().mode(mode).start();
        let wechat = edge.wechat();
        says(wechat.deliver(&Message::text("ab]]>c")).reply(), &[("Content", "ab]]>c")]);
        let image = Message::of("image", &[("PicUrl", "http://p"), ("MediaId", "m1")]);
        says(wechat.deliver(&image).reply(), &[("MsgType", "image"), ("Image/MediaId", "m1")]);
        let voice = Message::of("voice", &[("MediaId", "m1"), ("Format", "amr")]);
        for message in [voice, Message::event("subscribe"), Message::of("unheard_of", &[])] {
            is_success(&wechat.deliver(&message), "the rest");
        }
        edge.assert_outcomes(&[("acknowledged", 3), ("replied", 2)]);
    }
}
