//! Who is told, through real sockets.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod alertmanager;
mod faults;
mod formats;
mod log;
mod receiver;

use serde_json::json;
use wxedge_sidecar::alert::{Alert, Kind};
use wxedge_sidecar::config::{Config, Language, Notify};
use wxedge_sidecar::http;
use wxedge_sidecar::notify::{Health, Notifier, Saved};

/// 2015-02-04T12:20:00Z.
const NOW: u64 = 1_423_052_400_000;

fn nobody() -> Notify {
    Config::parse("", &Default::default()).unwrap().notify
}

fn notifier(config: &Notify, saved: Saved) -> Notifier {
    let http = http::client(&http::tls(http::roots()).unwrap()).unwrap();
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
        "resolved": null, "cause": {"cause": "proxy", "reason": "connect"}, "count": 1272, "window_s": 300, "example": example,
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
