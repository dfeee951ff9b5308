//! Alertmanager: `POST /api/v2/alerts`, by its `api/v2/openapi.yaml` and prometheus.io/docs/alerting/latest/alerts_api.
//!
//! It does the grouping, repeating and silencing itself, so it hears of everything that fires: at once when that changes, and every
//! minute. Each time it is told that the alert ends in 5 minutes: it resolves by itself when the sidecar is gone. What is over is
//! told for 5 minutes more, with its end, so that no answer has to be waited for.

use super::lane::{Receiver, json};
use super::retry::{self, Verdict};
use super::text;
use crate::alert::{Alert, State};
use crate::clock::millis;
use crate::config::{Language, Secret};
use crate::limits;
use crate::observation::Millis;
use chrono::{DateTime, SecondsFormat};
use reqwest::{Client, RequestBuilder};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// All that Alertmanager has to know at a time: the body of a request.
pub(super) type Snapshot = String;

#[derive(Debug)]
pub(super) struct Alertmanager {
    address: Secret,
}

impl Alertmanager {
    /// At this address, under which `/api/v2/alerts` is.
    pub(super) fn new(base: &Secret) -> Alertmanager {
        let address = format!("{}/api/v2/alerts", base.expose().trim_end_matches('/'));
        Alertmanager { address: Secret::new(address) }
    }
}

impl Receiver<Snapshot> for Alertmanager {
    fn name(&self) -> &'static str {
        "alertmanager"
    }

    fn pace(&self) -> Duration {
        Duration::ZERO
    }

    /// The newest says all.
    fn room(&self) -> usize {
        1
    }

    fn request(&self, http: &Client, snapshot: &Snapshot, _now: u64) -> RequestBuilder {
        json(http.post(self.address.expose()), snapshot.clone())
    }

    fn verdict(&self, status: u16, _body: &[u8]) -> Verdict {
        retry::by_status(status)
    }
}

/// What Alertmanager has been told, by labels: those are what tells its alerts apart.
#[derive(Debug)]
pub(super) struct Snapshots {
    language: Language,
    firing: BTreeMap<String, Alert>,
    /// With the time until which they are told.
    resolved: BTreeMap<String, (Alert, Millis)>,
    /// When the next is due, whatever happens.
    due: Millis,
}

impl Snapshots {
    pub(super) fn new(language: Language) -> Snapshots {
        Snapshots { language, firing: BTreeMap::new(), resolved: BTreeMap::new(), due: 0 }
    }

    /// The next, when something has changed or a minute is over.
    pub(super) fn tick(&mut self, now: Millis, firing: &[&Alert]) -> Option<Snapshot> {
        let firing = firing.iter().filter(|alert| alert.state == State::Firing);
        let firing: BTreeMap<String, Alert> =
            firing.map(|alert| (labels(alert).to_string(), (*alert).clone())).collect();
        let changed = !firing.keys().eq(self.firing.keys());
        if !changed && now < self.due {
            return None;
        }
        let until = now + millis(limits::ALERTMANAGER_EXPIRY);
        for (labels, alert) in std::mem::replace(&mut self.firing, firing) {
            let resolved = alert.resolved.or(Some((now / 1000).cast_signed()));
            self.resolved.insert(labels, (Alert { resolved, ..alert }, until));
        }
        self.resolved
            .retain(|labels, (_, until)| !self.firing.contains_key(labels) && *until > now);
        self.due = now + millis(limits::ALERTMANAGER_RESEND);

        let ends = (until / 1000).cast_signed();
        let firing = self.firing.values().map(|alert| self.entry(alert, ends));
        let resolved = self.resolved.values().map(|(alert, _)| {
            self.entry(alert, alert.resolved.unwrap_or(alert.last).max(alert.time + 1))
        });
        let all: Vec<Value> = firing.chain(resolved).collect();
        (!all.is_empty()).then(|| Value::Array(all).to_string())
    }

    fn entry(&self, alert: &Alert, ends: i64) -> Value {
        let mut annotations = Map::new();
        let mut annotate = |name: &str, value: String| {
            if !value.is_empty() {
                annotations.insert(name.to_owned(), Value::String(value));
            }
        };
        annotate("summary", text::summary(alert, self.language));
        annotate("description", alert.description(self.language));
        annotate("action", alert.action(self.language));
        annotate("count", alert.count.to_string());
        annotate("window_s", alert.window_s.to_string());
        annotate("nickname", alert.nickname.clone().unwrap_or_default());
        annotate("example", text::example(alert).unwrap_or_default());
        json!({
            "labels": labels(alert),
            "annotations": annotations,
            "startsAt": rfc3339(alert.time),
            "endsAt": rfc3339(ends),
        })
    }
}

/// Without those that an alert does not have: Alertmanager wants no empty ones.
fn labels(alert: &Alert) -> Value {
    let mut labels = json!({
        "alertname": alert.kind.name(),
        "severity": alert.severity,
        "source": "wxedge-sidecar",
    });
    for (name, value) in [("account", &alert.account), ("appid", &alert.appid)] {
        if let Some(value) = value.as_ref().filter(|value| !value.is_empty()) {
            labels[name] = value.as_str().into();
        }
    }
    labels
}

fn rfc3339(seconds: i64) -> String {
    let time = DateTime::from_timestamp_secs(seconds).unwrap_or_default();
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::{Kind, Severity};
    use crate::notify::tests::alert;

    const NOW: Millis = 1_423_052_400_000;

    fn parsed(snapshot: Option<Snapshot>) -> Vec<Value> {
        serde_json::from_str(&snapshot.unwrap()).unwrap()
    }

    #[test]
    fn an_alert_has_labels_annotations_and_times() {
        let alert = alert(Kind::RequestTimeout);
        let sent = parsed(Snapshots::new(Language::English).tick(NOW, &[&alert]));
        let example =
            "[IP=203.205.140.29][Msg=event][response_length=10][response_content=Error 500:]";
        let mut annotations = sent[0]["annotations"].clone();
        for words in ["description", "action"] {
            annotations.as_object_mut().unwrap().remove(words);
        }
        assert_eq!(
            annotations,
            json!({
                "summary": "Request timeout: 店铺 (main, wx0000000000000001)",
                "count": "3", "window_s": "300", "nickname": "店铺", "example": example,
            })
        );
        assert_eq!(
            sent[0]["labels"],
            json!({
                "alertname": "request_timeout", "severity": "high", "account": "main",
                "appid": "wx0000000000000001", "source": "wxedge-sidecar",
            })
        );
        assert_eq!(sent[0]["startsAt"], "2015-02-04T12:13:09Z");
        assert_eq!(sent[0]["endsAt"], "2015-02-04T12:25:00Z");
    }

    #[test]
    fn labels_that_are_not_there_are_left_out() {
        let alert = Alert { account: None, appid: Some(String::new()), ..alert(Kind::ProxyDown) };
        let labels = labels(&alert);
        let names: Vec<_> = labels.as_object().unwrap().keys().collect();
        assert_eq!(names, ["alertname", "severity", "source"]);
    }

    #[test]
    fn it_is_told_every_minute_and_at_each_change() {
        let (dns, down) = (alert(Kind::DnsFailure), alert(Kind::ProxyDown));
        let mut snapshots = Snapshots::new(Language::English);
        let sent = |snapshots: &mut Snapshots, second: u64, firing: &[&Alert]| {
            snapshots.tick(NOW + second * 1000, firing).map(|sent| parsed(Some(sent)).len())
        };
        assert_eq!(sent(&mut snapshots, 0, &[]), None);
        assert_eq!(sent(&mut snapshots, 1, &[&dns]), Some(1));
        assert_eq!((2..61).find_map(|s| sent(&mut snapshots, s, &[&dns])), None);
        assert_eq!(sent(&mut snapshots, 61, &[&dns]), Some(1));
        assert_eq!(sent(&mut snapshots, 62, &[&dns, &down]), Some(2));
        // What is over stays for 5 minutes, then there is nothing to say.
        assert_eq!(sent(&mut snapshots, 63, &[]), Some(2));
        let after: Vec<_> =
            (64..900).filter_map(|s| Some((s, sent(&mut snapshots, s, &[])?))).collect();
        assert_eq!(after, [(123, 2), (183, 2), (243, 2), (303, 2)]);
    }

    #[test]
    fn what_is_over_ends_and_what_comes_back_does_not() {
        let dns = alert(Kind::DnsFailure);
        let mut snapshots = Snapshots::new(Language::English);
        snapshots.tick(NOW, &[&dns]);
        let sent = parsed(snapshots.tick(NOW + 1000, &[]));
        assert_eq!(sent[0]["endsAt"], "2015-02-04T12:20:01Z");
        let sent = parsed(snapshots.tick(NOW + 2000, &[&dns]));
        assert_eq!(sent.len(), 1);
        assert_eq!(sent[0]["endsAt"], "2015-02-04T12:25:02Z");
    }

    /// Other labels are another alert to Alertmanager: the one with the old ones has to end.
    #[test]
    fn what_gets_worse_ends_under_its_old_labels() {
        let quota = alert(Kind::QuotaLow);
        let worse = Alert { severity: Severity::Critical, ..quota.clone() };
        let mut snapshots = Snapshots::new(Language::English);
        snapshots.tick(NOW, &[&quota]);
        let sent = parsed(snapshots.tick(NOW + 1000, &[&worse]));
        let seen: Vec<_> =
            sent.iter().map(|alert| (&alert["labels"]["severity"], &alert["endsAt"])).collect();
        let (critical, medium) = (json!("critical"), json!("medium"));
        let (later, now) = (json!("2015-02-04T12:25:01Z"), json!("2015-02-04T12:20:01Z"));
        assert_eq!(seen, [(&critical, &later), (&medium, &now)]);
    }

    #[test]
    fn the_path_goes_under_the_address() {
        for base in ["http://am:9093", "http://am:9093/", "http://am/prefix/"] {
            let address = Alertmanager::new(&Secret::new(base)).address;
            let base = base.trim_end_matches('/');
            assert_eq!(address.expose(), format!("{base}/api/v2/alerts"));
        }
    }
}
