//! What each receiver gets, word for word as its documentation wants it.

use super::receiver::{CANARY, OK, Receiver, TAKEN, eventually};
use super::{NOW, alert, health, nobody, notifier, pass};
use base64::Engine;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;
use sha2::Sha256;
use wxedge_sidecar::alert::{Alert, Change, Kind, State};
use wxedge_sidecar::config::{Language, Notify, Secret};
use wxedge_sidecar::notify::Saved;

fn hmac(key: &str, text: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).unwrap();
    mac.update(text.as_bytes());
    base64::engine::general_purpose::STANDARD.encode(mac.finalize().into_bytes())
}

#[tokio::test]
async fn wecom_gets_markdown() {
    let robot = Receiver::start([TAKEN]).await;
    let mut notifier = notifier(&Notify { wecom: robot.secret(), ..nobody() }, Saved::default());
    pass(&mut notifier, 0, 6, &[&alert(Kind::RequestTimeout)]);
    let request = robot.received(1).await.remove(0);
    assert_eq!(request.uri, format!("/hook/{CANARY}?key={CANARY}").as_str());
    assert_eq!(request.headers["content-type"], "application/json");
    assert_eq!(request.body["msgtype"], "markdown");
    let content = request.body["markdown"]["content"].as_str().unwrap();
    let begin = "### [high] wxedge: 1 firing\n**[high] Request timeout**\n\
                 Account: Shop (main, wx0000000000000001)\nFirst: 2015-02-04 12:13:09Z\n";
    assert!(content.starts_with(begin), "{content}");
    assert!(content.contains("\nCount: 1272 in 5 min\n"), "{content}");
    assert_eq!(request.body.as_object().unwrap().len(), 2);
    eventually(|| health(&notifier, "wecom").sent == 1).await;
}

#[tokio::test]
async fn wecom_is_told_as_much_as_it_takes() {
    let robot = Receiver::start([TAKEN]).await;
    let mut notifier = notifier(&Notify { wecom: robot.secret(), ..nobody() }, Saved::default());
    let many: Vec<Alert> = (0..300)
        .map(|number| Alert { account: Some(format!("店铺{number}")), ..alert(Kind::TlsExpiry) })
        .collect();
    pass(&mut notifier, 0, 6, &many.iter().collect::<Vec<_>>());
    let request = robot.received(1).await.remove(0);
    let content = request.body["markdown"]["content"].as_str().unwrap();
    assert!(content.len() <= 4096 && content.len() > 2000, "{}", content.len());
    assert!(content.starts_with("### [high] wxedge: 300 firing\n"), "{content}");
    let rest = format!("… and {} more, 300 in all", 300 - content.matches("**[").count());
    assert!(content.ends_with(&rest), "{content}");
}

#[tokio::test]
async fn dingtalk_gets_signed_markdown() {
    let robot = Receiver::start([TAKEN]).await;
    let secret = format!("SEC{CANARY}");
    let config = Notify {
        dingtalk: robot.secret(),
        dingtalk_secret: Some(Secret::new(secret.as_str())),
        ..nobody()
    };
    let mut notifier = notifier(&config, Saved::default());
    pass(&mut notifier, 0, 6, &[&alert(Kind::RequestTimeout)]);
    let request = robot.received(1).await.remove(0);
    let url = url::Url::parse(&format!("http://robot{}", request.uri)).unwrap();
    let query: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    let names: Vec<&str> = query.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["key", "timestamp", "sign"]);
    let timestamp = &query[1].1;
    assert_eq!(timestamp.len(), 13, "milliseconds");
    assert_eq!(query[2].1, hmac(&secret, &format!("{timestamp}\n{secret}")));
    assert_eq!(request.body["msgtype"], "markdown");
    let markdown = &request.body["markdown"];
    assert_eq!(markdown["title"], "[high] wxedge: 1 firing");
    let text = markdown["text"].as_str().unwrap();
    let begin = "### [high] wxedge: 1 firing\n\n**[high] Request timeout**  \nAccount: Shop";
    assert!(text.starts_with(begin), "{text}");
}

#[tokio::test]
async fn feishu_gets_a_signed_card() {
    let robot = Receiver::start([TAKEN]).await;
    let secret = format!("sec{CANARY}");
    let config = Notify {
        feishu: robot.secret(),
        feishu_secret: Some(Secret::new(secret.as_str())),
        ..nobody()
    };
    let mut notifier = notifier(&config, Saved::default());
    pass(&mut notifier, 0, 6, &[&alert(Kind::ProxyDown)]);
    let mut body = robot.received(1).await.remove(0).body;
    let timestamp = body["timestamp"].as_str().unwrap().to_owned();
    assert_eq!(timestamp.len(), 10, "seconds");
    assert_eq!(body["sign"], hmac(&format!("{timestamp}\n{secret}"), ""));
    assert_eq!(body["msg_type"], "interactive");
    let content = body["card"]["elements"][0]["content"].take();
    assert!(content.as_str().unwrap().starts_with("**[critical] Proxy down**\nAccount: Shop"));
    let expected = json!({
        "config": { "wide_screen_mode": true },
        "header": {
            "template": "red",
            "title": { "tag": "plain_text", "content": "[critical] wxedge: 1 firing" },
        },
        "elements": [{ "tag": "markdown", "content": null }],
    });
    assert_eq!(body["card"], expected);

    pass(&mut notifier, 10, 6, &[]);
    let body = &robot.received(2).await[1].body;
    assert_eq!(body["card"]["header"]["template"], "green");
}

#[tokio::test]
async fn a_webhook_gets_what_alerts_shows() {
    let webhook = Receiver::start([OK]).await;
    let mut notifier =
        notifier(&Notify { webhook: webhook.secret(), ..nobody() }, Saved::default());
    let (timeout, down) = (alert(Kind::RequestTimeout), alert(Kind::ProxyDown));
    pass(&mut notifier, 0, 6, &[&timeout, &down]);
    let shown = |alert: &Alert| alert.to_json(Language::English);
    let expected = json!({
        "version": "1", "status": "firing", "alerts": [shown(&down), shown(&timeout)], "omitted": 0,
    });
    assert_eq!(webhook.received(1).await[0].body, expected);

    let over = |alert: &Alert| {
        let resolved = Some(NOW as i64 / 1000 + 10);
        Alert { state: State::Resolved, resolved, ..alert.clone() }
    };
    let change = |alert: &Alert| Change { alert: over(alert), was: Some(State::Firing) };
    notifier.changes(vec![change(&timeout), change(&down)]);
    pass(&mut notifier, 10, 6, &[]);
    let expected = json!({
        "version": "1", "status": "resolved", "omitted": 0,
        "alerts": [shown(&over(&down)), shown(&over(&timeout))],
    });
    assert_eq!(webhook.received(2).await[1].body, expected);
}
