use super::*;
use crate::crypto::is_canonical_base64;
use crate::envelope::{Envelope, Seal};
use crate::query::Query;
use crate::reply::Answer;

const KEY: &str = "jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2C";
const XML: &[u8] =
    b"<xml><ToUserName><![CDATA[gh_1]]></ToUserName>\n<MsgType><![CDATA[text]]></MsgType>\n</xml>";
const JSON: &[u8] = br#"{"ToUserName":"gh_1","MsgType":"text"}"#;

fn push(key: &AesKey) -> Push<'_> {
    Push {
        token: "QDG6eK",
        appid: "wx1",
        key,
        timestamp: 1_700_000_000,
        nonce: "1372623149",
        random: *b"0960688932c47ef1",
    }
}

/// What the edge does in secure and compatible mode.
fn receive(callback: &Callback, push: &Push) -> Vec<u8> {
    let query = Query::parse(&callback.query).unwrap();
    let envelope = Envelope::open(&callback.body).unwrap();
    let encrypt = envelope.encrypt.unwrap();
    assert!(query.aes && is_canonical_base64(&encrypt));
    let expected = sign(&[push.token, query.timestamp, query.nonce, &encrypt]);
    assert!(query.msg_signature.unwrap().matches(&expected));
    assert!(query.signature.unwrap().matches(&sign(&[push.token, query.timestamp, query.nonce])));
    assert_eq!(query.openid.as_deref(), Some("oABC"));
    push.key.decrypt(&encrypt, push.appid).unwrap()
}

#[test]
fn secure_callbacks_have_wechats_shape_and_open() {
    let key = AesKey::parse(KEY).unwrap();
    let push = push(&key);
    let callback = push.safe(Format::Xml, "oABC", "gh_1", XML);
    assert_eq!(receive(&callback, &push), XML);
    let body = String::from_utf8(callback.body).unwrap();
    assert!(body.starts_with(
        "<xml>\n    <ToUserName><![CDATA[gh_1]]></ToUserName>\n    <Encrypt><![CDATA["
    ));
    assert!(body.ends_with("]]></Encrypt>\n</xml>\n"));
    assert_eq!(receive(&push.safe(Format::Json, "oABC", "gh_1", JSON), &push), JSON);
}

/// A capture of 2022: a message of 283 bytes to an account id of 15 made a body of 578.
#[test]
fn secure_callbacks_have_the_length_of_real_ones() {
    let key = AesKey::parse(KEY).unwrap();
    let push = Push { appid: "wx0123456789abcdef", ..push(&key) };
    assert_eq!(push.safe(Format::Xml, "oABC", "gh_0123456789ab", &[b'x'; 283]).body.len(), 578);
}

#[test]
fn compatible_callbacks_hold_both_forms() {
    let key = AesKey::parse(KEY).unwrap();
    let push = push(&key);
    for (format, message) in [(Format::Xml, XML), (Format::Json, JSON)] {
        let callback = push.compatible(format, "oABC", message);
        assert_eq!(receive(&callback, &push), message);
        let plain = Message::parse(&callback.body).unwrap();
        assert_eq!((plain.get("MsgType"), plain.format()), (Some("text"), format));
    }
}

#[test]
fn plain_callbacks_and_verifications_are_signed_without_the_body() {
    let key = AesKey::parse(KEY).unwrap();
    let push = push(&key);
    let callback = push.plain("oABC", XML);
    let query = Query::parse(&callback.query).unwrap();
    assert!(query.signature.unwrap().matches(&sign(&[push.token, "1700000000", push.nonce])));
    assert!(!query.aes && query.msg_signature.is_none());
    assert_eq!(callback.body, XML);
    let raw = push.verification("4375120948345356249");
    let query = Query::parse(&raw).unwrap();
    assert_eq!(query.echostr.as_deref(), Some("4375120948345356249"));
    assert!(query.signature.unwrap().matches(&sign(&[push.token, "1700000000", push.nonce])));
}

#[test]
fn a_sealed_reply_is_read_and_a_changed_one_is_not() {
    let key = AesKey::parse(KEY).unwrap();
    let push = push(&key);
    let seal = Seal {
        key: &key,
        token: push.token,
        appid: push.appid,
        timestamp: 5,
        nonce: "n-_1",
        random: [4; 16],
    };
    for format in [Format::Xml, Format::Json] {
        let sealed = seal.seal(format, b"<xml>hi</xml>");
        assert_eq!(push.read_reply(&sealed).unwrap(), b"<xml>hi</xml>");
        let mut refused = 0;
        for index in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[index] ^= 1;
            let still_reads = push.read_reply(&changed);
            assert!(still_reads.is_err(), "byte {index}: {}", String::from_utf8_lossy(&changed));
            refused += 1;
        }
        assert_eq!(refused, sealed.len());
        for other in [Push { token: "x", ..push }, Push { appid: "wx2", ..push }] {
            assert!(other.read_reply(&sealed).is_err());
        }
    }
}

/// The official replies, with their own token, key, nonce and random bytes, down to the byte.
#[test]
fn official_replies_are_reproduced() {
    let key = AesKey::parse(&"A".repeat(43)).unwrap();
    let seal = Seal {
        key: &key,
        token: "AAAAA",
        appid: "wxba5fad812f8e6fb9",
        timestamp: 1_713_424_427,
        nonce: "415670741",
        random: *b"707722b803182950",
    };
    assert_eq!(
        String::from_utf8(seal.seal(Format::Json, br#"{"demo_resp":"good luck"}"#)).unwrap(),
        r#"{"Encrypt":"ELGduP2YcVatjqIS+eZbp80MNLoAUWvzzyJxgGzxZO/5sAvd070Bs6qrLARC9nVHm48Y4hyRbtzve1L32tmxSQ==","MsgSignature":"1b9339964ed2e271e7c7b6ff2b0ef902fc94dea1","TimeStamp":1713424427,"Nonce":"415670741"}"#
    );
    let seal = Seal { appid: "wx134c8103faa5a59e", random: *b"999951349e8ee746", ..seal };
    assert_eq!(
        String::from_utf8(
            seal.seal(Format::Xml, b"<xml><demo_resp>[CDATA[good luck]]</demo_resp></xml>")
        )
        .unwrap(),
        "<xml><Encrypt><![CDATA[hE8R6mGXHkJJjU72KxzKUd1GEkKJaEZq7vRL8XgK3o+00k8JGq6+pZJUIlTSyhsX+bxIBQ72g3GyvDdIZcr6+3HAZbSvPT9t/o11MI7d6WELwqrGd7jMnV0zv3Zc9Nq7]]></Encrypt><MsgSignature><![CDATA[03e0812039325c2712ef5f0f980fd14c70d6e307]]></MsgSignature><TimeStamp>1713424427</TimeStamp><Nonce><![CDATA[415670741]]></Nonce></xml>"
    );
}

#[test]
fn debug_shows_nothing_of_a_message_a_query_or_a_reply() {
    let key = AesKey::parse(KEY).unwrap();
    let push = push(&key);
    let secrets = [KEY, push.token, push.nonce, "oABC", "Canary", "gh_1"];
    let xml = b"<xml><ToUserName>gh_1</ToUserName><Content>Canary</Content></xml>";
    let message = Message::parse(xml).unwrap();
    let mut shown = vec![format!("{push:?} {message:?}")];
    for callback in [push.plain("oABC", xml), push.compatible(Format::Xml, "oABC", xml)] {
        let query = Query::parse(&callback.query).unwrap();
        let envelope = Envelope::open(&callback.body).unwrap();
        shown.push(format!("{callback:?} {query:?} {envelope:?}"));
        let encrypt = envelope.encrypt.unwrap_or_default();
        assert!(encrypt.is_empty() || !shown.concat().contains(&*encrypt));
    }
    for body in [
        r#"{"msgtype":"text","text":{"content":"Canary"}}"#,
        r#"{"msgtype":"wxcard","wxcard":{"card_id":"Canary"}}"#,
    ] {
        let answer = Answer::interpret(None, body.as_bytes(), &message);
        assert!(matches!(answer, Answer::Reply(_) | Answer::CustomerService(_)));
        shown.push(format!("{answer:?}"));
        if let Answer::Reply(reply) = answer {
            shown.push(format!("{reply:?}"));
        }
    }
    let verbatim = Message::parse(b"<xml><MsgType>event</MsgType><Event>xpay_x</Event></xml>");
    let answer = Answer::interpret(None, br#"{"ErrMsg":"Canary"}"#, &verbatim.unwrap());
    assert!(matches!(answer, Answer::Verbatim(_)));
    shown.push(format!("{answer:?}"));
    for (shown, secret) in shown.iter().flat_map(|shown| secrets.map(|secret| (shown, secret))) {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
}
