//! A real Prometheus scrapes the real edge and runs the rules, a real Alertmanager tells a receiver.
//!
//! Once with the sidecar as the one target, as it is meant, and once with the edge alone.

use std::time::Duration;

use serde_json::Value;
use wxedge_tests::app::{Answer, App};
use wxedge_tests::edge::{Builder, Edge};
use wxedge_tests::message::Message;
use wxedge_tests::sidecar::{self, Sidecar};
use wxedge_tests::wechat_api::{Api, Fault};
use wxedge_tests::{canary, eventually, http};

use crate::promql::selectors;
use crate::servers::{Alertmanager, Prometheus, Target, edge_program};
use crate::{dashboards, rules};

/// Longer than anything here takes: scrapes and evaluations are a second apart.
const PATIENCE: Duration = Duration::from_secs(40);

/// An edge between an app and WeChat's API, and all that watches it.
struct World {
    prometheus: Prometheus,
    _sidecar: Option<Sidecar>,
    alertmanager: Alertmanager,
    receiver: App,
    edge: Edge,
    api: Api,
    app: App,
}

impl World {
    /// Prometheus scrapes the edge.
    fn without_sidecar() -> World {
        World::start(|_edge, _alertmanager| None)
    }

    /// Prometheus scrapes the sidecar, which tells Alertmanager itself, too.
    fn with_sidecar() -> World {
        World::start(|edge, alertmanager| {
            let public = format!("main = \"http://{}/wechat/main\"", edge.callback);
            let told = format!("alertmanager = \"http://{}\"", alertmanager.address());
            let program = env!("CARGO_BIN_EXE_wxedge-sidecar");
            let sidecar = sidecar::Builder::new(program, edge.admin)
                .line("probe.public_url", &public)
                .line("notify", &told)
                .start();
            sidecar.await_stream(edge);
            Some(sidecar)
        })
    }

    fn start(sidecar: impl FnOnce(&Edge, &Alertmanager) -> Option<Sidecar>) -> World {
        let app = App::answering(Answer::text("hello"));
        let api = Api::start();
        let key = format!("key = {:?}", canary::CLIENT_KEY);
        let client = [
            "allow = [\"/**\"]",
            &key,
            "accounts = [\"main\"]",
            "[clients.crm.budgets]\n\"/cgi-bin/user/get\" = 100000",
        ];
        let edge = Builder::new(edge_program().to_str().unwrap())
            .app(&app)
            .api_base(&[&api.url()])
            .spool("retry_min_ms = 100")
            .client("crm", &client)
            .start();
        let receiver = App::answering(Answer::taken());
        let alertmanager = Alertmanager::start(receiver.address());
        let sidecar = sidecar(&edge, &alertmanager);
        let target = match &sidecar {
            Some(sidecar) => Target { address: sidecar.address, key: None },
            None => Target { address: edge.admin, key: Some(canary::ADMIN_KEY) },
        };
        let prometheus = Prometheus::start(target, &alertmanager);
        World { prometheus, _sidecar: sidecar, alertmanager, receiver, edge, api, app }
    }

    /// A message, which WeChat gets a good answer to, whatever the app does.
    fn message(&self) {
        assert_eq!(self.edge.wechat().deliver(&Message::text("hi")).status(), 200);
    }

    /// A message, a refresh of the token, and two calls of the app's, one of which WeChat refuses.
    fn traffic(&self) {
        self.message();
        self.edge.operate("POST", "/v1/accounts/main/token/refresh");
        self.api.fault_next("/cgi-bin/user/get", 1, Fault::Errcode(48001));
        let key = format!("Bearer {}", canary::CLIENT_KEY);
        for _ in 0..2 {
            let _answer = http::send(
                self.edge.api(),
                "GET",
                "/main/cgi-bin/user/get",
                &[("authorization", &key)],
                b"",
            );
        }
    }

    /// Whether the receiver was told of this alert in this state at this path.
    fn told(&self, path: &str, alert: &str, status: &str) -> bool {
        let requests = self.receiver.requests();
        let alerts = requests
            .iter()
            .filter(|request| request.target == path)
            .flat_map(|request| request.json()["alerts"].as_array().cloned().unwrap_or_default());
        alerts
            .into_iter()
            .any(|told: Value| told["labels"]["alertname"] == *alert && told["status"] == *status)
    }

    #[track_caller]
    fn await_told(&self, path: &str, alert: &str, status: &str) {
        eventually(PATIENCE, &format!("{path} is told: {alert} {status}"), || {
            self.told(path, alert, status)
        });
    }
}

/// What nobody has here: no URL has TLS.
const UNANSWERED: [&str; 1] = ["wxedge_tls_not_after_timestamp_seconds"];

/// What is wrong here and right elsewhere: WeChat's clock stands still, and the public URL has a port of its own.
const OF_THIS_WORLD: [&str; 2] = ["WxedgeClock", "WxedgeProbeFailing"];

/// An expression with Grafana's variables filled in.
fn filled(expression: &str) -> String {
    let filled = expression.replace("$__rate_interval", "20s").replace("$job", "wxedge");
    filled.replace("$instance", ".*").replace("$account", ".*")
}

/// What panels show of alerts, and nothing while all is well.
fn shown_of_alerts() -> Vec<String> {
    let mut all: Vec<_> = dashboards::queries().iter().map(|(_, e)| filled(e)).collect();
    all.retain(|e| e.starts_with("ALERTS") || e.contains("wxedge_alert") && e.ends_with("> 0"));
    all
}

/// Everything else that dashboards and rules ask for. Of alert rules it is what they look at: they themselves are silent
/// while all is well.
fn questions() -> Vec<String> {
    let shown = dashboards::queries().into_iter().map(|(_, expression)| filled(&expression));
    let recorded = rules::all().into_iter().filter(|r| r.name.contains(':')).map(|r| r.expression);
    let watched = rules::alerts().flat_map(|r| selectors(&r.expression)).map(|s| s.text);
    let mut all: Vec<_> = shown.chain(recorded).chain(watched).collect();
    let of_alerts = shown_of_alerts();
    all.retain(|e| !of_alerts.contains(e) && !UNANSWERED.iter().any(|metric| e.contains(metric)));
    all.sort();
    all.dedup();
    all
}

#[test]
fn every_question_has_an_answer_on_a_live_run() {
    let world = World::with_sidecar();
    let mut open = questions();
    assert!(open.len() > 90, "{}", open.len());
    let mut failures = 0;
    eventually(PATIENCE, "all have one", || {
        world.traffic();
        open.retain(|expression| world.prometheus.query(expression).is_empty());
        failures += 1;
        assert!(failures < 150, "no answer: {open:#?}");
        open.is_empty()
    });
    for rule in world.prometheus.rules() {
        assert_eq!(rule["health"], "ok", "{rule}");
    }
    let mut firing = world.prometheus.firing();
    firing.retain(|alert| !OF_THIS_WORLD.contains(&alert.as_str()));
    assert!(firing.is_empty(), "all is well, but {firing:?}");
}

#[test]
fn a_fault_fires_is_told_is_told_once_and_resolves() {
    let mut world = World::without_sidecar();
    eventually(PATIENCE, "a scrape", || !world.prometheus.query("up == 1").is_empty());
    world.traffic();

    // An app that fails pages, its open circuit is a ticket.
    world.app.answer(Answer::status(500));
    eventually(PATIENCE, "it fires", || {
        world.message();
        let firing = world.prometheus.firing();
        ["WxedgeAppFailing", "WxedgeCircuitOpen"]
            .iter()
            .all(|name| firing.iter().any(|f| f == name))
    });
    world.await_told("/page", "WxedgeAppFailing", "firing");
    world.await_told("/ticket", "WxedgeCircuitOpen", "firing");
    assert!(!world.told("/page", "WxedgeCircuitOpen", "firing"));

    world.app.answer(Answer::taken());
    world.await_told("/page", "WxedgeAppFailing", "resolved");
    world.await_told("/ticket", "WxedgeCircuitOpen", "resolved");
    eventually(PATIENCE, "all is well again", || world.prometheus.firing().is_empty());

    // The next time the sidecar says it in its own words: that is the page, and Prometheus' is muted.
    world.receiver.forget();
    world.alertmanager.tell("response_invalid", "high", "main");
    world.await_told("/page", "response_invalid", "firing");
    world.app.answer(Answer::status(500));
    eventually(PATIENCE, "the other page is muted", || {
        world.message();
        let alert = world.alertmanager.alert("WxedgeAppFailing");
        alert.is_some_and(|alert| alert["status"]["state"] == "suppressed")
    });
    assert!(!world.told("/page", "WxedgeAppFailing", "firing"));

    // Nobody is there to be asked.
    world.edge.kill();
    world.await_told("/page", "WxedgeTargetDown", "firing");
}

#[test]
fn with_a_sidecar_its_own_words_are_the_page() {
    let mut world = World::with_sidecar();
    eventually(PATIENCE, "a scrape", || !world.prometheus.query("wxedge_proxy_up == 1").is_empty());
    world.app.answer(Answer::status(500));
    eventually(PATIENCE, "the sidecar tells Alertmanager", || {
        world.message();
        world.alertmanager.alert("response_invalid").is_some()
    });
    world.await_told("/page", "response_invalid", "firing");
    for prometheus in ["WxedgeAppFailing", "WxedgeSidecarApp"] {
        eventually(PATIENCE, &format!("{prometheus} is muted"), || {
            world.message();
            let alert = world.alertmanager.alert(prometheus);
            alert.is_some_and(|alert| alert["status"]["state"] == "suppressed")
        });
    }
    for expression in shown_of_alerts() {
        eventually(PATIENCE, &format!("{expression} has an answer"), || {
            !world.prometheus.query(&expression).is_empty()
        });
    }

    // The target is there, and says that the edge is not.
    world.edge.kill();
    world.await_told("/page", "proxy_down", "firing");
    eventually(PATIENCE, "it fires", || {
        world.prometheus.firing().iter().any(|name| name == "WxedgeProxyDown")
    });
    assert!(!world.prometheus.query("up == 1").is_empty());
}
