//! §5 of the contract: CloudEvents, WeChat's own XML, and Standard Webhooks signatures, each checked independently.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;
use wxedge_tests::app::App;
use wxedge_tests::canary;
use wxedge_tests::message::{Message, now_s};
use wxedge_tests::wechat::Mode;
use wxedge_wechat::signature::sign;

use crate::delivery::{delivered, names};
use crate::edge;

#[test]
fn standard_webhooks_signatures_verify() {
    let app = App::start();
    let edge = edge().app(&app).start();
    let request = delivered(&edge, &app, &Message::text("hi"));
    let key = STANDARD.decode(canary::SIGNING_SECRET.strip_prefix("whsec_").unwrap()).unwrap();
    let timestamp = request.header("webhook-timestamp").unwrap();
    assert!((now_s() - timestamp.parse::<i64>().unwrap()).abs() < 60);
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
    mac.update(format!("{}.{timestamp}.", request.header("webhook-id").unwrap()).as_bytes());
    mac.update(&request.body);
    let expected = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    assert_eq!(request.header("webhook-signature"), Some(expected.as_str()));
}

#[test]
fn cloudevents_format_is_structured_mode() {
    let app = App::start();
    let edge = edge().app(&app).upstream(r#"format = "cloudevents""#).start();
    let message = Message::text("hi").raw_field("CreateTime", "1700000000");
    let request = delivered(&edge, &app, &message);
    let json = request.json();
    assert_eq!(request.header("content-type"), Some("application/cloudevents+json; charset=utf-8"));
    for (name, value) in [
        ("specversion", "1.0"),
        ("id", request.header("idempotency-key").unwrap()),
        ("source", "/wechat/wx0123456789main"),
        ("type", "com.weixin.message.text"),
        ("subject", message.openid()),
        ("time", "2023-11-14T22:13:20Z"),
        ("datacontenttype", "application/json"),
    ] {
        assert_eq!(json[name], value, "{name}");
    }
    assert_eq!(json["data"]["Content"], "hi");
    assert_eq!(json["data"]["MsgId"], message.get("MsgId").unwrap());
    let without_subject = Message::text("hi").without("FromUserName");
    assert_eq!(delivered(&edge, &app, &without_subject).json().get("subject"), None);
}

#[test]
fn xml_format_is_wechat_s_own_plaintext_mode() {
    for mode in Mode::ALL {
        let app = App::start();
        let edge = edge().mode(mode).app(&app).upstream(r#"format = "xml""#).start();
        let message = Message::text("a]]>b <&>").raw_field("Odd", "<A b=\"c\"/>");
        let request = delivered(&edge, &app, &message);
        assert_eq!(request.body, message.to_xml(), "byte for byte");
        assert_eq!(request.header("content-type"), Some("text/xml; charset=utf-8"));
        let (own, query) = request.target.split_once('&').unwrap();
        assert_eq!(own, format!("/wechat?key={}", canary::APP_KEY));
        let parameter = |name: &str| {
            query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')).unwrap()
        };
        let (timestamp, nonce) = (parameter("timestamp"), parameter("nonce"));
        assert_eq!(parameter("signature"), sign(&[canary::TOKEN, timestamp, nonce]).to_string());
        assert!((now_s() - timestamp.parse::<i64>().unwrap()).abs() < 60);
        assert_eq!(parameter("openid"), message.openid());
        assert_eq!(query.split('&').count(), 4);
        assert_eq!(request.header("ce-type"), Some("com.weixin.message.text"));
    }
}

#[test]
fn without_a_signing_secret_there_is_no_signature() {
    let app = App::start();
    let edge = edge().app(&app).start();
    let mut unsigned = String::new();
    for line in std::fs::read_to_string(edge.folder().path().join("wxedge.toml")).unwrap().lines() {
        if !line.starts_with("signing_secret") {
            unsigned.push_str(&format!("{line}\n"));
        }
    }
    edge.rewrite_text(&unsigned);
    edge.signal(nix::sys::signal::Signal::SIGHUP);
    edge.assert_count("wxedge_config_reloads_total", &[("result", "ok")], 1.0);
    let request = delivered(&edge, &app, &Message::text("hi"));
    assert!(
        !names(&request).iter().any(|name| name.starts_with("webhook")),
        "{:?}",
        names(&request)
    );
    assert_eq!(request.json()["MsgType"], Value::from("text"));
}
