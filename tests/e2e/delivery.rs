//! §5 of the contract: what the app receives.

use serde_json::json;
use wxedge_tests::app::{App, Request};
use wxedge_tests::canary;
use wxedge_tests::edge::{Account, Edge};
use wxedge_tests::message::{Message, TO_USER, openid};
use wxedge_tests::wechat::{Format, Mode, Verdict};

use crate::edge;

/// Delivers one message and returns what the app got.
#[track_caller]
pub(crate) fn delivered(edge: &Edge, app: &App, message: &Message) -> Request {
    let before = app.calls();
    assert_eq!(edge.wechat().deliver(message).verdict, Verdict::Acknowledged);
    let requests = app.requests();
    assert_eq!(requests.len(), before + 1);
    requests[before].clone()
}

pub(crate) fn names(request: &Request) -> Vec<String> {
    let mut names: Vec<_> = request.headers.iter().map(|(name, _)| name.to_lowercase()).collect();
    names.sort();
    names
}

#[test]
fn the_app_gets_plain_json_and_these_headers_and_no_others() {
    for mode in Mode::ALL {
        let app = App::start();
        let edge = edge().mode(mode).app(&app).start();
        let message = Message::text("你好")
            .raw_field("CreateTime", "1700000000")
            .raw_field("MsgId", "23637352235060880");
        let request = delivered(&edge, &app, &message);
        let expected = json!({
            "ToUserName": TO_USER,
            "FromUserName": message.openid(),
            "CreateTime": 1_700_000_000,
            "MsgType": "text",
            "Content": "你好",
            "MsgId": "23637352235060880",
        });
        assert_eq!(request.json(), expected);
        assert_eq!(request.method, "POST");
        assert_eq!(
            request.target,
            format!("/wechat?key={}", canary::APP_KEY),
            "nothing of WeChat's query"
        );
        let all = [
            "ce-id",
            "ce-source",
            "ce-specversion",
            "ce-subject",
            "ce-time",
            "ce-type",
            "content-length",
            "content-type",
            "host",
            "idempotency-key",
            "traceparent",
            "webhook-id",
            "webhook-signature",
            "webhook-timestamp",
            "x-wxedge-account",
            "x-wxedge-attempt",
            "x-wxedge-deadline-ms",
        ];
        assert_eq!(names(&request), all);
        let id = request.header("ce-id").unwrap();
        assert!(
            id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase()),
            "{id}"
        );
        for (name, value) in [
            ("content-type", "application/json; charset=utf-8"),
            ("host", app.address().to_string().as_str()),
            ("ce-specversion", "1.0"),
            ("ce-source", "/wechat/wx0123456789main"),
            ("ce-type", "com.weixin.message.text"),
            ("ce-subject", message.openid()),
            ("ce-time", "2023-11-14T22:13:20Z"),
            ("idempotency-key", id),
            ("webhook-id", id),
            ("x-wxedge-account", "main"),
            ("x-wxedge-attempt", "1"),
        ] {
            assert_eq!(request.header(name), Some(value), "{name}");
        }
        let left: u64 = request.header("x-wxedge-deadline-ms").unwrap().parse().unwrap();
        assert!((2_500..=4_300).contains(&left), "{left} ms left of 4300");
        let trace: Vec<_> = request.header("traceparent").unwrap().split('-').collect();
        assert_eq!(trace.iter().map(|part| part.len()).collect::<Vec<_>>(), [2, 32, 16, 2]);
        assert_eq!(
            edge.await_log(1)[0]["request_id"],
            trace[1],
            "the log's line is found by the trace"
        );
        assert_eq!(edge.log()[0]["ce_id"], id);
    }
}

#[test]
fn values_are_strings_and_structure_is_kept() {
    let app = App::start();
    let edge = edge().app(&app).start();
    let message = Message::event("pic_sysphoto")
        .text_field("EventKey", "")
        .raw_field("Zeros", "007")
        .raw_field("Attributed", r#"<Inner kind="a">x</Inner>"#)
        .raw_field("Mixed", "before<B>b</B>")
        .raw_field(
            "SendPicsInfo",
            "<Count>1</Count><PicList><item><PicMd5Sum>m1</PicMd5Sum></item></PicList>",
        )
        .raw_field("Choices", "<Choice>a</Choice><Choice>b</Choice><Choice>c</Choice>")
        .raw_field("List", "<A>1</A>")
        .raw_field("Failed", "<fail_idx>1</fail_idx><fail_idx>2</fail_idx>")
        .raw_field("AroundBeacons", "<AroundBeacon><Uuid>u</Uuid></AroundBeacon>")
        .raw_field("Escaped", "&lt;a&gt; &amp; &#x4f60;&#22909; &quot;&apos;")
        .raw_field("NewIn2030", "<Nested><Deeper>yes</Deeper></Nested>");
    let json = delivered(&edge, &app, &message).json();
    let expected = json!({
        "EventKey": "",
        "Zeros": "007",
        "Attributed": {"Inner": {"@kind": "a", "#text": "x"}},
        "Mixed": {"B": "b", "#text": "before"},
        "SendPicsInfo": {"Count": "1", "PicList": {"item": [{"PicMd5Sum": "m1"}]}},
        "Choices": {"Choice": ["a", "b", "c"]},
        "List": [{"A": "1"}],
        "Failed": {"fail_idx": ["1", "2"]},
        "AroundBeacons": {"AroundBeacon": [{"Uuid": "u"}]},
        "Escaped": "<a> & 你好 \"'",
        "NewIn2030": {"Nested": {"Deeper": "yes"}},
    });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&json[name], value, "{name}");
    }
    assert!(json["CreateTime"].is_i64());
}

#[test]
fn json_callbacks_follow_the_same_rule() {
    for mode in Mode::ALL {
        let app = App::start();
        let edge = edge().mode(mode).app(&app).start();
        let message = Message::text("hi")
            .raw_field("MsgId", "23637352235060880123")
            .raw_field("Price", "1.50")
            .raw_field("Yes", "true")
            .raw_field("Nothing", "null")
            .raw_field("List", r#"{"PopupScene":0}"#)
            .raw_field("Ids", "[1,[2,\"3\"],{}]");
        assert_eq!(
            edge.wechat().format(Format::Json).deliver(&message).verdict,
            Verdict::Acknowledged
        );
        let json = app.only_request().json();
        for (name, value) in [
            ("MsgId", json!("23637352235060880123")),
            ("Price", json!("1.50")),
            ("Yes", json!("true")),
            ("Nothing", json!("")),
            ("List", json!([{"PopupScene": "0"}])),
            ("Ids", json!(["1", ["2", "3"], {}])),
            ("FromUserName", json!(message.openid())),
        ] {
            assert_eq!(json[name], value, "{name}");
        }
        assert!(json["CreateTime"].is_i64());
        assert_eq!(
            app.only_request().header("content-type"),
            Some("application/json; charset=utf-8")
        );
    }
}

#[test]
fn types_and_subjects_are_named_and_encoded() {
    let app = App::start();
    let edge = edge().app(&app).start();
    let ticket = Message::event("x").without("Event").without("MsgType").without("FromUserName");
    let ticket = ticket.text_field("InfoType", "component_verify_ticket");
    let odd = "oCanary \"é%";
    for (message, kind, subject) in [
        (Message::event("CLICK").from("oCanary1"), "com.weixin.event.click", Some("oCanary1")),
        (Message::text("hi").from(odd), "com.weixin.message.text", Some("oCanary%20%22%C3%A9%25")),
        (
            Message::event("subscribe").text_field("MsgType", "Event"),
            "com.weixin.event.subscribe",
            None,
        ),
        (ticket, "com.weixin.info.component_verify_ticket", None),
        (Message::of("unheard_of", &[]), "com.weixin.message.unheard_of", None),
    ] {
        let request = delivered(&edge, &app, &message);
        assert_eq!(request.header("ce-type"), Some(kind));
        if subject.is_some() {
            assert_eq!(request.header("ce-subject"), subject);
        }
    }
    assert_eq!(app.requests()[3].header("ce-subject"), None, "nobody sent it");
}

#[test]
fn the_id_is_the_same_for_a_repeat_and_after_a_restart_and_for_nothing_else() {
    let id = |request: &Request| request.header("ce-id").unwrap().to_owned();
    let app = App::start();
    let other = Account::named("other").url(&app.url());
    let both = edge().app(&app).and(other);
    let first = both.start();
    let message = Message::text("hi");
    let user = openid();
    let one = id(&delivered(&first, &app, &message));
    let same_number =
        Message::text("hi").raw_field("MsgId", message.get("MsgId").unwrap()).from(&user);
    let event = Message::event("CLICK").from(&user).text_field("EventKey", "a");
    let ids = [
        one.clone(),
        id(&delivered(&first, &app, &same_number)),
        id(&delivered(&first, &app, &event)),
        id(&delivered(&first, &app, &event.clone().text_field("EventKey", "b"))),
    ];
    assert_eq!(first.wechat_of("other").deliver(&message).verdict, Verdict::Acknowledged);
    let elsewhere = id(app.requests().last().unwrap());
    let mut all = ids.to_vec();
    all.push(elsewhere);
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 5, "five messages");

    let folder = first.folder();
    drop(first);
    let second = both.folder(&folder).start();
    assert_eq!(id(&delivered(&second, &app, &message)), one);
    assert_eq!(id(&delivered(&second, &app, &event)), ids[2]);
}
