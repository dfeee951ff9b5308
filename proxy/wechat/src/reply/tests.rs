use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::message::Format;

const TEXT: &str = "<xml><ToUserName>gh_1</ToUserName><FromUserName>oABC</FromUserName><MsgType>text</MsgType></xml>";
const EVENT: &str =
    "<xml><FromUserName>oABC</FromUserName><MsgType>event</MsgType><Event>NAME</Event></xml>";
const HEAD: &str = "<xml><ToUserName><![CDATA[oABC]]></ToUserName><FromUserName><![CDATA[gh_1]]></FromUserName>\
                    <CreateTime>5</CreateTime><MsgType><![CDATA[";

fn answer_to(callback: &str, content_type: Option<&str>, body: &str) -> Answer {
    Answer::interpret(content_type, body.as_bytes(), &Message::parse(callback.as_bytes()).unwrap())
}

fn answer(body: &str) -> Answer {
    answer_to(TEXT, Some("application/json"), body)
}

fn plain(body: &str) -> Answer {
    answer_to(TEXT, Some("text/plain; charset=utf-8"), body)
}

fn rendered(answer: Answer, format: Format) -> String {
    let Answer::Reply(reply) = answer else { panic!("{answer:?}") };
    String::from_utf8(reply.render(format, "oABC", "gh_1", 5)).unwrap()
}

/// What stands after the names and the type.
fn xml(answer: Answer) -> String {
    let xml = rendered(answer, Format::Xml);
    let rest = xml.strip_prefix(HEAD).unwrap_or_else(|| panic!("{xml}"));
    rest.replace("]]></MsgType>", ":").strip_suffix("</xml>").unwrap().to_owned()
}

#[test]
fn nothing_to_say_is_an_acknowledgement() {
    for body in [
        "",
        " \r\n",
        "success",
        "SUCCESS",
        "ok",
        "Ok\n",
        "true",
        "True",
        "1",
        "null",
        "\u{feff}success",
    ] {
        for content_type in [None, Some("text/plain"), Some("application/json"), Some("text/html")]
        {
            assert_eq!(
                answer_to(TEXT, content_type, body),
                Answer::Acknowledge,
                "{body:?} {content_type:?}"
            );
        }
    }
    for json in [
        "{}",
        r#"{"code":0}"#,
        r#"{"msgtype":null}"#,
        "[]",
        "0",
        "false",
        "\"success\"",
        r#"{"MsgType":"text"}"#,
    ] {
        assert_eq!(answer(json), Answer::Acknowledge, "{json}");
    }
    assert_eq!(answer_to(TEXT, Some("text/plain"), "{}"), Answer::Acknowledge);
}

#[test]
fn plain_text_is_a_text_reply() {
    for content_type in
        ["text/plain", "Text/Plain", "text/plain;charset=utf-8", " text/plain ; x=y"]
    {
        assert_eq!(
            xml(answer_to(TEXT, Some(content_type), "你好\n")),
            "text:<Content><![CDATA[你好]]></Content>"
        );
    }
    for text in ["[微笑]", "<3 you", "2", "\"hi\"", "successful"] {
        assert_eq!(xml(plain(text)), format!("text:<Content><![CDATA[{text}]]></Content>"));
    }
    for content_type in [None, Some("text/html"), Some("text/plainer"), Some("application/json")] {
        assert_eq!(
            answer_to(TEXT, content_type, "你好"),
            Answer::Invalid(InvalidReply::Unrecognized),
            "{content_type:?}"
        );
    }
}

#[test]
fn every_kind_of_passive_reply_is_rendered_from_json() {
    for (json, expected) in [
        (r#"{"msgtype":"text","text":{"content":"hi"}}"#, "text:<Content><![CDATA[hi]]></Content>"),
        (r#"{"msgtype":"Text","touser":"x","text":{"content":"hi"}}"#.replace("Text\"", "TEXT\"").leak(), "text:<Content><![CDATA[hi]]></Content>"),
        (r#"{"msgtype":"image","image":{"media_id":"m"}}"#, "image:<Image><MediaId><![CDATA[m]]></MediaId></Image>"),
        (r#"{"msgtype":"voice","voice":{"media_id":"m"}}"#, "voice:<Voice><MediaId><![CDATA[m]]></MediaId></Voice>"),
        (
            r#"{"msgtype":"video","video":{"media_id":"m","thumb_media_id":"t","title":"T","description":""}}"#,
            "video:<Video><MediaId><![CDATA[m]]></MediaId><Title><![CDATA[T]]></Title></Video>",
        ),
        (
            r#"{"msgtype":"music","music":{"title":"T","description":"D","musicurl":"u","hqmusicurl":"h","thumb_media_id":"t"}}"#,
            "music:<Music><Title><![CDATA[T]]></Title><Description><![CDATA[D]]></Description><MusicUrl><![CDATA[u]]></MusicUrl>\
             <HQMusicUrl><![CDATA[h]]></HQMusicUrl><ThumbMediaId><![CDATA[t]]></ThumbMediaId></Music>",
        ),
        (
            r#"{"msgtype":"news","news":{"articles":[{"title":"T","description":"D","url":"u","picurl":"p"},{"title":"U"}]}}"#,
            "news:<ArticleCount>2</ArticleCount><Articles><item><Title><![CDATA[T]]></Title><Description><![CDATA[D]]></Description>\
             <PicUrl><![CDATA[p]]></PicUrl><Url><![CDATA[u]]></Url></item><item><Title><![CDATA[U]]></Title></item></Articles>",
        ),
        (r#"{"msgtype":"transfer_customer_service"}"#, "transfer_customer_service:"),
        (
            r#"{"msgtype":"transfer_customer_service","transfer_customer_service":{"kf_account":"a@b"}}"#,
            "transfer_customer_service:<TransInfo><KfAccount><![CDATA[a@b]]></KfAccount></TransInfo>",
        ),
    ] {
        assert_eq!(xml(answer(json)), expected, "{json}");
        assert_eq!(xml(plain(json)), expected, "the content type does not count");
        // The same again, as an app that speaks XML would send it, with names of its own.
        let again = rendered(answer(json), Format::Xml).replace("oABC", "liar").replace(">5<", ">not a time<");
        assert_eq!(xml(answer(&again)), expected, "{again}");
        // And in the JSON that a JSON callback gets.
        let json: Value = serde_json::from_str(&rendered(answer(json), Format::Json)).unwrap();
        let back = Message::parse(rendered(answer(&again), Format::Xml).as_bytes()).map(|message| {
            let mut out = Vec::new();
            message.write_json(&mut out);
            serde_json::from_slice::<Value>(&out).unwrap()
        });
        assert_eq!(json["CreateTime"], 5);
        assert_eq!(json["MsgType"], back.unwrap()["MsgType"]);
    }
}

#[test]
fn json_callbacks_get_json_with_the_names_of_xml() {
    for (json, expected) in [
        (
            json!({"msgtype": "text", "text": {"content": "\"hi\"\n"}}),
            json!({"Content": "\"hi\"\n"}),
        ),
        (
            json!({"msgtype": "image", "image": {"media_id": "m"}}),
            json!({"Image": {"MediaId": "m"}}),
        ),
        (
            json!({"msgtype": "news", "news": {"articles": [{"title": "T"}, {"title": "U", "url": "u"}]}}),
            json!({"ArticleCount": 2, "Articles": [{"Title": "T"}, {"Title": "U", "Url": "u"}]}),
        ),
        (json!({"msgtype": "transfer_customer_service"}), json!({})),
    ] {
        let mut expected = expected;
        expected["ToUserName"] = "oABC".into();
        expected["FromUserName"] = "gh_1".into();
        expected["CreateTime"] = 5.into();
        expected["MsgType"] = json["msgtype"].clone();
        let rendered = rendered(answer(&json.to_string()), Format::Json);
        assert_eq!(serde_json::from_str::<Value>(&rendered).unwrap(), expected);
    }
}

#[test]
fn news_are_cut_at_eight() {
    let articles: Vec<Value> = (0..10).map(|n| json!({"title": format!("t{n}")})).collect();
    let xml = xml(answer(&json!({"msgtype": "news", "news": {"articles": articles}}).to_string()));
    assert!(xml.contains("<ArticleCount>8</ArticleCount>"));
    assert_eq!(xml.matches("<item>").count(), 8);
    assert!(xml.contains("t7") && !xml.contains("t8"));
}

#[test]
fn what_wechat_would_refuse_is_invalid() {
    for (body, why) in [
        (r#"{"msgtype":"text""#, InvalidReply::Json),
        ("{hello}", InvalidReply::Json),
        (r#"{"msgtype":5}"#, InvalidReply::Kind),
        (r#"{"msgtype":"text"}"#, InvalidReply::Incomplete),
        (r#"{"msgtype":"text","text":"hi"}"#, InvalidReply::Incomplete),
        (r#"{"msgtype":"text","text":{"content":7}}"#, InvalidReply::Incomplete),
        (r#"{"msgtype":"text","text":{"content":""}}"#, InvalidReply::EmptyText),
        (r#"{"msgtype":"text","text":{"content":" \n"}}"#, InvalidReply::EmptyText),
        (r#"{"msgtype":"text","text":{"content":"\u0001"}}"#, InvalidReply::EmptyText),
        (r#"{"msgtype":"image","image":{"media_id":""}}"#, InvalidReply::Incomplete),
        (r#"{"msgtype":"music","music":{}}"#, InvalidReply::Incomplete),
        (r#"{"msgtype":"news","news":{"articles":[]}}"#, InvalidReply::Incomplete),
        (r#"{"msgtype":"news","news":{"articles":[{"url":"u"}]}}"#, InvalidReply::Incomplete),
        (r#"{"msgtype":"mpnews"}"#, InvalidReply::Incomplete),
        ("<xml><MsgType>text</MsgType>", InvalidReply::Xml),
        ("<xml><!DOCTYPE a></xml>", InvalidReply::Xml),
        ("<xml></xml>", InvalidReply::Kind),
        ("<xml><MsgType>wxcard</MsgType></xml>", InvalidReply::Kind),
        ("<xml><MsgType>text</MsgType></xml>", InvalidReply::Incomplete),
        ("<xml><MsgType>text</MsgType><Content> </Content></xml>", InvalidReply::EmptyText),
        ("<xml><MsgType>image</MsgType><MediaId>m</MediaId></xml>", InvalidReply::Incomplete),
        (
            "<xml><MsgType>news</MsgType><ArticleCount>1</ArticleCount></xml>",
            InvalidReply::Incomplete,
        ),
        ("<html>Error 500</html>", InvalidReply::Unrecognized),
        ("Error 500:", InvalidReply::Unrecognized),
    ] {
        assert_eq!(answer(body), Answer::Invalid(why), "{body}");
    }
    assert_eq!(plain("{hello}"), Answer::Invalid(InvalidReply::Json));
    let message = Message::parse(TEXT.as_bytes()).unwrap();
    assert_eq!(
        Answer::interpret(Some("text/plain"), b"\xc4\xe3", &message),
        Answer::Invalid(InvalidReply::Encoding)
    );
    assert!(
        matches!(plain(&"x".repeat(1_000_000)), Answer::Reply(_)),
        "longer than WeChat takes is WeChat's to say"
    );
}

#[test]
fn kinds_without_a_passive_form_go_by_customer_service() {
    for kind in ["mpnews", "WXCARD", "msgmenu", "miniprogrampage", "mpnewsarticle", "tomorrow"] {
        let name = kind.to_lowercase();
        let body = json!({"msgtype": kind, "touser": "liar", &name: {"id": 1}});
        let Answer::CustomerService(json) = answer(&body.to_string()) else { panic!("{kind}") };
        assert_eq!(
            Value::Object(json),
            json!({"msgtype": name, "touser": "oABC", &name: {"id": 1}})
        );
    }
}

/// What is sent when the answer comes too late, as the bodies that go out.
fn late(answer: &Answer) -> Vec<String> {
    answer
        .customer_service_messages("oX")
        .into_iter()
        .map(|m| Value::Object(m).to_string())
        .collect()
}

/// The texts of what is sent.
fn late_texts(answer: &Answer) -> Vec<String> {
    let text =
        |body: String| serde_json::from_str::<Value>(&body).unwrap()["text"]["content"].clone();
    late(answer).into_iter().map(|body| text(body).as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_late_reply_becomes_a_customer_service_message() {
    for body in [
        json!({"msgtype": "text", "text": {"content": "hi"}}),
        json!({"msgtype": "image", "image": {"media_id": "m"}}),
        json!({"msgtype": "video", "video": {"media_id": "m", "thumb_media_id": "t"}}),
        json!({"msgtype": "music", "music": {"musicurl": "u", "hqmusicurl": "h"}}),
        json!({"msgtype": "news", "news": {"articles": [{"title": "T", "picurl": "p"}]}}),
        json!({"msgtype": "wxcard", "wxcard": {"card_id": "c"}, "customservice": {"kf_account": "k@1"}}),
    ] {
        let mut expected = body.clone();
        expected["touser"] = "oX".into();
        assert_eq!(late(&answer(&body.to_string())), [expected.to_string()]);
    }
    for body in ["success", r#"{"msgtype":"transfer_customer_service"}"#, r#"{"msgtype":"text"}"#] {
        assert_eq!(late(&answer(body)), [""; 0], "{body}");
    }
}

#[test]
fn late_articles_go_out_one_by_one() {
    let news = json!({"msgtype": "news", "news": {"articles": [{"title": "T", "url": "u"}, {"title": "U"}]}});
    let one = |article| {
        json!({"touser": "oX", "msgtype": "news", "news": {"articles": [article]}}).to_string()
    };
    assert_eq!(
        late(&answer(&news.to_string())),
        [one(json!({"title": "T", "url": "u"})), one(json!({"title": "U"}))]
    );
}

#[test]
fn late_text_goes_out_as_it_is_written() {
    let body = r#"{"msgtype":"text","text":{"content":"\u4e2d\u6587 \ud83d\ude00 <a href=\"u\">é</a>\n"}}"#;
    let expected =
        r#"{"msgtype":"text","text":{"content":"中文 😀 <a href=\"u\">é</a>\n"},"touser":"oX"}"#;
    assert_eq!(late(&answer(body)), [expected]);
}

#[test]
fn long_late_text_is_cut_between_characters() {
    for (text, lengths) in [
        ("x".repeat(2048), vec![2048]),
        ("x".repeat(2049), vec![2048, 1]),
        ("中".repeat(683), vec![2046, 3]),
        (format!("x{}", "😀".repeat(1024)), vec![2045, 2048, 4]),
    ] {
        let pieces = late_texts(&plain(&text));
        assert_eq!(pieces.iter().map(String::len).collect::<Vec<_>>(), lengths);
        assert_eq!(pieces.concat(), text);
    }
    let blank_end = format!("{}{}", "x".repeat(2048), "\n\u{3000}".repeat(10_000));
    let text = json!({"msgtype": "text", "text": {"content": blank_end}});
    assert_eq!(late_texts(&answer(&text.to_string())), ["x".repeat(2048)]);
}

proptest! {
    #[test]
    fn no_late_text_is_too_long_and_none_is_lost(text in "[a中😀é]{1,3000}") {
        let pieces = late_texts(&plain(&text));
        prop_assert!(pieces.iter().all(|piece| (1..=2048).contains(&piece.len())));
        prop_assert!(pieces[1..].iter().zip(&pieces).all(|(_, full)| full.len() > 2044));
        prop_assert_eq!(pieces.concat(), text);
    }
}

#[test]
fn content_for_an_event_that_takes_none_is_dropped() {
    let unsubscribe = EVENT.replace("NAME", "unsubscribe");
    for body in [
        r#"{"msgtype":"text","text":{"content":"hi"}}"#,
        r#"{"msgtype":"wxcard","wxcard":{}}"#,
        "bye",
    ] {
        assert_eq!(answer_to(&unsubscribe, Some("text/plain"), body), Answer::Dropped, "{body}");
    }
    assert_eq!(answer_to(&unsubscribe, None, "success"), Answer::Acknowledge);
    assert_eq!(answer_to(&unsubscribe, None, "{"), Answer::Invalid(InvalidReply::Json));
}

#[test]
fn money_and_logistics_get_the_apps_own_words() {
    let deliver = EVENT.replace("NAME", "xpay_goods_deliver_notify");
    for body in [
        r#"{"ErrCode":1,"ErrMsg":"no"}"#,
        r#"{ "msgtype": "text" }"#,
        "{}",
        "<xml><ErrCode>0</ErrCode></xml>",
    ] {
        assert_eq!(
            answer_to(&deliver, None, &format!(" {body}\n")),
            Answer::Verbatim(body.as_bytes().to_vec()),
            "{body}"
        );
    }
    for (body, expected) in [
        ("", Answer::Acknowledge),
        ("success", Answer::Acknowledge),
        ("[]", Answer::Acknowledge),
        ("{", Answer::Invalid(InvalidReply::Json)),
        ("<xml>", Answer::Invalid(InvalidReply::Xml)),
        ("hello", Answer::Invalid(InvalidReply::Unrecognized)),
    ] {
        assert_eq!(answer_to(&deliver, None, body), expected, "{body}");
    }
    assert_eq!(answer_to(&deliver, Some("text/plain"), "hello"), Answer::Dropped);
}

#[test]
fn labels_are_unique() {
    let all = [
        InvalidReply::Encoding,
        InvalidReply::Json,
        InvalidReply::Xml,
        InvalidReply::Unrecognized,
        InvalidReply::Kind,
        InvalidReply::Incomplete,
        InvalidReply::EmptyText,
    ];
    let labels: std::collections::HashSet<_> = all.iter().map(|invalid| invalid.label()).collect();
    assert_eq!(labels.len(), all.len());
}

proptest! {
    /// Whatever the text, the XML is valid, holds one reply, and shows the user what the app said.
    #[test]
    fn any_text_arrives(text in prop_oneof![".{1,40}", "[\\]>\\[<&!CDAT\u{0}-\u{9}\u{fffe}😀]{1,20}"], format in prop_oneof![Just(Format::Xml), Just(Format::Json)]) {
        let body = json!({"msgtype": "text", "text": {"content": text}}).to_string();
        let Answer::Reply(reply) = answer(&body) else {
            prop_assert!(text.chars().all(|c| c.is_whitespace() || !crate::xml::is_xml(c)));
            return Ok(());
        };
        let wire = reply.render(format, "o]]>A", "gh_1", 5);
        let back = Message::parse(&wire).unwrap();
        let expected: String = match format {
            Format::Xml => text.chars().filter(|c| crate::xml::is_xml(*c)).collect(),
            Format::Json => text,
        };
        prop_assert_eq!(back.get("Content"), Some(&*expected));
        prop_assert_eq!(back.to_user(), Some("o]]>A"));
        prop_assert_eq!(back.from_user(), Some("gh_1"));
        prop_assert_eq!(back.create_time(), Some(5));
        if format == Format::Xml {
            // An independent parser agrees.
            let wire = std::str::from_utf8(&wire).unwrap();
            let mut reader = quick_xml::Reader::from_str(wire);
            while !matches!(reader.read_event().unwrap(), quick_xml::events::Event::Eof) {}
            prop_assert!(wire.chars().all(crate::xml::is_xml));
        }
    }
}
