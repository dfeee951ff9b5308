//! §6 of the contract, the rows that end in a passive reply: every kind, from every form, in every mode.

use serde_json::{Value, json};
use wxedge_tests::app::Answer;
use wxedge_tests::message::{Message, TO_USER};
use wxedge_tests::wechat::{Format, Mode, Reply};

use crate::answers::{MODES, deliver, is_success, start};
use crate::edge;

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
