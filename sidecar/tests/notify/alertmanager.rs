//! Alertmanager: one of the test's own, and a real one.

use super::receiver::{CANARY, OK, Receiver, TAKEN, eventually};
use super::{NOW, alert, health, nobody, notifier, pass};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};
use url::Url;
use wxedge_sidecar::alert::{Alert, Change, Kind, State};
use wxedge_sidecar::config::{Notify, Secret};
use wxedge_sidecar::http;
use wxedge_sidecar::notify::{Saved, Wanted};

#[tokio::test]
async fn alertmanager_hears_of_all_that_fires_every_minute() {
    let alertmanager = Receiver::start([OK]).await;
    let robot = Receiver::start([TAKEN]).await;
    let base = alertmanager.address.split("/hook").next().unwrap();
    let config = Notify {
        alertmanager: Some(Secret::new(format!("{base}/{CANARY}/"))),
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

/// The real one, from Debian's package, on a port of its own choice.
struct Real {
    process: Child,
    address: Url,
    /// It dies when it cannot write its log.
    _log: BufReader<ChildStderr>,
}

impl Real {
    fn start() -> Real {
        let folder = format!("{}/alertmanager", env!("CARGO_TARGET_TMPDIR"));
        std::fs::create_dir_all(&folder).unwrap();
        let config = format!("{folder}/config.yml");
        std::fs::write(&config, "route: {receiver: none}\nreceivers: [{name: none}]\n").unwrap();
        let mut process = Command::new("prometheus-alertmanager")
            .args(["--web.listen-address=127.0.0.1:0", "--cluster.listen-address="])
            .args([format!("--config.file={config}"), format!("--storage.path={folder}")])
            .stderr(Stdio::piped())
            .spawn()
            .expect("the package prometheus-alertmanager is needed");
        let mut log = BufReader::new(process.stderr.take().unwrap());
        let mut lines = log.by_ref().lines().map(Result::unwrap);
        let address = lines.find_map(|line| {
            let address = line.split_once("address=127.0.0.1:")?.1;
            let port: String = address.chars().take_while(char::is_ascii_digit).collect();
            format!("http://127.0.0.1:{port}/").parse().ok()
        });
        Real { process, address: address.unwrap(), _log: log }
    }

    async fn alerts(&self) -> Vec<Value> {
        let url = self.address.join("api/v2/alerts").unwrap();
        let client = http::client(&http::tls(http::roots()).unwrap()).unwrap();
        let body = client.get(url).send().await.unwrap().text().await.unwrap();
        serde_json::from_str(&body).unwrap()
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

#[tokio::test]
async fn the_real_one_takes_alerts_and_their_end() {
    let real = Real::start();
    let config = Notify { alertmanager: Some(Secret::new(real.address.as_str())), ..nobody() };
    let mut notifier = notifier(&config, Saved::default());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
    let (dns, mut down) = (alert(Kind::DnsFailure), alert(Kind::ProxyDown));
    (down.account, down.appid) = (None, None);
    notifier.tick(now, &[&dns, &down]);
    eventually(|| health(&notifier, "alertmanager").sent == 1).await;
    let mut alerts = real.alerts().await;
    alerts.sort_by_key(|alert| alert["labels"].to_string());
    assert_eq!(alerts.len(), 2);
    assert_eq!(
        alerts[0]["labels"],
        json!({
            "alertname": "dns_failure", "severity": "high", "account": "main",
            "appid": "wx0000000000000001", "source": "wxedge-sidecar",
        })
    );
    assert_eq!(
        alerts[1]["labels"],
        json!({ "alertname": "proxy_down", "severity": "critical", "source": "wxedge-sidecar" })
    );
    assert_eq!(alerts[0]["startsAt"], "2015-02-04T12:13:09.000Z");

    let over = Alert { state: State::Resolved, resolved: Some(now as i64 / 1000), ..dns };
    notifier.changes(vec![Change { alert: over, was: Some(State::Firing) }]);
    notifier.tick(now, &[&down]);
    eventually(|| health(&notifier, "alertmanager").sent == 2).await;
    let alerts = real.alerts().await;
    assert_eq!(alerts.len(), 1);
    assert_eq!(alerts[0]["labels"]["alertname"], "proxy_down");
}
