//! CPU time of one message's way through the protocol: a text message of 315 bytes in secure mode,
//! and a text reply.
//!
//! `cargo bench -p wxedge-wechat`. `inbound` and `outbound` are what a callback costs; the others
//! are their parts.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a benchmark is no interface and fails by panicking"
)]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use wxedge_wechat::crypto::{AesKey, is_canonical_base64};
use wxedge_wechat::envelope::{Envelope, Format, Seal};
use wxedge_wechat::message::Message;
use wxedge_wechat::push::Push;
use wxedge_wechat::query::Query;
use wxedge_wechat::reply::Answer;
use wxedge_wechat::signature::sign;

const TOKEN: &str = "QDG6eK1aSaKj5Lsq0xYcGWbvXfR3Zt2U";
const APPID: &str = "wx5823bf96d3bd56c7";
const KEY: &str = "jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2C";
const MESSAGE: &str = "<xml><ToUserName><![CDATA[gh_7f083739789a]]></ToUserName>\n\
    <FromUserName><![CDATA[oia2TjuEGTNoeX76QEjQNrcURxG8]]></FromUserName>\n\
    <CreateTime>1395658920</CreateTime>\n<MsgType><![CDATA[text]]></MsgType>\n\
    <Content><![CDATA[你好，请问今天下午的课还上吗xx]]></Content>\n\
    <MsgId>23637352235060880</MsgId>\n</xml>";
const ANSWER: &[u8] =
    r#"{"msgtype":"text","text":{"content":"你好！课程改到今晚八点，请准时参加。"}}"#.as_bytes();

/// What the verify stage does.
fn verify<'a>(query: &'a str, body: &'a [u8]) -> Envelope<'a> {
    let query = Query::parse(query).unwrap();
    let envelope = Envelope::open(body).unwrap();
    let encrypt = envelope.encrypt.as_deref().unwrap();
    assert!(is_canonical_base64(encrypt));
    let expected = sign(&[TOKEN, query.timestamp, query.nonce, encrypt]);
    assert!(query.msg_signature.unwrap().matches(&expected));
    envelope
}

fn protocol(c: &mut Criterion) {
    let key = AesKey::parse(KEY).unwrap();
    let push = Push {
        token: TOKEN,
        appid: APPID,
        key: &key,
        timestamp: 1_395_658_921,
        nonce: "1514711492",
        random: [7; 16],
    };
    assert_eq!(MESSAGE.len(), 315);
    let callback = push.safe(
        Format::Xml,
        "oia2TjuEGTNoeX76QEjQNrcURxG8",
        "gh_7f083739789a",
        MESSAGE.as_bytes(),
    );
    let (query, body) = (callback.query.as_str(), callback.body.as_slice());
    let encrypt = verify(query, body).encrypt.unwrap().into_owned();
    let message = Message::parse(MESSAGE.as_bytes()).unwrap();
    let reply = |message: &Message| {
        let Answer::Reply(reply) =
            Answer::interpret(Some("application/json"), black_box(ANSWER), message)
        else {
            unreachable!("the answer is a reply");
        };
        reply.render(
            Format::Xml,
            message.from_user().unwrap(),
            message.to_user().unwrap(),
            1_395_658_922,
        )
    };
    let seal = Seal {
        key: &key,
        token: TOKEN,
        appid: APPID,
        timestamp: 1_395_658_922,
        nonce: "1514711492",
        random: [9; 16],
    };
    let xml = reply(&message);
    let mut out = Vec::with_capacity(1024);

    c.bench_function("query", |b| b.iter(|| Query::parse(black_box(query)).unwrap().timestamp_s()));
    c.bench_function("envelope", |b| b.iter(|| Envelope::open(black_box(body)).unwrap()));
    c.bench_function("canonical base64", |b| b.iter(|| is_canonical_base64(black_box(&encrypt))));
    c.bench_function("sign", |b| {
        b.iter(|| sign(&[TOKEN, "1395658921", "1514711492", black_box(&encrypt)]))
    });
    c.bench_function("verify", |b| b.iter(|| verify(black_box(query), black_box(body)).format));
    c.bench_function("decrypt", |b| b.iter(|| key.decrypt(black_box(&encrypt), APPID).unwrap()));
    c.bench_function("parse", |b| {
        b.iter(|| Message::parse(black_box(MESSAGE.as_bytes())).unwrap())
    });
    c.bench_function("parse and json", |b| {
        b.iter(|| {
            out.clear();
            Message::parse(black_box(MESSAGE.as_bytes())).unwrap().write_json(&mut out);
            out.len()
        });
    });
    c.bench_function("identity", |b| b.iter(|| black_box(&message).identity(APPID)));
    c.bench_function("reply xml", |b| b.iter(|| reply(black_box(&message))));
    c.bench_function("encrypt and sign", |b| b.iter(|| seal.seal(Format::Xml, black_box(&xml))));
    c.bench_function("inbound", |b| {
        b.iter(|| {
            let envelope = verify(black_box(query), black_box(body));
            let plain = key.decrypt(envelope.encrypt.as_deref().unwrap(), APPID).unwrap();
            out.clear();
            Message::parse(&plain).unwrap().write_json(&mut out);
            out.len()
        });
    });
    c.bench_function("outbound", |b| {
        b.iter(|| seal.seal(Format::Xml, &reply(black_box(&message))))
    });
    let many = hostile();
    c.bench_function("1024 siblings", |b| {
        b.iter(|| {
            out.clear();
            Message::parse(black_box(&many)).unwrap().write_json(&mut out);
            out.len()
        });
    });
}

/// The dearest message the bounds allow: as many different names side by side as there may be.
fn hostile() -> Vec<u8> {
    let names: String = (0..1024).map(|n| format!("<name{n:04}/>")).collect();
    format!("<xml>{names}</xml>").into_bytes()
}

criterion_group!(benches, protocol);
criterion_main!(benches);
