//! The protocol crate against wechatpy, in both directions: an implementation that thousands of
//! accounts run, written by others from the same pages.
//!
//! Needs the Python in `$WXEDGE_PYTHON` (default `target/venv/bin/python`) with
//! `tests/requirements.txt`. Without it these tests fail; a comparison that was skipped proves
//! nothing.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::cell::RefCell;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use wxedge_wechat::crypto::AesKey;
use wxedge_wechat::envelope::{Envelope, Format, Seal};
use wxedge_wechat::message::{Kind, Message};
use wxedge_wechat::push::Push;
use wxedge_wechat::query::Query;
use wxedge_wechat::reply::Reply;

/// Random cases of each comparison.
const CASES: u32 = 2000;

/// wechatpy in a process of its own.
struct Peer {
    process: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Peer {
    fn start() -> Self {
        let python = std::env::var("WXEDGE_PYTHON").unwrap_or_else(|_| {
            concat!(env!("CARGO_MANIFEST_DIR"), "/../target/venv/bin/python").to_owned()
        });
        let mut process = Command::new(&python)
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/protocol/peer.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("{python}: {error}; install tests/requirements.txt or set WXEDGE_PYTHON")
            });
        let requests = process.stdin.take().expect("piped");
        let answers = BufReader::new(process.stdout.take().expect("piped"));
        Self { process, requests, answers }
    }

    /// What wechatpy returns, or the exception it raises.
    fn ask(&mut self, request: &Value) -> Result<Value, String> {
        writeln!(self.requests, "{request}").expect("wechatpy has ended; is it installed?");
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("an answer");
        let mut answer: Value =
            serde_json::from_str(&line).expect("wechatpy has ended; is it installed?");
        match answer["error"].as_str() {
            Some(error) => Err(error.to_owned()),
            None => Ok(answer["ok"].take()),
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// An account at a moment.
#[derive(Clone, Debug)]
struct Account {
    token: String,
    key: String,
    appid: String,
    timestamp: i64,
    nonce: String,
    random: [u8; 16],
}

prop_compose! {
    fn account()(
        token in "[A-Za-z0-9]{3,32}", key in "[A-Za-z0-9]{43}", appid in "wx[0-9a-f]{16}",
        timestamp in 0..=999_999_999_999_i64, nonce in "[A-Za-z0-9_-]{1,64}", random: [u8; 16],
    ) -> Account {
        Account { token, key, appid, timestamp, nonce, random }
    }
}

impl Account {
    fn push<'a>(&'a self, key: &'a AesKey) -> Push<'a> {
        let Self { token, appid, timestamp, nonce, random, .. } = self;
        Push { token, appid, key, timestamp: *timestamp, nonce, random: *random }
    }

    fn request(&self, command: &str) -> Value {
        json!({
            "command": command, "token": self.token, "key": self.key, "appid": self.appid,
            "timestamp": self.timestamp.to_string(), "nonce": self.nonce,
        })
    }
}

/// Text that XML can hold and that expat leaves as it is.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ -~]{0,300}",
        "[\\]<>&\"' \n\t你好😀a]{0,40}",
        "\\PC{0,60}".prop_map(|text: String| text
            .chars()
            .filter(|c| !matches!(c, '\u{fffe}' | '\u{ffff}'))
            .collect()),
    ]
}

fn cdata(text: &str) -> String {
    format!("<![CDATA[{}]]>", text.replace("]]>", "]]]]><![CDATA[>"))
}

fn compare<S: Strategy>(
    strategy: &S,
    test: impl Fn(&mut Peer, S::Value) -> Result<(), TestCaseError>,
) {
    let peer = RefCell::new(Peer::start());
    let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
    if let Err(error) =
        TestRunner::new(config).run(strategy, |value| test(&mut peer.borrow_mut(), value))
    {
        panic!("{error}");
    }
}

#[test]
fn what_wechatpy_encrypts_opens_here() {
    compare(&(account(), text()), |peer, (account, message)| {
        let key = AesKey::parse(&account.key).expect("a key");
        let push = account.push(&key);
        let mut request = account.request("encrypt");
        request["message"] = json!(message);
        let body = peer.ask(&request).expect("encrypted");
        let body = body.as_str().expect("a text");
        prop_assert_eq!(push.read_reply(body.as_bytes()).expect("opens"), message.as_bytes());

        for other in [Push { appid: "wx1", ..push }, Push { token: "other", ..push }] {
            prop_assert!(other.read_reply(body.as_bytes()).is_err());
        }
        Ok(())
    });
}

#[test]
fn callbacks_made_here_open_in_wechatpy() {
    compare(&(account(), text(), any::<bool>()), |peer, (account, content, compatible)| {
        let key = AesKey::parse(&account.key).expect("a key");
        let push = account.push(&key);
        let message = format!(
            "<xml><FromUserName>oABC</FromUserName><Content>{}</Content>\n</xml>",
            cdata(&content)
        );
        let callback = if compatible {
            push.compatible(Format::Xml, "oABC", message.as_bytes())
        } else {
            push.safe(Format::Xml, "oABC", "gh_1", message.as_bytes())
        };
        let query = Query::parse(&callback.query).expect("a query");
        let mut request = account.request("decrypt");
        request["signature"] = json!(query.msg_signature.expect("signed").to_string());
        request["body"] = json!(String::from_utf8(callback.body).expect("UTF-8"));
        prop_assert_eq!(peer.ask(&request), Ok(json!(message)));

        let mut verify = account.request("verify");
        verify["signature"] = json!(query.signature.expect("signed").to_string());
        prop_assert_eq!(peer.ask(&verify), Ok(json!(true)));

        request["nonce"] = json!(format!("{}0", account.nonce));
        prop_assert_eq!(peer.ask(&request), Err("InvalidSignatureException".to_owned()));
        request["nonce"] = json!(account.nonce);
        request["appid"] = json!("wx1");
        prop_assert_eq!(peer.ask(&request), Err("InvalidAppIdException".to_owned()));
        Ok(())
    });
}

#[test]
fn replies_sealed_here_open_and_read_in_wechatpy() {
    // wechatpy trims what it reads, hence a letter at either end.
    compare(&(account(), text()), |peer, (account, content)| {
        let content = format!("x{content}x");
        let key = AesKey::parse(&account.key).expect("a key");
        let wire = Reply::text(&content).expect("a reply").render(
            Format::Xml,
            "oABC",
            "gh_1",
            account.timestamp,
        );
        let Account { token, appid, timestamp, nonce, random, .. } = &account;
        let seal = Seal { key: &key, token, appid, timestamp: *timestamp, nonce, random: *random };
        let sealed = seal.seal(Format::Xml, &wire);
        let fields = Message::parse(&sealed).expect("an envelope");
        let envelope = Envelope::open(&sealed).expect("an envelope");
        prop_assert_eq!(fields.get("Encrypt"), envelope.encrypt.as_deref());

        let mut request = account.request("decrypt");
        request["signature"] = json!(fields.get("MsgSignature"));
        request["body"] = json!(String::from_utf8(sealed.clone()).expect("UTF-8"));
        let opened = peer.ask(&request).expect("opens");
        prop_assert_eq!(opened.as_str(), std::str::from_utf8(&wire).ok());

        let reply = peer.ask(&json!({"command": "reply", "body": opened})).expect("a reply");
        prop_assert_eq!(&reply["type"], "text");
        prop_assert_eq!((&reply["target"], &reply["source"]), (&json!("oABC"), &json!("gh_1")));
        prop_assert_eq!(&reply["time"], account.timestamp);
        prop_assert_eq!(&reply["content"], &content);
        Ok(())
    });
}

#[test]
fn messages_have_the_same_fields_in_wechatpy() {
    let kind = prop::sample::select(vec![
        ("text", "TextMessage", Kind::Text),
        ("Image", "ImageMessage", Kind::Image),
        ("VOICE", "VoiceMessage", Kind::Voice),
        ("shortvideo", "ShortVideoMessage", Kind::ShortVideo),
        ("location", "LocationMessage", Kind::Location),
        ("link", "LinkMessage", Kind::Link),
        ("tomorrow", "UnknownMessage", Kind::Other),
    ]);
    let fields =
        prop::collection::vec(("[B-D][a-z]{1,4}", text(), any::<bool>(), any::<bool>()), 0..8);
    compare(&(kind, fields, any::<i64>()), |peer, ((msg_type, class, kind), fields, time)| {
        let mut body = format!("<xml><MsgType>{msg_type}</MsgType><CreateTime>{time}</CreateTime>");
        for (name, text, nested, escaped) in &fields {
            let text = if *escaped {
                text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
            } else {
                cdata(text)
            };
            let text = if *nested { format!("<Inner>{text}</Inner><Other/>") } else { text };
            body.push_str(&format!("<{name}>{text}</{name}>"));
        }
        body.push_str("</xml>");
        let theirs = peer.ask(&json!({"command": "parse", "body": body})).expect("parsed");
        let message = Message::parse(body.as_bytes()).expect("parsed");
        let mut ours = Vec::new();
        message.write_json(&mut ours);
        let mut ours: Value = serde_json::from_slice(&ours).expect("JSON");
        prop_assert_eq!(&ours["CreateTime"], time);
        ours["CreateTime"] = json!(time.to_string());
        prop_assert_eq!(ours, without_null(theirs["fields"].clone()));
        prop_assert_eq!((message.kind(), &theirs["class"]), (kind, &json!(class)));
        Ok(())
    });
}

/// xmltodict has `None` for an empty element.
fn without_null(value: Value) -> Value {
    match value {
        Value::Null => json!(""),
        Value::Array(values) => values.into_iter().map(without_null).collect(),
        Value::Object(fields) => {
            fields.into_iter().map(|(name, value)| (name, without_null(value))).collect()
        }
        other => other,
    }
}
