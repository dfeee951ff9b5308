use std::time::Duration;

use proptest::prelude::*;
use serde::Deserialize;
use serde_json::{Value, json};

use super::*;
use crate::envelope::Envelope;

const TEXT: &str = "<xml><ToUserName><![CDATA[gh_1]]></ToUserName>\n<FromUserName><![CDATA[oABC]]></FromUserName>\n\
                    <CreateTime>1700000000</CreateTime>\n<MsgType><![CDATA[text]]></MsgType>\n\
                    <Content><![CDATA[你好]]></Content>\n<MsgId>23637352235060880</MsgId>\n</xml>";

fn written(body: &str) -> String {
    let mut out = Vec::new();
    Message::parse(body.as_bytes()).unwrap_or_else(|e| panic!("{e}: {body}")).write_json(&mut out);
    String::from_utf8(out).unwrap()
}

fn event(fields: &str) -> String {
    format!(
        "<xml><ToUserName>gh_1</ToUserName><FromUserName>oABC</FromUserName><CreateTime>1700000000</CreateTime>\
         <MsgType>event</MsgType>{fields}</xml>"
    )
}

fn named_event(name: &str) -> String {
    event(&format!("<Event>{name}</Event>"))
}

#[test]
fn a_text_message_becomes_the_json_of_the_contract() {
    assert_eq!(
        written(TEXT),
        r#"{"ToUserName":"gh_1","FromUserName":"oABC","CreateTime":1700000000,"MsgType":"text","Content":"你好","MsgId":"23637352235060880"}"#
    );
    let message = Message::parse(TEXT.as_bytes()).unwrap();
    assert_eq!(message.format(), Format::Xml);
    assert_eq!((message.from_user(), message.to_user()), (Some("oABC"), Some("gh_1")));
    assert_eq!(message.create_time(), Some(1_700_000_000));
    assert_eq!(message.get("Content"), Some("你好"));
    assert_eq!((message.get("content"), message.event()), (None, None));
}

#[test]
fn values_stay_as_sent_but_for_create_time() {
    for (xml, expected) in [
        ("<a>007</a>", r#"{"a":"007"}"#),
        ("<a> x </a>", r#"{"a":" x "}"#),
        ("<a> </a>", r#"{"a":" "}"#),
        ("<a></a><b/><c><![CDATA[]]></c>", r#"{"a":"","b":"","c":""}"#),
        (
            "<a>\"\\/\n\t\r\u{1}\u{7f}</a>",
            r#"{"a":"\"\\/\n\t\r\u0001"}"#.replace("1\"}", "1\u{7f}\"}").leak(),
        ),
        ("<a>&lt;&#20320;&#x597d;&amp;lt;</a>", r#"{"a":"<你好&lt;"}"#),
        ("<a><![CDATA[&lt;<b>]]></a>", r#"{"a":"&lt;<b>"}"#),
        ("<a>x<![CDATA[]]]]><![CDATA[>]]>y<!-- c -->z</a>", r#"{"a":"x]]>yz"}"#),
        ("<CreateTime>007</CreateTime>", r#"{"CreateTime":7}"#),
        ("<CreateTime>-1</CreateTime>", r#"{"CreateTime":-1}"#),
        ("<CreateTime>9223372036854775807</CreateTime>", r#"{"CreateTime":9223372036854775807}"#),
        ("<CreateTime>9223372036854775808</CreateTime>", r#"{"CreateTime":"9223372036854775808"}"#),
        ("<CreateTime>+1</CreateTime>", r#"{"CreateTime":"+1"}"#),
        ("<CreateTime> 1</CreateTime>", r#"{"CreateTime":" 1"}"#),
        ("<CreateTime></CreateTime>", r#"{"CreateTime":""}"#),
        ("<CreateTime>1.5</CreateTime>", r#"{"CreateTime":"1.5"}"#),
        ("<a><CreateTime>1</CreateTime></a>", r#"{"a":{"CreateTime":"1"}}"#),
        ("<a CreateTime=\"1\"/>", r#"{"a":{"@CreateTime":"1"}}"#),
    ] {
        assert_eq!(written(&format!("<xml>{xml}</xml>")), expected, "{xml}");
    }
}

#[test]
fn nesting_repetition_attributes_and_mixed_text_have_their_json() {
    for (xml, expected) in [
        ("", "{}"),
        (" \n ", "{}"),
        ("text", r##"{"#text":"text"}"##),
        ("<a>\n <b>1</b>\n </a>", r#"{"a":{"b":"1"}}"#),
        ("<a>1</a><b>2</b><a>3</a>", r#"{"a":["1","3"],"b":"2"}"#),
        ("<a>1</a><a><b>2</b></a><a/>", r#"{"a":["1",{"b":"2"},""]}"#),
        ("<item>1</item>", r#"{"item":["1"]}"#),
        ("<item>1</item><item>2</item>", r#"{"item":["1","2"]}"#),
        ("<a><List><b>1</b></List></a>", r#"{"a":{"List":[{"b":"1"}]}}"#),
        ("<fail_idx>1</fail_idx><AroundBeacon/>", r#"{"fail_idx":["1"],"AroundBeacon":[""]}"#),
        ("<a x=\"1\" y='&lt;'>t</a>", r##"{"a":{"@x":"1","@y":"<","#text":"t"}}"##),
        ("<a x=\"1\"/>", r#"{"a":{"@x":"1"}}"#),
        ("<a x=\"1\"> </a>", r#"{"a":{"@x":"1"}}"#),
        ("<a x=\"1\"><x>2</x></a>", r#"{"a":{"@x":"1","x":"2"}}"#),
        ("<a>one<b>2</b> three <b/></a>", r##"{"a":{"b":["2",""],"#text":"one three "}}"##),
        ("<a> <b/>x</a>", r##"{"a":{"b":"","#text":"x"}}"##),
    ] {
        assert_eq!(written(&format!("<xml>{xml}</xml>")), expected, "{xml}");
    }
    assert_eq!(written("<xml a=\"1\"><b/></xml>"), r#"{"@a":"1","b":""}"#);
    assert_eq!(written("<xml/>"), "{}");
}

#[test]
fn json_callbacks_follow_the_same_rule() {
    for (json, expected) in [
        ("{}", "{}"),
        (
            r#"{"MsgId":23637352235060880,"a":1.50,"b":-0,"c":1E+9}"#,
            r#"{"MsgId":"23637352235060880","a":"1.50","b":"-0","c":"1E+9"}"#,
        ),
        (r#"{"a":true,"b":false,"c":null}"#, r#"{"a":"true","b":"false","c":""}"#),
        (r#"{"CreateTime":1700000000}"#, r#"{"CreateTime":1700000000}"#),
        (r#"{"CreateTime":"1700000000"}"#, r#"{"CreateTime":1700000000}"#),
        (r#"{"CreateTime":1.5}"#, r#"{"CreateTime":"1.5"}"#),
        (r#"{"CreateTime":[1]}"#, r#"{"CreateTime":["1"]}"#),
        (r#"{"List":{"a":1}}"#, r#"{"List":[{"a":"1"}]}"#),
        (r#"{"List":[{"a":1},{"a":2}]}"#, r#"{"List":[{"a":"1"},{"a":"2"}]}"#),
        (r#"{"List":[]}"#, r#"{"List":[]}"#),
        (
            r#"{"a":[],"b":{},"c":[[1],[]],"d":[null]}"#,
            r#"{"a":[],"b":{},"c":[["1"],[]],"d":[""]}"#,
        ),
        (r#"{"a":1,"a":2}"#, r#"{"a":["1","2"]}"#),
        (r#"{" OpenID" : "o" }"#, r#"{"OpenID":"o"}"#),
        (
            r#"{"a":"\"\\\/\b\f\n\r\t\u4f60\ud83d\ude00"}"#,
            "{\"a\":\"\\\"\\\\/\\u0008\\u000c\\n\\r\\t你😀\"}",
        ),
        ("{\"a\":\"x\ny\u{0}\"}", r#"{"a":"x\ny\u0000"}"#),
        (" \u{feff}\r\n{\"a\" : [ 1 , 2 ] }\n", r#"{"a":["1","2"]}"#),
    ] {
        assert_eq!(written(json), expected, "{json}");
    }
    assert_eq!(Message::parse(b"{}").unwrap().format(), Format::Json);
}

#[test]
fn an_escaped_name_is_the_same_name() {
    let message = Message::parse(br#"{"\u004dsgType":"text"}"#).unwrap();
    assert_eq!(message.kind(), Kind::Text);
    assert_eq!(written(r#"{"a\"b":1}"#), r#"{"a\"b":"1"}"#);
}

#[derive(Deserialize)]
struct Hostile {
    name: String,
    body: Option<String>,
    body_hex: Option<String>,
    status: u16,
    reason: Option<String>,
}

/// The same table is thrown at the running edge.
#[test]
fn hostile_bodies_are_refused_for_their_reason_and_odd_ones_taken() {
    let table: Vec<Hostile> =
        serde_json::from_str(include_str!("../../../../tests/data/hostile_xml.json")).unwrap();
    assert!(table.len() > 80, "{}", table.len());
    for Hostile { name, body, body_hex, status, reason } in table {
        let body = body.map(String::into_bytes).unwrap_or_else(|| unhex(&body_hex.unwrap()));
        let parsed = Message::parse(&body);
        let opened = Envelope::open(&body);
        assert_eq!(
            parsed.as_ref().err(),
            opened.as_ref().err(),
            "{name}: an envelope is as strict as a message"
        );
        match parsed {
            Ok(message) => {
                assert_eq!(status, 200, "{name}");
                message.write_json(&mut Vec::new());
            }
            Err(error) => {
                assert_eq!((status, Some(error.reason())), (400, reason.as_deref()), "{name}")
            }
        }
    }
}

fn unhex(hex: &str) -> Vec<u8> {
    hex.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

#[test]
fn an_empty_body_is_no_message_but_an_empty_envelope() {
    for body in ["", " ", "\u{feff}", "\u{feff}\r\n"] {
        assert_eq!(Message::parse(body.as_bytes()).err(), Some(ParseError::Empty));
        let envelope = Envelope::open(body.as_bytes()).unwrap();
        assert_eq!((envelope.format, envelope.encrypt), (Format::Xml, None));
    }
}

#[test]
fn an_envelope_gives_the_one_top_level_ciphertext() {
    for (body, format, encrypt) in [
        (
            "<xml><ToUserName>a</ToUserName><Encrypt><![CDATA[AB+/==]]></Encrypt></xml>",
            Format::Xml,
            Some("AB+/=="),
        ),
        ("<xml><Encrypt>A&#66;<![CDATA[C]]></Encrypt></xml>", Format::Xml, Some("ABC")),
        ("<xml><a><Encrypt>AB</Encrypt></a></xml>", Format::Xml, None),
        ("<xml><Encrypt><a>AB</a></Encrypt></xml>", Format::Xml, None),
        ("<xml><encrypt>AB</encrypt></xml>", Format::Xml, None),
        ("<xml><Encrypt>A<b/>B</Encrypt></xml>", Format::Xml, None),
        ("<xml><Encrypt a=\"1\">AB</Encrypt></xml>", Format::Xml, None),
        ("<xml><Encrypt/></xml>", Format::Xml, None),
        (r#"{"Encrypt":null}"#, Format::Json, None),
        (r#"{"ToUserName":"a","Encrypt":"AB\/\u003d"}"#, Format::Json, Some("AB/=")),
        (r#"{"a":{"Encrypt":"AB"},"Encrypt":["AB"]}"#, Format::Json, None),
    ] {
        let envelope = Envelope::open(body.as_bytes()).unwrap();
        assert_eq!((envelope.format, envelope.encrypt.as_deref()), (format, encrypt), "{body}");
    }
}

#[test]
fn kinds_go_by_msg_type_without_case() {
    for kind in Kind::ALL {
        let body = format!("<xml><MsgType>{}</MsgType></xml>", kind.label().to_uppercase());
        let expected = match kind {
            Kind::Verification | Kind::Other | Kind::Unknown => Kind::Other,
            kind => kind,
        };
        assert_eq!(Message::parse(body.as_bytes()).unwrap().kind(), expected, "{body}");
    }
    for (body, kind) in [
        ("<xml><MsgType>miniprogrampage</MsgType></xml>", Kind::Other),
        ("<xml><MsgType> text</MsgType></xml>", Kind::Other),
        ("<xml><MsgType/></xml>", Kind::Unknown),
        ("<xml><MsgType><a>text</a></MsgType></xml>", Kind::Unknown),
        ("<xml><a><MsgType>text</MsgType></a></xml>", Kind::Unknown),
        ("<xml><InfoType>authorized</InfoType></xml>", Kind::Event),
        ("<xml><InfoType>authorized</InfoType><MsgType>text</MsgType></xml>", Kind::Text),
        (r#"{"action":"CheckContainerPath"}"#, Kind::Unknown),
    ] {
        assert_eq!(Message::parse(body.as_bytes()).unwrap().kind(), kind, "{body}");
    }
}

#[test]
fn labels_are_unique_and_snake_case() {
    let labels: std::collections::HashSet<_> = Kind::ALL.iter().map(|kind| kind.label()).collect();
    assert_eq!(labels.len(), Kind::ALL.len());
    assert!(labels.iter().all(|label| label.bytes().all(|b| b.is_ascii_lowercase())));
}

#[test]
fn cloudevents_types_are_lower_case_and_bounded() {
    for (body, expected) in [
        (TEXT.to_owned(), "com.weixin.message.text"),
        (named_event("subscribe"), "com.weixin.event.subscribe"),
        (named_event("TEMPLATESENDJOBFINISH"), "com.weixin.event.templatesendjobfinish"),
        (event(""), "com.weixin.event.unknown"),
        (named_event(&"x".repeat(65)), "com.weixin.event.unknown"),
        (
            "<xml><InfoType>component_verify_ticket</InfoType></xml>".into(),
            "com.weixin.info.component_verify_ticket",
        ),
        ("<xml><MsgType>ShortVideo</MsgType></xml>".into(), "com.weixin.message.shortvideo"),
        ("<xml/>".into(), "com.weixin.message.unknown"),
    ] {
        assert_eq!(Message::parse(body.as_bytes()).unwrap().ce_type(), expected, "{body}");
    }
}

#[test]
fn the_subject_is_the_user() {
    let about = |body: &str| Message::parse(body.as_bytes()).unwrap().subject().map(str::to_owned);
    assert_eq!(about(TEXT).as_deref(), Some("oABC"));
    for (fields, subject) in [
        ("<Event>CLICK</Event><OpenID>oX</OpenID>", "oABC"),
        ("<Event>user_authorization_revoke</Event><OpenID>oX</OpenID>", "oX"),
        ("<Event>User_Info_Modified</Event><OpenID>oX</OpenID>", "oX"),
        ("<Event>user_authorization_cancellation</Event>", "oABC"),
        ("<Event>user_info_modified</Event><OpenID/>", "oABC"),
    ] {
        assert_eq!(about(&event(fields)).as_deref(), Some(subject), "{fields}");
    }
    assert_eq!(about("<xml><InfoType>authorized</InfoType></xml>"), None);
    assert_eq!(about("<xml><FromUserName/></xml>"), None);
}

#[test]
fn classes_follow_the_catalogue() {
    let class = |body: &str| Message::parse(body.as_bytes()).unwrap().class();
    for name in [
        "subscribe",
        "SCAN",
        "LOCATION",
        "CLICK",
        "VIEW",
        "view_miniprogram",
        "scancode_push",
        "scancode_waitmsg",
        "pic_weixin",
        "location_select",
        "user_enter_tempsession",
        "kf_create_session",
        "debug_demo",
        "WifiConnected",
        "ShakearoundUserShake",
        "user_get_card",
        "user_enter_session_from_card",
        "subscribe_msg_popup_event",
        "tomorrow",
    ] {
        assert_eq!(class(&named_event(name)), Class::Conversation, "{name}");
    }
    for name in [
        "unsubscribe",
        "UnSubscribe",
        "TEMPLATESENDJOBFINISH",
        "MASSSENDJOBFINISH",
        "PUBLISHJOBFINISH",
        "weapp_audit_success",
        "weapp_audit_delay",
        "wxa_nickname_audit",
        "wxa_media_check",
        "wxa_privacy_apply",
        "wx_verify_pay_succ",
        "add_nearby_poi_audit_info",
        "secvod_audit_event",
        "trade_manage_remind_shipping",
        "qualification_verify_success",
        "naming_verify_fail",
        "annual_renew",
        "card_pass_check",
        "poi_check_notify",
        "user_info_modified",
        "subscribe_msg_sent_event",
        "add_express_path",
        "retail_refund_notify",
    ] {
        assert_eq!(class(&named_event(name)), Class::NoContent, "{name}");
    }
    for name in [
        "xpay_goods_deliver_notify",
        "XPAY_coin_pay_notify",
        "minigame_h5_goods_deliver_notify",
        "add_waybill",
        "cancel_waybill",
        "notify_single_waybill_pay",
        "check_biz",
        "get_quota",
        "transport_add_order",
    ] {
        assert_eq!(class(&named_event(name)), Class::Verbatim, "{name}");
    }
    assert_eq!(class(TEXT), Class::Conversation);
    assert_eq!(class(&TEXT.replace("text", "xpay_")), Class::Conversation);
    assert_eq!(class("<xml><InfoType>component_verify_ticket</InfoType></xml>"), Class::NoContent);
    assert_eq!(class(&event("")), Class::NoContent);
}

#[test]
fn users_may_be_written_to_for_two_days_or_a_minute() {
    let window = |body: &str| Message::parse(body.as_bytes()).unwrap().reply_window();
    let typed = |name: &str| window(&format!("<xml><MsgType>{name}</MsgType></xml>"));
    for name in [
        "text",
        "image",
        "voice",
        "video",
        "shortvideo",
        "location",
        "link",
        "miniprogrampage",
        "TEXT",
    ] {
        assert_eq!(typed(name), Some(Duration::from_secs(172_800)), "{name}");
    }
    for name in [
        "CLICK",
        "click",
        "subscribe",
        "SCAN",
        "Scan",
        "scancode_push",
        "scancode_waitmsg",
        "user_enter_tempsession",
    ] {
        assert_eq!(window(&named_event(name)), Some(Duration::from_secs(60)), "{name}");
    }
    for name in [
        "unsubscribe",
        "VIEW",
        "LOCATION",
        "pic_weixin",
        "TEMPLATESENDJOBFINISH",
        "xpay_goods_deliver_notify",
        "",
    ] {
        assert_eq!(window(&named_event(name)), None, "{name}");
    }
    for name in ["event", "music", "transfer_customer_service", ""] {
        assert_eq!(typed(name), None, "{name}");
    }
    let info = "<xml><InfoType>component_verify_ticket</InfoType></xml>";
    assert_eq!(window(info), None);
    assert_eq!(
        window(r#"{"MsgType":"event","Event":"user_enter_tempsession"}"#),
        Some(Duration::from_secs(60))
    );
}

#[test]
fn acknowledgements_and_minigames() {
    let parse = |body: &str| Message::parse(body.as_bytes()).unwrap().acknowledgement();
    assert_eq!(parse(TEXT), b"success");
    assert_eq!(parse(&named_event("unsubscribe")), b"success");
    assert_eq!(parse(&named_event("xpay_refund_notify")), br#"{"ErrCode":0,"ErrMsg":"success"}"#);
    for (name, minigame) in [
        ("minigame_coin_deliver_completed", true),
        ("MiniGame_x", true),
        ("minigame", false),
        ("xminigame_", false),
        ("小游戏小游戏", false),
    ] {
        assert_eq!(
            Message::parse(named_event(name).as_bytes()).unwrap().is_minigame(),
            minigame,
            "{name}"
        );
    }
}

fn identity(body: &str) -> String {
    Message::parse(body.as_bytes()).unwrap().identity("wx1").to_string()
}

#[test]
fn a_message_is_known_by_sender_and_id() {
    let id = identity(TEXT);
    assert_eq!(id.len(), 32);
    // Anything else may differ between two deliveries.
    assert_eq!(
        identity(&TEXT.replace("1700000000", "1700000005").replace("你好", "x").replace('\n', "")),
        id
    );
    let json = r#"{"MsgId":23637352235060880,"FromUserName":"oABC","MsgType":"text"}"#;
    assert_eq!(identity(json), id);
    assert_ne!(identity(&TEXT.replace("23637352235060880", "23637352235060881")), id);
    assert_ne!(identity(&TEXT.replace("oABC", "oABD")), id);
    assert_ne!(Message::parse(TEXT.as_bytes()).unwrap().identity("wx2").to_string(), id);
}

/// The `ce-id` is stored and must not change between versions of the edge. Computed with Python's
/// hashlib.
#[test]
fn identities_are_what_they_were() {
    assert_eq!(identity(TEXT), "3e099568f16d65faf8c8612324211662");
    assert_eq!(
        identity(&event("<Event>CLICK</Event><EventKey>k</EventKey>")),
        "31cbe197699ad82b899063272046ddd2"
    );
}

#[test]
fn an_event_is_known_by_all_of_it() {
    let card =
        event("<Event>user_get_card</Event><EventKey>k</EventKey><UserCardCode>1</UserCardCode>");
    let id = identity(&card);
    assert_eq!(identity(&card.replace("><", ">\n<")), id, "layout does not count");
    for (from, to) in [
        ("oABC", "oABD"),
        ("1700000000", "1700000001"),
        ("user_get_card", "user_del_card"),
        ("<EventKey>k", "<EventKey>l"),
        ("<UserCardCode>1", "<UserCardCode>2"),
        ("<UserCardCode>1</UserCardCode>", ""),
        ("<UserCardCode>1</UserCardCode>", "<UserCardCod>e1</UserCardCod>"),
        ("<UserCardCode>1</UserCardCode>", "<UserCardCode><a>1</a></UserCardCode>"),
        ("<UserCardCode>1</UserCardCode>", "<UserCardCode a=\"1\"/>"),
        ("<UserCardCode>1</UserCardCode>", "<UserCardCode>1</UserCardCode><MsgId>1</MsgId>"),
    ] {
        let other = card.replace(from, to);
        assert_ne!(other, card);
        assert_ne!(identity(&other), id, "{from} -> {to}");
    }
}

#[test]
fn nothing_can_be_shifted_between_fields() {
    let shifted = [
        event("<Event>ab</Event><EventKey>c</EventKey>"),
        event("<Event>a</Event><EventKey>bc</EventKey>"),
        event("<Event>abc</Event>"),
        event("<Event>ab</Event><x>c</x>"),
        event("<Event>ab</Event><x>c</x><y/>"),
        event("<Event>ab</Event><x>c<y/></x>"),
        event("<Event>ab</Event><x/><y>c</y>"),
        TEXT.replace("oABC", "oABC2").replace("236", "36"),
        TEXT.to_owned(),
    ];
    let ids: std::collections::HashSet<_> = shifted.iter().map(|body| identity(body)).collect();
    assert_eq!(ids.len(), shifted.len());
}

#[test]
fn third_party_pushes_have_identities_too() {
    let ticket = "<xml><AppId>wx1</AppId><CreateTime>1</CreateTime><InfoType>component_verify_ticket</InfoType>\
                  <ComponentVerifyTicket>t</ComponentVerifyTicket></xml>";
    assert_eq!(identity(ticket), identity(ticket));
    assert_ne!(identity(ticket), identity(&ticket.replace(">t<", ">u<")));
    assert_ne!(
        identity(ticket),
        identity(&ticket.replace("component_verify_ticket", "authorized"))
    );
}

/// A tree to be written as XML and found again in the JSON.
#[derive(Clone, Debug)]
enum Tree {
    Leaf(String),
    Branch(Vec<(String, Tree)>),
}

fn tree() -> impl Strategy<Value = Tree> {
    let text =
        prop_oneof![".{0,12}", "[<>&\"'\\]\\[ \n\u{1}-\u{8}你😀]{0,8}", Just("]]>".to_owned())];
    text.prop_map(Tree::Leaf).prop_recursive(4, 40, 5, |inner| {
        prop::collection::vec(("[A-Za-z_][A-Za-z0-9_.-]{0,3}|item|List|a", inner), 1..5)
            .prop_map(Tree::Branch)
    })
}

/// XML, by choice as CDATA or as escaped text.
fn to_xml(tree: &Tree, cdata: bool, out: &mut String) {
    match tree {
        Tree::Leaf(text) if cdata => {
            out.push_str("<![CDATA[");
            out.push_str(&text.replace("]]>", "]]]]><![CDATA[>"));
            out.push_str("]]>");
        }
        Tree::Leaf(text) => out.push_str(&text.replace('&', "&amp;").replace('<', "&lt;")),
        Tree::Branch(children) => {
            for (name, child) in children {
                out.push_str(&format!("\n<{name}>"));
                to_xml(child, !cdata, out);
                out.push_str(&format!("</{name}>"));
            }
        }
    }
}

/// What the contract says the JSON is, built the slow way.
fn to_json(tree: &Tree) -> Value {
    let children = match tree {
        Tree::Leaf(text) => return json!(text),
        Tree::Branch(children) => children,
    };
    let mut object = serde_json::Map::new();
    for (name, _) in children {
        let values: Vec<Value> =
            children.iter().filter(|(n, _)| n == name).map(|(_, child)| to_json(child)).collect();
        let always = ["item", "List", "fail_idx", "AroundBeacon"].contains(&&**name);
        object.insert(
            name.clone(),
            if values.len() > 1 || always { json!(values) } else { values[0].clone() },
        );
    }
    Value::Object(object)
}

proptest! {
    #[test]
    fn no_name_and_no_text_is_lost(children in prop::collection::vec(("[B-Z][a-z]{0,3}|item|List", tree()), 0..6)) {
        let tree = Tree::Branch(children);
        let mut xml = String::from("<xml>");
        to_xml(&tree, true, &mut xml);
        xml.push_str("</xml>");
        let json: Value = serde_json::from_str(&written(&xml)).unwrap();
        prop_assert_eq!(json, to_json(&tree));
    }

    /// The output of any message is a message with the same output: JSON in, JSON out changes
    /// nothing any more.
    #[test]
    fn json_of_json_is_the_same(children in prop::collection::vec(("[B-Z][a-z]{0,3}|item|List", tree()), 0..6)) {
        let mut xml = String::from("<xml>");
        to_xml(&Tree::Branch(children), false, &mut xml);
        xml.push_str("</xml>");
        let once = written(&xml);
        prop_assert_eq!(written(&once), once);
    }

    #[test]
    fn order_of_names_is_kept(names in prop::collection::hash_set("[A-Z][a-z]{1,6}", 1..30)) {
        let names: Vec<String> = names.into_iter().collect();
        let xml: String = names.iter().map(|name| format!("<{name}>v</{name}>")).collect();
        let json = written(&format!("<xml>{xml}</xml>"));
        let expected: Vec<String> = names.iter().map(|name| format!("\"{name}\":\"v\"")).collect();
        prop_assert_eq!(json, format!("{{{}}}", expected.join(",")));
    }

    #[test]
    fn arbitrary_bytes_never_panic(body in prop::collection::vec(any::<u8>(), 0..100)) {
        prop_assert_eq!(Message::parse(&body).err().filter(|e| *e != ParseError::Empty), Envelope::open(&body).err());
    }
}
