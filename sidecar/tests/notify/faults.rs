//! Receivers that refuse, have enough, hang, send elsewhere or are not there.

use super::receiver::{Answer, CANARY, OK, Receiver, TAKEN, eventually};
use super::{alert, health, nobody, notifier, pass};
use std::time::Duration;
use tokio::net::TcpListener;
use wxedge_sidecar::alert::Kind;
use wxedge_sidecar::config::{Notify, Secret};
use wxedge_sidecar::limits;
use wxedge_sidecar::notify::{Health, Saved};

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
        alertmanager: Some(Secret::new(format!("http://user:{CANARY}@{closed}/"))),
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
