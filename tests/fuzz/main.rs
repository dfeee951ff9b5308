//! Fuzz targets: what must hold for any input, not only that nothing panics.
//!
//! A second each with every test run: `cargo test -p wxedge-tests --test fuzz`. One target for five
//! minutes, with the number of inputs printed at the end:
//!
//! ```text
//! BOLERO_RANDOM_TEST_TIME_MS=300000 \
//!     cargo test --release -p wxedge-tests --test fuzz parse -- --nocapture
//! ```
//!
//! With coverage guidance, where nightly is at hand: `cargo bolero test -p wxedge-tests parse`.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use bolero::check;
use serde_json::Value;
use wxedge_wechat::crypto::{AesKey, DecryptError, is_canonical_base64};
use wxedge_wechat::envelope::{Envelope, Format, Seal};
use wxedge_wechat::message::{Message, ParseError};
use wxedge_wechat::push::Push;
use wxedge_wechat::query::Query;
use wxedge_wechat::reply::Answer;

mod api_target;
mod config;
mod documents;

const KEY: &str = "jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2C";

/// A document of a kind that the first byte picks.
fn document(input: &[u8]) -> Vec<u8> {
    match input.split_first() {
        Some((0..=120, rest)) => documents::xml(rest).into_bytes(),
        Some((121..=240, rest)) => documents::json(rest).into_bytes(),
        Some((_, rest)) => rest.to_vec(),
        None => Vec::new(),
    }
}

#[test]
fn query() {
    const PARTS: [&str; 24] = [
        "signature=",
        "msg_signature=",
        "timestamp=",
        "nonce=",
        "encrypt_type=",
        "echostr=",
        "openid=",
        "x=",
        "&",
        "&",
        "&",
        "aes",
        "raw",
        "1700000000",
        "9",
        "abc_DEF-9",
        "f464b24fc39322e44b38aa78f5edd27bd1441696",
        "%41",
        "%ff",
        "%",
        "+",
        "=",
        "é",
        "timestamp=1&nonce=2",
    ];
    check!().for_each(|input| {
        let raw: String =
            input.iter().take(40).map(|byte| PARTS[usize::from(*byte) % PARTS.len()]).collect();
        let Ok(query) = Query::parse(&raw) else { return };
        assert!(!query.timestamp.is_empty() && query.timestamp.bytes().all(|b| b.is_ascii_digit()));
        assert_eq!(query.timestamp_s(), query.timestamp.parse::<i64>().expect("digits"));
        assert!((1..=64).contains(&query.nonce.len()));
        assert!(query.nonce.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-'));
        // Nothing is taken from two places.
        let named =
            |name: &str| raw.split('&').filter(|pair| pair.split('=').next() == Some(name)).count();
        for name in [
            "signature",
            "msg_signature",
            "timestamp",
            "nonce",
            "encrypt_type",
            "echostr",
            "openid",
        ] {
            assert!(named(name) <= 1, "{name} in {raw}");
        }
        // Written canonically it says the same.
        let mut canonical = format!("timestamp={}&nonce={}", query.timestamp, query.nonce);
        for (name, signature) in
            [("signature", query.signature), ("msg_signature", query.msg_signature)]
        {
            if let Some(signature) = signature {
                canonical.push_str(&format!("&{name}={signature}"));
            }
        }
        let again = Query::parse(&canonical).expect("canonical");
        assert_eq!((again.signature, again.msg_signature), (query.signature, query.msg_signature));
    });
}

#[test]
fn envelope() {
    check!().for_each(|input| {
        let body = document(input);
        match (Envelope::open(&body), Message::parse(&body)) {
            (Ok(envelope), Ok(message)) => {
                assert_eq!(envelope.format, message.format());
                let encrypt = message.get("Encrypt").filter(|text| !text.is_empty());
                assert_eq!(envelope.encrypt.as_deref(), encrypt);
            }
            (Ok(envelope), Err(error)) => {
                assert_eq!((envelope.encrypt, error), (None, ParseError::Empty))
            }
            (Err(opened), Err(parsed)) => assert_eq!(opened, parsed),
            (Err(error), Ok(_)) => panic!("stricter than the message: {error}"),
        }
    });
}

#[test]
fn decrypt() {
    let key = AesKey::parse(KEY).expect("a key");
    check!().for_each(move |input| {
        let (changes, message) = input.split_at(input.len().min(4));
        let sealed = key.encrypt(message, "wx1", [7; 16]);
        assert!(is_canonical_base64(&sealed));
        assert_eq!(key.decrypt(&sealed, "wx1").as_deref(), Ok(message));

        let mut bytes = sealed.into_bytes();
        for change in changes.chunks_exact(2) {
            let at = usize::from(change[0]) * 7 % bytes.len();
            bytes[at] = change[1] & 0x7f;
        }
        let changed = String::from_utf8(bytes).expect("ASCII");
        match key.decrypt(&changed, "wx1") {
            Ok(opened) => assert!(opened.len() <= message.len() + 32),
            Err(DecryptError::Base64) => assert!(!is_canonical_base64(&changed)),
            Err(_) => assert!(is_canonical_base64(&changed)),
        }
    });
}

#[test]
fn parse() {
    check!().for_each(|input| {
        let body = document(input);
        let message = match Message::parse(&body) {
            Ok(message) => message,
            Err(error) => return assert_refused_for_a_reason(&body, error),
        };
        if message.format() == Format::Xml {
            assert_well_formed(&body);
        }
        let mut out = Vec::new();
        message.write_json(&mut out);
        let json: Value = serde_json::from_slice(&out).expect("valid JSON");
        for (name, value) in json.as_object().expect("an object") {
            assert!(
                value.is_string() || value.is_array() || value.is_object() || name == "CreateTime",
                "{name}"
            );
        }
        // What routes the message is the same in what the app gets, and once more through changes
        // nothing.
        let again = match Message::parse(&out) {
            Ok(again) => again,
            // The array of what was repeated is one more level, and one more element.
            Err(ParseError::Depth | ParseError::Elements) => return,
            Err(error) => panic!("its own output: {error}"),
        };
        assert_eq!(
            (again.kind(), again.class(), again.ce_type()),
            (message.kind(), message.class(), message.ce_type())
        );
        assert_eq!(
            (again.subject(), again.create_time()),
            (message.subject(), message.create_time())
        );
        for name in ["MsgId", "Content", "EventKey"] {
            if json[name].is_string() {
                assert_eq!(json[name].as_str(), message.get(name));
            }
        }
        let mut twice = Vec::new();
        again.write_json(&mut twice);
        assert_eq!(out, twice);
        assert_eq!(message.identity("wx1"), Message::parse(&body).expect("again").identity("wx1"));
        assert_ne!(message.identity("wx1"), message.identity("wx2"));
    });
}

/// An independent XML reader takes it as well.
fn assert_well_formed(body: &[u8]) {
    let text = std::str::from_utf8(body)
        .expect("UTF-8")
        .trim_start_matches(|c: char| c <= ' ' || c == '\u{feff}');
    let mut reader = quick_xml::Reader::from_str(text);
    while !matches!(reader.read_event().expect("well-formed"), quick_xml::events::Event::Eof) {}
}

/// JSON that a JSON library takes is only refused for a bound or a repetition.
fn assert_refused_for_a_reason(body: &[u8], error: ParseError) {
    if serde_json::from_slice::<serde_json::Map<String, Value>>(body).is_ok() {
        assert!(
            matches!(error, ParseError::Depth | ParseError::Elements | ParseError::Repeated),
            "{error}"
        );
    }
}

#[test]
fn reply() {
    const CALLBACKS: [&str; 3] = [
        "<MsgType>text</MsgType>",
        "<MsgType>event</MsgType><Event>unsubscribe</Event>",
        "<MsgType>event</MsgType><Event>xpay_x</Event>",
    ];
    const TYPES: [Option<&str>; 3] = [None, Some("text/plain"), Some("application/json")];
    let key = AesKey::parse(KEY).expect("a key");
    check!().for_each(move |input| {
        let Some((choice, rest)) = input.split_first() else { return };
        let callback = format!(
            "<xml><FromUserName>oABC</FromUserName>{}</xml>",
            CALLBACKS[usize::from(choice % 3)]
        );
        let callback = Message::parse(callback.as_bytes()).expect("a callback");
        let body = answer(*choice, rest);
        match Answer::interpret(TYPES[usize::from(choice / 3 % 3)], &body, &callback) {
            Answer::Reply(reply) => {
                for format in [Format::Xml, Format::Json] {
                    let wire = reply.render(format, "oABC", "gh_1", 1_700_000_000);
                    if format == Format::Xml {
                        assert_well_formed(&wire);
                    }
                    let read = Message::parse(&wire).expect("a message");
                    assert_eq!((read.to_user(), read.from_user()), (Some("oABC"), Some("gh_1")));
                    assert_eq!(
                        (read.create_time(), read.get("MsgType")),
                        (Some(1_700_000_000), Some(reply.msgtype()))
                    );
                    // The reply, given as an answer, is the same reply.
                    if format == Format::Xml {
                        let Answer::Reply(same) = Answer::interpret(None, &wire, &callback) else {
                            panic!("no reply")
                        };
                        assert_eq!(same.render(format, "oABC", "gh_1", 1_700_000_000), wire);
                    }
                    let seal = Seal {
                        key: &key,
                        token: "t",
                        appid: "wx1",
                        timestamp: 1,
                        nonce: "n",
                        random: [*choice; 16],
                    };
                    let push = Push {
                        token: "t",
                        appid: "wx1",
                        key: &key,
                        timestamp: 1,
                        nonce: "n",
                        random: [0; 16],
                    };
                    assert_eq!(push.read_reply(&seal.seal(format, &wire)).expect("sealed"), wire);
                }
            }
            Answer::CustomerService(message) => {
                assert_eq!(message["touser"], "oABC");
                let msgtype = message["msgtype"].as_str().expect("a text");
                assert!(message[msgtype].is_object());
            }
            Answer::Verbatim(bytes) => assert!(!bytes.is_empty() && bytes.len() <= body.len()),
            Answer::Acknowledge | Answer::Dropped | Answer::Invalid(_) => {}
        }
    });
}

/// A reply, a document or any text.
fn answer(choice: u8, rest: &[u8]) -> Vec<u8> {
    const KINDS: [&str; 8] =
        ["text", "image", "Voice", "video", "music", "news", "transfer_customer_service", "wxcard"];
    let kind = KINDS[usize::from(choice >> 5)];
    // What ends CDATA is the one text that needs care.
    let text = String::from_utf8_lossy(rest).replace('>', "]]>");
    match choice % 5 {
        0 => documents::xml(rest).into_bytes(),
        1 => documents::json(rest).into_bytes(),
        2 => rest.to_vec(),
        3 => {
            let fields = serde_json::json!({"content": text, "media_id": text, "title": text, "musicurl": text, "url": "u"});
            let mut json = serde_json::json!({"msgtype": kind, "touser": text});
            json[kind.to_lowercase()] = fields.clone();
            json["news"] =
                serde_json::json!({ "articles": vec![fields; usize::from(choice >> 4)] });
            json.to_string().into_bytes()
        }
        _ => {
            let text = text.replace("]]>", "");
            format!(
                "<xml><MsgType>{kind}</MsgType><Content><![CDATA[{text}]]></Content><Image><MediaId>{kind}</MediaId></Image>\
                 <Articles><item><Title><![CDATA[{text}]]></Title></item></Articles><Music><Title>a</Title></Music></xml>"
            )
            .into_bytes()
        }
    }
}
