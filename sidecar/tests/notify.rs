//! Who is told, through real sockets: robots, a webhook and Alertmanager of the test's own, that note what comes and are well, ill,
//! busy or silent.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State as Shared;
use axum::http::{HeaderMap, HeaderName, StatusCode, Uri};
use axum::response::IntoResponse;
use base64::Engine;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::net::TcpListener;
use wxedge_sidecar::alert::{Alert, Change, Kind, State};
use wxedge_sidecar::config::{Config, Language, Notify, Secret};
use wxedge_sidecar::notify::{Health, Notifier, Saved, Wanted};
use wxedge_sidecar::{http, limits};

/// In every address and secret.
const CANARY: &str = "canary7391";

/// 2015-02-04T12:20:00Z.
const NOW: u64 = 1_423_052_400_000;

/// What a receiver does with a request.
#[derive(Debug, Clone)]
enum Answer {
    Say(u16, &'static str),
    With(u16, &'static str, String),
    Hang,
}

const OK: Answer = Answer::Say(200, "");
const TAKEN: Answer = Answer::Say(200, r#"{"errcode":0,"errmsg":"ok","code":0,"msg":"success"}"#);

/// What came, and when.
#[derive(Debug, Clone)]
struct Request {
    at: Instant,
    uri: Uri,
    headers: HeaderMap,
    body: Value,
}

/// A receiver.
#[derive(Clone)]
struct Receiver {
    address: String,
    script: Arc<Mutex<VecDeque<Answer>>>,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Receiver {
    /// Answers the first request by the first answer, and so on; the last one is for all that follow.
    async fn start(script: impl IntoIterator<Item = Answer>) -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let receiver = Receiver {
            address: format!(
                "http://{}/hook/{CANARY}?key={CANARY}",
                listener.local_addr().unwrap()
            ),
            script: Arc::new(Mutex::new(script.into_iter().collect())),
            requests: Arc::default(),
        };
        let router = Router::new().fallback(note).with_state(receiver.clone());
        tokio::spawn(axum::serve(listener, router).into_future());
        receiver
    }

    fn secret(&self) -> Option<Secret> {
        Some(Secret::new(self.address.as_str()))
    }

    fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    async fn received(&self, count: usize) -> Vec<Request> {
        eventually(|| self.requests().len() >= count).await;
        self.requests()
    }
}

async fn note(
    Shared(receiver): Shared<Receiver>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> impl IntoResponse {
    let body = serde_json::from_slice(&body).unwrap();
    receiver.requests.lock().unwrap().push(Request { at: Instant::now(), uri, headers, body });
    let answer = {
        let mut script = receiver.script.lock().unwrap();
        if script.len() > 1 { script.pop_front().unwrap() } else { script[0].clone() }
    };
    let (status, headers, body) = match answer {
        Answer::Say(status, body) => (status, HeaderMap::new(), body),
        Answer::With(status, name, value) => {
            let header = (HeaderName::from_static(name), value.parse().unwrap());
            (status, HeaderMap::from_iter([header]), "")
        }
        Answer::Hang => std::future::pending().await,
    };
    (StatusCode::from_u16(status).unwrap(), headers, body)
}

/// Waits for a condition.
async fn eventually(condition: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(40);
    while !condition() {
        assert!(Instant::now() < end, "it never came to it");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn nobody() -> Notify {
    Config::parse("", &Default::default()).unwrap().notify
}

fn notifier(config: &Notify, saved: Saved) -> Notifier {
    let http = http::client(&http::tls().unwrap()).unwrap();
    let mut notifier = Notifier::new(config, Language::English, http, saved, NOW);
    notifier.spawn();
    notifier
}

/// A firing alert of the account `main`, as a recorded one.
fn alert(kind: Kind) -> Alert {
    let example = json!({
        "ip": "203.205.140.29", "msg_type": "event", "response": "Error 500:", "response_length": 10,
    });
    serde_json::from_value(json!({
        "kind": kind, "severity": kind.severity(), "state": "firing", "account": "main",
        "appid": "wx0000000000000001", "nickname": "Shop", "time": 1_423_051_989, "last": 1_423_052_289,
        "resolved": null, "cause": {}, "count": 1272, "window_s": 300, "example": example,
    }))
    .unwrap()
}

/// What happens in `seconds` seconds from `from`.
fn pass(notifier: &mut Notifier, from: u64, seconds: u64, firing: &[&Alert]) {
    for second in from..from + seconds {
        notifier.tick(NOW + second * 1000, firing);
    }
}

fn health(notifier: &Notifier, output: &str) -> Health {
    notifier.health().into_iter().find(|health| health.output == output).unwrap()
}

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
    assert!(content.len() <= 4096 && content.len() > 3000, "{}", content.len());
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

#[tokio::test]
async fn alertmanager_hears_of_all_that_fires_every_minute() {
    let alertmanager = Receiver::start([OK]).await;
    let robot = Receiver::start([TAKEN]).await;
    let base = alertmanager.address.split("/hook").next().unwrap();
    let config = Notify {
        alertmanager: Some(format!("{base}/{CANARY}/").parse().unwrap()),
        wecom: robot.secret(),
        ..nobody()
    };
    let mut notifier = notifier(&config, Saved::default());
    let until = (NOW / 1000) as i64 + 600;
    let wanted =
        Wanted { alert: None, account: Some("main".to_owned()), until, comment: String::new() };
    let id = notifier.silence(NOW, wanted).unwrap().id;
    let dns = alert(Kind::DnsFailure);
    notifier.tick(NOW, &[&dns]);
    let request = alertmanager.received(1).await.remove(0);
    assert_eq!(request.uri.path(), format!("/{CANARY}/api/v2/alerts"));
    assert_eq!(request.headers["content-type"], "application/json");
    let alerts = request.body.as_array().unwrap();
    assert_eq!(alerts.len(), 1);
    assert_eq!(
        alerts[0]["labels"],
        json!({
            "alertname": "dns_failure", "severity": "high", "account": "main",
            "appid": "wx0000000000000001", "source": "wxedge-sidecar",
        })
    );
    assert_eq!(alerts[0]["startsAt"], "2015-02-04T12:13:09Z");
    assert_eq!(alerts[0]["endsAt"], "2015-02-04T12:25:00Z");

    pass(&mut notifier, 1, 60, &[&dns]);
    assert_eq!(alertmanager.received(2).await[1].body[0]["endsAt"], "2015-02-04T12:26:00Z");
    notifier.tick(NOW + 61_000, &[]);
    assert_eq!(alertmanager.received(3).await[2].body[0]["endsAt"], "2015-02-04T12:21:01Z");
    assert_eq!(robot.requests().len(), 0, "it was silenced");

    assert!(notifier.unsilence(&id));
    pass(&mut notifier, 62, 6, &[&dns]);
    assert_eq!(robot.received(1).await.len(), 1);
}

#[tokio::test]
async fn what_is_refused_is_not_tried_again_and_the_next_is() {
    let invalid = r#"{"errcode":93000,"errmsg":"invalid webhook url"}"#;
    let robot = Receiver::start([Answer::Say(200, invalid), TAKEN]).await;
    let webhook = Receiver::start([Answer::Say(400, ""), Answer::Say(404, ""), OK]).await;
    let config = Notify { wecom: robot.secret(), webhook: webhook.secret(), ..nobody() };
    let mut notifier = notifier(&config, Saved::default());
    pass(&mut notifier, 0, 6, &[&alert(Kind::DnsFailure)]);
    eventually(|| health(&notifier, "wecom").failed == 1).await;
    assert_eq!(health(&notifier, "wecom").error.as_deref(), Some("errcode 93000"));
    eventually(|| health(&notifier, "webhook").failed == 1).await;
    assert_eq!(health(&notifier, "webhook").error.as_deref(), Some("http 400"));

    pass(&mut notifier, 10, 6, &[]);
    pass(&mut notifier, 20, 6, &[&alert(Kind::DnsFailure)]);
    for (output, sent, failed) in [("webhook", 1, 2), ("wecom", 2, 1)] {
        eventually(|| health(&notifier, output).sent == sent).await;
        let expected =
            Health { output: health(&notifier, output).output, sent, failed, ..Health::default() };
        assert_eq!(health(&notifier, output), expected);
    }
    let requests = robot.requests();
    assert_eq!((requests.len(), webhook.requests().len()), (3, 3));
    for pair in requests.windows(2) {
        assert!(pair[1].at - pair[0].at >= Duration::from_secs(3), "20 messages a minute");
    }
    let second = requests[1].body["markdown"]["content"].as_str().unwrap();
    assert!(second.starts_with("### [resolved] wxedge: 1 resolved\n"), "{second}");
}

#[tokio::test]
async fn what_may_work_later_is_tried_again() {
    let soon = |status| Answer::With(status, "retry-after", "2".to_owned());
    let webhook = Receiver::start([Answer::Say(503, ""), soon(429), OK]).await;
    let mut notifier =
        notifier(&Notify { webhook: webhook.secret(), ..nobody() }, Saved::default());
    pass(&mut notifier, 0, 6, &[&alert(Kind::DnsFailure)]);
    let requests = webhook.received(3).await;
    assert!(requests[1].at - requests[0].at >= limits::NOTIFY_RETRY[0] / 2);
    assert!(requests[2].at - requests[1].at >= Duration::from_secs(2), "as it asked for");
    assert!(requests.iter().all(|request| request.body == requests[0].body));
    eventually(|| health(&notifier, "webhook").sent == 1).await;
    let expected = Health { output: "webhook", sent: 1, retries: 2, ..Health::default() };
    assert_eq!(health(&notifier, "webhook"), expected);
}

#[tokio::test]
async fn a_robot_that_has_enough_is_left_alone_and_its_message_is_kept() {
    let often = Answer::Say(200, r#"{"errcode":45009,"errmsg":"api freq out of limit"}"#);
    let robot = Receiver::start([often]).await;
    let many = Answer::Say(400, r#"{"code":9499,"msg":"too many request","data":{}}"#);
    let feishu = Receiver::start([many]).await;
    let config = Notify { wecom: robot.secret(), feishu: feishu.secret(), ..nobody() };
    let mut before = notifier(&config, Saved::default());
    let dns = alert(Kind::DnsFailure);
    pass(&mut before, 0, 6, &[&dns]);
    for output in ["wecom", "feishu"] {
        eventually(|| health(&before, output).retries == 1).await;
        assert_eq!(health(&before, output).waiting, 1);
    }
    // Three times as long as any other wait after a first try.
    tokio::time::sleep(3 * limits::NOTIFY_RETRY[0]).await;
    assert_eq!((robot.requests().len(), feishu.requests().len()), (1, 1));

    // The next sidecar brings it, once.
    let saved = serde_json::to_string(&before.save()).unwrap();
    drop(before);
    robot.script.lock().unwrap()[0] = TAKEN;
    let mut after = notifier(&config, serde_json::from_str(&saved).unwrap());
    let requests = robot.received(2).await;
    assert_eq!(requests[0].body, requests[1].body);
    pass(&mut after, 20, 600, &[&dns]);
    eventually(|| health(&after, "wecom").sent == 1).await;
    assert_eq!(health(&after, "wecom").waiting, 0);
    assert_eq!(robot.requests().len(), 2);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Receiver::start([OK]).await;
    let away = Answer::With(307, "location", elsewhere.address.clone());
    let webhook = Receiver::start([away]).await;
    let mut notifier =
        notifier(&Notify { webhook: webhook.secret(), ..nobody() }, Saved::default());
    pass(&mut notifier, 0, 6, &[&alert(Kind::DnsFailure)]);
    eventually(|| health(&notifier, "webhook").failed == 1).await;
    assert_eq!(health(&notifier, "webhook").error.as_deref(), Some("http 307"));
    assert_eq!((webhook.requests().len(), elsewhere.requests().len()), (1, 0));
}

#[tokio::test]
async fn one_that_hangs_holds_up_nobody_and_is_tried_again() {
    let webhook = Receiver::start([Answer::Hang, OK]).await;
    let robot = Receiver::start([TAKEN]).await;
    let config = Notify { webhook: webhook.secret(), feishu: robot.secret(), ..nobody() };
    let mut notifier = notifier(&config, Saved::default());
    pass(&mut notifier, 0, 6, &[&alert(Kind::DnsFailure)]);
    webhook.received(1).await;
    eventually(|| health(&notifier, "feishu").sent == 1).await;
    assert_eq!(health(&notifier, "webhook").waiting, 1);
    eventually(|| health(&notifier, "webhook").retries == 1).await;
    assert_eq!(health(&notifier, "webhook").error.as_deref(), Some("timeout"));
    eventually(|| health(&notifier, "webhook").sent == 1).await;
    assert_eq!(webhook.requests().len(), 2);
}

#[tokio::test]
async fn the_oldest_makes_room() {
    let webhook = Receiver::start([Answer::Hang]).await;
    let mut notifier =
        notifier(&Notify { webhook: webhook.secret(), ..nobody() }, Saved::default());
    let dns = alert(Kind::DnsFailure);
    let rounds = limits::MESSAGES as u64;
    for round in 0..rounds {
        pass(&mut notifier, round * 20, 10, &[&dns]);
        pass(&mut notifier, round * 20 + 10, 10, &[]);
    }
    let health = health(&notifier, "webhook");
    assert_eq!((health.waiting as u64, health.dropped), (rounds, rounds));
    let saved = serde_json::to_value(notifier.save()).unwrap();
    assert_eq!(saved["waiting"]["webhook"].as_array().unwrap().len() as u64, rounds);
}

#[tokio::test]
async fn nobody_is_told_once_it_is_gone() {
    let webhook = Receiver::start([Answer::Say(503, "")]).await;
    let mut notifier =
        notifier(&Notify { webhook: webhook.secret(), ..nobody() }, Saved::default());
    pass(&mut notifier, 0, 6, &[&alert(Kind::DnsFailure)]);
    webhook.received(1).await;
    drop(notifier);
    let told = webhook.requests().len();
    tokio::time::sleep(2 * limits::NOTIFY_RETRY[0]).await;
    assert_eq!(webhook.requests().len(), told);
}

#[tokio::test]
async fn no_address_is_said_anywhere() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let bad = Answer::Say(
        200,
        r#"{"errcode":310000,"errmsg":"canary7391","code":19021,"msg":"canary7391"}"#,
    );
    let (robot, hanging) = (Receiver::start([bad]).await, Receiver::start([Answer::Hang]).await);
    let canary = |text: &str| Some(Secret::new(format!("{text}{CANARY}")));
    let config = Notify {
        alertmanager: Some(format!("http://user:{CANARY}@{closed}/").parse().unwrap()),
        wecom: canary(&format!("http://{closed}/")),
        dingtalk: robot.secret(),
        dingtalk_secret: canary("SEC"),
        feishu: robot.secret(),
        feishu_secret: canary("sec"),
        webhook: hanging.secret(),
        ..nobody()
    };
    let mut notifier = notifier(&config, Saved::default());
    pass(&mut notifier, 0, 6, &[&alert(Kind::DnsFailure)]);
    eventually(|| notifier.health().iter().all(|health| health.error.is_some())).await;
    let errors: Vec<_> = notifier
        .health()
        .into_iter()
        .map(|health| (health.output, health.error.unwrap()))
        .collect();
    let expected = [
        ("wecom", "connect"),
        ("dingtalk", "errcode 310000"),
        ("feishu", "code 19021"),
        ("webhook", "timeout"),
        ("alertmanager", "connect"),
    ];
    assert_eq!(errors, expected.map(|(output, error)| (output, error.to_owned())));
    let saved = notifier.save();
    let said = format!(
        "{notifier:?} {notifier:#?} {:?} {saved:?} {}",
        notifier.health(),
        serde_json::to_string(&saved).unwrap()
    );
    assert!(!said.contains(CANARY), "{said}");
}
