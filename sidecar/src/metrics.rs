//! The sidecar's own metrics, made from what is known when they are asked for: no series of what is gone stays behind.

use crate::alert::{Alert, Kind, State};
use crate::markfail;
use crate::notify::Health;
use crate::watch::Known;
use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;
use prometheus::{Error, GaugeVec, IntCounterVec, Opts, Registry, TextEncoder};
use std::collections::BTreeSet;

/// What process metrics begin with: the edge's own have none, and both are one scrape.
const PROCESS: &str = "wxedge_sidecar";

/// All of them, in Prometheus' text format, for these accounts.
///
/// # Errors
/// When two have one name.
pub(crate) fn render(known: &Known, accounts: &BTreeSet<String>) -> Result<String, Error> {
    let registry = Registry::new();
    build_info(&registry)?;
    let up = known.edge.is_some_and(|(up, _)| up);
    gauges(&registry, "wxedge_proxy_up", "Whether the proxy's admin API answers", &[])?
        .with_label_values::<&str>(&[])
        .set(up.into());
    alerts(&registry, known, accounts)?;
    probes(&registry, known)?;
    markfail(&registry, known, accounts)?;
    notifications(&registry, known)?;
    reloads(&registry, known)?;
    let process = ProcessCollector::new(std::process::id().cast_signed(), PROCESS);
    registry.register(Box::new(process))?;
    TextEncoder::new().encode_to_string(&registry.gather())
}

fn build_info(registry: &Registry) -> Result<(), Error> {
    let help = "Always 1";
    let build = gauges(registry, "wxedge_build_info", help, &["program", "version"])?;
    build.with_label_values(&["wxedge-sidecar", env!("CARGO_PKG_VERSION")]).set(1.0);
    Ok(())
}

/// Alerts of no account have an empty `account`.
fn alerts(registry: &Registry, known: &Known, accounts: &BTreeSet<String>) -> Result<(), Error> {
    let labels = ["account", "alert"];
    let firing = gauges(registry, "wxedge_alert_firing", "Whether an alert fires", &labels)?;
    let fired = counters(registry, "wxedge_alerts_total", "How often an alert has fired", &labels)?;
    for account in accounts.iter().map(String::as_str).chain([""]) {
        for kind in Kind::ALL {
            firing.with_label_values(&[account, kind.name()]).set(0.0);
            fired.with_label_values(&[account, kind.name()]);
        }
    }
    let account = |alert: &Alert| alert.account.clone().unwrap_or_default();
    for alert in known.engine.alerts().into_iter().filter(|alert| alert.state == State::Firing) {
        firing.with_label_values(&[account(alert).as_str(), alert.kind.name()]).set(1.0);
    }
    for ((account, kind), count) in &known.fired {
        fired.with_label_values(&[account.as_str(), kind.name()]).inc_by(*count);
    }
    Ok(())
}

fn probes(registry: &Registry, known: &Known) -> Result<(), Error> {
    let labels = ["account", "probe", "target"];
    let help = "How long the last look took";
    let took = gauges(registry, "wxedge_probe_duration_seconds", help, &labels)?;
    let help = "Whether the last look found nothing wrong";
    let success = gauges(registry, "wxedge_probe_success", help, &labels)?;
    let help = "When the certificate of a public URL or API server ends";
    let not_after = gauges(registry, "wxedge_tls_not_after_timestamp_seconds", help, &["target"])?;
    for (_at, finding) in known.findings.values() {
        let account = finding.account.as_deref().unwrap_or_default();
        let labels = [account, finding.probe.name(), finding.target.as_str()];
        took.with_label_values(&labels).set(finding.took_ms / 1_000.0);
        success.with_label_values(&labels).set(finding.fault.is_none().into());
        if let Some(ends) = finding.facts.not_after {
            not_after.with_label_values(&[finding.target.as_str()]).set(ends as f64);
        }
    }
    Ok(())
}

fn markfail(registry: &Registry, known: &Known, accounts: &BTreeSet<String>) -> Result<(), Error> {
    let help = "What is believed of WeChat's pushing: 1 for the state it is in";
    let states = gauges(registry, "wxedge_markfail_state", help, &["account", "state"])?;
    let believed = known.engine.markfail();
    for account in accounts {
        let known = believed.iter().find(|(name, _)| name == account);
        let now = known.map_or(markfail::State::Healthy, |(_, state)| *state);
        for state in markfail::State::ALL {
            let labels = [account.as_str(), state.name()];
            states.with_label_values(&labels).set((state == now).into());
        }
    }
    Ok(())
}

fn notifications(registry: &Registry, known: &Known) -> Result<(), Error> {
    let help = "Messages to robots, Alertmanager and the webhook, by result";
    let sent = counters(registry, "wxedge_notifications_total", help, &["output", "result"])?;
    for Health { output, sent: taken, failed, dropped, retries, .. } in known.notifier.health() {
        let results =
            [("sent", taken), ("failed", failed), ("dropped", dropped), ("retried", retries)];
        for (result, count) in results {
            sent.with_label_values(&[output, result]).inc_by(count);
        }
    }
    Ok(())
}

/// As the edge's own, whose name they cannot have: both are one scrape.
fn reloads(registry: &Registry, known: &Known) -> Result<(), Error> {
    let name = "wxedge_sidecar_config_reloads_total";
    let reloads = counters(registry, name, "Reloads of the sidecar's configuration", &["result"])?;
    for (result, count) in [("ok", known.reloads.ok), ("refused", known.reloads.refused)] {
        reloads.with_label_values(&[result]).inc_by(count);
    }
    Ok(())
}

fn gauges(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> Result<GaugeVec, Error> {
    add(registry, GaugeVec::new(Opts::new(name, help), labels)?)
}

fn counters(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> Result<IntCounterVec, Error> {
    add(registry, IntCounterVec::new(Opts::new(name, help), labels)?)
}

fn add<T: Collector + Clone + 'static>(registry: &Registry, metric: T) -> Result<T, Error> {
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}
