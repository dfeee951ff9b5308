//! §11 of the contract: the names, the labels, zero from the start.

use wxedge::outcome::Outcome;
use wxedge_tests::app::{Answer, App};
use wxedge_tests::edge::Account;
use wxedge_tests::message::Message;
use wxedge_tests::metrics::Metrics;
use wxedge_tests::wechat::Verdict;

use crate::edge;

const KINDS: [&str; 11] = [
    "event",
    "image",
    "link",
    "location",
    "other",
    "shortvideo",
    "text",
    "unknown",
    "verification",
    "video",
    "voice",
];
const REASONS: [&str; 8] =
    ["connect", "connect_timeout", "dns", "dns_timeout", "invalid", "reset", "status", "timeout"];
/// The spool's series of an account: name, label, its values.
const SPOOL: [(&str, &str, &[&str]); 4] = [
    ("wxedge_spool_entries", "state", &["dead", "pending"]),
    ("wxedge_redeliveries_total", "result", &["dead", "failed", "taken"]),
    ("wxedge_circuit_state", "state", &["closed", "open", "probing"]),
    (
        "wxedge_late_replies_total",
        "result",
        &[
            "content_dropped",
            "dropped",
            "gave_up",
            "lost",
            "maybe_sent",
            "refused",
            "retried",
            "sent",
            "window",
        ],
    ),
];

#[test]
fn every_series_is_there_at_zero_before_the_first_callback() {
    let edge = edge().and(Account::named("other")).start();
    let metrics = edge.metrics();
    for account in ["main", "other"] {
        for kind in KINDS {
            for outcome in Outcome::ALL {
                let labels = [("account", account), ("kind", kind), ("outcome", outcome.label())];
                assert_eq!(metrics.sum("wxedge_callbacks_total", &labels), Some(0.0), "{labels:?}");
            }
        }
        for reason in REASONS {
            let labels = [("account", account), ("reason", reason)];
            assert_eq!(
                metrics.sum("wxedge_upstream_failures_total", &labels),
                Some(0.0),
                "{labels:?}"
            );
        }
        for (name, label, values) in SPOOL {
            for value in values {
                let labels = [("account", account), (label, value)];
                let expected = if *value == "closed" { 1.0 } else { 0.0 };
                assert_eq!(metrics.sum(name, &labels), Some(expected), "{name} {value}");
            }
        }
        for name in [
            "wxedge_spool_oldest_seconds",
            "wxedge_callback_duration_seconds_count",
            "wxedge_callbacks_in_flight",
            "wxedge_callback_last_received_timestamp_seconds",
            "wxedge_upstream_duration_seconds_count",
        ] {
            assert_eq!(metrics.sum(name, &[("account", account)]), Some(0.0), "{name}");
        }
    }
    assert_eq!(metrics.label_values("wxedge_callbacks_total", "kind"), KINDS);
    assert_eq!(metrics.label_values("wxedge_upstream_failures_total", "reason"), REASONS);
    for (name, label, values) in SPOOL {
        assert_eq!(metrics.label_values(name, label), values, "and no others");
    }
    for status in ["400", "404", "405", "408"] {
        assert_eq!(
            metrics.sum("wxedge_unrouted_total", &[("status", status)]),
            Some(0.0),
            "{status}"
        );
    }
    for result in metrics.label_values("wxedge_config_reloads_total", "result") {
        assert_eq!(metrics.sum("wxedge_config_reloads_total", &[("result", &result)]), Some(0.0));
    }
    for name in [
        "wxedge_dedupe_entries",
        "wxedge_events_dropped_total",
        "wxedge_panics_total",
        "wxedge_spool_bytes",
        "wxedge_spool_write_seconds_count",
    ] {
        assert_eq!(metrics.sum(name, &[]), Some(0.0), "{name}");
    }
    let build = [("program", "wxedge"), ("version", env!("CARGO_PKG_VERSION"))];
    assert_eq!(metrics.sum("wxedge_build_info", &build), Some(1.0));
    for name in ["process_resident_memory_bytes", "process_open_fds", "process_cpu_seconds_total"] {
        assert!(metrics.sum(name, &[]).is_some(), "{name}");
    }
}

#[test]
fn deadlines_are_edges_of_the_histograms() {
    let edge = edge().start();
    let metrics = edge.metrics();
    for name in
        ["wxedge_callback_duration_seconds_bucket", "wxedge_upstream_duration_seconds_bucket"]
    {
        for edge_s in ["4", "4.3", "4.5", "4.8", "5", "+Inf"] {
            assert_eq!(metrics.sum(name, &[("le", edge_s)]), Some(0.0), "{name} {edge_s}");
        }
    }
}

#[test]
fn every_kind_is_counted_as_itself() {
    let edge = edge().start();
    for kind in ["image", "voice", "video", "shortvideo", "location", "link", "text"] {
        let message = Message::of(kind, &[("Content", "a"), ("MediaId", "b")]);
        assert_eq!(edge.wechat().deliver(&message).status(), 200);
    }
    assert_eq!(edge.wechat().deliver(&Message::event("LOCATION")).verdict, Verdict::Acknowledged);
    assert_eq!(edge.wechat().deliver(&Message::of("hologram", &[])).verdict, Verdict::Acknowledged);
    assert_eq!(
        edge.wechat().deliver(&Message::event("x").without("MsgType")).verdict,
        Verdict::Acknowledged
    );
    assert_eq!(edge.wechat().verify().verdict, Verdict::Acknowledged);
    edge.assert_count("wxedge_callbacks_total", &[], 11.0);
    for kind in KINDS {
        assert_eq!(edge.count("wxedge_callbacks_total", &[("kind", kind)]), 1.0, "{kind}");
    }
    assert_eq!(edge.count("wxedge_callback_duration_seconds_count", &[]), 11.0);
}

#[test]
fn the_text_is_prometheus_format() {
    let edge = edge().start();
    let answer = edge.admin("/metrics");
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let text = answer.text();
    for name in Metrics::parse(text).names() {
        let family = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|end| name.strip_suffix(end))
            .unwrap_or(&name);
        let typed = [&name, family].iter().any(|name| text.contains(&format!("# TYPE {name} ")));
        assert!(typed, "{name} has no type");
    }
}

#[test]
fn the_app_s_time_and_the_last_callback_are_measured() {
    let app = App::answering(Answer::taken().after(std::time::Duration::from_millis(300)));
    let edge = edge().app(&app).start();
    let before = wxedge_tests::message::now_s() as f64;
    assert_eq!(edge.wechat().deliver(&Message::text("hi")).status(), 200);
    edge.assert_count("wxedge_callback_duration_seconds_count", &[], 1.0);
    for name in ["wxedge_upstream_duration_seconds", "wxedge_callback_duration_seconds"] {
        let sum = edge.count(&format!("{name}_sum"), &[]);
        assert!((0.3..3.0).contains(&sum), "{name} {sum}");
        let quick = [("account", "main"), ("le", "0.25")];
        assert_eq!(edge.count(&format!("{name}_bucket"), &quick), 0.0);
    }
    let last = edge.count("wxedge_callback_last_received_timestamp_seconds", &[]);
    assert!((before..before + 60.0).contains(&last));
}
